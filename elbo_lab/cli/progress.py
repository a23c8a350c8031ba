"""Progress bars on standard error (rich)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from elbo_lab.cli.screen import Screen

if TYPE_CHECKING:
    from elbo_lab.fitting.jobs import Job

REDRAW = 0.2
"""Seconds between two drawings of the training bar: a step takes milliseconds."""


def _bar(before: str, *after: str) -> Progress:
    """Return a bar between texts; disabled off a terminal, where rich would leave an empty line behind."""
    columns = (TextColumn(before), BarColumn(), *map(TextColumn, after))
    console = Screen(stderr=True)
    return Progress(
        *columns,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """Yield progress(done, total, what): one line for each `what`."""
    tasks: dict[str, TaskID] = {}
    with _bar("{task.description:<24}", "{task.completed}/{task.total}") as bar:

        def progress(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield progress


@contextmanager
def training_bar() -> Iterator[Callable[["Job", float], None]]:
    """Yield show(job, now): a bar with the present bound, the rate, and the time left."""
    drawn: float | None = None
    begun = (0.0, 0.0)
    with _bar("{task.fields[place]}", "{task.fields[bound]}", "{task.fields[rate]}") as bar:
        task = bar.add_task("", total=None, place="", bound="", rate="")

        def show(job: "Job", now: float) -> None:
            nonlocal drawn, begun
            if bar.disable or (drawn is not None and now - drawn < REDRAW):
                return
            done, total, unit, value = job.progress
            if drawn is None:
                begun = (now, done)
            drawn = now
            seconds, rows = now - begun[0], (done - begun[1]) * job.rows_per_unit
            rate = f"{rows / seconds:,.0f} rows/s" if seconds > 0 and rows > 0 else ""
            bound = "" if value is None else f"{value:.4g} nats per datum"
            place = f"{unit} {done:.1f}/{total}" if unit == "epochs" else f"{unit} {done}/{total}"
            bar.update(task, completed=done, total=total, place=place, bound=bound, rate=rate)

        yield show
