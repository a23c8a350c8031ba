"""evaluate: the quality of a stored model on training or new data.

Tractable models are judged by their exact log-likelihood; models with an encoder by the ELBO, by -log p(x)
with K importance samples from q (Burda et al. 2016, eq. 8), and by the active units of the latent code.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elbo_lab.arrays import Floats
from elbo_lab.bounds import log_weight
from elbo_lab.datasets import Dataset
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import MOST_REPEATS, NotApplicable, bad_value, check_count, columns_by_name
from elbo_lab.estimators import Problem
from elbo_lab.evaluation import (
    Calibration,
    Nll,
    active_units,
    has_exact_evidence,
    importance_nll,
    information_gap,
    simulation_calibration,
)
from elbo_lab.evaluation.calibration import MOST_SIMULATIONS
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.evaluation.new_rows import hidden_cells_error, q_of_new_rows
from elbo_lab.files import StrPath, json_kind, plain, write_json
from elbo_lab.fitting.checkpoints import Stored, find_data, fingerprint, load_fitted
from elbo_lab.fitting.final import (
    ROWS_PER_PASS,
    accuracy_numbers,
    annealed_numbers,
    as_table,
    exact_numbers,
    mean_elbo,
    prediction_numbers,
)
from elbo_lab.fitting.latents import load_as_fitted, prior_gain
from elbo_lab.fitting.scores import Scores, rows_of_split, scores_of, write_scores
from elbo_lab.kinds import checks_kinds
from elbo_lab.memory import Sizes
from elbo_lab.models.gplvm import GPLVMRows
from elbo_lab.posteriors import ExactPosterior
from elbo_lab.progress import Progress, followed
from elbo_lab.study.statistics import pareto_k, pareto_source
from elbo_lab.threads import single_threaded_blas

SCHEMA = "elbo_lab/evaluation/1"
JSON = json_kind("evaluate", SCHEMA)


# Rows whose weights are looked at for their tail, and the k-hat above which it is too heavy.
TAIL_ROWS, HEAVY = 100, 0.7


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Numbers for one stored model on one data set.

    Attributes
    ----------
    settings, final : dict
    scores : dict of ndarray (N,)
        Of the rows, see `fitting.scores`.
    rows : ndarray of int (N,)
        Where they are in the data, from 0.
    calibration : Calibration or None
        Of q on data of the model, if asked for.
    """

    settings: dict[str, Any]
    final: dict[str, Any]
    scores: Scores = field(repr=False)
    rows: NDArray[np.intp] = field(repr=False)
    calibration: Calibration | None = field(default=None, repr=False)

    @checks_kinds
    def to_json(self, path: StrPath) -> None:
        """Write schema, settings and final numbers."""
        record = {"schema": SCHEMA, "settings": self.settings, "final": self.final}
        write_json(path, plain(record), JSON)

    @checks_kinds
    def write_scores(self, path: StrPath) -> None:
        """Write a CSV with a line for each row, whole or not at all."""
        write_scores(path, [(self.settings["part"], self.rows, self.scores)])


@checks_kinds
def evaluate(
    checkpoint: StrPath,
    data: StrPath | ArrayLike | Dataset | None = None,
    *,
    view: str | None = None,
    label: str | int | None = None,
    importance_samples: int = 5000,
    calibration: int | None = None,
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
    data : str, path, array or Dataset, optional
        By default the data of the fit: the rows that it held out, or else those that it was fitted to.
    view : str, optional
        By default the one the model was fitted to, where the data set has it.
    label : str or int, optional
        The column with the labels, by its name or its number from 0; by default that of the fit.
    importance_samples : int
        K per datum; streamed, so that memory does not grow with it.
    calibration : int, optional
        Simulations that judge q, or the exact posterior of a model without q, by ranks
        (`evaluation.calibration`); none by default.
    rows : int, optional
        The first rows of a seeded permutation; all by default.
    seed, threads : int
    progress : callable, bool or None
        Called as progress(done, total, step); by default a bar on a terminal or in a notebook for what takes
        longer than a second, with False none.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        In one line; also if the data of the fit have changed since, and no others are given.
    """
    check_count("importance_samples", importance_samples, minimum=2, maximum=MOST_REPEATS)
    check_count("seed", seed, minimum=0)
    stored = load_fitted(checkpoint)
    model, kind, part = stored.model, type(stored.model), "given"
    judged = None if calibration is None else calibration_of(stored, calibration, seed)
    source = find_data(stored.data, stored.settings["data"], checkpoint) if data is None else data
    dataset = load_as_fitted(stored, source, view, label, data_dir)
    where = np.arange(len(dataset.x))
    if data is None:
        dataset, part, where = _unseen(stored, dataset, source)
    if rows is not None:
        dataset = dataset.rows(rows, seed)
        where = where[_places(len(where), rows, seed)]
    settings = {"checkpoint": str(checkpoint), "data": dataset.name, "part": part, "seed": seed}
    settings |= {"importance_samples": importance_samples, "fitted": stored.settings}
    dataset = as_table(kind, dataset)
    x = dataset.x
    if x.shape[1] != model.table_columns:
        expected = f"{model.table_columns} columns as in the checkpoint"
        raise bad_value("data", expected, f"{x.shape[1]} columns")
    if model.global_latents:
        numbers = plain(prediction_numbers(stored.problem(x)))
        return Evaluation(settings, numbers, scores_of(stored, x), where)
    with columns_by_name(dataset.columns):
        model.check_support(x)
    sizes = Sizes.of(model, *x.shape)
    sizes.check(sizes.estimate(min(len(x), ROWS_PER_PASS)), "data")
    final: dict[str, Any] = {"rows": len(x)}
    estimate = None
    if has_exact_evidence(model):
        final |= exact_numbers(model, stored.theta, x) | accuracy_numbers(stored, x)
    elif stored.posterior is None and not model.family.discrete:
        final |= annealed_numbers(model, stored.theta, x, seed)
    if isinstance(model, GPLVMRows) and fingerprint(dataset) != stored.data["sha256"]:
        # Rows that the table does not know get a q of their own.
        posterior, own = q_of_new_rows(model, stored.theta, x, seed)
        stored = replace(stored, posterior=posterior, phi=own)
        final |= {"hidden_cells_error": hidden_cells_error(model, stored.theta, x, seed)}
    elif stored.posterior is not None:
        if stored.posterior.needs_all_rows and fingerprint(dataset) != stored.data["sha256"]:
            expected = "the very rows that the free table was made for"
            raise bad_value("data", expected, dataset.name, "fit an encoder (--posterior amortised)")
    if stored.posterior is not None:
        problem = stored.problem(x)
        with followed(progress) as told:
            estimate = importance_nll(
                problem,
                importance_samples,
                seed=seed,
                threads=threads,
                progress=lambda done, total: told(done, total, "rows, importance samples"),
            )
            final |= _bounded(problem, estimate, importance_samples, seed) | _of_factors(stored, dataset)
    scores = scores_of(stored, x, estimate)
    if stored.first is not None:
        final |= prior_gain(stored.first, x, scores["log_p"].astype(np.float64))
    if judged is not None:
        final |= {"calibration": calibration_numbers(judged)}
    return Evaluation(settings, plain(final), scores, where, judged)


def calibration_of(stored: Stored, n_simulations: int, seed: int) -> Calibration:
    """Return the Calibration of the q of a stored model, or of its exact posterior if it has none."""
    check_count("calibration", n_simulations, minimum=2, maximum=MOST_SIMULATIONS)
    model, posterior = stored.model, stored.posterior
    theta: Floats = stored.theta.astype(np.float64)
    if posterior is None:
        theta = model.canonical(theta)
        posterior = ExactPosterior(model, theta)
    return simulation_calibration(model, theta, posterior, stored.phi, n_simulations=n_simulations, seed=seed)


def calibration_numbers(found: Calibration) -> dict[str, Any]:
    """Return the numbers of a Calibration for a record."""
    rows = zip(found.names, found.uniformity, found.symmetry, found.mean_ranks, found.verdicts, strict=True)
    keys = "quantity", "uniform_p", "symmetric_p", "mean_rank", "verdict"
    return {
        "simulations": len(found.ranks),
        "calibration_draws": found.n_draws,
        "false_alarm": found.false_alarm,
        "quantities": [dict(zip(keys, row, strict=True)) for row in rows],
    }


def _places(n_rows: int, count: int, seed: int) -> NDArray[np.intp]:
    """Return where the rows that `Dataset.rows` chooses are."""
    places = Dataset("rows", np.arange(n_rows, dtype=np.float64)[:, None])
    return places.rows(count, seed).x[:, 0].astype(np.intp)


def parts_of_fit(
    stored: Stored, dataset: Dataset
) -> tuple[Dataset, Dataset | None, dict[str, NDArray[np.intp]]]:
    """Return the training rows of a fit to a data set, its held-out rows, and the places of both by name."""
    holdout, count = stored.settings.get("holdout"), stored.settings.get("rows")
    places = np.arange(len(dataset.x))
    if count is not None and count <= len(places):
        dataset, places = dataset.rows(count, seed=0), _places(len(places), count, seed=0)
    where = {name: places[part] for name, part in rows_of_split(len(places), holdout).items()}
    train, unseen = (dataset, None) if holdout is None else dataset.split(holdout)
    return train, unseen, where


def training_rows(
    stored: Stored,
    checkpoint: StrPath,
    data: StrPath | ArrayLike | Dataset | None = None,
    label: str | int | None = None,
) -> Dataset:
    """Return the rows that a stored model was fitted to, or other rows to compare it on.

    Parameters
    ----------
    stored : Stored
    checkpoint : path
        Of it, beside which a file of data is looked for.
    data : str, path, array or Dataset, optional
        By default the data of the fit.
    label : str or int, optional
        The column with the labels; by default that of the fit.

    Raises
    ------
    ValueError
        If the training rows have changed since, or a free table has no q for the rows given.
    """
    source = find_data(stored.data, stored.settings["data"], checkpoint) if data is None else data
    dataset, kind = load_as_fitted(stored, source, None, label, None), type(stored.model)
    given = as_table(kind, dataset)
    for rows in (as_table(kind, parts_of_fit(stored, dataset)[0]), given):
        if fingerprint(rows) == stored.data["sha256"]:
            return rows
    if data is None:
        remedy = "to compare on them as they are now, name them with --data"
        raise bad_value("data", "the rows of the fit", f"{str(source)!r}, which has changed since", remedy)
    if stored.posterior is not None and stored.posterior.needs_all_rows:
        expected = "the very rows that the free table was made for"
        raise bad_value("data", expected, dataset.name, "fit an encoder (--posterior amortised)")
    if given.x.shape[1] != stored.model.table_columns:
        expected = f"{stored.model.table_columns} columns as in the checkpoint"
        raise bad_value("data", expected, f"{given.x.shape[1]} columns")
    with columns_by_name(given.columns):
        stored.model.check_support(given.x)
    return given


def _unseen(stored: Stored, dataset: Dataset, source: object) -> tuple[Dataset, str, NDArray[np.intp]]:
    """Return the held-out rows of the data of a fit, or else its training rows; their name and places.

    Raises
    ------
    ValueError
        If the training rows are not those of the fit.
    """
    train, unseen, where = parts_of_fit(stored, dataset)
    if fingerprint(as_table(type(stored.model), train)) != stored.data["sha256"]:
        remedy = "to judge the model on them as they are now, name them with --data"
        raise bad_value("data", "the rows of the fit", f"{str(source)!r}, which has changed since", remedy)
    return (
        (train, "training", where["training"]) if unseen is None else (unseen, "held out", where["held out"])
    )


def _bounded(problem: Problem, estimate: Nll, n_samples: int, seed: int) -> dict[str, Any]:
    model, posterior, _, phi, x = problem
    elbo, elbo_error = mean_elbo(problem, np.random.default_rng(seed), draws=10)
    numbers = {
        "elbo_per_datum": elbo,
        "elbo_standard_error": elbo_error,
        "nll_per_datum": estimate.nll.mean(),
        "nll_standard_error": estimate.mean_error,
        "nll_samples": n_samples,
        "effective_sample_size": np.median(estimate.effective_sample_size),
    }
    numbers |= tail_numbers(problem, n_samples, seed)
    if not model.family.discrete and not posterior.needs_all_rows:
        # Not every family of q gives its moments.
        with suppress(NotApplicable):
            units = active_units(posterior, phi, x)
            numbers |= {"active_units": units.count, "latent_units": model.latent_dim}
    return numbers


def _of_factors(stored: Stored, dataset: Dataset) -> dict[str, Any]:
    """Return the mutual information gap of the encoder, where the factors of the rows are known."""
    factors = {name: codes for name, codes in (dataset.factors or {}).items() if len(np.unique(codes)) > 1}
    family = stored.posterior.family if stored.posterior is not None else stored.model.family
    if not factors or family.discrete or not family.gaussian or family.size < 2:
        return {}
    found = information_gap(stored, dataset.x, factors)
    gaps = {"mig_factors": list(found.names), "mig_by_factor": found.gaps.tolist()}
    return {"mig": found.mig, "mig_error": found.mig_error, **gaps}


def tail_numbers(problem: Problem, n_samples: int, seed: int) -> dict[str, Any]:
    """Return Pareto k-hat of the weights of the first rows: median, largest, and how many are heavy.

    Nothing for categories, whose weights have no tail, and without arviz-stats (see `study.statistics`).
    """
    model, posterior, theta, phi, x = problem
    if model.family.discrete or pareto_source() is None:
        return {}
    eta, rng, found = encoded(posterior, phi, x)[:TAIL_ROWS], np.random.default_rng((seed, 3)), []
    with single_threaded_blas():
        for row, own in zip(x[:TAIL_ROWS], eta, strict=False):
            z = posterior.family.sample(own[None], draw_noise(posterior.family.noise_spec(n_samples, 1), rng))
            log_w = log_weight(model, theta, row[None].astype(theta.dtype), posterior.family, own[None], z)
            found.append(pareto_k(log_w[:, 0].astype(np.float64)))
    known = [k for k in found if k is not None]
    if not known:
        return {}
    return {
        "pareto_k": float(np.median(known)),
        "pareto_k_max": max(known),
        "pareto_k_above": sum(k > HEAVY for k in known),
        "pareto_k_rows": len(known),
    }
