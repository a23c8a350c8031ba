"""Checkpoints: a fit on disk, from which it is resumed or loaded as a fitted model.

A checkpoint holds specs of the model, the posterior and the data, the present parameters, and the state of
the job. It is written after every epoch, and at least every ten seconds.

`fit` does this for the models and objectives that it knows by name. `train_in_pieces` is for a `Training` of
any objective and plan: the same state, the same file format, and a limit in seconds for machines that are not
free for a whole night. Interruptions change no bit: the state holds the generators.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Self, cast

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.datasets.registry import LATENTS, file_behind
from elbo_lab.distributions import FullGaussian
from elbo_lab.distributions.named import family_of_spec, family_spec, find_family
from elbo_lab.errors import BadKind, BadValue, NotApplicable, bad_kind, bad_value, unknown_name
from elbo_lab.evaluation import Fitted, TwoStage
from elbo_lab.files import StrPath, descriptor_of, plain, sole_writer
from elbo_lab.fitting.jobs import Arrays, Header, Job, Task, TrainingJob
from elbo_lab.fitting.methods import Settings
from elbo_lab.fitting.settings import overlay
from elbo_lab.kinds import check_kinds, checks_kinds
from elbo_lab.models import RETURNED, LogJointModel, Model
from elbo_lab.posteriors import POSTERIORS, FreePosterior, Posterior, PosteriorSpec
from elbo_lab.registry import find_models
from elbo_lab.training import (
    EvidenceObjective,
    Objective,
    PosteriorObjective,
    Training,
    VariationalObjective,
    load_checkpoint,
    save_checkpoint,
)
from elbo_lab.training.checkpoint import Parts, damaged


def model_spec(model: Model) -> Header:
    """Return {'name', 'variant', 'fields'} of a model made of numbers, strings and tuples."""
    if not is_dataclass(model):
        raise bad_kind("model", "a frozen dataclass", type(model).__name__)
    values = {field.name: plain(getattr(model, field.name)) for field in fields(model) if field.init}
    return {"name": model.name, "variant": model.variant, "fields": values}


def check_storable(model: Model) -> None:
    """Refuse a checkpoint of a model that is a function, which no file holds."""
    if isinstance(model, LogJointModel):
        what = f"{model.label} is a function, which a checkpoint cannot hold"
        raise NotApplicable(f"checkpoint: {what}; leave it out, or write a class of its own")


def build_model(spec: Header) -> Model:
    """Return the model of a spec.

    Raises
    ------
    ValueError
        If no installed package has a model of that name.
    """
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in spec["fields"].items()}
    returned: dict[str, type[Any]] = {kind.name: kind for kind in RETURNED}
    if spec["name"] in returned:
        return returned[spec["name"]](**values)
    label = ":".join(str(spec[key]) for key in ("name", "variant") if spec[key] is not None)
    return find_models(label, "model")[0].kind.from_fields(values)


# Maps of older files that named a family, too.
FULL = "full"


def build_posterior(spec: PosteriorSpec | None, model: Model) -> Posterior | None:
    """Return the posterior of a spec, in the family that it names, else that of the model; None for None."""
    if spec is None:
        return None
    kinds = {kind.name: kind for kind in POSTERIORS}
    if spec["name"] == FULL:
        return FreePosterior.from_dict(FullGaussian(model.latent_dim), spec)
    if spec["name"] not in kinds:
        raise unknown_name("posterior", spec["name"], list(kinds))
    family = model.posterior_family
    if "family_fields" in spec:
        family = family_of_spec(spec)
    elif "family" in spec:
        family = find_family(spec["family"], "family").of_size(model.latent_dim)
    return kinds[spec["name"]].from_dict(family, spec)


def posterior_spec(posterior: Posterior | None, model: Model) -> PosteriorSpec | None:
    """Return the spec of a posterior, with its family where that is not the one of the model's own q."""
    if posterior is None:
        return None
    spec = posterior.to_dict()
    if posterior.family != model.posterior_family:
        spec |= cast(PosteriorSpec, family_spec(posterior.family))
    return spec


def data_spec(dataset: Dataset, source: object) -> Header:
    """Return the spec of the data of a checkpoint.

    Name, shape, shape of an image, a fingerprint, and the absolute path of a file of the user's own.
    """
    path = None
    if isinstance(source, (str, os.PathLike)) and not dataset.licence:
        path = os.path.abspath(file_behind(source))
    return {
        "name": dataset.name,
        "rows": len(dataset.x),
        "columns": None if dataset.columns is None else list(dataset.columns),
        "classes": list(dataset.class_names),
        "image_shape": None if dataset.image_shape is None else list(dataset.image_shape),
        "sha256": fingerprint(dataset),
        "path": path,
    }


def fingerprint(dataset: Dataset) -> str:
    """Return the SHA-256 of the rows, or of the probabilities from which they are drawn."""
    numbers = dataset.x if dataset.probabilities is None else dataset.probabilities
    return hashlib.sha256(np.ascontiguousarray(numbers).data).hexdigest()


def header_of(task: Task, about_data: Header, first: "Stored | None" = None) -> Header:
    """Return the header of a checkpoint, in JSON values: how to rebuild a fit and its first stage."""
    header = _rebuilt(task.settings, task.model, about_data, task.posterior)
    if first is None:
        return header
    return header | {"first_stage": _rebuilt(first.settings, first.model, first.data, first.posterior)}


def _rebuilt(settings: Settings, model: Model, about_data: Header, posterior: Posterior | None) -> Header:
    return {
        "settings": plain(settings),
        "model": plain(model_spec(model)),
        "data": about_data,
        "posterior": plain(posterior_spec(posterior, model)),
    }


def arrays_of(first: "Stored | None") -> Arrays:
    """Return the parameters of a first stage, as they stand in the checkpoint of the second."""
    if first is None or first.phi is None:
        return {}
    return {"first.theta": first.theta, "first.phi": first.phi}


def save_job(path: StrPath, job: Job, header: Header, more: Arrays) -> None:
    """Write the state of a job to a file, with further entries of the header and further arrays."""
    own, arrays = job.state()
    named = {f"result.{name}": vector for name, vector in job.vectors().items()}
    named |= {f"job.{name}": array for name, array in arrays.items()}
    save_checkpoint(path, {**header, "job": own}, named | more)


# Most seconds between two checkpoints.
INTERVAL = 10.0


class CheckpointWriter:
    """Writes the state of a job to one file.

    Parameters
    ----------
    path : str, path or None
        None disables checkpoints.
    job : Job
    header : dict
        Further entries of the header, beside the state of the job.
    arrays : dict of ndarray, optional
        Further arrays, beside those of the job.
    """

    def __init__(self, path: StrPath | None, job: Job, header: Header, arrays: Arrays | None = None) -> None:
        self.path, self.job, self.header, self.arrays = path, job, header, arrays or {}
        self.saved_at, self.saved_milestone = time.monotonic(), job.milestone

    def tick(self) -> None:
        """Save if an epoch has ended since the last time, or ten seconds have passed."""
        due = self.job.milestone != self.saved_milestone or time.monotonic() - self.saved_at >= INTERVAL
        if due and self.path is not None:
            self.save()

    def save(self) -> None:
        """Save now; a diverged state (see `Job.check`) raises and keeps the older file."""
        self.job.check()
        if self.path is None:
            return
        save_job(self.path, self.job, self.header, self.arrays)
        self.saved_at, self.saved_milestone = time.monotonic(), self.job.milestone


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A file from which a fit is resumed.

    Attributes
    ----------
    path : path
    argument : str
        The argument that an error in the file names.
    header : dict
    arrays : dict of ndarray
    """

    path: StrPath
    argument: str
    header: Header
    arrays: Arrays

    @classmethod
    def load(cls, path: StrPath, argument: str = "checkpoint") -> Self:
        """Return the checkpoint at a path, or raise ValueError in one line."""
        return cls(path, argument, *load_checkpoint(path, argument))

    @property
    def model(self) -> Model:
        """The model of the fit, rebuilt; ValueError in one line if the file describes none."""
        try:
            return build_model(self.header["model"])
        except BadValue:
            raise
        except Exception as error:  # constructors raise many types of error on wrong values
            reason = " ".join(str(error).split())
            raise damaged(self.path, f"no model from it, {reason}", self.argument) from None

    @property
    def settings(self) -> Settings:
        """Settings of the fit that wrote the file."""
        return self.header["settings"]

    @property
    def data_file(self) -> str | None:
        """The user's file with the data of the fit, if it was one."""
        path = self.header.get("data", {}).get("path")
        return path if isinstance(path, str) else None

    def check_settings(self, function: Callable[..., object]) -> None:
        """Refuse settings that are not options of `fit`, or of another kind than its signature says."""
        options = signature(function).parameters
        foreign = [name for name in self.settings if name not in options]
        if foreign:
            raise damaged(self.path, f"or of a later version: {foreign[0]!r} is no option", self.argument)
        try:
            check_kinds(function, self.settings)
        except BadKind as mistake:
            raise damaged(self.path, f"its settings: {mistake}", self.argument) from None
        check_names(self.header, self.path, self.argument)

    def check_specs(self, model: Model, posterior: Posterior | None) -> None:
        """Refuse another model or q than those of the checkpoint, or parameters of other sizes."""
        specs = {"model": model_spec(model), "posterior": posterior_spec(posterior, model)}
        # An older file lacks the fields of a model that came later, and means their defaults.
        stored = {"model": model_spec(self.model), "posterior": self.header["posterior"]}
        for name, spec in specs.items():
            if plain(stored[name]) != plain(spec):
                raise damaged(self.path, f"its {name!r} is not that of its settings", self.argument)
        sizes = {"theta": model.layout.size, "phi": 0 if posterior is None else posterior.layout.size}
        for name, size in sizes.items():
            found = np.size(self.arrays.get(f"result.{name}", ()))
            if found != size:
                raise damaged(self.path, f"{found} numbers in {name} instead of {size}", self.argument)

    def continued(self, asked: Settings) -> Settings:
        """Return the options of the resumed fit: those of the checkpoint, except for what may differ.

        The data are the stored ones unless others are given, which `check_data` compares.
        """
        if "words" in self.header:
            got = f"{str(self.path)!r} of train_in_pieces"
            raise bad_value(self.argument, "a checkpoint of a fit", got, "go on with train_in_pieces")
        merged, name = overlay(asked, self.settings), self.settings["data"]
        if "data" not in asked:
            merged["data"] = find_data(self.header["data"], name, self.path, self.argument)
        return merged

    def check_data(self, about_data: Header) -> None:
        """Refuse other rows than those of the checkpoint."""
        stored = self.header["data"]
        if stored["sha256"] != about_data["sha256"]:
            raise bad_value("data", f"the rows of {stored['name']} as in the checkpoint", "others")

    def restore(self, job: Job) -> None:
        """Put a job into the state of the checkpoint."""
        arrays = {key.removeprefix("job."): a for key, a in self.arrays.items() if key.startswith("job.")}
        job.restore(self.header["job"], Parts(arrays, self.path, self.argument))


def find_data(about: Header, name: str, checkpoint: StrPath, argument: str = "checkpoint") -> str:
    """Return the name of the data set of a checkpoint, or the path of its file.

    A file is looked for at its absolute path, and then at the path as given, in case data and checkpoint
    have moved together. The fingerprint of the rows is checked later.

    Parameters
    ----------
    about : dict
        Spec of the data.
    name : str
        The option `data` of the fit.
    checkpoint : path
    argument : str
        The argument that an error in the checkpoint names.
    """
    path = about.get("path")
    if path is None:
        if name == "array":
            raise bad_value("data", "the rows of the checkpoint", "none", "give them again")
        return name
    if not isinstance(path, str):
        raise damaged(checkpoint, "its 'path' is no path", argument)
    for place in (path, file_behind(name)):
        if os.path.exists(place):
            return LATENTS + place if name.startswith(LATENTS) else place
    got = f"{path!r}, where no file is"
    raise bad_value("data", "the file of the checkpoint", got, "name it with --data")


def check_names(header: Header, path: StrPath, argument: str = "checkpoint") -> None:
    """Refuse a checkpoint whose names, or whose description of the data, are of another kind."""
    data = header["data"]
    for name in ("model", "data"):
        if not isinstance(header["settings"][name], str):
            raise damaged(path, f"its {name!r} in 'settings' is no name", argument)
    for name, kind in (("name", str), ("sha256", str), ("rows", int)):
        if type(data[name]) is not kind:
            raise damaged(path, f"its {name!r} in 'data' is {type(data[name]).__name__}", argument)
    shape, columns = data["image_shape"], data["columns"]
    if shape is not None and not (isinstance(shape, list) and [type(n) for n in shape] == [int, int]):
        raise damaged(path, "its 'image_shape' is no shape", argument)
    if columns is not None and not (isinstance(columns, list) and all(isinstance(c, str) for c in columns)):
        raise damaged(path, "its 'columns' are no names", argument)


def check_new(checkpoint: StrPath, resume: StrPath | None) -> None:
    """Refuse a stream, and an existing file other than the resumed one."""
    if descriptor_of(checkpoint) is not None:
        raise bad_value("checkpoint", "a file", f"{str(checkpoint)!r}, a stream")
    if not os.path.lexists(checkpoint):
        return
    if resume is not None and os.path.exists(checkpoint) and os.path.samefile(checkpoint, resume):
        return
    remedy = "go on from it with --resume, or remove it"
    raise bad_value("checkpoint", "a new file", f"{str(checkpoint)!r}, which exists", remedy)


def _specs(objective: Objective, data: Dataset | None) -> Header:
    """Return how to rebuild the model and q of a training by hand, as `header_of` does.

    Nothing, where they are not of kinds that have a name.
    """
    if isinstance(objective, PosteriorObjective):
        objective = objective.inner
    if not isinstance(objective, (EvidenceObjective, VariationalObjective)):
        return {}
    model, spec, probabilities = objective.model, None, None
    try:
        if isinstance(objective, VariationalObjective):
            probabilities, spec = objective.probabilities, posterior_spec(objective.posterior, model)
        specs = {"model": model_spec(model), "posterior": spec}
        json.dumps(plain(specs))
    except (TypeError, NotApplicable):
        return {}
    if data is None:
        data = Dataset("array", objective.x.astype(np.float64), probabilities=probabilities)
    settings = {"model": model.label, "data": data.name}
    return {"settings": settings, "data": data_spec(data, None), **plain(specs)}


# Keys in a row of a history that are not values of the bound.
COUNTERS = ("epoch", "step", "phase", "learning_rate")


def train_in_pieces(
    training: Training,
    path: StrPath,
    words: Header,
    seconds: float | None = None,
    say: Callable[[str], object] | None = None,
    data: Dataset | None = None,
) -> bool:
    """Continue from the checkpoint at `path`, if it exists, to the end or for some seconds.

    The file can be evaluated and sampled as that of a fit can, if model and q are of kinds that have a name.

    Parameters
    ----------
    training : Training
        Built as at first; only its number of epochs may differ.
    path : str or path
        Written after every epoch and every ten seconds; its folder is created if needed.
    words : dict
        A description of this training in JSON values, stored in the file; it must be the same in every call.
    seconds : float, optional
        Stop after the minibatch in which this time has passed.
    say : callable, optional
        Called with a line of text after every epoch, such as `print`.
    data : Dataset, optional
        Where the rows come from: its name, columns and image shape, for evaluations and figures of samples.

    Returns
    -------
    bool
        Whether the training is finished.

    Raises
    ------
    ValueError
        If the file is damaged, of another training, or another run is writing it.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with sole_writer("checkpoint", path):
        job, begun, words = TrainingJob(training), time.monotonic(), plain(words)
        if Path(path).exists():
            earlier = Checkpoint.load(path)
            stored = dict(earlier.header.get("words", earlier.settings))
            if stored != words:
                different = [key for key, value in words.items() if stored.get(key) != value]
                got = f"{str(path)!r} of another ({', '.join(different) or 'more words'})"
                raise bad_value("checkpoint", "one of this training", got, "remove it, or name another")
            earlier.restore(job)
        header = {"settings": {}, "words": words} | _specs(training.objective, data)
        writer = CheckpointWriter(path, job, header)

        def tick() -> bool:
            ended = job.milestone != writer.saved_milestone
            writer.tick()
            if ended and say is not None:
                row = training.history[-1].items()
                values = " ".join(f"{key} {value:.2f}" for key, value in row if key not in COUNTERS)
                say(f"epoch {training.epoch} of {training.plan.epochs}: {values}")
            return seconds is not None and time.monotonic() - begun >= seconds

        job.run(tick)
        writer.save()
        return job.finished


@dataclass(frozen=True, eq=False, kw_only=True)
class Stored(Fitted):
    """The fitted model of a checkpoint; its parameters are in float64, or float32 as trained.

    Attributes
    ----------
    settings : dict
        Of the fit.
    data : dict
        Spec of the training rows.
    first : Stored or None
        Of a second stage: the model whose latents are its data.
    """

    settings: Settings
    data: Header
    first: "Stored | None" = None

    @property
    def fitted(self) -> Fitted:
        """The same model, by the name that a `FitResult` has for it."""
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels 0 to C - 1 of the data of the fit; empty without labels."""
        return tuple(self.data.get("classes", ()))

    @property
    def feature_columns(self) -> list[str] | None:
        """Names of the columns that a row generates, without a label that is given; None without names."""
        columns = self.data["columns"]
        return columns[:-1] if columns is not None and self.model.given_classes else columns

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width, where a row is an image."""
        shape = self.data["image_shape"]
        return None if shape is None else tuple(shape)

    @property
    def front(self) -> "Stored":
        """The model whose columns are those of the data: of two stages the first."""
        return self if self.first is None else self.first


@checks_kinds
def load_fitted(path: StrPath) -> Stored:
    """Return the Stored model of a checkpoint.

    Raises
    ------
    ValueError
        In one line, if the file is no checkpoint of this version, or is damaged.
    """
    return load_stored(path, "checkpoint")


def load_stored(path: StrPath, argument: str) -> Stored:
    """Return what `load_fitted` does; an error names the argument that gave the path."""
    header, arrays = load_checkpoint(path, argument)
    if "words" in header and "model" not in header:
        expected, got = "a model and a q that a file can describe", f"{str(path)!r} of a training by hand"
        raise bad_value(argument, expected, got, "rebuild them in Python")
    first = None
    if "first_stage" in header:
        first = _stored(header["first_stage"], arrays["first.theta"], arrays["first.phi"], path, argument)
    _ = header["job"]
    return _stored(header, arrays["result.theta"], arrays.get("result.phi"), path, argument, first)


def _stored(
    header: Header,
    theta: Floats,
    phi: Floats | None,
    path: StrPath,
    argument: str,
    first: Stored | None = None,
) -> Stored:
    """Return the model of a header and its parameters, or raise the error of a damaged file."""
    specs = {name: header[name] for name in ("model", "posterior", "settings", "data")}
    check_names(header, path, argument)
    try:
        model = build_model(specs["model"])
        posterior = build_posterior(specs["posterior"], model)
        about = {"settings": specs["settings"], "data": specs["data"]}
        stored = Stored(model, theta, posterior, phi, **about, first=first)
        if first is not None:
            TwoStage(first, stored)  # which checks that they fit
        if posterior is not None and phi is not None and not posterior.needs_all_rows:
            posterior.eta(phi, np.zeros((1, model.n_columns)))  # what it is made of is read here
    except Exception as error:  # constructors raise many types of error on wrong values
        reason = " ".join(str(error).split())
        what = f"or not of this installation: no model from it, {reason}"
        raise damaged(path, what, argument) from None
    for vector in (theta, phi):
        if vector is not None and vector.dtype not in (np.float32, np.float64):
            raise damaged(path, f"its parameters are {vector.dtype}, not floats", argument)
        if vector is not None and np.isnan(vector).any():
            raise damaged(path, "its parameters hold nan", argument)
    of_image = model.table_columns - model.labelled
    if stored.image_shape is not None and math.prod(stored.image_shape) != of_image:
        raise damaged(path, "its 'image_shape' is not that of its columns", argument)
    if stored.data["columns"] is not None and len(stored.data["columns"]) != model.table_columns:
        raise damaged(path, "its 'columns' are not those of its model", argument)
    return stored
