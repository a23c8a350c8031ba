"""Densities that a rule makes of the training rows: kernel densities and histograms.

Their theta *is* the data, as rows or as counts, with one width beside it. There is no likelihood of the
training rows to maximise: it grows without bound as the width goes to zero, where every row has a density of
its own. So a rule of thumb sets the width, or the likelihood of every row under the density of all others,

    L(h) = (1/N) sum_n log p_{-n}(x_n; h)                        (leave one out)

(Habbema, Hermans and van den Broek 1974; Duin 1976), which is an average over unseen data and has a maximum.

The contract of a model asks more than a density has. What is answered honestly: log p(x) and draws. What is
a formality: gradients in theta exist and are right, but an ascent of log p along them would move the rows
away from the data, which is another model (a mixture); so `fit` has one method for them, `smoothing`, and
tables of estimators leave them out.
"""

from abc import abstractmethod
from typing import ClassVar

from elbo_lab.arrays import Floats
from elbo_lab.models.base import Model

Smoothed = tuple[Floats, tuple[str, ...]]
"""theta (P,), and what a reader must know before believing it, one sentence each."""


class Smoother(Model):
    """A density made of the training rows, its width by a rule."""

    default_data = "faithful"
    natural_views = ("dequantised",)
    fixed_prior = True
    compared = False
    formula_only: ClassVar[str] = "its theta is the training rows, which no ascent of log p may move"

    @abstractmethod
    def smoothed(self, x: Floats) -> Smoothed:
        """Return theta (P,) of training rows x (N, D), and warnings.

        Raises
        ------
        ValueError
            If the rule of this variant has no answer on these rows.
        """

    @abstractmethod
    def leave_one_out(self, theta: Floats) -> float:
        """Return the mean log p of every training row under all others, in nats, -inf where one is alone."""
