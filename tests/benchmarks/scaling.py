"""How time and memory grow: each work at several sizes, one letter at a time.

    python tests/benchmarks/scaling.py --json FILE

The lines of `docs/cost.md`. Time is the median of several calls; memory is the peak of the arrays that one
call allocates (tracemalloc), in a call of its own, since tracing costs time.
"""

import argparse
import json
import sys
import time
import tracemalloc
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median

import numpy as np
from machine import describe
from work import SetUp

from elbo_lab import Problem
from elbo_lab.distributions import draw_noise
from elbo_lab.em.mixture import MixtureEM
from elbo_lab.em.starts import mixture_start
from elbo_lab.estimators import ESTIMATORS, NO_STATE
from elbo_lab.evaluation import importance_nll
from elbo_lab.models import PPCA, DeepBernoulli, GaussianMixture
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.study.weight_variance import weight_variance
from elbo_lab.threads import single_threaded_blas

BY_NAME = {estimator.name: estimator for estimator in ESTIMATORS}


@dataclass(frozen=True)
class Sweep:
    """One work, with a standard size and the values that each letter goes through."""

    name: str
    make: SetUp
    standard: dict
    values: dict

    def measure(self):
        """Yield one dict of letter, value, ms, mb for every size."""
        for letter, values in self.values.items():
            for value in values:
                once = self.make(**{**self.standard, letter: value})
                ms, mb = time_of(once), memory_of(once)
                yield {"work": self.name, "letter": letter, "value": value, "ms": ms, "mb": mb}


def time_of(once, seconds=0.5):
    """Return the median time of a call in ms."""
    once()
    spent = []
    while len(spent) < 3 or (sum(spent) < seconds and len(spent) < 50):
        start = time.perf_counter()
        once()
        spent.append(time.perf_counter() - start)
    return 1e3 * median(spent)


def memory_of(once):
    """Return the peak of what one call allocates, in MB."""
    tracemalloc.start()
    once()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def em_iteration(N, D, C):
    """An E-step and an M-step of a mixture with full covariances."""
    rng = np.random.default_rng(0)
    centres = 4.0 * rng.standard_normal((C, D))
    x = centres[rng.integers(0, C, N)] + rng.standard_normal((N, D))
    model = GaussianMixture(D, C, variant="full")
    problem = MixtureEM(model, x, 1e-6)
    # Two places in turn: at one and the same theta the E-step would be remembered.
    places = cycle([mixture_start(model, x[:2000], rng, 1e-6) for _ in range(2)])
    return lambda: problem.m_step(problem.e_step(next(places)))


def gradient_of_ppca(N, D, K, S):
    """One pathwise gradient of the ELBO in phi."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, D))
    model = PPCA(D, K)
    posterior = FreePosterior(model.family, N)
    theta, phi = model.random_theta(x, rng), posterior.initial(rng)
    estimator = BY_NAME["reparameterization"]
    noise = draw_noise(estimator.noise_spec(model.family, S, N), rng)
    return lambda: estimator.estimate(Problem(model, posterior, theta, phi, x), noise, NO_STATE)


def vae(N, H, K):
    """A Bernoulli VAE of MNIST's size in float32: model, posterior, theta, phi, x, rng."""
    rng = np.random.default_rng(0)
    x = (rng.random((N, 784)) < 0.2).astype(np.float32)
    model = DeepBernoulli(784, K, (H,))
    posterior = AmortisedPosterior.for_pixels(model.family, x, (H,))
    theta = model.random_theta(x, rng).astype(np.float32)
    return model, posterior, theta, posterior.initial(rng).astype(np.float32), x, rng


def gradient_of_vae(N, H, K, S):
    """One pathwise gradient of the ELBO in theta and phi, through both networks."""
    model, posterior, theta, phi, x, rng = vae(N, H, K)
    in_theta = BY_NAME["elbo-analytic-kl"]
    in_phi = BY_NAME["reparameterization-analytic-kl"]
    noise = draw_noise(in_phi.noise_spec(model.family, S, N), rng, dtype=np.float32)

    def once():
        in_theta.estimate(Problem(model, posterior, theta, phi, x), noise, NO_STATE)
        in_phi.estimate(Problem(model, posterior, theta, phi, x), noise, NO_STATE)

    return once


def nll(N, H, K, S):
    """Importance-sampled log p(x)."""
    model, posterior, theta, phi, x, _ = vae(N, H, K)
    return lambda: importance_nll(Problem(model, posterior, theta, phi, x), n_samples=S, threads=1)


def variances(N, H, K, S):
    """The variance of every weight's gradient."""
    model, posterior, theta, phi, x, rng = vae(N, H, K)
    noise = draw_noise(model.family.noise_spec(S, N), rng, dtype=np.float32)
    return lambda: weight_variance(model, posterior, theta, phi, x, noise)


SWEEPS = (
    Sweep(
        "EM iteration, full covariances",
        em_iteration,
        {"N": 20_000, "D": 8, "C": 8},
        {"N": [10_000, 40_000, 160_000, 640_000], "D": [4, 8, 16, 32, 64], "C": [4, 8, 16, 32, 64]},
    ),
    Sweep(
        "gradient in phi, PPCA",
        gradient_of_ppca,
        {"N": 100, "D": 64, "K": 8, "S": 10},
        {"N": [25, 100, 400, 1600], "D": [32, 128, 512], "K": [4, 8, 16, 32], "S": [10, 40, 160, 640]},
    ),
    Sweep(
        "gradient in theta and phi, VAE",
        gradient_of_vae,
        {"N": 100, "H": 200, "K": 20, "S": 1},
        {"N": [50, 100, 200, 400], "H": [100, 200, 400, 800], "K": [10, 20, 40, 80], "S": [1, 4, 16, 64]},
    ),
    Sweep(
        "importance-sampled log p, VAE",
        nll,
        {"N": 20, "H": 200, "K": 20, "S": 500},
        {"N": [20, 80, 320], "H": [100, 200, 400, 800], "S": [500, 2000, 8000, 32000]},
    ),
    Sweep(
        "variance of every weight, VAE",
        variances,
        {"N": 10, "H": 200, "K": 20, "S": 16},
        {"N": [10, 40, 160], "H": [100, 200, 400, 800], "S": [16, 64, 256, 1024]},
    ),
)


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", metavar="FILE", type=Path, required=True)
    options = parser.parse_args(words)
    lines = []
    # One core throughout: with more, the size at which BLAS begins to share would look like a law.
    with single_threaded_blas():
        for sweep in SWEEPS:
            print(f"{sweep.name} ...", file=sys.stderr, flush=True)
            lines += sweep.measure()
    result = {"schema": 1, "machine": describe(), "lines": lines}
    Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
