"""Gradient ascent of log p(x), and an honest word on where it ended.

Minibatch ascent has no natural end: it stops after its epochs, wherever it is, and a step size that falls to
zero stands still anywhere. A gradient norm changes with the units of the parameters. So the end is tried: a
few steps of L-BFGS on all rows climb from there, and what they gain, in nats per datum, is what the ascent
at least left undone. A little gain is no proof: there may be a higher maximum elsewhere, or a long plateau.

There is no floor under the variances as in EM. Where one has all but vanished, the density is unbounded and
the likelihood says nothing; the variance is named.
"""

from elbo_lab.blas import single_threaded_blas
from elbo_lab.exact import evidence
from elbo_lab.fitting.jobs import Outcome, TrainingJob
from elbo_lab.learning.ascent import ascend
from elbo_lab.learning.em.identified import about_identification
from elbo_lab.learning.em.verdict import vanished

# Steps of L-BFGS that try the end, and the gain in nats per datum below which it counts as a maximum.
TRIAL_STEPS = 10
ARRIVED = 1e-4


def still_to_gain(model, theta, x):
    """Return the mean log p(x) that a few steps of L-BFGS gain from theta, in nats per datum."""

    def objective(vector):
        answer = evidence(model, vector, x)
        return answer.value.mean(), answer.grad_theta

    with single_threaded_blas():
        here = objective(theta)[0]
        found = objective(ascend(objective, theta, TRIAL_STEPS, tolerance=0.0))[0]
    return float(max(0.0, found - here))


class GradientJob(TrainingJob):
    """Stochastic ascent of log p(x) of a tractable model.

    Parameters
    ----------
    training : Training
        Of an `EvidenceObjective`.
    columns : sequence of str or None
        Names for the warnings.
    """

    def __init__(self, training, columns):
        super().__init__(training)
        self.columns = columns

    def outcome(self):
        """Return the Outcome, with the end of the ascent tried."""
        ended, objective = super().outcome(), self.training.objective
        model, x, theta = objective.model, objective.x, ended.vectors["theta"]
        gain = still_to_gain(model, theta, x)
        spikes = list(vanished(model, x, theta, self.columns))
        warnings = [*spikes, *about_identification(model)]
        if gain >= ARRIVED:
            warnings.append(
                f"gradient ascent has not arrived: {TRIAL_STEPS} steps of L-BFGS from its end still gain "
                f"{gain:.2g} nats per datum; raise the epochs, or let the step size fall (--schedule)"
            )
        return Outcome(
            ended.vectors,
            ended.history,
            gain < ARRIVED and not spikes,
            ended.stopped,
            tuple(warnings),
            {"still_to_gain": gain},
        )
