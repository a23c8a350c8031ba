"""One switch: does a function run its NumPy definition or its Numba kernel?

The idea
--------
A definition says what is computed and a kernel computes the same faster. A student wants to run
both and time both, a test wants to compare them, and a machine without a working compiler wants
only the first. So there is one choice for the whole process:

    ELBO_LAB_KERNELS=numpy python study.py       the environment, read at the first use
    with use_kernels("numpy"): ...               a block of code

and three decorators, which are the only place that knows about both sides, `twin` for a function of one
array, `twin_in_place` for an update of several vectors, and `twin_of_arrays` for one of arrays of any shapes:

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
import inspect
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
        loop = _loop_of(module, definition)

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

        return _joined(dispatch, definition, kernel, "float array in, array out")

    return decorate


def twin_in_place(module):
    """Give an element-wise update its compiled twin.

    The decorated function takes vectors (n,) by position, writes into some of them and returns nothing;
    its numbers are keyword-only. It runs the kernel when the switch says "numba" and the vectors are
    plain, contiguous and all float64 or all float32; the numbers are then rounded to that dtype, as NumPy
    does with Python numbers beside an array.

    Parameters
    ----------
    module : str
        Name of the module in `elbo_lab.kernels` that holds a loop of the same name, which takes the vectors
        and then the numbers, in the order of the definition.

    Returns
    -------
    callable
        A decorator; the function it returns has the attributes `definition` and `kernel`.
    """

    def decorate(definition):
        loop = _loop_of(module, definition)
        kinds = inspect.signature(definition).parameters.values()
        names = [kind.name for kind in kinds if kind.kind is kind.KEYWORD_ONLY]

        def kernel(*vectors, **numbers):
            number = vectors[0].dtype.type
            loop()(*vectors, *(number(numbers[name]) for name in names))

        @functools.wraps(definition)
        def dispatch(*vectors, **numbers):
            if _fit_together(vectors) and kernels_in_use() == "numba":
                kernel(*vectors, **numbers)
            else:
                definition(*vectors, **numbers)

        return _joined(dispatch, definition, kernel, "float vectors, changed in place")

    return decorate


def twin_of_arrays(module):
    """Give a definition that adds to some of its arrays its compiled twin.

    The decorated function takes arrays of several shapes by position, and returns nothing. It runs the kernel
    when the switch says "numba" and all are plain, contiguous and float64 or float32. Loops do not look at
    lengths: that the shapes belong together is up to the caller.

    Parameters
    ----------
    module : str
        Name of the module in `elbo_lab.kernels` that holds a loop of the same name and arguments.

    Returns
    -------
    callable
        A decorator; the function it returns has the attributes `definition` and `kernel`.
    """

    def decorate(definition):
        loop = _loop_of(module, definition)

        def kernel(*arrays):
            loop()(*arrays)

        @functools.wraps(definition)
        def dispatch(*arrays):
            if kernels_in_use() == "numba" and all(_fits(a) and a.flags.c_contiguous for a in arrays):
                kernel(*arrays)
            else:
                definition(*arrays)

        return _joined(dispatch, definition, kernel, "float arrays, some changed in place")

    return decorate


def _joined(dispatch, definition, kernel, about):
    """Return `dispatch` with both sides as its attributes; `about` says what the kernel takes and gives."""
    kernel.__name__ = kernel.__qualname__ = f"{definition.__name__}.kernel"
    kernel.__doc__ = f"Compiled twin of `{definition.__name__}`: {about}."
    dispatch.definition = definition
    dispatch.kernel = kernel
    return dispatch


def _loop_of(module, definition):
    """Return a function that imports the compiled loop at its first call."""

    @functools.cache
    def loop():
        home = importlib.import_module(f"elbo_lab.kernels.{module}")
        return getattr(home, definition.__name__)

    return loop


def _fit_together(vectors):
    # Loops do not look at lengths: a short vector would be read past its end.
    kind = vectors[0].shape, vectors[0].dtype
    return all(
        _fits(vector)
        and vector.ndim == 1
        and vector.flags.c_contiguous
        and (vector.shape, vector.dtype) == kind
        for vector in vectors
    )


def _fits(x):
    # `type is`, not isinstance: a masked array or a matrix must keep its own arithmetic. A byte
    # order other than the machine's is another dtype and stays with the definition.
    return type(x) is np.ndarray and x.ndim > 0 and x.dtype in KERNEL_DTYPES
