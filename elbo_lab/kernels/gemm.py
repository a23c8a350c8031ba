"""Matrix products in compiled code: the BLAS that NumPy has loaded, called through `ctypes`.

    C <- alpha A B + beta C        xGEMM, here with alpha = 1 and beta = 0

Numba's `np.dot` calls the BLAS of SciPy. That of NumPy is faster on products with few rows, and it reads
strides: a transposed view and a slice of columns need no copy. `threadpoolctl` names the loaded libraries,
and Numba calls a `ctypes` function that is passed to compiled code as an argument (a global one could not be
cached).

Builds of BLAS differ in the name of the function and in the width of its integers, so every candidate must
compute one product of odd shapes and strides correctly before it is used. If none does, `gemm` returns None,
and `product` calls `np.dot`.

Source: J. J. Dongarra et al., "A set of level 3 basic linear algebra subprograms", ACM TOMS 16, 1-17, 1990;
Numba manual, "Foreign functions: ctypes"; threadpoolctl, "Introspecting the current state of thread pools".
"""

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from elbo_lab.arrays import Floats
from elbo_lab.kernels.compiling import FLAGS, inner_loop

# (name of the function but for its letter, its integers): wheels of NumPy and SciPy, OpenBLAS and MKL.
CANDIDATES = (
    ("scipy_cblas_{}gemm64_", ctypes.c_int64),
    ("scipy_cblas_{}gemm", ctypes.c_int),
    ("cblas_{}gemm64_", ctypes.c_int64),
    ("cblas_{}gemm", ctypes.c_int),
)
LETTERS = {np.dtype(np.float32): ("s", ctypes.c_float), np.dtype(np.float64): ("d", ctypes.c_double)}
# Constants of CBLAS: the order of the elements, a matrix as it is, and a transposed one.
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


@functools.cache
def gemm(dtype: np.dtype) -> Any:
    """Return the BLAS product of a dtype as a `ctypes` function, or None if no candidate works."""
    for path in _libraries():
        for name, integer in CANDIDATES:
            function = _function(path, name, integer, np.dtype(dtype))
            if function is not None and _is_right(function, np.dtype(dtype)):
                return function
    return None


def road(dtype: np.dtype) -> str:
    """Return the name of the product of a dtype for a reader: 'scipy_cblas_sgemm64_ of libscipy_...'."""
    function = gemm(dtype)
    return "np.dot" if function is None else f"{function.__name__} of {os.path.basename(function.library)}"


def _libraries() -> list[str]:
    from threadpoolctl import threadpool_info

    # NumPy's own library first: its wheels have it in this folder, or beside it in numpy.libs.
    numpy_folder = os.path.dirname(os.path.realpath(np.__file__))
    paths = [pool["filepath"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return sorted(paths, key=lambda path: not os.path.realpath(path).startswith(numpy_folder))


def _function(path: str, name: str, integer: type, dtype: np.dtype) -> Any:
    letter, number = LETTERS[dtype]
    try:
        function = getattr(ctypes.CDLL(path), name.format(letter))
    except (OSError, AttributeError):
        return None
    matrix = (ctypes.c_void_p, integer)
    function.argtypes = [*[ctypes.c_int] * 3, *[integer] * 3, number, *matrix, *matrix, number, *matrix]
    function.restype, function.library = None, path
    return function


def _is_right(function: Callable[..., None], dtype: np.dtype) -> bool:
    """Tell whether a function multiplies a transposed view by a slice of columns, 3 x 5 by 5 x 7."""
    numbers = np.arange(100, dtype=dtype)
    a, b = numbers[:20].reshape(5, 4)[:, :3].T, numbers[20:65].reshape(5, 9)[:, 1:8]
    out = np.full((3, 8), -1.0, dtype)
    sizes, leading = (3, 7, 5), [matrix.strides[0] // dtype.itemsize for matrix in (a.T, b, out)]
    places = [(matrix.ctypes.data, step) for matrix, step in zip((a, b, out), leading, strict=True)]
    function(ROW_MAJOR, TRANSPOSED, PLAIN, *sizes, 1.0, *places[0], *places[1], 0.0, *places[2])
    return np.array_equal(out[:, :7], a @ b) and (out[:, 7] == -1.0).all()


@inner_loop
def _reading(matrix: Floats) -> tuple[int, int]:
    """Return PLAIN or TRANSPOSED, and the leading dimension of a matrix."""
    step, width = matrix.strides, matrix.itemsize
    if step[1] == width:
        return PLAIN, max(step[0] // width, matrix.shape[1])
    return TRANSPOSED, max(step[1] // width, matrix.shape[0])


@inner_loop
def _call(function: Any, a: Floats, b: Floats, out: Floats) -> None:
    (how_a, lead_a), (how_b, lead_b) = _reading(a), _reading(b)
    (m, k), n = a.shape, b.shape[1]
    one, zero = a.dtype.type(1.0), a.dtype.type(0.0)
    function(ROW_MAJOR, how_a, how_b, m, n, k, one, a.ctypes, lead_a, b.ctypes, lead_b, zero, out.ctypes, n)


def product(function: Any, a: Floats, b: Floats, out: Floats) -> None:
    """Write a @ b into `out`; for compiled code only.

    Parameters
    ----------
    function : ctypes function or None
        As from `gemm` for the one dtype of the three.
    a : ndarray (m, k)
    b : ndarray (k, n)
        Contiguous, or the transpose of such a matrix.
    out : ndarray (m, n)
        Contiguous. Lengths are not checked.
    """


def product_of_transposed(function: Any, a: Floats, b: Floats, out: Floats) -> None:
    """Write a.T @ b into `out`; as `product`, but a (k, m) may be a slice of columns."""


# No annotations: Numba compares the signature of the implementation with that of the overload.
@overload(product, jit_options=FLAGS)
def _product(function, a, b, out):  # type: ignore[no-untyped-def]  # noqa: ARG001
    if isinstance(function, types.NoneType):
        return lambda function, a, b, out: np.dot(a, b, out)  # noqa: ARG005
    return lambda function, a, b, out: _call(function, a, b, out)


@overload(product_of_transposed, jit_options=FLAGS)
def _product_of_transposed(function, a, b, out):  # type: ignore[no-untyped-def]  # noqa: ARG001
    if isinstance(function, types.NoneType):
        return lambda function, a, b, out: np.dot(np.ascontiguousarray(a).T, b, out)  # noqa: ARG005
    return lambda function, a, b, out: _call(function, a.T, b, out)
