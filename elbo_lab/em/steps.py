"""The formulas of EM for a mixture that need no data: theta read, the M-step, and the bound from statistics.

`Steps` is the definition for every covariance. `CompiledSteps` repeats it for full covariances, where linear
algebra on matrices of a few columns would take most of the time of an iteration on small data; where the
floor of the variances binds it leaves the M-step to the definition.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from elbo_lab.em.scatter import SCATTERS
from elbo_lab.special import LOG_2PI, log_softmax

LEAST_WEIGHT = 1e-300


@dataclass(frozen=True, eq=False)
class Responsibilities:
    """The statistics of q(z | x) that determine the ELBO.

    Attributes
    ----------
    total : ndarray (C,)
        R_c.
    mean : ndarray (C, D)
    moment : ndarray (C,), (C, D) or (C, D, D)
        Weighted second moments about `mean`, in the shape of the covariance.
    entropy : float
        -sum_nc r_nc log r_nc, in nats.
    """

    total: np.ndarray
    mean: np.ndarray
    moment: np.ndarray
    entropy: float


@dataclass(frozen=True, eq=False)
class Densities:
    """log pi_c p(x | c) = scale_c - |whitener_c (x - mean_c)|^2 / 2.

    Attributes
    ----------
    mean : ndarray (C, D)
    scale : ndarray (C,)
        log pi_c - log |L_c| - D log(2 pi) / 2.
    whitener : ndarray (C, D, D) or (C, D)
        L_c^-1, lower triangular, or its diagonal where that is all.
    """

    mean: np.ndarray
    scale: np.ndarray
    whitener: np.ndarray


class Steps:
    """The definition.

    Parameters
    ----------
    model : GaussianMixture
    n_data : int
    floor : float
        Least eigenvalue of every covariance, in the data's unit squared.
    """

    def __init__(self, model, n_data, floor):
        self.model, self.n_data, self.floor = model, n_data, floor
        self.scatter = SCATTERS[model.variant]

    def densities(self, theta):
        """Return the Densities at theta (P,)."""
        t = self.model.layout.views(theta)
        whitener, log_det = self.model.covariance.whitener(t)
        scale = log_softmax(t["logits"], axis=-1) - log_det - 0.5 * self.model.n_columns * LOG_2PI
        return Densities(t["mean"], scale, whitener)

    def expected_log_joint(self, densities, q):
        """sum_c R_c [log pi_c - (D log 2 pi + log |Sigma_c| + tr Sigma_c^-1 S_c(mu_c)) / 2], in nats."""
        about_mean = q.moment + self.scatter.outer(q.mean - densities.mean)
        misfit = self.scatter.misfit(densities.whitener, about_mean)
        return float(q.total @ (densities.scale - 0.5 * misfit))

    def best_theta(self, q):
        """Return the theta (P,) that maximises the ELBO at q: weights, means, clipped moments."""
        variance = self.scatter.clip(q.moment, self.floor)
        weights = np.maximum(q.total / self.n_data, LEAST_WEIGHT)
        stored = self.model.covariance.stored(variance)
        return self.model.layout.pack({"logits": np.log(weights), "mean": q.mean, **stored})


@cache
def _loops():
    # Numba is imported when the first of them runs.
    from elbo_lab.kernels import mixture_steps

    return mixture_steps


class CompiledSteps(Steps):
    """The same for full covariances by compiled loops, to 1e-12."""

    def densities(self, theta):
        n_components, n_columns = self.model.n_components, self.model.n_columns
        theta = np.array(theta)
        scale, whitener = np.empty(n_components), np.empty((n_components, n_columns, n_columns))
        _loops().densities(theta, scale, whitener)
        mean = theta[n_components : n_components * (1 + n_columns)].reshape(n_components, n_columns)
        return Densities(mean, scale, whitener)

    def expected_log_joint(self, densities, q):
        moment = np.ascontiguousarray(q.moment)
        at, where = (densities.mean, densities.scale, densities.whitener), (q.total, q.mean, moment)
        return _loops().expected_log_joint(*at, *where)

    def best_theta(self, q):
        theta, moment = np.empty(self.model.layout.size), np.ascontiguousarray(q.moment)
        n_data, floor = float(self.n_data), float(self.floor)
        done = _loops().best_theta(q.total, n_data, q.mean, moment, floor, LEAST_WEIGHT, theta)
        return theta if done else super().best_theta(q)
