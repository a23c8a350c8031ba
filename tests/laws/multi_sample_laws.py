"""Laws of the estimators whose draws are coupled, as plain functions: `test_multi_sample` runs them over
cases, and `test_planted_faults` shows that plausible bugs break them."""

import numpy as np
from cases import make_case
from estimator_laws import BY_NAME, assert_same, exact_value, integrable_phi, noise_for
from noise_integrals import estimate, expected_estimate

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import posterior_draws
from elbo_lab.models import DeepBernoulli, GaussianMLE

ONE_LATENT = (
    make_case(GaussianMLE(1), n_data=2),
    make_case(DeepBernoulli(3, 1, (4, 3), "softplus"), n_data=2),
)


def named(name, case, posterior, phi, noise):
    return estimate(BY_NAME[name], case, posterior, phi, noise)


def noise_of(case, n_draws, lead=(), seed=0):
    """Return noise that all estimators without further draws share."""
    return noise_for(BY_NAME["wake-phi"], case, n_draws, seed=seed, lead=lead)


def slopes_along_the_paths(case, posterior, phi, noise, factors):
    """Return sum_k c_k dlog w/dz dz/deta (..., P), one draw and one datum at a time."""
    family, model = case.free.family, case.model
    eta, z = posterior_draws(case.problem(posterior, phi), noise)
    grad_eta = np.zeros(eta.shape)
    for s in range(len(z)):
        for n in range(len(case.x)):
            row, one = slice(n, n + 1), z[s : s + 1, n : n + 1]
            slope = model.log_joint_vjp(case.theta, case.x[row], one, np.ones((1, 1)))[1]
            slope = slope - family.log_prob_grad_z(eta[row], one)
            path = family.sample_vjp(eta[row], noise[s : s + 1, n : n + 1], slope)
            grad_eta[n] += factors[s, n] * path[0] / len(case.x)
    return posterior.eta_vjp(phi, case.x, grad_eta)


def log_weights(case, posterior, phi, noise):
    """Return log w (..., S, N)."""
    eta, z = posterior_draws(case.problem(posterior, phi), noise)
    return log_weight(case.model, case.theta, case.x, case.free.family, eta, z)


def mean_score(case, posterior, phi, noise):
    """Return the mean over draws and rows of the score of q (..., P)."""
    eta, z = posterior_draws(case.problem(posterior, phi), noise)
    score = case.free.family.score(eta, z).mean(axis=-3) / len(case.x)
    return posterior.eta_vjp(phi, case.x, score)


# -- single draws ----------------------------------------------------------------------------------


def one_draw_is_the_elbo(case, posterior, phi):
    """With one draw (or groups of one) the bound is the ELBO, and so are its gradients."""
    noise = noise_of(case, 1, (4,))
    expected = named("elbo-sampled", case, posterior, phi, noise)
    for name in ("iwae-theta", "piwae-2-theta"):
        assert_same(named(name, case, posterior, phi, noise), expected, 1e-12)
    # Its score function subtracts the share of the draw, which is one.
    expected = named("score-function", case, posterior, phi, noise) - mean_score(case, posterior, phi, noise)
    assert_same(named("iwae-score-function", case, posterior, phi, noise), expected, 1e-12)
    assert_same(
        named("wake-phi", case, posterior, phi, noise), mean_score(case, posterior, phi, noise), 1e-12
    )
    if case.free.family.discrete:
        return
    expected = named("reparameterization", case, posterior, phi, noise)
    assert_same(named("iwae-reparameterization", case, posterior, phi, noise), expected, 1e-12)
    pair = noise_of(case, 2, (4,))
    expected = named("reparameterization", case, posterior, phi, pair)
    assert_same(named("piwae-2-phi", case, posterior, phi, pair), expected, 1e-12)


def one_draw_sticks_the_landing(case, posterior, phi):
    """With one draw `dreg` is the path derivative of log w, the parameters of log q held still."""
    noise = noise_of(case, 1)
    expected = slopes_along_the_paths(case, posterior, phi, noise, np.ones((1, len(case.x))))
    for name in ("dreg", "stl-iwae"):
        assert_same(named(name, case, posterior, phi, noise), expected, 1e-11)


# -- several draws ---------------------------------------------------------------------------------


def vimcos_agree_at_two_draws(case, posterior, phi):
    """Of a single other weight the geometric and the arithmetic mean are the weight itself."""
    noise = noise_of(case, 2, (20,))
    found = named("vimco", case, posterior, phi, noise)
    assert_same(found, named("vimco-arithmetic", case, posterior, phi, noise), 1e-11)


def ovis_tilde_between(case, posterior, phi):
    """OVIS~ at 0 is VIMCO's arithmetic form and scores; at 1 it is that plus the wake phase."""
    noise = noise_of(case, 4, (5,))
    n_draws, scores = 4, mean_score(case, posterior, phi, noise)
    arithmetic = named("vimco-arithmetic", case, posterior, phi, noise)
    constant = n_draws * np.log1p(-1.0 / n_draws)
    found = named("ovis-tilde-0", case, posterior, phi, noise)
    assert_same(found, arithmetic - constant * scores, 1e-11)
    wake = named("wake-phi", case, posterior, phi, noise)
    assert_same(named("ovis-tilde-1", case, posterior, phi, noise), arithmetic + wake, 1e-11)


def landing_is_dreg_and_wake(case, posterior, phi):
    """v = v^2 + (v - v^2), and each part is what it says, draw by draw."""
    noise = noise_of(case, 3)
    dreg, wake, landing = (
        named(name, case, posterior, phi, noise) for name in ("dreg", "wake-phi-dreg", "stl-iwae")
    )
    assert_same(dreg + wake, landing, 1e-11)
    weights = np.exp(log_weights(case, posterior, phi, noise))
    share = weights / weights.sum(axis=0)
    assert_same(dreg, slopes_along_the_paths(case, posterior, phi, noise, share**2), 1e-10)
    assert_same(landing, slopes_along_the_paths(case, posterior, phi, noise, share), 1e-10)


def wake_phases_agree_in_mean(case):
    """Reparameterising the wake phase does not move its mean."""
    phi = integrable_phi(BY_NAME["wake-phi"], case, case.free, case.free_phi)
    one, other = (
        expected_estimate(BY_NAME[name], case, case.free, phi, 2, 1e-10)
        for name in ("wake-phi", "wake-phi-dreg")
    )
    assert_same(one, other, 1e-10)


def wake_phase_is_what_ovis_adds(case, n_draws=3):
    """E[OVIS~ at 1] - E[wake phase] is the gradient of the bound."""
    one, other = (
        expected_estimate(BY_NAME[name], case, case.free, case.free_phi, n_draws)
        for name in ("ovis-tilde-1", "wake-phi")
    )
    exact = exact_value(BY_NAME["ovis-tilde-1"], case, case.free, case.free_phi, n_draws)
    assert_same(one - other, exact, 1e-10)


def noiseless_at_the_exact_posterior(case, n_draws=4):
    """Where all weights are equal, what is centred has no noise; the two VIMCOs keep minus a mean score."""
    phi = case.free.phi_from_eta(case.model.posterior_eta(case.theta, case.x))
    names = ["ovis-tilde-1"]
    if not case.free.family.discrete:
        names += ["dreg", "stl-iwae", "wake-phi-dreg"]
    noise = noise_of(case, n_draws, (10,))
    for name in names:
        assert np.abs(named(name, case, case.free, phi, noise)).max() < 1e-10, name
    longer = noise_for(BY_NAME["ovis-mc-4"], case, n_draws, lead=(10,))
    assert np.abs(named("ovis-mc-4", case, case.free, phi, longer)).max() < 1e-10
    scores = mean_score(case, case.free, phi, noise)
    assert np.abs(scores).max() > 0.01
    for name in ("vimco", "vimco-arithmetic"):
        assert_same(named(name, case, case.free, phi, noise), -scores, 1e-10)
    left = -n_draws * np.log1p(-1.0 / n_draws) - 1.0
    assert_same(named("ovis-tilde-0", case, case.free, phi, noise), left * scores, 1e-10)
