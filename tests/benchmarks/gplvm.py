"""The variational bound of the GPLVM and its gradient, RBF, at 500 rows, 50 inducing points and 10 latents.

The limit is the arithmetic of psi2 alone, at the greatest speed of the machine, as a matrix product of as
many multiply-adds: for each row and each of the 1275 pairs of inducing points an exponent (two for each
latent), its exponential, both once more for the slopes, and the sums of the slopes (three for each latent).
"""

import numpy as np
from mixture_em import EXPONENTIAL, arithmetic
from work import Work, in_numpy

from elbo_lab.models.gplvm import GPLVM, Rows, collapsed_bound
from elbo_lab.threads import available_cores, single_threaded_blas

N, M, Q, D = 500, 50, 10, 64


def bound_and_gradient():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((N, D))
    y -= y.mean(axis=0)
    model = GPLVM.for_data(y, "rbf", Q)
    theta = model.initial_theta(model.as_data(y))
    mean = rng.standard_normal((N, Q))
    rows = Rows(mean, np.full((N, Q), -0.5), mean[:: N // M].copy())

    def work():
        with single_threaded_blas():
            _, gradient = collapsed_bound(model, theta, y, rows, available_cores())
            gradient()

    return work


def limit():
    pairs = M * (M + 1) // 2
    return arithmetic(N * pairs * (2 * (2 * Q + EXPONENTIAL) + 3 * Q))


WORKS = (
    Work(
        "gplvm-bound and gradient, 500 x 50 x 10",
        ours=bound_and_gradient,
        definition=lambda: in_numpy(bound_and_gradient()),
        limit=limit,
    ),
)
