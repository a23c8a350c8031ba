"""elbo-lab list: what there is, with titles and synonyms, and which estimators fit which model."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from elbo_lab.cli.prose import filled
from elbo_lab.errors import NotApplicable, bad_value, unknown_name
from elbo_lab.names import arguments_of, spell_call, spelt

if TYPE_CHECKING:
    from elbo_lab.models import Model

HELP = "models, estimators, data sets ..., and which estimators fit which model"
DESCRIPTION = "List all names, or one kind of them with a line each."
EXAMPLES = """examples:
  elbo-lab list                              all names
  elbo-lab list models                       their formulas and other names
  elbo-lab list estimators --model ppca      what applies to ppca
  elbo-lab list estimators --target elbo     of one target
"""
SHORTEST = 3
"""Letters that a kind may be cut to."""
Lines = list[tuple[str, str]]


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("kind", nargs="?", metavar="KIND", help=f"one of {', '.join(KINDS)}; all names if none")
    add("--model", metavar="NAME", help="only estimators that apply to this model")
    add("--target", metavar="NAME", help="only estimators of this target, as grad-phi-elbo")


def run(options: Namespace) -> None:
    """Print all names, or the lines of one kind."""
    width = get_terminal_size().columns
    if options.kind is None and options.model is None and options.target is None:
        print(
            "\n\n".join(block(kind, lines_of(), width, names_only=True) for kind, lines_of in KINDS.items())
        )
        print("\nA line each: elbo-lab list models. More of one: elbo-lab explain dreg.")
        return
    kind = "estimators" if options.kind is None else options.kind
    asked = spelt(kind).replace("-", "")
    meant = next((one for one in KINDS if one.replace(" ", "").startswith(asked)), None)
    if meant is None or len(asked) < SHORTEST:
        raise unknown_name("kind", kind, list(KINDS))
    if meant != "estimators":
        argument = next((name for name in ("model", "target") if getattr(options, name) is not None), None)
        if argument is not None:
            raise bad_value(argument, f"no value beside {meant}", repr(getattr(options, argument)))
        print(block(meant, KINDS[meant](), width))
        return
    by_target = estimators_by_target(options.model, options.target)
    print("\n\n".join(block(f"estimators of {target}", lines, width) for target, lines in by_target.items()))


def block(title: str, lines: Lines, width: int, names_only: bool = False) -> str:
    """Return the lines of one kind under their title; a long line goes on under its start."""
    if names_only:
        return "\n".join(
            [title, *filled(", ".join(dict.fromkeys(name for name, _ in lines)), width, "  ", "  ")]
        )
    start = max(len(name) for name, _ in lines) + 4
    if start > width // 2:
        start = 6
    text = [title]
    for name, summary in lines:
        first = f"  {name:<{start - 4}}  "
        if len(first) > start:
            text.append(first.rstrip())
            first = " " * start
        text += filled(summary, width, first, " " * start)
    return "\n".join(text)


def described(one: Any, summary: str) -> str:
    """Return a summary with title and synonyms behind it, and with its arguments where it takes any."""
    title = () if spelt(one.title) in ("", spelt(one.name)) else (one.title,)
    arguments = arguments_of(one)
    call = (spell_call(argument_word(one), arguments),) if arguments else ()
    words = "; ".join((*title, *one.synonyms, *call))
    return f"{summary} [{words}]" if words else summary


def argument_word(one: Any) -> str:
    """Return the word before the arguments: a name such as 'rebar-0.5' has their usual values in it."""
    return one.synonyms[0] if one.synonyms else getattr(one, "stem", one.name)


def refusal(estimator: Any, model: "Model") -> str | None:
    """Return why an estimator does not apply to a model with a free q, or None if it does."""
    from elbo_lab.posteriors import FreePosterior

    try:
        estimator.check_pairing(model, FreePosterior(model.posterior_family, 1))
    except NotApplicable as reason:
        return str(reason).replace(model.label, "the model")
    return None


def estimators_by_target(model: str | None, target: str | None) -> dict[str, Lines]:
    """Return {target: lines} of the estimators that apply to a model, and of one target, where asked.

    Raises
    ------
    ValueError
        If there is no such model or target, or no estimator is left.
    """
    from elbo_lab.estimators import TARGETS
    from elbo_lab.registry import all_estimators, find_models, small_models

    if target is not None and target not in TARGETS:
        raise unknown_name("target", target, TARGETS)
    kinds = {choice.kind for choice in find_models(model, "model")} if model is not None else set()
    built = [one for one in small_models() if type(one) in kinds]
    found: dict[str, Lines] = {}
    for one in all_estimators():
        fits = model is None or any(refusal(one, each) is None for each in built)
        if fits and target in (None, one.target):
            found.setdefault(one.target, []).append((one.name, described(one, one.summary)))
    if not found:
        raise bad_value("target", f"one that {model} has", repr(target))
    return found


def _models() -> Lines:
    from elbo_lab.registry import find_models

    told: set[str] = set()
    lines = []
    for choice in find_models():
        kind = choice.kind
        lines.append((choice.label, kind.summary if kind.name in told else described(kind, kind.summary)))
        told.add(kind.name)
    return lines


def methods() -> Lines:
    """Return [(method of fit, what it does and for which models)]."""
    from elbo_lab.fitting.methods import METHODS
    from elbo_lab.registry import small_models

    models = small_models()
    lines = []
    for name, method in METHODS.items():
        names = dict.fromkeys(model.name for model in models if method.applies(model))
        lines.append((name, f"{described(method, method.summary)}: {', '.join(names)}"))
    return lines


def _objectives() -> Lines:
    from elbo_lab.training import OBJECTIVES

    return [(name, described(kind, kind.summary)) for name, kind in OBJECTIVES.items()]


def _estimators() -> Lines:
    return [line for lines in estimators_by_target(None, None).values() for line in lines]


def _targets() -> Lines:
    from elbo_lab.estimators import TARGETS

    return [(name, line.format(draws="S")) for name, line in TARGETS.items()]


def _data_sets() -> Lines:
    from elbo_lab.registry import DATASETS

    lines = []
    for entry in DATASETS.values():
        views = f"; views {', '.join(entry.views)}" if entry.views else ""
        lines.append((entry.name, described(entry, entry.summary + views)))
    return lines


def _families() -> Lines:
    import inspect

    from elbo_lab.registry import FAMILIES

    kinds = FAMILIES.values()
    return [(kind.name, described(kind, (inspect.getdoc(kind) or "").partition("\n")[0])) for kind in kinds]


def _posteriors() -> Lines:
    from elbo_lab.posteriors import POSTERIORS

    kinds: Iterable[Any] = POSTERIORS
    return [(kind.name, described(kind, kind.summary)) for kind in kinds]


def _noise() -> Lines:
    from elbo_lab.distributions import SOURCES

    return [(source.name, described(source, source.summary)) for source in SOURCES]


KINDS: dict[str, Callable[[], Lines]] = {
    "models": _models,
    "estimators": _estimators,
    "targets": _targets,
    "data sets": _data_sets,
    "methods of fit": methods,
    "objectives": _objectives,
    "posteriors": _posteriors,
    "noise": _noise,
    "families": _families,
}
