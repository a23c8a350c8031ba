"""What estimators for bits share: the refusal of other latents, a temperature, and the slope of log w.

They estimate d/dl E_q[f(z)] with f = log p(x, z) - log q(z; l) and the l inside f held fixed: the derivative
through it, that of -log q, has expectation zero.
"""

from dataclasses import dataclass
from typing import ClassVar

from elbo_lab.arrays import Floats
from elbo_lab.distributions import relaxation_of
from elbo_lab.errors import check_positive
from elbo_lab.estimators.base import Estimator
from elbo_lab.exact.problem import Problem


class BitEstimator(Estimator):
    """An estimator of the gradient in phi for independent bits."""

    target = "grad-phi-elbo"
    latents = "bits"


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


def slope_at(problem: Problem, eta: Floats, z: Floats) -> Floats:
    """Return df/dz (..., S, N, K) at bits or at points between zero and one."""
    model, posterior, theta, _, x = problem
    return relaxation_of(posterior.family).slope(model, theta, x, eta, z)
