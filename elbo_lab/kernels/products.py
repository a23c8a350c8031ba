"""Matrix products inside compiled code: the loop of NumPy's own `matmul`, called by its address.

A compiled pass through a network needs products of matrices between its loops. Numba has `np.dot`, which
calls the BLAS that SciPy brings; NumPy brings another one, and on products with few rows the two differ in
speed by a third. So a kernel calls what `a @ b` calls: the compiled loop of the ufunc `np.matmul` for its
dtype, which reads strides (a transposed view costs nothing), needs no interpreter lock, and gives the very
bits of NumPy.

    loop(args, dimensions, steps, data)     args: addresses of a, b, out
                                            dimensions: one product, rows, inner, columns
                                            steps: between products (3 times 0), then bytes of a, b, out

Where the loop cannot be found (another NumPy, compiling switched off) `address_of_matmul` returns 0, and
whoever asked stays with the definition.

Source: NumPy reference, "C API: PyUFuncObject" and "UFunc API" (the members read here and the signature of
a loop); "Universal functions: matmul" for its core dimensions (n,k),(k,m)->(n,m).
"""

import ctypes
import functools

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic


class _UFuncBody(ctypes.Structure):
    """The first members of a PyUFuncObject, behind the head that every Python object has."""

    _fields_ = (
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.c_void_p),
        ("ntypes", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("types", ctypes.POINTER(ctypes.c_ubyte)),
    )


@functools.cache
def address_of_matmul(dtype):
    """Return the address of NumPy's loop for products of two matrices of a dtype, or 0."""
    if config.DISABLE_JIT:
        return 0
    body = _UFuncBody.from_address(id(np.matmul) + object.__basicsize__)
    # What the members must say if they lie where they are looked for.
    if (body.nin, body.nout, body.nargs, body.ntypes) != (2, 1, 3, len(np.matmul.types)):
        return 0
    if body.name != b"matmul":
        return 0
    kind = np.dtype(dtype).num
    for i in range(body.ntypes):
        if body.types[3 * i : 3 * i + 3] == [kind] * 3:
            return body.functions[i]
    return 0


@intrinsic
def product(context, matmul, a, b, out):  # noqa: ARG001 - the signature of an intrinsic
    """Write a @ b (m, n) into `out`, in the bits of `np.matmul`; for compiled code only.

    Parameters
    ----------
    matmul : int
        As from `address_of_matmul` for the one dtype of the three.
    a, b, out : ndarray (m, k), (k, n), (m, n)
        Contiguous, or transposed views of such. Lengths are not looked at.
    """

    def generate(context, builder, signature, values):
        kinds = signature.args[1:]
        found = [
            context.make_array(kind)(context, builder, v) for kind, v in zip(kinds, values[1:], strict=True)
        ]
        word, address = context.get_value_type(types.intp), cgutils.voidptr_t
        (rows, inner), (_, columns) = (cgutils.unpack_tuple(builder, array.shape, 2) for array in found[:2])
        args = [builder.bitcast(array.data, address) for array in found]
        dimensions = [word(1), rows, inner, columns]
        steps = [word(0)] * 3
        for array in found:
            steps += cgutils.unpack_tuple(builder, array.strides, 2)
        frame = [cgutils.pack_array(builder, part) for part in (args, dimensions, steps)]
        pointers = [builder.bitcast(cgutils.alloca_once_value(builder, part), address) for part in frame]
        kind = ir.FunctionType(ir.VoidType(), [address] * 4)
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), [*pointers, address(None)])
        return context.get_dummy_value()

    return types.void(types.intp, a, b, out), generate
