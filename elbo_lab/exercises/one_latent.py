"""One datum of three columns and one Gaussian latent, with constants of the student's own.

    z ~ N(0, 1),   x_d ~ N(w_d z, 1),   q = N(mean, sd^2)

Everything is known exactly: the posterior is N(w'x / c, 1 / c) with c = 1 + w'w, and the ELBO has the
gradient (w'x - c mean, 1 - c sd^2) in (mean, log sd).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats

COLUMNS = 3


def one_latent(rng: np.random.Generator) -> dict[str, Any]:
    """Return x (3,), w (3,), and mean and sd of a q that is neither the posterior nor far from it.

    Numbers have two decimals, so that they can be typed.
    """
    w = np.round(rng.uniform(0.4, 1.2, COLUMNS) * rng.choice([-1.0, 1.0], COLUMNS), 2)
    x = np.round(rng.normal(0.0, 1.2, COLUMNS), 2)
    mean, sd = posterior({"x": x, "w": w})
    shift = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 0.8)
    return {"x": x, "w": w, "mean": round(float(mean + shift), 2), "sd": round(1.4 * float(sd), 2)}


def posterior(scene: Mapping[str, Any]) -> tuple[float, float]:
    """Return mean and sd of the exact posterior."""
    precision = 1.0 + scene["w"] @ scene["w"]
    return float(scene["w"] @ scene["x"] / precision), float(precision**-0.5)


def log_weight(scene: Mapping[str, Any], z: Floats) -> Floats:
    """Return log p(x, z) - log q(z), in nats, for draws z (S,)."""
    errors = scene["x"] - np.multiply.outer(z, scene["w"])
    log_p = -0.5 * z**2 - 0.5 * (errors**2).sum(axis=-1) - 0.5 * COLUMNS * np.log(2.0 * np.pi)
    return log_p + 0.5 * ((z - scene["mean"]) / scene["sd"]) ** 2 + np.log(scene["sd"])


def slope_of_log_p(scene: Mapping[str, Any], z: Floats) -> Floats:
    """Return d log p(x, z) / dz for draws z (S,)."""
    return (scene["x"] - np.multiply.outer(z, scene["w"])) @ scene["w"] - z


def elbo_gradient(scene: Mapping[str, Any]) -> Floats:
    """Return the exact gradient (2,) of the ELBO in mean and log sd of q."""
    precision = 1.0 + scene["w"] @ scene["w"]
    in_mean = scene["w"] @ scene["x"] - precision * scene["mean"]
    return np.array([in_mean, 1.0 - precision * scene["sd"] ** 2])


def scores(scene: Mapping[str, Any], eps: Floats) -> Floats:
    """Return d log q(z) / d (mean, log sd) at z = mean + sd eps, for noise (S,): (S, 2)."""
    return np.stack([eps / scene["sd"], eps**2 - 1.0], axis=-1)
