"""An encoder: one MLP gives eta for every datum (Kingma and Welling 2014, section 3).

Cheap for new data; pays the amortisation gap where the network cannot follow each datum. The inputs
are shifted and scaled by constants of the description (column means and
standard deviations), so that raw grey values or minutes do not saturate the first layer; the data itself is
never changed.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.distributions import Family
from elbo_lab.errors import check_positive
from elbo_lab.layout import Layout
from elbo_lab.networks import MLP
from elbo_lab.posteriors.base import Posterior


@dataclass(frozen=True)
class AmortisedPosterior(Posterior):
    """eta = MLP((x - shift) / scale).

    Parameters
    ----------
    family : Family
    network : MLP
        From D inputs to E outputs.
    shift : tuple of float
        Length D.
    scale : tuple of float
        Length D, positive.
    """

    family: Family
    network: MLP
    shift: tuple
    scale: tuple
    name = "amortised"
    summary = "an MLP encoder shared by all data"

    def __post_init__(self):
        for scale in self.scale:
            check_positive("scale", scale)

    @classmethod
    def for_data(cls, family, x, hidden=(64,), activation="tanh"):
        """Return the encoder for data like x (N, D), inputs standardised by its columns."""
        network = MLP((x.shape[1], *hidden, family.eta_size), activation)
        spread = x.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        return cls(family, network, tuple(x.mean(axis=0)), tuple(scale))

    @cached_property
    def layout(self):
        return Layout(self.network.layout.prefixed("encoder"))

    def _forward(self, phi, x):
        return self.network.forward(phi, (x - np.asarray(self.shift)) / np.asarray(self.scale))

    def eta(self, phi, x):
        return self._forward(phi, x)[0]

    def eta_vjp(self, phi, x, grad_eta):
        # The encoder sees each datum once, however many repeats are pulled back through it.
        activations = self._forward(phi, x)[1]
        return self.network.backward(phi, activations, grad_eta)[0]

    def initial(self, rng):
        """Return phi of an encoder whose eta is zero for all data: N(0, I), or equal logits."""
        phi = self.network.initial(rng)
        last = self.network.layout.views(phi)[f"W{self.network.n_layers}"]
        last[...] = 0.0
        return phi
