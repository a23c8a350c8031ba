"""The README and the docs: their code runs, their commands parse, their links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from elbo_lab.cli.main import build_parser
from elbo_lab.comparison import compare
from elbo_lab.datasets import DATASETS
from elbo_lab.estimators import ESTIMATORS, TARGETS
from elbo_lab.exact import closed_form, enumeration, long_run, quadrature
from elbo_lab.posteriors import POSTERIORS
from elbo_lab.study import PLACES, find_models

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(text, language):
    """Return [(line number in the page, code), ...] of the fenced blocks of a language."""
    found = FENCE.finditer(text)
    return [(text[: m.start(2)].count("\n"), m[2]) for m in found if m[1] == language]


def without_fences(text):
    """Return the prose of a page."""
    return FENCE.sub("", text)


def anchors(text):
    """Return the anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", without_fences(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands():
    """Return every command of the bash blocks of the README, as lists of words."""
    lines = [line for _, block in fences(TEXTS["README.md"], "bash") for line in block.splitlines()]
    return [part for line in lines for part in split_at_and(shlex.split(line, comments=True)) if part]


def split_at_and(words):
    """Split the words of a shell line at &&."""
    parts = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


@pytest.mark.parametrize("page", [name for name, text in TEXTS.items() if fences(text, "python")])
def test_python_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    for line, code in fences(TEXTS[page], "python"):
        # Blank lines in front, so that a traceback points into the page.
        exec(compile("\n" * line + code, page, "exec"), namespace)


@pytest.mark.parametrize("mark", ["ci:main", "ci:test"])
def test_each_of_the_two_commands_is_one_line_under_its_mark(mark):
    found = re.findall(rf"^<!-- {mark} -->\n```bash\n(.*)\n```$", TEXTS["README.md"], re.MULTILINE)
    assert len(found) == 1
    assert found[0].startswith("python3 -m venv .venv && ")


def test_the_commands_of_the_readme_are_known_and_parse():
    parser, seen = build_parser(), 0
    for program, *words in commands():
        name = program.removeprefix(".venv/bin/")
        if name == "elbo-lab":
            options = parser.parse_args(words)
            seen += 1
            if options.command == "compare":
                find_models(options.models or None)
                assert options.posterior in [kind.name for kind in POSTERIORS]
                assert options.at in (None, *PLACES)
                for estimator in (options.estimators or "exact").split(","):
                    assert estimator in {known.name for known in ESTIMATORS}
        else:
            assert name in ("python3", "pip", "python"), program
    assert seen > 5


@pytest.mark.parametrize("page", TEXTS)
def test_links_of_a_page_lead_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_fences(TEXTS[page])):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{page}: {target}"


@pytest.mark.parametrize("page", TEXTS)
def test_files_that_a_page_names_exist(page):
    named = re.findall(r"`((?:elbo_lab|tests|docs|demos)/[\w./]*)`", without_fences(TEXTS[page]))
    for name in named:
        assert "NAME" in name or (ROOT / name).exists(), f"{page}: {name}"


def test_the_headline_figure_is_small_enough_to_load_at_once():
    figure = ROOT / "docs" / "figures" / "headline.png"
    assert figure.stat().st_size <= 300_000
    assert "docs/figures/headline.png" in TEXTS["README.md"].split("## ")[0]


def test_every_name_of_the_registries_is_explained():
    everything = "\n".join(TEXTS.values())
    names = {choice.label for choice in find_models()}
    names |= {estimator.name for estimator in ESTIMATORS} | {kind.name for kind in POSTERIORS}
    names |= {entry.name for entry in DATASETS} | set(PLACES)
    assert [name for name in sorted(names) if f"`{name}`" not in everything] == []


def test_every_word_of_a_row_is_in_the_glossary():
    rows = compare("gaussian-mle", estimators="exact", rows=2, repeats=2).rows
    rungs = [rung.RUNG for rung in (closed_form, enumeration, quadrature, long_run)]
    words = [*rows[0], *TARGETS, *rungs]
    assert [word for word in words if f"`{word}`" not in TEXTS["docs/glossary.md"]] == []


def test_the_table_of_the_readme_has_the_columns_of_the_program():
    table = compare("deep-bernoulli", estimators=["score-function"], rows=2, repeats=2).table(width=80)
    (_, shown), *_ = fences(TEXTS["README.md"], "text")
    title, header = shown.splitlines()[:2]
    assert title in table.splitlines()
    assert set(header.split()) <= {*table.split(), "95", "%", "int."}
