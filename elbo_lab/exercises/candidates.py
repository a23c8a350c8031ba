"""Estimators of the gradient of the ELBO as the text that a student reads, unbiased ones and biased ones.

The check runs the same text, so that what is read and what is judged cannot differ. All are functions of
noise eps (R, S): R estimates (R, 2) in (mean, log sd) of q, each from S draws.
"""

from collections.abc import Callable
from importlib.abc import InspectLoader
from types import ModuleType
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats

Candidate = Callable[[Floats], Floats]

SETTING = '''\
X = np.array({x})  # (D,) one datum
W = np.array({w})  # (D,) p(x | z) = N(W z, I), p(z) = N(0, 1)
MEAN, SD = {mean}, {sd}  # q(z) = N(MEAN, SD^2)
S = 4  # draws of z in one estimate


def log_weight(z):
    """Return log p(X, z) - log q(z) up to a constant, for z of any shape."""
    errors = X - W * z[..., None]
    return -0.5 * z**2 - 0.5 * (errors**2).sum(axis=-1) + 0.5 * ((z - MEAN) / SD) ** 2


def slope_of_log_p(z):
    """Return d log p(X, z) / dz."""
    return (W * (X - W * z[..., None])).sum(axis=-1) - z


def score(eps):
    """Return d log q(z) / d (MEAN, log SD) at z = MEAN + SD eps, on a last axis of two."""
    return np.stack([eps / SD, eps**2 - 1.0], axis=-1)


def path(eps):
    """Return dz / d (MEAN, log SD) at z = MEAN + SD eps, on a last axis of two."""
    return np.stack([np.ones_like(eps), SD * eps], axis=-1)


# The candidates: from noise eps (R, S), R estimates (R, 2) of the gradient in (MEAN, log SD).
'''

UNBIASED = {
    "REINFORCE, mean of the other draws": """\
    f = log_weight(MEAN + SD * eps)
    level = (f.sum(axis=-1, keepdims=True) - f) / (S - 1)
    return ((f - level)[..., None] * score(eps)).mean(axis=-2)
""",
    "REINFORCE, f at the mean of q": """\
    f = log_weight(MEAN + SD * eps)
    level = log_weight(np.full_like(eps, MEAN))
    return ((f - level)[..., None] * score(eps)).mean(axis=-2)
""",
    "REINFORCE, f of the next draw": """\
    f = log_weight(MEAN + SD * eps)
    level = np.roll(f, 1, axis=-1)
    return ((f - level)[..., None] * score(eps)).mean(axis=-2)
""",
    "REINFORCE, smallest of the other draws": """\
    f = log_weight(MEAN + SD * eps)
    level = np.stack([np.delete(f, s, axis=-1).min(axis=-1) for s in range(S)], axis=-1)
    return ((f - level)[..., None] * score(eps)).mean(axis=-2)
""",
    "pathwise, without the score term": """\
    slope = slope_of_log_p(MEAN + SD * eps) + eps / SD
    return (slope[..., None] * path(eps)).mean(axis=-2)
""",
    "pathwise, entropy in closed form": """\
    slope = slope_of_log_p(MEAN + SD * eps)
    return (slope[..., None] * path(eps)).mean(axis=-2) + np.array([0.0, 1.0])
""",
}

BIASED = {
    "REINFORCE, mean of all draws": """\
    f = log_weight(MEAN + SD * eps)
    level = f.mean(axis=-1, keepdims=True)
    return ((f - level)[..., None] * score(eps)).mean(axis=-2)
""",
    "REINFORCE, median of all draws": """\
    f = log_weight(MEAN + SD * eps)
    level = np.median(f, axis=-1, keepdims=True)
    return ((f - level)[..., None] * score(eps)).mean(axis=-2)
""",
    "REINFORCE, smallest of all draws": """\
    f = log_weight(MEAN + SD * eps)
    level = f.min(axis=-1, keepdims=True)
    return ((f - level)[..., None] * score(eps)).mean(axis=-2)
""",
    "REINFORCE, best constant fitted to all draws": """\
    f, h = log_weight(MEAN + SD * eps)[..., None], score(eps)
    level = (f * h**2).sum(axis=-2, keepdims=True) / (h**2).sum(axis=-2, keepdims=True)
    return ((f - level) * h).mean(axis=-2)
""",
    "REINFORCE, mean of a draw and the next": """\
    f = log_weight(MEAN + SD * eps)
    level = 0.5 * (f + np.roll(f, 1, axis=-1))
    return ((f - level)[..., None] * score(eps)).mean(axis=-2)
""",
}
"""All for one reason: the baseline of a draw depends on that draw."""


def source(setting: str, bodies: dict[str, str]) -> str:
    """Return the Python text of a setting and of named candidates."""
    return "\n\n".join([setting, *(f"def {name}(eps):\n{body}" for name, body in bodies.items())])


def run_source(text: str) -> dict[str, Any]:
    """Return the names that a text of this module defines."""
    module = ModuleType("candidates")
    vars(module)["np"] = np
    _Text(text).exec_module(module)
    return vars(module)


class _Text(InspectLoader):
    """Loads a module from its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - there is one module
        """Return the text."""
        return self.text
