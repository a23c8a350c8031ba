"""Maximum likelihood, and MAP, where the evidence is exact: ascent of the mean of log p_theta(x).

With a prior the ascent is that of (log p_theta(x) + log p(theta)) / N, over all N rows.
"""

from elbo_lab.arrays import Floats
from elbo_lab.exact import evidence
from elbo_lab.models import Model
from elbo_lab.optimise.ascent import ascend
from elbo_lab.priors import Prior


def mean_evidence(model: Model, theta: Floats, x: Floats, prior: Prior | None = None) -> tuple[float, Floats]:
    """Return the mean log p(x) over rows x (N, D), with a prior + log p(theta) / N, and its gradient (P,)."""
    answer = evidence(model, theta, x)
    value, grad = float(answer.value.mean()), answer.grad_theta
    if prior is None:
        return value, grad
    log_prior, by_prior = prior.log_prior(model, theta), prior.log_prior_grad(model, theta)
    return value + log_prior / len(x), grad + by_prior / len(x)


def maximise_evidence(
    model: Model,
    x: Floats,
    max_iterations: int = 1000,
    prior: Prior | None = None,
    start: Floats | None = None,
) -> Floats:
    """Return the theta at which the exact mean log p(x) is maximal, or with a prior the posterior density.

    Among equivalent parameters (rotations of W) the canonical one is returned.

    Parameters
    ----------
    model : Model
        With an evidence in closed form or by enumeration.
    x : ndarray (N, D)
    max_iterations : int
    prior : Prior, optional
        For MAP.
    start : ndarray (P,), optional
        By default the model's own.

    Returns
    -------
    ndarray (P,)
    """

    def objective(theta: Floats) -> tuple[float, Floats]:
        return mean_evidence(model, theta, x, prior)

    start = model.initial_theta(x) if start is None else start
    return model.canonical(ascend(objective, start, max_iterations))
