"""The gradient of -KL(p(z | x) || q) in eta: what reweighted wake-sleep estimates.

    -d KL(p(z | x) || q) / d eta = E_{p(z | x)}[d log q(z) / d eta]

(the wake-phase update of q of Bornschein and Bengio 2015.) It makes q cover the posterior, where the ELBO
keeps q inside it. Exact where the posterior is a member of the family (the KL has a formula), by enumeration,
or on the grids of `quadrature`; else by importance sampling, with a standard error: from the proposal of
`laplace` where the model has one, else half from q and half from the prior.

    w = p(x, z) / [q(z) / 2 + p(z) / 2]  <=  2 p(x | z)

With q alone the weights have no variance where q is narrower than the posterior, which is what this gradient
is to mend; the mean of so many draws is then far off, and its standard error does not show it. With half of
the prior they are bounded wherever p(x | z) is (defensive importance sampling, Hesterberg 1995).
"""

from collections.abc import Callable

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import draw_noise
from elbo_lab.distributions.base import Family
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import closed_form, cubature, enumeration, laplace, long_run, quadrature
from elbo_lab.models.base import Model
from elbo_lab.special import softmax

# Of the long run, as in `ladder`: references must not move with the seed of the study.
SEED = 20_210_705


def _enumerated(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Floats:
    z = enumeration.all_values(family, len(x))
    posterior = softmax(model.log_joint(theta, x, z), axis=0)
    return family.log_prob_vjp(eta, z, posterior)


def _integrated(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> tuple[Floats, Floats]:
    grad_eta, error = np.zeros((2, *eta.shape))
    for done, _, _, coarse, fine in quadrature.converged_grids(model, theta, x):
        by_coarse, by_fine = (
            family.log_prob_vjp(eta[done], nodes[:, None], softmax(log_weights, axis=0))
            for nodes, log_weights in (coarse, fine)
        )
        grad_eta[done], error[done] = by_fine, np.abs(by_fine - by_coarse)
    return grad_eta, error


def _proposal(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, rng: np.random.Generator
) -> Callable[[], tuple[Draws, Floats]]:
    """Return a function that draws a batch: z (S, N, ...) and its log-density (S, N) under the proposal."""
    if laplace.applies(model):
        proposal = laplace.Proposal(model, x)
        return lambda: proposal.draw(long_run.DRAWS_PER_BATCH, rng)

    def draws_of(member: Family, eta: Floats, n_draws: int) -> Draws:
        return member.sample(eta, draw_noise(member.noise_spec(n_draws, len(x)), rng))

    def from_q() -> tuple[Draws, Floats]:
        z = draws_of(family, eta, long_run.DRAWS_PER_BATCH)
        return z, family.log_prob(eta, z)

    prior = model.family
    if not (family.scores_foreign_z and family.shares_support(prior)):
        return from_q
    prior_eta = np.broadcast_to(model.prior_eta(theta), (len(x), prior.eta_size))

    def from_both() -> tuple[Draws, Floats]:
        half = long_run.DRAWS_PER_BATCH // 2
        z = np.concatenate([draws_of(family, eta, half), draws_of(prior, prior_eta, half)])
        return z, np.logaddexp(family.log_prob(eta, z), prior.log_prob(prior_eta, z)) - np.log(2.0)

    return from_both


def _sampled(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    draw = _proposal(model, theta, x, family, eta, rng)
    batches = []
    for _ in range(long_run.BATCHES):
        z, log_q = draw()
        weights = softmax(model.log_joint(theta, x, z) - log_q, axis=0)
        batches.append(family.log_prob_vjp(eta, z, weights))
    mean, error = long_run.batch_means(batches)
    return mean, error


def inclusive_gradient(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats
) -> tuple[Floats, Floats, str]:
    """Return the gradient of the mean of -KL(p(z | x_n) || q_n) over the rows.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    family : Family
    eta : ndarray (N, E)

    Returns
    -------
    grad_eta, error : ndarray (N, E)
    rung : str
    """
    if family == model.family:
        try:
            grad_eta = -family.kl_grad(model.posterior_eta(theta, x), eta)[1]
            return grad_eta / len(x), np.zeros(eta.shape), closed_form.RUNG
        except NotApplicable:
            pass
    if model.quadratic and family.gaussian:
        try:
            grad_eta = cubature.expected_score(model.family, model.posterior_eta(theta, x), family, eta)
            return grad_eta / len(x), np.zeros(eta.shape), cubature.RUNG
        except NotApplicable:
            pass
    if family.discrete:
        grad_eta, rung = _enumerated(model, theta, x, family, eta), enumeration.RUNG
        return grad_eta / len(x), np.zeros(eta.shape), rung
    if quadrature.applies(model):
        try:
            grad_eta, error = _integrated(model, theta, x, family, eta)
            return grad_eta / len(x), error / len(x), quadrature.RUNG
        except quadrature.ToleranceMissed:
            pass
    grad_eta, error = _sampled(model, theta, x, family, eta, np.random.default_rng(SEED))
    return grad_eta / len(x), error / len(x), long_run.RUNG
