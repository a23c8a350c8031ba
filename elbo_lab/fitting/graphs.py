"""What a fit of a graph needs beside other fits: its graph, and rows in which cells are missing."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.datasets import EXAMPLE_GRAPHS, Dataset
from elbo_lab.datasets.files_by_suffix import suffix_of
from elbo_lab.datasets.missing_cells import read_with_gaps
from elbo_lab.datasets.registry import find_entry
from elbo_lab.fitting.methods import Settings
from elbo_lab.models import GraphModel, Model
from elbo_lab.registry import ModelChoice


def with_graph(choice: ModelChoice, asked: Settings, stored: Model | None) -> ModelChoice:
    """Return the choice with the graph of the option `graph`, or that of a checkpoint, if it is one.

    Parameters
    ----------
    choice : ModelChoice
    asked : dict
        The options that were given.
    stored : Model or None
        Of the checkpoint that is resumed.
    """
    if choice.kind is not GraphModel or choice.model is not None:
        return choice
    if isinstance(stored, GraphModel):
        return ModelChoice(GraphModel, None, stored)
    if "graph" in asked:
        path = asked["graph"]
        if path in EXAMPLE_GRAPHS and not os.path.exists(path):
            path = EXAMPLE_GRAPHS[path]
        return ModelChoice(GraphModel, None, GraphModel.read(path))
    return choice


def rows_with_gaps(model: Model | None, source: Any) -> Dataset | None:
    """Return the rows of a file or array for a graph, nan where a cell is missing; None for others."""
    if not isinstance(model, GraphModel) or isinstance(source, Dataset):
        return None
    if isinstance(source, np.ndarray):
        return Dataset("array", np.array(source, dtype=np.float64), model.columns)
    if not isinstance(source, (str, os.PathLike)) or not os.path.isfile(source):
        return None
    named = isinstance(source, str) and find_entry(source)[0] is not None
    if named or not (suffix_of(source) or "").startswith(".csv"):
        return None
    return read_with_gaps(Path(source), model.columns, model.states)


def missing_shares(model: GraphModel, x: Floats) -> dict[str, float]:
    """Return {variable: share of its cells that are missing} in rows x (N, D)."""
    gaps = np.isnan(model.table(x))
    return {name: float(gaps[:, place].mean()) for name, place in model.net.places.items()}
