"""The compiled pass of EM for a mixture repeats its definition, and EM keeps its laws on both roads."""

from unittest import mock

import numpy as np
import pytest
from checks import compiles_nothing, peak_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from test_em import (
    DIGITS,
    SPIKED,
    bound_is_the_direct_one,
    m_step_is_the_best,
    problem_of,
    rough_start,
    same,
    staircase,
)

from elbo_lab.em import EMFit, fit_em, run_em, sums
from elbo_lab.em.scatter import SCATTERS
from elbo_lab.em.sums import Densities
from elbo_lab.kernels import exponential, mixture, use_kernels
from elbo_lab.models import GaussianMixture
from elbo_lab.special import LOG_2PI, log_softmax

# Of the size of each sum. Measured: 1e-12.
AGREEMENT = 1e-11
over_variants = pytest.mark.parametrize("variant", GaussianMixture.variants)
over_roads = pytest.mark.parametrize("road", ["numpy", "numba"])
needs_jit = pytest.mark.skipif(
    not hasattr(mixture.add_weighted_sums, "py_func"), reason="NUMBA_DISABLE_JIT is set"
)


def example(n_data, n_columns, n_components, variant, seed=0, far=0.0, tiny=1.0):
    """Return (x, densities, scatter): clouds that overlap, moved by `far`, one of them tiny."""
    rng = np.random.default_rng(seed)
    model = GaussianMixture(n_columns, n_components, variant)
    theta = 0.5 * rng.standard_normal(model.layout.size)
    t = model.layout.views(theta)
    t["mean"] += far
    scales = t["log_diagonal"] if variant == "full" else t["log_sigma"]
    scales[0] += np.log(tiny)
    if variant == "full":
        t["lower"][0] *= tiny
    z = rng.integers(n_components, size=n_data)
    x = t["mean"][z] + model.covariance.color(t, rng.standard_normal((n_data, n_columns)), z)
    whitener, log_det = model.covariance.whitener(t)
    scale = log_softmax(t["logits"], axis=-1) - log_det - 0.5 * n_columns * LOG_2PI
    return x, Densities(t["mean"], whitener, scale), SCATTERS[variant]


def sizes(x, densities, scatter):
    """Return what each sum is compared with: the sums of the sizes of its terms."""
    total, _, moment, entropy, _ = sums.definition(x, densities, scatter)
    squares = np.diagonal(moment, axis1=1, axis2=2) if moment.ndim == 3 else moment.reshape(len(total), -1)
    of_columns = np.sqrt(squares)
    spread = of_columns * np.sqrt(total)[:, None]  # Cauchy-Schwarz
    of_moment = of_columns[:, :, None] * of_columns[:, None, :] if moment.ndim == 3 else moment
    return total, spread, of_moment, entropy + len(x) * 1e-3, len(x)


def assert_same_sums(found, case, agreement=AGREEMENT):
    wanted = sums.definition(*case)
    for one, two, size in zip(found, wanted, sizes(*case), strict=True):
        assert np.shape(one) == np.shape(two)
        assert np.all(np.abs(np.subtract(one, two)) <= agreement * size + 1e-300)


# -- the definition is the formula, and the kernels are the definition --------------------------------


@over_variants
def test_the_definition_is_the_formula_row_by_row(variant):
    x, (mean, whitener, scale), _ = case = example(50, 3, 4, variant)
    total, shift, moment, entropy, log_likelihood = sums.definition(*case)
    A = whitener if whitener.ndim == 3 else whitener[:, :, None] * np.eye(3)
    log_joint = [[scale[c] - 0.5 * ((A[c] @ (row - mean[c])) ** 2).sum() for c in range(4)] for row in x]
    log_p = [np.log(np.exp(row).sum()) for row in log_joint]
    r = np.exp(np.array(log_joint) - np.array(log_p)[:, None])
    assert log_likelihood == pytest.approx(sum(log_p), rel=1e-12)
    assert entropy == pytest.approx(-(r * np.log(r)).sum(), rel=1e-10)
    np.testing.assert_allclose(total, r.sum(axis=0), rtol=1e-12)
    difference = x[:, None, :] - mean
    np.testing.assert_allclose(shift, np.einsum("nc,ncd->cd", r, difference), rtol=1e-9, atol=1e-12)
    outer = np.einsum("nc,nci,ncj->cij", r, difference, difference)
    diagonal = np.diagonal(outer, axis1=1, axis2=2)
    expected = {"full": outer, "diagonal": diagonal, "spherical": diagonal.mean(axis=1)}[variant]
    np.testing.assert_allclose(moment, expected, rtol=1e-9, atol=1e-12)


@over_variants
@pytest.mark.parametrize("n_columns", [1, 2, 3, 4, 5, 8, 9, 16])
@pytest.mark.parametrize("n_data", [1, 127, 128, 129, 1000])
def test_kernels_equal_the_definition_in_every_shape(variant, n_columns, n_data):
    for n_components in (1, 3):
        case = example(n_data, n_columns, n_components, variant, seed=n_data)
        assert_same_sums(sums.by_kernels(*case), case)


@over_variants
@given(
    st.integers(1, 300),
    st.integers(1, 6),
    st.integers(1, 5),
    st.floats(-1e4, 1e4),
    st.floats(1e-2, 10.0),
    st.integers(0, 1000),
)
@settings(deadline=None)
def test_kernels_equal_the_definition_on_any_data(variant, n_data, n_columns, n_components, far, tiny, seed):
    case = example(n_data, n_columns, n_components, variant, seed, far, tiny)
    # The last places of x themselves, in units of the smallest spread.
    assert_same_sums(sums.by_kernels(*case), case, AGREEMENT * max(1.0, abs(far) / (1e3 * tiny)))


@over_variants
@pytest.mark.parametrize("n_columns", [2, 5])
def test_kernels_keep_ten_digits_far_from_zero_and_beside_a_tiny_component(variant, n_columns):
    case = example(4000, n_columns, 3, variant, far=1e3, tiny=1e-3)
    assert_same_sums(sums.by_kernels(*case), case, 1e-10)


@over_variants
@pytest.mark.parametrize("n_columns", [1, 2, 5])
def test_a_component_that_no_datum_is_near_has_no_share_and_spoils_nothing(variant, n_columns):
    case = example(500, n_columns, 3, variant)
    case[1].mean[1] = 1e6
    found = sums.by_kernels(*case)
    assert_same_sums(found, case)
    assert found[0][1] == 0.0 and np.isfinite(found[3]) and np.isfinite(found[4])


def test_nan_in_a_parameter_is_not_swallowed():
    for n_columns in (1, 2, 5):
        x, densities, scatter = example(300, n_columns, 2, "full")
        densities.mean[:] = np.nan
        assert np.isnan(sums.by_kernels(x, densities, scatter)[4])


@pytest.mark.parametrize("n_columns", [1, 2, 5])
def test_rows_in_any_order_of_memory_are_taken(n_columns):
    case = example(300, n_columns, 3, "full")
    wanted = sums.by_kernels(*case)
    wide = np.repeat(case[0], 2, axis=1)[:, ::2]
    frozen = case[0].copy()
    frozen.setflags(write=False)
    for x in (wide, np.asfortranarray(case[0]), frozen):
        for one, two in zip(sums.by_kernels(x, *case[1:]), wanted, strict=True):
            np.testing.assert_array_equal(one, two)
    assert case[0].flags.writeable


def test_the_logarithm_of_a_sum_is_right_to_the_last_places():
    s = np.concatenate([1 + np.logspace(-16, 0, 4000), np.logspace(0, 300, 4000), np.arange(1.0, 200.0)])
    found = np.array([exponential.log_of_at_least_one(value) for value in s])
    wanted = np.log(s.astype(np.longdouble))
    assert np.all(np.abs(found - wanted) <= 2 * np.spacing(np.abs(wanted).astype(float)))
    assert np.isnan([exponential.log_of_at_least_one(value) for value in (np.nan, np.inf)]).all()


# -- faults -------------------------------------------------------------------------------------------


def with_fault(case, fault):
    """Return the sums of the kernels, as a kernel with the fault would give them."""
    if fault == "forgets the last row":
        return sums.by_kernels(case[0][:-1], *case[1:])
    total, shift, moment, entropy, log_likelihood = sums.by_kernels(*case)
    if fault == "upper triangle left empty":
        moment = np.tril(moment)
    elif fault == "moments a millionth too large":
        moment = moment * (1 + 1e-6)
    elif fault == "shift of another sign":
        shift = -shift
    elif fault == "entropy without a tenth":
        entropy *= 0.9
    else:
        log_likelihood += 1e-6
    return total, shift, moment, entropy, log_likelihood


FAULTS = [
    "forgets the last row",
    "upper triangle left empty",
    "moments a millionth too large",
    "shift of another sign",
    "entropy without a tenth",
    "log-likelihood a millionth of a nat off",
]


@pytest.mark.parametrize("n_columns", [2, 5])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_comparison_refuses_a_kernel_with_the_fault(fault, n_columns):
    case = example(300, n_columns, 3, "full")
    assert_same_sums(sums.by_kernels(*case), case)
    with pytest.raises(AssertionError):
        assert_same_sums(with_fault(case, fault), case)


# -- threads, memory, machine code --------------------------------------------------------------------


@pytest.mark.parametrize(("n_columns", "variant"), [(2, "full"), (5, "full"), (5, "diagonal")])
def test_any_number_of_threads_gives_the_same_bits(n_columns, variant):
    case = example(40_000, n_columns, 3, variant)
    first, *others = (sums.by_kernels(*case, threads=threads) for threads in (1, 2, 3))
    for other in others:
        for one, two in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_fit_with_any_number_of_threads_is_the_same_bit_for_bit():
    x = np.random.default_rng(0).standard_normal((9000, 3)) + np.repeat([0.0, 3.0], 4500)[:, None]
    fits = []
    for threads in (1, 2, 3):
        fit = EMFit(GaussianMixture(3, 2, "full"), x, restarts=1, max_iterations=5, threads=threads)
        while not fit.finished:
            fit.advance()
        fits.append(fit)
    same(fits[0], fits[1])
    same(fits[0], fits[2])


def peak_of(n_data, road):
    case = example(n_data, 4, 3, "full")
    with use_kernels(road):
        sums.weighted_sums(*case, threads=2)
        return peak_memory(lambda: sums.weighted_sums(*case, threads=2))


def test_the_memory_of_a_pass_does_not_grow_with_the_data():
    # The part sums of 16 parts in both cases; one number per row would be 480 kB more.
    assert peak_of(160_000, "numba") < peak_of(100_000, "numba") + 50_000
    # The definition works in blocks of 32,768 rows.
    assert peak_of(160_000, "numpy") < peak_of(100_000, "numpy") + 50_000


@needs_jit
def test_a_second_pass_compiles_nothing():
    def passes(n_data):
        for n_columns in (1, 2, 5):
            for variant in GaussianMixture.variants:
                sums.by_kernels(*example(n_data, n_columns, 2, variant))

    compiles_nothing(mixture.add_weighted_sums, lambda: passes(10), lambda: passes(300))
    assert len(mixture.add_weighted_sums.signatures) == 1


# -- EM on both roads ---------------------------------------------------------------------------------


@over_roads
@over_variants
@pytest.mark.parametrize("x", [DIGITS, DIGITS[:, 2:4], DIGITS[:, 3:4]], ids=["8", "2", "1"])
def test_em_keeps_its_laws_on_both_roads(x, variant, road):
    model = GaussianMixture(x.shape[1], 3, variant)
    with use_kernels(road):
        problem = problem_of(model, x)
        staircase(run_em(problem, rough_start(model, x), max_iterations=60).history, above_start=True)
        m_step_is_the_best(problem, rough_start(model, x))
        bound_is_the_direct_one(problem, model, x, rough_start(model, x))
        floored = problem_of(model, x, 0.7 * x.var(axis=0).mean())
        staircase(run_em(floored, rough_start(model, x), max_iterations=30).history)
        m_step_is_the_best(floored, rough_start(model, x))


@over_variants
def test_both_roads_end_at_the_same_maximum(variant):
    model, fits = GaussianMixture(2, 2, variant), []
    for road in ("numpy", "numba"):
        with use_kernels(road):
            fits.append(fit_em(model, SPIKED, restarts=3))
    assert fits[0].log_likelihood == pytest.approx(fits[1].log_likelihood, rel=1e-9)
    assert fits[0].at_floor == fits[1].at_floor and fits[0].warnings[0][:40] == fits[1].warnings[0][:40]


def test_the_switch_chooses_the_road():
    case = example(20, 2, 2, "full")
    with mock.patch.object(sums, "by_kernels", return_value="kernel"):
        with use_kernels("numpy"):
            assert len(sums.weighted_sums(*case)) == 5
        with use_kernels("numba"):
            assert sums.weighted_sums(*case) == "kernel"
