"""Checks of a user's models and estimators before anything is measured.

    model, slopes, draws    `check_model`: shapes, derivatives and draws against log p(x, z)
    unbiased                `check_unbiased`: is an estimator what it declares?
    contract                what an estimator promises besides its expectation
    problems                small problems: few data, one or two latents, every kind of z and of q
    integrals               mean and variance of an estimate over all of its noise
    rules, measure_rules    nodes and weights for the noise of one datum
    differences             the ELBO and its gradients where a model has kinks

`compare` and `fit` check a model that is not the package's own before they begin.
"""

from elbo_lab.checking.model import ModelCheck, check_model
from elbo_lab.checking.unbiased import EstimatorCheck, check_unbiased

__all__ = ["EstimatorCheck", "ModelCheck", "check_model", "check_unbiased"]
