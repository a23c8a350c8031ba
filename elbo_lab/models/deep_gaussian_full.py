"""z ~ N(0, I), x | z ~ N(mean(z), Sigma(z)), a full covariance whose Cholesky factor is an output of the MLP.

    Sigma = L L^T,   L = S (I + C),   S = diag exp(v / 2),   C lower triangular with zeros on its diagonal
    r = S^-1 (x - m),   (I + C) u = r,   log N(x; m, Sigma) = -(|u|^2 + sum_d v_d + D log 2 pi) / 2

(Dorta et al. 2018, section 3, let a decoder give a triangular factor of the precision instead.) The
entries of C have no unit: they count in the standard deviations of their row, so that a change of units
moves m and v alone. Without C this is the learned decoder of `deep_gaussian`, bit for bit. Backward, with g
the solution of (I + C)^T g = u:

    d/dm = S^-1 g,   d/dv = (g * r - 1) / 2,   d/dC_ij = g_i u_j   (i > j)

since u moves by -(I + C)^-1 (dC) u, and r by -r dv / 2. A triangular system is solved by substitution, one
row for all draws and data at a time.

Why the floor of v still bounds the density: the determinant of Sigma is that of S^2, because I + C has ones
on its diagonal, and so log p(x | z) <= -(D / 2)(floor + log 2 pi).

The covariance of D columns has D (D + 1) / 2 numbers at every z, and so many outputs the network has beside
the D means: 2,080 for the 64 pixels of a digit, 307,720 for the 784 of MNIST. Wide data are refused.

Helps: where columns go together although z is known, as the measurements of one object do; with a
diagonal Sigma(z) the latents must explain that too. Fails: it needs D (D + 1) / 2 outputs; and it can explain
all correlations itself, so that the latents stay unused.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable, bad_value
from elbo_lab.models.deep import Observation
from elbo_lab.models.deep_gaussian import DeepGaussianLearned
from elbo_lab.special import LOG_2PI

# The most columns: their covariance has 8,256 entries.
MOST_COLUMNS = 128


@dataclass(frozen=True)
class DeepGaussianFull(DeepGaussianLearned):
    """MLP decoder for the mean and the Cholesky factor of the covariance; v has the floor of `learned`.

    Raises
    ------
    ValueError
        If there are more than 128 columns.
    """

    variant = "full"
    default_data = "faithful"
    variants = ("full",)
    summary = "z ~ N(0, I), x | z ~ N(MLP(z), L L^T), L = lower triangular MLP(z)"

    def __post_init__(self) -> None:
        if self.channels:
            raise NotApplicable(f"a covariance belongs to no pixel: no network conv for {self.label}")
        super().__post_init__()
        if self.n_columns > MOST_COLUMNS:
            n_entries = self.n_columns * (self.n_columns + 1) // 2
            raise bad_value(
                "data",
                f"at most {MOST_COLUMNS} columns for {self.label} "
                f"(the covariance of D columns needs D (D + 1) / 2 outputs, here {n_entries})",
                f"{self.n_columns} columns",
                "use deep-gaussian:learned, whose covariance is diagonal",
            )

    @property
    def n_outputs(self) -> int:
        """Means, log-variances, and the entries of C row by row."""
        return 2 * self.n_columns + self.n_columns * (self.n_columns - 1) // 2

    @property
    def row_width(self) -> int:
        return self.n_outputs

    @cached_property
    def _rows_of_c(self) -> list[slice]:
        """Where the entries C_i1 ... C_i,i-1 of each row i are in the outputs."""
        starts = [2 * self.n_columns + i * (i - 1) // 2 for i in range(self.n_columns + 1)]
        return [slice(start, start + i) for i, start in enumerate(starts[:-1])]

    def log_variance(self, theta: Floats, z: Floats) -> Floats:
        """Return the log-variance (..., D) of each column of x at z (..., K): log diag Sigma."""
        outputs = self.decode(theta, z)
        squares = [(outputs[..., row] ** 2).sum(axis=-1) for row in self._rows_of_c]
        return self.split_outputs(outputs)[1] + np.log1p(np.stack(squares, axis=-1))

    def covariance(self, theta: Floats, z: Floats) -> Floats:
        """Return Sigma (..., D, D) of x at z (..., K)."""
        outputs = self.decode(theta, z)
        scale = np.exp(0.5 * self.split_outputs(outputs)[1])
        lower = np.zeros((*scale.shape, self.n_columns))
        for i, row in enumerate(self._rows_of_c):
            lower[..., i, i] = scale[..., i]
            lower[..., i, :i] = scale[..., i, None] * outputs[..., row]
        return lower @ np.swapaxes(lower, -1, -2)

    def _solve(self, outputs: Floats, r: Floats) -> Floats:
        """Return u with (I + C) u = r (..., D), by forward substitution."""
        u = r.copy()
        for i, row in enumerate(self._rows_of_c):
            u[..., i] -= np.einsum("...j,...j->...", outputs[..., row], u[..., :i])
        return u

    def _solve_transposed(self, outputs: Floats, u: Floats) -> Floats:
        """Return g with (I + C)^T g = u (..., D), by back substitution."""
        g = u.copy()
        for i in reversed(range(self.n_columns)):
            g[..., :i] -= outputs[..., self._rows_of_c[i]] * g[..., i, None]
        return g

    def observe(self, extra: Floats, outputs: Floats, x: Floats) -> Observation:  # noqa: ARG002
        mean, log_variance, slope = self.split_outputs(outputs)
        precision_root = np.exp(-0.5 * log_variance)
        r = (x - mean) * precision_root
        u = self._solve(outputs, r)
        squares = np.einsum("...d,...d->...", u, u)
        value = -0.5 * (squares + log_variance.sum(axis=-1) + self.n_columns * LOG_2PI)

        def slopes() -> Floats:
            g = self._solve_transposed(outputs, u)
            by_output = np.empty((*u.shape[:-1], self.n_outputs), dtype=u.dtype)
            by_output[..., : self.n_columns] = g * precision_root
            by_output[..., self.n_columns : 2 * self.n_columns] = 0.5 * (g * r - 1.0) * slope
            for i, row in enumerate(self._rows_of_c):
                by_output[..., row] = g[..., i, None] * u[..., :i]
            return by_output

        return value, slopes, self.no_extra_vjp

    def observe_sample(self, extra: Floats, outputs: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        mean, log_variance, _ = self.split_outputs(outputs)
        noise = rng.standard_normal(mean.shape)
        eps = noise.copy()
        for i, row in enumerate(self._rows_of_c):
            eps[..., i] += np.einsum("...j,...j->...", outputs[..., row], noise[..., :i])
        return mean + np.exp(0.5 * log_variance) * eps

    def output_bias(self, x: Floats) -> Floats:
        """Return the bias of `learned`, and C = 0."""
        return np.concatenate([super().output_bias(x), np.zeros(self.n_outputs - 2 * self.n_columns)])

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Glorot weights for mean and log-variance, C = 0 at every z: training starts from `learned`."""
        theta = super().random_theta(x, rng)
        last = self.decoder.last_layer(self._split(theta)[0])[0]
        last[:, 2 * self.n_columns :] = 0.0
        return theta
