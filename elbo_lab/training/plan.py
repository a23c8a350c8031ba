"""The plan of a training: the settings that determine its result, and the order of the data.

A fresh permutation per epoch is cut into minibatches. Every datum is equally likely in every minibatch, also
in the last, shorter one, so the mean over a minibatch is unbiased for the mean over the data; within an epoch
each datum is seen once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from elbo_lab.arrays import Integers
from elbo_lab.errors import MOST_STEPS, bad_value, check_count, check_positive, unknown_name
from elbo_lab.kinds import check_kinds
from elbo_lab.training.optimizers import Adam, Optimizer
from elbo_lab.training.schedules import Constant, Schedule

# How phi moves: along the optimiser, or by natural steps.
PHI_STEPS = ("gradient", "natural")


@dataclass(frozen=True)
class Plan:
    """Settings of stochastic ascent.

    Parameters
    ----------
    epochs : int
        Passes over the data, in all.
    batch : int
        Rows of a minibatch.
    optimizer : Optimizer
        The same for theta and phi, each with a state of its own.
    rates : mapping of str to float
        Step size per parameter vector, {"theta": ..., "phi": ...}.
    schedule : Schedule
        Factor on all step sizes as a function of the minibatches seen, so that theta and phi follow the same
        schedule even where phi takes several steps per minibatch.
    phi_steps : int or None
        None: theta and phi move together, in every step. m: on every minibatch, m steps of phi and then one
        of theta, each with fresh noise; at most 1000.
    theta_steps : int
        Steps of theta on every minibatch along the same draws, of objectives that keep them (Monte Carlo EM);
        at most 1000.
    evaluate_every : int
        Epochs between two rows of the history.
    patience : int or None
        Evaluations without a better validation bound after which to stop; the best parameters are kept.
    phi_step : {'gradient', 'natural'}
        Whether phi follows the optimiser or, of a free q, natural steps, see `training.natural`.
    clip : float or None
        Largest norm of the gradient of a step, over theta and phi together, see `training.clipping`.
    """

    epochs: int = 100
    batch: int = 100
    optimizer: Optimizer = Adam()  # noqa: RUF009 - optimisers are immutable
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({"theta": 1e-3, "phi": 1e-3}))
    schedule: Schedule = Constant()  # noqa: RUF009 - schedules are immutable
    phi_steps: int | None = None
    theta_steps: int = 1
    evaluate_every: int = 1
    patience: int | None = None
    clip: float | None = None
    phi_step: str = "gradient"

    def __post_init__(self) -> None:
        check_kinds(Plan, vars(self))
        check_count("epochs", self.epochs)
        check_count("batch", self.batch)
        check_count("theta_steps", self.theta_steps, maximum=MOST_STEPS)
        check_count("evaluate_every", self.evaluate_every)
        if self.evaluate_every > self.epochs:
            raise bad_value("evaluate_every", f"at most the {self.epochs} epochs", self.evaluate_every)
        if self.phi_steps is not None:
            check_count("phi_steps", self.phi_steps, maximum=MOST_STEPS)
        if self.patience is not None:
            check_count("patience", self.patience)
        if self.clip is not None:
            check_positive("clip", self.clip)
        if self.phi_step not in PHI_STEPS:
            raise unknown_name("phi_step", self.phi_step, PHI_STEPS)
        if self.clip is not None and self.phi_step == "natural":
            remedy = "its length is not that of a gradient: lower the step size of phi"
            raise bad_value("clip", "no value with natural steps of phi", self.clip, remedy)
        for rate in self.rates.values():
            check_positive("learning rate", rate)


class Minibatches:
    """The order of the data, as a state that can be saved.

    Parameters
    ----------
    n_rows, batch : int
    rng : numpy.random.Generator
        Drawn from once per epoch.
    shuffled : bool
        False for objectives that need all rows at once, in their order.
    """

    def __init__(self, n_rows: int, batch: int, rng: np.random.Generator, shuffled: bool = True) -> None:
        self.n_rows, self.batch, self.rng, self.shuffled = n_rows, min(batch, n_rows), rng, shuffled
        self.position = 0
        self.order = self._new_order()

    def _new_order(self) -> Integers:
        return self.rng.permutation(self.n_rows) if self.shuffled else np.arange(self.n_rows)

    @property
    def last_of_epoch(self) -> bool:
        """Whether the next minibatch is the last of its epoch."""
        start = self.position if self.position < self.n_rows else 0
        return start + self.batch >= self.n_rows

    def next(self) -> Integers:
        """Return the row numbers of the next minibatch."""
        if self.position >= self.n_rows:
            self.order, self.position = self._new_order(), 0
        rows = self.order[self.position : self.position + self.batch]
        self.position += self.batch
        return rows
