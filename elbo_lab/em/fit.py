"""What a fit without an encoder returns."""

from dataclasses import dataclass

import numpy as np

from elbo_lab.errors import bad_value

# The floors of a fit, and what is near them, must stay far from the smallest float.
LEAST_VARIANCE = 1e-280
# Of the mean column variance: what EM keeps as a floor by default.
DEFAULT_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class Fit:
    """A model with its parameters, and an honest word on how they were reached.

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
        What a user has to know before believing the fit; empty when there is nothing.
    at_floor : tuple of int
        Mixture components, or columns of a factor analysis, whose variance stands at the floor.
    floor : float or None
        The floor under the variances (the data's unit squared), where the fit has one.
    """

    model: object
    theta: np.ndarray
    history: list
    converged: bool
    stopped: str
    warnings: tuple = ()
    at_floor: tuple = ()
    floor: float | None = None

    @property
    def log_likelihood(self):
        """log p(x; theta) over all data, in nats."""
        return self.history[-1]["log_likelihood"]


def mean_column_variance(x):
    """Return the mean variance of the columns of x (N, D), or raise if it is lost to underflow."""
    found = float(x.var(axis=0).mean())
    if not found > LEAST_VARIANCE:
        expected = f"columns with a mean variance above {LEAST_VARIANCE:g}"
        raise bad_value("data", expected, f"{found:g}", "change the unit")
    return found
