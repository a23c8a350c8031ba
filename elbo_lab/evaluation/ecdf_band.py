"""Are these ranks uniform, are they symmetric? Two tests without approximation.

*Uniform.* Of N ranks on 0, ..., S let R(i) be how many are below i. If the ranks are uniform, R(i) is
binomial with N trials and probability i / (S + 1) for each i, and

    gamma = min_i  2 min( P(R <= R(i)), P(R >= R(i)) )

says how unlikely the least likely of them is. Its distribution follows from the joint one of R(1), ..., R(S),
a Markov chain with binomial steps, summed exactly over the counts that stay within bounds. So the p-value is
exact, and {counts with 2 min(...) > gamma} at the level that keeps all R(i) inside with probability 1 - alpha
is the simultaneous band of the figure: the curve leaves the band if and only if the test rejects.

*Symmetric.* Order the ranks by their distance from the middle, farthest first, and add +1 for one above and
-1 for one below. If the distribution is symmetric, these sums are a fair random walk, and the largest
absolute sum is the statistic; its distribution is that of the walk. Ties of the distance are broken by lot.

Helps: a symmetric excess at both ends, which a Kolmogorov-Smirnov test sees late, counts as much as a shift.
Fails: for ranks that depend on each other, as those of one simulation do.

Source: Säilynoja, Bürkner and Vehtari 2022, sections 2.3 and 3.1 (uniform); Butler 1969 (symmetric).
"""

import numpy as np
import scipy
from numpy.typing import NDArray

from elbo_lab.arrays import Floats, Integers

Tails = tuple[NDArray[np.float64], NDArray[np.float64]]
# Steps of the bisection for the level of a band: more than a float can tell.
BISECTIONS = 40
# Below this the sum of all single probabilities, which is not less, stands for a p-value.
NEGLIGIBLE = 1e-10


def counts_below(ranks: Integers, n_draws: int) -> Integers:
    """Return how many ranks (N,) are below i (S,), i from 1 to S."""
    return np.bincount(ranks, minlength=n_draws + 1).cumsum()[:-1]


def _tails(n: int, n_draws: int) -> Tails:
    """Return P(R <= r) and P(R >= r) (S, N + 1) of the counts below i."""
    counts, shares = np.arange(n + 1.0), np.arange(1, n_draws + 1)[:, None] / (n_draws + 1)
    above = np.concatenate([np.ones((n_draws, 1)), scipy.special.bdtrc(counts[:-1], n, shares)], axis=1)
    return scipy.special.bdtr(counts, n, shares), above


def _bounds(tails: Tails, gamma: float) -> tuple[Integers, Integers]:
    """Return the least and the greatest count (S,) whose two tails are above gamma / 2."""
    below, above = tails
    return (below <= gamma / 2).sum(axis=1), (above > gamma / 2).sum(axis=1) - 1


def probability_within(n: int, low: Integers, high: Integers) -> float:
    """Return the probability that low <= R(i) <= high for all i at once, for n uniform ranks.

    Parameters
    ----------
    n : int
    low, high : ndarray of int (S,)
    """
    n_draws, log_factorial = len(low), scipy.special.gammaln(np.arange(n + 1) + 1.0)
    reached, counts = np.ones(1), np.zeros(1, dtype=np.intp)
    for i, (least, most) in enumerate(zip(low, high, strict=True)):
        if most < least:
            return 0.0
        # Those not yet counted are uniform on what is left, of which the next bin is one part.
        share, after = 1.0 / (n_draws + 1 - i), np.arange(least, most + 1)
        left, gained = n - counts[:, None], after - counts[:, None]
        possible = (gained >= 0) & (gained <= left)
        gained = np.where(possible, gained, 0)
        log_p = log_factorial[left] - log_factorial[gained] - log_factorial[left - gained]
        log_p += gained * np.log(share) + (left - gained) * np.log1p(-share)
        reached, counts = reached @ np.where(possible, np.exp(log_p), 0.0), after
    return min(1.0, float(reached.sum()))


def uniformity_p(ranks: Integers, n_draws: int) -> float:
    """Return the exact p-value of the hypothesis that ranks (N,) are uniform on 0, ..., S.

    Parameters
    ----------
    ranks : ndarray of int (N,)
    n_draws : int
        S.
    """
    tails, counts = _tails(len(ranks), n_draws), counts_below(ranks, n_draws)
    below, above = (tail[np.arange(n_draws), counts] for tail in tails)
    gamma = 2.0 * float(np.minimum(below, above).min())
    if n_draws * gamma < NEGLIGIBLE:
        return n_draws * gamma
    return 1.0 - probability_within(len(ranks), *_bounds(tails, gamma))


def simultaneous_band(n: int, n_draws: int, alpha: float) -> tuple[Integers, Integers]:
    """Return the least and greatest counts (S,): all R(i) lie within with probability 1 - alpha or more.

    Parameters
    ----------
    n : int
    n_draws : int
    alpha : float
    """
    tails = _tails(n, n_draws)
    wide, narrow = 0.0, alpha
    for _ in range(BISECTIONS):
        middle = 0.5 * (wide + narrow)
        if probability_within(n, *_bounds(tails, middle)) >= 1.0 - alpha:
            wide = middle
        else:
            narrow = middle
    return _bounds(tails, wide)


def symmetry_p(ranks: Integers, n_draws: int, rng: np.random.Generator) -> float:
    """Return the exact p-value of the hypothesis that ranks (N,) are symmetric about S / 2.

    Parameters
    ----------
    ranks : ndarray of int (N,)
    n_draws : int
        S.
    rng : numpy.random.Generator
        For ties, and the side of a rank in the middle.
    """
    place = ranks + rng.random(len(ranks)) - 0.5 * (n_draws + 1)
    signs = np.sign(place[np.argsort(-np.abs(place))])
    return walk_p(len(ranks), int(np.abs(signs.cumsum()).max()))


def walk_p(n: int, most: int) -> float:
    """Return the probability that a fair walk of n steps ever is as far from its start as `most`."""
    inside: Floats = np.zeros(2 * most + 1)
    inside[most] = 1.0
    for _ in range(n):
        moved = np.zeros_like(inside)
        moved[1:-1] = 0.5 * (inside[:-2] + inside[2:])
        inside = moved  # the ends absorb
    return 1.0 - float(inside.sum())
