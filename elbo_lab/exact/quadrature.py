"""Third rung: quadrature over one or two continuous latents.

Expectations under q are Gauss-Hermite sums in the noise, z = sample(eta, eps), the node count doubled
until value and gradients stand. Posterior integrals need another rule: a sharp posterior falls between
the nodes of any rule that is centred on the prior. A trapezoid grid over +-7 in each latent has no such
blind spot once its step is near the posterior's standard deviation, and then converges faster than any
power of the step (Trefethen and Weideman 2014). The first grid is shared by all data; after that only
the neighbourhoods of nodes that matter for a datum are refined, its step halved until log p stands.

The last change is reported as the error.
"""

import itertools

import numpy as np

from elbo_lab.exact.answer import Evidence, Expectation
from elbo_lab.special import log_sum_exp, softmax

RUNG = "quadrature"
HALF_WIDTH = 7.0
FIRST_STEP = 0.25
TOLERANCE = 1e-8
# Nodes that lie this many nats below the best one carry less than 1e-17 of its mass each. On the first
# grid the same margin keeps a peak of standard deviation 0.02 that falls between four nodes.
NEGLIGIBLE = 40.0
MAX_NODES_PER_AXIS = 128
MAX_HALVINGS = 7
# Rows of the decoder per pass: a few megabytes of activations.
ROWS_PER_PASS = 16_384


class ToleranceMissed(Exception):
    """The rule did not stand within its budget; the next rung takes over."""


def applies(model):
    """Whether z is continuous, with at most two dimensions."""
    return not model.family.discrete and model.latent_dim <= 2


# -- expectations under q ------------------------------------------------------------------------


def hermite_nodes(n_nodes, n_dims):
    """Return nodes (G, K) and weights (G,) of E f(eps), eps ~ N(0, I_K), by a product rule."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    weights = weights / weights.sum()
    grid = np.array(list(itertools.product(nodes, repeat=n_dims)))
    product = np.array([np.prod(w) for w in itertools.product(weights, repeat=n_dims)])
    # Weights below rounding only cost time.
    keep = product > 1e-18
    return grid[keep], product[keep]


def _hermite_pass(model, theta, x, eta, n_nodes):
    """Return value (N,), grad_theta (P,), grad_eta (N, E) with `n_nodes` nodes per axis."""
    eps, weights = hermite_nodes(n_nodes, model.latent_dim)
    value, grad_theta, grad_eta = np.zeros(len(x)), np.zeros(model.layout.size), np.zeros(eta.shape)
    per_pass = max(1, ROWS_PER_PASS // len(x))
    for start in range(0, len(eps), per_pass):
        w = weights[start : start + per_pass, None]
        noise = np.broadcast_to(
            eps[start : start + per_pass, None, :], (len(w), len(x), model.latent_dim)
        )
        z = model.family.sample(eta, noise)
        value += (w * model.log_joint(theta, x, z)).sum(axis=0)
        cotangent = np.broadcast_to(w / len(x), (len(w), len(x)))
        by_theta, by_z = model.log_joint_vjp(theta, x, z, cotangent)
        grad_theta += by_theta
        grad_eta += model.family.sample_vjp(eta, noise, by_z)
    return value, grad_theta, grad_eta


def expectation(model, theta, x, eta):
    """Return E_q log p(x, z) and its gradients.

    Raises
    ------
    ToleranceMissed
        If doubling to 128 nodes per axis still changes value or gradients by more than 1e-8.
    """
    n_nodes, previous = 8, None
    while n_nodes <= MAX_NODES_PER_AXIS:
        current = _hermite_pass(model, theta, x, eta, n_nodes)
        if previous is not None:
            changes = [np.abs(a - b) for a, b in zip(current, previous, strict=True)]
            scales = [max(1.0, np.abs(a).max()) for a in current]
            if all(c.max() <= TOLERANCE * s for c, s in zip(changes, scales, strict=True)):
                parts = itertools.chain.from_iterable(zip(current, changes, strict=True))
                return Expectation(RUNG, *parts)
        previous, n_nodes = current, 2 * n_nodes
    raise ToleranceMissed


# -- posterior integrals -------------------------------------------------------------------------


def _log_joint_shared(model, theta, x, nodes):
    """Return log p(x_n, z_g) (G, N) at nodes (G, K) shared by all data."""
    per_pass = max(1, ROWS_PER_PASS // len(x))
    passes = [
        model.log_joint(theta, x, nodes[start : start + per_pass, None, :])
        for start in range(0, len(nodes), per_pass)
    ]
    return np.concatenate(passes)


def _children(index):
    """Return the nodes of the halved grid within one new step of `index` (G, K) of the old one."""
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=index.shape[1])))
    return np.unique((2 * index[:, None, :] + steps).reshape(-1, index.shape[1]), axis=0)


def _datum(model, theta, x, index, log_joint, step):
    """Refine the grid for one datum x (1, D) until log p stands.

    Returns
    -------
    value, error : float
    nodes : list of two (z (G, 1, K), weights (G, 1))
        Posterior weights on the last two grids, for the gradient and its error.
    """
    n_dims = index.shape[1]
    coarse = np.all(index % 2 == 0, axis=1)
    grids = [
        (2.0 * step, step * index[coarse], log_joint[coarse]),
        (step, step * index, log_joint),
    ]
    values = [log_sum_exp(lj, axis=0) + n_dims * np.log(h) for h, _, lj in grids]
    for _ in range(MAX_HALVINGS):
        if abs(values[-1] - values[-2]) < TOLERANCE:
            break
        step = 0.5 * step
        index = _children(index[log_joint > log_joint.max() - NEGLIGIBLE])
        index = index[np.all(np.abs(index) <= round(HALF_WIDTH / step), axis=1)]
        log_joint = model.log_joint(theta, x, step * index[:, None, :])[:, 0]
        grids.append((step, step * index, log_joint))
        values.append(log_sum_exp(log_joint, axis=0) + n_dims * np.log(step))
    if abs(values[-1] - values[-2]) >= TOLERANCE:
        raise ToleranceMissed
    nodes = []
    for _, z, log_joint in grids[-2:]:
        matters = log_joint > log_joint.max() - NEGLIGIBLE
        nodes.append((z[matters][:, None, :], softmax(log_joint[matters], axis=0)[:, None]))
    return values[-1], abs(values[-1] - values[-2]), nodes


def evidence(model, theta, x):
    """Return log p(x) and its gradient (by Fisher's identity, on the same nodes).

    Raises
    ------
    ToleranceMissed
        If log p of some datum still changes by 1e-8 or more at a step of 0.25 / 2^7.
    """
    limit = round(HALF_WIDTH / FIRST_STEP)
    axis = range(-limit, limit + 1)
    index = np.array(list(itertools.product(axis, repeat=model.latent_dim)))
    table = _log_joint_shared(model, theta, x, FIRST_STEP * index)
    value, error = np.zeros(len(x)), np.zeros(len(x))
    grads = np.zeros((2, model.layout.size))
    for n in range(len(x)):
        row = x[n : n + 1]
        value[n], error[n], nodes = _datum(model, theta, row, index, table[:, n], FIRST_STEP)
        for grad, (z, weights) in zip(grads, nodes, strict=True):
            grad += model.log_joint_vjp(theta, row, z, weights)[0] / len(x)
    return Evidence(RUNG, value, error, grads[1], np.abs(grads[1] - grads[0]))
