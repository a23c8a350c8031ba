"""How kernels are compiled: five decorators, so that the flags stand in one place.

`formula` is for a scalar formula that is built into loops, `loop` for the loop that is called,
`inner_loop` for a part of a long one, and
`exact_formula` and `exact_loop` for a loop of a few roundings that gives the very bits of its definition:
no `contract`. `sum_loop` is for a sum over an array that is built into a loop.

- `contract` is the only liberty with floating point: a product and a sum may become one fused
  multiply-add, which rounds once and not twice. It keeps nan and the infinities, and it is allowed
  to whoever reads the code: no sum is reordered, so values do not depend on the vector width.
- `reassoc`, in `sum_loop` alone: a sum over an array may be taken as one sum per lane of a register,
  without which it runs one number at a time. Its last bits depend on the vector width, never on the
  threads. No formula of `exponential` may stand in such a function: its roundings would be simplified away.
- `error_model="numpy"`: a division by zero gives inf and not an exception. The test for the
  exception is a branch, and one branch in the body keeps LLVM from vectorising the whole loop.
- `forceinline`: a formula that stays a function call does the same. LLVM stops inlining at about
  the length of `softplus`, which then takes 42 ns per element and not 3.
- `nogil`: threads that work on blocks run at the same time. No loop starts threads itself.
- `cache`: machine code is kept on disk, in the package's `__pycache__` or, when that cannot be
  written, in the user's cache folder. Numba looks at the file of the *loop* alone, and not at the
  formulas and flags that come from other files; so the sources of all kernels are part of the name
  under which machine code is kept, and an edit of any of them compiles anew.

Source: Numba manual, "Performance tips" and "Notes on caching"; LLVM, "Auto-vectorization".
"""

import hashlib
from functools import cache
from pathlib import Path

from numba import njit

# `fastmath` is said here too: a function without it takes over that of the loop it is compiled for first.
EXACT_FLAGS = {"fastmath": False, "error_model": "numpy", "nogil": True}
FLAGS = EXACT_FLAGS | {"fastmath": {"contract"}}
SUM_FLAGS = EXACT_FLAGS | {"fastmath": {"contract", "reassoc"}}


def formula(function):
    """Compile a scalar formula that is built into the loops that use it."""
    return njit(**FLAGS, forceinline=True)(function)


def exact_formula(function):
    """Compile a scalar formula that is built into exact loops."""
    return njit(**EXACT_FLAGS, forceinline=True)(function)


def sum_loop(function):
    """Compile a sum over an array, in the order of the vector registers, that is built into loops."""
    return njit(**SUM_FLAGS, forceinline=True)(function)


def loop(function):
    """Compile a loop `name(x, out)`, and keep its machine code where a folder can be written."""
    return _cached(function, FLAGS)


def inner_loop(function):
    """Compile a loop that only other loops call: it is kept with the machine code of its callers."""
    return njit(**FLAGS)(function)


def exact_loop(function):
    """Compile a loop whose every sum, product, quotient and root is rounded, as in NumPy."""
    return _cached(function, EXACT_FLAGS)


@cache
def _sources():
    """Return the digest of all kernels' sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _cached(function, flags):
    name = function.__qualname__
    # Numba names the files of the machine code after the function; that of the kernel is put back below.
    function.__qualname__ = f"{name}-{_sources()}"
    try:
        kernel = njit(**flags, cache=True)(function)
    except RuntimeError:
        # Numba found neither the package nor the user's cache folder writeable ("no locator
        # available"). Compiling anew in each process is slower and right.
        kernel = njit(**flags)(function)
    function.__qualname__ = kernel.__qualname__ = name
    return kernel
