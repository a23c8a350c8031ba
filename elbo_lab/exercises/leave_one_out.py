"""Exercise: REINFORCE with the mean of the other draws as baseline."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.exercises.one_latent import elbo_gradient, log_weight, one_latent, scores
from elbo_lab.special import sigmoid

STATEMENT = """\
REINFORCE multiplies f = log p(x, z) - log q(z) by the score of q. A number that does
not depend on the draw may be subtracted from f: the score has mean zero. With S draws,
the other S - 1 draws offer such a number for nothing: their mean.

Write the baseline of every draw, then the gradient: the mean over the S draws of
(f_s - baseline_s) score_s."""

DRAWS = 5
BITS = 3  # draws of a bit, all of whose 2^3 outcomes are summed
REPEATS = 1000
FURTHER = 20_000  # gradients that tell their standard deviation, of a generator of their own
CHANGE = 10.0  # of one f, in nats


def baselines(f: Floats) -> Floats:
    """Return the mean of the other draws, for each draw (S,)."""
    return (f.sum() - f) / (len(f) - 1)


def gradient(f: Floats, score: Floats) -> Floats:
    """Return the leave-one-out gradient (P,)."""
    return np.mean((f - baselines(f))[:, None] * score, axis=0)


def scene(rng: np.random.Generator) -> dict[str, Any]:
    """Return q and x, draws of f and of scores, and a bit with two values of f."""
    line = one_latent(rng)
    eps = rng.standard_normal((REPEATS, DRAWS))
    logit, values = round(rng.uniform(0.3, 1.2), 2), np.round(rng.normal(-3.0, 1.0, 2), 2)
    return line | {"eps": eps, "logit": logit, "values": values}


def _arguments(scene: Scene, eps: Floats) -> tuple[Floats, Floats]:
    return log_weight(scene, scene["mean"] + scene["sd"] * eps), scores(scene, eps)


def _outcomes() -> list[Any]:
    return [np.array(bits) for bits in product((0, 1), repeat=BITS)]


def _changed_calls(scene: Scene) -> list[Call]:
    f = _arguments(scene, scene["eps"][0])[0]
    changed = f.copy()
    changed[0] += CHANGE
    return [Call("baselines", (f,)), Call("baselines", (changed,))]


def _shifted_calls(scene: Scene) -> list[Call]:
    f, score = _arguments(scene, scene["eps"][0])
    return [Call("gradient", (f, score)), Call("gradient", (f + CHANGE, score))]


def _bit_calls(scene: Scene) -> list[Call]:
    score = np.arange(2.0)[:, None] - sigmoid(scene["logit"])  # d log q(bit) / d logit
    return [Call("gradient", (scene["values"][bits], score[bits])) for bits in _outcomes()]


def _bit_mean(scene: Scene, results: Sequence[Result]) -> Floats:
    p = sigmoid(scene["logit"])
    masses = [np.prod(np.where(bits == 1, p, 1.0 - p)) for bits in _outcomes()]
    return np.asarray(masses) @ np.stack(results)


def _bit_gradient(scene: Scene) -> Floats:
    p = sigmoid(scene["logit"])
    return np.array([p * (1.0 - p) * (scene["values"][1] - scene["values"][0])])


def _standard_error(scene: Scene, _: Sequence[Result]) -> Floats:
    """Return that of a mean of REPEATS gradients in the mean of q.

    From many further gradients: a standard error from the same draws is small where their mean is wrong.
    """
    f, score = _arguments(scene, np.random.default_rng(FURTHER).standard_normal((FURTHER, DRAWS)))
    centred = (f - f.mean(axis=1, keepdims=True)) * DRAWS / (DRAWS - 1)
    return np.std(np.mean(centred * score[..., 0], axis=1)) / np.sqrt([REPEATS])


LAWS = (
    Law(
        "with two draws, each f is the baseline of the other",
        1,
        lambda scene: [Call("baselines", (scene["values"],))],
        expected=lambda scene: [scene["values"][::-1]],
    ),
    Law(
        "the baseline of a draw stays as it is when f of this draw changes",
        1,
        _changed_calls,
        value=lambda _, results: results[1][0] - results[0][0],
        expected=lambda _: 0.0,
    ),
    Law(
        f"the baselines of your {DRAWS} draws",
        2,
        lambda scene: [Call("baselines", _arguments(scene, scene["eps"][0])[:1])],
    ),
    Law(
        f"the gradient stays as it is when {CHANGE:g} nats are added to every f",
        1,
        _shifted_calls,
        value=lambda _, results: results[1] - results[0],
        expected=lambda _: np.zeros(2),
    ),
    Law(
        f"the gradient of your {DRAWS} draws",
        2,
        lambda scene: [Call("gradient", _arguments(scene, scene["eps"][0]))],
    ),
    Law(
        f"unbiased: summed over all {2**BITS} outcomes of {BITS} draws of a bit, p (1 - p) [f(1) - f(0)]",
        2,
        _bit_calls,
        value=_bit_mean,
        expected=_bit_gradient,
    ),
    Law(
        f"unbiased: {REPEATS} gradients in the mean of a Gaussian q have the ELBO's as their mean",
        1,
        lambda scene: [Call("gradient", _arguments(scene, eps)) for eps in scene["eps"]],
        value=lambda _, results: np.mean(results, axis=0)[:1],
        expected=lambda scene: elbo_gradient(scene)[:1],
        standard_error=_standard_error,
    ),
)

FAULTS = (
    Fault(
        "baselines",
        "the baseline is the mean of all draws, the draw's own f among them: it depends on the draw, "
        "and the gradient comes out (S - 1) / S times too small",
        lambda f: np.full_like(f, f.mean()),
    ),
    Fault(
        "baselines",
        "the sum of the others is divided by S; there are S - 1 others",
        lambda f: (f.sum() - f) / len(f),
    ),
    Fault(
        "baselines",
        "this is the sum of the others; their mean is the sum divided by S - 1",
        lambda f: f.sum() - f,
    ),
    Fault(
        "baselines", "this is f itself: the baseline of a draw must not contain that draw", lambda f: f.copy()
    ),
    Fault(
        "gradient",
        "no baseline is subtracted: this is plain REINFORCE, the mean of f times the score",
        lambda f, score: (f[:, None] * score).mean(axis=0),
    ),
    Fault(
        "gradient",
        "f is multiplied by the baseline; the baseline is to be subtracted",
        lambda f, score: ((f * baselines(f))[:, None] * score).mean(axis=0),
    ),
    Fault(
        "gradient",
        "the baseline is added where it is to be subtracted",
        lambda f, score: ((f + baselines(f))[:, None] * score).mean(axis=0),
    ),
    Fault(
        "gradient",
        "the score does not appear: f minus its baseline is multiplied by the score of the same draw",
        lambda f, score: np.full(score.shape[1], np.mean(f - baselines(f))),
    ),
    Fault(
        "gradient",
        "the draws are summed; the gradient is their mean",
        lambda f, score: gradient(f, score) * len(f),
    ),
    Fault("gradient", "the sign is turned round: baseline minus f", lambda f, score: -gradient(f, score)),
    Fault(
        "gradient",
        "the mean of all draws is subtracted, the draw's own f among them: the gradient comes out "
        "(S - 1) / S times too small",
        lambda f, score: ((f - f.mean())[:, None] * score).mean(axis=0),
    ),
)

EXERCISE = Exercise(
    name="leave-one-out",
    title="A baseline from the other draws",
    lesson="score_function.md",
    minutes=20,
    statement=STATEMENT,
    functions=(
        Function(
            "baselines",
            "f",
            "Return for each draw the mean of f over the other draws.\n\n"
            "f : array (S,), log p(x, z_s) - log q(z_s), in nats; at least two draws\n"
            "returns : array (S,), in nats",
            baselines,
        ),
        Function(
            "gradient",
            "f, score",
            "Return the REINFORCE gradient with the leave-one-out baseline.\n\n"
            "f : array (S,), in nats\n"
            "score : array (S, P), d log q(z_s) / d parameters of q\n"
            "returns : array (P,), the mean over the draws",
            gradient,
        ),
    ),
    scene=scene,
    laws=LAWS,
    faults=FAULTS,
    example="print(baselines(np.array([1.0, 2.0, 6.0])))  # 4.0 3.5 1.5",
)
