"""Exercise: five gradients of the ELBO, one of them biased. Which one it is depends on the student's seed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Result, Scene
from elbo_lab.exercises.candidates import BIASED, SETTING, UNBIASED, run_source, source
from elbo_lab.exercises.one_latent import elbo_gradient, one_latent

STATEMENT = """\
Below are five estimators of the gradient of the ELBO in (mean, log sd) of q. Four are
unbiased; one is not. Which one?

The noise of a single estimate hides the bias. Write z_scores: the distance of the mean
of R estimates from the exact gradient, in standard errors of that mean. Then run this
file, with more repeats if you are in doubt, and look; or find the argument in the code.
Your first guess counts: the check keeps it, and shows the answer after it."""

LETTERS = ("A", "B", "C", "D", "E")
REPEATS, PARAMETERS = 40, 2  # of the numbers of the laws
SCALE = 10.0  # a change of units
MEASURED = 40_000  # estimates of each candidate, for the answer


def z_scores(estimates: Floats, exact: Floats) -> Floats:
    """Return (mean - exact) / standard error of the mean, for each parameter."""
    standard_error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    return (estimates.mean(axis=0) - exact) / standard_error


def scene(rng: np.random.Generator) -> dict[str, Any]:
    """Return q and x, five candidates by letter, which is biased, and estimates to try z_scores on."""
    line = one_latent(rng)
    ideas = [*rng.choice(list(UNBIASED), len(LETTERS) - 1, replace=False), rng.choice(list(BIASED))]
    by_letter = dict(zip(LETTERS, rng.permutation(ideas).tolist(), strict=True))
    (biased,) = (letter for letter, idea in by_letter.items() if idea in BIASED)
    estimates = elbo_gradient(line) + rng.normal(0.2, 1.5, (REPEATS, PARAMETERS))
    return line | {"ideas": by_letter, "biased": biased, "estimates": estimates}


def _text(scene: Scene) -> str:
    setting = SETTING.format(x=scene["x"].tolist(), w=scene["w"].tolist(), mean=scene["mean"], sd=scene["sd"])
    ideas = UNBIASED | BIASED
    bodies = {f"candidate_{letter.lower()}": ideas[idea] for letter, idea in scene["ideas"].items()}
    return source(setting, bodies)


def material(seed: int) -> str:
    """Return the setting, the exact gradient and the five candidates."""
    scene = EXERCISE.scene_of(seed)
    names = ", ".join(f'"{letter}": candidate_{letter.lower()}' for letter in LETTERS)
    exact = np.round(elbo_gradient(scene), 10).tolist()
    return f"{_text(scene)}\n\nCANDIDATES = {{{names}}}\nEXACT = np.array({exact})  # gradient of the ELBO"


def answer(seed: int, guesses: Mapping[str, Result]) -> str:
    """Return what is shown after the guess: means, standard errors and z-scores of all candidates."""
    scene = EXERCISE.scene_of(seed)
    names, exact = run_source(_text(scene)), elbo_gradient(scene)
    noise = np.random.default_rng(seed).standard_normal((MEASURED, names["S"]))
    lines = [f"exact gradient in (mean, log sd): {exact[0]:.3f}, {exact[1]:.3f}"]
    for letter, idea in scene["ideas"].items():
        estimates = names[f"candidate_{letter.lower()}"](noise)
        mean, z = estimates.mean(axis=0), z_scores(estimates, exact)
        lines.append(f"{letter}  mean {mean[0]:.3f}, {mean[1]:.3f}  z {z[0]:.1f}, {z[1]:.1f}  {idea}")
    lines += [
        f"({MEASURED} estimates each; z: distance from the exact value in standard errors)",
        f"You guessed {guesses['biased']}. {scene['biased']} is biased: its baseline sees its own draw.",
    ]
    return "\n".join(lines)


LAWS = (
    Law("the biased candidate, by your first guess", 5, lambda _: [Call("biased", ())]),
    Law(
        f"the z-scores of {REPEATS} estimates of {PARAMETERS} parameters",
        3,
        lambda scene: [Call("z_scores", (scene["estimates"], elbo_gradient(scene)))],
    ),
    Law(
        "z-scores have no unit: estimates and exact value ten times as large give the same",
        1,
        lambda scene: [
            Call("z_scores", (scale * scene["estimates"], scale * elbo_gradient(scene)))
            for scale in (1.0, SCALE)
        ],
        value=lambda _, results: results[1] - results[0],
        expected=lambda _: np.zeros(PARAMETERS),
    ),
    Law(
        "z-scores are zero where the exact value is the mean of the estimates",
        1,
        lambda scene: [Call("z_scores", (scene["estimates"], scene["estimates"].mean(axis=0)))],
        expected=lambda _: np.zeros(PARAMETERS),
    ),
)

FAULTS = (
    Fault(
        "z_scores",
        "divided by the sd of one estimate; the standard error of a mean of R is sqrt(R) times smaller",
        lambda estimates, exact: (estimates.mean(axis=0) - exact) / estimates.std(axis=0, ddof=1),
    ),
    Fault(
        "z_scores",
        "the standard deviation is divided by R; the standard error is sd / sqrt(R)",
        lambda estimates, exact: z_scores(estimates, exact) * len(estimates) ** 0.5,
    ),
    Fault(
        "z_scores",
        "the sum of squares is divided by R; with R - 1 the variance is unbiased (ddof=1)",
        lambda estimates, exact: z_scores(estimates, exact) * (1.0 - 1.0 / len(estimates)) ** -0.5,
    ),
    Fault(
        "z_scores",
        "divided by the variance where the standard deviation belongs",
        lambda estimates, exact: z_scores(estimates, exact) / estimates.std(axis=0, ddof=1),
    ),
    Fault(
        "z_scores",
        "not divided by anything: this is the distance itself, not in standard errors",
        lambda estimates, exact: estimates.mean(axis=0) - exact,
    ),
    Fault(
        "z_scores",
        "the sign is turned round: mean minus exact",
        lambda estimates, exact: -z_scores(estimates, exact),
    ),
    Fault(
        "z_scores",
        "the exact value is not subtracted",
        lambda estimates, exact: z_scores(estimates, 0.0 * exact),
    ),
)

EXERCISE = Exercise(
    name="find-the-biased-estimator",
    title="Find the biased estimator",
    lesson="variance.md",
    minutes=30,
    statement=STATEMENT,
    functions=(
        Function(
            "z_scores",
            "estimates, exact",
            "Return (mean of the estimates - exact) / standard error of the mean.\n\n"
            "estimates : array (R, P), R independent estimates\n"
            "exact : array (P,)\n"
            "returns : array (P,); the standard error from the sd with R - 1 in the denominator",
            z_scores,
        ),
        Function(
            "biased",
            "",
            'Return the letter of the biased candidate, as "A".',
            lambda scene: scene["biased"],
            guess=True,
            choices=LETTERS,
        ),
    ),
    scene=scene,
    laws=LAWS,
    faults=FAULTS,
    example="""\
rng = np.random.default_rng(SEED)
repeats = 100  # enough?
for letter, candidate in CANDIDATES.items():
    print(letter, z_scores(candidate(rng.standard_normal((repeats, S))), EXACT))""",
    material=material,
    answer=answer,
)
