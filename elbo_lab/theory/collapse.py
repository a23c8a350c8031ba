"""Which latents of a linear VAE stay in use: a count of eigenvalues, for any weight of the KL.

    x | z ~ N(W z + b, sigma^2 I),   q(z | x) = N(V (x - b), diag s^2),
    L_beta = E_q[log p(x | z)] - beta KL(q || N(0, I)),   covariance of the data S = U diag(lambda) U^T

At a given sigma^2 divide L_beta by beta. Up to a constant that is the ELBO of the same model with the noise
variance v = beta sigma^2, and a linear VAE's ELBO has the maxima of PPCA's log p(x) (Lucas et al. 2019,
section 4, which also has those of PPCA at a given noise):

    W = U_K (Lambda_K - v)_+^(1/2),   s_k^2 = min(1, v / lambda_k),   unit k active: lambda_k > beta sigma^2

A direction whose variance is less than beta sigma^2 is not worth its code: its column of W is zero, and q is
the prior. (Lucas et al. have beta = 1; Wang and Ziyin 2022 the threshold with a weight, for a general linear
model.)

Where sigma^2 is learned too, the maximum of L_beta over both has, with k units active,

    sigma^2 = (sum of the other eigenvalues) / (D - beta k)

For beta = 1 that is the mean of the eigenvalues left out, which lies below all that are kept: nothing
collapses. For beta > 1 the noise grows with it, and units do collapse. To find k, let v fall from the largest
eigenvalue: beta (sum of the eigenvalues below v) - v (D - beta k(v)) has the sign of the slope of L_beta in
v, is continuous, and changes its sign once.

Helps: to know before a training how many units it will keep, and whether one that collapsed did so because
the objective wants it. Fails: as a count for a curved decoder, where it is a guide.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count, check_data, check_positive
from elbo_lab.models import PPCA
from elbo_lab.special import LOG_2PI


@dataclass(frozen=True, eq=False)
class Collapse:
    """The maximum of L_beta of a linear VAE.

    Attributes
    ----------
    model : PPCA
    theta : ndarray (P,)
        Its W has a zero column for each collapsed unit.
    eigenvalues : ndarray (D,)
        Of the covariance of the data over N, in squared units of the data.
    sigma2 : float
        Noise variance, given or learned.
    threshold : float
        beta sigma^2.
    active : ndarray of bool (K,)
    value : float
        L_beta there, in nats per datum.
    """

    model: PPCA
    theta: Floats
    eigenvalues: Floats
    sigma2: float
    threshold: float
    active: NDArray[np.bool_]
    value: float

    @property
    def count(self) -> int:
        """How many units are active."""
        return int(self.active.sum())

    def best_eta(self, x: Floats) -> Floats:
        """Return the eta (N, 2 K) of the best q of rows x (N, D): the posterior under noise beta sigma^2."""
        noisier = self.theta.copy()
        self.model.layout.views(noisier)["log_sigma"][...] = 0.5 * np.log(self.threshold)
        return self.model.posterior_eta(noisier, x)


def predict_active_units(x: Floats, latent: int, beta: float = 1.0, sigma2: float | None = None) -> Collapse:
    """Return which units of a linear VAE stay in use at the maximum of its objective, and that maximum.

    Parameters
    ----------
    x : ndarray (N, D)
    latent : int
        K, below D.
    beta : float
        Weight of the KL, positive.
    sigma2 : float, optional
        Noise variance in squared units of the data; learned if not given.

    Returns
    -------
    Collapse

    Raises
    ------
    ValueError
        For fewer columns than latents, or data that leave no noise to learn.
    """
    x, beta = check_data(x), check_positive("beta", beta)
    model = PPCA(x.shape[1], check_count("latent", latent))
    x = model.check_data(x)
    mean = x.mean(axis=0)
    eigenvalues, directions = np.linalg.eigh(np.cov(x.T, bias=True).reshape(x.shape[1], -1))
    eigenvalues, directions = eigenvalues[::-1].copy(), directions[:, ::-1]
    # A smaller share of the largest one is rounding.
    eigenvalues[eigenvalues <= len(eigenvalues) * np.finfo(float).eps * eigenvalues[0]] = 0.0
    if sigma2 is None:
        sigma2 = learned_noise(eigenvalues, latent, beta)
        if sigma2 <= 0.0:
            expected = f"a covariance of rank above latent = {latent} (sigma^2 would be 0)"
            raise bad_value("data", expected, "none", "give sigma2, or take a smaller latent")
    threshold = beta * check_positive("sigma2", sigma2)
    kept = eigenvalues[:latent]
    scale = np.sqrt(np.maximum(kept - threshold, 0.0))
    noise = 0.5 * np.log(sigma2)
    theta = model.layout.pack({"W": directions[:, :latent] * scale, "b": mean, "log_sigma": noise})
    value = objective_at_maximum(eigenvalues, latent, beta, sigma2)
    return Collapse(model, theta, eigenvalues, float(sigma2), float(threshold), kept > threshold, value)


def learned_noise(eigenvalues: Floats, latent: int, beta: float) -> float:
    """Return the sigma^2 of the maximum of L_beta over W, b, sigma^2 and q.

    Parameters
    ----------
    eigenvalues : ndarray (D,)
        In decreasing order.
    latent : int
    beta : float
    """
    n_columns = len(eigenvalues)
    for active in range(latent, -1, -1):
        # beta times what is left, over v: the root if exactly the first `active` eigenvalues lie above it.
        room = n_columns - beta * active
        v = beta * eigenvalues[active:].sum() / room if room > 0.0 else np.inf
        if active == 0 or v < eigenvalues[active - 1]:
            return float(v / beta)
    raise AssertionError("without active units there is a root")


def objective_at_maximum(eigenvalues: Floats, latent: int, beta: float, sigma2: float) -> float:
    """Return L_beta at the best W, b and q for a noise variance, in nats per datum.

    beta times the mean of log N(x; b, W W^T + v I), and what its constants differ by from those of L_beta:
    (beta - 1) D/2 log(2 pi v) + D/2 log beta, v = beta sigma^2.
    """
    n_columns, v = len(eigenvalues), beta * sigma2
    kept = np.maximum(eigenvalues[:latent], v)  # variance of the model along a direction
    explained = np.log(kept) + np.minimum(eigenvalues[:latent] / v, 1.0)
    rest = np.log(v) + eigenvalues[latent:] / v
    mean_log_p = -0.5 * (n_columns * LOG_2PI + explained.sum() + rest.sum())
    constants = (beta - 1.0) * (LOG_2PI + np.log(v)) + np.log(beta)
    return float(beta * mean_log_p + 0.5 * n_columns * constants)
