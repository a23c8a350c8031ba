"""elbo-lab list: models, posteriors, estimators and data sets, one line each."""


def add_parser(commands):
    """Add this subcommand."""
    parser = commands.add_parser("list", help="names of models, posteriors, estimators, data sets")
    parser.set_defaults(run=run)


def _block(title, lines):
    width = max(len(name) for name, _ in lines)
    body = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in lines)
    return f"{title}\n{body}\n"


def run(options):  # noqa: ARG001 - every subcommand is called alike
    """Print the registries."""
    from elbo_lab.datasets import DATASETS
    from elbo_lab.posteriors import POSTERIORS
    from elbo_lab.study import all_estimators, find_models

    models = [(choice.label, choice.kind.summary) for choice in find_models()]
    print(_block("models", models))
    print(_block("posteriors", [(kind.name, kind.summary) for kind in POSTERIORS]))
    by_target = {}
    for estimator in all_estimators():
        by_target.setdefault(estimator.target, []).append((estimator.name, estimator.summary))
    for target, lines in by_target.items():
        print(_block(f"estimators of {target}", lines))
    sets = []
    for dataset in DATASETS:
        views = f" (views: {', '.join(dataset.views)})" if dataset.views else ""
        sets.append((dataset.name, dataset.summary + views))
    print(_block("data sets", sets), end="")
