"""Optimisers climb, as their papers and PyTorch say, in any slices and in the dtype of the parameters."""

import warnings
from dataclasses import FrozenInstanceError, dataclass
from itertools import pairwise

import numpy as np
import pytest
from checks import assert_close, read_only
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab.errors import UserMistake
from elbo_lab.kernels import use_kernels
from elbo_lab.training import (
    OPTIMIZERS,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    find_optimizer,
    parse_optimizer,
)

CASES = {
    "sgd": SGD(),
    "momentum": SGD(momentum=0.9),
    "adagrad": Adagrad(),
    "adam": Adam(),
    "adam with other betas": Adam(beta1=0.8, beta2=0.95, eps=1e-2),
    "adam without memory": Adam(beta1=0.0, beta2=0.0),
    "rmsprop": RMSprop(),
    "rmsprop with another decay": RMSprop(decay=0.9, eps=1e-2),
    "adamw": AdamW(),
    "adamw with another decay": AdamW(beta1=0.8, beta2=0.95, eps=1e-2, decay=0.3),
}
every_optimizer = pytest.mark.parametrize("optimizer", CASES.values(), ids=CASES)
every_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])
both_roads = pytest.mark.parametrize("road", ["numpy", "numba"])


def walk(optimizer, start, gradients, rate=0.1, dtype=np.float64, slices=None):
    """Return params and state after one step per gradient, each step cut into slices."""
    params = np.array(start, dtype=dtype)
    state = optimizer.initial_state(params.size, dtype)
    for count, gradient in enumerate(np.asarray(gradients, dtype=dtype), start=1):
        for part in slices or [slice(None)]:
            optimizer.step(params[part], gradient[part], state[:, part], count, rate)
    return params, state


# -- known answers -------------------------------------------------------------------------------

START = [0.3, -0.7, 2.0]
GRADIENTS = [[1.0, -2.0, 0.5], [0.5, 1.0, -3.0], [-1.0, 0.25, 0.0], [4.0, -0.5, 1e-3]]
# torch.optim of PyTorch 2.13.0 (SGD, Adagrad, Adam, RMSprop, AdamW; lr 0.1, float64) after these four steps,
# the gradients with the other sign.
PYTORCH = {
    "sgd": [0.75, -0.825, 1.7500999999999998],
    "momentum": [0.9894000000000001, -1.1193, 1.3590499999999999],
    "adagrad": [0.47168761062848624, -0.7658605751173113, 2.0013934873957115],
    "adam": [0.5618992551601633, -0.8632920104170352, 1.949891828385276],
    "adam with other betas": [0.553459254675494, -0.8484928785895518, 1.9463209514280209],
    "rmsprop": [2.0164803197955266, -1.3587114293700302, 2.0138047491342426],
    "rmsprop with another decay": [0.8302060510673233, -0.9055468274363581, 1.988402795864476],
    "adamw": [0.5602039328490149, -0.8601299107671658, 1.9417770707275914],
    "adamw with another decay": [0.5049721364893489, -0.7580404986793379, 1.713699122137657],
}


def check_known_answer(name, optimizer):
    assert_close(walk(optimizer, START, GRADIENTS)[0], PYTORCH[name], 1e-14)


@both_roads
@pytest.mark.parametrize("name", PYTORCH)
def test_four_steps_are_those_of_pytorch(name, road):
    with use_kernels(road):
        check_known_answer(name, CASES[name])


def adam_by_the_paper(optimizer, start, gradients, rate):
    """Algorithm 1 of Kingma and Ba, line by line, uphill."""
    theta, m, v = np.array(start), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = optimizer.beta1 * m + (1 - optimizer.beta1) * g
        v = optimizer.beta2 * v + (1 - optimizer.beta2) * g**2
        m_hat, v_hat = m / (1 - optimizer.beta1**t), v / (1 - optimizer.beta2**t)
        # Algorithm 2 of Loshchilov and Hutter, with the rate on the decay.
        decay = getattr(optimizer, "decay", 0.0)
        theta = theta + rate * (m_hat / (np.sqrt(v_hat) + optimizer.eps) - decay * theta)
    return theta


@both_roads
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("adam")])
def test_two_thousand_steps_of_adam_are_algorithm_1(name, road):
    rng = np.random.default_rng(1)
    start, gradients = rng.standard_normal(7), rng.standard_normal((2000, 7)) * 10.0 ** np.arange(-3, 4)
    with use_kernels(road):
        found = walk(CASES[name], start, gradients, 0.01)[0]
    assert_close(found, adam_by_the_paper(CASES[name], start, gradients, 0.01), 1e-12)


def test_the_velocity_of_momentum_is_a_sum_of_faded_gradients():
    rng = np.random.default_rng(2)
    gradients = rng.standard_normal((30, 4))
    params, state = walk(SGD(momentum=0.7), np.zeros(4), gradients, 0.5)
    faded = 0.7 ** np.arange(30)[::-1, None]
    assert_close(state[0], (faded * gradients).sum(axis=0))
    # Each gradient has moved the parameters by 1 + mu + mu^2 + ... until now.
    assert_close(params, 0.5 * ((1 - 0.7 * faded) / 0.3 * gradients).sum(axis=0))


def test_adagrad_keeps_the_sum_of_squares_and_slows_like_one_over_root_t():
    gradients = np.full((100, 1), 3.0)
    params, state = walk(Adagrad(), [0.0], gradients, 0.1)
    assert state[0, 0] == 900.0
    assert params[0] == pytest.approx(0.1 * (1 / np.sqrt(np.arange(1, 101))).sum(), rel=1e-9)


@pytest.mark.parametrize("optimizer", [Adam(), Adagrad()], ids=["adam", "adagrad"])
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e6])
def test_a_first_step_has_the_size_of_the_rate_whatever_the_size_of_the_gradient(optimizer, size):
    params, _ = walk(optimizer, [0.0, 0.0], [[size, -size]], 0.01)
    assert_close(params / 0.01, [1.0, -1.0], 2e-4)


# -- laws ----------------------------------------------------------------------------------------


def check_climbs(optimizer):
    """A concave quadratic with curvatures a hundred apart is climbed to its top by falling rates."""
    curvature, top = np.array([0.05, 0.5, 5.0]), np.array([1.0, -2.0, 0.5])

    def value(params):
        return -0.5 * (curvature * (params - top) ** 2).sum()

    params = np.zeros(3)
    state = optimizer.initial_state(3)
    before = value(params)
    optimizer.step(params, curvature * (top - params), state, 1, 1e-3)
    assert value(params) > before
    for count in range(2, 3001):
        optimizer.step(params, curvature * (top - params), state, count, 0.1 * (1 - count / 3001))
    # Plain steps go along the flattest axis by 0.05 * 0.1 / 2 per step: exp(-7.5) of the way is left.
    assert -value(params) < 1e-6 * -before


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adam with other betas"])
def test_an_optimiser_climbs_a_hill_to_its_top(name):
    check_climbs(CASES[name])


def test_adagrad_climbs_with_a_rate_that_makes_up_for_its_own_fall():
    params, state = np.zeros(2), Adagrad().initial_state(2)
    for count in range(1, 2001):
        Adagrad().step(params, np.array([0.1, 10.0]) * (np.array([1.0, -2.0]) - params), state, count, 1.0)
    assert_close(params, [1.0, -2.0], 1e-9)


@both_roads
@every_dtype
@every_optimizer
def test_a_vector_stepped_in_slices_gets_the_same_bits(optimizer, dtype, road):
    rng = np.random.default_rng(3)
    start, gradients = rng.standard_normal(103), rng.standard_normal((5, 103))
    with use_kernels(road):
        whole = walk(optimizer, start, gradients, dtype=dtype)
        for cuts in ([0, 1, 103], [0, 50, 67, 103], [0, 7, 8, 99, 103]):
            slices = [slice(a, b) for a, b in pairwise(cuts)]
            parts = walk(optimizer, start, gradients, dtype=dtype, slices=slices[::-1])
            assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))


@every_dtype
@every_optimizer
def test_parameters_and_state_keep_their_dtype_and_place(optimizer, dtype):
    params, gradient = np.ones(4, dtype), read_only(np.full(4, 0.1, dtype))
    state = optimizer.initial_state(4, dtype)
    assert state.shape == (optimizer.n_slots, 4) and state.dtype == dtype and not state.any()
    kept, kept_state = params, state
    assert optimizer.step(params, gradient, state, 1, 0.5) is None
    assert params is kept and state is kept_state and params.dtype == dtype
    assert (params > 1).all() and (state != 0).all()


@every_optimizer
def test_float32_steps_stay_beside_the_float64_ones(optimizer):
    rng = np.random.default_rng(4)
    start, gradients = rng.standard_normal(50), rng.standard_normal((100, 50))
    long, short = (walk(optimizer, start, gradients, 0.01, dtype)[0] for dtype in (np.float64, np.float32))
    # A hundred sums of numbers of size one.
    assert_close(short, long, 100 * np.finfo(np.float32).eps)


def test_a_gradient_of_another_dtype_is_rounded_to_that_of_the_parameters():
    gradient = np.random.default_rng(5).standard_normal(9)
    results = []
    for kind in (np.float64, np.float32):
        params = np.zeros(9, np.float32)
        state = Adam().initial_state(9, np.float32)
        Adam().step(params, gradient.astype(kind), state, 1, 0.1)
        results.append(params)
    assert np.array_equal(*results)


@every_optimizer
def test_a_rate_of_zero_moves_nothing_but_the_memory(optimizer):
    params, state = walk(optimizer, START, GRADIENTS, rate=0.0)
    assert np.array_equal(params, START)
    assert state.any() == (optimizer.n_slots > 0)


@every_optimizer
def test_a_coordinate_without_gradient_stays_where_it_is_or_decays(optimizer):
    params, _ = walk(optimizer, START, np.array(GRADIENTS) * [1, 0, 1])
    kept = (1 - 0.1 * optimizer.decay) ** 4 if isinstance(optimizer, AdamW) else 1.0
    assert_close(params[1], kept * START[1], 1e-15)
    assert params[0] != START[0]


def test_weights_decay_alike_whatever_their_gradients():
    """A penalty inside the gradient would be divided by its root mean square."""
    small, large = (
        walk(AdamW(decay=0.5), [2.0], np.array([[1.0], [-1.0]]) * size)[0] for size in (1e-3, 1e3)
    )
    assert_close(small, large, 1e-4)
    plain = walk(AdamW(decay=0.0), START, GRADIENTS)[0]
    assert np.array_equal(plain, walk(Adam(), START, GRADIENTS)[0])


def test_the_first_step_of_rmsprop_is_the_rate_over_the_root_of_the_new_share():
    params, _ = walk(RMSprop(decay=0.9), [0.0, 0.0], [[5.0, -1e-3]], 0.01)
    assert_close(params, np.array([0.01, -0.01]) / np.sqrt(0.1), 1e-4)


@both_roads
@every_dtype
@every_optimizer
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e15, -1e15])
def test_an_endless_or_huge_gradient_harms_only_its_own_coordinate_and_is_silent(optimizer, dtype, road, bad):
    gradients = np.array(GRADIENTS)
    with use_kernels(road), warnings.catch_warnings():
        warnings.simplefilter("error")
        clean = walk(optimizer, START, gradients, dtype=dtype)[0]
        gradients[1, 2] = bad
        spoilt = walk(optimizer, START, gradients, dtype=dtype)[0]
    assert np.array_equal(clean[:2], spoilt[:2])
    assert np.isfinite(spoilt[2]) == np.isfinite(bad)


@both_roads
@pytest.mark.parametrize("optimizer", [Adam(), Adagrad(), RMSprop()], ids=["adam", "adagrad", "rmsprop"])
def test_a_gradient_whose_square_overflows_freezes_its_coordinate(optimizer, road):
    gradients = np.array(GRADIENTS)
    gradients[1, 2] = 1e30
    with use_kernels(road):
        before = walk(optimizer, START, gradients[:1], dtype=np.float32)[0]
        after, state = walk(optimizer, START, gradients, dtype=np.float32)
    assert state[-1, 2] == np.inf
    assert after[2] == before[2] and (after[:2] != before[:2]).all()


@every_optimizer
@given(step=st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3))
def test_the_other_sign_walks_the_other_way(optimizer, step):
    gradients = [*GRADIENTS, step]
    up, down = (
        walk(optimizer, np.zeros(3), gradients)[0],
        walk(optimizer, np.zeros(3), np.negative(gradients))[0],
    )
    assert np.array_equal(up, -down)


# -- planted faults ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Downhill(SGD):
    def _move(self, params, gradient, state, count, rate):
        super()._move(params, gradient, state, count, -rate)


@dataclass(frozen=True)
class DampedMomentum(SGD):
    def _move(self, params, gradient, state, count, rate):
        super()._move(params, (1 - self.momentum) * gradient, state, count, rate)


@dataclass(frozen=True)
class EpsInRoot(Adagrad):
    def _move(self, params, gradient, state, count, rate):  # noqa: ARG002
        state[0] += gradient * gradient
        params += rate * gradient / np.sqrt(state[0] + 1e-3)


@dataclass(frozen=True)
class NoCorrection(Adam):
    def _move(self, params, gradient, state, count, rate):  # noqa: ARG002
        super()._move(params, gradient, state, 10**9, rate)


@dataclass(frozen=True)
class CountsFromZero(Adam):
    def _move(self, params, gradient, state, count, rate):
        super()._move(params, gradient, state, count + 1, rate)


@dataclass(frozen=True)
class CoupledDecay(AdamW):
    def _move(self, params, gradient, state, count, rate):
        still = AdamW(self.beta1, self.beta2, self.eps, decay=0.0)
        still._move(params, gradient - self.decay * params, state, count, rate)


@dataclass(frozen=True)
class DecayWithoutRate(AdamW):
    def numbers(self, count, rate):
        return super().numbers(count, rate) | {"kept": 1.0 - self.decay}


@dataclass(frozen=True)
class CorrectedRMSprop(RMSprop):
    def _move(self, params, gradient, state, count, rate):
        super()._move(params, gradient, state, count, rate * np.sqrt(1 - self.decay**count))


FAULTS = {
    "decay inside the gradient": ("adamw", CoupledDecay()),
    "decay without the rate": ("adamw", DecayWithoutRate()),
    "no decay": ("adamw", Adam()),
    "rmsprop with a bias correction": ("rmsprop", CorrectedRMSprop()),
    "rmsprop of another decay": ("rmsprop", RMSprop(decay=0.9)),
    "rmsprop as adagrad": ("rmsprop", Adagrad()),
    "downhill": ("sgd", Downhill()),
    "momentum forgotten": ("momentum", SGD()),
    "momentum of a running mean": ("momentum", DampedMomentum(0.9)),
    "eps inside the root": ("adagrad", EpsInRoot()),
    "no bias correction": ("adam", NoCorrection()),
    "bias correction of the next step": ("adam", CountsFromZero()),
    "betas exchanged": ("adam", Adam(beta1=0.999, beta2=0.9)),
    "another eps": ("adam", Adam(eps=1e-6)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_known_answers_refuse_a_planted_fault(fault):
    name, optimizer = FAULTS[fault]
    with pytest.raises(AssertionError):
        check_known_answer(name, optimizer)


def test_the_hill_refuses_an_optimiser_that_walks_down():
    with pytest.raises(AssertionError):
        check_climbs(Downhill())


# -- names and errors ----------------------------------------------------------------------------


def test_every_optimiser_is_found_by_its_name():
    assert list(OPTIMIZERS) == ["sgd", "adam", "adagrad", "rmsprop", "adamw"]
    for name, kind in OPTIMIZERS.items():
        optimizer = find_optimizer(name)
        assert type(optimizer) is kind and optimizer.name == name and optimizer.summary
        assert isinstance(optimizer, Optimizer)
    assert find_optimizer("adam", beta1=0.5) == Adam(beta1=0.5)
    assert find_optimizer("sgd", momentum=np.float32(0.5)) == SGD(0.5)


def test_the_text_after_the_colon_is_the_momentum():
    assert find_optimizer("sgd", "0.9") == find_optimizer("sgd", 0.9) == SGD(momentum=0.9)
    for text in ("fast", "", "1.5", "-1", "nan"):
        with pytest.raises(UserMistake, match=f"optimizer: expected 'sgd:MOMENTUM' .*, got 'sgd:{text}'"):
            find_optimizer("sgd", text)
    with pytest.raises(UserMistake, match=r"optimizer: .*got 'adam:0\.9'; only sgd takes one"):
        find_optimizer("adam", "0.9")


def test_unknown_names_and_options_are_refused_in_one_line():
    with pytest.raises(
        UserMistake, match="optimizer: expected one of sgd, adam, adagrad, rmsprop, adamw, got 'adma'; did"
    ):
        find_optimizer("adma")
    with pytest.raises(UserMistake, match=r"options of adam \(beta1, beta2, eps\), got 'momentum'"):
        find_optimizer("adam", momentum=0.9)


def test_arguments_stand_in_parentheses():
    assert parse_optimizer("adam") == Adam() and parse_optimizer("sgd:0.9") == SGD(0.9)
    assert parse_optimizer("rmsprop(decay=0.9)") == RMSprop(decay=0.9)
    assert parse_optimizer("adamw(decay=0.1, beta1=0.8)") == AdamW(beta1=0.8, decay=0.1)
    assert parse_optimizer("sgd(momentum=0.5)") == SGD(0.5)
    for text, got in (("adamw(decay=2)", "decay: .*got 2"), ("adam(rate=1)", "options of adam .*got 'rate'")):
        with pytest.raises(UserMistake, match=got):
            parse_optimizer(text)
    with pytest.raises(UserMistake, match=r"decay: expected a number .*got 'much'"):
        parse_optimizer("rmsprop(decay=much)")


@pytest.mark.parametrize("value", [-0.1, 1.0, 2, np.nan, np.inf])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(SGD, "momentum"), (Adam, "beta1"), (Adam, "beta2"), (RMSprop, "decay"), (AdamW, "decay")],
)
def test_a_memory_outside_zero_to_one_is_refused(kind, name, value):
    with pytest.raises(ValueError, match=f"{name}: expected a number from 0 to below 1, got {value}"):
        kind(**{name: value})


@pytest.mark.parametrize("value", ["0.9", None, True])
def test_a_memory_that_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match=f"momentum: expected a number from 0 to below 1, got {value!r}"):
        SGD(momentum=value)


@pytest.mark.parametrize("value", [0.0, -1e-8, np.nan, np.inf, 1e-50])
@pytest.mark.parametrize("kind", [Adam, Adagrad])
def test_an_eps_that_would_not_guard_is_refused(kind, value):
    with pytest.raises(ValueError, match=f"eps: expected .*got {value}"):
        kind(eps=value)


def test_an_optimiser_is_immutable():
    with pytest.raises(FrozenInstanceError):
        Adam().beta1 = 0.5


@pytest.mark.parametrize("count", [0, -1])
def test_steps_are_counted_from_one(count):
    with pytest.raises(ValueError, match=f"count: .*got {count}"):
        Adam().step(np.zeros(2), np.zeros(2), Adam().initial_state(2), count, 0.1)


def test_arrays_that_do_not_belong_together_are_refused():
    params = np.zeros(3)
    with pytest.raises(ValueError, match=r"gradient: expected shape \(3,\).*got shape \(1,\)"):
        SGD().step(params, np.ones(1), SGD().initial_state(3), 1, 0.1)
    with pytest.raises(ValueError, match=r"state: expected float64 of shape \(2, 3\), got .*\(1, 3\)"):
        Adam().step(params, params, Adagrad().initial_state(3), 1, 0.1)
    with pytest.raises(ValueError, match=r"state: expected float64 .*got float32"):
        Adam().step(params, params, Adam().initial_state(3, np.float32), 1, 0.1)
    assert not params.any()
