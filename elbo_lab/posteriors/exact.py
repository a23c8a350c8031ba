"""The exact posterior p_theta(z | x), where it is a member of the family.

It has no variational parameters: at this q the ELBO *is* log p(x), every single draw of log w equals
log p(x), and the gap KL(q || posterior) is zero.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family
from elbo_lab.layout import Layout
from elbo_lab.posteriors.base import Posterior

if TYPE_CHECKING:
    from elbo_lab.models import Model


@dataclass(frozen=True, eq=False)
class ExactPosterior(Posterior):
    """q(z | x) = p_theta(z | x) at a given theta.

    Parameters
    ----------
    model : Model
        With `posterior_eta`.
    theta : ndarray (P,)

    Raises
    ------
    NotApplicable
        From `eta`, if the model's posterior is not a member of the family.
    """

    model: "Model"
    theta: Floats
    layout: Layout = field(default=Layout(()), init=False)
    name = "exact"
    summary = "the exact posterior, where it is known"

    def __post_init__(self) -> None:
        self.model.check_theta(self.theta)

    @cached_property
    def family(self) -> Family:
        return self.model.family

    def eta(self, phi: Floats, x: Floats) -> Floats:  # noqa: ARG002
        return self.model.posterior_eta(self.theta, x)

    def eta_vjp(self, phi: Floats, x: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002
        return np.zeros((*grad_eta.shape[:-2], 0))
