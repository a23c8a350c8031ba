"""A category whose probabilities are looked up: p(x = c | parents in row r) = P[r, c].

    log p = L[r, x] - log sum_c exp L[r, c],     d/dL[r, c] = [x = c] - P[r, c]   in the row of the parents

Parameters are logits L, of which a fit stores the normalised ones, log P. A probability of zero is a logit
of -inf: log p is then -inf, its slope zero, and nothing is nan.

The weighted maximum is the share of the counts, P[r, c] = n[r, c] / n[r]; a row that no datum has seen keeps
what it was.

Helps: where a few categories decide, and every dependence may be of any form. Fails: with many parents, since
the number of rows is the product of their states.

Source: D. Koller and N. Friedman, "Probabilistic Graphical Models" (2009), section 5.1 and eq. (17.11).
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value
from elbo_lab.layout import Layout
from elbo_lab.models.graphs.conditionals import Completed, Conditional, LogProb, Slopes, weighted
from elbo_lab.models.graphs.reading import numbers
from elbo_lab.models.graphs.variables import Values, rows_of
from elbo_lab.special import log_softmax, softmax

# Of the sum of a row of probabilities as people write them.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Table(Conditional):
    """Probabilities of a category, one row for every combination of the states of its parents."""

    name = "table"
    kind = "category"
    summary = "p(x = c | parents in row r) = P[r, c]"

    def __post_init__(self) -> None:
        for parent in self.parents:
            if parent.kind != "category":
                expected = f"categories as parents of the table of {self.variable.name!r}"
                remedy = "describe it with softmax or mlp-categorical, which take parents of any kind"
                raise bad_value("parents", expected, f"{parent.name!r}, which is {parent.kind}", remedy)

    @property
    def shape(self) -> tuple[int, ...]:
        """States of every parent, then those of the variable."""
        return (*(parent.size for parent in self.parents), self.variable.size)

    @cached_property
    def layout(self) -> Layout:
        return Layout((("logits", self.shape),))

    def _logits(self, theta: Floats) -> Floats:
        return theta.reshape(-1, self.variable.size)

    def log_prob(self, theta: Floats, values: Values, weights: Floats | None = None) -> LogProb:
        x = self.variable.batch(values[self.variable.name])
        row, x = np.broadcast_arrays(rows_of(self.parents, values), x)
        logits = self._logits(theta)

        def pullback(cotangent: Floats) -> Slopes:
            *lead, _, _ = cotangent.shape
            cotangent = cotangent if weights is None else cotangent * weights[..., 0]
            where = np.broadcast_to(row * self.variable.size + x, cotangent.shape)
            repeat = np.arange(prod(lead)).reshape(*lead, 1, 1) * theta.size
            seen = np.bincount((where + repeat).ravel(), cotangent.ravel(), prod(lead) * theta.size)
            counts = seen.reshape(*lead, *logits.shape)
            gradient = counts - counts.sum(axis=-1, keepdims=True) * softmax(logits, axis=-1)
            return Slopes(gradient.reshape(*lead, theta.size), {}, None)

        value = log_softmax(logits, axis=-1)[row, x]
        return value if weights is None else weighted(value[..., None], weights), pullback

    def components(self, theta: Floats, values: Values) -> Floats:
        return self.log_prob(theta, values)[0][..., None]

    def log_table(self, theta: Floats, values: Values) -> Floats:
        """Return log p of every state (..., S, N, C), given the parents."""
        return log_softmax(self._logits(theta), axis=-1)[rows_of(self.parents, values)]

    def sample(self, theta: Floats, values: Values, n_data: int, rng: np.random.Generator) -> Floats:
        return drawn_states(
            np.broadcast_to(self.log_table(theta, values)[0], (n_data, self.variable.size)), rng
        )

    def maximise(self, theta: Floats, rows: Completed, floor: float = 0.0) -> Floats:  # noqa: ARG002
        row = rows_of(self.parents, rows.values)[0]
        where = row * self.variable.size + rows.values[self.variable.name]
        counts = np.bincount(where, rows.weights[:, 0], theta.size).reshape(-1, self.variable.size)
        total = counts.sum(axis=-1, keepdims=True)
        seen = total[:, 0] > 0
        logits = log_softmax(self._logits(theta), axis=-1)
        with np.errstate(divide="ignore"):  # a count of zero is a probability of zero
            logits[seen] = np.log(counts[seen] / total[seen])
        return logits.ravel()

    def start(self, rng: np.random.Generator) -> Floats:
        """Return logits near zero: equal rows of a hidden variable would stay equal."""
        logits = 0.5 * rng.standard_normal(self.layout.size)
        return log_softmax(self._logits(logits), axis=-1).ravel()

    def _packed(self, described: dict[str, Any], where: str) -> Floats:
        p = numbers(described, "probabilities", self.shape, where)
        total = p.sum(axis=-1)
        if p.min() < 0.0:
            raise bad_value(where, "probabilities of at least 0", f"{p.min():g}")
        wrong = np.argwhere(np.abs(total - 1.0) > ROUNDING)
        if len(wrong):
            named = zip(self.parents, wrong[0], strict=True)
            row = ", ".join(f"{one.name} = {one.states[i] if one.states else i}" for one, i in named)
            got = f"{total[tuple(wrong[0])]:g}" + (f" for {row}" if row else "")
            raise bad_value(where, "probabilities that sum to one", got)
        with np.errstate(divide="ignore"):
            return np.log(p / total[..., None]).ravel()

    def described(self, theta: Floats) -> dict[str, Floats]:
        return {"probabilities": softmax(self._logits(theta), axis=-1).reshape(self.shape)}


def drawn_states(log_p: Floats, rng: np.random.Generator) -> Floats:
    """Draw a state (N,) for every row of log-probabilities (N, C), never one of probability zero."""
    cumulative = np.exp(log_p).cumsum(axis=-1)
    inner = cumulative[:, :-1] / cumulative[:, -1:]
    return (rng.random((len(log_p), 1)) >= inner).sum(axis=-1)
