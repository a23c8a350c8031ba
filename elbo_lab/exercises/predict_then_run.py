"""Exercise: six predictions, kept before the experiments run."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.exercises.one_latent import (
    elbo_gradient,
    log_weight,
    one_latent,
    posterior,
    slope_of_log_p,
)
from elbo_lab.special import log_mean_exp, softmax

STATEMENT = """\
Predict first, then look. Six questions about one datum x with a latent
z ~ N(0, 1), x | z ~ N(w z, I), and q = N(mean, sd^2); your numbers stand below.
The last two are about a bound of M draws (docs/multi_sample.md). Replace every None by
your prediction. The check keeps all six with their time, then runs the experiments and
prints each prediction beside its result. The first predictions count; a wrong one is
where there is something to learn."""

REPEATS = 20_000
FEW, MANY = 1, 64  # draws M of the bounds in the questions
DRAWS = 4  # S of the gradients
DIGITS = 4
PHI_STEP = 0.05
NEAR = 1e-4  # relative: four decimals are enough

ESTIMATORS = ("REINFORCE", "leave-one-out", "reparameterization")
WAYS = ("rises", "stays", "falls")


def scene(rng: np.random.Generator) -> dict[str, Any]:
    """Return q, x, and w, the number of draws of the first question, and ELBO and KL of q."""
    line = one_latent(rng)
    return line | {
        "draws": int(rng.choice([16, 25, 49, 81, 100, 144])),
        "elbo": round(_elbo(line), DIGITS),
        "kl": round(_kl(line), DIGITS),
    }


def log_evidence(scene: Scene) -> float:
    """Return log p(x), exactly: log p(x, z) - log p(z | x) at any z."""
    mean, sd = posterior(scene)
    return float(log_weight({**scene, "mean": mean, "sd": sd}, np.zeros(1))[0])


def _kl(scene: Scene) -> float:
    """Return KL(q || posterior)."""
    mean, sd = posterior(scene)
    ratio = scene["sd"] / sd
    return float(0.5 * (ratio**2 + ((scene["mean"] - mean) / sd) ** 2 - 1.0) - math.log(ratio))


def _elbo(scene: Scene) -> float:
    return log_evidence(scene) - _kl(scene)


def material(seed: int) -> str:
    """Return the student's numbers."""
    scene = EXERCISE.scene_of(seed)
    return (
        f"X = np.array({scene['x'].tolist()})\n"
        f"W = np.array({scene['w'].tolist()})\n"
        f"MEAN, SD = {scene['mean']}, {scene['sd']}  # of q\n"
        f"MANY_DRAWS = {scene['draws']}\n"
        f"ELBO, KL = {scene['elbo']}, {scene['kl']}  # of q, in nats; KL(q || posterior)"
    )


def _draws(scene: Scene, rng: np.random.Generator, n_draws: int) -> tuple[Floats, Floats]:
    """Return noise (R, S) and the log-weights of the draws."""
    eps = rng.standard_normal((REPEATS, n_draws))
    return eps, log_weight(scene, scene["mean"] + scene["sd"] * eps)


def _variance(scene: Scene, rng: np.random.Generator) -> str:
    one, many = (_draws(scene, rng, n)[1].mean(axis=1).var() for n in (1, scene["draws"]))
    return (
        f"the variance is {one:.4g} with one draw and {many:.4g} with {scene['draws']}, a factor of "
        f"{one / many:.1f}; exactly {scene['draws']}"
    )


def _noise_at_posterior(scene: Scene, rng: np.random.Generator) -> str:
    mean, sd = posterior(scene)
    there = {**scene, "mean": mean, "sd": sd}
    eps, f = _draws(there, rng, DRAWS)
    # The noise kept, log q does not change with the mean: the total derivative is the slope of log p.
    slope = slope_of_log_p(there, mean + sd * eps)
    score = eps / sd
    centred = (f - f.mean(axis=1, keepdims=True)) * DRAWS / (DRAWS - 1)
    estimates = ((f * score).mean(axis=1), (centred * score).mean(axis=1), slope.mean(axis=1))
    sds = ", ".join(f"{name} {some.std():.3f}" for name, some in zip(ESTIMATORS, estimates, strict=True))
    return f"sd of the gradient in the mean: {sds}. f is the same number at every z, log p(x)"


def _phi_step(scene: Scene, _: np.random.Generator) -> str:
    step = PHI_STEP * elbo_gradient(scene)
    moved = {**scene, "mean": scene["mean"] + step[0], "sd": scene["sd"] * math.exp(step[1])}
    elbo, log_p = ([some(one) for one in (scene, moved)] for some in (_elbo, log_evidence))
    return (
        f"log p(x) is {log_p[0]:.4f} before and {log_p[1]:.4f} after; the ELBO rises from {elbo[0]:.4f} to "
        f"{elbo[1]:.4f}. q does not occur in p(x)"
    )


def _sum(scene: Scene, _: np.random.Generator) -> str:
    return f"{scene['elbo']} + {scene['kl']} = {scene['elbo'] + scene['kl']:.4f}"


def _bounds(scene: Scene, rng: np.random.Generator) -> str:
    few, many = (log_mean_exp(_draws(scene, rng, n)[1], axis=1).mean() for n in (FEW, MANY))
    return (
        f"the mean of the bound is {few:.4f} with M = {FEW} and {many:.4f} with M = {MANY}; log p(x) is "
        f"{log_evidence(scene):.4f}"
    )


def _signal_to_noise(scene: Scene, rng: np.random.Generator) -> str:
    ratios = []
    for n_draws in (FEW, MANY):
        eps, log_w = _draws(scene, rng, n_draws)
        slope = slope_of_log_p(scene, scene["mean"] + scene["sd"] * eps)
        gradients = (softmax(log_w, axis=1) * slope).sum(axis=1)
        ratios.append(abs(gradients.mean()) / gradients.std())
    return (
        f"{ratios[0]:.2f} with M = {FEW}, {ratios[1]:.2f} with M = {MANY}. As the bound becomes tight its "
        "gradient in q vanishes, faster than the noise"
    )


EXPERIMENTS = {
    "variance_factor": _variance,
    "least_noisy_at_the_posterior": _noise_at_posterior,
    "log_p_after_a_phi_step": _phi_step,
    "log_p": _sum,
    "bound_with_more_draws": _bounds,
    "signal_to_noise_with_more_draws": _signal_to_noise,
}


def answer(seed: int, guesses: Mapping[str, Result]) -> str:
    """Run the experiments, and return each prediction with its result."""
    scene, rng = EXERCISE.scene_of(seed), np.random.default_rng(seed)
    return "\n".join(
        f"{name}: you said {guesses[name]}. Result: {experiment(scene, rng)}."
        for name, experiment in EXPERIMENTS.items()
    )


LAWS = (
    Law(
        "all six predictions were written down before the experiments ran",
        4,
        lambda _: [Call(name, ()) for name in EXPERIMENTS],
        value=lambda *_: 1.0,
    ),
    Law("the variance of a mean of draws", 1, lambda _: [Call("variance_factor", ())], tolerance=NEAR),
    Law("the least noise at the posterior", 1, lambda _: [Call("least_noisy_at_the_posterior", ())]),
    Law("log p(x) after a step in q", 1, lambda _: [Call("log_p_after_a_phi_step", ())]),
    Law("log p(x) from ELBO and KL", 1, lambda _: [Call("log_p", ())], tolerance=NEAR),
    Law("the bound with more draws", 1, lambda _: [Call("bound_with_more_draws", ())]),
    Law("signal to noise with more draws", 1, lambda _: [Call("signal_to_noise_with_more_draws", ())]),
)


def _said(function: str, value: Any, sentence: str) -> Fault:
    return Fault(function, sentence, lambda _: value)


FAULTS = (
    Fault(
        "variance_factor",
        "that is the factor of the standard deviation; the variance falls by its square",
        lambda scene: math.sqrt(scene["draws"]),
    ),
    Fault(
        "variance_factor",
        "the square of the right factor: the variance of a mean of S draws is variance / S",
        lambda scene: scene["draws"] ** 2,
    ),
    _said("variance_factor", 1.0, "draws that are independent do not keep their variance when averaged"),
    _said(
        "least_noisy_at_the_posterior",
        "reparameterization",
        "the total derivative keeps the score term, which is noise at the posterior; sticking the "
        "landing drops it",
    ),
    _said(
        "least_noisy_at_the_posterior",
        "REINFORCE",
        "f is constant there, but not zero: without a baseline it multiplies the noise of the score",
    ),
    _said("log_p_after_a_phi_step", "rises", "the ELBO rises; log p(x) does not know q"),
    _said("log_p_after_a_phi_step", "falls", "log p(x) does not know q: only the KL falls"),
    Fault(
        "log_p",
        "the KL was subtracted: log p(x) = ELBO + KL, the ELBO lies below",
        lambda scene: scene["elbo"] - scene["kl"],
    ),
    Fault("log_p", "this is the ELBO: log p(x) lies above it by the KL", lambda scene: scene["elbo"]),
    _said("bound_with_more_draws", "falls", "more draws make the bound tighter: its expectation rises"),
    _said("bound_with_more_draws", "stays", "only for q = posterior; else its expectation rises with M"),
    _said(
        "signal_to_noise_with_more_draws",
        "rises",
        "true of the gradient in theta; that in q falls, like 1 / sqrt(M) (Rainforth et al. 2018)",
    ),
    _said(
        "signal_to_noise_with_more_draws",
        "stays",
        "the gradient in q falls like 1 / M, its noise like 1 / sqrt(M) (Rainforth et al. 2018)",
    ),
)

EXERCISE = Exercise(
    name="predict-then-run",
    title="Predict, then run",
    lesson="variance.md",
    minutes=20,
    statement=STATEMENT,
    functions=(
        Function(
            "variance_factor",
            "",
            "By what factor does the variance of the mean of S independent values of f fall from S = 1 to\n"
            "S = MANY_DRAWS? A number above 1.",
            lambda scene: float(scene["draws"]),
            guess=True,
        ),
        Function(
            "least_noisy_at_the_posterior",
            "",
            "q is the exact posterior. Which gradient of the ELBO in the mean of q has the least noise,\n"
            f'with {DRAWS} draws each? "{ESTIMATORS[0]}" (without baseline), "{ESTIMATORS[1]}" or\n'
            f'"{ESTIMATORS[2]}" (the total derivative).',
            lambda _: "leave-one-out",
            guess=True,
            choices=ESTIMATORS,
        ),
        Function(
            "log_p_after_a_phi_step",
            "",
            "One step of gradient ascent of the ELBO in (mean, log sd) of q: what does log p(x) do?\n"
            'It "rises", "stays" or "falls".',
            lambda _: "stays",
            guess=True,
            choices=WAYS,
        ),
        Function(
            "log_p",
            "",
            "log p(x) in nats, from ELBO and KL above, with four decimals.",
            lambda scene: scene["elbo"] + scene["kl"],
            guess=True,
        ),
        Function(
            "bound_with_more_draws",
            "",
            f"The expectation of log (1/M) sum_m w_m from M = {FEW} to M = {MANY}: what does it do?\n"
            'It "rises", "stays" or "falls".',
            lambda _: "rises",
            guess=True,
            choices=WAYS,
        ),
        Function(
            "signal_to_noise_with_more_draws",
            "",
            "|mean| / sd of the pathwise gradient of that bound in the mean of q, from M = "
            f'{FEW} to M = {MANY}:\nwhat does it do? It "rises", "stays" or "falls".',
            lambda _: "falls",
            guess=True,
            choices=WAYS,
        ),
    ),
    scene=scene,
    laws=LAWS,
    faults=FAULTS,
    example="print(variance_factor(), log_p())",
    material=material,
    answer=answer,
)
