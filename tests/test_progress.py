"""Bars: where they show, after how long, and what is left of them."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from elbo_lab import advise, check_unbiased, compare, evaluate, fit
from elbo_lab import progress as module
from elbo_lab.progress import followed


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Let a second pass with every look at the clock."""
    now = iter(range(10**6))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(now)))


def work(progress=None, **options):
    with followed(progress, **options) as tell:
        for done in range(4):
            tell(done, 3, "steps: at 7")


@pytest.mark.usefixtures("clock")
def test_a_terminal_has_a_bar_that_goes(monkeypatch):
    sheet = Terminal()
    monkeypatch.setattr(sys, "stderr", sheet)
    monkeypatch.setenv("TERM", "xterm")
    work()
    text = sheet.getvalue()
    assert "steps" in text and "3/3" in text and "at 7" in text
    assert text.endswith("\x1b[2K")  # the line of the bar is erased


@pytest.mark.usefixtures("clock")
def test_nothing_is_shown_off_a_terminal_unless_lines_are_asked_for(capsys):
    work()
    assert capsys.readouterr() == ("", "")
    work(lines=True)
    assert capsys.readouterr() == ("", "steps 0/3 at 7\nsteps 3/3 at 7\n")
    work(False, lines=True)
    assert capsys.readouterr() == ("", "")


def test_what_takes_less_than_a_second_shows_nothing(monkeypatch, capsys):
    work(lines=True)
    sheet = Terminal()
    monkeypatch.setattr(sys, "stderr", sheet)
    work()
    assert sheet.getvalue() == capsys.readouterr().err == ""


@pytest.mark.usefixtures("clock")
def test_a_notebook_has_one_output_that_is_drawn_anew_and_emptied(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []
    handle = SimpleNamespace(update=lambda data, raw: shown.append(data["text/html"]))  # noqa: ARG005

    def show(data, raw, display_id):
        assert raw and display_id
        shown.append(data["text/html"])
        return handle

    monkeypatch.setattr(display, "display", show)
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=None))
    work()
    assert shown[0].startswith('<progress value="0" max="3"></progress> steps 0/3')
    assert '<progress value="3"' in shown[-2] and shown[-1] == ""


def test_all_long_work_tells_a_function_the_same_way(tmp_path):
    told = {}

    def listen(name):
        return lambda done, total, step: told.setdefault(name, []).append((done, total, step))

    small = {"rows": 4, "repeats": 20, "threads": 1}
    x = np.random.default_rng(0).standard_normal((20, 3))
    compare("ppca", estimators="elbo-sampled", progress=listen("compare"), **small)
    advise("gaussian-mle", progress=listen("advise"), **small)
    path, networks = tmp_path / "a.npz", {"hidden": (3,), "latent": 1}
    fit("deep-gaussian", x, **networks, epochs=2, checkpoint=path, progress=listen("fit"))
    evaluate(path, x, importance_samples=10, progress=listen("evaluate"))
    check_unbiased("reparameterization", "gaussian-mle", progress=listen("check"))
    assert list(told) == ["compare", "advise", "fit", "evaluate", "check"]
    for calls in told.values():
        assert all(0 <= done <= total and step for done, total, step in calls)
    assert told["fit"][-1][:2] == (2, 2) and told["fit"][-1][2].startswith("epochs: -")
    with pytest.raises(TypeError, match="progress: expected a function or True or False or None, got 'yes'"):
        compare("ppca", progress="yes")
