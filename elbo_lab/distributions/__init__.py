"""Families of distributions: sample from noise, log-density, score, entropy, KL."""

from elbo_lab.distributions.base import Family
from elbo_lab.distributions.categorical import Categorical
from elbo_lab.distributions.diagonal_gaussian import DiagonalGaussian
from elbo_lab.distributions.full_gaussian import FullGaussian
from elbo_lab.distributions.noise import NoiseSpec, draw_noise
from elbo_lab.distributions.sources import SOURCES, NoiseSource, find_source, mirrored

FAMILIES = (DiagonalGaussian, FullGaussian, Categorical)

__all__ = [
    "FAMILIES",
    "SOURCES",
    "Categorical",
    "DiagonalGaussian",
    "Family",
    "FullGaussian",
    "NoiseSource",
    "NoiseSpec",
    "draw_noise",
    "find_source",
    "mirrored",
]
