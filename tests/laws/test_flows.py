"""Flows: normalised densities, inverses, the exact posterior within reach, a banana, planted faults."""

from dataclasses import replace

import numpy as np
import pytest
from cases import CASES, admits
from checks import assert_close, check_vjp, exact_draws
from estimator_laws import assert_same, exact_value
from noise_integrals import affordable_draws, expected_estimate
from user_models import Banana

from elbo_lab import Problem, exact
from elbo_lab.distributions import CouplingFlow, DiagonalGaussian, FullGaussian, PlanarFlow, draw_noise
from elbo_lab.distributions.flows import base
from elbo_lab.distributions.flows.coupling import CouplingLayer
from elbo_lab.distributions.flows.planar import PlanarLayer, root
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import ESTIMATORS
from elbo_lab.exact.entropies import entropy, entropy_and_gradient
from elbo_lab.exact.quantities import bound_at
from elbo_lab.layout import Layout
from elbo_lab.models import DeepGaussianFixed, StandardNormalPrior
from elbo_lab.optimise import fit_eta
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.special import log_sum_exp

FLOWS = [
    PlanarFlow(1, layers=3),
    PlanarFlow(2, layers=3),
    CouplingFlow(2, layers=2, hidden=4),
    CouplingFlow(5, layers=3, hidden=4),
]
TWO = [flow for flow in FLOWS if flow.size == 2]
every_flow = pytest.mark.parametrize("flow", FLOWS, ids=lambda f: f"{f.name}-{f.size}")
in_two_dimensions = pytest.mark.parametrize("flow", TWO, ids=lambda f: f.name)


def member(flow, n_data=1, size=0.5, seed=0):
    return size * np.random.default_rng([seed, flow.size]).standard_normal((n_data, flow.eta_size))


def noise_of(flow, n_draws=6, n_data=1, seed=1):
    return draw_noise(flow.noise_spec(n_draws, n_data), np.random.default_rng(seed))


# -- densities -----------------------------------------------------------------------------------


def grid(half_width, step):
    axis = np.arange(-half_width, half_width + step, step)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2)


def mass(flow):
    """Return the integral of q over the plane by the trapezoid rule."""
    return np.exp(log_sum_exp(flow.log_prob(member(flow, size=0.3), grid(12.0, 0.1)), axis=0)[0]) * 0.1**2


@in_two_dimensions
def test_the_density_integrates_to_one(flow):
    assert mass(flow) == pytest.approx(1.0, abs=1e-7)


@every_flow
def test_the_layers_are_undone_to_rounding(flow):
    eta, noise = member(flow, 3), noise_of(flow, 50, 3)
    z, log_q, _ = flow.draw(eta, noise)
    assert np.abs(log_q - flow.log_prob(eta, z)).max() <= 1e-12 * (1.0 + np.abs(log_q).max())


@every_flow
def test_a_layer_has_the_log_determinant_of_its_jacobian(flow):
    check_log_determinants(flow)


def check_log_determinants(flow):
    eta, y = member(flow, size=0.3), noise_of(flow, 4)[:, 0][None]
    for step, weights in zip(flow.steps, flow.split(eta)[1], strict=True):
        ways = 1e-5 * np.eye(flow.size)
        columns = [(step.forward(weights, y + h).z - step.forward(weights, y - h).z) / 2e-5 for h in ways]
        sign, expected = np.linalg.slogdet(np.stack(columns, axis=-1))
        assert np.all(sign > 0.0)
        assert_close(step.forward(weights, y).log_det, expected, 1e-7)


@every_flow
def test_at_eta_zero_a_flow_is_the_standard_normal_and_no_saddle(flow):
    eta, noise = np.zeros((1, flow.eta_size)), noise_of(flow)
    assert_close(flow.sample(eta, noise), noise)
    slopes = flow.sample_vjp(eta, noise, np.sin(3.0 * noise))[0, flow.base.eta_size :]
    moved = [
        name
        for name, block in flow.eta_layout.views(flow.sample_vjp(eta, noise, noise**2)).items()
        if block.any()
    ]
    assert np.isfinite(slopes).all()
    # What is multiplied by a zero has none: inputs of the hidden layer, or the plane itself.
    assert {name.split(".")[-1] for name in moved} >= ({"u"} if "planar" in flow.name else {"W2", "b2"})


def test_a_planar_layer_is_undone_where_it_nearly_folds():
    m = np.array([-1.0 + 1e-9, -0.999, -0.5, 0.0, 3.0, 400.0])[:, None]
    b, a = np.array([0.7]), np.linspace(-30.0, 30.0, 4001)
    target = a + m * np.tanh(a + b)
    found = root(target, np.broadcast_to(m, target.shape), b)
    assert np.abs(found + m * np.tanh(found + b) - target).max() <= 1e-12
    assert_close(found[1:], np.broadcast_to(a, (5, 4001)), 1e-9)


@every_flow
def test_extreme_weights_leave_every_answer_finite(flow):
    for size in (3.0, 8.0):
        eta, noise = member(flow, size=size), noise_of(flow)
        eta[:, : flow.base.eta_size] *= 0.1
        z, log_q, pullback = flow.draw(eta, noise)
        assert all(np.isfinite(a).all() for a in (z, log_q, pullback(np.ones((6, 1))), flow.log_prob(eta, z)))


def test_one_latent_has_nothing_to_couple_and_the_other_flow_is_named():
    with pytest.raises(NotApplicable, match=r"two latent dimensions: .* no other half .*; use planar-flow$"):
        CouplingFlow(1)


@in_two_dimensions
def test_the_moments_are_those_of_the_draws_to_two_per_cent(flow):
    eta = member(flow, 300, 0.3)
    mean, std = flow.moments(eta)
    z, weights = exact_draws(flow, eta[-1:])
    expected = (weights[..., None] * z).sum(axis=0)
    deviation = np.sqrt((weights[..., None] * (z - expected) ** 2).sum(axis=0))
    assert np.abs((mean[-1] - expected) / deviation).max() < 0.02
    assert np.abs(std[-1] / deviation - 1.0).max() < 0.02


@every_flow
def test_what_has_no_formula_is_refused(flow):
    eta = member(flow)
    for refused in (flow.entropy, flow.entropy_grad):
        with pytest.raises(NotApplicable):
            refused(eta)
    assert not flow.has_kl_to(DiagonalGaussian(flow.size)) and flow.lies_within(DiagonalGaussian(flow.size))


# -- entropy -------------------------------------------------------------------------------------


def test_the_entropy_without_a_formula_is_an_integral_and_its_gradient_the_derivative():
    flow, eta = PlanarFlow(1, layers=2), member(PlanarFlow(1, layers=2), 2, 0.3)
    value, error, gradient, _ = entropy_and_gradient(flow, eta)
    z = np.linspace(-12.0, 12.0, 8001)[:, None, None]
    log_q = flow.log_prob(eta, z)
    assert_close(value, -(np.exp(log_q) * log_q).sum(axis=0) * 24.0 / 8000.0, 1e-8)
    assert error.max() < 1e-7
    assert_close(entropy(flow, eta)[0], value, 1e-8)
    check_vjp(
        lambda e: entropy(flow, e)[0], lambda _, c: c[:, None] * gradient, eta, np.random.default_rng(0)
    )


def test_the_entropy_with_a_formula_is_that_formula():
    family, eta = FullGaussian(3), 0.3 * np.ones((2, 9))
    value, error, gradient, _ = entropy_and_gradient(family, eta)
    assert np.array_equal(value, family.entropy(eta)) and not error.any()
    assert np.array_equal(gradient, family.entropy_grad(eta))


def test_beyond_two_latents_the_entropy_is_a_long_run_with_its_error():
    flow = CouplingFlow(3, layers=1, hidden=2)
    eta = np.zeros((1, flow.eta_size))
    eta[:, -4:] = 0.4  # W2 and b2
    value, error = entropy(flow, eta)
    # One layer scales by s(y_a), so that H(q) = H(N(0, I)) + E s.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    y = np.zeros((60, 1, 3))
    y[:, 0, 0] = nodes
    expected = 1.5 * (1.0 + np.log(2.0 * np.pi))
    expected += (
        weights @ flow.steps[0].forward(flow.split(eta)[1][0], y[None, :, 0]).log_det[0] / weights.sum()
    )
    assert 0.0 < error[0] < 0.02 and abs(value[0] - expected) < 5.0 * error[0]


# -- the exact posterior within reach --------------------------------------------------------------

LOG_Z = -1.7


class PushForward(StandardNormalPrior):
    """A model whose joint density in z is Z times a member of a flow: its posterior."""

    name = "push-forward"
    n_columns = 1
    layout = Layout((("level", ()),))

    def __init__(self, flow):
        self.flow, self.eta_star = flow, member(flow, size=0.3, seed=5)
        self.family = DiagonalGaussian(flow.size)

    def likelihood(self, theta, x, z):  # noqa: ARG002
        log_q = self.flow.log_prob(self.eta_star, z)
        values = theta[0] + log_q - self.family.log_prob(np.zeros((1, 2 * self.flow.size)), z)

        def pullback(cotangent):
            slope = self.flow.log_prob_grad_z(self.eta_star, z) + z
            return cotangent.sum(axis=(-2, -1))[..., None], cotangent[..., None] * slope

        return values, pullback

    def sample_x(self, theta, z, rng): ...

    def initial_theta(self, x): ...


def at_the_posterior(flow):
    model, posterior = PushForward(flow), FreePosterior(flow, 1)
    phi = posterior.phi_from_eta(model.eta_star)
    return Problem(model, posterior, np.array([LOG_Z]), phi, np.zeros((1, 1)))


BOUNDS = ("elbo-log-weight", "importance-sampling", "iwae-value")
LANDING = ("sticking-the-landing", "dreg", "iwae-sticking-the-landing")


def named(names):
    return [estimator for estimator in ESTIMATORS if estimator.name in names]


@every_flow
def test_every_draw_of_the_elbo_is_log_z_where_the_target_is_the_push_forward(flow):
    check_landing(flow)


def check_landing(flow):
    problem = at_the_posterior(flow)
    for estimator in named(BOUNDS):
        noise = draw_noise(estimator.noise_spec(flow, 4, 1), np.random.default_rng(0))
        values = estimator.estimate(problem, noise, estimator.initial_state(problem))[0]
        assert np.abs(values - LOG_Z).max() < 1e-10, estimator.name
    for estimator in named(LANDING):
        noise = draw_noise(estimator.noise_spec(flow, 4, 1), np.random.default_rng(0))
        gradient = estimator.estimate(problem, noise, estimator.initial_state(problem))[0]
        assert np.abs(gradient).max() < 1e-10, estimator.name


@pytest.mark.parametrize("flow", [PlanarFlow(1, layers=2), CouplingFlow(2, layers=1, hidden=2)])
def test_the_exact_elbo_meets_log_z_by_quadrature(flow):
    problem = at_the_posterior(flow)
    found, bound = exact.elbo(problem), bound_at(problem)
    assert found.rung == bound.rung == "quadrature"
    assert abs(found.value[0] - LOG_Z) < 1e-10 and abs(bound.value[0] - LOG_Z) < 1e-10
    assert np.abs(bound.grad_eta).max() < 1e-9


# -- estimators ------------------------------------------------------------------------------------


ONE = next(case for case in CASES if isinstance(case.model, DeepGaussianFixed))
PLANAR = PlanarFlow(1, layers=1)
MILD = np.array([[0.2, -0.4, 0.5, -0.3, 0.2]])


def applicable():
    posterior = FreePosterior(PLANAR, 1)
    return [
        estimator
        for estimator in ESTIMATORS
        if estimator.name != "exact"
        and estimator.unbiased
        and admits(ONE, estimator, posterior)
        # A baseline of the other draws within each of two groups takes four draws, too many for a rule.
        and estimator.minimum_draws <= 2
    ]


@pytest.mark.parametrize("estimator", applicable(), ids=lambda e: f"{e.name}-{e.target}")
def test_every_unbiased_estimator_that_takes_a_flow_has_the_exact_mean(estimator):
    posterior = FreePosterior(PLANAR, 1)
    case = replace(ONE, x=ONE.x[:1], free=posterior, free_phi=posterior.phi_from_eta(MILD))
    draws = min(affordable_draws(estimator, case), 2)
    found = expected_estimate(estimator, case, posterior, case.free_phi, draws, 1e-8)
    assert_same(found, exact_value(estimator, case, posterior, case.free_phi, draws), 1e-7)


def test_pathwise_score_and_wake_estimators_all_take_a_flow():
    names = {estimator.name for estimator in applicable()}
    expected = {"reparameterization", "sticking-the-landing", "score-function", "score-function-loo"}
    assert names >= expected and "reparameterization-analytic-kl" not in names


def test_an_encoder_gives_mean_and_scale_and_all_data_share_the_weights():
    flow, x = CouplingFlow(2, layers=2, hidden=4), ONE.x
    posterior = AmortisedPosterior.for_data(flow, x, hidden=(3,))
    phi = 0.4 * np.random.default_rng(0).standard_normal(posterior.layout.size)
    eta = posterior.eta(phi, x)
    assert posterior.network.sizes[-1] == 4 and np.ptp(eta[:, 4:], axis=0).max() == 0.0
    assert np.ptp(eta[:, :4], axis=0).min() > 0.0
    noise = noise_of(flow, 3, len(x))
    check_vjp(
        lambda p: flow.sample(posterior.eta(p, x), noise),
        lambda p, c: posterior.eta_vjp(p, x, flow.sample_vjp(posterior.eta(p, x), noise, c)),
        phi,
        np.random.default_rng(1),
    )


# -- a banana ----------------------------------------------------------------------------------------

NOTHING_SEEN = np.zeros((1, 1))
THETA = np.log([0.2])


def gap_of(family, iterations, start=None):
    """Return log Z minus the ELBO of the best q that L-BFGS finds, both by quadrature."""
    model, posterior = Banana(), FreePosterior(family, 1)
    start = np.zeros((1, family.eta_size)) if start is None else start
    eta = fit_eta(model, THETA, NOTHING_SEEN, start, np.random.default_rng(0), iterations, family)
    problem = Problem(model, posterior, THETA, posterior.phi_from_eta(eta), NOTHING_SEEN)
    log_z, elbo = exact.log_evidence(problem), exact.elbo(problem)
    assert log_z.rung == elbo.rung == "quadrature"
    return (log_z.value - elbo.value)[0]


def test_a_coupling_flow_follows_a_banana_and_no_gaussian_does():
    assert gap_of(CouplingFlow(2, layers=4, hidden=8), 120) < 0.02
    rng = np.random.default_rng(0)
    starts = [None, *(0.7 * rng.standard_normal((1, 5)) for _ in range(5))]
    assert min(gap_of(FullGaussian(2), 500, start) for start in starts) > 0.5


# -- planted faults ----------------------------------------------------------------------------------


def faulty(kind, change):
    """Return `forward` of a layer with one part of its answer changed."""
    right = kind.forward
    return lambda self, weights, y: change(right(self, weights, y))


FAULTS = {
    "sign of the log-determinant": lambda move: move._replace(log_det=-move.log_det),
    "a log-determinant without its last factor": lambda move: move._replace(log_det=0.9 * move.log_det),
    "no slope of the log-determinant": lambda move: move._replace(log_det_slope=0.0 * move.log_det_slope),
    "J instead of its inverse": lambda move: move._replace(
        solve=lambda by_y: move.pullback(by_y, np.zeros(by_y.shape[:-1]))[0]
    ),
    "no chain through the layer": lambda move: move._replace(
        pullback=lambda by_z, by_log_det: (by_z, move.pullback(by_z, by_log_det)[1])
    ),
}


def check_everything(flow):
    check_log_determinants(flow)
    check_landing(flow)
    eta, noise, rng = member(flow, 2, 0.15), noise_of(flow, 3, 2), np.random.default_rng(0)
    z = flow.sample(eta, noise)
    check_vjp(lambda e: flow.sample(e, noise), lambda e, c: flow.sample_vjp(e, noise, c), eta, rng)
    check_vjp(lambda e: flow.log_prob(e, z), lambda e, c: flow.log_prob_vjp(e, z, c), eta, rng)


@pytest.mark.parametrize("fault", FAULTS)
@in_two_dimensions
def test_a_planted_fault_in_a_layer_is_caught(flow, fault, monkeypatch):
    check_everything(flow)
    kind = type(flow.steps[0])
    monkeypatch.setattr(kind, "forward", faulty(kind, FAULTS[fault]))
    with pytest.raises(AssertionError):
        check_everything(flow)


@in_two_dimensions
def test_a_wrong_sign_of_the_log_determinant_breaks_the_normalisation(flow, monkeypatch):
    kind = type(flow.steps[0])
    monkeypatch.setattr(kind, "forward", faulty(kind, FAULTS["sign of the log-determinant"]))
    assert abs(mass(flow) - 1.0) > 1e-3


def test_a_coupling_layer_that_undoes_the_other_half_is_caught(monkeypatch):
    flow = CouplingFlow(2, layers=2, hidden=4)

    def wrong(self, weights, z, right=CouplingLayer.inverse):
        return right(replace(self, keeps_first=not self.keeps_first), weights, z)

    monkeypatch.setattr(CouplingLayer, "inverse", wrong)
    with pytest.raises(AssertionError):
        test_the_layers_are_undone_to_rounding(flow)


def test_a_planar_layer_that_may_fold_is_caught(monkeypatch):
    flow = PlanarFlow(1, layers=1)

    def unconstrained(weights):
        return weights["u"], (weights["u"] * weights["w"]).sum(axis=-1, keepdims=True)

    eta = np.zeros((1, flow.eta_size))
    eta[:, 2] = -4.0 * np.sign(flow.split(eta)[1][0]["w"][0, 0])
    z = np.sort(flow.sample(eta, np.linspace(-3.0, 3.0, 61)[:, None, None])[:, 0, 0])
    assert np.array_equal(z, flow.sample(eta, np.linspace(-3.0, 3.0, 61)[:, None, None])[:, 0, 0])
    monkeypatch.setattr(PlanarLayer, "_direction", staticmethod(unconstrained))
    with np.errstate(invalid="ignore"):  # the logarithm of a negative determinant
        folded = flow.sample(eta, np.linspace(-3.0, 3.0, 61)[:, None, None])[:, 0, 0]
    assert not np.array_equal(np.sort(folded), folded)


def test_the_fixed_first_weights_differ_from_layer_to_layer():
    numbers = base.first_normals(200, 0)
    assert len(np.unique(numbers)) == 200 and abs(numbers.mean()) < 0.05 and abs(numbers.std() - 1.0) < 0.1
    _, weights = CouplingFlow(2).split(np.zeros((1, CouplingFlow(2).eta_size)))
    assert not np.array_equal(weights[0]["W1"], weights[2]["W1"])
