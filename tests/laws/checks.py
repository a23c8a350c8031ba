"""Checkers that the laws share; `test_checks.py` shows that each catches a planted fault."""

import itertools
import tracemalloc

import numpy as np

from elbo_lab.distributions import Categorical, IndependentFamily
from elbo_lab.distributions.flows import Flow
from elbo_lab.exact.rules import tail_rule


def central_difference(function, point, direction, step=1e-5):
    """Return the directional derivative of `function` (array -> array) at `point`."""
    return (function(point + step * direction) - function(point - step * direction)) / (2 * step)


def check_vjp(function, vjp, point, rng, n_directions=5, tolerance=1e-6):
    """Hold a vector-Jacobian product against central differences with random cotangents.

    Parameters
    ----------
    function : callable
        array of the shape of `point` -> array of any shape.
    vjp : callable
        (array, cotangent of that shape) -> gradient of the shape of `point`.
    point : ndarray
    rng : numpy.random.Generator
    n_directions : int
        Independent cotangents and directions; a wrong coordinate escapes with probability zero.
    tolerance : float
        Relative to 1 + |derivative|; central differences err by about step^2 = 1e-10.
    """
    shape = np.shape(function(point))
    for _ in range(n_directions):
        cotangent, direction = rng.standard_normal(shape), rng.standard_normal(point.shape)
        expected = (cotangent * central_difference(function, point, direction)).sum()
        found = (vjp(point, cotangent) * direction).sum()
        assert abs(found - expected) <= tolerance * (1 + abs(expected)), (found, expected)


def exact_draws(family, eta, n_nodes=12):
    """Return (z, weights) with sum_g weights_g f(z_g) = E_q f(z), without noise.

    Categorical: every category, its probability by an independent formula. Bits: every row of them, its
    probability a plain product, layer by layer in a chain. Gaussian: a product Gauss-Hermite rule, exact for
    polynomials up to degree 2 n_nodes - 1; for chains it is laid over the noise. Flow: a trapezoid rule for
    its noise, exact to about 1e-12 where its layers are not steep. Mixture: such a rule for every component,
    times its weight. Other continuous families: a product of
    rules for uniform noise that reach into both tails, exact to about 1e-13 (`n_nodes` is not theirs).

    Returns
    -------
    z : ndarray (G, N, K), or integers (G, N)
    weights : ndarray (G, N)
    """
    n_data = len(eta)
    if family.name == "independent-bernoulli":
        z = np.array(list(itertools.product([0.0, 1.0], repeat=family.size)))
        p = 1.0 / (1.0 + np.exp(-eta))
        weights = np.where(z[:, None] == 1.0, p, 1.0 - p).prod(axis=-1)
        return np.repeat(z[:, None], n_data, axis=1), weights
    if family.name == "bernoulli-chain":
        z = np.array(list(itertools.product([0.0, 1.0], repeat=family.size)))
        weights = [[chain_of_bits(family, row, bits) for row in eta] for bits in z]
        return np.repeat(z[:, None], n_data, axis=1), np.array(weights)
    if family.name == "categorical-vector":
        one, tables = Categorical(family.n_categories), eta.reshape(n_data, family.size, -1)
        p = np.stack([exact_draws(one, tables[:, k])[1] for k in range(family.size)])
        z = np.array(list(itertools.product(range(family.n_categories), repeat=family.size)))
        weights = np.array([np.prod([p[k, c] for k, c in enumerate(row)], axis=0) for row in z])
        return np.repeat(z[:, None], n_data, axis=1), weights
    if family.discrete:
        odds = np.exp(eta - eta.max(axis=1, keepdims=True))
        z = np.broadcast_to(np.arange(family.size)[:, None], (family.size, n_data))
        return z, (odds / odds.sum(axis=1, keepdims=True)).T
    if isinstance(family, IndependentFamily):
        lower, upper, weights = tail_rule(120 if family.size == 1 else 60)
        tails = [product_nodes(nodes, family.size)[:, None, :] for nodes in (lower, upper)]
        z = family.quantile(eta, *tails)
    elif family.name == "gaussian-chain":
        # The density of a layer given the one before is that of its noise, which the rule integrates exactly.
        nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
        z = family.sample(eta, np.repeat(product_nodes(nodes, family.size)[:, None], n_data, axis=1))
    elif family.name == "diagonal-gaussian-mixture":
        nodes = np.linspace(-9.0, 9.0, 721 if family.size == 1 else 141)
        one = np.exp(-0.5 * product_nodes(nodes, family.size) ** 2).prod(axis=-1)
        c = family.components
        logits, means, log_stds = np.split(eta, [c, c * (1 + family.size)], axis=1)
        z = means.reshape(1, n_data, c, -1) + np.exp(log_stds.reshape(1, n_data, c, -1)) * product_nodes(
            nodes, family.size
        ).reshape(-1, 1, 1, family.size)
        odds = np.exp(logits)
        weights = (one / one.sum())[:, None, None] * (odds / odds.sum(axis=1, keepdims=True))
        rows = (np.moveaxis(one, 2, 0).reshape(-1, *one.shape[1:2], *one.shape[3:]) for one in (z, weights))
        return tuple(rows)
    elif isinstance(family, Flow):
        nodes = np.linspace(-8.0, 8.0, 401 if family.size == 1 else 221)
        weights = np.exp(-0.5 * nodes * nodes)
        z = family.sample(eta, product_nodes(nodes, family.size)[:, None, :])
    else:
        nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
        eps = product_nodes(nodes, family.size)
        z = eta[:, : family.size] + np.einsum("nij,gj->gni", scale_matrices(family, eta), eps)
    product = product_nodes(weights / weights.sum(), family.size).prod(axis=-1)
    return z, np.broadcast_to(product[:, None], z.shape[:2])


def chain_of_bits(family, eta, z):
    """Return the probability of one row of bits (K,) under one eta (E,), number by number."""
    starts = np.cumsum([0, *family.layers])
    layers = [z[a:b] for a, b in itertools.pairwise(starts)]
    if family.order == "top-down":
        layers = layers[::-1]
    parts = family.eta_layout.views(eta)
    names = list(parts)
    logits, probability = parts[names.pop(0)], 1.0
    for step, bits in enumerate(layers):
        if step:
            logits = layers[step - 1]
            for depth in range(len(family.hidden) + 1):
                weights, bias = parts[names.pop(0)], parts[names.pop(0)]
                logits = (np.tanh(logits) if depth else logits) @ weights + bias
        for bit, logit in zip(bits, logits, strict=True):
            probability *= 1.0 / (1.0 + np.exp(-logit if bit else logit))
    return probability


def product_nodes(nodes, n_dims):
    """Return the grid (G, n_dims) of a one-dimensional set of nodes (or weights) with itself."""
    return np.stack(np.meshgrid(*[nodes] * n_dims, indexing="ij"), axis=-1).reshape(-1, n_dims)


def scale_matrices(family, eta):
    """Return the matrix (N, K, K) that turns N(0, I) into the noise of a Gaussian, entry by entry."""
    scale = np.zeros((len(eta), family.size, family.size))
    below = 2 * family.size
    for i in range(family.size):
        scale[:, i, i] = np.exp(eta[:, family.size + i])
        for j in range(i if family.name == "full-gaussian" else 0):
            scale[:, i, j] = eta[:, below]
            below += 1
    if family.name == "low-rank-gaussian":
        directions = eta[:, below:].reshape(len(eta), family.size, family.rank)
        return np.linalg.cholesky(scale**2 + np.einsum("nir,njr->nij", directions, directions))
    return scale


def read_only(*arrays):
    """Return copies that raise when something writes into them."""
    copies = [np.array(array) for array in arrays]
    for copy in copies:
        copy.flags.writeable = False
    return copies if len(copies) > 1 else copies[0]


def peak_memory(work):
    """Return the bytes that a call holds at most."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def compiles_nothing(loop, first, again):
    """Hold that a compiled loop knows after the first calls what it needs for others."""
    first()
    known = list(loop.signatures)
    again()
    assert list(loop.signatures) == known


def assert_close(found, expected, relative=1e-12):
    """Hold two arrays of the same shape together, relative to the largest entry (at least 1)."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    worst = np.abs(found - expected).max(initial=0.0)
    assert worst <= relative * scale, (worst, scale)
