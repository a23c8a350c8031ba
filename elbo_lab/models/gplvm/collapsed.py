"""The collapsed variational bound of the Gaussian-process latent-variable model.

    log p(Y) = log int p(Y | Z) p(Z) dZ >= F(q(Z), U)

(Titsias and Lawrence 2010, section 3.) In p(Y | Z) the latents stand inside the inverse of an N x N matrix,
and under a Gaussian q(Z) E log p(Y | Z) has no closed form. M inducing variables help: the values of every
function at M inputs U, with covariance K = k(U, U). Given them, the log-likelihood is bounded by a sum
over rows in which Z enters only through k(Z, U) and its products; their expectations are the psi
statistics. The best Gaussian for the values follows in closed form, and is put in: the bound is collapsed.
With beta = 1 / sigma^2, S = K + beta psi2 and P = psi1^T Y:

    F = N D / 2 (log beta - log 2 pi) + D / 2 (log |K| - log |S|) - beta / 2 tr(Y^T Y)
        + beta^2 / 2 tr(P^T S^-1 P) - beta D / 2 [psi0 - tr(K^-1 psi2)] - KL(q(Z) || p(Z))

Y is centred. N enters through sums over rows: O(N M^2 Q) instead of O(N^3).

K of inducing inputs that are close to each other is singular to rounding. What is added to its diagonal, a
millionth of its mean, is no approximation of the bound: the inducing variables are then the values of the
functions plus independent noise of that variance, and any variables that are jointly Gaussian with the
functions give a bound. It is only a little lower.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from elbo_lab.arrays import Floats
from elbo_lab.models.gplvm.model import GPLVM, cholesky
from elbo_lab.models.gplvm.psi import Psi, Rows, psi_statistics
from elbo_lab.special import LOG_2PI

# The noise of the inducing variables, as a share of their mean variance.
JITTER = 1e-6


class BoundGradient(NamedTuple):
    """The gradient of the bound.

    Attributes
    ----------
    theta : ndarray (P,)
    rows : Rows
        By mean, log_std and inducing inputs.
    """

    theta: Floats
    rows: Rows


class Factors(NamedTuple):
    """What the bound and the predictions have in common.

    Attributes
    ----------
    psi : Psi
    root : ndarray (M, M)
        L, with K = L L^T.
    inner_root : ndarray (M, M)
        The Cholesky factor of B = I + beta L^-1 psi2 L^-T, so that S = L B L^T.
    white : ndarray (M, M)
        A = L^-1 psi2 L^-T.
    """

    psi: Psi
    root: Floats
    inner_root: Floats
    white: Floats


def _lower(root: Floats, right: Floats) -> Floats:
    return scipy.linalg.solve_triangular(root, right, lower=True, check_finite=False)


def _upper(root: Floats, right: Floats) -> Floats:
    return scipy.linalg.solve_triangular(root, right, lower=True, trans="T", check_finite=False)


def factorise(psi: Psi, covariance: Floats, beta: float) -> Factors:
    """Return the Factors of psi statistics and K (M, M), its noise included."""
    root = cholesky(covariance, "inducing", "take fewer inducing points")
    white = _lower(root, _lower(root, psi.psi2).T)
    white = 0.5 * (white + white.T)
    inner = np.eye(len(white)) + beta * white
    return Factors(psi, root, cholesky(inner, "theta", "raise log_sigma, the noise"), white)


def collapsed_bound(
    model: GPLVM, theta: Floats, y: Floats, rows: Rows, threads: int = 1, jitter: float = JITTER
) -> tuple[float, Callable[[], BoundGradient]]:
    """Return the bound of log p(Y), in nats, and the function that computes its gradient.

    Parameters
    ----------
    model : GPLVM
        Of the RBF or linear covariance function.
    theta : ndarray (P,)
    y : ndarray (N, D)
        The centred table.
    rows : Rows
        q(Z) and the inducing inputs.
    threads : int
        Changes nothing but the time.
    jitter : float
        Noise of the inducing variables, as a share of their mean variance.

    Raises
    ------
    NotApplicable
        Of another covariance function.
    SingularCovariance
        If K or S has no Cholesky factor.
    """
    t = model.layout.views(theta)
    n_rows, n_columns = y.shape
    beta = float(np.exp(-2.0 * t["log_sigma"]))
    psi, pull_psi = psi_statistics(model.covariance, t, rows, threads)
    plain, pull_covariance = model.covariance.matrix(t, rows.inducing, rows.inducing)
    share = jitter / len(plain)
    K = plain + share * np.trace(plain) * np.eye(len(plain))
    found = factorise(psi, K, beta)
    projected = psi.psi1.T @ y
    c = _lower(found.inner_root, _lower(found.root, projected))
    squares = float((y * y).sum())
    trace = float(np.trace(found.white))
    variance, log_variance = np.exp(2.0 * rows.log_std), 2.0 * rows.log_std
    kl = 0.5 * float((variance + rows.mean**2 - 1.0 - log_variance).sum())
    value = 0.5 * n_rows * n_columns * (np.log(beta) - LOG_2PI) - 0.5 * beta * squares
    value -= n_columns * np.log(np.diag(found.inner_root)).sum()
    value += 0.5 * beta**2 * float((c * c).sum()) - 0.5 * beta * n_columns * (psi.psi0 - trace) - kl

    def gradient() -> BoundGradient:
        """With V = S^-1 P: dF/dS = -(D S^-1 + beta^2 V V^T) / 2, which enters K and beta psi2 alike."""
        inverse_root = _lower(found.root, np.eye(len(K)))
        half = _lower(found.inner_root, inverse_root)
        K_inverse, S_inverse = inverse_root.T @ inverse_root, half.T @ half
        V = half.T @ c
        by_S = -0.5 * (n_columns * S_inverse + beta**2 * (V @ V.T))
        by_psi2 = beta * by_S + 0.5 * beta * n_columns * K_inverse
        back = inverse_root.T @ found.white @ inverse_root  # K^-1 psi2 K^-1
        by_K = 0.5 * n_columns * (K_inverse - beta * back) + by_S
        by_beta = float((by_S * psi.psi2).sum() + beta * (V * projected).sum())
        by_beta += 0.5 * (n_rows * n_columns / beta - squares - n_columns * (psi.psi0 - trace))

        cotangent = Psi(-0.5 * beta * n_columns, beta**2 * (y @ V.T), by_psi2)
        grads, by_rows = pull_psi(cotangent)
        own, by_first, by_second = pull_covariance(by_K + share * np.trace(by_K) * np.eye(len(K)))
        grads = {name: grad + own[name] for name, grad in grads.items()}
        grads["log_sigma"] = np.asarray(-2.0 * beta * by_beta)
        return BoundGradient(
            model.layout.pack(grads),
            Rows(
                by_rows.mean - rows.mean,
                by_rows.log_std - variance + 1.0,
                by_rows.inducing + by_first + by_second,
            ),
        )

    return float(value), gradient
