"""Exact answers for a scene, each computed once for all its targets."""

from collections.abc import Iterable
from time import perf_counter

from elbo_lab.estimators import Answer
from elbo_lab.estimators.exact import answers_under_q, evidence_answers
from elbo_lab.estimators.targets import numbered, parse
from elbo_lab.exact import evidence
from elbo_lab.study.scene import Scene


def references(scene: Scene, targets: Iterable[str]) -> tuple[dict[str, Answer], dict[str, float]]:
    """Return ({target: Answer}, {target: seconds}) for the targets that exist in this scene.

    Parameters
    ----------
    scene : Scene
    targets : collection of str
        As in rows, with their number of draws.
    """
    answers: dict[str, Answer] = {}
    seconds: dict[str, float] = {}
    for target in targets:
        if target in answers:
            continue
        stem, n_draws = parse(target)
        start = perf_counter()
        if stem.endswith("log-evidence"):
            computed = evidence_answers(evidence(scene.model, scene.theta, scene.x, proposal=scene.best_eta))
        elif scene.posterior is None:
            continue
        else:
            computed = answers_under_q(stem, scene.problem, n_draws)
        elapsed = perf_counter() - start
        for name, answer in computed.items():
            answers[numbered(name, n_draws)] = answer
            seconds[numbered(name, n_draws)] = elapsed
    return answers, seconds
