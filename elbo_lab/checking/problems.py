"""Small problems on which all of the noise can be integrated: one to three data, one or two latents, q off
the posterior."""

import zlib
from collections.abc import Iterator

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.checking.model import check_once
from elbo_lab.datasets import load
from elbo_lab.distributions import Family, FullGaussian, draw_noise
from elbo_lab.errors import NotApplicable, UserMistake
from elbo_lab.estimators import Estimator, Problem
from elbo_lab.models import PPCA, DeepBernoulli, GaussianMixture, GaussianMLE, Model, SigmoidBelief
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior, Posterior
from elbo_lab.registry import ModelChoice, find_models

N_DATA = 2
# A user's model that is given as an object is checked itself on so many rows of its own.
CHECKED_ROWS = 100
HIDDEN = (3,)
# Of a Gaussian q: a narrow one keeps the poles of a network away from the real line.
LOG_STD = -1.0
# One draw more than the least, where a rule for it is affordable: a sum for a mean over draws shows.
MORE_DRAWS = 1

SMALL: tuple[tuple[Model, str, int, int], ...] = (
    (GaussianMLE(1), "free", N_DATA, MORE_DRAWS),
    (GaussianMLE(1), "amortised", N_DATA, 0),
    (DeepBernoulli(3, 1, HIDDEN), "free", N_DATA, 0),
    (PPCA(3, 2), "free", N_DATA, 0),
    (PPCA(3, 2), "full", N_DATA, 0),
    (GaussianMixture(2, 3, "full"), "free", N_DATA, MORE_DRAWS),
    (GaussianMixture(2, 2, "full"), "amortised", N_DATA, 0),
    (SigmoidBelief(3, 2), "free", N_DATA, MORE_DRAWS),
    (SigmoidBelief(3, 1), "amortised", N_DATA, 0),
    # What is right for two data may be wrong for one, or for more.
    (GaussianMLE(1), "free", 1, 0),
    (GaussianMLE(1), "free", 3, 0),
    (SigmoidBelief(3, 1), "free", 1, 0),
    (SigmoidBelief(3, 1), "free", 3, 0),
)
"""(model, kind of posterior, data, draws more than the least)."""


def small_problems(model: object = None) -> Iterator[tuple[Problem, int]]:
    """Yield (problem, draws more than the least): of a model, or of every kind of z and of q.

    Parameters
    ----------
    model : str, Model class or Model, optional
        As in `compare`; a class is built for its default data.
    """
    if model is None:
        for kind, posterior, n_data, more in SMALL:
            yield problem_of(kind, posterior, n_data=n_data), more
        return
    for choice in find_models(model, "model"):
        if choice.model is None:
            built, x = _built(choice)
            start = built.initial_theta(x)
        else:
            built, start = choice.model, None
            x = _own_draws(built, start, CHECKED_ROWS, np.random.default_rng(0))[1]
        check_once(built, x)
        for posterior, more in (("free", MORE_DRAWS), ("full", 0), ("amortised", 0)):
            try:
                yield problem_of(built, posterior, start), more
            except NotApplicable:
                continue


def _built(choice: ModelChoice) -> tuple[Model, Floats]:
    """Return a model with few latents, where it may choose, and the default data of its class (N, D)."""
    table = choice.checked_table(load(choice.kind.default_data))
    for latent in (1, 2, None):
        try:
            model = choice.build(table, latent)
        except UserMistake:
            continue
        if not (latent == 1 and model.family.discrete):  # a category of one value is none
            break
    return model, model.check_data(model.as_data(table))


def problem_of(model: Model, kind: str, start: Floats | None = None, n_data: int = N_DATA) -> Problem:
    """Return a problem with theta, data and q from a fixed seed.

    Parameters
    ----------
    model : Model
    kind : {'free', 'full', 'amortised'}
        Of q.
    start : ndarray (P,), optional
        theta is near it; by default anywhere.
    n_data : int
        N; one where latents are global.

    Raises
    ------
    NotApplicable
        If the model has no such posterior.
    """
    rng = np.random.default_rng(zlib.crc32(f"{model!r} {kind}".encode()))
    theta, x = _own_draws(model, start, n_data, rng)
    posterior = _posterior(model, x, kind)
    if isinstance(posterior, FreePosterior):
        phi = posterior.phi_from_eta(_table(model, theta, x, posterior.family, rng))
    else:
        phi = 0.4 * rng.standard_normal(posterior.layout.size)
        if model.family.gaussian:
            bias = list(posterior.layout.views(phi).values())[-1]  # of the output
            bias[model.latent_dim :] += LOG_STD
    return Problem(model, posterior, theta, phi, x)


def _own_draws(
    model: Model, start: Floats | None, n_data: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return theta (P,) and data x (N, D) of the model there; one datum where latents are global."""
    step = rng.standard_normal(model.layout.size)
    theta = model.canonical(0.5 * step if start is None else start + 0.1 * step)
    return theta, model.sample(theta, 1 if model.global_latents else n_data, rng)[0]


def _posterior(model: Model, x: Floats, kind: str) -> Posterior:
    if kind == "free":
        return FreePosterior(model.posterior_family, len(x))
    if kind == "full":
        if not model.family.gaussian:
            raise NotApplicable(f"no full covariance for {model.family.name} z")
        return FreePosterior(FullGaussian(model.latent_dim), len(x))
    if model.global_latents:
        raise NotApplicable("an encoder learns from many data")
    return AmortisedPosterior.for_data(model.posterior_family, x, hidden=HIDDEN)


def _table(model: Model, theta: Floats, x: Floats, family: Family, rng: np.random.Generator) -> Floats:
    """Return eta (N, E) of a q that is off the posterior.

    A Gaussian q stands near a Gaussian posterior: there the weights of several draws vary little, and the
    zeros of their sum, poles of a logarithm, are far from the real line.
    """
    eta = rng.standard_normal((len(x), family.eta_size))
    if not model.family.gaussian:
        return 0.4 * eta
    try:
        near = model.family.near(model.posterior_eta(theta, x))
    except NotApplicable:
        eta[:, family.size : 2 * family.size] += LOG_STD / 0.4
        eta[:, 2 * family.size :] *= np.exp(LOG_STD)  # below the diagonal of a Cholesky factor
        return 0.4 * eta
    return 0.1 * eta + (family.from_diagonal(near) if isinstance(family, FullGaussian) else near)


def draws_to_try(estimator: Estimator, more: int) -> list[int]:
    """Return numbers of draws that the formula admits, the best first: one more than the least, the least."""
    admitted = []
    for n_draws in range(estimator.minimum_draws, estimator.minimum_draws + 10):
        try:
            estimator.check_draws(n_draws)
        except ValueError:
            continue
        admitted.append(n_draws)
    return admitted[: more + 1][::-1]


def settled_state(estimator: Estimator, problem: Problem, n_draws: int, calls: int) -> Floats:
    """Return the state after some calls on fresh noise."""
    rng = np.random.default_rng(17)
    spec = estimator.noise_for(problem, n_draws)
    state = estimator.initial_state(problem)
    for _ in range(min(calls, estimator.burn_in)):
        state = estimator.estimate(problem, draw_noise(spec, rng), state)[1]
    return state
