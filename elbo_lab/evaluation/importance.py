"""log p(x) by importance samples from q: the number that papers report for deep models.

    -log p(x)  ~  -log (1/K) sum_k w_k,   w_k = p(x, z_k) / q(z_k | x),   z_k ~ q(z | x)

(Rezende et al. 2014, appendix; Burda et al. 2016, eq. 8; K = 5000 in their section 5). The mean weight is
unbiased for p(x). Its logarithm is biased downwards (Jensen), so the estimate of -log p(x) errs upwards, by
about standard_error^2 / 2: it never flatters the model. By the delta method,

    standard_error^2 = (K |w|^2 / (sum w)^2 - 1) / (K - 1)  ~  Var(w) / (K E[w]^2),

and the effective sample size is (sum w)^2 / |w|^2, |w|^2 = sum w_k^2 (Kong 1992). Both come from the weights
that were drawn: if q misses a part of the posterior, its large weights are never drawn, and the estimate
looks precise. A q that is wider than the posterior is safe.

The draws are streamed: per datum only the greatest log-weight, the sum of the weights and that of their
squares are kept, both relative to the greatest. The rows are cut into fixed blocks with a generator each,
which run on Python threads over a single-threaded BLAS: the same bits for any number of threads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.bounds import log_weight
from elbo_lab.distributions import Family, draw_noise
from elbo_lab.errors import check_count, check_data
from elbo_lab.estimators import Problem
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.evaluation.running import RunningWeights
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import Model
from elbo_lab.threads import check_threads, thread_pool

# Rows of data per block: enough blocks for all cores, yet few calls.
ROWS_PER_BLOCK = 20
# Rows (draws x data) through the decoder in one pass.
ROWS_PER_PASS = 1000


@dataclass(frozen=True, eq=False)
class Nll:
    """Estimates of -log p(x) in nats.

    Attributes
    ----------
    nll : ndarray (N,)
    standard_error : ndarray (N,)
        Of `nll`, by the delta method.
    effective_sample_size : ndarray (N,)
        From 1 (one weight carries all) to K (all weights are equal).
    elbo : ndarray (N,)
        The mean log-weight of the same draws: that of a single draw, estimated.
    """

    nll: Floats
    standard_error: Floats
    effective_sample_size: Floats
    elbo: Floats

    @property
    def mean_error(self) -> float:
        """Standard error of the mean of `nll` over these very rows."""
        return float(np.sqrt((self.standard_error**2).sum()) / len(self.nll))

    @classmethod
    def of(cls, blocks: Sequence[RunningWeights]) -> Self:
        """Return the estimates of consecutive blocks of data."""
        return cls(
            -np.concatenate([block.log_mean() for block in blocks]),
            np.concatenate([block.standard_error() for block in blocks]),
            np.concatenate([block.effective_sample_size() for block in blocks]),
            np.concatenate([block.mean_log() for block in blocks]),
        )


def stream_weights(
    model: Model,
    theta: Floats,
    x: Floats,
    family: Family,
    eta: Floats,
    n_samples: int,
    rng: np.random.Generator,
) -> RunningWeights:
    """Return the RunningWeights of n_samples draws for each datum.

    Noise and z are float64; a network runs in the dtype of theta.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    family : Family
        Of q.
    eta : ndarray (N, E)
    n_samples : int
    rng : numpy.random.Generator
    """
    running = RunningWeights(len(x))
    per_pass = max(1, ROWS_PER_PASS // len(x))
    for start in range(0, n_samples, per_pass):
        n_draws = min(per_pass, n_samples - start)
        z = family.sample(eta, draw_noise(family.noise_spec(n_draws, len(x)), rng))
        running.add(log_weight(model, theta, x, family, eta, z))
    return running


@checks_kinds
def importance_nll(
    problem: Problem,
    n_samples: int = 5000,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Nll:
    """Return estimates of -log p(x_n) with their standard errors.

    Parameters
    ----------
    problem : Problem
        With parameters in float32 the networks run in float32; weights are added in float64.
    n_samples : int
        K, at least 2.
    seed : int
    threads : int, optional
        The result does not depend on it; all cores if not given.
    progress : callable, optional
        Called as progress(rows done, all rows) after every block.

    Returns
    -------
    Nll
    """
    model, posterior, theta, phi, x = problem
    x, theta = check_data(x, n_columns=model.n_columns), model.check_theta(theta)
    check_count("n_samples", n_samples, 2)
    threads = check_threads(threads)
    starts = range(0, len(x), ROWS_PER_BLOCK)
    streams = np.random.SeedSequence(check_count("seed", seed, 0)).spawn(len(starts))

    def weights_of_block(start: int, stream: np.random.SeedSequence) -> RunningWeights:
        block = slice(start, start + ROWS_PER_BLOCK)
        rows, rng = x[block].astype(theta.dtype, copy=False), np.random.default_rng(stream)
        return stream_weights(model, theta, rows, posterior.family, eta[block], n_samples, rng)

    blocks = []
    with thread_pool(threads) as pool:
        eta = encoded(posterior, phi, x)
        for start, weights in zip(starts, pool.map(weights_of_block, starts, streams), strict=True):
            blocks.append(weights)
            if progress is not None:
                progress(min(start + ROWS_PER_BLOCK, len(x)), len(x))
    return Nll.of(blocks)
