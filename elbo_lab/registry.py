"""From names to objects: what comes with the package and what other packages registered.

    MODELS        classes                      "ppca", "gaussian-mixture", "deep-gaussian:fixed", ...
    ESTIMATORS    objects                      "reparameterization", "exact:elbo", ...
    BOUNDS        functions of draws           "importance-evidence", "renyi-bound", ...
    FAMILIES      classes of distributions     "diagonal-gaussian", ...
    DATASETS      data sets, to be read        "digits", ...

Each is a read-only mapping: `list(MODELS)`, `MODELS["ppca"]`, `"ppca" in MODELS`. Where two of a kind share a
name, a colon and what differs follow it.

Other packages add theirs through the entry-point groups `elbo_lab.models` (a Model class) and
`elbo_lab.estimators` (an Estimator instance, or a class that takes no arguments). They are loaded when all
names are asked for, or one that the package does not have. A plug-in that cannot be used (it raises when it
is imported, is something else, has a name that is taken) is left out with a warning of one line, and its
reason is the error where it is asked for by name.
"""

import textwrap
import warnings
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

import numpy as np

from elbo_lab import bounds, distributions, estimators, models
from elbo_lab.arrays import Floats
from elbo_lab.datasets import DATASETS as DATA_SETS
from elbo_lab.datasets import BuiltIn, Dataset
from elbo_lab.distributions import Family
from elbo_lab.distributions.named import find_family
from elbo_lab.errors import BadValue, bad_kind, bad_value, check_count, short, unknown_name
from elbo_lab.estimators import LATENTS, TARGETS, Estimator, Exact
from elbo_lab.estimators.targets import is_known
from elbo_lab.layout import Layout
from elbo_lab.models import Model
from elbo_lab.names import Words, called, names_by_word, parse_call, spelt, with_arguments, words_for
from elbo_lab.plugins import Plugins, is_a, load_plugins, looks_like_a_place, object_at, told

T = TypeVar("T")
M = TypeVar("M", Model, type[Model])
U = TypeVar("U")


class Registry(Mapping[str, T], Generic[T]):
    """Names and what they stand for; shown, it lists its names.

    Parameters
    ----------
    title : str
        What they are, in the plural; named in an error.
    built_in : sequence of T
        What comes with the package.
    words_of : callable
        From a thing to the Words for it: its names, and what tells it from another of that name.
    group : str, optional
        Entry-point group of the plug-ins.
    accept : callable, optional
        Takes what a plug-in holds; returns the thing, or raises with the reason why it cannot be used.

    Raises
    ------
    ValueError, KeyError
        One error that is both, in one line with the nearest name, when a name is not known.
    """

    def __init__(
        self,
        title: str,
        built_in: Sequence[T],
        words_of: Callable[[T], Words],
        group: str = "",
        accept: Callable[[Any], T] | None = None,
    ) -> None:
        self.title, self.words_of, self._group, self._accept = title, words_of, group, accept
        names = [self._name_of(thing) for thing in built_in]
        shared = {name for name, _ in names if [other for other, _ in names].count(name) > 1}
        keys = [f"{name}:{difference}" if name in shared else name for name, difference in names]
        self.built_in: dict[str, T] = dict(zip(keys, built_in, strict=True))
        self._plugins: Plugins[T] | None = None

    def __getitem__(self, name: str) -> T:
        if name in self.built_in:
            return self.built_in[name]
        meant = called(name, self.built_in.values(), self.words_of)
        if not meant:
            found = self.with_plugins(asked=name)
            meant = [found[name]] if name in found else called(name, found.values(), self.words_of)
        if len(meant) == 1:
            return meant[0]
        raise self.unknown(name)

    def _name_of(self, thing: T) -> tuple[str, str]:
        (name, *_), difference = self.words_of(thing)
        return name, difference

    def __iter__(self) -> Iterator[str]:
        return iter(self.with_plugins())

    def __len__(self) -> int:
        return len(self.with_plugins())

    def __repr__(self) -> str:
        text = f"{self.title}: {', '.join(self)}"
        return textwrap.fill(text, 100, subsequent_indent="    ", break_on_hyphens=False)

    def with_plugins(self, asked: str = "") -> dict[str, T]:
        """Return all by name, the package's first; warn once of each plug-in that is left out.

        Parameters
        ----------
        asked : str, optional
            A name whose mistake is about to be an error, and needs no warning.
        """
        if self._plugins is None:
            self._plugins = self._load()
            for name, reason in self._plugins.broken.items():
                if name != asked:
                    warnings.warn(f"plug-in {name!r} of {self._group} is left out: {reason}", stacklevel=3)
        return self.built_in | dict(self._plugins.found)

    def loaded(self) -> list[T]:
        """Return all that need not be loaded first."""
        return [*self.built_in.values(), *(thing for _, thing in (self._plugins or Plugins()).found)]

    def _load(self) -> Plugins[T]:
        if self._accept is None:
            return Plugins()
        accept = self._accept

        def accept_named(found: Any) -> T:
            thing = accept(found)
            self._name_of(thing)  # which a plug-in may have made unusable as well
            return thing

        loaded = load_plugins(self._group, accept_named)
        own_names = {self._name_of(thing)[0] for thing in self.built_in.values()}
        found: dict[str, T] = {}
        for entry, thing in loaded.found:
            name, difference = self._name_of(thing)
            if name in own_names or (name, difference) in map(self._name_of, found.values()):
                loaded.broken[entry] = f"its name {name!r} is taken"
            else:
                found[f"{name}:{difference}" if name in found else name] = thing
        return Plugins(list(found.items()), loaded.broken)

    def unknown(self, name: str, argument: str = "", known: Iterable[str] = ()) -> BadValue:
        """Build the error for a name that is not here; the caller raises it.

        Parameters
        ----------
        name : str
        argument : str, optional
            The name of the argument in the error; the title if not given.
        known : iterable of str, optional
            The names to choose from; those of the registry if not given.
        """
        argument = argument or self.title
        found = self.with_plugins(asked=name)
        reason = self._plugins.broken.get(name) if self._plugins is not None else None
        if reason is not None:
            return bad_value(argument, "a plug-in that can be used", repr(name), reason)
        return unknown_name(
            argument,
            name,
            list(known) or list(found),
            words=names_by_word(found.values(), self.words_of),
        )


# -- what a plug-in must be ------------------------------------------------------------------------


def _model_kind(found: Any) -> type[Model]:
    """Return a Model class that can be built, or raise."""
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise bad_kind("its object", "a class derived from elbo_lab.Model", repr(found))
    _defined("its object", found, Model)
    _check_named("its object", "a model", found)
    _check_apart("its object", found, models.MODELS)
    return found


def _estimator(found: Any) -> Estimator:
    """Return the estimator, or that of a class without arguments, or raise."""
    if isinstance(found, type) and issubclass(found, Estimator):
        found = _defined("its object", found, Estimator)()
    if not isinstance(found, Estimator):
        raise bad_kind("its object", "an elbo_lab.Estimator, or a class derived from it", repr(found))
    return _complete(_hashable("its object", found))


# -- the registries --------------------------------------------------------------------------------

MODELS: Registry[type[Model]] = Registry(
    "models", models.MODELS, lambda kind: words_for(kind, kind.variants[0]), "elbo_lab.models", _model_kind
)
ESTIMATORS: Registry[Estimator] = Registry(
    "estimators",
    estimators.ESTIMATORS,
    lambda one: words_for(one, one.target),
    "elbo_lab.estimators",
    _estimator,
)
BOUNDS: Registry[Callable[..., np.ndarray]] = Registry(
    "bounds", bounds.BOUNDS, lambda bound: ((bound.__name__.replace("_", "-"),), "")
)
FAMILIES: Registry[type[Family]] = Registry("families", distributions.FAMILIES, words_for)
DATASETS: Registry[BuiltIn] = Registry("data sets", DATA_SETS, words_for)


# -- what a user names -----------------------------------------------------------------------------


Latent = int | tuple[int, ...]
"""K, or the widths of several layers of z, the one next to the data first."""


def check_latent(latent: int | Sequence[int] | None) -> Latent | None:
    """Return the option `latent`, a whole number or a tuple of them, or raise."""
    if latent is None or not isinstance(latent, Sequence) or isinstance(latent, str):
        return None if latent is None else check_count("latent", latent)
    if not latent:
        raise bad_value("latent", "the width of one layer or more", repr(latent))
    return tuple(check_count("latent", width) for width in latent)


def with_latent_prior(model: Model, name: str | None) -> Model:
    """Return the model with another prior over z, if it is one that can have another."""
    if name is None or not hasattr(model, "latent_prior"):
        return model
    return cast(Model, replace(cast(Any, model), latent_prior=name))


@dataclass(frozen=True)
class ModelChoice:
    """A model to be built for the data (a class and a variant), or a finished one.

    Attributes
    ----------
    kind : type
    variant : str or None
    model : Model or None
        If finished.
    categories : int or None
        Of each latent, where z is a vector of them.
    latent_prior : str or None
        The family of p(z) in place of the model's own.
    """

    kind: type[Model]
    variant: str | None = None
    model: Model | None = None
    categories: int | None = None
    latent_prior: str | None = None

    def with_prior(self, family: str | None) -> "ModelChoice":
        """Return the choice with another prior, the standard member of a family; with None, itself.

        Raises
        ------
        ValueError
            If there is no family of that name, or the prior of this kind of model is part of its formula.
        """
        if family is None:
            return self
        name = find_family(family, "latent_prior").text
        if not hasattr(self.kind, "latent_prior"):
            raise bad_value("latent_prior", f"no value for {self.label}, whose prior is fixed", repr(name))
        return replace(self, latent_prior=name)

    def with_categories(self, categories: int | None) -> "ModelChoice":
        """Return the choice with so many categories of each latent, or refuse them.

        Raises
        ------
        ValueError
            If the latents of the model are no vectors of categories.
        """
        if categories is None:
            return self
        check_count("categories", categories, minimum=2)
        if not hasattr(self.kind, "n_categories"):
            expected = f"no value for {self.kind.name}, whose z is no vector of categories"
            raise bad_value("categories", expected, categories, "take categorical-vae")
        return replace(self, categories=categories)

    def build(self, x: np.ndarray, latent: Latent | None) -> Model:
        """Return the model for data x (N, D)."""
        return with_latent_prior(self._built(x, latent), self.latent_prior)

    def _built(self, x: np.ndarray, latent: Latent | None) -> Model:
        layered = self.kind.default_layers is not None
        if isinstance(latent, tuple) and not layered:
            expected = f"one whole number for {self.kind.name}, which has one layer of latents"
            raise bad_value("latent", expected, latent)
        if isinstance(latent, int) and layered:
            latent = (latent,)
        if self.model is not None:
            if latent is not None and latent != self.model.latent_option:
                got = f"{latent} beside a finished model with {self.model.latent_option}"
                raise bad_value("latent", "no value", got)
            own = getattr(self.model, "n_categories", None)
            if self.categories not in (None, own):
                got = f"{self.categories} beside a finished model with {own}"
                raise bad_value("categories", "no value", got)
            return self.model
        further = {} if self.categories is None else {"categories": self.categories}
        with told(f"for_data of {self.kind.__name__}"):
            built = cast(Any, self.kind).for_data(x, variant=self.variant, latent=latent, **further)
        model = _complete_model(built, self.kind)
        if latent is not None and model.latent_option != latent:
            reason = "which has no latents" if model.all_observed else "whose latents follow the data"
            raise bad_value("latent", f"no value for {model.label}, {reason}", latent)
        return model

    def checked_table(self, dataset: Dataset) -> np.ndarray:
        """Return the table (M, C) on which the formulas are checked: of global latents some rows may do."""
        return self.kind.table_of(dataset)[: self.kind.usual_rows]

    @property
    def label(self) -> str:
        """Name and variant, as in 'gaussian-mixture:full'."""
        return f"{self.kind.name}:{self.variant}" if self.variant else self.kind.name


def all_estimators() -> list[Estimator]:
    """Return every estimator object, the package's first."""
    return list(ESTIMATORS.values())


def _hashable(argument: str, item: T) -> T:
    """Return the object, or refuse one that cannot be a key."""
    if type(item).__hash__ is None:
        kind = type(item).__name__
        raise bad_kind(argument, "objects that can be hashed", kind, "use @dataclass(frozen=True)")
    return item


def _defined(argument: str, kind: type[T], base: ABCMeta) -> type[T]:
    """Return a class if it defines every method that its base leaves open, or raise."""
    still_open: frozenset[str] = getattr(kind, "__abstractmethods__", frozenset())
    needed = sorted(still_open | base.__abstractmethods__)
    missing = [name for name in needed if name in still_open or not callable(getattr(kind, name))]
    if missing:
        expected, got = f"a class with all methods of {base.__name__}", f"{kind.__name__} without"
        raise bad_kind(argument, expected, f"{got} {', '.join(missing)}", "docs/write_your_own.md has them")
    return kind


LONGEST_NAME = 60
DECLARED = {
    "unbiased": "its expectation is the target",
    "independent_draws": "it needs independent draws",
    "is_reference": "it is a reference, which no table recommends",
}


def _check_named(argument: str, what: str, item: object, attribute: str = "name") -> None:
    """Refuse a class, or an object, whose name (or target) is no text."""
    text = getattr(item, attribute, None)
    if not isinstance(text, str) or not text.strip():
        kind, remedy = item if isinstance(item, type) else type(item), f"set {attribute} = '...' in the class"
        raise bad_value(argument, f"{what} with a {attribute}", f"{kind.__name__} without one", remedy)
    if not text.isprintable():  # it would move the cursor, or break a line
        raise bad_value(argument, f"{what} with a {attribute} that can be printed", ascii(text))
    if max(map(len, (text, str(getattr(item, "title", ""))))) > LONGEST_NAME:  # no column would hold it
        expected = f"{what} whose {attribute} and title have at most {LONGEST_NAME} characters"
        raise bad_value(argument, expected, short(text), "shorten it")
    title, synonyms = getattr(item, "title", None), getattr(item, "synonyms", None)
    words = (title, *synonyms) if isinstance(synonyms, tuple) else (None,)
    if not all(isinstance(word, str) and word.isprintable() for word in words):
        expected = f"{what} whose title is a text and whose synonyms are a tuple of texts"
        raise bad_kind(argument, expected, short((title, synonyms)))


def is_built_in(estimator: Estimator) -> bool:
    """Tell whether an estimator is of this package, and no user's own."""
    return type(estimator).__module__.startswith("elbo_lab.")


def _complete(estimator: Estimator) -> Estimator:
    """Return the estimator if it says what it is and what it estimates, or raise."""
    for attribute in ("name", "target"):
        _check_named("estimators", "an estimator", estimator, attribute)
    theirs = {Exact.name} | {own.name for own in estimators.ESTIMATORS}
    if not is_built_in(estimator):
        if estimator.name in theirs:
            got = f"{type(estimator).__name__} with that of {estimator.name!r}"
            raise bad_value("estimators", "a name of its own", got, "set name = '...' in the class")
        _check_apart("estimators", estimator, estimators.ESTIMATORS)
    for attribute, meaning in DECLARED.items():
        if not isinstance(getattr(estimator, attribute), bool):
            expected = f"True or False: whether {meaning}"
            raise bad_kind(f"{attribute} of {estimator.name}", expected, short(getattr(estimator, attribute)))
    if estimator.latents not in ("any", *LATENTS):
        raise unknown_name(f"latents of {estimator.name}", estimator.latents, ["any", *LATENTS])
    if not is_known(estimator.target):
        raise unknown_name(f"target of {estimator.name}", estimator.target, TARGETS)
    for attribute, least in (("minimum_draws", 1), ("burn_in", 0)):
        check_count(f"{attribute} of {estimator.name}", getattr(estimator, attribute), minimum=least)
    return estimator


def _own_name(argument: str, item: M) -> M:
    """Return a model, or a class of them, if it has a name that is not another's."""
    _check_named(argument, "a model", item)
    kind = item if isinstance(item, type) else type(item)
    if kind not in models.MODELS:
        if item.name in {model.name for model in models.MODELS}:
            got = f"{kind.__name__} with that of {item.name!r}"
            raise bad_value(argument, "a name of its own", got, "rename yours")
        _check_apart(argument, kind, models.MODELS)
    return item


def _check_apart(argument: str, own: Any, others: Iterable[Any]) -> None:
    """Refuse a user's object of which a word (name, title, synonym) also means another: which is meant?"""
    kind = own if isinstance(own, type) else type(own)
    declared = {"title", "synonyms"} & vars(kind).keys()
    # Words that a class inherits are those of what it varies.
    words = {spelt(word) for word in (words_for(own)[0] if declared else [own.name]) if word}
    for other in others:
        alike = type(other) is type(own) and not isinstance(own, type)
        if other.name == own.name or alike:
            continue  # another target of it, or the same with other numbers
        for word in filter(None, words_for(other)[0]):
            if spelt(word) in words:
                got = f"{word!r} for {own.name!r}, which means {other.name!r}"
                raise bad_value(
                    argument, "names, titles and synonyms of their own", got, f"change {own.name!r}"
                )


def _complete_model(built: Any, kind: type[Model]) -> Model:
    """Return a built model if it has what everything else rests on, or raise."""
    if not isinstance(built, Model):
        raise bad_kind(f"for_data of {kind.__name__}", "a Model", repr(built), "return cls(...)")
    for attribute, wanted in (("family", Family), ("layout", Layout), ("n_columns", int)):
        value = getattr(built, attribute, None)
        if not isinstance(value, wanted):
            expected = f"a {wanted.__name__}"
            raise bad_kind(f"{attribute} of {built.name}", expected, repr(value), f"set {attribute}")
    return built


def _choices(kinds: Iterable[type[Model]]) -> list[ModelChoice]:
    return [ModelChoice(kind, variant) for kind in kinds for variant in kind.variants]


def _as_list(items: Any) -> list[Any]:
    """Return what was asked for as a list; one name, class or object stands for itself."""
    alone = isinstance(items, str | type) or not isinstance(items, Iterable)
    return [items] if alone else list(items)


def find_models(items: Any = None, argument: str = "models") -> list[ModelChoice]:
    """Return the ModelChoice list for names ('ppca', 'gaussian-mixture:full'), classes or objects.

    Parameters
    ----------
    items : str, Model class, Model, or an iterable of them, optional
        Everything if not given.
    argument : str
        The name of the argument in an error.
    """
    if items is None:
        return _choices(MODELS.values())
    chosen: list[ModelChoice] = []
    for item in _as_list(items):
        if isinstance(item, Model):
            _defined(argument, type(item), Model)
            model = _complete_model(_own_name(argument, _hashable(argument, item)), type(item))
            chosen.append(ModelChoice(type(model), model.variant, model))
        elif isinstance(item, type) and issubclass(item, Model):
            chosen += _choices([_own_name(argument, _defined(argument, item, Model))])
        elif isinstance(item, str):
            chosen += _models_called(item, argument)
        else:
            raise bad_kind(argument, "names, Model classes or Model objects", repr(item))
    if not chosen:
        raise bad_value(argument, "at least one model", "none")
    kinds = dict.fromkeys(choice.kind for choice in chosen)
    for kind in (kind for kind in kinds if kind not in models.MODELS):
        _check_apart(argument, kind, kinds)
    return list(dict.fromkeys(chosen))


def find_model(item: str | type[Model] | Model | None, argument: str = "model") -> ModelChoice:
    """Return the choice for a name, a class or a model; among several variants the usual one."""
    if item is None:
        raise bad_value(argument, "a name", "nothing", "see elbo-lab list")
    choices = find_models(item, argument)
    usual = choices[0].kind.usual_variant
    return next((choice for choice in choices if choice.variant == usual), choices[0])


# Bits: every likelihood can have produced them.
SMALL_TABLE: Floats = np.eye(4)[:, :3]


def small_models() -> list[Model]:
    """Return every model, built for `SMALL_TABLE`; without plug-ins that take other data."""
    built = []
    for choice in find_models():
        try:
            built.append(choice.build(SMALL_TABLE, None))
        except Exception:
            if choice.kind in MODELS.built_in.values():
                raise
            continue  # a plug-in that takes other data, or is broken
    return built


def one_model(item: str | type[Model] | Model) -> ModelChoice:
    """Return the choice for a name, a class or a model, and refuse what has several variants."""
    choices = find_models(item, "model")
    if len(choices) > 1:
        names = ", ".join(choice.label for choice in choices)
        raise bad_value("model", "one model", f"{len(choices)} of them", f"choose one of {names}")
    return choices[0]


def _models_called(name: str, argument: str) -> list[ModelChoice]:
    chosen = _called(name, MODELS, _choices, lambda choice: words_for(choice.kind, choice.variant))
    if not chosen and looks_like_a_place(name):
        return find_models(_at_place(name, argument, Model), argument)
    if not chosen:
        every = _choices(MODELS.values())
        names = [choice.kind.name for choice in every] + [choice.label for choice in every]
        raise MODELS.unknown(name, argument, dict.fromkeys(names))
    return chosen


def _called(
    name: str,
    registry: Registry[T],
    items_of: Callable[[Iterable[T]], list[U]],
    words_of: Callable[[U], Words],
) -> list[U]:
    """Return the items of a name; plug-ins are loaded only for a name that is not the package's own."""
    own = called(name, items_of(registry.built_in.values()), words_of)
    return own or called(name, items_of(registry.with_plugins(asked=name).values()), words_of)


def find_estimators(items: Any = None, argument: str = "estimators") -> list[Estimator]:
    """Return estimator objects for names or objects; a name may stand for several targets.

    A name may have arguments, as in 'rebar(temperature=0.3)': the fields of the estimator's dataclass.

    Parameters
    ----------
    items : str, Estimator, Estimator class, or an iterable of them, optional
        Everything if not given.
    argument : str
        The name of the argument in an error.
    """
    if items is None:
        return all_estimators()
    chosen: list[Estimator] = []
    for item in _as_list(items):
        if isinstance(item, type) and issubclass(item, Estimator):
            kind = _defined(argument, item, Estimator)
            with told(f"{kind.__name__}()"):
                item = kind()
        if isinstance(item, Estimator):
            chosen.append(_complete(_hashable(argument, item)))
        elif isinstance(item, str):
            chosen += _estimators_called(item, argument)
        else:
            raise bad_kind(argument, "names or Estimator objects", repr(item))
    if not chosen:
        raise bad_value(argument, "at least one estimator", "none")
    chosen = list(dict.fromkeys(chosen))
    names = [(estimator.target, estimator.name) for estimator in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise bad_value(argument, "different names for one target", f"{twice[1]!r} twice", "rename yours")
    for estimator in chosen:
        if not is_built_in(estimator):
            _check_apart(argument, estimator, chosen)
    return chosen


def _estimators_called(name: str, argument: str) -> list[Estimator]:
    chosen = _called(name, ESTIMATORS, list, ESTIMATORS.words_of)
    if not chosen and looks_like_a_place(name):
        return find_estimators(_at_place(name, argument, Estimator), argument)
    if not chosen and "(" in name:
        # An unknown name is told before what is wrong with its arguments: it may be no call, as 'log p(x)'.
        named = _estimators_called(name.partition("(")[0].strip(), argument)
        arguments = parse_call(name, argument)[1]
        return [_complete(with_arguments(one, arguments, argument)) for one in named]
    if not chosen and "," in name:
        raise bad_value(argument, "a name or a list of names", repr(name), "split it")
    if not chosen:
        known = dict.fromkeys(estimator.name for estimator in all_estimators())
        raise ESTIMATORS.unknown(name, argument, known)
    return chosen


def _at_place(name: str, argument: str, kind: type) -> Any:
    """Return the class or object of a kind at FILE.py:NAME or MODULE:NAME."""
    thing = object_at(argument, name, (kind,))
    if not is_a(thing, (kind,)):
        what = thing.__name__ if isinstance(thing, type) else type(thing).__name__
        raise bad_kind(
            argument, f"a class derived from {kind.__name__}, or an object of one", f"{name}, {what}"
        )
    return thing


_own_titles: ContextVar[Mapping[str, str]] = ContextVar("own_titles", default=MappingProxyType({}))


def titles_of(things: Iterable[Any]) -> dict[str, str]:
    """Return {name: title} of the estimators and models that only the user has, which no registry knows."""
    return {one.name: one.title for one in things if one.title and display_name(one.name) != one.title}


@contextmanager
def own_titles(titles: Mapping[str, str]) -> Iterator[None]:
    """Let `display_name` know titles of a user's own objects, as `titles_of` returns them."""
    token = _own_titles.set(titles)
    try:
        yield
    finally:
        _own_titles.reset(token)


def display_name(name: str) -> str:
    """Return the words for a name in a figure or a sentence: its title, or the name itself without one.

    Titles of a user's own objects are known within `own_titles`.

    Parameters
    ----------
    name : str
        As in a table: 'score-function-loo', 'gaussian-mixture:full', 'digits:binary'. Nothing is loaded for
        one that is not known.

    Examples
    --------
    >>> display_name("score-function-loo"), display_name("gaussian-mixture:full"), display_name("mine")
    ('REINFORCE, leave-one-out', 'mixture of Gaussians (full)', 'mine')
    """
    head, _, difference = name.partition(":")
    own_title = _own_titles.get().get(head)
    if own_title is not None:
        return f"{own_title} ({difference})" if difference else own_title
    registries: tuple[Registry[Any], ...] = (ESTIMATORS, MODELS, DATASETS, FAMILIES)
    for held in registries:
        for thing in held.loaded():
            (own, *_, title), _ = held.words_of(thing)
            if own in (name, head) and title:
                return f"{title} ({difference})" if difference and held is not ESTIMATORS else title
    return name
