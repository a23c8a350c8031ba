"""MAP by stochastic ascent: an objective, and a prior over theta in its gradient.

    (1/N) [sum_n objective_n(theta) + log p(theta)],   slope:  mean over a batch + (1/N) d log p(theta)/dtheta

The objective is a mean over data, so that the prior has a share of 1/N in it: it fades as rows become many.
The value of a step is that of the objective alone, since a bound on log p(x) with a log prior in it is none.

The compiled step of a VAE does not know priors: the definition takes the steps (`batch.ascend`).
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from elbo_lab.arrays import Integers
from elbo_lab.models import Model
from elbo_lab.priors import Prior
from elbo_lab.training.batch import Vectors
from elbo_lab.training.objectives import Drawn, Gradients, Names, Objective


@dataclass(frozen=True, eq=False)
class PosteriorObjective(Objective):
    """An objective with a prior over theta.

    Parameters
    ----------
    inner : Objective
        Of theta, or theta and phi.
    model : Model
        That of theta.
    prior : Prior
    """

    inner: Objective
    model: Model
    prior: Prior

    @property
    def names(self) -> Names:  # type: ignore[override]
        return self.inner.names

    @property
    def value_key(self) -> str:  # type: ignore[override]
        return self.inner.value_key

    @property
    def ascends(self) -> bool:  # type: ignore[override]
        return self.inner.ascends

    @property
    def further_keys(self) -> Names:  # type: ignore[override]
        return self.inner.further_keys

    @property
    def watched_key(self) -> str:  # type: ignore[override]
        return self.inner.watched_key

    @property
    def notes(self) -> dict[str, float]:
        return self.inner.notes

    def at(self, step: int) -> Self:
        return replace(self, inner=self.inner.at(step))

    @property
    def n_rows(self) -> int:
        return self.inner.n_rows

    @property
    def whole(self) -> bool:
        return self.inner.whole

    def initial(self, rng: np.random.Generator) -> Vectors:
        return self.inner.initial(rng)

    def initial_memory(self, params: Vectors, rng: np.random.Generator) -> Vectors:
        return self.inner.initial_memory(params, rng)

    def further(self) -> Objective | None:
        further = self.inner.further()
        return None if further is None else replace(self, inner=further)

    def joined(self, memory: Vectors, blocks: list[Integers], parts: list[Vectors]) -> Vectors:
        return self.inner.joined(memory, blocks, parts)

    def blocks(self, rows: Integers) -> list[Integers]:
        return self.inner.blocks(rows)

    def draw(self, rows: Integers, rng: np.random.Generator) -> Drawn:
        return self.inner.draw(rows, rng)

    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:
        value, gradients, memory = self.inner.gradients(params, block, names, memory)
        if "theta" not in gradients:
            return value, gradients, memory
        by_prior = self.prior.log_prior_grad(self.model, params["theta"]) / self.n_rows
        by_theta = gradients["theta"]
        return value, gradients | {"theta": by_theta + by_prior.astype(by_theta.dtype)}, memory
