"""Every demo runs to its end, where it asserts its own claim."""

import ast
import json
import re
import runpy
from pathlib import Path

import pytest
from other_process import run_python

from elbo_lab.cli.notebooks import notebook_of, to_latex

DEMOS = sorted((Path(__file__).parents[1] / "demos").rglob("[!_]*.py"))


def test_there_are_demos():
    assert DEMOS


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_demo_runs_and_keeps_its_promise(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ELBO_LAB_QUICK", "1")
    monkeypatch.delenv("ELBO_LAB_OUT", raising=False)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
    assert list((tmp_path / "elbo-lab-figures").glob("*.png"))


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_demo_has_cells_and_names_its_source(path):
    text = path.read_text(encoding="utf-8")
    assert len(re.findall(r"^# %%", text, re.MULTILINE)) >= 4
    for word in ("Claim.", "Formula", "Source:", "Expected time:"):
        assert word in text, word
    assert re.search(r"^assert |^    assert ", text.split("# %%")[-1], re.MULTILINE)


# -- as notebooks ----------------------------------------------------------------------------------

SCRIPTS = [path for path in DEMOS if path.parent.name == "demos"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_demo_is_a_notebook_with_its_formulas_and_figures(path):
    script = path.read_text(encoding="utf-8")
    notebook = json.loads(notebook_of(script))
    texts = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert texts[0].startswith("# ") and "$$\n\\begin{array}" in texts[0]
    assert "import elbo_lab" in texts[1] and "git clone" in texts[1]
    code = [text for cell, text in zip(notebook["cells"], texts, strict=True) if cell["cell_type"] == "code"]
    assert sum(text.count("display(") for text in code) == script.count("save_figure(") > 0
    assert "ELBO_LAB_OUT" not in "".join(texts).replace("\\", "") and "figure_folder()" not in "".join(texts)
    # Every line of code but the first cell and the figures is that of the script.
    lines = {line.strip() for line in script.splitlines()}
    copied = (line.strip() for text in code[1:] for line in text.splitlines())
    shown = ("display(", "print(caption)")
    assert all(line in lines for line in copied if not line.startswith(shown))
    for cell in code:
        ast.parse(cell)


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("log p(x) = KL(q || p(z | x))", r"\log  p(x) = \mathrm{KL}(q \,\|\, p(z\mid x))"),
        ("h = n^(-1/(d + 4))", r"h = n^{-1/(d + 4)}"),
        ("sum_k s_k^2 >= mu_c", r"\sum _{k} s_{k}^{2} \ge  \mu _{c}"),
        ("E_q[f] -> infinity", r"\mathrm{E} _{q}[f] \to  \infty "),
        ("theta_{i-1}, xbar, y~, q* = 0", r"\theta _{i-1}, \bar{x}, \tilde{y}, q^* = 0"),
        ("x ~ N(0, I)", r"x\sim \mathcal{N}(0, I)"),
        ("uses the size of f", r"\text{uses the size of f}"),
        ("E-step", r"\text{E-step}"),
        ("d/d eta dz/dlog s = 1", r"d/d \eta  dz/d\log  s = 1"),
    ],
)
def test_a_formula_in_plain_letters_has_its_latex(plain, latex):
    assert to_latex(plain).replace(" ", "") == latex.replace(" ", "")


RUN = """
import sys, nbformat, nbclient, jupyter_client
notebook = nbformat.read("demo.ipynb", 4)
nbformat.validate(notebook)
manager = jupyter_client.AsyncKernelManager()
manager.kernel_spec.argv[0] = sys.executable  # whatever kernel the machine has
nbclient.NotebookClient(notebook, km=manager).execute()
shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
print(sum("image/png" in data for data in shown))
"""


@pytest.mark.parametrize("number", [0, 2])
def test_a_notebook_runs_and_shows_its_figure(number, tmp_path):
    for name in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(name)
    script = SCRIPTS[number].read_text(encoding="utf-8")
    (tmp_path / "demo.ipynb").write_text(notebook_of(script), encoding="utf-8")
    done = run_python("-c", RUN, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["demo.ipynb"]


def test_a_notebook_without_the_package_says_how_to_install_it(tmp_path):
    cell = "".join(json.loads(notebook_of(SCRIPTS[0].read_text(encoding="utf-8")))["cells"][1]["source"])
    (tmp_path / "elbo_lab.py").write_text("raise ImportError", encoding="utf-8")
    done = run_python("-c", cell, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "git clone <repository>" in done.stdout and "-m pip install ." in done.stdout


def test_the_exercise_does_not_tell_its_answer():
    (path,) = (path for path in DEMOS if path.stem == "17_find_the_biased_estimator")
    _, after_the_candidates = path.read_text(encoding="utf-8").split("CANDIDATES = [")
    assert "candidate-" not in after_the_candidates
