"""Histogram: a constant density in each cell of a grid.

    p(x) = n_b / (N V)  in cell b,   V = prod_d width_d,   and 0 outside the range of the training rows

On every column the bins are of equal width. Their number is

    freedman-diaconis   width_d = 2 IQR_d N^(-1/(D+2)), the range divided by it and rounded up (Freedman and
                        Diaconis 1981 for one column; the exponent for more is that of Scott 1992, eq. 3.68).
                        Without a spread between the quartiles it is Scott's width, 3.5 s_d N^(-1/(D+2)).
    leave-one-out       the number m, equal on all columns, of greatest (1/N) sum_n log p_{-n}(x_n)
                        = (1/N) sum_b n_b log[(n_b - 1) / ((N - 1) V)], which is -inf as soon as one row is
                        alone in its cell: outliers force it to few bins

**No mass, no logarithm.** A new row in an empty cell, or outside, has p(x) = 0 and log p(x) = -inf. One such
row makes the mean log p of any table -inf; reports count these rows.

**The latent.** The cell is known once x is: there is nothing to infer, so z takes one value. theta holds the
logarithms of the counts (-inf in an empty cell), the lower corner and the logarithms of the widths. The
density jumps at the edges; its gradients are those within a cell. The rest is said in `smoother`.

Helps: in one or two columns, and to see that a density is a choice. Fails: beyond three columns, which are
refused: cells multiply, and nearly all are empty.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions import Categorical
from elbo_lab.errors import NotApplicable, bad_value, check_count, unknown_name
from elbo_lab.layout import Layout
from elbo_lab.models.base import Pullback
from elbo_lab.models.smoother import Smoothed, Smoother
from elbo_lab.special import log_softmax, softmax

MOST_COLUMNS, MOST_CELLS = 3, 1 << 18
# A cell is wider by this share, so that no rounding puts the greatest row outside.
SLACK = 1e-12

FREEDMAN_DIACONIS, LEAVE_ONE_OUT = "freedman-diaconis", "leave-one-out"


def freedman_diaconis(x: Floats) -> tuple[int, ...]:
    """Return the number of bins of every column of x (N, D)."""
    low, high = np.quantile(x, (0.25, 0.75), axis=0)
    width = np.where(high > low, 2.0 * (high - low), 3.5 * x.std(axis=0))
    width *= len(x) ** (-1.0 / (x.shape[1] + 2))
    return tuple(max(1, math.ceil(n)) for n in np.ptp(x, axis=0) / width)


def scores_by_leave_one_out(x: Floats) -> Iterator[tuple[int, float]]:
    """Yield (m, mean leave-one-out log p) for m = 1, 2, ... bins on every column of x (N, D).

    Up to 2 sqrt(N) of them, and no more cells than a histogram may have.
    """
    n_rows, n_columns = x.shape
    most = min(math.ceil(2.0 * math.sqrt(n_rows)), math.floor(MOST_CELLS ** (1.0 / n_columns)))
    for m in range(1, max(1, most) + 1):
        model = Histogram(n_columns, (m,) * n_columns, LEAVE_ONE_OUT)
        yield m, _leave_one_out(*model.counted(x))


def best_by_leave_one_out(x: Floats) -> tuple[int, ...]:
    """Return the number of bins of every column of x (N, D), the same for all."""
    return (max(scores_by_leave_one_out(x), key=lambda found: found[1])[0],) * x.shape[1]


RULES = {FREEDMAN_DIACONIS: freedman_diaconis, LEAVE_ONE_OUT: best_by_leave_one_out}


@dataclass(frozen=True)
class Histogram(Smoother):
    """A histogram of D columns.

    Parameters
    ----------
    n_columns : int
        D, at most 3.
    bins : tuple of int
        The number of bins of every column (D,).
    variant : {'freedman-diaconis', 'leave-one-out'}
        What sets the bins.
    """

    n_columns: int
    bins: tuple[int, ...]
    variant: str = FREEDMAN_DIACONIS
    name = "histogram"
    title = "histogram"
    summary = "p(x) = n_b / (N V) in cell b of a grid"
    variants = tuple(RULES)
    must_vary = "all"

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        _check_columns(self.n_columns)
        if len(self.bins) != self.n_columns:
            raise bad_value("bins", f"{self.n_columns} numbers, one for each column", len(self.bins))
        for count in self.bins:
            check_count("bins", count)
        if math.prod(self.bins) > MOST_CELLS:
            got = " x ".join(map(str, self.bins))
            remedy = "drop rows far from all others, or use kde"
            raise bad_value("data", f"a spread that at most {MOST_CELLS} cells cover", f"{got} cells", remedy)
        if self.variant not in self.variants:
            raise unknown_name("variant", self.variant, list(RULES))

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003 - nothing is latent
        _check_columns(x.shape[1])
        variant = variant or FREEDMAN_DIACONIS
        # Constant columns are refused later, by name.
        varies = np.ptp(x, axis=0).all() and variant in RULES
        return cls(x.shape[1], RULES[variant](x) if varies else (1,) * x.shape[1], variant)

    @cached_property
    def family(self) -> Categorical:
        return Categorical(1)

    @cached_property
    def layout(self) -> Layout:
        columns = (self.n_columns,)
        return Layout((("log_counts", (math.prod(self.bins),)), ("low", columns), ("log_width", columns)))

    def prior_eta(self, theta: Floats) -> Floats:  # noqa: ARG002 - z takes one value
        return np.zeros((1, 1))

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002
        return np.zeros((*grad_eta.shape[:-1], self.layout.size))

    def cells(self, theta: Floats, x: Floats) -> tuple[Integers, Integers]:
        """Return the cell (N,) of every row, the nearest for rows outside; and 1 for rows inside, else 0."""
        t = self.layout.views(theta)
        place = np.floor((x - t["low"]) * np.exp(-t["log_width"]))
        last = np.array(self.bins) - 1
        inside = ((place >= 0) & (place <= last)).all(axis=1)
        columns = np.clip(place, 0, last).astype(np.intp)
        # Cells are numbered as in C order: the last column runs fastest.
        steps = [math.prod(self.bins[d + 1 :]) for d in range(self.n_columns)]
        cell = np.asarray(columns @ np.array(steps))
        return cell, np.asarray(inside, dtype=np.intp)

    def likelihood(self, theta: Floats, x: Floats, z: Integers) -> tuple[Floats, Pullback]:
        """log p_b - sum_d log width_d in cell b, -inf outside.

        d/dlog n_c = [c = b] - p_c, d/dlog width_d = -1, and nothing by the corner, within a cell.
        """
        t = self.layout.views(theta)
        cell, inside = self.cells(theta, x)
        of_row = log_softmax(t["log_counts"], axis=-1)[cell] - t["log_width"].sum()
        value = np.broadcast_to(np.where(inside, of_row, -np.inf), (*z.shape[:-1], len(x)))

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            lead = cotangent.shape[:-2]
            by_datum = (cotangent * inside).sum(axis=-2)
            total = by_datum.sum(axis=-1)[..., None]
            p = softmax(t["log_counts"], axis=-1)
            first = len(p) * np.arange(math.prod(lead))[:, None]
            drawn = np.bincount((first + cell).ravel(), by_datum.ravel(), first.size * len(p))
            by_cell = drawn.reshape(*lead, len(p)) - total * p
            by_width = np.broadcast_to(-total, (*lead, self.n_columns))
            return self.layout.pack({"log_counts": by_cell, "log_width": by_width}, lead=lead), None

        return value, pullback

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return E[x] (..., D), the average of the centres of the cells, at every z (...)."""
        t = self.layout.views(theta)
        mean = softmax(t["log_counts"], axis=-1) @ (self._corners() + 0.5)
        return np.broadcast_to(t["low"] + mean * np.exp(t["log_width"]), (*np.shape(z), self.n_columns))

    def _corners(self) -> Floats:
        """Return the lower corners of all cells (C, D), in widths from the lowest."""
        return np.stack(np.unravel_index(np.arange(math.prod(self.bins)), self.bins), axis=-1).astype(float)

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        t = self.layout.views(theta)
        p = softmax(t["log_counts"], axis=-1)
        cell = rng.choice(len(p), len(z), p=p)
        place = self._corners()[cell] + rng.random((len(z), self.n_columns))
        return t["low"] + place * np.exp(t["log_width"])

    def posterior_eta(self, theta: Floats, x: Floats) -> Floats:  # noqa: ARG002
        """Return zeros (N, 1): z takes one value, also where p(x) is zero."""
        return np.zeros((len(x), 1))

    def initial_theta(self, x: Floats) -> Floats:
        """Return equal counts in cells that cover the range of x (N, D)."""
        width = np.maximum(np.ptp(x, axis=0), np.finfo(float).tiny) / self.bins * (1.0 + SLACK)
        return self.layout.pack({"low": x.min(axis=0), "log_width": np.log(width)})

    def counted(self, x: Floats) -> tuple[Floats, float]:
        """Return the counts of all cells (C,) that cover the rows x (N, D), and the log volume of a cell."""
        start = self.initial_theta(x)
        counts = np.bincount(self.cells(start, x)[0], minlength=math.prod(self.bins))
        return counts.astype(float), float(self.layout.view(start, "log_width").sum())

    def smoothed(self, x: Floats) -> Smoothed:
        """Return theta for the training rows x (N, D); the counts are the maximum of the likelihood."""
        x = self.check_data(x)
        theta = self.initial_theta(x)
        with np.errstate(divide="ignore"):
            self.layout.view(theta, "log_counts")[:] = np.log(self.counted(x)[0])
        return theta, ()

    def leave_one_out(self, theta: Floats) -> float:
        t = self.layout.views(theta)
        return _leave_one_out(np.round(np.exp(t["log_counts"])), float(t["log_width"].sum()))

    def described(self, theta: Floats) -> dict[str, Floats] | None:
        """Return 'bins', 'widths', 'low' and 'high' (D,), and 'probabilities' of the cells (C,)."""
        t = self.layout.views(theta)
        width = np.exp(t["log_width"])
        return {
            "bins": np.array(self.bins, dtype=float),
            "widths": width,
            "low": t["low"].copy(),
            "high": t["low"] + width * self.bins,
            "probabilities": softmax(t["log_counts"], axis=-1),
        }


def _leave_one_out(counts: Floats, log_volume: float) -> float:
    """Return the mean leave-one-out log p of rows with these counts (C,) in cells of one volume."""
    held, n_rows = counts[counts > 0], counts.sum()
    with np.errstate(divide="ignore"):  # a row alone in its cell has no other to speak for it
        return float(held @ np.log(held - 1.0) / n_rows - np.log(n_rows - 1.0) - log_volume)


def _check_columns(n_columns: int) -> None:
    if n_columns > MOST_COLUMNS:
        reason = f"histogram: expected at most {MOST_COLUMNS} columns, got {n_columns}"
        raise NotApplicable(f"{reason}; cells multiply and nearly all are empty: use kde or gaussian")
