"""The importance weights of a scene: how many of the draws count, and how heavy is their tail.

    effective sample size   (sum w)^2 / sum w^2 of S weights (Kong 1992), from 1 (one draw carries all) to S
    Pareto k-hat            shape of the tail of w, see `study.statistics`

The effective sample size sees only what was drawn: a q that misses a part of the posterior looks good.
k-hat looks at the tail and warns earlier. Weights are w = p(x, z) / q(z | x) with z from q, and w = p(x | z)
with z from the prior. They belong to the scene, not to the estimator: all that weigh the same draws
share them.
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.bounds import log_weight
from elbo_lab.distributions import draw_noise
from elbo_lab.estimators import Estimator
from elbo_lab.special import softmax
from elbo_lab.study.rows import Row
from elbo_lab.study.scene import Scene, spawn
from elbo_lab.study.statistics import pareto_k

# Draws per datum, and at least so many groups of S.
DRAWS, GROUPS = 1000, 20
ROWS_PER_PASS = 8192
NO_WEIGHTS = dict.fromkeys(("effective_sample_size", "pareto_k_weights", "pareto_k_weights_max"))


def weight_numbers(scene: Scene, estimators: list[Estimator], draws: int, seed: int) -> list[Row]:
    """Return the three numbers of the weights that each estimator uses; None where it uses none.

    Parameters
    ----------
    scene : Scene
    estimators : list of Estimator
    draws : int
        S per estimate.
    seed : int

    Returns
    -------
    list of dict
        `effective_sample_size` of the draws in one bound, mean over data and groups;
        `pareto_k_weights`, `pareto_k_weights_max`: median and largest k-hat over the data. A categorical
        z has finitely many weights, and no tail.
    """
    keys = [(_source(scene, estimator, draws), estimator.group_size(draws)) for estimator in estimators]
    numbers = {
        (source, group): NO_WEIGHTS if source is None else _numbers(scene, source, group, seed)
        for source, group in dict.fromkeys(keys)
    }
    return [numbers[key] for key in keys]


def _source(scene: Scene, estimator: Estimator, draws: int) -> str | None:
    """Return where the draws come from that the estimator weighs, or None.

    Bounds of the ELBO's kind average log-weights, and do not weigh. Noise of another shape than that of S
    draws means another way to weigh.
    """
    if estimator.target.endswith("elbo") or estimator.draws_from is None:
        return None
    from_q = estimator.draws_from == "posterior"
    plain = (scene.problem.posterior if from_q else scene.model).family.noise_spec(draws, len(scene.x))
    noise = estimator.noise_for(scene.problem, draws)
    return estimator.draws_from if noise.shape == plain.shape else None


def log_weights(scene: Scene, source: str, n_draws: int, seed: int) -> Floats:
    """Return log-weights (T, N) of fresh draws from 'posterior' or 'prior'."""
    model, posterior, theta, phi, x = scene.problem
    from_q = source == "posterior"
    family = (posterior if from_q else model).family
    eta = posterior.eta(phi, x) if from_q else model.prior_eta(theta)
    rng, parts = spawn(seed, model.label, "weights", source), []
    per_pass = max(1, ROWS_PER_PASS // len(x))
    for start in range(0, n_draws, per_pass):
        noise = draw_noise(family.noise_spec(min(per_pass, n_draws - start), len(x)), rng)
        z = family.sample(eta, noise)
        weigh = log_weight(model, theta, x, family, eta, z) if from_q else model.log_likelihood(theta, x, z)
        parts.append(weigh)
    return np.concatenate(parts)


def _numbers(scene: Scene, source: str, group: int, seed: int) -> Row:
    log_w = log_weights(scene, source, max(DRAWS, GROUPS * group), seed)
    grouped = softmax(log_w[: len(log_w) // group * group].reshape(-1, group, len(scene.x)), axis=1)
    size = 1.0 / (grouped**2).sum(axis=1)
    columns = () if scene.model.family.discrete else log_w.T
    k = [value for value in map(pareto_k, columns) if value is not None]
    return {
        "effective_sample_size": float(size.mean()),
        "pareto_k_weights": float(np.median(k)) if k else None,
        "pareto_k_weights_max": max(k, default=None),
    }
