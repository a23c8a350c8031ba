"""Vectors and matrices inside a flat vector, for compiled code: an address, a shape, and nothing else.

A slice that Numba makes keeps count of who holds its memory, and its `reshape` is compiled with every case
of strides. A long kernel with many views in one vector spends most of its compile time on that. The views
here hold nothing: they are good as long as the vector is, which the caller of a kernel keeps.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


def _view(context, builder, flat, kind, values, lengths):
    """Return the view of `lengths` that begins at an index of a flat vector."""
    source = make_array(flat)(context, builder, values[0])
    view = make_array(kind)(context, builder)
    strides, step = [], source.itemsize
    for length in reversed(lengths):
        strides.insert(0, step)
        step = builder.mul(step, length)
    start = builder.gep(source.data, [values[1]])
    populate_array(view, start, lengths, strides, source.itemsize, meminfo=None)
    return view._getvalue()


@intrinsic
def vector(context, flat, start, size):  # noqa: ARG001 - the signature of an intrinsic
    """Return flat[start : start + size], for compiled code only."""
    kind = types.Array(flat.dtype, 1, "C")

    def generate(context, builder, signature, values):
        return _view(context, builder, signature.args[0], kind, values, [values[2]])

    return kind(flat, types.intp, types.intp), generate


@intrinsic
def matrix(context, flat, start, rows, columns):  # noqa: ARG001
    """Return flat[start : start + rows columns] as a matrix (rows, columns), for compiled code only."""
    kind = types.Array(flat.dtype, 2, "C")

    def generate(context, builder, signature, values):
        return _view(context, builder, signature.args[0], kind, values, list(values[2:]))

    return kind(flat, types.intp, types.intp, types.intp), generate


@intrinsic
def columns(context, whole, start, count):  # noqa: ARG001
    """Return whole[:, start : start + count] of a matrix, for compiled code only."""
    kind = types.Array(whole.dtype, 2, "A")

    def generate(context, builder, signature, values):  # noqa: ARG001
        source = make_array(whole)(context, builder, values[0])
        rows, _ = cgutils.unpack_tuple(builder, source.shape, 2)
        strides = cgutils.unpack_tuple(builder, source.strides, 2)
        view = make_array(kind)(context, builder)
        first = builder.gep(source.data, [values[1]])
        populate_array(view, first, [rows, values[2]], strides, source.itemsize, meminfo=None)
        return view._getvalue()

    return kind(whole, types.intp, types.intp), generate
