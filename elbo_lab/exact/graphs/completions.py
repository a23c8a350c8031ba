"""Weighted completions: what the hidden cells of a row may be, each with its share of the evidence.

    p(observed) = sum_g exp(log_weight_g),     p(hidden = g | observed) = exp(log_weight_g) / p(observed)

where g runs over values of the discrete hidden cells, nodes of a grid, or draws. Hidden reals that are
linear-Gaussian are integrated for each value instead: with the residuals r = r_0 + J h of all conditionals
that they enter, log p(observed, h, g) is a quadratic form in h, and

    precision L = J^T J,   mean h* = -L^-1 J^T r_0,
    log_weight = log p(observed, h*, g) - log det(L / 2 pi) / 2                (Bishop 2006, section 2.3.3)

The log-density is evaluated at h*, where residuals are small, and not expanded about zero, which would lose
digits for small variances. Laplace's approximation is exact here.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats, Integers
from elbo_lab.exact.graphs.patterns import Cell, Pattern
from elbo_lab.models.graphs import BayesNet, Values
from elbo_lab.special import LOG_2PI

# Completed rows that are computed at once.
ROWS_AT_ONCE = 1 << 16


class Completions(NamedTuple):
    """Completed rows; those of a row of the data come in any number.

    Attributes
    ----------
    rung : ndarray of str (R,)
    rows : ndarray of int (R,)
        Which row of the data each completes.
    table : ndarray (R, D)
        Completed; what is dropped is 0.
    counted : dict of ndarray
        {variable: 1 for components whose log p counts, else 0, (R, n) or (n,) for all rows}.
    log_weights : ndarray (R,)
    error : ndarray (R,)
        Relative error of the weights.
    reals : tuple of Cell
        The H hidden reals that were integrated; the table has their means.
    covariance : ndarray (R, H, H) or None
        Of these.
    """

    rung: NDArray[np.str_]
    rows: Integers
    table: Floats
    counted: Mapping[str, Floats]
    log_weights: Floats
    error: Floats
    reals: tuple[Cell, ...] = ()
    covariance: Floats | None = None


Group = tuple[Pattern, Integers]
"""A pattern and its rows in the data."""


def log_counted(net: BayesNet, theta: Floats, counted: Mapping[str, Floats], values: Values) -> Floats:
    """Return the sum of log p over all components that count (S, N)."""
    return net.joint(theta, values, counted)[0] if counted else np.zeros((1, 1))


def listed_completions(
    net: BayesNet, theta: Floats, groups: Iterable[Group], table: Floats
) -> Iterator[Completions]:
    """Yield the completions of patterns without hidden reals: rungs closed-form and enumeration.

    Patterns are computed together, since many have few rows each.

    Parameters
    ----------
    net : BayesNet
    theta : ndarray (P,)
    groups : sequence of Group
    table : ndarray (N, D)
    """
    waiting: list[Group] = []
    n_waiting = 0
    for pattern, rows in groups:
        n_values = prod(pattern.sizes)
        per_pass = max(1, ROWS_AT_ONCE // n_values)
        for start in range(0, len(rows), per_pass):
            part = rows[start : start + per_pass]
            if waiting and n_waiting + len(part) * n_values > ROWS_AT_ONCE:
                yield _listed_together(net, theta, waiting, table)
                waiting, n_waiting = [], 0
            waiting.append((pattern, part))
            n_waiting += len(part) * n_values
    if waiting:
        yield _listed_together(net, theta, waiting, table)


def _listed_together(net: BayesNet, theta: Floats, groups: list[Group], table: Floats) -> Completions:
    full = np.concatenate([pattern.listed(table[rows]) for pattern, rows in groups])
    lengths = [len(rows) * prod(pattern.sizes) for pattern, rows in groups]
    counted = {}
    for name, variable in net.variables.items():
        none = np.zeros(variable.n_components)
        own = np.array([pattern.counted.get(name, none) for pattern, _ in groups])
        if own.any():
            counted[name] = np.repeat(own, lengths, axis=0)
    log_p = log_counted(net, theta, counted, net.values_of(full))
    return Completions(
        np.repeat([pattern.rung for pattern, _ in groups], lengths),
        np.concatenate([np.repeat(rows, prod(pattern.sizes)) for pattern, rows in groups]),
        full,
        counted,
        np.broadcast_to(log_p, (1, len(full)))[0],
        np.zeros(len(full)),
    )


def integrated_completions(
    net: BayesNet, theta: Floats, pattern: Pattern, table: Floats, rows: Integers
) -> Iterator[Completions]:
    """Yield the completions of a pattern whose hidden reals are linear-Gaussian, given all categories.

    Parameters
    ----------
    net : BayesNet
    theta : ndarray (P,)
    pattern : Pattern
        Of all the rows.
    table : ndarray (N, D)
    rows : ndarray of int (M,)
    """
    n_values = prod(pattern.sizes)
    per_pass = max(1, ROWS_AT_ONCE // n_values)
    for start in range(0, len(rows), per_pass):
        part = rows[start : start + per_pass]
        full, covariance, log_volume = _at_means(net, theta, pattern, pattern.listed(table[part]))
        log_p = log_counted(net, theta, pattern.counted, net.values_of(full))
        yield Completions(
            np.full(len(full), pattern.rung),
            np.repeat(part, n_values),
            full,
            pattern.counted,
            log_p[0] + log_volume,
            np.zeros(len(full)),
            pattern.reals,
            covariance,
        )


def where_entering(net: BayesNet, name: str, cell: Cell) -> int | None:
    """Return the place of a cell among the inputs of a linear-Gaussian conditional, or None."""
    start = 0
    for parent in net.conditionals[name].entering:
        if parent.name == cell[0]:
            return start + cell[1]
        start += parent.size
    return None


def _at_means(net: BayesNet, theta: Floats, pattern: Pattern, full: Floats) -> tuple[Floats, Floats, Floats]:
    """Return rows (R, D) with posterior means of the hidden reals, their covariance, and log volumes (R,).

    The volume is the integral of exp(-(h - h*)^T L (h - h*) / 2) over h.
    """
    values, reals = net.values_of(full), pattern.reals
    precision = np.zeros((len(full), len(reals), len(reals)))
    slope = np.zeros((len(full), len(reals)))
    for name in pattern.about_reals:
        conditional = net.conditionals[name]
        own = theta[net.parts[name]]
        form = conditional.linear_form(own, values)
        mean, sigma = conditional.moments(own, values)
        n = net.variables[name].n_components
        weights = pattern.counted[name] / np.broadcast_to(sigma[0], (len(full), n))
        residual = (values[name] - mean[0]) * weights
        J = np.zeros((len(full), n, len(reals)))
        for k, cell in enumerate(reals):
            if cell[0] == name:
                J[:, cell[1], k] = weights[:, cell[1]]
            place = where_entering(net, name, cell)
            if place is not None:
                J[:, :, k] = -form.W[0, :, :, place] * weights
        precision += np.swapaxes(J, 1, 2) @ J
        slope += np.einsum("rnk,rn->rk", J, residual)
    covariance = np.linalg.inv(precision)
    covariance = 0.5 * (covariance + np.swapaxes(covariance, 1, 2))
    means = -np.linalg.solve(precision, slope[..., None])[..., 0]
    full = full.copy()
    for k, (name, component) in enumerate(reals):
        full[:, net.places[name].start + component] = means[:, k]
    return full, covariance, 0.5 * (len(reals) * LOG_2PI - np.linalg.slogdet(precision)[1])
