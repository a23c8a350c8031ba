"""One whole estimate, ten data and ten draws: what a call costs before there is any work to speak of.

The estimators themselves are the definition; nothing stands beside them.
"""

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


def mixture_score_function():
    return one_estimate(GaussianMixture(2, 2), 2, ScoreFunction())


def mixture_score_function_loo():
    return one_estimate(GaussianMixture(2, 2), 2, ScoreFunctionLOO())


def ppca_score_function():
    return one_estimate(PPCA(64, 10), 64, ScoreFunction())


def ppca_score_function_loo():
    return one_estimate(PPCA(64, 10), 64, ScoreFunctionLOO())


def ppca_reparameterization():
    return one_estimate(PPCA(64, 10), 64, Reparameterization())


# A category has no path: the mixture is without reparameterization.
WORKS = (
    Work("estimator-mixture score-function", mixture_score_function, most_ms=0.1),
    Work("estimator-mixture score-function-loo", mixture_score_function_loo, most_ms=0.1),
    Work("estimator-ppca-64 score-function", ppca_score_function, most_ms=0.2),
    Work("estimator-ppca-64 score-function-loo", ppca_score_function_loo, most_ms=0.2),
    Work("estimator-ppca-64 reparameterization", ppca_reparameterization, most_ms=0.2),
)
