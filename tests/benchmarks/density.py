"""A kernel density: the search for its width by leave-one-out, and log p(x) of new rows.

Both look at all pairs of rows in blocks, without a tree. The peer's score is by a tree with its tolerances at
zero, at the same width in columns of equal spread.
"""

import numpy as np
from work import Work

from elbo_lab.evaluation import held_out_log_likelihood
from elbo_lab.models import KernelDensity

ROWS, COLUMNS = 2000, 2


def rows(seed):
    return np.random.default_rng(seed).standard_normal((ROWS, COLUMNS))


def width():
    x = rows(0)
    model = KernelDensity.for_data(x)
    return lambda: model.smoothed(x)


def score():
    x, new = rows(0), rows(1)
    model = KernelDensity.for_data(x, "scott")
    theta = model.smoothed(x)[0]
    return lambda: held_out_log_likelihood(model, theta, new)


def score_of_scikit_learn():
    from sklearn.neighbors import KernelDensity as TreeDensity

    x, new = rows(0), rows(1)
    density = TreeDensity(bandwidth=ROWS ** (-1.0 / (COLUMNS + 4))).fit(x)
    return lambda: density.score_samples(new)


WORKS = (
    Work("kde-width, 2000 rows", ours=width, most_ms=3000.0),
    Work("kde-log-p, 2000 of 2000 rows", ours=score, peers={"scikit-learn": score_of_scikit_learn}),
)
