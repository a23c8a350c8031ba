"""Which rung a model stands on.

The first that applies: closed form (the model has formulas), enumeration (categorical z), quadrature
(one or two continuous latents, if it meets its tolerance), long run.
"""

import numpy as np

from elbo_lab.exact import closed_form, enumeration, long_run, quadrature

# The seed of long runs: references must not move with the seed of the study that they judge.
LONG_RUN_SEED = 20_210_704


def _climb(model, name, *arguments):
    """Return the answer of the first rung that applies and stands, or None."""
    for rung in (closed_form, enumeration, quadrature):
        if rung.applies(model):
            try:
                return getattr(rung, name)(model, *arguments)
            except quadrature.ToleranceMissed:
                continue
    return None


def evidence(model, theta, x, proposal=None):
    """Return log p(x) and its gradient on the best rung.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    proposal : ndarray (N, E), optional
        Where a long run, if it comes to that, draws from; the prior if not given.

    Returns
    -------
    Evidence
    """
    answer = _climb(model, "evidence", theta, x)
    if answer is not None:
        return answer
    if proposal is None:
        proposal = model.prior_eta(theta)
    return long_run.evidence(model, theta, x, proposal, np.random.default_rng(LONG_RUN_SEED))


def expectation(model, theta, x, eta):
    """Return E_q log p(x, z) and its gradients on the best rung, q given by eta (N, E).

    Returns
    -------
    Expectation
    """
    eta = np.broadcast_to(eta, (len(x), model.family.eta_size))
    answer = _climb(model, "expectation", theta, x, eta)
    if answer is not None:
        return answer
    return long_run.expectation(model, theta, x, eta, np.random.default_rng(LONG_RUN_SEED))
