"""Which methods fit a model, and what their settings are where only the model can say."""

from dataclasses import fields, replace

from elbo_lab.errors import NotApplicable, bad_value, check_count, unknown_name
from elbo_lab.fitting.final import tractable
from elbo_lab.fitting.options import METHOD_OPTIONS
from elbo_lab.learning.closed_form import has_closed_form
from elbo_lab.models import PPCA, GaussianMixture
from elbo_lab.models.categorical_mlp import CategoricalMLP
from elbo_lab.models.linear_gaussian import LinearGaussian

# Where q is continuous, and where it is categorical.
CONTINUOUS = {"phi_estimator": "reparameterization-analytic-kl", "draws": 1}
CATEGORICAL = {"phi_estimator": "score-function-loo", "draws": 10}


def methods_of(model):
    """Return the names of the methods that fit a model, the usual one first."""
    if isinstance(model, CategoricalMLP):
        return ["maximum-likelihood"]
    if model.global_latents:
        return ["svi"]
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


def complete(model, method, settings):
    """Return the settings with what depends on the model filled in, or refuse what could only fail later."""
    if isinstance(model, PPCA) and model.n_latent >= model.n_columns:
        expected = f"fewer than the {model.n_columns} columns (none is left for the noise)"
        raise bad_value("latent", expected, model.n_latent)
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
