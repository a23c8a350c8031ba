"""A prior over the parameters theta of a model: its density, its slope, and how it is written.

    log p(theta | x) = log p(x | theta) + log p(theta) - log p(x)          the last term does not move theta

MAP takes the theta of the greatest posterior density (Murphy 2012, section 5.2.1). A density depends on the
coordinates in which it is taken, and so does its mode: a density over a variance v and the density of the
same law over log v differ by the factor v, so that their modes are two numbers. Here every density is one
over the natural parameters: weights on the simplex, means, covariances or variances, loadings, weights of a
network; there is no Jacobian in it. The slope is that of the same number with respect to the stored
coordinates (logits, log standard deviations), by the chain rule; ascent in any coordinates then arrives at
the same mode.

A prior is written as text, `name=value` with commas between and `/` between the numbers of a vector; what is
left out takes its default, which may depend on the data:

    default      flat      dirichlet=2,nu=5      strength=4,mean=3.5/70

`spec` is that text with every number in full: read back it is the same prior, to the last bit.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import LARGEST_DATUM, NotApplicable, bad_kind, bad_value, is_number, short, unknown_name
from elbo_lab.models import Model

DEFAULT, FLAT = "default", "flat"
Numbers = dict[str, Any]


class Prior(ABC):
    """Contract of all priors: frozen dataclasses whose fields are numbers and vectors of numbers.

    Attributes
    ----------
    summary : str
        What stands where, in one line.
    """

    summary: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def for_data(cls, model: Model, x: Floats, given: Numbers) -> Self:
        """Return the default prior of a model on data x (N, D), with the numbers in `given` in its place."""

    @classmethod
    def flat_for(cls, model: Model) -> Self:
        """Return the prior of constant density: its MAP is the maximum likelihood.

        Raises
        ------
        NotApplicable
            If this kind has no such limit.
        """
        raise NotApplicable(
            f"prior: a flat prior over the weights of {model.label} has no width; name one, as in sd=10"
        )

    @abstractmethod
    def check_model(self, model: Model) -> None:
        """Raise ValueError if the sizes are not those of the model."""

    @abstractmethod
    def log_prior(self, model: Model, theta: Floats) -> float:
        """Return log p(theta) in nats, over the natural parameters; without its constant where improper."""

    @abstractmethod
    def log_prior_grad(self, model: Model, theta: Floats) -> Floats:
        """Return the gradient (P,) of `log_prior` with respect to the stored theta."""

    def check_mode(self) -> None:  # noqa: B027 - most densities have a mode
        """Raise ValueError if the density has no greatest value, so that there is no MAP."""

    @classmethod
    def mode_has_formula(cls, model: Model) -> bool:  # noqa: ARG003
        """Whether `posterior_mode` has a formula for a model."""
        return False

    def posterior_mode(self, model: Model, x: Floats) -> Floats:  # noqa: ARG002
        """Return the theta of greatest posterior density by its formula, or raise NotApplicable."""
        raise NotApplicable(f"prior: the MAP of {model.label} has no closed form; use method em or gradient")

    @property
    def spec(self) -> str:
        """The prior as text."""
        assert is_dataclass(self), "priors are dataclasses"
        numbers = ((field.name, np.ravel(getattr(self, field.name))) for field in fields(self))
        return ",".join(f"{name}={'/'.join(repr(float(n)) for n in values)}" for name, values in numbers)


def read_numbers(text: str, names: tuple[str, ...]) -> dict[str, list[float]]:
    """Return {name: numbers} of a text such as 'dirichlet=2,mean=3.5/70'.

    Raises
    ------
    ValueError
        In one line, for an unknown or repeated name or for what is no number.
    """
    found: dict[str, list[float]] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            expected = f"'{DEFAULT}', '{FLAT}' or NAME=NUMBER with commas between (names: {', '.join(names)})"
            raise bad_value("prior", expected, short(part))
        if name not in names:
            raise unknown_name("prior", name, names)
        if name in found:
            raise bad_value("prior", f"{name} once", f"{name} twice")
        try:
            found[name] = [float(number) for number in value.split("/")]
        except ValueError:
            raise bad_value("prior", f"numbers for {name}, with / between", short(value)) from None
    return found


def single(name: str, value: object, least: float, open_end: bool = False) -> float:
    """Return one number of at least (or, with an open end, above) `least` as a float, or raise."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if not is_number(value):
        raise bad_kind(f"prior {name}", "a number", short(value))
    words = f"{'above' if open_end else 'of at least'} {least:g}"
    if not math.isfinite(value) or value < least or (open_end and value == least):
        raise bad_value(f"prior {name}", f"a finite number {words}", value)
    # Its square and the inverse of that have to be numbers.
    if value != 0 and not 1.0 / LARGEST_DATUM <= abs(value) <= LARGEST_DATUM:
        expected = f"a size from {1.0 / LARGEST_DATUM:g} to {LARGEST_DATUM:g}"
        raise bad_value(f"prior {name}", expected, value)
    return float(value)


def several(name: str, value: Any, least: float = -math.inf) -> tuple[float, ...]:
    """Return finite numbers of at least `least` as a tuple, from a number or a sequence, or raise."""
    try:
        array = np.ravel(np.asarray(value))
    except ValueError:
        raise bad_kind(f"prior {name}", "numbers", short(value)) from None
    if array.dtype.kind not in "iuf" or not array.size:
        raise bad_kind(f"prior {name}", "numbers", short(value))
    wrong = array[~(np.isfinite(array) & (array >= least))]
    if len(wrong):
        words = "finite numbers" if least == -math.inf else f"finite numbers of at least {least:g}"
        raise bad_value(f"prior {name}", words, wrong[0])
    if np.abs(array).max() > LARGEST_DATUM:
        largest = array[np.argmax(np.abs(array))]
        raise bad_value(f"prior {name}", f"numbers of at most {LARGEST_DATUM:g}", largest, "change the unit")
    return tuple(float(number) for number in array)
