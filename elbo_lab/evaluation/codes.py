"""The code of each datum: mean and standard deviation of z given x, under q or under the exact posterior.

    q       the encoder's q(z | x), one forward pass: as good as its gap is small
    exact   p(z | x) itself: a formula (linear Gaussian models), a sum over the values of z (categories,
            bits), or a grid whose step is halved until log p(x) stands (one or two latents)
    hmc     draws of p(z | x) by Hamiltonian Monte Carlo, for any number of continuous latents

The grid is that of the exact evidence: with weights w_g proportional to p(x, z_g), the mean is
sum_g w_g z_g, the variance sum_g w_g (z_g - mean)^2, and a draw is a node, moved within its cell.

Chains say how well they mixed: the share of accepted moves, R-hat (about 1 where the chains of a datum
agree), and the effective sample size, the variance of the draws over the variance of their mean; the latter
from the means of eight chains, and so itself known to about half of its size.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.chains import posterior_draws
from elbo_lab.distributions import Family, draw_noise
from elbo_lab.errors import NotApplicable, check_count, unknown_name
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.evaluation.fitted import Fitted
from elbo_lab.exact import closed_form
from elbo_lab.exact.enumeration import all_values
from elbo_lab.exact.quadrature import HALF_WIDTH, ToleranceMissed, applies, converged_grids
from elbo_lab.models import Model
from elbo_lab.models.linear_gaussian import LinearGaussian
from elbo_lab.special import softmax
from elbo_lab.threads import single_threaded_blas

POSTERIORS_OF_CODES = ("q", "exact", "hmc")
# Rows whose chains run together.
ROWS_PER_PASS = 500
CHAINS, WARM_UP, MOVES = 8, 300, 300


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of N data.

    Attributes
    ----------
    mean, std : ndarray (N, K)
        Of categories those of their indicators, K C numbers for a vector of them.
    how : str
        Where they come from, in words.
    draws : ndarray (T, N, K) or (T, N), or None
        Draws of z, where they were asked for; of categories their numbers.
    diagnostics : dict of ndarray (N,)
        Of chains: `acceptance`, `r_hat` (the largest of all latents), `effective_sample_size` (the smallest).
    """

    mean: Floats
    std: Floats
    how: str
    draws: Draws | None = None
    diagnostics: dict[str, Floats] = field(default_factory=dict)


def codes_of(
    fitted: Fitted,
    x: Floats,
    posterior: str = "q",
    n_draws: int = 0,
    seed: int = 0,
    progress: Callable[[float, float], object] | None = None,
) -> Codes:
    """Return the Codes of rows x (N, D).

    Parameters
    ----------
    fitted : Fitted
    x : ndarray (N, D)
    posterior : {'q', 'exact', 'hmc'}
    n_draws : int
        T, draws of z per datum to return.
    seed : int
        Of the draws and of the chains.
    progress : callable, optional
        Called as progress(done, total), in rows.

    Raises
    ------
    NotApplicable
        If the model has no latents, no q, or no exact posterior of this kind.
    """
    if posterior not in POSTERIORS_OF_CODES:
        raise unknown_name("posterior", posterior, POSTERIORS_OF_CODES)
    check_count("draws", n_draws, minimum=0)
    model = fitted.model
    if model.all_observed:
        raise NotApplicable(f"{model.label} has no latents: there is nothing to encode")
    x, rng = model.as_data(x), np.random.default_rng(seed)
    if posterior == "q":
        return _of_q(fitted, x, n_draws, rng)
    theta = fitted.theta.astype(np.float64)
    if posterior == "hmc":
        return _by_chains(model, theta, x, n_draws, rng, progress or (lambda *_: None))
    with single_threaded_blas():
        return _exact(model, theta, x, n_draws, rng)


def _of_q(fitted: Fitted, x: Floats, n_draws: int, rng: np.random.Generator) -> Codes:
    if fitted.posterior is None or fitted.phi is None:
        reason = f"this {fitted.model.label} was fitted without a q"
        raise NotApplicable(f"posterior: {reason}; take the exact posterior (--posterior exact)")
    family = fitted.posterior.family
    shared = fitted.model.global_latents
    eta = encoded(fitted.posterior, fitted.phi, np.zeros((1, 0)) if shared else x)
    return _of_eta(family, eta, f"q, {fitted.posterior.name}", n_draws, rng)


def _of_eta(family: Family, eta: Floats, how: str, n_draws: int, rng: np.random.Generator) -> Codes:
    """Return the Codes of the members eta (N, E) of a family."""
    mean, std = family.moments(eta)
    draws = None
    if n_draws:
        draws = family.sample(eta, draw_noise(family.noise_spec(n_draws, len(eta)), rng))
    return Codes(mean, std, how, draws)


# -- exact -----------------------------------------------------------------------------------------


def _exact(model: Model, theta: Floats, x: Floats, n_draws: int, rng: np.random.Generator) -> Codes:
    """Return the Codes by a formula, a sum or a grid."""
    if model.family.discrete:
        return _by_sum(model, theta, x, n_draws, rng)
    if isinstance(model, LinearGaussian):
        return _by_formula(model, theta, x, n_draws, rng)
    if closed_form.applies(model):
        return _of_eta(model.family, model.posterior_eta(theta, x), "exact, by a formula", n_draws, rng)
    if applies(model):
        try:
            return _by_grid(model, theta, x, n_draws, rng)
        except ToleranceMissed:
            reason = "the grid does not converge (too sharp, or kinks as with relu)"
    else:
        reason = f"a grid needs one or two latents, and there are {model.latent_dim}"
    raise NotApplicable(f"posterior: {reason} for {model.label}; take chains (--posterior hmc)")


def _by_formula(
    model: LinearGaussian, theta: Floats, x: Floats, n_draws: int, rng: np.random.Generator
) -> Codes:
    """N(mean_n, covariance), the covariance of all data the same."""
    mean, std = model.posterior_mean_and_std(theta, x)
    draws = None
    if n_draws:
        lower = np.linalg.cholesky(model.posterior_moments(theta, x)[1])
        draws = mean + rng.standard_normal((n_draws, *mean.shape)) @ lower.T
    return Codes(mean, std, "exact, by a formula", draws)


def _by_sum(model: Model, theta: Floats, x: Floats, n_draws: int, rng: np.random.Generator) -> Codes:
    """Bayes' rule over all values of z."""
    means, stds, drawn = [], [], []
    listed = model.family.values()
    numbers = model.family.numbers(listed)
    for start in range(0, len(x), ROWS_PER_PASS):
        rows = x[start : start + ROWS_PER_PASS]
        values = all_values(model.family, len(rows))
        weights = softmax(model.log_joint(theta, rows, values), axis=0)
        mean = weights.T @ numbers  # of zeros and ones: their square is their value
        means.append(mean)
        stds.append(np.sqrt(np.maximum(mean * (1.0 - mean), 0.0)))
        drawn.append(listed[_nodes(weights, n_draws, rng)])
    draws = np.concatenate(drawn, axis=1) if n_draws else None
    return Codes(np.concatenate(means), np.concatenate(stds), "exact, by a sum over z", draws)


def _by_grid(model: Model, theta: Floats, x: Floats, n_draws: int, rng: np.random.Generator) -> Codes:
    """Moments on the grid of the exact evidence, or raise ToleranceMissed."""
    mean, std = np.empty((2, len(x), model.latent_dim))
    draws = np.empty((n_draws, len(x), model.latent_dim))
    standard = model.family.gaussian and not model.prior_eta(theta).any()
    for done, _, _, _, (z, log_weights) in converged_grids(model, theta, x):
        weights = softmax(log_weights, axis=0)
        mean[done] = weights.T @ z
        std[done] = np.sqrt(np.maximum(weights.T @ z**2 - mean[done] ** 2, 0.0))
        if n_draws:
            draws[:, done] = z[_nodes(weights, n_draws, rng)]
            if standard:  # the nodes are evenly spaced in z
                levels = np.unique(z[:, 0])
                step = np.diff(levels).min() if len(levels) > 1 else 2.0 * HALF_WIDTH
                draws[:, done] += step * (rng.random((n_draws, len(done), z.shape[1])) - 0.5)
    return Codes(mean, std, "exact, by a grid", draws if n_draws else None)


def _nodes(weights: Floats, n_draws: int, rng: np.random.Generator) -> Draws:
    """Return indices (T, N) drawn with probabilities weights (G, N)."""
    below = np.cumsum(weights, axis=0)
    below /= below[-1]
    noise = rng.random((n_draws, weights.shape[1]))
    columns = [np.searchsorted(below[:, n], noise[:, n], side="right") for n in range(weights.shape[1])]
    return np.minimum(np.stack(columns, axis=1), len(weights) - 1)


# -- chains ----------------------------------------------------------------------------------------


def _by_chains(
    model: Model,
    theta: Floats,
    x: Floats,
    n_draws: int,
    rng: np.random.Generator,
    progress: Callable[[float, float], object],
) -> Codes:
    """Moments of draws by Hamiltonian Monte Carlo, with how well the chains mixed."""
    if model.family.discrete:
        raise NotApplicable(f"posterior: {model.family.name} z has no slope for hmc; take exact, a plain sum")
    if n_draws > CHAINS * MOVES:
        raise NotApplicable(f"draws: chains make {CHAINS * MOVES} per datum, and {n_draws} were asked for")
    parts: dict[str, list[Floats]] = {"mean": [], "std": [], "draws": []}
    told: dict[str, list[Floats]] = {"acceptance": [], "r_hat": [], "effective_sample_size": []}
    for start in range(0, len(x), ROWS_PER_PASS):
        progress(start, len(x))
        rows = x[start : start + ROWS_PER_PASS]
        found = posterior_draws(model, theta, rows, rng, CHAINS, WARM_UP, MOVES)
        mean, std = found.mean_and_std()
        error = np.maximum(found.standard_error(), np.finfo(float).tiny)
        size = np.minimum((std / error) ** 2, CHAINS * MOVES)
        parts["mean"].append(mean)
        parts["std"].append(std)
        # Evenly over the chains and their moves.
        all_draws = found.z.reshape(-1, *found.z.shape[2:])
        parts["draws"].append(all_draws[np.linspace(0, len(all_draws) - 1, n_draws).astype(int)])
        told["acceptance"].append(found.acceptance)
        told["r_hat"].append(found.r_hat().max(axis=-1))
        told["effective_sample_size"].append(size.min(axis=-1))
    progress(len(x), len(x))
    return Codes(
        np.concatenate(parts["mean"]),
        np.concatenate(parts["std"]),
        f"hmc, {CHAINS} chains of {MOVES} draws after {WARM_UP}",
        np.concatenate(parts["draws"], axis=1) if n_draws else None,
        {name: np.concatenate(values) for name, values in told.items()},
    )
