"""What the methods of stochastic ascent share: the options of their steps, their plan, their memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from elbo_lab.distributions import Family
from elbo_lab.errors import NotApplicable, bad_value, check_count
from elbo_lab.estimators import Estimator
from elbo_lab.evaluation import has_exact_evidence
from elbo_lab.fitting.methods.base import Settings, of_network
from elbo_lab.memory import Sizes
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior, check_within, find_posterior
from elbo_lab.registry import ESTIMATORS, find_estimators
from elbo_lab.training import Plan, VariationalObjective, parse_optimizer, parse_schedule

STEPS: Settings = {
    "epochs": 100,
    "batch": 100,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "evaluate_every": 1,
    "clip": None,
}
# Where KL(q || prior) has a formula, where it has none, and where no path leads from the noise to z.
ANALYTIC: Settings = {
    "theta_estimator": "elbo-analytic-kl",
    "phi_estimator": "reparameterization-analytic-kl",
    "draws": 1,
}
SAMPLED: Settings = {"theta_estimator": "elbo-sampled", "phi_estimator": "reparameterization", "draws": 1}
WITHOUT_PATH: Settings = {"phi_estimator": "score-function-loo", "draws": 10}


def with_usual_estimators(family: Family, model: Model, options: Settings, usual: Settings) -> Settings:
    """Return the options, with the usual estimators or other usual values in place of None.

    Parameters
    ----------
    family : Family
        Of q.
    model : Model
    options, usual : dict
    """
    pair = (ANALYTIC if model.has_kl_of(family) else SAMPLED) | ({} if family.has_path else WITHOUT_PATH)
    usual = pair | usual
    return options | {name: value for name, value in usual.items() if options.get(name, value) is None}


def q_of(model: Model, settings: Settings, maps: Sequence[str]) -> tuple[str, Family]:
    """Return the map and the family of the q that an option asks for, or raise ValueError.

    Parameters
    ----------
    model : Model
    settings : dict
    maps : sequence of str
        That the method can train, the usual one first.
    """
    choice = find_posterior(settings["posterior"])
    if choice.map and choice.map not in maps:
        expected = f"{' or '.join(maps)}, or a family"
        raise bad_value("posterior", expected, repr(settings["posterior"]))
    family = choice.family_for(model)
    check_within(family, model.family)
    return choice.map or maps[0], family


def plan_of(settings: Settings) -> Plan:
    """Return the plan of a training."""
    rates = {"theta": settings["learning_rate"]}
    # Without theta the single step size is that of phi.
    rates["phi"] = settings.get("phi_learning_rate", settings["learning_rate"])
    return Plan(
        epochs=settings["epochs"],
        batch=settings["batch"],
        optimizer=parse_optimizer(settings["optimizer"]),
        rates=rates,
        schedule=parse_schedule(settings["schedule"]),
        phi_steps=settings.get("phi_steps"),
        theta_steps=settings.get("theta_steps", 1),
        evaluate_every=settings["evaluate_every"],
        patience=settings.get("patience"),
        clip=settings["clip"],
        phi_step=settings.get("phi_step", "gradient"),
    )


def estimator_of(
    argument: str,
    settings: Settings,
    target: str,
    adapted: Callable[[Estimator], Estimator] = lambda one: one,
) -> Estimator:
    """Return the estimator of a target that an option names, or raise ValueError.

    `adapted` gives it the arguments of the objective.
    """
    name = settings[argument]
    for estimator in map(adapted, find_estimators(name, argument)):
        if estimator.target == target:
            return estimator
    fitting = ", ".join(
        one.name for one in ESTIMATORS.loaded() if adapted(one).target == target and not one.is_reference
    )
    raise bad_value(argument, f"an estimator of {target}", repr(name), f"these are {fitting}")


def check_noise(objective: VariationalObjective, plan: Plan) -> None:
    """Refuse a source of noise that cannot draw for the rows of the largest block of a step."""
    rows = np.arange(min(plan.batch, objective.n_rows))
    for spec in objective.noise_specs(max(map(len, objective.blocks(rows)))):
        objective.source.check(spec)


def check_gap_rows(model: Model, gap_rows: int, n_rows: int | None = None) -> None:
    """Refuse rows whose exact log p(x) cannot be computed, or more than the `n_rows` of the training."""
    check_count("gap_rows", gap_rows, minimum=0)
    if gap_rows and not has_exact_evidence(model) and model.latent_dim > 2:
        raise NotApplicable(f"gap_rows: log p of {model.label} is exact for at most two latents")
    if n_rows is not None and gap_rows > n_rows:
        raise bad_value("gap_rows", f"at most the {n_rows} rows that the training sees", gap_rows)


def _encoder_widths(settings: Settings) -> tuple[int, ...]:
    return tuple(of_network(settings, "encoder", "hidden")) if "hidden" in settings else ()


def check_training_size(
    sizes: Sizes, posterior: Posterior | None, settings: Settings, least: int = 0
) -> None:
    """Refuse a training that needs more memory than there is; `least` bytes are needed in any case."""
    if posterior is not None:
        # The option names the layers of the encoder, also where the model has none.
        hidden, parameters = _encoder_widths(settings), sizes.parameters + posterior.layout.size
        sizes = replace(sizes, hidden=hidden, parameters=parameters, draws=settings["draws"])
    sizes = replace(sizes, batch=min(settings["batch"], sizes.rows))
    slots = len(parse_optimizer(settings["optimizer"]).initial_state(1, np.float64))
    needed = sizes.training(np.dtype(settings.get("dtype", "float64")).itemsize, slots)
    sizes.check(max(needed, least))
