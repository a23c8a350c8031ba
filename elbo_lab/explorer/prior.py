"""Draws of the prior: how the estimate of log p(x) fails as the latent dimension grows.

    p-hat = (1 / S) sum_s p(x | z_s),   z_s from the prior

is unbiased for p(x), whatever K is. But few draws land where the posterior is, and log p-hat is too low by
nats until one does. The number of draws for a standard deviation of 0.1 nats is exact
(`elbo_lab.theory.weight_law`).

The model is PPCA with 64 columns, W of standard normal entries times 1/2 and unit noise, as in
`study.experiments.prior_failure`, one datum for each K. With W turned so that its columns are orthogonal,

    log p(x | z) = log p(x | 0) + sum_k (b_k z_k - g_k z_k^2 / 2),   g_k = W_k^T W_k,  b_k = W_k^T (x - b)

so that a hundred thousand draws take two matrix-vector products.
"""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from elbo_lab import exact
from elbo_lab.arrays import Floats
from elbo_lab.estimators import Problem
from elbo_lab.explorer.shown import Shown
from elbo_lab.explorer.tab import Frame, Question, Settings, Slider, Tab
from elbo_lab.models import PPCA
from elbo_lab.posteriors import FreePosterior
from elbo_lab.special import log_mean_exp, softmax
from elbo_lab.theory.weight_law import weight_laws

COLUMNS = 64
MOST_LATENTS = 20
# Of the draws that all estimates share: S draws an estimate make as many estimates as these allow.
POOL = 2**18
MOST_ESTIMATES = 120
SEED = 0
# Data of which the median one is taken.
DATA = 101
WITHIN = 0.1  # nats


class Prior(Tab):
    """Tab `prior`."""

    name = "prior"
    title = "The prior"
    own_example = True
    idea = "Estimate log p(x) from draws of the prior while K grows: PPCA, 64 columns, one datum for each K."
    question = Question(
        "With K = 20 latents: how many draws of the prior bring log p(x) within 0.1 nats?",
        ("About ten thousand", "About ten million", "Far more than a billion"),
        2,
        "Each latent multiplies the number of draws by about the same factor, since a draw has to land near "
        "the posterior in every one of the K directions at once.",
        ("latents", "log_draws"),
        "Move K from 1 to 20 at a thousand draws, and read the number of draws that would be needed.",
    )

    def sliders(self, shown: Shown) -> tuple[Slider, ...]:  # noqa: ARG002 - K is free here, so the model is its own
        return (
            Slider("latents", "latent dimension K", 1, MOST_LATENTS, 1, 1),
            Slider("log_draws", "draws S of one estimate", 0, 5, 0.1, 3, power=10),
        )

    def slow_at_first(self, shown: Shown) -> Iterable[Settings]:
        start = super().slow_at_first(shown)
        return [{**one, "latents": k} for one in start for k in range(1, MOST_LATENTS + 1)]

    def frame(self, shown: Shown, settings: Settings) -> Frame:  # noqa: ARG002
        latents, draws = round(settings["latents"]), round(10.0 ** settings["log_draws"])
        estimates = min(MOST_ESTIMATES, POOL // draws)
        problem, log10_needed = example(latents)
        log_p = float(exact.log_evidence(problem).value[0])
        weights = log_weights(latents)[: estimates * draws].reshape(estimates, draws)
        shares = softmax(weights, axis=1)
        effective, largest = (
            float(np.median(1.0 / (shares**2).sum(axis=1))),
            float(np.median(shares.max(axis=1))),
        )
        found = log_mean_exp(weights, axis=1)
        off = float(np.median(found) - log_p)
        return {
            "latents": latents,
            "draws": draws,
            "log_p": log_p,
            "estimates": found.round(4).tolist(),
            "off": off,
            "effective": effective,
            "largest": largest,
            "log10_needed": log10_needed,
            "curve": [example(k)[1] for k in range(1, MOST_LATENTS + 1)],
            "words": f"With K = {latents} and {draws} draws the median of log p-hat is {off:+.3f} nats off, "
            f"{effective:.1f} draws count, and {10.0**log10_needed:.3g} draws are needed.",
        }


@lru_cache(maxsize=MOST_LATENTS)
def example(latents: int) -> tuple[Problem, float]:
    """Return the model with K latents and one datum, and log10 of the draws of the prior that it needs.

    Of many data drawn from the model it is the one that needs the median number.
    """
    rng = np.random.default_rng((SEED, latents))
    model, posterior = PPCA(COLUMNS, latents), FreePosterior(PPCA(COLUMNS, latents).family, DATA)
    theta = model.canonical(model.layout.pack({"W": 0.5 * rng.standard_normal((COLUMNS, latents))}))
    x, _ = model.sample(theta, DATA, rng)
    from_prior, _ = weight_laws(Problem(model, posterior, theta, np.zeros(posterior.layout.size), x))
    needed = from_prior.log10_draws(WITHIN)
    assert needed is not None  # known for every Gaussian posterior
    median = int(np.argsort(needed)[DATA // 2])
    one = FreePosterior(model.family, 1)
    problem = Problem(model, one, theta, np.zeros(one.layout.size), x[[median]])
    return problem, float(needed[median])


@lru_cache(maxsize=1)
def pool() -> Floats:
    """Return draws z of the prior (K, G) for the largest K."""
    return np.random.default_rng(SEED).standard_normal((MOST_LATENTS, POOL))


@lru_cache(maxsize=MOST_LATENTS)
def log_weights(latents: int) -> Floats:
    """Return log p(x | z) (G,) of all draws of the pool."""
    model, _, theta, _, x = example(latents)[0]
    parts = model.layout.views(theta)
    rest = x[0] - parts["b"]
    z = pool()[:latents]
    slope, curvature = rest @ parts["W"], (parts["W"] ** 2).sum(axis=0)
    at_zero = model.log_likelihood(theta, x, np.zeros((1, 1, latents)))[0, 0]
    return at_zero + slope @ z - 0.5 * curvature @ (z * z)
