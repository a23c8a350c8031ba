"""What a fit without an encoder returns."""

from collections.abc import Sequence
from dataclasses import dataclass

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value
from elbo_lab.models import Model
from elbo_lab.models.base import LEAST_VARIANCE

# Of the mean column variance: what EM keeps as a floor by default.
DEFAULT_FLOOR = 1e-6
# So many of a longer list are named in a warning.
MOST_NAMED = 3

# A row of a history: totals over the data in nats beside the number of the iteration.
Row = dict[str, float]


@dataclass(frozen=True, eq=False)
class Fit:
    """A model with its parameters, and the diagnostics of how they were found.

    Attributes
    ----------
    model : Model
    theta : ndarray (P,)
    history : list of dict
        Rows of JSON values; totals over the data in nats. Row 0 is the start (or the formula's answer).
    converged : bool
    stopped : str
        Why the fit ended, in one sentence.
    warnings : tuple of str
        What a user has to know before believing the fit.
    at_floor : tuple of int
        Mixture components, or columns of a factor analysis, whose variance is at the floor.
    floor : float or None
        The floor under the variances (the data's unit squared), where the fit has one.
    """

    model: Model
    theta: Floats
    history: list[Row]
    converged: bool
    stopped: str
    warnings: tuple[str, ...] = ()
    at_floor: tuple[int, ...] = ()
    floor: float | None = None

    @property
    def log_likelihood(self) -> float:
        """log p(x; theta) over all data, in nats."""
        return self.history[-1]["log_likelihood"]

    @property
    def log_posterior(self) -> float | None:
        """log p(x; theta) + log p(theta) in nats, for a fit with a prior."""
        return self.history[-1].get("log_posterior")


def mean_column_variance(x: Floats) -> float:
    """Return the mean variance of the columns of x (N, D), or raise ValueError if it is lost to underflow."""
    variance = float(x.var(axis=0).mean())
    if not variance > LEAST_VARIANCE:
        expected = f"columns with a mean variance above {LEAST_VARIANCE:g}"
        raise bad_value("data", expected, f"{variance:g}", "change the unit")
    return variance


def named(kind: str, items: Sequence[int | str]) -> str:
    """Return the subject and verb of a warning, as in 'components 0, 3 are'; a long list is cut short."""
    shown = items if len(items) <= MOST_NAMED + 1 else items[:MOST_NAMED]
    words = ", ".join(str(i) for i in shown)
    if len(shown) < len(items):
        words += f" and {len(items) - len(shown)} more"
    return f"{kind}s {words} are" if len(items) > 1 else f"{kind} {words} is"
