"""Every demo runs to its end, where it asserts its own claim."""

import re
import runpy
from pathlib import Path

import pytest

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
