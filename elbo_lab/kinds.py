"""The kinds of a function's arguments, checked before its work: what its signature says, in one line.

`checks_kinds` reads the annotations of a public function once, at its first call. Whole numbers, numbers,
texts, paths, functions, sequences and the classes of the package are checked; an annotation with anything
else in it (an array) is left to what reads the argument. Values are checked where they are used.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, wraps
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from elbo_lab.errors import bad_kind, is_number, is_whole, short

P = ParamSpec("P")
R = TypeVar("R")
Check = Callable[[object], bool]
MANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


KINDS: dict[object, tuple[str, Check]] = {
    int: ("a whole number", is_whole),
    float: ("a number", is_number),
    bool: ("True or False", lambda value: isinstance(value, bool)),
    str: ("a text", lambda value: isinstance(value, str)),
    os.PathLike: ("a path", lambda value: isinstance(value, os.PathLike)),
    Callable: ("a function", callable),
    Sequence: ("a sequence", _is_sequence),
    tuple: ("a tuple", lambda value: isinstance(value, tuple)),
    Mapping: ("a mapping", lambda value: isinstance(value, Mapping)),
    np.random.Generator: ("a generator of NumPy", lambda value: isinstance(value, np.random.Generator)),
    type: ("a class", lambda value: isinstance(value, type)),
    NoneType: ("None", lambda value: value is None),
}
"""{what an annotation says: (in words, the check)}, beside the classes of the package."""


def _parts(hint: object) -> list[object]:
    """Return the members of an annotation, generics by their origin."""
    if get_origin(hint) in (Union, UnionType):
        return [part for member in get_args(hint) for part in _parts(member)]
    return [get_origin(hint) or hint]


def _kind(part: object) -> tuple[str, Check] | None:
    """Return the words for a member of an annotation and its check, or None if it is not checked here."""
    if isinstance(part, type) and part.__module__.startswith("elbo_lab."):
        return f"a {part.__name__}", lambda value: isinstance(value, part)
    return KINDS.get(part)


@cache
def kinds_of(function: Callable[..., object]) -> dict[str, list[object]]:
    """Return {argument: the members of its annotation} of a function, where all of them are checked here."""
    named = [one for one in signature(function).parameters.values() if one.kind not in MANY]
    quoted = any(isinstance(one.annotation, str) for one in named)
    hints = get_type_hints(function) if quoted else {one.name: one.annotation for one in named}
    admitted = {name: _parts(hint) for name, hint in hints.items() if hint is not Parameter.empty}
    return {name: parts for name, parts in admitted.items() if all(map(_kind, parts))}


def check_kinds(function: Callable[..., object], arguments: Mapping[str, object]) -> None:
    """Raise TypeError for the first argument of a kind that the function's annotations do not admit."""
    for name, admitted in kinds_of(function).items():
        kinds = [kind for kind in map(_kind, admitted) if kind is not None]
        if name in arguments and not any(check(arguments[name]) for _, check in kinds):
            words = dict.fromkeys(word for word, _ in kinds)
            if os.PathLike in admitted:  # a text is then a path
                words.pop(KINDS[str][0], None)
            raise bad_kind(name, " or ".join(words), short(arguments[name]))


def _meant(function: Callable[..., object], named: Mapping[str, object]) -> str:
    """Return the argument that an unknown one is nearest to, or ''."""
    known = signature(function).parameters
    unknown = next((name for name in named if name not in known), "")
    return next(iter(get_close_matches(unknown, known, n=1)), "")


def checks_kinds(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function: its arguments are of the kinds that its signature says, or TypeError."""

    @wraps(function)
    def checked(*positional: P.args, **named: P.kwargs) -> R:
        try:
            arguments = signature(function).bind(*positional, **named).arguments
        except TypeError as mistake:
            near = _meant(function, named)
            if not near:
                raise
            raise TypeError(f"{function.__name__}() {mistake}; did you mean {near!r}?") from None
        check_kinds(function, arguments)
        return function(*positional, **named)

    return checked
