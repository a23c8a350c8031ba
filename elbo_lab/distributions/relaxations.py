"""Relaxations: a discrete z as a threshold of continuous noise, and a smooth function in its place.

Bits (the binary Concrete distribution; Maddison et al. 2017, appendix B), with g = log((1 - u) / u) logistic:

    z = [l + g > 0],   y = sigmoid((l + g) / t),        dy / dl = y (1 - y) / t

Categories (Gumbel-softmax; Jang et al. 2017, eq. 2), with g_c = -log(-log u_c) Gumbel:

    z = one-hot(argmax_c (l_c + g_c)),   y = softmax((l + g) / t),   dy_c / dl_k = y_c ([c = k] - y_k) / t

Several categories (`CategoricalVector`) have a y on a simplex for each, side by side in one row.

As the temperature t falls to zero y becomes z, and its slope becomes zero almost everywhere and infinite at
the threshold. y and z come from the same noise: for bits it is that of `IndependentBernoulli.sample`.

**Given z.** A pair has a second y~, from the continuous variables behind z given the z that was drawn. For
bits with s = 2 z - 1, v uniform (Tucker et al. 2017, section 3 and appendix; a truncated logistic, inverted):

    zeta~ = s (softplus(s l + log(1 - v)) - log v),   dzeta~ / dl = sigmoid(s l + log(1 - v))

For categories with p = softmax(l) and zeta = log p + g the largest has a standard Gumbel law, whatever its
place z, and the others are Gumbels below it (Maddison et al. 2014; Tucker et al. 2017, appendix):

    zeta~_z = -log(-log v_z),                       dzeta~_z / dlog p = 0
    zeta~_c = -log(-log v_z + e_c) for other c,     dzeta~_c / dlog p_c = e_c / (e_c - log v_z)

with e_c = -log(v_c) / p_c.

Averaged over z both have the law of zeta, and y~ moves with l while z is held fixed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.categorical import Categorical
from elbo_lab.distributions.categorical_vector import CategoricalVector
from elbo_lab.distributions.independent_bernoulli import IndependentBernoulli
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.special import log_softmax, sigmoid, softmax, softplus

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


class Path(NamedTuple):
    """The derivative of a relaxed y in the logits l: a matrix for each draw, as two functions of vectors.

    Attributes
    ----------
    pull : callable
        grad_y -> (dy/dl)^T grad_y.
    push : callable
        change of l -> (dy/dl) change.
    """

    pull: Callable[[Floats], Floats]
    push: Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class ConditionalPair:
    """A discrete z, its relaxation y, and another one y~ drawn given z.

    Attributes
    ----------
    b : ndarray
        z, as the family has it.
    y, y_given : ndarray (..., S, N, width)
    path, path_given : Path
        Of y, and of y~ with z held fixed.
    """

    b: Draws
    y: Floats
    y_given: Floats
    path: Path
    path_given: Path


def _diagonal(slope: Floats) -> Path:
    """Return the Path of a y whose coordinates each have a logit of their own."""
    return Path(lambda grad_y: grad_y * slope, lambda change: change * slope)


@dataclass(frozen=True)
class BinaryConcrete:
    """Relaxed bits; y and z are (..., S, N, K)."""

    family: IndependentBernoulli

    @property
    def width(self) -> int:
        """Numbers in one y."""
        return self.family.size

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

    def mean_vjp(self, eta: Floats, grad_y: Floats) -> Floats:
        """Pull grad_y back through the mean of z, p = sigmoid(l)."""
        return grad_y * sigmoid(eta) * sigmoid(-eta)

    def pair(self, eta: Floats, noise: Floats, temperature: float) -> ConditionalPair:
        """Return the ConditionalPair of logits (N, K) and noise (..., S, N, K, 2)."""
        u, v = noise[..., 0], inside(noise[..., 1])
        b = self.family.sample(eta, u)
        sign = 2.0 * b - 1.0
        within = sign * eta + np.log1p(-v)
        y = sigmoid((eta + logistic(u)) / temperature)
        y_given = sigmoid(sign * (softplus(within) - np.log(v)) / temperature)
        path = y * (1.0 - y) / temperature
        path_given = y_given * (1.0 - y_given) / temperature * sigmoid(within)
        return ConditionalPair(b, y, y_given, _diagonal(path), _diagonal(path_given))

    def value(self, model: "Model", theta: Floats, x: Floats, eta: Floats, y: Floats) -> Floats:
        """Return log p(x, y) - log q(y) (..., S, N), by the formulas of bits."""
        return model.log_joint(theta, x, y) - self.family.log_prob(eta, y)

    def slope(self, model: "Model", theta: Floats, x: Floats, eta: Floats, y: Floats) -> Floats:
        """Return d [log p(x, y) - log q(y)] / dy (..., S, N, K)."""
        grad_y = model.log_joint_grad_z(theta, x, y, np.ones(y.shape[:-1], dtype=y.dtype))
        return grad_y - self.family.log_prob_grad_z(eta, y)


@dataclass(frozen=True)
class GumbelSoftmax:
    """Relaxed categories; y and the indicators of z are (..., S, N, C), of K variables (..., S, N, K C)."""

    family: Categorical | CategoricalVector

    @property
    def width(self) -> int:
        """Numbers in one y."""
        return self.family.eta_size

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return NoiseSpec("uniform", (n_draws, n_data, self.width))

    def _blocks(self, rows: Floats) -> Floats:
        """Return (..., variables, C): each simplex in a row of its own."""
        n_variables = self.family.size if self.family.event_axes else 1
        return rows.reshape(*rows.shape[:-1], n_variables, self.width // n_variables)

    def _joined(self, blocks: Floats) -> Floats:
        return blocks.reshape(*blocks.shape[:-2], self.width)

    def _soft(self, zeta: Floats, temperature: float) -> Floats:
        return self._joined(softmax(self._blocks(zeta / temperature), axis=-1))

    def _sums(self, rows: Floats) -> Floats:
        """Return the sum over each simplex, at every one of its corners."""
        blocks = self._blocks(rows)
        return self._joined(np.broadcast_to(blocks.sum(axis=-1, keepdims=True), blocks.shape))

    def _perturbed(self, eta: Floats, noise: Floats) -> Floats:
        return eta - np.log(-np.log(inside(noise)))

    def relax(self, eta: Floats, noise: Floats, temperature: float) -> Floats:
        """Return y, whose entries are positive and sum to one for each variable."""
        return self._soft(self._perturbed(eta, noise), temperature)

    def relax_vjp(self, y: Floats, temperature: float, grad_y: Floats) -> Floats:
        """Pull grad_y back to the logits of each draw; the matrix is symmetric, and pushes as well."""
        return y * (grad_y - self._sums(y * grad_y)) / temperature

    def drawn(self, eta: Floats, noise: Floats) -> Integers:
        """Return the z of the same noise, as the family has it: the place of the largest."""
        z = self._blocks(self._perturbed(eta, noise)).argmax(axis=-1)
        return z if self.family.event_axes else z[..., 0]

    def harden(self, eta: Floats, noise: Floats) -> Floats:
        """Return the indicators of the z of the same noise."""
        return self.family.one_hot(self.drawn(eta, noise))

    def mean_vjp(self, eta: Floats, grad_y: Floats) -> Floats:
        """Pull grad_y back through the mean of the indicators, p = softmax(l)."""
        return self.relax_vjp(self._soft(eta, 1.0), 1.0, grad_y)

    def pair(self, eta: Floats, noise: Floats, temperature: float) -> ConditionalPair:
        """Return the ConditionalPair of logits (N, width) and noise (..., S, N, width, 2)."""
        u, v = noise[..., 0], inside(noise[..., 1])
        log_p = self._joined(log_softmax(self._blocks(eta), axis=-1))
        p = np.exp(log_p)
        z = self.drawn(eta, u)
        top = self.family.one_hot(z) > 0.5
        # Of every variable log(-log v_z), at all of its corners; the others add their own, in logarithms.
        log_rate = np.log(-np.log(v))
        log_top = self._sums(np.where(top, log_rate, 0.0))
        log_own = log_rate - log_p
        zeta = -np.where(top, log_top, np.logaddexp(log_own, log_top))
        share = np.where(top, 0.0, np.exp(log_own + zeta))
        y, y_given = self.relax(eta, u, temperature), self._soft(zeta, temperature)

        def pull(grad_y: Floats) -> Floats:
            by_log_p = share * self.relax_vjp(y_given, temperature, grad_y)
            return by_log_p - p * self._sums(by_log_p)

        def push(change: Floats) -> Floats:
            return self.relax_vjp(y_given, temperature, share * (change - self._sums(p * change)))

        def soft(vector: Floats) -> Floats:
            return self.relax_vjp(y, temperature, vector)

        return ConditionalPair(z, y, y_given, Path(soft, soft), Path(pull, push))

    def value(self, model: "Model", theta: Floats, x: Floats, eta: Floats, y: Floats) -> Floats:
        """Return log p(x, y) - log q(y) (..., S, N), the masses extended to shares of categories."""
        by_share = self.family.log_table(model.prior_eta(theta)) - self.family.log_table(eta)
        return model.relaxed_likelihood(theta, x, y)[0] + (y * by_share).sum(axis=-1)

    def slope(self, model: "Model", theta: Floats, x: Floats, eta: Floats, y: Floats) -> Floats:
        """Return d [log p(x, y) - log q(y)] / dy; the last two terms are linear in y."""
        _, pullback = model.relaxed_likelihood(theta, x, y)
        _, grad_y = pullback(np.ones(y.shape[:-1], dtype=y.dtype))
        return grad_y + self.family.log_table(model.prior_eta(theta)) - self.family.log_table(eta)


Relaxation = BinaryConcrete | GumbelSoftmax


def relaxation_of(family: Family) -> Relaxation:
    """Return the relaxation of a discrete family.

    Raises
    ------
    NotApplicable
        For a family without one.
    """
    if isinstance(family, IndependentBernoulli):
        return BinaryConcrete(family)
    if isinstance(family, (Categorical, CategoricalVector)):
        return GumbelSoftmax(family)
    if not family.discrete:
        text = f"{family.name} z is continuous: there is nothing to relax"
        raise NotApplicable(text, Reason.NEEDS_DISCRETE)
    raise NotApplicable(f"{family.name} z has no relaxation", Reason.NO_RELAXATION)
