"""Results in a notebook: what a cell shows of them, and that text stays text there."""

import io

import numpy as np
import pytest
from PIL import Image

from elbo_lab import advise, compare, difference, fit, load

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


def test_a_result_has_a_repr_of_one_screen(comparison, tmp_path):
    comparison.to_json(tmp_path / "a.json")
    everything = compare("gaussian-mle", **SMALL)
    results = [comparison, everything, advise("gaussian-mle", **SMALL)]
    results += [fit("gaussian-mixture:full", "faithful"), fit("ppca", "digits", holdout=0.5)]
    results += [difference(tmp_path / "a.json", tmp_path / "a.json"), load("digits")]
    assert max(len(repr(result)) for result in results) <= SCREEN
    assert "gap" in repr(comparison) and "least variance" in repr(comparison)
    assert "grad-phi-elbo: u" in repr(results[2])  # use, or undecided
    assert "log_likelihood_per_datum -4.155" in repr(results[3]) and "means (2, 2)" in repr(results[3])
    assert "4 identical" in repr(results[5])


def test_a_figure_shows_itself_without_a_magic_command(comparison):
    from IPython.core.formatters import DisplayFormatter

    figure = comparison.plot("grad-phi-elbo")
    data, about = DisplayFormatter().format(figure)
    image = Image.open(io.BytesIO(data["image/png"]))
    assert image.width == 2 * about["image/png"]["width"] == 1600
    assert len(np.unique(np.asarray(image.convert("L")))) > 50  # it is drawn


def test_plot_names_its_figures(comparison):
    with pytest.raises(ValueError, match=r"name: expected one of .*gradient-cloud"):
        comparison.plot("nonsense")
    fitted = fit("gaussian-mixture:full", "faithful")
    assert list(fitted.plot()) == ["learning-curves", "staircase", "mixture", "samples"]
    assert fitted.plot("mixture").axes
    with pytest.raises(
        ValueError, match="name: expected one of learning-curves, staircase, mixture, samples"
    ):
        fitted.plot("nonsense")
