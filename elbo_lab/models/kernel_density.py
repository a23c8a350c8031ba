"""Kernel density: a Gaussian bump on every training row, all of one width.

    p(x) = (1/N) sum_n N(x; x_n, diag(h s_1, ..., h s_D)^2)

with s_d the standard deviation of column d (over N - 1, as in SciPy's `gaussian_kde` and in R) and one
factor h for all columns. The factor is

    leave-one-out   the maximum of the likelihood of every row under all others (see `leave_one_out`)
    scott           N^(-1/(D+4))                        (Scott 1992, eq. 6.42)
    silverman       (N (D+2) / 4)^(-1/(D+4))            (Silverman 1986, eq. 4.14, for a Gaussian density)

**The latent.** Every kernel density is a mixture of Gaussians with one equal component per row
(Bishop 2006, section 2.5.1), and z, the number of a row, makes it a latent-variable model: to draw x, pick a
row and blur it, the smoothed bootstrap; p(z | x) are the weights with which the rows speak for x. Evidence
and posterior are sums over all rows, exact, in blocks. So far the contract is honest. But nobody believes
that x came from that row, and nobody fits the centres: see `smoother` for what is a formality here.

Helps: where the shape of the density is not known, and columns are few. Fails: in many columns, where every
row is far from all others (a draw then is a blurred copy); where one factor is too wide for dense regions and
too narrow for the tails; and it keeps all data, so that a value costs N D.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Categorical
from elbo_lab.errors import bad_value, check_count, unknown_name
from elbo_lab.layout import Layout
from elbo_lab.models.base import LEAST_VARIANCE
from elbo_lab.models.components import Components
from elbo_lab.models.leave_one_out import best_log_factor, extremes, leave_one_out
from elbo_lab.models.smoother import Smoothed, Smoother
from elbo_lab.special import LOG_2PI


def scott_factor(n_rows: int, n_columns: int) -> float:
    """Return N^(-1/(D+4))."""
    return float(n_rows ** (-1.0 / (n_columns + 4)))


def silverman_factor(n_rows: int, n_columns: int) -> float:
    """Return (N (D+2) / 4)^(-1/(D+4)), of least mean squared error if the density is Gaussian."""
    return float((n_rows * (n_columns + 2) / 4.0) ** (-1.0 / (n_columns + 4)))


RULES = {"scott": scott_factor, "silverman": silverman_factor}
LEAVE_ONE_OUT = "leave-one-out"


@dataclass(frozen=True)
class KernelDensity(Smoother, Components):
    """A Gaussian kernel density on N rows of D columns.

    Parameters
    ----------
    n_columns, n_rows : int
        D and N.
    variant : {'leave-one-out', 'scott', 'silverman'}
        What sets the factor h.
    """

    n_columns: int
    n_rows: int
    variant: str = LEAVE_ONE_OUT
    name = "kde"
    title = "kernel density"
    synonyms = ("kernel-density-estimate", "parzen")
    summary = "z a training row, x | z ~ N(x_z, h^2 diag s^2)"
    variants = (LEAVE_ONE_OUT, *RULES)
    usual_variant = LEAVE_ONE_OUT
    must_vary = "all"

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        check_count("n_rows", self.n_rows)
        if self.variant not in self.variants:
            raise unknown_name("variant", self.variant, [LEAVE_ONE_OUT, *RULES])

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003 - one component per row
        return cls(x.shape[1], len(x), variant or cls.usual_variant)

    @cached_property
    def family(self) -> Categorical:
        return Categorical(self.n_rows)

    @cached_property
    def layout(self) -> Layout:
        rows = (self.n_rows, self.n_columns)
        return Layout((("rows", rows), ("log_deviation", rows[1:]), ("log_factor", ())))

    def prior_eta(self, theta: Floats) -> Floats:  # noqa: ARG002 - all rows are equal
        return np.zeros((1, self.n_rows))

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002
        return np.zeros((*grad_eta.shape[:-1], self.layout.size))

    def _bandwidth(self, theta: Floats) -> Floats:
        """Return h s_d (D,)."""
        t = self.layout.views(theta)
        return np.exp(t["log_deviation"] + t["log_factor"])

    def likelihood_table(self, theta: Floats, x: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
        """Return log N(x_n; row_c, diag(h s)^2) (N, C) and its pullback from weights (..., N, C).

        With r = (x - row) / (h s): d/drow = r / (h s), and d/dlog s_d = r_d^2 - 1, whose sum over the columns
        is d/dlog h.
        """
        from scipy.spatial.distance import cdist  # heavy: loaded on use

        rows, bandwidth = self.layout.view(theta, "rows"), self._bandwidth(theta)
        constant = np.log(bandwidth).sum() + 0.5 * self.n_columns * LOG_2PI
        # Formed from differences: the distance of equal rows is exactly zero.
        table = -0.5 * cdist(x / bandwidth, rows / bandwidth, "sqeuclidean") - constant

        def pullback(weights: Floats) -> Floats:
            centre = rows.mean(axis=0)
            y, u = (x - centre) / bandwidth, (rows - centre) / bandwidth
            by_datum, by_row = weights.sum(axis=-1), weights.sum(axis=-2)
            towards = np.swapaxes(weights, -1, -2) @ y
            squares = by_datum @ y**2 - 2.0 * (towards * u).sum(axis=-2) + by_row @ u**2
            by_log_deviation = squares - by_datum.sum(axis=-1)[..., None]
            return self.layout.pack(
                {
                    "rows": (towards - by_row[..., None] * u) / bandwidth,
                    "log_deviation": by_log_deviation,
                    "log_factor": by_log_deviation.sum(axis=-1),
                },
                lead=weights.shape[:-2],
            )

        return table, pullback

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return E[x | z], the rows z (..., D)."""
        return self.layout.view(theta, "rows")[z]

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        noise = rng.standard_normal((len(z), self.n_columns))
        return self.layout.view(theta, "rows")[z] + self._bandwidth(theta) * noise

    def initial_theta(self, x: Floats) -> Floats:
        """Return the rows x, in turn where there are fewer than the model has, with Scott's factor."""
        rows = np.resize(x, (self.n_rows, self.n_columns))
        spread = np.maximum(rows.std(axis=0), np.finfo(float).tiny)
        return self._packed(rows, spread, np.log(scott_factor(self.n_rows, self.n_columns)))

    def _packed(self, rows: Floats, deviation: Floats, log_factor: float) -> Floats:
        log_deviation = np.log(deviation)
        return self.layout.pack({"rows": rows, "log_deviation": log_deviation, "log_factor": log_factor})

    def smoothed(self, x: Floats) -> Smoothed:
        """Return theta for the training rows x (N, D), and what their ties do.

        Raises
        ------
        ValueError
            If every row has an equal twin, and the variant is leave-one-out: there is no maximum; or if the
            variance of a column is lost to underflow.
        """
        x = self.check_data(x)
        deviation = x.std(axis=0, ddof=1)
        if not (least := float(deviation.min()) ** 2) > LEAST_VARIANCE:
            raise bad_value("data", f"variances above {LEAST_VARIANCE:g}", least, "change the unit")
        if self.variant in RULES:
            return self._packed(x, deviation, np.log(RULES[self.variant](*x.shape))), ()
        u = (x - x.mean(axis=0)) / deviation
        nearest, farthest = extremes(u)
        tied = int((nearest == 0).sum())
        if tied == len(x):
            expected = "a row that equals no other (the leave-one-out likelihood is unbounded as h -> 0)"
            remedy = "use kde:scott, or blur rounded data (view dequantised)"
            raise bad_value("data", expected, f"{tied} of {tied} rows with an equal twin", remedy)
        warnings: tuple[str, ...] = ()
        if tied:
            warnings = (
                f"{tied} of {len(x)} rows equal another row: each pulls the leave-one-out bandwidth towards "
                "0; compare with kde:scott",
            )
        return self._packed(x, deviation, best_log_factor(u, nearest, farthest)), warnings

    def leave_one_out(self, theta: Floats) -> float:
        t = self.layout.views(theta)
        u = (t["rows"] - t["rows"].mean(axis=0)) / np.exp(t["log_deviation"])
        return float(leave_one_out(u, t["log_factor"][None])[0][0] - t["log_deviation"].sum())

    def described(self, theta: Floats) -> dict[str, Floats] | None:
        """Return 'factor' () h, 'deviations' (D,) s, and 'bandwidths' (D,) h s in the units of the data."""
        t = self.layout.views(theta)
        return {
            "factor": np.exp(np.asarray(t["log_factor"])),
            "deviations": np.exp(t["log_deviation"]),
            "bandwidths": self._bandwidth(theta),
        }
