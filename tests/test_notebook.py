"""Results in a notebook: what a cell shows of them, and that text stays text there."""

import io
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from elbo_lab import advise, compare, difference, fit, load
from elbo_lab.plots.style import Pictures
from elbo_lab.report.snippet import Part, comparison_snippet, plain_table, snippet
from elbo_lab.report.story import Column, Section, Story

pytest.importorskip("IPython")

SMALL = {"rows": 4, "repeats": 40, "threads": 1}
SCREEN = 24 * 100
"""Characters."""


@pytest.fixture(scope="module")
def comparison():
    return compare(["gaussian-mle", "ppca"], estimators=["score-function", "reparameterization"], **SMALL)


def test_a_table_is_text_where_rich_would_display_it(comparison, monkeypatch):
    import rich.console
    import rich.jupyter

    def display(*_):
        raise AssertionError("displayed")

    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr(rich.jupyter, "display", display)
    table = comparison.table(width=100)
    assert len(table) > 1000 and "reparameterization" in table
    assert max(map(len, table.splitlines())) <= 100


def test_the_table_of_a_fit_is_what_the_command_prints(capsys):
    fitted = fit("gaussian-mixture:full", "faithful")
    table = fitted.table(80)
    assert max(map(len, table.splitlines())) <= 80
    assert "mixing weight" in table and "log-likelihood per datum" in table and "-4.155" in table
    assert capsys.readouterr() == ("", "")


def test_a_result_has_a_repr_of_one_screen(comparison, tmp_path):
    comparison.to_json(tmp_path / "a.json")
    everything = compare("gaussian-mle", **SMALL)
    results = [comparison, everything, advise("gaussian-mle", **SMALL)]
    results += [fit("gaussian-mixture:full", "faithful"), fit("ppca", "digits", holdout=0.5)]
    results += [difference(tmp_path / "a.json", tmp_path / "a.json"), load("digits")]
    assert max(len(repr(result)) for result in results) <= SCREEN
    assert "gap" in repr(comparison) and "least variance" in repr(comparison)
    assert repr(results[2]).startswith("Gradient of the ELBO in phi: ")
    assert "log_likelihood_per_datum -4.155" in repr(results[3]) and "means (2, 2)" in repr(results[3])
    assert "4 identical" in repr(results[5])


def test_a_figure_shows_itself_without_a_magic_command(comparison):
    from IPython.core.formatters import DisplayFormatter

    figure = comparison.plot("grad-phi-elbo")
    data, about = DisplayFormatter().format(figure)
    image = Image.open(io.BytesIO(data["image/png"]))
    assert image.width == 2 * about["image/png"]["width"] == 1600
    assert len(np.unique(np.asarray(image.convert("L")))) > 50  # it is drawn
    page = DisplayFormatter().format(Pictures({"a <b>": figure}))[0]["text/html"]
    assert "a &lt;b&gt;" in page and '<img width="800"' in page and len(page) > 10_000
    assert type(fit("ppca", "digits").plot()) is type(comparison.plot(figures="none")) is Pictures


def test_plot_names_its_figures(comparison):
    with pytest.raises(ValueError, match=r"name: expected one of .*gradient-cloud"):
        comparison.plot("nonsense")
    fitted = fit("gaussian-mixture:full", "faithful")
    assert list(fitted.plot()) == ["staircase", "mixture", "samples"]
    assert fitted.plot("mixture").axes
    with pytest.raises(ValueError, match="name: expected one of staircase, mixture, samples"):
        fitted.plot("nonsense")


# -- HTML ------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Tags that are open at the end, texts by tag."""

    def __init__(self, page):
        super().__init__()
        self.open, self.texts = [], {}
        self.feed(page)

    def handle_starttag(self, tag, _):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


def test_html_of_results_is_small_whole_and_says_what_matters(comparison, tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    comparison.to_json(first)
    other = compare(["gaussian-mle", "ppca"], estimators="score-function", **SMALL | {"seed": 1})
    other.to_json(second)
    results = {
        "compare": (comparison, "score-function"),
        "fit": (fit("gaussian-mixture:full", "faithful"), "-4.155"),
        "advise": (advise("gaussian-mle", **SMALL), "Gradient of the ELBO in phi: take"),
        "difference": (difference(first, second), "Only in A: 2 rows"),
    }
    for result, words in results.values():
        page = result._repr_html_()
        read = Reader(page)
        assert not read.open and len(page) < 20_000
        assert any(words in text for texts in read.texts.values() for text in texts)
        style = "".join(read.texts["style"])
        # It takes its colours from the page, and reaches no further than itself.
        rules = [rule.strip() for rule in style.split("}") if rule.strip()]
        assert all(
            part.strip().startswith(".elbo-lab") for rule in rules for part in rule.split("{")[0].split(",")
        )
        assert "background:none" in style and "white" not in style.replace("white-space", "")


def test_everything_is_small_and_what_is_left_out_is_named():
    page = compare("gaussian-mle", **SMALL)._repr_html_()
    assert len(page) < 40_000
    assert page.count("<details>") >= 5 and "score-function-running-mean" in page


def test_a_story_is_shown_as_one():
    rows = [("ppca", "1.68")]
    section = Section(
        "How far is the bound?", "nats", (Column("model", numeric=False), Column("gap")), rows, ("a note",)
    )
    told = Story("the title", "the subject", (section,), "the finding & more", ())
    page = comparison_snippet([], {}, told)
    texts = [text for texts in Reader(page).texts.values() for text in texts]
    assert {"the title", "the subject", "How far is the bound? (nats)", "1.68", "a note"} <= set(texts)
    assert "the finding &amp; more" in page


def test_names_of_users_are_escaped():
    page = snippet("<b>", "&", [Part("<script>", [plain_table("", ("<i>",), [("<td>",)])], ["<p>"])])
    assert (
        "<script>" not in page and "&lt;script&gt;" in page and "&lt;td&gt;" in page and "&lt;i&gt;" in page
    )


def test_rows_become_a_data_frame_where_pandas_is_installed(comparison, monkeypatch):
    pandas = pytest.importorskip("pandas")
    frame = comparison.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == len(comparison.rows)
    assert frame["estimator"].tolist() == [row["estimator"] for row in comparison.rows]
    fitted = fit("gaussian-mixture:full", "faithful")
    assert len(fitted.to_pandas()) == len(fitted.history)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^to_pandas needs pandas: pip install pandas; or use result.rows"):
        comparison.to_pandas()
