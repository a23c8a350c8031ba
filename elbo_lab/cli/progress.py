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
