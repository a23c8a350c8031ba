"""Exact bounds of several draws: E log (1/K) sum_k w_k, although the K draws are coupled by the logarithm.

The draws are independent, so that only the Laplace transform of one weight is needed. From Frullani's
integral, log s = int_0^inf (e^-t - e^-ts) dt / t, with s the sum of the weights,

    E log sum_k w_k = int_0^inf (e^-t - phi(t)^K) dt / t,      phi(t) = E_q e^-tw,

one integral over t of an expectation over a single z. Its derivative weights the slope of each log w by its
expected share of the sum,

    E_q[c(z) d log w(z)],   c(z) = K E[w / (w + the other K - 1)] = K w int_0^inf phi^(K-1) e^-tw dt,

with E_q c = 1. Where z is discrete no path leads from eta to z, and the derivative goes through q and
through w = p / q: E_q[score(z) C(z)], C(z) = -K int_0^inf (phi^(K-1) e^-tw (1 + tw) - e^-t) dt / t.

The bound of Daudel et al. (2023), 1/(1 - alpha) E log (1/K) sum_k w_k^(1 - alpha), is the same with
w^a in place of w, a = 1 - alpha, and the logarithm over a. Its share c(z) is that of w^a, and for discrete z

    C(z) = D(z) / a - c(z),    D(z) = -K int_0^inf (phi^(K-1) e^-tw^a - e^-t) dt / t

the first through q, the second through w. The Renyi bound (Li and Turner 2016) is that of infinitely many
draws: (1/a) log E_q w^a, with c(z) = w^a / E w^a and D(z) = c(z).

With t = e^u the integrand is analytic in a strip of half-width pi / 2 about the real u, so that a trapezoid
rule of step h errs by about e^(-pi^2 / h) (Trefethen and Weideman 2014): 1e-17 at h = 1/4.
"""

from collections.abc import Iterator

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import draw_noise
from elbo_lab.distributions.base import Family
from elbo_lab.errors import check_count
from elbo_lab.exact import closed_form, enumeration, long_run, quadrature
from elbo_lab.exact.answer import Bound, without_error
from elbo_lab.exact.rules import Rule
from elbo_lab.models.base import Model
from elbo_lab.special import log_mean_exp, log_sum_exp, softmax

STEP = 0.25
# e^-38 is the relative error of leaving out smaller t.
LOWEST = -38.0
# A power of phi below this adds nothing to the integral.
NEGLIGIBLE = 1e-19
STEPS_PER_PASS = 64
# The integral over t is as long as log w is wide: in nats, the widest for which it is worth while.
WIDEST = 1e5
# A sharp weight needs many nodes; references need fewer digits than the ELBO has in closed form.
TOLERANCE = 1e-6


def _transforms(
    log_w: Floats, weights: Floats, n_draws: int
) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
    """Yield (t (U, 1), t w (U, G), e^-tw (U, G), phi (U, 1)) in passes of rising t; w has mean one."""
    u, finite = LOWEST - np.log(n_draws), log_w > -np.inf
    growth = np.exp(STEP * np.arange(STEPS_PER_PASS))[:, None]
    # Beyond this u the terms of all positive weights have vanished from phi.
    end = 4.0 - min(log_w[finite].min(), 0.0)
    while u < end:
        # Beyond e^50 the decay is zero, and t w must stay finite for their product to be zero.
        tw = growth * np.exp(np.minimum(u + log_w, 50.0))
        t, decay = growth * np.exp(min(u, 50.0)), np.exp(-tw)
        phi = (decay @ weights)[:, None]
        yield t, tw, decay, phi
        if u > 0.0 and phi[-1, 0] ** n_draws < NEGLIGIBLE:
            return
        u += STEP * STEPS_PER_PASS


def tempered_bound(
    log_w: Floats, weights: Floats, n_draws: int | None, power: float
) -> tuple[float, Floats, Floats]:
    """Return (1/a) E log mean of K weights w^a, a = `power`, and what `bound_of_draws` returns beside it.

    With n_draws None the bound of infinitely many draws, (1/a) log E_q w^a.
    """
    if n_draws is not None:
        value, share, by_score = bound_of_draws(power * log_w, weights, n_draws)
        return value / power, share, by_score / power + (1.0 / power - 1.0) * share
    value = float(log_sum_exp(power * log_w + np.log(weights), axis=0))
    share = np.exp(power * log_w - value)
    return value / power, share, (1.0 / power - 1.0) * share


def bound_of_draws(log_w: Floats, weights: Floats, n_draws: int) -> tuple[float, Floats, Floats]:
    """Return E log mean of K weights, and the contribution of each value of z to its slope.

    Parameters
    ----------
    log_w : ndarray (G,)
        log w at the nodes of a rule, or at every value of a discrete z.
    weights : ndarray (G,)
        Their probabilities under q.
    n_draws : int
        K.

    Returns
    -------
    value : float
        In nats; -inf if all weights of a bound can be zero.
    share : ndarray (G,)
        c(z) above, of mean one.
    by_score : ndarray (G,)
        C(z) above, up to a constant, which vanishes with the mean of the score.
    """
    log_mean = log_sum_exp(log_w + np.log(weights), axis=0)
    value, share, by_score = 0.0, np.zeros(len(log_w)), np.zeros(len(log_w))
    for t, tw, decay, phi in _transforms(log_w - log_mean, weights, n_draws):
        end, others = np.exp(-t), phi ** (n_draws - 1)
        value += STEP * (end - others * phi).sum()
        of_share = others[:, 0] @ (tw * decay)
        share += STEP * n_draws * of_share
        by_score -= STEP * n_draws * (others[:, 0] @ decay + of_share - end.sum())
    if weights[log_w == -np.inf].sum() > 0.0:
        value = -np.inf
    return value + log_mean - np.log(n_draws), share, by_score


def _enumerated(
    model: Model,
    theta: Floats,
    x: Floats,
    family: Family,
    eta: Floats,
    n_draws: int | None,
    power: float,
) -> Bound:
    z = enumeration.all_values(family, len(x))
    log_q = family.log_prob(eta, z)
    log_w, q = model.log_joint(theta, x, z) - log_q, np.exp(log_q)
    value, share, by_score = np.zeros(len(x)), np.zeros(q.shape), np.zeros(q.shape)
    for n in range(len(x)):
        possible = q[:, n] > 0.0  # a probability that underflows is never drawn
        terms = tempered_bound(log_w[possible, n], q[possible, n], n_draws, power)
        value[n], share[possible, n], by_score[possible, n] = terms
    grad_theta, _ = model.log_joint_vjp(theta, x, z, q * share / len(x))
    grad_eta = family.log_prob_vjp(eta, z, q * by_score) / len(x)
    return without_error(Bound, enumeration.RUNG, value, grad_theta, grad_eta)


def _of_datum(
    model: Model,
    theta: Floats,
    x: Floats,
    family: Family,
    eta: Floats,
    n_draws: int | None,
    power: float,
    rule: Rule,
) -> tuple[Floats, Floats, Floats]:
    """Return value (1,), grad_theta (P,), grad_eta (1, E) for one datum x (1, D) by one rule."""
    passes = list(quadrature.passes_under_q(family, eta, rule))
    log_w = [model.log_joint(theta, x, z) - family.log_prob(eta, z) for _, _, z in passes]
    weights = np.concatenate([w for _, w, _ in passes])[:, 0]
    every_log_w = np.concatenate(log_w)[:, 0]
    if np.ptp(every_log_w[every_log_w > -np.inf]) > WIDEST:
        raise quadrature.ToleranceMissed
    value, share, _ = tempered_bound(every_log_w, weights, n_draws, power)
    grad_theta, grad_eta, start = np.zeros(model.layout.size), np.zeros(eta.shape), 0
    for noise, w, z in passes:
        cotangent = w * share[start : start + len(z), None]
        start += len(z)
        by_theta, by_z = model.log_joint_vjp(theta, x, z, cotangent)
        assert by_z is not None  # z is continuous
        by_z = by_z - cotangent[..., None] * family.log_prob_grad_z(eta, z)
        grad_theta += by_theta
        grad_eta += family.sample_vjp(eta, noise, by_z) - family.log_prob_vjp(eta, z, cotangent)
    return np.array([value]), grad_theta, grad_eta


def _integrated(
    model: Model,
    theta: Floats,
    x: Floats,
    family: Family,
    eta: Floats,
    n_draws: int | None,
    power: float = 1.0,
    tolerance: float = TOLERANCE,
) -> Bound:
    def by_rule(n: int, rule: Rule) -> tuple[Floats, Floats, Floats]:
        row = slice(n, n + 1)
        return _of_datum(model, theta, x[row], family, eta[row], n_draws, power, rule)

    sizes = model.latent_dim, len(x), model.layout.size, eta.shape
    return quadrature.converged_sums(Bound, by_rule, *sizes, tolerance=tolerance)


def _sampled(
    model: Model,
    theta: Floats,
    x: Floats,
    family: Family,
    eta: Floats,
    n_draws: int,
    rng: np.random.Generator,
    power: float = 1.0,
) -> Bound:
    """Return the Bound from batches of independent bounds, with standard errors."""
    batches, repeats = [], max(1, long_run.DRAWS_PER_BATCH // n_draws)
    per_pass = max(1, long_run.ROWS_PER_PASS // (n_draws * len(x)))
    for _ in range(long_run.BATCHES):
        sums = [np.zeros(len(x)), np.zeros(model.layout.size), np.zeros(eta.shape)]
        for start in range(0, repeats, per_pass):
            lead = (min(per_pass, repeats - start),)
            noise = draw_noise(family.noise_spec(n_draws, len(x)), rng, lead)
            sums_of_pass = _sampled_sums(model, theta, x, family, eta, noise, power)
            sums = [total + of_pass for total, of_pass in zip(sums, sums_of_pass, strict=True)]
        value, grad_theta, grad_eta = (total / repeats for total in sums)
        batches.append((value, grad_theta / len(x), grad_eta / len(x)))
    values, by_theta, by_eta = zip(*batches, strict=True)
    means = long_run.batch_means(values, by_theta, by_eta)
    kept = {"theta_batches": np.array(by_theta), "eta_batches": np.array(by_eta)}
    return Bound(long_run.RUNG, *means, **kept)


def _sampled_sums(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, noise: Floats, power: float
) -> tuple[Floats, Floats, Floats]:
    """Return the sums over repeats of single bounds (N,) and of their gradients (P,) and (N, E)."""
    z = family.sample(eta, noise)
    # One pass through the likelihood for its value and its gradient.
    log_likelihood, pull_likelihood = model.likelihood(theta, x, z)
    log_w = log_likelihood + model.log_prior(theta, z) - family.log_prob(eta, z)
    share = softmax(power * log_w, axis=-2)
    by_likelihood, z_likelihood = pull_likelihood(share)
    by_prior, z_prior = model.log_prior_vjp(theta, z, share)
    assert z_likelihood is not None and z_prior is not None  # z is continuous
    grad_theta = by_likelihood + by_prior
    by_z = z_likelihood + z_prior - share[..., None] * family.log_prob_grad_z(eta, z)
    grad_eta = family.sample_vjp(eta, noise, by_z) - family.log_prob_vjp(eta, z, share)
    value = log_mean_exp(power * log_w, axis=-2) / power
    return value.sum(axis=0), grad_theta.sum(axis=0), grad_eta.sum(axis=0)


def importance_weighted_bound(
    model: Model,
    theta: Floats,
    x: Floats,
    family: Family,
    eta: Floats,
    n_draws: int | None,
    rng: np.random.Generator,
    tolerance: float = TOLERANCE,
    power: float = 1.0,
) -> Bound:
    """Return (1/a) E_q log (1/K) sum_k w_k^a and its gradients, on the best rung.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    family : Family
        Of q.
    eta : ndarray (N, E)
    n_draws : int or None
        K, at least 1; None for the bound of infinitely many draws. Its long run is one of many draws, and
        biased as those are.
    rng : numpy.random.Generator
        Of the long run, if no other rung applies.
    tolerance : float
        Of the last change of a quadrature, relative to the largest entry (at least 1).
    power : float
        a, other than zero; 1 is the importance-weighted bound.

    Returns
    -------
    Bound
    """
    if n_draws is not None:
        check_count("n_draws", n_draws)
    at_posterior = closed_form.bound_at_posterior(model, theta, x, family, eta)
    if at_posterior is not None:
        return at_posterior
    if family.discrete:
        return _enumerated(model, theta, x, family, eta, n_draws, power)
    if quadrature.applies(model):
        try:
            return _integrated(model, theta, x, family, eta, n_draws, power, tolerance)
        except quadrature.ToleranceMissed:
            pass
    n_draws = long_run.DRAWS_PER_BATCH if n_draws is None else n_draws
    return _sampled(model, theta, x, family, eta, n_draws, rng, power)
