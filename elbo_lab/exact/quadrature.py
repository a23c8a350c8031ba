"""Third rung: quadrature over one or two continuous latents.

Expectations under q are sums over nodes of the noise, z = sample(eta, eps), with ever finer `noise_rules`
until value and gradients have converged. Uniform noise is the normal distribution function of eps.

Posterior integrals need another rule: a sharp posterior falls between the nodes of any rule that is
centred on the prior. A trapezoid grid over +-7 in each latent has no such blind spot once its step is
near the posterior's standard deviation. Its step is halved until log p of a datum has converged; all data
that have not converged yet share the grid, and only the neighbourhoods of nodes that matter to one of
them are refined. Under any other prior than N(0, I) the grid is laid over the noise u ~ N(0, I) of a draw
z = T(u) of the prior, so that its nodes keep to the support and reach into its tails:

    p(x) = int p(x, z) dz = int N(u; 0, I) p(x | T(u)) du

A value has converged when a finer rule or grid changes it by less than a tolerance; this last change is
reported as the error.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import scipy

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.independent import IndependentFamily
from elbo_lab.exact.answer import Bound, Evidence, Expectation
from elbo_lab.exact.rules import Rule, boxes, children, lattice, noise_rules
from elbo_lab.models.base import Model
from elbo_lab.special import LOG_2PI, log_sum_exp, softmax

Sums = TypeVar("Sums", Expectation, Bound)
ConvergedGrids = tuple[Integers, Floats, Floats, Rule, Rule]
"""Which data, log p (M,), its last change, and two grids: nodes z (G, K) and log-weights (G, M)."""

RUNG = "quadrature"
TOLERANCE = 1e-8

HALF_WIDTH = 7.0
FIRST_STEP = 0.25
MAX_HALVINGS = 7
# Nodes whose log-joint is this many nats below the highest carry less than 2e-14 of its mass each. On the
# first grid the same margin keeps a peak of standard deviation 0.022 that falls between four nodes.
NEGLIGIBLE = 32.0
# Gradients are needed to fewer digits. Each dropped node has below 2e-11 of the mass of the best node but may
# have a larger slope; a bound of their sum is part of the reported error.
NEGLIGIBLE_IN_GRADIENT = 25.0
DROPPED_IN_GRADIENT = 1e-9
# Rows of the decoder per pass: their activations fit in the cache.
ROWS_PER_PASS = 4096
# Nodes per pass when data share them, few enough to be neighbours; and pairs of nodes and data.
NODES_PER_PASS = 256
PAIRS_PER_PASS = 32_768
# Data that share a grid: with more of them its nodes are decoded less often, but it covers more of the plane.
DATA_PER_GRID = 128
# Pairs of nodes and data in one table, 270 MB: twice what 128 data with sharp posteriors take in a plane.
MOST_PAIRS = 1 << 25


class ToleranceMissed(Exception):
    """The rule did not converge within its budget; the next rung takes over."""


def applies(model: Model, family: Family | None = None) -> bool:  # noqa: ARG001 - any family that turns normal or uniform noise into z
    """Whether z is continuous, with at most two dimensions."""
    return not model.family.discrete and model.latent_dim <= 2


# -- expectations under q ------------------------------------------------------------------------


def passes_under_q(family: Family, eta: Floats, rule: Rule) -> Iterator[tuple[Floats, Floats, Draws]]:
    """Yield noise (G, 1, K), its weights (G, 1) and z (G, N, K) under q, pass by pass.

    Of a q with several `strata` each by itself, with its noise (G, N, *event) and weights (G, N).
    """
    eps, weights = rule
    if family.noise_spec(1, 1).kind == "uniform":
        eps = scipy.special.ndtr(eps)
    per_pass = max(1, ROWS_PER_PASS // len(eta))
    for start in range(0, len(eps), per_pass):
        nodes = slice(start, start + per_pass)
        for share, noise in family.strata(eta, eps[nodes, None, :]):
            yield noise, weights[nodes, None] * share, family.sample(eta, noise)


def _expected_values(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, rule: Rule
) -> Floats:
    """Return E_q log p(x_n, z) (N,) by one rule."""
    value = np.zeros(len(x))
    for _, w, z in passes_under_q(family, eta, rule):
        value += (w * model.log_joint(theta, x, z)).sum(axis=0)
    return value


def _expectation_of_datum(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, rule: Rule
) -> tuple[Floats, Floats, Floats]:
    """Return value (1,), grad_theta (P,), grad_eta (1, E) for one datum x (1, D) by one rule."""
    value, grad_theta, grad_eta = np.zeros(1), np.zeros(model.layout.size), np.zeros(eta.shape)
    for noise, w, z in passes_under_q(family, eta, rule):
        weighted = w * model.log_joint(theta, x, z)
        value += weighted.sum(axis=0)
        by_theta, by_z = model.log_joint_vjp(theta, x, z, w)
        assert by_z is not None  # z is continuous
        grad_theta += by_theta
        grad_eta += family.stratum_vjp(eta, noise, weighted, by_z)
    return value, grad_theta, grad_eta


def _agree(current: Sequence[Floats], previous: Sequence[Floats], tolerance: float) -> bool:
    return all(
        np.abs(a - b).max(initial=0.0) <= tolerance * np.abs(a).max(initial=1.0)
        for a, b in zip(current, previous, strict=True)
    )


def converged(
    by_rule: Callable[[Rule], Sequence[Floats]], n_dims: int, tolerance: float
) -> tuple[Sequence[Floats], list[Floats]]:
    """Return the sums for one datum and their last changes, by the first rule that converges."""
    previous = None
    for rule in noise_rules(n_dims):
        current = by_rule(rule)
        if previous is not None and _agree(current, previous, tolerance):
            return current, [np.abs(a - b) for a, b in zip(current, previous, strict=True)]
        previous = current
    raise ToleranceMissed


def converged_sums(
    kind: type[Sums],
    by_rule: Callable[[int, Rule], Sequence[Floats]],
    n_dims: int,
    n_data: int,
    n_parameters: int,
    eta_shape: tuple[int, ...],
    tolerance: float,
) -> Sums:
    """Return kind(RUNG, value, error, ...) for the mean over data, each by the first rule that converges.

    Parameters
    ----------
    kind : type
        `Expectation` or `Bound`.
    by_rule : callable
        (number of the datum, rule) -> value (1,), grad_theta (P,), grad_eta (1, E).
    n_dims : int
        K, dimensions of the noise.
    tolerance : float
        Of the last change, relative to the largest entry of an array (at least 1).

    Raises
    ------
    ToleranceMissed
        If the finest rule still changes value or gradients of a datum by more than that.
    """
    value, value_error = np.zeros((2, n_data))
    grad_theta, theta_error = np.zeros((2, n_parameters))
    grad_eta, eta_error = np.zeros((2, *eta_shape))
    for n in range(n_data):
        row = slice(n, n + 1)
        sums, changes = converged(partial(by_rule, n), n_dims, tolerance)
        value[row], value_error[row] = sums[0], changes[0]
        grad_theta += sums[1] / n_data
        theta_error += changes[1] / n_data
        grad_eta[row], eta_error[row] = sums[2] / n_data, changes[2] / n_data
    return kind(RUNG, value, value_error, grad_theta, theta_error, grad_eta, eta_error)


def expected_log_joint(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats
) -> tuple[Floats, Floats]:
    """Return E_q log p(x_n, z) (N,) and its last change (N,), all data at once, or raise ToleranceMissed."""
    value, error, previous = np.zeros(len(x)), np.zeros(len(x)), None
    pending = np.arange(len(x))
    for rule in noise_rules(model.latent_dim):
        current = _expected_values(model, theta, x[pending], family, eta[pending], rule)
        if previous is not None:
            change = np.abs(current - previous)
            converged = change <= TOLERANCE * np.maximum(1.0, np.abs(current))
            done = pending[converged]
            value[done], error[done] = current[converged], change[converged]
            pending, current = pending[~converged], current[~converged]
            if not len(pending):
                return value, error
        previous = current
    raise ToleranceMissed


def expectation(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Expectation:
    """Return E_q log p(x, z) and its gradients, or raise ToleranceMissed."""

    def by_rule(n: int, rule: Rule) -> tuple[Floats, Floats, Floats]:
        row = slice(n, n + 1)
        return _expectation_of_datum(model, theta, x[row], family, eta[row], rule)

    sizes = model.latent_dim, len(x), model.layout.size, eta.shape
    return converged_sums(Expectation, by_rule, *sizes, tolerance=TOLERANCE)


# -- posterior integrals -------------------------------------------------------------------------


def _passes(n_nodes: int, n_data: int) -> Iterator[slice]:
    """Yield slices of nodes such that nodes x data stay within a pass."""
    per_pass = max(1, min(NODES_PER_PASS, PAIRS_PER_PASS // n_data))
    for start in range(0, n_nodes, per_pass):
        yield slice(start, start + per_pass)


def _is_standard(model: Model, theta: Floats) -> bool:
    """Whether the prior is N(0, I), whose draws are their own noise."""
    return model.family.gaussian and not model.prior_eta(theta).any()


def _latents(model: Model, theta: Floats, nodes: Floats) -> Floats:
    """Return z = T(u) (G, K) at nodes u (G, K): the draws of the prior from this noise."""
    if _is_standard(model, theta):
        return nodes
    family, eta, noise = model.family, model.prior_eta(theta), nodes[:, None, :]
    spec = family.noise_spec(1, 1)
    if spec.shape != (1, 1, nodes.shape[1]):
        raise ToleranceMissed
    if spec.kind == "normal":
        z = family.sample(eta, noise)
    elif isinstance(family, IndependentFamily):
        # Both tails keep their digits.
        z = family.quantile(eta, scipy.special.ndtr(noise), scipy.special.ndtr(-noise))
    else:
        z = family.sample(eta, scipy.special.ndtr(noise))
    return np.asarray(z[:, 0], dtype=np.float64)


def _log_weights(model: Model, theta: Floats, x: Floats, nodes: Floats, low: Floats, high: Floats) -> Floats:
    """Return log N(u_g; 0, I) p(x_n | T(u_g)) (G, N) at nodes u (G, K) in the box of each datum, else -inf.

    `low` and `high` (N, K) are the corners of the boxes. Nodes are sorted, so that those of one pass are
    neighbours and lie in the boxes of few data.
    """
    table = np.full((len(nodes), len(x)), -np.inf)
    standard, latents = _is_standard(model, theta), _latents(model, theta, nodes)
    for rows in _passes(len(nodes), len(x)):
        u, z = nodes[rows], latents[rows, None, :]
        data = np.all((low <= u.max(axis=0)) & (high >= u.min(axis=0)), axis=1)
        if not data.any():
            continue
        if standard:
            table[rows, data] = model.log_joint(theta, x[data], z)
        else:
            log_density = -0.5 * ((u * u).sum(axis=1) + u.shape[1] * LOG_2PI)
            table[rows, data] = log_density[:, None] + model.likelihood(theta, x[data], z)[0]
    return table


def _posterior_gradient(model: Model, theta: Floats, x: Floats, nodes: Floats, log_weights: Floats) -> Floats:
    """Return sum_n E_{p(z | x_n)} d log p(x_n, z)/d theta (P,) on one grid (Fisher's identity)."""
    weights = softmax(log_weights, axis=0)
    matters = log_weights > log_weights.max(axis=0) - NEGLIGIBLE_IN_GRADIENT
    kept = matters.any(axis=1)
    nodes, weights, matters = nodes[kept], weights[kept], matters[kept]
    grad = np.zeros(model.layout.size)
    for rows in _passes(len(nodes), len(x)):
        # Neighbouring nodes matter to few data.
        data = matters[rows].any(axis=0)
        z, cotangent = nodes[rows][:, None, :], weights[rows][:, data]
        grad += model.log_joint_vjp(theta, x[data], z, cotangent)[0]
    return grad


def converged_grids(
    model: Model, theta: Floats, x: Floats, most_nodes: int = MOST_PAIRS
) -> Iterator[ConvergedGrids]:
    """Yield data whose log p(x_n) has converged, with the two grids that agree on it, until all have.

    `_grids_of_block` documents what is yielded; large data sets are split into blocks with separate grids.
    A grid has at most so many nodes for each datum, and `MOST_PAIRS` for all data of a block.
    """
    for start in range(0, len(x), DATA_PER_GRID):
        block = x[start : start + DATA_PER_GRID]
        most_pairs = min(MOST_PAIRS, most_nodes * len(block))
        over = model.laid_over(theta, block)
        for done, value, change, coarse, fine in _grids_of_block(over, theta, block, most_pairs):
            yield start + done, value, change, coarse, fine


def _grids_of_block(model: Model, theta: Floats, x: Floats, most_pairs: int) -> Iterator[ConvergedGrids]:
    """Halve the step until log p(x_n) has converged for each datum of a block.

    Yields
    ------
    done : ndarray of int (M,)
        Which data.
    value, change : ndarray (M,)
    coarse, fine : tuple
        Nodes z (G, K) and log-weights (G, M) of the grids of the last two steps.

    Raises
    ------
    ToleranceMissed
        If log p of some datum still changes by 1e-8 or more at a step of 0.25 / 2^7, or if the grid would
        need too much memory (a decoder with kinks converges slowly everywhere), or if no node gives a datum
        any density.
    """
    n_dims, step = model.latent_dim, FIRST_STEP
    index = lattice(n_dims, round(HALF_WIDTH / step))
    everywhere = np.full((len(x), n_dims), HALF_WIDTH)
    log_weights = _log_weights(model, theta, x, step * index, -everywhere, everywhere)
    if not np.isfinite(log_weights.max(axis=0)).all():
        raise ToleranceMissed
    # The first comparison is that with every second node of the same grid.
    even = np.all(index % 2 == 0, axis=1)
    coarse = (2.0 * step, step * index[even], log_weights[even])
    fine = (step, step * index, log_weights)
    pending = np.arange(len(x))
    while True:
        by_coarse, by_fine = (
            log_sum_exp(table, axis=0) + n_dims * np.log(h) for h, _, table in (coarse, fine)
        )
        change = np.abs(by_fine - by_coarse)
        converged = change < TOLERANCE
        if converged.any():
            grids = [(_latents(model, theta, u), table[:, converged]) for _, u, table in (coarse, fine)]
            yield pending[converged], by_fine[converged], change[converged], *grids
        pending, table = pending[~converged], fine[2][:, ~converged]
        if not len(pending):
            return
        coarse = (step, fine[1], table)
        step = 0.5 * step
        if step < FIRST_STEP * 0.5**MAX_HALVINGS:
            raise ToleranceMissed
        matters = table > table.max(axis=0) - NEGLIGIBLE
        low, high = boxes(coarse[1], matters, step)
        index = children(index[matters.any(axis=1)], round(HALF_WIDTH / step))
        if len(index) * len(pending) > most_pairs:
            raise ToleranceMissed
        fine = (step, step * index, _log_weights(model, theta, x[pending], step * index, low, high))


def log_evidence(model: Model, theta: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return log p(x_n) (N,) and its last change (N,), or raise ToleranceMissed."""
    value, error = np.zeros((2, len(x)))
    for done, log_p, change, _, _ in converged_grids(model, theta, x):
        value[done], error[done] = log_p, change
    return value, error


def evidence(model: Model, theta: Floats, x: Floats) -> Evidence:
    """Return log p(x) and its gradient, or raise ToleranceMissed."""
    value, error = np.zeros((2, len(x)))
    coarse_grad, fine_grad = np.zeros((2, model.layout.size))
    for done, log_p, change, *grids in converged_grids(model, theta, x):
        value[done], error[done] = log_p, change
        for grad, grid in zip((coarse_grad, fine_grad), grids, strict=True):
            grad += _posterior_gradient(model, theta, x[done], *grid)
    dropped = DROPPED_IN_GRADIENT * np.abs(fine_grad).max(initial=0.0)
    grad_error = (np.abs(fine_grad - coarse_grad) + dropped) / len(x)
    return Evidence(RUNG, value, error, fine_grad / len(x), grad_error)
