"""A Renyi bound of the evidence from draws (Li and Turner 2016).

    1 / (1 - alpha) log (1/S) sum_s w_s^(1 - alpha)

For 0 < alpha < 1 its mean lies between the ELBO and log p(x), whatever the number of draws: below the bound
L_alpha because of the logarithm, and L_alpha below log p(x) by a Renyi divergence that no draws take away.
Helps: less variance than alpha = 0, which is importance sampling. Fails: does not converge to log p(x).
"""

from dataclasses import dataclass

from elbo_lab.bounds import renyi_bound
from elbo_lab.bounds.renyi import check_alpha
from elbo_lab.estimators.several_draws.drawn_bound import DrawnBound


@dataclass(frozen=True)
class RenyiBound(DrawnBound):
    """`bounds.renyi_bound` of S draws.

    Parameters
    ----------
    alpha : float
        Any number but 1, which is the ELBO.
    """

    alpha: float = 0.5
    target = "log-evidence"
    unbiased = False

    def __post_init__(self):
        check_alpha(self.alpha)

    @property
    def name(self):
        return f"renyi-{self.alpha:g}"

    @property
    def summary(self):
        side = "biased low" if self.alpha >= 0 else "no bound when sampled"
        return f"Renyi bound of alpha = {self.alpha:g} from draws from q; {side}"

    def bound(self, log_w):
        return renyi_bound(log_w, self.alpha)
