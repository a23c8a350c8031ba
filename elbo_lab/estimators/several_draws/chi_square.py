"""The chi-square bound from draws, which is then no bound (Dieng et al. 2017).

    CUBO_n = (1/n) log E_q[w^n] >= log p(x)   for n > 1,   here with a mean over S draws for E_q

The logarithm of a mean is too low, and a mean of w^n hangs on the largest weight: with one draw this is the
ELBO, with many it creeps up to CUBO_n from below, and at every S in between it may stand on either side of
log p(x). An upper bound needs E_q itself (`bounds.exact_chi_square_bound`, `exact.renyi_bound`).
"""

from dataclasses import dataclass

from elbo_lab.bounds import chi_square_estimate
from elbo_lab.bounds.renyi import check_order
from elbo_lab.estimators.several_draws.drawn_bound import DrawnBound


@dataclass(frozen=True)
class ChiSquareEstimate(DrawnBound):
    """`bounds.chi_square_estimate` of S draws.

    Parameters
    ----------
    order : float
        n > 1.
    """

    order: float = 2
    target = "log-evidence"
    unbiased = False

    def __post_init__(self):
        check_order(self.order)

    @property
    def name(self):
        return f"cubo-{self.order:g}"

    @property
    def summary(self):
        return f"(1/{self.order:g}) log mean w^{self.order:g}: biased low for CUBO, and no upper bound"

    def bound(self, log_w):
        return chi_square_estimate(log_w, self.order)
