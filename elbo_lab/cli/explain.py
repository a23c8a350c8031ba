"""elbo-lab explain: an estimator, a model or a word, as a short entry of a textbook.

The docstrings and the glossary are its only source: what stands there is printed here.
"""

import inspect
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size
from typing import Any

from elbo_lab.cli.glossary import entries, found_in
from elbo_lab.cli.listing import argument_word, methods, refusal
from elbo_lab.cli.prose import filled, folded
from elbo_lab.errors import UnknownName, unknown_name
from elbo_lab.names import arguments_of, called, names_by_word, spell_call, spelt

HELP = "what an estimator, a model or a word means"
DESCRIPTION = (
    "Print formula, idea, when it helps and fails, source, where it runs, and its rows in the last run."
)
EXAMPLES = """examples:
  elbo-lab explain dreg
  elbo-lab explain REINFORCE
  elbo-lab explain ppca
  elbo-lab explain snr
  elbo-lab explain rloo --json out.json      with its rows of that run
  elbo-lab explain 'rebar(temperature=0.1)'  with an argument of its own
"""
WIDEST = 100
DRAWS = 10
Facts = list[tuple[str, str]]


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("word", nargs="+", metavar="WORD", help="a name, a synonym, a key or a word")
    run = "the run of 'elbo-lab compare --json'; by default that of elbo-lab-report/, if it is there"
    parser.add_argument("--json", metavar="FILE", help=run)


def run(options: Namespace) -> None:
    """Print the entries of a word."""
    from elbo_lab.cli.last_run import read_rows

    width = min(get_terminal_size().columns, WIDEST)
    word = " ".join(options.word)
    rows = read_rows(options.json)
    print("\n\n".join("\n".join(entry) for entry in explained(word, rows, width)))


def explained(word: str, rows: Sequence[dict[str, Any]], width: int) -> list[list[str]]:
    """Return the entries of a word as lists of lines of at most `width` characters.

    Raises
    ------
    ValueError
        With the nearest words, if there is none.
    """
    from elbo_lab.registry import DATASETS, ESTIMATORS, FAMILIES, MODELS

    found = [_of_kind(kind, rows, width) for kind in _ideas(_called(word, ESTIMATORS, "estimator"))]
    by_name: dict[str, list[Any]] = {}
    for choice in _called(word, MODELS, "model"):
        by_name.setdefault(choice.kind.name, []).append(choice)
    found += [_of_model(choices, rows, width) for choices in by_name.values()]
    found += [_of_class(kind, "family of q", width) for kind in called(word, FAMILIES.values())]
    found += [_of_class(kind, kind_of, width) for kind, kind_of in _others(word)]
    found += [
        [f"{one.title} ({one.name}): a data set", "", *filled(one.summary, width)]
        for one in called(word, DATASETS.values())
    ]
    found += [_of_target(target, width) for target in _targets(word)]
    glossary = entries()
    found += [filled(text, width) for text in found_in(glossary, word)]
    found += [_chapter(module, width) for module in _bound_modules(word)]
    if not found:  # last, since it takes a while to load
        every = [(name, text) for name, text in methods() if name == spelt(word)]
        found = [filled(f"{name}: a method of fit: {text}", width) for name, text in every]
    if found:
        return found
    known = [*ESTIMATORS, *MODELS, *FAMILIES, *DATASETS, *(name for name, _ in glossary)]
    words = names_by_word([*ESTIMATORS.values(), *MODELS.values()])
    raise unknown_name("word", word, list(dict.fromkeys(known)), words=words)


def _called(word: str, held: Any, argument: str) -> list[Any]:
    """Return the things of a registry; a plug-in that cannot be used is told, an unknown name is none."""
    from elbo_lab.registry import find_estimators, find_models

    try:
        if argument == "model":
            return list(find_models(word, argument))
        return (
            find_estimators([word], argument)
            if "," not in word.partition("(")[0]
            else called(word, held.values())
        )
    except UnknownName:
        return []


def _ideas(estimators: Iterable[Any]) -> list[list[Any]]:
    """Return the estimators of one class together, as the exact answer has one for every target."""
    by_kind: dict[type, list[Any]] = {}
    for estimator in estimators:
        by_kind.setdefault(type(estimator), []).append(estimator)
    return list(by_kind.values())


def _others(word: str) -> list[tuple[type, str]]:
    from elbo_lab.distributions import SOURCES
    from elbo_lab.posteriors import POSTERIORS

    kinds: list[tuple[type, str]] = [(kind, "posterior") for kind in called(word, POSTERIORS)]
    return kinds + [(type(source), "noise of compare") for source in called(word, SOURCES)]


def _targets(word: str) -> list[str]:
    """Return the target of a name, with or without the number of draws that a table adds."""
    from elbo_lab.estimators import TARGETS

    return [target for target in TARGETS if target == re.sub(r"-\d+$", "", spelt(word))]


def _of_target(target: str, width: int) -> list[str]:
    from elbo_lab.estimators import TARGETS
    from elbo_lab.registry import all_estimators

    names = ", ".join(one.name for one in all_estimators() if one.target == target)
    text = f"{target}, a target: {TARGETS[target].format(draws='S')}"
    return [*filled(text, width), *_facts([("estimated by", names)], width)]


def _bound_modules(word: str) -> list[str]:
    from elbo_lab.bounds import BOUNDS

    modules = dict.fromkeys(bound.__module__ for bound in BOUNDS)
    named = [bound.__module__ for bound in BOUNDS if spelt(bound.__name__) == spelt(word)]
    return list(dict.fromkeys([m for m in modules if m.rpartition(".")[2] == spelt(word)] + named))


# -- the parts of an entry -------------------------------------------------------------------------


def _heading(thing: Any, what: str) -> str:
    title = thing.title or thing.name
    return f"{title}: {what}" if spelt(title) == spelt(thing.name) else f"{title} ({thing.name}): {what}"


def _chapter(module: str, width: int) -> list[str]:
    return folded(inspect.getdoc(sys.modules[module]) or "", width)


def _of_class(kind: type, what: str, width: int) -> list[str]:
    facts = _facts([("also called", ", ".join(kind.synonyms))], width)  # type: ignore[attr-defined]
    return [_heading(kind, what), "", *folded(inspect.getdoc(kind) or "", width), *facts]


def _facts(facts: Facts, width: int) -> list[str]:
    """Return facts as a list with hanging lines, after an empty line."""
    kept = [(name, text) for name, text in facts if text]
    start = max((len(name) for name, _ in kept), default=0) + 2
    lines = [""] if kept else []
    for name, text in kept:
        lines += filled(text, width, f"{name:<{start}}", " " * start)
    return lines


def _of_kind(estimators: list[Any], rows: Sequence[dict[str, Any]], width: int) -> list[str]:
    """Return the entry of the estimators of one class."""
    from elbo_lab.estimators.targets import line_of

    one = estimators[0]
    idea = inspect.getdoc(sys.modules[type(one).__module__]) or ""
    targets = dict.fromkeys(f"{(line_of(e.target) or '').format(draws='S')} ({e.target})" for e in estimators)
    biases = {e.name: "none" if e.unbiased else "yes" for e in estimators}
    alike = len(set(biases.values())) == 1
    runs, refused = _where(one)
    calls = [spell_call(argument_word(e), arguments_of(e)) for e in estimators if arguments_of(e)]
    facts: Facts = [
        ("also called", ", ".join(one.synonyms)),
        ("arguments", ", ".join(dict.fromkeys(calls))),
        ("estimates", "; ".join(targets)),
        ("bias", biases[one.name] if alike else ", ".join(f"{biases[name]} ({name})" for name in biases)),
        ("needs", _needs(one)),
        ("cost", _cost(one)),
        ("runs on", ", ".join(runs)),
        *(("not on", f"{', '.join(models)}: {reason}") for reason, models in refused.items()),
        ("siblings", ", ".join(_related(one))),
        *_last_run([row for row in rows if row.get("estimator") in [e.name for e in estimators]]),
    ]
    return [
        _heading(one, "an estimator"),
        "",
        *folded(inspect.getdoc(type(one)) or "", width),
        "",
        *folded(idea, width),
        *_facts(facts, width),
    ]


def _needs(one: Any) -> str:
    from elbo_lab.estimators import LATENTS

    draws = {"prior": "draws from the prior", "posterior": "draws from q", None: "no draws"}[one.draws_from]
    draws = f"independent {draws}" if one.independent_draws else draws
    needs = [draws if one.minimum_draws < 2 else f"at least {one.minimum_draws} {draws}"]
    if one.needs_pathwise:
        needs.append("continuous z with a path from the noise")
    if one.needs_kl:
        needs.append("KL(q || prior) in closed form")
    if one.needs_entropy:
        needs.append("the entropy of q by a formula or a sum")
    if one.latents != "any":
        needs.append(LATENTS[one.latents].words)
    if one.needs_relaxation:
        needs.append("log p(x | z) between the values of a discrete z")
    if one.needs_log_q_at_foreign_z:
        needs.append("log q at a z that q did not draw")
    if one.is_reference:
        needs.append("the exact answer: a reference, not for practice")
    return ", ".join(needs)


def _cost(one: Any) -> str:
    """Return the evaluations of the model for one datum, for the first model on which it runs."""
    from elbo_lab.registry import small_models

    if one.is_reference or one.draws_from is None:
        return ""
    for model in small_models():
        if refusal(one, model) is None:
            number = one.evaluations(DRAWS, model.family)
            return f"{number} evaluations of the model for S = {DRAWS} draws, K = {model.latent_dim}"
    return ""


def _where(one: Any) -> tuple[list[str], dict[str, list[str]]]:
    """Return the models on which an estimator runs, and {reason: models} where it does not."""
    from elbo_lab.registry import small_models

    runs: list[str] = []
    refused: dict[str, list[str]] = {}
    for name, model in {model.name: model for model in small_models() if model.compared}.items():
        reason = refusal(one, model)
        (runs if reason is None else refused.setdefault(reason, [])).append(name)
    return runs, refused


def _related(one: Any) -> list[str]:
    """Return the names of the siblings: same file, or the same name for another target."""
    from elbo_lab.registry import all_estimators

    siblings = [e for e in all_estimators() if type(e).__module__ == type(one).__module__]
    return list(dict.fromkeys(e.name for e in siblings if e.name != one.name))


def _of_model(choices: list[Any], rows: Sequence[dict[str, Any]], width: int) -> list[str]:
    """Return the entry of a model: its file, and the file of what it shares with others."""
    from elbo_lab.estimators import Exact
    from elbo_lab.fitting.methods import methods_of
    from elbo_lab.models.base import Model
    from elbo_lab.registry import all_estimators, small_models

    kind = choices[0].kind
    parents = [one for one in kind.__mro__ if issubclass(one, Model) and one.__module__ != Model.__module__]
    chapters = [sys.modules[name] for name in dict.fromkeys(one.__module__ for one in parents)]
    built = next((model for model in small_models() if type(model) is kind), None)
    facts: Facts = [
        ("also called", ", ".join(kind.synonyms)),
        ("variants", ", ".join(filter(None, (choice.variant for choice in choices)))),
        ("usual data", kind.default_data),
    ]
    if built is not None:
        phi = [e for e in all_estimators() if e.target == "grad-phi-elbo" and not isinstance(e, Exact)]
        names = [e.name for e in phi if refusal(e, built) is None]
        facts += [
            (
                "latents",
                f"{built.family.name}, {'one z for the table' if kind.global_latents else 'one z a row'}",
            ),
            ("fitted by", ", ".join(methods_of(built))),
            ("gradients in phi", ", ".join(names)),
        ]
    mine = [row for row in rows if row.get("model") == kind.name]
    lines = [_heading(kind, "a model"), "", *filled(kind.summary, width, "    ", "        ")]
    for chapter in chapters:
        lines += ["", *folded(inspect.getdoc(chapter) or "", width)]
    return [*lines, *_facts(facts + _last_run(mine), width)]


def _last_run(rows: Sequence[dict[str, Any]]) -> Facts:
    """Return the rows of a thing in the last run."""
    from elbo_lab.cli.last_run import in_words

    return [("last run", line) for line in in_words(rows)]
