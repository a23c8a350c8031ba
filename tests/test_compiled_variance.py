"""The compiled variance of a decoder's weights is that of the definition; what does not fit stays with it."""

import tracemalloc

import numpy as np
import pytest
from checks import assert_close

from elbo_lab.kernels import use_kernels
from elbo_lab.kernels.weight_variance import take_part
from elbo_lab.models import DeepBernoulli, DeepGaussianFixed
from elbo_lab.study import compiled_variance, weight_sums
from elbo_lab.study import weight_variance as home
from elbo_lab.study.compiled_variance import CompiledSums, is_compiled
from elbo_lab.study.weight_variance import decoder_variance

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
needs_jit = pytest.mark.skipif(not hasattr(take_part, "signatures"), reason="NUMBA_DISABLE_JIT is set")

MODELS = (
    DeepBernoulli(4, 2, (3,)),
    DeepBernoulli(3, 1, (4, 3), "softplus"),
    DeepBernoulli(5, 3, (2, 6, 4), "relu"),
    DeepBernoulli(3, 2, ()),
)
WIDE = DeepBernoulli(150, 2, (130,))
# Rows per pass and per block where 6 draws of 5 data: are one block, are blocks across data, are passes of
# three data and of the two left, are cut within a datum, take several passes each.
CUTS = ((512, 128), (512, 7), (18, 5), (12, 4), (5, 2), (4, 4))


def setting(model, n_draws=6, n_data=5, dtype=np.float64):
    rng = np.random.default_rng(0)
    theta = 0.5 * rng.standard_normal(model.layout.size)
    x, _ = model.sample(theta, n_data, rng)
    z = rng.standard_normal((n_draws, n_data, model.latent_dim))
    return model, *(array.astype(dtype) for array in (theta, x, z))


def at_once(model, theta, x, z):
    """Return the variance by the readable formula, all rows in memory."""
    with use_kernels("numpy"):
        by_output, activations = model.output_slopes(theta, x, z)
        return model.decoder.backward_variance(theta, activations, by_output)[0]


def size_of_squares(model, theta, x, z):
    """Return the largest sum of squares that a mean is subtracted from: rounding is relative to it."""
    by_output, activations = model.output_slopes(theta, x, z)
    return model.decoder.backward_squares(theta, activations, by_output).sum(axis=0).max() / (len(z) - 1)


def check(case, dtype):
    found, expected, size = decoder_variance(*case), at_once(*case), size_of_squares(*case)
    assert found.dtype == dtype
    assert_close(found / size, expected / size, TOLERANCE[dtype])


def cut(monkeypatch, per_pass, per_piece):
    monkeypatch.setattr(home, "ROWS_PER_PASS", per_pass)
    monkeypatch.setattr(home, "ROWS_PER_PIECE", per_piece)
    monkeypatch.setattr(weight_sums, "FEWEST_ROWS", 1)
    monkeypatch.setattr(weight_sums, "MOST_ROWS", 1)


@needs_jit
@both_dtypes
@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.hidden}-{m.activation}")
def test_it_is_the_variance_of_the_definition_however_rows_are_cut(model, cuts, dtype, monkeypatch):
    case = setting(model, dtype=dtype)
    assert is_compiled(*case)
    cut(monkeypatch, *cuts)
    check(case, dtype)


def _divided_by_draws(honest):
    def add(self, *where):
        self.shares = self.shares[0], self.shares[0]
        honest(self, *where)

    return add


def _without_means(honest):
    def add(self, *where):
        self.shares = 0.0 * self.shares[0], self.shares[1]
        honest(self, *where)

    return add


def _means_of_passes(honest):
    def add(self, pool, threads, data, draws, x, z):
        # As if the draws of a datum ended with every pass.
        self.n_draws = draws.stop
        honest(self, pool, threads, data, draws, x, z)

    return add


def _data_of_another_order(honest):
    def add(self, pool, threads, data, draws, x, z):
        honest(self, pool, threads, data, draws, np.roll(x, 1, axis=1), z)

    return add


def _a_tile_twice(honest):
    def add(self, *where):
        self.tiles[-1] = self.tiles[0]
        honest(self, *where)

    return add


def _only_the_last_pass(honest):
    def add(self, pool, threads, data, draws, x, z):
        honest(self, pool, threads, slice(0, data.stop), draws, x, z)

    return add


FAULTS = (
    _divided_by_draws,
    _without_means,
    _means_of_passes,
    _data_of_another_order,
    _a_tile_twice,
    _only_the_last_pass,
)


@needs_jit
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fault, monkeypatch):
    case = setting(MODELS[0])
    cut(monkeypatch, 4, 4)
    check(case, np.float64)
    monkeypatch.setattr(CompiledSums, "add", fault(CompiledSums.add))
    with pytest.raises(AssertionError):
        check(case, np.float64)


# -- how it is done --------------------------------------------------------------------------------


@needs_jit
@both_dtypes
@pytest.mark.parametrize("shape", [(300, 1), (9, 70), (600, 2)], ids=str)
def test_threads_change_no_bit(shape, dtype):
    case = setting(WIDE, *shape, dtype=dtype)
    first, *others = [decoder_variance(*case, threads=threads) for threads in (1, 2, 3)]
    assert all(np.array_equal(other, first) for other in others)


@needs_jit
def test_who_comes_when_all_is_done_changes_nothing():
    model, theta, x, z = setting(MODELS[0])
    found = np.empty_like(theta)
    sums = CompiledSums(model.decoder, theta, len(z), len(x), 30, 4, found)

    class OneAfterTheOther:
        def map(self, work, turns):
            for turn in turns:
                work(turn)
                states.append(found.copy())
                yield None

    states = []
    sums.add(OneAfterTheOther(), 3, slice(0, len(x)), slice(0, len(z)), x, z)
    assert_close(found, at_once(model, theta, x, z), 1e-12)
    assert np.array_equal(states[0], states[-1])


@needs_jit
@pytest.mark.parametrize("shape", [(6000, 1), (6, 1000)], ids=str)
def test_memory_does_not_grow_with_draws_or_data(shape):
    def peak(road, n_draws, n_data):
        case = setting(WIDE, n_draws, n_data)
        tracemalloc.start()
        road(*case)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    decoder_variance(*setting(WIDE))  # what is loaded once
    few = tuple(max(1, count // 10) if count > 6 else count for count in shape)
    small, large = (peak(decoder_variance, *one) for one in (few, shape))
    assert large < 1.1 * small
    assert peak(at_once, *shape) > 3.0 * large, "the check is meant to see rows all at once"


@needs_jit
@both_dtypes
def test_neither_other_shapes_nor_locked_or_strided_arrays_compile_anything(dtype):
    case = setting(MODELS[1], dtype=dtype)
    expected = decoder_variance(*case)
    known = list(take_part.signatures)
    for model in MODELS:
        decoder_variance(*setting(model, dtype=dtype))
    model, *arrays = case
    for array in arrays:
        array.flags.writeable = False
    assert np.array_equal(decoder_variance(model, *arrays), expected)
    turned = [np.repeat(array, 2, axis=-1)[..., ::2] for array in arrays]
    assert np.array_equal(decoder_variance(model, *turned), expected)
    _, theta, x, z = case
    assert np.array_equal(decoder_variance(model, theta, x.astype(bool), z), expected)
    assert take_part.signatures == known


# -- edges -----------------------------------------------------------------------------------------


def test_everything_else_stays_with_the_definition(monkeypatch):
    class Renamed(DeepBernoulli):
        """A subclass may change how data are observed."""

    model, theta, x, z = setting(MODELS[0])
    gaussian = DeepGaussianFixed(4, 2, (3,))
    others = {
        "a subclass": (Renamed(4, 2, (3,)), theta, x, z),
        "another likelihood": (gaussian, np.zeros(gaussian.layout.size), x, z),
        "another dtype": (model, theta.astype(np.float16), x, z),
        "masked draws": (model, theta, x, np.ma.array(z)),
        "too few columns": (model, theta, x[:, :-1], z),
        "too few latents": (model, theta, x, z[..., :-1]),
        "too few parameters": (model, theta[:-1], x, z),
        "too few data": (model, theta, x[:-1], z),
    }
    for name, case in others.items():
        assert not is_compiled(*case), name
    with use_kernels("numpy"):
        assert not is_compiled(model, theta, x, z)
    monkeypatch.setattr(compiled_variance, "address_of_matmul", lambda _: 0)
    assert not is_compiled(model, theta, x, z)


@both_dtypes
def test_equal_draws_have_no_variance(dtype):
    model, theta, x, z = setting(MODELS[0], dtype=dtype)
    found = decoder_variance(model, theta, x, np.repeat(z[:1], 5, axis=0))
    assert found.min() >= 0.0 and found.max() < 10 * np.finfo(dtype).eps


def test_a_draw_that_is_lost_shows():
    model, theta, x, z = setting(MODELS[0])
    z[2, 1, 0] = np.nan
    assert np.isnan(decoder_variance(model, theta, x, z)).all()
