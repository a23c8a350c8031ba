"""Repeat what is blind until its test sees a bias of the size that is asked for.

The standard error of a mean of R estimates falls with 1 / sqrt(R), that of the exact answer does not. So R
estimates with the error se, of which the reference has se_ref, have to become

    R (se^2 - se_ref^2) / (wanted^2 - se_ref^2),    wanted = size / (limit + 2.326)

to find a bias of that size with 99 % power; the limit of a skewed mean falls on the way (`detectable_after`).
This many are made at once, and a tenth more. A first sample of
a heavy tail underrates its error, and the number is then corrected, at most twice. Nothing is repeated where
the reference alone hides the bias, nor where more than 100 times the repeats of the table would be needed.
All is decided by the estimates, so that the same seed gives the same repeats.
"""

import math
from collections.abc import Sequence

from elbo_lab.comparison.pipeline import Bench, Run, rerun
from elbo_lab.processes import Workers
from elbo_lab.progress import Progress
from elbo_lab.study.rows import BLOCK_SHARE_TO_SEE, SHARE_TO_SEE

BUDGET = 100
"""A run is repeated at most this many times as often as the table asks."""
ROUNDS = 3
SPARE = 1.1
# Times the repeats beyond which nobody waits, whatever the budget.
MOST = 1e9


def sharpen(
    workers: Workers,
    benches: Sequence[Bench],
    draws: int,
    repeats: int,
    seed: int,
    power: float,
    rate: float,
    progress: Progress | None = None,
) -> None:
    """Repeat the runs that claim to be unbiased until their tests see a bias of the share `power`.

    A run that exceeds its limit by then is repeated once more, with other noise, before that counts.

    Parameters
    ----------
    workers : Workers
    benches : list of Bench
        After `check_bias`, which returned `rate`.
    draws, repeats, seed : int
    power : float
        Share of the exact gradient; values see as much less than they must for `ok` as this is below 5 %.
    rate : float
    progress : callable, optional
    """
    runs = [(bench, run) for bench in benches for run in bench.measured]
    for round_ in range(ROUNDS):
        needed = [(bench, run, needed_repeats(bench, run, power)) for bench, run in runs]
        works = [(bench, run, n) for bench, run, n in needed if n is not None and n <= BUDGET * repeats]
        for _, run, _ in works:
            run.first = run.first or run.bias
        rerun(workers, works, draws, seed, f"more repeats {round_ + 1}", rate, progress)
    suspects = [(bench, run, run.moments.count) for bench, run in runs if run.first and run.fails]
    rerun(workers, suspects, draws, seed, "confirming repeats", rate, progress)


def needed_repeats(bench: Bench, run: Run, power: float) -> int | None:
    """Return how many repeats let a run see a bias of the share `power`; None where more cannot help.

    None as well if it sees it already, fails, or is exact.
    """
    from scipy.optimize import brentq  # heavy: loaded on use

    test, share = run.bias, power / SHARE_TO_SEE

    def lack(times: float) -> float:
        whole = test.detectable_after(times) / (bench.to_see(run) * share)
        return max(whole, test.detectable_block_after(times) / (BLOCK_SHARE_TO_SEE * share)) - 1.0

    if not run.estimator.unbiased or run.fails or run.moments.variance == 0.0:
        return None
    if lack(1.0) <= 0.0 or not lack(MOST) <= 0.0:
        return None
    return math.ceil(SPARE * run.moments.count * brentq(lack, 1.0, MOST))
