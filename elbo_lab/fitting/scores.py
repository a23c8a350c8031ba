"""Scores of single rows: log p(x), exact or sampled, beside the ELBO of the same row.

    log_p                     exact where a formula or a sum gives it, else with importance samples from q
    log_p_error               standard error of a sampled one
    elbo                      mean log-weight of the same samples
    effective_sample_size     of these samples
    component                 of a mixture: the most probable one

Of a regression `log_p` is log p(y | x), with q over the coefficients averaged out.
"""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from elbo_lab.datasets import Dataset
from elbo_lab.evaluation import Fitted, Nll, has_exact_evidence, importance_nll
from elbo_lab.files import Kind, StrPath, write_output
from elbo_lab.models import GraphModel

Scores = dict[str, NDArray[np.generic]]
NAMES = ("log_p", "log_p_error", "elbo", "effective_sample_size", "component")
# Importance samples of a row, where the caller has drawn none.
NLL_SAMPLES = 1000
CSV = Kind("the scores of 'elbo-lab fit' or 'elbo-lab evaluate'", rb"row,set,log_p")


def scores_of(fitted: Fitted, x: NDArray[np.floating], estimate: Nll | None = None, seed: int = 0) -> Scores:
    """Return the scores of rows x, by the names of `NAMES`, as far as the model has them, (N,) each.

    Parameters
    ----------
    fitted : Fitted
    x : ndarray (N, D)
        For a regression the table with its labels.
    estimate : Nll, optional
        The importance samples of these rows; drawn if not given and needed.
    seed : int
    """
    scores: Scores = {}
    sampled = fitted.posterior is not None and not fitted.model.global_latents
    if sampled and estimate is None:
        estimate = importance_nll(fitted.problem(x), NLL_SAMPLES, seed)
    if fitted.model.global_latents or has_exact_evidence(fitted.model):
        scores["log_p"] = fitted.score_samples(x)
    if estimate is not None:
        scores.setdefault("log_p", -estimate.nll)
        if not has_exact_evidence(fitted.model):
            scores["log_p_error"] = estimate.standard_error
        scores["elbo"] = estimate.elbo
        scores["effective_sample_size"] = estimate.effective_sample_size
    one_value = isinstance(fitted.model, GraphModel) and not fitted.model.latent
    if not (fitted.model.family.event_axes or fitted.model.all_observed or one_value):
        scores["component"] = fitted.predict(x)
    return scores


def rows_of_split(n_rows: int, holdout: float | None) -> dict[str, NDArray[np.intp]]:
    """Return {'training': rows, 'held out': rows} of a fit: where they are in its data, from 0."""
    if holdout is None:
        return {"training": np.arange(n_rows)}
    parts = Dataset("rows", np.arange(n_rows, dtype=np.float64)[:, None]).split(holdout)
    return {
        name: part.x[:, 0].astype(np.intp) for name, part in zip(("training", "held out"), parts, strict=True)
    }


def write_scores(path: StrPath, parts: Iterable[tuple[str, NDArray[np.intp], Scores]]) -> None:
    """Write a CSV with a line for each row, whole or not at all.

    Parameters
    ----------
    path : path
    parts : iterable of (str, ndarray (N,), dict)
        Name of a set of rows, where they are in the data, and their scores.

    Raises
    ------
    ValueError
        If a file of another kind is there.
    """
    parts = list(parts)
    names = [name for name in NAMES if any(name in scores for _, _, scores in parts)]
    lines: list[Sequence[object]] = []
    for title, rows, scores in parts:
        columns = [scores[name].tolist() if name in scores else [""] * len(rows) for name in names]
        lines += [(row, title, *cells) for row, *cells in zip(rows.tolist(), *columns, strict=True)]
    write_table(path, ["row", "set", *names], lines)


def write_table(path: StrPath, heads: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Write heads and lines as a CSV of scores, whole or not at all."""
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(lines)
    write_output("scores", path, sheet.getvalue(), CSV)
