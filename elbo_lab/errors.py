"""One clear line for a user's mistake: the argument, what was expected, what was given, and a remedy.

All checks of the package raise these errors, so that the command line can tell a mistake of the user (exit
code 2, one line) from a fault of the program (a traceback).
"""

import difflib
import reprlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from numbers import Integral, Real
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elbo_lab.arrays import Draws

# Squares of data must not overflow.
LARGEST_DATUM = 1e100
# Repeats that no run would finish.
MOST_REPEATS = 10**9
# Steps or moves on one minibatch: more would keep a run from ending, and from being stopped.
MOST_STEPS = 1000
# Layers, units or components in the name of a family: more would not fit into memory, nor end.
MOST_PARTS = 1000
# Of a longer list only the nearest names are told.
SHORT_LIST = 10
NEAREST = 5
# Characters of what was given: enough for a path and a reason, and for a name.
LONGEST_GOT, LONGEST_NAME = 400, 80
# Fewer letters than this begin too many names to tell which one was meant.
SHORT_STEM = 3


class UserMistake(Exception):
    """Base class of errors that the caller can correct; never raised itself."""


class BadValue(UserMistake, ValueError):
    """An argument of the right kind with an impossible value or shape."""


class UnknownName(BadValue, KeyError):
    """A name that is in no registry: an invalid value, and for a mapping a missing key."""

    def __str__(self) -> str:
        return ValueError.__str__(self)  # KeyError would put the sentence in quotes


class BadColumn(BadValue):
    """A column of a table with an impossible value; `named` adds the name of the column where it is known.

    Parameters
    ----------
    argument, expected, got, remedy : str
        As for `bad_value`; `got` ends where the column belongs, as in "0.5 at row 7,".
    column : int
        Its index, from 0.
    """

    def __init__(self, argument: str, expected: str, got: object, column: int, remedy: str = "") -> None:
        self.parts, self.column, self.remedy = (argument, expected, got), column, remedy
        super().__init__(self._message(str(column)))

    def _message(self, column: str) -> str:
        argument, expected, got = self.parts
        return _line(argument, expected, f"{got} column {column}", self.remedy)

    def named(self, name: str) -> BadValue:
        """Return the same mistake with the name of the column."""
        return BadValue(self._message(f"{name!r} (index {self.column})"))


class BadKind(UserMistake, TypeError):
    """An argument of the wrong kind."""


class Reason(Enum):
    """Why a combination of model, q, objective and estimator is empty: the closed list, a line each."""

    NOTHING_HIDDEN = "the model has no latent variable: log p(x) is a sum of known terms"
    FORMULA_ONLY = "theta is a function of the rows by a formula, which no ascent may move"
    NO_THETA = "the model has no parameters theta to differentiate by"
    NO_PHI = "q has no parameters phi to differentiate by"
    SUPPORT = "q and the prior are over different values of z: log p(z) or log q(z) would be -inf"
    NO_PRIOR = "the model is a joint density alone: its prior cannot be sampled, nor its KL taken"
    NO_POSTERIOR = "the posterior has no closed form in this family, so q cannot be set to it"
    ONE_DATUM = "an encoder maps data to q, and the model has one z for all of them"
    NO_PATH = "z jumps as the parameters of q move: no path leads from the noise to z"
    NO_SLOPE = "log p(x, z) has no derivative in z"
    NEEDS_DISCRETE = "the formula is about the separate values of a discrete z"
    NEEDS_BITS = "the formula is about two values, zero and one, of every coordinate of z"
    NEEDS_TWO_LATENTS = "the family moves some coordinates of z given the others, and z has one"
    NEEDS_SYMMETRY = "the formula uses that q has independent coordinates, each symmetric about its location"
    NEEDS_GAUSSIAN_NOISE = "the formula moves one Gaussian number behind each coordinate of z"
    NO_RELAXATION = "log p(x | z) has no formula between the values of a discrete z"
    NEEDS_CLOSED_KL = "KL(q || prior) has no closed form in these two families"
    NEEDS_ENTROPY = "the entropy of q has no formula in this family, and no sum"
    NO_LOG_Q_AT_FOREIGN_Z = "log q is known at draws of q alone, and the formula needs it at another z"
    TOO_MANY_VALUES = "z has more values than a table can hold"
    TOO_MANY_LATENTS = "the integral over z is computed for one or two latents"
    COUPLED_DRAWS = "the formula multiplies draws that must be independent, and these are not"
    NEEDS_NEW_ROWS = "q is a table of the given rows, and the objective draws rows of its own"
    WRONG_TARGET = "the estimator is one of another function than the objective"
    OWN = "a plug-in's own reason, which its message gives"


class NotApplicable(BadValue):
    """A combination that makes no mathematical sense.

    Parameters
    ----------
    text : str
        One sentence that names the parts.
    reason : Reason, optional
        Which of the closed list it is, for a combination of model, q, objective and estimator.
    """

    def __init__(self, text: str, reason: Reason | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class Stopped(Exception):
    """A fit that was stopped before its end; the message says what was saved."""


class Diverged(Exception):
    """A training that reached nan or inf, or fell far below its first value."""


def _line(argument: str, expected: str, got: object, remedy: str) -> str:
    sentence = f"{argument}: expected {expected}, got {one_line(str(got))}"
    return f"{sentence}; {remedy}" if remedy else sentence


def one_line(text: str, most: int = LONGEST_GOT) -> str:
    """Return a text in one line of at most `most` characters, cut in the middle."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most // 2 - 3]} ... {line[-(most // 2 - 3) :]}"


def short(value: object) -> str:
    """Return a value as Python writes it, in one short line."""
    shown = reprlib.Repr()  # does not write out what is cut away
    shown.maxstring = shown.maxother = LONGEST_NAME
    return one_line(shown.repr(value), LONGEST_NAME)


@contextmanager
def columns_by_name(columns: Sequence[str] | None) -> Iterator[None]:
    """Raise a `BadColumn` anew with the column's name in `columns` (a sequence, or None without names)."""
    try:
        yield
    except BadColumn as mistake:
        if columns is None:
            raise
        raise mistake.named(columns[mistake.column]) from None


def bad_value(argument: str, expected: str, got: object, remedy: str = "") -> BadValue:
    """Build the ValueError for one argument; the caller raises it."""
    return BadValue(_line(argument, expected, got, remedy))


def bad_kind(argument: str, expected: str, got: object, remedy: str = "") -> BadKind:
    """Build the TypeError for one argument; the caller raises it."""
    return BadKind(_line(argument, expected, got, remedy))


def unknown_name(
    argument: str,
    name: object,
    known: Collection[str],
    all_names: str = "'elbo-lab list' has all names",
    words: Mapping[str, str] | None = None,
) -> BadValue:
    """Build the error for a name that is not known, with the nearest known names, in any case.

    `all_names` says where the others of a long list are; `words` {word: name} are accepted beside the names.
    """
    words = dict.fromkeys(known, "") | {w: one for w, one in (words or {}).items() if w not in known}
    lowered: dict[str, str] = {}
    for word in words:
        lowered.setdefault(word.lower(), word)
    typed = str(name)[:LONGEST_NAME].lower()
    # A name cut short is often nearer, letter by letter, to a shorter one: "repara" to "arm".
    completions = [one for one in lowered if one.startswith(typed)] if len(typed) >= SHORT_STEM else []
    alike = completions or difflib.get_close_matches(typed, lowered, n=NEAREST)
    meant: dict[str, str] = {}
    for word in (lowered[one] for one in alike):
        meant.setdefault(words[word] or word, f" ({word})" if words[word] else "")
    near = list(meant)[:NEAREST]
    hint = f"did you mean {near[0]!r}{meant[near[0]]}?" if near else ""
    if len(known) <= SHORT_LIST:
        return UnknownName(_line(argument, f"one of {', '.join(known)}", short(name), hint))
    others = f" Or {', '.join(near[1:])}?" if near[1:] else ""
    remedy = f"{hint}{others} {all_names}".strip()
    return UnknownName(_line(argument, "a known name", short(name), remedy))


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a real number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_count(argument: str, value: object, minimum: int = 1, maximum: int | None = None) -> int:
    """Return `value` as an int from `minimum` to `maximum`, or raise."""
    if not is_whole(value):
        raise bad_kind(argument, f"a whole number of at least {minimum}", short(value))
    if value < minimum:
        raise bad_value(argument, f"a whole number of at least {minimum}", value)
    if maximum is not None and value > maximum:
        raise bad_value(argument, f"a whole number of at most {maximum}", value)
    return int(value)


def check_positive(argument: str, value: object) -> float:
    """Return `value` as a float that is finite and above zero, or raise."""
    if not is_number(value):
        raise bad_kind(argument, "a positive number", short(value))
    if not 0 < value < np.inf:
        raise bad_value(argument, "a positive finite number", value)
    return float(value)


def check_share(argument: str, value: object) -> float:
    """Return `value` as a float from 0 to 1, or raise."""
    if not is_number(value):
        raise bad_kind(argument, "a number from 0 to 1", short(value))
    if not 0 <= value <= 1:
        raise bad_value(argument, "a number from 0 to 1", value)
    return float(value)


def check_vector(argument: str, value: ArrayLike, size: int) -> Draws:
    """Return `value` as a float vector (size,), or raise."""
    value = np.asarray(value)
    if value.dtype.kind not in "fiu":
        raise bad_kind(argument, f"a vector of {size} numbers", f"dtype {value.dtype}")
    if value.shape != (size,):
        raise bad_value(argument, f"shape ({size},)", f"shape {value.shape}")
    return value


def check_data(x: ArrayLike, argument: str = "data", n_columns: int | None = None) -> NDArray[np.float64]:
    """Return `x` as a new float64 array (N, D) of finite numbers, or raise."""
    return check_table(x, argument, n_columns).astype(np.float64)


def check_table(x: ArrayLike, argument: str = "data", n_columns: int | None = None) -> Draws:
    """Return `x` as an array (N, D) of finite numbers, its dtype unchanged, or raise."""
    try:
        x = np.asarray(x)
    except ValueError:
        raise bad_value(argument, "a table (N, D) with rows of equal length", "ragged rows") from None
    if x.dtype.kind not in "biuf":
        raise bad_kind(argument, "numbers", f"dtype {x.dtype}", "drop label and text columns")
    if x.ndim != 2:
        raise bad_value(argument, "two axes (N, D)", f"shape {x.shape}", "use x[:, None] for a single column")
    if x.shape[0] == 0 or x.shape[1] == 0:
        raise bad_value(argument, "at least one row and one column", f"shape {x.shape}")
    if n_columns is not None and x.shape[1] != n_columns:
        raise bad_value(argument, f"{n_columns} columns", f"{x.shape[1]} columns")
    # The extremes, found without temporary arrays, suffice for valid tables; nan fails any comparison.
    if -LARGEST_DATUM <= float(x.min()) and float(x.max()) <= LARGEST_DATUM:
        return x
    wrong = np.argwhere(~np.isfinite(x))
    if len(wrong):
        n, d = wrong[0]
        remedy = f"{len(wrong)} such entries (rows count from 0); drop or impute them"
        raise BadColumn(argument, "finite numbers", f"{x[n, d]} at row {n},", int(d), remedy)
    n, d = np.argwhere(np.abs(x) > LARGEST_DATUM)[0]
    got = f"{x[n, d]:g} at row {n},"
    raise BadColumn(
        argument, f"numbers of at most {LARGEST_DATUM:g}", got, int(d), "rows count from 0; change the unit"
    )
