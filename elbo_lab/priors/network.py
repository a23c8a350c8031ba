"""The prior of a network: every weight and bias of the decoder N(0, s^2), independently.

    log p(theta) = -(1/2) sum_j [theta_j^2 / s^2 + log 2 pi s^2],     d/dtheta = -theta / s^2

In a mean over N data the slope is -theta / (N s^2): the prior weighs as one datum does, so that it fades as
data come. A decoder's noise scale is no weight of a network; its density is left constant in its stored
coordinate.

**Weight decay is MAP for plain gradient ascent only.** AdamW (Loshchilov and Hutter 2019) subtracts a
multiple of theta beside the step and not from the gradient: Adam divides a gradient by its own running size,
and the decay is not divided. Its fixed points are not those of any prior; here the slope of the prior is in
the gradient, and Adam arrives where the posterior is stationary.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.models import Model
from elbo_lab.priors.base import Numbers, Prior, single
from elbo_lab.special import LOG_2PI


@dataclass(frozen=True)
class NetworkPrior(Prior):
    """theta_j ~ N(0, sd^2) for all weights and biases.

    Parameters
    ----------
    sd : float
        s.
    """

    sd: float
    summary = "every weight and bias ~ N(0, s^2)"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sd", single("sd", self.sd, 0.0, open_end=True))

    @classmethod
    def for_data(cls, model: Model, x: Floats, given: Numbers) -> Self:  # noqa: ARG003
        return cls(**(Numbers(sd=1.0) | given))

    def check_model(self, model: Model) -> None:
        pass

    @staticmethod
    def _weights(model: Model, theta: Floats) -> Floats:
        """Return theta with zeros for what is no weight."""
        kept = theta.copy()
        for (name, _), where in zip(model.layout.entries, model.layout.blocks, strict=True):
            if name.startswith("log_"):
                kept[where] = 0.0
        return kept

    def log_prior(self, model: Model, theta: Floats) -> float:
        entries = zip(model.layout.entries, model.layout.blocks, strict=True)
        count = sum(where.stop - where.start for (name, _), where in entries if not name.startswith("log_"))
        weights = self._weights(model, theta).astype(np.float64)
        squares = float(weights @ weights)
        return -0.5 * (squares / self.sd**2 + count * (LOG_2PI + 2.0 * float(np.log(self.sd))))

    def log_prior_grad(self, model: Model, theta: Floats) -> Floats:
        """-theta / s^2."""
        return -self._weights(model, theta) / self.sd**2
