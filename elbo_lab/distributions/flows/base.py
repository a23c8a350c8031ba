"""Normalizing flows: a Gaussian draw, moved by invertible layers.

    z = T_L( ... T_1(y_0)),   y_0 = m + s eps,   y_l = T_l(y_{l-1})
    log q(z) = log N(y_0; m, s^2) - sum_l log |det dT_l / dy_{l-1}|

(Rezende and Mohamed 2015, eqs. 5 to 7.) Each layer stretches space in one place and shrinks it in another,
and the determinant keeps the density normalised. A q of this kind can be bent, skewed or have several modes,
where a Gaussian has one ellipse. A layer is chosen so that its determinant is cheap, and so that it can be
undone: log q at a z from elsewhere needs y_0.

eta = (m, log s, weights of the layers). The weights are counted from fixed first weights: at eta = 0 every
layer is the identity and q is N(0, I), and yet no saddle, since the gradient of what is zero there meets
features that are not. Under an encoder m and s depend on the datum, and all data share the weights.

The derivatives. With by_y the cotangent of y_{l-1} and J = dT_l / dy_{l-1}, a draw with frozen noise goes
backward from z to the noise (`Moved.pullback`, J^T). Log q at a fixed z goes the other way, from y_0 up to z:
y_{l-1} is then a function of y_l and of the weights w, and from T_l(y_{l-1}; w) = y_l

    by_y_l = J^-T (by_y_{l-1} - d log |det J| / dy_{l-1}),
    by_w = -(dT_l / dw)^T by_y_l - d log |det J| / dw

No inverse is differentiated, however it was computed. At y_L = z the cotangent is the slope d log q / dz, and
the `sticking-the-landing` estimator with it is the path gradient of a flow (Agrawal et al. 2020, section 4;
Vaitl et al. 2022).

Fails: entropy, KL and moments have no formula, and a flow of many layers costs as many networks per
draw. A continuous map cannot tear the Gaussian apart: between two modes a thin bridge of density remains.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.diagonal_gaussian import DiagonalGaussian
from elbo_lab.distributions.independent import NO_DIVERGENCE
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.distributions.points import moments_by_points
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.layout import Layout

Weights = dict[str, Floats]
"""One layer's weights of each datum by name, each (N, *shape)."""

NO_ENTROPY = "{} has no closed-form entropy; estimate E_q[-log q] from draws"

# The fractions of its multiples fill (0, 1) evenly.
GOLDEN = (5.0**0.5 - 1.0) / 2.0


def first_normals(count: int, start: int) -> Floats:
    """Return `count` fixed numbers, spread as standard normals are, from number `start` of one sequence."""
    return scipy.special.ndtri((0.5 + GOLDEN * np.arange(start + 1, start + 1 + count)) % 1.0)


def transposed(a: Floats) -> Floats:
    """Return a (..., i, j) as (..., j, i): of matrices, or of draws and data."""
    return np.swapaxes(a, -1, -2)


class Moved(NamedTuple):
    """What a layer makes of y (..., N, S, K), and its derivatives there.

    Draws stand behind data here, so that the weights of a datum multiply a matrix of its draws.

    Attributes
    ----------
    z : ndarray (..., N, S, K)
    log_det : ndarray (..., N, S)
        log |det dz / dy|.
    log_det_slope : ndarray (..., N, S, K)
        d log_det / dy.
    pullback : callable
        Cotangents of z and of log_det -> those of y, and of the weights (..., N, W), summed over draws.
    solve : callable
        J^-T applied to a cotangent (..., N, S, K), J = dz / dy.
    """

    z: Floats
    log_det: Floats
    log_det_slope: Floats
    pullback: Callable[[Floats, Floats], tuple[Floats, Floats]]
    solve: Callable[[Floats], Floats]


class Layer(ABC):
    """One invertible layer; immutable, holds shapes only."""

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """Names and shapes of its weights."""

    @abstractmethod
    def first_weights(self, start: int) -> Floats:
        """Return the weights (W,) of eta = 0: the identity. `start` sets the layers of a flow apart."""

    @abstractmethod
    def forward(self, weights: Weights, y: Floats) -> Moved:
        """Move y (..., N, S, K)."""

    @abstractmethod
    def inverse(self, weights: Weights, z: Floats) -> Floats:
        """Return the y (..., N, S, K) that the layer moves to z."""


class Flow(Family):
    """A diagonal Gaussian, moved by layers.

    Attributes
    ----------
    size : int
        K.
    layers : int
        L.
    steps : tuple of Layer
    """

    size: int
    layers: int
    discrete = False
    event_axes = 1
    closed_kl = False
    closed_entropy = False

    @property
    @abstractmethod
    def steps(self) -> tuple[Layer, ...]: ...

    @cached_property
    def base(self) -> DiagonalGaussian:
        """The family of y_0."""
        return DiagonalGaussian(self.size)

    @property
    def eta_size(self) -> int:
        return self.eta_layout.size

    @property
    def shared_size(self) -> int:
        return self.eta_size - self.base.eta_size

    @cached_property
    def eta_layout(self) -> Layout:
        entries = self.base.eta_layout.entries
        for number, step in enumerate(self.steps, start=1):
            entries += step.layout.prefixed(f"layer{number}")
        return Layout(entries)

    @cached_property
    def _first_weights(self) -> Floats:
        """Return the weights (shared_size,) that eta = 0 stands for."""
        sizes = np.cumsum([0, *(step.layout.size for step in self.steps)])
        return np.concatenate(
            [step.first_weights(int(start)) for step, start in zip(self.steps, sizes[:-1], strict=True)]
        )

    def split(self, eta: Floats) -> tuple[Floats, list[Weights]]:
        """Return the eta of y_0 (N, 2K) and the weights of each layer."""
        flat = eta[..., self.base.eta_size :] + self._first_weights.astype(eta.dtype)
        parts, start = [], 0
        for step in self.steps:
            stop = start + step.layout.size
            parts.append(step.layout.views(flat[..., start:stop]))
            start = stop
        return eta[..., : self.base.eta_size], parts

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return self.base.noise_spec(n_draws, n_data)

    def _moves(self, weights: Sequence[Weights], y_0: Floats) -> list[Moved]:
        """Return what each layer does, from y_0 (..., S, N, K) on."""
        moves, y = [], np.swapaxes(y_0, -3, -2)
        for step, own in zip(self.steps, weights, strict=True):
            moves.append(step.forward(own, y))
            y = moves[-1].z
        return moves

    def _undone(self, weights: Sequence[Weights], z: Floats) -> Floats:
        """Return y_0 (..., S, N, K) of z."""
        y = np.swapaxes(z, -3, -2)
        for step, own in zip(reversed(self.steps), reversed(weights), strict=True):
            y = step.inverse(own, y)
        return np.swapaxes(y, -3, -2)

    # -- draws -------------------------------------------------------------------------------------

    def sample(self, eta: Floats, noise: Floats) -> Floats:
        """Return z = T_L( ... T_1(m + s noise)) (..., S, N, K)."""
        own, weights = self.split(eta)
        return np.swapaxes(self._moves(weights, self.base.sample(own, noise))[-1].z, -3, -2)

    def sample_vjp(self, eta: Floats, noise: Floats, grad_z: Floats) -> Floats:
        """Pull grad_z (..., S, N, K) back through the layers, the last first: (..., N, E)."""
        own, weights = self.split(eta)
        noise = np.broadcast_to(noise, grad_z.shape)
        by_y, by_weights = np.swapaxes(grad_z, -3, -2), []
        none = np.zeros(by_y.shape[:-1], by_y.dtype)
        for move in reversed(self._moves(weights, self.base.sample(own, noise))):
            by_y, by_layer = move.pullback(by_y, none)
            by_weights.append(by_layer)
        by_base = self.base.sample_vjp(own, noise, np.swapaxes(by_y, -3, -2))
        return np.concatenate([by_base, *reversed(by_weights)], axis=-1)

    def draw(self, eta: Floats, noise: Floats) -> tuple[Floats, Floats, Callable[[Floats], Floats]]:
        """Use y_0, which is known from the noise: no layer is undone."""
        own, weights = self.split(eta)
        y_0, log_q, _ = self.base.draw(own, noise)
        moves = self._moves(weights, y_0)
        z = np.swapaxes(moves[-1].z, -3, -2)
        return z, self._log_prob(log_q, moves), lambda c: self._log_prob_vjps(own, y_0, moves, c)[0]

    # -- log q -------------------------------------------------------------------------------------

    def _log_prob(self, log_base: Floats, moves: Sequence[Moved]) -> Floats:
        log_dets = np.sum([move.log_det for move in moves], axis=0)
        return log_base - np.swapaxes(log_dets, -2, -1)

    def log_prob(self, eta: Floats, z: Floats) -> Floats:
        """Return log N(y_0; m, s^2) - sum of log-determinants (..., S, N), y_0 by undoing the layers."""
        own, weights = self.split(eta)
        y_0 = self._undone(weights, z)
        return self._log_prob(self.base.log_prob(own, y_0), self._moves(weights, y_0))

    def _log_prob_vjps(
        self, own: Floats, y_0: Floats, moves: Sequence[Moved], cotangent: Floats
    ) -> tuple[Floats, Floats]:
        """Return (grad_eta (..., N, E), grad_z) of sum(cotangent * log_prob) at fixed z, from y_0 upward."""
        by_base, by_y = self.base.log_prob_vjps(own, y_0, cotangent)
        by_y, by_log_q, by_weights = np.swapaxes(by_y, -3, -2), transposed(cotangent), []
        for move in moves:
            by_y = move.solve(by_y - by_log_q[..., None] * move.log_det_slope)
            by_weights.append(-move.pullback(by_y, by_log_q)[1])
        return np.concatenate([by_base, *by_weights], axis=-1), np.swapaxes(by_y, -3, -2)

    def log_prob_vjps(self, eta: Floats, z: Floats, cotangent: Floats) -> tuple[Floats, Floats]:
        own, weights = self.split(eta)
        y_0 = self._undone(weights, z)
        return self._log_prob_vjps(own, y_0, self._moves(weights, y_0), cotangent)

    def log_prob_vjp(self, eta: Floats, z: Floats, cotangent: Floats) -> Floats:
        return self.log_prob_vjps(eta, z, cotangent)[0]

    def log_prob_grad_z(self, eta: Floats, z: Floats) -> Floats:
        """Return d log q / dz (..., S, N, K)."""
        return self.log_prob_vjps(eta, z, np.ones(z.shape[:-1], z.dtype))[1]

    def score(self, eta: Floats, z: Floats) -> Floats:
        """Return d log q / d eta (..., S, N, E): the pullback of each draw by itself."""
        alone = z[..., None, :, :]
        return self.log_prob_vjp(eta, alone, np.ones(alone.shape[:-1], z.dtype))

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (N, K) over 256 fixed Sobol points of the noise.

        No formula: they are good to about 2 % of the standard deviation.
        """
        return moments_by_points(self, eta)

    # -- what has no closed form ---------------------------------------------------------------------

    def entropy(self, eta: Floats) -> Floats:  # noqa: ARG002 - the signature is the contract
        raise NotApplicable(NO_ENTROPY.format(self.name), Reason.NEEDS_ENTROPY)

    def entropy_grad(self, eta: Floats) -> Floats:  # noqa: ARG002
        raise NotApplicable(NO_ENTROPY.format(self.name), Reason.NEEDS_ENTROPY)

    def kl(self, eta: Floats, other: Floats) -> Floats:  # noqa: ARG002
        raise NotApplicable(NO_DIVERGENCE.format(self.name), Reason.NEEDS_CLOSED_KL)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:  # noqa: ARG002
        raise NotApplicable(NO_DIVERGENCE.format(self.name), Reason.NEEDS_CLOSED_KL)

    def near(self, eta: Floats) -> Floats:
        """Return the flow whose y_0 is moved by half a standard deviation and narrowed to 0.8 of it."""
        own, weights = np.split(eta, [self.base.eta_size], axis=-1)
        return np.concatenate([self.base.near(own), weights], axis=-1)
