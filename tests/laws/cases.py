"""Every model, posterior and estimator that the laws are tested on: one row buys all the laws.

Small on purpose, so that quadrature and enumeration over the noise stay exact: one or two latents, a
few data, decoders with three hidden units.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import pytest

from elbo_lab import Problem
from elbo_lab.distributions import (
    BernoulliChain,
    Beta,
    Categorical,
    CategoricalVector,
    CouplingFlow,
    DiagonalGaussian,
    DiagonalGaussianMixture,
    Exponential,
    FullGaussian,
    Gamma,
    GaussianChain,
    Gumbel,
    IndependentBernoulli,
    Laplace,
    Logistic,
    LogNormal,
    LowRankGaussian,
    PlanarFlow,
    StudentT,
    Weibull,
)
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import ESTIMATORS
from elbo_lab.models import (
    GPLVM,
    PPCA,
    BayesNet,
    CategoricalMLP,
    CategoricalVAE,
    ConditionalBernoulli,
    DeepBernoulli,
    DeepCategorical,
    DeepContinuousBernoulli,
    DeepGaussianFixed,
    DeepGaussianFull,
    DeepGaussianLearned,
    DeepPoisson,
    DeepSigmoidBelief,
    FactorAnalysis,
    GaussianMixture,
    GaussianMLE,
    GraphModel,
    HierarchicalBernoulli,
    KernelDensity,
    LogisticRegression,
    Node,
    SigmoidBelief,
)
from elbo_lab.models.deep import DeepModel
from elbo_lab.networks import MLP, ConvDecoder, ConvEncoder
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior

FAMILIES = (
    DiagonalGaussian(1),
    DiagonalGaussian(3),
    FullGaussian(1),
    FullGaussian(3),
    LowRankGaussian(2),
    LowRankGaussian(3, 2),
    DiagonalGaussianMixture(1, 3),
    DiagonalGaussianMixture(2, 2),
    Categorical(1),
    Categorical(4),
    Laplace(1),
    Laplace(2),
    Logistic(1),
    StudentT(1),
    Gumbel(1),
    Gumbel(2),
    LogNormal(1),
    Exponential(2),
    Weibull(1),
    Gamma(1),
    Gamma(2),
    Beta(1),
    IndependentBernoulli(1),
    IndependentBernoulli(3),
    CategoricalVector(1, 3),
    CategoricalVector(3, 2),
    BernoulliChain((2, 2)),
    BernoulliChain((2, 1, 1), "top-down", (2,)),
    GaussianChain((1, 1)),
    GaussianChain((1, 1, 1), "top-down", (2,)),
    PlanarFlow(1, layers=2),
    PlanarFlow(2, layers=2),
    CouplingFlow(2, layers=2, hidden=3),
    CouplingFlow(3, layers=3, hidden=2),
)

MLPS = (MLP((2, 3)), MLP((2, 4, 3)), MLP((3, 5, 4, 2), "softplus"), MLP((2, 4, 3), "relu"))
# Images with an odd side, whose last pixels no window reads; two outputs for a pixel; full layers or one.
CONV_NETWORKS = (
    ConvEncoder((20, 3), "tanh", (2,), (4, 5)),
    ConvEncoder((36, 3, 2), "softplus", (2, 3), (6, 6)),
    ConvDecoder((2, 20), "tanh", (2,), (4, 5)),
    ConvDecoder((2, 3, 72), "softplus", (2, 3), (6, 6)),
)
NETWORKS = (*MLPS, *CONV_NETWORKS)

# A graph whose hidden variables are one z: bits in two layers.
TWO_LAYERS = GraphModel.of(
    BayesNet(
        (
            Node("top", "logistic"),
            Node("z", "logistic", ("top",)),
            Node("x", "logistic", ("z", "top"), size=3),
        )
    ),
    latent=("top", "z"),
)
MODELS = (
    GaussianMLE(2),
    GaussianMixture(2, 3, "spherical"),
    GaussianMixture(2, 2, "diagonal"),
    GaussianMixture(3, 2, "full"),
    PPCA(4, 2),
    FactorAnalysis(4, 2),
    DeepGaussianFixed(3, 1, (3,)),
    DeepGaussianLearned(3, 1, (3,), min_log_variance=-3.0),
    DeepGaussianFull(2, 1, (3,), "softplus", min_log_variance=-3.0),
    DeepBernoulli(4, 2, (3,)),
    DeepBernoulli(3, 1, (4, 3), "softplus"),
    ConditionalBernoulli(3, 1, 2, (3,), "softplus"),
    KernelDensity(2, 3),
    SigmoidBelief(3, 2),
    CategoricalVAE(3, 2, 2, (3,)),
    TWO_LAYERS,
    # Three data here are three tables, each of three rows with one feature, each with weights of its own.
    LogisticRegression(3, (0.2,), (1.5,)),
    # Three tables of one row each (tests/test_gplvm.py has more), their noise wide enough for quadrature. The
    # posterior has the tails of the prior, and every q here is wide enough for weights of finite variance.
    GPLVM(1, (0.15, -0.45), 1, "linear"),
)


@dataclass(frozen=True, eq=False)
class Case:
    """A model with parameters, data and two posteriors, all from a fixed seed."""

    model: object
    theta: np.ndarray
    x: np.ndarray
    free: FreePosterior
    free_phi: np.ndarray
    amortised: AmortisedPosterior
    amortised_phi: np.ndarray

    def problem(self, posterior=None, phi=None):
        """Return the Problem of the free table, or of another posterior and its phi."""
        if posterior is None:
            posterior, phi = self.free, self.free_phi
        return Problem(self.model, posterior, self.theta, phi, self.x)

    def posteriors(self):
        """Return [(posterior, phi), ...]."""
        return [(self.free, self.free_phi), (self.amortised, self.amortised_phi)]


def make_case(model, n_data=3, seed=0):
    """Return a Case with data drawn from the model at a random theta."""
    rng = np.random.default_rng([seed, zlib.crc32(repr(model).encode())])
    theta = 0.5 * rng.standard_normal(model.layout.size)
    x, _ = model.sample(theta, n_data, rng)
    free = FreePosterior(model.posterior_family, n_data)
    amortised = AmortisedPosterior.for_data(model.posterior_family, x, hidden=(3,))
    return Case(
        model,
        theta,
        x,
        free,
        0.4 * rng.standard_normal(free.layout.size),
        amortised,
        0.4 * rng.standard_normal(amortised.layout.size),
    )


CASES = tuple(make_case(model) for model in MODELS)
# They differ from `deep-bernoulli` in x given z alone, and have the laws of that: see test_likelihoods.py.
LIKELIHOODS = (
    DeepPoisson(2, 1, (3,)),
    DeepCategorical(2, 1, (3,), n_values=3),
    DeepContinuousBernoulli(2, 1, (3,)),
)
OF_LIKELIHOODS = tuple(make_case(model) for model in LIKELIHOODS)
# Nothing is hidden: the laws of models hold, and those of estimators have no subject.
OBSERVED = (make_case(CategoricalMLP(2, 3, (0.2, -0.5), (1.5, 0.7), (4,))),)
# Several layers of z: the prior is a chain, and q is of another family, or a chain from the other end.
LAYERED = (
    make_case(DeepSigmoidBelief(3, (1, 1))),
    make_case(HierarchicalBernoulli(2, (1, 1), (2,), "softplus", (1,))),
)
# Discrete z comes as one category or as a row of bits.
CATEGORICAL = tuple(case for case in CASES if case.model.family.name == "categorical")
BINARY = tuple(case for case in CASES if case.free.family.name == "independent-bernoulli")
DISCRETE = [case for case in CASES if case.model.family.discrete]
ONE_LATENT = [case for case in CASES if case.model.latent_dim == 1]
DEEP = [case for case in CASES if isinstance(case.model, DeepModel)]
# x given z is Gaussian, its noise from `standard_normal`.
GAUSSIAN_X = (
    GaussianMLE,
    GaussianMixture,
    KernelDensity,
    PPCA,
    FactorAnalysis,
    DeepGaussianFixed,
    DeepGaussianLearned,
)
WITH_GAUSSIAN_X = tuple(case for case in CASES if isinstance(case.model, GAUSSIAN_X))


def has_exact_posterior(case):
    """Whether the exact posterior is in the family, at a theta whose coordinates are independent."""
    try:
        case.model.posterior_eta(case.model.canonical(case.theta), case.x)
    except NotApplicable:
        return False
    return True


# The exact posterior is a member of the family.
WITH_POSTERIOR = tuple(case for case in CASES if has_exact_posterior(case))


def model_id(case):
    """Return a readable test id such as 'deep-bernoulli-K1'."""
    model = getattr(case, "model", case)
    return f"{model.label}-K{model.latent_dim}"


def over(cases):
    """Run a test over cases, or over models."""
    return pytest.mark.parametrize("case", cases, ids=model_id)


def admits(case, estimator, posterior=None):
    """Whether a pairing makes sense, with the case's free posterior if no other is given."""
    try:
        estimator.check_pairing(case.model, case.free if posterior is None else posterior)
    except NotApplicable:
        return False
    return True


def pairings(cases=CASES):
    """Return [(case, estimator), ...] for all measured estimators that a model admits.

    Categories have no pathwise derivative, and without parameters theta there is no gradient in theta. The
    forms that take any bound are tested on few models (tests/laws/test_bound_gradients.py).
    """
    return [
        (case, estimator)
        for case in cases
        for estimator in ESTIMATORS
        if estimator.name != "exact" and estimator.compared and admits(case, estimator)
    ]


def pairing_id(pair):
    """Return 'model-estimator'."""
    return f"{model_id(pair[0])}-{pair[1].name}"
