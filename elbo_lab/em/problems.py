"""Which models EM fits: one line for each kind of model."""

from typing import Any

from elbo_lab.em.base import ModelProblem
from elbo_lab.em.graphs import GraphEM
from elbo_lab.em.linear_gaussian import LinearGaussianEM
from elbo_lab.em.mixture import MixtureEM
from elbo_lab.models import GaussianMixture, Model
from elbo_lab.models.graphs import GraphModel
from elbo_lab.models.linear_gaussian import LinearGaussian

PROBLEMS: dict[type, type[ModelProblem[Any]]] = {
    GaussianMixture: MixtureEM,
    LinearGaussian: LinearGaussianEM,
    GraphModel: GraphEM,
}


def problem_of(model: Model) -> type[ModelProblem[Any]] | None:
    """Return the class of EM for a model, or None if there is none."""
    return next((problem for kind, problem in PROBLEMS.items() if isinstance(model, kind)), None)


def has_em(model: Model) -> bool:
    """Whether EM fits this model."""
    return problem_of(model) is not None
