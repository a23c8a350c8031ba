"""elbo_lab: how well can the evidence of a latent-variable model, and its gradients, be estimated?

Every estimator is held against the exact answer, on the same models, with the same random numbers:

>>> from elbo_lab import compare
>>> result = compare("gaussian-mle", repeats=50)
>>> print(result.table())  # doctest: +SKIP

The rooms, from the ground up: `special`, `distributions`, `networks`, `models`, `posteriors`, `bounds`,
`exact`, `estimators`, `optimise`, `em`, `training`, `study`, `comparison`, with `datasets` and `plots` beside
them. Names below are loaded on first use, so that `import elbo_lab` costs next to nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "compare": "comparison",
    "fit": "fitting",
    "evaluate": "fitting",
    "load_fitted": "fitting",
    "advise": "comparison",
    "difference": "comparison",
    "paired_ratio": "comparison",
    "Comparison": "comparison",
    "Estimator": "estimators",
    "Exact": "estimators",
    "Problem": "estimators",
    "Model": "models",
    "ClosedForm": "models",
    "Layout": "layout",
    "load": "datasets",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name):
    if name in _HOMES:
        return getattr(import_module(f"elbo_lab.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'elbo_lab' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
