"""The best q in its family where the ELBO is exact: ascent of E_q log p(x, z) + H(q) in eta.

With a formula for the expectation, one-dimensional integrals (`elbo_lab.exact.projected`) or a sum over every
value of z, the fit has no noise and no step size; only the start is particular.

*Models of linear forms.* The mode with the precision of each coordinate given the others or, with a full
covariance, the inverse of the whole precision: the optimum itself if the posterior were Gaussian.

*Bits.* The ELBO of factorised q (mean field) has several maxima in general: bits that explain the same pixels
take turns. The ascent begins at the marginals of the exact posterior, the factorised q that is closest to
it in the other direction, KL(p(z | x) || q), and finds the maximum next to it.
"""

from typing import cast

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import CategoricalVector, DiagonalGaussian, Family, FullGaussian
from elbo_lab.exact import elimination, expectation
from elbo_lab.exact.entropies import entropy_and_gradient
from elbo_lab.exact.enumeration import all_values
from elbo_lab.exact.laplace import mode_and_precision
from elbo_lab.models import BeliefNet, LinearPredictor, Model
from elbo_lab.optimise.ascent import ascend
from elbo_lab.special import softmax

# The ascent must be able to leave its start: the slope in a logit carries the factor p (1 - p).
LEAST_PROBABILITY = 0.01


def ascend_exact_elbo(
    model: Model,
    theta: Floats,
    x: Floats,
    start: Floats,
    family: Family | None = None,
    max_iterations: int = 500,
    tolerance: float = 1e-15,
) -> Floats:
    """Return the eta (N, E) at which the exact ELBO is maximal, at a given theta.

    Parameters
    ----------
    model : Model
        With E_q log p(x, z) exact for this family.
    theta : ndarray (P,)
    x : ndarray (N, D)
    start : ndarray (N, E)
    family : Family, optional
        Of q; the model's own if not given.
    max_iterations : int
    tolerance : float
        Relative change of the mean ELBO at which it stops.
    """
    q = model.posterior_family if family is None else family

    def objective(vector: Floats) -> tuple[float, Floats]:
        eta = vector.reshape(start.shape)
        found = expectation(model, theta, x, eta, q)
        entropy, _, entropy_by_eta, _ = entropy_and_gradient(q, eta)
        by_eta = found.grad_eta + entropy_by_eta / len(x)
        return float((found.value + entropy).mean()), by_eta.ravel()

    return ascend(objective, start.ravel(), max_iterations, tolerance=tolerance).reshape(start.shape)


def maximise_exact_elbo(
    model: LinearPredictor,
    theta: Floats,
    x: Floats,
    family: DiagonalGaussian | FullGaussian | None = None,
    max_iterations: int = 500,
) -> Floats:
    """Return the eta (N, E) of greatest ELBO of a model of linear forms in a family of Gaussians.

    Parameters
    ----------
    model : LinearPredictor
    theta : ndarray (P,)
    x : ndarray (N, D)
    family : DiagonalGaussian or FullGaussian, optional
        The model's own diagonal family if not given.
    max_iterations : int

    Returns
    -------
    ndarray (N, E)
    """
    q = cast(DiagonalGaussian, model.family) if family is None else family
    start = q.closest_to(*mode_and_precision(model, x))
    return ascend_exact_elbo(model, theta, x, start, q, max_iterations, tolerance=1e-14)


def marginal_logits(model: Model, theta: Floats, x: Floats) -> Floats:
    """Return the logits (N, E) of the exact posterior marginals of every bit, not beyond 0.01 and 0.99.

    Of a vector of categories they are those of every category, log p.

    Parameters
    ----------
    model : Model
        With bits, or a vector of categories, as latents.
    theta : ndarray (P,)
    x : ndarray (N, D)
    """
    if elimination.applies(model):
        marginals = elimination.posterior_marginals(cast(BeliefNet, model), theta, x)
    else:
        z = all_values(model.family, len(x))
        posterior = softmax(model.log_joint(theta, x, z), axis=0)
        if isinstance(model.family, CategoricalVector):
            shares = posterior.T @ model.family.one_hot(z[:, 0])
            return np.log(np.maximum(shares, LEAST_PROBABILITY))
        marginals = posterior.T @ z[:, 0, :]
    p = np.clip(marginals, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return np.log(p) - np.log1p(-p)
