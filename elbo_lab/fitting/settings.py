"""The options of a fit: names and values checked, and completed with the defaults of the method.

The signature of `fit` declares the options; each method lists those that it uses, with their defaults. An
option that a method does not use is refused: a number without effect would mislead. The resolved options are
the `settings` of the JSON file and of the checkpoint.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass, replace
from typing import Any

from elbo_lab.distributions import find_source
from elbo_lab.distributions.named import find_family
from elbo_lab.errors import NotApplicable, bad_kind, bad_value, check_count, check_positive, unknown_name
from elbo_lab.files import plain
from elbo_lab.fitting.methods import METHODS, Settings, methods_of
from elbo_lab.fitting.methods.base import CHANNELS, images_of, is_conv, of_network
from elbo_lab.held import Held, held_in
from elbo_lab.models import DeepGaussianLearned, Model
from elbo_lab.models.deep import DeepModel
from elbo_lab.names import name_meant
from elbo_lab.posteriors import find_posterior
from elbo_lab.priors import Prior
from elbo_lab.registry import ESTIMATORS, MODELS
from elbo_lab.training import CHAINS, OBJECTIVES, PHI_STEPS, find_objective

# Options of every fit, whatever its method.
COMMON = ("model", "data", "view", "label", "method", "latent", "rows", "hold", "holdout", "seed")
# Arguments of `fit` that do not affect its result.
RUN = ("threads", "checkpoint", "keep", "keep_every", "resume", "data_dir", "progress")
# Options that may differ between a checkpoint and the resumed run.
FREE_ON_RESUME = ("epochs",)
# Options that are widths of layers.
WIDTHS = ("hidden", "encoder_hidden", "decoder_hidden", "channels")
# Options that are names, and of what; a plug-in is loaded when it is used.
NAMED: dict[str, Callable[[], Iterable[Any]]] = {
    "model": MODELS.loaded,
    "method": METHODS.values,
    "objective": OBJECTIVES.values,
    "theta_estimator": ESTIMATORS.loaded,
    "phi_estimator": ESTIMATORS.loaded,
}
NETWORKS = ("mlp", "conv")
WORDS = {
    "dtype": ("float32", "float64"),
    "network": NETWORKS,
    "encoder_network": NETWORKS,
    "decoder_network": NETWORKS,
    "chains": tuple(CHAINS),
    "phi_step": PHI_STEPS,
}


def only_asked(arguments: Mapping[str, Any]) -> Settings:
    """Return the options among the arguments of `fit` that were given, names as the registry spells them."""
    asked = {name: value for name, value in arguments.items() if value is not None and name not in RUN}
    if "graph" in asked:  # a setting is a text
        asked["graph"] = os.fspath(asked["graph"])
    if isinstance(asked.get("prior"), Prior):
        # Every number in full: what is stored as text is the same prior.
        asked["prior"] = asked["prior"].spec
    if "latent_prior" in asked:
        asked["latent_prior"] = find_family(asked["latent_prior"], "latent_prior").text
    if "watch" in asked and not isinstance(asked["watch"], str):
        asked["watch"] = ",".join(asked["watch"])
    if "posterior" in asked:
        asked["posterior"] = find_posterior(asked["posterior"]).text
    texts = {name: value for name, value in asked.items() if isinstance(value, str)}
    return asked | {name: name_meant(value, NAMED[name]()) for name, value in texts.items() if name in NAMED}


def choose_method(model: Model, asked: str | None, held: Held | None = None, with_prior: bool = False) -> str:
    """Return the given method, or the first that applies, can hold what is held, and takes a prior if asked.

    Raises
    ------
    ValueError
        If there is no such method, or it does not apply to this model, or cannot hold these parameters.
    """
    usable = methods_of(model)
    taking = [name for name in usable if METHODS[name].takes_prior(model)] if with_prior else []
    usual = taking or usable
    if asked is not None and asked not in METHODS:
        raise unknown_name("method", asked, list(METHODS))
    if asked is not None and asked not in usable:
        raise bad_value("method", f"one of {', '.join(usable)} for {model.label}", repr(asked))
    if held is None:
        return asked or usual[0]
    reasons = {name: METHODS[name].cannot_hold(model, held) for name in usable}
    able = [name for name in usual if not reasons[name]]
    chosen = asked or next(iter(able), usual[0])
    if reasons[chosen]:
        remedy = f"; use method {able[0]}" if able else ""
        raise NotApplicable(f"hold: {reasons[chosen]}{remedy}")
    return chosen


def resolve(model: Model, asked: Settings) -> Settings:
    """Return the settings of a fit of a model: the given options and the defaults of the method.

    Parameters
    ----------
    model : Model
    asked : dict
        The options that were given, as from `only_asked`.

    Raises
    ------
    ValueError
        If the method does not use an option, or no fit can use its value.
    """
    hold = asked.get("hold") or None
    # The shapes of a network are known only with its hidden layers: its parameters are looked up later.
    held = None if model.hidden is not None else held_in(model.layout, hold)
    method = choose_method(model, asked.get("method"), held, "prior" in asked)
    known = METHODS[method].options_for(model)
    foreign = [name for name in asked if name not in known and name not in COMMON]
    if foreign:
        names = ", ".join(map(option_name, known)) or "no option"
        expected = f"no value with method {method} (it uses {names})"
        others = [name for name in methods_of(model) if foreign[0] in METHODS[name].options_for(model)]
        remedy = f"use method {' or '.join(others)}" if others else ""
        raise bad_value(foreign[0], expected, repr(asked[foreign[0]]), remedy)
    options = known | {name: value for name, value in asked.items() if name in known}
    _check(options)
    options = _with_channels(options)
    return {
        "model": model.label,
        "view": None,
        "label": asked.get("label"),
        "method": method,
        "latent": None if model.default_latent == model.default_layers else model.latent_option,
        "hold": plain(hold),
        "rows": asked.get("rows"),
        "holdout": asked.get("holdout"),
        "seed": check_count("seed", asked.get("seed", 0), minimum=0),
        **METHODS[method].completed(model, options),
    }


def _check(options: Settings) -> None:
    """Refuse wrong values under the names of their options; later errors would name other arguments."""
    for name, allowed in WORDS.items():
        if options.get(name) is not None and options[name] not in allowed:
            raise unknown_name(name, options[name], allowed)
    if "noise" in options:
        find_source(options["noise"])
    if "objective" in options:
        find_objective(options["objective"])
    if "epochs" in options:
        check_count("epochs", options["epochs"])
    for name in WIDTHS:
        if options.get(name) is None:
            continue
        if not isinstance(options[name], (tuple, list)):
            raise bad_kind(name, "a sequence of widths", repr(options[name]), "write (200,) for one layer")
        for width in options[name]:
            check_count(name, width)
    for name in ("learning_rate", "phi_learning_rate", "floor", "clip"):
        if options.get(name) is not None:
            check_positive(name, options[name])


def _with_channels(options: Settings) -> Settings:
    """Return the options with the usual channels for convolutions without."""
    if any(is_conv(options, network) for network in ("encoder", "decoder")):
        return options | {"channels": CHANNELS if options["channels"] is None else options["channels"]}
    if options.get("channels") is not None:
        expected = "no value without a network conv"
        raise bad_value("channels", expected, options["channels"], "ask for --network conv")
    return options


def with_networks(model: Model, settings: Settings, image_shape: tuple[int, int] | None = None) -> Model:
    """Return the model with the hidden layers, channels and floor of the settings, if it has a network."""
    if isinstance(model, DeepGaussianLearned) and settings.get("floor") is not None:
        model = replace(model, min_log_variance=math.log(settings["floor"]))
    if model.hidden is None:
        return model
    if not is_dataclass(model):
        raise bad_kind("model", "a frozen dataclass with fields hidden and activation", type(model).__name__)
    # The option lists the layers from the data's side, where a decoder ends.
    hidden = tuple(of_network(settings, "decoder", "hidden"))[::-1]
    images = images_of(settings, "decoder", model, image_shape)
    if images and not isinstance(model, DeepModel):
        raise bad_value("network", f"mlp for the decoder of {model.label}", "'conv'")
    return replace(model, hidden=hidden, activation=settings["activation"], **images)


def option_name(option: str) -> str:
    """Return the name of an option on the command line."""
    return "--" + option.replace("_", "-")


def overlay(asked: Settings, stored: Settings) -> Settings:
    """Return the options of a resumed fit: those of the checkpoint, except for what may differ.

    Raises
    ------
    ValueError
        If another option differs from the checkpoint.
    """
    merged = {name: value for name, value in stored.items() if value is not None}
    for name, value in asked.items():
        if name in FREE_ON_RESUME:
            merged[name] = value
        elif name in ("data", "view"):
            merged[name] = value  # compared by fingerprint, not by name
        elif name == "model" and stored[name].partition(":")[0] == value:
            continue
        elif name not in stored or plain(stored[name]) != plain(value):
            kept = stored.get(name)
            expected = "nothing" if kept is None else f"{kept!r} as in the checkpoint, or nothing"
            raise bad_value(name, expected, repr(value), "only --epochs may change")
    return merged
