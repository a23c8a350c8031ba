"""A training in pieces: it goes on from its file, and leaves a file to go on from.

`fit` does this for the models and objectives that it knows by name. This is for a `Training` of any objective
and plan, put together by hand: the same state, the same file format, and a limit in seconds for machines that
cannot be had for a whole night. Pieces change no bit: the state holds the generators.
"""

import time
from pathlib import Path

from elbo_lab.errors import bad_value
from elbo_lab.fitting.jobs import TrainingJob
from elbo_lab.fitting.keeper import Keeper
from elbo_lab.fitting.result import plain
from elbo_lab.training.checkpoint import Parts, load_checkpoint


def shown(training):
    """Return what the newest row of a history says beside the counters."""
    counters = ("epoch", "step", "phase", "learning_rate")
    return [key for key in training.history[-1] if key not in counters]


def train_in_pieces(training, path, words, seconds=None, say=None):
    """Train on from the checkpoint at `path`, if there is one, to the end or for some seconds.

    Parameters
    ----------
    training : Training
        As it was built at first, but for its number of epochs.
    path : str or path
        Written after every epoch and every ten seconds; its folder is made where there is none.
    words : dict
        What makes this training what it is, in JSON values; it stands in the file, and must be the same
        in every piece.
    seconds : float, optional
        Stop after the minibatch in which they have passed.
    say : callable, optional
        Called with a line of text after every epoch, such as `print`.

    Returns
    -------
    bool
        Whether the training has come to its end.

    Raises
    ------
    ValueError
        If the file is damaged, or of another training.
    """
    job, begun, words = TrainingJob(training), time.monotonic(), plain(words)
    if Path(path).exists():
        header, arrays = load_checkpoint(path)
        if dict(header["settings"]) != words:
            different = [key for key, value in words.items() if header["settings"].get(key) != value]
            got = f"{str(path)!r} of another ({', '.join(different) or 'more words'})"
            raise bad_value("checkpoint", "one of this training", got, "remove it, or name another")
        own = {key.removeprefix("job."): a for key, a in arrays.items() if key.startswith("job.")}
        job.restore(header["job"], Parts(own, path, "checkpoint"))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(path, job, {"settings": words})

    def tick():
        ended = job.milestone != keeper.saved_milestone
        keeper.tick()
        if ended and say is not None:
            row = " ".join(f"{key} {training.history[-1][key]:.2f}" for key in shown(training))
            say(f"epoch {training.epoch} of {training.plan.epochs}: {row}")
        return seconds is not None and time.monotonic() - begun >= seconds

    job.run(tick)
    keeper.save()
    return job.finished
