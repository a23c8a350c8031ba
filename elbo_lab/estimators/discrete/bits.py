"""What estimators through discrete latents share: which z they take, a temperature, f between the corners.

They estimate d/dl E_q[f(z)] with f = log p(x, z) - log q(z; l) and the l inside f held fixed: the derivative
through it, that of -log q, has expectation zero.
"""

from dataclasses import dataclass
from typing import ClassVar

from elbo_lab.arrays import Floats
from elbo_lab.distributions import NoiseSpec, relaxation_of
from elbo_lab.distributions.base import Family
from elbo_lab.errors import check_positive
from elbo_lab.estimators.base import Estimator
from elbo_lab.exact.problem import Problem


class BitEstimator(Estimator):
    """An estimator of the gradient in phi for independent bits."""

    target = "grad-phi-elbo"
    latents = "bits"


class RelaxingEstimator(Estimator):
    """An estimator of the gradient in phi that evaluates f at a relaxed z: of bits, or of categories."""

    target = "grad-phi-elbo"
    needs_relaxation = True

    def noise_spec(self, family: Family, n_draws: int, n_data: int) -> NoiseSpec:
        """Return the noise of the relaxation where there is one: a Gumbel for every category."""
        if not family.discrete:
            return family.noise_spec(n_draws, n_data)
        return relaxation_of(family).noise_spec(n_draws, n_data)


@dataclass(frozen=True)
class WithTemperature:
    """Mixin: a relaxation at a temperature, which is part of the name.

    Parameters
    ----------
    temperature : float
        Positive; 1 / temperature is the steepness of the relaxed step.
    """

    temperature: float = 0.5
    stem: ClassVar[str]

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)

    @property
    def name(self) -> str:
        return f"{self.stem}-{self.temperature:g}"


def value_at(problem: Problem, eta: Floats, y: Floats) -> Floats:
    """Return f (..., S, N) at bits or shares of categories, also between the corners."""
    model, posterior, theta, _, x = problem
    return relaxation_of(posterior.family).value(model, theta, x, eta, y)


def slope_at(problem: Problem, eta: Floats, y: Floats) -> Floats:
    """Return df/dy (..., S, N, width) at bits or shares of categories, also between the corners."""
    model, posterior, theta, _, x = problem
    return relaxation_of(posterior.family).slope(model, theta, x, eta, y)
