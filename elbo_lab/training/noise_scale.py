r"""Optimal sigma: the noise scale of a decoder in closed form, beside gradient steps of all else.

With one noise scale, and r the errors x - m(z) of draws of q,

    ELBO = -E|r|^2 / (2 sigma^2) - D log sigma + terms without sigma,   largest at   sigma^2 = E|r|^2 / D

(Rybkin, Daniilidis and Levine 2021): the mean squared error, over rows, columns and draws. The gradient g in
log sigma is E|r|^2 / sigma^2 - D, so the mean squared error of a batch is sigma^2 (1 + g / D), and a running
mean with the share rho = 0.1 of the newest batch is

    sigma^2 <- (1 - rho) sigma^2 + rho sigma^2 (1 + g / D)  =  sigma^2 (1 + rho g / D)

Any estimator of the gradient in theta gives g, so this needs no passes of its own. With weights of several
draws (IWAE) the mean is weighted, as in a step of EM. What is maximised stays the bound of a normal density
with the stored sigma: sigma is a parameter like others, moves by another rule, and rests where g averages to
zero. The optimum of every batch inside the objective would instead maximise a mean of logarithms of the
errors of batches, which bounds the log p(x) of no one model.

Helps: sigma begins at the spread of the data and has to fall by a large factor, for which steps of one
learning rate take long. Fails: as any maximum of a density, where the decoder can repeat the rows; and with
small batches sigma follows their noise.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.models import DeepGaussianOptimal
from elbo_lab.training.batch import Move
from elbo_lab.training.objectives import Objective
from elbo_lab.training.posterior_objective import PosteriorObjective

SHARE = 0.1
# A batch never divides the variance by more: of a noisy estimate 1 + rho g / D need not be positive.
LEAST_FACTOR = 0.1


def columns_of_optimal_noise(objective: Objective) -> int | None:
    """Return D where the last parameter of theta is a log sigma that moves in closed form, else None."""
    inner = objective.inner if isinstance(objective, PosteriorObjective) else objective
    model = getattr(inner, "model", None)
    return model.n_columns if isinstance(model, DeepGaussianOptimal) else None


@dataclass(frozen=True, eq=False)
class NoiseScaleMove(Move):
    """Steps of the optimiser, but for the last parameter: log sigma of so many columns.

    Parameters
    ----------
    n_columns : int
        D.
    """

    n_columns: int

    def take(self, coordinates: slice, gradient: Floats) -> None:
        before = self.params[-1]
        super().take(coordinates, gradient)
        if range(*coordinates.indices(self.params.size)).stop == self.params.size:
            factor = np.maximum(1.0 + SHARE * gradient[-1] / self.n_columns, LEAST_FACTOR)
            self.params[-1] = before + 0.5 * np.log(factor)
