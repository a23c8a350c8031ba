"""Names as people write them: in any case, with hyphens, underscores or spaces, and as other texts have them.

What has a name may also have a `title`, the words of a textbook for figures and sentences, and `synonyms`,
its names elsewhere. Each of the three finds it; the name as it is spelt comes first.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
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

    Parameters
    ----------
    text : str
    things : iterable
        Each with a name.
    """
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
