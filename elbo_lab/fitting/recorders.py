"""What a training records: each recorder is called at every evaluation and adds to the history.

The validation bound, bounds on watched rows, the exact gap, the exact likelihood, the exact ELBO of a table
with global latents.
"""

from collections.abc import Callable, Mapping

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import draw_noise
from elbo_lab.distributions.noise import FloatDType
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import Problem, elbo_for
from elbo_lab.estimators.base import weighted_draws
from elbo_lab.evaluation import (
    has_exact_evidence,
    held_out_log_likelihood,
    mean_kl_to_prior,
    measure_gap,
)
from elbo_lab.exact import ladder
from elbo_lab.fitting.final import elbo_per_row
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.priors import Prior
from elbo_lab.special import log_mean_exp
from elbo_lab.training import VariationalObjective

# Draws of z that the bound on validation rows averages.
VALIDATION_DRAWS = 10
# Rows, and draws of z for each, on which a training is watched that ascends no function.
MONITORED_ROWS, MONITORED_DRAWS = 200, 10

Params = Mapping[str, Floats]
Recorder = Callable[[Params, str], dict[str, float]]


def validation_recorder(
    model: Model, posterior: Posterior, x: Floats, seed: int, dtype: FloatDType, beta: float | None = None
) -> Recorder:
    """Return a recorder of the bound on validation rows, with fixed noise.

    With `beta`, the weight of the KL at the end of the training, it records that objective too: an ELBO that
    falls is no sign that a training with another weight should stop.
    """
    bound, x = elbo_for(model, posterior), x.astype(dtype)
    spec = bound.noise_spec(posterior.family, VALIDATION_DRAWS, len(x))
    noise = draw_noise(spec, np.random.default_rng((seed, 1)), dtype=dtype)

    def record(params: Params, phase: str) -> dict[str, float]:
        if phase in ("before", "phi"):  # a cycle is judged at its end
            return {}
        problem = Problem(model, posterior, params["theta"], params["phi"], x)
        value = float(bound.estimate(problem, noise)[0][0])
        if beta is None:
            return {"elbo_validation": value}
        objective = value + (1.0 - beta) * mean_kl_to_prior(problem)
        return {"elbo_validation": value, "beta_objective_validation": objective}

    return record


def bound_recorder(objective: VariationalObjective, x: Floats, seed: int) -> Recorder:
    """Return a recorder of what an objective ascends on validation rows x (N, D), with fixed noise.

    Its value comes from at least ten draws of z for each row, in bounds of as many draws as in the training.
    """
    bound, posterior, x = objective.bound, objective.posterior, x.astype(objective.dtype)
    spec = bound.noise_spec(posterior.family, objective.draws, len(x))
    repeats = (-(-VALIDATION_DRAWS // objective.draws),)
    noise = draw_noise(spec, np.random.default_rng((seed, 1)), repeats, dtype=objective.dtype)

    def record(params: Params, phase: str) -> dict[str, float]:
        if phase in ("before", "phi"):
            return {}
        values, _ = bound.estimate(objective.problem(dict(params), x), noise)
        return {objective.watched_key: float(values.mean())}

    return record


def monitor_recorder(model: Model, posterior: Posterior, x: Floats, seed: int, dtype: FloatDType) -> Recorder:
    """Return a recorder of bounds on the same rows with fixed noise, and of log p(x) where it is exact.

    The ELBO and the importance-weighted bound come from the same draws, ten for each of at most 200 of the
    rows x (N, D); so they lie in this order at every evaluation, and their means lie below log p(x).
    """
    if not posterior.needs_all_rows:
        x = _watched(x, seed)
    exact = has_exact_evidence(model)
    short: Floats = x.astype(dtype)
    spec = posterior.family.noise_spec(MONITORED_DRAWS, len(x))
    noise = draw_noise(spec, np.random.default_rng((seed, 1)), dtype=dtype)

    def record(params: Params, phase: str) -> dict[str, float]:  # noqa: ARG001
        problem = Problem(model, posterior, params["theta"], params["phi"], short)
        log_w = weighted_draws(problem, noise)[2].astype(np.float64)
        row = {
            "monitored_elbo": float(log_w.mean()),
            "monitored_iwae": float(log_mean_exp(log_w, axis=-2).mean()),
        }
        if exact:
            theta = params["theta"].astype(np.float64)
            row["monitored_log_p"] = float(held_out_log_likelihood(model, theta, x).mean())
        return row

    return record


def evidence_recorder(model: Model, x: Floats, n_rows: int, seed: int) -> Recorder:
    """Return a recorder of the exact mean log p(x) of some rows, for a training without a q.

    Parameters
    ----------
    model : Model
    x : ndarray (N, D)
    n_rows : int
        The first so many rows; 0 for a choice of at most 200, of a model whose log p(x) is a formula.
    seed : int
    """
    x = x[:n_rows] if n_rows else _watched(x, seed)

    def record(params: Params, phase: str) -> dict[str, float]:
        try:
            log_p = ladder.log_evidence(model, params["theta"].astype(np.float64), x)[0]
        except NotApplicable as reason:  # the decoder has become too steep for the quadrature
            if phase == "start":
                raise NotApplicable(f"gap_rows: {reason}; leave gap_rows out") from None
            return {}
        return {"monitored_log_p": float(log_p.mean())}

    return record


def _watched(x: Floats, seed: int) -> Floats:
    """Return at most 200 of the rows, the same for equal seeds."""
    if len(x) <= MONITORED_ROWS:
        return x
    return x[np.random.default_rng((seed, 3)).permutation(len(x))[:MONITORED_ROWS]]


def gap_recorder(model: Model, posterior: Posterior, x: Floats) -> Recorder:
    """Return a recorder of the exact log p, ELBO and KL on given rows.

    It raises NotApplicable if nothing is exact at the start. Later a decoder may become too steep for the
    quadrature: these rows of the history then lack the gap, and the training continues.
    """

    def record(params: Params, phase: str) -> dict[str, float]:
        theta, phi = (params[name].astype(np.float64) for name in ("theta", "phi"))
        try:
            return measure_gap(Problem(model, posterior, theta, phi, x)).means()
        except NotApplicable as reason:
            if phase == "start":
                raise NotApplicable(f"gap_rows: {reason}; leave gap_rows out") from None
            return {}

    return record


def likelihood_recorder(model: Model, x: Floats, prior: Prior | None = None) -> Recorder:
    """Return a recorder of the exact log-likelihood of all rows; with a prior also of the log posterior."""

    def record(params: Params, phase: str) -> dict[str, float]:  # noqa: ARG001
        value = float(held_out_log_likelihood(model, params["theta"], x).sum())
        if prior is None:
            return {"log_likelihood": value}
        log_prior = prior.log_prior(model, params["theta"])
        return {"log_likelihood": value, "log_prior": log_prior, "log_posterior": value + log_prior}

    return record


def prior_recorder(model: Model, prior: Prior) -> Recorder:
    """Return a recorder of log p(theta)."""

    def record(params: Params, phase: str) -> dict[str, float]:  # noqa: ARG001
        return {"log_prior": prior.log_prior(model, params["theta"].astype(np.float64))}

    return record


def exact_elbo_recorder(model: Model, posterior: Posterior, table: Floats) -> Recorder:
    """Return a recorder of the exact ELBO per row of a table with global latents."""

    def record(params: Params, phase: str) -> dict[str, float]:  # noqa: ARG001
        return {"elbo_exact": elbo_per_row(Problem(model, posterior, np.zeros(0), params["phi"], table))}

    return record
