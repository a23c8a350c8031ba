"""Exercise: the score function, and the gradient that needs no derivative of f."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene

N_DRAWS = 4000
# Draws that tell the standard error: that of the same draws is small where their mean is wrong.
FURTHER = 20_000
NODES = 40
Pair = tuple[Floats, Floats]
"""In mean and in log_sd, each (S, K)."""


def score(z: Floats, mean: Floats, log_sd: Floats) -> Pair:
    """Return the score of the package's Gaussian."""
    family = DiagonalGaussian(len(mean))
    by_mean, by_log_sd = family.split(family.score(family.join(mean, log_sd)[None], z[:, None, :])[:, 0])
    return by_mean, by_log_sd


def reinforce(z: Floats, f: Floats, baseline: float, mean: Floats, log_sd: Floats) -> Pair:
    """Return (f - baseline) times the score, of each draw."""
    by_mean, by_log_sd = score(z, mean, log_sd)
    weight = (f - baseline)[:, None]
    return weight * by_mean, weight * by_log_sd


def scene(rng: np.random.Generator) -> Scene:
    """Draw q with standard deviations away from one, coefficients of f, a baseline and noise."""
    mean, log_sd = rng.normal(size=2), rng.uniform(0.3, 0.7, size=2) * np.array([1.0, -1.0])
    return {
        "mean": mean,
        "log_sd": log_sd,
        "few": mean + np.exp(log_sd) * rng.normal(size=(5, 2)),
        "eps": rng.normal(size=N_DRAWS),
        "curvature": rng.uniform(0.5, 2.0),
        "baseline": rng.uniform(1.0, 3.0),
    }


def _one(scene: Scene, eps: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return draws (S, 1), f of them, and mean and log_sd of the first coordinate."""
    mean, log_sd = scene["mean"][:1], scene["log_sd"][:1]
    z = mean + np.exp(log_sd) * eps[:, None]
    return z, 0.5 * scene["curvature"] * z[:, 0] ** 2, mean, log_sd


def _nodes() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()


def _at_nodes(_: Scene, results: list[Result]) -> Floats:
    """Return the expectation of a result for each draw."""
    return np.concatenate([_nodes()[1] @ one for one in results[0]])


def _score_calls(scene: Scene) -> list[Call]:
    z, _, mean, log_sd = _one(scene, _nodes()[0])
    return [Call("score", (z, mean, log_sd))]


def _gradient_calls(scene: Scene, eps: Floats, baseline: float) -> list[Call]:
    z, f, mean, log_sd = _one(scene, eps)
    return [Call("reinforce", (z, f, baseline, mean, log_sd))]


def _exact(scene: Scene) -> Floats:
    """Return the gradient of E_q[curvature z^2 / 2] = curvature (mean^2 + sd^2) / 2."""
    variance = np.exp(2 * scene["log_sd"][0])
    return scene["curvature"] * np.array([scene["mean"][0], variance])


def _few_calls(scene: Scene) -> list[Call]:
    z = scene["few"]
    return [Call("reinforce", (z, np.sum(z * z, axis=1), scene["baseline"], scene["mean"], scene["log_sd"]))]


def _mean_over_draws(_: Scene, results: list[Result]) -> Floats:
    return np.concatenate([one.mean(axis=0) for one in results[0]])


def _standard_error(scene: Scene, _: list[Result]) -> Floats:
    eps = np.random.default_rng(FURTHER).standard_normal(FURTHER)
    (call,) = _gradient_calls(scene, eps, 0.0)
    return np.concatenate([one.std(axis=0) for one in reinforce(*call.arguments)]) / np.sqrt(N_DRAWS)


def _scaled(pair: Pair, by_mean: Floats | float, by_log_sd: Floats | float) -> Pair:
    return pair[0] * by_mean, pair[1] * by_log_sd


def _weighted(weight: Floats, pair: Pair) -> Pair:
    return _scaled(pair, weight[:, None], weight[:, None])


def _log_q(z: Floats, mean: Floats, log_sd: Floats) -> Floats:
    family = DiagonalGaussian(len(mean))
    return family.log_prob(family.join(mean, log_sd), z)


EXERCISE = Exercise(
    name="reinforce",
    title="REINFORCE: a gradient without a derivative of f",
    lesson="score_function.md",
    minutes=20,
    statement="""
The score of q = N(mean, sd^2), K independent coordinates, is the derivative of
log q(z) with respect to its parameters, at a z that is held where it is. Write it
for mean and log_sd. Then

    gradient of E_q[f(z)] = E_q[(f(z) - baseline) score(z)]

for any baseline that does not depend on the draw, because the score has mean zero.
Write one estimate for each draw: a law takes the mean over draws, or over nodes.
""",
    functions=(
        Function(
            "score",
            "z, mean, log_sd",
            """Return the derivatives of log q(z), summed over nothing.

Parameters
----------
z : array (S, K)
mean, log_sd : array (K,)

Returns
-------
by_mean, by_log_sd : array (S, K)
""",
            score,
        ),
        Function(
            "reinforce",
            "z, f, baseline, mean, log_sd",
            """Return the estimate of the gradient of E_q[f] by each draw.

Parameters
----------
z : array (S, K)
f : array (S,)
    f(z) at each draw.
baseline : float
mean, log_sd : array (K,)

Returns
-------
by_mean, by_log_sd : array (S, K)
""",
            reinforce,
        ),
    ),
    scene=scene,
    laws=(
        Law(
            "at z = mean the score is 0 in the mean and -1 in log_sd",
            1,
            lambda s: [Call("score", (s["mean"][None], s["mean"], s["log_sd"]))],
        ),
        Law(
            "your five draws: the exact score",
            2,
            lambda s: [Call("score", (s["few"], s["mean"], s["log_sd"]))],
        ),
        Law(
            f"the expectation of the score is 0, summed over {NODES} nodes",
            1,
            _score_calls,
            value=_at_nodes,
            expected=lambda _: np.zeros(2),
        ),
        Law(
            f"f = c z^2 / 2, no baseline: the exact gradient, summed over {NODES} nodes",
            2,
            lambda s: _gradient_calls(s, _nodes()[0], 0.0),
            value=_at_nodes,
            expected=_exact,
        ),
        Law("your five draws with a baseline: the exact estimates", 2, _few_calls),
        Law(
            f"with a baseline: the exact gradient still, summed over {NODES} nodes",
            1,
            lambda s: _gradient_calls(s, _nodes()[0], s["baseline"]),
            value=_at_nodes,
            expected=_exact,
        ),
        Law(
            f"{N_DRAWS} draws: the exact gradient within its noise",
            1,
            lambda s: _gradient_calls(s, s["eps"], 0.0),
            value=_mean_over_draws,
            expected=_exact,
            standard_error=_standard_error,
        ),
    ),
    faults=(
        Fault(
            "score",
            "the score in the mean is (z - mean) / sd^2; sd is there once",
            lambda z, mean, log_sd: _scaled(score(z, mean, log_sd), np.exp(log_sd), 1.0),
        ),
        Fault(
            "score",
            "the score in the mean is not divided by the variance",
            lambda z, mean, log_sd: _scaled(score(z, mean, log_sd), np.exp(2 * log_sd), 1.0),
        ),
        Fault(
            "score",
            "the -1 of the normaliser is missing in log_sd: the score then has no mean of zero",
            lambda z, mean, log_sd: (score(z, mean, log_sd)[0], score(z, mean, log_sd)[1] + 1.0),
        ),
        Fault(
            "score",
            "this is the derivative in sd; the one in log_sd has a factor sd more",
            lambda z, mean, log_sd: _scaled(score(z, mean, log_sd), 1.0, np.exp(-log_sd)),
        ),
        Fault(
            "score",
            "both derivatives have the wrong sign",
            lambda z, mean, log_sd: _scaled(score(z, mean, log_sd), -1.0, -1.0),
        ),
        Fault(
            "score",
            "this is the derivative in z, not in the mean: the sign is the other one",
            lambda z, mean, log_sd: _scaled(score(z, mean, log_sd), -1.0, 1.0),
        ),
        Fault(
            "score",
            "log_sd is used as the standard deviation: its exponential is missing",
            lambda z, mean, log_sd: score(z, mean, np.log(np.abs(log_sd))),
        ),
        Fault(
            "reinforce",
            "f is not there: this is the score alone",
            lambda z, f, baseline, mean, log_sd: score(z, mean, log_sd),  # noqa: ARG005
        ),
        Fault(
            "reinforce",
            "the baseline is not used",
            lambda z, f, baseline, mean, log_sd: reinforce(z, f, 0.0, mean, log_sd),  # noqa: ARG005
        ),
        Fault(
            "reinforce",
            "the baseline is added where it is to be subtracted",
            lambda z, f, baseline, mean, log_sd: reinforce(z, f, -baseline, mean, log_sd),
        ),
        Fault(
            "reinforce",
            "the baseline is subtracted from the product: it belongs to f, before the score multiplies it",
            lambda z, f, baseline, mean, log_sd: tuple(
                one - baseline for one in reinforce(z, f, 0.0, mean, log_sd)
            ),
        ),
        Fault(
            "reinforce",
            "the sign is that of a loss: f - baseline is wanted, not baseline - f",
            lambda *arguments: _scaled(reinforce(*arguments), -1.0, -1.0),
        ),
        Fault(
            "reinforce",
            "f is multiplied by q(z) times the score; the draws are from q already",
            lambda z, f, baseline, mean, log_sd: _weighted(
                (f - baseline) * np.exp(_log_q(z, mean, log_sd)), score(z, mean, log_sd)
            ),
        ),
        Fault(
            "reinforce",
            "each estimate is divided by the number of draws; the mean is taken later",
            lambda z, *rest: _scaled(reinforce(z, *rest), 1 / len(z), 1 / len(z)),
        ),
    ),
    example="""
mean, log_sd = np.array([1.0]), np.array([np.log(2.0)])
z = np.array([[3.0], [1.0]])
print("score:", score(z, mean, log_sd), "should be 0.5 and 0, then 0 and -1")
print("estimates of f = z^2:", reinforce(z, z[:, 0] ** 2, 0.0, mean, log_sd), "4.5 and 0, then 0 and -1")
""",
)
