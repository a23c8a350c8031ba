"""From the options of a fit to its rows and its model, both checked."""

import os
from collections.abc import Sequence

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.errors import bad_value, columns_by_name
from elbo_lab.files import StrPath
from elbo_lab.fitting.final import as_table
from elbo_lab.fitting.graphs import rows_with_gaps
from elbo_lab.fitting.jobs import Rows
from elbo_lab.fitting.latents import load_data
from elbo_lab.fitting.methods import Settings
from elbo_lab.models import Model
from elbo_lab.models.labelled import check_classes
from elbo_lab.registry import ModelChoice, check_latent


def load_rows(choice: ModelChoice, asked: Settings, data_dir: StrPath | None) -> Rows:
    """Return the rows for a model, split by the option `holdout`."""
    kind = choice.kind
    if "data" not in asked:
        expected = "a data set, a file or an array"
        remedy = f"try {kind.default_data!r}, or another of elbo-lab list"
        raise bad_value("data", expected, "nothing", remedy)
    view, label = asked.get("view"), asked.get("label")
    dataset = rows_with_gaps(choice.model, asked["data"])
    if dataset is None:
        dataset = load_data(kind.natural_views, asked["data"], view=view, data_dir=data_dir, label=label)
    name = name_of(asked["data"], dataset)
    if kind.labelled:
        check_classes(dataset, kind.name)
    dataset = as_table(kind, dataset)
    if "rows" in asked:
        dataset = dataset.rows(asked["rows"], seed=0)
    if "holdout" not in asked:
        return Rows(name, dataset, None)
    return Rows(name, *dataset.split(asked["holdout"]))


def name_of(source: object, dataset: Dataset) -> str:
    """Return the name of the data: a registered name with its view, a path as given, or 'array'."""
    if dataset.licence:
        return dataset.name
    return str(source) if isinstance(source, (str, os.PathLike)) else "array"


def build_model(choice: ModelChoice, x: Floats, latent: int | Sequence[int] | None) -> Model:
    """Return the model for training rows x (N, D), or refuse a latent size that it cannot have."""
    return choice.build(x, check_latent(latent))


def check_rows(model: Model, rows: Rows) -> None:
    """Refuse training rows that cannot be fitted, and held-out rows outside the support of the model."""
    with columns_by_name(rows.train.columns):
        model.check_data(model.as_data(rows.train.x))
        if rows.held_out is not None and not model.global_latents:
            model.check_support(rows.held_out.x)
