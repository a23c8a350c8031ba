"""Exercise: the importance-weighted bound, the logarithm of a mean of M weights."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.exercises.one_latent import log_weight, one_latent
from elbo_lab.special import log_mean_exp, log_sum_exp

STATEMENT = """\
M draws of z from q have weights w = p(x, z) / q(z). Their mean is an unbiased estimate
of p(x), and the logarithm of their mean a lower bound of log p(x) in expectation. With
M = 1 it is the ELBO.

Write log (1/M) sum_m w_m for each datum from the log-weights. They may be -1000 or
+1000 nats: exp of them is 0 or inf, so take the largest out first."""

DRAWS, DATA = 6, 4
FAR = 1000.0  # nats: exp(-1000) is zero and exp(1000) is inf
MOST_DRAWS = 3  # of a bit, all of whose outcomes are summed


def iwae_bound(log_w: Floats) -> Floats:
    """Return log (1/M) sum_m w_m, axis 0 being that of the draws."""
    return log_mean_exp(log_w, axis=0)


def scene(rng: np.random.Generator) -> dict[str, Any]:
    """Return log-weights (M, N) of M draws for N data, and a bit with two log-weights."""
    line = one_latent(rng)
    z = line["mean"] + line["sd"] * rng.standard_normal((DRAWS, DATA))
    log_p = np.round(rng.normal(-4.0, 1.0), 2)
    mass = round(rng.uniform(0.2, 0.4), 2)  # of the first bit under q
    share = round(rng.uniform(0.55, 0.8), 2)  # of the first bit in the posterior
    two = np.array([log_p + np.log(share / mass), log_p + np.log((1.0 - share) / (1.0 - mass))])
    return line | {"log_w": log_weight(line, z), "log_p": log_p, "mass": mass, "two": two}


def _outcomes(n_draws: int) -> list[list[int]]:
    return [list(bits) for bits in product((0, 1), repeat=n_draws)]


def _bit_calls(scene: Scene) -> list[Call]:
    return [
        Call("iwae_bound", (scene["two"][bits][:, None],))
        for n_draws in range(1, MOST_DRAWS + 1)
        for bits in _outcomes(n_draws)
    ]


def _expected_bounds(scene: Scene, results: Sequence[Result]) -> Floats:
    """Return E[IWAE_M] for M = 1, 2, 3, a sum over the outcomes of M draws."""
    masses, rest, bounds = np.array([scene["mass"], 1.0 - scene["mass"]]), list(results), []
    for n_draws in range(1, MOST_DRAWS + 1):
        outcomes = _outcomes(n_draws)
        values = np.array([float(np.ravel(one)[0]) for one in rest[: len(outcomes)]])
        rest = rest[len(outcomes) :]
        bounds.append(sum(masses[bits].prod() * value for bits, value in zip(outcomes, values, strict=True)))
    return np.array(bounds)


LAWS = (
    Law(
        "a single draw (M = 1) gives its log-weight",
        1,
        lambda scene: [Call("iwae_bound", (scene["log_w"][:1],))],
        expected=lambda scene: [scene["log_w"][0]],
    ),
    Law(
        f"M equal log-weights give this log-weight ({DRAWS} of them)",
        2,
        lambda scene: [Call("iwae_bound", (np.repeat(scene["log_w"][:1], DRAWS, axis=0),))],
        expected=lambda scene: [scene["log_w"][0]],
    ),
    Law(
        f"the bounds of your {DATA} data with {DRAWS} draws each",
        2,
        lambda scene: [Call("iwae_bound", (scene["log_w"],))],
    ),
    Law(
        f"log-weights around -{FAR:g} and +{FAR:g} nats: the bound shifts with them",
        2,
        lambda scene: [Call("iwae_bound", (scene["log_w"] + shift,)) for shift in (-FAR, FAR)],
    ),
    Law(
        "a draw of weight zero (log w = -inf) counts among the M",
        1,
        lambda scene: [Call("iwae_bound", (np.vstack([scene["log_w"], np.full((1, DATA), -np.inf)]),))],
    ),
    Law(
        f"the bound rises with M: its expectations for M = 1 to {MOST_DRAWS}, over all draws of a bit",
        2,
        _bit_calls,
        value=_expected_bounds,
    ),
)

FAULTS = (
    Fault(
        "iwae_bound",
        "log M is missing: this is the logarithm of the sum of the weights, not of their mean",
        lambda log_w: log_sum_exp(log_w, axis=0),
    ),
    Fault(
        "iwae_bound",
        "this is the mean of the logarithms, the ELBO; the bound is the logarithm of the mean",
        lambda log_w: log_w.mean(axis=0),
    ),
    Fault(
        "iwae_bound",
        "right for moderate log-weights, but exp is taken before the largest is taken out: "
        "exp(-1000) is 0 and exp(1000) is inf",
        lambda log_w: np.log(np.mean(np.exp(log_w), axis=0)),
    ),
    Fault(
        "iwae_bound",
        "the mean is taken over the data (axis 1); the draws are axis 0",
        lambda log_w: log_mean_exp(log_w, axis=1),
    ),
    Fault(
        "iwae_bound",
        "the mean runs over draws and data at once; each datum has a bound of its own",
        lambda log_w: log_mean_exp(log_w.ravel(), axis=0),
    ),
    Fault(
        "iwae_bound",
        "this is the largest log-weight alone: the sum of the other weights is left out",
        lambda log_w: log_w.max(axis=0),
    ),
    Fault(
        "iwae_bound",
        "this is the mean of the weights, not its logarithm",
        lambda log_w: np.exp(np.minimum(log_mean_exp(log_w, axis=0), 700.0)),
    ),
    Fault(
        "iwae_bound",
        "the largest log-weight was taken out and not put back",
        lambda log_w: log_mean_exp(log_w - log_w.max(axis=0), axis=0),
    ),
    Fault(
        "iwae_bound", "the sign is turned round: this is minus the bound", lambda log_w: -iwae_bound(log_w)
    ),
    Fault(
        "iwae_bound",
        "log M is added; it is to be subtracted: log of the sum minus log M",
        lambda log_w: log_sum_exp(log_w, axis=0) + np.log(len(log_w)),
    ),
)

EXERCISE = Exercise(
    name="iwae-bound",
    title="The importance-weighted bound",
    lesson="multi_sample.md",
    minutes=15,
    statement=STATEMENT,
    functions=(
        Function(
            "iwae_bound",
            "log_w",
            "Return log (1/M) sum_m w_m of each datum.\n\n"
            "log_w : array (M, N), log p(x, z) - log q(z) of M draws for N data, in nats\n"
            "returns : array (N,), in nats",
            iwae_bound,
        ),
    ),
    scene=scene,
    laws=LAWS,
    faults=FAULTS,
    example="print(iwae_bound(np.log([[1.0], [3.0]])))  # log 2 = 0.6931",
)
