"""Names as people write them: in any case, with hyphens, underscores or spaces, and as other texts have them.

What has a name may also have a `title`, the words of a textbook for figures and sentences, and `synonyms`,
its names elsewhere. Each of the three finds it; the name as it is spelt comes first.

A name may be followed by arguments, as in Python: `rebar(temperature=0.3)`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from elbo_lab.errors import bad_kind, bad_value, is_number, unknown_name

T = TypeVar("T")
Argument = bool | int | float | str
Words = tuple[tuple[str, ...], str]
"""All words for a thing, its name first, and what tells it from others of that name ('' for most)."""


def spelt(text: str) -> str:
    """Return a name in the spelling of names: small letters, one hyphen for underscores and spaces."""
    return re.sub(r"[\s_-]+", "-", text.strip().lower())


def words_for(thing: Any, difference: str | None = None) -> Words:
    """Return the words for what has a name."""
    return (thing.name, *thing.synonyms, thing.title), difference or ""


def called(text: str, things: Iterable[T], words_of: Callable[[T], Words] = words_for) -> list[T]:
    """Return the things of this name as it is spelt, else those that it means in another spelling or word.

    Parameters
    ----------
    text : str
        A word, or with a colon a word and what tells the thing from others: 'gaussian-mixture:full', 'gmm'.
    things : iterable
    words_of : callable
        Returns the Words for a thing.
    """
    known = [(one, *words_of(one)) for one in things]
    own = [one for one, (name, *_), difference in known if text in (name, f"{name}:{difference}")]
    head, colon, tail = spelt(text).partition(":")
    return own or [
        one
        for one, words, difference in known
        if head in map(spelt, filter(None, words)) and (not colon or tail == spelt(difference))
    ]


def name_meant(text: str, things: Iterable[Any]) -> str:
    """Return the name that a text means, what follows a colon kept; the text itself if it means no single.

    A text with arguments is returned as `spell_call` writes it, so that two spellings are one setting.

    Parameters
    ----------
    text : str
    things : iterable
        Each with a name.
    """
    if CALL.fullmatch(text) and text.rstrip().endswith(")"):
        name, arguments = parse_call(text, "name")
        return spell_call(spelt(name), arguments)
    head, colon, difference = text.partition(":")
    own = {one.name for one in things}
    names = {text} if text in own else {one.name for one in called(head, things)}
    return f"{names.pop()}{colon}{difference}" if len(names) == 1 else text


def names_by_word(things: Iterable[T], words_of: Callable[[T], Words] = words_for) -> dict[str, str]:
    """Return {word: name} for every word that is accepted, the names themselves among them."""
    words = [words_of(one)[0] for one in things]
    return {word: all_words[0] for all_words in words for word in reversed(all_words) if word}


def drop_inherited_words(kind: type) -> None:
    """Take title and synonyms of its parent from a class that has a name of its own."""
    for attribute, none in (("title", ""), ("synonyms", ())):
        if "name" in vars(kind) and attribute not in vars(kind):
            setattr(kind, attribute, none)


# -- names with arguments ----------------------------------------------------------------------------

CALL = re.compile(r"\s*(?P<name>[^(),=]*?)\s*(?:\((?P<arguments>[^()]*)\)\s*)?")
KEY = re.compile(r"[^\W\d][\w-]*")
BOOLEANS = {"true": True, "false": False}


def parse_call(text: str, argument: str) -> tuple[str, dict[str, Argument]]:
    """Return a name and its arguments, from 'name' or 'name(key=value, key=value)'.

    Parameters
    ----------
    text : str
    argument : str
        What is called so in an error.

    Returns
    -------
    name : str
        As it is written.
    arguments : dict
        Keys with underscores for hyphens; values are whole numbers, numbers, True or False, else text.

    Raises
    ------
    ValueError
        If the text is written otherwise, or a key comes twice.

    Examples
    --------
    >>> parse_call("rebar(temperature=0.3)", "estimator")
    ('rebar', {'temperature': 0.3})
    """
    found = CALL.fullmatch(text)
    if found is None or not found["name"]:
        raise bad_value(argument, "a name, or 'name(key=value, key=value)'", repr(text))
    arguments: dict[str, Argument] = {}
    for part in filter(None, map(str.strip, (found["arguments"] or "").split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and value and KEY.fullmatch(key)):
            raise bad_value(argument, f"key=value within the parentheses of {found['name']!r}", repr(part))
        key = key.replace("-", "_")
        if key in arguments:
            raise bad_value(argument, f"each argument of {found['name']!r} once", f"{key!r} twice")
        arguments[key] = _value_of(value)
    return found["name"], arguments


def _value_of(text: str) -> Argument:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return BOOLEANS.get(text.lower(), text)


def spell_call(name: str, arguments: dict[str, Argument]) -> str:
    """Return the text from which `parse_call` reads this name and these arguments.

    Examples
    --------
    >>> spell_call("coupling-flow", {"layers": 4})
    'coupling-flow(layers=4)'
    """
    given = ", ".join(f"{key}={value}" for key, value in arguments.items())
    return f"{name}({given})" if given else name


def arguments_of(thing: Any) -> dict[str, Argument]:
    """Return {name: value} of what may stand in the parentheses.

    The plain fields of a dataclass, and those of a dataclass that it holds, such as the bound of a gradient.
    """
    found: dict[str, Argument] = {}
    for name, value in _fields_of(thing).items():
        found |= {name: value} if isinstance(value, Argument) else arguments_of(value)
    return found


def _fields_of(thing: Any) -> dict[str, Any]:
    if isinstance(thing, type) or not is_dataclass(thing):
        return {}
    return {field.name: getattr(thing, field.name) for field in fields(thing) if field.init}


def _replaced(thing: Any, arguments: Mapping[str, Argument]) -> Any:
    """Return a copy of a dataclass, in which what it holds has its own arguments replaced."""
    changes: dict[str, Any] = {}
    for name, value in _fields_of(thing).items():
        if name in arguments:
            changes[name] = arguments[name]
        elif not isinstance(value, Argument) and (own := arguments_of(value).keys() & arguments.keys()):
            changes[name] = _replaced(value, {key: arguments[key] for key in own})
    return replace(thing, **changes)


def with_arguments(thing: T, arguments: Mapping[str, Argument], argument: str) -> T:
    """Return a copy of what has a name, its fields replaced by arguments.

    Parameters
    ----------
    thing : object
        With a name and, if it takes arguments, a dataclass.
    arguments : dict
        As from `parse_call`.
    argument : str
        What is called so in an error.

    Raises
    ------
    ValueError
        If there is no such argument (with the nearest), or the value is impossible.
    TypeError
        If the value is of another kind than the one it replaces.
    """
    known, name = arguments_of(thing), getattr(thing, "name", type(thing).__name__)
    for key, value in arguments.items():
        if not known:
            raise bad_value(argument, f"no arguments of {name!r}, which takes none", repr(key))
        if key not in known:
            raise unknown_name(f"argument of {name!r}", key, list(known))
        expected = _kind_missed(known[key], value)
        if expected:
            raise bad_kind(f"{key} of {name!r}", expected, repr(value))
    # A class of a user's that is no dataclass has no arguments, and is returned as it is.
    found: T = _replaced(thing, arguments) if arguments else thing
    return found


def _kind_missed(usual: Argument, value: Argument) -> str:
    """Return the kind that a value should have been, of that of the usual one, or ''."""
    if isinstance(usual, bool):
        return "" if isinstance(value, bool) else "True or False"
    if isinstance(usual, str):
        return "" if isinstance(value, str) else "a word"
    # Whether it may be a fraction the object itself knows: a usual value of 0 may stand for any number.
    return "" if is_number(value) else "a number"


def split_list(text: str) -> list[str]:
    """Return the parts of a list with commas; a comma within parentheses separates arguments, not parts.

    Examples
    --------
    >>> split_list("reparameterization, rebar(temperature=0.3)")
    ['reparameterization', 'rebar(temperature=0.3)']
    """
    return [part.strip() for part in re.split(r",(?![^(]*\))", text)]
