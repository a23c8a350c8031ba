"""Dynamic binarisation: every time a datum is seen, its bits are drawn anew from its grey values.

A grey value is read as the chance of a one (Salakhutdinov and Murray 2008); bits that change from epoch to
epoch keep a model from learning one drawing by heart.
"""

import sys

import numpy as np
from numpy.random import PCG64

from elbo_lab.kernels import kernels_in_use

WORD = 8


def fresh_bits(table, rows, rng):
    """Draw bits for some rows of a table of chances.

    Parameters
    ----------
    table : ndarray (M, D)
        float64 or float32, the dtype of the result and of the uniform numbers.
    rows : ndarray (N,)
        Row numbers.
    rng : numpy.random.Generator

    Returns
    -------
    x : ndarray (N, D)
        Zeros and ones.
    """
    if kernels_in_use() == "numba" and fits(table, rows, rng):
        return kernel(table, rows, rng)
    return definition(table, rows, rng)


def definition(table, rows, rng):
    chances = table[rows]
    return (rng.random(chances.shape, dtype=table.dtype) < chances).astype(table.dtype)


def kernel(table, rows, rng):
    """Compiled twin of `definition`, from the same words of the generator: the same bits."""
    from elbo_lab.kernels.fresh_bits import fresh_bits as loop

    out = np.empty((len(rows), table.shape[1]), table.dtype)
    words = np.empty(out.nbytes // WORD, np.uint64)
    loop(taken_state(rng, words.size), words, numbers_in(words, out.dtype), table, rows, out)
    return out


def numbers_in(words, dtype):
    """Return the integers in some words from which uniform numbers of a dtype are made."""
    return words.view(np.uint32) if dtype == np.float32 else words


def taken_state(rng, count):
    """Return the state of a generator, (4,) uint64, and move it on as if it had given so many words."""
    from elbo_lab.kernels.pcg64 import state_of

    state = np.array(state_of(rng.bit_generator), np.uint64)
    rng.bit_generator.advance(count)
    return state


def fits(table, rows, rng):
    """Whether raw words of 64 bits are what the definition would use up, and the loop can read the rows."""
    if type(rng.bit_generator) is not PCG64 or sys.byteorder != "little":
        return False
    if type(table) is not np.ndarray or not table.flags.c_contiguous or rows.dtype != np.intp:
        return False
    # A word gives two short numbers, the lower half first; one may be left over from before.
    whole = table.dtype == np.float64 or (table.dtype == np.float32 and len(rows) * table.shape[1] % 2 == 0)
    return whole and not rng.bit_generator.state["has_uint32"]
