"""A model and an encoder learned together, along estimated gradients of one of `training.OBJECTIVES`.

By default that is the ELBO (autoencoding variational Bayes). An objective whose theta and phi follow two
functions (wake-sleep) is judged by what it does not ascend: at every evaluation the history gets the ELBO,
the importance-weighted bound and, where it is known, log p(x) of the same rows. So it does beside any bound
other than the ELBO.
"""

from functools import partial
from typing import cast

import numpy as np

from elbo_lab.datasets import Dataset
from elbo_lab.distributions import Family, find_source
from elbo_lab.errors import BadValue, NotApplicable, bad_value, check_count, check_positive
from elbo_lab.estimators import Estimator
from elbo_lab.estimators.coupled import for_source
from elbo_lab.fitting.final import Numbers, of_beta, of_bound
from elbo_lab.fitting.jobs import Outcome, Rows, Task, TrainingJob
from elbo_lab.fitting.methods.base import Method, Settings, images_of, of_network, prior_of
from elbo_lab.fitting.methods.steps import (
    STEPS,
    check_gap_rows,
    check_noise,
    check_training_size,
    estimator_of,
    plan_of,
    q_of,
    with_usual_estimators,
)
from elbo_lab.fitting.recorders import (
    bound_recorder,
    gap_recorder,
    monitor_recorder,
    prior_recorder,
    validation_recorder,
)
from elbo_lab.fitting.watched import watch_recorder
from elbo_lab.held import Held, held_in
from elbo_lab.memory import Sizes
from elbo_lab.models import GraphModel, Model
from elbo_lab.names import split_list
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior, Posterior
from elbo_lab.training import (
    BetaObjective,
    BetaSchedule,
    ElboObjective,
    Objective,
    PosteriorObjective,
    StoppingRule,
    TemperatureSchedule,
    Training,
    VariationalObjective,
    find_objective,
)

# Length of a natural step of phi: one would be the posterior of a conjugate target, but for noise.
NATURAL_RATE = 0.1
# Share of the training rows that are validation rows, with early stopping.
VALIDATION = 0.1
# Draws of each row in a look of the stopping rule, and its confidence.
STOPPING_DRAWS, CONFIDENCE = 32, 0.95
MAPS = (AmortisedPosterior.name, FreePosterior.name)
MAY_FALL = "the ELBO and log p(x) may fall"


class VAEMethod(Method):
    """Steps along estimated gradients of the ELBO, or of another objective of model and encoder."""

    name = "vae"
    summary = "steps along estimated gradients of the ELBO, or of another --objective"
    options = STEPS | {
        "epochs": 200,
        "learning_rate": 2e-3,
        "phi_learning_rate": None,
        "phi_steps": None,
        "phi_step": "gradient",
        "objective": ElboObjective.name,
        "posterior": AmortisedPosterior.name,
        "theta_estimator": None,
        "phi_estimator": None,
        "draws": None,
        "noise": "independent",
        "patience": None,
        "stop_within": None,
        "stop_confidence": None,
        "gap_rows": 0,
        "watch": None,
        "beta": 1.0,
        "beta_schedule": "constant",
        "temperature_schedule": None,
        "dtype": "float32",
        "prior": None,
        "restarts": 1,
    }
    has_encoder = True

    def applies(self, model: Model) -> bool:
        # A graph whose hidden cells are others in every row has no one q.
        no_q = isinstance(model, GraphModel) and not model.latent
        return not (model.global_latents or model.formula_only or model.all_observed or no_q)

    def completed(self, model: Model, options: Settings) -> Settings:
        check_gap_rows(model, options["gap_rows"])
        check_count("restarts", options["restarts"])
        kind_of_map, family = q_of(model, options, MAPS)
        _check_patience(options, kind_of_map)
        if kind_of_map == FreePosterior.name and options["encoder_hidden"] is not None:
            expected = "no value with a free table, which has no encoder"
            raise bad_value("encoder_hidden", expected, options["encoder_hidden"])
        _check_weight(options)
        _check_temperature(options)
        options = _with_stopping(model, family, options)
        kind = find_objective(options["objective"])
        # An objective that learns a vector from something else than draws of q takes no estimator for it.
        unused = {f"{name}_estimator" for name in kind.names if name not in kind.targets}
        for argument in unused:
            if options[argument] is not None:
                expected = f"no value with objective {kind.name}, which learns it from dreams"
                raise bad_value(argument, expected, repr(options[argument]))
        natural = options["phi_step"] == "natural"
        usual = {
            "phi_learning_rate": NATURAL_RATE if natural else options["learning_rate"],
            **kind.usual_for(family),
        }
        return with_usual_estimators(family, model, options, usual) | dict.fromkeys(unused)

    def posterior(self, model: Model, settings: Settings, train: Dataset) -> Posterior:
        train, _ = validation_split(settings, train)
        kind_of_map, family = q_of(model, settings, MAPS)
        if kind_of_map == FreePosterior.name:
            return FreePosterior(family, len(train.x))
        layers = tuple(of_network(settings, "encoder", "hidden")), settings["activation"]
        images = images_of(settings, "encoder", model, train.image_shape)
        given = family, train.x, *layers, model.given_classes
        if train.image_shape is None:
            return AmortisedPosterior.for_data(*given)
        return AmortisedPosterior.for_pixels(*given, **images)

    def cannot_hold(self, model: Model, held: Held) -> str:  # noqa: ARG002
        return ""

    def check_size(self, sizes: Sizes, posterior: Posterior | None, settings: Settings) -> None:
        check_training_size(sizes, posterior, settings)

    def task(
        self, model: Model, posterior: Posterior | None, settings: Settings, train: Dataset, threads: int
    ) -> Task:
        assert posterior is not None, "this method has a q"
        seed, dtype, recorders = settings["seed"], np.dtype(settings["dtype"]).type, []
        train, validation = validation_split(settings, train)
        plan, weight = plan_of(settings), weight_of(settings)
        weight.check_ends(plan.epochs * -(-len(train.x) // plan.batch))
        if validation is not None:
            beta = None if weight.is_elbo else weight.final
            recorders.append(validation_recorder(model, posterior, validation.x, seed, dtype, beta))
        check_gap_rows(model, settings["gap_rows"], len(train.x))
        gap_rows = None
        if settings["gap_rows"]:
            # The ELBO of a free table is defined only for all of its rows at once.
            gap_rows = train.x if posterior.needs_all_rows else train.x[: settings["gap_rows"]]
            recorders.append(gap_recorder(model, posterior, gap_rows))
        kind = find_objective(settings["objective"])
        if kind is not ElboObjective:
            recorders.append(monitor_recorder(model, posterior, train.x, seed, dtype))
        estimators: Settings = {
            argument: estimator_of(argument, settings, target, kind.adapted)
            for argument, target in ((f"{name}_estimator", kind.targets[name]) for name in kind.targets)
        }
        build = kind if weight.is_elbo else partial(BetaObjective, weight=weight)
        text = settings["temperature_schedule"]
        further: Settings = {} if text is None else {"temperatures": TemperatureSchedule.parse(text)}
        objective = build(
            model,
            posterior,
            train.x,
            train.probabilities,
            draws=settings["draws"],
            dtype=dtype,
            source=find_source(settings["noise"]),
            **estimators,
            **further,
        )
        if validation is not None and kind.ascends and kind is not ElboObjective:
            recorders.append(bound_recorder(objective, validation.x, seed))
        check_noise(objective, plan)
        if settings.get("watch"):
            watched = _watched(objective, settings)
            chosen = Dataset("rows", train.x).rows(min(plan.batch, len(train.x)), seed).x
            batch = train.x if posterior.needs_all_rows else chosen
            recorders.append(watch_recorder(objective, watched, batch, seed))
        prior, climbed = prior_of(model, settings, train), cast(Objective, objective)
        if prior is not None:
            recorders.append(prior_recorder(model, prior))
            climbed = PosteriorObjective(objective, model, prior)
        held = held_in(model.layout, settings.get("hold"))
        stopping = stopping_of(settings, model, posterior, train, held)
        training = Training(climbed, plan, seed, recorders, threads, held, stopping)
        return Task(model, posterior, settings, TrainingJob(training), gap_rows, prior, objective)

    def closing(self, task: Task, outcome: Outcome, rows: Rows, threads: int) -> Numbers:
        numbers = super().closing(task, outcome, rows, threads)
        kind, weight = find_objective(task.settings["objective"]), weight_of(task.settings)
        if not kind.ascends:
            numbers["claim"] = f"objective {kind.name}: {kind.summary}. No one function rises: {MAY_FALL}"
        elif kind is not ElboObjective:
            numbers = of_bound(numbers, task, outcome, rows)
        return numbers if weight.is_elbo else of_beta(numbers, task, outcome, rows, weight.final)


def _watched(objective: VariationalObjective, settings: Settings) -> list[Estimator]:
    """Return the estimators of the gradient in phi that are watched, or refuse one in one line."""
    kind = find_objective(settings["objective"])
    target, found = kind.targets.get("phi", "grad-phi-elbo"), []
    for name in split_list(settings["watch"]):
        one = estimator_of("watch", {"watch": name}, target, kind.adapted)
        one = for_source(one, objective.source)
        try:
            one.check_draws(objective.draws)
            one.check_pairing(objective.model, objective.posterior)
        except BadValue as reason:
            raise NotApplicable(f"watch: {reason}") from None
        found.append(one)
    return found


def weight_of(settings: Settings) -> BetaSchedule:
    """Return the weight of the KL that the options ask for, or raise ValueError."""
    return BetaSchedule.parse(settings["beta"], settings["beta_schedule"])


def _check_weight(options: Settings) -> None:
    """Refuse a weight that does not parse, or one for an objective other than the ELBO."""
    if not weight_of(options).is_elbo and options["objective"] != ElboObjective.name:
        argument = "beta" if options["beta"] != 1.0 else "beta_schedule"
        expected = f"{'1' if argument == 'beta' else 'constant'} with objective {options['objective']}"
        raise bad_value(argument, expected, options[argument], "only the ELBO has a KL to weigh")


def _check_temperature(options: Settings) -> None:
    """Refuse a schedule that does not parse, or one for an objective other than the ELBO."""
    text = options["temperature_schedule"]
    if text is None:
        return
    TemperatureSchedule.parse(text)
    if options["objective"] != ElboObjective.name:
        expected = f"no value with objective {options['objective']}"
        remedy = "only gradients of the ELBO have a relaxation to cool"
        raise bad_value("temperature_schedule", expected, repr(text), remedy)


def validation_split(settings: Settings, train: Dataset) -> tuple[Dataset, Dataset | None]:
    """Return the rows that a VAE is trained on, and the rows that early stopping watches."""
    return (train, None) if settings["patience"] is None else train.split(VALIDATION)


def stopping_of(
    settings: Settings, model: Model, posterior: Posterior, train: Dataset, held: Held | None
) -> StoppingRule | None:
    """Return the stopping rule that the options ask for, in float64, or None."""
    if settings.get("stop_within") is None:
        return None
    source = find_source("sobol")  # less luck for the same draws, and without bias as well
    given = model, posterior, train.x, train.probabilities
    objective = ElboObjective(*given, draws=STOPPING_DRAWS, source=source)
    alpha = 1.0 - settings["stop_confidence"]
    return StoppingRule(objective, settings["stop_within"], alpha, settings["seed"], held)


def _with_stopping(model: Model, family: Family, options: Settings) -> Settings:
    """Return the options with the usual confidence of a stopping rule, or refuse what has no rule."""
    within, confidence = options["stop_within"], options["stop_confidence"]
    if within is None:
        if confidence is not None:
            raise bad_value("stop_confidence", "no value without stop_within", confidence)
        return options
    check_positive("stop_within", within)
    confidence = CONFIDENCE if confidence is None else check_positive("stop_confidence", confidence)
    if confidence >= 1.0:
        raise bad_value("stop_confidence", "a probability below 1", confidence)
    beside = {"objective": ElboObjective.name, "patience": None, "prior": None, "beta": 1.0}
    for name, usual in (beside | {"beta_schedule": "constant"}).items():
        if options[name] != usual:
            expected = f"{usual} with stop_within" if usual is not None else "no value with stop_within"
            remedy = "the rule bounds what is left of the ELBO of the training rows"
            raise bad_value(name, expected, repr(options[name]), remedy)
    if not (family.has_path and family.has_kl_to(model.family)):
        remedy = "its ELBO at frozen noise is no smooth function; use patience"
        raise bad_value("stop_within", f"no value with a {family.name} q of {model.label}", within, remedy)
    return options | {"stop_confidence": confidence}


def _check_patience(options: Settings, kind_of_map: str) -> None:
    """Refuse to watch validation rows for which there is no q."""
    if kind_of_map == FreePosterior.name and options["patience"] is not None:
        expected = "no value with a free table, which has no q for validation rows"
        raise bad_value("patience", expected, options["patience"], "use the amortised posterior")
