"""Posteriors (proposals) q_phi(z | x): a family and a map from x to its eta."""

from elbo_lab.posteriors.amortised import AmortisedPosterior
from elbo_lab.posteriors.base import Posterior, PosteriorSpec
from elbo_lab.posteriors.exact import ExactPosterior
from elbo_lab.posteriors.free import FreePosterior
from elbo_lab.posteriors.named import POSTERIORS, PosteriorChoice, check_within, find_posterior

__all__ = [
    "POSTERIORS",
    "AmortisedPosterior",
    "ExactPosterior",
    "FreePosterior",
    "Posterior",
    "PosteriorChoice",
    "PosteriorSpec",
    "check_within",
    "find_posterior",
]
