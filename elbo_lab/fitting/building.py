"""From settings to a job: the objective, the posterior, the plan and the recorders of each method.

A recorder is called at every evaluation of a training and adds to its history: the validation bound, the
exact gap, the exact likelihood.
"""

import numpy as np

from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable, bad_value
from elbo_lab.estimators import ElboReconstructionKL, Problem
from elbo_lab.evaluation import held_out_log_likelihood, measure_gap
from elbo_lab.fitting.final import exact_elbo_recorder
from elbo_lab.fitting.jobs import ClosedFormJob, EMJob, GradientJob, TrainingJob
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.registry import find_estimators
from elbo_lab.training.global_objective import GlobalElboObjective
from elbo_lab.training.objectives import ElboObjective, EvidenceObjective
from elbo_lab.training.optimizers import find_optimizer
from elbo_lab.training.plan import Plan
from elbo_lab.training.schedules import parse_schedule
from elbo_lab.training.trainer import Training

# Of the training rows, the share that early stopping watches.
VALIDATION = 0.1


def gap_rows(train, settings):
    """Return the rows on which the gap is recorded: all of them with a free table, else the first."""
    if settings["posterior"] == "free":
        return train.x
    return train.x[: settings["gap_rows"]]


def build_posterior(model, settings, train):
    """Return the posterior that a VAE is trained with."""
    if settings["posterior"] == "free":
        return FreePosterior(model.family, len(train.x))
    for_kind = AmortisedPosterior.for_data if train.image_shape is None else AmortisedPosterior.for_pixels
    return for_kind(model.family, train.x, tuple(settings["hidden"]), settings["activation"])


def _plan(settings):
    optimizer, _, value = settings["optimizer"].partition(":")
    rates = {"theta": settings["learning_rate"]}
    # Without theta the one step size is that of phi.
    rates["phi"] = settings.get("phi_learning_rate", settings["learning_rate"])
    return Plan(
        epochs=settings["epochs"],
        batch=settings["batch"],
        optimizer=find_optimizer(optimizer, value or None),
        rates=rates,
        schedule=parse_schedule(settings["schedule"]),
        phi_steps=settings.get("phi_steps"),
        evaluate_every=settings["evaluate_every"],
        patience=settings.get("patience"),
    )


def _estimator(argument, name, target):
    found = [estimator for estimator in find_estimators(name, argument) if estimator.target == target]
    if not found:
        raise bad_value(argument, f"an estimator of {target}", repr(name), "see elbo-lab list")
    return found[0]


def build_job(model, method, settings, train, seed, threads):
    """Return (job, posterior or None, the rows that its steps see) for the training rows.

    Parameters
    ----------
    model : Model
    method : str
    settings : dict
        As from `options.resolve`.
    train : Dataset
    seed, threads : int
    """
    if method == "closed-form":
        return ClosedFormJob(model, train.x), None, train
    if method == "em":
        return EMJob(model, train, settings, seed, threads), None, train
    plan, recorders = _plan(settings), []
    if method == "gradient":
        objective = EvidenceObjective(model, train.x)
        recorders.append(likelihood_recorder(model, train.x))
        return GradientJob(Training(objective, plan, seed, recorders, threads), train.columns), None, train
    if method == "svi":
        posterior = FreePosterior(model.family, 1)
        estimator = _estimator("phi_estimator", settings["phi_estimator"], "grad-phi-elbo")
        objective = GlobalElboObjective(
            model, posterior, train.x, phi_estimator=estimator, draws=settings["draws"]
        )
        recorders.append(exact_elbo_recorder(model, posterior, train.x))
        return TrainingJob(Training(objective, plan, seed, recorders, threads)), posterior, train
    dtype = np.dtype(settings["dtype"]).type
    if plan.patience is not None:
        train, validation = train.split(VALIDATION)
    posterior = build_posterior(model, settings, train)
    objective = ElboObjective(
        model,
        posterior,
        train.x,
        train.probabilities,
        _estimator("theta_estimator", settings["theta_estimator"], "grad-theta-elbo"),
        _estimator("phi_estimator", settings["phi_estimator"], "grad-phi-elbo"),
        settings["draws"],
        dtype,
    )
    if plan.patience is not None:
        recorders.append(validation_recorder(model, posterior, validation.x, seed, dtype))
    if settings["gap_rows"]:
        recorders.append(gap_recorder(model, posterior, gap_rows(train, settings)))
    return TrainingJob(Training(objective, plan, seed, recorders, threads)), posterior, train


# Draws of z that a validation bound averages.
VALIDATION_DRAWS = 10


def validation_recorder(model, posterior, x, seed, dtype):
    """Return a recorder of the bound on rows that the training does not see, with fixed noise."""
    bound, x = ElboReconstructionKL(), x.astype(dtype)
    spec = bound.noise_spec(model.family, VALIDATION_DRAWS, len(x))
    noise = draw_noise(spec, np.random.default_rng((seed, 1)), dtype=dtype)

    def record(params, phase):
        if phase == "phi":
            return {}
        value = bound.estimate(Problem(model, posterior, params["theta"], params["phi"], x), noise)[0][0]
        return {"elbo_validation": float(value)}

    return record


def gap_recorder(model, posterior, x):
    """Return a recorder of the exact log p, ELBO and KL on given rows.

    Where nothing is exact at the start, it says so (NotApplicable). Later a decoder may grow too steep for
    the quadrature: the rows then go without, for the training matters more than its record.
    """

    def record(params, phase):
        theta, phi = (params[name].astype(np.float64) for name in ("theta", "phi"))
        try:
            return measure_gap(model, posterior, theta, phi, x).means()
        except NotApplicable:
            if phase == "start":
                raise
            return {}

    return record


def likelihood_recorder(model, x):
    def record(params, phase):  # noqa: ARG001
        return {"log_likelihood": float(held_out_log_likelihood(model, params["theta"], x).sum())}

    return record
