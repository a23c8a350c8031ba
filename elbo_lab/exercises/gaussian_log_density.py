"""Exercise: the log-density of a Gaussian with independent columns."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Scene
from elbo_lab.special import LOG_2PI

# Nodes and reach, in standard deviations, of the integral over x.
NODES, REACH = 4001, 12.0
FAR = 50.0


def reference(x: Floats, mean: Floats, sd: Floats) -> Floats:
    """Return the log-density of the package's Gaussian."""
    family = DiagonalGaussian(len(mean))
    return family.log_prob(family.join(mean, np.log(sd)), x)


def scene(rng: np.random.Generator) -> Scene:
    """Draw means, standard deviations away from one, and rows."""
    mean, sd = rng.normal(size=3), rng.uniform(1.5, 3.0, size=3)
    sd[1] = rng.uniform(0.2, 0.6)
    x = mean + sd * rng.normal(size=(4, 3))
    return {"x": x, "mean": mean, "sd": sd}


def _grid(scene: Scene) -> Floats:
    return scene["mean"][0] + scene["sd"][0] * np.linspace(-REACH, REACH, NODES)[:, None]


def _integral(scene: Scene, results: list[Floats]) -> Floats:
    step = 2 * REACH * scene["sd"][0] / (NODES - 1)
    return np.sum(np.exp(results[0])) * step


def _far_calls(scene: Scene) -> list[Call]:
    x = scene["mean"] + FAR * scene["sd"] * np.array([[0.0], [1.0]])
    return [Call("log_density", (x, scene["mean"], scene["sd"]))]


def _by_column(x: Floats, mean: Floats, sd: Floats) -> Floats:
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * LOG_2PI


def _underflowing(x: Floats, mean: Floats, sd: Floats) -> Floats:
    return np.log(np.prod(np.exp(_by_column(x, mean, sd)), axis=-1))


EXERCISE = Exercise(
    name="gaussian-log-density",
    title="The log-density of a Gaussian",
    lesson="likelihood.md",
    minutes=10,
    statement="""
Write the logarithm of the density of D independent Gaussian columns, in nats:

    log p(x) = sum over d of log N(x_d; mean_d, sd_d^2)

for each of N rows. Nothing is left out: a model that is compared with another one
needs its constants. A first number to try: with one column, mean 0 and standard
deviation 1, log p(0) = -0.9189.
""",
    functions=(
        Function(
            "log_density",
            "x, mean, sd",
            """Return log p(x) of each row, in nats.

Parameters
----------
x : array (N, D)
mean : array (D,)
sd : array (D,)
    Standard deviations, and not variances.

Returns
-------
array (N,)
""",
            reference,
        ),
    ),
    scene=scene,
    laws=(
        Law(
            "one column at its mean, standard deviation 1: -0.9189",
            1,
            lambda _: [Call("log_density", (np.zeros((1, 1)), np.zeros(1), np.ones(1)))],
        ),
        Law(
            "one column, your mean and standard deviation: the exact value in each row",
            2,
            lambda s: [Call("log_density", (s["x"][:, :1], s["mean"][:1], s["sd"][:1]))],
        ),
        Law(
            "three columns: the exact value in each row",
            3,
            lambda s: [Call("log_density", (s["x"], s["mean"], s["sd"]))],
        ),
        Law(
            f"the density integrates to 1 (a sum over {NODES} points)",
            2,
            lambda s: [Call("log_density", (_grid(s), s["mean"][:1], s["sd"][:1]))],
            value=_integral,
            expected=lambda _: 1.0,
        ),
        Law(
            "50 standard deviations away in each of three columns it is 3750 lower than at the mean",
            2,
            _far_calls,
            value=lambda _, results: results[0][1] - results[0][0],
            expected=lambda _: -0.5 * FAR**2 * 3,
        ),
    ),
    faults=(
        Fault(
            "log_density",
            "the standard deviation is used as a variance",
            lambda x, mean, sd: reference(x, mean, np.sqrt(sd)),
        ),
        Fault(
            "log_density",
            "the variance sd^2 is used as a standard deviation",
            lambda x, mean, sd: reference(x, mean, sd**2),
        ),
        Fault(
            "log_density",
            "the constant 0.5 log(2 pi) of each column is missing",
            lambda x, mean, sd: reference(x, mean, sd) + 0.5 * LOG_2PI * len(mean),
        ),
        Fault(
            "log_density",
            "0.5 log(2 pi) is there once; each column has it",
            lambda x, mean, sd: reference(x, mean, sd) + 0.5 * LOG_2PI * (len(mean) - 1),
        ),
        Fault(
            "log_density",
            "the term -log sd is missing",
            lambda x, mean, sd: reference(x, mean, sd) + np.log(sd).sum(),
        ),
        Fault(
            "log_density",
            "log sd has the wrong sign",
            lambda x, mean, sd: reference(x, mean, sd) + 2 * np.log(sd).sum(),
        ),
        Fault(
            "log_density",
            "the factor 1/2 before the square is missing",
            lambda x, mean, sd: reference(x, mean, sd) - 0.5 * (((x - mean) / sd) ** 2).sum(axis=-1),
        ),
        Fault(
            "log_density",
            "this is the density; its logarithm is asked for",
            lambda x, mean, sd: np.exp(reference(x, mean, sd)),
        ),
        Fault("log_density", "the sum over the columns is missing", _by_column),
        Fault(
            "log_density",
            "the mean over the columns is taken where their sum is wanted",
            lambda x, mean, sd: reference(x, mean, sd) / len(mean),
        ),
        Fault(
            "log_density",
            "exp and then log: far from the mean the density underflows to 0; add logarithms",
            _underflowing,
        ),
    ),
    example="""
rng = np.random.default_rng(SEED)
print("log N(0; 0, 1) =", log_density(np.zeros((1, 1)), np.zeros(1), np.ones(1)), "should be -0.9189")
print("four rows:", log_density(rng.normal(size=(4, 3)), np.zeros(3), np.full(3, 2.0)))
""",
)
