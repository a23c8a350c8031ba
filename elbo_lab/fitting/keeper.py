"""When a checkpoint is written: after every epoch, and at least every ten seconds."""

import time

from elbo_lab.training.checkpoint import save_checkpoint

INTERVAL = 10.0


class Keeper:
    """Writes the state of a job to one file.

    Parameters
    ----------
    path : str, path or None
        None keeps nothing.
    job : Job
    header : dict
        What stands in front of the job's own state.
    """

    def __init__(self, path, job, header):
        self.path, self.job, self.header = path, job, header
        self.saved_at, self.saved_milestone = time.monotonic(), job.milestone

    def tick(self):
        """Save if an epoch has ended since the last time, or ten seconds have passed."""
        if self.path is None:
            return
        due = self.job.milestone != self.saved_milestone or time.monotonic() - self.saved_at >= INTERVAL
        if due:
            self.save()

    def save(self):
        """Save now; a state that is no good (see `Job.check`) raises and leaves the older file."""
        self.job.check()
        if self.path is None:
            return
        header, arrays = self.job.state()
        outcome = self.job.vectors()
        named = {f"result.{name}": vector for name, vector in outcome.items()}
        named |= {f"job.{name}": array for name, array in arrays.items()}
        save_checkpoint(self.path, {**self.header, "job": header}, named)
        self.saved_at, self.saved_milestone = time.monotonic(), self.job.milestone
