"""Laws of estimators as plain functions: `test_estimators` runs them over all cases, and
`test_planted_faults` shows that each plausible bug breaks at least one of them."""

from types import SimpleNamespace

import numpy as np
from cases import Case
from checks import check_vjp
from noise_integrals import affordable_draws, estimate, expected_estimate, is_measure_valued

from elbo_lab.distributions import draw_noise
from elbo_lab.estimators import ESTIMATORS, Exact
from elbo_lab.posteriors import ExactPosterior, FreePosterior

BY_NAME = {estimator.name: estimator for estimator in ESTIMATORS if estimator.name != "exact"}

# A gradient and the estimator of a value whose derivative, the noise frozen, it is.
FROZEN_PHI = {
    "reparameterization": "elbo-log-weight",
    "reparameterization-analytic-kl": "elbo-reconstruction-kl",
}
FROZEN_THETA = {
    "elbo-sampled": "elbo-joint-entropy",
    "elbo-analytic-kl": "elbo-reconstruction-kl",
    "importance-weighted": "importance-sampling",
    "prior-monte-carlo-pathwise": "prior-monte-carlo",
}


def noise_for(estimator, case, n_draws, seed=0, lead=()):
    """Return fresh noise of the shape that the estimator asks for."""
    spec = estimator.noise_spec(case.model.family, n_draws, len(case.x))
    return draw_noise(spec, np.random.default_rng(seed), lead)


def exact_value(estimator, case, posterior, phi, n_draws=1):
    """Return the exact value of the estimator's target for so many draws."""
    where = case.model, posterior, case.theta, phi, case.x
    return Exact(estimator.target).answer(*where, estimator.group_size(n_draws)).value


def assert_same(found, expected, relative):
    """Hold two arrays together, relative to the largest entry (at least 1)."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    gap = np.abs(found - expected).max(initial=0.0)
    scale = 1.0 + np.abs(expected).max(initial=0.0)
    assert gap <= relative * scale, (gap, scale)


def with_theta(case, theta):
    """Return the case at another theta."""
    return Case(**{**vars(case), "theta": theta})


def canonical(case):
    """Return the case where the exact posterior, if it has a formula, lies in the family."""
    return with_theta(case, case.model.canonical(case.theta))


def integrable_phi(estimator, case, posterior, phi):
    """Return phi, or a narrower q where four dimensions of noise meet a network.

    There only the coarse rules are affordable, and they need the poles of the decoder far away.
    """
    family = case.model.family
    polynomial = hasattr(case.model, "log_evidence")
    if polynomial or dimensions(estimator, case) <= 2:
        return phi
    table = posterior.eta(phi, case.x).copy()
    table[:, family.size : 2 * family.size] -= 3.0
    table[:, 2 * family.size :] *= np.exp(-3.0)  # below the diagonal of a Cholesky factor
    return posterior.phi_from_eta(table)


def dimensions(estimator, case):
    """Return how many dimensions of noise one datum has, 0 if discrete."""
    family = case.model.family
    # A measure-valued coordinate has a radius and an angle.
    axes = 2 * family.size if is_measure_valued(estimator) else family.size
    return 0 if family.discrete else affordable_draws(estimator, case) * axes


def unbiased(estimator, case, posterior, phi):
    """The expectation over all noise is the exact target."""
    phi = integrable_phi(estimator, case, posterior, phi)
    draws = affordable_draws(estimator, case)
    found = expected_estimate(estimator, case, posterior, phi, draws)
    assert_same(found, exact_value(estimator, case, posterior, phi, draws), 1e-10)


def bias(estimator, case, posterior, phi, n_draws, tolerance=1e-7):
    """Return the bias (P,) without noise."""
    expected = expected_estimate(estimator, case, posterior, phi, n_draws, tolerance)
    return expected - exact_value(estimator, case, posterior, phi, n_draws)


def frozen_phi_gradient(estimator, case, posterior, phi, n_draws=3):
    """The estimate is the derivative in phi of its value, the noise frozen."""
    value, noise = BY_NAME[FROZEN_PHI[estimator.name]], noise_for(estimator, case, n_draws)
    check_vjp(
        lambda point: estimate(value, case, posterior, point, noise),
        lambda point, c: c[0] * estimate(estimator, case, posterior, point, noise),
        phi,
        np.random.default_rng(1),
    )


def frozen_theta_gradient(estimator, case, posterior, phi, n_draws=3):
    """The estimate is the derivative in theta of its value, the noise frozen."""
    value, noise = BY_NAME[FROZEN_THETA[estimator.name]], noise_for(estimator, case, n_draws)
    check_vjp(
        lambda theta: estimate(value, with_theta(case, theta), posterior, phi, noise),
        lambda theta, c: c[0] * estimate(estimator, with_theta(case, theta), posterior, phi, noise),
        case.theta,
        np.random.default_rng(1),
    )


def frozen_score_gradient(estimator, case, posterior, phi, n_draws=3):
    """The plain score function is the derivative in phi of mean f log q(z), with z and f frozen."""
    noise, family = noise_for(estimator, case, n_draws), posterior.family
    eta = posterior.eta(phi, case.x)
    z = family.sample(eta, noise)
    f = case.model.log_joint(case.theta, case.x, z) - family.log_prob(eta, z)
    check_vjp(
        lambda p: (f * family.log_prob(posterior.eta(p, case.x), z)).mean(keepdims=True)[0],
        lambda _, c: c[0] * estimate(estimator, case, posterior, phi, noise),
        phi,
        np.random.default_rng(1),
    )


def weighted_by_prior(case, n_draws=4):
    """Importance weighting with the prior as q is the prior's own score form."""
    prior = np.repeat(case.model.prior_eta(case.theta), len(case.x), axis=0)
    q = FreePosterior(case.model.family, len(case.x))
    noise = noise_for(BY_NAME["importance-weighted"], case, n_draws)
    found = estimate(BY_NAME["importance-weighted"], case, q, q.phi_from_eta(prior), noise)
    expected = estimate(BY_NAME["prior-monte-carlo-score"], case, None, None, noise)
    assert_same(found, expected, 1e-11)


def constant_at_exact_posterior(case, n_draws=5):
    """At the exact posterior every single log-weight is log p(x)."""
    case = canonical(case)
    q = ExactPosterior(case.model, case.theta)
    truth = exact_value(BY_NAME["importance-sampling"], case, q, np.zeros(0))
    for name in ("elbo-log-weight", "importance-sampling"):
        noise = noise_for(BY_NAME[name], case, n_draws, lead=(7,))
        found = estimate(BY_NAME[name], case, q, np.zeros(0), noise)
        assert_same(found, np.broadcast_to(truth, found.shape), 1e-12)


def permuted_data(estimator, case, posterior, phi, n_draws=4):
    """Return the estimate on reordered data, noise and table, put back in the first order."""
    order = np.random.default_rng(5).permutation(len(case.x))
    noise = noise_for(estimator, case, n_draws)
    moved = SimpleNamespace(model=case.model, theta=case.theta, x=case.x[order])
    if posterior.name != "free":
        return estimate(estimator, moved, posterior, phi, noise[:, order])
    moved_phi = posterior.phi_from_eta(posterior.eta(phi, case.x)[order])
    found = estimate(estimator, moved, posterior, moved_phi, noise[:, order])
    if estimator.target != "grad-phi-elbo":
        return found
    back = np.argsort(order)
    return posterior.phi_from_eta(posterior.eta(found, case.x)[back])


class Shifted:
    """A model whose log p(x, z) is higher by a constant."""

    def __init__(self, model, constant):
        self._model, self._constant = model, constant

    def __getattr__(self, name):
        return getattr(self._model, name)

    def log_joint(self, theta, x, z):
        return self._model.log_joint(theta, x, z) + self._constant


def ignores_a_constant(estimator, case, posterior, phi, n_draws=4):
    """A constant in log p(x, z) changes nothing."""
    noise = noise_for(estimator, case, n_draws)
    shifted = SimpleNamespace(model=Shifted(case.model, 100.0), theta=case.theta, x=case.x)
    found = estimate(estimator, shifted, posterior, phi, noise)
    assert_same(found, estimate(estimator, case, posterior, phi, noise), 1e-11)


def two_draws_agree(case, posterior, phi):
    """At two draws the optimal baseline is the leave-one-out baseline."""
    noise = noise_for(BY_NAME["score-function-loo"], case, 2, lead=(20,))
    found = estimate(BY_NAME["score-function-optimal-baseline"], case, posterior, phi, noise)
    assert_same(found, estimate(BY_NAME["score-function-loo"], case, posterior, phi, noise), 1e-9)
