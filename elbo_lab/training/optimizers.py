"""Optimisers: what becomes of a gradient before it is added to the parameters. All of them climb.

Every optimiser is a recursion in each coordinate by itself, with a few memory slots per coordinate.
With g_t the gradient of the objective (the ELBO goes up, so the step is added) and a the rate:

    sgd       v_t = mu v_{t-1} + g_t                 theta += a v_t
    adagrad   s_t = s_{t-1} + g_t^2                  theta += a g_t / (sqrt(s_t) + eps)
    adam      m_t = b1 m_{t-1} + (1 - b1) g_t        first moment, a running mean of g
              v_t = b2 v_{t-1} + (1 - b2) g_t^2      second moment, a running mean of g^2
              theta += a (m_t / (1 - b1^t)) / (sqrt(v_t / (1 - b2^t)) + eps)

- *sgd* moves by the size of the gradient: the unit of the parameter matters, and the rate must fit the
  curvature. Momentum mu averages over about 1 / (1 - mu) steps and is as long as that many: divide the
  rate accordingly.
- *adagrad* divides by the root of everything seen so far: rates fall like 1 / sqrt(t) by themselves, and
  rarely used coordinates keep long steps. On a long run it stops early.
- *adam* divides by a running root mean square: each step is at most about the rate, in the unit of the
  parameter, whatever the scale of the objective. The divisions by 1 - b^t undo the start at zero. With a
  constant rate it does not come to rest (its noise ball has the size of the rate): use a schedule.

No sum goes over coordinates, so a vector may be stepped in slices, in any order or by several threads, and
gives the same bits. float32 and float64 parameters keep their dtype, and so does the state. A gradient that
is not finite is not an error here: it makes parameters that are not finite, which the trainer detects. One
whose square overflows (above 1.8e19 in float32) makes an infinite second moment, and adam and adagrad then
leave that coordinate where it is, as PyTorch does.

Sources
-------
H. Robbins, S. Monro, "A stochastic approximation method", Ann. Math. Stat. 22 (1951).
B. T. Polyak, "Some methods of speeding up the convergence of iteration methods" (1964); in the form of
PyTorch's `SGD`, where the rate stands outside the velocity.
J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods", JMLR 12 (2011), the diagonal case; eps
outside the root, as in PyTorch's `Adagrad`.
D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
"""

from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np

from elbo_lab.errors import bad_value, unknown_name
from elbo_lab.training.adam import Adam
from elbo_lab.training.optimizer import Optimizer, keep_eps, keep_fraction


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient ascent, with momentum if asked.

    Parameters
    ----------
    momentum : float
        mu in [0, 1).
    """

    momentum: float = 0.0
    name = "sgd"
    summary = "stochastic gradient ascent, with momentum if asked"

    def __post_init__(self):
        keep_fraction(self, "momentum")

    @property
    def n_slots(self):
        return 1 if self.momentum else 0

    def _move(self, params, gradient, state, count, rate):  # noqa: ARG002
        if self.momentum:
            velocity = state[0]
            velocity *= self.momentum
            velocity += gradient
            gradient = velocity
        params += rate * gradient


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Steps over the root of the sum of all squares so far.

    Parameters
    ----------
    eps : float
        Added to the root; only guards a coordinate whose gradient has always been zero.
    """

    eps: float = 1e-10
    name = "adagrad"
    summary = "steps over the root of the sum of all squared gradients"
    n_slots = 1

    def __post_init__(self):
        keep_eps(self)

    def _move(self, params, gradient, state, count, rate):  # noqa: ARG002
        squares = state[0]
        squares += gradient * gradient
        params += rate * gradient / (np.sqrt(squares) + self.eps)


OPTIMIZERS = MappingProxyType({kind.name: kind for kind in (SGD, Adam, Adagrad)})


def find_optimizer(name, value=None, **options):
    """Return the optimiser of a name, such as `find_optimizer("sgd", momentum=0.9)`.

    Parameters
    ----------
    name : {'sgd', 'adam', 'adagrad'}
    value : str or float, optional
        What stands after the colon in 'sgd:0.9': the momentum. The others take none.
    **options
        Parameters of that optimiser.

    Raises
    ------
    ValueError
        If the name is unknown, or an option is not one of that optimiser.
    """
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, list(OPTIMIZERS))
    if value is not None:
        options = _momentum_of(name, value) | options
    known = [field.name for field in fields(OPTIMIZERS[name])]
    for option in options:
        if option not in known:
            raise bad_value("optimizer", f"options of {name} ({', '.join(known)})", repr(option))
    return OPTIMIZERS[name](**options)


def _momentum_of(name, value):
    """Return {'momentum': number} for the text after the colon, or raise."""
    if name != SGD.name:
        raise bad_value("optimizer", f"{name!r} without a number", f"'{name}:{value}'", "only sgd takes one")
    try:
        return {"momentum": float(value)}
    except (TypeError, ValueError):
        wanted = "'sgd:MOMENTUM' with a number from 0 to below 1"
        raise bad_value("optimizer", wanted, f"'{name}:{value}'") from None
