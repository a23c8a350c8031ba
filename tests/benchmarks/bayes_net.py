"""One iteration of EM of a directed graph with missing cells: the example `greenhouse`, 1000 rows.

A fifth of all cells is missing, at random. The limit is the iteration of the same rows with nothing missing:
the counts and least squares of every conditional, and one log-likelihood.
"""

from functools import partial

import numpy as np
from work import Work

from elbo_lab.datasets.example_graphs import EXAMPLE_GRAPHS
from elbo_lab.em import EMRun
from elbo_lab.em.graphs import GraphEM
from elbo_lab.models import GraphModel
from elbo_lab.threads import single_threaded_blas

N_ROWS, MISSING = 1000, 0.2


def iteration(missing):
    rng = np.random.default_rng(0)
    model = GraphModel.read(EXAMPLE_GRAPHS["greenhouse"])
    theta = model.initial_theta(np.zeros((1, model.n_columns)))
    x, _ = model.sample(theta, N_ROWS, rng)
    x[rng.random(x.shape) < missing] = np.nan
    run = EMRun(GraphEM(model, x, 1e-6), theta, max_iterations=10**6)

    def work():
        with single_threaded_blas():
            run.advance()

    return work


WORKS = (
    Work(
        "bayes-net-em of 1000 rows, iteration",
        ours=partial(iteration, MISSING),
        limit=partial(iteration, 0.0),
    ),
)
