"""Bounds and corrections of the evidence that join several draws: values, not gradients.

Draws from q, their log-weights, and one number per datum from all of them:

    iwae        log (1/S) sum_s w_s                        a sample of the bound L_S = E[...] itself
    miwae       mean of such bounds over M groups          the bound of S / M draws, with less variance
    ciwae       part ELBO, part importance-weighted        between the two
    jackknife   S L_S - (S - 1) mean L_{S-1}               log p(x), a bias of order 1/S removed
    renyi       1/(1-a) log mean w^(1-a)                   between ELBO and log p(x)
    cubo        (1/n) log mean w^n                         no bound when sampled

The functions of log-weights are in `elbo_lab.bounds`.
"""

from abc import abstractmethod
from dataclasses import dataclass

from elbo_lab.arrays import Floats
from elbo_lab.bounds import (
    chi_square_estimate,
    combined_bound,
    grouped_bound,
    jackknife_evidence,
    renyi_bound,
)
from elbo_lab.bounds import jackknife as jackknife_bounds
from elbo_lab.bounds import renyi as renyi_bounds
from elbo_lab.errors import NotApplicable, check_count, check_share
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, mean_over_rows, weighted_draws
from elbo_lab.exact.problem import Problem

__all__ = [
    "ChiSquareEstimate",
    "CombinedBound",
    "GroupedBound",
    "ImportanceWeightedBound",
    "Jackknife",
    "RenyiBound",
]


class DrawnBound(Estimator):
    """The mean over rows of a bound of the log-weights of S draws."""

    independent_draws = True

    @abstractmethod
    def bound(self, log_w: Floats) -> Floats:
        """Return one value per datum (..., N) of log-weights (..., S, N)."""

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        _, _, log_w = weighted_draws(problem, noise)
        return mean_over_rows(self.bound(log_w)), state


class ImportanceWeightedBound(DrawnBound):
    """The importance-weighted bound L_S = log (1/S) sum_s w_s (Burda et al. 2016, eq. 8).

    `bounds.grouped_bound` with all draws in one group. One draw of it is one sample of the bound E L_S,
    without bias; as an estimate of log p(x) the same number is too low (`importance-sampling`). Helps: the
    bound rises with S to log p(x). Fails: the signal of its gradient in phi vanishes as it does so
    (Rainforth et al. 2018).
    """

    name = "iwae"
    title = "importance-weighted bound"
    synonyms = ("iwelbo", "iw-elbo", "importance-weighted-elbo")
    target = "iwae"
    summary = "log mean weight of all draws, as a sample of the bound of S draws"

    def bound(self, log_w: Floats) -> Floats:
        return grouped_bound(log_w, 1)


@dataclass(frozen=True)
class GroupedBound(DrawnBound):
    """MIWAE: the mean of M importance-weighted bounds of K = S / M draws each (Rainforth et al. 2018).

        (1/M) sum_m log (1/K) sum_k w_mk

    `bounds.grouped_bound` of S draws. Unbiased for the bound of K draws, hence its target carries K: with 10
    draws `miwae-2` is compared with the exact `iwae-5`. Helps: less variance than one group. Fails: a looser
    bound for the same work.

    Parameters
    ----------
    n_groups : int
        M; the number of draws must be a multiple of it.
    """

    n_groups: int = 2
    synonyms = ("miwae",)
    target = "iwae"

    def __post_init__(self) -> None:
        check_count("groups", self.n_groups)

    @property
    def name(self) -> str:
        return f"miwae-{self.n_groups}"

    @property
    def title(self) -> str:
        return f"MIWAE, {self.n_groups} groups"

    @property
    def summary(self) -> str:
        return f"mean of {self.n_groups} importance-weighted bounds, each of S / {self.n_groups} draws"

    @property
    def minimum_draws(self) -> int:
        return self.n_groups

    def group_size(self, n_draws: int) -> int:
        return n_draws // self.n_groups

    def check_draws(self, n_draws: int) -> None:
        super().check_draws(n_draws)
        if n_draws % self.n_groups:
            raise NotApplicable(
                f"draws: expected a multiple of {self.n_groups} for {self.name}, got {n_draws}"
            )

    def bound(self, log_w: Floats) -> Floats:
        return grouped_bound(log_w, self.n_groups)


@dataclass(frozen=True)
class CombinedBound(DrawnBound):
    """CIWAE: part ELBO, part importance-weighted bound of the same draws (Rainforth et al. 2018).

        beta (1/S) sum_s log w_s + (1 - beta) log (1/S) sum_s w_s

    `bounds.combined_bound` of S draws. Compared with the importance-weighted bound of S draws it is too low,
    by beta times the difference between that bound and the ELBO; this is the price of a gradient in phi whose
    signal does not vanish with S.

    Helps: where phi is trained. Fails: as a bound, looser than that of the same draws in one group.

    Parameters
    ----------
    beta : float
        Share of the ELBO, from 0 (the importance-weighted bound) to 1 (the ELBO).
    """

    beta: float = 0.5
    synonyms = ("ciwae",)
    target = "iwae"

    def __post_init__(self) -> None:
        check_share("beta", self.beta)

    @property
    def name(self) -> str:
        return f"ciwae-{self.beta:g}"

    @property
    def title(self) -> str:
        return f"CIWAE, beta = {self.beta:g}"

    @property
    def unbiased(self) -> bool:
        """Whether the share of the ELBO is zero."""
        return self.beta == 0

    @property
    def summary(self) -> str:
        return f"{self.beta:g} ELBO + {1 - self.beta:g} importance-weighted bound of the same draws"

    def bound(self, log_w: Floats) -> Floats:
        return combined_bound(log_w, self.beta)


@dataclass(frozen=True)
class Jackknife(DrawnBound):
    """log p(x) from the log mean weight, its bias of order 1/S removed by the jackknife (Nowozin 2018).

        order 1:  S L_S - (S - 1) mean L_{S-1},   L_S = log (1/S) sum_s w_s

    leaves a bias of order 1/S^2, order 2 one of order 1/S^3 (`bounds.jackknife_evidence`). Helps: more digits
    from the same draws. Fails: it is no longer a bound, and has more variance; where few weights carry the
    sum the correction is large and wrong.

    Parameters
    ----------
    order : int
        1 or 2: the powers of 1/S that are cancelled.
    """

    order: int = 1
    synonyms = ("jackknife", "jvi")
    target = "log-evidence"
    unbiased = False

    def __post_init__(self) -> None:
        jackknife_bounds.check_order(self.order)

    @property
    def name(self) -> str:
        return f"jackknife-{self.order}"

    @property
    def title(self) -> str:
        return f"jackknife, order {self.order}"

    @property
    def summary(self) -> str:
        return f"log mean weight with a jackknife correction; biased by order 1/S^{self.order + 1}"

    @property
    def minimum_draws(self) -> int:
        return self.order + 1

    def bound(self, log_w: Floats) -> Floats:
        return jackknife_evidence(log_w, self.order)


@dataclass(frozen=True)
class RenyiBound(DrawnBound):
    """A Renyi bound of the evidence from draws (Li and Turner 2016).

        1 / (1 - alpha) log (1/S) sum_s w_s^(1 - alpha)

    `bounds.renyi_bound` of S draws. For 0 < alpha < 1 its mean lies between the ELBO and log p(x), whatever
    the number of draws: below the bound L_alpha because of the logarithm, and L_alpha below log p(x) by a
    Renyi divergence that more draws do not reduce. Helps: less variance than alpha = 0, which is importance
    sampling. Fails: does not converge to log p(x).

    Parameters
    ----------
    alpha : float
        Any number but 1, which is the ELBO.
    """

    alpha: float = 0.5
    synonyms = ("renyi", "vr-bound", "variational-renyi-bound")
    target = "log-evidence"
    unbiased = False

    def __post_init__(self) -> None:
        renyi_bounds.check_alpha(self.alpha)

    @property
    def name(self) -> str:
        return f"renyi-{self.alpha:g}"

    @property
    def title(self) -> str:
        return f"Renyi bound, alpha = {self.alpha:g}"

    @property
    def summary(self) -> str:
        side = "biased low" if self.alpha >= 0 else "no bound when sampled"
        return f"Renyi bound of alpha = {self.alpha:g} from draws from q; {side}"

    def bound(self, log_w: Floats) -> Floats:
        return renyi_bound(log_w, self.alpha)


@dataclass(frozen=True)
class ChiSquareEstimate(DrawnBound):
    """The chi-square bound from draws, which is then no bound (Dieng et al. 2017).

        CUBO_n = (1/n) log E_q[w^n] >= log p(x)   for n > 1,   here with a mean over S draws for E_q

    `bounds.chi_square_estimate` of S draws. The logarithm of a mean is too low, and the largest weight
    dominates a mean of w^n: with one draw the mean of this estimate is the ELBO, with many it approaches
    CUBO_n from below, and at every S in between it may be on either side of log p(x). An upper bound needs
    E_q itself (`bounds.exact_chi_square_bound`, `evaluation.measure_renyi`).

    Helps: as a sign of heavy weights, since it moves with the largest of them. Fails: as the upper bound that
    it is named after.

    Parameters
    ----------
    order : float
        n > 1.
    """

    order: float = 2
    synonyms = ("cubo", "chivi")
    target = "log-evidence"
    unbiased = False

    def __post_init__(self) -> None:
        renyi_bounds.check_order(self.order)

    @property
    def name(self) -> str:
        return f"cubo-{self.order:g}"

    @property
    def title(self) -> str:
        return f"CUBO, n = {self.order:g}"

    @property
    def summary(self) -> str:
        return f"(1/{self.order:g}) log mean w^{self.order:g}: biased low for CUBO, and no upper bound"

    def bound(self, log_w: Floats) -> Floats:
        return chi_square_estimate(log_w, self.order)
