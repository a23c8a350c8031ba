"""The suite is tested too: every plausible bug, planted, must break a law.

A fault replaces one attribute of one class or module; the laws are those that `test_estimators` and
`test_exact` run over all cases, here on five small ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import estimator_laws as laws
import multi_sample_laws as several
import numpy as np
import pytest
from cases import CASES, pairings
from estimator_laws import BY_NAME, FROZEN_PHI, FROZEN_THETA, assert_same
from noise_integrals import NotIntegrated, of_discrete_room

from elbo_lab import exact
from elbo_lab.bounds import elbo, evidence
from elbo_lab.distributions import Categorical, DiagonalGaussian
from elbo_lab.estimators import (
    ElboLogWeight,
    ImportanceWeighted,
    MeasureValuedCoupled,
    PriorMonteCarloPathwise,
    Rebar,
    Relax,
    Reparameterization,
    ScoreFunctionLOO,
    ScoreFunctionOptimalBaseline,
    base,
    measure_valued,
)
from elbo_lab.estimators import evidence as evidence_estimators
from elbo_lab.estimators import exact as exact_estimator
from elbo_lab.estimators.base import posterior_draws
from elbo_lab.exact import closed_form, enumeration, quadrature
from elbo_lab.models import DeepGaussianFixed, GaussianMixture, GaussianMLE, Model, StandardNormalPrior
from elbo_lab.models.deep import DeepModel
from elbo_lab.models.linear_gaussian import LinearGaussian
from elbo_lab.networks import MLP
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.special import log_sum_exp

MLE, MIXTURE, PPCA, DEEP, BITS = CASES[0], CASES[1], CASES[4], CASES[6], CASES[9]
SMALL = (MLE, MIXTURE, PPCA, DEEP, BITS)
COUPLED = several.ONE_LATENT[1]
# Those of discrete latents have their faults planted in `test_discrete_estimators`.
ELSEWHERE = [name for name, estimator in BY_NAME.items() if not of_discrete_room(estimator)]


# -- the laws --------------------------------------------------------------------------------------


def pairs():
    """Return (case, estimator), those with coupled draws on a case of their own or a discrete one.

    The rule for Gumbels of three categories is too coarse for the laws; `test_discrete_estimators` has it.
    """
    return [
        (case, estimator)
        for case, estimator in pairings((*SMALL, COUPLED))
        if not (case is MIXTURE and isinstance(estimator, (Rebar, Relax)))
        and (case in (MIXTURE, COUPLED) if laws.couples_draws(estimator) else case is not COUPLED)
    ]


def rungs_agree(case):
    """Where two rungs of the ladder apply, they answer alike."""
    eta = case.free.eta(case.free_phi, case.x)
    arguments = case.model, case.theta, case.x
    first, second = (
        rung.expectation(*arguments, case.model.family, eta) for rung in (closed_form, quadrature)
    )
    for name in ("value", "grad_theta", "grad_eta"):
        assert_same(getattr(first, name), getattr(second, name), 1e-9)
    first, second = (rung.evidence(*arguments) for rung in (closed_form, quadrature))
    for name in ("value", "grad_theta"):
        assert_same(getattr(first, name), getattr(second, name), 1e-7)


def evidence_gradient(case):
    """The gradient of log p(x) is its derivative."""
    direction = np.random.default_rng(0).standard_normal(case.theta.size)

    def value(step):
        theta = case.theta + step * direction
        return exact.evidence(case.model, theta, case.x).value.mean()

    slope = (value(1e-4) - value(-1e-4)) / 2e-4
    grad = exact.evidence(case.model, case.theta, case.x).grad_theta
    assert abs(grad @ direction - slope) <= 1e-5 * (1.0 + abs(slope))


def elbo_gradient(case):
    """The exact gradient in phi is the derivative of the exact ELBO."""
    direction = np.random.default_rng(0).standard_normal(case.amortised_phi.size)

    def value(step, target="elbo"):
        phi = case.amortised_phi + step * direction
        answer = exact_estimator.Exact(target).answer
        return answer(case.problem(case.amortised, phi)).value

    slope = (value(1e-4) - value(-1e-4))[0] / 2e-4
    found = value(0.0, "grad-phi-elbo") @ direction
    assert abs(found - slope) <= 1e-5 * (1.0 + abs(slope))


def the_log_mean_is_low(name, case):
    """The log of a mean of weights is too low, but not by more than with a single draw."""
    one, two = (laws.bias(BY_NAME[name], case, case.free, case.free_phi, s, 1e-6) for s in (1, 2))
    assert one[0] < two[0] < 0.0


def all_laws():
    """Return every law as (sentence, function without arguments), the cheap ones first."""
    found = []
    for case in (MLE, MIXTURE, PPCA):
        found.append(("constant at the exact posterior", laws.constant_at_exact_posterior, case))
    for case in SMALL:
        found.append(("one draw", several.one_draw_is_the_elbo, case, case.free, case.free_phi))
        found.append(("weighted by the prior", laws.weighted_by_prior, case))
        found.append(("gradient of the evidence", evidence_gradient, case))
        found.append(("gradient of the ELBO", elbo_gradient, case))
    found.append(("landing", several.landing_is_dreg_and_wake, DEEP, DEEP.free, DEEP.free_phi))
    found.append(("wake phase by OVIS~", several.wake_phase_is_what_ovis_adds, MIXTURE))
    found.append(("wake phases agree", several.wake_phases_agree_in_mean, COUPLED))
    for case, estimator in pairs():
        free = estimator, case, case.free, case.free_phi
        if estimator.unbiased:
            found.append(("unbiased", laws.unbiased, *free))
        if estimator.name in FROZEN_PHI:
            amortised = estimator, case, case.amortised, case.amortised_phi
            found.append(("frozen in phi", laws.frozen_phi_gradient, *free))
            found.append(("frozen in phi", laws.frozen_phi_gradient, *amortised))
        if estimator.name in FROZEN_THETA:
            found.append(("frozen in theta", laws.frozen_theta_gradient, *free))
        if estimator.name in laws.IGNORES_A_CONSTANT:
            found.append(("ignores a constant", laws.ignores_a_constant, *free))
    for case in SMALL:
        found.append(("two draws agree", laws.two_draws_agree, case, case.free, case.free_phi))
    for case in (MIXTURE, DEEP):
        for name in ("prior-monte-carlo", "importance-sampling"):
            found.append(("low log of a mean", the_log_mean_is_low, name, case))
    found.append(("rungs agree", rungs_agree, PPCA))
    return found


LAWS = all_laws()


def broken_law():
    """Return the sentence of the first law that fails, or None."""
    for sentence, law, *arguments in LAWS:
        try:
            law(*arguments)
        except NotIntegrated:
            continue
        except AssertionError:
            return sentence
    return None


# -- the faults ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """One attribute of one owner, replaced by `wrong(right)`."""

    name: str
    owner: object
    attribute: str
    wrong: Callable


def scaled(factor):
    """Return a fault that multiplies a result."""
    return lambda right: lambda *args, **kwargs: factor * right(*args, **kwargs)


def plus(constant):
    """Return a fault that adds to a result."""
    return lambda right: lambda *args, **kwargs: right(*args, **kwargs) + constant


def replaced(wrong):
    """Return a fault that forgets the right function."""
    return lambda _: wrong


HALF_LOG_2PI = 0.5 * np.log(2.0 * np.pi)


def square_as_scale(_):
    def sample(self, eta, noise):
        mean, log_std = self.split(eta)
        return mean + np.exp(2.0 * log_std) * noise

    return sample


def std_without_factor(_):
    def sample_vjp(self, eta, noise, grad_z):  # noqa: ARG001
        return self.join(grad_z.sum(axis=-3), (grad_z * noise).sum(axis=-3))

    return sample_vjp


def per_cent_in_the_pullback(right):
    def draw(self, eta, noise):
        z, log_q, pullback = right(self, eta, noise)
        return z, log_q, lambda cotangent: 1.01 * pullback(cotangent)

    return draw


def per_cent_in_log_q(right):
    def draw(self, eta, noise):
        z, log_q, pullback = right(self, eta, noise)
        return z, 1.01 * log_q, pullback

    return draw


def other_path_of_log_q(right):
    def vjps(self, eta, z, cotangent):
        by_eta, by_z = right(self, eta, z, cotangent)
        return by_eta, -by_z

    return vjps


def estimate_by(gradient):
    """Return a fault of an estimator in phi: its gradient in eta is gradient(problem, noise, eta, z)."""

    def fault(_):
        def estimate(self, problem, noise, state=None):  # noqa: ARG001
            grad_eta = gradient(problem, noise, *posterior_draws(problem, noise))
            return problem.posterior.eta_vjp(problem.phi, problem.x, grad_eta), state

        return estimate

    return fault


def mean_over_draws_and_rows(problem, z):
    """Return the cotangent of the mean, and with it the gradient of log p(x, z) in z."""
    cotangent = np.full(z.shape[:-1], 1.0 / (z.shape[-3] * z.shape[-2]))
    return cotangent, problem.model.log_joint_vjp(problem.theta, problem.x, z, cotangent)[1]


@estimate_by
def without_path_of_log_q(problem, noise, eta, z):
    # log q is differentiated in its parameters only, not through z.
    family, (cotangent, grad_z) = problem.model.family, mean_over_draws_and_rows(problem, z)
    return family.sample_vjp(eta, noise, grad_z) - family.log_prob_vjp(eta, z, cotangent)


@estimate_by
def without_parameter_term(problem, noise, eta, z):
    # Sticking the landing under the wrong name: right in mean, caught as a frozen-noise derivative.
    family, (cotangent, grad_z) = problem.model.family, mean_over_draws_and_rows(problem, z)
    return family.sample_vjp(eta, noise, grad_z - cotangent[..., None] * family.log_prob_grad_z(eta, z))


def log_weight_and_score(problem, eta, z):
    """Return log w with one more axis and the score of q."""
    model, posterior, theta, _, x = problem
    f = elbo.log_weight(model, theta, x, posterior.family, eta, z)
    return f[..., None], model.family.score(eta, z)


@estimate_by
def own_draw_in_the_mean(problem, _, eta, z):
    f, score = log_weight_and_score(problem, eta, z)
    return ((f - f.mean(axis=-3, keepdims=True)) * score).mean(axis=-3) / len(problem.x)


@estimate_by
def own_draw_in_the_optimum(problem, _, eta, z):
    f, score = log_weight_and_score(problem, eta, z)
    squares = score**2
    total = squares.sum(axis=-3, keepdims=True)
    baseline = (f * squares).sum(axis=-3, keepdims=True) / np.where(total > 0.0, total, 1.0)
    return ((f - baseline) * score).mean(axis=-3) / len(problem.x)


def other_moves(wrong):
    """Return a fault that changes the moves of a measure-valued gradient: wrong(up, down, maxwell)."""

    def fault(right):
        return lambda problem, u, *moves: right(problem, u, *wrong(*moves))

    return fault


def wrong_draw_count(right):
    def estimate(self, problem, noise, state=None):
        found, state = right(self, problem, noise, state)
        n_draws = noise.shape[-3] if not problem.model.family.discrete else noise.shape[-2]
        return found * n_draws / max(n_draws - 1, 1), state

    return estimate


def sum_over_rows(right):
    def estimate(self, problem, noise, state=None):
        found, state = right(self, problem, noise, state)
        return found * len(problem.x), state

    return estimate


def over_the_data(right):
    def weights(a, axis):  # noqa: ARG001
        return right(a, -1)

    return weights


def lighter_weights(right):
    """Weights that sum to (S - 1) / S."""
    return lambda a, axis: right(a, axis) * (np.shape(a)[axis] - 1) / np.shape(a)[axis]


def swapped(right):
    return lambda self, eta, other: right(self, other, eta) + 0.0 * eta.sum(axis=-1)


def swapped_grad(right):
    def kl_grad(self, eta, other):
        by_other, by_eta = right(self, other, eta)
        return by_eta + 0.0 * eta, by_other + 0.0 * eta

    return kl_grad


def without_prior_gradient(_):
    return lambda self, theta, x, z, c: self.log_likelihood_vjp(theta, x, z, c)


def without_prior_path(_):
    return lambda _, theta, grad_eta: np.zeros(grad_eta.shape[:-1] + theta.shape)


def scale_score_without_its_constant(right):
    def score(self, eta, z):
        found = right(self, eta, z).copy()
        found[..., self.size :] += 1.0
        return found

    return score


def without_slope(right):
    """The backward pass forgets the slope of the activation."""

    def deltas(self, p, activations, cotangent):
        flat = [activations[0], *(np.zeros_like(a) for a in activations[1:])]
        return right(self, p, flat, cotangent)

    return deltas


def per_cent(right):
    """One per cent too much in the gradient of theta."""

    def vjp(self, theta, x, z, cotangent):
        by_theta, by_z = right(self, theta, x, z, cotangent)
        return 1.01 * by_theta, by_z

    return vjp


def per_cent_in_z(right):
    def vjp(self, theta, x, z, cotangent):
        by_theta, by_z = right(self, theta, x, z, cotangent)
        return by_theta, None if by_z is None else 1.01 * by_z

    return vjp


def without_log_q(_):
    """Weights p(x, z) for draws from q: the division by q is forgotten."""
    return lambda model, theta, x, _family, _eta, z: model.log_joint(theta, x, z)


def without_log_determinant(right):
    def likelihood(self, theta, x, z):
        value, pullback = right(self, theta, x, z)
        return value + self.n_columns * theta[-1], pullback

    return likelihood


def uniform_weights(_):
    return lambda a, axis: np.full(np.shape(a), 1.0 / np.shape(a)[axis])


def inside(module, attribute, wrong):
    """Return a fault of one estimator alone: a function that others use too is wrong while it works."""

    def fault(right):
        def estimate(self, problem, noise, state=None):
            with patch.object(module, attribute, wrong(getattr(module, attribute))):
                return right(self, problem, noise, state)

        return estimate

    return fault


def other_weights(wrong):
    """Return a fault of one estimator of the evidence: its normalised weights are others."""
    return inside(evidence_estimators, "softmax", wrong)


def other_coupling(wrong):
    """Return a fault of the measure-valued gradient: its moves up and down are others."""
    return inside(measure_valued, "measure_valued_gradient", other_moves(wrong))


def not_normalised(a, axis):
    return np.exp(a) / np.shape(a)[axis]


def one_hot_score(self, eta, z):
    return self.one_hot(z) + 0.0 * eta


def one_hot_pullback(self, _, z, cotangent):
    return self.by_category(z, cotangent)


def variance_for_scale(right):
    return lambda self, theta, x: right(self, theta, x) * np.repeat([1.0, 2.0], 2)


def sum_of_rows(right):
    return lambda values, errors, rung: right(values * len(values), errors, rung)


def mean_of_values(right):
    return lambda a, axis: right(a, axis) - np.log(np.shape(a)[axis])


COUPLINGS = {
    "one-sided Maxwell": lambda up, down, maxwell: (up, down, np.abs(maxwell)),
    "Weibull of the other scale": lambda up, down, maxwell: (up / 2.0, down / 2.0, maxwell),
    "Weibull for the Maxwell": lambda up, down, maxwell: (up, down, np.copysign(up, maxwell)),
    "both Weibulls upwards": lambda up, down, maxwell: (up, -down, maxwell),
}

FAULTS = (
    # distributions
    Fault("wrong sign of the entropy gradient", DiagonalGaussian, "entropy_grad", scaled(-1.0)),
    Fault("wrong sign of the categorical entropy gradient", Categorical, "entropy_grad", scaled(-1.0)),
    Fault("log(2 pi) dropped from the entropy", DiagonalGaussian, "entropy", plus(-HALF_LOG_2PI)),
    Fault("log(2 pi) dropped from log q and log p(z)", DiagonalGaussian, "log_prob", plus(HALF_LOG_2PI)),
    Fault("variance used as standard deviation", DiagonalGaussian, "sample", square_as_scale),
    Fault("pathwise derivative without the factor std", DiagonalGaussian, "sample_vjp", std_without_factor),
    Fault("KL arguments swapped", DiagonalGaussian, "kl", swapped),
    Fault("categorical KL arguments swapped", Categorical, "kl", swapped),
    Fault("KL gradient of the swapped KL", DiagonalGaussian, "kl_grad", swapped_grad),
    Fault("score one per cent too large", DiagonalGaussian, "score", scaled(1.01)),
    Fault("score of the scale without its -1", DiagonalGaussian, "score", scale_score_without_its_constant),
    Fault("categorical score not centred", Categorical, "score", replaced(one_hot_score)),
    Fault("categorical pullback not centred", Categorical, "_summed_score", replaced(one_hot_pullback)),
    Fault("pullback of a draw one per cent too large", DiagonalGaussian, "draw", per_cent_in_the_pullback),
    Fault("log q of a draw one per cent too large", DiagonalGaussian, "draw", per_cent_in_log_q),
    Fault("log q of a drawn category too large", Categorical, "draw", per_cent_in_log_q),
    Fault("path through log q turned around", DiagonalGaussian, "log_prob_vjps", other_path_of_log_q),
    Fault("grad_z of log q with the wrong sign", DiagonalGaussian, "log_prob_grad_z", scaled(-1.0)),
    # models, networks, posteriors
    Fault("dropped D log sigma in a likelihood", DeepGaussianFixed, "likelihood", without_log_determinant),
    Fault("likelihood gradient one per cent too large", Model, "log_likelihood_vjp", per_cent),
    Fault("grad_z one per cent too large", Model, "log_likelihood_vjp", per_cent_in_z),
    Fault("slope in z alone one per cent too large", LinearGaussian, "log_likelihood_grad_z", scaled(1.01)),
    Fault("slope of a network in z alone too large", DeepModel, "log_likelihood_grad_z", scaled(1.01)),
    Fault("slope of the prior in z turned around", StandardNormalPrior, "log_prior_grad_z", scaled(-1.0)),
    Fault("prior gradient dropped", Model, "log_joint_vjp", without_prior_gradient),
    Fault("prior's path to theta dropped", GaussianMLE, "prior_eta_vjp", without_prior_path),
    Fault("mixture weights' gradient dropped", GaussianMixture, "prior_eta_vjp", without_prior_path),
    Fault("closed-form evidence without its constant", LinearGaussian, "log_evidence", plus(HALF_LOG_2PI)),
    Fault("closed-form evidence gradient one per cent off", GaussianMLE, "log_evidence_grad", scaled(1.01)),
    Fault("posterior with the variance for the scale", LinearGaussian, "posterior_eta", variance_for_scale),
    Fault("backward without the activation's slope", MLP, "_deltas", without_slope),
    Fault("encoder gradient one per cent too large", AmortisedPosterior, "eta_vjp", scaled(1.01)),
    # bounds
    Fault("log-sum-exp for log-mean-exp", evidence, "log_mean_exp", replaced(log_sum_exp)),
    Fault("log w without log q", evidence, "log_weight", without_log_q),
    Fault("ELBO without log q", ElboLogWeight, "estimate", inside(base, "log_weight", without_log_q)),
    # estimators
    Fault("log q dropped from the path", Reparameterization, "estimate", without_path_of_log_q),
    Fault("score term dropped", Reparameterization, "estimate", without_parameter_term),
    Fault("baseline uses its own draw", ScoreFunctionLOO, "estimate", own_draw_in_the_mean),
    Fault("optimum uses its own draw", ScoreFunctionOptimalBaseline, "estimate", own_draw_in_the_optimum),
    *(
        Fault(name, MeasureValuedCoupled, "estimate", other_coupling(wrong))
        for name, wrong in COUPLINGS.items()
    ),
    *(
        Fault(name, ImportanceWeighted, "estimate", other_weights(wrong))
        for name, wrong in {
            "weights not normalised": replaced(not_normalised),
            "weights that sum to (S - 1) over S": lighter_weights,
            "weights normalised over the data": over_the_data,
        }.items()
    ),
    Fault("prior weights uniform", PriorMonteCarloPathwise, "estimate", other_weights(uniform_weights)),
    *(
        Fault(f"{name} divides by S - 1", type(BY_NAME[name]), "estimate", wrong_draw_count)
        for name in ELSEWHERE
        if BY_NAME[name].target.startswith(("elbo", "grad"))
    ),
    *(Fault(f"{name} sums over rows", type(BY_NAME[name]), "estimate", sum_over_rows) for name in ELSEWHERE),
    # exact answers
    Fault("mean over rows replaced by the sum", exact_estimator, "_mean_answer", sum_of_rows),
    Fault("trapezoid rule without its step", quadrature, "log_sum_exp", plus(0.1)),
    Fault("enumeration by the mean", enumeration, "log_sum_exp", mean_of_values),
    Fault("posterior weights uniform", enumeration, "softmax", uniform_weights),
)


def test_without_a_fault_all_laws_hold():
    assert broken_law() is None


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name.replace(" ", "-") for fault in FAULTS])
def test_a_planted_fault_breaks_a_law(fault, monkeypatch):
    right = getattr(fault.owner, fault.attribute)
    monkeypatch.setattr(fault.owner, fault.attribute, fault.wrong(right))
    assert broken_law() is not None
