"""evaluate: the quality of a stored model on training or new data.

Tractable models are judged by their exact log-likelihood; models with an encoder by the ELBO, by -log p(x)
with K importance samples from q (Burda et al. 2016, eq. 8), and by the active units of the latent code.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.datasets import Dataset, load_for
from elbo_lab.errors import MOST_REPEATS, NotApplicable, bad_value, check_count, columns_by_name
from elbo_lab.estimators import Problem
from elbo_lab.evaluation import active_units, has_exact_evidence, importance_nll
from elbo_lab.files import StrPath, json_kind, plain, write_json
from elbo_lab.fitting.checkpoints import Stored, fingerprint, load_fitted
from elbo_lab.fitting.final import ROWS_PER_PASS, as_table, exact_numbers, mean_elbo, prediction_numbers
from elbo_lab.kinds import checks_kinds
from elbo_lab.memory import Sizes
from elbo_lab.progress import Progress, followed

SCHEMA = "elbo_lab/evaluation/1"
JSON = json_kind("evaluate", SCHEMA)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Numbers for one stored model on one data set.

    Attributes
    ----------
    settings, final : dict
    """

    settings: dict[str, Any]
    final: dict[str, Any]

    @checks_kinds
    def to_json(self, path: StrPath) -> None:
        """Write schema, settings and final numbers."""
        record = {"schema": SCHEMA, "settings": self.settings, "final": self.final}
        write_json(path, plain(record), JSON)


@checks_kinds
def evaluate(
    checkpoint: StrPath,
    data: StrPath | ArrayLike | Dataset,
    *,
    view: str | None = None,
    importance_samples: int = 5000,
    rows: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    data_dir: StrPath | None = None,
    progress: Progress | bool | None = None,
) -> Evaluation:
    """Evaluate a stored model on data.

    Parameters
    ----------
    checkpoint : path
    data : str, path, array or Dataset
    view : str, optional
        By default the one the model was fitted to, where the data set has it.
    importance_samples : int
        K per datum; streamed, so that memory does not grow with it.
    rows : int, optional
        The first rows of a seeded permutation; all by default.
    seed, threads : int
    progress : callable, bool or None
        Called as progress(done, total, step); by default a bar on a terminal or in a notebook for what takes
        longer than a second, with False none.

    Returns
    -------
    Evaluation
    """
    check_count("importance_samples", importance_samples, minimum=2, maximum=MOST_REPEATS)
    check_count("seed", seed, minimum=0)
    stored = load_fitted(checkpoint)
    dataset = load_for(_natural_views(stored), data, view=view, data_dir=data_dir)
    if rows is not None:
        dataset = dataset.rows(rows, seed)
    model = stored.model
    settings = {"checkpoint": str(checkpoint), "data": dataset.name, "seed": seed}
    settings |= {"importance_samples": importance_samples, "fitted": stored.settings}
    dataset = as_table(type(model), dataset)
    x = dataset.x
    if x.shape[1] != model.table_columns:
        expected = f"{model.table_columns} columns as in the checkpoint"
        raise bad_value("data", expected, f"{x.shape[1]} columns")
    if model.global_latents:
        return Evaluation(settings, plain(prediction_numbers(stored.problem(x))))
    with columns_by_name(dataset.columns):
        model.check_support(x)
    sizes = Sizes.of(model, *x.shape)
    sizes.check(sizes.estimate(min(len(x), ROWS_PER_PASS)), "data")
    final = {"rows": len(x)}
    if has_exact_evidence(model):
        final |= exact_numbers(model, stored.theta, x)
    if stored.posterior is not None:
        if stored.posterior.needs_all_rows and fingerprint(dataset) != stored.data["sha256"]:
            expected = "the very rows that the free table was made for"
            raise bad_value("data", expected, dataset.name, "fit an encoder (--posterior amortised)")
        with followed(progress) as told:
            final |= _bounded(stored.problem(x), importance_samples, seed, threads, told)
    return Evaluation(settings, plain(final))


def _natural_views(stored: Stored) -> tuple[str, ...]:
    """Return the view that a model was fitted to, else those that suit it."""
    view = str(stored.settings["data"]).partition(":")[2]
    return (view,) if view else stored.model.natural_views


def _bounded(
    problem: Problem,
    n_samples: int,
    seed: int,
    threads: int | None,
    progress: Progress,
) -> dict[str, Any]:
    estimate = importance_nll(
        problem,
        n_samples,
        seed=seed,
        threads=threads,
        progress=lambda done, total: progress(done, total, "rows, importance samples"),
    )
    model, posterior, _, phi, x = problem
    elbo, elbo_error = mean_elbo(problem, np.random.default_rng(seed), draws=10)
    numbers = {
        "elbo_per_datum": elbo,
        "elbo_standard_error": elbo_error,
        "nll_per_datum": estimate.nll.mean(),
        "nll_standard_error": estimate.mean_error,
        "effective_sample_size": np.median(estimate.effective_sample_size),
    }
    if not model.family.discrete and not posterior.needs_all_rows:
        # Not every family of q gives its moments.
        with suppress(NotApplicable):
            units = active_units(posterior, phi, x)
            numbers |= {"active_units": units.count, "latent_units": model.latent_dim}
    return numbers
