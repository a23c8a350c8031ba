"""What the scripts on Kingma and Welling (2014) share: their set-up of section 5 and of appendix C.

One hidden tanh layer on each side, Adagrad, a prior N(0, I) over the weights of the decoder, a start of theta
from N(0, 0.01^2), one draw per row and step.
"""

import math
import time

import numpy as np

from elbo_lab.errors import Diverged
from elbo_lab.models import DeepBernoulli
from elbo_lab.networks import MLP
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.priors import NetworkPrior
from elbo_lab.threads import available_cores
from elbo_lab.training import Adagrad, Plan, PosteriorObjective, Training

BATCH = 100
RATES = (0.01, 0.02, 0.1)
SEED = 0


def networks(columns, latent, hidden):
    """Return the model of rows of bits and its encoder, which starts at q = N(0, I)."""
    model = DeepBernoulli(columns, latent, (hidden,))
    encoder = MLP((columns, hidden, 2 * latent))
    return model, AmortisedPosterior(model.family, encoder, (0.0,) * columns, (1.0,) * columns)


def training_of(objective, passes, rate, recorders=(), every=1, theta_steps=1):
    """Return a Training of an objective under the prior, from the small start."""
    model = objective.model
    rates, steps = {"theta": rate, "phi": rate}, {"theta_steps": theta_steps, "evaluate_every": every}
    plan = Plan(passes, BATCH, Adagrad(), rates, **steps)
    climbed = PosteriorObjective(objective, model, NetworkPrior(1.0))
    training = Training(climbed, plan, SEED, recorders, available_cores())
    small = 0.01 * np.random.default_rng(SEED).standard_normal(model.layout.size)
    training.params["theta"][:] = small
    return training


def best_rate(objective, batches, theta_steps=1):
    """Return the rate whose mean value over the first batches is highest, and minutes per million rows."""
    found = []
    for rate in RATES:
        training = training_of(objective, 10**9, rate, theta_steps=theta_steps)
        begun = time.perf_counter()
        try:
            training.run(lambda t: t.seen >= batches)
        except Diverged:
            continue
        minutes = (time.perf_counter() - begun) / 60
        found.append((training.running_value, rate, minutes * 1e6 / (batches * BATCH)))
    _, rate, minutes = max(found, default=(-math.inf, RATES[0], 0.0))
    return rate, minutes
