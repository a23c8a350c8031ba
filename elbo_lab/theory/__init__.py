"""The variance of gradient estimators without sampling: why one is less noisy than another, as numbers.

    quadratic     Gaussian q, log p(x, z) quadratic in z: closed form (gaussian-mle, ppca, factor-analysis)
    enumerated    discrete z: sums over all values
    integrated    one or two continuous latents under any model: quadrature
    costs         one-dimensional costs f(z) under N(mu, sigma^2), for every Gaussian estimator
    by_family     the same costs under every other continuous family: score function or pathwise
    cost_model    a cost as a model, so that every estimator runs on it
    collapse      which latents of a linear VAE stay in use, for any weight of the KL
    weight_law    the variance of an importance weight, and the draws that log p(x) needs

`gradient_variances` takes the first of the first three that applies.
"""

from elbo_lab.theory.by_family import family_variances
from elbo_lab.theory.collapse import Collapse, predict_active_units
from elbo_lab.theory.costs import COSTS, Cost, cost_variances, crossover
from elbo_lab.theory.variances import (
    free_variances,
    gradient_variances,
    known_variances,
    known_variances_by_draws,
)
from elbo_lab.theory.weight_law import WeightLaw, weight_laws

__all__ = [
    "COSTS",
    "Collapse",
    "Cost",
    "WeightLaw",
    "cost_variances",
    "crossover",
    "family_variances",
    "free_variances",
    "gradient_variances",
    "known_variances",
    "known_variances_by_draws",
    "predict_active_units",
    "weight_laws",
]
