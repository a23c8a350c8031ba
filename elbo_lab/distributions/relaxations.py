"""Relaxations: a discrete z as a threshold of continuous noise, and a smooth function in its place.

Bits (the binary Concrete distribution; Maddison et al. 2017, appendix B), with g = log((1 - u) / u) logistic:

    z = [l + g > 0],   y = sigmoid((l + g) / t),        dy / dl = y (1 - y) / t

Categories (Gumbel-softmax; Jang et al. 2017, eq. 2), with g_c = -log(-log u_c) Gumbel:

    z = one-hot(argmax_c (l_c + g_c)),   y = softmax((l + g) / t),   dy_c / dl_k = y_c ([c = k] - y_k) / t

As the temperature t falls to zero y becomes z, and its slope becomes zero almost everywhere and infinite at
the threshold. y and z come from the same noise: for bits it is that of `IndependentBernoulli.sample`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.categorical import Categorical
from elbo_lab.distributions.independent_bernoulli import IndependentBernoulli
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.special import sigmoid, softmax

if TYPE_CHECKING:
    from elbo_lab.models.base import Model


def inside(u: Floats) -> Floats:
    """Return uniforms strictly between zero and one: their logarithms must be finite."""
    half_step = 0.5 * np.finfo(u.dtype).epsneg
    return np.clip(u, half_step, 1.0 - 2.0 * half_step)


def logistic(u: Floats) -> Floats:
    """Return log((1 - u) / u), decreasing in u to agree with z = [u < p]."""
    u = inside(u)
    return np.log1p(-u) - np.log(u)


@dataclass(frozen=True)
class BinaryConcrete:
    """Relaxed bits; y and z are (..., S, N, K)."""

    family: IndependentBernoulli

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return self.family.noise_spec(n_draws, n_data)

    def relax(self, eta: Floats, noise: Floats, temperature: float) -> Floats:
        """Return y between zero and one."""
        return sigmoid((eta + logistic(noise)) / temperature)

    def relax_vjp(self, y: Floats, temperature: float, grad_y: Floats) -> Floats:
        """Pull grad_y back to the logits of each draw (..., S, N, K)."""
        return grad_y * y * (1.0 - y) / temperature

    def harden(self, eta: Floats, noise: Floats) -> Floats:
        """Return the z of the same noise, as floats."""
        return self.family.sample(eta, noise)

    def slope(self, model: "Model", theta: Floats, x: Floats, eta: Floats, y: Floats) -> Floats:
        """Return d [log p(x, y) - log q(y)] / dy (..., S, N, K)."""
        grad_y = model.log_joint_grad_z(theta, x, y, np.ones(y.shape[:-1], dtype=y.dtype))
        return grad_y - self.family.log_prob_grad_z(eta, y)


@dataclass(frozen=True)
class GumbelSoftmax:
    """Relaxed categories; y and z are indicators (..., S, N, C)."""

    family: Categorical

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return NoiseSpec("uniform", (n_draws, n_data, self.family.size))

    def _perturbed(self, eta: Floats, noise: Floats) -> Floats:
        return eta - np.log(-np.log(inside(noise)))

    def relax(self, eta: Floats, noise: Floats, temperature: float) -> Floats:
        """Return y, whose entries are positive and sum to one."""
        return softmax(self._perturbed(eta, noise) / temperature, axis=-1)

    def relax_vjp(self, y: Floats, temperature: float, grad_y: Floats) -> Floats:
        """Pull grad_y back to the logits of each draw (..., S, N, C)."""
        return y * (grad_y - (y * grad_y).sum(axis=-1, keepdims=True)) / temperature

    def harden(self, eta: Floats, noise: Floats) -> Floats:
        """Return the indicators of the category of the same noise."""
        return self.family.one_hot(self._perturbed(eta, noise).argmax(axis=-1))

    def slope(self, model: "Model", theta: Floats, x: Floats, eta: Floats, y: Floats) -> Floats:
        """Return d [log p(x, y) - log q(y)] / dy (..., S, N, C), both linear in y."""
        _, pullback = model.relaxed_likelihood(theta, x, y)
        _, grad_y = pullback(np.ones(y.shape[:-1], dtype=y.dtype))
        return grad_y + self.family.log_table(model.prior_eta(theta)) - self.family.log_table(eta)


def relaxation_of(family: Family) -> BinaryConcrete | GumbelSoftmax:
    """Return the relaxation of a discrete family.

    Raises
    ------
    NotApplicable
        For a family without one.
    """
    if isinstance(family, IndependentBernoulli):
        return BinaryConcrete(family)
    if isinstance(family, Categorical):
        return GumbelSoftmax(family)
    if not family.discrete:
        text = f"{family.name} z is continuous: there is nothing to relax"
        raise NotApplicable(text, Reason.NEEDS_DISCRETE)
    raise NotApplicable(f"{family.name} z has no relaxation", Reason.NO_RELAXATION)
