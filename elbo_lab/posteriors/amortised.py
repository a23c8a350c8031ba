"""An encoder: one network gives eta for every datum (Kingma and Welling 2014, section 3).

New data need only a forward pass; the price is the amortisation gap where the network cannot fit the eta of
each datum. The inputs are shifted and scaled by constants of the description (column means and standard
deviations), so that raw grey values or minutes do not saturate the first layer; the data are not changed.

A family may ask that the last numbers of its eta be the same for all data (`Family.shared_size`: the weights
of a flow). phi then holds these once, after the weights of the encoder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family
from elbo_lab.errors import check_positive
from elbo_lab.layout import Layout
from elbo_lab.networks import MLP, ConvEncoder, Network
from elbo_lab.posteriors.base import Posterior, PosteriorSpec


def _sizes(family: Family, x: Floats, hidden: Sequence[int], n_classes: int) -> tuple[int, ...]:
    """Return the widths of an encoder of rows like x, whose last column is a label if there are classes."""
    inputs = x.shape[1] - 1 + n_classes if n_classes else x.shape[1]
    return inputs, *hidden, family.eta_size - family.shared_size


@dataclass(frozen=True)
class AmortisedPosterior(Posterior):
    """eta = MLP((x - shift) / scale), then the part of it that all data share.

    Parameters
    ----------
    family : Family
    network : Network
        From D inputs, and C indicators of a label, to E - `family.shared_size` outputs.
    shift : tuple of float
        Length D.
    scale : tuple of float
        Length D, positive.
    n_classes : int
        C, where the last column of a datum is a label, given to the network as C indicators; 0 without one.
    """

    family: Family
    network: Network
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    n_classes: int = 0
    name = "amortised"
    synonyms = ("amortized", "encoder", "inference-network", "recognition-network")
    shortfall = "amortisation"
    summary = "an MLP encoder shared by all data"

    def __post_init__(self) -> None:
        for scale in self.scale:
            check_positive("scale", scale)

    @classmethod
    def for_data(
        cls,
        family: Family,
        x: Floats,
        hidden: Sequence[int] = (64,),
        activation: str = "tanh",
        n_classes: int = 0,
    ) -> Self:
        """Return the encoder for data like x (N, D), inputs standardised by its columns.

        With `n_classes` the last column of x is a label.
        """
        features = x[:, :-1] if n_classes else x
        # The deviation of a constant column can be a rounding error instead of zero.
        scale = np.where(np.ptp(features, axis=0) > 0, features.std(axis=0), 1.0)
        network = MLP(_sizes(family, x, hidden, n_classes), activation)
        return cls(family, network, tuple(features.mean(axis=0)), tuple(scale), n_classes)

    @classmethod
    def for_pixels(
        cls,
        family: Family,
        x: Floats,
        hidden: Sequence[int] = (64,),
        activation: str = "tanh",
        n_classes: int = 0,
        channels: Sequence[int] = (),
        image_shape: tuple[int, int] | None = None,
    ) -> Self:
        """Return the encoder for data like x (N, D) whose columns share a unit: one scale for all of them.

        Standardising each column would enlarge a pixel that is almost always dark to the scale of the others.
        With `channels`, and the height and width of an image, the first layers are convolutions.
        """
        features = x[:, :-1] if n_classes else x
        spread = np.sqrt(features.var(axis=0).mean())
        scale = np.full(features.shape[1], spread if spread > 0 else 1.0)
        sizes = _sizes(family, x, hidden, n_classes)
        network: Network = MLP(sizes, activation)
        if channels and image_shape is not None:
            network = ConvEncoder(sizes, activation, tuple(channels), image_shape)
        return cls(family, network, tuple(features.mean(axis=0)), tuple(scale), n_classes)

    @cached_property
    def layout(self) -> Layout:
        entries = self.network.layout.prefixed("encoder")
        shared = self.family.shared_size
        return Layout((*entries, ("shared", (shared,))) if shared else entries)

    def weights(self, phi: Floats) -> Floats:
        """Return the part of phi (..., P) that belongs to the encoder."""
        return phi[..., : self.network.layout.size]

    @cached_property
    def _affine(self) -> Floats:
        """Return shift and 1 / scale as arrays (2, D)."""
        return np.array([self.shift, 1.0 / np.asarray(self.scale)])

    def affine(self, dtype: np.dtype) -> tuple[Floats, Floats]:
        """Return (shift, 1 / scale), each (D,): the input of the encoder is (x - shift) * (1 / scale)."""
        shift, inverse = self._affine.astype(dtype, copy=False)
        return shift, inverse

    def forward(self, phi: Floats, x: Floats) -> tuple[Floats, list[Floats]]:
        """Return eta (N, E) and the activations of the encoder, each (N, H)."""
        output, activations = self.network.forward(self.weights(phi), self._inputs(phi, x))
        if not self.family.shared_size:
            return output, activations
        shared = phi[self.network.layout.size :]
        rows = np.broadcast_to(shared, (len(output), len(shared)))
        return np.concatenate([output, rows], axis=-1), activations

    def _inputs(self, phi: Floats, x: Floats) -> Floats:
        """Return what the encoder is given for data x, in the precision of phi."""
        shift, inverse = self.affine(phi.dtype)
        x = x.astype(phi.dtype, copy=False)
        if not self.n_classes:
            return (x - shift) * inverse
        indicators = (x[:, -1:] == np.arange(self.n_classes)).astype(phi.dtype)
        return np.concatenate([(x[:, :-1] - shift) * inverse, indicators], axis=-1)

    def eta(self, phi: Floats, x: Floats) -> Floats:
        return self.forward(phi, x)[0]

    def eta_vjp(self, phi: Floats, x: Floats, grad_eta: Floats) -> Floats:
        # One forward pass of the encoder serves all repeats that are pulled back.
        return self.eta_and_pullback(phi, x)[1](grad_eta)

    def eta_and_pullback(self, phi: Floats, x: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
        eta, activations = self.forward(phi, x)

        def pullback(grad_eta: Floats) -> Floats:
            grad_eta = grad_eta.astype(phi.dtype, copy=False)
            own, shared = np.split(grad_eta, [self.network.sizes[-1]], axis=-1)
            by_weights = self.network.backward_params(self.weights(phi), activations, own)
            if not self.family.shared_size:
                return by_weights
            return np.concatenate([by_weights, shared.sum(axis=-2)], axis=-1)

        return eta, pullback

    def to_dict(self) -> PosteriorSpec:
        values: PosteriorSpec = {
            "name": self.name,
            "sizes": list(self.network.sizes),
            "activation": self.network.activation,
            "shift": list(self.shift),
            "scale": list(self.scale),
        }
        if isinstance(self.network, ConvEncoder):
            values["channels"] = list(self.network.channels)
            values["image_shape"] = list(self.network.image_shape)
        if self.n_classes:
            values["n_classes"] = self.n_classes
        return values

    @classmethod
    def from_dict(cls, family: Family, values: PosteriorSpec) -> Self:
        sizes, activation = tuple(values["sizes"]), values["activation"]
        network: Network = MLP(sizes, activation)
        if "channels" in values:
            height, width = values["image_shape"]
            network = ConvEncoder(sizes, activation, tuple(values["channels"]), (height, width))
        shift, scale = tuple(values["shift"]), tuple(values["scale"])
        return cls(family, network, shift, scale, values.get("n_classes", 0))

    def initial(self, rng: np.random.Generator) -> Floats:
        """Return phi of an encoder whose eta is `Family.start` for all data: N(0, I), or equal logits.

        The shared part of eta is the family's own start.
        """
        weights = self.network.initial(rng)
        last, bias = self.network.last_layer(weights)
        last[...] = 0.0
        bias[...] = self.family.start[: self.network.sizes[-1]]
        return np.concatenate([weights, self.family.initial_shared(rng)])
