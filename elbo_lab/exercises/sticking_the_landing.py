"""Exercise: the pathwise gradient of the ELBO without its score term."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.exercises.one_latent import elbo_gradient, one_latent, posterior, scores, slope_of_log_p

STATEMENT = """\
q = N(mean, sd^2) with z = mean + sd eps. The total derivative of
log p(x, z) - log q(z; mean, log sd) goes three ways: through z into log p, through z
into log q, and through the parameters that log q has itself. The third is minus the
score, whose expectation is zero: leave it out. What remains is

    d/dz [log p(x, z) - log q(z)]  times  dz / d (mean, log sd).

Write it for each draw. At the exact posterior every single draw gives exactly zero."""

DRAWS = 5
NODES = 12  # the integrand is a polynomial of degree 2 in the noise


def path_gradient(slope_of_log_p: Floats, z: Floats, mean: float, log_sd: float) -> Floats:
    """Return the gradient of every draw in (mean, log sd): (S, 2)."""
    return _along(slope_of_log_p + (z - mean) / np.exp(2.0 * log_sd), z - mean)


def _along(slope: Floats, path: Floats) -> Floats:
    """Return slope times dz / d (mean, log sd), where dz / d mean is 1."""
    return np.stack([slope, slope * path], axis=1)


def scene(rng: np.random.Generator) -> dict[str, Any]:
    """Return q, x, w and the noise of the draws."""
    return one_latent(rng) | {"eps": rng.standard_normal(DRAWS)}


def _call(scene: Scene, eps: Floats) -> Call:
    z = scene["mean"] + scene["sd"] * eps
    return Call("path_gradient", (slope_of_log_p(scene, z), z, scene["mean"], np.log(scene["sd"])))


def _at_posterior(scene: Scene) -> Scene:
    mean, sd = posterior(scene)
    return {**scene, "mean": mean, "sd": sd}


def _nodes() -> tuple[Floats, Floats]:
    """Return nodes and masses of a Gauss-Hermite rule for standard normal noise."""
    node, weight = np.polynomial.hermite_e.hermegauss(NODES)
    return node, weight / weight.sum()


def _mean_over_nodes(_: Scene, results: Sequence[Result]) -> Floats:
    return _nodes()[1] @ results[0]


def _total(scene: Scene) -> Floats:
    """Return the total derivative of every draw, the score term included: (S, 2)."""
    slope = slope_of_log_p(scene, scene["mean"] + scene["sd"] * scene["eps"])
    return np.stack([slope, slope * scene["sd"] * scene["eps"] + 1.0], axis=1)


LAWS = (
    Law(
        "the gradient in the mean of your draws",
        1,
        lambda scene: [_call(scene, scene["eps"])],
        value=lambda _, results: results[0][:, 0],
    ),
    Law(
        "the gradient in log sd of your draws",
        2,
        lambda scene: [_call(scene, scene["eps"])],
        value=lambda _, results: results[0][:, 1],
    ),
    Law(
        "at the exact posterior every single draw gives zero",
        2,
        lambda scene: [_call(_at_posterior(scene), scene["eps"])],
        expected=lambda scene: [np.zeros((len(scene["eps"]), 2))],
    ),
    Law(
        "unbiased: integrated over the noise, the gradient of the ELBO",
        3,
        lambda scene: [_call(scene, _nodes()[0])],
        value=_mean_over_nodes,
        expected=elbo_gradient,
    ),
    Law(
        "each draw differs from the total derivative by the score of q",
        2,
        lambda scene: [_call(scene, scene["eps"])],
        value=lambda scene, results: results[0] - _total(scene),
        expected=lambda scene: scores(scene, scene["eps"]),
    ),
)


FAULTS = (
    Fault(
        "path_gradient",
        "the score term is still there: this is the total derivative, noisy at the exact posterior",
        lambda slope, z, mean, log_sd: np.stack([slope, slope * (z - mean) + 1.0 + 0.0 * log_sd], axis=1),
    ),
    Fault(
        "path_gradient",
        "log q has no slope here: d/dz of -log q(z) is (z - mean) / sd^2, and it is missing",
        lambda slope, z, mean, _: _along(slope, z - mean),
    ),
    Fault(
        "path_gradient",
        "the sign of the slope of log q is wrong: -log q(z) = (z - mean)^2 / (2 sd^2) + ..., whose slope is "
        "(z - mean) / sd^2",
        lambda slope, z, mean, log_sd: _along(slope - (z - mean) / np.exp(2.0 * log_sd), z - mean),
    ),
    Fault(
        "path_gradient",
        "zero everywhere: it is zero only where q is the posterior",
        lambda slope, *_: np.zeros((len(slope), 2)),
    ),
    Fault(
        "path_gradient",
        "dz / d log sd is sd eps = z - mean; here it is eps, which is dz / d sd",
        lambda slope, z, mean, log_sd: _along(
            slope + (z - mean) / np.exp(2.0 * log_sd), (z - mean) / np.exp(log_sd)
        ),
    ),
    Fault(
        "path_gradient",
        "the slope of log q is divided by sd, not by the variance: (z - mean) / sd^2 belongs here",
        lambda slope, z, mean, log_sd: _along(slope + (z - mean) / np.exp(log_sd), z - mean),
    ),
    Fault(
        "path_gradient",
        "log sd is used as if it were sd: exp is missing",
        lambda slope, z, mean, log_sd: _along(slope + (z - mean) / log_sd**2, z - mean),
    ),
    Fault(
        "path_gradient",
        "the variance is taken as exp(log sd / 2); it is sd^2 = exp(2 log sd)",
        lambda slope, z, mean, log_sd: _along(slope + (z - mean) / np.exp(0.5 * log_sd), z - mean),
    ),
    Fault(
        "path_gradient",
        "the two columns are exchanged: the mean comes first, log sd second",
        lambda *arguments: path_gradient(*arguments)[:, ::-1],
    ),
    Fault(
        "path_gradient",
        "the draws are averaged; one row for each draw is asked for",
        lambda *arguments: path_gradient(*arguments).mean(axis=0),
    ),
    Fault(
        "path_gradient",
        "the sign is turned round: this is the gradient of minus the ELBO",
        lambda *arguments: -path_gradient(*arguments),
    ),
)

EXERCISE = Exercise(
    name="sticking-the-landing",
    title="Sticking the landing",
    lesson="pathwise.md",
    minutes=20,
    statement=STATEMENT,
    functions=(
        Function(
            "path_gradient",
            "slope_of_log_p, z, mean, log_sd",
            "Return the pathwise gradient without the score term, one row for each draw.\n\n"
            "slope_of_log_p : array (S,), d log p(x, z) / dz at the draws\n"
            "z : array (S,), the draws mean + sd eps\n"
            "mean, log_sd : numbers, the parameters of q\n"
            "returns : array (S, 2), in (mean, log sd)",
            path_gradient,
        ),
    ),
    scene=scene,
    laws=LAWS,
    faults=FAULTS,
    example="print(path_gradient(np.array([1.0]), np.array([2.0]), 0.0, 0.0))  # [[3. 6.]]",
)
