"""The compiled step of a VAE is the step of its definition; what it cannot do stays with the definition."""

import copy
import ctypes
import os
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import njit
from other_process import output_of

from elbo_lab import threads as threads_module
from elbo_lab.estimators import ScoreFunction
from elbo_lab.kernels import elementwise, gemm, use_kernels, vae_step
from elbo_lab.models import DeepBernoulli, DeepGaussianLearned
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.threads import has_numba_threads, numba_threads, thread_pool
from elbo_lab.training import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    ElboObjective,
    Plan,
    RMSprop,
    Training,
    batch,
    compiled_step,
    load_checkpoint,
)
from elbo_lab.training.batch import Move
from elbo_lab.training.compiled_step import CompiledStep, is_compiled

HERE = Path(__file__).parent
NAMES = ("theta", "phi")
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
needs_jit = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="NUMBA_DISABLE_JIT is set")
# Without memory of earlier steps its first slot is the gradient.
FORGETFUL = Adam(beta1=0.0, beta2=0.5)
RATES = {"theta": 0.01, "phi": 0.01}


@dataclass(frozen=True)
class Case:
    """Widths, activation, draws and rows."""

    hidden: tuple = (6,)
    activation: str = "tanh"
    draws: int = 1
    rows: int = 101
    latent: int = 3
    dynamic: bool = True
    columns: int = 14

    def objective(self, dtype):
        rng = np.random.default_rng(0)
        chances = rng.random((self.rows, self.columns))
        x = (rng.random(chances.shape) < chances).astype(np.float64)
        model = DeepBernoulli(self.columns, self.latent, self.hidden, self.activation)
        # Another shape than the decoder's, so that a mix-up shows.
        posterior = AmortisedPosterior.for_data(model.family, x, (*self.hidden, 4), self.activation)
        return ElboObjective(
            model, posterior, x, chances if self.dynamic else None, draws=self.draws, dtype=dtype
        )


CASES = (
    Case(),
    Case(columns=13, latent=5, hidden=(7, 3)),  # the decoder 5-7-3-13, the encoder 13-7-3-4-10
    Case(activation="relu", hidden=(7, 5)),
    Case(activation="softplus", hidden=(5,), draws=3, rows=107),
    Case(hidden=(), draws=3, rows=23),
    Case(hidden=(3, 6, 5), rows=401, latent=1),
    Case(rows=1, dynamic=False),
    Case(rows=49, columns=1, activation="relu"),
    # Blocks of an odd number of bits, which in float32 leave half a word behind.
    Case(rows=110, columns=15),
)
over_cases = pytest.mark.parametrize("case", CASES, ids=str)


def params_of(objective, dtype):
    rng = np.random.default_rng(1)
    sizes = objective.model.layout.size, objective.posterior.layout.size
    return {name: (0.4 * rng.standard_normal(n)).astype(dtype) for name, n in zip(NAMES, sizes, strict=True)}


def ascended(objective, params, names=NAMES, threads=2, optimizer=FORGETFUL, kind=CompiledStep):
    """Return the value of one step over all rows, the parameters after it, the slots, the state of rng."""
    params = {name: vector.copy() for name, vector in params.items()}
    slots = {name: optimizer.initial_state(v.size, v.dtype) for name, v in params.items()}
    moves = {name: Move(params[name], optimizer, slots[name], 1, 0.01) for name in names}
    rows, rng = np.random.default_rng(2).permutation(objective.n_rows), np.random.default_rng(3)
    if kind is None:
        with use_kernels("numpy"), thread_pool(1) as pool:
            value, _ = batch.ascend(objective, rows, params, moves, rng, {}, pool)
    else:
        value = kind(objective, len(rows), threads).ascend(rows, params, moves, rng)
    return value, params, slots, rng.bit_generator.state


def check_step(case, dtype, names=NAMES, optimizer=FORGETFUL, kind=CompiledStep):
    objective = case.objective(dtype)
    params = params_of(objective, dtype)
    value, moved, slots, state = ascended(objective, params, names, optimizer=optimizer, kind=None)
    found_value, found, found_slots, found_state = ascended(
        objective, params, names, optimizer=optimizer, kind=kind
    )
    assert np.isclose(found_value, value, rtol=TOLERANCE[dtype], atol=0.0)
    assert found_state == state
    for name in NAMES:
        assert np.array_equal(found[name], params[name]) == (name not in names)
        for memory, expected in zip(found_slots[name], slots[name], strict=True):
            assert np.abs(memory - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()
        # Where an optimiser divides by the size of a gradient, a gradient near zero loses its digits.
        sizes = np.abs(slots[name][0]) if len(slots[name]) else np.ones(moved[name].size)
        large = sizes > 1e-3 * sizes.max()
        limit = 1e3 * TOLERANCE[dtype] * 0.01
        assert np.allclose(found[name][large], moved[name][large], rtol=0.0, atol=limit)


@needs_jit
@both_dtypes
@over_cases
def test_the_compiled_step_is_that_of_the_definition(case, dtype):
    check_step(case, dtype)


@needs_jit
@both_dtypes
@pytest.mark.parametrize(
    "optimizer", [SGD(), SGD(0.9), Adagrad(), Adam(), RMSprop(), AdamW(decay=0.5)], ids=str
)
def test_the_compiled_step_takes_every_optimiser(optimizer, dtype):
    check_step(CASES[0], dtype, optimizer=optimizer)


@needs_jit
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_named_stands_still(name):
    check_step(CASES[0], np.float64, (name,))


# -- planted faults --------------------------------------------------------------------------------


class OtherNoise(CompiledStep):
    def ascend(self, rows, params, moves, rng):
        rng.random()
        return super().ascend(rows, params, moves, rng)


class OnePercentFaster(CompiledStep):
    def ascend(self, rows, params, moves, rng):
        moves = {name: replace(move, rate=1.01 * move.rate) for name, move in moves.items()}
        return super().ascend(rows, params, moves, rng)


class MixedUpActivations(CompiledStep):
    def __init__(self, *where):
        super().__init__(*where)
        self.networks["phi"] = vae_step.SOFTPLUS, *self.networks["phi"][1:]


class BlocksOverOneAnother(CompiledStep):
    def __init__(self, *where):
        super().__init__(*where)
        self.edges[1] += 1


class RowsOfTheBlockBefore(CompiledStep):
    def ascend(self, rows, params, moves, rng):
        return super().ascend(np.roll(rows, 50), params, moves, rng)


class StaleNumbers(CompiledStep):
    def ascend(self, rows, params, moves, rng):
        moves = {name: replace(move, count=move.count + 1) for name, move in moves.items()}
        return super().ascend(rows, params, moves, rng)


FAULTS = OtherNoise, OnePercentFaster, MixedUpActivations, BlocksOverOneAnother, RowsOfTheBlockBefore
FAULTS += (StaleNumbers,)


@needs_jit
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_in_the_step_is_caught(fault):
    with pytest.raises(AssertionError):
        check_step(CASES[0], np.float64, kind=fault)


@needs_jit
def test_a_generator_that_all_blocks_share_is_caught(monkeypatch):
    right = batch.generators
    monkeypatch.setattr(compiled_step, "generators", lambda rng, count: right(rng, count)[:1] * count)
    with pytest.raises(AssertionError):
        check_step(CASES[0], np.float64)


# -- whole trainings -------------------------------------------------------------------------------


def trained(case, dtype, threads=1, **options):
    training = Training(case.objective(dtype), Plan(rates=RATES, **options), seed=3, threads=threads)
    training.run()
    return training


@needs_jit
@both_dtypes
@pytest.mark.parametrize("phi_steps", [None, 2])
def test_a_whole_training_goes_the_same_way(dtype, phi_steps):
    ends = []
    for road in ("numpy", "numba"):
        with use_kernels(road):
            ends.append(trained(Case(rows=250), dtype, 2, epochs=3, batch=100, phi_steps=phi_steps))
    for name in NAMES:
        one, other = (training.params[name] for training in ends)
        # Adam divides by the root of squared gradients: what is nearly zero there loses digits.
        assert np.abs(one - other).max() <= 100 * TOLERANCE[dtype] * np.abs(one).max()


@needs_jit
@both_dtypes
def test_a_checkpoint_of_the_first_version_is_resumed(dtype):
    """Made with two draws, bits drawn anew, four epochs of 230 rows, saved in step 5 of 12."""
    rng = np.random.default_rng(0)
    chances = rng.random((230, 9))
    x = (rng.random(chances.shape) < chances).astype(np.float64)
    model = DeepBernoulli(9, 2, (5,))
    posterior = AmortisedPosterior.for_data(model.family, x, (4,))
    objective = ElboObjective(model, posterior, x, chances, draws=2, dtype=dtype)
    training = Training(objective, Plan(epochs=4, batch=101, rates=RATES), seed=7)
    header, arrays = load_checkpoint(HERE / "checkpoints_of_old" / f"training_{np.dtype(dtype).name}.npz")
    ends = {name: arrays.pop(f"end.{name}") for name in NAMES}
    history = header.pop("end_history")
    training.restore(header, arrays)
    training.run()
    for name, end in ends.items():
        assert np.abs(training.params[name] - end).max() <= TOLERANCE[dtype] * np.abs(end).max()
    for row, expected in zip(training.history, history, strict=True):
        assert row.pop("phase") == expected.pop("phase")
        assert row == pytest.approx(expected, rel=TOLERANCE[dtype])


@needs_jit
@both_dtypes
@over_cases
def test_any_number_of_threads_gives_the_same_bits(case, dtype):
    objective = case.objective(dtype)
    params = params_of(objective, dtype)
    value, moved, slots, _ = ascended(objective, params, threads=1)
    other_value, other_moved, other_slots, _ = ascended(objective, params, threads=2)
    assert other_value == value
    for name in NAMES:
        assert np.array_equal(other_moved[name], moved[name])
        assert np.array_equal(other_slots[name], slots[name])


FOUR_THREADS = """
import sys
import numba, numpy as np
sys.path.insert(0, {folder!r})
from test_compiled_step import NAMES, Case, trained
case = Case(hidden=(64,), columns=200, rows=201)
ends = [trained(case, np.float32, threads, epochs=5, batch=201).params for threads in (1, 2, 4, 7)]
assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS == 4
print(all(np.array_equal(ends[0][name], end[name]) for end in ends for name in NAMES))
"""


@needs_jit
def test_four_threads_and_more_than_there_are_give_the_same_bits():
    assert output_of(FOUR_THREADS.format(folder=str(HERE)), NUMBA_NUM_THREADS="4") == "True\n"


@needs_jit
def test_a_bound_that_is_lost_moves_nothing():
    objective = CASES[0].objective(np.float32)
    params = params_of(objective, np.float32)
    params["phi"][-3:] = 1e3  # log standard deviations whose exponential is inf
    for kind in (None, CompiledStep):
        value, moved, slots, _ = ascended(objective, params, kind=kind)
        assert not np.isfinite(value)
        for name in NAMES:
            assert np.array_equal(moved[name], params[name]) and not slots[name].any()


@needs_jit
def test_a_training_goes_on_with_more_threads_and_as_a_copy():
    plan = Plan(epochs=4, batch=100, rates=RATES)

    def begun():
        training = Training(Case(rows=250).objective(np.float32), plan, threads=1)
        training.run(lambda now: now.step == 5)
        return training

    straight = Training(Case(rows=250).objective(np.float32), plan)
    straight.run()
    wider, first = begun(), begun()
    wider.threads = 3
    wider.run()
    copied = copy.deepcopy(first)
    for other in (first, copied):
        other.run()
    for name in NAMES:
        for other in (wider, first, copied):
            assert np.array_equal(other.params[name], straight.params[name])


@needs_jit
def test_slots_in_another_order_are_taken_in_by_value():
    ends = []
    for order in "CF":
        training = Training(Case(rows=200).objective(np.float64), Plan(epochs=4, batch=100, rates=RATES))
        training.run(lambda now: now.step == 3)
        header, arrays = training.state()
        arrays = {key: np.array(array, order=order) for key, array in arrays.items()}
        for array in arrays.values():
            array.flags.writeable = False
        training.restore(header, arrays)
        training.run()
        ends.append(training.params)
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in NAMES)


# -- where it serves, and what it compiles ---------------------------------------------------------


class Renamed(ElboObjective):
    """A subclass may change what a block gives."""


@dataclass(frozen=True)
class OwnOptimizer(Adam):
    """A subclass may change how parameters move."""


def test_everything_else_stays_with_the_definition():
    plain = Case().objective(np.float64)
    x, family = plain.x, plain.model.family
    gaussian = DeepGaussianLearned(14, 3, (6,))
    params = params_of(plain, np.float64)
    turned = {name: np.repeat(vector, 2)[::2] for name, vector in params.items()}
    others = {
        "a subclass": (Renamed(plain.model, plain.posterior, x), params, Adam()),
        "another estimator": (replace(plain, phi_estimator=ScoreFunction()), params, Adam()),
        "a free table": (replace(plain, posterior=FreePosterior(family, len(x))), params, Adam()),
        "another likelihood": (replace(plain, model=gaussian, probabilities=None), params, Adam()),
        "another dtype": (plain, {name: v.astype(np.float32) for name, v in params.items()}, Adam()),
        "vectors with gaps": (plain, turned, Adam()),
        "another optimiser": (plain, params, OwnOptimizer()),
    }
    for name, where in others.items():
        assert not is_compiled(*where), name
    with use_kernels("numpy"):
        assert not is_compiled(plain, params, Adam())


@needs_jit
def test_the_compiled_step_is_taken_where_it_fits(monkeypatch):
    for dtype in TOLERANCE:
        objective = Case().objective(dtype)
        with use_kernels("numba"):
            assert is_compiled(objective, params_of(objective, dtype), Adam())
    taken = []
    right = CompiledStep.ascend
    monkeypatch.setattr(CompiledStep, "ascend", lambda *where: taken.append(1) or right(*where))
    training = trained(Case(), np.float32, epochs=3, batch=101)
    assert len(taken) == training.step == 3


@needs_jit
def test_another_depth_width_and_optimiser_compiles_nothing():
    def go(case, optimizer=FORGETFUL):
        objective = case.objective(np.float64)
        ascended(objective, params_of(objective, np.float64), optimizer=optimizer)

    for case in (Case(), Case(rows=401)):  # few blocks and many
        go(case)
    before = len(vae_step.vae_step.signatures)
    for case in CASES:
        go(case)
    for optimizer in (SGD(), SGD(0.9), Adagrad()):
        go(Case(), optimizer)
    locked = Case(dynamic=False).objective(np.float64)
    locked.x.flags.writeable = False
    ascended(replace(locked), params_of(locked, np.float64), ("phi",))
    assert len(vae_step.vae_step.signatures) == before


STEP_IN_A_PROCESS = """
import sys
import numpy as np
sys.path.insert(0, {folder!r})
from test_compiled_step import Case, ascended, params_of
from elbo_lab.kernels.vae_step import vae_step
objective = Case().objective(np.float64)
print(ascended(objective, params_of(objective, np.float64))[0])
print(sum(vae_step.stats.cache_hits.values()), sum(vae_step.stats.cache_misses.values()))
"""


@needs_jit
def test_a_second_process_finds_the_machine_code(tmp_path):
    code = STEP_IN_A_PROCESS.format(folder=str(HERE))
    first, second = (output_of(code, NUMBA_CACHE_DIR=str(tmp_path)).split() for _ in range(2))
    assert first[1:] == ["0", "1"] and second[1:] == ["1", "0"]
    assert first[0] == second[0]


# -- threads ---------------------------------------------------------------------------------------


@needs_jit
def test_two_trainings_side_by_side_wait_for_one_another():
    case = Case(rows=250)
    alone = trained(case, np.float32, 2, epochs=20, batch=100)
    both = []
    runs = [
        threading.Thread(target=lambda: both.append(trained(case, np.float32, 2, epochs=20, batch=100)))
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    for training in both:
        assert all(np.array_equal(training.params[name], alone.params[name]) for name in NAMES)
    assert len(both) == 2


@needs_jit
@pytest.mark.skipif(sys.platform != "linux", reason="threads elsewhere do not bear a fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_process_the_definition_serves():
    objective = CASES[0].objective(np.float64)
    params = params_of(objective, np.float64)
    value = ascended(objective, params)[0]
    assert has_numba_threads()
    child = os.fork()
    if child == 0:
        held = threads_module._parallel_call.locked()
        mine = trained(Case(), np.float64, 2, epochs=2, batch=101)
        right = not (held or has_numba_threads() or mine._compiled)
        os._exit(0 if right and np.isclose(ascended(objective, params, kind=None)[0], value) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_jit
def test_the_threads_of_numba_are_as_before_behind_a_training():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        trained(Case(), np.float32, 2, epochs=2, batch=101)
        assert numba.get_num_threads() == 1
        with numba_threads(10**6):
            assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)


# -- products, slopes, bits ----------------------------------------------------------------------


@njit
def multiply(function, a, b, out):
    gemm.product(function, a, b, out)


@njit
def multiply_transposed(function, a, b, out):
    gemm.product_of_transposed(function, a, b, out)


SHAPES = [(5, 7, 3), (50, 784, 20), (1, 4, 6), (6, 1, 2), (4, 3, 1), (1, 1, 1)]


def check_product(function, dtype, m, k, n):
    rng = np.random.default_rng(m)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    wide = np.full((k, m + 3), np.nan, dtype)
    wide[:, 1 : m + 1] = a.T
    tolerance = 10 * np.finfo(dtype).eps * np.sqrt(k)
    for right in (b, np.asfortranarray(b)):
        for left in (a, np.asfortranarray(a)):
            out = np.full((m, n), np.nan, dtype)
            multiply(function, left, right, out)
            np.testing.assert_allclose(out, a @ b, rtol=tolerance, atol=tolerance)
        out = np.full((m, n), np.nan, dtype)
        multiply_transposed(function, wide[:, 1 : m + 1], right, out)
        np.testing.assert_allclose(out, a @ b, rtol=tolerance, atol=tolerance)


@needs_jit
@both_dtypes
@pytest.mark.parametrize("m, k, n", SHAPES)
@pytest.mark.parametrize("road", ["gemm", "dot"])
def test_a_compiled_product_is_that_of_numpy(dtype, m, k, n, road):
    check_product(gemm.gemm(np.dtype(dtype)) if road == "gemm" else None, dtype, m, k, n)


@needs_jit
@both_dtypes
def test_the_step_is_that_of_the_definition_with_dot_too(dtype, monkeypatch):
    monkeypatch.setattr(gemm, "gemm", lambda _: None)
    for case in CASES[:3]:
        check_step(case, dtype)


@both_dtypes
def test_a_product_is_tried_before_it_is_used(dtype, monkeypatch):
    gemm.gemm.cache_clear()
    monkeypatch.setattr(gemm, "_is_right", lambda *_: False)
    assert gemm.gemm(np.dtype(dtype)) is None and gemm.road(np.dtype(dtype)) == "np.dot"
    gemm.gemm.cache_clear()


@both_dtypes
def test_a_product_of_other_matrices_is_refused(dtype):
    dtype = np.dtype(dtype)
    function = gemm.gemm(dtype)
    if function is None:
        pytest.skip("no BLAS with CBLAS names is loaded")
    assert gemm._is_right(function, dtype)

    def with_sizes_exchanged(order, how_a, how_b, m, n, k, *others):
        function(order, how_a, how_b, m, k, n, *others)

    def that_reads_no_strides(order, how_a, how_b, m, n, k, alpha, a, _, *others):
        function(order, how_a, how_b, m, n, k, alpha, a, 3, *others)

    def that_does_nothing(*_):
        pass

    for fault in (with_sizes_exchanged, that_reads_no_strides, that_does_nothing):
        assert not gemm._is_right(fault, dtype)


def test_a_library_without_products_is_passed_over():
    kind = ctypes.c_int, np.dtype(np.float32)
    assert gemm._function("no-such-library.so", "cblas_{}gemm", *kind) is None
    path = gemm._libraries()[0]
    assert gemm._function(path, "no_such_{}gemm", *kind) is None


@both_dtypes
def test_the_slope_of_softplus_is_that_of_the_definition(dtype):
    a = np.concatenate([[0.0], np.geomspace(1e-30, 1e4, 1001)]).astype(dtype)
    delta = np.full(a.shape, 3.0, dtype)
    elementwise.times_softplus_slope(a, delta)
    assert np.allclose(delta, -3.0 * np.expm1(-a.astype(np.float64)), rtol=8 * np.finfo(dtype).eps, atol=0.0)


@njit
def draw_numbers(rng, uniform, normal):
    for i in range(uniform.size):
        uniform[i] = rng.random(dtype=uniform.dtype.type)
    for i in range(normal.size):
        normal[i] = rng.standard_normal(dtype=normal.dtype.type)


@needs_jit
@both_dtypes
@pytest.mark.parametrize("make", [np.random.default_rng, lambda s: np.random.Generator(np.random.SFC64(s))])
def test_compiled_code_draws_the_bits_of_the_generator(dtype, make):
    one, other = make(5), make(5)
    for count in (3, 100_000):  # an odd number of short ones leaves half a word behind
        uniform, normal = np.empty(count, dtype), np.empty(count, dtype)
        draw_numbers(one, uniform, normal)
        assert np.array_equal(uniform, other.random(count, dtype=dtype))
        assert np.array_equal(normal, other.standard_normal(count, dtype=dtype))
        assert str(one.bit_generator.state) == str(other.bit_generator.state)
