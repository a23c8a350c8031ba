"""From the options of a fit to a task: model, rows, objective, posterior and plan of each method.

A recorder is called at every evaluation of a training and adds to its history: the validation bound, the
exact gap, the exact likelihood.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset, load_for
from elbo_lab.distributions import draw_noise
from elbo_lab.distributions.noise import FloatDType
from elbo_lab.errors import NotApplicable, bad_value, check_count, columns_by_name
from elbo_lab.estimators import Estimator, Problem, elbo_for
from elbo_lab.evaluation import held_out_log_likelihood, measure_gap
from elbo_lab.files import StrPath
from elbo_lab.fitting.final import as_table, elbo_per_row
from elbo_lab.fitting.jobs import ClosedFormJob, EMJob, GradientJob, Rows, Task, TrainingJob
from elbo_lab.fitting.settings import Settings
from elbo_lab.memory import COPIES_OF_EM, Sizes
from elbo_lab.models import Model
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior, Posterior
from elbo_lab.registry import ModelChoice, find_estimators
from elbo_lab.training import (
    ElboObjective,
    EvidenceObjective,
    GlobalElboObjective,
    Plan,
    Training,
    find_optimizer,
    parse_schedule,
)

# Share of the training rows that are validation rows, with early stopping; draws of z that their bound
# averages.
VALIDATION, VALIDATION_DRAWS = 0.1, 10

Params = Mapping[str, Floats]
Recorder = Callable[[Params, str], dict[str, float]]


def load_rows(kind: type[Model], asked: Settings, data_dir: StrPath | None) -> Rows:
    """Return the rows for a kind of model, split by the option `holdout`."""
    if "data" not in asked:
        expected = "a data set, a file or an array"
        remedy = f"try {kind.default_data!r}, or another of elbo-lab list"
        raise bad_value("data", expected, "nothing", remedy)
    dataset = load_for(kind.natural_views, asked["data"], view=asked.get("view"), data_dir=data_dir)
    name = name_of(asked["data"], dataset)
    dataset = as_table(kind, dataset)
    if "holdout" not in asked:
        return Rows(name, dataset, None)
    return Rows(name, *dataset.split(asked["holdout"]))


def name_of(source: object, dataset: Dataset) -> str:
    """Return the name of the data: a registered name with its view, a path as given, or 'array'."""
    if dataset.licence:
        return dataset.name
    return str(source) if isinstance(source, (str, os.PathLike)) else "array"


def build_model(choice: ModelChoice, x: Floats, latent: int | None) -> Model:
    """Return the model for training rows x (N, D), or refuse a latent size that it cannot have."""
    if latent is not None:
        check_count("latent", latent)
    return choice.build(x, latent)


def check_rows(model: Model, rows: Rows) -> None:
    """Refuse training rows that cannot be fitted, and held-out rows outside the support of the model."""
    with columns_by_name(rows.train.columns):
        model.check_data(model.as_data(rows.train.x))
        if rows.held_out is not None and not model.global_latents:
            model.check_support(rows.held_out.x)


def check_size(model: Model, posterior: Posterior | None, settings: Settings, x: Floats) -> None:
    """Refuse a fit to x (N, D) that needs more memory than there is."""
    method = settings["method"]
    sizes = Sizes.of(model, *x.shape)
    if method in ("closed-form", "em"):
        sizes.check(sizes.formula(COPIES_OF_EM) if method == "em" else sizes.formula())
        return
    if posterior is not None:
        # The option names the layers of the encoder, also where the model has none.
        hidden, parameters = tuple(settings.get("hidden", ())), sizes.parameters + posterior.layout.size
        sizes = replace(sizes, hidden=hidden, parameters=parameters, draws=settings["draws"])
    sizes = replace(sizes, batch=min(settings["batch"], len(x)))
    optimizer = find_optimizer(settings["optimizer"].partition(":")[0], None)
    slots = len(optimizer.initial_state(1, np.float64))
    needed = sizes.training(np.dtype(settings.get("dtype", "float64")).itemsize, slots)
    # Exact values of all rows are recorded.
    sizes.check(max(needed, sizes.formula()) if method == "gradient" else needed)


def build_task(
    model: Model, posterior: Posterior | None, settings: Settings, train: Dataset, threads: int
) -> Task:
    """Return the task of the settings (as from `resolve`) on the training rows, with the q of these."""
    method, seed = settings["method"], settings["seed"]
    if method == "closed-form":
        return Task(model, None, settings, ClosedFormJob(model, train.x))
    if method == "em":
        return Task(model, None, settings, EMJob(model, train, settings, threads))
    plan = _plan(settings)
    if method == "gradient":
        recorders = [likelihood_recorder(model, train.x)]
        training = Training(EvidenceObjective(model, train.x), plan, seed, recorders, threads)
        return Task(model, None, settings, GradientJob(training, train.columns))
    assert posterior is not None, "the other methods have a q"
    if method == "svi":
        estimator, draws = _estimator("phi_estimator", settings, "grad-phi-elbo"), settings["draws"]
        objective = GlobalElboObjective(model, posterior, train.x, phi_estimator=estimator, draws=draws)
        recorders = [exact_elbo_recorder(model, posterior, train.x)]
        training = Training(objective, plan, seed, recorders, threads)
        return Task(model, posterior, settings, TrainingJob(training))
    return _vae_task(model, posterior, settings, plan, train, threads)


def _vae_task(
    model: Model, posterior: Posterior, settings: Settings, plan: Plan, train: Dataset, threads: int
) -> Task:
    seed, dtype, recorders = settings["seed"], np.dtype(settings["dtype"]).type, []
    train, validation = validation_split(settings, train)
    if validation is not None:
        recorders.append(validation_recorder(model, posterior, validation.x, seed, dtype))
    gap_rows = None
    if settings["gap_rows"]:
        if settings["gap_rows"] > len(train.x):
            expected = f"at most the {len(train.x)} rows that the training sees"
            raise bad_value("gap_rows", expected, settings["gap_rows"])
        # The ELBO of a free table is defined only for all of its rows at once.
        gap_rows = train.x if posterior.needs_all_rows else train.x[: settings["gap_rows"]]
        recorders.append(gap_recorder(model, posterior, gap_rows))
    objective = ElboObjective(
        model,
        posterior,
        train.x,
        train.probabilities,
        _estimator("theta_estimator", settings, "grad-theta-elbo"),
        _estimator("phi_estimator", settings, "grad-phi-elbo"),
        settings["draws"],
        dtype,
    )
    training = Training(objective, plan, seed, recorders, threads)
    return Task(model, posterior, settings, TrainingJob(training), gap_rows)


def validation_split(settings: Settings, train: Dataset) -> tuple[Dataset, Dataset | None]:
    """Return the rows that a VAE is trained on, and the rows that early stopping watches."""
    return (train, None) if settings["patience"] is None else train.split(VALIDATION)


def build_posterior(model: Model, settings: Settings, train: Dataset) -> Posterior | None:
    """Return the variational posterior of a fit to training rows, None for methods without one."""
    if settings["method"] == "svi":
        return FreePosterior(model.family, 1)
    if settings["method"] != "vae":
        return None
    train, _ = validation_split(settings, train)
    if settings["posterior"] == FreePosterior.name:
        return FreePosterior(model.family, len(train.x))
    for_kind = AmortisedPosterior.for_data if train.image_shape is None else AmortisedPosterior.for_pixels
    return for_kind(model.family, train.x, tuple(settings["hidden"]), settings["activation"])


def _plan(settings: Settings) -> Plan:
    optimizer, colon, value = settings["optimizer"].partition(":")
    rates = {"theta": settings["learning_rate"]}
    # Without theta the single step size is that of phi.
    rates["phi"] = settings.get("phi_learning_rate", settings["learning_rate"])
    return Plan(
        epochs=settings["epochs"],
        batch=settings["batch"],
        optimizer=find_optimizer(optimizer, value if colon else None),
        rates=rates,
        schedule=parse_schedule(settings["schedule"]),
        phi_steps=settings.get("phi_steps"),
        evaluate_every=settings["evaluate_every"],
        patience=settings.get("patience"),
    )


def _estimator(argument: str, settings: Settings, target: str) -> Estimator:
    name = settings[argument]
    for estimator in find_estimators(name, argument):
        if estimator.target == target:
            return estimator
    raise bad_value(argument, f"an estimator of {target}", repr(name), "see elbo-lab list")


def validation_recorder(
    model: Model, posterior: Posterior, x: Floats, seed: int, dtype: FloatDType
) -> Recorder:
    """Return a recorder of the bound on validation rows, with fixed noise."""
    bound, x = elbo_for(model, posterior), x.astype(dtype)
    spec = bound.noise_spec(posterior.family, VALIDATION_DRAWS, len(x))
    noise = draw_noise(spec, np.random.default_rng((seed, 1)), dtype=dtype)

    def record(params: Params, phase: str) -> dict[str, float]:
        if phase in ("before", "phi"):  # a cycle is judged at its end
            return {}
        value = bound.estimate(Problem(model, posterior, params["theta"], params["phi"], x), noise)[0][0]
        return {"elbo_validation": float(value)}

    return record


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


def likelihood_recorder(model: Model, x: Floats) -> Recorder:
    """Return a recorder of the exact log-likelihood of all rows."""

    def record(params: Params, phase: str) -> dict[str, float]:  # noqa: ARG001
        return {"log_likelihood": float(held_out_log_likelihood(model, params["theta"], x).sum())}

    return record


def exact_elbo_recorder(model: Model, posterior: Posterior, table: Floats) -> Recorder:
    """Return a recorder of the exact ELBO per row of a table with global latents."""

    def record(params: Params, phase: str) -> dict[str, float]:  # noqa: ARG001
        return {"elbo_exact": elbo_per_row(Problem(model, posterior, np.zeros(0), params["phi"], table))}

    return record
