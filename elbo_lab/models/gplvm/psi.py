"""The psi statistics: what a Gaussian q(Z) sees of a covariance function.

For rows z_n ~ N(mu_n, diag(v_n)) and inducing inputs u_1, ..., u_M:

    psi0 = sum_n E k(z_n, z_n)                            one number
    psi1_nm = E k(z_n, u_m)                               (N, M)
    psi2_mm' = sum_n E k(u_m, z_n) k(z_n, u_m')           (M, M)

(Titsias and Lawrence 2010, section 3; Damianou, Titsias and Lawrence 2016, section 3.) Each is an integral of
the covariance function against Gaussians, and has a closed form where the function is itself a polynomial
or a Gaussian in z.

**Linear**, k = sum_q alpha_q z_q u_q: first and second moments of z.

    psi0 = sum_nq alpha_q (mu_nq^2 + v_nq),   psi1 = mu A U^T,   psi2 = U A [mu^T mu + diag(sum_n v_n)] A U^T

**RBF**: every factor is a Gaussian in z_nq, and a product of Gaussians integrates to a Gaussian of the summed
variances.

    psi0 = N s^2
    psi1_nm = s^2 prod_q (alpha_q v_nq + 1)^(-1/2) exp(-alpha_q (mu_nq - u_mq)^2 / (2 (alpha_q v_nq + 1)))
    psi2_mm' = s^4 sum_n prod_q (2 alpha_q v_nq + 1)^(-1/2)
                   exp(-alpha_q (u_mq - u_m'q)^2 / 4 - alpha_q (mu_nq - o_q)^2 / (2 alpha_q v_nq + 1))

with o the midpoint of u_m and u_m'. psi2 is symmetric: only pairs m >= m' are computed (`pairs`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable
from elbo_lab.models.gplvm.covariance_functions import RBF, CovarianceFunction, Linear, Params
from elbo_lab.models.gplvm.pairs import Gaussians, pair_slopes, pair_sums


class Rows(NamedTuple):
    """q(Z) and the inducing inputs.

    Attributes
    ----------
    mean, log_std : ndarray (N, Q)
    inducing : ndarray (M, Q)
    """

    mean: Floats
    log_std: Floats
    inducing: Floats


class Psi(NamedTuple):
    """The three statistics, or a cotangent of them.

    Attributes
    ----------
    psi0 : float
    psi1 : ndarray (N, M)
    psi2 : ndarray (M, M)
    """

    psi0: float
    psi1: Floats
    psi2: Floats


# Cotangent -> gradients by parameter, and by mean, log_std and inducing inputs.
PsiPullback = Callable[[Psi], tuple[Params, Rows]]


def psi_statistics(
    covariance: CovarianceFunction, params: Params, rows: Rows, threads: int = 1
) -> tuple[Psi, PsiPullback]:
    """Return the psi statistics and their pullback.

    Parameters
    ----------
    covariance : RBF or Linear
    params : dict of ndarray
        Its parameters.
    rows : Rows
    threads : int
        Changes nothing but the time.

    Raises
    ------
    NotApplicable
        Of a covariance function without a closed form.
    """
    if isinstance(covariance, RBF):
        return _rbf(params, rows, threads)
    if isinstance(covariance, Linear):
        return _linear(params, rows)
    raise NotApplicable(
        f"the Gaussian expectations of {covariance.name} (psi statistics) have no closed form; take rbf or "
        "linear, or the mode of z"
    )


def _linear(params: Params, rows: Rows) -> tuple[Psi, PsiPullback]:
    alpha = np.exp(params["log_relevance"])
    mean, inducing, variance = rows.mean, rows.inducing, np.exp(2.0 * rows.log_std)
    moment = mean.T @ mean + np.diag(variance.sum(axis=0))
    weighted = inducing * alpha
    psi = Psi(float(np.diag(moment) @ alpha), mean @ weighted.T, weighted @ moment @ weighted.T)

    def pullback(cotangent: Psi) -> tuple[Params, Rows]:
        both = cotangent.psi2 + cotangent.psi2.T
        by_moment = weighted.T @ cotangent.psi2 @ weighted + cotangent.psi0 * np.diag(alpha)
        by_weighted = cotangent.psi1.T @ mean + both @ weighted @ moment
        by_mean = cotangent.psi1 @ weighted + mean @ (by_moment + by_moment.T)
        by_log_std = 2.0 * variance * np.diag(by_moment)
        by_alpha = (by_weighted * inducing).sum(axis=0) + cotangent.psi0 * np.diag(moment)
        return {"log_relevance": alpha * by_alpha}, Rows(by_mean, by_log_std, by_weighted * alpha)

    return psi, pullback


def _rbf(params: Params, rows: Rows, threads: int) -> tuple[Psi, PsiPullback]:
    log_s = params["log_amplitude"]
    psi1, pull_psi1 = _rbf_psi1(params, rows)
    psi2, pull_psi2 = _rbf_psi2(params, rows, threads)
    psi0 = len(rows.mean) * float(np.exp(2.0 * log_s))

    def pullback(cotangent: Psi) -> tuple[Params, Rows]:
        by_log_s = 2.0 * cotangent.psi0 * psi0
        by_log_s += 2.0 * float((cotangent.psi1 * psi1).sum()) + 4.0 * float((cotangent.psi2 * psi2).sum())
        alpha1, rows1 = pull_psi1(cotangent.psi1)
        alpha2, rows2 = pull_psi2(cotangent.psi2)
        grads = {"log_amplitude": np.asarray(by_log_s), "log_relevance": alpha1 + alpha2}
        return grads, Rows(*(one + other for one, other in zip(rows1, rows2, strict=True)))

    return Psi(psi0, psi1, psi2), pullback


def _rbf_psi1(params: Params, rows: Rows) -> tuple[Floats, Callable[[Floats], tuple[Floats, Rows]]]:
    """Return psi1 (N, M) and its pullback to log alpha and the rows."""
    alpha, variance = np.exp(params["log_relevance"]), np.exp(2.0 * rows.log_std)
    spread = alpha * variance + 1.0
    rate = 0.5 * alpha / spread
    psi1 = 2.0 * params["log_amplitude"] - 0.5 * np.log(spread).sum(axis=1)[:, None]
    psi1 = np.repeat(psi1, len(rows.inducing), axis=1)
    for m, r, u in zip(rows.mean.T, rate.T, rows.inducing.T, strict=True):
        psi1 -= r[:, None] * (m[:, None] - u) ** 2
    psi1 = np.exp(psi1)

    def pullback(cotangent: Floats) -> tuple[Floats, Rows]:
        w = cotangent * psi1
        by_mean, by_rate, by_inducing = (np.empty(part.shape) for part in rows)
        for q in range(rows.mean.shape[1]):
            d = rows.mean[:, q, None] - rows.inducing[:, q]
            wd = w * d
            by_mean[:, q] = -2.0 * rate[:, q] * wd.sum(axis=1)
            by_rate[:, q] = -(wd * d).sum(axis=1)
            by_inducing[:, q] = 2.0 * (rate[:, q] @ wd)
        by_shift = w.sum(axis=1)[:, None]
        # rate = alpha / (2 spread) and shift = -log(spread) / 2, with spread = alpha v + 1.
        by_spread = -by_rate * rate / spread - 0.5 * by_shift / spread
        by_log_alpha = (by_rate * rate + by_spread * alpha * variance).sum(axis=0)
        return by_log_alpha, Rows(by_mean, 2.0 * by_spread * alpha * variance, by_inducing)

    return psi1, pullback


def _rbf_psi2(
    params: Params, rows: Rows, threads: int
) -> tuple[Floats, Callable[[Floats], tuple[Floats, Rows]]]:
    """Return psi2 (M, M) and its pullback to log alpha and the rows."""
    alpha, variance = np.exp(params["log_relevance"]), np.exp(2.0 * rows.log_std)
    spread = 2.0 * alpha * variance + 1.0
    rate = alpha / spread
    first, second = np.tril_indices(len(rows.inducing))
    apart = rows.inducing[first] - rows.inducing[second]
    given = Gaussians(
        rows.mean,
        rate,
        4.0 * params["log_amplitude"] - 0.5 * np.log(spread).sum(axis=1),
        np.ascontiguousarray(0.5 * (rows.inducing[first] + rows.inducing[second]).T),
        -0.25 * (apart * apart) @ alpha,
    )
    sums = pair_sums(given, threads)
    psi2 = np.empty((len(rows.inducing),) * 2)
    psi2[first, second] = psi2[second, first] = sums

    def pullback(cotangent: Floats) -> tuple[Floats, Rows]:
        # A pair off the diagonal stands for two entries.
        weights = (cotangent + cotangent.T)[first, second]
        weights[first == second] *= 0.5
        by = pair_slopes(given, weights, threads)
        by_spread = -(by.rate * rate + 0.5 * by.shift[:, None]) / spread
        by_log_alpha = (by.rate * rate + by_spread * 2.0 * alpha * variance).sum(axis=0)
        by_log_alpha += alpha * (-0.25 * by.base @ (apart * apart))
        by_apart = -0.5 * by.base[:, None] * apart * alpha
        by_middle = 0.5 * by.centres.T
        by_inducing = np.zeros(rows.inducing.shape)
        np.add.at(by_inducing, first, by_middle + by_apart)
        np.add.at(by_inducing, second, by_middle - by_apart)
        return by_log_alpha, Rows(by.mean, 4.0 * by_spread * alpha * variance, by_inducing)

    return psi2, pullback
