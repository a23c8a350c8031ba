r"""The leave-one-out likelihood of a kernel density in its factor h, and its maximum.

With the rows in units of their columns' deviations, d_nm = |x_n - x_m|^2 and N rows in D columns:

    L(h)        = (1/N) sum_n log [ (1/(N-1)) sum_{m != n} exp(-d_nm / (2 h^2)) ] - D log h - (D/2) log 2 pi
    dL/dlog h   = (1/N) sum_n sum_{m != n} r_nm d_nm / h^2 - D

where r_nm is the share of row m in the density at row n. A share-weighted mean of d_nm lies between the
nearest and the farthest of them. So the slope is positive below h^2 = (1/(N D)) sum_n min_m d_nm, negative
above the same mean of the greatest d_nm, and every maximum lies between the two: the search has a proven
bracket and no guess.

**Ties.** If every row has an equal twin, the nearest d_nm are all zero, the lower end is h = 0, and
L(h) ~ -D log h grows without bound as h -> 0: rounded data, and rows that were written twice, do that. If
some rows have twins and others do not, L(h) falls to minus infinity in the end, and the maximum is finite;
but each twin pulls it towards zero (Silverman 1986, section 3.4.4).

Work is cut into blocks of rows: N^2 distances are formed, never kept. There is no tree: every pair counts.
"""

from collections.abc import Iterator

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.special import LOG_2PI

# Distances of a block: copies of it stay in the cache.
BLOCK_ENTRIES = 1 << 18
# Factors between the ends of the bracket at which the search begins: L may have several maxima.
GRID = 24
# Of log h.
TOLERANCE = 1e-12


def _blocks(u: Floats) -> Iterator[Floats]:
    """Yield squared distances (B, N) of blocks of rows of u (N, D) to all rows, infinite to themselves."""
    from scipy.spatial.distance import cdist  # heavy: loaded on use

    per_block = max(1, BLOCK_ENTRIES // len(u))
    for start in range(0, len(u), per_block):
        # Formed from differences: the distance of equal rows is exactly zero.
        block = cdist(u[start : start + per_block], u, "sqeuclidean")
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf
        yield block


def extremes(u: Floats) -> tuple[Floats, Floats]:
    """Return the squared distances (N,) of every row to the nearest and to the farthest other row."""
    ends = [(block.min(axis=1), np.where(np.isinf(block), 0.0, block).max(axis=1)) for block in _blocks(u)]
    nearest, farthest = (np.concatenate(parts) for parts in zip(*ends, strict=True))
    return nearest, farthest


def leave_one_out(u: Floats, log_factors: Floats) -> tuple[Floats, Floats]:
    """Return L (G,) and dL/dlog h (G,) at the logarithms of factors (G,), in nats per row.

    Parameters
    ----------
    u : ndarray (N, D)
        Rows in units of the deviations of their columns; the density is that of these units.
    log_factors : ndarray (G,)
    """
    n_rows, n_columns = u.shape
    values, slopes = np.zeros(len(log_factors)), np.zeros(len(log_factors))
    for d in _blocks(u):
        nearest = d.min(axis=1, keepdims=True)
        beyond = d - nearest
        for g, log_h in enumerate(log_factors):
            precision = np.exp(-2.0 * log_h)
            weights = np.exp(-0.5 * precision * beyond)
            total = weights.sum(axis=1)
            values[g] += (np.log(total) - 0.5 * precision * nearest[:, 0]).sum()
            # A row is at an infinite distance from itself: its weight is zero, and so must the product be.
            weighted = np.multiply(weights, d, out=weights, where=weights > 0)
            slopes[g] += precision * (weighted.sum(axis=1) / total).sum()
    constant = np.log(n_rows - 1) + n_columns * (log_factors + 0.5 * LOG_2PI)
    return values / n_rows - constant, slopes / n_rows - n_columns


def best_log_factor(u: Floats, nearest: Floats, farthest: Floats) -> float:
    """Return the log h of greatest L.

    Parameters
    ----------
    u : ndarray (N, D)
    nearest, farthest : ndarray (N,)
        As from `extremes`, not all zero.
    """
    from scipy.optimize import brentq  # heavy: loaded on use

    low_end, high_end = (0.5 * float(np.log(d.mean() / u.shape[1])) for d in (nearest, farthest))
    grid = np.linspace(low_end, high_end, GRID)
    while True:
        values, slopes = leave_one_out(u, grid)
        best = int(np.argmax(values))
        # L rises from the lower neighbour, and falls to the upper one.
        low, high = (best, best + 1) if slopes[best] > 0 else (best - 1, best)
        if low < 0 or high == GRID or grid[high] - grid[low] < TOLERANCE:
            return float(grid[best])
        if slopes[low] > 0 >= slopes[high]:
            break
        # There is another maximum between the two: look closer.
        grid = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)], GRID)
    return float(
        brentq(lambda log_h: leave_one_out(u, np.array([log_h]))[1][0], grid[low], grid[high], xtol=TOLERANCE)
    )
