"""Several stored models on the same rows: log p of each row, and paired differences.

    d_n = log p_A(x_n) - log p_B(x_n),    mean d,    standard error sd(d) / sqrt(N)

Rows are easy or hard for all models alike, so that differences have a far smaller error than the two means
apart. Log-densities are compared, not models: each must be a density of the same columns in the same unit,
and log p must be exact or sampled (a sampled one is too low on average, see `evaluation.importance`).

A density that is zero at one row has a mean log p of -inf, and no repair is made: its number of such rows is
told, and beside it the difference over the rows that it admits, on which it is flattered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.errors import NotApplicable, bad_value
from elbo_lab.files import StrPath, plain, write_json
from elbo_lab.fitting.checkpoints import load_fitted
from elbo_lab.fitting.evaluate_model import JSON, Evaluation, evaluate
from elbo_lab.fitting.scores import write_table
from elbo_lab.kinds import checks_kinds
from elbo_lab.progress import Progress

# Begins as that of one evaluation, so that a run of either kind replaces the JSON of both.
SCHEMA = "elbo_lab/evaluation/side-by-side/1"


@dataclass(frozen=True)
class Standing:
    """How one model does on the common rows, in nats per row.

    Attributes
    ----------
    checkpoint, model : str
    log_p : float
        Mean over the rows, -inf where one row is impossible.
    error : float or None
        Its standard error.
    impossible : int
        Rows with p(x) = 0.
    behind : float
        Mean difference to the best model, at most zero; over the rows that both admit.
    behind_error : float or None
        Its standard error, paired; None for the best model itself.
    sampled : bool
        Whether log p is an estimate by importance samples.
    """

    checkpoint: str
    model: str
    log_p: float
    error: float | None
    impossible: int
    behind: float
    behind_error: float | None
    sampled: bool


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Several models on the same rows.

    Attributes
    ----------
    evaluations : tuple of Evaluation
    log_p : ndarray (M, N)
        Of every model and row.
    rows : ndarray of int (N,)
        Where the rows are in the data, from 0.
    """

    evaluations: tuple[Evaluation, ...]
    log_p: Floats = field(repr=False)
    rows: NDArray[np.intp] = field(repr=False)

    @property
    def standings(self) -> list[Standing]:
        """How the models do, the best first."""
        best = int(np.argmax(self.log_p.mean(axis=1)))
        found = [
            _standing(one, values, self.log_p[best], m == best)
            for m, (one, values) in enumerate(zip(self.evaluations, self.log_p, strict=True))
        ]
        return sorted(found, key=lambda one: -one.log_p)

    @property
    def settings(self) -> dict[str, Any]:
        """What all evaluations have in common: the data and the part of them."""
        own = ("checkpoint", "fitted")
        return {key: value for key, value in self.evaluations[0].settings.items() if key not in own}

    @checks_kinds
    def to_json(self, path: StrPath) -> None:
        """Write schema, settings, the standings, and the numbers of each model."""
        numbers = [{"settings": one.settings, "final": one.final} for one in self.evaluations]
        record = {"schema": SCHEMA, "settings": self.settings | {"rows": len(self.rows)}}
        standings = [vars(one) for one in self.standings]
        write_json(path, plain(record | {"models": standings, "evaluations": numbers}), JSON)

    @checks_kinds
    def write_scores(self, path: StrPath) -> None:
        """Write a CSV with a line for each row and a column of log p for each checkpoint."""
        names = [f"log_p {one.settings['checkpoint']}" for one in self.evaluations]
        part = self.settings["part"]
        pairs = zip(self.rows.tolist(), self.log_p.T.tolist(), strict=True)
        lines = [[row, part, *values] for row, values in pairs]
        write_table(path, ["row", "set", *names], lines)


def _standing(evaluation: Evaluation, values: Floats, best: Floats, is_best: bool) -> Standing:
    possible = values > -np.inf
    both = possible & (best > -np.inf)
    difference = (values[both] - best[both]) if both.any() else np.array([-np.inf])
    fitted = evaluation.settings["fitted"]["model"]
    return Standing(
        str(evaluation.settings["checkpoint"]),
        fitted,
        float(values.mean()),
        _error(values) if possible.all() else None,
        int((~possible).sum()),
        float(difference.mean()),
        None if is_best else _error(difference),
        "log_p_error" in evaluation.scores,
    )


def _error(values: Floats) -> float | None:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


@checks_kinds
def evaluate_together(
    checkpoints: Sequence[StrPath],
    data: StrPath | ArrayLike | Dataset | None = None,
    *,
    view: str | None = None,
    importance_samples: int = 5000,
    rows: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    data_dir: StrPath | None = None,
    progress: Progress | bool | None = None,
) -> SideBySide:
    """Evaluate several stored models on the same rows.

    Parameters
    ----------
    checkpoints : sequence of paths
        At least two.

    The others are those of `evaluate`.

    Returns
    -------
    SideBySide

    Raises
    ------
    ValueError
        In one line; also if the models were not fitted to the same rows of the same data, and no data are
        given, or if one is no density of rows.
    """
    if len(checkpoints) < 2:
        raise bad_value("checkpoints", "at least two", len(checkpoints))
    first = load_fitted(checkpoints[0])
    for path in checkpoints:
        stored = load_fitted(path)
        if stored.model.global_latents:
            reason = f"{str(path)!r} of {stored.model.label} is no density of rows"
            raise NotApplicable(f"checkpoints: {reason}; evaluate it alone")
        # Rows in another view have other densities, whatever else is equal.
        if data is None and stored.data["sha256"] != first.data["sha256"]:
            got = f"{str(path)!r} on others than {str(checkpoints[0])!r}"
            remedy = "fit with the same view, --rows and --holdout, or name the rows with --data"
            raise bad_value("checkpoints", "fits to the same training rows", got, remedy)
    options: dict[str, Any] = {"view": view, "importance_samples": importance_samples, "rows": rows}
    options |= {"seed": seed, "threads": threads, "data_dir": data_dir, "progress": progress}
    found = tuple(evaluate(path, data, **options) for path in checkpoints)
    for one in found:
        if one.settings["data"] != found[0].settings["data"] or not np.array_equal(one.rows, found[0].rows):
            got = f"{one.settings['data']} beside {found[0].settings['data']}"
            remedy = "fit with the same --holdout, or name data and view"
            raise bad_value("data", "the same rows and view for all", got, remedy)
    log_p = np.array([one.scores["log_p"] for one in found], dtype=np.float64)
    return SideBySide(found, log_p, found[0].rows)
