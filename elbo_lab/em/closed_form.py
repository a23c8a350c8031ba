"""Maximum likelihood by a formula: no start, no step size, no iteration.

    x ~ N(mu, sigma^2 I)    mu = mean,  sigma^2 = (1 / (N D)) sum_n |x_n - mu|^2
    one mixture component   mu = mean,  Sigma = (1/N) sum_n (x_n - mu)(x_n - mu)^T,
                            or its diagonal, or its trace / D
    PPCA                    sigma^2 = mean of the D - K smallest eigenvalues of S,
                            W = U_K (Lambda_K - sigma^2 I)^{1/2}
    graph, complete rows    counts for tables, least squares for linear-Gaussian conditionals, each by itself

With a prior the same models but PPCA have a formula for the mode of the posterior (`priors`).

(Bishop 2006, eqs. 2.121 and 2.122; Tipping and Bishop 1999, eqs. 7 and 8.) Every covariance is divided by N,
not N - 1: the maximum, not the unbiased estimate. Where the formula would give a variance of zero, the
density is unbounded there and no maximum exists; such data are refused.
"""

from elbo_lab.arrays import Floats
from elbo_lab.em.fit import Fit, mean_column_variance
from elbo_lab.em.problems import has_em
from elbo_lab.errors import NotApplicable
from elbo_lab.exact.ladder import log_evidence
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import Model
from elbo_lab.priors import Prior, find_prior


@checks_kinds
def fit_closed_form(model: Model, x: Floats, prior: str | Prior | None = None) -> Fit:
    """Return the maximum-likelihood fit, or with a prior the MAP fit.

    Parameters
    ----------
    model : Model
        With a `closed_form_maximum`: GaussianMLE, PPCA, a GaussianMixture with one component, a graph.
    x : ndarray (N, D)
    prior : str or Prior, optional
        As for `priors.find_prior`.

    Returns
    -------
    Fit
        Its history is one row, the log-likelihood at the maximum; with a prior also its log density, and the
        sum of the two.

    Raises
    ------
    NotApplicable
        If the maximum of this model has no formula; the message names a method that works.
    ValueError
        If the density has no maximum on these data.
    """
    if not model.closed_form_maximum:
        remedy = "use method em or gradient" if has_em(model) else "use method vae"
        raise NotApplicable(f"method: the maximum of {model.label} has no closed form; {remedy}")
    x = model.check_data(x)
    if not model.allows_missing:  # a graph has columns of categories, and finds gaps by itself
        mean_column_variance(x)
    law = None if prior is None else find_prior(prior, model, x)
    theta = model.maximum_likelihood(x) if law is None else _posterior_mode(law, model, x)
    value, _, _ = log_evidence(model, theta, x)
    row = {"iteration": 0, "log_likelihood": float(value.sum())}
    if law is None:
        return Fit(model, theta, [row], True, "closed form: the exact maximum")
    row["log_prior"] = law.log_prior(model, theta)
    row["log_posterior"] = row["log_likelihood"] + row["log_prior"]
    return Fit(model, theta, [row], True, "closed form: the exact mode of the posterior")


def _posterior_mode(prior: Prior, model: Model, x: Floats) -> Floats:
    prior.check_mode()
    return prior.posterior_mode(model, x)
