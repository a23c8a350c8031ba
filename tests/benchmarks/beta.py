"""A weight on the KL, and what it is said to do: the step of a VAE with beta, and the information gap.

The step is that of `vae_step` with a weight that rises; the weight is one more factor, and the limit of
the step without it holds. The gap is that of ten latents of the data set `shapes`, 324 rows and four factors,
by quadrature: as exact as `TOLERANCE` says.
"""

import numpy as np
import vae_step
from work import Work, in_numpy

from elbo_lab.datasets import load
from elbo_lab.evaluation import mutual_information_gap
from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.training import BetaObjective, BetaSchedule, Plan, Training


def weighted_steps():
    x = vae_step.bits(vae_step.ROWS)
    model = DeepBernoulli(vae_step.D, vae_step.K, (vae_step.H,))
    posterior = AmortisedPosterior.for_pixels(model.family, x, (vae_step.H,))
    objective = BetaObjective(model, posterior, x, weight=BetaSchedule(4.0, 10_000), dtype=np.float32)
    endless = Training(objective, Plan(epochs=10**9, batch=vae_step.BATCH), threads=2)
    return vae_step.steps_of(endless, vae_step.STEPS)


def gap():
    shapes, rng = load("shapes"), np.random.default_rng(0)
    means = rng.standard_normal((len(shapes.x), 10))
    deviations = np.exp(rng.uniform(-3.0, 0.0, means.shape))
    return lambda: mutual_information_gap(means, deviations, shapes.factors)


WORKS = (
    Work(
        "vae-step-beta, 100 of them",
        ours=weighted_steps,
        definition=lambda: in_numpy(weighted_steps()),
        limit=vae_step.limit,
        most_of_limit=1.45,
    ),
    Work("information-gap of 10 latents", ours=gap, most_ms=500.0),
)
