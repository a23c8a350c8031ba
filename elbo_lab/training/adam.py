"""Adam: a step of the size of the rate, whatever the scale of the gradient.

    m_t = b1 m_{t-1} + (1 - b1) g_t,   v_t = b2 v_{t-1} + (1 - b2) g_t^2
    theta += a (m_t / (1 - b1^t)) / (sqrt(v_t / (1 - b2^t)) + eps)

When it helps, when it fails and how it compares with its neighbours stands in `optimizers`.

Source: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
"""

import math
from dataclasses import dataclass

import numpy as np

from elbo_lab.kernels import compiled_twin, equal_vectors
from elbo_lab.training.optimizer import Optimizer, keep_eps, keep_fraction, weighted_sum


@compiled_twin("adam", fits=equal_vectors)
def adam_step(params, gradient, m, v, *, beta1, beta2, new1, new2, rate, correction, eps):
    """Move params, m and v by one Adam step, in place; every product and sum is rounded in this order.

    Parameters
    ----------
    params, gradient, m, v : ndarray (P,)
        Of one dtype.
    beta1, beta2 : float
        What is kept of the two moments.
    new1, new2 : float
        1 - beta1 and 1 - beta2, formed in float64: in float32, 1 - 0.999 is wrong by 5e-5.
    rate : float
        Step size over 1 - beta1^t.
    correction : float
        1 / sqrt(1 - beta2^t).
    eps : float
    """
    m *= beta1
    m += new1 * gradient
    v *= beta2
    v += (new2 * gradient) * gradient
    params += (rate * m) / (np.sqrt(v) * correction + eps)


@compiled_twin("adam", fits=equal_vectors)
def adam_step_of_two(
    params, first, second, m, v, *, share1, share2, beta1, beta2, new1, new2, rate, correction, eps
):
    """Do `adam_step` along share1 first + share2 second: how two blocks of a batch move the parameters.

    Parameters
    ----------
    first, second : ndarray (P,)
        Gradients.
    share1, share2 : float
    """
    numbers = {"beta1": beta1, "beta2": beta2, "new1": new1, "new2": new2}
    numbers |= {"rate": rate, "correction": correction, "eps": eps}
    adam_step.definition(params, share1 * first + share2 * second, m, v, **numbers)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Running mean over running root mean square, both corrected for their start at zero.

    Parameters
    ----------
    beta1, beta2 : float
        In [0, 1).
    eps : float
        Added to the root.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    name = "adam"
    summary = "running mean of the gradient over its running root mean square"
    n_slots = 2

    def __post_init__(self):
        keep_fraction(self, "beta1")
        keep_fraction(self, "beta2")
        keep_eps(self)

    def numbers(self, count, rate):
        """Return the numbers of `adam_step` in step `count`, by their names."""
        return {
            "beta1": self.beta1,
            "beta2": self.beta2,
            "new1": 1.0 - self.beta1,
            "new2": 1.0 - self.beta2,
            "rate": rate / (1.0 - self.beta1**count),
            "correction": 1.0 / math.sqrt(1.0 - self.beta2**count),
            "eps": self.eps,
        }

    def _move(self, params, gradient, state, count, rate):
        adam_step(params, gradient, *state, **self.numbers(count, rate))

    def _move_along_sum(self, params, gradients, shares, state, count, rate):
        *others, last = gradients
        first, share = others[0], shares[0]
        if len(others) > 1:
            first, share = weighted_sum(others, shares[:-1]), 1.0
        numbers = self.numbers(count, rate) | {"share1": share, "share2": shares[-1]}
        adam_step_of_two(params, first, last, *state, **numbers)
