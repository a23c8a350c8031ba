"""Loops for the squashing functions: the compiled twins of `tanh`, `softplus` and `sigmoid`.

The formulas are those of `elbo_lab.special`, on the vectorising core of `exponential`:

    tanh(x)     = sign(x) e / (e + 2),                e = expm1(2 |x|)
    softplus(x) = max(x, 0) + log1p(t),               t = exp(-|x|)
    sigmoid(x)  = (t where x < 0, else 1) / (1 + t),  t = exp(-|x|)

@@MEASURED@@
"""

import math

import numpy as np

from elbo_lab.kernels.compiling import formula, loop
from elbo_lab.kernels.exponential import exp_of_negative, expm1_of_positive, log1p_of_fraction


@formula
def _tanh(x):
    size = abs(x)
    # tanh(22) rounds to one; nan fails the comparison and stays.
    size = 22.0 if size > 22.0 else size
    e = expm1_of_positive(size + size)
    return math.copysign(e / (e + 2.0), x)


@formula
def _softplus(x):
    positive_part = 0.0 if x < 0.0 else x
    return positive_part + log1p_of_fraction(exp_of_negative(-abs(x)))


@formula
def _sigmoid(x):
    t = exp_of_negative(-abs(x))
    return (t if x < 0.0 else 1.0) / (1.0 + t)


@loop
def tanh(x, out):
    """Write tanh(x) into `out`; both (n,) and contiguous."""
    for i in range(x.shape[0]):
        out[i] = _tanh(np.float64(x[i]))


@loop
def softplus(x, out):
    """Write log(1 + exp(x)) into `out`; both (n,) and contiguous."""
    for i in range(x.shape[0]):
        out[i] = _softplus(np.float64(x[i]))


@loop
def sigmoid(x, out):
    """Write 1 / (1 + exp(-x)) into `out`; both (n,) and contiguous."""
    for i in range(x.shape[0]):
        out[i] = _sigmoid(np.float64(x[i]))
