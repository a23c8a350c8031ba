"""A job is a fit in progress: it runs, reports how far it is, and can be saved and restored.

The jobs of a single method stand beside it in `fitting.methods`; stochastic training, which several methods
share, stands here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.errors import Diverged, bad_value
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.priors import Prior
from elbo_lab.threads import single_threaded_blas
from elbo_lab.training import Training, VariationalObjective

Arrays = dict[str, NDArray[Any]]
Header = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    vectors : dict of ndarray
        "theta", and "phi" where there is one.
    history : list of dict
    converged : bool or None
        None where convergence is not judged (stochastic training).
    stopped : str
        Why it stopped, in words.
    extra : dict
        Closing numbers of this kind of job alone.
    warnings : tuple of str
    """

    vectors: dict[str, Floats]
    history: list[Row]
    converged: bool | None
    stopped: str
    warnings: tuple[str, ...] = ()
    extra: Row = field(default_factory=dict)


class Job(ABC):
    """Contract of all jobs."""

    @abstractmethod
    def run(self, tick: Callable[[], bool]) -> None:
        """Run to the end, or until `tick()` returns True after a step."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether the job has reached its end."""

    @property
    @abstractmethod
    def progress(self) -> tuple[float, float, str, float | None]:
        """(done, total, unit, value): value is the present bound in nats per datum, or None."""

    @property
    @abstractmethod
    def milestone(self) -> int:
        """A number that changes when the state should be saved at once."""

    @abstractmethod
    def vectors(self) -> dict[str, Floats]:
        """Return {'theta': ..., 'phi': ...}, the best parameters so far."""

    @abstractmethod
    def state(self) -> tuple[Header, Arrays]:
        """Return (header, arrays)."""

    @abstractmethod
    def restore(self, header: Header, arrays: Arrays) -> None:
        """Resume from a state."""

    @abstractmethod
    def outcome(self) -> Outcome:
        """Return the Outcome."""

    def check(self) -> None:  # noqa: B027 - most states cannot be bad
        """Raise Diverged if the present state has diverged."""


class Rows(NamedTuple):
    """The data of a fit.

    Attributes
    ----------
    name : str
        Name of the data: a data set with its view, a path as given, or 'array'.
    train : Dataset
    held_out : Dataset or None
    """

    name: str
    train: Dataset
    held_out: Dataset | None


class Task(NamedTuple):
    """A fit that is ready to run.

    Attributes
    ----------
    model : Model
    posterior : Posterior or None
        None where the method has no variational q.
    settings : dict
    job : Job
    gap_rows : ndarray (N, D) or None
        The training rows on which the gap is recorded.
    prior : Prior or None
        Over theta, in a MAP fit.
    objective : VariationalObjective or None
        What the training of a model with a q of its rows follows.
    """

    model: Model
    posterior: Posterior | None
    settings: dict[str, Any]
    job: Job
    gap_rows: Floats | None = None
    prior: Prior | None = None
    objective: VariationalObjective | None = None


def check_epochs(done: int, asked: int) -> None:
    """Refuse fewer epochs than a checkpoint has done."""
    if done > asked:
        raise bad_value("epochs", f"at least the {done} that the checkpoint has done", asked)


class TrainingJob(Job):
    """Stochastic ascent of an objective."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def run(self, tick: Callable[[], bool]) -> None:
        self.training.run(after_minibatch=lambda _: tick())

    @property
    def finished(self) -> bool:
        return self.training.finished

    @property
    def progress(self) -> tuple[float, float, str, float | None]:
        t = self.training
        part = t.minibatches.position / t.minibatches.n_rows if t.rows_seen else 0.0
        value = t.running_value if t.rows_seen else t.last_value
        return t.epoch + min(part, 1.0), t.plan.epochs, "epochs", value

    @property
    def milestone(self) -> int:
        return self.training.epoch

    def vectors(self) -> dict[str, Floats]:
        return self.training.result

    def state(self) -> tuple[Header, Arrays]:
        return self.training.state()

    def restore(self, header: Header, arrays: Arrays) -> None:
        done = header["epoch"]  # the error of a missing one names the file
        self.training.restore(header, arrays)
        check_epochs(done, self.training.plan.epochs)

    def check(self) -> None:
        """Check the value at the present parameters too: the trainer's is that before its last step."""
        t = self.training
        t.check()
        if t.first_value is None:
            return
        objective, rng = t.objective.at(max(0, t.seen - 1)), np.random.default_rng(0)
        blocks = objective.blocks(t.minibatches.order[: t.minibatches.batch])
        with single_threaded_blas(), np.errstate(all="ignore"):
            drawn = [objective.draw(rows, rng) for rows in blocks]
            found = [objective.gradients(t.params, block, (), t.memory)[0] for block in drawn]
        values = np.stack([np.atleast_1d(value) for value in found])
        value, *further = np.average(values, axis=0, weights=[len(rows) for rows in blocks]).tolist()
        if not np.isfinite(value):
            raise Diverged(f"the bound became {value} after step {t.step}")
        now = copy(t)  # the same training, with these values alone
        now.value_sum, now.further_sums, now.rows_seen = value, further, 1
        now.check()

    def outcome(self) -> Outcome:
        t = self.training
        if t.out_of_patience:
            stopped = f"no better validation bound in {t.plan.patience} evaluations; the best is kept"
        elif t.stopping is not None and t.little_to_gain:
            stopped = f"at most {t.stopping.delta:g} nats per datum are left to gain, "
            stopped += f"with confidence {1.0 - t.stopping.alpha:g}"
        elif not t.finished:
            stopped = f"on request, in epoch {t.epoch + 1} of {t.plan.epochs}"
        else:
            stopped = f"all {t.plan.epochs} epochs done"
        return Outcome(t.result, t.history, None, stopped)
