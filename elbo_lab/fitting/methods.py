"""From settings to a job: which methods fit a model, and what each of them is built of."""

from dataclasses import fields, replace

import numpy as np

from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable, bad_value, check_count, unknown_name
from elbo_lab.estimators import ElboReconstructionKL
from elbo_lab.evaluation import held_out_log_likelihood, measure_gap
from elbo_lab.fitting.final import tractable
from elbo_lab.fitting.jobs import ClosedFormJob, EMJob, TrainingJob
from elbo_lab.fitting.options import METHOD_OPTIONS
from elbo_lab.learning.closed_form import has_closed_form
from elbo_lab.learning.training.objectives import ConditionalObjective, ElboObjective, EvidenceObjective
from elbo_lab.learning.training.optimizers import find_optimizer
from elbo_lab.learning.training.plan import Plan
from elbo_lab.learning.training.schedules import parse_schedule
from elbo_lab.learning.training.trainer import Training
from elbo_lab.models import GaussianMixture
from elbo_lab.models.categorical_mlp import CategoricalMLP
from elbo_lab.models.linear_gaussian import LinearGaussian
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.study.registry import find_estimators

# Of the training rows, the share that early stopping watches, and the draws of z that it averages.
VALIDATION = 0.1
VALIDATION_DRAWS = 10
# Where q is continuous, and where it is categorical.
CONTINUOUS = {"phi_estimator": "reparameterization-analytic-kl", "draws": 1}
CATEGORICAL = {"phi_estimator": "score-function-loo", "draws": 10}


def methods_of(model):
    """Return the names of the methods that fit a model, the usual one first."""
    if isinstance(model, CategoricalMLP):
        return ["maximum-likelihood"]
    found = []
    if has_closed_form(model):
        found.append("closed-form")
    if isinstance(model, (GaussianMixture, LinearGaussian)):
        found.append("em")
    if tractable(model):
        found.append("gradient")
    return [*found, "vae"]


def choose_method(model, asked):
    """Return the method that was asked for, or the usual one.

    Raises
    ------
    ValueError
        If there is no such method, or it does not fit this model.
    """
    usable = methods_of(model)
    if asked is None:
        return usable[0]
    if asked not in METHOD_OPTIONS:
        raise unknown_name("method", asked, list(METHOD_OPTIONS))
    if asked not in usable:
        label = getattr(model, "label", model.name)
        raise bad_value("method", f"one of {', '.join(usable)} for {label}", repr(asked))
    return asked


def with_networks(model, settings):
    """Return the model with the hidden layers that were asked for, if it has any."""
    names = {field.name for field in fields(model)}
    if "hidden" not in names:
        return model
    # Given from the data's side: a classifier begins there, a decoder ends there.
    hidden = tuple(settings["hidden"])
    hidden = hidden if isinstance(model, CategoricalMLP) else hidden[::-1]
    return replace(model, hidden=hidden, activation=settings["activation"])


def build_posterior(model, settings, train):
    """Return the posterior that a VAE is trained with."""
    if settings["posterior"] == "free":
        return FreePosterior(model.family, len(train.x))
    for_kind = AmortisedPosterior.for_data if train.image_shape is None else AmortisedPosterior.for_pixels
    return for_kind(model.family, train.x, tuple(settings["hidden"]), settings["activation"])


def complete(model, method, settings):
    """Return the settings with what depends on the model filled in, or refuse what could only fail later."""
    if method != "vae":
        return settings
    check_count("gap_rows", settings["gap_rows"], minimum=0)
    if settings["gap_rows"] and not tractable(model) and model.latent_dim > 2:
        raise NotApplicable(f"gap_rows: log p of {model.label} is exact for at most two latents")
    usual = CATEGORICAL if model.family.discrete else CONTINUOUS
    usual = usual | {"phi_learning_rate": settings["learning_rate"]}
    return settings | {name: value for name, value in usual.items() if settings[name] is None}


def _plan(settings):
    optimizer, _, value = settings["optimizer"].partition(":")
    rates = {"theta": settings["learning_rate"]}
    if "phi_learning_rate" in settings:
        rates["phi"] = settings["phi_learning_rate"]
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


def _estimator(name, target):
    found = [estimator for estimator in find_estimators(name) if estimator.target == target]
    if not found:
        raise bad_value("estimator", f"one of {target}", repr(name), "see elbo-lab list")
    return found[0]


def _validation_recorder(model, posterior, x, seed, dtype):
    """Return a recorder of the bound on rows that the training does not see, with fixed noise."""
    bound, x = ElboReconstructionKL(), x.astype(dtype)
    spec = bound.noise_spec(model.family, VALIDATION_DRAWS, len(x))
    noise = draw_noise(spec, np.random.default_rng((seed, 1)), dtype=dtype)

    def record(params, phase):
        if phase == "phi":
            return {}
        value = bound.estimate(model, posterior, params["theta"], params["phi"], x, noise)[0][0]
        return {"elbo_validation": float(value)}

    return record


def _gap_recorder(model, posterior, x):
    """Return a recorder of the exact log p, ELBO and KL on given rows."""

    def record(params, phase):  # noqa: ARG001 - wanted after every phase
        theta, phi = (params[name].astype(np.float64) for name in ("theta", "phi"))
        return measure_gap(model, posterior, theta, phi, x).means()

    return record


def _likelihood_recorder(model, x):
    def record(params, phase):  # noqa: ARG001
        return {"log_likelihood": float(held_out_log_likelihood(model, params["theta"], x).sum())}

    return record


def build_job(model, method, settings, train, seed, threads):
    """Return (job, posterior or None) for the training rows.

    Parameters
    ----------
    model : Model or CategoricalMLP
    method : str
    settings : dict
        As from `options.resolve`.
    train : Dataset
    seed, threads : int
    """
    if method == "closed-form":
        return ClosedFormJob(model, train.x), None
    if method == "em":
        return EMJob(model, train, settings, seed), None
    plan, recorders, dtype = _plan(settings), [], np.dtype(settings["dtype"]).type
    if method == "gradient":
        objective = EvidenceObjective(model, train.x)
        recorders.append(_likelihood_recorder(model, train.x))
        return TrainingJob(Training(objective, plan, seed, recorders, threads)), None
    if method == "maximum-likelihood":
        objective = ConditionalObjective(model, train.x.astype(dtype), train.labels, dtype)
        return TrainingJob(Training(objective, plan, seed, recorders, threads)), None
    if plan.patience is not None:
        train, validation = train.split(VALIDATION)
    posterior = build_posterior(model, settings, train)
    objective = ElboObjective(
        model,
        posterior,
        train.x,
        train.probabilities,
        _estimator(settings["theta_estimator"], "grad-theta-elbo"),
        _estimator(settings["phi_estimator"], "grad-phi-elbo"),
        settings["draws"],
        dtype,
    )
    if plan.patience is not None:
        recorders.append(_validation_recorder(model, posterior, validation.x, seed, dtype))
    if settings["gap_rows"]:
        recorders.append(_gap_recorder(model, posterior, _gap_rows(train, settings)))
    return TrainingJob(Training(objective, plan, seed, recorders, threads)), posterior


def _gap_rows(train, settings):
    """Return the rows on which the gap is recorded: all of them with a free table, else the first."""
    if settings["posterior"] == "free" or settings["gap_rows"] >= len(train.x):
        return train.x
    return train.x[: settings["gap_rows"]]
