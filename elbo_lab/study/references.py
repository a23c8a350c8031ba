"""Exact answers for a scene, each rung of the ladder climbed once for all its targets."""

from time import perf_counter

from elbo_lab.estimators.exact import elbo_answers, evidence_answers
from elbo_lab.exact import evidence, expectation


def references(scene, targets):
    """Return ({target: Answer}, {target: seconds}) for the targets that exist in this scene.

    Parameters
    ----------
    scene : Scene
    targets : collection of str
    """
    answers, seconds = {}, {}

    def note(compute):
        start = perf_counter()
        found = compute()
        elapsed = perf_counter() - start
        answers.update(found)
        seconds.update(dict.fromkeys(found, elapsed))

    if any(target.endswith("log-evidence") for target in targets):
        note(lambda: evidence_answers(evidence(scene.model, scene.theta, scene.x, proposal=scene.best_eta)))
    if scene.posterior is not None and any(target.endswith("elbo") for target in targets):
        eta = scene.posterior.eta(scene.phi, scene.x)
        note(
            lambda: elbo_answers(
                expectation(scene.model, scene.theta, scene.x, eta),
                scene.posterior,
                scene.phi,
                scene.x,
                eta,
            )
        )
    return answers, seconds
