"""Exercise: five functions of a Gaussian VAE, one with a variance where the standard deviation belongs."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene, Seeded

STATEMENT = """\
Five functions of a VAE whose q(z | x) and p(x | z) are Gaussian. The networks give
log-variances. In one of the five, a variance stands where the standard deviation
belongs, or the other way round: a mistake that runs without an error and trains a model
that is merely worse.

Say which one it is, then mend it, and leave the others as they are. Your first guess
counts. A way to find it: for each function, think of a value that you know without
computing, such as the spread of many draws, or an integral that must be one."""

HALF_LOG_2_PI = 0.5 * math.log(2.0 * math.pi)
DRAWS = 4
NODES = 400  # of a trapezoid rule for the integral of a density, far into its tails


def draw_z(mean: Floats, log_var: Floats, eps: Floats) -> Floats:
    """Return draws of q."""
    return mean + np.exp(0.5 * log_var) * eps


def draw_x(mean: Floats, var: float, rng: np.random.Generator) -> Floats:
    """Return draws of p(x | z)."""
    return rng.normal(mean, math.sqrt(var))


def log_q(z: Floats, mean: Floats, log_var: Floats) -> Floats:
    """Return log q(z), coordinate by coordinate."""
    return -0.5 * (z - mean) ** 2 / np.exp(log_var) - 0.5 * log_var - HALF_LOG_2_PI


def kl_to_prior(mean: Floats, log_var: Floats) -> Floats:
    """Return KL(q || N(0, 1)), coordinate by coordinate."""
    return 0.5 * (mean**2 + np.exp(log_var) - log_var - 1.0)


def entropy(log_var: Floats) -> Floats:
    """Return the entropy of q, coordinate by coordinate."""
    return 0.5 * log_var + HALF_LOG_2_PI + 0.5


RIGHT = {
    "draw_z": "sd = np.exp(0.5 * log_var)\nreturn mean + sd * eps",
    "draw_x": "return rng.normal(mean, np.sqrt(var))",
    "log_q": (
        "squares = (z - mean) ** 2 / np.exp(log_var)\n"
        "return -0.5 * squares - 0.5 * log_var - 0.5 * np.log(2 * np.pi)"
    ),
    "kl_to_prior": "return 0.5 * (mean**2 + np.exp(log_var) - log_var - 1.0)",
    "entropy": "return 0.5 * log_var + 0.5 * np.log(2 * np.pi * np.e)",
}
WRONG = {
    "draw_z": "sd = np.exp(log_var)\nreturn mean + sd * eps",
    "draw_x": "return rng.normal(mean, var)",
    "log_q": (
        "squares = (z - mean) ** 2 / np.exp(log_var)\n"
        "return -0.5 * squares - log_var - 0.5 * np.log(2 * np.pi)"
    ),
    "kl_to_prior": "return 0.5 * (mean**2 + np.exp(0.5 * log_var) - 0.5 * log_var - 1.0)",
    "entropy": "return log_var + 0.5 * np.log(2 * np.pi * np.e)",
}
WHY = {
    "draw_z": "eps has variance one: to give z the variance exp(log_var) it is multiplied by its square root",
    "draw_x": "rng.normal takes a standard deviation (NumPy calls it scale), so the square root of var",
    "log_q": "the density is divided by sd: minus log sd, which is minus half the log-variance",
    "kl_to_prior": "0.5 (mean^2 + sd^2 - log sd^2 - 1): both places want the variance, not the sd",
    "entropy": "the entropy contains log sd, which is half the log-variance",
}


def scene(rng: np.random.Generator) -> dict[str, Any]:
    """Return which function is wrong, and numbers to try all on."""
    return {
        "wrong": str(rng.choice(list(RIGHT))),
        "mean": np.round(rng.normal(0.0, 1.0, DRAWS), 2),
        "log_var": np.round(rng.uniform(-1.5, -0.4, DRAWS), 2),
        "var": round(rng.uniform(0.2, 0.6), 2),
        "eps": rng.standard_normal(DRAWS),
        "seed": int(rng.integers(10**6)),
    }


def answer(seed: int, guesses: Mapping[str, Result]) -> str:
    """Return which function was wrong, and why."""
    wrong = EXERCISE.scene_of(seed)["wrong"]
    return f"You guessed {guesses['wrong_function']}. Wrong is {wrong}: {WHY[wrong]}."


def _body(name: str) -> Any:
    return lambda scene: (WRONG if scene["wrong"] == name else RIGHT)[name]


def _grid(scene: Scene) -> Floats:
    sd = math.exp(0.5 * scene["log_var"][0])
    return scene["mean"][0] + sd * np.linspace(-10.0, 10.0, NODES)


def _integral(scene: Scene, results: list[Result]) -> float:
    return float(np.trapezoid(np.exp(results[0]), _grid(scene)))


LAWS = (
    Law("the function with the mistake, by your first guess", 4, lambda _: [Call("wrong_function", ())]),
    Law(
        "draw_z: your draws",
        1,
        lambda scene: [Call("draw_z", (scene["mean"], scene["log_var"], scene["eps"]))],
    ),
    Law(
        "draw_x: your draws, from a generator with your seed",
        1,
        lambda scene: [Call("draw_x", (scene["mean"], scene["var"], Seeded(scene["seed"])))],
    ),
    Law(
        "log_q: the density integrates to one",
        1,
        lambda scene: [Call("log_q", (_grid(scene), scene["mean"][0], scene["log_var"][0]))],
        value=_integral,
        expected=lambda _: 1.0,
    ),
    Law(
        "log_q: your draws",
        1,
        lambda scene: [Call("log_q", (scene["mean"] + 0.5 * scene["eps"], scene["mean"], scene["log_var"]))],
    ),
    Law(
        "kl_to_prior: zero for q = N(0, 1), and your numbers",
        1,
        lambda scene: [
            Call("kl_to_prior", (np.zeros(1), np.zeros(1))),
            Call("kl_to_prior", (scene["mean"], scene["log_var"])),
        ],
    ),
    Law(
        "entropy: your numbers",
        1,
        lambda scene: [Call("entropy", (scene["log_var"],))],
    ),
)

FAULTS = (
    Fault(
        "draw_z",
        "draw_z multiplies eps by the variance; " + WHY["draw_z"],
        lambda mean, log_var, eps: mean + np.exp(log_var) * eps,
    ),
    Fault(
        "draw_z",
        "draw_z takes the root twice: exp(log_var / 4)",
        lambda mean, log_var, eps: mean + np.exp(0.25 * log_var) * eps,
    ),
    Fault(
        "draw_x",
        "draw_x gives var as the scale; " + WHY["draw_x"],
        lambda mean, var, rng: rng.normal(mean, var),
    ),
    Fault(
        "draw_x",
        "draw_x takes the root twice",
        lambda mean, var, rng: rng.normal(mean, var**0.25),
    ),
    Fault(
        "log_q",
        "log_q subtracts the log-variance; " + WHY["log_q"],
        lambda z, mean, log_var: log_q(z, mean, log_var) - 0.5 * log_var,
    ),
    Fault(
        "log_q",
        "log_q divides the squares by the sd; they are divided by the variance",
        lambda z, mean, log_var: (
            log_q(z, mean, log_var) + 0.5 * (z - mean) ** 2 * (np.exp(-log_var) - np.exp(-0.5 * log_var))
        ),
    ),
    Fault(
        "kl_to_prior",
        "kl_to_prior takes the sd where the variance belongs: " + WHY["kl_to_prior"],
        lambda mean, log_var: 0.5 * (mean**2 + np.exp(0.5 * log_var) - 0.5 * log_var - 1.0),
    ),
    Fault(
        "kl_to_prior",
        "kl_to_prior mends one of two places: exp and the logarithm both want the variance",
        lambda mean, log_var: 0.5 * (mean**2 + np.exp(log_var) - 0.5 * log_var - 1.0),
    ),
    Fault(
        "entropy",
        "entropy adds the log-variance; " + WHY["entropy"],
        lambda log_var: entropy(log_var) + 0.5 * log_var,
    ),
    Fault("entropy", "entropy halves twice: log_var / 4", lambda log_var: entropy(log_var) - 0.25 * log_var),
)

NUMBERS = "mean, log_var : arrays (K,)\nreturns : array (K,)"

EXERCISE = Exercise(
    name="variance-or-standard-deviation",
    title="A variance where a standard deviation belongs",
    lesson="gotchas.md",
    minutes=15,
    statement=STATEMENT,
    functions=(
        Function(
            "draw_z",
            "mean, log_var, eps",
            "Return draws of q = N(mean, exp(log_var)) from standard normal noise.\n\n"
            "mean, log_var, eps : arrays (K,)\nreturns : array (K,)",
            draw_z,
            given=_body("draw_z"),
        ),
        Function(
            "draw_x",
            "mean, var, rng",
            "Return one draw of p(x | z) = N(mean, var) for each column.\n\n"
            "mean : array (D,)\nvar : number, the variance of a column\nrng : np.random.Generator\n"
            "returns : array (D,)",
            draw_x,
            given=_body("draw_x"),
        ),
        Function(
            "log_q",
            "z, mean, log_var",
            "Return the log-density of q at z, for each coordinate, in nats.\n\n"
            "z, mean, log_var : arrays (K,)\nreturns : array (K,)",
            log_q,
            given=_body("log_q"),
        ),
        Function(
            "kl_to_prior",
            "mean, log_var",
            "Return KL(q || N(0, 1)) of each coordinate, in nats.\n\n" + NUMBERS,
            kl_to_prior,
            given=_body("kl_to_prior"),
        ),
        Function(
            "entropy",
            "log_var",
            "Return the entropy of q in each coordinate, in nats.\n\n"
            "log_var : array (K,)\nreturns : array (K,)",
            entropy,
            given=_body("entropy"),
        ),
        Function(
            "wrong_function",
            "",
            'Return the name of the function with the mistake, as "draw_z".',
            lambda scene: scene["wrong"],
            guess=True,
            choices=tuple(RIGHT),
        ),
    ),
    scene=scene,
    laws=LAWS,
    faults=FAULTS,
    example="""\
rng = np.random.default_rng(SEED)
draws = [draw_z(np.zeros(1), np.log([0.25]), rng.standard_normal(1)) for _ in range(1000)]
print(np.var(draws))  # should be near 0.25""",
    answer=answer,
)
