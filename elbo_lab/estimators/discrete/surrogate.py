"""A small network as control variate, r(y) = w^T tanh(W y + b), with the derivatives that its training needs.

    dr/dy = W^T (w * (1 - h^2)),   h = tanh(W y + b)

Its weights are chosen such that a gradient has little variance, and that gradient contains dr/dy: so the
derivative of dr/dy in the weights is needed as well. With a = w * (1 - h^2) and t = W d for a direction d,

    d/dw (d . dr/dy) = (1 - h^2) * t,   d/db (d . dr/dy) = -2 a * h * t =: e
    d/dW (d . dr/dy) = a d^T + e y^T
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.layout import Layout


@dataclass(frozen=True)
class Surrogate:
    """A network from K numbers to one; its weights psi are one flat vector.

    Parameters
    ----------
    size : int
        K.
    hidden : int
        H, tanh units.
    """

    size: int
    hidden: int = 8

    @cached_property
    def layout(self):
        return Layout((("W", (self.hidden, self.size)), ("b", (self.hidden,)), ("w", (self.hidden,))))

    def initial(self):
        """Return weights at which r is zero and yet has a gradient; the same every time."""
        W = np.random.default_rng(0).standard_normal((self.hidden, self.size))
        return self.layout.pack({"W": W, "b": -0.5 * W.sum(axis=1)})

    def _units(self, psi, y):
        t = self.layout.views(psi)
        return t, np.tanh(y @ t["W"].T + t["b"])

    def value(self, psi, y):
        """Return r (...) at y (..., K)."""
        t, h = self._units(psi, y)
        return h @ t["w"]

    def slope(self, psi, y):
        """Return dr/dy (..., K)."""
        t, h = self._units(psi, y)
        return (t["w"] * (1.0 - h * h)) @ t["W"]

    def value_vjp(self, psi, y, cotangent):
        """Return the gradient in psi of sum(cotangent * r), cotangent (...)."""
        t, h = self._units(psi, y)
        rows = cotangent[..., None] * t["w"] * (1.0 - h * h)
        return self._packed(rows, y, w=cotangent[..., None] * h)

    def slope_vjp(self, psi, y, cotangent):
        """Return the gradient in psi of sum(cotangent * dr/dy), cotangent (..., K)."""
        t, h = self._units(psi, y)
        a, along = t["w"] * (1.0 - h * h), cotangent @ t["W"].T
        direct = a.reshape(-1, self.hidden).T @ cotangent.reshape(-1, self.size)
        found = self._packed(-2.0 * a * h * along, y, w=(1.0 - h * h) * along)
        self.layout.views(found)["W"][...] += direct
        return found

    def _packed(self, rows, y, w):
        """Return the gradient whose rows in front of tanh are `rows` (..., H)."""
        flat = rows.reshape(-1, self.hidden)
        W = flat.T @ y.reshape(-1, self.size)
        return self.layout.pack({"W": W, "b": flat.sum(axis=0), "w": w.reshape(-1, self.hidden).sum(axis=0)})
