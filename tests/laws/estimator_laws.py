"""Laws of estimators as plain functions: `test_estimators` runs them over all cases, and
`test_planted_faults` shows that each plausible bug breaks at least one of them."""

from dataclasses import replace

import numpy as np
from cases import Case
from checks import check_vjp
from noise_integrals import (
    MANY_DIMENSIONS,
    admitted_draws,
    affordable_draws,
    estimate,
    expected_estimate,
    is_measure_valued,
    log_table,
    uniforms_of_order,
)

from elbo_lab.distributions import draw_noise
from elbo_lab.estimators import COUPLED, ESTIMATORS, Exact
from elbo_lab.posteriors import ExactPosterior, FreePosterior

BY_NAME = {
    estimator.name: estimator for estimator in ESTIMATORS if estimator.name != "exact" and estimator.compared
}

# Values that are a function of the log-weights of draws from q alone.
BOUNDS_OF_WEIGHTS = [
    name
    for name, estimator in BY_NAME.items()
    if estimator.target in ("log-evidence", "iwae") and estimator.draws_from == "posterior"
]

# A gradient and the estimator of a value whose derivative, the noise frozen, it is.
FROZEN_PHI = {
    "reparameterization": "elbo-log-weight",
    "reparameterization-analytic-kl": "elbo-reconstruction-kl",
    "iwae-reparameterization": "importance-sampling",
}
FROZEN_THETA = {
    "elbo-sampled": "elbo-joint-entropy",
    "elbo-analytic-kl": "elbo-reconstruction-kl",
    "importance-weighted": "importance-sampling",
    "iwae-theta": "importance-sampling",
    "piwae-2-theta": "importance-sampling",
    "prior-monte-carlo-pathwise": "prior-monte-carlo",
}
# Estimators that subtract what depends on the other draws, or on nothing drawn: no constant is left.
IGNORES_A_CONSTANT = (
    "score-function-loo",
    "score-function-optimal-baseline",
    "score-function-control-variate",
    "score-function-delta",
    "score-function-delta-unit",
    "score-function-unordered-set",
    "score-function-oracle-baseline",
    "measure-valued",
    "measure-valued-coupled",
)


def noise_for(estimator, case, n_draws, seed=0, lead=()):
    """Return fresh noise of the shape that the estimator asks for, for the next admits number of draws."""
    n_draws = admitted_draws(estimator, n_draws)
    spec = estimator.noise_spec(case.free.family, n_draws, len(case.x))
    return draw_noise(spec, np.random.default_rng(seed), lead)


def couples_draws(estimator):
    """Return whether its target is one that estimates of several draws follow through their weights."""
    return estimator.target in (*COUPLED, "grad-phi-inclusive-kl")


def exact_answer(estimator, case, posterior, phi, n_draws=1):
    """Return the exact Answer of the estimator's target for so many draws."""
    # A law wants more digits of a bound of several draws than a study does.
    exact = Exact(estimator.target, tolerance=1e-10)
    return exact.answer(case.problem(posterior, phi), estimator.group_size(n_draws))


def exact_value(estimator, case, posterior, phi, n_draws=1):
    """Return the exact value of the estimator's target for so many draws."""
    return exact_answer(estimator, case, posterior, phi, n_draws).value


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
    """Return phi, or a narrower q where four dimensions of noise meet a network, or log-weights a logarithm.

    There only the coarse rules are affordable, and they need the poles of the decoder far away. So do
    coupled draws, for the zeros of their sum of weights.
    """
    family = case.free.family
    if couples_draws(estimator) and not family.discrete:
        table = posterior.eta(phi, case.x).copy()
        table[:, family.size :] -= 1.0
        return posterior.phi_from_eta(table)
    polynomial = hasattr(case.model, "log_evidence")
    if polynomial or dimensions(estimator, case) <= 2:
        return phi
    table = posterior.eta(phi, case.x).copy()
    shift = 3.0 if dimensions(estimator, case) <= MANY_DIMENSIONS else 5.0
    table[:, family.size : 2 * family.size] -= shift
    table[:, 2 * family.size :] *= np.exp(-shift)  # below the diagonal of a Cholesky factor
    return posterior.phi_from_eta(table)


def dimensions(estimator, case):
    """Return how many dimensions of noise one datum has, 0 if discrete."""
    family = case.free.family
    # A measure-valued coordinate has a radius and an angle.
    axes = 2 * family.size if is_measure_valued(estimator) else family.size
    spec = estimator.noise_spec(family, affordable_draws(estimator, case), len(case.x))
    return 0 if family.discrete else spec.shape[0] * axes


def unbiased(estimator, case, posterior, phi):
    """The expectation over all noise is the exact target."""
    phi = integrable_phi(estimator, case, posterior, phi)
    draws = affordable_draws(estimator, case)
    found = expected_estimate(
        estimator, case, posterior, phi, draws, 1e-10 if couples_draws(estimator) else 1e-11
    )
    assert_same(found, exact_value(estimator, case, posterior, phi, draws), 1e-10)


def telling_draws(estimator, case):
    """Return draws at which a bias shows: with one draw alone every bound of several is the ELBO."""
    if case.free.family.discrete or estimator.target not in COUPLED:
        return affordable_draws(estimator, case)
    return admitted_draws(estimator, 2)


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
    q = FreePosterior(case.free.family, len(case.x))
    noise = noise_for(BY_NAME["importance-weighted"], case, n_draws)
    found = estimate(BY_NAME["importance-weighted"], case, q, q.phi_from_eta(prior), noise)
    expected = estimate(BY_NAME["prior-monte-carlo-score"], case, None, None, noise)
    assert_same(found, expected, 1e-11)


def constant_at_exact_posterior(case, n_draws=5):
    """At the exact posterior every single log-weight is log p(x), and so is every bound of them."""
    case = canonical(case)
    q = ExactPosterior(case.model, case.theta)
    truth = exact_value(BY_NAME["importance-sampling"], case, q, np.zeros(0))
    for name in ("elbo-log-weight", *BOUNDS_OF_WEIGHTS):
        noise = noise_for(BY_NAME[name], case, n_draws, lead=(7,))
        found = estimate(BY_NAME[name], case, q, np.zeros(0), noise)
        assert_same(found, np.broadcast_to(truth, found.shape), 1e-12)


def draw_order(estimator, n_draws, rng):
    """Return an order of the draws that an estimate must not depend on (S,).

    Any order of the draws of one bound, of whole groups, and of the further draws among themselves.
    """
    groups, further = (getattr(estimator, name, default) for name, default in (("groups", 1), ("further", 0)))
    groups = 1 if estimator.group_size(n_draws) == n_draws else groups
    size = n_draws // groups
    blocks = [group * size + rng.permutation(size) for group in rng.permutation(groups)]
    left_over = np.arange(groups * size, n_draws)
    return np.concatenate([*blocks, left_over, n_draws + rng.permutation(further)])


def permuted_draws(estimator, case, posterior, phi, n_draws=5):
    """Return the estimate on reordered draws and that in the first order.

    Where a draw depends on the ones before it, reordered noise is other draws: there the noise is made for
    the order of the values that are wanted.
    """
    rng = np.random.default_rng(3)
    if estimator.name == "score-function-unordered-set":
        table, n_draws = log_table(case.free.family, posterior.eta(phi, case.x)), 2
        orders = [rng.permutation(len(row))[:n_draws] for row in table]
        first, second = (
            np.stack(
                [
                    uniforms_of_order(row, order[turn], n_draws)[0]
                    for row, order in zip(table, orders, strict=True)
                ],
                1,
            )
            for turn in ([0, 1], [1, 0])
        )
    else:
        first = noise_for(estimator, case, n_draws)
        size = len(first)
        order = draw_order(estimator, n_draws, rng)
        if estimator.target == "iwae" and estimator.group_size(size) < size:
            order = np.arange(size)[::-1]  # groups change places, and draws within a group
        second = first[order]
    return estimate(estimator, case, posterior, phi, second), estimate(estimator, case, posterior, phi, first)


def permuted_data(estimator, case, posterior, phi, n_draws=4):
    """Return the estimate on reordered data, noise and table, put back in the first order."""
    order = np.random.default_rng(5).permutation(len(case.x))
    noise = noise_for(estimator, case, n_draws)
    moved = replace(case, x=case.x[order])
    if posterior.name != "free":
        return estimate(estimator, moved, posterior, phi, noise[:, order])
    moved_phi = posterior.phi_from_eta(posterior.eta(phi, case.x)[order])
    found = estimate(estimator, moved, posterior, moved_phi, noise[:, order])
    if not estimator.target.startswith("grad-phi"):
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
    shifted = replace(case, model=Shifted(case.model, 100.0))
    found = estimate(estimator, shifted, posterior, phi, noise)
    assert_same(found, estimate(estimator, case, posterior, phi, noise), 1e-11)


def two_draws_agree(case, posterior, phi):
    """At two draws the optimal baseline is the leave-one-out baseline."""
    noise = noise_for(BY_NAME["score-function-loo"], case, 2, lead=(20,))
    found = estimate(BY_NAME["score-function-optimal-baseline"], case, posterior, phi, noise)
    assert_same(found, estimate(BY_NAME["score-function-loo"], case, posterior, phi, noise), 1e-9)
