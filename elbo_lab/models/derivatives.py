r"""Derivatives of a log p(x, z) that is given as a function alone: by differences, by JAX or by PyTorch.

    differences   df/du_i ~= (f(u + h e_i) - f(u - h e_i)) / 2h, with an error of order h^2: 2 (P + K)
                  evaluations of f for one gradient. h is the cube root of the rounding, 6e-6, times the size
                  of u_i (at least 1), which balances the error h^2 f'''/6 against the rounding of f over h
                  (Nocedal and Wright 2006, section 8.1).
    jax, torch    reverse mode of the library in which f is written: exact to rounding, the cost of a few
                  evaluations whatever the number of parameters. All in float64.

Helps: a model is its density, and nothing is derived by hand. Fails: differences cost 2 (P + K) evaluations,
and lose half of the digits; a library is slower than a derivation where arrays are small. A library is
imported by the first call that needs it, and never otherwise.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.errors import bad_value
from elbo_lab.layout import Layout

Array = TypeVar("Array", bound=np.ndarray)
LogJoint = Callable[[dict[str, Any], Any, Any], Any]
"""From {name: array}, x (N, D) and z (S, N, ...) or (S, 1, ...) to log p(x, z) (S, N)."""

MOST_BY_DIFFERENCES = 100
STEP = float(np.finfo(np.float64).eps ** (1 / 3))
# Of the way to the nearest end of the support of z.
STEP_TO_END = 1e-3


class Derivatives(ABC):
    """How a function and its derivatives are evaluated; all arrays come and go as float64 of NumPy."""

    name: str
    most_numbers: float = np.inf

    def check_size(self, n_numbers: int) -> None:
        """Refuse so many parameters and latents, all together, if the derivatives would cost too much."""
        if n_numbers > self.most_numbers:
            expected = f"at most {self.most_numbers:g} parameters and latents for {self.name}"
            remedy = "write log_joint with jax.numpy (framework='jax') or PyTorch (framework='torch')"
            raise bad_value("parameters", expected, n_numbers, remedy)

    @abstractmethod
    def value(self, function: LogJoint, layout: Layout, theta: Floats, x: Floats, z: Draws) -> Any:
        """Return what the function returns at z (S, N, ...), as an array of NumPy."""

    @abstractmethod
    def by_theta(
        self, function: LogJoint, layout: Layout, theta: Floats, x: Floats, z: Draws, cotangent: Floats
    ) -> Floats:
        """Return for each repeat r the gradient in theta of sum(cotangent[r] * f(z[r])): (R, P)."""

    @abstractmethod
    def by_z(
        self,
        function: LogJoint,
        layout: Layout,
        theta: Floats,
        x: Floats,
        z: Floats,
        cotangent: Floats,
        support: tuple[float, float],
    ) -> Floats:
        """Return the gradient of sum(cotangent * f) in z (S, N, K) or (S, 1, K), shaped as z."""


def _frozen(array: Array) -> Array:
    """Return a view that cannot be written to, so that a function that changes its input is told."""
    view = array.view()
    view.flags.writeable = False
    return view


class ByDifferences(Derivatives):
    """Central differences of a function of NumPy arrays."""

    name = "differences"
    most_numbers = MOST_BY_DIFFERENCES

    def value(self, function: LogJoint, layout: Layout, theta: Floats, x: Floats, z: Draws) -> Any:
        parts = {name: _frozen(view) for name, view in layout.views(theta).items()}
        return function(parts, _frozen(x), _frozen(z))

    def by_theta(
        self, function: LogJoint, layout: Layout, theta: Floats, x: Floats, z: Draws, cotangent: Floats
    ) -> Floats:
        flat, gradient = z.reshape(-1, *z.shape[2:]), np.empty((len(z), len(theta)))
        for i, size in enumerate(STEP * np.maximum(1.0, np.abs(theta))):
            ahead, behind = theta.copy(), theta.copy()
            ahead[i] += size
            behind[i] -= size
            change = self.value(function, layout, ahead, x, flat) - self.value(
                function, layout, behind, x, flat
            )
            slope = (change / (ahead[i] - behind[i])).reshape(cotangent.shape)
            gradient[:, i] = (cotangent * slope).sum(axis=(1, 2))
        return gradient

    def by_z(
        self,
        function: LogJoint,
        layout: Layout,
        theta: Floats,
        x: Floats,
        z: Floats,
        cotangent: Floats,
        support: tuple[float, float],
    ) -> Floats:
        gradient, (low, high) = np.empty(z.shape), support
        for k in range(z.shape[-1]):
            at = z[..., k]
            size = STEP * np.maximum(1.0, np.abs(at))
            if np.isfinite(low) or np.isfinite(high):
                size = np.minimum(size, STEP_TO_END * np.minimum(at - low, high - at))
            ahead, behind = z.copy(), z.copy()
            ahead[..., k] += size
            behind[..., k] -= size
            change = self.value(function, layout, theta, x, ahead) - self.value(
                function, layout, theta, x, behind
            )
            slope = cotangent * change / (ahead[..., k] - behind[..., k])
            gradient[..., k] = slope if z.shape[1] == cotangent.shape[1] else slope.sum(axis=1, keepdims=True)
        return gradient


def _library(name: str, package: str) -> Any:
    """Return a library, or say in one line how to get it."""
    try:
        return import_module(name)
    except ImportError as reason:
        remedy = f"pip install 'elbo_lab[{name}]'"
        raise bad_value("framework", f"an installed {package}", f"{name!r} ({reason})", remedy) from None


class ByJax(Derivatives):
    """Reverse mode of JAX, in float64 within the call alone."""

    name = "jax"

    def _open(self) -> tuple[Any, Any]:
        jax = _library("jax", "JAX")
        # Its place before version 0.8 of JAX.
        enable = (
            jax.enable_x64 if hasattr(jax, "enable_x64") else _library("jax.experimental", "JAX").enable_x64
        )
        return jax, enable(True)

    def value(self, function: LogJoint, layout: Layout, theta: Floats, x: Floats, z: Draws) -> Any:
        jax, in_float64 = self._open()
        with in_float64:
            parts = layout.views(theta)
            return np.asarray(
                function({n: jax.numpy.asarray(v) for n, v in parts.items()}, *map(jax.numpy.asarray, (x, z)))
            )

    def by_theta(
        self, function: LogJoint, layout: Layout, theta: Floats, x: Floats, z: Draws, cotangent: Floats
    ) -> Floats:
        jax, in_float64 = self._open()
        with in_float64:
            given = jax.numpy.asarray(x)
            parts = {name: jax.numpy.asarray(view) for name, view in layout.views(theta).items()}

            def of_repeat(z: Any, cotangent: Any) -> Any:
                value, pullback = jax.vjp(lambda at: function(at, given, z), parts)
                return pullback(cotangent.astype(value.dtype))[0]

            found = jax.vmap(of_repeat)(jax.numpy.asarray(z), jax.numpy.asarray(cotangent))
            return layout.pack({n: np.asarray(v, np.float64) for n, v in found.items()}, lead=(len(z),))

    def by_z(
        self,
        function: LogJoint,
        layout: Layout,
        theta: Floats,
        x: Floats,
        z: Floats,
        cotangent: Floats,
        support: tuple[float, float],  # noqa: ARG002 - it takes no step
    ) -> Floats:
        jax, in_float64 = self._open()
        with in_float64:
            given = jax.numpy.asarray(x)
            parts = {name: jax.numpy.asarray(view) for name, view in layout.views(theta).items()}
            value, pullback = jax.vjp(lambda at: function(parts, given, at), jax.numpy.asarray(z))
            return np.array(pullback(jax.numpy.asarray(cotangent, value.dtype))[0], np.float64)


class ByTorch(Derivatives):
    """Reverse mode of PyTorch, in float64, repeat by repeat."""

    name = "torch"

    def _of(self, array: Draws, slope: bool = False) -> Any:
        torch = _library("torch", "PyTorch")
        return torch.tensor(np.ascontiguousarray(array), requires_grad=slope)  # a copy

    def _called(self, function: LogJoint, layout: Layout, theta: Any, x: Any, z: Any) -> Any:
        named = zip(layout.entries, layout.blocks, strict=True)
        return function({name: theta[block].reshape(shape) for (name, shape), block in named}, x, z)

    def value(self, function: LogJoint, layout: Layout, theta: Floats, x: Floats, z: Draws) -> Any:
        with _library("torch", "PyTorch").no_grad():
            found = self._called(function, layout, *map(self._of, (theta, x, z)))
            return found.numpy() if hasattr(found, "numpy") else found

    def by_theta(
        self, function: LogJoint, layout: Layout, theta: Floats, x: Floats, z: Draws, cotangent: Floats
    ) -> Floats:
        given, gradient = self._of(x), np.zeros((len(z), len(theta)))
        for r in range(len(z)):
            at = self._of(theta, slope=True)
            value = self._called(function, layout, at, given, self._of(z[r]))
            gradient[r] = self._slope(value, at, cotangent[r])
        return gradient

    def by_z(
        self,
        function: LogJoint,
        layout: Layout,
        theta: Floats,
        x: Floats,
        z: Floats,
        cotangent: Floats,
        support: tuple[float, float],  # noqa: ARG002 - it takes no step
    ) -> Floats:
        at = self._of(z, slope=True)
        return self._slope(self._called(function, layout, self._of(theta), self._of(x), at), at, cotangent)

    def _slope(self, value: Any, at: Any, cotangent: Floats) -> Floats:
        """Return the gradient of sum(cotangent * value) in a tensor, zero where the value ignores it."""
        if not value.requires_grad:
            return np.zeros(tuple(at.shape))
        weights = self._of(cotangent).to(value.dtype)
        (found,) = _library("torch", "PyTorch").autograd.grad(value, at, weights, allow_unused=True)
        return np.zeros(tuple(at.shape)) if found is None else np.asarray(found.numpy(), np.float64)


FRAMEWORKS: dict[str, Derivatives] = {"numpy": ByDifferences(), "jax": ByJax(), "torch": ByTorch()}
