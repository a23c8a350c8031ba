"""What a fitted GPLVM says about rows that it has not seen.

Such a row has no q yet, and there is no encoder. Its best Gaussian is found by an ascent of its own ELBO,
the functions held: from the point, among those at which the functions are known, where p(x, z) is highest.

With some cells of a row hidden, z is found from the others alone, since the columns are independent
given z; the hidden ones are then predicted at the mean of q.
"""

from dataclasses import replace

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.models.gplvm import GPLVMRows
from elbo_lab.optimise import fit_eta
from elbo_lab.posteriors import FreePosterior

# Standard deviation of q before the ascent, and most of its iterations.
START_STD, ITERATIONS = 0.1, 100
# Rows whose joint densities at all points are formed together.
ROWS_PER_PASS = 100
# The share of the columns that is hidden.
HIDDEN = 0.25


def q_of_new_rows(model: GPLVMRows, theta: Floats, x: Floats, seed: int = 0) -> tuple[FreePosterior, Floats]:
    """Return the best Gaussian q for every row of x (N, D), as a table and its phi.

    Parameters
    ----------
    model : GPLVMRows
    theta : ndarray (P,)
    x : ndarray (N, D)
    seed : int
        Of the frozen noise, with more than two latents.
    """
    points = model.layout.view(theta, "points")
    shared = points[:, None, :]
    starts = np.arange(0, len(x), ROWS_PER_PASS)
    passes = [model.log_joint(theta, x[start : start + ROWS_PER_PASS], shared) for start in starts]
    nearest = np.concatenate([joint.argmax(axis=0) for joint in passes])
    mean = points[nearest]
    start = model.family.join(mean, np.full(mean.shape, np.log(START_STD)))
    eta = fit_eta(model, theta, x, start, np.random.default_rng(seed), ITERATIONS)
    posterior = FreePosterior(model.posterior_family, len(x))
    return posterior, posterior.phi_from_eta(eta)


def without_columns(model: GPLVMRows, theta: Floats, kept: Floats) -> tuple[GPLVMRows, Floats]:
    """Return the model of some columns alone, and its theta; `kept` are their indices (integers)."""
    t = dict(model.layout.views(theta))
    t["weights"] = t["weights"][:, kept]
    part = replace(model, shift=tuple(np.asarray(model.shift)[kept].tolist()))
    return part, part.layout.pack(t)


def reconstructed_cells(model: GPLVMRows, theta: Floats, x: Floats, hidden: Floats, seed: int = 0) -> Floats:
    """Return E[x | z] (N, H) of the hidden columns, z from the other columns of x (N, D)."""
    kept = np.setdiff1d(np.arange(model.n_columns), hidden)
    part, part_theta = without_columns(model, theta, kept)
    posterior, phi = q_of_new_rows(part, part_theta, x[:, kept], seed)
    z = posterior.family.moments(posterior.eta(phi, x[:, kept]))[0]
    return model.expected_x(theta, z)[:, hidden]


def hidden_columns(n_columns: int, seed: int = 0) -> Floats:
    """Return the indices of a quarter of the columns, at least one, chosen by a seed."""
    count = max(1, round(HIDDEN * n_columns))
    return np.sort(np.random.default_rng(seed).permutation(n_columns)[:count])


def hidden_cells_error(model: GPLVMRows, theta: Floats, x: Floats, seed: int = 0) -> float | None:
    """Return the root mean square error of a quarter of the columns, predicted from the others.

    None for a single column, which leaves nothing to predict it from.
    """
    if model.n_columns < 2:
        return None
    hidden = hidden_columns(model.n_columns, seed)
    found = reconstructed_cells(model, theta, x, hidden, seed)
    return float(np.sqrt(np.mean((found - x[:, hidden]) ** 2)))
