"""Sixteen numbers at a time, said outright, for loops whose vectors a compiler would not see by itself.

A loop over rows becomes vector code by itself as long as it is one loop. Where every row has an inner loop
over components, whose running maximum and sums are to stay in registers, the compiler looks at the inner
loop alone. So here is a kind of value for compiled code, `LANES` float64 side by side: sums, differences
and products act lane by lane, a number beside lanes counts for all of them. `LANES` is a fixed sixteen, so
values do not depend on the machine's registers. That is four registers of AVX2: a constant fetched is used
four times, and one chain of multiply-adds does not wait for itself.

    for i in range(0, n, LANES):
        best = everywhere(-np.inf)
        for c in range(n_components):
            best = larger(load(flat, c * n + i), best)
        store(out, i, best)

Addresses are not looked at: the caller keeps i + LANES within the array. A product and a sum may become
one fused multiply-add (`compiling`). With compiling switched off lanes are arrays (LANES,) of NumPy.

Source: Numba manual, "Low-level extension API"; LLVM language reference, "Vector type".
"""

import operator

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model
from numba.np.arrayobj import make_array

LANES = 16
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_BITS = ir.VectorType(ir.IntType(64), LANES)
_INDEX = ir.IntType(32)


class Lanes(types.Type):
    """Numba's name for LANES float64 side by side."""

    def __init__(self):
        super().__init__(name=f"Lanes({LANES})")


lanes = Lanes()


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


def _spread(builder, number):
    """Return a vector with the number in every lane."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, number, _INDEX(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))


def _act_lane_by_lane(function, instruction):
    """Teach an operator of Python lanes beside lanes, or beside a number."""

    @infer_global(function)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):  # noqa: ARG002 - the signature of a template
            if lanes in args and all(kind in (lanes, types.float64) for kind in args):
                return signature(lanes, *args)
            return None

    def lower(context, builder, signature, values):  # noqa: ARG001
        pairs = zip(signature.args, values, strict=True)
        vectors = [value if kind == lanes else _spread(builder, value) for kind, value in pairs]
        return getattr(builder, instruction)(*vectors)

    for kinds in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(function, *kinds)(lower)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
):
    _act_lane_by_lane(_function, _instruction)


def _address(context, builder, kind, array, start):
    data = make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [start]), _VECTOR.as_pointer())


@intrinsic
def load(context, flat, start):  # noqa: ARG001 - the signature of an intrinsic
    """Return flat[start : start + LANES] of a float64 vector."""

    def generate(context, builder, signature, values):
        return builder.load(_address(context, builder, signature.args[0], *values), align=8)

    return lanes(flat, types.intp), generate


@intrinsic
def store(context, flat, start, value):  # noqa: ARG001
    """Write lanes into flat[start : start + LANES]."""

    def generate(context, builder, signature, values):
        builder.store(values[2], _address(context, builder, signature.args[0], *values[:2]), align=8)
        return context.get_dummy_value()

    return types.void(flat, types.intp, lanes), generate


@intrinsic
def everywhere(context, number):  # noqa: ARG001
    """Return lanes that all hold the number."""

    def generate(context, builder, signature, values):  # noqa: ARG001
        return _spread(builder, values[0])

    return lanes(types.float64), generate


@intrinsic
def larger(context, a, b):  # noqa: ARG001
    """Return the larger of two, lane by lane; b where one of them is nan."""

    def generate(context, builder, signature, values):  # noqa: ARG001
        return builder.select(builder.fcmp_ordered(">", *values), *values)

    return lanes(lanes, lanes), generate


@intrinsic
def raise_exponent(context, a, n):  # noqa: ARG001
    """Return a 2^n, n the integer in the low bits of a float64: n is added to the exponent bits of a.

    An exponent that leaves the normal numbers is not looked after.
    """

    def generate(context, builder, signature, values):  # noqa: ARG001
        a_bits, n_bits = (builder.bitcast(value, _BITS) for value in values)
        n_bits = builder.shl(n_bits, ir.Constant(_BITS, [52] * LANES))
        return builder.bitcast(builder.add(a_bits, n_bits), _VECTOR)

    return lanes(lanes, lanes), generate


if config.DISABLE_JIT:

    def load(flat, start):
        return flat[start : start + LANES].copy()

    def store(flat, start, value):
        flat[start : start + LANES] = value

    def everywhere(number):
        return np.full(LANES, number)

    def larger(a, b):
        return np.where(a > b, a, b)

    def raise_exponent(a, n):
        return (a.view(np.int64) + (n.view(np.int64) << 52)).view(np.float64)
