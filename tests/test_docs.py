"""The README and the docs: their code runs, their commands parse, their links lead somewhere."""

import inspect
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from elbo_lab.cli.fit import held_values, model_name
from elbo_lab.cli.main import COMMANDS as SUBCOMMANDS
from elbo_lab.cli.main import build_parser
from elbo_lab.cli.options import names_in
from elbo_lab.comparison import compare
from elbo_lab.datasets import DATASETS
from elbo_lab.estimators import ESTIMATORS, TARGETS
from elbo_lab.exact import closed_form, enumeration, long_run, quadrature
from elbo_lab.fitting import evaluate, fit
from elbo_lab.fitting.settings import only_asked, resolve
from elbo_lab.posteriors import find_posterior
from elbo_lab.registry import find_estimators, find_models
from elbo_lab.study import PLACES
from elbo_lab.study.statistics import pareto_source

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


SHOWN = re.compile(r"\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(text, language):
    """Return [(line number in the page, code), ...] of the fenced blocks of a language."""
    found = FENCE.finditer(text)
    return [(text[: m.start(2)].count("\n"), m[2]) for m in found if m[1] == language]


def shown_outputs(text):
    """Return for each block of Python what the page shows under it, in a block of text, or None."""
    found = [match for match in FENCE.finditer(text) if match[1] == "python"]
    under = [SHOWN.match(text, match.end() + 1) for match in found]
    return [match and match[1] for match in under]


def without_fences(text):
    """Return the prose of a page."""
    return FENCE.sub("", text)


def anchors(text):
    """Return the anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", without_fences(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(page):
    """Return every command of the bash blocks and of the tables of a page, as lists of words."""
    lines = [line for _, block in fences(TEXTS[page], "bash") for line in block.splitlines()]
    cells = [line for line in without_fences(TEXTS[page]).splitlines() if line.startswith("|")]
    lines += [command for cell in cells for command in re.findall(r"`(elbo-lab [^`]+)`", cell)]
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


def run_python_of(text, name, capsys):
    """Run the blocks of Python of a page, one after the other; each prints what the page shows under it."""
    namespace = {"__name__": "page"}
    for (line, code), shown in zip(fences(text, "python"), shown_outputs(text), strict=True):
        capsys.readouterr()
        # Blank lines in front, so that a traceback points into the page.
        exec(compile("\n" * line + code, name, "exec"), namespace)
        if shown is not None:
            assert capsys.readouterr().out == shown, f"{name}, line {line}"


@pytest.mark.parametrize("page", [name for name, text in TEXTS.items() if fences(text, "python")])
def test_python_of_a_page_runs_from_top_to_bottom_and_prints_what_is_shown(
    page, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    run_python_of(TEXTS[page], page, capsys)


SMALL_PAGE = "```python\nx = 2\n```\n\nProse.\n\n```python\nprint(x + 1)\n```\n\n```text\n3\n```\n"


def test_an_output_that_differs_from_what_a_page_shows_is_found(capsys):
    run_python_of(SMALL_PAGE, "page", capsys)
    for wrong in (
        SMALL_PAGE.replace("text\n3", "text\n3 "),
        SMALL_PAGE.replace("text\n3", "text\n3\n4"),
        SMALL_PAGE.replace("x = 2", "x = 3"),
        SMALL_PAGE.replace("print(x + 1)", "x + 1"),
    ):
        with pytest.raises(AssertionError, match="page, line 7"):
            run_python_of(wrong, "page", capsys)


def check_data_name(name):
    """Fail unless a data set of this name, with this view, is in the registry."""
    found = {dataset.name: dataset.views for dataset in DATASETS}
    plain, _, view = name.partition(":")
    if plain == "latents" or name.endswith(".csv"):  # of a checkpoint; a file of the reader
        return
    assert plain in found, name
    assert not view or view in found[plain], name


def check_fit_command(options):
    """Fail unless the model, the data, the method and all options of a fit fit each other."""
    if options.resume is not None:
        assert options.model is None
        return
    check_data_name(options.data)
    columns = 2 if options.data.startswith("faithful") else 30
    x = np.random.default_rng(0).integers(0, 2, (60, columns)).astype(float)
    name = model_name(options.model, options.covariance, options.likelihood)
    model = find_models(name)[-1].build(x, options.latent or options.components)
    names = inspect.signature(fit).parameters
    asked = {name: getattr(options, name, None) for name in names} | {"hold": held_values(options.hold)}
    settings = resolve(model, only_asked(asked))
    for key in ("theta_estimator", "phi_estimator"):
        assert settings.get(key) in {None, *(estimator.name for estimator in ESTIMATORS)}


WRONG_COMMANDS = [
    "ppca --data digit",
    "ppca --data digits:grey",
    "ppca --data digits --epochs 5",
    "ppca --data digits --method vaes",
    "pcca --data digits",
    "deep-bernoulli --data digits --phi-estimator reinforced",
]


@pytest.mark.parametrize("wrong", WRONG_COMMANDS)
def test_the_check_of_a_fit_command_finds_a_fault(wrong):
    options = build_parser().parse_args(["fit", *wrong.split()])
    with pytest.raises((AssertionError, ValueError)):
        check_fit_command(options)


COMMANDS = {
    "README.md": set("advise compare demo draws evaluate exercise explain explore fit grid race".split()),
    "docs/command_line.md": set(SUBCOMMANDS),
    "docs/comparing.md": {"compare", "diff", "advise"},
}


@pytest.mark.parametrize("page", [page for page in TEXTS if commands(page)])
def test_the_commands_of_a_page_are_known_and_parse(page):
    parser, seen, known = build_parser(), set(), {estimator.name for estimator in ESTIMATORS}
    for program, *words in commands(page):
        name = program.removeprefix(".venv/bin/")
        if name != "elbo-lab":
            assert name in ("python3", "pip", "python", "sphinx-build", "source"), program
            continue
        options = parser.parse_args(words)
        seen.add(options.command)
        if options.command == "fit":
            check_fit_command(options)
        if options.command == "evaluate" and options.data is not None:
            check_data_name(options.data)
        if options.command == "advise":
            assert len(find_models(options.model)) == 1
        if options.command == "compare":
            find_models(options.models or None)
            find_posterior(options.posterior)
            assert options.at in (None, *PLACES) or options.at.endswith(".npz")
            find_estimators(names_in("--estimators", options.estimators or "exact"))  # raises for others
            assert options.against in {None, *known}
    assert seen == COMMANDS.get(page, seen)


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


def test_figures_are_small_enough_to_load_at_once():
    for figure in (ROOT / "docs" / "figures").iterdir():
        assert figure.stat().st_size <= 300_000, figure.name
    assert "docs/figures/headline.svg" in TEXTS["README.md"].split("## ")[0]


def test_every_place_of_q_is_explained():
    everything = "\n".join(TEXTS.values())
    assert [name for name in PLACES if f"`{name}`" not in everything] == []


def test_every_word_of_a_row_is_in_the_glossary():
    rows = compare("gaussian-mle", estimators="exact", rows=2, repeats=2).rows
    rungs = [rung.RUNG for rung in (closed_form, enumeration, quadrature, long_run)]
    words = [*rows[0], *TARGETS, *rungs]
    assert [word for word in words if f"`{word}`" not in TEXTS["docs/glossary.md"]] == []


def keys_of(value):
    """Return every key in nested dicts and lists of them."""
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(keys_of, value))
    return set()


def tabled(text, heading):
    """Return the words in the first column of the tables under a heading (## with its ###)."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| (`[^|]*?) \|", section, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Every kind of record: (of fits, of evaluations), as dicts without the names of parameters."""
    folder, small = tmp_path_factory.mktemp("records"), {"epochs": 1, "batch": 500}
    mixture = ("gaussian-mixture:full", "faithful")
    net = {"hidden": (5,), "holdout": 0.2, "checkpoint": folder / "net.npz"}
    watched = {"patience": 1, "gap_rows": 5, "phi_steps": 1, "clip": 1.0}
    fits = [
        fit(*mixture, latent=2, epochs=3, restarts=1, checkpoint=folder / "mixture.npz"),
        fit(*mixture, latent=2, method="gradient", **small),
        fit(*mixture, latent=2, epochs=3, restarts=1, prior="default"),
        fit(*mixture, latent=2, epochs=3, restarts=1, method="variational-bayes"),
        fit("deep-bernoulli", "digits", **small, hidden=(5,), prior="default"),
        fit("ppca", "digits", latent=2),
        fit("histogram", "faithful", holdout=0.2),
        fit("deep-bernoulli", "digits", **small, **net, **watched),
        fit(
            "ppca", "faithful", method="vae", latent=1, posterior="free", gap_rows=5, stop_within=1e4, **small
        ),
        fit("deep-gaussian:fixed", "digits", **small, hidden=(5,), beta=2.0, patience=1),
        fit("deep-gaussian:learned", "digits", **small, hidden=(5,), restarts=2),
        fit("sigmoid-belief", "digits", method="vae", objective="rws", latent=2, **small, hidden=(5,)),
        *(
            fit(
                "deep-bernoulli",
                "digits",
                **small,
                hidden=(5,),
                objective=bound,
                draws=2,
                patience=1,
                rows=40,
            )
            for bound in ("iwae", "miwae", "ciwae", "vr-iwae", "renyi")
        ),
        fit(
            *("sigmoid-belief", "digits"),
            **small,
            hidden=(5,),
            method="vae",
            latent=2,
            phi_estimator="concrete",
            temperature_schedule="linear:1.0:0.5:2",
        ),
        fit(
            "deep-bernoulli", "digits", method="mcem", **small, hidden=(5,), checkpoint=folder / "chains.npz"
        ),
        fit("gplvm", "digits", rows=12, holdout=0.3, latent=1, epochs=1, n_inducing=3),
        fit("gplvm", "faithful", rows=12, method="gplvm-map", latent=1, epochs=1),
        fit("logistic-regression", "breast-cancer", **small, holdout=0.2, checkpoint=folder / "labels.npz"),
        fit("deep-gaussian:fixed", "arc", **small, hidden=(5,), checkpoint=folder / "first.npz"),
        fit("gaussian-mle", f"latents:{folder / 'first.npz'}"),
    ]
    fit("deep-bernoulli", "shapes", **small, hidden=(5,), checkpoint=folder / "factors.npz")
    judged = [
        ("mixture", "faithful", 20),
        ("net", "digits", None),
        ("labels", "breast-cancer", None),
        ("factors", "shapes", None),
    ]
    judged = [
        evaluate(folder / f"{name}.npz", data, rows=10, importance_samples=200, calibration=n)
        for name, data, n in judged
    ]
    of_fits = [result.to_dict() | {"parameters": None} for result in fits]
    return of_fits, [{"settings": found.settings, "final": found.final} for found in judged]


def test_every_key_of_a_fit_is_in_the_glossary_and_no_other(records):
    listed = tabled(TEXTS["docs/glossary.md"], "Every key of a fit")
    # What is written but not explained, and the other way round.
    assert keys_of(records[0]) - listed == set()
    assert listed - keys_of(records[0]) == set()


def test_a_key_that_is_missing_in_the_glossary_is_found(records):
    text = TEXTS["docs/glossary.md"].replace("| `kl` |", "| `kk` |")
    listed = tabled(text, "Every key of a fit")
    assert (keys_of(records[0]) - listed, listed - keys_of(records[0])) == ({"kl"}, {"kk"})


def test_every_key_of_an_evaluation_is_in_the_glossary_and_no_other(records):
    fits, evaluations = records
    listed = tabled(TEXTS["docs/glossary.md"], "Every key of an evaluation")
    if pareto_source() is None:
        listed = {key for key in listed if not key.startswith("pareto")}
    assert keys_of(evaluations) - keys_of(fits) == listed


def test_the_table_of_histories_has_every_key(records):
    (section,) = re.findall(
        r"^## What a history records\n(.*?)(?=^## )", TEXTS["docs/learning.md"], re.M | re.S
    )
    histories = keys_of([record["history"] for record in records[0]])
    assert {key for key in histories if f"`{key}`" not in section} == set()
