"""One whole estimate, ten data and ten draws: what a call costs before there is any work to speak of.

The estimators themselves are the definition; nothing stands beside them.
"""

from functools import partial

import numpy as np
from work import Work

from elbo_lab import Problem
from elbo_lab.distributions import draw_noise
from elbo_lab.estimators import Reparameterization, ScoreFunction, ScoreFunctionLOO
from elbo_lab.models import PPCA, GaussianMixture
from elbo_lab.posteriors import FreePosterior

DATA = DRAWS = 10


def one_estimate(model, columns, estimator):
    """Return the estimator's call on a table of normal numbers, q at random near the prior."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((DATA, columns))
    theta = 0.3 * rng.standard_normal(model.layout.size)
    posterior = FreePosterior(model.family, DATA)
    phi = 0.3 * rng.standard_normal(posterior.layout.size)
    noise = draw_noise(estimator.noise_spec(model.family, DRAWS, DATA), rng)
    return lambda: estimator.estimate(Problem(model, posterior, theta, phi, x), noise)


MIXTURE, LINEAR = ("mixture", GaussianMixture(2, 2), 2, 0.1), ("ppca-64", PPCA(64, 10), 64, 0.2)
# A category has no path: the mixture is without reparameterization.
PAIRS = [
    (case, estimator) for case in (MIXTURE, LINEAR) for estimator in (ScoreFunction(), ScoreFunctionLOO())
]
PAIRS.append((LINEAR, Reparameterization()))
WORKS = [
    Work(f"estimator-{name} {estimator.name}", partial(one_estimate, model, columns, estimator), most_ms=most)
    for (name, model, columns, most), estimator in PAIRS
]
