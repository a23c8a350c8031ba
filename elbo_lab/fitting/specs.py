"""Models, posteriors and data in words: what a checkpoint needs to build them again."""

import hashlib
from dataclasses import fields

import numpy as np

from elbo_lab.errors import unknown_name
from elbo_lab.fitting.result import plain
from elbo_lab.models.categorical_mlp import CategoricalMLP
from elbo_lab.networks import MLP
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.study.registry import all_models


def model_spec(model):
    """Return {'name', 'variant', 'fields'} of a model made of numbers, strings and tuples."""
    values = {field.name: plain(getattr(model, field.name)) for field in fields(model) if field.init}
    return {"name": model.name, "variant": getattr(model, "variant", None), "fields": values}


def build_model(spec):
    """Return the model of a spec.

    Raises
    ------
    ValueError
        If no installed package has a model of that name.
    """
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in spec["fields"].items()}
    kinds = [CategoricalMLP, *all_models()]
    for kind in kinds:
        if kind.name == spec["name"] and spec["variant"] in getattr(kind, "variants", (None,)):
            return kind(**values)
    raise unknown_name("model", spec["name"], [kind.name for kind in kinds])


def posterior_spec(posterior):
    """Return the words for a posterior, or None."""
    if posterior is None:
        return None
    if isinstance(posterior, FreePosterior):
        return {"name": posterior.name, "n_data": posterior.n_data}
    return {
        "name": posterior.name,
        "sizes": list(posterior.network.sizes),
        "activation": posterior.network.activation,
        "shift": list(posterior.shift),
        "scale": list(posterior.scale),
    }


def build_posterior(spec, model):
    """Return the posterior of a spec, in the family of the model."""
    if spec is None:
        return None
    if spec["name"] == FreePosterior.name:
        return FreePosterior(model.family, spec["n_data"])
    network = MLP(tuple(spec["sizes"]), spec["activation"])
    return AmortisedPosterior(model.family, network, tuple(spec["shift"]), tuple(spec["scale"]))


def data_spec(dataset):
    """Return what a checkpoint says about its data: name, shape, how it is drawn, and a fingerprint."""
    source = dataset.x if dataset.probabilities is None else dataset.probabilities
    return {
        "name": dataset.name,
        "rows": len(dataset.x),
        "columns": None if dataset.columns is None else list(dataset.columns),
        "image_shape": None if dataset.image_shape is None else list(dataset.image_shape),
        "sha256": hashlib.sha256(np.ascontiguousarray(source)).hexdigest(),
    }
