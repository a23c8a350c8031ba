"""elbo-lab explain, list, and elbo-lab alone: what a newcomer reads in a terminal."""

import inspect
import json
import os
import re
import subprocess
import sys

import pytest

from elbo_lab import DATASETS, ESTIMATORS, MODELS, compare
from elbo_lab.cli import explain
from elbo_lab.cli.glossary import entries, plain
from elbo_lab.cli.last_run import MOST, in_words
from elbo_lab.cli.listing import refusal
from elbo_lab.cli.main import build_parser, main
from elbo_lab.cli.prose import folded
from elbo_lab.distributions import SOURCES
from elbo_lab.posteriors import POSTERIORS
from elbo_lab.registry import small_models
from elbo_lab.report import advice, draws, numbers, power, ratios
from elbo_lab.report.cells import verdict
from elbo_lab.report.columns import COLUMNS
from elbo_lab.study.scene import WHERE

NAMES = [*MODELS.built_in, *ESTIMATORS.built_in, *DATASETS.built_in]
NAMES += [one.name for one in (*POSTERIORS, *SOURCES)]


def told(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


# -- explain ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120])
def test_every_name_has_an_entry_that_fits(width):
    for name in NAMES:
        for entry in explain.explained(name, [], width):
            assert len(entry) >= 1 and max(map(len, entry)) <= width, (name, entry)
            assert "`" not in "".join(entry) and "-----" not in "".join(entry), name


WORDS = [
    (
        "dreg",
        "doubly reparameterized (dreg): an estimator",
        "v_k^2 d log w(z_k)/dz_k",
        "Fails where z has no path",
    ),
    ("REINFORCE", "REINFORCE (score-function): an estimator", "Williams 1992", "sigmoid-belief"),
    ("pca", "probabilistic PCA (ppca): a model", "W W^T + Psi", "fitted by"),
    ("snr", "norm of the expected estimate", "every key of a row"),
    ("ELBO", "ELBO. The evidence lower bound", "KL(q || p_theta(z | x))", "energy + entropy"),
    ("surprisal", "Surprisal is -log p(x)"),
    ("grad-phi-iwae-10", "grad-phi-iwae, a target", "estimated by", "vimco, "),
    ("dlgm", "Gaussian VAE (deep-gaussian): a model", "variants fixed, learned, full"),
    ("deep-gaussian:fixed", "variants fixed usual data"),
    ("svi", "a method of fit", "logistic-regression"),
    ("vlb", "variational lower bound (VLB)"),
    ("sticking the landing", "sticking the landing: an estimator"),
    ("geyser", "Old Faithful (faithful): a data set"),
]


@pytest.mark.parametrize("word, parts", [(word, parts) for word, *parts in WORDS])
def test_an_entry_says_what_a_textbook_says(word, parts, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    text = " ".join(told(capsys, "explain", *word.split()).split())
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize("held", [ESTIMATORS, MODELS], ids=["estimators", "models"])
def test_everything_says_when_it_helps_when_it_fails_and_where_it_is_from(held):
    for name, one in held.built_in.items():
        kind = one if isinstance(one, type) else type(one)
        text = f"{inspect.getdoc(kind)}\n{inspect.getdoc(sys.modules[kind.__module__])}"
        assert re.search(r"\b[Hh]elps\b", text) and re.search(r"\b([Ff]ails|[Hh]urts)\b", text), name
        assert name.startswith("exact") or re.search(r"\b(18|19|20)\d\d\b", text), name


def test_where_an_estimator_runs_is_what_it_says_itself(capsys):
    text = " ".join(told(capsys, "explain", "dreg").split())
    runs = text.partition("runs on ")[2].partition(" not on ")[0].split(", ")
    compared = {model.name: model for model in small_models() if model.compared}
    applicable = {name for name, model in compared.items() if refusal(ESTIMATORS["dreg"], model) is None}
    assert set(runs) == applicable and 0 < len(applicable) < len(compared)
    assert "gaussian-mixture: categorical z has no pathwise derivative" in text


@pytest.mark.parametrize("word", ["dregg", "reinforse", "qqqq", "a,b", "elbo:nothing", " "])
def test_an_unknown_word_is_one_line(word, capsys):
    assert main(["explain", word]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("elbo-lab: error: word: expected ") and err.count("\n") == 1
    assert len(err) < 300 and ("did you mean" in err) == (word in ("dregg", "reinforse"))


@pytest.fixture(scope="module")
def run():
    return compare("ppca", estimators=["rloo", "exact"], rows=3, repeats=4, threads=1)


def test_the_row_of_a_run_is_shown(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run.to_json(tmp_path / "a.json")
    (row,) = [row for row in run.rows if row["estimator"] == "score-function-loo"]
    line = f"ppca, grad-phi-elbo, score-function-loo: variance {row['variance']:.3g}"
    ending = f" (95 %: {row['variance_low']:.3g} to {row['variance_high']:.3g}), {verdict(row)}"
    assert row["bias_verdict"] == "blind" and " < " in verdict(row), "the table and the entry say the same"
    assert "last run" not in told(capsys, "explain", "rloo")
    for word in ("rloo", "ppca"):
        shown = " ".join(told(capsys, "explain", word, "--json", "a.json").split())
        assert line in shown and ending in shown
    run.report("elbo-lab-report")
    assert line in " ".join(told(capsys, "explain", "rloo").split())
    (tmp_path / "b.json").write_text(json.dumps({}))
    assert main(["explain", "rloo", "--json", "b.json"]) == 2
    assert capsys.readouterr().err.startswith("elbo-lab: error: --json: expected a JSON file")


def test_of_a_run_with_many_rows_the_first_are_shown_and_the_others_counted(run):
    (row,) = [row for row in run.rows if row["estimator"] == "score-function-loo"]
    lines = in_words([{**row, "estimator": f"number-{i}"} for i in range(MOST + 3)])
    assert len(lines) == MOST + 1 and lines[-1] == "and 3 more rows"
    assert "number-0" in lines[0] and len(in_words([row] * MOST)) == MOST


def test_an_entry_counts_what_an_estimate_costs(capsys):
    text = told(capsys, "explain", "measure-valued")
    # 3 K + 1 evaluations a draw (Mohamed et al. 2020).
    assert "100 evaluations of the model for S = 10 draws, K = 3" in " ".join(text.split())


def test_a_model_names_the_gradients_that_run_on_it_and_no_other():
    (lines,) = explain.explained("ppca", [], 80)
    named = " ".join(lines).partition("gradients in phi")[2].replace(",", "").split()
    assert "reparameterization" in named and not {"rebar-0.5", "arm", "enumeration"} & set(named)


DAMAGES = {
    "no rows": lambda row: row.clear(),
    "words for numbers": lambda row: row.update(variance="a", variance_low="b"),
    "one end of an interval": lambda row: row.update(variance_high=None),
    "lists for names": lambda row: row.update(estimator=[1], model={}, variant=[2]),
    "no rung at all": lambda row: row.pop("variance"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_report_is_no_last_run(damage, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content = json.loads(run.to_json())
    for row in content["rows"]:
        DAMAGES[damage](row)
    (tmp_path / "elbo-lab-report").mkdir()
    page = tmp_path / "elbo-lab-report" / "index.html"
    page.write_text(f'<pre id="file-1">{json.dumps(content)}</pre>')
    for word in ("rloo", "ppca"):
        assert "last run" not in told(capsys, "explain", word)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
def test_a_pipe_or_a_device_in_place_of_the_report_is_not_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elbo-lab-report").mkdir()
    page = tmp_path / "elbo-lab-report" / "index.html"
    os.mkfifo(page)
    assert "last run" not in told(capsys, "explain", "rloo")
    page.unlink()
    page.symlink_to("/dev/zero")
    assert "last run" not in told(capsys, "explain", "rloo")


def test_a_formula_keeps_its_lines_and_breaks_where_it_must():
    text = "One\nline.\n\n    a = b + c,   dd = e\n    f   what it is\n\nParameters\n----------\nx : int"
    assert folded(text, 80) == ["One line.", "", "    a = b + c,   dd = e", "    f   what it is"]
    assert folded(text, 17)[2:] == ["    a = b + c,", "        dd = e", "    f   what it", "        is"]
    assert folded("    long = formula", 17) == ["    long", "        = formula"]
    assert folded("It is *so*. Helps: a. Fails: b.", 80) == ["It is so.", "", "Helps: a.", "", "Fails: b."]


def test_the_glossary_becomes_plain_text():
    every = entries()
    assert len(every) > 150 and not [text for _, text in every if re.search(r"[\\$`]|\*\*", text)]
    assert (
        plain(r"$\mathrm{E}_q[\log w] \le \tfrac1K \sum_k$ in [x](y.md#z)") == "E_q[log w] <= 1/K sum_k in x"
    )


SCREEN_WORDS = [
    *(
        "estimator",
        "model",
        "K",
        "S",
        "datum",
        "signal",
        "work",
        "gap",
        "exact norm",
        "log p(x)",
        "near best",
    ),
    *(
        "95 % int.",
        "effic.",
        "efficiency",
        "evaluations",
        "time",
        "K = 10",
        "blind < 200 %",
        "ok < 0.01 nats",
    ),
    *("ok", "blind", "blind (block)", "blind (reference)", "exact", "FAIL", "biased"),
    *("beats", "loses", "undecided", "bias A", "bias B", "variance B/A", "time B/A"),
    *("draws from the prior", "draws from q", "active latent units", "prior sampling", "signal / noise"),
]


def test_every_word_of_a_screen_is_explained():
    heads = [column.title for column in COLUMNS]
    heads += [*ratios.TITLES, *power.TITLES, *draws.TITLES, *advice.SHORT.values()]
    heads += [
        title.format(of_nll="", these=" of these", of_samples="", of_annealed="", bound="")
        for title in numbers.TITLES.values()
    ]
    heads[heads.index("log p(x) of these, sampled")] = "log p(x), sampled"
    places = [form for place, words in WHERE.items() for form in (place, words)]
    kinds = [form for one in POSTERIORS for form in (one.name, f"posterior {one.name}")]
    for word in [*SCREEN_WORDS, *heads, *places, *kinds]:
        entry = " ".join(line for lines in explain.explained(word, [], 80) for line in lines)
        assert len(entry) > len(word) + 10, word


@pytest.mark.parametrize("word, meant", [("blnd", "'blind'"), ("verdct", "'verdict'")])
def test_a_word_of_a_screen_that_is_misspelt_is_named_without_a_number(word, meant, capsys):
    assert main(["explain", word]) == 2
    assert f"did you mean {meant.lower()}" in capsys.readouterr().err.lower()


# -- list ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_is_short_and_whole(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    text = told(capsys, "list")
    lines = text.splitlines()
    names = {name.strip() for line in lines if line.startswith("  ") for name in line.split(",")}
    assert {name.partition(":")[0] if "exact" in name else name for name in ESTIMATORS.built_in} <= names
    assert {"gaussian-mixture:full", "free", "sobol", "faithful", "digits", "gamma"} <= names
    assert len(lines) < 70 and max(map(len, lines)) <= width


@pytest.mark.parametrize("kind", ["models", "estimator", "data", "datasets", "methods", "noise", "families"])
def test_one_kind_has_a_line_each(kind, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    text = told(capsys, "list", kind)
    assert max(map(len, text.splitlines())) <= 80 and text.count("\n") > 3


def test_lines_have_titles_and_synonyms(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    assert "[REINFORCE, leave-one-out; rloo; loo;" in told(capsys, "list", "estimators")
    assert (
        "ppca                         z ~ N(0, I), x | z ~ N(W z + b, sigma^2 I) [probabilistic PCA; pca]"
        in told(capsys, "list", "models")
    )


def listed(text):
    return re.findall(r"^  (\S+)  ", text, re.MULTILINE)


@pytest.mark.parametrize("model", ["ppca", "gmm", "sigmoid-belief", "vae"])
def test_the_estimators_of_a_model_are_those_that_apply(model, capsys):
    names = listed(told(capsys, "list", "estimators", "--model", model, "--target", "grad-phi-elbo"))
    built = next(one for one in small_models() if isinstance(one, MODELS[model]))
    every = [one for one in ESTIMATORS.values() if one.target == "grad-phi-elbo"]
    assert names == [one.name for one in every if refusal(one, built) is None]
    assert ("reparameterization" in names) == (not built.family.discrete) and "score-function" in names


@pytest.mark.parametrize(
    "arguments, line",
    [
        ("x", "kind: expected one of models"),
        ("estimators --model ppcaa", "--model: expected a known name, got 'ppcaa'; did you mean 'ppca'?"),
        ("--target elbow", "--target: expected"),
        ("models --model ppca", "--model: expected no value beside models, got 'ppca'"),
        ("--model logistic-regression --target grad-theta-elbo", "--target: expected one that logistic"),
    ],
)
def test_a_mistake_in_a_filter_is_one_line(arguments, line, capsys):
    assert main(["list", *arguments.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"elbo-lab: error: {line}") and err.count("\n") == 1


# -- elbo-lab alone, and what may be loaded --------------------------------------------------------


def test_alone_it_greets_and_what_it_names_exists(capsys):
    text = told(capsys)
    assert len(text.splitlines()) <= 12 and max(map(len, text.splitlines())) <= 80
    commands = re.findall(r"^  elbo-lab ((?:\S+ )+) ", text, re.MULTILINE)
    parsed = [build_parser().parse_args(command.split()) for command in commands]
    assert [one.command for one in parsed] == ["compare", "explain", "demo"]
    assert commands[0].split() == ["compare"], "the first command of the README and of --help too"


HEAVY = [
    "matplotlib",
    "numba",
    "rich",
    "jinja2",
    "scipy.stats",
    "scipy.optimize",
    "scipy.sparse",
    "pandas",
    "joblib",
]


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["list"], ["list", "models"], ["explain", "dreg"], ["demo"]]
)
def test_nothing_heavy_is_loaded_for_what_is_only_read(arguments):
    code = (
        "import sys; from elbo_lab.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print('loaded', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.splitlines()[-1].split() == ["loaded"]


def test_a_word_for_several_estimators_tells_their_bias_apart(capsys):
    shown = told(capsys, "explain", "OVIS~")
    assert "none (ovis-tilde-0), yes (ovis-tilde-1)" in shown
    assert shown.count("(grad-phi-iwae)") == 1
