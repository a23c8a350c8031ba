"""Bidirectional Monte Carlo: log p(x) of simulated data between a lower and an upper bound.

    E[lower] <= log p(x) <= E[upper]

(Grosse, Ghahramani and Adams 2015.) The lower one is annealed importance sampling, the upper one the same
chains backwards from the z that generated x (`sampling`). Where both meet, log p(x) is known; elsewhere their
distance bounds the error of either, a certificate that no one-sided estimate has. It is valid for data
simulated from the model. For real data it judges the sampler, not the number.

Each is a bound on average. The noise of a single pair may put the upper one below the lower one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.chains import Transition
from elbo_lab.errors import bad_value, check_count
from elbo_lab.evaluation.annealed.path import AnnealedPath
from elbo_lab.evaluation.annealed.sampling import (
    AnnealedRun,
    annealed_weights,
    pilot_steps,
    reverse_annealed_weights,
)
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior


@dataclass(frozen=True, eq=False)
class Sandwich:
    """Two sampled bounds of log p(x_n) of simulated data, in nats.

    Attributes
    ----------
    x : ndarray (N, D)
    lower, upper : ndarray (N,)
    forward, reverse : AnnealedRun
    """

    x: Floats
    lower: Floats
    upper: Floats
    forward: AnnealedRun
    reverse: AnnealedRun

    def means(self, log_p: Floats | float = 0.0) -> dict[str, float]:
        """Return {'lower', 'lower_se', 'upper', 'upper_se'}: means over the data and their standard errors.

        Parameters
        ----------
        log_p : ndarray (N,), optional
            Subtracted from both, where it is known: the errors then exclude the variation of the data.
        """
        means = {}
        for name, values in (("lower", self.lower - log_p), ("upper", self.upper - log_p)):
            means[name] = float(values.mean())
            means[f"{name}_se"] = float(values.std(ddof=1) / np.sqrt(len(values)))
        return means


def bidirectional(
    model: Model,
    theta: Floats,
    n_data: int,
    schedule: ArrayLike,
    transition: Transition,
    rng: np.random.Generator,
    n_chains: int = 16,
    posterior: Posterior | None = None,
    phi: Floats | None = None,
) -> Sandwich:
    """Return the Sandwich of data drawn from the model; steps come from a pilot.

    Parameters
    ----------
    model : Model
        With continuous z.
    theta : ndarray (P,)
    n_data : int
        N, at least 2.
    schedule : ndarray (T + 1,)
    transition : RandomWalk or HamiltonianMonteCarlo
    rng : numpy.random.Generator
        Data, pilot, and the two directions get separate streams, so that the data do not depend on the
        schedule.
    n_chains : int
        S per datum and direction.
    posterior : Posterior, optional
        Where chains start; the prior if not given. An encoder, since the data are new.
    phi : ndarray (P,), optional
    """
    if (posterior is None) != (phi is None):
        given = "phi" if posterior is None else "a posterior"
        raise bad_value("posterior and phi", "both or neither", f"only {given}")
    streams = rng.spawn(4)
    x, z = model.sample(theta, check_count("n_data", n_data, 2), streams[0])
    path = AnnealedPath.from_q(model, theta, x)
    if posterior is not None and phi is not None:
        path = AnnealedPath.from_q(model, theta, x, posterior.eta(phi, x), posterior.family)
    steps = pilot_steps(path, schedule, transition, streams[1])
    forward = annealed_weights(path, schedule, transition, streams[2], n_chains, steps)
    reverse = reverse_annealed_weights(path, z, schedule, transition, streams[3], n_chains, steps)
    lower, upper = forward.weights().log_mean(), -reverse.inverse_weights().log_mean()
    return Sandwich(x, lower, upper, forward, reverse)
