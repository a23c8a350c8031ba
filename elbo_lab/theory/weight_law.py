"""How many draws does p(x) need? The variance of one importance weight, and the KL that no variance tells.

With draws z_s of a proposal q and weights w = p(x, z) / q(z), E_q w = p(x), the mean of S weights has the
relative variance V / S,

    V = E_q[w^2] / p(x)^2 - 1 = E_q[(p(z | x) / q(z))^2] - 1,

the chi-square divergence of the posterior from the proposal. To first order log p-hat is off by
sqrt(V / S) nats, and by -V / (2 S) in the mean (Owen 2013, chapter 9): S = V / within^2 draws bring its
standard deviation down to `within`. For a Gaussian posterior and proposal, with d the mean and r_k the
variances of the posterior along its axes, in coordinates in which q is N(0, I),

    log(1 + V)     = sum_k [d_k^2 / (2 - r_k) - log(r_k (2 - r_k)) / 2],     infinite unless all r_k < 2
    KL(post || q)  = sum_k [r_k + d_k^2 - 1 - log r_k] / 2

(the Renyi divergence of order 2: Gil, Alajaji and Linder 2013, table 2). Discrete z are summed. One or two
continuous latents under a Gaussian prior and proposal are integrated: p(z)^2 / q(z) is C N(z; m, A^-1) with
the precision A = 2 A_prior - A_q, and E_q[w^2] = C E[p(x | z)^2] is an evidence again, under another prior
and the squared likelihood. Unless A is positive definite, q is too narrow in some direction; then E_q[w^2] is
infinite if the likelihood does not fall fast enough there, and otherwise it is not known here.

An infinite variance does not mean that sampling fails: about exp(KL(p(z | x) || q)) draws are needed and
enough, up to factors of the exponential of the spread of log w under the posterior (Chatterjee and Diaconis
2018, theorem 1.1); what is infinite is the error's variance, for rare draws with huge weights.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import FullGaussian
from elbo_lab.distributions.base import Family
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import Problem
from elbo_lab.exact import closed_form, enumeration, quadrature
from elbo_lab.models import Model
from elbo_lab.models.linear_gaussian import LinearGaussian
from elbo_lab.special import log1mexp, log_softmax, log_sum_exp, softmax

# Distances from the centre of q, in its standard deviations, at which a tail is looked at.
FAR = (1e2, 1e3, 1e4)


@dataclass(frozen=True, eq=False)
class WeightLaw:
    """What one importance weight of a proposal is like, for each datum.

    Attributes
    ----------
    log_square : ndarray (N,) or None
        log(1 + V) = log E w^2 - 2 log E w, in nats; inf where the variance is infinite, None if not known.
    kl : ndarray (N,)
        KL(p(z | x) || proposal), in nats.
    rung : {'closed-form', 'enumeration', 'quadrature'}
    unknown : str
        Why the variance is not known.
    """

    log_square: Floats | None
    kl: Floats
    rung: str
    unknown: str = ""

    def log10_draws(self, within: float) -> Floats | None:
        """Return log10 of the draws (N,) for a standard deviation of log p-hat of `within` nats; at least 1.

        As logarithms, since there may be more draws than a float can hold.
        """
        if self.log_square is None:
            return None
        square = np.maximum(self.log_square, 1e-300)  # of the posterior itself one draw is enough
        log_variance = square + log1mexp(square)
        return np.maximum(log_variance / np.log(10.0) - 2.0 * np.log10(within), 0.0)


def check_known(model: Model) -> None:
    """Refuse a model of which no proposal has a known law of the weights."""
    if not (enumeration.applies(model) or model.quadratic or quadrature.applies(model)):
        needs = "a linear Gaussian model, a discrete z, or one or two latents"
        raise NotApplicable(f"the weights of {model.label} are not known exactly: that takes {needs}")


def weight_laws(problem: Problem) -> tuple[WeightLaw, WeightLaw]:
    """Return the laws of the weights of draws from the prior and from the q of a problem.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    from_prior, from_q : WeightLaw

    Raises
    ------
    NotApplicable
        If the posterior has no closed form, sum or grid: three continuous latents or more under a network.
    """
    model, posterior, theta, phi, x = problem
    check_known(model)
    prior_eta = np.broadcast_to(model.prior_eta(theta), (len(x), model.family.eta_size))
    proposals = (model.family, prior_eta), (posterior.family, posterior.eta(phi, x))
    if enumeration.applies(model):
        first, second = (_enumerated(model, theta, x, *proposal) for proposal in proposals)
    elif model.quadratic and posterior.family.gaussian:
        first, second = (_gaussian(model, theta, x, *proposal) for proposal in proposals)
    elif quadrature.applies(model):
        try:
            first, second = _integrated(model, theta, x, proposals)
        except quadrature.ToleranceMissed:
            raise NotApplicable("not known exactly: quadrature misses its tolerance") from None
    else:
        raise NotApplicable(f"not known exactly under a {posterior.family.name} q")
    return first, second


def _enumerated(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> WeightLaw:
    z = enumeration.all_values(family, len(x))
    log_joint, log_q = model.log_joint(theta, x, z), family.log_prob(eta, z)
    log_posterior = log_softmax(log_joint, axis=0)
    log_ratio = log_posterior - log_q
    kl = (np.exp(log_posterior) * log_ratio).sum(axis=0)
    return WeightLaw(log_sum_exp(log_posterior + log_ratio, axis=0), kl, enumeration.RUNG)


# -- Gaussian posteriors ---------------------------------------------------------------------------


def _factor(family: Family, eta: Floats) -> tuple[Floats, Floats]:
    """Return mean (N, K) and factor L (N, K, K) of a Gaussian."""
    full = FullGaussian(family.size)
    eta = eta if isinstance(family, FullGaussian) else full.from_diagonal(eta)
    return full.split(eta)[0], full.factor(eta)


def _gaussian(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> WeightLaw:
    if isinstance(model, LinearGaussian):
        posterior_mean, covariance = model.posterior_moments(theta, x)
    else:
        posterior_mean, std = model.posterior_mean_and_std(theta, x)
        covariance = std[..., None] ** 2 * np.eye(model.latent_dim)
    mean, factor = _factor(family, eta)
    # In the coordinates of q: the variances along the axes of the posterior, and its mean.
    inverse = np.linalg.inv(factor)
    variances, axes = np.linalg.eigh(inverse @ covariance @ np.swapaxes(inverse, -1, -2))
    shift = np.einsum("nik,nij,nj->nk", axes, inverse, posterior_mean - mean) ** 2
    rest = 2.0 - variances
    with np.errstate(divide="ignore", invalid="ignore"):
        log_square = (shift / rest - 0.5 * np.log(variances * rest)).sum(axis=-1)
    log_square = np.where((rest > 0.0).all(axis=-1), log_square, np.inf)
    kl = 0.5 * (variances + shift - 1.0 - np.log(variances)).sum(axis=-1)
    return WeightLaw(log_square, kl, closed_form.RUNG)


# -- one or two latents ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Squared:
    """The parts of a model that `quadrature.log_evidence` needs: p(x | z)^2 under a prior of its own."""

    model: Model
    family: Family
    eta: Floats

    @property
    def latent_dim(self) -> int:
        return self.model.latent_dim

    def laid_over(self, theta: Floats, x: Floats) -> "_Squared":  # noqa: ARG002 - the prior covers z
        return self

    def prior_eta(self, theta: Floats) -> Floats:  # noqa: ARG002
        return self.eta

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, None]:
        return 2.0 * self.model.likelihood(theta, x, z)[0], None

    def log_joint(self, theta: Floats, x: Floats, z: Draws) -> Floats:
        return self.likelihood(theta, x, z)[0] + self.family.log_prob(self.eta, z)


def _square_of_prior(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Floats:
    """Return log E w^2 (N,) under the prior: no tail of a likelihood that is bounded can make it infinite."""
    return quadrature.log_evidence(cast(Model, _Squared(model, family, eta[:1])), theta, x)[0]


def _square_of_q(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Floats:
    """Return log E w^2 (N,) under a q."""
    if not (family.gaussian and model.family.gaussian):
        raise NotApplicable(f"not known exactly under a {family.name} q")
    full, square = FullGaussian(family.size), np.empty(len(x))
    prior_mean, prior_factor = _factor(model.family, np.atleast_2d(model.prior_eta(theta)))
    mean, factor = _factor(family, eta)
    prior_precision, precision = (np.linalg.inv(f @ np.swapaxes(f, -1, -2)) for f in (prior_factor, factor))
    tilted = 2.0 * prior_precision - precision
    pull = 2.0 * (prior_precision @ prior_mean[..., None]) - precision @ mean[..., None]
    least, axes = np.linalg.eigh(tilted)
    for n in range(len(x)):
        row = slice(n, n + 1)
        if least[n, 0] <= 0.0:
            _check_rises(model, theta, x[row], family, eta[row], axes[n, :, 0])
            square[n] = np.inf
            continue
        centre = np.linalg.solve(tilted[row], pull[row])[..., 0]
        own = full.closest_to(centre, tilted[row])
        constant = (
            2.0 * model.log_prior(theta, centre[None])
            - family.log_prob(eta[row], centre[None])
            - full.log_prob(own, centre[None])
        )
        squared = cast(Model, _Squared(model, full, own))
        square[row] = quadrature.log_evidence(squared, theta, x[row])[0] + constant[0]
    return square


def _check_rises(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, direction: Floats
) -> None:
    """Raise unless w^2 q rises without end along a direction (K,) in which q is too narrow."""
    z = np.array(FAR)[:, None, None] * direction
    for side in (z, -z):
        with np.errstate(all="ignore"):
            log_square = (2.0 * model.log_joint(theta, x, side) - family.log_prob(eta, side))[:, 0]
        if (log_square[1:] > log_square[:-1]).all():  # -inf, which is no rise, twice has no difference
            return
    raise NotApplicable("not known: the likelihood may make up for the light tails of q")


def _integrated(
    model: Model, theta: Floats, x: Floats, proposals: tuple[tuple[Family, Floats], ...]
) -> list[WeightLaw]:
    log_p, kls = np.empty(len(x)), np.empty((len(proposals), len(x)))
    for done, value, _, _, (nodes, log_weights) in quadrature.converged_grids(model, theta, x):
        shares, z, log_p[done] = softmax(log_weights, axis=0), nodes[:, None], value
        log_joint = model.log_joint(theta, x[done], z)
        for kl, (family, eta) in zip(kls, proposals, strict=True):
            terms = np.where(shares > 0.0, shares * (log_joint - family.log_prob(eta[done], z)), 0.0)
            kl[done] = terms.sum(axis=0) - value
    laws = []
    for square_of, kl, proposal in zip((_square_of_prior, _square_of_q), kls, proposals, strict=True):
        try:
            square = square_of(model, theta, x, *proposal)
            laws.append(WeightLaw(square - 2.0 * log_p, kl, quadrature.RUNG))
        except (NotApplicable, quadrature.ToleranceMissed) as reason:
            missed = "not known exactly: quadrature misses its tolerance"
            laws.append(WeightLaw(None, kl, quadrature.RUNG, str(reason) or missed))
    return laws
