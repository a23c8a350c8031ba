"""Exercise: the logarithm of a sum of exponentials, without overflow."""

import numpy as np

from elbo_lab import special
from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Scene

FAR = 1000.0


def _sum(a: Floats) -> Floats:
    return special.log_sum_exp(a, axis=-1)


def _mean(a: Floats) -> Floats:
    return special.log_mean_exp(a, axis=-1)


def scene(rng: np.random.Generator) -> Scene:
    """Draw log-weights of the size that a model with some columns has."""
    return {"a": rng.normal(-3.0, 2.0, size=(4, 6))}


def _far_apart(scene: Scene) -> Floats:
    a = scene["a"].copy()
    a[1] -= FAR
    a[2] += FAR
    return a


def _with_zeros(scene: Scene) -> Floats:
    a = scene["a"].copy()
    a[:, 2] = -np.inf
    return a


def _nothing(scene: Scene) -> Floats:
    return np.full_like(scene["a"][:1], -np.inf)


def _unshifted(a: Floats) -> Floats:
    return np.log(np.exp(a).sum(axis=-1))


def _shifted_by_all(a: Floats) -> Floats:
    return np.log(np.exp(a - a.max()).sum(axis=-1)) + a.max()


def _shifted_by_mean(a: Floats) -> Floats:
    mean = a.mean(axis=-1, keepdims=True)
    return np.log(np.exp(a - mean).sum(axis=-1)) + mean[..., 0]


def _unguarded(a: Floats) -> Floats:
    return _sum(a) + 0.0 * a.max(axis=-1)


EXERCISE = Exercise(
    name="log-sum-exp",
    title="The logarithm of a sum of exponentials",
    lesson="numerics.md",
    minutes=15,
    statement="""
A draw has a log-weight a_s, and log p(x) is estimated by log (1/S) sum over s of
exp(a_s). The log-weights of 64 pixels are around -150, those of a photograph below
-10000, and exp of them is 0. Write both functions so that no exponential overflows
and no sum vanishes: take something out of the sum first.

A log-weight of -inf is a draw of probability zero, and a term of 0. If all are
-inf, the answer is -inf, not nan. NumPy alone suffices.
""",
    functions=(
        Function(
            "log_sum_exp",
            "a",
            """Return log of the sum over s of exp(a_s), for each row.

Parameters
----------
a : array (N, S)
    Logarithms; may hold -inf.

Returns
-------
array (N,)
""",
            _sum,
        ),
        Function(
            "log_mean_exp",
            "a",
            """Return log of the mean over s of exp(a_s), for each row.

Parameters
----------
a : array (N, S)
    Logarithms; may hold -inf.

Returns
-------
array (N,)
""",
            _mean,
        ),
    ),
    scene=scene,
    laws=(
        Law("log(exp(0) + exp(0)) = log 2 = 0.6931", 1, lambda _: [Call("log_sum_exp", (np.zeros((1, 2)),))]),
        Law("your four rows of six numbers: the exact sum", 2, lambda s: [Call("log_sum_exp", (s["a"],))]),
        Law(
            "the mean of equal numbers is this number",
            1,
            lambda _: [Call("log_mean_exp", (np.ones((1, 5)),))],
        ),
        Law("your four rows: the exact mean", 2, lambda s: [Call("log_mean_exp", (s["a"],))]),
        Law(
            "one row 1000 lower and one 1000 higher than the others: sum and mean follow",
            3,
            lambda s: [Call("log_sum_exp", (_far_apart(s),)), Call("log_mean_exp", (_far_apart(s),))],
        ),
        Law(
            "a log-weight of -inf adds nothing",
            1,
            lambda s: [Call("log_sum_exp", (_with_zeros(s),)), Call("log_mean_exp", (_with_zeros(s),))],
        ),
        Law("nothing but -inf: the sum is -inf", 1, lambda s: [Call("log_sum_exp", (_nothing(s),))]),
    ),
    faults=(
        Fault(
            "log_sum_exp", "nothing is taken out of the sum: exp overflows, or all terms are 0", _unshifted
        ),
        Fault("log_sum_exp", "one maximum is taken for all rows: each row needs its own", _shifted_by_all),
        Fault(
            "log_sum_exp",
            "the mean is taken out; only the maximum keeps every exponent below 0",
            _shifted_by_mean,
        ),
        Fault(
            "log_sum_exp",
            "the maximum is subtracted and not added again",
            lambda a: _sum(a) - a.max(axis=-1),
        ),
        Fault(
            "log_sum_exp", "-inf minus -inf is nan: a row of -inf needs a maximum that is finite", _unguarded
        ),
        Fault("log_sum_exp", "log S is subtracted: that is the mean, and here the sum is wanted", _mean),
        Fault(
            "log_sum_exp",
            "this is the sum of the exponentials, without its logarithm",
            lambda a: np.exp(_sum(a)),
        ),
        Fault("log_mean_exp", "log S is not subtracted: your numbers are those of the sum", _sum),
        Fault(
            "log_mean_exp",
            "the mean of the logarithms is taken, not the logarithm of the mean",
            lambda a: a.mean(axis=-1),
        ),
        Fault(
            "log_mean_exp",
            "the sum is divided by S after its logarithm was taken",
            lambda a: _sum(a) / a.shape[-1],
        ),
        Fault(
            "log_mean_exp",
            "nothing is taken out of the mean: exp overflows, or all terms are 0",
            lambda a: _unshifted(a) - np.log(a.shape[-1]),
        ),
        Fault(
            "log_mean_exp",
            "S is taken from the rows: the mean goes over the last axis",
            lambda a: _sum(a) - np.log(len(a)),
        ),
    ),
    example="""
print("log(1 + 1) =", log_sum_exp(np.zeros((1, 2))), "should be 0.6931")
print("1000 higher:", log_sum_exp(np.full((1, 2), 1000.0)), "should be 1000.6931")
""",
)
