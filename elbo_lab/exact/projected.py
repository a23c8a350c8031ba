"""Expectations of a sum over linear forms: one-dimensional quadrature for any number of latents.

Where log p(x | z) = c sum_m g(a_m) with a = A z (`LinearPredictor`), only the law of each a_m matters.
Under a Gaussian q it is N(mu_m, sd_m^2), and

    E_q log p(x, z) = c sum_m E g(mu_m + sd_m eps) + E_q log N(z; 0, I),      eps ~ N(0, 1)

with derivatives E g' in mu_m and E eps g' in sd_m. The integrals are trapezoid sums over the noise,
which for an analytic integrand converge faster than any power of the step (Trefethen and Weideman
2014). log sigmoid has poles at distance pi / sd_m from the real line: a wide q needs a finer step, and
the step is halved until each row has converged. The last change is reported as the error.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeGuard

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family
from elbo_lab.errors import NotApplicable
from elbo_lab.exact.answer import Expectation
from elbo_lab.exact.quadrature import RUNG as RUNG
from elbo_lab.exact.quadrature import ToleranceMissed
from elbo_lab.models import LinearPredictor
from elbo_lab.models.base import Model
from elbo_lab.special import LOG_2PI

Integrand = Callable[[Floats, Floats], Floats]
"""(a (J, G), eps (G,)) -> the P functions to integrate (P, J, G)."""

# Of a row, of which a table has hundreds; the true error is about the square of the last change.
TOLERANCE = 1e-10
# Beyond it the normal density is below 1e-18 of its peak.
HALF_WIDTH = 9.0
FIRST_STEP = 0.25
MAX_HALVINGS = 12
# Rows times nodes per pass: arrays that stay in the cache.
PAIRS_PER_PASS = 1 << 17


def applies(model: Model, family: Family | None = None) -> TypeGuard[LinearPredictor]:
    """Whether x depends on linear forms of z alone, and q is Gaussian."""
    return isinstance(model, LinearPredictor) and family is not None and family.gaussian


def _sums(integrand: Integrand, mean: Floats, std: Floats, eps: Floats) -> Floats:
    """Return the density-weighted sums over nodes eps (G,) of the P functions of the integrand (P, J)."""
    weights = np.exp(-0.5 * eps**2 - 0.5 * LOG_2PI)
    total = np.zeros((1, len(mean)))
    per_pass = max(1, PAIRS_PER_PASS // len(mean))
    for start in range(0, len(eps), per_pass):
        nodes = slice(start, start + per_pass)
        total = total + integrand(mean[:, None] + std[:, None] * eps[nodes], eps[nodes]) @ weights[nodes]
    return total


def normal_integrals(integrand: Integrand, mean: Floats, std: Floats) -> tuple[Floats, Floats]:
    """Return E integrand(mean_j + std_j eps, eps), eps ~ N(0, 1), for each j, and the last changes.

    Parameters
    ----------
    integrand : callable
        (a (J, G), eps (G,)) -> the P functions to integrate (P, J, G).
    mean, std : ndarray (J,)

    Returns
    -------
    value, change : ndarray (P, J)

    Raises
    ------
    ToleranceMissed
        If a step of 0.25 / 2^12 still changes an integral by more than 1e-10 of its size (at least 1).
    """
    step, pending = FIRST_STEP, np.arange(len(mean))
    nodes = step * np.arange(-round(HALF_WIDTH / step), round(HALF_WIDTH / step) + 1)
    coarse = step * _sums(integrand, mean, std, nodes)
    value, change = np.empty((2, *coarse.shape))
    for _ in range(MAX_HALVINGS):
        between = step * np.arange(-round(HALF_WIDTH / step), round(HALF_WIDTH / step)) + 0.5 * step
        fine = 0.5 * (coarse + step * _sums(integrand, mean[pending], std[pending], between))
        value[:, pending], change[:, pending] = fine, np.abs(fine - coarse)
        changes = np.any(np.abs(fine - coarse) > TOLERANCE * np.maximum(1.0, np.abs(fine)), axis=0)
        pending, coarse, step = pending[changes], fine[:, changes], 0.5 * step
        if not len(pending):
            return value, change
    raise ToleranceMissed


def _with_slopes(model: LinearPredictor, a: Floats, eps: Floats) -> Floats:
    slope = model.link_slope(a)
    return np.stack([model.link(a), slope, eps * slope])


def _value(model: LinearPredictor, a: Floats, eps: Floats) -> Floats:  # noqa: ARG001 - the contract of an integrand
    return model.link(a)[None]


def _probability(model: LinearPredictor, a: Floats, eps: Floats) -> Floats:  # noqa: ARG001
    return np.exp(model.link(a))[None]


def _integrals(
    model: LinearPredictor,
    integrand: Callable[[LinearPredictor, Floats, Floats], Floats],
    mean: Floats,
    std: Floats,
) -> tuple[Floats, Floats]:
    """Return the integrals (P, N, M) of an integrand for all rows, and their changes."""
    value, change = normal_integrals(partial(integrand, model), mean.ravel(), std.ravel())
    return value.reshape(-1, *mean.shape), change.reshape(-1, *mean.shape)


def row_probabilities(model: Model, x: Floats, family: Family, eta: Floats) -> Floats:
    """Return E_q exp g(a_m) (N, M): the predictive probability of what was observed in each row.

    Raises
    ------
    NotApplicable
        If x does not depend on linear forms of z alone.
    ToleranceMissed
    """
    if not isinstance(model, LinearPredictor):
        raise NotApplicable(f"{model.label} does not predict rows from linear forms of z")
    mean, std, _ = family.projected(eta, model.predictors(x)[0])
    return _integrals(model, _probability, mean, std)[0][0]


def _under_prior(family: Family, eta: Floats) -> tuple[Floats, Floats]:
    """Return E_q log N(z; 0, I) (N,) and its gradient (N, E): the coordinates are linear forms too."""
    unit = np.broadcast_to(np.eye(family.size), (len(eta), family.size, family.size))
    mean, std, pullback = family.projected(eta, unit)
    value = -0.5 * (mean**2 + std**2).sum(axis=-1) - 0.5 * family.size * LOG_2PI
    return value, pullback(-mean, -std)


def expected_log_joint(
    model: LinearPredictor,
    theta: Floats,  # noqa: ARG001 - theta is empty
    x: Floats,
    family: Family,
    eta: Floats,
) -> tuple[Floats, Floats]:
    """Return E_q log p(x_n, z) (N,) and its last change (N,), or raise ToleranceMissed."""
    directions, factor = model.predictors(x)
    mean, std, _ = family.projected(eta, directions)
    value, change = _integrals(model, _value, mean, std)
    prior, _ = _under_prior(family, eta)
    return factor * value[0].sum(axis=-1) + prior, factor * change[0].sum(axis=-1)


def expectation(model: LinearPredictor, theta: Floats, x: Floats, family: Family, eta: Floats) -> Expectation:  # noqa: ARG001
    """Return E_q log p(x, z) and its gradients, or raise ToleranceMissed."""
    directions, factor = model.predictors(x)
    mean, std, pullback = family.projected(eta, directions)
    value, change = _integrals(model, _with_slopes, mean, std)
    prior, prior_grad = _under_prior(family, eta)
    fine = pullback(*(factor * value[1:]))
    # The pullback is linear: the sum of the changes of the rows if none cancels another.
    unsigned = family.projected(eta, np.abs(directions))[2]
    error = np.abs(unsigned(*(factor * change[1:])))
    no_gradient = np.zeros(model.layout.size)
    return Expectation(
        RUNG,
        factor * value[0].sum(axis=-1) + prior,
        factor * change[0].sum(axis=-1),
        no_gradient,
        no_gradient,
        (fine + prior_grad) / len(x),
        error / len(x),
    )
