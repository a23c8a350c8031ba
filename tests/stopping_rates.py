"""How often the stopping rule stops too early, and how late it stops: by trainings whose optimum is exact.

PPCA with a free q, and the linear VAE, PPCA with a linear encoder: both have the greatest ELBO at the maximum
of log p(x), a formula, and their exact ELBO is one at every step. A stop is false if more than delta is left
then; its delay is the number of epochs since the first evaluation after which no more was left.

    OMP_NUM_THREADS=1 python tests/stopping_rates.py 200 [ppca | linear-vae]
"""

import sys
from typing import NamedTuple

import numpy as np

from elbo_lab.distributions import find_source
from elbo_lab.estimators import Problem
from elbo_lab.evaluation import measure_gap
from elbo_lab.models import PPCA
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.training import ElboObjective, Plan, StoppingRule, Training
from elbo_lab.training.optimizers import Adam

KINDS = ("ppca", "linear-vae")
EVERY, MOST_EPOCHS = 10, 200


class Rates(NamedTuple):
    """What trainings with a stopping rule did: counts, and the delay of each in epochs."""

    trainings: int
    stopped: int
    false: int
    delays: list[int]


def training_of(kind, delta, alpha, seed, rule=StoppingRule, rate=0.05):
    """Return (training, exact gap): a training of 20 rows with the rule, and a list that it fills."""
    rng = np.random.default_rng((seed, 1))
    x = rng.normal(size=(20, 1)) @ rng.normal(size=(1, 3)) + 0.5 * rng.normal(size=(20, 3))
    model = PPCA(3, 1)
    free = kind == "ppca"
    q = FreePosterior(model.family, 20) if free else AmortisedPosterior.for_data(model.family, x, ())
    best = float(model.log_evidence(model.maximum_likelihood(x), x).mean())
    left = []

    def record(params, phase):  # noqa: ARG001
        problem = Problem(model, q, params["theta"], params["phi"], x)
        left.append(best - float(measure_gap(problem).elbo.mean()))
        return {}

    looked = ElboObjective(model, q, x, draws=16, source=find_source("sobol"))
    rates = {"theta": rate, "phi": rate}
    plan = Plan(epochs=MOST_EPOCHS, batch=20, optimizer=Adam(), rates=rates, evaluate_every=EVERY)
    stopping = rule(looked, delta, alpha, seed)
    return Training(ElboObjective(model, q, x, draws=4), plan, seed, [record], stopping=stopping), left


def rates(kind, seeds, delta=0.1, alpha=0.05, rule=StoppingRule):
    """Return the Rates of trainings with these seeds."""
    stopped, false, delays = 0, 0, []
    for seed in seeds:
        training, left = training_of(kind, delta, alpha, seed, rule)
        training.run()
        if training.little_to_gain:
            stopped += 1
            false += left[-1] > delta
            last = max((i for i, value in enumerate(left) if value > delta), default=-1)
            delays.append(EVERY * (len(left) - 2 - last))
    return Rates(len(seeds), stopped, false, delays)


if __name__ == "__main__":
    for kind in sys.argv[2:] or KINDS:
        found = rates(kind, range(int(sys.argv[1])))
        low, middle, high = np.quantile(found.delays, [0.05, 0.5, 0.95])
        print(f"{kind}: {found.stopped} of {found.trainings} stopped, {found.false} falsely; ", end="")
        print(f"delay {middle:.0f} epochs ({low:.0f} to {high:.0f}), {100 * found.false / found.trainings} %")
