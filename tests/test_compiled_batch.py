"""The compiled step of a VAE is the step of its definition; what it cannot do stays with the definition."""

import copy
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from numba import njit

from elbo_lab.crew import Crew
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.estimators import ScoreFunction
from elbo_lab.kernels import elementwise, use_kernels
from elbo_lab.kernels.bernoulli_vae import bernoulli_vae
from elbo_lab.kernels.mlp import weight_gradient
from elbo_lab.kernels.products import address_of_matmul, product
from elbo_lab.kernels.vae_step import take_part
from elbo_lab.models import DeepBernoulli, DeepGaussianLearned
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.training import batch as batch_module
from elbo_lab.training import compiled_batch, compiled_step, fresh_bits
from elbo_lab.training.adam import Adam
from elbo_lab.training.batch import Batch, Move
from elbo_lab.training.compiled_batch import CompiledBatch
from elbo_lab.training.compiled_step import CompiledStep
from elbo_lab.training.keys import Keys
from elbo_lab.training.objectives import ElboObjective
from elbo_lab.training.optimizers import SGD
from elbo_lab.training.plan import Plan
from elbo_lab.training.tapes import Tape, row_edges
from elbo_lab.training.trainer import Training

NAMES = ("theta", "phi")
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
needs_jit = pytest.mark.skipif(not hasattr(bernoulli_vae, "signatures"), reason="NUMBA_DISABLE_JIT is set")


@dataclass(frozen=True)
class Case:
    """Widths, activation, draws and rows."""

    hidden: tuple = (6,)
    activation: str = "tanh"
    draws: int = 1
    rows: int = 100
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
    Case(activation="relu", hidden=(7, 5)),
    Case(activation="softplus", hidden=(5,), draws=2, rows=107),
    Case(hidden=(), draws=3, rows=23),
    Case(hidden=(3, 6, 5), rows=230, latent=1),
    Case(rows=1, dynamic=False),
    # Blocks of an odd number of bits, which in float32 leave half a word behind.
    Case(rows=110, columns=15),
)
over_cases = pytest.mark.parametrize("case", CASES, ids=str)


def params_of(objective, dtype):
    rng = np.random.default_rng(1)
    sizes = objective.model.layout.size, objective.posterior.layout.size
    return {name: (0.4 * rng.standard_normal(n)).astype(dtype) for name, n in zip(NAMES, sizes, strict=True)}


def run(kind, objective, params):
    """Return the values of the blocks and the gradients of a step over all rows."""
    batch = kind(objective, np.random.default_rng(2).permutation(objective.n_rows), NAMES, params, {})
    values = [batch.work(i, np.random.default_rng(i), {})[0] for i in range(len(batch.blocks))]
    gradients = {}
    for name, vector in params.items():
        parts = batch.parts(name)
        assert np.array_equal(
            np.concatenate([np.arange(vector.size)[part] for part in parts]), np.arange(vector.size)
        )
        found = [batch.pieces(name, part) for part in parts]
        sums = [sum(s * g for g, s in zip(pieces, shares, strict=True)) for pieces, shares in found]
        gradients[name] = np.concatenate(sums)
    return np.array(values), gradients


def check_step(kind, case, dtype):
    objective = case.objective(dtype)
    params = params_of(objective, dtype)
    with use_kernels("numpy"):
        values, gradients = run(Batch, objective, params)
    found_values, found = run(kind, objective, params)
    assert np.allclose(found_values, values, rtol=TOLERANCE[dtype], atol=0.0)
    for name, gradient in gradients.items():
        assert found[name].dtype == dtype
        assert np.abs(found[name] - gradient).max() <= TOLERANCE[dtype] * np.abs(gradient).max()


@needs_jit
@both_dtypes
@over_cases
@pytest.mark.parametrize("most", [1 << 18, 17])
def test_the_compiled_step_is_that_of_the_definition(case, dtype, most, monkeypatch):
    monkeypatch.setattr(batch_module, "SLICE", most)
    check_step(CompiledBatch, case, dtype)


class OtherNoise(CompiledBatch):
    def work(self, number, rng, memory):  # noqa: ARG002
        return super().work(number, np.random.default_rng(number + 10), memory)


class OnePercentMore(CompiledBatch):
    def pieces(self, name, part):
        pieces, _ = super().pieces(name, part)
        return pieces, [1.01]


class MixedUpActivations(CompiledBatch):
    def __init__(self, *where):
        super().__init__(*where)
        self.tapes["phi"].network = replace(self.tapes["phi"].network, activation="softplus")


@needs_jit
@pytest.mark.parametrize("fault", [OtherNoise, OnePercentMore, MixedUpActivations])
def test_a_planted_fault_in_the_step_is_caught(fault):
    with pytest.raises(AssertionError):
        check_step(fault, CASES[0], np.float64)


@needs_jit
@both_dtypes
@pytest.mark.parametrize("phi_steps", [None, 2])
def test_a_whole_training_goes_the_same_way(dtype, phi_steps):
    ends = []
    for road in ("numpy", "numba"):
        with use_kernels(road):
            plan = Plan(epochs=3, batch=100, phi_steps=phi_steps, rates={"theta": 0.01, "phi": 0.01})
            training = Training(Case(rows=250).objective(dtype), plan, seed=3, threads=2)
            training.run()
        ends.append(training)
    for name in NAMES:
        one, other = (training.params[name] for training in ends)
        # Adam divides by the root of squared gradients: what is nearly zero there loses digits.
        assert np.abs(one - other).max() <= 100 * TOLERANCE[dtype] * np.abs(one).max()


# -- the step of a whole crew under Adam -------------------------------------------------------------


# Without memory of earlier steps its first slot is the gradient.
FORGETFUL = Adam(beta1=0.0, beta2=0.5)


def ascended(kind, objective, params, names=NAMES, size=1, optimizer=FORGETFUL):
    """Return the value of one step over all rows, the parameters after it, and the slots."""
    params = {name: vector.copy() for name, vector in params.items()}
    slots = {name: np.zeros((optimizer.n_slots, v.size), v.dtype) for name, v in params.items()}
    moves = {name: Move(params[name], optimizer, slots[name], 1, 0.01) for name in names}
    rows = np.random.default_rng(2).permutation(objective.n_rows)
    step = kind(objective, rows, names, params, {})
    with Crew(size) as crew:
        step.ascend(crew, Keys(np.random.default_rng(3)), {}, moves)
    return step.value, params, slots


def check_ascent(case, dtype, names=NAMES, size=2):
    objective = case.objective(dtype)
    params = params_of(objective, dtype)
    with use_kernels("numpy"):
        value, moved, slots = ascended(Batch, objective, params, names)
    found_value, found, found_slots = ascended(CompiledBatch, objective, params, names, size)
    assert np.isclose(found_value, value, rtol=TOLERANCE[dtype], atol=0.0)
    for name in NAMES:
        assert np.array_equal(found[name], params[name]) == (name not in names)
        gradient, found_gradient = slots[name][0], found_slots[name][0]
        assert np.abs(found_gradient - gradient).max() <= TOLERANCE[dtype] * np.abs(gradient).max()
        large = np.abs(gradient) > 1e-3 * np.abs(gradient).max()
        assert np.allclose(
            found[name][large], moved[name][large], rtol=0.0, atol=1e3 * TOLERANCE[dtype] * 0.01
        )


@needs_jit
@both_dtypes
@over_cases
@pytest.mark.parametrize("tile", [1 << 16, 17])
def test_a_step_under_adam_is_that_of_the_definition(case, dtype, tile, monkeypatch):
    monkeypatch.setattr(compiled_step, "TILE", tile)
    check_ascent(case, dtype)


@needs_jit
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_named_stands_still(name):
    check_ascent(CASES[0], np.float64, (name,))


@needs_jit
@both_dtypes
@over_cases
def test_any_size_of_the_crew_gives_the_same_bits(case, dtype, monkeypatch):
    monkeypatch.setattr(compiled_step, "TILE", 40)
    objective = case.objective(dtype)
    params = params_of(objective, dtype)
    value, moved, slots = ascended(CompiledBatch, objective, params)
    for size in (2, 3):
        other_value, other_moved, other_slots = ascended(CompiledBatch, objective, params, size=size)
        assert other_value == value
        for name in NAMES:
            assert np.array_equal(other_moved[name], moved[name])
            assert np.array_equal(other_slots[name], slots[name])


def noise_of_the_other_block(right):
    def prepare(self, blocks, drawn, moves):
        noise, sources = drawn
        right(self, blocks, (noise[::-1], sources), moves)

    return prepare


def bits_of_the_other_block(right):
    def prepare(self, blocks, drawn, moves):
        noise, sources = drawn
        right(self, blocks, (noise, sources[::-1]), moves)

    return prepare


def one_percent_faster(right):
    def prepare(self, blocks, drawn, moves):
        right(
            self, blocks, drawn, {name: replace(move, rate=1.01 * move.rate) for name, move in moves.items()}
        )

    return prepare


def blocks_over_one_another(right):
    def prepare(self, blocks, drawn, moves):
        right(self, blocks, drawn, moves)
        self.edges[1:] = self.edges[1]

    return prepare


def rows_of_the_block_before(right):
    def prepare(self, blocks, drawn, moves):
        right(self, blocks[::-1], drawn, moves)

    return prepare


@needs_jit
@pytest.mark.parametrize(
    "fault",
    [
        noise_of_the_other_block,
        bits_of_the_other_block,
        one_percent_faster,
        blocks_over_one_another,
        rows_of_the_block_before,
    ],
)
def test_a_planted_fault_in_a_step_under_adam_is_caught(fault, monkeypatch):
    monkeypatch.setattr(CompiledStep, "prepare", fault(CompiledStep.prepare))
    with pytest.raises(AssertionError):
        check_ascent(CASES[0], np.float64)


@needs_jit
def test_a_bound_that_is_lost_moves_nothing():
    objective = CASES[0].objective(np.float32)
    params = params_of(objective, np.float32)
    params["phi"][-3:] = 1e3  # log standard deviations whose exponential is inf
    for kind in (Batch, CompiledBatch):
        value, moved, slots = ascended(kind, objective, params, size=2)
        assert not np.isfinite(value)
        for name in NAMES:
            assert np.array_equal(moved[name], params[name]) and not slots[name].any()


@needs_jit
def test_another_optimiser_gets_the_gradient_in_parts():
    objective = CASES[0].objective(np.float64)
    params = params_of(objective, np.float64)
    with use_kernels("numpy"):
        _, moved, _ = ascended(Batch, objective, params, optimizer=SGD())
    _, found, _ = ascended(CompiledBatch, objective, params, size=2, optimizer=SGD())
    for name in NAMES:
        assert np.allclose(found[name], moved[name], rtol=0.0, atol=1e-12)


@needs_jit
@pytest.mark.parametrize("changed", ["nothing", "params", "slots", "size", "objective"])
def test_a_step_is_kept_for_its_arrays_its_crew_and_its_objective(changed):
    objective = CASES[0].objective(np.float64)
    params = params_of(objective, np.float64)
    slots = {name: np.zeros((2, vector.size)) for name, vector in params.items()}
    workspace, steps = {}, []
    for size in (1, 2 if changed == "size" else 1):
        if steps and changed == "params":
            params = params | {"phi": params["phi"].copy()}
        if steps and changed == "slots":
            slots = slots | {"phi": slots["phi"].copy()}
        if steps and changed == "objective":
            objective = replace(objective, draws=7)
        moves = {name: Move(params[name], FORGETFUL, slots[name], 1, 0.01) for name in NAMES}
        step = CompiledBatch(objective, np.arange(100), NAMES, params, workspace)
        with Crew(size) as crew:
            step.ascend(crew, Keys(np.random.default_rng(0)), {}, moves)
        steps.append(workspace[step.kind])
    assert (steps[0] is steps[1]) == (changed == "nothing")


@needs_jit
def test_bits_are_drawn_in_compiled_code_where_words_are_whole():
    for case, dtype, there in ((CASES[0], np.float32, True), (CASES[-1], np.float32, False)):
        objective, workspace = case.objective(dtype), {}
        params = params_of(objective, dtype)
        moves = {n: Move(v, FORGETFUL, np.zeros((2, v.size), dtype), 1, 0.01) for n, v in params.items()}
        step = CompiledBatch(objective, np.arange(case.rows), NAMES, params, workspace)
        with Crew(1) as crew:
            step.ascend(crew, Keys(np.random.default_rng(0)), {}, moves)
        assert (workspace[step.kind].drawn_there == there).all()


@needs_jit
def test_members_do_not_write_over_one_another():
    case = Case(hidden=(64,), columns=200, rows=150)
    plan = Plan(epochs=30, batch=150, rates={"theta": 0.01, "phi": 0.01})
    ends = []
    for threads in (1, 3):
        training = Training(case.objective(np.float32), plan, threads=threads)
        training.run()
        ends.append(training.params)
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in NAMES)


@needs_jit
def test_a_training_goes_on_with_more_threads_and_as_a_copy():
    plan = Plan(epochs=4, batch=100, rates={"theta": 0.01, "phi": 0.01})

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
    plan = Plan(epochs=4, batch=100, rates={"theta": 0.01, "phi": 0.01})
    ends = []
    for order in "CF":
        training = Training(Case(rows=200).objective(np.float64), plan)
        training.run(lambda now: now.step == 3)
        header, arrays = training.state()
        arrays = {key: np.array(array, order=order) for key, array in arrays.items()}
        for array in arrays.values():
            array.flags.writeable = False
        training.restore(header, arrays)
        training.run()
        ends.append(training.params)
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in NAMES)


@needs_jit
def test_data_that_are_read_only_compile_nothing():
    objective = Case(dynamic=False).objective(np.float64)
    params = params_of(objective, np.float64)
    expected = ascended(CompiledBatch, objective, params)[0]
    before = len(take_part.signatures)
    objective.x.flags.writeable = False
    locked = replace(objective)
    assert ascended(CompiledBatch, locked, params)[0] == expected
    assert len(take_part.signatures) == before


class Renamed(ElboObjective):
    """A subclass may change what a block gives."""


def test_everything_else_stays_with_the_definition():
    plain = Case().objective(np.float64)
    x, family = plain.x, plain.model.family
    gaussian = DeepGaussianLearned(14, 3, (6,))
    params = params_of(plain, np.float64)
    turned = {name: np.repeat(vector, 2)[::2] for name, vector in params.items()}
    others = {
        "a subclass": (Renamed(plain.model, plain.posterior, x), params),
        "another estimator": (replace(plain, phi_estimator=ScoreFunction()), params),
        "a free table": (replace(plain, posterior=FreePosterior(family, len(x))), params),
        "another likelihood": (replace(plain, model=gaussian, probabilities=None), params),
        "another dtype": (plain, {name: v.astype(np.float32) for name, v in params.items()}),
        "vectors with gaps": (plain, turned),
    }
    for name, (objective, where) in others.items():
        assert type(objective.batch(np.arange(100), NAMES, where, {})) is Batch, name
    with use_kernels("numpy"):
        assert type(plain.batch(np.arange(100), NAMES, params, {})) is Batch


@needs_jit
def test_the_compiled_step_is_taken_where_it_fits():
    for dtype in TOLERANCE:
        objective = Case().objective(dtype)
        assert isinstance(objective.model.family, DiagonalGaussian)
        with use_kernels("numba"):
            batch = objective.batch(np.arange(100), NAMES, params_of(objective, dtype), {})
        assert type(batch) is CompiledBatch


@needs_jit
def test_another_depth_and_width_compiles_nothing():
    kernels = bernoulli_vae, weight_gradient, take_part

    def go(case):
        objective = case.objective(np.float64)
        params = params_of(objective, np.float64)
        run(CompiledBatch, objective, params)
        ascended(CompiledBatch, objective, params)

    for case in CASES[:2]:
        go(case)
    before = [len(kernel.signatures) for kernel in kernels]
    for case in CASES[2:]:
        go(case)
    assert [len(kernel.signatures) for kernel in kernels] == before


def test_overflow_shows_in_the_value():
    objective = Case().objective(np.float32)
    params = params_of(objective, np.float32)
    params["phi"][-3:] = 1e3  # log standard deviations whose exponential is inf
    batch = objective.batch(np.arange(100), NAMES, params, {})
    with np.errstate(all="ignore"):
        assert not np.isfinite(batch.work(0, np.random.default_rng(0), {})[0])


@pytest.mark.parametrize("sizes", [(3, 2), (14, 6, 4, 5), (784, 500, 40)])
@pytest.mark.parametrize("most", [5, 1 << 18])
def test_parts_are_cut_between_rows_of_weights(sizes, most):
    edges = row_edges(sizes, most).tolist()
    starts, begin = {0}, 0
    for narrow, wide in pairwise(sizes):
        starts |= {begin + row * wide for row in range(narrow + 2)}
        begin += (narrow + 1) * wide
    assert (edges[0], edges[-1]) == (0, begin)
    assert all(a < b for a, b in pairwise(edges)) and set(edges) <= starts
    # No part is larger than asked for by more than a row.
    assert max(b - a for a, b in pairwise(edges)) <= most + max(sizes)


# -- products, slopes, bits ----------------------------------------------------------------------


@njit
def multiply(matmul, a, b, out):
    product(matmul, a, b, out)


@needs_jit
@both_dtypes
@pytest.mark.parametrize("m, k, n", [(5, 7, 3), (50, 784, 20), (1, 4, 6), (6, 1, 2), (1, 1, 1)])
def test_a_compiled_product_has_the_bits_of_matmul(dtype, m, k, n):
    rng = np.random.default_rng(m)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    address = address_of_matmul(np.dtype(dtype))
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            out = np.full((m, n), np.nan, dtype)
            multiply(address, left, right, out)
            assert np.array_equal(out, left @ right)


def test_no_loop_is_found_for_what_numpy_has_none_for():
    assert address_of_matmul(np.dtype("datetime64[s]")) == 0


@pytest.mark.parametrize("other", [np.add, np.exp, np.divmod], ids=lambda ufunc: ufunc.__name__)
def test_no_loop_is_taken_from_what_is_not_matmul(other, monkeypatch):
    monkeypatch.setattr(np, "matmul", other)
    assert address_of_matmul.__wrapped__(np.dtype(np.float64)) == 0


def test_without_the_loop_the_step_is_that_of_the_definition(monkeypatch):
    objective = Case().objective(np.float64)
    monkeypatch.setattr(compiled_batch, "address_of_matmul", lambda _: 0)
    batch = objective.batch(np.arange(100), NAMES, params_of(objective, np.float64), {})
    assert type(batch) is Batch


@both_dtypes
def test_the_slope_of_softplus_is_that_of_the_definition(dtype):
    a = np.concatenate([[0.0], np.geomspace(1e-30, 1e4, 1001)]).astype(dtype)
    delta = np.full(a.shape, 3.0, dtype)
    elementwise.times_softplus_slope(a, delta)
    assert np.allclose(delta, -3.0 * np.expm1(-a.astype(np.float64)), rtol=8 * np.finfo(dtype).eps, atol=0.0)


def test_a_tape_keeps_the_dtype_of_its_batch():
    tape = Tape(DeepBernoulli(4, 2, (3,)).decoder, 5, np.dtype(np.float32))
    assert (tape.inputs.shape, tape.layers.shape, tape.layers.dtype) == ((5, 2), (2, 35), np.float32)


@both_dtypes
@pytest.mark.parametrize("n_rows, n_columns", [(1, 2), (7, 14), (50, 13), (3, 5)])
def test_fresh_bits_are_the_same_bits_on_both_roads(dtype, n_rows, n_columns):
    table = np.random.default_rng(0).random((60, n_columns)).astype(dtype)
    table[0], table[1] = 0.0, 1.0
    rows = np.random.default_rng(1).permutation(60)[:n_rows]
    one, other = np.random.default_rng(2), np.random.default_rng(2)
    for _ in range(4):
        expected, found = fresh_bits.definition(table, rows, one), fresh_bits.fresh_bits(table, rows, other)
        assert found.dtype == dtype and np.array_equal(found, expected)
        # Whoever draws next gets the same numbers too, and may leave half a word behind.
        assert np.array_equal(*(rng.standard_normal(3, dtype=np.float32) for rng in (one, other)))


def test_fresh_bits_of_other_generators_and_tables_are_those_of_the_definition():
    table, rows = np.random.default_rng(0).random((9, 4)), np.arange(5)
    for made in (lambda: np.random.Generator(np.random.SFC64(3)), lambda: np.random.default_rng(3)):
        expected = fresh_bits.definition(np.asfortranarray(table), rows, made())
        assert np.array_equal(fresh_bits.fresh_bits(np.asfortranarray(table), rows, made()), expected)
        assert np.array_equal(fresh_bits.fresh_bits(table, rows, made()), expected)


@needs_jit
def test_half_a_word_left_over_is_not_lost():
    table, rows = np.full((4, 2), 0.5, np.float32), np.arange(4)
    one, other = np.random.default_rng(5), np.random.default_rng(5)
    for rng in (one, other):
        rng.random(1, dtype=np.float32)
    assert one.bit_generator.state["has_uint32"]
    expected = fresh_bits.definition(table, rows, one)
    assert np.array_equal(fresh_bits.fresh_bits(table, rows, other), expected)
