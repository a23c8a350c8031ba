"""The closing numbers of a fit, on the training rows and on the rows that were held out.

Tractable models are judged by the exact log-likelihood; the others by their bound, and by an estimate of
log p(x) with importance samples from q, which is tighter (Burda et al. 2016). With at most two latents, the
exact log p(x) can be recorded during training (`gap_rows`).

A regression with global latents is judged by its exact ELBO and by how it predicts labels. The predictive
probability of a label averages over the weights, p(y_m) = E_q p(y_m | z): a one-dimensional integral for
each row, exact like the ELBO (`elbo_lab.exact.projected`).
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.chains import HamiltonianMonteCarlo
from elbo_lab.datasets import Dataset
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import Estimator, Problem, elbo_for
from elbo_lab.evaluation import (
    AnnealedPath,
    Fitted,
    active_units,
    annealed_weights,
    has_exact_evidence,
    held_out_log_likelihood,
    importance_nll,
    mean_kl_to_prior,
    neighbour_accuracy,
    pilot_steps,
    principal_scores,
    sigmoidal_schedule,
    split_gap,
)
from elbo_lab.evaluation.tractable import row_evidence
from elbo_lab.exact import expected_log_joint
from elbo_lab.fitting.jobs import Outcome, Rows, Task
from elbo_lab.models import DeepGaussianFixed, DeepGaussianLearned, GraphModel, Model
from elbo_lab.threads import single_threaded_blas

Numbers = dict[str, Any]

# A decoder's variance counts as at its floor within 10 %; a warning from this share of the outputs on.
AT_FLOOR, MANY = float(np.log(1.1)), 0.01
# Rows and samples of the estimate of -log p(x) that every fit reports; `elbo-lab evaluate` uses all rows.
NLL_ROWS, NLL_SAMPLES = 500, 1000
ROWS_PER_PASS = 1000
# Of the estimate of log p(x) without a q: rows, chains of each, temperatures.
ANNEALED_ROWS, ANNEALED_CHAINS, TEMPERATURES = 50, 8, 50
NEIGHBOURS = 5


def numbers_of_fit(task: Task, outcome: Outcome, rows: Rows, threads: int) -> Numbers:
    """Return the closing numbers of a model with a z for each row, and all warnings."""
    seed, theta, phi = task.settings["seed"], outcome.vectors["theta"], outcome.vectors.get("phi")
    fitted = Fitted(task.model, theta, task.posterior, phi)
    final = numbers_of(fitted, rows.train, seed, threads)
    # A free table has no q for other rows.
    table = task.posterior is not None and task.posterior.needs_all_rows
    on_new_rows = Fitted(task.model, theta) if table else fitted
    if rows.held_out is not None:
        final["held_out"] = numbers_of(on_new_rows, rows.held_out, seed, threads)
    if on_new_rows.posterior is not None and on_new_rows.phi is not None and not task.model.family.discrete:
        # Not every family of q gives its moments: what needs them is left out.
        with suppress(NotApplicable):
            final["active_units"] = active_units(on_new_rows.posterior, on_new_rows.phi, rows.train.x).count
            if rows.held_out is not None:
                final["held_out"] |= latent_numbers(on_new_rows, rows.train, rows.held_out)
    warnings = list(outcome.warnings)
    if task.gap_rows is not None:
        try:
            final["gap"] = gap_numbers(fitted.problem(task.gap_rows), seed)
        except NotApplicable as reason:  # the decoder has become too steep for an exact value
            warnings.append(str(reason))
    noise = decoder_noise(fitted, rows.train.x)
    if noise:
        final["decoder_noise"] = noise
        if noise.get("share_at_floor", 0.0) >= MANY:
            warnings.append(_about_floor(noise))
    return final | {"warnings": tuple(warnings)}


def of_beta(numbers: Numbers, task: Task, outcome: Outcome, rows: Rows, beta: float) -> Numbers:
    """Return the closing numbers of a fit with the weight `beta` of the KL, and what it maximised."""
    fitted = Fitted(task.model, outcome.vectors["theta"], task.posterior, outcome.vectors["phi"])

    def completed(found: Numbers, x: Floats) -> Numbers:
        if "elbo_per_datum" not in found:
            return found
        kl = mean_kl_to_prior(fitted.problem(x))
        objective = found["elbo_per_datum"] + (1.0 - beta) * kl
        return found | {"beta": beta, "kl_to_prior": kl, "beta_objective_per_datum": objective}

    numbers = completed(numbers, rows.train.x)
    if rows.held_out is not None:
        numbers["held_out"] = completed(numbers["held_out"], rows.held_out.x)
    return numbers


def of_bound(numbers: Numbers, task: Task, outcome: Outcome, rows: Rows) -> Numbers:
    """Return the closing numbers of a fit that maximised another bound than the ELBO, with that bound."""
    assert task.objective is not None
    fitted = Fitted(task.model, outcome.vectors["theta"], task.posterior, outcome.vectors["phi"])
    bound, draws, seed = task.objective.bound, task.objective.draws, task.settings["seed"]

    def completed(found: Numbers, x: Floats) -> Numbers:
        if "elbo_per_datum" not in found:
            return found
        rng, repeats = np.random.default_rng((seed, 4)), _draws_for(len(x))
        value, error = mean_bound(fitted.problem(x), bound, draws, rng, repeats)
        said = f"{task.settings['objective']} of {draws} draws"
        return found | {"bound": said, "bound_per_datum": value, "bound_standard_error": error}

    numbers = completed(numbers, rows.train.x)
    if rows.held_out is not None:
        numbers["held_out"] = completed(numbers["held_out"], rows.held_out.x)
    return numbers


def numbers_of_prior(task: Task, outcome: Outcome, numbers: Numbers) -> Numbers:
    """Return the prior of a MAP fit, its log density, and the log posterior but for log p(x).

    Of a bound on log p(x | theta) the sum with log p(theta) is a bound on the log posterior.
    """
    if task.prior is None:
        return {}
    log_prior = task.prior.log_prior(task.model, outcome.vectors["theta"].astype(np.float64))
    found = {"prior": task.prior.spec, "log_prior": log_prior}
    if "log_likelihood" in numbers:
        return found | {"log_posterior": numbers["log_likelihood"] + log_prior}
    if "elbo_per_datum" not in numbers:  # without a q there is no bound either
        return found
    return found | {"log_posterior_bound": numbers["rows"] * numbers["elbo_per_datum"] + log_prior}


def decoder_noise(fitted: Fitted, x: Floats) -> Numbers:
    """Return the noise of a Gaussian decoder, in the units of the data; nothing for other models.

    `sigma`, where all columns have one; else `sd_low`, `sd_median`, `sd_high` (5, 50 and 95 %) of the
    standard deviations of all columns at the codes of rows x (N, D), `sd_floor`, and `share_at_floor`.
    """
    model, theta = fitted.model, fitted.theta.astype(np.float64)
    if isinstance(model, DeepGaussianFixed):
        return {"sigma": float(np.exp(model.layout.view(theta, "log_sigma")))}
    if not isinstance(model, DeepGaussianLearned) or fitted.posterior is None:
        return {}
    codes = fitted.encode(x)[0][:ROWS_PER_PASS]
    low, median, high = np.exp(
        0.5 * np.quantile(model.log_variance(theta, codes), (0.05, 0.5, 0.95))
    ).tolist()
    bounded = model.split_outputs(model.decode(theta, codes))[1]
    return {
        "sd_low": low,
        "sd_median": median,
        "sd_high": high,
        "sd_floor": float(np.exp(0.5 * model.min_log_variance)),
        "share_at_floor": float(np.mean(bounded < model.min_log_variance + AT_FLOOR)),
    }


def _about_floor(noise: Numbers) -> str:
    return (
        f"{100 * noise['share_at_floor']:.0f} % of the decoder's variances are at their floor, "
        f"{noise['sd_floor'] ** 2:.3g}: there the bound measures the floor and not the data; leave out "
        "columns that hardly vary, add noise to rounded data (view dequantised), or set --floor to the "
        "square of the precision of the data"
    )


def numbers_of_regression(task: Task, outcome: Outcome, rows: Rows) -> Numbers:
    """Return the closing numbers of a table with global latents."""
    fitted = Fitted(task.model, outcome.vectors["theta"], task.posterior, outcome.vectors["phi"])
    final = prediction_numbers(fitted.problem(rows.train.x))
    final["elbo_per_datum"] = elbo_per_row(fitted.problem(rows.train.x))
    if rows.held_out is not None:
        final["held_out"] = prediction_numbers(fitted.problem(rows.held_out.x))
    return final


def mean_elbo(problem: Problem, rng: np.random.Generator, draws: int = 1) -> tuple[float, float | None]:
    """Return the mean ELBO over all rows of a problem, `draws` draws each, and its standard error, in nats.

    The error is None with a single draw.
    """
    return mean_bound(problem, elbo_for(problem.model, problem.posterior), 1, rng, draws)


def mean_bound(
    problem: Problem, bound: Estimator, draws: int, rng: np.random.Generator, repeats: int
) -> tuple[float, float | None]:
    """Return the mean of a bound of so many draws over all rows of a problem, and its standard error.

    In nats, from `repeats` bounds for each row; the error is None with a single one.
    """
    _, posterior, _, phi, x = problem
    values = np.zeros(repeats)
    # A free table needs all of its rows at once.
    per_pass = len(x) if posterior.needs_all_rows else ROWS_PER_PASS
    with single_threaded_blas():
        for start in range(0, len(x), per_pass):
            rows = problem._replace(x=x[start : start + per_pass])
            spec = bound.noise_spec(posterior.family, repeats * draws, len(rows.x))
            noise = draw_noise(spec, rng, dtype=phi.dtype)
            for i in range(repeats):
                of_bound = noise[i * draws : (i + 1) * draws]
                values[i] += len(rows.x) * bound.estimate(rows, of_bound)[0][0]
    values /= len(x)
    error = float(values.std(ddof=1) / np.sqrt(repeats)) if repeats > 1 else None
    return float(values.mean()), error


def _draws_for(n_rows: int) -> int:
    """Return draws per datum that make the noise of a mean over the rows negligible."""
    return max(1, min(20, 20_000 // n_rows))


def _bound_numbers(problem: Problem, seed: int, threads: int) -> Numbers:
    """Return the bound on all rows, and the bound and the estimate of -log p on a subset."""
    x, rng = problem.x, np.random.default_rng(seed)
    subset = problem
    if not problem.posterior.needs_all_rows and len(x) > NLL_ROWS:
        subset = problem._replace(x=x[np.random.default_rng((seed, 2)).permutation(len(x))[:NLL_ROWS]])
    nll = importance_nll(subset, NLL_SAMPLES, seed=seed, threads=threads)
    on_all, on_subset = (mean_elbo(rows, rng, _draws_for(len(rows.x))) for rows in (problem, subset))
    return {
        "elbo_per_datum": on_all[0],
        "elbo_standard_error": on_all[1],
        "nll_per_datum": float(nll.nll.mean()),
        "nll_standard_error": nll.mean_error,
        "nll_rows": len(subset.x),
        "nll_samples": NLL_SAMPLES,
        "effective_sample_size": float(np.median(nll.effective_sample_size)),
        "elbo_on_nll_rows": on_subset[0],
        "elbo_on_nll_rows_error": on_subset[1],
    }


def annealed_numbers(model: Model, theta: Floats, x: Floats, seed: int) -> Numbers:
    """Return log p(x) of at most 50 rows by annealed chains from the prior: too low on average, without a q.

    The standard error is that of the chains, without that of the choice of rows.
    """
    x = x[np.random.default_rng((seed, 2)).permutation(len(x))[:ANNEALED_ROWS]]
    path = AnnealedPath.from_q(model, theta.astype(np.float64), x)
    schedule, moves = sigmoidal_schedule(TEMPERATURES), HamiltonianMonteCarlo()
    pilot, rng = np.random.default_rng((seed, 5)).spawn(2)
    steps = pilot_steps(path, schedule, moves, pilot)
    weights = annealed_weights(path, schedule, moves, rng, ANNEALED_CHAINS, steps).weights()
    return {
        "annealed_per_datum": float(weights.log_mean().mean()),
        "annealed_standard_error": float(np.sqrt((weights.standard_error() ** 2).sum()) / len(x)),
        "annealed_rows": len(x),
    }


def exact_numbers(model: Model, theta: Floats, x: Floats) -> Numbers:
    """Return the exact log-likelihood of a tractable model, total and per datum.

    Where some rows have p(x) = 0, also their number, and the mean over the others.
    """
    values = held_out_log_likelihood(model, theta.astype(np.float64), x)
    numbers = {"log_likelihood": float(values.sum()), "log_likelihood_per_datum": float(values.mean())}
    numbers |= rung_numbers(model, theta, x)
    possible = values[values > -np.inf]
    if len(possible) < len(values):
        numbers["impossible_rows"] = len(values) - len(possible)
        if len(possible):
            numbers["log_likelihood_per_possible_datum"] = float(possible.mean())
    return numbers


def rung_numbers(model: Model, theta: Floats, x: Floats) -> dict[str, Any]:
    """Return how many rows of a graph stand on which rung, and the error of their sum; nothing for others."""
    if not isinstance(model, GraphModel):
        return {}
    found = row_evidence(model, theta.astype(np.float64), x)
    names, counts = np.unique(found.rung, return_counts=True)
    numbers: dict[str, Any] = {"rungs": dict(zip(names.tolist(), counts.tolist(), strict=True))}
    if found.error.any():
        numbers["log_likelihood_error"] = float(np.sqrt((found.error**2).sum()))
    return numbers


def accuracy_numbers(fitted: Fitted, x: Floats) -> Numbers:
    """Return the share of rows x (N, D + 1) whose label a classifier finds most probable, else nothing."""
    if not fitted.model.all_observed:
        return {}
    return {"accuracy": float((fitted.predict(x[:, :-1]) == x[:, -1]).mean())}


def class_numbers(dataset: Dataset) -> Numbers:
    """Return the names of the classes of a data set, and how many rows each has; nothing without labels."""
    if dataset.labels is None:
        return {}
    names = dataset.class_names
    return {
        "classes": list(names),
        "class_rows": np.bincount(dataset.labels, minlength=len(names)).tolist(),
    }


def numbers_of(fitted: Fitted, dataset: Dataset, seed: int, threads: int) -> Numbers:
    """Return {name: number} for one set of rows."""
    numbers: Numbers = {"rows": len(dataset.x)}
    if has_exact_evidence(fitted.model):
        numbers |= exact_numbers(fitted.model, fitted.theta, dataset.x)
    numbers |= accuracy_numbers(fitted, dataset.x)
    if fitted.posterior is not None:
        numbers |= _bound_numbers(fitted.problem(dataset.x), seed, threads)
    return numbers


def latent_numbers(fitted: Fitted, train: Dataset, held_out: Dataset) -> Numbers:
    """Return how well the codes separate classes on the held-out rows, without labels in the fit."""
    if fitted.model.labelled or train.labels is None or held_out.labels is None:
        return {}
    codes, new_codes = fitted.encode(train.x)[0], fitted.encode(held_out.x)[0]
    scores, new_scores = principal_scores(train.x, held_out.x, codes.shape[1])
    of_codes = neighbour_accuracy(codes, new_codes, train.labels, held_out.labels, NEIGHBOURS)
    of_scores = neighbour_accuracy(scores, new_scores, train.labels, held_out.labels, NEIGHBOURS)
    return {"neighbour_accuracy": of_codes, "neighbour_accuracy_pca": of_scores}


def gap_numbers(problem: Problem, seed: int) -> Numbers:
    """Return the exact log p, ELBO and two parts of the gap, in nats per datum."""
    split = split_gap(problem, np.random.default_rng(seed))
    values = {
        "log_p": split.log_p,
        "elbo": split.elbo,
        "approximation": split.approximation,
        problem.posterior.shortfall: split.shortfall,
    }
    return {"rows": len(problem.x)} | {name: float(value.mean()) for name, value in values.items()}


def as_table(kind: type[Model], dataset: Dataset) -> Dataset:
    """Return the data set with the table that a kind of model explains as its x."""
    table = kind.table_of(dataset)
    if table is dataset.x:
        return dataset
    columns = None if dataset.columns is None else (*dataset.columns, "label")
    return replace(dataset, x=table, columns=columns)


def _eta(problem: Problem) -> Floats:
    # All rows share the one eta of the table.
    return problem.posterior.eta(problem.phi.astype(np.float64), np.zeros((1, 0)))


def elbo_per_row(problem: Problem) -> float:
    """Return the exact ELBO of a table with global latents, the x of the problem, over its rows, in nats."""
    model, table, eta = problem.model, problem.x, _eta(problem)
    value, _, _ = expected_log_joint(model, np.zeros(0), model.as_data(table), eta, problem.posterior.family)
    return float((value + problem.posterior.family.entropy(eta))[0] / len(table))


def prediction_numbers(problem: Problem) -> Numbers:
    """Return the mean log predictive probability of the labels, and the share of them with more than 1/2.

    The x of the problem is a table with global latents.
    """
    model, posterior, theta, phi, table = problem
    log_p = Fitted(model, theta, posterior, phi).score_samples(table)
    return {
        "rows": len(table),
        "log_p_per_datum": float(log_p.mean()),
        "accuracy": float((log_p > np.log(0.5)).mean()),
    }
