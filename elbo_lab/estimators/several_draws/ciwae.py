"""CIWAE: part ELBO, part importance-weighted bound of the same draws (Rainforth et al. 2018).

    beta (1/S) sum_s log w_s + (1 - beta) log (1/S) sum_s w_s

Held against the importance-weighted bound of S draws it is too low, by beta times what that bound gains on
the ELBO; this is the price of a gradient in phi whose signal does not vanish with S.
"""

from dataclasses import dataclass

from elbo_lab.bounds import combined_bound
from elbo_lab.errors import check_share
from elbo_lab.estimators.several_draws.drawn_bound import DrawnBound


@dataclass(frozen=True)
class CombinedBound(DrawnBound):
    """`bounds.combined_bound` of S draws.

    Parameters
    ----------
    beta : float
        Share of the ELBO, from 0 (the importance-weighted bound) to 1 (the ELBO).
    """

    beta: float = 0.5
    target = "iwae"

    def __post_init__(self):
        check_share("beta", self.beta)

    @property
    def name(self):
        return f"ciwae-{self.beta:g}"

    @property
    def unbiased(self):
        """Whether nothing of the ELBO is mixed in."""
        return self.beta == 0

    @property
    def summary(self):
        return f"{self.beta:g} ELBO + {1 - self.beta:g} importance-weighted bound of the same draws"

    def bound(self, log_w):
        return combined_bound(log_w, self.beta)
