"""How kernels are compiled: decorators, so that all compiler flags are in one place.

`formula` is for a scalar formula that is inlined into loops, `loop` for a loop that Python calls,
`parallel_loop` for one that starts threads (`prange`), `inner_loop` for a loop that other loops call, and
`exact_formula` and `exact_loop` for code that gives the same bits as its definition: no `contract`.
`sum_loop` is for a sum over an array that is inlined into a loop.

- `contract` is the only relaxation of floating point: a product and a sum may become one fused
  multiply-add, which rounds once and not twice. It keeps nan and the infinities, and reorders no sum, so
  values do not depend on the vector width.
- `reassoc`, in `sum_loop` only: a sum over an array may be computed as one sum per lane of a register;
  without it, it runs one number at a time. Its last bits depend on the vector width, never on the
  threads. Such a function must not use a formula of `exponential`: its roundings would be optimised away.
- `error_model="numpy"`: a division by zero gives inf and not an exception. The test for the
  exception is a branch, and one branch in the body keeps LLVM from vectorising the whole loop.
- `forceinline`: a formula that remains a function call also prevents vectorisation. LLVM stops inlining at
  about the length of `softplus`, which then takes 42 ns per element instead of 3.
- `nogil`: threads run in parallel.

The machine code of the loops that Python calls (`loop`, `exact_loop`, `parallel_loop`) is cached on disk
(`machine_code`).

Source: Numba manual, "Performance tips"; LLVM, "Auto-vectorization".
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import config, njit
from numba.extending import register_jitable

from elbo_lab.kernels.machine_code import CachedLoop

Function = TypeVar("Function", bound=Callable[..., Any])

# `fastmath` is explicit: a function without it inherits that of the loop for which it is first compiled.
EXACT_FLAGS: dict[str, Any] = {"fastmath": False, "error_model": "numpy", "nogil": True}
FLAGS = EXACT_FLAGS | {"fastmath": {"contract"}}
SUM_FLAGS = EXACT_FLAGS | {"fastmath": {"contract", "reassoc"}}


def formula(function: Function) -> Function:
    """Compile a scalar formula that is inlined into the loops that use it."""
    return njit(**FLAGS, forceinline=True)(function)


def exact_formula(function: Function) -> Function:
    """Compile a scalar formula that is inlined into exact loops."""
    return njit(**EXACT_FLAGS, forceinline=True)(function)


def sum_loop(function: Function) -> Function:
    """Compile a sum over an array, in the order of the vector registers, that is inlined into loops."""
    return njit(**SUM_FLAGS, forceinline=True)(function)


def loop(function: Function) -> Function:
    """Compile a loop that Python calls, and cache its machine code where a folder is writable."""
    return _cached(function, FLAGS)


def parallel_loop(function: Function) -> Function:
    """Compile a loop whose `prange` runs on Numba's threads, and cache its machine code."""
    return _cached(function, FLAGS | {"parallel": True})


def inner_loop(function: Function) -> Function:
    """Compile a loop that only other loops call; its machine code is part of theirs."""
    return register_jitable(**FLAGS)(function)


def exact_loop(function: Function) -> Function:
    """Compile a loop that rounds every sum, product, quotient and root, as NumPy does."""
    return _cached(function, EXACT_FLAGS)


def as_part(cached: Function) -> Function:
    """Return the `inner_loop` of a loop that Python calls, for use in other loops."""
    return register_jitable(**cached.flags)(cached.py_func) if isinstance(cached, CachedLoop) else cached


def _cached(function: Function, flags: dict[str, Any]) -> Function:
    # For a type checker a compiled function has the type of its source.
    return function if config.DISABLE_JIT else cast(Function, CachedLoop(function, flags))
