"""log p(x) by draws from the prior, streamed: one pass of the decoder serves all data.

    log p(x_n)  ~  log (1/S) sum_s p(x_n | z_s),   z_s ~ p(z)

`bounds.prior_evidence` is the definition; here the draws come in passes, and three numbers per datum
summarise them (`running`), so that 10^6 draws take the memory of a few thousand. All data share the draws:
terms of a draw alone (for bits the sum of softplus of the logits) are computed once.

It helps as a check without any q, in one or two latent dimensions. In more it fails: the relative variance of
p(x | z) grows exponentially with their number, the few draws that matter are never seen, and log p(x) comes
out nats too low with a standard error that looks small.

The draws are divided into fixed tasks with a generator each, which run on Python threads over a
single-threaded BLAS and are added in order: the same bits for any number of threads.
"""

from collections.abc import Callable

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import check_count, check_table
from elbo_lab.evaluation.importance import Nll
from elbo_lab.evaluation.running import RunningWeights
from elbo_lab.models import Model
from elbo_lab.threads import check_threads, thread_pool

# Tasks of draws: enough for all cores of a small machine.
TASKS = 8
# Draws through the decoder in one pass; log-weights (draws x data) of a pass, unless that leaves too few
# draws.
DRAWS_PER_PASS, FEWEST_PER_PASS, VALUES_PER_PASS = 512, 32, 2**19


def stream_prior(
    model: Model, theta: Floats, terms: Floats, n_samples: int, rng: np.random.Generator
) -> RunningWeights:
    """Return the RunningWeights p(x_n | z_s) of n_samples draws that all data share.

    Noise and z are float64; a network runs in the dtype of theta.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    terms : ndarray (N, T)
        `model.data_terms` of x.
    n_samples : int
        May be 0.
    rng : numpy.random.Generator
    """
    running, eta = RunningWeights(len(terms)), model.prior_eta(theta)
    per_pass = int(np.clip(VALUES_PER_PASS // len(terms), FEWEST_PER_PASS, DRAWS_PER_PASS))
    for start in range(0, n_samples, per_pass):
        noise = draw_noise(model.family.noise_spec(min(per_pass, n_samples - start), 1), rng)
        running.add(model.shared_likelihood(theta, terms, model.family.sample(eta, noise)))
    return running


def prior_nll(
    model: Model,
    theta: Floats,
    x: Floats,
    n_samples: int = 4096,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Nll:
    """Return estimates of -log p(x_n) by draws from the prior, with their standard errors.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
        In float32 the network runs in float32; weights are added in float64.
    x : ndarray (N, D)
    n_samples : int
        S, at least 2, shared by all data; memory does not grow with it.
    seed : int
    threads : int, optional
        The result does not depend on it; all cores if not given.
    progress : callable, optional
        Called as progress(draws done, all draws) after every task.

    Returns
    -------
    Nll
    """
    table, theta = check_table(x, "data", model.n_columns), model.check_theta(theta)
    check_count("n_samples", n_samples, 2)
    threads = check_threads(threads)
    draws = [(n_samples + task) // TASKS for task in range(TASKS)]
    streams = np.random.SeedSequence(check_count("seed", seed, 0)).spawn(TASKS)
    blocks = [slice(len(table) * task // TASKS, len(table) * (task + 1) // TASKS) for task in range(TASKS)]
    running = RunningWeights(len(table))
    no_terms = model.data_terms(theta, table[:0].astype(theta.dtype))
    terms = np.empty((len(table), *no_terms.shape[1:]), no_terms.dtype)

    def write_terms(block: slice) -> None:
        terms[block] = model.data_terms(theta, table[block].astype(theta.dtype, copy=False))

    def weights_of_task(n_draws: int, stream: np.random.SeedSequence) -> RunningWeights:
        return stream_prior(model, theta, terms, n_draws, np.random.default_rng(stream))

    with thread_pool(threads) as pool:
        list(pool.map(write_terms, blocks))
        for weights in pool.map(weights_of_task, draws, streams):
            if weights.count:
                running.add_sums(weights)
            if progress is not None:
                progress(running.count, n_samples)
    return Nll.of([running])
