"""Keys and draws ahead of time are those that a training gets step by step, whoever asks in between."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_compiled_batch import Case

from elbo_lab.training import fresh_bits
from elbo_lab.training.draws import MOST_STEPS, Draws
from elbo_lab.training.keys import Keys

counts = st.integers(1, 3)
# (blocks of the step, steps of so many blocks that are looked at before it)
plans = st.lists(st.tuples(counts, counts, st.integers(0, 4)), max_size=12)


def check_keys(kind, plan):
    plain, other = Keys(np.random.default_rng(1)), kind(np.random.default_rng(1))
    for count, guess, steps in plan:
        if steps:
            other.look_ahead(guess, steps)
        expected, found = plain.take(count), other.take(count)
        if count == 1:
            # One block draws from the generator itself.
            expected, found = ([rng.standard_normal(3, np.float32)] for (rng,) in (expected, found))
        assert np.array_equal(expected, found)
    states = [keys.generator().bit_generator.state for keys in (plain, other)]
    assert states[0] == states[1]


@given(plans)
def test_keys_are_the_same_whoever_looks_ahead(plan):
    check_keys(Keys, plan)


class NeverBack(Keys):
    def generator(self):
        self._seen, self._taken = [], 0
        return self._rng


class AllTheWayBack(Keys):
    def generator(self):
        self._taken = 0
        return super().generator()


@pytest.mark.parametrize("fault", [NeverBack, AllTheWayBack])
def test_a_generator_that_stands_elsewhere_is_caught(fault):
    with pytest.raises(AssertionError):
        check_keys(fault, [(2, 2, 3), (2, 2, 0), (2, 2, 2), (3, 2, 1)])


def check_draws(case, dtype, plan, kind=Draws):
    """Hold draws against those of the objective for steps of (blocks, ) rows; None looks at the generator."""
    objective = case.objective(dtype)
    plain, keys = Keys(np.random.default_rng(1)), Keys(np.random.default_rng(1))
    draws, rng = {}, np.random.default_rng(2)
    for n_blocks in plan:
        if n_blocks is None:
            assert keys.generator().bit_generator.state == plain.generator().bit_generator.state
            continue
        edges = np.linspace(0, 10 * n_blocks, n_blocks + 1).astype(int).tolist()
        order = rng.permutation(objective.n_rows)
        blocks = [order[a:b] for a, b in pairwise(edges)]
        own = draws.setdefault(n_blocks, kind(objective, edges))
        noise, sources = own.next(keys, blocks)
        for block, key, found, source in zip(blocks, plain.take(n_blocks), noise, sources, strict=True):
            x, expected = objective.draw(block, np.random.default_rng(key))
            assert np.array_equal(found, *expected.values())
            assert (source is None) == (not case.dynamic)
            if source is not None:
                bits = source if source.ndim == 2 else fresh_bits.kernel(objective.table, block, source)
                assert np.array_equal(bits, x)


PLAN = [2] * 7 + [1, 2, 2, None, 2, 2, 3, 2, 1, 1, *[3] * 5, None]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "case", [Case(dynamic=False), Case(), Case(columns=15), Case(draws=3, columns=15)], ids=str
)
def test_draws_ahead_are_those_of_the_objective(case, dtype):
    check_draws(case, dtype, PLAN)


class StaleDraws(Draws):
    """Hands out what it has, whoever has taken keys in between."""

    def next(self, keys, blocks):
        if not self._queue:
            return super().next(keys, blocks)
        keys.take(len(blocks))
        return self._queue.popleft()[1]


def test_draws_of_keys_that_another_has_taken_are_caught():
    with pytest.raises(AssertionError):
        check_draws(Case(dynamic=False), np.float64, PLAN, StaleDraws)


def test_no_more_steps_than_the_most_are_drawn_ahead():
    objective = Case(dynamic=False).objective(np.float64)
    draws, keys = Draws(objective, [0, 50, 100]), Keys(np.random.default_rng(0))
    waiting = []
    for _ in range(80):
        draws.next(keys, [np.arange(50), np.arange(50)])
        waiting.append(len(draws._queue))
    assert waiting[0] == 1 and max(waiting) == MOST_STEPS
