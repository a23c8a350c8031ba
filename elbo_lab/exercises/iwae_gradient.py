"""Exercise: the gradients of the importance-weighted bound, in theta and along the paths of the draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.exercises.one_latent import log_weight, one_latent, posterior, slope_of_log_p
from elbo_lab.special import log_mean_exp, softmax

STATEMENT = """\
The importance-weighted bound is log (1/M) sum_m w_m. The chain rule gives its gradient:
every draw's gradient of log w_m, weighted by the share of its weight,
v_m = w_m / sum_l w_l.

In theta, log w_m changes only by log p(x, z_m). In the mean of q = N(mean, sd^2), with
the noise kept, z_m = mean + sd eps_m moves along; log q(z_m) = -eps_m^2 / 2 - log sd +
const does not change with the mean at all. Log-weights may be -1000 nats."""

DRAWS = 6
FAR = 1000.0  # nats
STEP = 1e-5  # of the central difference, whose error is of order STEP^2


def gradient_theta(log_w: Floats, slopes: Floats) -> Floats:
    """Return the gradient (P,) of the bound in theta."""
    return softmax(log_w, axis=0) @ slopes


def gradient_mean(log_w: Floats, slope_of_log_p: Floats) -> Floats:
    """Return the derivative of the bound in the mean of q, the noise kept."""
    return softmax(log_w, axis=0) @ slope_of_log_p


def scene(rng: np.random.Generator) -> dict[str, Any]:
    """Return q, x, w and the noise of M draws."""
    return one_latent(rng) | {"eps": rng.standard_normal(DRAWS)}


def _draws(scene: Scene) -> Floats:
    return scene["mean"] + scene["sd"] * scene["eps"]


def _log_w(scene: Scene) -> Floats:
    return log_weight(scene, _draws(scene))


def _slopes(scene: Scene) -> Floats:
    """Return d log p(x, z) / d w for each draw: (M, D)."""
    z = _draws(scene)
    return (scene["x"] - np.multiply.outer(z, scene["w"])) * z[:, None]


def _bound(scene: Scene) -> float:
    return float(log_mean_exp(_log_w(scene), axis=0))


def _difference_in_w(scene: Scene) -> Floats:
    steps = STEP * np.eye(len(scene["w"]))
    ends = [[_bound({**scene, "w": scene["w"] + sign * step}) for step in steps] for sign in (1, -1)]
    return (np.array(ends[0]) - np.array(ends[1])) / (2.0 * STEP)


def _difference_in_mean(scene: Scene) -> float:
    # The draws move with the mean: their noise is kept.
    above, below = ({**scene, "mean": scene["mean"] + step} for step in (STEP, -STEP))
    return (_bound(above) - _bound(below)) / (2.0 * STEP)


def _call_theta(scene: Scene, shift: float = 0.0) -> Call:
    return Call("gradient_theta", (_log_w(scene) + shift, _slopes(scene)))


def _call_mean(scene: Scene, shift: float = 0.0) -> Call:
    return Call("gradient_mean", (_log_w(scene) + shift, slope_of_log_p(scene, _draws(scene))))


def _first(_: Scene, results: Sequence[Result]) -> Result:
    return results[0]


def _at_posterior(scene: Scene) -> Scene:
    mean, sd = posterior(scene)
    return {**scene, "mean": mean, "sd": sd}


def _undetached(log_w: Floats, slopes: Floats) -> Floats:
    """Return the gradient of sum_m v_m log w_m, the weights differentiated too."""
    shares = softmax(log_w, axis=0)
    return (shares * (1.0 + log_w - shares @ log_w)) @ slopes


def _faults(function: str) -> tuple[Fault, ...]:
    """Return the mistakes that both functions share."""
    return (
        Fault(
            function,
            "the weights are not divided by their sum: the shares must add up to one",
            lambda log_w, slopes: np.exp(log_w) @ slopes,
        ),
        Fault(
            function,
            "all draws count alike: this is the gradient of the ELBO; weight each draw by its share",
            lambda _, slopes: slopes.mean(axis=0),
        ),
        Fault(
            function,
            "divided by M once more: the 1/M of the bound cancels in w_m / sum_l w_l",
            lambda log_w, slopes: softmax(log_w, axis=0) @ slopes / len(log_w),
        ),
        Fault(
            function,
            "the shares are squared: that belongs to the doubly reparameterized gradient of phi, "
            "where the slope through log q is left out too",
            lambda log_w, slopes: softmax(log_w, axis=0) ** 2 @ slopes,
        ),
        Fault(
            function,
            "the shares are differentiated too (a missing 'detach'): this is the gradient of "
            "sum_m v_m log w_m, not of log (1/M) sum_m w_m",
            _undetached,
        ),
        Fault(
            function,
            "right for moderate log-weights, but exp(-1000) is 0: take the largest log-weight out first",
            lambda log_w, slopes: np.exp(log_w) @ slopes / np.exp(log_w).sum(),
        ),
        Fault(
            function,
            "the log-weights themselves are used as weights; the shares are exp(log w) / sum exp(log w)",
            lambda log_w, slopes: log_w @ slopes / log_w.sum(),
        ),
        Fault(
            function,
            "only the draw of the largest weight is used; the others have a share too",
            lambda log_w, slopes: slopes[np.argmax(log_w)],
        ),
        Fault(
            function,
            "the sign is turned round: this is the gradient of minus the bound",
            lambda log_w, slopes: -softmax(log_w, axis=0) @ slopes,
        ),
    )


LAWS = (
    Law(
        "theta: with equal weights, the plain mean of the draws' gradients",
        1,
        lambda scene: [Call("gradient_theta", (np.full(DRAWS, -4.0), _slopes(scene)))],
        expected=lambda scene: [_slopes(scene).mean(axis=0)],
    ),
    Law(
        "theta: the central difference of your bound in w, the draws kept",
        3,
        lambda scene: [_call_theta(scene)],
        value=_first,
        expected=_difference_in_w,
    ),
    Law(
        f"theta: {FAR:g} nats more or less in all log-weights do not change the gradient",
        1,
        lambda scene: [_call_theta(scene, -FAR), _call_theta(scene, FAR)],
    ),
    Law(
        "mean: one draw (M = 1) gives its own slope",
        1,
        lambda scene: [Call("gradient_mean", (_log_w(scene)[:1], slope_of_log_p(scene, _draws(scene))[:1]))],
        expected=lambda scene: [slope_of_log_p(scene, _draws(scene))[0]],
    ),
    Law(
        "mean: the central difference of your bound in the mean of q, the noise kept",
        3,
        lambda scene: [_call_mean(scene)],
        value=_first,
        expected=_difference_in_mean,
    ),
    Law(
        "mean: at the exact posterior all weights are equal, and the slope is the plain mean",
        1,
        lambda scene: [_call_mean(_at_posterior(scene))],
    ),
    Law(
        f"mean: {FAR:g} nats more or less in all log-weights do not change the slope",
        1,
        lambda scene: [_call_mean(scene, -FAR), _call_mean(scene, FAR)],
    ),
)

EXERCISE = Exercise(
    name="iwae-gradient",
    title="The gradients of the importance-weighted bound",
    lesson="multi_sample.md",
    minutes=25,
    statement=STATEMENT,
    functions=(
        Function(
            "gradient_theta",
            "log_w, slopes",
            "Return the gradient of log (1/M) sum_m w_m in theta.\n\n"
            "log_w : array (M,), in nats\n"
            "slopes : array (M, P), d log p(x, z_m) / d theta\n"
            "returns : array (P,)",
            gradient_theta,
        ),
        Function(
            "gradient_mean",
            "log_w, slope_of_log_p",
            "Return the derivative of log (1/M) sum_m w_m in the mean of q, the noise kept.\n\n"
            "log_w : array (M,), in nats, at z_m = mean + sd eps_m\n"
            "slope_of_log_p : array (M,), d log p(x, z_m) / dz\n"
            "returns : one number",
            gradient_mean,
        ),
    ),
    scene=scene,
    laws=LAWS,
    faults=_faults("gradient_theta") + _faults("gradient_mean"),
    example="print(gradient_theta(np.log([1.0, 3.0]), np.array([[0.0], [4.0]])))  # 3.0",
)
