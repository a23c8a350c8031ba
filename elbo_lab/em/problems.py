"""Which models EM fits: one line for each kind of problem."""

from typing import Any

from elbo_lab.em.base import ModelProblem
from elbo_lab.em.linear_gaussian import LinearGaussianEM
from elbo_lab.em.mixture import MixtureEM
from elbo_lab.models import Model

PROBLEMS: tuple[type[ModelProblem[Any]], ...] = (
    MixtureEM,
    LinearGaussianEM,
)


def problem_of(model: Model) -> type[ModelProblem[Any]] | None:
    """Return the class of EM for a model, or None if there is none."""
    return next((kind for kind in PROBLEMS if kind.fits(model)), None)


def has_em(model: Model) -> bool:
    """Whether EM fits this model."""
    return problem_of(model) is not None
