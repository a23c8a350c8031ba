"""Draws from the prior, streamed; and the running sums of weights that all streamed evidence stands on."""

import numpy as np
import pytest
from cases import CASES, make_case, model_id
from checks import assert_close, compiles_nothing

from elbo_lab.bounds import prior_evidence
from elbo_lab.distributions import draw_noise
from elbo_lab.evaluation import prior, prior_nll
from elbo_lab.evaluation.prior import stream_prior
from elbo_lab.evaluation.running import RunningWeights, add_exponentials
from elbo_lab.exact import ladder
from elbo_lab.kernels import running, use_kernels
from elbo_lab.models import DeepBernoulli

over_all = pytest.mark.parametrize("case", CASES, ids=model_id)
over_roads = pytest.mark.parametrize("road", ["numba", "numpy"])
VAE = make_case(DeepBernoulli(6, 2, (8,)), n_data=45)
LARGE = make_case(DeepBernoulli(60, 3, (40,)), n_data=30)


def nll_of(case, n_samples, **options):
    return prior_nll(case.model, case.theta, case.x, n_samples, **options)


# -- the estimate ----------------------------------------------------------------------------------


def check_stream(case, relative=1e-12):
    """Hold the stream against the definition on the same draws."""
    model, eta = case.model, case.model.prior_eta(case.theta)
    terms = model.data_terms(case.theta, case.x)
    found = stream_prior(model, case.theta, terms, 40, np.random.default_rng(3))
    z = model.family.sample(eta, draw_noise(model.family.noise_spec(40, 1), np.random.default_rng(3)))
    assert found.count == 40
    assert_close(found.log_mean(), prior_evidence(model, case.theta, case.x, z), relative)


@over_roads
@over_all
def test_the_stream_is_the_definition_on_the_same_draws(case, road):
    with use_kernels(road):
        check_stream(case)


def test_draws_in_many_passes_are_the_same_draws(monkeypatch):
    monkeypatch.setattr(prior, "DRAWS_PER_PASS", 7)
    monkeypatch.setattr(prior, "FEWEST_PER_PASS", 7)
    check_stream(VAE)


def _without_bias(self, theta, x):
    terms = self.__class__.__mro__[0].honest_terms(self, theta, x)
    terms[:, -2] = 0.0
    return terms


def _other_layer(self, theta, x):
    terms = self.__class__.__mro__[0].honest_terms(self, theta, x)
    return np.concatenate([terms[:, 1:-2], terms[:, :1], terms[:, -2:]], axis=1)


@pytest.mark.parametrize("fault", [_without_bias, _other_layer])
def test_a_fault_in_the_terms_of_the_data_is_seen(fault, monkeypatch):
    monkeypatch.setattr(DeepBernoulli, "honest_terms", DeepBernoulli.data_terms, raising=False)
    monkeypatch.setattr(DeepBernoulli, "data_terms", fault)
    with pytest.raises(AssertionError):
        check_stream(VAE, 1e-3)


def test_draws_from_the_prior_reach_the_evidence_within_their_error():
    # Two latents, |z| <= 5, fixed seed.
    found = nll_of(VAE, 20_000)
    truth = ladder.log_evidence(VAE.model, VAE.theta, VAE.x)[0]
    assert (found.standard_error < 0.05).all()
    assert (np.abs(found.nll + truth) <= 5.0 * found.standard_error).all()


def test_float32_agrees_and_weights_are_added_in_float64():
    short = prior_nll(LARGE.model, LARGE.theta.astype(np.float32), LARGE.x, 500)
    full = nll_of(LARGE, 500)
    assert short.nll.dtype == np.float64
    assert_close(short.nll, full.nll, 1e-5)
    assert_close(short.effective_sample_size, full.effective_sample_size, 1e-3)


def test_progress_counts_the_draws():
    seen = []
    nll_of(VAE, 20, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == [2, 4, 6, 8, 11, 14, 17, 20] and {total for _, total in seen} == {20}


# -- running sums ----------------------------------------------------------------------------------


def log_weights(dtype, shape, seed=0):
    """Return log-weights (S, N) of all sizes, their first columns with zeros among them."""
    rng = np.random.default_rng(seed)
    log_w = -500.0 + rng.standard_normal(shape) * np.geomspace(0.1, 400.0, shape[1])
    log_w[rng.random(shape) < 0.1] = -np.inf
    return log_w.astype(dtype)


def sums_of(road, log_w, shift):
    sums = np.full((2, log_w.shape[1]), 0.25)
    road(log_w, shift, *sums)
    return sums


def check_twins(kernel, relative):
    """Hold a kernel of `add_exponentials` against its definition over shapes and dtypes."""
    for dtype in (np.float64, np.float32):
        for shape in ((1, 1), (3, 7), (50, 33), (7, 200)):
            log_w = log_weights(dtype, shape)
            shift = np.nan_to_num(log_w.max(axis=0).astype(np.float64), neginf=0.0)
            for moved in (shift, shift + 0.1):  # a shift that float32 cannot hold
                wanted = sums_of(add_exponentials.definition, log_w, moved)
                np.testing.assert_allclose(sums_of(kernel, log_w, moved), wanted, rtol=relative[dtype])


# A weight is known to 4e-8 in float32; the sums are float64.
TWIN = {np.float64: 1e-14, np.float32: 4e-7}


def test_the_kernel_adds_what_the_definition_adds():
    check_twins(add_exponentials.kernel, TWIN)


def _forgets_squares(log_w, shift, total, squares):
    add_exponentials.definition(log_w, shift, total, squares.copy())


def _rounds_the_shift(log_w, shift, total, squares):
    add_exponentials.definition(log_w, shift.astype(np.float32).astype(np.float64), total, squares)


def _forgets_the_last(log_w, shift, total, squares):
    add_exponentials.definition(log_w[:-1], shift, total, squares)


@pytest.mark.parametrize("fault", [_forgets_squares, _rounds_the_shift, _forgets_the_last])
def test_the_check_of_twins_refuses_a_kernel_that(fault):
    with pytest.raises(AssertionError):
        check_twins(fault, TWIN)


@over_roads
def test_weights_that_are_zero_infinite_or_no_number_stay_what_they_are(road):
    for dtype in (np.float64, np.float32):
        parts = [
            np.array([[-np.inf, 1.0, np.nan, 1.0, np.inf], [-np.inf, 2.0, 0.0, np.inf, np.inf]], dtype),
            np.array([[-np.inf, -np.inf, 0.0, 0.0, 0.0]], dtype),
        ]
        for order in (parts, parts[::-1]):
            found = RunningWeights(5)
            with use_kernels(road):
                for part in order:
                    found.add(part)
            log_mean = found.log_mean()
            assert log_mean[0] == -np.inf and np.isnan(log_mean[2])
            assert log_mean[3] == log_mean[4] == np.inf
            assert log_mean[1] == pytest.approx(np.log((np.e + np.e**2) / 3), rel=1e-6)


@over_roads
def test_an_infinite_weight_beside_large_ones_shows_without_a_warning(road):
    parts = np.array([[[800.0], [0.0]], [[np.inf], [1.0]]])
    for order in (parts, parts[::-1]):
        found, merged = RunningWeights(1), RunningWeights(1)
        with use_kernels(road):
            for part in order:
                found.add(part)
                other = RunningWeights(1)
                other.add(part)
                merged.add_sums(other)
        for one in (found, merged):
            assert one.log_mean() == np.inf
            assert np.isnan(one.effective_sample_size()) and np.isnan(one.standard_error())


@over_roads
def test_one_draw_has_no_standard_error(road):
    found = RunningWeights(2)
    with use_kernels(road):
        found.add(np.array([[1.0, -np.inf]]))
    assert np.array_equal(found.log_mean(), [1.0, -np.inf])
    assert np.isnan(found.standard_error()[0])


@over_roads
def test_sums_of_parts_are_the_sums_of_all(road):
    log_w = log_weights(np.float64, (60, 9))
    whole, left, right, none = (RunningWeights(9) for _ in range(4))
    with use_kernels(road):
        whole.add(log_w)
        left.add(log_w[:13])
        right.add(log_w[13:])
    left.add_sums(right)
    left.add_sums(none)
    none.add_sums(whole)
    for found in (left, none):
        assert found.count == 60
        assert_close(found.log_mean(), whole.log_mean(), 1e-13)
        assert_close(found.standard_error(), whole.standard_error(), 1e-11)


@pytest.mark.skipif(not hasattr(running.add_exponentials, "py_func"), reason="NUMBA_DISABLE_JIT is set")
def test_a_second_call_compiles_nothing():
    def add(*shape):
        for dtype in (np.float64, np.float32):
            sums_of(add_exponentials.kernel, log_weights(dtype, shape), np.zeros(shape[1]))

    compiles_nothing(running.add_exponentials, lambda: add(3, 4), lambda: add(30, 40))
