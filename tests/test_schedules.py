"""Step-size schedules: their values, their texts, and the conditions of Robbins and Monro."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab.errors import UserMistake
from elbo_lab.training.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    RobbinsMonro,
    Schedule,
    parse_schedule,
)

CASES = (Constant(), Cosine(1), Cosine(20000), Exponential(5000.0), Exponential(0.5), RobbinsMonro(1000.0))
every_schedule = pytest.mark.parametrize("schedule", CASES, ids=lambda schedule: schedule.spec)


# -- values --------------------------------------------------------------------------------------


FACTORS = [
    (Constant(), {0: 1, 10**9: 1}),
    (Cosine(12), {0: 1, 2: (2 + 3**0.5) / 4, 4: 0.75, 6: 0.5, 8: 0.25, 10: (2 - 3**0.5) / 4}),
    (Cosine(12), {12: 0, 13: 0, 24: 0, 10**9: 0}),
    (Exponential(10), {0: 1, 5: 0.5**0.5, 10: 0.5, 20: 0.25, 100: 2**-10}),
    (RobbinsMonro(10), {0: 1, 5: 2 / 3, 10: 0.5, 30: 0.25, 990: 0.01}),
]


@pytest.mark.parametrize(("schedule", "values"), FACTORS, ids=str)
def test_a_factor_is_that_of_the_formula(schedule, values):
    for step, value in values.items():
        assert schedule.factor(step) == pytest.approx(value, rel=1e-14, abs=1e-15)


@dataclass(frozen=True)
class WarmUp(Constant):
    """A fault: grows."""

    def factor(self, step):
        return min(1.0, (step + 1) / 10)


@dataclass(frozen=True)
class Restarts(Cosine):
    """A fault: comes back."""

    def factor(self, step):
        return 0.5 * (1 + np.cos(np.pi * step / self.steps))


@dataclass(frozen=True)
class OneBased(RobbinsMonro):
    """A fault: the first step is already shorter."""

    def factor(self, step):
        return super().factor(step + 1)


def check_falls_from_one(schedule):
    """The first step has the full rate, no step has more than the one before it, none is negative."""
    factors = [schedule.factor(step) for step in [*range(300), *range(300, 100_000, 997)]]
    assert factors[0] == 1.0
    assert all(isinstance(factor, float) for factor in factors)
    assert np.diff(factors).max() <= 0 and min(factors) >= 0


@every_schedule
def test_a_schedule_starts_at_the_full_rate_and_only_falls(schedule):
    check_falls_from_one(schedule)


@pytest.mark.parametrize(
    "fault", [WarmUp(), Restarts(40), OneBased(1000)], ids=lambda fault: type(fault).__name__
)
def test_the_check_refuses_a_planted_fault(fault):
    with pytest.raises(AssertionError):
        check_falls_from_one(fault)


def test_only_robbins_monro_walks_any_distance_while_its_noise_dies_out():
    steps = np.arange(1, 60_001)
    doubling = {}
    for schedule in (Constant(), Cosine(1000), Exponential(1000), RobbinsMonro(1000)):
        factors = np.array([schedule.factor(step) for step in steps])
        # What the second half adds to the two sums, beside what the first half gave.
        sums = [np.split(factors**power, 2) for power in (1, 2)]
        doubling[schedule.name] = [late.sum() / early.sum() for early, late in sums]
    assert doubling["constant"] == [1.0, 1.0]
    assert doubling["cosine"] == [0.0, 0.0]
    assert doubling["exponential"] == pytest.approx([2.0**-30, 2.0**-60], rel=1e-9)
    # The integrals of 1 / (1 + t) and 1 / (1 + t)^2 over 30 to 60 delays, beside 0 to 30. The first goes to
    # infinity with the number of delays (next test), the second to one.
    expected = [np.log(61 / 31) / np.log(31), (1 / 31 - 1 / 61) / (1 - 1 / 31)]
    assert doubling["robbins-monro"] == pytest.approx(expected, rel=1e-3)


def test_the_sum_of_robbins_monro_grows_by_log_2_whenever_the_time_doubles():
    schedule = RobbinsMonro(10.0)
    factors = np.cumsum([schedule.factor(step) for step in range(80_000)])
    added = np.diff(factors[[9_999, 19_999, 39_999, 79_999]])
    assert added == pytest.approx(10 * np.log(2) * np.ones(3), rel=1e-3)


@every_schedule
def test_a_resumed_run_sees_the_rates_of_one_that_was_not_interrupted(schedule):
    # The horizon is in the text: nothing but the step decides.
    again = parse_schedule(schedule.spec)
    assert [schedule.factor(step) for step in range(50)] == (
        [schedule.factor(step) for step in range(20)] + [again.factor(step) for step in range(20, 50)]
    )


# -- texts ---------------------------------------------------------------------------------------


TEXTS = [
    ("constant", Constant()),
    ("cosine:20000", Cosine(20000)),
    ("exponential:5000", Exponential(5000.0)),
    ("robbins-monro:1000", RobbinsMonro(1000.0)),
    ("exponential:0.5", Exponential(0.5)),
]


@pytest.mark.parametrize(("text", "schedule"), TEXTS)
def test_a_text_and_its_schedule_are_the_same(text, schedule):
    assert parse_schedule(text) == schedule
    assert schedule.spec == text


@given(number=st.floats(1e-300, 1e300), name=st.sampled_from(["exponential", "robbins-monro"]))
def test_the_text_keeps_every_digit(number, name):
    schedule = SCHEDULES[name](number)
    assert parse_schedule(schedule.spec) == schedule


@given(number=st.integers(1, 10**15))
def test_the_text_keeps_every_whole_number(number):
    assert parse_schedule(f"cosine:{number}") == Cosine(number)
    assert Cosine(number).spec == f"cosine:{number}"


def test_other_ways_to_write_a_number_and_blanks_are_read():
    assert parse_schedule(" cosine : 2e4 ") == Cosine(20000)
    assert parse_schedule("exponential:1e3").spec == "exponential:1000"


def test_every_schedule_is_in_the_registry_with_a_summary():
    assert list(SCHEDULES) == ["constant", "cosine", "exponential", "robbins-monro"]
    for name, kind in SCHEDULES.items():
        assert kind.name == name and kind.summary and issubclass(kind, Schedule)


IMPOSSIBLE_TEXTS = [
    ("cosin:5", "schedule: expected one of constant, .*, got 'cosin'; did you mean 'cosine'"),
    ("", "schedule: expected one of constant, .*, got ''"),
    ("constant:5", "schedule: expected 'constant' without a number, got 'constant:5'"),
    ("cosine", "schedule: expected 'cosine:STEPS' with a positive number of steps, got 'cosine'; the"),
    ("cosine:", "got 'cosine:'"),
    ("cosine:soon", "got 'cosine:soon'"),
    ("cosine:2:3", "got 'cosine:2:3'"),
    ("cosine:2.5", "schedule: expected 'cosine:STEPS' with a whole number of steps, got 'cosine:2.5'"),
    ("exponential:0", "a positive number of steps, got 'exponential:0'"),
    ("exponential:-5", "got 'exponential:-5'"),
    ("robbins-monro:nan", "got 'robbins-monro:nan'"),
    ("robbins-monro:inf", "got 'robbins-monro:inf'"),
]


@pytest.mark.parametrize(("text", "line"), IMPOSSIBLE_TEXTS)
def test_an_impossible_text_is_one_clear_line(text, line):
    with pytest.raises(UserMistake, match=line) as caught:
        parse_schedule(text)
    assert isinstance(caught.value, ValueError) and "\n" not in str(caught.value)


def test_what_is_no_text_is_refused():
    with pytest.raises(TypeError, match="schedule: expected a text such as 'cosine:20000', got 5"):
        parse_schedule(5)


@pytest.mark.parametrize("value", [0, -1])
def test_impossible_horizons_are_refused_where_they_are_built(value):
    for kind in (Cosine, Exponential, RobbinsMonro):
        with pytest.raises(ValueError, match=f"{kind.name}: expected .*got {value}"):
            kind(value)
    with pytest.raises(TypeError, match=r"cosine: expected a whole number .*got 2\.5"):
        Cosine(2.5)
