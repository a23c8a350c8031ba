"""Planar flow: each layer pushes z along one direction, by how far it lies from one plane.

    z = y + u' tanh(w . y + b),   log |det dz / dy| = log(1 + u' . w (1 - tanh^2(w . y + b)))

(Rezende and Mohamed 2015, eqs. 10 to 12.) The layer can be undone where u' . w >= -1. As in their appendix
A.1 the part of u along w is replaced, so that every real vector u is valid:

    u' = u + (m(w . u) - w . u) w / |w|^2,   m(a) = -1 + log(1 + e^{a + c}),   c = log(e - 1)

They have c = 0; with this c, m(0) = 0, so that u = 0 is the identity. Along w the inverse is one root of one
equation for the number a = w . y,

    a + m tanh(a + b) = w . z,   y = z - u' tanh(a + b),

whose left side increases in a. Newton's steps find it to rounding, kept between bounds that close in.

Helps: 2 K + 1 numbers per layer, for any K, one included. Fails: a layer bends space at one plane only, so
that many layers are needed, the more so the larger K is. Source: Rezende and Mohamed (2015).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.flows.base import Flow, Layer, Moved, Weights, first_normals
from elbo_lab.errors import MOST_PARTS, check_count
from elbo_lab.layout import Layout
from elbo_lab.special import sigmoid, softplus

# c: with it m(0) = 0.
SHIFT = float(np.log(np.expm1(1.0)))
# Bisection alone would need fewer from the widest bounds down to rounding.
MOST_STEPS = 200


def root(target: Floats, m: Floats, b: Floats) -> Floats:
    """Return the a with a + m tanh(a + b) = target, elementwise, for m > -1.

    A step of Newton's is taken where it stays between the bounds and is at most half of the step before;
    elsewhere the bounds are halved.
    """
    low, high = target - np.abs(m), target + np.abs(m)
    a, before = target, high - low
    close = 2.0 * np.finfo(target.dtype).eps
    for _ in range(MOST_STEPS):
        h = np.tanh(a + b)
        f = a + m * h - target
        low, high = np.where(f < 0.0, a, low), np.where(f > 0.0, a, high)
        step = -f / (1.0 + m * (1.0 - h * h))
        done = np.abs(step) <= close * (1.0 + np.abs(a))
        if done.all():
            break
        newton = a + step
        halve = (newton <= low) | (newton >= high) | (2.0 * np.abs(step) > np.abs(before))
        chosen = np.where(done, a, np.where(halve, 0.5 * (low + high), newton))
        a, before = chosen, chosen - a
    return a


@dataclass(frozen=True)
class PlanarLayer(Layer):
    """z = y + u' tanh(w . y + b) over K dimensions."""

    size: int

    @cached_property
    def layout(self) -> Layout:
        return Layout((("u", (self.size,)), ("w", (self.size,)), ("b", (1,))))

    def first_weights(self, start: int) -> Floats:
        w, b = np.split(first_normals(self.size + 1, start), [self.size])
        return np.concatenate([np.zeros(self.size), w / np.linalg.norm(w), b])

    @staticmethod
    def _direction(weights: Weights) -> tuple[Floats, Floats]:
        """Return u' (N, K) and m = u' . w (N, 1)."""
        u, w = weights["u"], weights["w"]
        along = (u * w).sum(axis=-1, keepdims=True)
        m = softplus(along + SHIFT) - 1.0
        return u + (m - along) * w / (w * w).sum(axis=-1, keepdims=True), m

    def forward(self, weights: Weights, y: Floats) -> Moved:
        w, (direction, m) = weights["w"], self._direction(weights)
        h = np.tanh((y @ w[..., None])[..., 0] + weights["b"])  # (..., N, S)
        slope = 1.0 - h * h
        stretch = 1.0 + m * slope  # the determinant
        # d log det / d (w . y + b)
        by_input = -2.0 * m * h * slope / stretch

        def pullback(by_z: Floats, by_log_det: Floats) -> tuple[Floats, Floats]:
            delta = (by_z @ direction[..., None])[..., 0] * slope + by_log_det * by_input
            by_direction = (h[..., None] * by_z).sum(axis=-2)
            by_m = (by_log_det * slope / stretch).sum(axis=-1, keepdims=True)
            by_u, by_w = self._direction_vjp(weights, by_direction, by_m)
            by_w = by_w + (delta[..., None] * y).sum(axis=-2)
            by_b = delta.sum(axis=-1, keepdims=True)
            return by_z + delta[..., None] * w[..., None, :], np.concatenate([by_u, by_w, by_b], axis=-1)

        def solve(by_y: Floats) -> Floats:
            """Return (I + slope u' w^T)^-T by_y (Sherman and Morrison)."""
            along = (by_y @ direction[..., None])[..., 0] * slope / stretch
            return by_y - along[..., None] * w[..., None, :]

        z = y + h[..., None] * direction[..., None, :]
        log_det_slope = by_input[..., None] * w[..., None, :]
        return Moved(z, np.log1p(m * slope), log_det_slope, pullback, solve)

    @staticmethod
    def _direction_vjp(weights: Weights, by_direction: Floats, by_m: Floats) -> tuple[Floats, Floats]:
        """Pull cotangents of u' (..., N, K) and m (..., N, 1) back to u and w."""
        u, w = weights["u"], weights["w"]
        along, square = (u * w).sum(axis=-1, keepdims=True), (w * w).sum(axis=-1, keepdims=True)
        excess = (softplus(along + SHIFT) - 1.0 - along) / square
        by_excess = (by_direction * w).sum(axis=-1, keepdims=True) / square
        by_m = by_m + by_excess
        by_along = by_m * sigmoid(along + SHIFT) - by_excess
        by_w = by_along * u + excess * by_direction - 2.0 * excess * by_excess * w
        return by_direction + by_along * w, by_w

    def inverse(self, weights: Weights, z: Floats) -> Floats:
        direction, m = self._direction(weights)
        target = (z @ weights["w"][..., None])[..., 0]
        m, b = np.broadcast_to(m, target.shape), weights["b"]
        h = np.tanh(root(target, m, b) + b)
        return z - h[..., None] * direction[..., None, :]


@dataclass(frozen=True)
class PlanarFlow(Flow):
    """Planar layers; eta = (mean (K,), log-std (K,), then u, w and b of each layer).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    layers : int
        L.
    """

    size: int
    layers: int = 8
    name = "planar-flow"
    title = "planar flow"
    synonyms = ("planar",)

    def __post_init__(self) -> None:
        check_count("layers", self.layers, maximum=MOST_PARTS)

    @cached_property
    def steps(self) -> tuple[Layer, ...]:
        return (PlanarLayer(self.size),) * self.layers
