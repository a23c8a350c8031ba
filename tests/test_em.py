"""EM: the staircase of the bound, the floor, restarts, and runs that go on bit for bit."""

import json
import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from checks import peak_memory
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab.datasets import load
from elbo_lab.em import (
    EMFit,
    GeneticLinkage,
    LinearGaussianEM,
    MixtureEM,
    fit_closed_form,
    fit_em,
    mixture,
    run_em,
    sums,
)
from elbo_lab.em.fit import named
from elbo_lab.em.scatter import SCATTERS, FullScatter
from elbo_lab.em.starts import cluster, mixture_start, plus_plus
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import evidence
from elbo_lab.kernels import use_kernels
from elbo_lab.models import PPCA, DeepBernoulli, FactorAnalysis, GaussianMixture, GaussianMLE
from elbo_lab.optimise import maximise_evidence
from elbo_lab.special import log_softmax, log_sum_exp

FAITHFUL = load("faithful").x
DIGITS = load("digits:dequantised").rows(300, 0).x[:, 20:28]


def from_three_factors(n_data):
    """Return data (N, 8) whose factor analysis has noise everywhere: on DIGITS one variance goes to 0."""
    rng = np.random.default_rng(3)
    return rng.standard_normal((n_data, 3)) @ rng.standard_normal((3, 8)) + rng.standard_normal((n_data, 8))


FACTORS = from_three_factors(300)
# The maximum of R's mclust (VVV, two components).
BEST_FAITHFUL = -1130.264
# A cloud, and ten times one datum far from it: a spike that only a floor can stop.
SPIKED = np.concatenate([np.random.default_rng(0).standard_normal((60, 2)), np.full((10, 2), 8.0)])

MODELS = (
    *(GaussianMixture(8, 3, variant) for variant in GaussianMixture.variants),
    PPCA(8, 2),
    FactorAnalysis(8, 3),
)
over_models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.label)
over_variants = pytest.mark.parametrize("variant", GaussianMixture.variants)


def problem_of(model, x=DIGITS, floor=None):
    kind = MixtureEM if isinstance(model, GaussianMixture) else LinearGaussianEM
    return kind(model, x, 1e-6 * x.var(axis=0).mean() if floor is None else floor)


def rough_start(model, x=DIGITS, seed=0, size=0.3):
    """Return a start away from every maximum: the model's own, shaken."""
    noise = np.random.default_rng(seed).standard_normal(model.layout.size)
    return model.initial_theta(x) + size * noise


def direct_elbo(model, x, theta, responsibilities_at):
    """Return the ELBO of a mixture at theta, with q the posterior at another theta, datum by datum."""
    logits = model.posterior_eta(responsibilities_at, x)
    log_r = logits - log_sum_exp(logits, axis=1)[:, None]
    log_joint = model.likelihood_table(theta, x)[0] + log_softmax(model.prior_eta(theta), axis=-1)
    return (np.exp(log_r) * (log_joint - log_r)).sum()


def direct_linear_elbo(model, x, theta, posterior_at):
    """Return log p(x; theta) - KL(q || posterior at theta), with the dense KL between two Gaussians."""
    mean_q, cov_q = model.posterior_moments(posterior_at, x)
    mean_p, cov_p = model.posterior_moments(theta, x)
    precision = np.linalg.inv(cov_p)
    shift = mean_q - mean_p
    spread = (
        np.trace(precision @ cov_q) - len(cov_q) + np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    )
    kl = 0.5 * ((shift @ precision * shift).sum() + len(x) * spread)
    return model.log_evidence(theta, x).sum() - kl


# -- laws (also run on planted faults) -------------------------------------------------------------


def staircase(history, above_start=False, rounding=1e-12, least_scale=0.0):
    """log p(theta_{i-1}) = ELBO after E <= ELBO after M <= log p(theta_i)."""
    for before, row in pairwise(history):
        scale = max(abs(before["log_likelihood"]), least_scale)
        assert abs(row["elbo_after_e"] - before["log_likelihood"]) <= 1e-9 * scale
        assert row["elbo_after_m"] >= row["elbo_after_e"] - rounding * scale
        assert row["log_likelihood"] >= row["elbo_after_m"] - rounding * scale
    if above_start:
        assert history[-1]["log_likelihood"] > history[0]["log_likelihood"] + 1.0


def m_step_is_the_best(problem, start, seed=0):
    """No theta inside the constraints has a higher ELBO than that of the M-step."""
    q = problem.e_step(problem.prepared(start))
    theta = problem.m_step(q)
    best, rng = problem.elbo(theta, q), np.random.default_rng(seed)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(10):
            other = problem.prepared(theta + size * rng.standard_normal(theta.shape))
            assert problem.elbo(other, q) <= best + 1e-11 * abs(best)


def bound_is_the_direct_one(problem, model, x, start):
    """The ELBO from statistics is the ELBO summed datum by datum, at any pair of q and theta."""
    first = problem.prepared(start)
    q = problem.e_step(first)
    other = problem.prepared(first + 0.1 * np.random.default_rng(5).standard_normal(first.shape))
    direct = direct_elbo if isinstance(model, GaussianMixture) else direct_linear_elbo
    for theta in (first, other, problem.m_step(q)):
        assert problem.elbo(theta, q) == pytest.approx(direct(model, x, theta, first), rel=1e-10)


def ends_where_the_gradient_is_zero(model, x):
    fit = fit_em(model, x, start=rough_start(model, x), tolerance=1e-14, max_iterations=20_000)
    assert fit.converged and not fit.at_floor
    gradient = evidence(model, fit.theta, x).grad_theta
    assert np.abs(gradient).max() < 2e-6


@over_models
def test_the_bound_is_a_staircase_that_touches_the_log_likelihood_after_every_e_step(model):
    problem = problem_of(model)
    run = run_em(problem, rough_start(model), max_iterations=60)
    staircase(run.history, above_start=True)
    assert [row["iteration"] for row in run.history] == list(range(len(run.history)))
    assert set(run.history[0]) == {"iteration", "log_likelihood"}


@over_models
def test_the_log_likelihood_is_the_exact_evidence_of_the_model(model):
    problem, theta = problem_of(model), rough_start(model)
    theta = problem.prepared(theta)
    assert problem.log_likelihood(theta) == pytest.approx(
        evidence(model, theta, DIGITS).value.sum(), rel=1e-12
    )


@over_models
def test_the_bound_from_statistics_is_the_bound_datum_by_datum(model):
    bound_is_the_direct_one(problem_of(model), model, DIGITS, rough_start(model))


@over_models
def test_the_m_step_is_the_best_theta_for_its_q(model):
    m_step_is_the_best(problem_of(model), rough_start(model))


@over_models
def test_the_m_step_is_the_best_theta_also_where_the_floor_binds(model):
    # A floor above most eigenvalues, so that it binds in many places.
    floor = 0.7 * DIGITS.var(axis=0).mean()
    problem = problem_of(model, floor=floor)
    run = run_em(problem, rough_start(model), max_iterations=40)
    staircase(run.history)
    m_step_is_the_best(problem, rough_start(model))
    assert problem.at_floor(run.theta)


@over_models
def test_em_ends_where_the_gradient_of_the_evidence_is_zero(model):
    ends_where_the_gradient_is_zero(model, FACTORS if isinstance(model, FactorAnalysis) else DIGITS)


@given(
    st.integers(1, 4), st.sampled_from(GaussianMixture.variants), st.integers(2, 40), st.integers(0, 10_000)
)
def test_the_staircase_stands_on_any_data(n_components, variant, n_data, seed):
    rng = np.random.default_rng(seed)
    x = np.round(rng.standard_normal((n_data, 2)) * np.exp(2 * rng.standard_normal(2)), 1) + rng.normal()
    x[0] += 1.0  # never constant
    n_components = min(n_components, n_data)
    try:
        fit = EMFit(GaussianMixture(2, n_components, variant), x, restarts=1, seed=seed, max_iterations=30)
    except ValueError as error:
        assert "constant column" in str(error)
        return
    while not fit.finished:
        fit.advance()
    # Data on a line stand at the floor, with condition numbers of 1e6 and more: 1e6 x 2e-16 per datum is
    # what a covariance in double precision can say there, whatever the value of the total.
    staircase(fit.result().history, rounding=1e-9, least_scale=n_data)


# -- planted faults --------------------------------------------------------------------------------


def floor_added(moments, floor):
    return moments + floor * np.eye(moments.shape[-1])


def moments_over_n_minus_one(weights, difference):
    return (weights[:, None] * difference).T @ difference * (len(weights) / (len(weights) - 1))


def without_shift(vector):
    return np.zeros((*vector.shape, vector.shape[-1]))


def without_entropy(self, *statistics, right=MixtureEM._statistics):
    return right(self, *statistics[:-1], 0.0)


FAULTS = {
    "floor added, not clipped": (FullScatter, "clip", staticmethod(floor_added)),
    "moments over N - 1": (FullScatter, "second_moment", staticmethod(moments_over_n_minus_one)),
    "moments about the old mean": (FullScatter, "outer", staticmethod(without_shift)),
    "missing entropy": (MixtureEM, "_statistics", without_entropy),
    "weights forgotten in the E-step": (mixture, "log_softmax", lambda a, axis: np.zeros(a.shape[axis])),
    "dropped constant": (mixture, "LOG_2PI", 0.0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_planted_in_the_mixture_is_caught(fault, monkeypatch):
    model = GaussianMixture(8, 3, "full")
    monkeypatch.setattr(*FAULTS[fault])
    problem = problem_of(model, floor=0.3 * DIGITS.var(axis=0).mean())
    # The kernel has formulas of its own; its faults stand in `test_em_kernels`.
    with use_kernels("numpy"), pytest.raises(AssertionError):
        staircase(run_em(problem, rough_start(model), max_iterations=60).history)
        bound_is_the_direct_one(problem, model, DIGITS, rough_start(model))
        ends_where_the_gradient_is_zero(model, DIGITS)


def test_a_floor_that_is_added_lowers_the_likelihood(monkeypatch):
    x, model = FAITHFUL, GaussianMixture(2, 2, "full")
    floor = 0.01 * x.var(axis=0).mean()
    start = run_em(
        problem_of(model, x, floor), mixture_start(model, x, np.random.default_rng(0), floor)
    ).theta
    monkeypatch.setattr(FullScatter, "clip", staticmethod(floor_added))
    with use_kernels("numpy"):
        history = run_em(problem_of(model, x, floor), start, max_iterations=5).history
    assert history[1]["log_likelihood"] < history[0]["log_likelihood"] - 1.0
    with pytest.raises(AssertionError):
        staircase(history)


class NoiseOverNMinusOne(LinearGaussianEM):
    def __init__(self, model, x, floor):
        super().__init__(model, x, floor)
        self.covariance = self.covariance * len(x) / (len(x) - 1)


class NoPosteriorVariance(LinearGaussianEM):
    def _moments(self, q):
        cross = q.beta @ self.covariance
        return cross, cross @ q.beta.T


class FloorOnTop(LinearGaussianEM):
    def m_step(self, q):
        t = self.model.layout.views(super().m_step(q))
        log_sigma = 0.5 * np.log(np.exp(2 * t["log_sigma"]) + self.floor)
        return self.model.layout.pack({**t, "log_sigma": log_sigma})


@pytest.mark.parametrize("fault", [NoiseOverNMinusOne, NoPosteriorVariance, FloorOnTop])
@pytest.mark.parametrize("model", MODELS[3:], ids=lambda model: model.label)
def test_a_fault_planted_in_a_linear_model_is_caught(fault, model):
    problem, start = fault(model, DIGITS, 0.1 * DIGITS.var(axis=0).mean()), rough_start(model)
    with pytest.raises(AssertionError):
        staircase(run_em(problem, start, max_iterations=60).history)
        bound_is_the_direct_one(problem, model, DIGITS, start)
        m_step_is_the_best(problem, start)


# -- known answers ---------------------------------------------------------------------------------


@over_variants
def test_one_component_is_the_closed_form(variant):
    model = GaussianMixture(2, 1, variant)
    found, expected = fit_em(model, FAITHFUL), fit_closed_form(model, FAITHFUL)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-13)
    for name, value in model.described(expected.theta).items():
        np.testing.assert_allclose(model.described(found.theta)[name], value, rtol=1e-10)
    assert found.converged and not found.warnings


@pytest.mark.parametrize("seed", range(20))
def test_two_full_components_reach_the_best_maximum_of_old_faithful_from_any_seed(seed):
    fit = fit_em(GaussianMixture(2, 2, "full"), FAITHFUL, seed=seed)
    assert fit.log_likelihood == pytest.approx(BEST_FAITHFUL, abs=1e-3)
    assert fit.converged and fit.warnings == () and fit.at_floor == ()


def test_ppca_by_em_from_a_random_start_reaches_the_closed_form():
    model = PPCA(8, 2)
    found, expected = fit_em(model, DIGITS, tolerance=1e-13), fit_closed_form(model, DIGITS)
    assert found.history[0]["log_likelihood"] < expected.log_likelihood - 100.0
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-10)
    np.testing.assert_allclose(found.theta, model.canonical(expected.theta), atol=1e-4)


def test_factor_analysis_by_em_and_by_gradient_ascent_meet():
    model = FactorAnalysis(8, 3)
    found = fit_em(model, FACTORS, tolerance=1e-12, max_iterations=5000)
    climbed = evidence(model, maximise_evidence(model, FACTORS), FACTORS).value.sum()
    assert found.converged and found.warnings == ()
    assert found.log_likelihood == pytest.approx(climbed, rel=1e-8)


def test_the_fit_of_a_linear_model_is_in_canonical_form_with_the_same_likelihood():
    for model in MODELS[3:]:
        fit = fit_em(model, DIGITS)
        assert evidence(model, fit.theta, DIGITS).value.sum() == pytest.approx(fit.log_likelihood, rel=1e-12)
        model.posterior_eta(fit.theta, DIGITS)  # refused if the coordinates were correlated


def test_a_single_start_reaches_the_best_maximum_of_old_faithful_as_a_rule():
    model = GaussianMixture(2, 2, "full")
    ends = [fit_em(model, FAITHFUL, restarts=1, seed=seed).log_likelihood for seed in range(30)]
    assert sum(abs(end - BEST_FAITHFUL) < 1e-3 for end in ends) >= 25


# -- the genetic linkage of 1977 -------------------------------------------------------------------

PRINTED = (
    0.500000000,
    0.608247423,
    0.624321051,
    0.626488879,
    0.626777323,
    0.626815632,
    0.626820719,
    0.626821395,
    0.626821484,
)  # Dempster, Laird and Rubin 1977, table 1


def linkage_path(start, n):
    problem, path = GeneticLinkage(), [start]
    for _ in range(n):
        path.append(problem.m_step(problem.e_step(path[-1])))
    return path


def test_the_printed_table_of_the_genetic_linkage_comes_out():
    problem = GeneticLinkage()
    run, found = run_em(problem, 0.5, max_iterations=1), [0.5]
    while len(found) < len(PRINTED):
        found.append(run_em(problem, found[-1], tolerance=1e-300, max_iterations=1).theta)
    assert run.theta == found[1]
    np.testing.assert_allclose(found, PRINTED, rtol=0, atol=1.5e-9)


def test_the_floating_path_is_the_rational_one():
    exact, floating = linkage_path(Fraction(1, 2), 30), linkage_path(0.5, 30)
    assert all(isinstance(value, Fraction) for value in exact)
    assert max(abs(float(value) - found) for value, found in zip(exact, floating, strict=True)) < 1e-12
    assert exact[1] == Fraction(59, 97)


def test_the_linkage_ends_at_the_root_of_its_likelihood_equation():
    run = run_em(GeneticLinkage(), 0.5, tolerance=1e-16)
    # 125 / (2 + t) - 38 / (1 - t) + 34 / t = 0, so 197 t^2 - 15 t - 68 = 0.
    assert float(run.theta) == pytest.approx((15 + math.sqrt(15**2 + 4 * 197 * 68)) / (2 * 197), abs=1e-8)


def test_the_linkage_climbs_a_staircase():
    history = run_em(GeneticLinkage(), 0.1, tolerance=1e-14).history
    staircase(history, above_start=True)


def test_the_likelihood_and_bound_of_the_linkage_are_sums_over_all_divisions_of_the_first_cell():
    problem, t, s = GeneticLinkage((7, 2, 3, 4)), 0.3, 0.45
    cells = np.array([0.5, t / 4, (1 - t) / 4, (1 - t) / 4, t / 4])
    log_joint, log_q = [], []
    for z in range(8):
        counts = np.array([7 - z, z, 2, 3, 4])
        ways = math.lgamma(17) - sum(math.lgamma(c + 1) for c in counts)
        log_joint.append(ways + counts @ np.log(cells))
        log_q.append(math.log(math.comb(7, z)) + z * math.log(s) + (7 - z) * math.log(1 - s))
    log_joint, log_q = np.array(log_joint), np.array(log_q)
    assert problem.log_likelihood(t) == pytest.approx(log_sum_exp(log_joint, axis=0), rel=1e-13)
    assert problem.elbo(t, s) == pytest.approx((np.exp(log_q) * (log_joint - log_q)).sum(), rel=1e-13)


def test_linkage_counts_with_empty_cells_have_an_answer():
    run = run_em(GeneticLinkage((10, 0, 0, 3)), 0.5)
    assert run.theta == 1.0 and np.isfinite(run.log_likelihood)
    with pytest.raises(ValueError, match=r"counts: expected four counts"):
        GeneticLinkage((10, 0, 0, 0))
    with pytest.raises(ValueError, match=r"start: expected a number between 0 and 1, both excluded, got 0.0"):
        run_em(GeneticLinkage(), 0.0)


# -- the floor -------------------------------------------------------------------------------------


@over_variants
@given(seed=st.integers(0, 1000))
def test_clipping_leaves_what_is_above_the_floor_and_lifts_what_is_below(variant, seed):
    rng, scatter = np.random.default_rng(seed), SCATTERS[variant]
    moment = scatter.second_moment(np.ones(4), rng.standard_normal((4, 3)))
    moments = np.array([moment, moment * 100.0])
    low = scatter.smallest(moments)[0]
    np.testing.assert_array_equal(scatter.clip(moments, 0.5 * low), moments)
    clipped = scatter.clip(moments, 2.0 * low)
    assert scatter.smallest(clipped)[0] == pytest.approx(2.0 * low, rel=1e-9)
    np.testing.assert_array_equal(clipped[1], moments[1])
    if variant == "full":
        before, after = np.linalg.eigvalsh(moments[0]), np.linalg.eigvalsh(clipped[0])
        np.testing.assert_allclose(after, np.maximum(before, 2.0 * low), rtol=1e-9)


@over_variants
def test_a_spike_stops_at_the_floor_and_is_named(variant):
    model = GaussianMixture(2, 2, variant)
    fit = fit_em(model, SPIKED)
    assert fit.floor == pytest.approx(1e-6 * SPIKED.var(axis=0).mean())
    staircase(fit.history)
    spike = int(model.described(fit.theta)["means"][:, 0].argmax())
    assert fit.at_floor == (spike,)
    smallest = np.linalg.eigvalsh(model.described(fit.theta)["covariances"][spike])[0]
    assert smallest == pytest.approx(fit.floor, rel=1e-6)
    # All ten starts find it: nothing better to return, and that is said.
    (warning,) = fit.warnings
    assert warning.startswith(f"component {spike} is at the floor {fit.floor:.3g} of the variances")
    assert "so it is in all 10 runs, and the best of them is kept" in warning


def test_a_flat_spike_at_a_small_floor_is_named():
    # Twelve data in a flat of four dimensions out of five: the thin axis has the rounding of the wide ones.
    rng = np.random.default_rng(1)
    flat = 30.0 + 3.0 * rng.standard_normal((12, 4)) @ rng.standard_normal((4, 5))
    x = np.concatenate([rng.standard_normal((60, 5)), flat])
    model = GaussianMixture(5, 2, "full")
    fit = fit_em(model, x, floor=1e-9, restarts=1)
    spike = int(model.described(fit.theta)["means"][:, 0].argmax())
    assert fit.at_floor == (spike,)
    assert fit.warnings[-1].startswith(f"component {spike} is at the floor 1e-09")


@pytest.mark.parametrize("floor", [1e-11, 1e-10, 1e-6])
def test_every_clipped_matrix_is_found_at_the_floor(floor, monkeypatch):
    # Matrices of rank 4 in 5 dimensions, whose other eigenvalues are around one and whose floor is small.
    model = GaussianMixture(5, 50, "full")
    root = np.random.default_rng(0).standard_normal((50, 5, 4))
    q = mixture.Responsibilities(np.ones(50), np.zeros((50, 5)), root @ np.swapaxes(root, 1, 2), 0.0)
    problem = MixtureEM(model, np.zeros((50, 5)), floor)
    theta = problem.m_step(q)
    assert problem.at_floor(theta) == tuple(range(50))
    # Without the allowance for rounding, small floors are missed and large ones are not.
    monkeypatch.setattr(FullScatter, "rounding", staticmethod(lambda _: 0.0))
    assert (len(problem.at_floor(theta)) == 50) == (floor == 1e-6)


def test_a_component_just_above_the_floor_is_sound():
    model = GaussianMixture(2, 2, "full")
    theta = mixture_start(model, FAITHFUL, np.random.default_rng(0), 1e-4)
    smallest = np.linalg.eigvalsh(model.described(theta)["covariances"])[:, 0].min()
    assert MixtureEM(model, FAITHFUL, smallest).at_floor(theta)
    assert MixtureEM(model, FAITHFUL, smallest * (1 - 1e-5)).at_floor(theta) == ()


def test_a_long_list_of_components_is_cut_short_in_a_warning():
    assert named("component", (4,)) == "component 4 is"
    assert named("component", (0, 1, 2, 5)) == "components 0, 1, 2, 5 are"
    assert named("component", range(272)) == "components 0, 1, 2 and 269 more are"
    assert named("column", ["a", "b", "c", "d", "e"]) == "columns a, b, c and 2 more are"


def test_the_floor_can_be_set_and_moves_the_answer():
    model = GaussianMixture(2, 2, "full")
    low, high = (fit_em(model, SPIKED, floor=floor) for floor in (1e-4, 1e-2))
    assert (low.floor, high.floor) == (1e-4, 1e-2)
    # Ten data in two dimensions on the spike: each gains log(1e2) / 2 per dimension.
    assert low.log_likelihood - high.log_likelihood == pytest.approx(10 * math.log(100.0), rel=1e-3)


def test_the_best_is_the_best_without_a_component_at_the_floor():
    x = np.concatenate([FAITHFUL, np.tile(FAITHFUL[:1], (40, 1))])
    model = GaussianMixture(2, 2, "full")
    sound = fit_em(model, FAITHFUL).theta
    spiked = sound.copy()
    t = model.layout.views(spiked)
    t["mean"][0], t["log_diagonal"][0], t["lower"][0] = x[0], np.log(1e-2), 0.0
    alone = fit_em(model, x, start=spiked)
    assert alone.at_floor == (0,) and "so it is in the only run" in alone.warnings[0]
    both = fit_em(model, x, start=np.array([spiked, sound]))
    assert both.log_likelihood < alone.log_likelihood - 10.0 and both.at_floor == ()
    assert both.log_likelihood == fit_em(model, x, start=sound).log_likelihood
    (warning,) = both.warnings
    assert warning.startswith(
        "1 of 2 runs ended at the floor and were set aside (the highest has log-likelihood"
    )
    assert "component 0 is there" in warning


def test_a_start_below_the_floor_is_clipped_first():
    for model in MODELS:
        problem = problem_of(model, floor=0.3)
        start = rough_start(model)
        t = model.layout.views(start)
        t[next(name for name in t if name.startswith("log_"))][...] = -5.0
        kept = start.copy()
        prepared = problem.prepared(start)
        np.testing.assert_array_equal(start, kept)
        assert problem.at_floor(prepared) and not np.array_equal(prepared, start)
        run = run_em(problem, start, max_iterations=20)
        staircase(run.history)


def test_a_dead_component_keeps_its_place_without_nan_and_is_named():
    for variant in GaussianMixture.variants:
        model = GaussianMixture(2, 3, variant)
        start = mixture_start(model, FAITHFUL, np.random.default_rng(0), 1e-4)
        model.layout.views(start)["mean"][1] = 1e6
        fit = fit_em(model, FAITHFUL, start=start)
        staircase(fit.history)
        found = model.described(fit.theta)
        assert np.all(found["means"][1] == 1e6) and 0 <= found["weights"][1] < 1e-200
        assert np.isfinite(fit.theta).all() and found["weights"].sum() == pytest.approx(1.0)
        assert fit.at_floor == () and "component 1 is empty" in fit.warnings[0]


def test_an_empty_component_keeps_the_least_weight():
    problem = problem_of(MODELS[2])
    q = problem.e_step(rough_start(MODELS[2]))
    q.total[1] = 0.0
    weights = np.exp(MODELS[2].layout.views(problem.m_step(q))["logits"])
    assert weights[1] == pytest.approx(1e-300)
    np.testing.assert_allclose(np.delete(weights, 1), np.delete(q.total, 1) / len(problem.x), rtol=1e-12)


def test_nan_in_theta_is_not_swallowed():
    model = GaussianMixture(3, 2, "full")
    problem = MixtureEM(model, DIGITS[:, :3], 1e-6)
    theta = model.initial_theta(DIGITS[:, :3])
    q = problem.e_step(theta)
    for i in range(len(theta)):
        spoilt = theta.copy()
        spoilt[i] = np.nan
        assert np.isnan(problem.elbo(spoilt, q))


def test_an_answer_that_is_kept_is_that_of_the_road_in_use():
    model = GaussianMixture(3, 2, "full")
    problem = MixtureEM(model, DIGITS[:, :3], 1e-6)
    theta, kept = model.initial_theta(DIGITS[:, :3]), {}
    for road in ("numpy", "numba", "numpy", "numba"):
        with use_kernels(road):
            q = problem.e_step(theta)
            kept.setdefault(road, []).append(q)
            assert problem.e_step(theta) is q
    assert kept["numpy"][0] is not kept["numba"][0]


def test_a_theta_that_changes_in_place_is_read_anew():
    model = GaussianMixture(3, 2, "full")
    problem = MixtureEM(model, DIGITS[:, :3], 1e-6)
    theta = model.initial_theta(DIGITS[:, :3])
    q = problem.e_step(theta)
    before = problem.elbo(theta, q)
    theta += 0.1
    assert problem.elbo(theta, q) != before
    assert not np.shares_memory(problem.densities(theta).mean, theta)


def with_correlations():
    """Return data (50, 3) whose one-factor loading of column 1 would be sqrt(0.8 x 0.8 / 0.5) > 1."""
    wanted = np.array([[1.0, 0.8, 0.5], [0.8, 1.0, 0.8], [0.5, 0.8, 1.0]])
    x = np.random.default_rng(0).standard_normal((50, 3))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / 50)).T @ np.linalg.cholesky(wanted).T


def test_a_heywood_case_is_named_by_its_column():
    model, x = FactorAnalysis(3, 1), with_correlations()
    fit = fit_em(model, x, floor=1e-2)
    assert fit.converged and fit.at_floor == (1,)
    staircase(fit.history)
    (warning,) = fit.warnings
    assert warning.startswith("the noise of column 1 is at the floor 0.01 of the variances: a Heywood case")
    assert "column b is at" in fit_em(model, x, floor=1e-2, columns=("a", "b", "c")).warnings[0]


def test_a_heywood_case_is_named_before_it_reaches_the_floor():
    # EM comes to zero noise only as 1 / iteration, so that the default floor is far.
    fit = fit_em(FactorAnalysis(3, 1), with_correlations(), columns=("a", "b", "c"))
    assert fit.at_floor == () and not fit.converged
    assert fit.warnings[1].startswith("the noise of column b is below 0.5 % of its variance and may go to 0")


def test_ppca_on_a_flat_ends_at_the_floor_and_says_so():
    flat = FAITHFUL @ np.array([[1.0, 2.0, 0.5], [0.3, 0.1, -1.0]])
    fit = fit_em(PPCA(3, 2), flat, floor=0.1)
    assert "the noise variance is at the floor" in fit.warnings[-1]
    assert PPCA(3, 2).described(fit.theta)["sigma2"] == pytest.approx(fit.floor)


# -- starts ----------------------------------------------------------------------------------------


def test_k_means_plus_plus_spreads_its_centres_over_separate_clouds():
    rng = np.random.default_rng(0)
    x = np.concatenate([centre + 0.01 * rng.standard_normal((20, 2)) for centre in (0.0, 10.0, 20.0)])
    for seed in range(20):
        chosen = plus_plus(x, 3, np.random.default_rng(seed))
        assert sorted(chosen // 20) == [0, 1, 2]


def test_k_means_plus_plus_draws_in_proportion_to_squared_distance():
    x = np.array([[0.0], [1.0], [3.0]])
    draws = [plus_plus(x, 2, np.random.default_rng(seed)) for seed in range(6000)]
    from_zero = [second for first, second in draws if first == 0]
    # Of the squared distances 1 and 9, nine tenths; the standard error at 2000 draws is 0.0067.
    assert np.mean(np.array(from_zero) == 2) == pytest.approx(0.9, abs=0.03)


@given(st.integers(1, 6), st.integers(0, 1000), st.integers(1, 3))
def test_no_cluster_is_empty_even_among_equal_rows(n_clusters, seed, n_values):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, n_values, (8, 2)).astype(float)
    labels = cluster(x, n_clusters, rng)
    assert np.bincount(labels, minlength=n_clusters).min() >= 1 and len(labels) == 8


def test_clusters_do_not_depend_on_where_zero_is():
    """At 2^52 only differences from the mean of the data are exact: a sum with it rounds to even numbers."""
    x = np.repeat([0.0, 1.0, 2.0, 3.0], 5)[:, None]
    here, there = (cluster(x + far, 4, np.random.default_rng(0)) for far in (0.0, 2.0**52))
    np.testing.assert_array_equal(here, there)
    assert len(set(here)) == 4


def test_clusters_do_not_depend_on_the_units_of_the_columns():
    scale = np.array([1000.0, 0.001])
    for seed in range(5):
        first, second = (cluster(x, 3, np.random.default_rng(seed)) for x in (FAITHFUL, FAITHFUL * scale))
        np.testing.assert_array_equal(first, second)


@over_variants
def test_a_start_has_the_weights_means_and_pooled_spread_of_its_clusters(variant):
    model = GaussianMixture(2, 3, variant)
    found = model.described(mixture_start(model, FAITHFUL, np.random.default_rng(4), 1e-9))
    labels = cluster(FAITHFUL, 3, np.random.default_rng(4))
    means = np.array([FAITHFUL[labels == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(found["weights"], np.bincount(labels) / len(labels), rtol=1e-12)
    np.testing.assert_allclose(found["means"], means, rtol=1e-12)
    residual = FAITHFUL - means[labels]
    pooled = residual.T @ residual / len(residual)
    expected = {
        "full": pooled,
        "diagonal": np.diag(np.diag(pooled)),
        "spherical": np.eye(2) * np.trace(pooled) / 2,
    }
    for covariance in found["covariances"]:
        np.testing.assert_allclose(covariance, expected[variant], rtol=1e-10)


# -- runs that stop and go on ----------------------------------------------------------------------


def through_json(state):
    header, arrays = state
    return json.loads(json.dumps(header, allow_nan=False)), {k: np.array(v) for k, v in arrays.items()}


def run_out(fit):
    while not fit.finished:
        fit.advance()
    return fit


def same(first, second):
    one, two = first.result(), second.result()
    np.testing.assert_array_equal(one.theta, two.theta)
    assert one.history == two.history and one.stopped == two.stopped and one.warnings == two.warnings
    for a, b in zip(first.runs, second.runs, strict=True):
        np.testing.assert_array_equal(a.theta, b.theta)
        assert a.history == b.history and a.converged == b.converged


@over_models
@pytest.mark.parametrize("restarts", [1, 3])
def test_n_iterations_and_n_more_are_2n_at_once_bit_for_bit(model, restarts):
    settings = {"restarts": restarts, "tolerance": 1e-6, "seed": 5}
    half = run_out(EMFit(model, DIGITS, max_iterations=15, **settings))
    resumed = EMFit(model, DIGITS, max_iterations=30, **settings)
    resumed.restore(*through_json(half.state()))
    same(run_out(resumed), run_out(EMFit(model, DIGITS, max_iterations=30, **settings)))


@pytest.mark.parametrize("steps", [0, 1, 7, 23])
def test_a_fit_that_was_cut_anywhere_goes_on_bit_for_bit(steps):
    def fresh():
        return EMFit(MODELS[2], DIGITS, restarts=3, max_iterations=20, seed=1)

    cut = fresh()
    for _ in range(steps):
        cut.advance()
    resumed = fresh()
    resumed.restore(*through_json(cut.state()))
    assert resumed.runs_done == cut.runs_done and resumed.log_likelihood == cut.log_likelihood
    same(run_out(resumed), run_out(fresh()))


def test_the_result_may_be_asked_at_any_time_and_says_that_it_is_not_finished():
    fit = EMFit(MODELS[0], DIGITS, restarts=2, max_iterations=50)
    assert not fit.result().converged and "not finished: 0 of at most 50" in fit.result().stopped
    fit.advance()
    assert len(fit.result().history) == 2 and fit.restarts == 2 and fit.runs_done == 0
    run_out(fit)
    assert fit.runs_done == 2 and fit.advance() is None


def test_a_foreign_state_is_refused():
    fit = EMFit(MODELS[0], DIGITS, restarts=2)
    header, arrays = EMFit(MODELS[1], DIGITS, restarts=2).state()
    with pytest.raises(ValueError, match="state: expected theta"):
        fit.restore(header, arrays)
    with pytest.raises(ValueError, match="state: expected between 1 and 2 runs, got 3"):
        fit.restore({"runs": [{}] * 3}, {})


def test_more_restarts_keep_the_first_ones_and_are_never_worse():
    model = GaussianMixture(2, 4, "spherical")
    few, many = (run_out(EMFit(model, FAITHFUL, restarts=n, seed=2)) for n in (3, 6))
    for a, b in zip(few.runs, many.runs, strict=False):
        np.testing.assert_array_equal(a.theta, b.theta)
    ends = [run.log_likelihood for run in many.runs]
    assert len({round(end, 3) for end in ends}) > 1
    assert many.result().log_likelihood == max(ends) >= few.result().log_likelihood


def test_every_iteration_of_every_run_is_told():
    seen = []
    fit = fit_em(
        MODELS[0], DIGITS, restarts=3, on_iteration=lambda run, row: seen.append((run, row["iteration"]))
    )
    assert {run for run, _ in seen} == {0, 1, 2} and seen == sorted(seen)
    assert len(fit.history) - 1 in [max(i for run, i in seen if run == r) for r in range(3)]
    assert json.loads(json.dumps(fit.history)) == fit.history


def test_convergence_is_reported_as_it_is():
    done = fit_em(MODELS[0], DIGITS, tolerance=1e-7)
    assert done.converged and done.stopped == "log-likelihood rose by less than 1e-07 nats per datum"
    last = done.history[-1]["log_likelihood"] - done.history[-2]["log_likelihood"]
    before = done.history[-2]["log_likelihood"] - done.history[-3]["log_likelihood"]
    assert last < 1e-7 * len(DIGITS) <= before
    cut = fit_em(MODELS[0], DIGITS, max_iterations=2, restarts=3)
    assert not cut.converged and cut.stopped == "iteration limit 2"
    assert cut.warnings[0].startswith("EM has not converged: after 2 iterations")
    assert cut.warnings[0].endswith("raise the limit (--epochs; max_iterations of fit_em)")
    assert cut.warnings[1] == "2 of 3 runs reached the iteration limit before they converged"


# -- cost ------------------------------------------------------------------------------------------


@over_variants
def test_memory_does_not_grow_with_rows_times_components_times_columns(variant):
    n_data, n_columns, n_components = 60_000, 10, 10
    x = np.random.default_rng(0).standard_normal((n_data, n_columns))
    model = GaussianMixture(n_columns, n_components, variant)
    problem = problem_of(model, x)
    theta = model.initial_theta(x)
    problem_of(model, x[:100]).e_step(theta)  # what is loaded once
    peak = peak_memory(lambda: problem.m_step(problem.e_step(theta)))
    assert peak < 0.25 * 8 * n_data * n_columns * n_components


@over_variants
def test_blocks_of_rows_add_up_to_the_same_statistics(variant, monkeypatch):
    model = GaussianMixture(8, 3, variant)
    theta = rough_start(model)
    with use_kernels("numpy"):
        whole = problem_of(model).e_step(theta)
        monkeypatch.setattr(sums, "BLOCK_ENTRIES", 8 * 37)
        parts = problem_of(model).e_step(theta)
    for name in ("total", "mean", "moment", "entropy"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-11)


def test_an_iteration_of_a_linear_model_holds_no_rows():
    problem = problem_of(PPCA(8, 2))
    sizes = [np.size(value) for value in vars(problem).values() if isinstance(value, np.ndarray)]
    assert sizes and max(sizes) <= 8 * 8


def test_an_iteration_is_exact_far_from_the_origin():
    far = FAITHFUL + 1e6
    near, moved = (fit_em(GaussianMixture(2, 2, "full"), x).log_likelihood for x in (FAITHFUL, far))
    assert moved == pytest.approx(near, rel=1e-8)


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance": 0.0}, "tolerance: expected a positive finite number, got 0.0"),
        ({"tolerance": -1.0}, "tolerance: expected a positive finite number, got -1.0"),
        ({"max_iterations": 0}, "max_iterations: expected a whole number of at least 1, got 0"),
        ({"restarts": 0}, "restarts: expected a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"floor": 0.0}, "floor: expected a positive finite number, got 0.0"),
        ({"floor": 1e-30}, r"floor: expected at least 1e-12 x the mean column variance, .* got 1e-30"),
        ({"start": np.zeros(3)}, r"start: expected shape \(12,\), got shape \(3,\)"),
        ({"start": np.full(12, np.nan)}, r"start: expected finite numbers, got nan at logits\[0\]"),
        ({"columns": ("a",)}, "columns: expected 2 names, got 1 names"),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else "",
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fit_em(GaussianMixture(2, 2, "full"), FAITHFUL, **settings)


def test_settings_of_the_wrong_kind_are_refused():
    with pytest.raises(TypeError, match="columns: expected a sequence or None, got 'ab'"):
        fit_em(GaussianMixture(2, 2), FAITHFUL, columns="ab")
    with pytest.raises(TypeError, match="restarts: expected a whole number"):
        fit_em(GaussianMixture(2, 2), FAITHFUL, restarts=2.5)


@pytest.mark.parametrize(
    "model", [GaussianMixture(2, 6), PPCA(8, 6), FactorAnalysis(8, 6)], ids=lambda m: m.label
)
def test_more_components_or_latents_than_rows_are_refused(model):
    x = np.random.default_rng(0).standard_normal((5, model.n_columns))
    with pytest.raises(ValueError, match="latent: expected at most the 5 rows of the data, got 6; lower it"):
        fit_em(model, x)


@pytest.mark.parametrize(
    "model",
    [GaussianMixture(2, 2, "diagonal"), GaussianMixture(2, 2, "full"), FactorAnalysis(2, 1)],
    ids=lambda model: model.label,
)
def test_a_constant_column_is_named_with_its_remedy(model):
    x = FAITHFUL.copy()
    x[:, 1] = 3.0
    with pytest.raises(ValueError, match=r"unbounded otherwise.*, got constant column 1; drop it"):
        fit_em(model, x)


def test_a_spherical_mixture_takes_one_constant_column():
    x = FAITHFUL.copy()
    x[:, 1] = 3.0
    fit = fit_em(GaussianMixture(2, 2), x)
    assert fit.converged
    staircase(fit.history)


def test_data_whose_squares_underflow_are_refused():
    with pytest.raises(
        ValueError, match=r"data: expected columns with a mean variance above .*; change the unit"
    ):
        fit_em(GaussianMixture(2, 2), FAITHFUL * 1e-150)


@pytest.mark.parametrize("scale", [1e-120, 1e90])
def test_data_in_odd_units_reach_the_same_maximum(scale):
    fit = fit_em(GaussianMixture(2, 2, "full"), FAITHFUL * scale)
    expected = BEST_FAITHFUL - 2 * len(FAITHFUL) * math.log(scale)
    assert fit.log_likelihood == pytest.approx(expected, rel=1e-6) and fit.at_floor == ()


@pytest.mark.parametrize(
    ("model", "remedy"),
    [(GaussianMLE(2), "use the closed form"), (DeepBernoulli(2, 1, (3,)), "use method vae")],
)
def test_models_without_em_are_refused_with_a_method_that_works(model, remedy):
    with pytest.raises(NotApplicable, match=f"no EM for {model.label}; {remedy}"):
        fit_em(model, FAITHFUL)
