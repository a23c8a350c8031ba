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
    state = taken_state(table, rows, rng) if kernels_in_use() == "numba" else None
    return definition(table, rows, rng) if state is None else kernel(table, rows, state)


def definition(table, rows, rng):
    chances = table[rows]
    return (rng.random(chances.shape, dtype=table.dtype) < chances).astype(table.dtype)


def kernel(table, rows, state):
    """Compiled twin of `definition`, from the words of a generator in that state: the same bits."""
    from elbo_lab.kernels.fresh_bits import fresh_bits as loop

    out = np.empty((len(rows), table.shape[1]), table.dtype)
    words = np.empty(out.nbytes // WORD, np.uint64)
    loop(state, words, numbers_in(words, out.dtype), table, rows, out)
    return out


def numbers_in(words, dtype):
    """Return the integers in some words from which uniform numbers of a dtype are made."""
    return words.view(np.uint32) if dtype == np.float32 else words


def taken_state(table, rows, rng):
    """Return the state of a generator, (4,) uint64, and move it on as if `definition` had drawn.

    None, and a generator that stays where it is, where raw words of 64 bits are not what the definition would
    use up, or the loop cannot read the rows.
    """
    if type(rng.bit_generator) is not PCG64 or sys.byteorder != "little":
        return None
    if type(table) is not np.ndarray or not table.flags.c_contiguous or rows.dtype != np.intp:
        return None
    # A word gives two short numbers, the lower half first; one may be left over from before.
    size = len(rows) * table.shape[1]
    whole = table.dtype == np.float64 or (table.dtype == np.float32 and size % 2 == 0)
    state = rng.bit_generator.state
    from elbo_lab.kernels import pcg64

    if not (whole and pcg64.COMPILED) or state["has_uint32"]:
        return None
    rng.bit_generator.advance(size * table.itemsize // WORD)
    return np.array(pcg64.halves(state["state"]), np.uint64)
