"""Four small experiments behind the figures.

    a cloud of gradients        single gradients in two coordinates of phi
    variance against draws      of every gradient of the ELBO in phi
    prior Monte Carlo           its failure as the latent dimension grows
    signal against noise        of the phi-gradients of the importance-weighted bound, against the draws

**Signal against noise.** SNR = |E g| / sqrt(trace Var g), E g exact. As K grows the bound closes in on
log p(x), whatever q is, and the signal falls as 1/K. The plain pathwise gradient's deviation falls only as
K^(-1/2), hence its ratio as K^(-1/2) (Rainforth et al. 2018, theorem 1); that of the doubly reparameterised
gradient grows as K^(1/2) (Tucker et al. 2019). Both hold if the weights have enough finite moments.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.bounds import prior_evidence
from elbo_lab.distributions import draw_noise
from elbo_lab.estimators import Answer, Estimator, Exact
from elbo_lab.models import PPCA
from elbo_lab.posteriors import FreePosterior
from elbo_lab.processes import Workers
from elbo_lab.special import softmax
from elbo_lab.study.measure import Repeats, run_repeats, run_sample, settled_states
from elbo_lab.study.moments import Moments
from elbo_lab.study.rows import DETERMINISTIC, is_rounding
from elbo_lab.study.scene import Scene, spawn
from elbo_lab.study.statistics import NORMAL_95
from elbo_lab.theory import known_variances_by_draws

Record = dict[str, Any]
"""A curve: lists of draws and of numbers at these."""

Records = dict[str, Record]
"""By name of the estimator."""

PILOT = 256
# A coordinate of another block is shown if its sd is at least this share of the largest.
CLEARLY_NOISY = 0.01
RARE = 0.01


def fitting(estimators: list[Estimator], scene: Scene, draws: int, target: str) -> list[Estimator]:
    """Return the measured estimators of a target that make sense on the scene with so many draws."""
    return [
        estimator
        for estimator in estimators
        if estimator.target == target
        and estimator.minimum_draws <= draws
        and not isinstance(estimator, Exact)
        and scene.refusal(estimator, draws) is None
    ]


def noisy_coordinates(
    scene: Scene, estimators: list[Estimator], draws: int, seed: int, exact: Floats
) -> list[int]:
    """Return the two coordinates of phi that show the noise of a gradient best.

    A pilot of the first samples of the cloud, by one estimator that has noise (`score-function-loo` if it is
    there), gives the coordinate of largest variance. The second is the largest of the other blocks of the
    layout, a log-scale beside a mean, if that is clearly noisy too; else the second largest of all.

    Parameters
    ----------
    exact : ndarray (P,)
        The exact gradient, for the level of rounding.

    Returns
    -------
    list of int
    """
    chosen = fitting(estimators, scene, draws, "grad-phi-elbo")
    chosen.sort(key=lambda estimator: estimator.name != "score-function-loo")
    layout = scene.problem.posterior.layout
    everything = list(range(layout.size))
    for estimator in chosen:
        (sample,) = run_sample(scene, [estimator], draws, PILOT, seed, everything)
        deviation = np.nan_to_num(sample.std(axis=0), nan=0.0, posinf=0.0)
        if (deviation > DETERMINISTIC * np.maximum(1.0, np.abs(exact))).any():
            break
    sizes = [math.prod(shape) for _, shape in layout.entries]
    return two_largest(sample, np.repeat(np.arange(len(sizes)), sizes))


def two_largest(sample: Floats, block: Integers) -> list[int]:
    """Return two coordinates of large spread, of two blocks if both are clearly noisy.

    The second is judged by what the first does not explain linearly: the two logits of one datum are one
    number seen twice, and their cloud would be a line.

    Parameters
    ----------
    sample : ndarray (R, P)
    block : ndarray (P,)
        Which block each coordinate belongs to.

    Returns
    -------
    list of int
        In the order of the vector; of a vector of one coordinate, that one twice.
    """
    # A coordinate that moves in one sample of a hundred would show a dot beside the exact value.
    sample = np.clip(sample, *np.quantile(sample, [RARE, 1 - RARE], axis=0))
    centred = np.nan_to_num(sample - sample.mean(axis=0), nan=0.0, posinf=0.0, neginf=0.0)
    deviation = centred.std(axis=0)
    first, largest = int(np.argmax(deviation)), deviation.max()
    axis = centred[:, first] / (np.linalg.norm(centred[:, first]) or 1.0)
    rest = (centred - np.outer(axis, axis @ centred)).std(axis=0)
    if rest.max() <= CLEARLY_NOISY * largest:
        rest = deviation  # one number is all that varies
    rest[first] = -1.0
    elsewhere = np.where(block != block[first], rest, -1.0)
    clear = elsewhere.max() > CLEARLY_NOISY * largest
    return sorted([first, int(np.argmax(elsewhere if clear else rest))])


def gradient_cloud(
    scene: Scene, estimators: list[Estimator], draws: int, seed: int, coordinates: Sequence[int], repeats: int
) -> dict[str, Floats]:
    """Draw single gradients in two coordinates of phi: {estimator name: ndarray (R, 2)}."""
    chosen = fitting(estimators, scene, draws, "grad-phi-elbo")
    samples = run_sample(scene, chosen, draws, repeats, seed, list(coordinates))
    return {e.name: sample for e, sample in zip(chosen, samples, strict=True)}


def moments_against_draws(
    scene: Scene,
    estimators: list[Estimator],
    target: str,
    seed: int,
    workers: Workers,
    repeats: int,
    draws: Sequence[int],
) -> dict[tuple[Estimator, int], Moments]:
    """Repeat each estimator of a target for several numbers of draws.

    Parameters
    ----------
    target : str
        Without a number of draws.
    workers : Workers
        Where the batches run; they change only the running time.

    Returns
    -------
    dict of (Estimator, int) to Moments
    """
    chosen = [(fitting(estimators, scene, n_draws, target), n_draws) for n_draws in draws]
    chosen.reverse()  # many draws take longest
    settled = workers.map(partial(_settled, scene, seed), chosen)
    works = [
        Repeats(scene, some, n_draws, repeats, seed, f"draws {n_draws}", states)
        for (some, n_draws), states in zip(chosen, settled, strict=True)
    ]
    totals = run_repeats(workers, works)
    return {
        (estimator, work.draws): moments
        for work, of_work in reversed(list(zip(works, totals, strict=True)))
        for estimator, moments in zip(work.estimators, of_work, strict=True)
    }


def _settled(scene: Scene, seed: int, chosen: tuple[list[Estimator], int]) -> list[Floats]:
    return settled_states(scene, *chosen, seed)


def variance_against_draws(
    scene: Scene,
    estimators: list[Estimator],
    seed: int,
    workers: Workers,
    repeats: int,
    answer: Answer,
    draws: Sequence[int] = (1, 2, 4, 8, 16),
) -> Records:
    """Measure the variance of each grad-phi estimator for several numbers of draws.

    As in the table, a variance at the level of rounding is zero.

    Parameters
    ----------
    workers : Workers
        Where the batches run; they change only the running time.
    answer : Answer
        The exact gradient, for the level of rounding.

    Returns
    -------
    dict of str to dict
        By estimator: lists `draws`, `evaluations`, `variance`, `low`, `high` (the 95 % interval),
        `squared_bias` (without what noise adds; 0 if declared unbiased), and `biased`.
    """
    totals = moments_against_draws(scene, estimators, "grad-phi-elbo", seed, workers, repeats, draws)
    records: Records = {}
    for (estimator, n_draws), total in totals.items():
        silent = total.count > 1 and is_rounding(total, answer)
        numbers = (0.0, 0.0, 0.0) if silent else (total.variance, *total.interval())
        cost = estimator.evaluations(n_draws, scene.problem.posterior.family)
        keys = ("draws", "evaluations", "variance", "low", "high", "squared_bias")
        bias = 0.0 if estimator.unbiased else _squared_bias(total, answer)
        point = dict(zip(keys, (n_draws, cost, *numbers, bias), strict=True))
        _append(records, estimator, point)["biased"] = not estimator.unbiased
    return records


def _squared_bias(total: Moments, answer: Answer) -> float:
    """Return |mean - exact|^2 less what the noise of the mean adds to it, at least 0."""
    noise = (total.standard_error**2).sum()
    return max(0.0, float(((total.mean - answer.value) ** 2).sum() - noise))


def _append(records: Records, estimator: Estimator, point: Record) -> Record:
    """Append each number of a point to the list of its key in the estimator's record, and return that."""
    record = records.setdefault(estimator.name, {})
    for key, number in point.items():
        record.setdefault(key, []).append(number)
    return record


def theory_against_draws(scene: Scene, records: Records) -> Records:
    """Return {estimator name: {'draws', 'variance'}} from theory for the measured curves."""
    exact: Records = {}
    draws = sorted({s for record in records.values() for s in record["draws"]})
    for n_draws, variances in known_variances_by_draws(scene, draws).items():
        for estimator, variance in variances.items():
            if n_draws in records.get(estimator.name, {"draws": ()})["draws"]:
                _append(exact, estimator, {"draws": n_draws, "variance": variance})
    return exact


def prior_failure(
    seed: int,
    dims: Sequence[int] = (1, 2, 4, 8, 16, 32),
    draws: Sequence[int] = (10, 100, 1000),
    n_data: int = 25,
    n_columns: int = 64,
) -> dict[str, Any]:
    """Measure the error of prior Monte Carlo on PPCA as its latent dimension grows.

    Every model has W with standard normal entries times 1/2 and unit noise, and sees data drawn from
    itself, so that only the dimension changes; log p is exact.

    Returns
    -------
    dict
        `latent_dim`; `error`, `low`, `high`, `effective_sample_size`: {S: list over latent_dim}. Errors
        are means over the data in nats, with the 95 % interval of that mean.
    """
    keys = ("error", "low", "high", "effective_sample_size")
    records: dict[str, Any] = {key: {s: [] for s in draws} for key in keys}
    for n_latent in dims:
        model = PPCA(n_columns, n_latent)
        rng = spawn(seed, "prior failure", n_latent)
        W = 0.5 * rng.standard_normal((n_columns, n_latent))
        theta = model.layout.pack({"W": W})
        x, _ = model.sample(theta, n_data, rng)
        exact = model.log_evidence(theta, x)
        for n_draws in draws:
            noise = draw_noise(model.family.noise_spec(n_draws, n_data), rng)
            z = model.family.sample(model.prior_eta(theta), noise)
            error = prior_evidence(model, theta, x, z) - exact
            weights = softmax(model.log_likelihood(theta, x, z), axis=0)
            half = NORMAL_95 * error.std(ddof=1) / np.sqrt(n_data)
            size = 1.0 / (weights**2).sum(axis=0)
            numbers = (error.mean(), error.mean() - half, error.mean() + half, size.mean())
            for key, number in zip(keys, numbers, strict=True):
                records[key][n_draws].append(float(number))
    return {"latent_dim": list(dims)} | records


# -- signal against noise ----------------------------------------------------------------------------


def linear_gaussian_scene(
    seed: int, n_data: int = 8, n_columns: int = 4, shift: float = 0.3, width: float = 1.2
) -> Scene:
    """Return PPCA with one latent on data drawn from itself, q off the posterior and wider than it.

    A q wider than the posterior gives weights with all moments, so that the rates show at few draws.

    Parameters
    ----------
    seed : int
    n_data, n_columns : int
    shift : float
        Distance of the means in posterior standard deviations.
    width : float
        Standard deviation of q in those of the posterior.
    """
    model, rng = PPCA(n_columns, 1), spawn(seed, "linear-gaussian scene")
    theta = model.layout.pack({"W": 0.5 * rng.standard_normal((n_columns, 1))})
    x, _ = model.sample(theta, n_data, rng)
    best = model.posterior_eta(theta, x)
    mean, log_std = model.family.split(best)
    eta = model.family.join(mean + shift * np.exp(log_std), log_std + np.log(width))
    free = FreePosterior(model.family, n_data)
    return Scene(model, theta, free, free.phi_from_eta(eta), x, "drawn from the model", best)


def signal_to_noise(
    scene: Scene,
    estimators: list[Estimator],
    seed: int,
    workers: Workers,
    repeats: int,
    draws: Sequence[int] = (2, 4, 8, 16, 32, 64, 128),
) -> Records:
    """Measure the SNR of each estimator of grad-phi-iwae for several numbers of draws.

    Parameters
    ----------
    scene : Scene
    estimators : list of Estimator
        Those of other targets are left out.
    seed : int
    workers : Workers
        Where the batches run; they change only the running time.
    repeats : int
    draws : tuple of int
        S of one estimate, for each of which the exact gradient is formed.

    Returns
    -------
    dict of str to dict
        By estimator: lists `draws`, `snr`, `low`, `high` (from the 95 % interval of the variance).
    """
    totals = moments_against_draws(scene, estimators, "grad-phi-iwae", seed, workers, repeats, draws)
    signals: dict[int, np.floating] = {}
    records: Records = {}
    for (estimator, n_draws), total in totals.items():
        size = estimator.group_size(n_draws)
        if size not in signals:
            signals[size] = np.linalg.norm(Exact(estimator.target).answer(scene.problem, size).value)
        point: Record = {"draws": n_draws}
        low, high = total.interval()
        for key, variance in (("snr", total.variance), ("low", high), ("high", low)):
            point[key] = float(signals[size] / np.sqrt(variance)) if variance else None
        _append(records, estimator, point)
    return records


def log_slope(record: Record, first: float = 0) -> float:
    """Return the slope of log SNR against log draws, from the points with at least `first` draws."""
    draws, snr = np.array(record["draws"]), np.array(record["snr"])
    kept = draws >= first
    return float(np.polyfit(np.log(draws[kept]), np.log(snr[kept]), 1)[0])
