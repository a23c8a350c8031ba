"""Exact Renyi and chi-square bounds of a model: enumeration or quadrature under q.

    L_alpha = 1 / (1 - alpha) log E_q[w^(1 - alpha)],   CUBO_n = L_(1 - n)

(`bounds.renyi`.) With the ELBO below and CUBO above, log p(x) is bracketed without being known. The power
n >= 2 of the weights depends on the tails: where q is narrower than the posterior by more than a factor
sqrt((n - 1) / n), E w^n of a Gaussian posterior is infinite, and no quadrature converges.
"""

from itertools import pairwise

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.bounds import exact_renyi_bound, log_weight
from elbo_lab.bounds.renyi import check_order
from elbo_lab.distributions import Family
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import enumeration, quadrature
from elbo_lab.exact.rules import noise_rules
from elbo_lab.models import Model


def measure_renyi(
    model: Model, theta: Floats, x: Floats, eta: Floats, alpha: float, family: Family | None = None
) -> tuple[Floats, Floats]:
    """Return the Renyi bound L_alpha of each datum, exact.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    eta : ndarray (N, E)
        Of q.
    alpha : float
        Any number but 1; finite where z is continuous.
    family : Family, optional
        Of q; the model's own if not given.

    Returns
    -------
    value, error : ndarray (N,)
        In nats; the error is the last change of the quadrature, zero for a sum over all values.

    Raises
    ------
    NotApplicable
        With three continuous latents or more, or where no quadrature converges: the bound may be infinite.
    """
    family = model.posterior_family if family is None else family
    if enumeration.applies(model):
        z = enumeration.all_values(family, len(x))
        log_w = log_weight(model, theta, x, family, eta, z)
        value = exact_renyi_bound(log_w, family.log_prob(eta, z), alpha)
        return value, np.zeros_like(value)
    name = f"the Renyi bound of alpha = {alpha:g} of {model.label}"
    if not (quadrature.applies(model) and np.isfinite(alpha)):
        wanted = "needs a finite alpha and one or two latents, or a discrete z"
        raise NotApplicable(f"{name} {wanted}")

    def by_rule(rule: tuple[Floats, Floats]) -> Floats:
        passes = list(quadrature.passes_under_q(family, eta, rule))
        log_w = np.concatenate([log_weight(model, theta, x, family, eta, z) for _, _, z in passes])
        log_q = np.log(np.concatenate([w for _, w, _ in passes]))
        return exact_renyi_bound(log_w, np.broadcast_to(log_q, log_w.shape), alpha)

    for previous, value in pairwise(map(by_rule, noise_rules(model.latent_dim))):
        change = np.abs(value - previous)
        if (change <= quadrature.TOLERANCE * np.maximum(1.0, np.abs(value))).all():
            return value, change
    reason = "quadrature does not converge; q may be too narrow for a finite bound"
    raise NotApplicable(f"{name} is not known exactly: {reason}")


def measure_cubo(
    model: Model, theta: Floats, x: Floats, eta: Floats, order: float = 2, family: Family | None = None
) -> tuple[Floats, Floats]:
    """Return CUBO_n of each datum, an upper bound of log p(x), and its error; see `measure_renyi`."""
    return measure_renyi(model, theta, x, eta, 1.0 - check_order(order), family)
