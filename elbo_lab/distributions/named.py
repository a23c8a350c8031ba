"""A family by its name, with arguments: `laplace`, `low-rank-gaussian(rank=2)`.

The arguments are the fields of the family beside its size, the number of latent dimensions.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from elbo_lab.distributions import FAMILIES, Family
from elbo_lab.errors import BadValue, unknown_name
from elbo_lab.names import Argument, called, names_by_word, parse_call, spell_call


@dataclass(frozen=True)
class FamilyChoice:
    """A family without its size, as a text names it.

    Attributes
    ----------
    kind : type
    arguments : tuple of (str, value)
        Its fields beside the size.
    """

    kind: type[Family]
    arguments: tuple[tuple[str, Argument], ...] = ()

    @property
    def text(self) -> str:
        """The text that `find_family` reads as this choice."""
        return spell_call(self.kind.name, dict(self.arguments))

    def of_size(self, size: int) -> Family:
        """Return the family over K = `size` latent dimensions, or raise ValueError for a wrong argument."""
        return self.kind.of_size(size, **dict(self.arguments))


def find_family(text: str, argument: str, others: Iterable[Any] = ()) -> FamilyChoice:
    """Return the family that a text 'NAME' or 'NAME(field=value)' names.

    Parameters
    ----------
    text : str
    argument : str
        Its name in an error.
    others : iterable, optional
        Things with names that would have been right, too.
    """
    name, arguments = parse_call(text, argument)
    kinds: list[type[Family]] = called(name, FAMILIES)
    if len(kinds) != 1:
        known = [*others, *FAMILIES]
        raise unknown_name(argument, name, [one.name for one in known], words=names_by_word(known))
    return FamilyChoice(kinds[0], tuple(arguments.items()))


def families_on(prior: Family) -> list[str]:
    """Return the names of the families whose z takes the same values as that of a prior, its own first."""
    names = [prior.name]
    for kind in FAMILIES:
        try:
            alike = kind.of_size(prior.size).shares_support(prior)
        except BadValue:  # it has arguments that must be given
            continue
        if alike:
            names.append(kind.name)
    return list(dict.fromkeys(names))


def family_spec(family: Family) -> dict[str, Any]:
    """Return {'family', 'family_fields'} of a family made of numbers, texts and tuples, for a file."""
    values = {field.name: getattr(family, field.name) for field in fields(cast(Any, family)) if field.init}
    return {"family": family.name, "family_fields": values}


def family_of_spec(spec: Mapping[str, Any]) -> Family:
    """Return the family of a `family_spec`, as it was or as JSON gives it back.

    Raises
    ------
    ValueError
        If there is no family of that name.
    """
    kind = find_family(spec["family"], "family").kind
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in spec["family_fields"].items()}
    return cast(Callable[..., Family], kind)(**values)
