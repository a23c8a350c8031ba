"""What can be asked of a fit, per method, and which methods fit a model.

An option that a method does not use is refused: a number that changes nothing would only mislead. The
resolved options are the `settings` of the JSON file and of the checkpoint.
"""

from dataclasses import dataclass, fields, replace

from elbo_lab.em.closed_form import has_closed_form
from elbo_lab.em.verdict import has_em
from elbo_lab.errors import NotApplicable, bad_kind, bad_value, check_count, check_positive, unknown_name
from elbo_lab.fitting.final import tractable
from elbo_lab.fitting.result import plain

STEPS = {
    "epochs": 100,
    "batch": 100,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "evaluate_every": 1,
}
# Per method, its options with their defaults.
METHOD_OPTIONS = {
    "closed-form": {},
    "em": {"epochs": 1000, "restarts": None, "tolerance": 1e-8, "floor": None},
    "gradient": STEPS | {"learning_rate": 1e-2},
    "vae": STEPS
    | {
        "epochs": 200,
        "learning_rate": 2e-3,
        "phi_learning_rate": None,
        "phi_steps": None,
        "posterior": "amortised",
        "theta_estimator": "elbo-analytic-kl",
        "phi_estimator": None,
        "draws": None,
        "patience": None,
        "gap_rows": 0,
        "dtype": "float32",
    },
    "svi": STEPS | {"epochs": 300, "learning_rate": 1e-2, "phi_estimator": None, "draws": None},
}
NETWORK_OPTIONS = {"hidden": (200, 100), "activation": "tanh"}
COMMON = ("model", "data", "view", "method", "latent", "holdout", "seed")
# What may differ between a checkpoint and the run that goes on from it.
FREE_ON_RESUME = ("epochs",)


@dataclass(frozen=True)
class Options:
    """Everything that a user can ask of a fit; None means: not asked.

    Parameters
    ----------
    model : str
        As in `elbo-lab list`.
    data : str, path, array or Dataset
    view : str
    method : str
    latent : int
        Latent dimensions or mixture components.
    hidden : tuple of int
        Widths of the hidden layers, from the data's side; the decoder has them in reverse.
    activation : str
    epochs : int
        Passes over the data (gradient, vae, svi) or iterations (em), in all, also when resumed.
    batch, optimizer, learning_rate, phi_learning_rate, schedule, phi_steps, evaluate_every, patience
        See `training.Plan`; `momentum` is part of the optimizer's name, as in 'sgd:0.9'.
    posterior : {'amortised', 'free'}
    theta_estimator, phi_estimator : str
    draws : int
    gap_rows : int
        Training rows on which log p, ELBO and KL are recorded exactly; 0 for none.
    restarts, tolerance, floor
        See `em.fit_em`.
    dtype : {'float32', 'float64'}
    holdout : float
        Share of the rows that is held out.
    seed : int
    """

    model: object = None
    data: object = None
    view: str | None = None
    method: str | None = None
    latent: int | None = None
    hidden: tuple | None = None
    activation: str | None = None
    epochs: int | None = None
    batch: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    phi_learning_rate: float | None = None
    schedule: str | None = None
    phi_steps: int | None = None
    evaluate_every: int | None = None
    patience: int | None = None
    posterior: str | None = None
    theta_estimator: str | None = None
    phi_estimator: str | None = None
    draws: int | None = None
    gap_rows: int | None = None
    restarts: int | None = None
    tolerance: float | None = None
    floor: float | None = None
    dtype: str | None = None
    holdout: float | None = None
    seed: int | None = None

    @property
    def asked(self):
        """The options that were given, as a dict."""
        return {name: value for name, value in asdict_shallow(self).items() if value is not None}


def asdict_shallow(options):
    """Return {field: value} without copying what the values hold."""
    return {field.name: getattr(options, field.name) for field in fields(options)}


def resolve(options, method, networks):
    """Return the settings of a fit: options that were asked over the defaults of the method.

    Parameters
    ----------
    options : Options
    method : str
    networks : bool
        Whether the fit has networks to be sized.

    Raises
    ------
    ValueError
        If something was asked that the method does not use.
    """
    known = METHOD_OPTIONS[method] | (NETWORK_OPTIONS if networks else {})
    foreign = [name for name in options.asked if name not in known and name not in COMMON]
    if foreign:
        names = ", ".join(map(option_name, known)) or "no option"
        expected = f"no value with method {method} (it uses {names})"
        raise bad_value(foreign[0], expected, repr(options.asked[foreign[0]]))
    settings = known | {name: value for name, value in options.asked.items() if name in known}
    for name, allowed in {"dtype": ("float32", "float64"), "posterior": ("amortised", "free")}.items():
        if name in settings and settings[name] not in allowed:
            raise unknown_name(name, settings[name], allowed)
    _check_sizes(settings)
    return settings


def _check_sizes(settings):
    """Refuse here, by the name of the option, what would be refused further down by another name."""
    if "epochs" in settings:
        check_count("epochs", settings["epochs"])
    hidden = settings.get("hidden", ())
    if not isinstance(hidden, (tuple, list)):
        raise bad_kind("hidden", "a sequence of widths", repr(hidden), "write (200,) for one layer")
    for width in hidden:
        check_count("hidden", width)
    for name in ("learning_rate", "phi_learning_rate"):
        if settings.get(name) is not None:
            check_positive(name, settings[name])


def option_name(field):
    """Return the name of an option on the command line."""
    return "--" + field.replace("_", "-")


def overlay(options, settings):
    """Return options for going on from a checkpoint: its settings, with what may differ replaced.

    Raises
    ------
    ValueError
        If something else was asked that differs from the checkpoint.
    """
    merged = dict(settings)
    for name, value in options.asked.items():
        if name in FREE_ON_RESUME:
            merged[name] = value
        elif name in ("data", "view"):
            continue  # compared by their numbers, not by their names
        elif name == "model" and settings[name].partition(":")[0] == value:
            continue
        elif name not in settings or plain(settings[name]) != plain(value):
            expected = f"{settings.get(name)!r} as in the checkpoint, or nothing"
            raise bad_value(name, expected, repr(value), "only --epochs may change")
    return merged


# Where q is continuous, and where it is categorical.
CONTINUOUS = {"phi_estimator": "reparameterization-analytic-kl", "draws": 1}
CATEGORICAL = {"phi_estimator": "score-function-loo", "draws": 10}


def methods_of(model):
    """Return the names of the methods that fit a model, the usual one first."""
    if model.global_latents:
        return ["svi"]
    found = []
    if has_closed_form(model):
        found.append("closed-form")
    if has_em(model):
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
        raise bad_value("method", f"one of {', '.join(usable)} for {model.label}", repr(asked))
    return asked


def with_networks(model, settings):
    """Return the model with the hidden layers that were asked for, if it has any."""
    if model.hidden is None:
        return model
    # Given from the data's side, where a decoder ends.
    hidden = tuple(settings["hidden"])[::-1]
    return replace(model, hidden=hidden, activation=settings["activation"])


def complete(model, method, settings):
    """Return the settings with what depends on the model filled in, or refuse what could only fail later."""
    if method == "svi":
        return settings | {name: value for name, value in CONTINUOUS.items() if settings[name] is None}
    if method != "vae":
        return settings
    check_count("gap_rows", settings["gap_rows"], minimum=0)
    if settings["gap_rows"] and not tractable(model) and model.latent_dim > 2:
        raise NotApplicable(f"gap_rows: log p of {model.label} is exact for at most two latents")
    if settings["posterior"] == "free" and settings["patience"] is not None:
        expected = "no value with a free table, which knows nothing about validation rows"
        raise bad_value("patience", expected, settings["patience"], "use the amortised posterior")
    usual = CATEGORICAL if model.family.discrete else CONTINUOUS
    usual = usual | {"phi_learning_rate": settings["learning_rate"]}
    return settings | {name: value for name, value in usual.items() if settings[name] is None}
