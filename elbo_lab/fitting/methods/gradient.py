"""Gradient ascent of the exact evidence, which tests whether it has reached a maximum.

Minibatch ascent has no natural end: it stops after its epochs, or wherever the step size falls to zero. A
gradient norm depends on the units of the parameters. So the end point is tested: a few steps of L-BFGS on all
rows start from it, and their gain, in nats per datum, is a lower bound on what the ascent missed. A small
gain is no proof: there may be a higher maximum elsewhere, or a long plateau.

There is no floor under the variances as in EM. If a variance has nearly vanished, the density is unbounded
and the likelihood meaningless; a warning names the variance.
"""

from collections.abc import Sequence
from dataclasses import replace

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.em.verdict import vanished
from elbo_lab.evaluation import has_exact_evidence
from elbo_lab.fitting.jobs import Outcome, Task, TrainingJob
from elbo_lab.fitting.methods.base import Method, Settings, prior_of
from elbo_lab.fitting.methods.steps import STEPS, check_training_size, plan_of
from elbo_lab.fitting.recorders import likelihood_recorder
from elbo_lab.held import Held, held_in
from elbo_lab.memory import Sizes
from elbo_lab.models import Model
from elbo_lab.optimise.ascent import ascend
from elbo_lab.optimise.evidence import mean_evidence
from elbo_lab.posteriors import Posterior
from elbo_lab.priors import Prior
from elbo_lab.threads import single_threaded_blas
from elbo_lab.training import EvidenceObjective, PosteriorObjective, Training

# Steps of L-BFGS that test the end point, and the gain in nats per datum below which it counts as a maximum.
TRIAL_STEPS = 10
ARRIVED = 1e-4


def still_to_gain(
    model: Model, theta: Floats, x: Floats, held: Held | None = None, prior: Prior | None = None
) -> float:
    """Return the mean log p(x) that a few steps of L-BFGS gain from theta, in nats per datum.

    With a prior it is the log posterior over N. Parameters that are held have no slope, and so do not move.
    """

    def objective(vector: Floats) -> tuple[float, Floats]:
        value, gradient = mean_evidence(model, vector, x, prior)
        return value, gradient if held is None else held.without(gradient)

    with single_threaded_blas():
        value = objective(theta)[0]
        higher = objective(ascend(objective, theta, TRIAL_STEPS, tolerance=0.0))[0]
    return float(max(0.0, higher - value))


class GradientJob(TrainingJob):
    """Stochastic ascent of log p(x) of a tractable model.

    Parameters
    ----------
    training : Training
        Of `objective`, or of that with a prior.
    objective : EvidenceObjective
    columns : sequence of str or None
        Names for the warnings.
    prior : Prior or None
    """

    def __init__(
        self,
        training: Training,
        objective: EvidenceObjective,
        columns: Sequence[str] | None,
        prior: Prior | None = None,
    ) -> None:
        super().__init__(training)
        self.objective, self.columns, self.prior = objective, columns, prior

    def outcome(self) -> Outcome:
        """Return the Outcome, with a test of the end point."""
        ended = super().outcome()
        model, x, theta = self.objective.model, self.objective.x, ended.vectors["theta"]
        gain = still_to_gain(model, theta, x, self.training.held, self.prior)
        spikes = list(vanished(model, x, theta, self.columns))
        warnings = [*spikes, *model.cautions]
        if gain >= ARRIVED:
            warnings.append(
                f"gradient ascent has not arrived: {TRIAL_STEPS} steps of L-BFGS from its end still gain "
                f"{gain:.2g} nats per datum; raise the epochs, or let the step size fall (--schedule)"
            )
        converged, extra = gain < ARRIVED and not spikes, {"still_to_gain": gain}
        return replace(ended, converged=converged, warnings=tuple(warnings), extra=extra)


class GradientMethod(Method):
    """Steps along the gradient of log p(x), where that is exact."""

    name = "gradient"
    summary = "steps along the gradient of the exact evidence"
    options = STEPS | {"learning_rate": 1e-2, "prior": None}

    def is_usual(self, model: Model) -> bool:
        """Whether the model has no network between z and x: one that has is asked for with an encoder."""
        return model.hidden is None or model.all_observed

    def applies(self, model: Model) -> bool:
        return has_exact_evidence(model) and not (model.global_latents or model.formula_only)

    def cannot_hold(self, model: Model, held: Held) -> str:  # noqa: ARG002
        return ""

    def check_size(self, sizes: Sizes, posterior: Posterior | None, settings: Settings) -> None:
        # Exact values of all rows are recorded.
        check_training_size(sizes, posterior, settings, least=sizes.formula())

    def task(
        self,
        model: Model,
        posterior: Posterior | None,  # noqa: ARG002
        settings: Settings,
        train: Dataset,
        threads: int,
    ) -> Task:
        prior = prior_of(model, settings, train)
        recorders = [likelihood_recorder(model, train.x, prior)]
        objective = EvidenceObjective(model, train.x)
        climbed = objective if prior is None else PosteriorObjective(objective, model, prior)
        held = held_in(model.layout, settings.get("hold"))
        training = Training(climbed, plan_of(settings), settings["seed"], recorders, threads, held)
        job = GradientJob(training, objective, train.columns, prior)
        return Task(model, None, settings, job, prior=prior)
