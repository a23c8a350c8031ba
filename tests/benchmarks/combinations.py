"""Steps of what trains beside the plain VAE: other objectives, families of q, models and optimisers.

A call does twenty steps of 100 digits on one core, in float32, with the estimators that `fit` takes: a
decoder 10-64-64 and an encoder of 64 hidden units. Bounds and categories take ten draws, the rest one. The
limit is the matrix products alone of one pass forward and backward through encoder and decoder, with as many
draws, also on one core. What a flow, a chain or a covariance matrix multiplies is above it, and so is every
further pass of a step.

Three rows have other work: log p(x) of 1797 digits with its gradient in theta by a sum over a layer of 16
hidden bits; natural steps of the free q of PPCA; and a short race of two estimators.
"""

from functools import cache, partial

import numpy as np
from vae_step import matrices, steps_of
from work import Work

from elbo_lab import race
from elbo_lab.datasets import load
from elbo_lab.exact import evidence
from elbo_lab.fitting.methods.steps import estimator_of, with_usual_estimators
from elbo_lab.models import PPCA, CategoricalVAE, DeepBernoulli, DeepSigmoidBelief, HierarchicalBernoulli
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior, find_posterior
from elbo_lab.threads import single_threaded_blas
from elbo_lab.training import ElboObjective, Plan, Training, find_objective, parse_optimizer

D, H, K, BATCH, STEPS, MANY = 64, 64, 10, 100, 20, 10
VAE = DeepBernoulli(D, K, (H,))
CATEGORIES = CategoricalVAE(D, 3, 4, (H,))
LAYERS = HierarchicalBernoulli(D, (K, 4), (H,))
BELIEF = DeepSigmoidBelief(D, (16, 4))
ENDLESS = 10**9


@cache
def digits():
    return load("digits:binary").x


def on_one_core(once):
    def alone():
        with single_threaded_blas():
            once()

    return alone


# -- a step --------------------------------------------------------------------------------------


def steps(model, q, objective, draws, optimizer, phi_estimator):
    family, kind = find_posterior(q).family_for(model), find_objective(objective)
    posterior = AmortisedPosterior.for_pixels(family, digits(), (H,))
    named = {"theta_estimator": None, "phi_estimator": phi_estimator}
    named = with_usual_estimators(family, model, named, kind.usual_for(family))
    estimators = {
        f"{name}_estimator": estimator_of(f"{name}_estimator", named, target)
        for name, target in kind.targets.items()
    }
    climbed = kind(model, posterior, digits(), draws=draws, dtype=np.float32, **estimators)
    plan = Plan(ENDLESS, BATCH, parse_optimizer(optimizer))
    return steps_of(Training(climbed, plan), STEPS)


def products(model, q, draws):
    """Return the products of the steps: each layer forward, back to its inputs and to its weights."""
    family = find_posterior(q).family_for(model)
    inputs = model.observed.n_latent if hasattr(model, "observed") else model.n_latent
    layers = [
        (BATCH, D, H),
        (BATCH, H, family.eta_size - family.shared_size),
        (BATCH * draws, inputs, H),
        (BATCH * draws, H, D),
    ]
    tasks = []
    for n, wide, narrow in layers:
        rows, cotangents, weights = matrices((n, wide), (n, narrow), (wide, narrow))
        tasks += [(rows, weights, np.empty_like(cotangents)), (rows.T, cotangents, np.empty_like(weights))]
        if len(tasks) > 2:  # nobody asks for the gradient in the data
            tasks.append((cotangents, weights.T, np.empty_like(rows)))

    def once():
        for _ in range(STEPS):
            for a, b, out in tasks:
                np.matmul(a, b, out=out)

    return on_one_core(once)


def step(name, model=VAE, *, q="amortised", objective="elbo", draws=1, optimizer="adam", phi_estimator=None):
    return Work(
        f"{name}, {STEPS} steps",
        ours=partial(steps, model, q, objective, draws, optimizer, phi_estimator),
        limit=partial(products, model, q, draws),
    )


# -- other work ----------------------------------------------------------------------------------


def sum_over_bits():
    x = digits()
    theta = BELIEF.random_theta(x, np.random.default_rng(0))
    return lambda: evidence(BELIEF, theta, x)


def natural_steps():
    x = load("digits").x
    model = PPCA.for_data(x, latent=K)
    plan = Plan(ENDLESS, len(x), rates={"theta": 1e-3, "phi": 0.1}, phi_step="natural")
    return steps_of(Training(ElboObjective(model, FreePosterior(model.family, len(x)), x), plan), STEPS)


def short_race():
    pair = ["reparameterization", "score-function-loo"]
    sizes = {"rates": (0.03, 0.1), "steps": 100, "repeats": 4, "rows": 32}
    return lambda: race(estimators=pair, threads=1, progress=False, **sizes)


WORKS = (
    step("elbo"),
    step("elbo, rmsprop", optimizer="rmsprop"),
    step("elbo, adamw", optimizer="adamw"),
    step("iwae", objective="iwae", draws=MANY),
    step("iwae, dreg", objective="iwae", draws=MANY, phi_estimator="dreg"),
    step("vr-iwae", objective="vr-iwae", draws=MANY),
    step("rws", objective="rws", draws=MANY),
    step("full-gaussian q", q="full-gaussian"),
    step("low-rank-gaussian q", q="low-rank-gaussian"),
    step("mixture q", q="diagonal-gaussian-mixture"),
    step("coupling-flow q", q="coupling-flow"),
    step("coupling-flow q, sticking-the-landing", q="coupling-flow", phi_estimator="sticking-the-landing"),
    step("planar-flow q", q="planar-flow"),
    step("categorical-vae, relax", CATEGORIES, draws=MANY, phi_estimator="relax"),
    step("hierarchical-vae", LAYERS),
    Work("deep-sigmoid-belief, log p of 1797 rows", ours=sum_over_bits, most_ms=4000.0),
    Work(f"natural ppca 1797 rows, {STEPS} steps", ours=natural_steps),
    Work("race ppca, 100 steps", ours=short_race),
)
