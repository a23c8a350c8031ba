"""Covariances of mixture components: spherical, diagonal, full.

Each structure whitens a difference, y = L^-1 (x - mu) with Sigma = L L^T, and gives log |L|; then

    log N(x; mu, Sigma) = -|y|^2 / 2 - log |L| - D log(2 pi) / 2.

C components, N data, D columns. Scales are stored unconstrained: log standard deviations, and for the
full structure a lower triangle whose diagonal is a logarithm. `natural` and `stored` convert between
these and the free part of Sigma: sigma_c^2 (C,), sigma_c^2 (C, D), or Sigma_c (C, D, D).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.layout import Entries


@dataclass(frozen=True)
class Covariance(ABC):
    """The structure of the covariances of C components over D columns.

    Parameters
    ----------
    n_components, n_columns : int
        C and D.
    """

    n_components: int
    n_columns: int
    name: ClassVar[str]

    @property
    @abstractmethod
    def entries(self) -> Entries:
        """Names and shapes of the parameters."""

    @abstractmethod
    def whitener(self, params: dict[str, Floats]) -> tuple[Floats, Floats]:
        """Return L^-1 (C, D, D), or only its diagonal (C, D) if L is diagonal, and log |L| (C,)."""

    @abstractmethod
    def whiten(self, params: dict[str, Floats], diff: Floats) -> tuple[Floats, Floats]:
        """Return y (N, C, D) and log |L| (C,) for differences x - mu (N, C, D)."""

    @abstractmethod
    def vjp(self, params: dict[str, Floats], y: Floats, weights: Floats) -> tuple[dict[str, Floats], Floats]:
        """Return gradients of sum(weights * log density), weights (..., N, C).

        Returns
        -------
        grad_params : dict
        grad_mean : ndarray (..., C, D)
        """

    @abstractmethod
    def initial(self, spread: Floats) -> dict[str, Floats]:
        """Return parameters for components with column standard deviations `spread` (C, D)."""

    @abstractmethod
    def color(self, params: dict[str, Floats], noise: Floats, z: Draws) -> Floats:
        """Return L_z noise (N, D)."""

    @abstractmethod
    def natural(self, params: dict[str, Floats]) -> Floats:
        """Return the free part of Sigma: (C,), (C, D) or (C, D, D)."""

    @abstractmethod
    def stored(self, variance: Floats) -> dict[str, Floats]:
        """Return the parameters of given variances, the inverse of `natural`."""

    @abstractmethod
    def matrices(self, params: dict[str, Floats]) -> Floats:
        """Return Sigma (C, D, D)."""


@dataclass(frozen=True)
class Scales(Covariance):
    """Base of the two structures with a diagonal Sigma; parameters log_sigma, log standard deviations."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of log_sigma: (C,) or (C, D)."""

    @property
    def entries(self) -> Entries:
        return (("log_sigma", self.shape),)

    def _by_column(self, per_scale: Floats) -> Floats:
        """Return one number for each column (C, D) from one for each scale."""
        full = (self.n_components, self.n_columns)
        return np.broadcast_to(per_scale.reshape(self.n_components, -1), full)

    def whitener(self, params: dict[str, Floats]) -> tuple[Floats, Floats]:
        log_sigma = params["log_sigma"].reshape(self.n_components, -1)
        columns_per_scale = self.n_columns // log_sigma.shape[1]
        return np.exp(-self._by_column(log_sigma), order="C"), columns_per_scale * log_sigma.sum(axis=1)

    def whiten(self, params: dict[str, Floats], diff: Floats) -> tuple[Floats, Floats]:
        inverse, log_det = self.whitener(params)
        return diff * inverse, log_det

    def vjp(self, params: dict[str, Floats], y: Floats, weights: Floats) -> tuple[dict[str, Floats], Floats]:
        by_mean = np.einsum("...nc,ncd->...cd", weights, y) * self.whitener(params)[0]
        # The gradient of a scale that several columns share is the sum over them.
        n_scales = params["log_sigma"].reshape(self.n_components, -1).shape[1]
        squares = (y * y).reshape(*y.shape[:2], n_scales, -1).sum(axis=-1) - self.n_columns // n_scales
        by_scale = np.einsum("...nc,ncd->...cd", weights, squares)
        return {"log_sigma": by_scale.reshape(*weights.shape[:-2], *self.shape)}, by_mean

    def color(self, params: dict[str, Floats], noise: Floats, z: Draws) -> Floats:
        return np.exp(self._by_column(params["log_sigma"])[z]) * noise

    def natural(self, params: dict[str, Floats]) -> Floats:
        """Return the variances: (C,) or (C, D)."""
        return np.exp(2.0 * params["log_sigma"])

    def stored(self, variance: Floats) -> dict[str, Floats]:
        return {"log_sigma": 0.5 * np.log(variance)}

    def matrices(self, params: dict[str, Floats]) -> Floats:
        return self._by_column(self.natural(params))[:, :, None] * np.eye(self.n_columns)


@dataclass(frozen=True)
class Spherical(Scales):
    """Sigma_c = sigma_c^2 I; parameter log_sigma (C,)."""

    name = "spherical"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n_components,)

    def initial(self, spread: Floats) -> dict[str, Floats]:
        return {"log_sigma": 0.5 * np.log((spread**2).mean(axis=1))}


@dataclass(frozen=True)
class Diagonal(Scales):
    """Sigma_c = diag(sigma_c^2); parameter log_sigma (C, D)."""

    name = "diagonal"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.n_components, self.n_columns

    def initial(self, spread: Floats) -> dict[str, Floats]:
        return {"log_sigma": np.log(spread)}


@dataclass(frozen=True)
class Full(Covariance):
    """Sigma_c = L_c L_c^T; parameters log_diagonal (C, D) and lower (C, D (D - 1) / 2)."""

    name = "full"

    @property
    def entries(self) -> Entries:
        C, D = self.n_components, self.n_columns
        return (("log_diagonal", (C, D)), ("lower", (C, D * (D - 1) // 2)))

    @cached_property
    def _below(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the entries below the diagonal."""
        return np.tril_indices(self.n_columns, -1)

    def factor(self, params: dict[str, Floats]) -> Floats:
        """Return L (C, D, D)."""
        L = np.zeros((self.n_components, self.n_columns, self.n_columns))
        diagonal = np.arange(self.n_columns)
        L[:, diagonal, diagonal] = np.exp(params["log_diagonal"])
        rows, columns = self._below
        L[:, rows, columns] = params["lower"]
        return L

    def whitener(self, params: dict[str, Floats]) -> tuple[Floats, Floats]:
        return np.linalg.inv(self.factor(params)), params["log_diagonal"].sum(axis=1)

    def whiten(self, params: dict[str, Floats], diff: Floats) -> tuple[Floats, Floats]:
        inverse, log_det = self.whitener(params)
        return np.einsum("cij,ncj->nci", inverse, diff), log_det

    def vjp(self, params: dict[str, Floats], y: Floats, weights: Floats) -> tuple[dict[str, Floats], Floats]:
        """With u = L^-T y: d/dmu = u, and d/dL = tril(u y^T) - diag(1 / L_dd)."""
        L = self.factor(params)
        u = np.einsum("cji,ncj->nci", np.linalg.inv(L), y)
        outer = np.einsum("...nc,nci,ncj->...cij", weights, u, y, optimize=True)
        diagonal = np.arange(self.n_columns)
        rows, columns = self._below
        by_diagonal = outer[..., diagonal, diagonal] * L[:, diagonal, diagonal]
        by_diagonal = by_diagonal - weights.sum(axis=-2)[..., None]
        grads = {"log_diagonal": by_diagonal, "lower": outer[..., rows, columns]}
        return grads, np.einsum("...nc,ncd->...cd", weights, u)

    def initial(self, spread: Floats) -> dict[str, Floats]:
        return {"log_diagonal": np.log(spread), "lower": np.zeros(dict(self.entries)["lower"])}

    def color(self, params: dict[str, Floats], noise: Floats, z: Draws) -> Floats:
        return np.einsum("nij,nj->ni", self.factor(params)[z], noise)

    def natural(self, params: dict[str, Floats]) -> Floats:
        """Return the covariances (C, D, D), L L^T."""
        L = self.factor(params)
        return L @ np.swapaxes(L, 1, 2)

    def stored(self, variance: Floats) -> dict[str, Floats]:
        L = np.linalg.cholesky(variance)
        rows, columns = self._below
        diagonal = np.diagonal(L, axis1=1, axis2=2)
        return {"log_diagonal": np.log(diagonal), "lower": L[:, rows, columns]}

    def matrices(self, params: dict[str, Floats]) -> Floats:
        return self.natural(params)


COVARIANCES: dict[str, type[Covariance]] = {kind.name: kind for kind in (Spherical, Diagonal, Full)}
