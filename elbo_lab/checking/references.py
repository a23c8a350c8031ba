"""Do exact gradients follow from exact values? For models whose pullback is not the package's own.

An exact gradient in theta uses the pullback of the model, as do the estimators that it judges; its value
does not. So both are compared with central differences of the value, in three random directions on two rows.
A long run is too slow for that: its gradients are marked as sharing the pullback.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.checking.model import block_sizes
from elbo_lab.checking.slopes import central_differences
from elbo_lab.errors import NotApplicable, bad_value
from elbo_lab.estimators import Answer, Exact, Problem
from elbo_lab.estimators.targets import is_gradient, parse
from elbo_lab.exact.ladder import log_evidence
from elbo_lab.exact.long_run import RUNG as LONG_RUN
from elbo_lab.models import MODELS
from elbo_lab.posteriors import FreePosterior
from elbo_lab.study.scene import Scene, spawn

ROWS, DIRECTIONS, STEP = 2, 3, 1e-3
# A wrong gradient differs by more than this share, beyond the error of the difference. Where that error is a
# larger share than the second, nothing is known.
TOLERANCE, BLURRED = 1e-3, 0.02
SHARED = "reference shares: pullback"
# What uses log-densities of the model alone.
INDEPENDENT = "grad-phi-inclusive-kl"


def shared_with_model(scene: Scene, answers: Mapping[str, Answer], targets: Iterable[str]) -> dict[str, str]:
    """Return {target: note} for the exact gradients that rest on a user's pullback and could not be judged.

    Parameters
    ----------
    scene : Scene
    answers : dict
        {target: Answer}, targets as in rows.
    targets : iterable of str
        Those that matter.

    Raises
    ------
    ValueError
        If an exact gradient is not the slope of its exact value.
    """
    if type(scene.model) in MODELS:
        return {}
    rng = spawn(0, scene.model.label, "differences")
    judged: dict[str, bool] = {}
    notes = {}
    for target in targets:
        stem, n_draws = parse(target)
        if not is_gradient(stem) or stem == INDEPENDENT:
            continue
        if stem not in judged:
            try:
                judged[stem] = answers[target].rung != LONG_RUN and _judge(scene, stem, n_draws, rng)
            except NotApplicable:  # no rung above the long run holds at a neighbouring theta
                judged[stem] = False
        if not judged[stem]:
            notes[target] = SHARED
    return notes


def _few_rows(scene: Scene) -> Problem:
    """Return the problem of the first rows, with q where it is there."""
    x, eta, family = scene.x[:ROWS], scene.best_eta, scene.model.posterior_family
    if scene.posterior is not None:
        eta, family = scene.posterior.eta(scene.phi, scene.x), scene.posterior.family
    table = FreePosterior(family, len(x))
    return Problem(scene.model, table, scene.theta, table.phi_from_eta(eta[:ROWS]), x)


def _judge(scene: Scene, stem: str, n_draws: int | None, rng: np.random.Generator) -> bool:
    """Refuse a gradient that is not the slope of its value; return whether the slope was known."""
    problem = _few_rows(scene)
    _, vector, bound = stem.split("-", 2)
    gradient = Exact(stem).answer(problem, n_draws)
    sizes = np.ones_like(problem.phi)
    if vector == "theta":
        sizes = block_sizes(scene.model, problem.theta)
    for direction in rng.standard_normal((DIRECTIONS, len(sizes))) * sizes:
        errors: list[float] = []

        def value(t: float, direction: Floats = direction, errors: list[float] = errors) -> float:
            moved = problem._replace(**{vector: getattr(problem, vector) + t * direction})
            there, error = _value(bound, moved, n_draws)
            errors.append(error + np.finfo(float).eps * abs(there))
            return there

        wide, narrow = central_differences(value, STEP)
        found = float(gradient.value @ direction)
        error = abs(wide - narrow) + max(errors) / (STEP / 2.0) + float(gradient.error @ np.abs(direction))
        size = max(abs(found), abs(narrow), float(np.linalg.norm(gradient.value * direction)))
        if not error < BLURRED * size:
            return False
        if abs(found - narrow) > TOLERANCE * size + error:
            expected = f"{narrow:.6g}, the central difference of the exact {bound}, along a random direction"
            remedy = "correct the pullback of likelihood at this theta"
            raise bad_value(f"the exact {stem} of {scene.model.label}", expected, f"{found:.6g}", remedy)
    return True


def _value(bound: str, problem: Problem, n_draws: int | None) -> tuple[float, float]:
    """Return an exact value, the mean over the rows, and its error."""
    if bound == "log-evidence":  # without the gradient it takes a fraction of the time
        value, error, _ = log_evidence(problem.model, problem.theta, problem.x)
        return float(value.mean()), float(error.max())
    answer = Exact(bound).answer(problem, n_draws)
    return float(answer.value[0]), float(answer.error[0])
