"""Maximum likelihood by a formula: no start, no step size, no iteration.

    x ~ N(mu, sigma^2 I)    mu = mean,  sigma^2 = (1 / (N D)) sum_n |x_n - mu|^2
    one mixture component   mu = mean,  Sigma = (1/N) sum_n (x_n - mu)(x_n - mu)^T,
                            or its diagonal, or its trace / D
    PPCA                    sigma^2 = mean of the D - K smallest eigenvalues of S,
                            W = U_K (Lambda_K - sigma^2 I)^{1/2}

(Bishop 2006, eqs. 2.121 and 2.122; Tipping and Bishop 1999, eqs. 7 and 8.) Every covariance is divided by N,
not N - 1: the maximum, and not the unbiased estimate. Where the formula would give a variance of zero, the
density is unbounded there and no maximum exists; such data are refused.
"""

import numpy as np

from elbo_lab.em.fit import LEAST_VARIANCE, Fit, mean_column_variance
from elbo_lab.errors import NotApplicable, bad_value
from elbo_lab.models import PPCA, FactorAnalysis, GaussianMixture, GaussianMLE


def has_closed_form(model):
    """Whether the maximum of this model has a formula."""
    one_component = isinstance(model, GaussianMixture) and model.n_components == 1
    return one_component or isinstance(model, (GaussianMLE, PPCA))


def fit_closed_form(model, x):
    """Return the maximum-likelihood fit.

    Parameters
    ----------
    model : GaussianMLE, PPCA, or GaussianMixture with one component
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
    if not has_closed_form(model):
        raise NotApplicable(f"method: the maximum of {model.label} has no closed form; {_instead(model)}")
    x = model.check_data(x)
    mean_column_variance(x)
    theta = _one_component(model, x) if isinstance(model, GaussianMixture) else model.maximum_likelihood(x)
    row = {"iteration": 0, "log_likelihood": _log_likelihood(model, theta, x)}
    return Fit(model, theta, [row], True, "closed form: the exact maximum")


def _instead(model):
    if isinstance(model, GaussianMixture):
        return "use method em or gradient, or one component"
    if isinstance(model, FactorAnalysis):
        return "use method em or gradient"
    return "use method vae"


def _one_component(model, x):
    mean = x.mean(axis=0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    variance = {
        "spherical": np.trace(covariance) / model.n_columns,
        "diagonal": np.diag(covariance),
        "full": covariance,
    }[model.variant]
    if model.variant == "full":
        singular = np.linalg.svd(x - mean, compute_uv=False)
        # Singular values below this are rounding.
        rank = int((singular > max(x.shape) * np.finfo(float).eps * singular[0]).sum())
        if rank < model.n_columns:
            raise bad_value(
                "data",
                f"a covariance of rank {model.n_columns} (the density of {model.label} is else unbounded)",
                f"rank {rank}",
                "use variant diagonal, or method em, which keeps a floor under the eigenvalues",
            )
    elif np.min(variance) < LEAST_VARIANCE:
        raise bad_value("data", f"variances above {LEAST_VARIANCE:g}", np.min(variance), "change the unit")
    return model.layout.pack({"mean": mean, **model.covariance.stored(variance[None])})


def _log_likelihood(model, theta, x):
    if isinstance(model, GaussianMixture):
        return float(model.likelihood_table(theta, x)[0].sum())
    return float(model.log_evidence(theta, x).sum())
