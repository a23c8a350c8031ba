"""Families of distributions: sample from noise, log-density, score, entropy, KL."""

from elbo_lab.distributions.base import Family
from elbo_lab.distributions.categorical import Categorical
from elbo_lab.distributions.diagonal_gaussian import DiagonalGaussian
from elbo_lab.distributions.independent_bernoulli import IndependentBernoulli
from elbo_lab.distributions.noise import NoiseSpec, draw_noise
from elbo_lab.distributions.relaxations import BinaryConcrete, GumbelSoftmax, relaxation_of

FAMILIES = (DiagonalGaussian, Categorical, IndependentBernoulli)

__all__ = [
    "FAMILIES",
    "BinaryConcrete",
    "Categorical",
    "DiagonalGaussian",
    "Family",
    "GumbelSoftmax",
    "IndependentBernoulli",
    "NoiseSpec",
    "draw_noise",
    "relaxation_of",
]
