"""elbo-lab list: models, methods of fit, posteriors, noise, estimators and data sets, one line each."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

HELP = "names of models, methods, posteriors, noise, estimators, data sets"
DESCRIPTION = EXAMPLES = ""


def add_options(parser: ArgumentParser) -> None:
    """Add nothing: this subcommand has no options."""


def _block(title: str, lines: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in lines)
    body = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in lines)
    return f"{title}\n{body}\n"


def _methods() -> list[tuple[str, str]]:
    """Return [(method of fit, what it does and for which models)]."""
    import numpy as np

    from elbo_lab.fitting.settings import METHODS, methods_of
    from elbo_lab.registry import MODELS, find_models

    x = np.eye(4)[:, :3]  # bits: every likelihood can have produced them, and no method depends on them
    models = []
    for choice in find_models():
        try:
            models.append(choice.build(x, None))
        except Exception:
            if choice.kind in MODELS.built_in.values():
                raise
            continue  # a plug-in that takes other data, or is broken: its methods are not listed
    lines = []
    for method, summary in METHODS.items():
        names = dict.fromkeys(model.name for model in models if method in methods_of(model))
        lines.append((method, f"{summary}: {', '.join(names)}"))
    return lines


def run(options: Namespace) -> None:  # noqa: ARG001 - every subcommand is called alike
    """Print the registries."""
    from elbo_lab.datasets import DATASETS
    from elbo_lab.distributions import SOURCES
    from elbo_lab.posteriors import POSTERIORS
    from elbo_lab.registry import all_estimators, find_models

    models = [(choice.label, choice.kind.summary) for choice in find_models()]
    print(_block("models", models))
    print(_block("methods of fit", _methods()))
    print(_block("posteriors", [(kind.name, kind.summary) for kind in POSTERIORS]))
    print(_block("noise (for compare)", [(source.name, source.summary) for source in SOURCES]))
    by_target: dict[str, list[tuple[str, str]]] = {}
    for estimator in all_estimators():
        by_target.setdefault(estimator.target, []).append((estimator.name, estimator.summary))
    for target, lines in by_target.items():
        print(_block(f"estimators of {target}", lines))
    sets = []
    for dataset in DATASETS:
        views = f" (views: {', '.join(dataset.views)})" if dataset.views else ""
        sets.append((dataset.name, dataset.summary + views))
    print(_block("data sets", sets), end="")
