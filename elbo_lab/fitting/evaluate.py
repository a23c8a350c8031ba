"""evaluate: what a stored model is worth on data, seen or not.

Tractable models by their exact log-likelihood; models with an encoder by the ELBO, by -log p(x) with K
importance samples from q (Burda et al. 2016, eq. 8), and by the active units of the latent code.
"""

import json
from dataclasses import dataclass

import numpy as np

from elbo_lab.datasets import load_for
from elbo_lab.errors import bad_value, check_count, columns_by_name
from elbo_lab.evaluation import active_units, importance_nll
from elbo_lab.files import write_text
from elbo_lab.fitting.checkpoints import data_spec, load_fitted
from elbo_lab.fitting.final import (
    check_same_columns,
    exact_numbers,
    mean_elbo,
    prediction_numbers,
    tabled,
    tractable,
)
from elbo_lab.fitting.result import plain

SCHEMA = "elbo_lab/evaluation/1"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Numbers for one stored model on one data set.

    Attributes
    ----------
    settings, final : dict
    """

    settings: dict
    final: dict

    def to_json(self, path):
        """Write schema, settings and final numbers."""
        record = {"schema": SCHEMA, "settings": self.settings, "final": self.final}
        write_text(path, json.dumps(plain(record), indent=1, allow_nan=False) + "\n")


def evaluate(
    checkpoint,
    data,
    *,
    view=None,
    importance_samples=5000,
    rows=None,
    seed=0,
    threads=None,
    data_dir=None,
    progress=None,
):
    """Judge a stored model on data.

    Parameters
    ----------
    checkpoint : path
    data : str, path, array or Dataset
    view : str, optional
        By default the one the model was fitted to, where the data set has it.
    importance_samples : int
        K, per datum; streamed, so memory does not grow with it.
    rows : int, optional
        The first rows of a seeded permutation; all by default.
    seed, threads : int
    progress : callable, optional
        (done, total, what).

    Returns
    -------
    Evaluation
    """
    check_count("importance_samples", importance_samples, minimum=2)
    check_count("seed", seed, minimum=0)
    stored = load_fitted(checkpoint)
    dataset = load_for(_FittedView(stored), data, view=view, data_dir=data_dir)
    if rows is not None:
        dataset = dataset.rows(rows, seed)
    model = stored.model
    settings = {"checkpoint": str(checkpoint), "data": dataset.name, "seed": seed}
    settings |= {"importance_samples": importance_samples, "fitted": stored.settings}
    if model.global_latents:
        table = tabled(type(model), dataset).x
        check_same_columns(model, table)
        return Evaluation(settings, plain(prediction_numbers(model, stored.posterior, stored.phi, table)))
    x = dataset.x
    if x.shape[1] != model.n_columns:
        raise bad_value("data", f"{model.n_columns} columns as in the checkpoint", f"{x.shape[1]} columns")
    with columns_by_name(dataset.columns):
        model.check_support(x)
    final = {"rows": len(x)}
    if tractable(model):
        final |= exact_numbers(model, stored.theta, x)
    if stored.posterior is not None:
        if stored.posterior.needs_all_rows and data_spec(dataset)["sha256"] != stored.data["sha256"]:
            expected = "the very rows that the free table was made for"
            raise bad_value("data", expected, dataset.name, "fit an encoder (--posterior amortised)")
        final |= _bounded(stored, x, importance_samples, seed, threads, progress)
    return Evaluation(settings, plain(final))


class _FittedView:
    """What `load_for` asks for its natural views: the view that a model was fitted to."""

    def __init__(self, stored):
        view = str(stored.settings["data"]).partition(":")[2]
        self.natural_views = (view,) if view else stored.model.natural_views


def _bounded(stored, x, n_samples, seed, threads, progress):
    model, posterior, theta, phi = stored.model, stored.posterior, stored.theta, stored.phi
    rng = np.random.default_rng(seed)
    found = importance_nll(
        model, posterior, theta, phi, x, n_samples, seed=seed, threads=threads, progress=progress
    )
    numbers = {
        "elbo_per_datum": mean_elbo(model, posterior, theta, phi, x, rng, draws=10),
        "nll_per_datum": found.nll.mean(),
        "nll_standard_error": np.sqrt((found.standard_error**2).sum()) / len(x),
        "effective_sample_size": np.median(found.effective_sample_size),
    }
    if not model.family.discrete and not posterior.needs_all_rows:
        units = active_units(posterior, phi, x)
        numbers |= {"active_units": units.count, "latent_units": model.latent_dim}
    return numbers
