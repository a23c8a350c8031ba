"""The Normal-inverse-Wishart of C Gaussian components, and its two simpler relatives, as one object.

    full        mu | Sigma ~ N(m, Sigma / kappa),   Sigma ~ IW(Psi, nu)
    diagonal    mu_d | v_d ~ N(m_d, v_d / kappa),   v_d ~ InvGamma(nu / 2, psi_d / 2)    a column at a time
    spherical   mu | v ~ N(m, (v / kappa) I_D),     v ~ InvGamma(nu / 2, psi / 2)

An inverse gamma is the inverse Wishart of one column. After data of total responsibility R, weighted mean
xbar and weighted second moment S about it (Bishop 2006, eqs. 10.60 to 10.63; Murphy 2012, eqs. 4.209 to
4.214)

    kappa' = kappa + R,   m' = (kappa m + R xbar) / kappa',   nu' = nu + R      (spherical: nu + R D)
    Psi'   = Psi + R S + (kappa R / kappa') (xbar - m)(xbar - m)^T              (in the shape of Psi)

and the mode of the density over (mu, Sigma), without any Jacobian, is

    mu = m',   Sigma = Psi' / (nu' + D + 2)     full and spherical;   v_d = psi'_d / (nu' + 3)     diagonal

(Fraley and Raftery 2007, table 1). The D + 1 of the mode of Sigma alone becomes D + 2 since the density of mu
brings |Sigma|^(-1/2).

Under this law the expectations that variational Bayes takes have formulas (Bishop 2006, eqs. 10.64 and
10.65),

    E[Lambda] = nu Psi^-1,    E log |Lambda| = sum_i digamma((nu + 1 - i) / 2) + D log 2 - log |Psi|,
    E[(x - mu)^T Lambda (x - mu)] = D / kappa + (x - m)^T E[Lambda] (x - m),

with Lambda the inverse of Sigma; for one column they are those of the inverse gamma.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.special import LOG_2PI

LOG_2 = float(np.log(2.0))


@dataclass(frozen=True, eq=False)
class NormalInverseWishart:
    """C laws of (mu, Sigma), one for each component.

    Parameters
    ----------
    structure : {'spherical', 'diagonal', 'full'}
    strength : ndarray (C,)
        kappa, the data that the mean is worth.
    nu : ndarray (C,)
        Degrees of freedom.
    mean : ndarray (C, D)
    scale : ndarray (C,), (C, D) or (C, D, D)
        Psi, in the data's unit squared.
    """

    structure: str
    strength: Floats
    nu: Floats
    mean: Floats
    scale: Floats

    @property
    def n_columns(self) -> int:
        """D."""
        return self.mean.shape[1]

    @property
    def offset(self) -> int:
        """What the mode adds to nu: D + 2, or 3 for a column by itself."""
        return 3 if self.structure == "diagonal" else self.n_columns + 2

    @property
    def per_datum(self) -> int:
        """The degrees of freedom that one datum brings."""
        return self.n_columns if self.structure == "spherical" else 1

    @property
    def per_log_det(self) -> int:
        """Columns that share a degree of freedom in log |Sigma|: D for one variance of all, else 1."""
        return self.per_datum

    @property
    def proper(self) -> bool:
        """Whether all densities can be normalised."""
        fewest = self.n_columns - 1 if self.structure == "full" else 0
        positive = np.linalg.eigvalsh(self.scale) if self.structure == "full" else self.scale
        return bool(self.strength.min() > 0 and self.nu.min() > fewest and positive.min() > 0)

    # -- given data ------------------------------------------------------------------------------

    def updated(self, total: Floats, mean: Floats, moment: Floats) -> Self:
        """Return the laws after data of total weight (C,), mean (C, D), second moment (C, ...) about it."""
        strength, centre = self._moved(total, mean)
        nu = self.nu + self.per_datum * total
        scale = self._summed(total, mean, moment, strength)
        return type(self)(self.structure, strength, nu, centre, scale)

    def mode_after(self, total: Floats, mean: Floats, moment: Floats) -> tuple[Floats, Floats]:
        """Return means (C, D) and covariances (C, ...) of greatest density after such data.

        The mode of `updated`, without the digits that nu + R loses for an improper nu below zero.
        """
        strength, centre = self._moved(total, mean)
        count = (self.nu + self.offset) + self.per_datum * total
        return centre, self._summed(total, mean, moment, strength) / self._by_component(count)

    def _moved(self, total: Floats, mean: Floats) -> tuple[Floats, Floats]:
        strength = self.strength + total
        return strength, self.mean + (total / strength)[:, None] * (mean - self.mean)

    def _summed(self, total: Floats, mean: Floats, moment: Floats, strength: Floats) -> Floats:
        between = self._by_component(self.strength * (total / strength)) * self.outer(mean - self.mean)
        # Of a spherical component the moments are traces / D, and the scale is that of all columns.
        within = self._by_component(self.per_datum * total) * moment
        return self.scale + within + between

    def _by_component(self, values: Floats) -> Floats:
        return values.reshape((-1,) + (1,) * (self.scale.ndim - 1))

    def outer(self, vectors: Floats) -> Floats:
        """Return v v^T (C, ...) in the shape of the scales, for vectors (C, D)."""
        if self.structure == "full":
            return vectors[:, :, None] * vectors[:, None, :]
        return vectors**2 if self.structure == "diagonal" else (vectors**2).sum(axis=1)

    def with_means(self, mean: Floats) -> Floats:
        """Return Psi + kappa (mu - m)(mu - m)^T (C, ...): what the density has between Lambda's."""
        return self.scale + self._by_component(self.strength) * self.outer(mean - self.mean)

    # -- the density and its expectations --------------------------------------------------------

    def log_normaliser(self) -> Floats:
        """Return the log of the constant in front of each density (C,)."""
        D, half = self.n_columns, 0.5 * self.nu
        from scipy.special import gammaln, multigammaln  # heavy: loaded on use

        of_mean = 0.5 * D * (np.log(self.strength) - LOG_2PI)
        if self.structure == "full":
            log_det = np.linalg.slogdet(self.scale)[1]
            gammas = np.array([multigammaln(value, D) for value in half])
            return of_mean + half * (log_det - D * LOG_2) - gammas
        log_scale = np.log(self.scale).reshape(len(half), -1)
        return of_mean + (half[:, None] * (log_scale - LOG_2) - gammaln(half)[:, None]).sum(axis=1)

    def log_det_weight(self) -> Floats:
        """Return the factor (C,) of -log |Sigma| / 2 in the log density."""
        return (self.nu + self.offset) / self.per_log_det

    def whitener(self) -> Floats:
        """Return A with E[Lambda] = A^T A: (C, D, D), or its diagonal (C, D)."""
        if self.structure == "full":
            return np.sqrt(self.nu)[:, None, None] * np.linalg.inv(np.linalg.cholesky(self.scale))
        root = np.sqrt(self._by_component(self.nu) / self.scale)
        return np.broadcast_to(root.reshape(len(self.nu), -1), self.mean.shape).copy()

    def expected_log_det(self) -> Floats:
        """Return E log |Lambda| (C,)."""
        from scipy.special import digamma

        if self.structure == "full":
            steps = digamma(0.5 * (self.nu[:, None] - np.arange(self.n_columns))).sum(axis=1)
            return steps + self.n_columns * LOG_2 - np.linalg.slogdet(self.scale)[1]
        log_scale = np.log(self.scale).reshape(len(self.nu), -1)
        of_scales = (digamma(0.5 * self.nu)[:, None] + LOG_2 - log_scale).sum(axis=1)
        return self.per_log_det * of_scales

    def expected_log_density(self, under: Self) -> Floats:
        """Return E[log of this density] (C,) with (mu, Sigma) from the laws `under`."""
        whitener = under.whitener()
        scale = self.with_means(under.mean)
        if self.structure == "full":
            misfit = ((whitener @ scale) * whitener).sum(axis=(-1, -2))
        elif self.structure == "diagonal":
            misfit = (whitener**2 * scale).sum(axis=1)
        else:
            misfit = whitener[:, 0] ** 2 * scale
        spread = self.n_columns * self.strength / under.strength
        log_det = 0.5 * self.log_det_weight() * under.expected_log_det()
        return self.log_normaliser() + log_det - 0.5 * (misfit + spread)

    def log_evidence(self, total: Floats, mean: Floats, moment: Floats) -> Floats:
        """Return log p of the data of each component (C,), with (mu, Sigma) integrated out.

        By Bayes' identity prior x likelihood / posterior is the same at any (mu, Sigma).
        """
        after = self.updated(total, mean, moment)
        constants = self.log_normaliser() - after.log_normaliser()
        return constants - 0.5 * total * self.n_columns * LOG_2PI
