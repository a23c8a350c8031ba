"""A multilayer perceptron that is given a label beside its input, as indicators [y = c].

    a_0 = (z, y),   u_1 = z W_z + y W_y + b_1          W_1 = (W_z over W_y)

With an indicator vector y the product y W_y is one row of W_y: a label moves the biases of the first layer,
and nothing else. Given y the network is an ordinary one, with the biases b_1 + W_y[y] (`at`).

The two products are formed apart and then added, so that with W_y = 0 the outputs are those of the network
without labels, bit for bit.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count
from elbo_lab.networks.mlp import MLP, times


@dataclass(frozen=True)
class ConditionedMLP(MLP):
    """An MLP whose last inputs are the indicators of a label.

    Parameters
    ----------
    sizes : tuple of int
        The first counts input and indicators together, K + C.
    activation : {'tanh', 'relu', 'softplus'}
    n_classes : int
        C.
    """

    n_classes: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_classes", self.n_classes)
        if self.n_classes >= self.sizes[0]:
            raise bad_value("sizes", f"more inputs than {self.n_classes} classes", self.sizes)

    def product(self, layer: int, rows: Floats, weights: Floats) -> Floats:
        if layer > 1:
            return super().product(layer, rows, weights)
        n_own = self.sizes[0] - self.n_classes
        return times(rows[..., :n_own], weights[:n_own]) + times(rows[..., n_own:], weights[n_own:])

    def at(self, params: Floats, label: int) -> tuple[MLP, Floats]:
        """Return the network that this one is for rows with one label, and its parameters."""
        n_own = self.sizes[0] - self.n_classes
        own, views = MLP((n_own, *self.sizes[1:]), self.activation), self.layout.views(params)
        given = {name: view for name, view in views.items() if name not in ("W1", "b1")}
        given["W1"], given["b1"] = views["W1"][:n_own], views["b1"] + views["W1"][n_own + label]
        return own, own.layout.pack(given).astype(np.result_type(params), copy=False)
