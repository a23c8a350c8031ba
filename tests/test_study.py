"""The study: shared work is the same work, noise is keyed by purpose, places are where they should be."""

import gc
import weakref
from copy import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from cases import CASES, MODELS, make_case, model_id, pairings
from estimator_laws import BY_NAME
from noise_integrals import arbitrary_state
from scipy.stats import norm, t

from elbo_lab.comparison import compare
from elbo_lab.datasets import load
from elbo_lab.distributions import NoiseSpec
from elbo_lab.estimators import NO_STATE, TARGETS, Answer, Estimator, Exact, Reparameterization
from elbo_lab.estimators.targets import numbered, parse
from elbo_lab.exact import evidence, expectation
from elbo_lab.models import PPCA, DeepBernoulli, GaussianMixture, GaussianMLE
from elbo_lab.optimise import maximise_evidence
from elbo_lab.posteriors import AmortisedPosterior, ExactPosterior
from elbo_lab.registry import ModelChoice, find_estimators, find_models
from elbo_lab.special import softmax
from elbo_lab.study import (
    Moments,
    Scene,
    build_scene,
    make_problem,
    measure,
    references,
    run_batch,
    run_sample,
)
from elbo_lab.study.cached_likelihood import CachedLikelihood
from elbo_lab.study.measure import batch_sizes, estimate_repeats, noise_groups
from elbo_lab.study.rare_events import missed_variance
from elbo_lab.study.rows import bias_test, z_limit
from elbo_lab.study.scene import spawn

BITS = (np.random.default_rng(0).random((30, 5)) < 0.4).astype(float)
TABLE = np.random.default_rng(1).standard_normal((30, 3)) @ np.array([[2.0, 1, 0], [0, 1, 1], [0, 0, 0.5]])


def scene_of(case):
    """Return a Scene of a case with its free posterior."""
    eta = case.free.eta(case.free_phi, case.x)
    return Scene(case.model, case.theta, case.free, case.free_phi, case.x, "case", eta)


def fitting(case):
    return [estimator for _, estimator in pairings([case])]


def placed(kind, data, variant=None, latent=None, posterior="free", at="near", rows=6, seed=0):
    return build_scene(ModelChoice(kind, variant), data, latent, posterior, at, rows, seed)


# -- sharing ---------------------------------------------------------------------------------------


def counting(model):
    """Return a copy of a model that counts its likelihoods and pullbacks, and the counts."""
    counts, counted = SimpleNamespace(passes=0, pullbacks=0), copy(model)

    def likelihood(theta, x, z):
        counts.passes += 1
        value, pullback = model.likelihood(theta, x, z)

        def counted_pullback(cotangent):
            counts.pullbacks += 1
            return pullback(cotangent)

        return value, counted_pullback

    object.__setattr__(counted, "likelihood", likelihood)
    return counted, counts


@pytest.mark.parametrize("case", CASES, ids=model_id)
def test_a_cached_likelihood_is_bitwise_the_model(case):
    scene, estimators = scene_of(case), fitting(case)
    sharing = scene.problem._replace(model=CachedLikelihood(case.model))
    for spec, members in noise_groups(scene, estimators, 4):
        rng = np.random.default_rng(0)
        lead = (4, *spec.shape)
        noise = rng.standard_normal(lead) if spec.kind == "normal" else rng.random(lead)
        for i in members:
            state = arbitrary_state(estimators[i], case, case.free, case.free_phi)
            plain = estimate_repeats(estimators[i], scene.problem, noise, state)
            same = estimate_repeats(estimators[i], sharing, noise, state)
            assert np.array_equal(plain, same)


def test_estimators_that_share_draws_share_the_pass_and_its_pullback():
    case = make_case(DeepBernoulli(4, 2, (3,)))
    names = ("score-function", "score-function-loo", "reparameterization", "elbo-log-weight", "elbo-sampled")
    scene, estimators = scene_of(case), [BY_NAME[name] for name in names]
    counted, counts = counting(case.model)
    run_batch(replace(scene, model=counted), estimators, 3, 0, "repeats", 0, 5)
    assert (counts.passes, counts.pullbacks) == (1, 1)


def test_the_oracle_s_baseline_is_computed_once_for_all_batches():
    case = make_case(DeepBernoulli(4, 2, (3,)))
    scene, oracle = scene_of(case), [BY_NAME["score-function-oracle-baseline"]]
    counted, counts = counting(case.model)
    scene = replace(scene, model=counted)
    for batch in range(3):
        run_batch(scene, oracle, 3, 0, "repeats", batch, 5)
        if batch == 0:
            first = counts.passes
    assert counts.passes == first + 2


def test_no_pass_through_the_likelihood_outlives_its_batch():
    # The oracle's baseline is remembered for a model, by a key that holds the model.
    case = make_case(DeepBernoulli(4, 2, (2,)))  # of which no other test asks for the baseline
    passed, plain = [], case.model.likelihood

    def likelihood(theta, x, z):
        value, pullback = plain(theta, x, z)
        passed.append(weakref.ref(value))
        return value, pullback

    watched = copy(case.model)
    object.__setattr__(watched, "likelihood", likelihood)
    oracle = [BY_NAME["score-function-oracle-baseline"]]
    run_batch(replace(scene_of(case), model=watched), oracle, 3, 0, "repeats", 0, 5)
    gc.collect()
    assert len(passed) > 2 and not any(one() is not None for one in passed)


def test_a_cached_likelihood_recognises_arguments_by_value_and_never_confuses_them():
    case = CASES[4]
    counted, counts = counting(case.model)
    shared = CachedLikelihood(counted)
    z = np.random.default_rng(0).standard_normal((2, 3, 2))
    first = shared.likelihood(case.theta, case.x, z)[0]
    assert np.array_equal(shared.likelihood(case.theta, case.x, z.copy())[0], first)
    assert counts.passes == 1
    for arguments in ((case.theta + 1, case.x, z), (case.theta, case.x + 1, z), (case.theta, case.x, z + 1)):
        assert not np.array_equal(shared.likelihood(*arguments)[0], first)
    assert counts.passes == 4


def test_cached_results_cannot_be_overwritten():
    case = CASES[4]
    value, pullback = CachedLikelihood(case.model).likelihood(case.theta, case.x, np.zeros((2, 3, 2)))
    for array in (value, *pullback(np.ones((2, 3)))):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0


# -- noise -----------------------------------------------------------------------------------------


class OtherNoise(Reparameterization):
    """One draw more than everybody else."""

    name = "other-noise"

    def noise_spec(self, family, n_draws, n_data):
        return NoiseSpec("normal", (n_draws + 1, n_data, family.size))


class Witness(Reparameterization):
    """Notes the noise that it is given."""

    name = "witness"

    def __init__(self):
        self.seen = []

    def estimate(self, problem, noise, state=None):
        self.seen.append(noise.copy())
        return super().estimate(problem, noise, state)


def test_estimators_with_equal_specs_share_their_noise():
    scene, pair = scene_of(CASES[4]), [Witness(), Witness()]
    other = OtherNoise()
    groups = noise_groups(scene, [pair[0], other, pair[1]], 3)
    assert sorted(members for _, members in groups) == [[0, 2], [1]]
    run_batch(scene, [pair[0], other, pair[1]], 3, 0, "repeats", 0, 5)
    assert np.array_equal(np.concatenate(pair[0].seen), np.concatenate(pair[1].seen))


def test_noise_depends_on_seed_model_purpose_and_batch_and_on_nothing_else():
    scene = scene_of(CASES[4])

    def noise(scene=scene, company=(), seed=0, purpose="repeats", batch=0):
        witness = Witness()
        run_batch(scene, [*company, witness], 3, seed, purpose, batch, 5)
        return np.concatenate(witness.seen)

    first = noise()
    assert np.array_equal(first, noise(company=[OtherNoise(), BY_NAME["score-function"]]))
    for changed in ({"seed": 1}, {"purpose": "rerun"}, {"batch": 1}, {"scene": scene_of(CASES[5])}):
        assert not np.array_equal(first, noise(**changed))


def test_spawned_seeds_are_keyed_by_content():
    numbers = {
        spawn(*key).random()
        for key in [(0, "a"), (0, "b"), (1, "a"), (0, "a", 0), (0, "a", 1), (0, "a", "b"), (0, "b", "a")]
    }
    assert len(numbers) == 7
    assert spawn(3, "fit", 2).random() == spawn(3, "fit", 2).random()


@pytest.mark.parametrize("repeats", [1, 2, 3, 4, 79, 80, 81, 200, 1000])
def test_batches_partition_the_repeats(repeats):
    sizes = batch_sizes(repeats)
    assert sum(sizes) == repeats and len(sizes) <= 40 and max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(2, repeats)


def test_samples_are_single_estimates_of_the_wanted_coordinates():
    scene, estimators = scene_of(CASES[4]), [BY_NAME["score-function"], BY_NAME["reparameterization"]]
    whole = run_sample(scene, estimators, 3, 7, 0, list(range(len(scene.phi))))
    part = run_sample(scene, estimators, 3, 7, 0, [2, 0])
    assert [sample.shape for sample in part] == [(7, 2)] * 2
    assert all(np.array_equal(a[:, [2, 0]], b) for a, b in zip(whole, part, strict=True))


class Summing(Estimator):
    """State is carried from call to call."""

    name, target, burn_in = "summing", "elbo", 3

    def initial_state(self, problem):  # noqa: ARG002
        return np.zeros(1)

    def estimate(self, problem, noise, state=None):  # noqa: ARG002
        lead = noise.shape[:-3]
        return np.broadcast_to(state + 1.0, (*lead, 1)), state + 1.0


def test_state_is_carried_through_the_burn_in_and_then_held_still(monkeypatch):
    scene = scene_of(CASES[4])
    monkeypatch.setattr(measure, "ROWS_PER_PASS", 18)  # two repeats of 3 draws and 3 data
    (moments,) = run_batch(scene, [Summing()], 3, 0, "repeats", 0, 5)
    assert moments.mean.tolist() == [4.0] and moments.variance == 0.0  # after 1, 2, 3


class Scalar(Reparameterization):
    name = "scalar"

    def estimate(self, problem, noise, state=None):  # noqa: ARG002
        return 1.0, state


def test_an_estimate_that_is_no_vector_is_refused_by_name():
    line = r"'scalar': expected one vector per repeat, got shape \(\) for 5 repeats; .* axes from the end$"
    with pytest.raises(ValueError, match=line):
        run_batch(scene_of(CASES[4]), [Scalar()], 3, 0, "repeats", 0, 5)


def test_one_interrupted_call_is_not_taken_for_the_time_of_an_estimate(monkeypatch):
    scene, estimator = scene_of(CASES[0]), find_estimators("reparameterization")[0]
    # A first call, one of 100 us, and two that another program interrupts for 20 ms.
    clock = np.repeat(np.cumsum([0.0, 1e-3, 1e-4, 0.02, 0.02, *[1e-4] * 50]), 2)[1:]
    monkeypatch.setattr(measure, "perf_counter", iter(clock.tolist()).__next__)
    state = measure.settled_state(scene, estimator, 3, 0)
    assert measure.seconds_per_estimate(scene, estimator, 3, 0, state) == pytest.approx(1e-4)


# -- references ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[6]], ids=model_id)
def test_references_are_the_exact_estimators_answers(case):
    scene = scene_of(case)
    targets = [numbered(target, 4) for target in TARGETS]
    answers, seconds = references(scene, targets)
    assert set(answers) == set(seconds) == set(targets)
    for target in targets:
        stem, n_draws = parse(target)
        alone = Exact(stem).answer(case.problem(), n_draws)
        assert np.array_equal(alone.value, answers[target].value)
        assert np.array_equal(alone.error, answers[target].error) and alone.rung == answers[target].rung


def test_references_leave_out_what_is_not_asked():
    assert set(references(scene_of(CASES[0]), {"log-evidence"})[0]) <= {
        "log-evidence",
        "grad-theta-log-evidence",
    }
    assert references(scene_of(CASES[0]), set()) == ({}, {})


# -- the bias test ---------------------------------------------------------------------------------


def moments_of(values):
    found = Moments()
    found.add(np.asarray(values, dtype=float))
    found.close_batch()
    return found


def answer_of(*value, error=0.0):
    return Answer(np.array(value, dtype=float), np.full(len(value), error), "closed-form")


def test_bias_z_is_the_difference_over_both_errors():
    values = np.random.default_rng(0).standard_normal((400, 2))
    found = moments_of(values)
    test = bias_test(found, answer_of(0.5, 0.0, error=0.03))
    # The reference is the same in both looks, and counts twice.
    error = np.hypot(values.std(axis=0, ddof=1) / 20.0, np.sqrt(2.0) * 0.03)
    z = np.abs(values.mean(axis=0) - [0.5, 0.0]) / error
    assert test.max_z == pytest.approx(z.max()) and test.coordinates == 2


def test_a_coordinate_without_noise_passes_and_is_left_out():
    noise = np.random.default_rng(0).standard_normal(100)
    values = np.column_stack([noise, np.full(100, 3.0), np.full(100, 1e6)])
    test = bias_test(moments_of(values), answer_of(noise.mean(), 3.0 + 1e-10, 1e6 + 1e-4))
    assert test.coordinates == 1 and test.max_z < 1e-6


def test_a_coordinate_without_noise_that_is_wrong_fails():
    test = bias_test(moments_of(np.full((100, 2), 3.0)), answer_of(3.0, 3.0 + 1e-6))
    assert test.coordinates == 1 and test.max_z > 1e5


def test_nothing_to_test_gives_zero_coordinates():
    assert bias_test(moments_of(np.ones((1, 2))), answer_of(1.0, 1.0)).max_z is None
    nothing = bias_test(moments_of(np.ones((9, 2))), answer_of(1.0, 1.0))
    assert (nothing.max_z, nothing.coordinates) == (0.0, 0)


def test_a_planted_bias_of_five_percent_is_caught():
    values = 1.05 + np.random.default_rng(0).standard_normal((40_000, 1)) * 0.5
    wrong, right = (bias_test(moments_of(values), answer_of(exact)) for exact in (1.0, 1.05))
    assert wrong.max_z > wrong.limit and right.max_z < right.limit


def test_the_missed_variance_is_that_of_rare_categories():
    case = make_case(GaussianMixture(2, 3, "spherical"), n_data=2)
    eta = np.array([[0.0, 0.1, -0.1], [0.0, 0.0, -30.0]])
    scene = replace(scene_of(case), phi=case.free.phi_from_eta(eta))
    missed = missed_variance(scene, 1000)
    # By hand: datum 1, category 2, against its likelier neighbours; N = 2.
    z = np.array([[0, 2], [0, 0]])[::-1]
    p = np.exp(case.model.family.log_prob(eta, z))[1, 1]
    log_w = case.model.log_joint(scene.theta, case.x, z) - case.model.family.log_prob(eta, z)
    assert missed["elbo"] == pytest.approx(p * (log_w[1, 1] - log_w[0, 1]) ** 2 / 4)
    by_eta = case.free.eta(missed["grad-phi-elbo"], case.x)
    assert np.all(by_eta[0] == 0) and np.all(by_eta[1, [0, 2]] > 0)
    assert missed_variance(scene, 1e20) == {}
    assert missed_variance(scene_of(CASES[0]), 10) == {}


def test_a_mean_that_lacks_a_rare_category_is_not_called_biased():
    values, rare = np.zeros((100, 1)), 1e-6 * 50.0
    assert bias_test(moments_of(values), answer_of(rare)).max_z > 1e6
    missed = 1e-6 * 50.0**2 / 1000
    assert bias_test(moments_of(values), answer_of(rare), missed).max_z == pytest.approx(np.sqrt(1e-3))


@pytest.mark.parametrize("coordinates", [1, 10, 100_000])
def test_the_limit_is_bonferroni_s(coordinates):
    assert 2 * coordinates * norm.sf(z_limit(coordinates)) == pytest.approx(1e-6, rel=1e-6)
    assert z_limit(0) == z_limit(1)


@pytest.mark.parametrize("repeats", [2, 20, 1000])
def test_few_repeats_have_the_limit_of_student_s_t(repeats):
    limit = z_limit(7, 1e-4, repeats)
    assert 2 * 7 * t.sf(limit, repeats - 1) == pytest.approx(1e-4, rel=1e-6)
    assert limit > z_limit(7, 1e-4)


# -- scenes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "latent"), [(GaussianMLE, None), (PPCA, 2)])
def test_places_of_a_gaussian_q(kind, latent):
    exact, near, start = (placed(kind, TABLE, latent=latent, at=at) for at in ("exact", "near", "start"))
    truth = exact.model.posterior_eta(exact.theta, exact.x)
    np.testing.assert_allclose(exact.posterior.eta(exact.phi, exact.x), truth)
    mean, log_std = np.split(truth, 2, axis=1)
    moved = np.hstack([mean + 0.5 * np.exp(log_std), log_std + np.log(0.8)])
    np.testing.assert_allclose(near.posterior.eta(near.phi, near.x), moved)
    prior = np.broadcast_to(start.model.prior_eta(start.theta), truth.shape)
    np.testing.assert_allclose(start.posterior.eta(start.phi, start.x), prior)
    np.testing.assert_allclose(exact.theta, maximise_evidence(exact.model, TABLE))


def test_places_of_a_categorical_q():
    exact, near, start = (
        placed(GaussianMixture, TABLE, "full", 3, at=at) for at in ("exact", "near", "start")
    )
    logits = exact.model.posterior_eta(exact.theta, exact.x)
    q = softmax(exact.posterior.eta(exact.phi, exact.x), axis=1)
    np.testing.assert_allclose(q, softmax(logits, axis=1), rtol=1e-9, atol=1e-300)
    half = softmax(near.posterior.eta(near.phi, near.x), axis=1)
    np.testing.assert_allclose(half, softmax(0.5 * logits, axis=1), rtol=1e-9)
    prior = softmax(start.model.prior_eta(start.theta), axis=1)
    np.testing.assert_allclose(
        softmax(start.posterior.eta(start.phi, start.x), axis=1), np.tile(prior, (6, 1))
    )


def test_a_deep_model_is_placed_where_the_elbo_is_greater_than_at_the_prior():
    bits = load("digits:binary").rows(200, 0).x[:, 20:30]
    scenes = {at: placed(DeepBernoulli, bits, at=at) for at in ("exact", "near", "start")}
    bound = {}
    for at, scene in scenes.items():
        sample = run_sample(scene, [BY_NAME["elbo-reconstruction-kl"]], 20, 200, 0, [0])[0]
        bound[at] = sample.mean()
        assert np.array_equal(scene.theta, scenes["exact"].theta)
    assert bound["exact"] > bound["start"] and bound["near"] > bound["start"]


def test_an_amortised_q_stands_close_to_the_place():
    scene, free = placed(PPCA, TABLE, latent=2, posterior="amortised"), placed(PPCA, TABLE, latent=2)
    assert isinstance(scene.posterior, AmortisedPosterior)
    gap = scene.posterior.eta(scene.phi, scene.x) - free.posterior.eta(free.phi, free.x)
    assert np.sqrt(np.mean(gap**2)) < 0.05


def test_the_exact_posterior_is_there_or_says_why_not():
    scene = placed(PPCA, TABLE, latent=2, posterior="exact", at="exact")
    assert isinstance(scene.posterior, ExactPosterior) and scene.phi.size == 0
    bound = expectation(scene.model, scene.theta, scene.x, scene.posterior.eta(scene.phi, scene.x))
    entropy = scene.model.family.entropy(scene.posterior.eta(scene.phi, scene.x))
    np.testing.assert_allclose(bound.value + entropy, evidence(scene.model, scene.theta, scene.x).value)
    missing = placed(DeepBernoulli, BITS, posterior="exact", at="exact")
    assert missing.posterior is None and "deep-bernoulli has no closed form" in missing.no_posterior


def test_rows_are_a_seeded_choice_and_theta_does_not_depend_on_it():
    one, two = placed(PPCA, TABLE, latent=2, seed=1), placed(PPCA, TABLE, latent=2, seed=2)
    assert not np.array_equal(one.x, two.x) and np.array_equal(one.theta, two.theta)
    assert len(build_scene(ModelChoice(PPCA), TABLE, 2, "free", "near", None, 0).x) == 30


UNKNOWN_NAMES = [
    (find_models, "pcca", "'pcca'; did you mean 'ppca'"),
    (find_models, "gaussian-mixture:ful", "did you mean 'gaussian-mixture:full'"),
    (find_estimators, "reparametrizatoin", "did you mean 'reparameterization'"),
    (find_models, [], "at least one model"),
    (find_estimators, [], "at least one estimator"),
]


@pytest.mark.parametrize(("find", "name", "message"), UNKNOWN_NAMES)
def test_unknown_names_are_answered_with_the_nearest(find, name, message):
    with pytest.raises(ValueError, match=message):
        find(name)


def test_things_that_are_no_models_or_estimators_are_refused():
    with pytest.raises(TypeError, match=r"models: expected names.*got 3"):
        find_models([3])
    with pytest.raises(TypeError, match=r"estimators: expected names.*got <class"):
        find_estimators([PPCA])


def test_unknown_places_are_refused():
    with pytest.raises(ValueError, match="at: expected one of near, start, exact, got 'neer'"):
        placed(PPCA, TABLE, at="neer")


def test_one_name_stands_for_all_targets_and_variants_and_nothing_comes_twice():
    assert [e.target for e in find_estimators("exact")] == list(TARGETS)
    assert [c.variant for c in find_models("gaussian-mixture")] == ["spherical", "diagonal", "full"]
    assert len(find_models(["ppca", "ppca", PPCA])) == 1
    # Where nothing is hidden, or z is known once x is, a model has laws of its own; the conditional VAEs are
    # one class over observations that have rows.
    assert {m.name for m in MODELS} >= {choice.kind.name for choice in find_models() if choice.kind.compared}


def test_an_estimator_that_edits_its_noise_is_stopped_and_cannot_touch_the_others():
    class Vandal(Reparameterization):
        name = "vandal"

        def estimate(self, problem, noise, state=NO_STATE):
            noise *= 0.5
            return super().estimate(problem, noise, state)

    scene = scene_of(CASES[4])
    with pytest.raises(ValueError, match="read-only"):
        run_batch(scene, [Vandal()], 3, 0, "repeats", 0, 5)


def test_a_cached_likelihood_keeps_what_is_the_model_s_own():
    for case in CASES:
        shared = CachedLikelihood(case.model)
        assert shared.label == case.model.label and isinstance(shared, type(case.model))
        assert shared == CachedLikelihood(case.model) == case.model and hash(shared) == hash(case.model)


def test_data_that_a_model_explains_without_noise_are_refused():
    column = np.random.default_rng(0).standard_normal(50)
    table = np.column_stack([column, np.ones(50)])
    with pytest.raises(ValueError, match="unbounded on these data"):
        placed(PPCA, table, latent=1)


def test_a_problem_by_name_is_that_of_the_comparison():
    (scene,) = compare(
        "ppca", data=TABLE, latent=2, estimators="reparameterization", rows=5, repeats=2
    ).scenes
    made, compared = make_problem("ppca", TABLE, latent=2, rows=5), scene.problem
    for name in ("theta", "phi", "x"):
        np.testing.assert_array_equal(getattr(made, name), getattr(compared, name))
    assert make_problem("gaussian-mixture", rows=3).model.label == "gaussian-mixture:full"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "gaussian-mixture", "posterior": "full"}, "posterior: .*needs continuous z"),
        ({"model": "ppca", "at": "nowhere"}, "at: .*got 'nowhere'"),
        ({"model": "ppca", "rows": 0}, "rows: .*got 0"),
        ({"model": None}, "model: "),
    ],
)
def test_a_problem_that_cannot_be_made_is_refused_by_its_argument(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make_problem(**options)
