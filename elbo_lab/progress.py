"""How far long work is: a bar that shows itself, or a function of the caller's.

The bar stands on standard error if that is a terminal, or below the cell of a notebook, and goes when the
work is done. What takes less than a second shows none.
"""

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[float, float, str], object]
"""progress(done, total, step); after a colon a step may say how it stands, as in 'epochs: -17.3 nats'."""

PATIENCE = 1.0
"""Seconds before anything is shown."""
REDRAW = 0.2
LINE = 5.0
"""Seconds between two drawings of a bar, and between two lines on one step where there is no bar."""
NARROWEST, USUAL = 20, 80


class Screen(Protocol):
    """What shows how far the steps are."""

    def show(self, step: str, done: float, total: float, detail: str) -> None:
        """Show one step as it is now."""

    def close(self) -> None:
        """Take the bars away."""


@contextmanager
def followed(progress: Progress | bool | None, lines: bool = False) -> Iterator[Progress]:
    """Yield progress(done, total, step).

    Parameters
    ----------
    progress : callable, bool or None
        A function is handed on as it is. None or True: a bar for each step on a terminal or in a notebook.
        False: nothing.
    lines : bool
        Whether lines on standard error tell what a bar would where there is none.
    """
    if callable(progress):
        yield progress
        return
    screen = None if progress is False else _screen(lines)
    begun = time.monotonic()
    drawn: dict[str, float] = {}

    def tell(done: float, total: float, step: str) -> None:
        now = time.monotonic()
        step, _, detail = step.partition(": ")
        if screen is not None and now - begun >= PATIENCE and now - drawn.get(step, 0.0) >= REDRAW:
            drawn[step] = now
            screen.show(step, done, total, detail)

    try:
        yield tell
    finally:
        if screen is not None:
            screen.close()


def _screen(lines: bool) -> Screen | None:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if hasattr(shell, "kernel"):
        return _Notebook()
    from rich.console import Console  # after the arguments of long work were found right

    console = Console(stderr=True, force_jupyter=False)
    if console.is_terminal:
        return _Terminal(console)
    return _Lines() if lines else None


def _count(done: float, total: float) -> str:
    """Return '3/10', or '3.4/10' within a unit."""
    return f"{done:.1f}/{total}" if isinstance(done, float) else f"{done}/{total}"


class _Terminal:
    """Bars of rich."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        if console.width < NARROWEST:  # that of no terminal
            console.width = USUAL
        texts = "{task.description:<24}", "{task.fields[count]}", "{task.fields[detail]}"
        before, *after = map(TextColumn, texts)
        columns = before, BarColumn(), *after, TimeElapsedColumn(), TimeRemainingColumn()
        self.bars = Bars(*columns, console=console, transient=True)
        self.tasks: dict[str, Any] = {}

    def show(self, step: str, done: float, total: float, detail: str) -> None:
        count = _count(done, total)
        if step not in self.tasks:
            self.bars.start()
            self.tasks[step] = self.bars.add_task(step, total=total, count=count, detail=detail)
        self.bars.update(self.tasks[step], completed=done, count=count, detail=detail)

    def close(self) -> None:
        self.bars.stop()


class _Notebook:
    """One output that is drawn anew: it needs no widgets."""

    def __init__(self) -> None:
        self.steps: dict[str, str] = {}
        self.handle: Any = None

    def show(self, step: str, done: float, total: float, detail: str) -> None:
        words = html.escape(f"{step} {_count(done, total)} {detail}")
        self.steps[step] = f'<progress value="{done}" max="{total}"></progress> {words}'
        self._draw("<br>".join(self.steps.values()))

    def _draw(self, text: str) -> None:
        data = {"text/html": text, "text/plain": ""}
        if self.handle is None:
            # No dependency: whoever is in a notebook has it.
            display = import_module("IPython.display").display
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)

    def close(self) -> None:
        if self.handle is not None:
            self._draw("")


class _Lines:
    """A line when a step begins, and every few seconds."""

    def __init__(self) -> None:
        self.step, self.told = "", 0.0

    def show(self, step: str, done: float, total: float, detail: str) -> None:
        now = time.monotonic()
        if step != self.step or now - self.told >= LINE:
            self.step, self.told = step, now
            print(f"{step} {_count(done, total)} {detail}".rstrip(), file=sys.stderr, flush=True)

    def close(self) -> None:
        pass
