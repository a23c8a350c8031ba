"""Maximum likelihood without a step size: closed forms, and EM where the posterior is exact."""

from elbo_lab.em.base import EMProblem, EMRun, run_em
from elbo_lab.em.closed_form import fit_closed_form
from elbo_lab.em.fit import Fit
from elbo_lab.em.linear_gaussian import LinearGaussianEM
from elbo_lab.em.linkage import GeneticLinkage
from elbo_lab.em.mixture import MixtureEM
from elbo_lab.em.restarts import EMFit, fit_em
from elbo_lab.priors import NormalInverseGamma

__all__ = [
    "EMFit",
    "EMProblem",
    "EMRun",
    "Fit",
    "GeneticLinkage",
    "LinearGaussianEM",
    "MixtureEM",
    "NormalInverseGamma",
    "fit_closed_form",
    "fit_em",
    "run_em",
]
