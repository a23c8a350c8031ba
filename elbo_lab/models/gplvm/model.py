"""The Gaussian-process latent-variable model: curved surfaces without a network.

    z_n ~ N(0, I_Q),   f_d ~ GP(0, k),   y_nd | f, z = N(f_d(z_n), sigma^2)
    log p(Y | Z) = sum_d log N(y_d; b_d 1, C),    C = k(Z, Z) + sigma^2 I_N

(Lawrence 2005, section 3.) Every row of a table Y (N, D) has Q latent coordinates. Each column is a
function of them, and the functions are integrated out: there are no weights, only the parameters of the
covariance function and the noise. The price is that all rows depend on each other. So one z of size N Q
explains the whole table, a global latent, and one datum is a table: x (1, N D), row after row, with z
(1, N Q). b are the column means of the table that the model was built for.

With the linear covariance function the same Y has the same generative story as in probabilistic PCA, but not
the same log p: PCA integrates z and keeps W as a parameter, this model integrates W and keeps z.

The matrix C is a sum of a covariance and sigma^2 I, so that in exact arithmetic it always has a Cholesky
factor. In floating point it has none if sigma^2 is less than about N eps times the largest variance; then the
parameters are refused, and no invisible jitter is added.

Helps: few rows on a curved surface, with uncertainty; the fit finds the number of dimensions by their
relevances. Fails: each evaluation takes N^3 operations (inducing points: `collapsed_bound`); the latents have
many local optima, so that the start decides (PCA).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import BadColumn, BadValue, bad_value, check_count, check_data, unknown_name
from elbo_lab.layout import Layout
from elbo_lab.models.base import Model, Pullback, StandardNormalPrior, fold_shared
from elbo_lab.models.gplvm.covariance_functions import COVARIANCE_FUNCTIONS, CovarianceFunction
from elbo_lab.special import LOG_2PI

# The share of the variance of the data that is noise at the start.
START_NOISE = 0.1
# The least relevance at the start, as a share of the largest: one of zero would have no slope.
LEAST_RELEVANCE = 1e-4


class SingularCovariance(BadValue, np.linalg.LinAlgError):
    """A covariance matrix that is singular to the precision of floating point."""


def cholesky(matrix: Floats, argument: str, remedy: str) -> Floats:
    """Return L (..., N, N) of matrix = L L^T.

    Raises
    ------
    SingularCovariance
        If a pivot is rounding error: its square at most N eps times the largest entry of the diagonal.
    """
    try:
        root = np.linalg.cholesky(matrix)
        pivots = np.diagonal(root, axis1=-2, axis2=-1) ** 2
    except np.linalg.LinAlgError:
        pivots = np.zeros((*matrix.shape[:-2], 1))
    largest = np.diagonal(matrix, axis1=-2, axis2=-1).max(axis=-1)
    # nan fails this comparison too.
    if not np.all(pivots.min(axis=-1) > matrix.shape[-1] * np.finfo(matrix.dtype).eps * largest):
        expected = "a covariance matrix of full rank"
        got = f"one of {matrix.shape[-1]} rows that is singular to rounding"
        raise SingularCovariance(f"{argument}: expected {expected}, got {got}; {remedy}")
    return root


@dataclass(frozen=True)
class GPLVM(StandardNormalPrior):
    """N rows of D columns, each column a Gaussian process over Q latent coordinates.

    Parameters
    ----------
    n_rows : int
        N.
    shift : tuple of float
        b, the D column means that are subtracted.
    n_latent : int
        Q, at most N and at most D.
    variant : {'rbf', 'linear', 'matern32', 'matern52'}
        The covariance function.
    """

    n_rows: int
    shift: tuple[float, ...]
    n_latent: int
    variant: str = "rbf"
    name = "gplvm"
    title = "Gaussian-process latent-variable model"
    synonyms = ("gp-lvm", "bayesian-gplvm", "dual-ppca")
    summary = "z_n ~ N(0, I), every column of the table a Gaussian process over z: one z for the table"
    variants = tuple(COVARIANCE_FUNCTIONS)
    usual_variant = "rbf"
    default_data = "digits"
    default_latent = 2
    natural_views = ("raw",)
    compared = False
    global_latents = True
    usual_rows = 6
    compared_rows = 2

    def __post_init__(self) -> None:
        check_count("n_rows", self.n_rows)
        check_count("latent", self.n_latent)
        if self.variant not in COVARIANCE_FUNCTIONS:
            raise unknown_name("variant", self.variant, list(COVARIANCE_FUNCTIONS))
        for name, most in (("rows", self.n_rows), ("columns", len(self.shift))):
            if self.n_latent > most:
                raise bad_value("latent", f"at most the {most} {name} of the data", self.n_latent)

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:
        """Return the model for a table x (N, D); two latents by default, or as many as centred rows span."""
        default = max(1, min(cls.default_latent, len(x) - 1, x.shape[1]))
        size = default if latent is None else latent
        return cls(len(x), tuple(x.mean(axis=0).tolist()), size, variant or cls.usual_variant)

    def as_data(self, table: Floats) -> Floats:
        """Return x (1, N D): the whole table is one datum."""
        return table.reshape(1, -1)

    @property
    def table_columns(self) -> int:
        """D."""
        return len(self.shift)

    @property
    def n_columns(self) -> int:
        """N D: entries of the whole table."""
        return self.n_rows * self.table_columns

    @cached_property
    def family(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.n_rows * self.n_latent)

    @property
    def latent_option(self) -> int:
        """Q, the latents of one row."""
        return self.n_latent

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> Model:
        """Return the model of a table or, with points, that of its single rows, which a fit ends in."""
        from elbo_lab.models.gplvm.rows import GPLVMRows

        return GPLVMRows(**values) if "n_points" in values else cls(**values)

    @cached_property
    def covariance(self) -> CovarianceFunction:
        """k, over Q inputs."""
        return COVARIANCE_FUNCTIONS[self.variant](self.n_latent)

    @cached_property
    def layout(self) -> Layout:
        return Layout((*self.covariance.entries, ("log_sigma", ())))

    @property
    def must_vary(self) -> Literal["one"]:
        """All columns have one noise scale."""
        return "one"

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        return check_data(x, argument, n_columns=self.n_columns)

    def check_data(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse a table in which nothing varies: sigma would shrink to zero, without end."""
        x = self.check_support(x, argument)
        # The mean of equal numbers differs from them by rounding.
        if np.any(np.abs(self.centred(x)).max(axis=(1, 2)) <= 1e-12 * np.abs(x).max(axis=1)):
            expected = f"a column that varies (the density of {self.label} is unbounded otherwise)"
            raise BadColumn(argument, expected, "constant", 0, "take other data")
        return x

    # -- the formula ---------------------------------------------------------------------------------

    def centred(self, x: Floats) -> Floats:
        """Return x (T, N D) as tables (T, N, D) with the column means subtracted."""
        rows = x.reshape(len(x), self.n_rows, self.table_columns)
        return rows - np.asarray(self.shift, dtype=rows.dtype)

    def latents(self, z: Draws) -> Floats:
        """Return z (..., N Q) as rows (..., N, Q)."""
        return z.reshape((*z.shape[:-1], self.n_rows, self.n_latent))

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """-tr(Y^T C^-1 Y) / 2 - D log |C| / 2 - N D log(2 pi) / 2.

        With A = C^-1 Y, the derivative in C is (A A^T - D C^-1) / 2 (Lawrence 2005, section 3); the
        covariance function pulls it back to its parameters and to both of its arguments, which are the
        same z. The dtype of theta is the dtype of the whole pass.
        """
        t, D = self.layout.views(theta), self.table_columns
        rows = self.latents(z.astype(theta.dtype, copy=False))
        y = self.centred(x.astype(theta.dtype, copy=False))
        noise = np.exp(2.0 * t["log_sigma"])
        covariance, covariance_pullback = self.covariance.matrix(t, rows, rows)
        covariance = covariance + noise * np.eye(self.n_rows, dtype=theta.dtype)
        root = cholesky(covariance, "theta", "raise log_sigma, the noise")
        inverse_root = np.linalg.inv(root)
        white = inverse_root @ y
        log_det = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
        constant = 0.5 * self.n_columns * LOG_2PI
        value = -0.5 * (white * white).sum(axis=(-2, -1)) - D * log_det - constant

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            upper = np.swapaxes(inverse_root, -1, -2)
            a = upper @ white
            by_covariance = 0.5 * (a @ np.swapaxes(a, -1, -2) - D * (upper @ inverse_root))
            by_covariance = cotangent[..., None, None] * by_covariance
            grads, by_first, by_second = covariance_pullback(by_covariance)
            grads["log_sigma"] = 2.0 * noise * np.trace(by_covariance, axis1=-2, axis2=-1)
            summed = {}
            for name, grad in grads.items():
                # Draws and tables are the two axes before those of the parameter.
                own = np.ndim(t[name])
                summed[name] = grad.sum(axis=(-2 - own, -1 - own))
            grad_theta = self.layout.pack(summed, lead=cotangent.shape[:-2])
            grad_z = (by_first + by_second).reshape((*cotangent.shape, -1))
            return grad_theta.astype(theta.dtype, copy=False), fold_shared(grad_z, z)

        return value, pullback

    def expected_x(self, theta: Floats, z: Draws) -> Floats:  # noqa: ARG002
        """Return E[x | z] (..., N D): the column means at every z, until a table is observed."""
        return np.broadcast_to(np.tile(self.shift, self.n_rows), (*z.shape[:-1], self.n_columns))

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        """Draw tables (T, N D) given z (T, N Q): D independent functions at the rows of z, and noise."""
        t, rows = self.layout.views(theta), self.latents(z)
        covariance = self.covariance.matrix(t, rows, rows)[0]
        covariance = covariance + np.exp(2.0 * t["log_sigma"]) * np.eye(self.n_rows)
        noise = rng.standard_normal((len(z), self.n_columns)).reshape(len(z), self.n_rows, -1)
        root = cholesky(covariance, "theta", "raise log_sigma, the noise")
        return (root @ noise + np.asarray(self.shift)).reshape(len(z), -1)

    # -- starts --------------------------------------------------------------------------------------

    def principal_scores(self, x: Floats) -> Floats:
        """Return the first Q principal scores of one table x (1, N D), each of variance one: (N, Q).

        Where the table has a smaller rank, the last scores are directions of rounding error.
        """
        left, _, _ = np.linalg.svd(self.centred(x)[0], full_matrices=False)
        return np.sqrt(self.n_rows) * left[:, : self.n_latent]

    def initial_theta(self, x: Floats) -> Floats:
        """Return a start: relevances like the variances of the principal scores, a tenth of all as noise."""
        variance = max(float(np.mean(self.centred(x) ** 2)), np.finfo(float).tiny)
        parts: dict[str, Floats | float] = {"log_sigma": 0.5 * np.log(START_NOISE * variance)}
        signal = np.log((1.0 - START_NOISE) * variance)
        squares = np.linalg.svd(self.centred(x)[0], compute_uv=False)[: self.n_latent] ** 2
        shares = np.maximum(squares / max(squares[0], np.finfo(float).tiny), LEAST_RELEVANCE)
        if "log_amplitude" in dict(self.layout.entries):
            parts |= {"log_amplitude": 0.5 * signal, "log_relevance": np.log(shares)}
        else:
            parts["log_relevance"] = signal + np.log(shares / shares.sum())
        return self.layout.pack(parts)

    def described(self, theta: Floats) -> dict[str, Floats]:
        """Return {'relevance' (Q,), 'amplitude' (unless linear), 'sigma'}: theta in natural units."""
        return {name.removeprefix("log_"): np.exp(part) for name, part in self.layout.views(theta).items()}
