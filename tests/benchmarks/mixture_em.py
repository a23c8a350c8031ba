"""EM for Gaussian mixtures: the time of one iteration, and of a whole small fit.

One iteration is E-step, M-step, both bounds and the log-likelihood, on overlapping clouds. scikit-learn's
iteration is its own pair `_e_step` and `_m_step` on a fitted `GaussianMixture`, from the same means, weights
and precisions and without its regularisation; its log-likelihood comes with the E-step. The limit is the
arithmetic alone, at the greatest speed that the machine has: a matrix product of as many multiply-adds as the
two triangles (densities, moments) and the polynomial of one exponential take for every datum and component,
half of it on each of two threads.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from work import Work, in_numpy

from elbo_lab.datasets import load
from elbo_lab.em import EMFit, EMRun, MixtureEM, fit_em
from elbo_lab.em.variational_bayes import VariationalFit
from elbo_lab.models import GaussianMixture
from elbo_lab.threads import available_cores, single_threaded_blas

FLOOR = 1e-9
FAITHFUL_ITERATIONS = 100
# Multiply-adds of one exponential in double precision: the terms of its polynomial.
EXPONENTIAL = 10
# Of the matrices whose product runs at the speed of the registers.
SIDE = 256


def clouds(n_data, n_columns, n_components, variant):
    """Return (model, x, theta): clouds about two standard deviations apart, and a start beside the truth.

    Every covariance of the truth is the unit matrix.
    """
    rng = np.random.default_rng(7)
    model = GaussianMixture(n_columns, n_components, variant)
    truth = model.layout.pack({"mean": 2.0 * rng.standard_normal((n_components, n_columns))})
    means = model.layout.views(truth)["mean"]
    x = means[rng.integers(n_components, size=n_data)] + rng.standard_normal((n_data, n_columns))
    return model, x, truth + 0.1 * rng.standard_normal(truth.shape)


def iteration(n_data, n_columns, n_components, variant):
    """Return one iteration of ours."""
    model, x, theta = clouds(n_data, n_columns, n_components, variant)
    run = EMRun(MixtureEM(model, x, FLOOR, available_cores()), theta, max_iterations=10**6)

    def work():
        with single_threaded_blas():
            run.advance()

    return work


def iteration_by_definition(*size):
    """Return one iteration of ours in NumPy."""
    return in_numpy(iteration(*size))


def multiply_adds(n_data, n_columns, n_components, variant):
    """Return matrix products with the multiply-adds of an iteration, and nothing else."""
    products = n_columns * (n_columns + 1) // 2 if variant == "full" else n_columns
    return arithmetic(n_data * n_components * (2 * products + EXPONENTIAL))


def arithmetic(count):
    """Return matrix products with so many multiply-adds, half of them on each of two threads."""
    factor = np.random.default_rng(0).standard_normal((SIDE, SIDE))

    def half(_part):
        out = np.empty_like(factor)
        for _ in range(round(count / (2 * SIDE**3))):
            np.matmul(factor, factor, out=out)

    def work():
        with single_threaded_blas(), ThreadPoolExecutor(2) as pool:
            list(pool.map(half, range(2)))

    return work


def scikit_learn(n_data, n_columns, n_components, variant):
    """Return a pair of steps of scikit-learn's."""
    from sklearn.mixture import GaussianMixture as PeerMixture

    model, x, theta = clouds(n_data, n_columns, n_components, variant)
    t = model.described(theta)
    precisions = np.linalg.inv(t["covariances"])
    peer = PeerMixture(
        n_components,
        covariance_type={"full": "full", "diagonal": "diag"}[variant],
        reg_covar=0.0,
        weights_init=t["weights"],
        means_init=t["means"],
        precisions_init=precisions if variant == "full" else np.diagonal(precisions, axis1=1, axis2=2),
    )
    peer._initialize_parameters(x, np.random.RandomState(0))

    def work():
        _, log_r = peer._e_step(x)
        peer._m_step(x, log_r)

    return work


def _mixture(name, size, least):
    return Work(
        name=name,
        ours=partial(iteration, *size),
        definition=partial(iteration_by_definition, *size),
        limit=partial(multiply_adds, *size),
        peers={"scikit-learn": partial(scikit_learn, *size)},
        least_over_peer={"scikit-learn": least},
    )


def faithful():
    """Return a fit of Old Faithful of exactly 100 iterations, from two components that are nearly one."""
    x, model = load("faithful").x, GaussianMixture(2, 2, "full")
    spread = x.std(axis=0)
    start = model.layout.pack(
        {
            "mean": x.mean(axis=0) + 1e-6 * np.array([spread, -spread]),
            **model.covariance.stored(np.array([np.cov(x.T)] * 2)),
        }
    )

    def work():
        fit = fit_em(model, x, start=start, tolerance=1e-300, max_iterations=FAITHFUL_ITERATIONS)
        if len(fit.history) != FAITHFUL_ITERATIONS + 1:
            raise RuntimeError(f"{len(fit.history) - 1} iterations were made, not {FAITHFUL_ITERATIONS}")

    return work


def further(prior=None, variational=False):
    """Return at most a hundred iterations from a k-means start: of MAP, or of variational Bayes."""
    x, model = load("faithful").x, GaussianMixture(2, 6, "full")
    settings = {"restarts": 1, "tolerance": 1e-300, "max_iterations": FAITHFUL_ITERATIONS, "threads": 1}

    def work():
        found = (
            VariationalFit(model, x, **settings) if variational else EMFit(model, x, prior=prior, **settings)
        )
        with single_threaded_blas():
            while found.advance() is not None:
                pass

    return work


def faithful_by_definition():
    """Return the same fit in NumPy."""
    return in_numpy(faithful())


WORKS = (
    _mixture("em-2d-10-full", (1_000_000, 2, 10, "full"), 80.0),
    _mixture("em-16d-16-full", (200_000, 16, 16, "full"), 12.0),
    _mixture("em-16d-16-diagonal", (200_000, 16, 16, "diagonal"), 8.0),
    Work(name="em-faithful-100", ours=faithful, definition=faithful_by_definition, most_ms=20.0),
    Work(name="map-faithful-100", ours=partial(further, prior="default"), most_ms=120.0),
    Work(name="variational-bayes-faithful-100", ours=partial(further, variational=True), most_ms=200.0),
)
