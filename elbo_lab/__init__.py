"""elbo_lab: how well can the evidence of a latent-variable model, and its gradients, be estimated?

Every estimator is compared with the exact answer, on the same models, with the same random numbers:

>>> from elbo_lab import compare
>>> result = compare("gaussian-mle", repeats=50)
>>> print(result.table())  # doctest: +SKIP

Names and subpackages are loaded on first use, so that `import elbo_lab` costs next to nothing;
`elbo_lab.<TAB>` shows them all. The subpackages, from the ground up: `special`, `layout`, `distributions`,
`networks`, `models`, `posteriors`, `priors`, `bounds`, `exact`, `estimators`, `chains`, `datasets`,
`optimise`, `em`, `training`, `registry`, `evaluation`, `theory`, `study`, `checking`, `report`, `plots`,
`fitting`, `comparison`, `exercises`, `explorer`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # what type checkers and editors see of the names that are loaded on first use
    from elbo_lab import bounds as bounds
    from elbo_lab import chains as chains
    from elbo_lab import checking as checking
    from elbo_lab import comparison as comparison
    from elbo_lab import datasets as datasets
    from elbo_lab import distributions as distributions
    from elbo_lab import em as em
    from elbo_lab import errors as errors
    from elbo_lab import estimators as estimators
    from elbo_lab import evaluation as evaluation
    from elbo_lab import exact as exact
    from elbo_lab import exercises as exercises
    from elbo_lab import explorer as explorer
    from elbo_lab import fitting as fitting
    from elbo_lab import kernels as kernels
    from elbo_lab import layout as layout
    from elbo_lab import models as models
    from elbo_lab import networks as networks
    from elbo_lab import optimise as optimise
    from elbo_lab import plots as plots
    from elbo_lab import posteriors as posteriors
    from elbo_lab import priors as priors
    from elbo_lab import registry as registry
    from elbo_lab import report as report
    from elbo_lab import special as special
    from elbo_lab import study as study
    from elbo_lab import theory as theory
    from elbo_lab import training as training
    from elbo_lab.checking import check_model as check_model
    from elbo_lab.checking import check_unbiased as check_unbiased
    from elbo_lab.comparison.advice import advise as advise
    from elbo_lab.comparison.along import compare_along as compare_along
    from elbo_lab.comparison.compare import compare as compare
    from elbo_lab.comparison.difference import difference as difference
    from elbo_lab.comparison.draws import draws_needed as draws_needed
    from elbo_lab.comparison.race import race as race
    from elbo_lab.comparison.ratios import paired_ratio as paired_ratio
    from elbo_lab.comparison.result import Comparison as Comparison
    from elbo_lab.comparison.story import story as story
    from elbo_lab.datasets import load as load
    from elbo_lab.distributions import Family as Family
    from elbo_lab.distributions import NoiseSpec as NoiseSpec
    from elbo_lab.estimators import Estimator as Estimator
    from elbo_lab.estimators import Exact as Exact
    from elbo_lab.estimators import Problem as Problem
    from elbo_lab.fitting.checkpoints import load_fitted as load_fitted
    from elbo_lab.fitting.encode_model import encode as encode
    from elbo_lab.fitting.evaluate_model import evaluate as evaluate
    from elbo_lab.fitting.fit_model import fit as fit
    from elbo_lab.kernels import use_kernels as use_kernels
    from elbo_lab.layout import Layout as Layout
    from elbo_lab.models import ClosedForm as ClosedForm
    from elbo_lab.models import Model as Model
    from elbo_lab.posteriors import Posterior as Posterior
    from elbo_lab.registry import BOUNDS as BOUNDS
    from elbo_lab.registry import DATASETS as DATASETS
    from elbo_lab.registry import ESTIMATORS as ESTIMATORS
    from elbo_lab.registry import FAMILIES as FAMILIES
    from elbo_lab.registry import MODELS as MODELS
    from elbo_lab.study import make_problem as make_problem

_HOMES = {
    "compare": "comparison",
    "compare_along": "comparison",
    "story": "comparison",
    "fit": "fitting",
    "encode": "fitting",
    "evaluate": "fitting",
    "load_fitted": "fitting",
    "make_problem": "study",
    "check_model": "checking",
    "check_unbiased": "checking",
    "advise": "comparison",
    "difference": "comparison",
    "draws_needed": "comparison",
    "paired_ratio": "comparison",
    "race": "comparison",
    "Comparison": "comparison",
    "Problem": "estimators",
    "Model": "models",
    "Family": "distributions",
    "Posterior": "posteriors",
    "Estimator": "estimators",
    "Exact": "estimators",
    "ClosedForm": "models",
    "Layout": "layout",
    "NoiseSpec": "distributions",
    "load": "datasets",
    "use_kernels": "kernels",
    "MODELS": "registry",
    "ESTIMATORS": "registry",
    "BOUNDS": "registry",
    "FAMILIES": "registry",
    "DATASETS": "registry",
}
_ROOMS = (
    "bounds",
    "chains",
    "checking",
    "comparison",
    "datasets",
    "distributions",
    "em",
    "errors",
    "estimators",
    "evaluation",
    "exact",
    "exercises",
    "explorer",
    "fitting",
    "kernels",
    "layout",
    "models",
    "networks",
    "optimise",
    "plots",
    "posteriors",
    "priors",
    "registry",
    "report",
    "special",
    "study",
    "theory",
    "training",
)

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"elbo_lab.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return import_module(f"elbo_lab.{name}")
    raise AttributeError(f"module 'elbo_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
