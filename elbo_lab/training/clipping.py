"""Gradient clipping: a bound on the length of the gradient of a step, over all parameters that move.

    g <- g min(1, c / |g|),     |g|^2 = sum of squares over theta and phi together

The direction of the whole step stays; only its length is bounded (Pascanu et al. 2013, algorithm 1). Where
theta and phi take turns, each step has the norm of the vector that moves.

Helps: against single steps that throw a training far away, of estimates with heavy tails (importance
weights, a density that is nearly singular), under sgd above all. Fails: as a cure for a rate that is too
large, or for variance: clipped steps are shorter on average in directions of large noise, so that their
mean is no longer along the gradient, and where most steps are clipped the rate alone decides how far they
go. Under adam and its kin, whose steps do not depend on the length of a steady gradient, a constant factor
changes nothing; there clipping bounds what one outlier adds to the running means. The history tells which
share of the steps was clipped.

Source: R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML
2013.
"""

import numpy as np

from elbo_lab.errors import check_positive
from elbo_lab.held import Held
from elbo_lab.training.batch import Vectors


class Clipping:
    """The bound on the norm of gradients, and how often it took effect.

    Parameters
    ----------
    norm : float
        c, the largest norm.
    held : Held, optional
        Coordinates of theta that do not move, and do not count.

    Attributes
    ----------
    clipped, steps : int
        Of the present epoch.
    """

    def __init__(self, norm: float, held: Held | None = None) -> None:
        self.norm, self.held = check_positive("clip", norm), held
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Count anew."""
        self.clipped, self.steps = 0, 0

    def apply(self, gradients: Vectors) -> Vectors:
        """Return {name: gradient} of a step with at most the norm, each in its dtype."""
        if self.held is not None and "theta" in gradients:
            gradients = gradients | {"theta": self.held.without(gradients["theta"])}
        length = norm_of(gradients)
        self.steps += 1
        if length <= self.norm:
            return gradients
        self.clipped += 1
        return {name: gradient * (self.norm / length) for name, gradient in gradients.items()}

    @property
    def share(self) -> float:
        """Share of the steps of this epoch that were clipped."""
        return self.clipped / max(1, self.steps)


def norm_of(gradients: Vectors) -> float:
    """Return the root of the sum of squares over all vectors, summed in float64 without overflow."""
    largest = max((float(np.abs(gradient).max(initial=0.0)) for gradient in gradients.values()), default=0.0)
    if not 0.0 < largest < np.inf:
        return largest
    squares = (np.square(gradient / largest, dtype=np.float64).sum() for gradient in gradients.values())
    return float(largest * np.sqrt(sum(squares)))
