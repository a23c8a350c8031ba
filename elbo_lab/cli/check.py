"""elbo-lab check: is an estimator, or a model, what it says?"""

import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from elbo_lab.cli.options import add_force, planned
from elbo_lab.errors import UnknownName, UserMistake, bad_kind, bad_value, unknown_name
from elbo_lab.files import json_kind, plain, write_json
from elbo_lab.plugins import is_a, looks_like_a_place, object_at, source_of

SCHEMA = "elbo_lab/check/1"
JSON = json_kind("check", SCHEMA)

Found = tuple[bool, Callable[[int], str], dict[str, Any]]
"""Whether it passed, what is printed for a width, and the record."""

HELP = "is an estimator what it declares? all of its noise integrated"
DESCRIPTION = """Test whether an estimator is what it declares: its expectation over all noise,
on small problems, is compared with the exact answer, and its contract is tried
(shapes, dtype, state, order of draws and data). The derivatives and draws of a
model are compared with its own log p(x, z). Exit codes: 0 passed, 1 failed, 2 a
mistake in the command."""
EXAMPLES = """examples:
  elbo-lab check reparameterization              by name, plug-ins too
  elbo-lab check my_package.gradients:Reinforce  something in a module
  elbo-lab check mine.py:Reinforce               the same in a file
  elbo-lab check mine.py:Reinforce --model ppca  on two rows of that model
  elbo-lab check mine.py:RobustPPCA              a model
"""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    seed = "of the draws, where noise cannot be integrated (default 0)"
    add("names", nargs="+", metavar="NAME", help="a name from 'elbo-lab list', MODULE:CLASS or FILE.py:CLASS")
    add("--model", metavar="MODEL", help="check estimators on this model instead of the small ones")
    add("--seed", type=int, default=0, metavar="N", help=seed)
    add("--json", metavar="FILE", help="write all rows and broken promises")
    add_force(parser)


def run(options: Namespace) -> int:
    """Check all, write, print; return 0 if all passed, else 1."""
    from elbo_lab.cli.screen import finish, saved

    plan = planned(options)
    things = [thing for name in options.names for thing in find(name, "names")]
    on = None if options.model is None else find(options.model, "model")[0]
    for argument, name in [("name", name) for name in options.names] + [("--model", options.model or "")]:
        plan.reads(argument, source_of(name))
    plan.writes("--json", options.json, JSON)
    if on is not None and not _is_model(on):
        raise bad_kind("model", "a model", f"{options.model!r}, an estimator")
    found = [
        _of_model(thing) if _is_model(thing) else _of_estimator(thing, on, options.seed) for thing in things
    ]
    content = {"schema": SCHEMA, "checks": [record for *_, record in found]}
    finish(
        plan.taken,
        [saved(options.json, lambda path: write_json(path, plain(content), JSON))],
        lambda console: console.out(
            "\n\n".join(text(console.width) for _, text, _ in found), highlight=False
        ),
    )
    return int(not all(passed for passed, *_ in found))


def _is_model(thing: object) -> bool:
    from elbo_lab.models import Model

    return isinstance(thing, str) or is_a(thing, (Model,))


def _of_estimator(estimator: Any, on: object, seed: int) -> Found:
    from elbo_lab.checking import check_unbiased
    from elbo_lab.progress import followed

    with followed(None, lines=True) as progress:
        result = check_unbiased(estimator, on, seed=seed, progress=progress)
    return result.passed, result.table, vars(result) | {"passed": result.passed}


def _of_model(model: Any) -> Found:
    from elbo_lab.checking import check_model

    try:
        result = check_model(model)
    except UserMistake as fault:
        name = model if isinstance(model, str) else model.name
        record = {"model": name, "passed": False, "broken": [str(fault)]}
        return False, _wrapped(f"FAILED: {fault}"), record
    return True, _wrapped(str(result)), {"model": result.model, "passed": True, "broken": []}


def _wrapped(text: str) -> Callable[[int], str]:
    def wrapped(width: int) -> str:
        return "\n".join(textwrap.fill(line, width, subsequent_indent="    ") for line in text.split("\n"))

    return wrapped


# -- from a name to an object ----------------------------------------------------------------------


def find(name: str, argument: str) -> list[Any]:
    """Return what a name stands for: estimators, what a module or a file holds, or the name of a known model.

    Raises
    ------
    ValueError
        If there is none, or the module cannot be imported.
    TypeError
        If it is neither an estimator nor a model.
    """
    from elbo_lab.estimators import Estimator, Exact
    from elbo_lab.models import Model
    from elbo_lab.names import names_by_word
    from elbo_lab.registry import ESTIMATORS, MODELS, find_estimators, find_models

    if not looks_like_a_place(name):
        with suppress(UnknownName):
            estimators = [one for one in find_estimators(name, argument) if not isinstance(one, Exact)]
            if not estimators:
                remedy = "others are compared with the exact answer"
                raise bad_value(argument, "an estimator with draws", repr(name), remedy)
            return estimators
        with suppress(UnknownName):
            find_models(name, argument)
            return [name]  # as it is, since its variant is a part of it
        if ":" not in name:
            words = names_by_word([*ESTIMATORS.values(), *MODELS.values()])
            raise unknown_name(argument, name, [*ESTIMATORS, *MODELS], words=words)
    thing = object_at(argument, name, (Estimator, Model))
    if not is_a(thing, (Estimator, Model)):
        raise bad_kind(argument, "an Estimator or a Model", f"{name}, a {type(thing).__name__}")
    complete: Callable[..., Any] = find_models if is_a(thing, (Model,)) else find_estimators
    complete(thing, argument)
    return [thing]
