"""The cost of an estimate: at how many z it evaluates the model."""

import numpy as np
import pytest

from elbo_lab.comparison.pipeline import Placement
from elbo_lab.distributions import find_source
from elbo_lab.registry import all_estimators, find_models
from elbo_lab.study.scene import spawn

DRAWS = 6
METHODS = ("likelihood", "log_joint", "log_likelihood_grad_z")


MODELS = ("ppca", "gaussian-mixture:full", "sigmoid-belief", "deep-gaussian:learned")
# Of a mixture, whose log p(x, y) is linear in a relaxed y, they see the table over all components.
BY_TABLE = {
    **dict.fromkeys(("concrete-0.5", "straight-through", "straight-through-gumbel-0.5"), (0, DRAWS)),
    "rebar-learned-0.5": (DRAWS, 7 * DRAWS),
    **dict.fromkeys(("rebar-0.5", "relax-0.5"), (DRAWS, 3 * DRAWS)),
}


@pytest.mark.parametrize("model", MODELS)
def test_evaluations_are_the_different_draws_at_which_an_estimate_evaluates_the_model(model, monkeypatch):
    source = find_source("independent")
    scene = Placement(None, None, "free", "near", 2, 0, source).scene(find_models(model)[0], DRAWS)
    seen = []

    def recorded(method):
        def call(self, theta, x, z, *rest):
            if not any(z is other or np.array_equal(z, other) for other in seen):
                seen.append(z)
            return method(self, theta, x, z, *rest)

        return call

    kind = type(scene.model)
    for name in METHODS:
        monkeypatch.setattr(kind, name, recorded(getattr(kind, name)))
    wrong = {}
    for estimator in all_estimators():
        if estimator.is_reference or scene.refusal(estimator, DRAWS) is not None:
            continue
        noise = source.draw(estimator.noise_for(scene.problem, DRAWS), spawn(0, "noise"))
        state = estimator.initial_state(scene.problem)
        seen.clear()
        estimator.estimate(scene.problem, noise, state)
        counted = sum(z.shape[-2 - scene.model.family.event_axes] for z in seen)
        declared = estimator.evaluations(DRAWS, scene.posterior.family)
        if counted != declared:
            wrong[estimator.name] = counted, declared
    assert wrong == (BY_TABLE if model.startswith("gaussian-mixture") else {})
