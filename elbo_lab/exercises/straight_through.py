"""Exercise: the straight-through gradient of one bit, and its exact bias."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.special import sigmoid

STATEMENT = """\
A bit b is 1 with probability p = sigmoid(logit). The gradient of E[f(b)] in the logit
is p (1 - p) [f(1) - f(0)]: no slope of f appears. Straight-through differentiates as if
the bit were its probability: the slope of f at the bit that was drawn, times
dp / d logit = p (1 - p).

Write the estimate of each drawn bit, the exact gradient, and the bias: the estimate's
mean over both bits (each with its probability) minus the exact gradient. f is the
polynomial c_0 + c_1 b + c_2 b^2 + c_3 b^3."""

DRAWS = 6


def straight_through(logit: float, bits: Floats, coefficients: Floats) -> Floats:
    """Return the estimate of each bit."""
    return sigmoid(logit) * sigmoid(-logit) * _slope(coefficients, bits)


def exact_gradient(logit: float, coefficients: Floats) -> float:
    """Return d E[f(b)] / d logit."""
    return float(sigmoid(logit) * sigmoid(-logit) * (_f(coefficients, 1.0) - _f(coefficients, 0.0)))


def bias(logit: float, coefficients: Floats) -> float:
    """Return the mean of the estimate over both bits minus the exact gradient."""
    p, estimates = sigmoid(logit), straight_through(logit, np.array([0.0, 1.0]), coefficients)
    return float((1.0 - p) * estimates[0] + p * estimates[1]) - exact_gradient(logit, coefficients)


def _f(coefficients: Floats, b: float) -> Any:
    return np.polynomial.polynomial.polyval(b, coefficients)


def _slope(coefficients: Floats, b: Floats | float) -> Any:
    return np.polynomial.polynomial.polyval(b, np.polynomial.polynomial.polyder(coefficients))


def scene(rng: np.random.Generator) -> dict[str, Any]:
    """Return a logit, bits with both values among them, and the coefficients of a cubic f."""
    logit = round(rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.5), 2)
    bits = rng.permutation(np.concatenate([[0.0, 1.0], rng.integers(0, 2, DRAWS - 2)]))
    coefficients = np.round(rng.uniform(0.5, 2.0, 4) * rng.choice([-1.0, 1.0], 4), 2)
    return {"logit": logit, "bits": bits, "coefficients": coefficients}


def _only(scene: Scene, *powers: int) -> Floats:
    """Return the coefficients of these powers, zero for the others."""
    kept = np.zeros(4)
    kept[list(powers)] = scene["coefficients"][list(powers)]
    return kept


def _mean_of_both(scene: Scene, results: Sequence[Result]) -> float:
    p = sigmoid(scene["logit"])
    at_zero, at_one = results[0]
    return float((1.0 - p) * at_zero + p * at_one - results[1])


LAWS = (
    Law(
        "the estimates of your bits",
        2,
        lambda scene: [Call("straight_through", (scene["logit"], scene["bits"], scene["coefficients"]))],
    ),
    Law(
        "the exact gradient of your f",
        1,
        lambda scene: [Call("exact_gradient", (scene["logit"], scene["coefficients"]))],
    ),
    Law(
        "without bias at every p where f is linear",
        1,
        lambda scene: [Call("bias", (logit, _only(scene, 0, 1))) for logit in (-2.0, 0.0, scene["logit"])],
        expected=lambda _: [0.0] * 3,
    ),
    Law(
        "without bias at p = 1/2 where f is quadratic",
        1,
        lambda scene: [Call("bias", (0.0, _only(scene, 0, 1, 2)))],
        expected=lambda _: [0.0],
    ),
    Law(
        "the bias of your f, and of its square term alone: c_2 p (1 - p) (2 p - 1)",
        3,
        lambda scene: [
            Call("bias", (scene["logit"], scene["coefficients"])),
            Call("bias", (scene["logit"], _only(scene, 2))),
        ],
    ),
    Law(
        "your three functions agree: mean of the estimates - exact gradient = bias",
        2,
        lambda scene: [
            Call("straight_through", (scene["logit"], np.array([0.0, 1.0]), scene["coefficients"])),
            Call("exact_gradient", (scene["logit"], scene["coefficients"])),
            Call("bias", (scene["logit"], scene["coefficients"])),
        ],
        value=lambda scene, results: _mean_of_both(scene, results) - results[2],
        expected=lambda _: 0.0,
    ),
)


def _mean_with(logit: float, coefficients: Floats, mass_of_one: float) -> float:
    """Return the bias with another mass of the bit one in the mean."""
    estimates = straight_through(logit, np.array([0.0, 1.0]), coefficients)
    mean = (1.0 - mass_of_one) * estimates[0] + mass_of_one * estimates[1]
    return float(mean) - exact_gradient(logit, coefficients)


FAULTS = (
    Fault(
        "straight_through",
        "p (1 - p) is there twice: dp / d logit counts once",
        lambda logit, bits, c: straight_through(logit, bits, c) * sigmoid(logit) * sigmoid(-logit),
    ),
    Fault(
        "straight_through",
        "the slope is taken at the probability p; straight-through takes it at the bit",
        lambda logit, bits, c: straight_through(logit, np.full_like(bits, sigmoid(logit)), c),
    ),
    Fault(
        "straight_through",
        "one number for all bits: the slope is taken at the probability p, not at each bit",
        lambda logit, _, c: sigmoid(logit) * sigmoid(-logit) * _slope(c, sigmoid(logit)),
    ),
    Fault(
        "straight_through",
        "p (1 - p) is missing: the chain rule goes from the bit to p and on to the logit",
        lambda _, bits, c: _slope(c, bits),
    ),
    Fault(
        "straight_through",
        "dp / d logit is p (1 - p), not p",
        lambda logit, bits, c: sigmoid(logit) * _slope(c, bits),
    ),
    Fault(
        "straight_through",
        "f itself stands where its slope belongs",
        lambda logit, bits, c: sigmoid(logit) * sigmoid(-logit) * _f(c, bits),
    ),
    Fault(
        "straight_through",
        "this is f(b) times the score b - p, REINFORCE: unbiased, but not straight-through",
        lambda logit, bits, c: _f(c, bits) * (bits - sigmoid(logit)),
    ),
    Fault(
        "straight_through",
        "the slope is multiplied by the bit: a bit of zero has a slope too",
        lambda logit, bits, c: straight_through(logit, bits, c) * bits,
    ),
    Fault(
        "exact_gradient",
        "p (1 - p) is missing: this is the gradient in p, not in the logit",
        lambda _, c: float(_f(c, 1.0) - _f(c, 0.0)),
    ),
    Fault(
        "exact_gradient",
        "dp / d logit is p (1 - p), and not p, in the exact gradient too",
        lambda logit, c: float(sigmoid(logit) * (_f(c, 1.0) - _f(c, 0.0))),
    ),
    Fault(
        "exact_gradient",
        "f(0) - f(1) stands where f(1) - f(0) belongs",
        lambda logit, c: -exact_gradient(logit, c),
    ),
    Fault(
        "exact_gradient",
        "this is the slope of f at p times p (1 - p): the gradient of f(p), not of E[f(b)]",
        lambda logit, c: float(sigmoid(logit) * sigmoid(-logit) * _slope(c, sigmoid(logit))),
    ),
    Fault(
        "exact_gradient",
        "this is E[f(b)] itself, not its gradient",
        lambda logit, c: float(sigmoid(logit) * _f(c, 1.0) + sigmoid(-logit) * _f(c, 0.0)),
    ),
    Fault("bias", "the sign is turned round: bias is mean minus exact", lambda logit, c: -bias(logit, c)),
    Fault(
        "bias",
        "the probabilities of the bits are exchanged: bit 1 has probability p",
        lambda logit, c: _mean_with(logit, c, float(sigmoid(-logit))),
    ),
    Fault(
        "bias",
        "both bits count one half; each counts with its probability",
        lambda logit, c: _mean_with(logit, c, 0.5),
    ),
    Fault(
        "bias",
        "this is the mean of the estimate; the exact gradient is to be subtracted",
        lambda logit, c: bias(logit, c) + exact_gradient(logit, c),
    ),
    Fault(
        "bias",
        "divided by the exact gradient: this is the relative bias",
        lambda logit, c: bias(logit, c) / exact_gradient(logit, c),
    ),
)

EXERCISE = Exercise(
    name="straight-through",
    title="A gradient through one bit, and its bias",
    lesson="discrete.md",
    minutes=25,
    statement=STATEMENT,
    functions=(
        Function(
            "straight_through",
            "logit, bits, coefficients",
            "Return the straight-through estimate of each drawn bit.\n\n"
            "logit : number, p = sigmoid(logit)\n"
            "bits : array (S,) of zeros and ones\n"
            "coefficients : array (4,), c_0 to c_3 of f\n"
            "returns : array (S,)",
            straight_through,
        ),
        Function(
            "exact_gradient",
            "logit, coefficients",
            "Return d E[f(b)] / d logit.\n\n"
            "logit : number\n"
            "coefficients : array (4,), c_0 to c_3 of f\n"
            "returns : one number",
            exact_gradient,
        ),
        Function(
            "bias",
            "logit, coefficients",
            "Return the exact bias of the estimate: a sum over both bits, without any draw.\n\n"
            "logit : number\n"
            "coefficients : array (4,), c_0 to c_3 of f\n"
            "returns : one number",
            bias,
        ),
    ),
    scene=scene,
    laws=LAWS,
    faults=FAULTS,
    example="print(straight_through(0.0, np.array([0.0, 1.0]), np.array([0.0, 0.0, 1.0, 0.0])))  # [0.  0.5]",
)
