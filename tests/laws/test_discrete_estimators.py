"""Gradients through discrete latents: unbiased without luck, biases as theory has them, faults caught.

The general laws (`test_estimators`) hold for these estimators as well; here stands what is their own.
"""

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import estimator_laws as laws
import numpy as np
import pytest
from cases import BINARY, CASES, CATEGORICAL, Case, make_case
from checks import assert_close, check_vjp, exact_draws
from noise_integrals import arbitrary_state, estimate, expected_estimate, holding, moments, of_discrete_room

from elbo_lab import Problem
from elbo_lab.bounds import log_weight
from elbo_lab.checking import integrals
from elbo_lab.checking.rules import gumbels_of_categories, one_uniform_per_bit, panels, tensor
from elbo_lab.distributions import (
    BinaryConcrete,
    Categorical,
    CategoricalVector,
    GumbelSoftmax,
    IndependentBernoulli,
    relaxation_of,
    relaxations,
)
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import (
    ARM,
    ESTIMATORS,
    Concrete,
    DisARM,
    Enumeration,
    Exact,
    Rebar,
    RebarLearned,
    Relax,
    StraightThrough,
    StraightThroughGumbel,
)
from elbo_lab.estimators.base import log_weight_at
from elbo_lab.estimators.discrete import arm, rebar
from elbo_lab.estimators.discrete.bits import slope_at
from elbo_lab.estimators.discrete.rebar import conditional_pair
from elbo_lab.estimators.discrete.relax import Surrogate
from elbo_lab.models import CategoricalVAE, GaussianMixture, GaussianMLE, SigmoidBelief
from elbo_lab.posteriors import FreePosterior
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

THROUGH_DISCRETE = [estimator for estimator in ESTIMATORS if of_discrete_room(estimator)]
TWO_BITS = BINARY[0]
ONE_BIT = make_case(SigmoidBelief(3, 1), n_data=2)
TWO_BITS_OF_ONE = make_case(SigmoidBelief(3, 2), n_data=1)
MIXTURE = next(case for case in CATEGORICAL if case.model.latent_dim == 2)


FAMILIES = (IndependentBernoulli(3), Categorical(3), CategoricalVector(2, 3))
# Two categories, and a vector of two of them, leave so few numbers of noise that the rules stand to 1e-10.
TWO_CATEGORIES = make_case(GaussianMixture(2, 2, "diagonal"), n_data=1)
VECTOR = make_case(CategoricalVAE(3, 2, 2, (3,)), n_data=1)


def exact_gradient(case):
    answer = Exact("grad-phi-elbo").answer(case.problem())
    return answer.value


def bias_of(estimator, case):
    return laws.bias(estimator, case, case.free, case.free_phi, 1)


def variance_of(estimator, case):
    return moments(estimator, case, case.free, case.free_phi, 1)[1].sum()


def initial_state(estimator, case):
    return estimator.initial_state(case.problem())


def some_state(estimator, case):
    return arbitrary_state(estimator, case, case.free, case.free_phi)


# -- unbiased, all noise integrated ----------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("kind", [Rebar, Relax])
def test_rebar_and_relax_are_unbiased_at_every_temperature(kind, temperature):
    for case in (ONE_BIT, TWO_BITS_OF_ONE):
        assert np.abs(bias_of(kind(temperature), case)).max() < 1e-9


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_rebar_is_unbiased_on_categories_and_vectors_of_them(temperature):
    assert np.abs(bias_of(Rebar(temperature), TWO_CATEGORIES)).max() < 1e-9
    assert np.abs(bias_of(Rebar(temperature), VECTOR)).max() < 1e-8  # four numbers of noise


def test_relax_is_unbiased_on_categories_in_any_state():
    assert np.abs(bias_of(Relax(), TWO_CATEGORIES)).max() < 1e-9


def test_learned_rebar_is_unbiased_in_any_state_and_begins_as_rebar():
    for case in (ONE_BIT, TWO_CATEGORIES):
        # At temperature one, where the integrands are smooth, and with another coefficient.
        other = holding(RebarLearned(), np.array([0.7, 0.0, *initial_state(RebarLearned(), case)[2:]]))
        assert np.abs(bias_of(other, case)).max() < 1e-9
        noise = laws.noise_for(Rebar(), case, 3)
        first = holding(RebarLearned(), initial_state(RebarLearned(), case))
        found, expected = (estimate(e, case, case.free, case.free_phi, noise) for e in (first, Rebar()))
        assert_close(found, expected)


def test_learned_rebar_lowers_its_exact_variance():
    estimator = RebarLearned(2.0)  # a poor temperature
    rng, state = np.random.default_rng(7), initial_state(estimator, ONE_BIT)
    spec = estimator.noise_spec(ONE_BIT.model.family, 50, len(ONE_BIT.x))
    for _ in range(estimator.burn_in):
        _, state = estimator.estimate(ONE_BIT.problem(), rng.random(spec.shape), state)
    assert variance_of(holding(estimator, state), ONE_BIT) < 0.5 * variance_of(Rebar(2.0), ONE_BIT)


def test_learned_rebar_steps_along_the_gradient_of_its_mean_square(monkeypatch):
    case, seen = ONE_BIT, []
    noise = laws.noise_for(Rebar(), case, 1)
    problem, first = case.problem(), initial_state(RebarLearned(), case)
    record = lambda state, gradient: (seen.append(gradient), state)[1]  # noqa: E731
    monkeypatch.setattr("elbo_lab.estimators.discrete.rebar_learned.adam_step", record)
    RebarLearned().estimate(problem, noise, first)

    def mean_square(parameters):
        g = RebarLearned().estimate(problem, noise, np.concatenate([parameters, first[2:]]))[0] * len(case.x)
        return np.array([(g**2).sum() / len(case.x)])

    step = 1e-4 * np.eye(2)
    slope = [(mean_square(first[:2] + h) - mean_square(first[:2] - h))[0] / 2e-4 for h in step]
    assert_close(seen[0], slope, 5e-3)  # a difference in log t with a wider step


@pytest.mark.slow
def test_rebar_and_relax_are_unbiased_on_three_categories():
    for model in (GaussianMixture(2, 3, "spherical"), CategoricalVAE(3, 1, 3, (3,))):
        case = make_case(model, n_data=1)
        for estimator in (Rebar(), Rebar(1.0), Relax()):
            # The rule of four numbers of noise errs by 4e-7 on the network of RELAX.
            assert np.abs(bias_of(estimator, case)).max() < 1e-6


def test_the_state_of_relax_changes_its_variance_and_not_its_mean():
    for case in (ONE_BIT, TWO_BITS_OF_ONE):
        first, other = (holding(Relax(), state(Relax(), case)) for state in (initial_state, some_state))
        assert max(np.abs(bias_of(e, case)).max() for e in (first, other)) < 1e-9
        assert abs(variance_of(other, case) / variance_of(first, case) - 1.0) > 0.01


def test_relax_begins_as_rebar():
    case = TWO_BITS
    noise = laws.noise_for(Rebar(), case, 3, lead=(5,))
    first = holding(Relax(), initial_state(Relax(), case))
    found, expected = (estimate(e, case, case.free, case.free_phi, noise) for e in (first, Rebar()))
    assert_close(found, expected)


def test_enumeration_has_no_variance_whatever_the_noise():
    for case in (ONE_BIT, TWO_BITS, *CATEGORICAL):
        noise = laws.noise_for(Enumeration(), case, 2, lead=(3,))
        found = estimate(Enumeration(), case, case.free, case.free_phi, noise)
        assert_close(found, np.tile(exact_gradient(case), (3, 1)))


def mean_of_single_draws(estimator, case):
    """An estimate is the mean over draws and rows of estimates from one draw of one row."""
    family, noise = case.model.family, laws.noise_for(estimator, case, 3)
    found = case.free.eta(estimate(estimator, case, case.free, case.free_phi, noise), case.x)
    table, one = case.free.eta(case.free_phi, case.x), FreePosterior(case.model.family, 1)
    assert family.eta_size == found.shape[1]
    for n in range(len(case.x)):
        row = replace(case, x=case.x[n : n + 1])
        phi = one.phi_from_eta(table[n : n + 1])
        single = [estimate(estimator, row, one, phi, noise[s : s + 1, n : n + 1]) for s in range(3)]
        assert_close(found[n], np.mean(single, axis=0) / len(case.x))


@pytest.mark.parametrize("estimator", THROUGH_DISCRETE, ids=lambda estimator: estimator.name)
def test_an_estimate_is_the_mean_of_single_draws_of_single_rows(estimator, monkeypatch):
    mean_of_single_draws(estimator, TWO_BITS)
    right = type(estimator).estimate
    faults = {
        "divides by S - 1": lambda noise, x: len(noise) / max(len(noise) - 1, 1),  # noqa: ARG005
        "sums over rows": lambda noise, x: len(x),  # noqa: ARG005
    }
    for factor in faults.values():

        def wrong(self, problem, noise, state=None, factor=factor):
            found, state = right(self, problem, noise, state)
            return found * factor(noise, problem.x), state

        monkeypatch.setattr(type(estimator), "estimate", wrong)
        with pytest.raises(AssertionError):
            mean_of_single_draws(estimator, TWO_BITS)


# -- biased, and how -------------------------------------------------------------------------------


def one_bit(estimator, temperature_rule, case=ONE_BIT):
    """Return bias (P,) and total variance on one bit with a rule made for low temperatures."""
    with patch.object(integrals, "uniform_rules", temperature_rule):
        return bias_of(estimator, case), variance_of(estimator, case)


def fine_rule(estimator, family, logits, shape):  # noqa: ARG001
    """Panels that close in on the step: the relaxed slope is a peak of width temperature there."""
    p = 1.0 / (1.0 + np.exp(-logits[0]))
    near = p * (1.0 - p) * 2.0 ** -np.arange(0, 24)
    for n in (12, 16):
        nodes, weights = panels(np.concatenate([p - near, [p], p + near]), n)
        yield nodes[:, None, None], weights


def test_near_even_odds_the_bias_of_concrete_falls_like_the_square_of_t_and_its_variance_explodes():
    found = [one_bit(Concrete(t), fine_rule) for t in (0.4, 0.2, 0.1, 0.05, 0.025)]
    bias, variance = np.array([np.linalg.norm(b) for b, _ in found]), np.array([v for _, v in found])
    assert bias[0] > 1e-4
    # Both logits are close to zero, where the bias falls like t^2, by four at every step (what is left of
    # the term in t is felt at the lowest t). The variance rises like 1 / t.
    assert np.all((bias[1:] < 0.31 * bias[:-1]) & (bias[1:] > 0.2 * bias[:-1])), bias
    assert np.all(variance[1:] > 1.7 * variance[:-1]), variance


def test_away_from_even_odds_the_bias_of_concrete_falls_like_t():
    # E f(y) - E f(b) = t C sigmoid(l) sigmoid(-l) + O(t^2), C the area between f of relaxed and hard bits.
    model, logit = SigmoidBelief(3, 1), 1.0
    theta = model.layout.pack({"W": np.array([[3.0], [-2.0], [1.5]])})
    x, free = np.array([[1.0, 0.0, 1.0]]), FreePosterior(model.family, 1)
    case = Case(model, theta, x, free, np.array([logit]), None, None)
    v, step = np.linspace(-40.0, 40.0, 8001, retstep=True)
    bits = np.concatenate([1.0 / (1.0 + np.exp(-v)), [0.0, 1.0]])[:, None, None]
    f = log_weight_at(case.problem(), np.array([[logit]]), bits)[:, 0]
    # The trapezoid rule on both sides of the jump at v = 0, where the mean of f(0) and f(1) stands.
    hard = f[-2] + (f[-1] - f[-2]) * np.heaviside(v, 0.5)
    area = step * (f[:-2] - hard).sum()
    p = 1.0 / (1.0 + np.exp(-logit))
    slope = area * p * (1.0 - p) * (1.0 - 2.0 * p)
    assert abs(slope) > 0.1
    temperatures = np.array([0.4, 0.2, 0.1, 0.05, 0.025])
    bias = np.array([one_bit(Concrete(t), fine_rule, case)[0][0] for t in temperatures])
    assert_close(bias[:4], [-0.0438, -0.0239, -0.0121, -0.0060], 1e-4)
    assert np.all(np.abs(bias - temperatures * slope) < 0.06 * temperatures**2), bias / temperatures


def steep(case, factor):
    """Return the case with larger weights, so that f is far from quadratic in a bit."""
    theta = case.theta.copy()
    case.model.layout.views(theta)["W"][...] *= factor
    return laws.with_theta(case, theta)


def test_the_bias_of_straight_through_gumbel_tends_to_that_of_a_trapezoid_rule():
    case = steep(ONE_BIT, 8.0)
    eta = case.free.eta(case.free_phi, case.x)
    corners = np.repeat(np.array([0.0, 1.0])[:, None, None], len(case.x), axis=1)
    f, slope = (at(case.problem(), eta, corners) for at in (log_weight_at, slope_at))
    p = 1.0 / (1.0 + np.exp(-eta))
    limit = p * (1.0 - p) * (slope.mean(axis=0) - (f[1] - f[0])[:, None]) / len(case.x)
    assert np.abs(limit).max() > 1e-2
    found = one_bit(StraightThroughGumbel(0.001), fine_rule, case)[0]
    assert_close(case.free.eta(found, case.x), limit, 1e-4)


def test_straight_through_is_exact_where_f_is_linear_in_the_bit():
    # Without weights x knows nothing of z: f is the linear log p(z) - log q(z).
    theta = TWO_BITS.theta.copy()
    TWO_BITS.model.layout.views(theta)["W"][...] = 0.0
    linear = laws.with_theta(TWO_BITS, theta)
    assert np.abs(bias_of(StraightThrough(), linear)).max() < 1e-12
    assert np.abs(bias_of(StraightThrough(), TWO_BITS)).max() > 1e-4


STRAIGHT_THROUGH = [
    # degree of f, logit, whether the mean is exact
    (1, 0.0, True),
    (1, 1.3, True),
    (2, 0.0, True),
    (2, 1.3, False),
    (3, 0.0, False),
    (3, 1.3, False),
]


@pytest.mark.parametrize(("degree", "logit", "exact"), STRAIGHT_THROUGH)
def test_straight_through_is_exact_for_linear_f_and_at_a_fair_bit_for_quadratic_f(degree, logit, exact):
    # f = (z - 0.3)^degree: z - 0.3 has either sign, so that no difference vanishes by symmetry.
    cost = Cost("power", lambda z: (z - 0.3) ** degree, lambda z: degree * (z - 0.3) ** (degree - 1))
    family, eta, p = IndependentBernoulli(1), np.array([logit]), 1.0 / (1.0 + np.exp(-logit))
    problem = Problem(CostModel(family, cost), FreePosterior(family, 1), eta, eta, NO_DATA)
    # The uniform u of a draw makes the bit [u < p]: one u on either side, with the weights of the sides.
    below, above = (
        StraightThrough().estimate(problem, np.full((1, 1, 1), u))[0][0] for u in (p / 2, (1 + p) / 2)
    )
    mean = p * below + (1 - p) * above
    truth = p * (1 - p) * (cost.value(1.0) - cost.value(0.0))
    assert (abs(mean - truth) < 1e-14) == exact
    assert exact or abs(mean - truth) > 0.02


def test_on_a_mixture_the_relaxed_weight_is_linear_so_that_two_estimators_are_one():
    noise = laws.noise_for(Concrete(), MIXTURE, 3)
    found, other = (
        estimate(e, MIXTURE, MIXTURE.free, MIXTURE.free_phi, noise)
        for e in (Concrete(), StraightThroughGumbel())
    )
    assert_close(found, other)
    assert np.abs(bias_of(Concrete(), MIXTURE)).max() > 1e-4


# -- identities ------------------------------------------------------------------------------------


def test_disarm_is_arm_integrated_over_the_noise_beside_the_outcomes():
    case = TWO_BITS_OF_ONE
    logits = case.free.eta(case.free_phi, case.x)[0]
    nodes, weights = one_uniform_per_bit(logits, 1, 16)
    noise = nodes[:, :, None, :]
    arm, disarm_values = (estimate(e, case, case.free, case.free_phi, noise) for e in (ARM(), DisARM()))
    outcomes = np.concatenate([case.model.family.sample(logits, u) for u in (nodes, 1.0 - nodes)], axis=-1)
    for outcome in np.unique(outcomes[:, 0], axis=0):
        same = (outcomes[:, 0] == outcome).all(axis=1)
        mean = weights[same] @ arm[same] / weights[same].sum()
        assert_close(disarm_values[same], np.tile(mean, (same.sum(), 1)))


def test_disarm_never_has_more_variance_than_arm():
    for case in (ONE_BIT, TWO_BITS):
        for scale in (0.0, 1.0, 4.0):
            phi = scale * case.free_phi
            mean, variance = zip(
                *(moments(e, case, case.free, phi, 1) for e in (DisARM(), ARM())), strict=True
            )
            assert np.all(variance[0] <= variance[1] + 1e-14)
            assert variance[0].sum() < variance[1].sum()
            assert_close(mean[0], mean[1])


@pytest.mark.parametrize("estimator", [ARM(), DisARM()])
def test_a_pair_ignores_a_constant_in_log_p(estimator):
    laws.ignores_a_constant(estimator, TWO_BITS, TWO_BITS.free, TWO_BITS.free_phi)


def test_the_pair_of_rebar_has_the_bits_it_is_conditioned_on_and_the_logistic_marginal():
    family, logits = IndependentBernoulli(1), np.array([[0.8]])
    p = 1.0 / (1.0 + np.exp(-0.8))
    columns, weights = tensor([panels((p,), 20), panels((), 20)])
    nodes = np.stack(columns, axis=-1)
    pair = conditional_pair(family, logits, nodes[:, None, None, :], 1.0)  # the nodes as draws
    assert np.array_equal(pair.b == 1.0, pair.y > 0.5) and np.array_equal(pair.b == 1.0, pair.y_given > 0.5)
    for power in (1, 2, 3):
        assert abs(weights @ (pair.y**power - pair.y_given**power)[:, 0, 0]) < 1e-12


def test_the_pair_of_categories_has_the_category_it_is_conditioned_on_and_the_marginal():
    family, logits = Categorical(3), np.array([[0.8, -0.3, 0.1]])
    nodes, weights = gumbels_of_categories(logits, 10, given=True)
    pair = conditional_pair(family, logits, nodes, 1.0)  # the nodes as draws
    assert np.array_equal(pair.b, pair.y.argmax(axis=-1))
    assert np.array_equal(pair.b, pair.y_given.argmax(axis=-1))
    assert abs(weights.sum() - 1.0) < 1e-12
    share = np.bincount(pair.b[:, 0], weights, 3)
    assert_close(share, np.exp(logits[0]) / np.exp(logits).sum())
    for power in (1, 2, 3):
        assert np.abs(weights @ (pair.y**power - pair.y_given**power)[:, 0]).max() < 1e-9


@pytest.mark.parametrize("temperature", [0.3, 1.0])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_the_paths_of_the_pair_are_its_derivatives(family, temperature):
    rng, width = np.random.default_rng(0), family.eta_size
    eta, noise = rng.standard_normal((2, width)), rng.random((4, 2, width, 2))

    def pair(eta):
        return conditional_pair(family, eta, noise, temperature)

    for name, path in (("y", "path"), ("y_given", "path_given")):
        check_vjp(
            lambda eta, name=name: getattr(pair(eta), name),
            lambda eta, c, path=path: getattr(pair(eta), path).pull(c).sum(axis=0),
            eta,
            rng,
        )
        along, found = rng.standard_normal((2, 4, 2, width)), getattr(pair(eta), path)
        assert_close((found.pull(along[0]) * along[1]).sum(), (along[0] * found.push(along[1])).sum())


# -- relaxations and the surrogate -----------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_a_relaxation_is_differentiated_and_tends_to_its_discrete_z(family):
    relaxation, rng = relaxation_of(family), np.random.default_rng(1)
    eta = rng.standard_normal((2, family.eta_size))
    noise = rng.random(relaxation.noise_spec(5, 2).shape)

    def relaxed(eta):
        return relaxation.relax(eta, noise, 0.7)

    check_vjp(relaxed, lambda eta, c: relaxation.relax_vjp(relaxed(eta), 0.7, c).sum(axis=0), eta, rng)
    assert_close(relaxation.relax(eta, noise, 1e-5), relaxation.harden(eta, noise))


def test_hard_gumbels_draw_categories_with_their_probabilities():
    eta = np.array([[0.3, -0.9]])
    rng = np.random.default_rng(2)
    noise = rng.random((40_000, 1, 1, 2))
    share = GumbelSoftmax(Categorical(2)).harden(eta, noise).mean(axis=0)[0]
    _, p = exact_draws(Categorical(2), eta)
    # Six standard errors of a share: a false alarm of 2e-9.
    assert np.abs(share - p.T).max() < 6.0 * 0.5 / np.sqrt(len(noise))


def test_the_slope_of_a_relaxed_log_weight_is_its_derivative():
    rng = np.random.default_rng(3)
    for case, relaxation in ((TWO_BITS, BinaryConcrete), (MIXTURE, GumbelSoftmax)):
        family, eta = case.model.family, case.free.eta(case.free_phi, case.x)
        y = rng.random((2, 3, family.size))

        def weight(flat, case=case, family=family, eta=eta, shape=y.shape):
            y = flat.reshape(shape)
            if family.event_axes:
                return log_weight(case.model, case.theta, case.x, family, eta, y)
            prior, q = (family.log_table(e) for e in (case.model.prior_eta(case.theta), eta))
            return case.model.relaxed_likelihood(case.theta, case.x, y)[0] + (y * (prior - q)).sum(axis=-1)

        slope = relaxation(family).slope(case.model, case.theta, case.x, eta, y)
        check_vjp(weight, lambda _, c, slope=slope: (c[..., None] * slope).ravel(), y.ravel(), rng)


def test_the_relaxed_likelihood_of_a_mixture_agrees_at_the_corners_and_is_differentiated():
    for case in CATEGORICAL:
        model, rng = case.model, np.random.default_rng(4)
        z = np.tile(np.arange(model.family.size)[:, None], 3)
        found = model.relaxed_likelihood(case.theta, case.x, model.family.one_hot(z))[0]
        assert_close(found, model.log_likelihood(case.theta, case.x, z))
        y = rng.random((2, 3, model.family.size))
        check_vjp(
            lambda theta, case=case, y=y: case.model.relaxed_likelihood(theta, case.x, y)[0],
            lambda theta, c, case=case, y=y: case.model.relaxed_likelihood(theta, case.x, y)[1](c)[0],
            case.theta,
            rng,
        )


@pytest.mark.parametrize("name", ["value", "slope"])
def test_the_derivatives_of_the_surrogate_are_its_derivatives(name):
    network, rng = Surrogate(3, hidden=4), np.random.default_rng(5)
    y, psi = rng.random((2, 5, 3)), rng.standard_normal(network.layout.size)
    value, vjp = getattr(network, name), getattr(network, f"{name}_vjp")
    check_vjp(lambda psi: value(psi, y), lambda psi, c: vjp(psi, y, c), psi, rng)
    slope = network.slope(psi, y)
    check_vjp(lambda y: network.value(psi, y), lambda _, c: c[..., None] * slope, y, rng)


def test_relax_learns_along_the_gradient_of_the_mean_square(monkeypatch):
    case, estimator = TWO_BITS, Relax()
    problem = case.problem()
    noise = laws.noise_for(estimator, case, 4, lead=(3,))
    first = some_state(estimator, case)
    size = len(first) // 3
    seen = []
    monkeypatch.setattr("elbo_lab.estimators.discrete.relax.adam_step", lambda s, g: (seen.append(g), s)[1])
    estimator.estimate(problem, noise, first)

    def mean_square(parameters):
        # Single draws of single data: an estimate from one draw, its block of the table times N.
        state = np.concatenate([parameters, first[size:]])
        total = 0.0
        for s in range(4):
            one = estimator.estimate(problem, noise[:, s : s + 1], state)[0] * len(case.x)
            total += (one**2).sum()
        return np.array([total / (3 * 4 * len(case.x))])

    check_vjp(mean_square, lambda _, c: c[0] * seen[0], first[:size], np.random.default_rng(6))


def test_learning_lowers_the_variance_of_relax():
    case, estimator = ONE_BIT, Relax()
    rng, state = np.random.default_rng(7), initial_state(estimator, case)
    spec = estimator.noise_spec(case.model.family, 50, len(case.x))
    for _ in range(estimator.burn_in):
        noise = rng.random(spec.shape)
        _, state = estimator.estimate(case.problem(), noise, state)
    assert variance_of(holding(estimator, state), case) < 0.2 * variance_of(Rebar(), case)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Concrete, StraightThroughGumbel, Rebar, Relax])
@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_a_temperature_that_is_not_positive_is_refused(kind, temperature):
    with pytest.raises(
        ValueError, match=rf"temperature: expected a positive finite number, got {temperature}"
    ):
        kind(temperature)


def test_the_temperature_is_part_of_the_name():
    assert Concrete().name == "concrete-0.5" and Rebar(0.1).name == "rebar-0.1"
    assert Concrete(0.1) != Concrete(0.2) and hash(Concrete(0.1)) == hash(Concrete(0.1))


@pytest.mark.parametrize("estimator", [ARM(), DisARM()])
def test_estimators_for_bits_refuse_other_latents(estimator):
    for case in (MIXTURE, CASES[0]):
        reason = f"^{estimator.name} needs independent bits, and z is {case.model.family.name}$"
        with pytest.raises(NotApplicable, match=reason):
            estimator.check_pairing(case.model, case.free)


def test_continuous_latents_are_neither_enumerated_nor_relaxed():
    case = next(case for case in CASES if isinstance(case.model, GaussianMLE))
    with pytest.raises(NotApplicable, match=r"^enumeration needs a discrete z, and z is diagonal-gaussian$"):
        Enumeration().check_pairing(case.model, case.free)
    for estimator in (Concrete(), StraightThroughGumbel()):
        with pytest.raises(NotApplicable, match=r"^diagonal-gaussian z is continuous: there is nothing"):
            estimator.check_pairing(case.model, case.free)


def test_a_model_of_categories_without_a_relaxed_likelihood_is_refused():
    plain = SimpleNamespace(
        family=Categorical(2), layout=MIXTURE.model.layout, label="plain", relaxes=False, all_observed=False
    )
    with pytest.raises(NotApplicable, match=r"^plain has no relaxed likelihood$"):
        Concrete().check_pairing(plain, MIXTURE.free)


# -- planted faults --------------------------------------------------------------------------------


def without_path_given(right):
    def wrong(*arguments):
        found = right(*arguments)
        return SimpleNamespace(**{**vars(found), "path_given": found.path})

    return wrong


def independent_pair(right):
    """z~ from the marginal in the place of p(z | b)."""

    def wrong(family, eta, noise, temperature):
        found = right(family, eta, noise, temperature)
        fresh = right(family, eta, noise[..., ::-1], temperature)
        return SimpleNamespace(**{**vars(found), "y_given": fresh.y, "path_given": fresh.path})

    return wrong


def sign_forgotten(right):
    def wrong(family, eta, noise, temperature):
        found = right(family, eta, noise, temperature)
        return SimpleNamespace(**{**vars(found), "y_given": 1.0 - found.y_given})

    return wrong


def one_per_cent(right):
    def wrong(*arguments):
        z, other, f, f_other = right(*arguments)
        return z, other, 1.01 * f, 1.01 * f_other

    return wrong


def not_antithetic(right):
    def wrong(problem, eta, noise):
        return right(problem, eta, 0.5 * noise)

    return wrong


FAULTS = (
    (rebar, "conditional_pair", without_path_given, Rebar()),
    (rebar, "conditional_pair", sign_forgotten, Rebar()),
    (relaxations, "softplus", lambda right: lambda x: 1.01 * right(x), Rebar()),
    (arm, "antithetic_pair", one_per_cent, DisARM()),
    (arm, "sigmoid", lambda right: lambda x: right(-x), DisARM()),
)


# A pair drawn apart costs variance only, and DisARM does not mind which of a pair comes first.
HARMLESS = (
    (rebar, "conditional_pair", independent_pair, Rebar()),
    (arm, "antithetic_pair", not_antithetic, DisARM()),
)


@pytest.mark.parametrize(("owner", "attribute", "wrong", "estimator"), HARMLESS)
def test_what_changes_the_variance_alone_is_no_bias(owner, attribute, wrong, estimator, monkeypatch):
    right = variance_of(estimator, TWO_BITS_OF_ONE)
    monkeypatch.setattr(owner, attribute, wrong(getattr(owner, attribute)))
    laws.unbiased(estimator, ONE_BIT, ONE_BIT.free, ONE_BIT.free_phi)
    assert abs(variance_of(estimator, TWO_BITS_OF_ONE) / right - 1.0) > 1e-6


@pytest.mark.parametrize(("owner", "attribute", "wrong", "estimator"), FAULTS)
def test_a_planted_fault_is_caught(owner, attribute, wrong, estimator, monkeypatch):
    laws.unbiased(estimator, ONE_BIT, ONE_BIT.free, ONE_BIT.free_phi)
    monkeypatch.setattr(owner, attribute, wrong(getattr(owner, attribute)))
    with pytest.raises(AssertionError):
        laws.unbiased(estimator, ONE_BIT, ONE_BIT.free, ONE_BIT.free_phi)


def not_conditioned(right):
    """y~ from the marginal in the place of p(zeta | b), and yet the path of the latter."""

    def wrong(family, eta, noise, temperature):
        fresh = right(family, eta, noise[..., ::-1], temperature)
        return SimpleNamespace(**{**vars(right(family, eta, noise, temperature)), "y_given": fresh.y})

    return wrong


def temperature_forgotten(right):
    """The relaxation given b at temperature one, its path at that of the estimator."""

    def wrong(family, eta, noise, temperature):
        found, other = (right(family, eta, noise, t) for t in (temperature, 1.0))
        return SimpleNamespace(**{**vars(found), "y_given": other.y_given})

    return wrong


@pytest.mark.parametrize("wrong", [not_conditioned, temperature_forgotten, without_path_given])
def test_a_fault_of_the_pair_of_categories_is_caught(wrong, monkeypatch):
    monkeypatch.setattr(rebar, "conditional_pair", wrong(conditional_pair))
    assert np.abs(bias_of(Rebar(), TWO_CATEGORIES)).max() > 1e-3


def test_straight_through_on_categories_is_exact_where_f_is_linear():
    assert np.abs(bias_of(StraightThrough(), TWO_CATEGORIES)).max() < 1e-12
    assert np.abs(bias_of(StraightThrough(), VECTOR)).max() > 1e-4


def test_forgetting_the_control_variate_correction_is_caught():
    class Uncorrected(Rebar):
        def estimate(self, problem, noise, state=None):
            full, state = super().estimate(problem, noise, state)
            relaxed, _ = Concrete(self.temperature).estimate(problem, noise[..., 0])
            return full - relaxed, state

    found = expected_estimate(Uncorrected(), ONE_BIT, ONE_BIT.free, ONE_BIT.free_phi, 1)
    assert np.abs(found - exact_gradient(ONE_BIT)).max() > 1e-3
