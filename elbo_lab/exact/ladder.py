"""The ladder: exact values and gradients from the first rung that applies to a model.

The rungs are closed form (the model has formulas), enumeration (discrete z), quadrature (expectations over
linear forms of any number of latents under a Gaussian q, otherwise one or two continuous latents; if it meets
its tolerance), and a long run.

`evidence` and `expectation` come with gradients. `log_evidence` and `expected_log_joint` are their values
alone, for a fraction of the time. They never fall back to Monte Carlo.
"""

from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import (
    closed_form,
    coupled,
    cubature,
    elimination,
    enumeration,
    laplace,
    long_run,
    projected,
    quadrature,
)
from elbo_lab.exact.answer import Bound, Evidence, Expectation
from elbo_lab.exact.graphs import posterior as observed_cells
from elbo_lab.models.base import Model

# From the top of the ladder down, without the long run; all have functions of the same names.
RUNGS: tuple[ModuleType, ...] = (
    observed_cells,
    closed_form,
    cubature,
    elimination,
    enumeration,
    projected,
    quadrature,
)
# The seed of long runs: references must not change with the seed of the study that uses them.
LONG_RUN_SEED = 20_210_704

Answer = TypeVar("Answer")


def climb(
    model: Model, family: Family | None, ask: Callable[[ModuleType], Answer]
) -> tuple[Answer, str] | tuple[None, str]:
    """Return the answer and the name of the first rung that applies and converges; else None and ''.

    `family` is that of q, or None for quantities without a q; `ask` returns the answer of a rung.
    """
    for rung in RUNGS:
        if rung.applies(model, family):
            try:
                return ask(rung), rung.RUNG
            except quadrature.ToleranceMissed:
                continue
    return None, ""


def _one_per_datum(family: Family, x: Floats, eta: Floats) -> Floats:
    return np.broadcast_to(eta, (len(x), family.eta_size))


def evidence(model: Model, theta: Floats, x: Floats, proposal: Floats | None = None) -> Evidence:
    """Return log p(x) and its gradient on the best rung.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    proposal : ndarray (N, E), optional
        Parameters of the proposal of a long run, if no other rung applies; the prior if not given.
        Ignored if the model supplies a better proposal (`laplace`).

    Returns
    -------
    Evidence
    """
    answer, _ = climb(model, None, lambda rung: rung.evidence(model, theta, x))
    return sampled_evidence(model, theta, x, proposal) if answer is None else answer


def sampled_evidence(model: Model, theta: Floats, x: Floats, proposal: Floats | None = None) -> Evidence:
    """Return the answer of the last rung to `evidence`, whether or not another applies."""
    rng = np.random.default_rng(LONG_RUN_SEED)
    if laplace.applies(model):
        return laplace.evidence(model, theta, x, rng)
    if proposal is None:
        return long_run.evidence(model, theta, x, model.family, model.prior_eta(theta), rng)
    return long_run.evidence(model, theta, x, model.posterior_family, proposal, rng)


def expectation(
    model: Model, theta: Floats, x: Floats, eta: Floats, family: Family | None = None
) -> Expectation:
    """Return E_q log p(x, z) and its gradients on the best rung.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    eta : ndarray (N, E)
    family : Family, optional
        Of q; that of the model's own q if not given.

    Returns
    -------
    Expectation
    """
    family = model.posterior_family if family is None else family
    eta = _one_per_datum(family, x, eta)
    answer, _ = climb(model, family, lambda rung: rung.expectation(model, theta, x, family, eta))
    return sampled_expectation(model, theta, x, family, eta) if answer is None else answer


def sampled_expectation(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Expectation:
    """Return the answer of the last rung to `expectation`, whether or not another applies."""
    return long_run.expectation(model, theta, x, family, eta, np.random.default_rng(LONG_RUN_SEED))


def importance_weighted_bound(
    model: Model,
    theta: Floats,
    x: Floats,
    eta: Floats,
    n_draws: int | None,
    family: Family | None = None,
    tolerance: float = coupled.TOLERANCE,
    power: float = 1.0,
) -> Bound:
    """Return (1/a) E_q log (1/K) sum_k w_k^a, K = `n_draws` and a = `power`, and its gradients.

    On the best rung. With a = 1 it is the importance-weighted bound, with n_draws None that of infinitely
    many draws. `tolerance` is that of the last change of a quadrature; the other parameters are those of
    `expectation`.

    Returns
    -------
    Bound
    """
    family = model.posterior_family if family is None else family
    eta = _one_per_datum(family, x, eta)
    rng = np.random.default_rng(LONG_RUN_SEED)
    return coupled.importance_weighted_bound(model, theta, x, family, eta, n_draws, rng, tolerance, power)


def _exact_value(
    quantity: str, model: Model, family: Family | None, ask: Callable[[ModuleType], tuple[Floats, Floats]]
) -> tuple[Floats, Floats, str]:
    """Return (value, error, rung), or say why no rung above the long run holds."""
    answer, rung = climb(model, family, ask)
    if answer is not None:
        return *answer, rung
    if quadrature.applies(model):
        reason = f"misses {quadrature.TOLERANCE:g} of it here (too sharp, or kinks as with relu)"
    else:
        reason = f"needs one or two latents, and there are {model.latent_dim}"
    raise NotApplicable(f"{quantity} of {model.label} is not known exactly: quadrature {reason}")


def log_evidence(model: Model, theta: Floats, x: Floats) -> tuple[Floats, Floats, str]:
    """Return log p(x_n) on the ladder without its last rung, and no gradient.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)

    Returns
    -------
    value, error : ndarray (N,)
        In nats; the error is the last change of a quadrature, and zero on the other rungs.
    rung : {'closed-form', 'enumeration', 'quadrature'}

    Raises
    ------
    NotApplicable
        If no rung gives it: three latents or more under a network, or a tolerance that is not met.
    """
    return _exact_value("log p(x)", model, None, lambda rung: rung.log_evidence(model, theta, x))


def expected_log_joint(
    model: Model, theta: Floats, x: Floats, eta: Floats, family: Family | None = None
) -> tuple[Floats, Floats, str]:
    """Return E_q log p(x_n, z), q given by eta (N, E) and its family, as `log_evidence` does.

    Returns
    -------
    value, error : ndarray (N,)
    rung : str

    Raises
    ------
    NotApplicable
    """
    family = model.posterior_family if family is None else family
    eta = _one_per_datum(family, x, eta)
    return _exact_value(
        "E_q log p(x, z)", model, family, lambda rung: rung.expected_log_joint(model, theta, x, family, eta)
    )
