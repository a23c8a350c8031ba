"""What can be asked of a fit, per method, and which methods fit a model.

The signature of `fit` declares the options; the tables here say which of them a method uses, and what it
takes where nothing was asked. An option that a method does not use is refused: a number that changes nothing
would only mislead. The resolved options are the `settings` of the JSON file and of the checkpoint.
"""

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any

from elbo_lab.em.problems import has_em
from elbo_lab.errors import NotApplicable, bad_kind, bad_value, check_count, check_positive, unknown_name
from elbo_lab.evaluation import has_exact_evidence
from elbo_lab.fitting.result import plain
from elbo_lab.models import Model
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior

Settings = dict[str, Any]

# What each method does, in the order in which a model takes the first that fits it.
METHODS = {
    "closed-form": "a formula for the maximum (also of a mixture of one component)",
    "em": "ELBO in q and theta alternately",
    "gradient": "steps along the gradient of the exact evidence",
    "vae": "steps along estimated gradients of the ELBO",
    "svi": "steps along estimated gradients of the ELBO of global latents, from rows of the table",
}
STEPS = {
    "epochs": 100,
    "batch": 100,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "evaluate_every": 1,
}
# Per method, its options with their defaults; None is filled in by what the model has for latents.
METHOD_OPTIONS: dict[str, Settings] = {
    "closed-form": {},
    "em": {"epochs": 1000, "restarts": None, "tolerance": 1e-8, "floor": None},
    "gradient": STEPS | {"learning_rate": 1e-2},
    "vae": STEPS
    | {
        "epochs": 200,
        "learning_rate": 2e-3,
        "phi_learning_rate": None,
        "phi_steps": None,
        "posterior": AmortisedPosterior.name,
        "theta_estimator": "elbo-analytic-kl",
        "phi_estimator": None,
        "draws": None,
        "patience": None,
        "gap_rows": 0,
        "dtype": "float32",
    },
    "svi": STEPS | {"epochs": 300, "learning_rate": 1e-2, "phi_estimator": None, "draws": None},
}
NETWORK_OPTIONS: Settings = {"hidden": (200, 100), "activation": "tanh"}
# Where q is continuous, and where it is categorical.
CONTINUOUS: Settings = {"phi_estimator": "reparameterization-analytic-kl", "draws": 1}
CATEGORICAL: Settings = {"phi_estimator": "score-function-loo", "draws": 10}
# Options of every fit, whatever its method.
COMMON = ("model", "data", "view", "method", "latent", "holdout", "seed")
# Arguments of `fit` that decide how it runs, and no number of its result.
RUN = ("threads", "checkpoint", "resume", "data_dir", "progress")
# What may differ between a checkpoint and the run that goes on from it.
FREE_ON_RESUME = ("epochs",)
WORDS = {"dtype": ("float32", "float64"), "posterior": (AmortisedPosterior.name, FreePosterior.name)}


def only_asked(arguments: Mapping[str, Any]) -> Settings:
    """Return the options among the arguments of `fit` that were given."""
    return {name: value for name, value in arguments.items() if value is not None and name not in RUN}


def methods_of(model: Model) -> list[str]:
    """Return the names of the methods that fit a model, the usual one first."""
    if model.global_latents:
        return ["svi"]
    fits = {
        "closed-form": model.closed_form_maximum,
        "em": has_em(model),
        "gradient": has_exact_evidence(model),
    }
    return [*(method for method, applies in fits.items() if applies), "vae"]


def choose_method(model: Model, asked: str | None) -> str:
    """Return the method that was asked for, or the usual one.

    Raises
    ------
    ValueError
        If there is no such method, or it does not fit this model.
    """
    usable = methods_of(model)
    if asked is None:
        return usable[0]
    if asked not in METHODS:
        raise unknown_name("method", asked, list(METHODS))
    if asked not in usable:
        raise bad_value("method", f"one of {', '.join(usable)} for {model.label}", repr(asked))
    return asked


def resolve(model: Model, asked: Settings) -> Settings:
    """Return the settings of a fit of a model: what was asked over the defaults of the method.

    Parameters
    ----------
    model : Model
    asked : dict
        The options that were given, as from `only_asked`.

    Raises
    ------
    ValueError
        If something was asked that the method does not use, or that no fit can use.
    """
    method = choose_method(model, asked.get("method"))
    networks = method == "vae" or model.hidden is not None
    known = METHOD_OPTIONS[method] | (NETWORK_OPTIONS if networks else {})
    foreign = [name for name in asked if name not in known and name not in COMMON]
    if foreign:
        names = ", ".join(map(option_name, known)) or "no option"
        expected = f"no value with method {method} (it uses {names})"
        raise bad_value(foreign[0], expected, repr(asked[foreign[0]]))
    own = known | {name: value for name, value in asked.items() if name in known}
    _check(own)
    return {
        "model": model.label,
        "view": None,
        "method": method,
        "latent": None if model.default_latent is None else model.latent_dim,
        "holdout": asked.get("holdout"),
        "seed": check_count("seed", asked.get("seed", 0), minimum=0),
        **_completed(model, method, own),
    }


def _check(own: Settings) -> None:
    """Refuse here, by the name of the option, what would be refused further down by another name."""
    for name, allowed in WORDS.items():
        if name in own and own[name] not in allowed:
            raise unknown_name(name, own[name], allowed)
    if "epochs" in own:
        check_count("epochs", own["epochs"])
    hidden = own.get("hidden", ())
    if not isinstance(hidden, (tuple, list)):
        raise bad_kind("hidden", "a sequence of widths", repr(hidden), "write (200,) for one layer")
    for width in hidden:
        check_count("hidden", width)
    for name in ("learning_rate", "phi_learning_rate"):
        if own.get(name) is not None:
            check_positive(name, own[name])


def _completed(model: Model, method: str, own: Settings) -> Settings:
    """Return the options with what depends on the model, or refuse what could only fail later."""
    if method not in ("svi", "vae"):
        return own
    usual = CATEGORICAL if model.family.discrete else CONTINUOUS
    if method == "vae":
        usual = usual | {"phi_learning_rate": own["learning_rate"]}
        _check_watched(model, own)
    return own | {name: value for name, value in usual.items() if own[name] is None}


def _check_watched(model: Model, own: Settings) -> None:
    """Refuse rows to be watched of which nothing can be known."""
    check_count("gap_rows", own["gap_rows"], minimum=0)
    if own["gap_rows"] and not has_exact_evidence(model) and model.latent_dim > 2:
        raise NotApplicable(f"gap_rows: log p of {model.label} is exact for at most two latents")
    if own["posterior"] == FreePosterior.name and own["patience"] is not None:
        expected = "no value with a free table, which knows nothing about validation rows"
        raise bad_value("patience", expected, own["patience"], "use the amortised posterior")


def with_networks(model: Model, settings: Settings) -> Model:
    """Return the model with the hidden layers that were asked for, if it has any."""
    if model.hidden is None:
        return model
    if not is_dataclass(model):
        raise bad_kind("model", "a frozen dataclass with fields hidden and activation", type(model).__name__)
    # Given from the data's side, where a decoder ends.
    hidden = tuple(settings["hidden"])[::-1]
    return replace(model, hidden=hidden, activation=settings["activation"])


def option_name(option: str) -> str:
    """Return the name of an option on the command line."""
    return "--" + option.replace("_", "-")


def overlay(asked: Settings, stored: Settings) -> Settings:
    """Return the options of a fit that goes on: those of the checkpoint, with what may differ replaced.

    Raises
    ------
    ValueError
        If something else was asked that differs from the checkpoint.
    """
    merged = {name: value for name, value in stored.items() if value is not None}
    for name, value in asked.items():
        if name in FREE_ON_RESUME:
            merged[name] = value
        elif name in ("data", "view"):
            merged[name] = value  # compared by their numbers, not by their names
        elif name == "model" and stored[name].partition(":")[0] == value:
            continue
        elif name not in stored or plain(stored[name]) != plain(value):
            expected = f"{stored.get(name)!r} as in the checkpoint, or nothing"
            raise bad_value(name, expected, repr(value), "only --epochs may change")
    return merged
