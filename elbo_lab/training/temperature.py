"""The temperature of a relaxation as a function of the minibatches seen.

With t the minibatches already seen, and from, to, T the parameters of a schedule:

    linear:from:to:T          from + (to - from) min(1, t / T)
    exponential:from:to:T     from (to / from)^min(1, t / T)

A hot relaxation has gradients of little noise and much bias; a cold one the reverse. So it is cooled during
the training (Jang et al. 2017, section 4, exponentially; Maddison et al. 2017, appendix C).

Helps: the biased `concrete` and `straight-through-gumbel`, early in a training. Fails: as a cure of the bias,
which falls only as far as the temperature, at the price of its noise. `rebar` and `relax` are unbiased at
every temperature: there it only moves the variance.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Self, cast

from elbo_lab.errors import NotApplicable, bad_value, unknown_name
from elbo_lab.estimators import Estimator
from elbo_lab.estimators.discrete.bits import WithTemperature
from elbo_lab.estimators.discrete.rebar_learned import RebarLearned

SCHEDULES = ("linear", "exponential")
EXPECTED = "'linear:FROM:TO:STEPS' or 'exponential:FROM:TO:STEPS', as in 'exponential:1:0.1:2000'"


@dataclass(frozen=True)
class TemperatureSchedule:
    """A temperature that goes from one value to another over some minibatches, and then stays.

    Parameters
    ----------
    kind : {'linear', 'exponential'}
    first, last : float
        Positive.
    steps : int
        T, minibatches.
    """

    kind: str
    first: float
    last: float
    steps: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the schedule of a text, as in 'exponential:1:0.1:2000'.

        Raises
        ------
        ValueError
        """
        kind, *numbers = (part.strip() for part in text.split(":"))
        if kind not in SCHEDULES:
            raise unknown_name("temperature_schedule", kind, SCHEDULES)
        try:
            first, last, steps = float(numbers[0]), float(numbers[1]), int(numbers[2])
        except (ValueError, IndexError):
            raise bad_value("temperature_schedule", EXPECTED, repr(text)) from None
        positive = all(math.isfinite(number) and number > 0 for number in (first, last, steps))
        if len(numbers) != 3 or not positive:
            remedy = "all numbers are positive, and STEPS counts minibatches"
            raise bad_value("temperature_schedule", EXPECTED, repr(text), remedy)
        return cls(kind, first, last, steps)

    def at(self, step: int) -> float:
        """Return the temperature of a minibatch, `step` of them having been seen before."""
        share = min(1.0, step / self.steps)
        if self.kind == "linear":
            return self.first + (self.last - self.first) * share
        return self.first * (self.last / self.first) ** share

    def cooled(self, estimator: Estimator, step: int) -> Estimator:
        """Return the estimator at the temperature of a minibatch.

        Raises
        ------
        NotApplicable
            If it has no temperature, or learns it.
        """
        learned = isinstance(estimator, RebarLearned)
        if learned or not isinstance(estimator, WithTemperature):
            what = "learns its temperature" if learned else "has no temperature"
            raise NotApplicable(
                f"temperature_schedule: {estimator.name} {what}; take concrete, rebar or relax"
            )
        return cast(Estimator, replace(cast(Any, estimator), temperature=self.at(step)))
