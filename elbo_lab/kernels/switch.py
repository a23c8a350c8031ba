"""One switch: does a function run its NumPy definition or its Numba kernel?

The idea
--------
A definition says what is computed and a kernel computes the same faster. A student wants to run
both and time both, a test wants to compare them, and a machine without a working compiler wants
only the first. So there is one choice for the whole process:

    ELBO_LAB_KERNELS=numpy python study.py       the environment, read at the first use
    with use_kernels("numpy"): ...               a block of code

and one decorator, `twin`, which is the only place that knows about both sides:

    @twin("elementwise")
    def tanh(x):            # the definition; the kernel is elbo_lab.kernels.elementwise.tanh
        return np.tanh(x)

    tanh(x)                 # whichever the switch says
    tanh.definition(x)      # always NumPy
    tanh.kernel(x)          # always Numba, imported and compiled at the first call
"""

import contextlib
import functools
import importlib
import os

import numpy as np

from elbo_lab.errors import unknown_name

VARIABLE = "ELBO_LAB_KERNELS"
CHOICES = ("numba", "numpy")
KERNEL_DTYPES = (np.dtype(np.float64), np.dtype(np.float32))

# What the innermost `use_kernels` asked for; None outside of all. A plain module global, because a
# worker thread started inside the block must see it (a context variable would not reach it), and
# because reading one name is atomic.
_asked = None


def kernels_in_use():
    """Return "numba" or "numpy": what `twin` functions run at this moment, in any thread."""
    return _asked or _from_environment()


@functools.cache
def _from_environment():
    # Not at import, so that the command line can turn a wrong value into its one line.
    return _known(VARIABLE, os.environ.get(VARIABLE, CHOICES[0]))


def _known(argument, name):
    if name not in CHOICES:
        raise unknown_name(argument, name, CHOICES)
    return name


@contextlib.contextmanager
def use_kernels(name):
    """Run a block with "numpy" definitions or "numba" kernels, then restore what was.

    The choice holds for every thread of the process until the block ends; blocks nest. Two threads
    that open blocks at the same time would restore each other's choice: choose in one place.

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


def twin(module):
    """Give an element-wise definition its compiled twin.

    The decorated function runs the kernel when the switch says "numba" and its argument is a plain
    float64 or float32 array with at least one axis. Everything else (Python numbers, 0-d arrays,
    lists, integers, masked arrays) goes to the definition. The result has the shape and dtype of
    the argument on both roads, and C order on the compiled one.

    Parameters
    ----------
    module : str
        Name of the module in `elbo_lab.kernels` that holds a loop `name(x, out)` of the same name.

    Returns
    -------
    callable
        A decorator; the function it returns has the attributes `definition` and `kernel`.
    """

    def decorate(definition):
        @functools.cache
        def loop():
            home = importlib.import_module(f"elbo_lab.kernels.{module}")
            return getattr(home, definition.__name__)

        def kernel(x):
            # A view of a contiguous x, else a copy. A read-only x is another type to Numba and is
            # compiled for separately; hiding that would cost every call 0.5 microseconds.
            flat = x.ravel()
            out = np.empty(flat.size, flat.dtype)
            loop()(flat, out)
            return out.reshape(x.shape)

        @functools.wraps(definition)
        def dispatch(x):
            if _fits(x) and kernels_in_use() == "numba":
                return kernel(x)
            return definition(x)

        kernel.__name__ = kernel.__qualname__ = f"{definition.__name__}.kernel"
        kernel.__doc__ = f"Compiled twin of `{definition.__name__}`: float array in, array out."
        dispatch.definition = definition
        dispatch.kernel = kernel
        return dispatch

    return decorate


def _fits(x):
    # `type is`, not isinstance: a masked array or a matrix must keep its own arithmetic. A byte
    # order other than the machine's is another dtype and stays with the definition.
    return type(x) is np.ndarray and x.ndim > 0 and x.dtype in KERNEL_DTYPES
