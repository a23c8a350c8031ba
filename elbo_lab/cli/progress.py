"""A progress bar on standard error, one line per step (rich)."""

from contextlib import contextmanager


@contextmanager
def progress_bar():
    """Yield progress(done, total, what); nothing is drawn when standard error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks, console = {}, Console(stderr=True)
    # Where nobody watches, rich would still leave an empty line behind.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def progress(done, total, what):
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield progress


# Seconds between two drawings of the training bar: a step takes milliseconds.
REDRAW = 0.2


@contextmanager
def training_bar():
    """Yield show(job, now): a bar with the present bound, the rate, and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[place]}"),
        BarColumn(),
        TextColumn("{task.fields[bound]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    drawn = {"at": 0.0, "begun": None}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, place="", bound="", rate="")

        def show(job, now):
            if now - drawn["at"] < REDRAW or not console.is_terminal:
                return
            done, total, unit, value = job.progress
            if drawn["begun"] is None:
                drawn["begun"] = (now, done)
            seconds, units = now - drawn["begun"][0], done - drawn["begun"][1]
            rows = units * job.rows_per_unit
            rate = f"{rows / seconds:,.0f} rows/s" if seconds > 0 and rows > 0 else ""
            bound = "" if value is None else f"{value:.4g} nats per datum"
            place = f"{unit} {done:.1f}/{total}" if unit == "epochs" else f"{unit} {done}/{total}"
            bar.update(task, completed=done, total=total, place=place, bound=bound, rate=rate)
            drawn["at"] = now

        yield show
