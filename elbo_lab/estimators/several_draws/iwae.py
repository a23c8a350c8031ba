"""The importance-weighted bound L_S = log (1/S) sum_s w_s (Burda et al. 2016, eq. 8).

One draw of it is one sample of the bound E L_S, without bias; as an estimate of log p(x) the same number
is too low (`importance-sampling`). Helps: the bound rises with S to log p(x). Fails: the signal of its
gradient in phi vanishes as it does so (Rainforth et al. 2018).
"""

from elbo_lab.bounds import grouped_bound
from elbo_lab.estimators.several_draws.drawn_bound import DrawnBound


class ImportanceWeightedBound(DrawnBound):
    """`bounds.grouped_bound` with all draws in one group."""

    name = "iwae"
    target = "iwae"
    summary = "log mean weight of all draws, as a sample of the bound of S draws"

    def bound(self, log_w):
        return grouped_bound(log_w, 1)
