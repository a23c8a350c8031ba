"""Loops behind a short wait: look at a number in memory until it has risen, without the interpreter's lock.

The user is `elbo_lab.crew`. The number is read anew at every look (an atomic load); an ordinary load would be
taken out of the loop by the compiler. Now and then whoever waits offers the core to other threads: where
there are more threads than cores the one that is waited for may not be running.
"""

import ctypes
import functools

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from elbo_lab.kernels.compiling import inner_loop, loop
from elbo_lab.kernels.signals import BROKEN, COUNT, KIND

WORD = 8
# Looks before a core is offered, some microseconds of them.
LOOKS_BEFORE_YIELD = 10_000


@intrinsic
def _now(context, signal, index):  # noqa: ARG001 - the signature of an intrinsic
    """Return signal[index] of an int64 array, as it stands in memory."""

    def generate(context, builder, signature, values):
        array = make_array(signature.args[0])(context, builder, values[0])
        return builder.load_atomic(builder.gep(array.data, [values[1]]), "acquire", WORD)

    return types.int64(signal, types.intp), generate


@intrinsic
def add_one(context, signal):  # noqa: ARG001
    """Add one to signal[0] of an int64 array, and return the sum; no thread comes between.

    For compiled code only.
    """

    def generate(context, builder, signature, values):
        array, one = (
            make_array(signature.args[0])(context, builder, values[0]),
            ir.Constant(ir.IntType(64), 1),
        )
        return builder.add(builder.atomic_rmw("add", array.data, one, "seq_cst"), one)

    return types.int64(signal), generate


@intrinsic
def _call(context, address):  # noqa: ARG001
    """Call the function without arguments at an address."""

    def generate(context, builder, signature, values):  # noqa: ARG001
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@functools.cache
def address_of_yield():
    """Return the address of the system's function that offers the core to another thread, or 0."""
    try:
        function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):  # no POSIX
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value


@inner_loop
def _offer(offer_core):
    if offer_core != 0:
        _call(offer_core)


@loop
def _look(signal, goal, looks, offer_core):
    for look in range(looks):
        if _now(signal, COUNT) >= goal or _now(signal, BROKEN) != 0:
            return True
        if look % LOOKS_BEFORE_YIELD == LOOKS_BEFORE_YIELD - 1:
            _offer(offer_core)
    return False


@loop
def _rise(signal):
    add_one(signal)


def has_risen(signal, goal, looks):
    """Return whether a signal has reached the goal, or is broken, within so many looks.

    Parameters
    ----------
    signal : ndarray (3,) int64
        A count that rises, whether nobody shall wait for it any more, and a kind.
    goal, looks : int
        Where compiling is switched off there is one look.
    """
    if config.DISABLE_JIT:
        return bool(signal[COUNT] >= goal or signal[BROKEN])
    return _look(signal, goal, looks, address_of_yield())


def rise(signal):
    """Add one to a signal; what was written before is there for whoever sees it."""
    if config.DISABLE_JIT:
        signal[COUNT] += 1
    else:
        _rise(signal)


@inner_loop
def has_order(orders, order, kind, looks, offer_core):
    """Return whether an order of a kind has come within so many looks."""
    for look in range(looks):
        if _now(orders, COUNT) >= order:
            return _now(orders, KIND) == kind
        if look % LOOKS_BEFORE_YIELD == LOOKS_BEFORE_YIELD - 1:
            _offer(offer_core)
    return False


@inner_loop
def meet(arrivals, size, offer_core):
    """Wait until as many have come as there are members; return whether none has failed.

    Parameters
    ----------
    arrivals : ndarray (3,) int64
        A signal that counts who came to this meeting and those before.
    size : int
        Members.
    offer_core : int
        As from `address_of_yield`.
    """
    goal = (add_one(arrivals) + size - 1) // size * size
    while True:
        for _ in range(LOOKS_BEFORE_YIELD):
            if _now(arrivals, BROKEN) != 0:
                return False
            if _now(arrivals, COUNT) >= goal:
                return True
        _offer(offer_core)


@inner_loop
def wait_for(count, goal, offer_core):
    """Wait until count[0] of an int64 array has risen to the goal; `offer_core` as in `meet`."""
    while True:
        for _ in range(LOOKS_BEFORE_YIELD):
            if _now(count, COUNT) >= goal:
                return
        _offer(offer_core)
