"""Coupling flow (RealNVP): each layer scales and shifts one half of z by a function of the other half.

    z_a = y_a,   z_b = y_b exp(s(y_a)) + t(y_a),   log |det dz / dy| = sum of s(y_a)

(Dinh et al. 2017, eqs. 4 to 8.) The half y_a is unchanged, so that s and t, however complicated, can be
evaluated from either side: the inverse is y_b = (z_b - t(z_a)) exp(-s(z_a)), in closed form. The halves
change places from layer to layer. Here

    (r, t) = tanh(y_a W1 + b1) W2 + b2,   s = 2 tanh(r / 2)

one network with a hidden layer, and a scale between e^-2 and e^2 in each layer, so that no draw can run away.

Helps: bent and skewed posteriors, with log q at any z at the price of a draw. Fails: with one latent
dimension, which has no halves: use `planar-flow`; and with two dimensions a layer moves one of them alone.
Source: Dinh, Sohl-Dickstein and Bengio (2017).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.flows.base import Flow, Layer, Moved, Weights, first_normals, transposed
from elbo_lab.errors import MOST_PARTS, NotApplicable, Reason, check_count
from elbo_lab.layout import Layout

# Of |s|.
LIMIT = 2.0


@dataclass(frozen=True)
class CouplingLayer(Layer):
    """z_b = y_b exp(s(y_a)) + t(y_a) over K dimensions; y_a is the first half, or the last.

    Parameters
    ----------
    size : int
        K.
    hidden : int
        H.
    keeps_first : bool
    """

    size: int
    hidden: int
    keeps_first: bool

    @cached_property
    def _halves(self) -> tuple[slice, slice]:
        """Where y_a and y_b lie."""
        first, last = slice(0, self.size // 2), slice(self.size // 2, self.size)
        return (first, last) if self.keeps_first else (last, first)

    @cached_property
    def layout(self) -> Layout:
        kept, moved = (len(range(self.size)[half]) for half in self._halves)
        return Layout(
            (
                ("W1", (kept, self.hidden)),
                ("b1", (self.hidden,)),
                ("W2", (self.hidden, 2 * moved)),
                ("b2", (2 * moved,)),
            )
        )

    def first_weights(self, start: int) -> Floats:
        kept = self.layout.views(np.zeros(self.layout.size))["W1"].shape[0]
        normals = first_normals((kept + 1) * self.hidden, start)
        inputs, biases = np.split(normals, [kept * self.hidden])
        return self.layout.pack({"W1": inputs.reshape(kept, self.hidden) / np.sqrt(kept), "b1": biases})

    def _joined(self, kept: Floats, moved: Floats) -> Floats:
        return np.concatenate([kept, moved] if self.keeps_first else [moved, kept], axis=-1)

    @staticmethod
    def _conditioned(weights: Weights, kept: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the hidden layer (..., N, S, H), s and t."""
        h = np.tanh(kept @ weights["W1"] + weights["b1"][..., None, :])
        raw, shift = np.split(h @ weights["W2"] + weights["b2"][..., None, :], 2, axis=-1)
        return h, LIMIT * np.tanh(raw / LIMIT), shift

    def forward(self, weights: Weights, y: Floats) -> Moved:
        kept, moved = (y[..., half] for half in self._halves)
        h, log_scale, shift = self._conditioned(weights, kept)
        scaled = moved * np.exp(log_scale)
        bounded = 1.0 - (log_scale / LIMIT) ** 2  # ds / dr

        def through(by_log_scale: Floats, by_shift: Floats) -> tuple[Floats, Floats, Floats]:
            """Return the cotangents of (r, t), of the hidden layer before its tanh, and of y_a."""
            by_output = np.concatenate([by_log_scale * bounded, by_shift], axis=-1)
            delta = (by_output @ transposed(weights["W2"])) * (1.0 - h * h)
            return by_output, delta, delta @ transposed(weights["W1"])

        def pullback(by_z: Floats, by_log_det: Floats) -> tuple[Floats, Floats]:
            by_kept, by_moved = (by_z[..., half] for half in self._halves)
            by_output, delta, by_input = through(by_moved * scaled + by_log_det[..., None], by_moved)
            blocks = [
                transposed(kept) @ delta,
                delta.sum(axis=-2),
                transposed(h) @ by_output,
                by_output.sum(axis=-2),
            ]
            lead = by_output.shape[:-2]
            by_weights = np.concatenate([block.reshape(*lead, -1) for block in blocks], axis=-1)
            return self._joined(by_kept + by_input, by_moved * np.exp(log_scale)), by_weights

        def solve(by_y: Floats) -> Floats:
            """Return J^-T by_y: first of y_b, whose scale is undone, then of y_a."""
            by_kept, by_moved = (by_y[..., half] for half in self._halves)
            by_moved = by_moved * np.exp(-log_scale)
            return self._joined(by_kept - through(by_moved * scaled, by_moved)[2], by_moved)

        none = np.zeros_like(log_scale)
        log_det_slope = self._joined(through(np.ones_like(log_scale), none)[2], none)
        return Moved(
            self._joined(np.broadcast_to(kept, (*scaled.shape[:-1], kept.shape[-1])), scaled + shift),
            log_scale.sum(axis=-1),
            log_det_slope,
            pullback,
            solve,
        )

    def inverse(self, weights: Weights, z: Floats) -> Floats:
        kept, moved = (z[..., half] for half in self._halves)
        _, log_scale, shift = self._conditioned(weights, kept)
        undone = (moved - shift) * np.exp(-log_scale)
        return self._joined(np.broadcast_to(kept, (*undone.shape[:-1], kept.shape[-1])), undone)


@dataclass(frozen=True)
class CouplingFlow(Flow):
    """Coupling layers; eta = (mean (K,), log-std (K,), then W1, b1, W2 and b2 of each layer).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions, at least two.
    layers : int
        L; at least two of them, so that each half is moved.
    hidden : int
        H, the width of the hidden layer that gives scale and shift.

    Raises
    ------
    NotApplicable
        If there is one latent dimension: it has no halves.
    """

    size: int
    layers: int = 4
    hidden: int = 16
    name = "coupling-flow"
    title = "coupling flow"
    synonyms = ("flow", "realnvp", "real-nvp")

    def __post_init__(self) -> None:
        if self.size < 2:
            reason = "one latent dimension has no other half to be coupled to"
            text = f"a coupling flow needs two latent dimensions: {reason}; use planar-flow"
            raise NotApplicable(text, Reason.NEEDS_TWO_LATENTS)
        check_count("layers", self.layers, maximum=MOST_PARTS)
        check_count("hidden", self.hidden, maximum=MOST_PARTS)

    @cached_property
    def steps(self) -> tuple[Layer, ...]:
        return tuple(CouplingLayer(self.size, self.hidden, number % 2 == 0) for number in range(self.layers))
