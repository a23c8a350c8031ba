"""A training kept on its way: every so many epochs a checkpoint of its own, all in one folder.

    epoch-0000.npz   the start
    epoch-0005.npz   after 5 epochs, and so on with `keep_every=5`
    epoch-0012.npz   the end, wherever it is

Each file is a checkpoint like any other: `evaluate`, `sample`, `encode` and `compare(at=...)` read it, and a
fit is resumed from it. No file is written twice. A resumed fit continues the series.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from elbo_lab.errors import bad_value, check_count
from elbo_lab.files import StrPath, check_folder_writable, sole_writer
from elbo_lab.fitting.checkpoints import Checkpoint, save_job
from elbo_lab.fitting.jobs import Arrays, Header, Job, TrainingJob

FILE = re.compile(r"epoch-(\d{4,})\.npz")
# The entries of a header: where a fit keeps checkpoints, and the mark of one that is kept.
KEEP, KEPT = "keep", "kept"


def kept_files(folder: StrPath) -> dict[int, Path]:
    """Return {epoch: file} of the kept checkpoints in a folder, in the order of the epochs."""
    place = Path(folder)
    names = [path.name for path in place.iterdir()] if place.is_dir() else []
    found = {int(match[1]): place / match[0] for match in map(FILE.fullmatch, names) if match}
    return dict(sorted(found.items()))


class Series(NamedTuple):
    """Where checkpoints are kept, as an absolute path, and the epochs between two of them."""

    folder: str
    every: int


def series_of(keep: StrPath | None, keep_every: int | None, earlier: Checkpoint | None) -> Series | None:
    """Return the series that the options of `fit` ask for, or that of the resumed fit; None without one."""
    if keep_every is not None:
        check_count("keep_every", keep_every)
    stored = {} if earlier is None else earlier.header.get(KEEP, {})
    folder = stored.get("folder") if keep is None else os.path.abspath(keep)
    every = stored.get("every") if keep_every is None else keep_every
    if folder is None and every is None:
        return None
    if folder is None:
        raise bad_value("keep_every", "a folder beside it", keep_every, "name it with keep (--keep)")
    if every is None:
        remedy = "give keep_every (--keep-every)"
        raise bad_value("keep", "the epochs between two checkpoints beside it", repr(str(keep)), remedy)
    return Series(folder, every)


class Keeper:
    """Keeps a checkpoint of a training at its start, after every so many epochs, and at its end.

    Parameters
    ----------
    series : Series
        The folder is created when the training starts.
    job : TrainingJob
    header : dict
        Further entries of the header of each file.
    arrays : dict of ndarray
        Further arrays.
    """

    def __init__(self, series: Series, job: TrainingJob, header: Header, arrays: Arrays) -> None:
        self.folder, self.every, self.job = Path(series.folder), series.every, job
        self.header, self.arrays = {**header, KEPT: True}, arrays

    def check(self, earlier: Checkpoint | None, checkpoint: StrPath | None) -> None:
        """Refuse a folder with files that this training would write, or that are of another fit.

        Parameters
        ----------
        earlier : Checkpoint or None
            The one from which the fit is resumed.
        checkpoint : path or None
            The file of the present state.
        """
        folder, files = str(self.folder), kept_files(self.folder)
        check_folder_writable("keep", folder)
        if checkpoint is not None and FILE.fullmatch(Path(checkpoint).name):
            if Path(checkpoint).resolve().parent == self.folder.resolve():
                got = f"{str(checkpoint)!r} in the folder of kept ones"
                raise bad_value("checkpoint", "a file of its own", got, "name another")
        if not files:
            return
        last, path = max(files.items())
        if earlier is None:
            got = f"{folder!r}, which holds {path.name}"
            raise bad_value("keep", "a folder without kept checkpoints", got, "name a new folder")
        done = self.job.training.epoch
        if last > done:
            got = f"{folder!r} with {path.name}, and the fit goes on after epoch {done}"
            raise bad_value("keep", "no later checkpoint than the resumed one", got, "name a new folder")
        newest = Checkpoint.load(path, "keep").header
        ends = [{**one["settings"], "epochs": None} for one in (newest, earlier.header)]
        if ends[0] != ends[1] or newest["data"]["sha256"] != earlier.header["data"]["sha256"]:
            got = f"{str(path)!r} of another fit"
            raise bad_value("keep", "the kept checkpoints of this fit", got, "name a new folder")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Create the folder, and let no other run keep its checkpoints there as long as this lasts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with sole_writer("keep", self.folder / "epoch"):
            yield

    def tick(self) -> None:
        """Keep the present state, if it is at the end of an epoch that is due and not kept yet."""
        training = self.job.training
        due = training.epoch % self.every == 0 or training.finished
        if training.rows_seen or not due:
            return
        path = self.folder / f"epoch-{training.epoch:04d}.npz"
        if not path.exists():
            save_job(path, self.job, self.header, self.arrays)


def check_resumed(earlier: Checkpoint, checkpoint: StrPath | None) -> None:
    """Refuse to go on in a kept file, which holds the state of its epoch for good."""
    if earlier.header.get(KEPT) and checkpoint is not None and Path(checkpoint) == Path(earlier.path):
        got = f"{str(checkpoint)!r}, which is a kept checkpoint"
        raise bad_value("resume", "a checkpoint that may move on", got, "name a new file with --checkpoint")


def check_job(job: Job, method: str, series: Series) -> TrainingJob:
    """Return the job if it has epochs, else raise ValueError."""
    if isinstance(job, TrainingJob):
        return job
    expected = f"no value with method {method}, which has no epochs"
    raise bad_value("keep_every", expected, series.every, "use a method of steps, such as vae")
