"""log p(x) from the log mean weight, its bias of order 1/S taken off by the jackknife (Nowozin 2018).

    order 1:  S L_S - (S - 1) mean L_{S-1},   L_S = log (1/S) sum_s w_s

leaves a bias of order 1/S^2, order 2 one of order 1/S^3 (`bounds.jackknife`). Helps: more digits from the
same draws. Fails: no bound any more, and more variance; where few weights carry the sum it corrects
wildly.
"""

from dataclasses import dataclass

from elbo_lab.bounds import jackknife_evidence
from elbo_lab.bounds.jackknife import check_order
from elbo_lab.estimators.several_draws.drawn_bound import DrawnBound


@dataclass(frozen=True)
class Jackknife(DrawnBound):
    """`bounds.jackknife_evidence` of S draws.

    Parameters
    ----------
    order : int
        1 or 2: the powers of 1/S that are cancelled.
    """

    order: int = 1
    target = "log-evidence"
    unbiased = False

    def __post_init__(self):
        check_order(self.order)

    @property
    def name(self):
        return f"jackknife-{self.order}"

    @property
    def summary(self):
        return f"log mean weight with a jackknife correction; biased by order 1/S^{self.order + 1}"

    @property
    def minimum_draws(self):
        return self.order + 1

    def bound(self, log_w):
        return jackknife_evidence(log_w, self.order)
