"""One switch: functions run their NumPy definition or their Numba kernel.

A definition says what is computed; a kernel computes the same faster. A student can run and time both, a test
compares them, and a machine without a working compiler needs only the first. So there is one choice for the
whole process:

    ELBO_LAB_KERNELS=numpy python study.py       the environment, read at the first use
    with use_kernels("numpy"): ...               a block of code

and one decorator, the only place that knows both:

    @compiled_twin("elementwise", fits=float_array, run=into_new_array)
    def tanh(x):            # the definition; the kernel is elbo_lab.kernels.elementwise.tanh
        return np.tanh(x)

    tanh(x)                 # as the switch selects
    tanh.definition(x)      # always NumPy
    tanh.kernel(x)          # always Numba, imported and compiled at the first call
"""

import contextlib
import functools
import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import unknown_name

VARIABLE = "ELBO_LAB_KERNELS"
CHOICES = ("numba", "numpy")
KERNEL_DTYPES = (np.dtype(np.float64), np.dtype(np.float32))

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# The choice of the innermost `use_kernels`, or None outside. A plain module global, because a thread that is
# started inside the block must see it (a context variable would not reach it), and because reading one name
# is atomic.
_asked: str | None = None


def kernels_in_use() -> str:
    """Return "numba" or "numpy": what functions with a twin now run, in any thread."""
    return _asked or _from_environment()


@functools.cache
def _from_environment() -> str:
    # Not at import, so that the command line can report a wrong value in one line.
    return _known(VARIABLE, os.environ.get(VARIABLE, CHOICES[0]))


def _known(argument: str, name: str) -> str:
    if name not in CHOICES:
        raise unknown_name(argument, name, CHOICES)
    return name


@contextlib.contextmanager
def use_kernels(name: str) -> Iterator[None]:
    """Run a block with "numpy" definitions or "numba" kernels, then restore the earlier choice.

    The choice holds for every thread of the process until the block ends; blocks nest. Two threads
    that open blocks at the same time would restore each other's choice: select in one thread only.

    Parameters
    ----------
    name : {"numba", "numpy"}
    """
    global _asked
    before = _asked
    _asked = _known("use_kernels", name)
    try:
        yield
    finally:
        _asked = before


class Twins(Protocol[Arguments, Result]):
    """A function that runs its definition or its kernel, as the switch selects."""

    definition: Callable[Arguments, Result]
    kernel: Callable[Arguments, Result]

    def __call__(self, *arguments: Arguments.args, **numbers: Arguments.kwargs) -> Result:
        """Run one of the two."""


# --- arguments of kernels: everything else runs the definition -----------------------------------


def float_array(x: Floats) -> bool:
    """Tell whether x is a plain float64 or float32 array with at least one axis.

    Python numbers, 0-d arrays, lists, integers and masked arrays are not.
    """
    # `type is`, not isinstance: a masked array or a matrix has its own arithmetic. A byte order other
    # than the machine's is another dtype and runs the definition.
    return type(x) is np.ndarray and x.ndim > 0 and x.dtype in KERNEL_DTYPES


def contiguous_arrays(*arrays: Floats) -> bool:
    """Tell whether all are plain, contiguous and float64 or float32.

    Loops do not check lengths: the caller must pass matching shapes.
    """
    return all(float_array(x) and x.flags.c_contiguous for x in arrays)


def equal_vectors(*vectors: Floats) -> bool:
    """Tell whether all are plain, contiguous vectors of one length and one dtype, float64 or float32."""
    # Loops do not check lengths: a short vector would be read past its end.
    kind = vectors[0].shape, vectors[0].dtype
    return contiguous_arrays(*vectors) and all(x.ndim == 1 and (x.shape, x.dtype) == kind for x in vectors)


# --- how kernels are run -------------------------------------------------------------------------


def in_place(loop: Callable[..., None], *arrays: Floats, **numbers: float) -> None:
    """Run a loop that writes into some of its arrays.

    Numbers are rounded to the dtype of the first array, as NumPy does with Python numbers beside an array.
    """
    number = arrays[0].dtype.type
    loop(*arrays, **{name: number(value) for name, value in numbers.items()})


def into_new_array(loop: Callable[..., None], x: Floats) -> Floats:
    """Run a loop `name(x, out)` over the elements of x (...); return `out` (...), in C order."""
    # A view of a contiguous x, else a copy. To Numba a read-only x is another type, compiled separately;
    # avoiding that would cost every call 0.5 microseconds.
    flat = x.ravel()
    out = np.empty(flat.size, flat.dtype)
    loop(flat, out)
    return out.reshape(x.shape)


def compiled_twin(
    module: str, fits: Callable[..., bool], run: Callable[..., Any] = in_place
) -> Callable[[Callable[Arguments, Result]], Twins[Arguments, Result]]:
    """Give a definition its compiled twin, which runs when the switch selects it and the arrays fit.

    Parameters
    ----------
    module : str
        Name of the module in `elbo_lab.kernels` with a loop of the same name as the definition. It takes the
        same arrays by position, and the same numbers by name.
    fits : callable
        fits(*arrays) tells whether the loop accepts the arrays: `float_array`, `contiguous_arrays`,
        `equal_vectors`.
    run : callable
        run(loop, *arrays, **numbers) calls the loop: `in_place`, or `into_new_array` for a function of one
        array that returns another of the same shape and dtype.

    Returns
    -------
    callable
        A decorator; the function it returns has the attributes `definition` and `kernel`.
    """

    def decorate(definition: Callable[Arguments, Result]) -> Twins[Arguments, Result]:
        @functools.cache
        def loop() -> Callable[..., None]:
            # Numba is imported by the first call of a kernel.
            return getattr(importlib.import_module(f"elbo_lab.kernels.{module}"), definition.__name__)

        @functools.wraps(definition)
        def kernel(*arrays: Arguments.args, **numbers: Arguments.kwargs) -> Result:
            return run(loop(), *arrays, **numbers)

        @functools.wraps(definition)
        def dispatch(*arrays: Arguments.args, **numbers: Arguments.kwargs) -> Result:
            if kernels_in_use() == "numba" and fits(*arrays):
                return run(loop(), *arrays, **numbers)
            return definition(*arrays, **numbers)

        kernel.__name__ = kernel.__qualname__ = f"{definition.__name__}.kernel"
        kernel.__doc__ = f"Compiled twin of `{definition.__name__}`, for arrays that fit."
        twins = cast(Twins[Arguments, Result], dispatch)
        twins.definition = definition
        twins.kernel = kernel
        return twins

    return decorate
