"""Maximum likelihood by a formula: no start, no step size, no iteration.

    x ~ N(mu, sigma^2 I)    mu = mean,  sigma^2 = (1 / (N D)) sum_n |x_n - mu|^2
    one mixture component   mu = mean,  Sigma = (1/N) sum_n (x_n - mu)(x_n - mu)^T,
                            or its diagonal, or its trace / D
    PPCA                    sigma^2 = mean of the D - K smallest eigenvalues of S,
                            W = U_K (Lambda_K - sigma^2 I)^{1/2}

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


@checks_kinds
def fit_closed_form(model: Model, x: Floats) -> Fit:
    """Return the maximum-likelihood fit.

    Parameters
    ----------
    model : Model
        With a `closed_form_maximum`: GaussianMLE, PPCA, or GaussianMixture with one component.
    x : ndarray (N, D)

    Returns
    -------
    Fit
        Its history is one row, the log-likelihood at the maximum.

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
    mean_column_variance(x)
    theta = model.maximum_likelihood(x)
    value, _, _ = log_evidence(model, theta, x)
    row = {"iteration": 0, "log_likelihood": float(value.sum())}
    return Fit(model, theta, [row], True, "closed form: the exact maximum")
