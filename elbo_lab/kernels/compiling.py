"""How kernels are compiled: decorators, so that the flags stand in one place.

`formula` is for a scalar formula that is built into loops, `loop` for the loop that is called,
`parallel_loop` for one that starts threads (`prange`), `inner_loop` for a part of a long one, and
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
- `nogil`: threads that work on blocks run at the same time.

Machine code of the three kinds of loop that Python calls (`loop`, `exact_loop`, `parallel_loop`) is kept on
disk (`machine_code`).

Source: Numba manual, "Performance tips"; LLVM, "Auto-vectorization".
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import config, njit
from numba.extending import register_jitable

from elbo_lab.kernels.machine_code import KeptLoop

Function = TypeVar("Function", bound=Callable[..., Any])

# `fastmath` is said here too: a function without it takes over that of the loop it is compiled for first.
EXACT_FLAGS: dict[str, Any] = {"fastmath": False, "error_model": "numpy", "nogil": True}
FLAGS = EXACT_FLAGS | {"fastmath": {"contract"}}
SUM_FLAGS = EXACT_FLAGS | {"fastmath": {"contract", "reassoc"}}


def formula(function: Function) -> Function:
    """Compile a scalar formula that is built into the loops that use it."""
    return njit(**FLAGS, forceinline=True)(function)


def exact_formula(function: Function) -> Function:
    """Compile a scalar formula that is built into exact loops."""
    return njit(**EXACT_FLAGS, forceinline=True)(function)


def sum_loop(function: Function) -> Function:
    """Compile a sum over an array, in the order of the vector registers, that is built into loops."""
    return njit(**SUM_FLAGS, forceinline=True)(function)


def loop(function: Function) -> Function:
    """Compile a loop `name(x, out)`, and keep its machine code where a folder can be written."""
    return _kept(function, FLAGS)


def parallel_loop(function: Function) -> Function:
    """Compile a loop whose `prange` runs on Numba's threads, and keep its machine code as `loop` does."""
    return _kept(function, FLAGS | {"parallel": True})


def inner_loop(function: Function) -> Function:
    """Compile a loop that only other loops call: it is kept with the machine code of its callers."""
    return register_jitable(**FLAGS)(function)


def exact_loop(function: Function) -> Function:
    """Compile a loop whose every sum, product, quotient and root is rounded, as in NumPy."""
    return _kept(function, EXACT_FLAGS)


def as_part(kept: Function) -> Function:
    """Return the loop behind a kept one, to be called by other loops, like an `inner_loop`."""
    return register_jitable(**kept.flags)(kept.py_func) if isinstance(kept, KeptLoop) else kept


def _kept(function: Function, flags: dict[str, Any]) -> Function:
    # To a type checker a compiled function is the function.
    return function if config.DISABLE_JIT else cast(Function, KeptLoop(function, flags))
