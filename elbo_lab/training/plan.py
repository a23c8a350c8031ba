"""How a training goes: everything that decides its numbers, and nothing that does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from elbo_lab.errors import bad_value, check_count, check_positive
from elbo_lab.training.optimizers import Adam, Optimizer
from elbo_lab.training.schedules import Constant


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
        One formula; theta and phi have a state each.
    rates : mapping of str to float
        Step size per parameter vector, {"theta": ..., "phi": ...}.
    schedule : Schedule
        Factor on all step sizes as a function of the minibatches seen, so that theta and phi follow one
        clock also where phi takes several steps per minibatch.
    phi_steps : int or None
        None: theta and phi move together, in every step. m: every minibatch serves m steps of phi and then
        one of theta, each with fresh noise.
    evaluate_every : int
        Epochs between two rows of the history.
    patience : int or None
        Stop after so many evaluations without a better validation bound, and keep the best parameters.
    """

    epochs: int = 100
    batch: int = 100
    optimizer: Optimizer = Adam()  # noqa: RUF009 - optimisers are immutable
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({"theta": 1e-3, "phi": 1e-3}))
    schedule: object = Constant()
    phi_steps: int | None = None
    evaluate_every: int = 1
    patience: int | None = None

    def __post_init__(self):
        check_count("epochs", self.epochs)
        check_count("batch", self.batch)
        check_count("evaluate_every", self.evaluate_every)
        if self.evaluate_every > self.epochs:
            raise bad_value("evaluate_every", f"at most the {self.epochs} epochs", self.evaluate_every)
        for name in ("phi_steps", "patience"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        for rate in self.rates.values():
            check_positive("learning rate", rate)
