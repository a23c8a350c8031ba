"""Expectation-maximisation where the posterior is exact, with restarts and an honest end."""

from elbo_lab.learning.em.base import EMProblem, EMRun, run_em
from elbo_lab.learning.em.linear_gaussian import LinearGaussianEM
from elbo_lab.learning.em.linkage import GeneticLinkage
from elbo_lab.learning.em.mixture import MixtureEM
from elbo_lab.learning.em.restarts import EMFit, fit_em

__all__ = [
    "EMFit",
    "EMProblem",
    "EMRun",
    "GeneticLinkage",
    "LinearGaussianEM",
    "MixtureEM",
    "fit_em",
    "run_em",
]
