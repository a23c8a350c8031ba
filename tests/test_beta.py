"""The KL with a weight: what is maximised is what it says, and the ELBO beside it stays the ELBO."""

from dataclasses import dataclass, replace

import numba
import numpy as np
import pytest
from cases import BINARY, CASES, WITH_POSTERIOR, admits, over
from checks import assert_close, check_vjp
from estimator_laws import integrable_phi
from noise_integrals import affordable_draws, expected_estimate

from elbo_lab import Problem, fit
from elbo_lab.datasets import load
from elbo_lab.distributions import Beta, FullGaussian
from elbo_lab.errors import NotApplicable, Stopped
from elbo_lab.estimators import (
    ESTIMATORS,
    ElboAnalyticKL,
    ElboSampled,
    Reparameterization,
    ScoreFunctionLearnedBaseline,
    ScoreFunctionLOO,
)
from elbo_lab.estimators.passes import kl_pass
from elbo_lab.evaluation import decompose
from elbo_lab.exact import expectation
from elbo_lab.fitting.checkpoints import train_in_pieces
from elbo_lab.kernels import use_kernels, vae_step
from elbo_lab.models import PPCA, DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.report.numbers import about_beta
from elbo_lab.special import log_softmax
from elbo_lab.training import BetaObjective, BetaSchedule, ElboObjective, Plan, Training
from elbo_lab.training.compiled_step import is_compiled

BETAS = (0.0, 0.3, 1.0, 4.0)
RATES = {"theta": 0.02, "phi": 0.02}
DIGITS = load("digits:binary").rows(40, 0).x[:, 18:30]
LOCAL = [
    case
    for case in CASES
    if case.free.family.has_kl_to(case.model.family)
    and case.model.layout.size
    and not case.model.formula_only
]
CONTINUOUS = [case for case in LOCAL if not case.model.family.discrete]
needs_jit = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="NUMBA_DISABLE_JIT is set")


# -- what it is at the posterior -------------------------------------------------------------------


def kl_of_posterior(case, theta):
    """Return KL(p(z | x) || p(z)) (N,), of moments or of a sum over components."""
    model = case.model
    if model.family.discrete:
        r, prior = model.posterior_eta(theta, case.x), model.prior_eta(theta)
        log_r, log_pi = log_softmax(r, axis=-1), log_softmax(prior, axis=-1)
        return (np.exp(log_r) * (log_r - log_pi)).sum(axis=-1)
    mean, std = model.posterior_mean_and_std(theta, case.x)
    return 0.5 * (mean**2 + std**2 - 1.0 - 2.0 * np.log(std)).sum(axis=-1)


def check_value_at_posterior(case, beta, objective_of=lambda parts, beta: parts.beta_objective(beta)):
    model = case.model
    theta = model.canonical(case.theta)
    parts = decompose(model, theta, case.x, model.posterior_eta(theta, case.x))
    found, excess = objective_of(parts, beta), (1.0 - beta) * kl_of_posterior(case, theta)
    assert_close(found, parts.log_p + excess, 1e-9)
    above = found > parts.log_p + 1e-9
    assert (above == (excess > 1e-9)).all()


WITH_Z = [
    case for case in WITH_POSTERIOR if case.model.name in ("gaussian-mixture", "ppca", "factor-analysis")
]


@pytest.mark.parametrize("beta", BETAS)
@over(WITH_Z)
def test_at_the_posterior_the_objective_is_log_p_and_its_share_of_the_kl_to_the_prior(case, beta):
    check_value_at_posterior(case, beta)


@pytest.mark.parametrize("fault", ["the ELBO", "weight on the reconstruction", "sign"])
def test_another_objective_at_the_posterior_is_caught(fault):
    wrong = {
        "the ELBO": lambda parts, _: parts.elbo,
        "weight on the reconstruction": lambda parts, beta: beta * parts.reconstruction - parts.kl_to_prior,
        "sign": lambda parts, beta: parts.elbo - (1.0 - beta) * parts.kl_to_prior,
    }[fault]
    with pytest.raises(AssertionError):
        check_value_at_posterior(WITH_Z[0], 4.0, wrong)


@pytest.mark.parametrize("beta", [0.3, 4.0])
@over(WITH_Z)
def test_the_best_q_is_the_posterior_under_a_tempered_likelihood(case, beta):
    """Of all q the maximum has q ~ p(z) p(x | z)^(1 / beta): there the gradient in eta vanishes."""
    model, x = case.model, case.x
    theta = model.canonical(case.theta)
    if model.family.discrete:
        z = np.broadcast_to(np.arange(model.family.size)[:, None], (model.family.size, len(x)))
        eta = model.prior_eta(theta) + model.log_likelihood(theta, x, z).T / beta
    else:
        # p(x | z)^(1 / beta) is a Gaussian likelihood with beta times the noise variance.
        tempered = theta.copy()
        noise = model.layout.views(tempered)["log_sigma"]
        noise[...] += 0.5 * np.log(beta)
        eta = model.posterior_eta(tempered, x)
    family = model.family
    by_eta = expectation(model, theta, x, eta).grad_eta + family.entropy_grad(eta) / len(x)
    of_kl, _ = family.kl_grad_to(family, eta, model.prior_eta(theta))
    assert np.abs(by_eta + (1.0 - beta) * of_kl / len(x)).max() < 1e-9
    assert np.abs(by_eta).max() > 1e-3  # and the ELBO's own does not


# -- gradients -------------------------------------------------------------------------------------


def exact_objective(case, posterior, theta, phi, beta):
    """Return the mean objective, exact."""
    parts = decompose(case.model, theta, case.x, posterior.eta(phi, case.x), posterior.family)
    return parts.beta_objective(beta).mean(keepdims=True)


def objective_of(case, posterior, beta, theta=None, phi=None, kind=BetaObjective, **options):
    pair = [e for e in (theta, phi) if e is not None]
    if not pair and case.model.family.discrete:
        pair = [ElboAnalyticKL(), ScoreFunctionLOO()]
    return kind(case.model, posterior, case.x, None, *pair, weight=BetaSchedule(beta), **options)


def gradients_at(objective, theta, phi, seed=0):
    params = {"theta": theta, "phi": phi}
    block = objective.draw(np.arange(objective.n_rows), np.random.default_rng(seed))
    memory = objective.initial_memory(params, np.random.default_rng(0))
    return objective.gradients(params, block, ("theta", "phi"), memory)


def check_frozen_gradients(case, posterior, phi, beta, kind=BetaObjective):
    """With frozen noise the gradients of the pathwise pass are the slopes of the value it reports."""
    objective = objective_of(case, posterior, beta, draws=2, kind=kind)
    assert objective.one_pass
    for name, point in (("theta", case.theta), ("phi", phi)):
        start = {"theta": case.theta, "phi": phi}
        check_vjp(
            lambda p, name=name, start=start: gradients_at(objective, **start | {name: p})[0][1:],
            lambda p, c, name=name, start=start: c[0] * gradients_at(objective, **start | {name: p})[1][name],
            point,
            np.random.default_rng(1),
        )


@over(CONTINUOUS)
def test_gradients_are_the_slopes_of_the_objective(case):
    for posterior, phi in case.posteriors():
        check_frozen_gradients(case, posterior, phi, 4.0)


class ForgetsTheWeight(BetaObjective):
    """A fault: values are weighted, gradients are those of the ELBO."""

    def gradients(self, params, block, names, memory):
        _, found, _ = ElboObjective.gradients(self, params, block, names, memory)
        return super().gradients(params, block, names, memory)[0], found, memory


class ReportsTheElbo(BetaObjective):
    """A fault: what is reported as the objective is the ELBO."""

    def values(self, elbo, kl):  # noqa: ARG002
        return np.array([elbo, elbo])


@pytest.mark.parametrize("kind", [ForgetsTheWeight, ReportsTheElbo])
def test_gradients_of_something_else_are_caught(kind):
    with pytest.raises(AssertionError):
        check_frozen_gradients(CONTINUOUS[0], *CONTINUOUS[0].posteriors()[0], 4.0, kind)


PAIRS = [
    (case, estimator)
    for case in LOCAL
    for estimator in ESTIMATORS
    if estimator.target in ("grad-theta-elbo", "grad-phi-elbo")
    and estimator.name != "exact"
    and admits(case, estimator)
]


def check_composition(case, estimator, beta, kind=BetaObjective):
    """The gradient of any estimator is its own estimate and (1 - beta) times the slope of the KL."""
    name = estimator.target.split("-")[1]
    other = ElboSampled() if name == "phi" else _phi_estimator(case)
    pair = {"theta": estimator, "phi": other} if name == "theta" else {"theta": other, "phi": estimator}
    objective = objective_of(case, case.free, beta, **pair, kind=kind, draws=max(4, estimator.minimum_draws))
    (elbo, value), found, _ = gradients_at(objective, case.theta, case.free_phi)
    problem = case.problem()
    kl, *slopes = kl_pass(problem)
    block = objective.draw(np.arange(len(case.x)), np.random.default_rng(0))
    draws = block[1][objective._noise_spec(estimator, len(case.x))]
    alone = estimator.estimate(problem, draws, estimator.initial_state(problem))[0]
    assert_close(found[name], alone + (1.0 - beta) * slopes[name == "phi"], 1e-12)
    assert_close(value, elbo + (1.0 - beta) * kl, 1e-12)


def _phi_estimator(case):
    return ScoreFunctionLOO() if case.model.family.discrete else Reparameterization()


@pytest.mark.parametrize("case, estimator", PAIRS, ids=lambda v: getattr(v, "name", None))
def test_every_estimator_of_the_elbo_serves_the_weighted_objective(case, estimator):
    check_composition(case, estimator, 4.0)


def check_kl_pass(case, slopes_of=kl_pass):
    """The slopes of the KL are its central differences, in theta and phi."""
    for posterior, phi in case.posteriors():
        for place, point in enumerate((case.theta, phi)):

            def at(p, place=place, posterior=posterior, phi=phi):
                theta, phi = (p, phi) if place == 0 else (case.theta, p)
                return slopes_of(Problem(case.model, posterior, theta, phi, case.x))

            check_vjp(
                lambda p, at=at: np.array([at(p)[0]]),
                lambda p, c, at=at, place=place: c[0] * at(p)[1 + place],
                point,
                np.random.default_rng(2),
            )


@over(LOCAL)
def test_the_slopes_of_the_kl_are_its_differences(case):
    check_kl_pass(case)


def test_a_kl_that_is_summed_over_rows_is_caught():
    def summed(problem):
        value, by_theta, by_phi = kl_pass(problem)
        return value, by_theta, by_phi * len(problem.x)

    with pytest.raises(AssertionError):
        check_kl_pass(LOCAL[0], summed)


UNBIASED = [
    pair
    for pair in PAIRS
    if pair[0].model.latent_dim == 1 or pair[0] in BINARY or pair[0].model.name == "gaussian-mixture"
    if pair[1].name in ("elbo-sampled", "reparameterization", "score-function-loo", "sticking-the-landing")
]


@pytest.mark.parametrize("case, estimator", UNBIASED, ids=lambda v: getattr(v, "name", None))
def test_estimates_are_unbiased_for_the_slope_of_the_exact_objective(case, estimator):
    beta, phi = 2.5, integrable_phi(estimator, case, case.free, case.free_phi)
    draws = affordable_draws(estimator, case)
    expected = expected_estimate(estimator, case, case.free, phi, draws)
    name = estimator.target.split("-")[1]
    _, *slopes = kl_pass(case.problem(case.free, phi))
    found = expected + (1.0 - beta) * slopes[name == "phi"]

    def value(point):
        theta, q = (point, phi) if name == "theta" else (case.theta, point)
        return exact_objective(case, case.free, theta, q, beta)

    point = case.theta if name == "theta" else phi
    check_vjp(value, lambda _, c: c[0] * found, point, np.random.default_rng(3), n_directions=2)


# -- schedules -------------------------------------------------------------------------------------


def test_a_warm_up_rises_from_zero_to_beta_and_stays():
    weight = BetaSchedule.parse(4.0, "linear:8")
    assert [weight.at(step) for step in (0, 1, 4, 8, 9, 10**9)] == [0.0, 0.5, 2.0, 4.0, 4.0, 4.0]
    assert BetaSchedule.parse(4.0, "constant").at(0) == 4.0
    assert BetaSchedule().is_elbo and not BetaSchedule(1.0, 3).is_elbo and not BetaSchedule(2.0).is_elbo


def vae(kind=BetaObjective, x=DIGITS, **options):
    model = DeepBernoulli(x.shape[1], 2, (6,))
    return kind(model, AmortisedPosterior.for_data(model.family, x, (5,)), x, **options)


def trained(objective, epochs=3, **options):
    training = Training(objective, Plan(epochs=epochs, batch=16, rates=RATES, **options), seed=2)
    training.run()
    return training


@dataclass(frozen=True)
class OneBased(BetaSchedule):
    """A fault: the first minibatch already has a share of the weight."""

    def at(self, step):
        return super().at(step + 1)


def check_history_of_a_warm_up(kind=BetaSchedule):
    rows = trained(vae(weight=kind(4.0, 6))).history
    # Three minibatches an epoch; the last one has seen 2, 5, 8 before it.
    assert [row["beta"] for row in rows[1:]] == [4.0 * 2 / 6, 4.0 * 5 / 6, 4.0]
    for row in rows[1:]:
        assert list(row) == ["epoch", "step", "phase", "elbo", "beta_objective", "learning_rate", "beta"]
        assert (row["beta_objective"] < row["elbo"]) == (row["epoch"] > 1)


def test_the_history_has_the_elbo_what_is_maximised_and_the_weight():
    check_history_of_a_warm_up()


def test_a_warm_up_that_counts_from_one_is_caught():
    with pytest.raises(AssertionError):
        check_history_of_a_warm_up(OneBased)


def test_the_weight_follows_the_minibatches_where_phi_takes_several_steps():
    rows = trained(vae(weight=BetaSchedule(4.0, 6)), epochs=2, phi_steps=3).history
    assert [row["beta"] for row in rows if row["phase"] == "theta"] == [4.0 * 2 / 6, 4.0 * 5 / 6]


# -- the same numbers ------------------------------------------------------------------------------

SAMPLED = {"theta_estimator": ElboSampled(), "phi_estimator": ScoreFunctionLearnedBaseline(), "draws": 3}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, SAMPLED], ids=["pathwise", "score function"])
def test_a_weight_of_one_is_the_elbo_bit_for_bit(options, dtype):
    plain, weighted = (trained(vae(kind, dtype=dtype, **options)) for kind in (ElboObjective, BetaObjective))
    for name, vector in plain.params.items():
        np.testing.assert_array_equal(weighted.params[name], vector)
    for row, other in zip(plain.history[1:], weighted.history[1:], strict=True):
        assert other == row | {"beta_objective": row["elbo"], "beta": 1.0}


def check_compiled(weight):
    """Whole trainings by compiled steps and by the definition: the same but for rounding."""
    found = []
    for kernels in ("numpy", "numba"):
        with use_kernels(kernels):
            training = trained(vae(weight=weight, dtype=np.float64))
            assert is_compiled(training.objective, training.params, training.plan.optimizer) == (
                kernels == "numba"
            )
            found.append(training)
    definition, compiled = found
    for name, vector in definition.params.items():
        assert_close(compiled.params[name], vector, 1e-9)
    for row, other in zip(definition.history[1:], compiled.history[1:], strict=True):
        for key in ("elbo", "beta_objective", "beta"):
            assert_close(other[key], row[key], 1e-10)


@needs_jit
@pytest.mark.parametrize("weight", [BetaSchedule(4.0), BetaSchedule(0.2, 5)], ids=str)
def test_the_compiled_step_weighs_the_kl_as_the_definition_does(weight):
    check_compiled(weight)


@needs_jit
def test_a_compiled_step_that_forgets_the_weight_is_caught(monkeypatch):
    step = vae_step.vae_step

    def forgetful(*arguments):
        return step(*arguments[:8], 1.0, *arguments[9:])

    monkeypatch.setattr(vae_step, "vae_step", forgetful)
    with pytest.raises(AssertionError):
        check_compiled(BetaSchedule(4.0))


@pytest.mark.parametrize("options", [{}, SAMPLED], ids=["pathwise", "score function"])
def test_pieces_of_a_warm_up_give_the_bits_of_the_whole(tmp_path, options):
    def build():
        plan = Plan(epochs=3, batch=16, rates=RATES)
        return Training(vae(weight=BetaSchedule(4.0, 6), **options), plan, seed=2)

    whole = build()
    whole.run()
    done = False
    while not done:
        part = build()
        done = train_in_pieces(part, tmp_path / "c.npz", {"beta": 4}, 0.0)
    for name, vector in whole.params.items():
        np.testing.assert_array_equal(part.params[name], vector)
    assert part.history == whole.history


def test_a_state_without_its_further_sums_is_refused():
    training = trained(vae(weight=BetaSchedule(4.0)))
    header, arrays = training.state()
    assert header["further_sums"] == [0.0]
    for bad in ([], [None], [1e301], "0"):
        with pytest.raises(ValueError, match="further_sums"):
            training.restore(header | {"further_sums": bad}, arrays)
    del header["further_sums"]
    with pytest.raises(ValueError, match="further_sums"):
        training.restore(header, arrays)


def test_without_a_price_the_elbo_may_fall_while_the_objective_rises():
    """Weight 0: the KL grows, and a falling ELBO is no divergence."""
    training = trained(vae(weight=BetaSchedule(0.0)), epochs=40)
    first, last = training.history[1], training.history[-1]
    assert last["beta_objective"] > first["beta_objective"] and last["elbo"] < last["beta_objective"]
    training.value_sum, training.rows_seen = 1e6 * training.first_value, 1
    training.further_sums = [training.first_value]
    training.check()


# -- fit -------------------------------------------------------------------------------------------

SMALL = {"latent": 2, "hidden": (5,), "epochs": 4, "batch": 20, "holdout": 0.2, "seed": 3}
WARM = {"beta": 4.0, "beta_schedule": "linear:6", "patience": 5}


@pytest.fixture(scope="module")
def rows():
    return replace(load("digits:binary").rows(100, 0), image_shape=None)


def test_a_fit_says_what_it_maximised_and_keeps_the_elbo(rows):
    result = fit("deep-bernoulli", rows, **SMALL, **WARM, dtype="float64")
    for numbers in (result.final, result.final["held_out"]):
        excess = (1.0 - 4.0) * numbers["kl_to_prior"]
        assert_close(numbers["beta_objective_per_datum"], numbers["elbo_per_datum"] + excess, 1e-12)
    kl, _, _ = kl_pass(result.problem(result.train.x))
    assert_close(result.final["kl_to_prior"], kl, 1e-12)
    assert result.history[-1]["beta"] == 4.0
    figure = result.plot("learning-curves")
    assert sum("β objective" in ax.get_ylabel() for ax in figure.axes) == 2


def test_a_fit_without_a_weight_has_no_word_of_it(rows):
    plain, one = fit("deep-bernoulli", rows, **SMALL), fit("deep-bernoulli", rows, **SMALL, beta=1.0)
    assert plain.history == one.history and "beta" not in plain.final
    np.testing.assert_array_equal(plain.phi, one.phi)


def test_early_stopping_watches_what_is_maximised(rows):
    result = fit("deep-bernoulli", rows, **SMALL | {"epochs": 30}, beta=0.0, patience=3)
    watched = [row["beta_objective_validation"] for row in result.history[1:]]
    best = int(np.argmax(watched))
    assert best == len(watched) - 1 or len(watched) == best + 4
    for row in result.history[1:]:
        assert row["beta_objective_validation"] > row["elbo_validation"]


def test_a_resumed_warm_up_has_the_bits_of_the_whole(rows, tmp_path):
    whole = fit("deep-bernoulli", rows, **SMALL, **WARM)
    path = tmp_path / "c.npz"
    steps = iter(range(100))
    with pytest.raises(Stopped):
        fit("deep-bernoulli", rows, **SMALL, **WARM, checkpoint=path, progress=lambda *_: next(steps) == 4)
    resumed = fit(data=rows, resume=path)
    np.testing.assert_array_equal(resumed.theta, whole.theta)
    np.testing.assert_array_equal(resumed.phi, whole.phi)
    assert resumed.history == whole.history and resumed.settings["beta_schedule"] == "linear:6"


@pytest.mark.parametrize(
    "beta, words", [(4.0, "a lower bound of log p(x) below the ELBO"), (0.5, "no lower bound"), (1.0, "ELBO")]
)
def test_the_screen_says_whether_it_is_a_bound(beta, words):
    assert words in about_beta(beta)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"beta": -1.0}, "beta: expected a finite weight of the KL, at least 0, got -1.0"),
        ({"beta_schedule": "linear:1000"}, "beta_schedule: expected a warm-up of at most the 16 minibatches"),
        ({"beta_schedule": "linear:x"}, "beta_schedule: expected 'linear:STEPS'"),
    ],
)
def test_a_fit_refuses_a_bad_weight_in_one_line(rows, options, message):
    with pytest.raises(ValueError, match=message):
        fit("deep-bernoulli", rows, **SMALL, **options)


def test_other_methods_have_no_weight():
    with pytest.raises(ValueError, match="beta: expected no value with method closed-form"):
        fit("ppca", "faithful", latent=1, beta=2.0)


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "beta, schedule, message",
    [
        (-1.0, "constant", "beta: expected a finite weight of the KL, at least 0, got -1.0"),
        (np.inf, "constant", "beta: expected a finite weight"),
        (4.0, "linear", "beta_schedule: expected 'linear:STEPS'"),
        (4.0, "linear:0", "beta_schedule: expected 'linear:STEPS'"),
        (4.0, "linear:1.5", "beta_schedule: expected 'linear:STEPS'"),
        (4.0, "constant:3", "beta_schedule: expected 'constant' without a number"),
        (4.0, "cosine:3", "beta_schedule: .*'cosine'"),
    ],
)
def test_a_bad_weight_is_refused_in_one_line(beta, schedule, message):
    with pytest.raises(ValueError, match=message):
        BetaSchedule.parse(beta, schedule)


def test_a_warm_up_longer_than_the_training_is_refused():
    BetaSchedule(4.0, 30).check_ends(30)
    with pytest.raises(ValueError, match=r"beta_schedule: expected a warm-up of at most the 29 .*got 30"):
        BetaSchedule(4.0, 30).check_ends(29)


def test_a_q_without_a_closed_kl_is_refused():
    model = DeepBernoulli(3, 1, (4,))
    x = np.array([[0.0, 1.0, 1.0]])
    with pytest.raises(NotApplicable, match="beta weighs a closed KL, and that of a beta q"):
        BetaObjective(model, FreePosterior(Beta(1), 1), x, None, ElboSampled(), Reparameterization())


def test_a_full_covariance_has_a_weighted_objective_too():
    case = next(case for case in CASES if isinstance(case.model, PPCA))
    q = FreePosterior(FullGaussian(2), len(case.x))
    phi = 0.3 * np.random.default_rng(0).standard_normal(q.layout.size)
    check_frozen_gradients(replace(case, free=q), q, phi, 4.0)
