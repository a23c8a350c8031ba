"""PIWAE: one set of S draws, all of them in the bound for theta, groups of them in the bounds for phi.

    theta   sum_s v_s d log p(x, z_s)/d theta                         all S draws: IWAE_S
    phi     (1/M) sum_m sum_k v_mk d/d eta log w(z_mk),  K = S / M    mean over M groups: MIWAE

(Rainforth et al. 2018.) More draws in one bound raise the signal-to-noise ratio in theta and
lower it in phi; averaging over groups combines the advantages of both. Each half is unbiased for its own
target, the bound of S draws or that of K: together they are the gradient of no single bound. At K = 1 the
phi-half is that of the ELBO. Draws that fill no group (S not a multiple of M) are left out of the phi-half.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import check_count
from elbo_lab.estimators.iwae_gradients.path import IwaeReparameterization, IwaeTheta
from elbo_lab.special import softmax

__all__ = ["PiwaePhi", "PiwaeTheta"]


@dataclass(frozen=True)
class PiwaeTheta(IwaeTheta):
    """The theta-half: `iwae-theta` over all draws.

    Helps: theta climbs the tightest bound of the draws. Fails: together with the half in phi it is the
    gradient of no single bound.

    Parameters
    ----------
    groups : int
        M of the phi-half, at least 2; in the theta-half it is part of the name only.
    """

    groups: int
    title = "PIWAE, half in theta"
    synonyms = ("piwae",)
    summary = "theta-half of PIWAE: iwae-theta on all draws"

    def __post_init__(self) -> None:
        check_count("groups", self.groups, minimum=2)

    @property
    def name(self) -> str:  # type: ignore[override]  # a property in place of the parent's attribute
        return f"piwae-{self.groups}-theta"


@dataclass(frozen=True)
class PiwaePhi(IwaeReparameterization):
    """The phi-half: mean of the pathwise gradients of M groups.

    Helps: groups keep the signal in phi that one large bound loses. Fails: each group is a looser bound, and
    draws that fill no group are left out.

    Parameters
    ----------
    groups : int
        M, at least 2.
    """

    groups: int
    title = "PIWAE, half in phi"
    synonyms = ("piwae",)
    summary = "phi-half of PIWAE: mean of iwae-reparameterization over groups of the draws"

    def __post_init__(self) -> None:
        check_count("groups", self.groups, minimum=2)

    @property
    def name(self) -> str:  # type: ignore[override]  # a property in place of the parent's attribute
        return f"piwae-{self.groups}-phi"

    @property
    def minimum_draws(self) -> int:
        return self.groups

    def group_size(self, n_draws: int) -> int:
        return n_draws // self.groups

    def factors(self, log_w: Floats) -> Floats:
        *lead, n_draws, n_data = log_w.shape
        size = self.group_size(n_draws)
        grouped = log_w[..., : self.groups * size, :].reshape(*lead, self.groups, size, n_data)
        shares = softmax(grouped, axis=-2) / self.groups
        factors = np.zeros_like(log_w)
        factors[..., : self.groups * size, :] = shares.reshape(*lead, self.groups * size, n_data)
        return factors
