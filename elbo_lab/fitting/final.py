"""The closing numbers of a fit, on the training rows and on the rows that were held out.

Tractable models are judged by the exact log-likelihood. The others by their bound, and by an estimate of
log p(x) with importance samples from q, which is higher and closer (Burda et al. 2016); where the latent
plane has at most two dimensions, the exact log p(x) can be recorded along the way (`gap_rows`).

A regression with global latents is judged by its exact ELBO and by how it predicts labels. The predictive
probability of a label averages over the weights, p(y_m) = E_q p(y_m | z): a one-dimensional integral for
each row, exact like the ELBO (`elbo_lab.exact.projected`).
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_lab.datasets import Dataset
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable, bad_value
from elbo_lab.estimators import ElboReconstructionKL, Problem
from elbo_lab.evaluation import (
    active_units,
    held_out_log_likelihood,
    importance_nll,
    neighbour_accuracy,
    principal_scores,
    split_gap,
)
from elbo_lab.evaluation.tractable import tractable
from elbo_lab.exact import expected_log_joint
from elbo_lab.exact.projected import row_probabilities
from elbo_lab.fitting.jobs import Outcome, Rows, Task
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.threads import single_threaded_blas

Vector = NDArray[np.floating]
Numbers = dict[str, Any]

# The estimate of -log p(x) that a fit makes by itself; `elbo-lab evaluate` does it in full.
NLL_ROWS, NLL_SAMPLES = 500, 1000
ROWS_PER_PASS = 1000
NEIGHBOURS = 5


def closing_numbers(task: Task, outcome: Outcome, rows: Rows, threads: int) -> Numbers:
    """Return the closing numbers of a fit, and how it ended.

    Parameters
    ----------
    task : Task
    outcome : Outcome
    rows : Rows
    threads : int
    """
    notes = {"warnings": outcome.warnings, "converged": outcome.converged, "stopped": outcome.stopped}
    if task.model.global_latents:
        return notes | _regression_numbers(task, outcome, rows)
    return notes | outcome.extra | _numbers_of_rows(task, outcome, rows, threads)


def _numbers_of_rows(task: Task, outcome: Outcome, rows: Rows, threads: int) -> Numbers:
    """Return the closing numbers of a model with a z for each row."""
    model, posterior, vectors, seed = task.model, task.posterior, outcome.vectors, task.settings["seed"]
    final = numbers_of(model, posterior, vectors, rows.train, seed, threads)
    encoder = None if posterior is None or posterior.needs_all_rows else posterior
    if rows.held_out is not None:
        # A free table says nothing about rows that it was not made for.
        final["held_out"] = numbers_of(model, encoder, vectors, rows.held_out, seed, threads)
    if encoder is not None and not model.family.discrete:
        final["active_units"] = active_units(encoder, vectors["phi"], rows.train.x).count
        if rows.held_out is not None:
            final["held_out"] |= latent_numbers(encoder, vectors["phi"], rows.train, rows.held_out)
    if posterior is not None and task.gap_rows is not None:
        theta, phi = (vectors[name].astype(np.float64) for name in ("theta", "phi"))
        try:
            final["gap"] = gap_numbers(Problem(model, posterior, theta, phi, task.gap_rows), seed)
        except NotApplicable as reason:  # the decoder has grown too steep for an exact value
            final["warnings"] = (*outcome.warnings, str(reason))
    return final


def _regression_numbers(task: Task, outcome: Outcome, rows: Rows) -> Numbers:
    """Return the closing numbers of a table with global latents."""
    model, posterior, phi = task.model, task.posterior, outcome.vectors["phi"]
    final = prediction_numbers(model, posterior, phi, rows.train.x)
    final["elbo_per_datum"] = elbo_per_row(model, posterior, phi, rows.train.x)
    if rows.held_out is not None:
        final["held_out"] = prediction_numbers(model, posterior, phi, rows.held_out.x)
    return final


def mean_elbo(problem: Problem, rng: np.random.Generator, draws: int = 1) -> float:
    """Return the mean ELBO over all rows of a problem, in nats, with `draws` draws each."""
    model, posterior, _, phi, x = problem
    bound, total = ElboReconstructionKL(), 0.0
    # A free table belongs to all of its rows at once.
    per_pass = len(x) if posterior.needs_all_rows else ROWS_PER_PASS
    with single_threaded_blas():
        for start in range(0, len(x), per_pass):
            part = x[start : start + per_pass]
            noise = draw_noise(bound.noise_spec(model.family, draws, len(part)), rng, dtype=phi.dtype)
            total += len(part) * bound.estimate(problem._replace(x=part), noise)[0][0]
    return float(total / len(x))


def _draws_for(n_rows: int) -> int:
    """Return draws per datum such that the noise of a mean over the rows hardly matters."""
    return max(1, min(20, 20_000 // n_rows))


def _bound_numbers(problem: Problem, seed: int, threads: int) -> Numbers:
    """Return the bound on all rows, and the bound beside the estimate of -log p on some of them."""
    x, rng = problem.x, np.random.default_rng(seed)
    some = problem
    if not problem.posterior.needs_all_rows and len(x) > NLL_ROWS:
        some = problem._replace(x=x[np.random.default_rng((seed, 2)).permutation(len(x))[:NLL_ROWS]])
    nll = importance_nll(some, NLL_SAMPLES, seed=seed, threads=threads)
    on_all, on_some = (mean_elbo(part, rng, _draws_for(len(part.x))) for part in (problem, some))
    return {
        "elbo_per_datum": on_all,
        "nll_per_datum": float(nll.nll.mean()),
        "nll_rows": len(some.x),
        "nll_samples": NLL_SAMPLES,
        "elbo_on_nll_rows": on_some,
    }


def exact_numbers(model: Model, theta: Vector, x: NDArray[np.floating]) -> Numbers:
    """Return the exact log-likelihood of a tractable model, total and per datum."""
    values = held_out_log_likelihood(model, theta.astype(np.float64), x)
    return {"log_likelihood": float(values.sum()), "log_likelihood_per_datum": float(values.mean())}


def numbers_of(
    model: Model,
    posterior: Posterior | None,
    vectors: dict[str, Vector],
    dataset: Dataset,
    seed: int,
    threads: int,
) -> Numbers:
    """Return {name: number} for one set of rows."""
    found: Numbers = {"rows": len(dataset.x)}
    if tractable(model):
        found |= exact_numbers(model, vectors["theta"], dataset.x)
    if posterior is not None:
        problem = Problem(model, posterior, vectors["theta"], vectors["phi"], dataset.x)
        found |= _bound_numbers(problem, seed, threads)
    return found


def latent_numbers(posterior: Posterior, phi: Vector, train: Dataset, held_out: Dataset) -> Numbers:
    """Return how well the codes keep classes apart that no model has seen, on the held-out rows."""
    found: Numbers = {}
    if train.labels is not None:
        codes = [posterior.family.moments(posterior.eta(phi, part.x))[0] for part in (train, held_out)]
        scores = principal_scores(train.x, held_out.x, codes[0].shape[1])
        labels = train.labels, held_out.labels
        found["neighbour_accuracy"] = neighbour_accuracy(*codes, *labels, k=NEIGHBOURS)
        found["neighbour_accuracy_pca"] = neighbour_accuracy(*scores, *labels, k=NEIGHBOURS)
    return found


def gap_numbers(problem: Problem, seed: int) -> Numbers:
    """Return log p, the ELBO, and the two parts of the gap, exact, in nats per datum."""
    split = split_gap(problem, np.random.default_rng(seed))
    return {
        "rows": len(problem.x),
        "log_p": float(split.log_p.mean()),
        "elbo": float(split.elbo.mean()),
        "approximation": float(split.approximation.mean()),
        "amortisation": float(split.amortisation.mean()),
    }


def as_table(kind: type[Model], dataset: Dataset) -> Dataset:
    """Return the data set with the table that a kind of model explains as its x."""
    table = kind.table_of(dataset)
    if table is dataset.x:
        return dataset
    columns = None if dataset.columns is None else (*dataset.columns, "label")
    return replace(dataset, x=table, columns=columns)


def _eta(posterior: Posterior, phi: Vector) -> NDArray[np.float64]:
    # The one eta of the table belongs to no x in particular.
    return posterior.eta(phi.astype(np.float64), np.zeros((1, 0)))


def elbo_per_row(model: Model, posterior: Posterior, phi: Vector, table: NDArray[np.floating]) -> float:
    """Return the exact ELBO of the whole table over its number of rows, in nats."""
    eta = _eta(posterior, phi)
    value, _, _ = expected_log_joint(model, np.zeros(0), model.as_data(table), eta)
    return float((value + model.family.entropy(eta))[0] / len(table))


def prediction_numbers(
    model: Model, posterior: Posterior, phi: Vector, table: NDArray[np.floating]
) -> Numbers:
    """Return the mean log predictive probability of the labels, and the share of them that is likelier."""
    p = row_probabilities(model, model.as_data(table), posterior.family, _eta(posterior, phi))[0]
    return {
        "rows": len(table),
        "log_p_per_datum": float(np.log(p).mean()),
        "accuracy": float((p > 0.5).mean()),
    }


def check_same_columns(model: Model, table: NDArray[np.floating]) -> None:
    """Refuse a table with other columns than the model was built for."""
    wanted = model.n_features + 1
    if table.shape[1] != wanted:
        raise bad_value(
            "data", f"{wanted} columns with the labels, as in the fit", f"{table.shape[1]} columns"
        )
