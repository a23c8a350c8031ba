"""Latent-variable models p_theta(x, z), their derivatives by hand."""

from elbo_lab.models.base import ClosedForm, Model, StandardNormalPrior, fold_shared
from elbo_lab.models.categorical_mlp import CategoricalMLP
from elbo_lab.models.categorical_vae import CategoricalVAE
from elbo_lab.models.conditional_vae import (
    ConditionalBernoulli,
    ConditionalGaussianFixed,
    ConditionalGaussianLearned,
    ConditionalVAE,
)
from elbo_lab.models.deep_bernoulli import DeepBernoulli
from elbo_lab.models.deep_continuous_bernoulli import DeepContinuousBernoulli
from elbo_lab.models.deep_counts import DeepCategorical, DeepPoisson
from elbo_lab.models.deep_gaussian import DeepGaussianFixed, DeepGaussianLearned, DeepGaussianOptimal
from elbo_lab.models.deep_gaussian_full import DeepGaussianFull
from elbo_lab.models.factor_analysis import FactorAnalysis
from elbo_lab.models.gaussian import Gaussian
from elbo_lab.models.gaussian_mixture import GaussianMixture
from elbo_lab.models.gaussian_mle import GaussianMLE
from elbo_lab.models.gplvm import GPLVM
from elbo_lab.models.graphs import BayesNet, GraphModel, Node
from elbo_lab.models.hierarchical_vae import HierarchicalBernoulli, HierarchicalGaussian, HierarchicalVAE
from elbo_lab.models.histogram import Histogram
from elbo_lab.models.kernel_density import KernelDensity
from elbo_lab.models.linear_predictor import LinearPredictor
from elbo_lab.models.log_joint import LogJointModel, from_log_joint
from elbo_lab.models.logistic_regression import LogisticRegression
from elbo_lab.models.ppca import PPCA
from elbo_lab.models.sigmoid_belief import BeliefNet, DeepSigmoidBelief, SigmoidBelief
from elbo_lab.models.smoother import Smoother
from elbo_lab.models.student_t_mixture import StudentTMixture

MODELS = (
    GaussianMLE,
    GaussianMixture,
    PPCA,
    FactorAnalysis,
    GPLVM,
    LogisticRegression,
    CategoricalMLP,
    SigmoidBelief,
    DeepGaussianFixed,
    DeepGaussianLearned,
    DeepGaussianFull,
    DeepGaussianOptimal,
    DeepBernoulli,
    DeepContinuousBernoulli,
    DeepPoisson,
    DeepCategorical,
    Gaussian,
    KernelDensity,
    Histogram,
    GraphModel,
    ConditionalBernoulli,
    ConditionalGaussianFixed,
    ConditionalGaussianLearned,
    CategoricalVAE,
    DeepSigmoidBelief,
    HierarchicalBernoulli,
    HierarchicalGaussian,
)

# Models that a fit returns, and that none begins with.
RETURNED = (StudentTMixture,)

__all__ = [
    "GPLVM",
    "MODELS",
    "PPCA",
    "RETURNED",
    "BayesNet",
    "BeliefNet",
    "CategoricalMLP",
    "CategoricalVAE",
    "ClosedForm",
    "ConditionalBernoulli",
    "ConditionalGaussianFixed",
    "ConditionalGaussianLearned",
    "ConditionalVAE",
    "DeepBernoulli",
    "DeepCategorical",
    "DeepContinuousBernoulli",
    "DeepGaussianFixed",
    "DeepGaussianFull",
    "DeepGaussianLearned",
    "DeepGaussianOptimal",
    "DeepPoisson",
    "DeepSigmoidBelief",
    "FactorAnalysis",
    "Gaussian",
    "GaussianMLE",
    "GaussianMixture",
    "GraphModel",
    "HierarchicalBernoulli",
    "HierarchicalGaussian",
    "HierarchicalVAE",
    "Histogram",
    "KernelDensity",
    "LinearPredictor",
    "LogJointModel",
    "LogisticRegression",
    "Model",
    "Node",
    "SigmoidBelief",
    "Smoother",
    "StandardNormalPrior",
    "StudentTMixture",
    "fold_shared",
    "from_log_joint",
]
