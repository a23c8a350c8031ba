"""A bare cost as a model: its ELBO is E_q f(z), so that every estimator runs on the toys of papers.

Papers on gradient estimators begin with d/d eta E_q f(z) for a cost f that is no density, and no data. Here
the prior stands where q stands, at theta = eta, and f takes the place of the log-likelihood:

    log w = f(z) + log q(z; theta) - log q(z; eta) = f(z)      and      KL(q || prior) = 0 with gradient 0

An estimator that differentiates with respect to eta leaves theta where it is, so that the score function is
f(z) d log q / d eta and nothing else, and `reparameterization-analytic-kl` is f'(z) dz / d eta and nothing
else. Plain `reparameterization` keeps the score of -log q, which has mean zero and a variance of its own.

It cannot give what only a density has: samples of x, an evidence, a start for theta.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Family
from elbo_lab.errors import NotApplicable
from elbo_lab.layout import Layout
from elbo_lab.models import Model
from elbo_lab.theory.costs import Cost

Pullback = Callable[[Floats], tuple[Floats, Floats]]

NO_DATA = np.zeros((1, 0))
"""The x (1, 0) of a cost without data: one q."""


@dataclass(frozen=True)
class CostModel(Model):
    """E_q f(z) as an ELBO; theta is the eta (E,) of the prior, kept equal to the eta of q.

    Parameters
    ----------
    family : Family
        With coordinates: z (..., S, N, K).
    cost : Cost
        `value` maps z (..., S, N, K) to terms whose sum over the last axis is f, as a function of one number
        does element by element; `slope` maps z to df/dz (..., S, N, K).
    """

    family: Family
    cost: Cost
    name = "cost"
    n_columns = 0

    @cached_property
    def layout(self) -> Layout:
        return self.family.eta_layout

    def prior_eta(self, theta: Floats) -> Floats:
        return theta[None]

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002
        return grad_eta

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:  # noqa: ARG002
        value = self.cost.value(z).sum(axis=-1)
        return value, lambda cotangent: (0.0 * theta, cotangent[..., None] * self.cost.slope(z))

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        """Refuse: f is no density.

        Raises
        ------
        NotApplicable
        """
        raise NotApplicable("a cost is no density: there is no x to sample")

    def initial_theta(self, x: Floats) -> Floats:  # noqa: ARG002
        """Refuse: theta stands where q stands.

        Raises
        ------
        NotApplicable
        """
        raise NotApplicable("a cost has no start of its own: theta is the eta of q")
