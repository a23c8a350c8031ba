"""The step of wake-sleep, and an epoch of Monte Carlo EM.

The step has the networks, batch and data of `vae_step`. Its limit is the matrix products of both phases: a
row goes through encoder and decoder and back to the decoder's weights, a dream through decoder and encoder
and back to the encoder's weights.

The epoch is that of Kingma and Welling's figure 3: a thousand rows of 784 bits, a decoder 3-100-784, one
chain for each row and one move of ten leapfrog steps a visit, in batches of 100. Its limit is the products
alone: eleven times through the decoder and back to z, and once back to the weights.
"""

from functools import partial

import numpy as np
import vae_step
from work import Work, in_numpy

from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.training import MonteCarloEMObjective, Plan, Training, WakeSleepObjective
from elbo_lab.training.monte_carlo_em import TRANSITION

FEW_ROWS, LATENT, NARROW = 1000, 3, 100
BATCHES = FEW_ROWS // vae_step.BATCH


def endless(objective):
    return Training(objective, Plan(epochs=10**9, batch=vae_step.BATCH), threads=2)


def forward(n, wide, narrow):
    """Return the factors of n rows through a layer."""
    return vae_step.matrices((n, wide), (wide, narrow))


def back(n, wide, narrow):
    """Return the factors of n cotangents back through a layer."""
    return vae_step.matrices((n, narrow), (narrow, wide))


def weights(n, wide, narrow):
    """Return the factors of the gradient of a layer's weights."""
    return vae_step.matrices((wide, n), (n, narrow))


def factors_of_step(n, share):
    """Return the factors of the products of n rows and n dreams, and of a share of the weights' of all."""
    D, H, K, whole = vae_step.D, vae_step.H, vae_step.K, vae_step.BATCH
    encoder, decoder = ((D, H), (H, 2 * K)), ((K, H), (H, D))
    found = [forward(n, *layer) for layer in (*encoder, *decoder) * 2]
    for first, last in (decoder, encoder):
        found.append(back(n, *last))
        found += [weights(whole, wide // share, narrow) for wide, narrow in (first, last)]
    return found


def factors_of_visit(n, share):
    """Return the factors of the products of a visit of n rows, and of a share of the weights' of all."""
    layers = ((LATENT, NARROW), (NARROW, vae_step.D))
    found = [way(n, *layer) for layer in layers for way in (forward, back)] * (TRANSITION.n_leapfrog + 1)
    return found + [weights(vae_step.BATCH, wide // share, narrow) for wide, narrow in layers]


def products(factors, n, share):
    """Return a function that does the products."""
    tasks = [(a, b, np.empty((len(a), b.shape[1]), np.float32)) for a, b in factors(n, share)]

    def once():
        for a, b, out in tasks:
            np.matmul(a, b, out=out)

    return once


def wake_sleep_steps():
    x = vae_step.bits(vae_step.ROWS)
    model = DeepBernoulli(vae_step.D, vae_step.K, (vae_step.H,))
    posterior = AmortisedPosterior.for_pixels(model.family, x, (vae_step.H,))
    objective = WakeSleepObjective(model, posterior, x, dtype=np.float32)
    return vae_step.steps_of(endless(objective), vae_step.STEPS)


def monte_carlo_em_epoch():
    model = DeepBernoulli(vae_step.D, LATENT, (NARROW,))
    objective = MonteCarloEMObjective(model, vae_step.bits(FEW_ROWS), dtype=np.float32)
    return vae_step.steps_of(endless(objective), BATCHES)


WORKS = (
    Work(
        "wake-sleep-step, 100 of them",
        ours=wake_sleep_steps,
        definition=lambda: in_numpy(wake_sleep_steps()),
        limit=partial(vae_step.least_of, partial(products, factors_of_step), vae_step.STEPS),
    ),
    Work(
        "monte-carlo-em-epoch of 1000 rows",
        ours=monte_carlo_em_epoch,
        definition=lambda: in_numpy(monte_carlo_em_epoch()),
        limit=partial(vae_step.least_of, partial(products, factors_of_visit), BATCHES),
    ),
)
