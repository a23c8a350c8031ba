"""Exercise: a draw as a function of its noise, and the gradient through it."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene

N_DRAWS = 4000
# Draws that tell the standard error: that of the same draws is small where their mean is wrong.
FURTHER = 20_000
NODES = 40
# All combinations of signs: means over them are exact for quadratic functions.
SIGNS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])


def sample(mean: Floats, log_sd: Floats, eps: Floats) -> Floats:
    """Return the draws (S, K) of the package's Gaussian."""
    family = DiagonalGaussian(len(mean))
    return family.sample(family.join(mean, log_sd)[None], eps[:, None, :])[:, 0]


def gradient(log_sd: Floats, eps: Floats, grad_z: Floats) -> tuple[Floats, Floats]:
    """Return the pathwise gradient in mean and log_sd (K,), the mean over the draws."""
    family = DiagonalGaussian(len(log_sd))
    eta = family.join(np.zeros_like(log_sd), log_sd)[None]  # the path does not depend on the mean
    summed = family.sample_vjp(eta, eps[:, None, :], grad_z[:, None, :])[0]
    by_mean, by_log_sd = family.split(summed / len(eps))
    return by_mean, by_log_sd


def scene(rng: np.random.Generator) -> Scene:
    """Draw q with standard deviations away from one, a quadratic function, and noise."""
    return {
        "mean": rng.normal(size=2),
        "log_sd": rng.uniform(0.3, 0.7, size=2) * np.array([1.0, -1.0]),
        "curvature": rng.uniform(0.5, 2.0, size=2),
        "slope": rng.normal(size=2),
        "eps": rng.normal(size=(N_DRAWS, 2)),
    }


def _quadratic_calls(scene: Scene) -> list[Call]:
    """f(z) = sum of curvature z^2 / 2 + slope z, at draws whose mean is exact."""
    z = sample(scene["mean"], scene["log_sd"], SIGNS)
    return [Call("gradient", (scene["log_sd"], SIGNS, scene["curvature"] * z + scene["slope"]))]


def _quadratic_gradient(scene: Scene) -> Floats:
    by_mean = scene["curvature"] * scene["mean"] + scene["slope"]
    return np.concatenate([by_mean, scene["curvature"] * np.exp(2 * scene["log_sd"])])


def _joined(_: Scene, results: list[Result]) -> Floats:
    return np.concatenate(results[0])


def _wave_calls(scene: Scene) -> list[Call]:
    """f(z) = sum of sin z, whose expectation is exp(-sd^2 / 2) sin(mean)."""
    z = sample(scene["mean"], scene["log_sd"], scene["eps"])
    return [Call("gradient", (scene["log_sd"], scene["eps"], np.cos(z)))]


def _wave_gradient(scene: Scene) -> Floats:
    variance = np.exp(2 * scene["log_sd"])
    damped = np.exp(-variance / 2)
    return np.concatenate([damped * np.cos(scene["mean"]), -variance * damped * np.sin(scene["mean"])])


def _wave_error(scene: Scene, _: list[Result]) -> Floats:
    eps = np.random.default_rng(FURTHER).standard_normal((FURTHER, *scene["eps"].shape[1:]))
    slopes = np.cos(sample(scene["mean"], scene["log_sd"], eps))
    terms = np.hstack([slopes, slopes * np.exp(scene["log_sd"]) * eps])
    return terms.std(axis=0) / np.sqrt(N_DRAWS)


def _moments(_: Scene, results: list[Result]) -> Floats:
    """Return mean and standard deviation of draws at the nodes of a Gaussian sum, for each coordinate."""
    weights = np.polynomial.hermite_e.hermegauss(NODES)[1]
    weights = weights / weights.sum()
    mean = weights @ results[0]
    return np.concatenate([mean, np.sqrt(weights @ (results[0] - mean) ** 2)])


def _node_calls(scene: Scene) -> list[Call]:
    nodes, _ = np.polynomial.hermite_e.hermegauss(NODES)
    return [Call("sample", (scene["mean"], scene["log_sd"], np.stack([nodes, nodes], axis=-1)))]


def _rescaled(log_sd: Floats, eps: Floats, grad_z: Floats, factor: Floats) -> tuple[Floats, Floats]:
    """Return the gradient with that in log_sd multiplied by a factor (K,)."""
    by_mean, by_log_sd = gradient(log_sd, eps, grad_z)
    return by_mean, by_log_sd * factor


EXERCISE = Exercise(
    name="reparameterize",
    title="A draw as a function of its noise",
    lesson="pathwise.md",
    minutes=20,
    statement="""
Write a draw of q = N(mean, sd^2), K independent coordinates, as a function of noise
eps ~ N(0, I) that knows nothing of q. Then the gradient of E_q[f(z)] passes through
the draw: by the chain rule it is the mean over the draws of

    df/dz dz/dmean     and     df/dz dz/dlog_sd.

What is stored is log_sd, the logarithm of the standard deviation, so that every real
number is allowed: the second derivative is with respect to it.
""",
    functions=(
        Function(
            "sample",
            "mean, log_sd, eps",
            """Return the draws of q that belong to the noise.

Parameters
----------
mean, log_sd : array (K,)
eps : array (S, K)

Returns
-------
array (S, K)
""",
            sample,
        ),
        Function(
            "gradient",
            "log_sd, eps, grad_z",
            """Return the gradient of E_q[f] in mean and in log_sd, each the mean over S draws.

Parameters
----------
log_sd : array (K,)
eps : array (S, K)
grad_z : array (S, K)
    df/dz at each draw.

Returns
-------
by_mean, by_log_sd : array (K,)
""",
            gradient,
        ),
    ),
    scene=scene,
    laws=(
        Law(
            "without noise (eps = 0) the draw is the mean",
            1,
            lambda s: [Call("sample", (s["mean"], s["log_sd"], np.zeros((3, 2))))],
        ),
        Law(
            "eps = 1 is one standard deviation above the mean",
            1,
            lambda s: [Call("sample", (s["mean"], s["log_sd"], np.ones((3, 2))))],
        ),
        Law(
            f"mean and standard deviation of the draws, summed over {NODES} nodes",
            2,
            _node_calls,
            value=_moments,
            expected=lambda s: np.concatenate([s["mean"], np.exp(s["log_sd"])]),
        ),
        Law(
            "f quadratic, eps at all signs of 1: exact gradients in mean and log_sd",
            3,
            _quadratic_calls,
            value=_joined,
            expected=_quadratic_gradient,
        ),
        Law(
            "f constant: no gradient",
            1,
            lambda s: [Call("gradient", (s["log_sd"], s["eps"][:5], np.zeros((5, 2))))],
        ),
        Law(
            f"f = sin, {N_DRAWS} draws: the exact gradient within its noise",
            2,
            _wave_calls,
            value=_joined,
            expected=_wave_gradient,
            standard_error=_wave_error,
        ),
    ),
    faults=(
        Fault(
            "sample",
            "log_sd is used as the standard deviation: its exponential is missing",
            lambda mean, log_sd, eps: mean + log_sd * eps,
        ),
        Fault(
            "sample",
            "the variance exp(2 log_sd) multiplies the noise; it is the standard deviation",
            lambda mean, log_sd, eps: mean + np.exp(2 * log_sd) * eps,
        ),
        Fault(
            "sample",
            "log_sd is taken for the logarithm of a variance: exp(log_sd / 2)",
            lambda mean, log_sd, eps: mean + np.exp(log_sd / 2) * eps,
        ),
        Fault("sample", "the noise is not scaled", lambda mean, log_sd, eps: mean + eps),  # noqa: ARG005
        Fault("sample", "the mean is not added", lambda mean, log_sd, eps: np.exp(log_sd) * eps),  # noqa: ARG005
        Fault(
            "gradient",
            "this is the gradient in sd; the one in log_sd has a factor sd more",
            lambda log_sd, eps, grad_z: _rescaled(log_sd, eps, grad_z, np.exp(-log_sd)),
        ),
        Fault(
            "gradient",
            "the gradient in log_sd has sd^2 where sd is right",
            lambda log_sd, eps, grad_z: _rescaled(log_sd, eps, grad_z, np.exp(log_sd)),
        ),
        Fault(
            "gradient",
            "dz/dlog_sd is sd times eps; the noise is missing",
            lambda log_sd, eps, grad_z: gradient(log_sd, np.ones_like(eps), grad_z),
        ),
        Fault(
            "gradient",
            "the sum over the draws is taken where their mean is wanted",
            lambda log_sd, eps, grad_z: tuple(len(eps) * one for one in gradient(log_sd, eps, grad_z)),
        ),
        Fault(
            "gradient",
            "the gradient in log_sd has the wrong sign",
            lambda log_sd, eps, grad_z: _rescaled(log_sd, eps, grad_z, -np.ones_like(log_sd)),
        ),
        Fault(
            "gradient",
            "1 is added to the gradient in log_sd, that of the entropy; f alone is asked for",
            lambda log_sd, eps, grad_z: (
                gradient(log_sd, eps, grad_z)[0],
                gradient(log_sd, eps, grad_z)[1] + 1.0,
            ),
        ),
    ),
    example="""
mean, log_sd = np.array([1.0]), np.array([np.log(2.0)])
eps = np.array([[1.0], [-1.0]])
z = sample(mean, log_sd, eps)
print("draws:", z, "should be 3 and -1")
print("gradient of E[z^2]:", gradient(log_sd, eps, 2 * z), "should be 2 and 8: E[z^2] = mean^2 + sd^2")
""",
)
