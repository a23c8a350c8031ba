"""The tables of the page `catalogue.md`, made of what the registries declare.

A mark `<!-- table: models -->` in the page is replaced by the table of that name when the site is built, so
that a newcomer of a registry stands in the catalogue without an edit.
"""

import inspect
import re
from pathlib import Path

from elbo_lab.bounds import BOUNDS
from elbo_lab.datasets import DATASETS, load
from elbo_lab.distributions import FAMILIES
from elbo_lab.exact import evidence
from elbo_lab.posteriors import POSTERIORS
from elbo_lab.registry import all_estimators, find_models

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^<!-- table: (\w+) -->$", re.MULTILINE)
ROWS = 8  # of the data that decide how a model's evidence is known


def _plain(text):
    """Return a text whose characters mean nothing in a table of Markdown."""
    return re.sub(r"([\\|*_$<`\[\]])", r"\\\1", text)


def _link(name, kind):
    """Return a name as a link to the file of its class or function; the name alone if that is elsewhere."""
    path = Path(inspect.getsourcefile(kind)).resolve()
    if not path.is_relative_to(ROOT):
        return f"`{name}`"
    return f"[`{name}`](../{path.relative_to(ROOT).as_posix()})"


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _first_line(item):
    """Return the first line of a docstring."""
    return _plain(inspect.getdoc(item).splitlines()[0].rstrip("."))


def _evidence(choice):
    """Return how log p(x) of a model is known on a few rows of its usual data."""
    table = choice.kind.table_of(load(choice.kind.default_data).rows(ROWS, seed=0))
    model = choice.build(table, None)
    x = model.as_data(table)
    return evidence(model, model.initial_theta(x), x).rung


def models():
    """Return the table of the models."""
    rows = []
    for choice in find_models():
        kind = choice.kind
        link = _link(choice.label, kind)
        rows.append([link, _plain(kind.summary), _evidence(choice), f"`{kind.default_data}`"])
    return _table(["name", "model", "evidence", "usual data"], rows)


def datasets():
    """Return the table of the data sets."""
    rows = []
    for entry in DATASETS:
        views = ", ".join(f"`{entry.name}:{view}`" for view in entry.views)
        rows.append([f"`{entry.name}`", _plain(entry.summary), views])
    return _table(["name", "what", "views"], rows)


def posteriors():
    """Return the table of the posteriors."""
    rows = [[_link(kind.name, kind), _plain(kind.summary)] for kind in POSTERIORS]
    return _table(["name", "map from x to q"], rows)


def estimators():
    """Return the table of the estimators, target by target."""
    by_target = {}
    for estimator in all_estimators():
        by_target.setdefault(estimator.target, []).append(estimator)
    rows = []
    for target, members in by_target.items():
        for estimator in members:
            unbiased = "yes" if estimator.unbiased else "no"
            link = _link(estimator.name, type(estimator))
            rows.append([f"`{target}`", link, unbiased, _plain(estimator.summary)])
    return _table(["target", "name", "unbiased", "in short"], rows)


def families():
    """Return the table of the families of q."""
    return _table(["name", "family"], [[_link(kind.name, kind), _first_line(kind)] for kind in FAMILIES])


def bounds():
    """Return the table of the bounds."""
    rows = [[_link(bound.__name__, bound), _first_line(bound).removeprefix("Return ")] for bound in BOUNDS]
    return _table(["function", "returns"], rows)


TABLES = {
    "models": models,
    "datasets": datasets,
    "families": families,
    "posteriors": posteriors,
    "bounds": bounds,
    "estimators": estimators,
}


def insert(_, page, source):
    """Put the tables into the page in place of their marks; a handler of `source-read`."""
    if page == "catalogue":
        source[0] = MARK.sub(lambda mark: TABLES[mark[1]](), source[0])
