"""Gradients of any bound of several draws: exact targets, limits, neighbours, their one maximum, faults."""

import numpy as np
import pytest
from cases import DISCRETE
from checks import assert_close
from multi_sample_laws import ONE_LATENT
from noise_integrals import estimate, expected_estimate

from elbo_lab import Problem
from elbo_lab.bounds.coupled import Combined, CoupledBound, Grouped, Renyi, Tempered
from elbo_lab.bounds.renyi import exact_renyi_bound
from elbo_lab.distributions import FullGaussian, draw_noise
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import (
    BoundDreg,
    BoundReparameterization,
    BoundScoreFunction,
    BoundTheta,
    BoundVimco,
    Dreg,
    ElboSampled,
    Exact,
    IwaeReparameterization,
    IwaeScoreFunction,
    IwaeTheta,
    PiwaePhi,
    Reparameterization,
    StickingTheLanding,
    Vimco,
)
from elbo_lab.estimators.targets import describe, parse
from elbo_lab.exact import coupled, enumeration
from elbo_lab.exact.quantities import argued_bound
from elbo_lab.models import PPCA
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.registry import find_estimators
from elbo_lab.special import softmax

MIXTURE, DEEP = DISCRETE[0], ONE_LATENT[1]
FORMS = (BoundTheta, BoundReparameterization, BoundDreg, BoundScoreFunction, BoundVimco)
OTHERS = (Grouped(2), Combined(0.3), Tempered(0.4))


def exact(estimator, case, n_draws):
    answer = Exact(estimator.target, tolerance=1e-10).answer(case.problem(), estimator.group_size(n_draws))
    return answer.value


def gap_of(estimator, case, n_draws):
    """Return how far the mean over all noise is from the exact target, relative to the largest entry."""
    expected = exact(estimator, case, n_draws)
    found = expected_estimate(estimator, case, case.free, case.free_phi, n_draws, 1e-9)
    return np.abs(found - expected).max() / (1.0 + np.abs(expected).max())


def narrow(case):
    """Return a case of one latent with a narrower q, whose weights a rule can integrate."""
    phi = case.free_phi.copy()
    phi.reshape(len(case.x), -1)[:, 1] -= 1.0
    return type(case)(**{**vars(case), "free_phi": phi})


# -- unbiased, without noise -----------------------------------------------------------------------


@pytest.mark.parametrize("bound", OTHERS, ids=lambda bound: bound.name)
@pytest.mark.parametrize("form", [BoundTheta, BoundScoreFunction, BoundVimco], ids=lambda form: form.form)
def test_the_mean_over_all_draws_of_a_discrete_z_is_the_exact_gradient(form, bound):
    assert gap_of(form(bound), MIXTURE, 4) < 1e-11


@pytest.mark.parametrize("bound", OTHERS, ids=lambda bound: bound.name)
@pytest.mark.parametrize("form", FORMS[:4], ids=lambda form: form.form)
def test_the_mean_over_the_noise_of_a_continuous_z_is_the_exact_gradient(form, bound):
    assert gap_of(form(bound), narrow(DEEP), 2) < 1e-8


def test_the_renyi_bound_is_declared_biased_and_its_bias_falls_with_the_draws():
    for form in (BoundTheta, BoundScoreFunction):
        estimator = form(Renyi(0.5))
        assert not estimator.unbiased
        gaps = [gap_of(estimator, MIXTURE, n_draws) for n_draws in (1, 2, 4)]
        assert gaps[0] > gaps[1] > gaps[2] > 1e-4


# -- the exact answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", [MIXTURE, narrow(DEEP)], ids=["mixture", "deep"])
@pytest.mark.parametrize(
    ("bound", "argument", "n_draws"),
    [
        ("ciwae", 0.3, 3),
        ("vr-iwae", 0.4, 3),
        ("renyi", 0.5, None),
        ("renyi", -0.5, None),
        ("renyi", 2.0, None),
    ],
)
def test_exact_gradients_are_the_derivatives_of_the_exact_value(case, bound, argument, n_draws):
    def value(theta, phi):
        problem = Problem(case.model, case.free, theta, phi, case.x)
        return argued_bound(problem, bound, argument, n_draws, 1e-11).value.mean()

    found = argued_bound(case.problem(), bound, argument, n_draws, 1e-11)
    grad_phi = case.free.eta_vjp(case.free_phi, case.x, found.grad_eta)
    rng = np.random.default_rng(0)
    for _ in range(2):
        by_theta, by_phi = rng.standard_normal(case.theta.shape), rng.standard_normal(case.free_phi.shape)
        up, down = (value(case.theta + s * by_theta, case.free_phi + s * by_phi) for s in (1e-4, -1e-4))
        slope = found.grad_theta @ by_theta + grad_phi @ by_phi
        assert abs(slope - (up - down) / 2e-4) < 2e-6 * (1.0 + abs(slope))


def test_the_exact_renyi_bound_is_that_of_the_sum_over_all_values():
    family, eta = MIXTURE.free.family, MIXTURE.free.eta(MIXTURE.free_phi, MIXTURE.x)
    z = enumeration.all_values(family, len(MIXTURE.x))
    log_q = family.log_prob(eta, z)
    log_w = MIXTURE.model.log_joint(MIXTURE.theta, MIXTURE.x, z) - log_q
    found = argued_bound(MIXTURE.problem(), "renyi", 0.5, None, 1e-10).value
    assert_close(found, exact_renyi_bound(log_w, log_q, 0.5), 1e-12)


def test_more_draws_tend_to_the_renyi_bound_and_alpha_to_the_elbo():
    problem = MIXTURE.problem()

    def value(bound, argument, n_draws):
        return argued_bound(problem, bound, argument, n_draws, 1e-10).value

    limit = value("renyi", 0.5, None)
    gaps = [(limit - value("vr-iwae", 0.5, n_draws)).max() for n_draws in (4, 64, 1024)]
    assert gaps[0] > gaps[1] > gaps[2] > 0.0 and gaps[2] < 1e-3
    elbo = argued_bound(problem, "ciwae", 1.0, 4, 1e-10)
    near = argued_bound(problem, "vr-iwae", 1.0 - 1e-7, 4, 1e-10)
    for name in ("value", "grad_theta", "grad_eta"):
        assert np.abs(getattr(near, name) - getattr(elbo, name)).max() < 1e-5
    joined = argued_bound(problem, "vr-iwae", 0.0, 4, 1e-10)
    alone = argued_bound(problem, "ciwae", 0.0, 4, 1e-10)
    for name in ("value", "grad_theta", "grad_eta"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(alone, name))


# -- neighbours ------------------------------------------------------------------------------------

IWAE = {
    BoundTheta: IwaeTheta(),
    BoundReparameterization: IwaeReparameterization(),
    BoundDreg: Dreg(),
    BoundScoreFunction: IwaeScoreFunction(),
    BoundVimco: Vimco(),
}


def noise_of(n_draws):
    return draw_noise(DEEP.free.family.noise_spec(n_draws, len(DEEP.x)), np.random.default_rng(0), (3,))


def of_deep(estimator, noise):
    return estimate(estimator, DEEP, DEEP.free, DEEP.free_phi, noise)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.form)
@pytest.mark.parametrize("bound", [Grouped(1), Combined(0), Tempered(0)], ids=lambda bound: bound.name)
def test_at_one_end_each_is_the_importance_weighted_one(form, bound):
    noise = noise_of(4)
    assert_close(of_deep(form(bound), noise), of_deep(IWAE[form], noise), 1e-12)


@pytest.mark.parametrize("bound", [Grouped(4), Combined(1), Tempered(1 - 1e-9)], ids=lambda bound: bound.name)
def test_at_the_other_end_each_is_that_of_the_elbo(bound):
    noise = noise_of(4)
    for form, other in (
        (BoundTheta, ElboSampled()),
        (BoundReparameterization, Reparameterization()),
        (BoundDreg, StickingTheLanding()),
    ):
        assert_close(of_deep(form(bound), noise), of_deep(other, noise), 1e-7)


def test_alpha_zero_and_one_group_are_equal_to_the_last_digit():
    log_w = 30.0 * np.random.default_rng(0).standard_normal((6, 4))
    for name in ("value", "weights", "doubly", "gained"):
        one, other = (getattr(bound, name)(log_w) for bound in (Tempered(0), Grouped(1)))
        np.testing.assert_array_equal(one, other)


def test_the_pathwise_gradient_of_groups_is_the_half_of_piwae():
    noise = noise_of(6)
    one, other = of_deep(BoundReparameterization(Grouped(3)), noise), of_deep(PiwaePhi(3), noise)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bound", [*OTHERS, Renyi(2.0)], ids=lambda bound: bound.name)
def test_the_derivatives_of_a_bound_are_its_differences(bound):
    rng, h = np.random.default_rng(1), 1e-5
    log_w = rng.standard_normal((4, 3))
    weights, doubly = bound.weights(log_w), bound.doubly(log_w)
    assert_close(weights.sum(axis=0), np.ones(3), 1e-12)
    for m in range(4):
        step = np.zeros((4, 1))
        step[m] = h
        slope = (bound.value(log_w + step) - bound.value(log_w - step)) / (2 * h)
        own = (bound.weights(log_w + step) - bound.weights(log_w - step))[m] / (2 * h)
        assert_close(weights[m], slope, 1e-8)
        assert_close(doubly[m], weights[m] - own, 1e-8)


@pytest.mark.parametrize("bound", [*OTHERS, Renyi(2.0)], ids=lambda bound: bound.name)
def test_what_a_draw_gained_does_not_see_it_in_the_baseline(bound):
    log_w = np.random.default_rng(2).standard_normal((4, 3))
    baseline = bound.value(log_w) - bound.gained(log_w)
    for m in range(4):
        other = log_w.copy()
        other[m] += 5.0
        moved = bound.value(other) - bound.gained(other)
        # Of groups only the signal is formed; what the others' groups add to the baseline cancels.
        assert_close(moved[m], baseline[m], 1e-12)


# -- one maximum -----------------------------------------------------------------------------------


def at_the_maximum(latents, widen=1.0, noisier=0.0):
    """Return a Problem of PPCA at its maximum likelihood, an encoder giving its posterior as q.

    Parameters
    ----------
    latents : int
    widen : float
        Factor on the Cholesky factor of q.
    noisier : float
        Added to the last entry of theta, log sigma.
    """
    rng = np.random.default_rng(3)
    x = rng.standard_normal((8, 4)) @ rng.standard_normal((4, 4))
    model, family = PPCA(4, latents), FullGaussian(latents)
    theta = model.maximum_likelihood(x).copy()
    if latents == 2:  # another maximum of the class, whose posterior has correlated coordinates
        turn = np.array([[0.8, -0.6], [0.6, 0.8]])
        model.layout.view(theta, "W")[:] = model.layout.view(theta, "W") @ turn
    mean, covariance = model.posterior_moments(theta, x)
    assert latents == 1 or covariance[0, 1] ** 2 > 0.01 * covariance[0, 0] * covariance[1, 1]
    theta[-1] += noisier
    lower = np.broadcast_to(widen * np.linalg.cholesky(covariance), (len(x), latents, latents))
    posterior = AmortisedPosterior.for_data(family, x, hidden=())
    # Its eta is linear in phi, and the posterior of PPCA is linear in x.
    columns = np.array([posterior.eta(unit, x).ravel() for unit in np.eye(posterior.layout.size)]).T
    wanted = family.from_factor(mean, lower).ravel()
    phi = np.linalg.lstsq(columns, wanted, rcond=None)[0]
    assert_close(columns @ phi, wanted, 1e-10)
    return Problem(model, posterior, theta, phi, x)


EVERY = (*OTHERS, Renyi(0.4), Renyi(2.0), Grouped(1))


def largest_gradient(problem):
    """Return the largest entry of the exact gradients of all bounds, in theta and phi, by quadrature."""
    model, posterior, theta, phi, x = problem
    place = model, theta, x, posterior.family, posterior.eta(phi, x)
    largest = 0.0
    for n_draws, power in ((1, 1.0), (2, 1.0), (5, 1.0), (5, 0.6), (None, 0.6), (None, -1.0)):
        found = coupled._integrated(*place, n_draws, power, 1e-11)
        by_phi = posterior.eta_vjp(phi, x, found.grad_eta)
        largest = max(largest, np.abs(found.grad_theta).max(), np.abs(by_phi).max())
    return largest


def spread_of_values(problem, bounds=EVERY):
    """Return how far single draws of the bounds are from log p(x), and their doubly gradients from zero."""
    model, posterior, theta, phi, x = problem
    family = posterior.family
    noise = draw_noise(family.noise_spec(4, len(x)), np.random.default_rng(0), (5,))
    eta = posterior.eta(phi, x)
    z = family.sample(eta, noise)
    log_w = model.log_joint(theta, x, z) - family.log_prob(eta, z)
    log_p = model.log_evidence(theta, x)
    values = max(np.abs(bound.value(log_w) - log_p).max() for bound in bounds)
    slopes = (np.abs(BoundDreg(bound).estimate(problem, noise)[0]).max() for bound in bounds)
    return max(values, *slopes)


def test_on_ppca_with_a_full_covariance_every_bound_has_the_maximum_of_ppca():
    assert largest_gradient(at_the_maximum(1)) < 1e-8
    for latents in (1, 2):
        assert spread_of_values(at_the_maximum(latents)) < 1e-9


@pytest.mark.parametrize("form", [BoundTheta, BoundReparameterization, BoundScoreFunction])
@pytest.mark.parametrize("bound", EVERY[:4], ids=lambda bound: bound.name)
def test_there_the_mean_of_every_estimator_is_zero(form, bound):
    model, posterior, theta, phi, x = at_the_maximum(1)
    case = type(DEEP)(**vars(DEEP) | {"model": model, "theta": theta, "x": x})
    assert np.abs(expected_estimate(form(bound), case, posterior, phi, 2, 1e-9)).max() < 1e-8


FAR = {
    "a q ten per cent too wide": {"widen": 1.1},
    "another noise": {"noisier": 0.1},
}


@pytest.mark.parametrize("name", FAR)
def test_elsewhere_the_bounds_are_not_at_their_maximum(name):
    assert largest_gradient(at_the_maximum(1, **FAR[name])) > 1e-3
    assert spread_of_values(at_the_maximum(2, **FAR[name])) > 1e-3


# -- planted faults --------------------------------------------------------------------------------

FAULTS = {
    "the share of the ELBO is not divided by the draws": (
        Combined,
        "weights",
        lambda _: lambda self, log_w: self.beta + (1.0 - self.beta) * softmax(log_w, axis=-2),
    ),
    "the shares of the two bounds change places": (
        Combined,
        "weights",
        lambda right: lambda self, log_w: right(Combined(1.0 - self.beta), log_w),
    ),
    "weights of the importance-weighted bound for every order": (
        Tempered,
        "weights",
        lambda _: lambda self, log_w: softmax(log_w, axis=-2),  # noqa: ARG005
    ),
    "doubly without the first power": (
        Tempered,
        "doubly",
        lambda _: lambda self, log_w: (1.0 - self.alpha) * self.weights(log_w) ** 2,
    ),
    "doubly without the square": (Combined, "doubly", lambda _: lambda self, log_w: self.weights(log_w)),
    "groups forgotten": (Grouped, "weights", lambda _: lambda self, log_w: softmax(log_w, axis=-2)),  # noqa: ARG005
    "groups added up": (Grouped, "doubly", lambda right: lambda self, log_w: 2.0 * right(self, log_w)),
    "the logarithm is not divided by the order": (
        Tempered,
        "value",
        lambda right: lambda self, log_w: (1.0 - self.alpha) * right(self, log_w),
    ),
    "the baseline sees its own draw": (
        CoupledBound,
        "gained",
        lambda _: (
            lambda self, log_w: (
                self.value(log_w)[..., None, :] - self.value(log_w)[..., None, :] * np.exp(0.01 * log_w)
            )
        ),
    ),
    "the sign of the share": (
        BoundScoreFunction,
        "signal",
        lambda _: lambda self, log_w: self.bound.value(log_w)[..., None, :] + self.bound.weights(log_w),
    ),
    "the parameters of log q are forgotten": (
        BoundReparameterization,
        "through_parameters",
        lambda _: lambda self, family, eta, z, factors: np.zeros_like(eta),  # noqa: ARG005
    ),
}


def gaps():
    """Yield the gaps of all forms and bounds, the cheap ones first."""
    for bound in OTHERS:
        yield gap_of(BoundScoreFunction(bound), MIXTURE, 2)
        yield gap_of(BoundVimco(bound), MIXTURE, 4)
    case = narrow(DEEP)
    for form in FORMS[:3]:
        for bound in OTHERS:
            yield gap_of(form(bound), case, 2)


def test_without_a_fault_every_gradient_is_unbiased():
    assert max(gaps()) < 1e-8


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_makes_a_gradient_biased(name, monkeypatch):
    owner, attribute, wrong = FAULTS[name]
    monkeypatch.setattr(owner, attribute, wrong(getattr(owner, attribute)))
    assert any(gap > 1e-4 for gap in gaps())


def test_a_dropped_constant_moves_the_bound_from_log_p(monkeypatch):
    right = Tempered.value
    monkeypatch.setattr(Tempered, "value", lambda self, log_w: right(self, log_w) + np.log(log_w.shape[-2]))
    assert spread_of_values(at_the_maximum(1)) > 1.0


# -- names -----------------------------------------------------------------------------------------


def test_a_gradient_is_found_by_its_name_with_the_argument_of_its_bound():
    (found,) = find_estimators("vr-iwae-dreg(alpha=0.2)")
    assert found == BoundDreg(Tempered(0.2)) and found.name == "vr-iwae-dreg(alpha=0.2)"
    assert found.target_at(10) == "grad-phi-vr-iwae(alpha=0.2)-10"
    assert parse(found.target_at(10)) == (found.target, 10)
    assert describe("grad-phi-ciwae(beta=0.3)-5") == (
        "gradient in phi of 0.3 ELBO + (1 - 0.3) importance-weighted bound, of 5 draws"
    )
    assert BoundTheta(Renyi(-1)).target_at(10) == "grad-theta-renyi(alpha=-1)"
    assert BoundDreg(Grouped(5)).target_at(10) == "grad-phi-iwae-2"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "vr-iwae-dreg(alpha=1.2)",
            "^alpha: expected a number from 0 to below 1, got 1.2; renyi takes others",
        ),
        ("renyi-dreg(alpha=1)", "^alpha: expected a number other than 1, got 1"),
        ("ciwae-dreg(beta=2)", "^beta: expected"),
        ("miwae-dreg(groups=0)", "^groups: expected a whole number"),
        ("ciwae-dreg(alpha=0.5)", "argument of 'ciwae-dreg'"),
    ],
)
def test_impossible_arguments_are_refused(text, line):
    with pytest.raises(ValueError, match=line):
        find_estimators(text)


def test_groups_that_are_not_full_are_refused():
    with pytest.raises(NotApplicable, match=r"^draws: expected a multiple of 2 for miwae-dreg, got 5$"):
        BoundDreg(Grouped(2)).check_draws(5)
