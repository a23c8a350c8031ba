"""Optimisers: how a gradient becomes a step of the parameters. All of them ascend.

Every optimiser is a recursion in each coordinate separately, with a few slots of memory per coordinate.
With g_t the gradient of the objective (which is maximised, so the step is added) and a the rate:

    sgd       v_t = mu v_{t-1} + g_t                 theta += a v_t
    adagrad   s_t = s_{t-1} + g_t^2                  theta += a g_t / (sqrt(s_t) + eps)
    adam      m_t = b1 m_{t-1} + (1 - b1) g_t        first moment, a running mean of g
              v_t = b2 v_{t-1} + (1 - b2) g_t^2      second moment, a running mean of g^2
              theta += a (m_t / (1 - b1^t)) / (sqrt(v_t / (1 - b2^t)) + eps)
    rmsprop   s_t = d s_{t-1} + (1 - d) g_t^2        theta += a g_t / (sqrt(s_t) + eps)
    adamw     theta *= 1 - a w, then as adam         w: decay of the weights

- *sgd* moves in proportion to the gradient: the unit of the parameter matters, and the rate must suit the
  curvature. Momentum mu adds up about 1 / (1 - mu) steps: divide the rate by that number.
- *adagrad* divides by the root of the sum of all squares so far: its steps fall like 1 / sqrt(t) without a
  schedule, and rarely used coordinates keep long steps. A long run slows down too early.
- *adam* divides by a running root mean square: each step is at most about the rate, in the unit of the
  parameter, whatever the scale of the objective. The divisions by 1 - b^t correct for the start at zero. With
  a constant rate it does not converge (it fluctuates within about the rate): use a schedule.
- *rmsprop* is the second half of adam: the gradient itself over its running root mean square, uncorrected.
  The memory starts at zero, so that the first step is 1 / sqrt(1 - d) times the rate.
- *adamw* is adam with a penalty on large weights that is decoupled from the gradient: every coordinate
  shrinks by the same factor in every step. A penalty inside the objective would be divided by the root mean
  square too, and coordinates with large gradients would hardly feel it. Biases and log-scales shrink like
  weights, and what is reached is no longer a maximum of the objective.

No sum runs over coordinates, so a vector may be stepped in slices, in any order or by several threads, with
the same bits. float32 and float64 parameters keep their dtype, and so does the state. A gradient that is
not finite is no error here: it makes the parameters nonfinite, which the trainer detects. A gradient whose
square overflows (above 1.8e19 in float32) makes an infinite second moment, and all but sgd then leave that
coordinate where it is, as PyTorch does (adamw only shrinks it).

Sources
-------
H. Robbins, S. Monro, "A stochastic approximation method", Ann. Math. Stat. 22 (1951).
B. T. Polyak, "Some methods of speeding up the convergence of iteration methods" (1964); in the form of
PyTorch's `SGD`, where the rate multiplies the velocity.
J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods", JMLR 12 (2011), the diagonal case; eps
outside the root, as in PyTorch's `Adagrad`.
D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
T. Tieleman, G. Hinton, "Lecture 6.5: RMSProp", Coursera (2012); eps outside the root and d = 0.99, as in
PyTorch's `RMSprop`.
I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2, with the rate on
the decay as in PyTorch's `AdamW`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_kind, bad_value, check_count, check_positive, unknown_name
from elbo_lab.kernels import compiled_twin, equal_vectors
from elbo_lab.names import parse_call

SMALLEST_EPS = 1e-37

Update = Callable[..., None]


@dataclass(frozen=True)
class Optimizer:
    """Contract of all optimisers; the objects are immutable, their memory is the `state` array.

    An optimiser defines the formula of its update and its numbers, or overrides `_move`.

    Attributes
    ----------
    name : str
        Registry name.
    summary : str
        One line for listings.
    n_slots : int
        Numbers of memory per coordinate.
    update : callable
        (params, gradient, *slots, **numbers) that moves params and slots in place.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    n_slots: ClassVar[int] = 0
    update: ClassVar[Update]

    def initial_state(self, size: int, dtype: DTypeLike = np.float64) -> Floats:
        """Return the memory before the first step, zeros (n_slots, P)."""
        return np.zeros((self.n_slots, size), dtype)

    def step(self, params: Floats, gradient: Floats, state: Floats, count: int, rate: float) -> None:
        """Take one step upwards, in place.

        Parameters
        ----------
        params : ndarray (P,)
            Written to.
        gradient : ndarray (P,)
            Of the objective; rounded to the dtype of `params`.
        state : ndarray (n_slots, P)
            Of the dtype of `params`; written to.
        count : int
            Number of this step; the first is 1.
        rate : float
            Step size.

        Raises
        ------
        ValueError
            If the shapes or the dtypes do not match.
        """
        if gradient.shape != params.shape:
            raise bad_value("gradient", f"shape {params.shape}, that of params", f"shape {gradient.shape}")
        if state.shape != (self.n_slots, *params.shape) or state.dtype != params.dtype:
            wanted = f"{params.dtype} of shape {(self.n_slots, *params.shape)}"
            got = f"{state.dtype} of shape {state.shape}"
            raise bad_value("state", wanted, got, f"make it with {self.name}'s initial_state")
        count = check_count("count", count)
        # A diverging run overflows; the caller checks the parameters.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self._move(params, gradient.astype(params.dtype, copy=False), state, count, float(rate))

    def numbers(self, count: int, rate: float) -> dict[str, float]:
        """Return the numbers of `update` in step `count`, by their names and in its order."""
        raise NotImplementedError

    def _move(self, params: Floats, gradient: Floats, state: Floats, count: int, rate: float) -> None:
        """Take the step; the arguments are checked and of one dtype."""
        self.update(params, gradient, *state, **self.numbers(count, rate))


def keep_fraction(optimizer: Optimizer, name: str) -> None:
    """Store a parameter as a Python float in [0, 1), or raise."""
    value = getattr(optimizer, name)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise bad_kind(name, "a number from 0 to below 1", repr(value))
    if not 0.0 <= value < 1.0:
        raise bad_value(name, "a number from 0 to below 1", value)
    object.__setattr__(optimizer, name, float(value))


def keep_eps(optimizer: Adam | Adagrad | RMSprop) -> None:
    """Store eps as a Python float that float32 can represent, or raise."""
    eps = check_positive("eps", optimizer.eps)
    if eps < SMALLEST_EPS:
        raise bad_value("eps", f"at least {SMALLEST_EPS:g}", eps, "float32 would round it to zero")
    object.__setattr__(optimizer, "eps", eps)


@compiled_twin("optimizers", fits=equal_vectors)
def sgd_step(params: Floats, gradient: Floats, *, rate: float) -> None:
    """Move params by one step of sgd without momentum, in place."""
    params += rate * gradient


@compiled_twin("optimizers", fits=equal_vectors)
def momentum_step(
    params: Floats, gradient: Floats, velocity: Floats, *, momentum: float, rate: float
) -> None:
    """Move params and velocity by one step of sgd with momentum, in place."""
    velocity *= momentum
    velocity += gradient
    params += rate * velocity


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient ascent with optional momentum.

    Parameters
    ----------
    momentum : float
        mu in [0, 1).
    """

    momentum: float = 0.0
    name = "sgd"
    summary = "stochastic gradient ascent with optional momentum"

    def __post_init__(self) -> None:
        keep_fraction(self, "momentum")

    @property
    def n_slots(self) -> int:  # type: ignore[override]
        return 1 if self.momentum else 0

    @property
    def update(self) -> Update:  # type: ignore[override]
        return momentum_step if self.momentum else sgd_step

    def numbers(self, count: int, rate: float) -> dict[str, float]:  # noqa: ARG002
        return {"momentum": self.momentum, "rate": rate} if self.momentum else {"rate": rate}


@compiled_twin("optimizers", fits=equal_vectors)
def adagrad_step(params: Floats, gradient: Floats, squares: Floats, *, rate: float, eps: float) -> None:
    """Move params and squares by one step of adagrad, in place."""
    squares += gradient * gradient
    params += rate * gradient / (np.sqrt(squares) + eps)


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
    update = staticmethod(adagrad_step)

    def __post_init__(self) -> None:
        keep_eps(self)

    def numbers(self, count: int, rate: float) -> dict[str, float]:  # noqa: ARG002
        return {"rate": rate, "eps": self.eps}


@compiled_twin("optimizers", fits=equal_vectors)
def adam_step(
    params: Floats,
    gradient: Floats,
    m: Floats,
    v: Floats,
    *,
    beta1: float,
    beta2: float,
    new1: float,
    new2: float,
    rate: float,
    correction: float,
    eps: float,
) -> None:
    """Move params, m and v by one Adam step, in place; every product and sum is rounded in this order.

    Parameters
    ----------
    params, gradient, m, v : ndarray (P,)
        Of one dtype.
    beta1, beta2 : float
        Decay rates of the two moments.
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
    update: ClassVar[Update] = staticmethod(adam_step)

    def __post_init__(self) -> None:
        keep_fraction(self, "beta1")
        keep_fraction(self, "beta2")
        keep_eps(self)

    def numbers(self, count: int, rate: float) -> dict[str, float]:
        return {
            "beta1": self.beta1,
            "beta2": self.beta2,
            "new1": 1.0 - self.beta1,
            "new2": 1.0 - self.beta2,
            "rate": rate / (1.0 - self.beta1**count),
            "correction": 1.0 / math.sqrt(1.0 - self.beta2**count),
            "eps": self.eps,
        }


@compiled_twin("optimizers", fits=equal_vectors)
def rmsprop_step(
    params: Floats, gradient: Floats, squares: Floats, *, decay: float, new: float, rate: float, eps: float
) -> None:
    """Move params and squares by one step of rmsprop, in place; `new` is 1 - decay, formed in float64."""
    squares *= decay
    squares += (new * gradient) * gradient
    params += rate * gradient / (np.sqrt(squares) + eps)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Steps over the running root mean square.

    Parameters
    ----------
    decay : float
        d in [0, 1), of the running mean of squares.
    eps : float
        Added to the root.
    """

    decay: float = 0.99
    eps: float = 1e-8
    name = "rmsprop"
    summary = "the gradient over its running root mean square"
    n_slots = 1
    update = staticmethod(rmsprop_step)

    def __post_init__(self) -> None:
        keep_fraction(self, "decay")
        keep_eps(self)

    def numbers(self, count: int, rate: float) -> dict[str, float]:  # noqa: ARG002
        return {"decay": self.decay, "new": 1.0 - self.decay, "rate": rate, "eps": self.eps}


@compiled_twin("optimizers", fits=equal_vectors)
def adamw_step(
    params: Floats,
    gradient: Floats,
    m: Floats,
    v: Floats,
    *,
    beta1: float,
    beta2: float,
    new1: float,
    new2: float,
    rate: float,
    correction: float,
    eps: float,
    kept: float,
) -> None:
    """Shrink params to the share `kept`, then take one step as `adam_step` does, in place."""
    params *= kept
    adam_step.definition(
        params,
        gradient,
        m,
        v,
        beta1=beta1,
        beta2=beta2,
        new1=new1,
        new2=new2,
        rate=rate,
        correction=correction,
        eps=eps,
    )


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weights that decay, decoupled from the gradient.

    Parameters
    ----------
    decay : float
        w in [0, 1); every step shrinks the parameters by the factor 1 - rate w.

    The other parameters are those of `Adam`.
    """

    decay: float = 0.01
    name = "adamw"
    summary = "adam, and all parameters shrink by a factor (decoupled weight decay)"
    update: ClassVar[Update] = staticmethod(adamw_step)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep_fraction(self, "decay")

    def numbers(self, count: int, rate: float) -> dict[str, float]:
        return super().numbers(count, rate) | {"kept": 1.0 - rate * self.decay}


OPTIMIZERS = MappingProxyType({kind.name: kind for kind in (SGD, Adam, Adagrad, RMSprop, AdamW)})


def parse_optimizer(text: str) -> Optimizer:
    """Return the optimiser of a text: 'adam', 'sgd:0.9', 'rmsprop(decay=0.9)'.

    Parameters
    ----------
    text : str
        A name, with arguments in parentheses where others than the usual ones are wanted; of sgd the momentum
        may also stand after a colon.

    Raises
    ------
    ValueError, TypeError
        If the name or an argument is unknown, or out of range.
    """
    if "(" not in text:
        name, colon, value = text.partition(":")
        return find_optimizer(name, value if colon else None)
    name, options = parse_call(text, "optimizer")
    return find_optimizer(name, **options)


def find_optimizer(name: str, value: str | float | None = None, **options: Any) -> Optimizer:
    """Return the optimiser of a name, such as `find_optimizer("sgd", momentum=0.9)`.

    Parameters
    ----------
    name : {'sgd', 'adam', 'adagrad', 'rmsprop', 'adamw'}
    value : str or float, optional
        The text after the colon in 'sgd:0.9': the momentum. The other optimisers take none.
    **options
        Parameters of that optimiser.

    Raises
    ------
    ValueError
        If the name is unknown, or an option is not one of that optimiser.
    """
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, list(OPTIMIZERS))
    if value is not None:
        options = _momentum_of(name, value) | options
    known = [field.name for field in fields(OPTIMIZERS[name])]
    for option in options:
        if option not in known:
            raise bad_value("optimizer", f"options of {name} ({', '.join(known)})", repr(option))
    return OPTIMIZERS[name](**options)


def _momentum_of(name: str, value: str | float) -> dict[str, float]:
    """Return {'momentum': number} for the text after the colon, or raise."""
    if name != SGD.name:
        raise bad_value("optimizer", f"{name!r} without a number", f"'{name}:{value}'", "only sgd takes one")
    try:
        momentum = float(value)
    except (TypeError, ValueError):
        momentum = math.nan
    if not 0.0 <= momentum < 1.0:
        raise bad_value("optimizer", "'sgd:MOMENTUM' with a number from 0 to below 1", f"'{name}:{value}'")
    return {"momentum": momentum}
