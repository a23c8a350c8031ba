"""The latents of a fitted model as data: `latents:CHECKPOINT`, for a second stage.

    elbo-lab fit deep-gaussian:fixed --data blobs --latent 2 --checkpoint one.npz
    elbo-lab fit deep-gaussian:fixed --data latents:one.npz --latent 2 --checkpoint two.npz
    elbo-lab sample two.npz

The rows are one draw z ~ q(z | x) for each row that the first stage was fitted to or held out, in its order.
What it held out is held out again, so that the second stage is judged on rows that neither has seen. The
checkpoint of the second stage holds the first as well: `sample` goes through both, and needs no other file.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset, load_for
from elbo_lab.datasets.registry import LATENTS, Source, file_behind, find_entry
from elbo_lab.errors import bad_value
from elbo_lab.evaluation import Fitted, draw_latents
from elbo_lab.evaluation.second_stage import check_first
from elbo_lab.files import StrPath
from elbo_lab.fitting.checkpoints import Stored, find_data, fingerprint, load_stored
from elbo_lab.fitting.final import as_table
from elbo_lab.fitting.graphs import rows_with_gaps
from elbo_lab.fitting.methods import Settings
from elbo_lab.fitting.result import FitResult
from elbo_lab.models import Model

# A stream of its own: the draws of latents must not meet the noise of the fit with the same seed.
LATENTS_KEY = (0x1A7E,)
# Names of columns in an error.
SHOWN = 8


def latents_table(first: Fitted, rows: Dataset, seed: int) -> Dataset:
    """Return one draw z ~ q(z | x) for each row, as a table with columns z_1, z_2, ..."""
    check_first(first)
    stream = np.random.SeedSequence(seed, spawn_key=LATENTS_KEY)
    z = draw_latents(first, rows.x, np.random.default_rng(stream))[0]
    names = tuple(f"z_{k}" for k in range(1, z.shape[1] + 1))
    return Dataset(f"latents of {rows.name}", z, names, rows.labels)


def first_stage(source: object) -> Stored | None:
    """Return the fitted model whose latents a source names, or None for any other source.

    Raises
    ------
    ValueError
        If it has no encoder or discrete latents, or is a second stage itself.
    """
    if not (isinstance(source, str) and source.startswith(LATENTS)):
        return None
    path = file_behind(source)
    stored = load_stored(path, "data")
    if stored.first is not None:
        raise bad_value("data", "latents of a first stage", f"{source!r}, a second stage already")
    check_first(stored, "data")
    return stored


def held_out_alike(asked: Settings, first: Stored) -> Settings:
    """Return the options of a second stage, with the rows held out that the first held out."""
    before = first.settings.get("holdout")
    if asked.get("holdout", before) != before:
        raise bad_value("holdout", f"{before}, as in the first stage, or nothing", asked["holdout"])
    return asked if before is None else asked | {"holdout": before}


def load_data(
    views: Sequence[str],
    source: Source,
    *,
    view: str | None = None,
    data_dir: StrPath | None = None,
    label: str | int | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Return the data set of a source, which may be `latents:CHECKPOINT`; else as `datasets.load_for`."""
    first = first_stage(source)
    if first is None:
        return load_for(views, source, view=view, data_dir=data_dir, label=label, classes=classes)
    for name, value in (("view", view), ("label", label)):
        if value is not None:
            raise bad_value(name, f"no {name} of latents", repr(value), "leave it out")
    path = file_behind(str(source))
    behind = find_data(first.data, first.settings["data"], path, "data")
    dataset = load_as_fitted(first, behind, None, None, data_dir)
    dataset = as_table(type(first.model), dataset)
    holdout = first.settings.get("holdout")
    seen = dataset if holdout is None else dataset.split(holdout)[0]
    if fingerprint(seen) != first.data["sha256"]:
        got = f"{os.fspath(behind)!r}, which has changed since"
        raise bad_value("data", f"the rows of {path!r}", got, "fit the first stage anew")
    return latents_table(first, dataset, first.settings["seed"])


def load_as_fitted(
    stored: Stored, source: Source, view: str | None, label: str | int | None, data_dir: StrPath | None
) -> Dataset:
    """Return data as those of a fit were read: in its view, with its column of labels and its classes.

    The column of the fit is looked for in tables of the user's own; what has labels already needs none.
    """
    with_gaps = rows_with_gaps(stored.model, source)
    if with_gaps is not None:
        return with_gaps
    has_labels = isinstance(source, Dataset) and source.labels is not None
    has_labels = has_labels or (isinstance(source, str) and find_entry(source)[0] is not None)
    if label is None and not has_labels:
        label = stored.settings.get("label")
    dataset = load_data(
        _natural_views(stored),
        source,
        view=view,
        data_dir=data_dir,
        label=label,
        classes=None if label is None else stored.classes or None,
    )
    _check_order(stored, dataset)
    return dataset


def _check_order(stored: Stored, dataset: Dataset) -> None:
    """Refuse the columns of a fit in another order, which would be read as one another."""
    names, found = stored.data["columns"], dataset.columns
    if names is None or found is None:
        return
    names = names[:-1] if stored.model.labelled else names
    if list(found) != names and sorted(found) == sorted(names):
        expected = f"the columns in the order of the fit ({', '.join(names[:SHOWN])})"
        raise bad_value("data", expected, ", ".join(found[:SHOWN]), "put them in that order")


def _natural_views(stored: Stored) -> tuple[str, ...]:
    """Return the view that a model was fitted to, else those that suit it."""
    view = str(stored.settings["data"]).partition(":")[2]
    return (view,) if view else stored.model.natural_views


def check_second(model: Model, first: Stored | None) -> None:
    """Refuse a second stage that has no density of the latents."""
    if first is not None and (model.global_latents or model.labelled):
        raise bad_value("model", "one with a density of latents", model.label)


def prior_gain(first: Fitted, z: Floats, log_p2: Floats) -> dict[str, Any]:
    """Return the mean of log p2(z) - log p(z) over given latents z (N, K), and its error over the rows."""
    gain = log_p2 - first.model.log_prior(first.theta.astype(np.float64), z[None])[0]
    error = float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else None
    return {"prior_gain": float(gain.mean()), "prior_gain_error": error}


def add_prior_gain(result: FitResult) -> None:
    """Add the gain of a second stage to the closing numbers, of the held-out rows if there are any."""
    rows, numbers = result.train, result.final
    if result.held_out is not None:
        if result.posterior is not None and result.posterior.needs_all_rows:
            return  # it has no q for other rows
        rows, numbers = result.held_out, result.final["held_out"]
    assert result.first is not None
    log_p2 = result.score_samples(rows.x, seed=result.settings["seed"])
    numbers |= prior_gain(result.first, rows.x, log_p2)
