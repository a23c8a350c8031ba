"""Mixture of diagonal Gaussians: q(z) = sum_c pi_c N(z; m_c, diag(s_c^2)).

A draw has two steps: one number of the noise chooses the component, where it falls among the cumulative
weights, and the others give z = m_c + s_c eps. The density needs all components,

    log q(z) = log sum_c pi_c N(z; m_c, s_c^2),

whichever of them z came from. Let r_c(z) = pi_c N_c(z) / q(z) be the *responsibilities*. The score is

    d log q / d logits_c = r_c - pi_c,    d / d m_c = r_c (z - m_c) / s_c^2,
    d / d log s_c = r_c (((z - m_c) / s_c)^2 - 1)

**A path by implicit reparameterization.** z jumps where the choice of the component changes, so that the
slope of z at fixed noise misses the weights. But the law of z has another path. The conditional distribution
functions

    F_k(z_k | z_<k) = sum_c r_c(z_<k) Phi((z_k - m_ck) / s_ck),    r_c(z_<k) given the earlier coordinates

turn z into uniform numbers, and holding those fixed gives the velocity of z, one coordinate after the other
(Figurnov, Mohamed and Mnih 2018, section 2 and appendix):

    dz_k = -(dF_k / d eta  +  sum_{j<k} dF_k / dz_j  dz_j) / q(z_k | z_<k)

It is a function of z alone, smooth, and includes the logits. `sample_vjp` is the cost's slope times it, from
the last coordinate to the first. Where components lie far apart, z has to cross a gap of small density when a
weight moves, and the velocity there is large.

**Strata.** Every component has a plain path of its own, and an expectation under q is the weighted sum of
expectations under components, E_q f = sum_c pi_c E_c f. So exact integrals, and the stratified estimator
(`estimators.stratified`), never draw the component (`strata`, `stratum_vjp`).

The entropy has no formula. Exchanging two components changes nothing; with equal components no gradient would
set them apart, so a fit begins with different means.

Helps: a posterior with several modes, of which a single Gaussian covers one. Fails: entropy and KL must be
sampled; components that begin far from a mode may not find it, and two may share one.

Sources
-------
M. Figurnov, S. Mohamed, A. Mnih, "Implicit Reparameterization Gradients", NeurIPS 2018.
G. Roeder, Y. Wu, D. Duvenaud, "Sticking the Landing", NeurIPS 2017, section on mixtures.
W. Lin, M. E. Khan, M. Schmidt, "Fast and Simple Natural-Gradient Variational Inference with Mixture of
Exponential-family Approximations", ICML 2019, for `natural_step`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.diagonal_gaussian import DiagonalGaussian
from elbo_lab.distributions.independent import NO_DIVERGENCE
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.distributions.special_functions import ndtr, ndtri
from elbo_lab.errors import MOST_PARTS, NotApplicable, Reason, check_count
from elbo_lab.layout import Layout
from elbo_lab.special import LOG_2PI, log_softmax, log_sum_exp, softmax

NO_ENTROPY = "the entropy of a {} q has no closed form; estimate E_q[-log q] from draws"
# Means at which a fit begins lie within so many standard deviations of zero.
FIRST_SPREAD = 0.5


@dataclass(frozen=True)
class DiagonalGaussianMixture(Family):
    """Mixture over K dimensions; eta = (logits (C,), means (C, K), log standard deviations (C, K)).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    components : int
        C.
    """

    size: int
    components: int = 3
    name = "diagonal-gaussian-mixture"
    title = "mixture of diagonal Gaussians"
    synonyms = ("mixture-posterior",)
    discrete = False
    event_axes = 1
    closed_kl = False
    closed_entropy = False
    has_natural_step = True

    def __post_init__(self) -> None:
        check_count("components", self.components, maximum=MOST_PARTS)

    @property
    def eta_size(self) -> int:
        return self.components * (1 + 2 * self.size)

    @cached_property
    def eta_layout(self) -> Layout:
        table = (self.components, self.size)
        return Layout((("logits", (self.components,)), ("mean", table), ("log_std", table)))

    @cached_property
    def component(self) -> DiagonalGaussian:
        """The family of one component."""
        return DiagonalGaussian(self.size)

    @property
    def start(self) -> Floats:
        """Equal weights, standard deviations one, and means that differ."""
        grid = np.outer(np.arange(self.components) + 0.5, np.arange(self.size) + 1)
        means = FIRST_SPREAD * np.cos(np.pi * grid / self.components)
        return self.join(np.zeros(self.components), means, np.zeros_like(means))

    def split(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the views logits (..., C), means and log standard deviations (..., C, K) of eta."""
        c, table = self.components, (*eta.shape[:-1], self.components, self.size)
        middle = c * (1 + self.size)
        return eta[..., :c], eta[..., c:middle].reshape(table), eta[..., middle:].reshape(table)

    def join(self, logits: Floats, means: Floats, log_stds: Floats) -> Floats:
        """Return eta (..., E) from logits (..., C), means and log standard deviations (..., C, K)."""
        lead = logits.shape[:-1]
        return np.concatenate([logits, means.reshape(*lead, -1), log_stds.reshape(*lead, -1)], axis=-1)

    # -- draws -------------------------------------------------------------------------------------

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        """Normals: the first chooses the component by its distribution function, the others move z."""
        return NoiseSpec("normal", (n_draws, n_data, 1 + self.size))

    def _chosen(self, eta: Floats, noise: Floats) -> Integers:
        """Return the component (..., S, N) that the noise chooses."""
        ends = np.cumsum(softmax(self.split(eta)[0], axis=-1), axis=-1)[..., :-1]
        return (ndtr(noise[..., :1]) >= ends).sum(axis=-1)

    def _parameters_of(self, eta: Floats, chosen: Integers) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (..., S, N, K) of the chosen components."""
        _, means, log_stds = self.split(eta)
        row = np.broadcast_to(np.arange(len(eta)), chosen.shape) if len(eta) > 1 else 0
        return means[row, chosen], np.exp(log_stds[row, chosen])

    def sample(self, eta: Floats, noise: Floats) -> Floats:
        """Return z = m_c + s_c eps (..., S, N, K), c chosen by the first number of the noise."""
        mean, std = self._parameters_of(eta, self._chosen(eta, noise))
        return mean + std * noise[..., 1:]

    def sample_vjp(self, eta: Floats, noise: Floats, grad_z: Floats) -> Floats:
        """Pull grad_z (..., S, N, K) back along the implicit path, summed over draws: (..., N, E).

        With a_k the whole cotangent of z_k, that of the conditional distribution function is -a_k / q_k. It
        reaches the component's mean and scale with weight r_c(z_<=k), and by way of r_c(z_<k) the logits and
        the log densities of all earlier coordinates, through

            B_ck = -a_k r_c(z_<k) (Phi_ck - F_k) / q_k
        """
        z = self.sample(eta, noise)
        _, means, log_stds = self.split(eta)
        stds = np.exp(log_stds)
        u = (z[..., None, :] - means) / stds  # (..., S, N, C, K)
        log_terms = -0.5 * (u * u + LOG_2PI) - log_stds
        before = self._log_weights_before(eta, log_terms)
        earlier = softmax(before, axis=-2)  # r_c(z_<k)
        log_density = log_sum_exp(before + log_terms, axis=-2) - log_sum_exp(before, axis=-2)  # log q_k
        share = softmax(before + log_terms, axis=-2)  # r_c(z_<=k)
        # Of the two tails of F_k the smaller keeps its digits.
        lower, upper = ndtr(u), ndtr(-u)
        below, above = ((earlier * tail).sum(axis=-2, keepdims=True) for tail in (lower, upper))
        excess = earlier * np.where(below < above, lower - below, above - upper)
        excess *= np.exp(-log_density)[..., None, :]
        by_log_terms = np.zeros(u.shape[:-1])  # (..., S, N, C), of the log densities so far
        shape = np.broadcast_shapes(u.shape, grad_z[..., None, :].shape)
        by_means, by_log_stds = np.empty(shape), np.empty(shape)
        for k in range(self.size - 1, -1, -1):
            u_k, s_k = u[..., k], stds[..., k]
            a_k = grad_z[..., k] - (by_log_terms * u_k / s_k).sum(axis=-1)
            moved = a_k[..., None] * share[..., k]
            by_means[..., k] = moved + by_log_terms * u_k / s_k
            by_log_stds[..., k] = moved * s_k * u_k + by_log_terms * (u_k * u_k - 1.0)
            by_log_terms = by_log_terms - a_k[..., None] * excess[..., k]
        summed = (by_log_terms.sum(axis=-3), by_means.sum(axis=-4), by_log_stds.sum(axis=-4))
        return self.join(*summed).astype(grad_z.dtype, copy=False)

    def _log_weights_before(self, eta: Floats, log_terms: Floats) -> Floats:
        """Return log (pi_c N_c(z_<k)) (..., C, K) from the log densities of all coordinates."""
        log_pi = log_softmax(self.split(eta)[0], axis=-1)
        return log_pi[..., None] + np.cumsum(log_terms, axis=-1) - log_terms

    # -- component by component ----------------------------------------------------------------------

    def weights(self, eta: Floats) -> Floats:
        """Return pi (N, C)."""
        return softmax(self.split(eta)[0], axis=-1)

    def stratum_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return self.component.noise_spec(n_draws, n_data)

    @property
    def n_strata(self) -> int:
        return self.components

    def stratum(self, eta: Floats, noise: Floats, number: int) -> tuple[Floats, Floats]:
        """Return the weight (N,) of a component, and noise (..., S, N, 1 + K) that chooses it."""
        weights = self.weights(eta)
        share = weights[:, number]
        # The middle of the component's interval; one of no width has no weight either.
        middle = weights[:, :number].sum(axis=-1) + 0.5 * share
        first = ndtri(np.clip(middle, 1e-300, 1.0 - 1e-16)).astype(noise.dtype)
        shape = np.broadcast_shapes(noise.shape[:-1], first.shape)
        chooses = np.broadcast_to(first, shape)[..., None]
        return share, np.concatenate([chooses, np.broadcast_to(noise, (*shape, self.size))], axis=-1)

    def stratum_vjp(self, eta: Floats, noise: Floats, values: Floats, grad_z: Floats) -> Floats:
        """Return the cotangent of eta (..., N, E) where the components are summed over.

        The weight of a component changes by d log pi_c / d logits = 1[c] - pi, and z moves with its own
        component.
        """
        chosen = self._chosen(eta, noise)
        own = (chosen[..., None] == np.arange(self.components)).astype(grad_z.dtype)
        _, std = self._parameters_of(eta, chosen)
        by_logits = (values[..., None] * (own - self.weights(eta))).sum(axis=-3)
        by_means = np.einsum("...snc,...snk->...nck", own, grad_z)
        by_log_stds = np.einsum("...snc,...snk->...nck", own, grad_z * std * noise[..., 1:])
        return self.join(by_logits, by_means, by_log_stds)

    # -- log q -------------------------------------------------------------------------------------

    def _standardised(self, eta: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Return u = (z - m_c) / s_c (..., S, N, C, K) and log (pi_c N_c(z)) (..., S, N, C)."""
        logits, means, log_stds = self.split(eta)
        u = (z[..., None, :] - means) * np.exp(-log_stds)
        constant = log_stds.sum(axis=-1) + 0.5 * self.size * LOG_2PI
        log_n = -0.5 * (u * u).sum(axis=-1) - constant
        return u, log_softmax(logits, axis=-1) + log_n

    def log_prob(self, eta: Floats, z: Floats) -> Floats:
        """Return log sum_c pi_c N_c(z) (..., S, N)."""
        return log_sum_exp(self._standardised(eta, z)[1], axis=-1)

    def responsibilities(self, eta: Floats, z: Floats) -> Floats:
        """Return r_c(z) = pi_c N_c(z) / q(z) (..., S, N, C)."""
        return softmax(self._standardised(eta, z)[1], axis=-1)

    def log_prob_vjps(self, eta: Floats, z: Floats, cotangent: Floats) -> tuple[Floats, Floats]:
        u, log_terms = self._standardised(eta, z)
        scaled = u * np.exp(-self.split(eta)[2])
        shares = cotangent[..., None] * softmax(log_terms, axis=-1)
        by_z = -(shares[..., None] * scaled).sum(axis=-2)
        by_logits = (shares - cotangent[..., None] * self.weights(eta)).sum(axis=-3)
        by_means = (shares[..., None] * scaled).sum(axis=-4)
        by_log_stds = (shares[..., None] * (u * u - 1.0)).sum(axis=-4)
        return self.join(by_logits, by_means, by_log_stds), by_z

    def log_prob_vjp(self, eta: Floats, z: Floats, cotangent: Floats) -> Floats:
        return self.log_prob_vjps(eta, z, cotangent)[0]

    def log_prob_grad_z(self, eta: Floats, z: Floats) -> Floats:
        """Return -sum_c r_c (z - m_c) / s_c^2 (..., S, N, K)."""
        u, log_terms = self._standardised(eta, z)
        scaled = u * np.exp(-self.split(eta)[2])
        return -(softmax(log_terms, axis=-1)[..., None] * scaled).sum(axis=-2)

    def score(self, eta: Floats, z: Floats) -> Floats:
        """Return d log q / d eta (..., S, N, E)."""
        u, log_terms = self._standardised(eta, z)
        shares = softmax(log_terms, axis=-1)
        by_means = shares[..., None] * u * np.exp(-self.split(eta)[2])
        return self.join(shares - self.weights(eta), by_means, shares[..., None] * (u * u - 1.0))

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (N, K): sum pi_c m_c, root of sum pi_c (s_c^2 + (m_c - m)^2)."""
        _, means, log_stds = self.split(eta)
        weights = self.weights(eta)[..., None]
        mean = (weights * means).sum(axis=-2)
        spread = (means - mean[..., None, :]) ** 2
        return mean, np.sqrt((weights * (np.exp(2.0 * log_stds) + spread)).sum(axis=-2))

    # -- what has no closed form ---------------------------------------------------------------------

    def entropy(self, eta: Floats) -> Floats:  # noqa: ARG002 - the signature is the contract
        raise NotApplicable(NO_ENTROPY.format(self.name), Reason.NEEDS_ENTROPY)

    def entropy_grad(self, eta: Floats) -> Floats:  # noqa: ARG002
        raise NotApplicable(NO_ENTROPY.format(self.name), Reason.NEEDS_ENTROPY)

    def kl(self, eta: Floats, other: Floats) -> Floats:  # noqa: ARG002
        raise NotApplicable(NO_DIVERGENCE.format(self.name), Reason.NEEDS_CLOSED_KL)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:  # noqa: ARG002
        raise NotApplicable(NO_DIVERGENCE.format(self.name), Reason.NEEDS_CLOSED_KL)

    # -- other members -------------------------------------------------------------------------------

    def near(self, eta: Floats) -> Floats:
        """Return every component moved by half a standard deviation and narrowed to 0.8 of it."""
        logits, means, log_stds = self.split(eta)
        return self.join(logits, means + 0.5 * np.exp(log_stds), log_stds + np.log(0.8))

    def natural_step(self, eta: Floats, gradient: Floats, rate: float) -> Floats:
        """Return the step by the Fisher matrix of component and draw jointly, not of the draw alone.

        The mixture is no exponential family, but the pair (c, z) is one: log q(c, z) = log pi_c + log N_c(z).
        Its Fisher matrix has a block for the weights and one for each component, pi_c times that of the
        Gaussian (Lin, Khan and Schmidt 2019, section 3). So each component takes the Gaussian's step along
        gradient / pi_c, and logits <- logits + rate (d/d logits) / pi.
        """
        logits, means, log_stds = self.split(eta)
        weights = np.maximum(self.weights(eta), np.finfo(np.float64).tiny)
        by_logits, by_means, by_log_stds = self.split(gradient)
        slopes = self.component.join(by_means, by_log_stds) / weights[..., None]
        moved = self.component.natural_step(self.component.join(means, log_stds), slopes, rate)
        return self.join(logits + rate * by_logits / weights, *self.component.split(moved))
