"""Families of distributions: sample from noise, log-density, score, entropy, KL."""

from elbo_lab.distributions.base import Family
from elbo_lab.distributions.beta import Beta
from elbo_lab.distributions.categorical import Categorical
from elbo_lab.distributions.categorical_vector import CategoricalVector
from elbo_lab.distributions.chains import BernoulliChain, Chain, GaussianChain
from elbo_lab.distributions.diagonal_gaussian import DiagonalGaussian
from elbo_lab.distributions.diagonal_gaussian_mixture import DiagonalGaussianMixture
from elbo_lab.distributions.exponential import Exponential
from elbo_lab.distributions.flows import CouplingFlow, PlanarFlow
from elbo_lab.distributions.full_gaussian import FullGaussian
from elbo_lab.distributions.gamma import Gamma
from elbo_lab.distributions.gumbel import Gumbel
from elbo_lab.distributions.independent import IndependentFamily
from elbo_lab.distributions.independent_bernoulli import IndependentBernoulli
from elbo_lab.distributions.laplace import Laplace
from elbo_lab.distributions.log_normal import LogNormal
from elbo_lab.distributions.logistic import Logistic
from elbo_lab.distributions.low_rank_gaussian import LowRankGaussian
from elbo_lab.distributions.noise import NoiseSpec, draw_noise
from elbo_lab.distributions.relaxations import BinaryConcrete, GumbelSoftmax, relaxation_of
from elbo_lab.distributions.sources import SOURCES, NoiseSource, find_source, mirrored
from elbo_lab.distributions.student_t import StudentT
from elbo_lab.distributions.weibull import Weibull

FAMILIES = (
    DiagonalGaussian,
    FullGaussian,
    LowRankGaussian,
    DiagonalGaussianMixture,
    Categorical,
    IndependentBernoulli,
    CategoricalVector,
    Laplace,
    Logistic,
    StudentT,
    Gumbel,
    LogNormal,
    Exponential,
    Weibull,
    Gamma,
    Beta,
    PlanarFlow,
    CouplingFlow,
    BernoulliChain,
    GaussianChain,
)

__all__ = [
    "FAMILIES",
    "SOURCES",
    "BernoulliChain",
    "Beta",
    "BinaryConcrete",
    "Categorical",
    "CategoricalVector",
    "Chain",
    "CouplingFlow",
    "DiagonalGaussian",
    "DiagonalGaussianMixture",
    "Exponential",
    "Family",
    "FullGaussian",
    "Gamma",
    "GaussianChain",
    "Gumbel",
    "GumbelSoftmax",
    "IndependentBernoulli",
    "IndependentFamily",
    "Laplace",
    "LogNormal",
    "Logistic",
    "LowRankGaussian",
    "NoiseSource",
    "NoiseSpec",
    "PlanarFlow",
    "StudentT",
    "Weibull",
    "draw_noise",
    "find_source",
    "mirrored",
    "relaxation_of",
]
