"""Each compiled kernel repeats its definition, and one switch chooses between the two.

The laws are checked by small functions (`assert_twins`, `worst_ulp`) which are themselves given
planted faults: a polynomial that ends too early, a kernel that swallows nan or forgets its last
element. Accuracy is measured on freshly compiled loops, never on machine code from the disk.
"""

import shutil
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from checks import compiles_nothing, read_only
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numba import njit
from other_process import ROOT, output_of

from elbo_lab import special
from elbo_lab.errors import UserMistake
from elbo_lab.kernels import (
    compiled_twin,
    compiling,
    elementwise,
    equal_vectors,
    exponential,
    kernels_in_use,
    optimizers,
    use_kernels,
)
from elbo_lab.training.optimizers import (
    AdamW,
    adagrad_step,
    adam_step,
    adamw_step,
    momentum_step,
    rmsprop_step,
    sgd_step,
)

NAMES = ("tanh", "softplus", "sigmoid")
# Definition and kernel are each this close to the exact value (measured: 2.3 and 2.6 units in the
# last place in float64, 3.3 and 2.5 in float32).
ULP = 4

needs_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 52, reason="no float wider than 64 bits on this machine"
)
needs_jit = pytest.mark.skipif(not hasattr(elementwise.tanh, "py_func"), reason="NUMBA_DISABLE_JIT is set")


def grid():
    """Return arguments where a fault would show: dense, tiny, near overflow, between the pieces."""
    rng = np.random.default_rng(20)
    return np.concatenate(
        [
            rng.normal(size=50_000) * 3,
            rng.uniform(-2, 2, 50_000),
            rng.uniform(-750, 750, 30_000),
            rng.uniform(-746, -707, 20_000),  # results in the subnormal numbers
            np.ldexp(rng.uniform(-1, 1, 30_000), rng.integers(-1074, 10, 30_000)),
            np.arange(-2200, 2200) * (np.log(2) / 2),  # where the power of two changes
        ]
    )


GRID = grid()
SUBNORMAL_IN_FLOAT32 = np.random.default_rng(21).uniform(-105, -86, 20_000)


def exact(name, x):
    """Return the function in 80-bit floats."""
    x = x.astype(np.longdouble)
    t = np.exp(-np.abs(x))
    if name == "tanh":
        return np.tanh(x)
    if name == "softplus":
        return np.maximum(x, 0) + np.log1p(t)
    return np.where(x < 0, t, 1) / (1 + t)


def worst_ulp(values, reference):
    """Return the largest distance from the reference, in units in the last place of `values`."""
    unit = np.spacing(np.abs(reference).astype(values.dtype))
    return float(np.max(np.abs(values - reference) / unit))


def fresh(name):
    """Compile a loop from the present source, with no cache."""
    return njit(**compiling.FLAGS)(getattr(elementwise, name).py_func)


@pytest.fixture(scope="module", params=NAMES)
def fresh_loop(request):
    return request.param, fresh(request.param)


# --- accuracy ---------------------------------------------------------------------------------


@needs_jit
@needs_longdouble
def test_kernels_are_right_to_the_last_places_over_the_whole_line(fresh_loop):
    name, loop = fresh_loop
    out = np.empty_like(GRID)
    loop(GRID, out)
    assert worst_ulp(out, exact(name, GRID)) < ULP
    short = np.concatenate([GRID, SUBNORMAL_IN_FLOAT32]).astype(np.float32)
    out = np.empty_like(short)
    loop(short, out)
    assert worst_ulp(out, exact(name, short)) < ULP


@needs_jit
def test_machine_code_on_disk_is_that_of_the_present_source(fresh_loop):
    name, loop = fresh_loop
    for x in (GRID, GRID.astype(np.float32)):
        out, stored = np.empty_like(x), np.empty_like(x)
        loop(x, out)
        getattr(elementwise, name)(x, stored)
        assert np.array_equal(out, stored)


def in_numpy(formula, **changes):
    """Rebuild a formula of `exponential` in plain NumPy, with some of its constants changed."""
    names = {**vars(exponential), **changes}
    for key, value in list(names.items()):
        if hasattr(value, "py_func"):
            names[key] = types.FunctionType(value.py_func.__code__, names)
    return types.FunctionType(getattr(exponential, formula).py_func.__code__, names)


def worst_of_core(suffix, **changes):
    """Return the error (ulp) of the formulas for float64 ("") or float32 ("_32"), their constants changed."""
    dtype = np.float32 if suffix else np.float64
    x = np.linspace(1e-4, 40, 20_001).astype(dtype)
    t = np.linspace(1e-4, 1, 20_001).astype(dtype)
    expm1, log1p = (
        in_numpy(f"expm1_of_positive{suffix}", **changes),
        in_numpy(f"log1p_of_fraction{suffix}", **changes),
    )
    return max(
        worst_ulp(expm1(x), np.expm1(x.astype(np.longdouble))),
        worst_ulp(log1p(t), np.log1p(t.astype(np.longdouble))),
    )


@needs_jit
@needs_longdouble
@pytest.mark.parametrize("suffix", ["", "_32"])
def test_the_core_is_right_without_fused_multiply_adds_too(suffix):
    assert worst_of_core(suffix) < ULP


def changed(name, **coefficients):
    """Return a series of `exponential` in which the coefficient of {"k3": ...} and so on is multiplied."""
    series = list(getattr(exponential, name))
    for k, factor in coefficients.items():
        series[int(k[1:])] *= series[0].dtype.type(factor) if hasattr(series[0], "dtype") else factor
    return {name: tuple(series)}


CORE_FAULTS = [
    ("", changed("E", k11=0.0, k10=0.0)),  # a series cut off
    ("", changed("A", k9=0.0)),
    ("", changed("A", k5=1 + 1e-8)),  # a digit mistyped
    ("", changed("E", k3=1 + 1e-10)),
    ("", {"LN2_LOW": 0.0}),  # log 2 in one part
    ("", {"LN2_HIGH": np.log(2), "LN2_LOW": 0.0}),
    ("_32", changed("E_32", k5=0.0, k4=0.0)),
    ("_32", changed("A_32", k4=0.0)),
    ("_32", changed("A_32", k1=1 + 1e-3)),
    ("_32", changed("E_32", k3=1 + 1e-2)),
    ("_32", {"LN2_LOW_32": np.float32(0)}),
    ("_32", {"LN2_HIGH_32": np.float32(np.log(2)), "LN2_LOW_32": np.float32(0)}),
]


@needs_jit
@needs_longdouble
@pytest.mark.parametrize("suffix, fault", CORE_FAULTS, ids=str)
def test_accuracy_check_refuses_a_planted_fault(suffix, fault):
    assert worst_of_core(suffix, **fault) > ULP


# --- twins ------------------------------------------------------------------------------------


def assert_twins(definition, kernel, x):
    """Hold a kernel against its definition: values, special values, shape, dtype, argument."""
    before = x.copy()
    wanted = definition(x)
    got = kernel(x)
    assert got.shape == x.shape
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(got, x)
    # nan and the infinities stand in the same places, and zeros have the same sign.
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    infinite = np.isinf(wanted)
    np.testing.assert_array_equal(got[infinite], wanted[infinite])
    zero = wanted == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(wanted[zero]))
    finite = np.isfinite(wanted)
    gap = np.abs(got[finite] - wanted[finite])
    # The spacing of the largest number overflows; that of its half is the stricter one.
    size = np.minimum(np.abs(wanted[finite]), np.finfo(wanted.dtype).max / 2)
    assert np.all(gap <= 2 * ULP * np.spacing(size))


INF, NAN = np.inf, np.nan
EDGES = np.array(
    [-INF, -1e3, -745.2, -709.0, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1e-300, 22.0, 1e3, 1e308, INF, NAN]
)

float_arrays = st.sampled_from([np.float64, np.float32]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9),
        elements=hnp.from_dtype(np.dtype(dtype)),
    )
)


VIEWS = {
    "plain": np.asarray,
    "transposed": np.transpose,
    "backwards": lambda x: x[..., ::-2],
    "read-only": read_only,
}


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)  # the first call of each kind compiles
@given(x=float_arrays, view=st.sampled_from(list(VIEWS)))
@example(x=EDGES, view="plain")
@example(x=EDGES[EDGES != 1e308].astype(np.float32), view="backwards")
def test_kernel_equals_definition(name, x, view):
    function = getattr(special, name)
    assert_twins(function.definition, function.kernel, VIEWS[view](x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_value_does_not_depend_on_its_place_in_the_array(name, dtype):
    # Full vectors and the leftover elements run different machine code. Work that is cut into
    # blocks must give the same bits for any cut.
    kernel = getattr(special, name).kernel
    x = np.random.default_rng(5).normal(scale=10, size=101).astype(dtype)
    whole = kernel(x)
    for start in range(20):
        for stop in range(start, 101, 3):
            assert np.array_equal(kernel(x[start:stop]), whole[start:stop])


def _late(x):
    out = np.tanh(x)
    out[..., -1:] = 0
    return out


def _in_place(x):
    out = np.tanh(x)
    x[:] = out
    return out


FAULTS = {
    "forgets the last element": _late,
    "swallows nan": lambda x: np.nan_to_num(np.tanh(x), nan=0.0),
    "loses the sign of zero": lambda x: np.tanh(x) + 0.0,
    "is wrong by 1e-14": lambda x: np.tanh(x) * (1 + 1e-14),
    "gives another dtype": lambda x: np.tanh(x).astype(np.longdouble),
    "gives another shape": lambda x: np.tanh(x)[None],
    "writes into its argument": _in_place,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_twin_check_refuses_a_kernel_that(fault):
    assert_twins(np.tanh, lambda x: np.tanh(x), EDGES)
    with pytest.raises(AssertionError):
        assert_twins(np.tanh, FAULTS[fault], np.append(EDGES, 0.7))


NO_ARRAYS = [
    0.3,
    2,
    [0.1, 0.2],
    np.float32(0.3),
    np.array(0.3),
    np.arange(3),
    np.arange(3, dtype=">f8"),
    np.arange(3, dtype=np.float16),
    np.ma.masked_array([0.1, 0.2], [True, False]),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("x", NO_ARRAYS, ids=repr)
def test_what_no_kernel_takes_goes_to_the_definition(name, x):
    function = getattr(special, name)
    with use_kernels("numba"):
        got = function(x)
    wanted = function.definition(x)
    assert type(got) is type(wanted)
    np.testing.assert_array_equal(got, wanted)


@needs_jit
def test_a_second_call_compiles_nothing():
    for name in NAMES:
        function, loop = getattr(special, name), getattr(elementwise, name)
        for dtype in (np.float64, np.float32):
            function.kernel(np.zeros(3, dtype))
        known = list(loop.signatures)
        for dtype in (np.float64, np.float32):
            function.kernel(np.zeros((2, 5), dtype))
            function.kernel(np.zeros((5, 8), dtype).T[::2])
        assert list(loop.signatures) == known


def test_twin_keeps_name_and_docstring():
    assert special.softplus.__name__ == "softplus"
    assert "log(1 + exp(x))" in special.softplus.__doc__


# --- the switch -------------------------------------------------------------------------------


def road_taken():
    """Return which road `special.tanh` takes now, by bits on which the two differ."""
    bits = special.tanh(GRID)
    by_road = {"numpy": special.tanh.definition(GRID), "numba": special.tanh.kernel(GRID)}
    assert not np.array_equal(by_road["numpy"], by_road["numba"])
    return [road for road, values in by_road.items() if np.array_equal(bits, values)]


def test_use_kernels_chooses_nests_and_restores():
    outside = kernels_in_use()
    with use_kernels("numba"):
        assert road_taken() == ["numba"]
        with use_kernels("numpy"):
            assert road_taken() == ["numpy"]
        assert road_taken() == ["numba"]
        with pytest.raises(ZeroDivisionError), use_kernels("numpy"):
            raise ZeroDivisionError
        assert kernels_in_use() == "numba"
    assert kernels_in_use() == outside


def test_a_thread_started_inside_the_block_sees_the_choice():
    with use_kernels("numpy"), ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: kernels_in_use(), range(20))) == {"numpy"}


def test_threads_get_the_same_bits():
    with use_kernels("numba"), ThreadPoolExecutor(4) as pool:
        alone = special.softplus(GRID)
        for together in pool.map(special.softplus, [GRID] * 8):
            assert np.array_equal(alone, together)


def test_use_kernels_refuses_another_name_and_leaves_the_choice():
    before = kernels_in_use()
    with pytest.raises(UserMistake, match="numba, numpy, got 'nunba'; did you mean 'numba'"):
        with use_kernels("nunba"):
            pass
    assert kernels_in_use() == before


# --- in a process of its own ------------------------------------------------------------------


def test_importing_special_imports_neither_numba_nor_scipy():
    code = """
import sys, numpy as np
from elbo_lab import special
special.tanh(0.5)
if {used!r} == "numpy":
    special.tanh(np.ones(3))
print(sorted({{"numba", "scipy"}} & set(sys.modules)))
special.tanh.kernel
special.tanh(np.ones(3))
print("numba" in sys.modules)
"""
    assert output_of(code.format(used="numba"), ELBO_LAB_KERNELS="numba").split() == ["[]", "True"]
    assert output_of(code.format(used="numpy"), ELBO_LAB_KERNELS="numpy").split() == ["[]", "False"]


def test_a_wrong_environment_is_one_clear_line_at_the_first_use():
    code = """
import numpy as np
from elbo_lab import special
from elbo_lab.errors import UserMistake
try:
    special.tanh(np.ones(3))
except UserMistake as mistake:
    print(mistake)
"""
    said = output_of(code, ELBO_LAB_KERNELS="cuda")
    assert said.startswith("ELBO_LAB_KERNELS: expected one of numba, numpy, got 'cuda'")


@pytest.fixture
def copied_package(tmp_path):
    """Copy what the element-wise kernels need, without machine code."""
    for folder in ("elbo_lab", "elbo_lab/kernels"):
        (tmp_path / folder).mkdir()
        for path in (ROOT / folder).glob("*.py"):
            shutil.copy(path, tmp_path / folder)
    return tmp_path


EDITS = [
    ("exponential.py", "return scale * tail + (scale - 1.0)", "return 2.0 * (scale * tail + (scale - 1.0))"),
    ("compiling.py", "njit(**FLAGS, forceinline=True)(function)", "njit(**FLAGS)(lambda *_: 0.5)"),
]


@needs_jit
@pytest.mark.parametrize("file, before, after", EDITS)
def test_an_edit_in_another_file_compiles_anew(copied_package, file, before, after):
    code = """
import numpy as np
from elbo_lab.kernels import elementwise
out = np.empty(1)
elementwise.tanh(np.ones(1), out)
assert elementwise.tanh.__qualname__ == elementwise.tanh.py_func.__qualname__ == "tanh"
print(out[0], sum(elementwise.tanh.stats.cache_hits.values()))
"""
    found = [
        output_of(code, path=[copied_package], cwd=copied_package, NUMBA_CACHE_DIR="cache").split()
        for _ in range(2)
    ]
    assert [hits for _, hits in found] == ["0", "1"]
    source = copied_package / "elbo_lab" / "kernels" / file
    text = source.read_text(encoding="utf-8")
    assert before in text
    source.write_text(text.replace(before, after), encoding="utf-8")
    value, hits = output_of(code, path=[copied_package], cwd=copied_package, NUMBA_CACHE_DIR="cache").split()
    assert hits == "0" and value != found[0][0]


# --- updates in place ---------------------------------------------------------------------------

NUMBERS = {"beta1": 0.9, "beta2": 0.999, "new1": 1 - 0.9, "new2": 1 - 0.999, "eps": 1e-8}


def numbers_of(count, rate=1e-3):
    """Return the numbers of the `count`-th step of Adam."""
    rate, correction = rate / (1 - 0.9**count), 1 / np.sqrt(1 - 0.999**count)
    return {**NUMBERS, "rate": rate, "correction": float(correction)}


def assert_same_update(definition, kernel, vectors, count, numbers=None):
    """Hold an update against its definition, bit by bit: what it writes, and what it leaves."""
    first, second = ([vector.copy() for vector in vectors] for _ in range(2))
    numbers = numbers_of(count) if numbers is None else numbers
    with np.errstate(all="ignore"):
        definition(*first, **numbers)
        assert kernel(*second, **numbers) is None
    assert np.array_equal(vectors[1], second[1], equal_nan=True), "the gradient was written into"
    for wanted, got in zip(first, second, strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)
        known = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(wanted[known]))


def adam_vectors(dtype, size, seed=0):
    """Return params, gradient, m, v (n,) of all magnitudes; v is not negative."""
    rng = np.random.default_rng([seed, size])
    params, gradient, m, v = rng.standard_normal((4, size)) * 10.0 ** rng.integers(-12, 6, (4, size))
    return [vector.astype(dtype) for vector in (params, gradient, m, v * v)]


ADAM_EDGES = np.array([0.0, -0.0, 5e-324, 1e-45, 1e-38, 1e-23, 1e-8, 1.0, 1e18, 3e38, 1e154, 1e308, INF, NAN])


def all_edges(dtype):
    """Return every gradient against every memory."""
    with np.errstate(over="ignore"):
        edges = np.concatenate([ADAM_EDGES, -ADAM_EDGES]).astype(dtype)
    gradient, m, v = (grid.ravel() for grid in np.meshgrid(edges, edges, np.abs(edges[: len(ADAM_EDGES)])))
    return [np.ones_like(gradient), gradient, m, v]


both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@both_dtypes
@pytest.mark.parametrize("count", [1, 2, 10, 1000, 10**7])
def test_adam_kernel_gives_the_bits_of_its_definition(dtype, count):
    for size in (*range(40), 1000):
        assert_same_update(adam_step.definition, adam_step.kernel, adam_vectors(dtype, size), count)
    assert_same_update(adam_step.definition, adam_step.kernel, all_edges(dtype), count)


@given(
    vectors=st.tuples(st.sampled_from([np.float64, np.float32]), st.integers(0, 40)).flatmap(
        lambda kind: hnp.arrays(kind[0], (4, kind[1]), elements=hnp.from_dtype(np.dtype(kind[0])))
    ),
    count=st.integers(1, 10**9),
)
@settings(deadline=None)
def test_adam_kernel_gives_the_bits_of_its_definition_for_any_numbers(vectors, count):
    assert_same_update(adam_step.definition, adam_step.kernel, list(vectors), count)


OTHER_UPDATES = {
    sgd_step: {"rate": 0.1},
    momentum_step: {"momentum": 0.9, "rate": 0.1},
    adagrad_step: {"rate": 0.1, "eps": 1e-10},
    rmsprop_step: {"decay": 0.9, "new": 1.0 - 0.9, "rate": 0.1, "eps": 1e-10},
    adamw_step: AdamW().numbers(3, 0.1),
}


@both_dtypes
@pytest.mark.parametrize("step", OTHER_UPDATES, ids=lambda step: step.__name__)
def test_kernels_of_the_other_optimisers_give_the_bits_of_their_definitions(step, dtype):
    numbers = OTHER_UPDATES[step]
    slots = {sgd_step: 0, adamw_step: 2}.get(step, 1)
    for vectors in (*(adam_vectors(dtype, size) for size in (0, 1, 39, 1000)), all_edges(dtype)):
        params, gradient, mean, squares = vectors
        own = [params, gradient, *[mean, squares][2 - slots :]]
        assert_same_update(step.definition, step.kernel, own, 1, numbers)

    def faster(*vectors, **numbers):
        step.kernel(*vectors, **numbers | {"rate": 0.101})

    with pytest.raises(AssertionError):
        assert_same_update(step.definition, faster, own, 1, numbers)


def test_a_thousand_steps_of_adam_are_the_same_on_both_roads():
    rng = np.random.default_rng(6)
    gradients = rng.standard_normal((1000, 64)).astype(np.float32)
    ends = []
    for road in ("numpy", "numba"):
        params, m, v = (np.zeros(64, np.float32) for _ in range(3))
        with use_kernels(road):
            for count, gradient in enumerate(gradients, start=1):
                adam_step(params, gradient, m, v, **numbers_of(count))
        ends.append([params, m, v])
    assert all(np.array_equal(one, other) for one, other in zip(*ends, strict=True))
    assert np.abs(ends[0][0]).max() > 0.01


@needs_jit
@both_dtypes
def test_machine_code_of_adam_on_disk_is_that_of_the_present_source(dtype):
    names = ("beta1", "beta2", "new1", "new2", "rate", "correction", "eps")
    step = njit(**compiling.EXACT_FLAGS)(optimizers.adam_step.py_func)

    def fresh_kernel(*vectors, **numbers):
        step(*vectors, *(dtype(numbers[name]) for name in names))

    for count in (1, 1000):
        assert_same_update(adam_step.kernel, fresh_kernel, adam_vectors(dtype, 1001), count)


def _subtract_squares(total, product, share):
    for i in range(total.shape[0]):
        total[i] -= (product[i] * product[i]) * share


@needs_jit
@both_dtypes
@pytest.mark.parametrize("flags, exact", [(compiling.EXACT_FLAGS, True), ({"nogil": True}, False)])
def test_an_exact_loop_stays_exact_in_a_loop_that_may_contract(flags, exact, dtype):
    part = njit(**flags)(_subtract_squares)

    @njit(**compiling.FLAGS)
    def whole(total, product, share):
        part(total, product, share)

    wanted, product = np.random.default_rng(0).standard_normal((2, 1000)).astype(dtype)
    inside, alone, share = wanted.copy(), wanted.copy(), dtype(1.0 / 7)
    whole(inside, product, share)
    part(alone, product, share)
    wanted -= product * product * share
    # Flags that leave `fastmath` open take over that of the loop around.
    assert (np.array_equal(inside, wanted) and np.array_equal(alone, wanted)) == exact


def _adam_fault(change):
    """Return the definition with the vectors or the numbers changed on the way."""

    def fault(params, gradient, m, v, **numbers):
        vectors, numbers = change([params, gradient, m, v], dict(numbers))
        adam_step.definition(*vectors, **numbers)

    return fault


def _in_float64(params, gradient, m, v, **numbers):
    wide = [vector.astype(np.float64) for vector in (params, gradient, m, v)]
    adam_step.definition(*wide, **numbers)
    for vector, wider in zip((params, gradient, m, v), wide, strict=True):
        vector[:] = wider


def _clips_v(params, gradient, m, v, **numbers):
    adam_step.definition(params, gradient, m, v, **numbers)
    np.minimum(v, np.finfo(v.dtype).max, out=v)


def _writes_gradient(params, gradient, m, v, **numbers):
    adam_step.definition(params, gradient, m, v, **numbers)
    gradient *= 2


ADAM_FAULTS = {
    "forgets the last element": _adam_fault(lambda vectors, n: ([vector[:-1] for vector in vectors], n)),
    "reads v before it is new": lambda p, g, m, v, **n: adam_step.definition(p, g, m, v.copy(), **n),
    "exchanges the betas": _adam_fault(lambda vs, n: (vs, n | {"beta1": n["beta2"], "beta2": n["beta1"]})),
    "forms 1 - beta2 in float32": _adam_fault(
        lambda vs, n: (vs, n | {"new2": float(np.float32(1) - np.float32(n["beta2"]))})
    ),
    "rounds once and not at every operation": _in_float64,
    "hides an overflow": _clips_v,
    "writes into the gradient": _writes_gradient,
    "walks down": _adam_fault(lambda vs, n: (vs, n | {"rate": -n["rate"]})),
}


@pytest.mark.parametrize("fault", ADAM_FAULTS)
def test_update_check_refuses_a_kernel_that(fault):
    vectors = [
        np.concatenate(pair) for pair in zip(adam_vectors(np.float32, 99), all_edges(np.float32), strict=True)
    ]
    # The last element must be one that moves.
    vectors = [np.append(vector, np.float32(1)) for vector in vectors]
    assert_same_update(adam_step.definition, adam_step.kernel, vectors, 3)
    with pytest.raises(AssertionError):
        assert_same_update(adam_step.definition, ADAM_FAULTS[fault], vectors, 3)


NO_VECTORS = {
    "strided": lambda vectors: [np.repeat(vector, 2)[::2] for vector in vectors],
    "one_of_another_dtype": lambda vectors: [vectors[0].astype(np.float32), *vectors[1:]],
    "two_axes": lambda vectors: [vector.reshape(2, -1) for vector in vectors],
    "masked": lambda vectors: [vectors[0], np.ma.masked_array(vectors[1]), *vectors[2:]],
    "one_number": lambda vectors: [vectors[0], vectors[1][:1], *vectors[2:]],
}


@pytest.mark.parametrize("change", NO_VECTORS.values(), ids=NO_VECTORS)
def test_vectors_that_no_kernel_takes_go_to_the_definition(change, monkeypatch):
    def refuse(*_vectors, **_numbers):
        raise AssertionError("the loop would read past an end")

    monkeypatch.setattr(optimizers, "adam_step", refuse)
    adam_step_here = compiled_twin("optimizers", fits=equal_vectors)(adam_step.definition)
    vectors, wanted = (change(adam_vectors(np.float64, 8)) for _ in range(2))
    with use_kernels("numba"):
        with pytest.raises(AssertionError, match="past an end"):
            adam_step_here(*adam_vectors(np.float64, 8), **numbers_of(1))
        adam_step_here(*vectors, **numbers_of(1))
    adam_step.definition(*wanted, **numbers_of(1))
    for got, expected in zip(vectors, wanted, strict=True):
        np.testing.assert_array_equal(got, expected)


@needs_jit
def test_a_second_step_compiles_nothing():
    def steps(size):
        for dtype in (np.float64, np.float32):
            adam_step.kernel(*adam_vectors(dtype, size), **numbers_of(1))

    compiles_nothing(optimizers.adam_step, lambda: steps(3), lambda: steps(30))
