"""The raw words of NumPy's generator PCG64, in compiled code.

    state <- multiplier state + increment (128 bits),   word = high xor low, rotated by the upper six bits

A thread that has the state of a generator draws its words without the interpreter; the generator itself is
moved on by `advance`, and whoever draws next gets the numbers it would have got.

Source: M. E. O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for random
number generation", HMC-CS-2014-0905 (PCG XSL RR 128/64); NumPy reference, "PCG64".
"""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from elbo_lab.kernels.compiling import inner_loop

MULTIPLIER = 47026247687942121848144207491837523525
WORD = 64
LOWER = (1 << WORD) - 1
# Products of 128 bits are made of instructions; there is no form of them for the interpreter.
COMPILED = not config.DISABLE_JIT


@intrinsic
def _next(context, high, low, more_high, more_low):  # noqa: ARG001 - the signature of an intrinsic
    """Return the two halves of multiplier (high, low) + (more_high, more_low), modulo 2^128."""
    kind = types.UniTuple(types.uint64, 2)

    def generate(context, builder, signature, values):  # noqa: ARG001
        long, word = ir.IntType(2 * WORD), ir.IntType(WORD)
        halves = [builder.zext(value, long) for value in values]
        shift = ir.Constant(long, WORD)
        state, more = (builder.or_(builder.shl(halves[i], shift), halves[i + 1]) for i in (0, 2))
        state = builder.add(builder.mul(state, ir.Constant(long, MULTIPLIER)), more)
        return cgutils.pack_array(
            builder, [builder.trunc(builder.lshr(state, shift), word), builder.trunc(state, word)]
        )

    return kind(types.uint64, types.uint64, types.uint64, types.uint64), generate


@inner_loop
def raw_words(state, out):
    """Write the next words into out (n,) uint64; state (4,) uint64 as from `halves`, not changed."""
    high, low, more_high, more_low = state[0], state[1], state[2], state[3]
    for i in range(out.size):
        high, low = _next(high, low, more_high, more_low)
        word, turn = high ^ low, high >> np.uint64(58)
        out[i] = (word >> turn) | (word << ((np.uint64(64) - turn) & np.uint64(63)))


def halves(numbers):
    """Return the upper and lower halves of state and increment: {"state": int, "inc": int} of a PCG64."""
    return [half for name in ("state", "inc") for half in (numbers[name] >> WORD, numbers[name] & LOWER)]
