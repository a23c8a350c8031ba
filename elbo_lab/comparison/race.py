r"""race(): does less variance train faster?

A race starts several trainings of theta and phi at the same point. They differ in the estimator of the
gradient in phi, and in nothing else: the same rows in every step, the same optimiser, the same number of
draws and steps. What counts is the distance that is left, in nats per datum:

    distance = max_theta (1/N) log p_theta(x) - (1/N) log p_theta_t(x),     both exact

Fair rules, since a step size that suits one estimator need not suit another:

    tuning     every estimator tries the same rates, on the same seeds; its best leaves the least distance
    race       at its own best rate, and at one rate for all, on other seeds than the tuning: a rate chosen
               for its luck on some seeds has no luck on others
    common     the rate at which the worst of the estimators ends nearest
    cost       steps, evaluations of log p(x, z), and seconds; the exact log p(x) is nobody's cost

All rows are in every step, so that the draws of z are the only noise. Intervals are Student t over seeds,
95 % for each distance; differences are paired by seed (the same start) and their level is divided by the
number of pairs (Bonferroni), since all pairs are looked at. With ten or more seeds this is right for
distances that are not very skewed; a training that diverged makes a distance infinite and is counted, not
averaged.

Helps: where a variance table raises the question whether it matters. Fails: for models without an exact log
p(x), and as a statement about other optimisers, rates and lengths than those of the race. The variance of a
gradient bounds the speed of stochastic gradient descent (Bottou, Curtis and Nocedal 2018, section 4;
Mohamed et al. 2020, section 1), yet at a small rate, or far from the optimum, it is not what limits a
training.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from math import inf, isfinite
from os import PathLike
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from elbo_lab import __version__
from elbo_lab.arrays import Floats
from elbo_lab.comparison.optimum import Optimum, check_optimum, distance, is_local, optimum
from elbo_lab.comparison.pipeline import Data
from elbo_lab.datasets import load
from elbo_lab.distributions import find_source
from elbo_lab.errors import (
    MOST_REPEATS,
    MOST_STEPS,
    Diverged,
    NotApplicable,
    bad_value,
    check_count,
    check_positive,
    check_share,
    one_line,
)
from elbo_lab.estimators import Estimator
from elbo_lab.files import json_kind, write_json
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import Model
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior, Posterior, check_within, find_posterior
from elbo_lab.processes import Workers
from elbo_lab.progress import Progress, followed
from elbo_lab.registry import check_latent, find_estimators, one_model
from elbo_lab.report import text_of, width_or_terminal
from elbo_lab.report.frame import frame_of
from elbo_lab.report.race import race_lines
from elbo_lab.study.rows import Row
from elbo_lab.study.scene import spawn
from elbo_lab.threads import check_threads, single_threaded_blas
from elbo_lab.training import Plan, Training, VariationalObjective, find_objective, parse_optimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.text import Text

SCHEMA = "elbo_lab/race/1"
JSON = json_kind("race", SCHEMA)
FIGURES = ("race",)
OWN, COMMON = "own best rate", "common rate"
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
TUNING_SEEDS = 3
LOOKS = 25
LONGEST = 1_000_000
LEVEL = 0.95
VARIANCE_REPEATS = 200

USUAL = (
    "reparameterization-analytic-kl",
    "reparameterization",
    "sticking-the-landing",
    "score-function-loo",
    "score-function",
    "rebar",
    "disarm",
    "dreg",
    "stl-iwae",
    "iwae-reparameterization",
    "vimco",
    "iwae-score-function",
)
"""Who races if nobody is named: those of these that estimate the objective's gradient and fit the model."""


@dataclass(frozen=True)
class Track:
    """What all trainings of a race share: everything but estimator, rate and seed."""

    objective: type[VariationalObjective]
    model: Model
    posterior: Posterior
    x: Floats
    theta_estimator: Estimator | None
    draws: int
    noise: str
    optimizer: str
    steps: int

    @property
    def every(self) -> int:
        """Steps between two looks at the exact log p(x)."""
        return max(1, self.steps // LOOKS)

    def objective_with(self, estimator: Estimator) -> VariationalObjective:
        """Return the objective in which an estimator gives the gradient in phi."""
        chosen = {"phi_estimator": estimator}
        if self.theta_estimator is not None:
            chosen["theta_estimator"] = self.theta_estimator
        source = find_source(self.noise)
        given = self.model, self.posterior, self.x
        return self.objective(*given, draws=self.draws, source=source, **chosen)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Start:
    """One training to run: estimator, rate, seed, and the optimum that it is measured against."""

    estimator: Estimator
    rate: float
    seed: int
    best: Optimum


@dataclass(frozen=True)
class Run:
    """What one training did.

    Attributes
    ----------
    steps : ndarray (T,)
        At which log p(x) was looked at.
    distances : ndarray (T,)
        Nats per datum; infinite once the training has diverged.
    seconds : float
        Of one step, without the looks; nan if none was finished.
    params : dict of ndarray, or None
        At the end; None if it diverged.
    """

    steps: Floats
    distances: Floats
    seconds: float
    params: dict[str, Floats] | None

    @property
    def left(self) -> float:
        """The distance at the end."""
        return float(self.distances[-1])

    def first_within(self, target: float) -> float:
        """Return the first looked-at step with at most this distance, or infinity."""
        near = np.flatnonzero(self.distances <= target)
        return float(self.steps[near[0]]) if len(near) else inf


def run(track: Track, start: Start) -> Run:
    """Train once and look at the exact log p(x) every few steps; a training that diverges is no error."""
    expected: Floats = np.arange(0.0, track.steps + 1, track.every)
    found: list[float] = []
    seconds, since = 0.0, perf_counter()

    def look(params: dict[str, Floats], _: str) -> dict[str, float]:
        nonlocal seconds, since
        seconds += perf_counter() - since
        try:
            found.append(distance(track.model, params["theta"], track.x, start.best))
        except (
            np.linalg.LinAlgError,
            NotApplicable,
        ) as fault:  # far off, the exact answer has its limits too
            raise Diverged(one_line(str(fault))) from None
        if not isfinite(found[-1]):
            raise Diverged(f"log p(x) became {found.pop()}")
        since = perf_counter()
        return {"distance": found[-1]}

    rates = dict.fromkeys(("theta", "phi"), start.rate)
    plan = Plan(
        epochs=int(expected[-1]),
        batch=len(track.x),
        optimizer=parse_optimizer(track.optimizer),
        rates=rates,
        evaluate_every=track.every,
    )
    training = Training(track.objective_with(start.estimator), plan, start.seed, [look])
    params: dict[str, Floats] | None = training.params
    try:
        with np.errstate(all="ignore"):  # what overflows has diverged
            training.run()
    except (Diverged, np.linalg.LinAlgError):
        params = None
    distances = np.array(found + [inf] * (len(expected) - len(found)))
    return Run(expected, distances, seconds / training.step if training.step else np.nan, params)


@dataclass(frozen=True, repr=False)
class RaceResult:
    """What `race` returns.

    Attributes
    ----------
    settings : dict
        Beside the arguments: `optimum` (how the reference was found), `local` (whether it depends on the
        start), `start_distance`, `target_distance`, `common_rate`, `pairs`: those of estimators that the
        intervals tell apart at their own best rates, as dicts `near`, `far`, `low`, `high` (of the
        difference of distances, nats per datum) and `agrees` (whether the nearer has the smaller variance),
        `n_pairs` in all.
    rows : list of dict
        Two per estimator, `at` its own best rate and at the common rate: `rate`, `edge` (whether it is the
        first or last of the grid), `distance` (mean over seeds, nats per datum) with `distance_low`,
        `distance_high`, None where a training diverged, `diverged` (of the seeds), `reached`, and medians
        over seeds of `steps_to_target`, `evaluations_to_target`, `seconds_to_target`, None where fewer than
        half got there; `seconds_per_step`, `evaluations_per_step` (per datum), and `variance` of the
        gradient in phi at the end of the best training of the tuning, where all are measured.
    tuning : list of dict
        `estimator`, `rate`, `distance` (mean over the tuning seeds, None if one diverged), `diverged`.
    curves : list of dict
        `estimator`, `at`, `steps`, `mean`, `low`, `high`: the distance over the steps.
    """

    settings: dict[str, Any]
    rows: list[Row]
    tuning: list[Row]
    curves: list[Row]

    def lines(self, width: int = 100, dash: str = "-") -> "list[Text | str]":
        """Return the lines to print: the answer, then the table."""
        return race_lines(self.settings, self.rows, self.tuning, width, dash)

    def table(self, width: int | None = None) -> str:
        """Return the lines as text, as wide as the terminal if no width is given."""
        return text_of(self.lines(width_or_terminal(width)))

    def __repr__(self) -> str:
        return self.table(100).rstrip()

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame; ImportError where pandas is not installed."""
        return frame_of(self.rows, "race.rows")

    @checks_kinds
    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return all as JSON text; write it to `path` as well if given."""
        content = {"schema": SCHEMA} | {name: getattr(self, name) for name in self.__dataclass_fields__}
        return write_json(path, content, JSON)

    def plot(self) -> "Figure":
        """Draw the distances over steps, evaluations and seconds, and the distance left at every rate."""
        from elbo_lab.plots.race import plot_race  # Matplotlib is heavy

        return plot_race(self.settings, self.rows, self.tuning, self.curves)

    def write_figures(self, folder: str | PathLike[str]) -> list[str]:
        """Write the figure as PNG and SVG into a folder; return its name."""
        from elbo_lab.plots import save_figure

        save_figure(self.plot(), folder, FIGURES[0])
        return list(FIGURES)


@checks_kinds
def race(
    model: str | Model | type[Model] = "ppca",
    *,
    estimators: Any = None,
    theta_estimator: str | None = None,
    data: Data | None = None,
    latent: int | Sequence[int] | None = None,
    posterior: str = "free",
    objective: str = "elbo",
    noise: str = "independent",
    optimizer: str = "adam",
    draws: int = 2,
    steps: int = 400,
    rates: Sequence[float] = RATES,
    target: float = 0.1,
    repeats: int = 12,
    rows: int = 64,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | bool | None = None,
) -> RaceResult:
    """Train with several estimators from the same start, and say which came nearest to the optimum.

    Parameters
    ----------
    model : str, Model class or Model
        With an exact log p(x).
    estimators : str, Estimator, Estimator class, or iterable, optional
        At least two, of the objective's gradient in phi; some usual ones if not given.
    theta_estimator : str, optional
        Of the gradient in theta, the same for all; the objective's usual one if not given.
    data, latent
        As for `compare`.
    posterior : str
        The map of q ('free', 'amortised'), its family, or both, as in 'amortised:laplace'.
    objective : str
        One of `training.OBJECTIVES` that one function ascends.
    noise : str
        How the draws of a step depend on each other, as for `compare`.
    optimizer : str
        As for `fit`.
    draws : int
        S, draws of z per datum and step.
    steps : int
        Of every training; rounded down to a multiple of a twenty-fifth of them.
    rates : sequence of float
        The grid of step sizes, for theta and phi together.
    target : float
        Share of the distance at the start: the cost to come so near is reported.
    repeats : int
        Seeds of the race, at least two; the tuning has 3 others.
    rows : int
        N, rows of the data by a seeded choice, all of them in every step.
    seed : int
        It determines all numbers but the seconds.
    threads : int, optional
        Worker processes; all cores if not given. Any number gives the same result.
    progress : callable, bool or None
        As for `compare`.

    Returns
    -------
    RaceResult

    Raises
    ------
    ValueError, TypeError
        In one line that names the argument, the expected and the given value; before anything is trained.

    Examples
    --------
    >>> from elbo_lab import race
    >>> two = ["reparameterization", "score-function"]
    >>> found = race("ppca", data="faithful", estimators=two, steps=50, rates=[0.03], repeats=2, rows=8)
    >>> [row["estimator"] for row in found.rows][:2]
    ['reparameterization', 'score-function']
    """
    choice = one_model(model)
    check_count("draws", draws, maximum=MOST_STEPS)
    check_count("steps", steps, maximum=LONGEST)
    check_count("rows", rows, minimum=2)
    check_count("seed", seed, minimum=0)
    check_count("repeats", repeats, minimum=2, maximum=MOST_REPEATS)
    grid = sorted({check_positive("rates", rate) for rate in rates})
    if not grid:
        raise bad_value("rates", "at least one step size", "none")
    check_share("target", target)
    parse_optimizer(optimizer)
    kind = find_objective(objective)
    if not kind.ascends or "phi" not in kind.targets:
        expected = "one whose theta and phi climb one function, such as elbo or iwae"
        raise bad_value("objective", expected, repr(objective))
    source = load(choice.kind.default_data if data is None else data, seed=seed)
    source = replace(source, x=choice.kind.table_of(source))
    source = source.rows(min(rows, len(source.x)), seed)
    built = choice.build(source.x, check_latent(latent))
    x: Floats = built.check_data(built.as_data(source.x))
    check_optimum(built, x)
    track = Track(
        kind,
        built,
        _posterior(posterior, built, x),
        x,
        _theta_estimator(theta_estimator, kind),
        draws,
        noise,
        optimizer,
        steps,
    )
    racers = _racers(estimators, track)
    tuning_seeds, race_seeds = seeds_of(seed, repeats)
    workers = Workers(check_threads(threads), at_once=len(grid) * len(racers) * steps > 20_000)
    with followed(progress) as told, single_threaded_blas():
        starts = {one: _start_of(track, racers[0], one) for one in (*tuning_seeds, *race_seeds)}
        best = _optima(track, starts)
        by_seed = {one: distance(built, starts[one], x, best[one]) for one in race_seeds}
        away = float(np.mean(list(by_seed.values())))
        tuned = [(e, rate) for e in racers for rate in grid]
        tasks = [Start(e, rate, one, best[one]) for e, rate in tuned for one in tuning_seeds]
        trials = workers.map(partial(run, track), tasks, partial(_tell, told, "tuning"))
        groups = dict(zip(tuned, _chunks(trials, len(tuning_seeds)), strict=True))
        left = {key: _mean_left(runs) for key, runs in groups.items()}
        own = {e: min(grid, key=lambda rate: left[e, rate]) for e in racers}
        common = min(grid, key=lambda rate: max(left[e, rate] for e in racers))
        variances = _variances(track, racers, trials, seed)
        pairs = list(dict.fromkeys((e, rate) for e in racers for rate in (own[e], common)))
        tasks = [Start(e, rate, one, best[one]) for e, rate in pairs for one in race_seeds]
        raced = workers.map(partial(run, track), tasks, partial(_tell, told, "race"))
        ran = dict(zip(pairs, _chunks(raced, repeats), strict=True))
    entries = [(at, e, own[e] if at == OWN else common) for at in (OWN, COMMON) for e in racers]
    wanted = target * away
    table = [
        {"estimator": e.name, "at": at, "rate": rate, "edge": len(grid) > 1 and rate in (grid[0], grid[-1])}
        | _summary(track, e, ran[e, rate], wanted)
        | {"variance": variances[e]}
        for at, e, rate in entries
    ]
    settings: dict[str, Any] = {
        "version": __version__,
        "model": choice.label,
        "data": source.name,
        "latent": built.latent_dim,
        "posterior": find_posterior(posterior).text,
        "objective": objective,
        "noise": noise,
        "optimizer": optimizer,
        "draws": draws,
        "steps": int(track.every * (steps // track.every)),
        "rates": grid,
        "target": target,
        "repeats": repeats,
        "tuning_seeds": TUNING_SEEDS,
        "rows": len(x),
        "seed": seed,
        "optimum": best[race_seeds[0]].method,
        "local": is_local(built),
        "start_distance": away,
        "target_distance": wanted,
        "common_rate": common,
        "pairs": _told_apart({e: ran[e, own[e]] for e in racers}, variances),
        "n_pairs": len(racers) * (len(racers) - 1) // 2,
    }
    trial_rows = [
        {
            "estimator": e.name,
            "rate": rate,
            "distance": left[e, rate] if isfinite(left[e, rate]) else None,
            "diverged": sum(not isfinite(one.left) for one in groups[e, rate]),
        }
        for e, rate in tuned
    ]
    curves = [{"estimator": e.name, "at": at} | _curve(ran[e, rate]) for at, e, rate in entries]
    return RaceResult(settings, table, trial_rows, curves)


# -- what takes part ---------------------------------------------------------------------------------


def _posterior(text: str, model: Model, x: Floats) -> Posterior:
    choice = find_posterior(text)
    if choice.map not in ("", FreePosterior.name, AmortisedPosterior.name):
        raise bad_value("posterior", "free, amortised, or a family", repr(text))
    family = choice.family_for(model)
    check_within(family, model.family)
    if choice.map == AmortisedPosterior.name:
        return AmortisedPosterior.for_data(family, x, n_classes=model.given_classes)
    return FreePosterior(family, len(x))


def _theta_estimator(name: str | None, kind: type[VariationalObjective]) -> Estimator | None:
    """Return the estimator of the gradient in theta, or None for the usual one."""
    if name is None:
        return None
    for one in map(kind.adapted, find_estimators(name, "theta_estimator")):
        if one.target == kind.targets["theta"]:
            return one
    raise bad_value("theta_estimator", f"an estimator of {kind.targets['theta']}", repr(name))


def _racers(asked: Any, track: Track) -> list[Estimator]:
    """Return at least two estimators of the gradient in phi, or refuse the first that cannot take part."""
    target = track.objective.targets["phi"]
    found = [
        one for one in map(track.objective.adapted, find_estimators(USUAL if asked is None else asked))
        if one.target == target
    ]  # fmt: skip
    if asked is None:
        found = [one for one in found if _takes_part(track, one)]
    else:
        for one in found:
            track.objective_with(one)
    if len(found) < 2:
        names = ", ".join(one.name for one in found) or "none"
        raise bad_value("estimators", f"at least two estimators of {target}", names, "name several")
    return found


def _takes_part(track: Track, estimator: Estimator) -> bool:
    try:
        track.objective_with(estimator)
    except (NotApplicable, ValueError):
        return False
    return True


def seeds_of(seed: int, repeats: int) -> tuple[list[int], list[int]]:
    """Return the seeds of the tuning (even) and those of the race (odd): no training is in both."""
    tuning = 2 * spawn(seed, "race", "tuning").integers(0, 2**30, TUNING_SEEDS)
    raced = 2 * spawn(seed, "race", "repeats").integers(0, 2**30, repeats) + 1
    return tuning.tolist(), raced.tolist()


def _start_of(track: Track, estimator: Estimator, seed: int) -> Floats:
    """Return the theta (P,) at which every training of a seed starts."""
    plan = Plan(epochs=1, batch=len(track.x))
    return Training(track.objective_with(estimator), plan, seed).params["theta"].copy()


def _optima(track: Track, starts: dict[int, Floats]) -> dict[int, Optimum]:
    """Return the optimum for each seed; of a model with one maximum it is found once."""
    found: dict[bytes, Optimum] = {}
    keys = {one: theta.tobytes() if is_local(track.model) else b"" for one, theta in starts.items()}
    for one, theta in starts.items():
        if keys[one] not in found:
            found[keys[one]] = optimum(track.model, track.x, theta)
    return {one: found[key] for one, key in keys.items()}


# -- what came out -----------------------------------------------------------------------------------


def _tell(told: Progress, step: str, done: int, total: int) -> None:
    told(done, total, step)


def _chunks(runs: Sequence[Run], size: int) -> list[Sequence[Run]]:
    return [runs[i : i + size] for i in range(0, len(runs), size)]


def _mean_left(runs: Iterable[Run]) -> float:
    return float(np.mean([one.left for one in runs]))


def t_interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Return the Student t interval of a mean (low, high) from values (R,); infinite ones have none."""
    from scipy.special import stdtrit  # heavy: loaded on use

    if not np.isfinite(values).all():
        return -inf, inf
    half = float(stdtrit(len(values) - 1, 0.5 + 0.5 * level)) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def _summary(track: Track, estimator: Estimator, runs: Sequence[Run], target: float) -> Row:
    """Return the numbers of one estimator at one rate over the seeds."""
    left = np.array([one.left for one in runs])
    diverged = int((~np.isfinite(left)).sum())
    low, high = t_interval(left)
    firsts = np.array([one.first_within(target) for one in runs])
    to_target = float(np.median(firsts))
    seconds = float(np.nanmedian([one.seconds for one in runs]))
    family = track.posterior.family
    ours = track.objective_with(estimator).estimators.values()
    evaluations = sum(one.evaluations(track.draws, family) for one in ours)
    reached = isfinite(to_target)
    return {
        "distance": None if diverged else float(left.mean()),
        "distance_low": None if diverged else low,
        "distance_high": None if diverged else high,
        "diverged": diverged,
        "reached": int(np.isfinite(firsts).sum()),
        "steps_to_target": to_target if reached else None,
        "evaluations_to_target": to_target * evaluations if reached else None,
        "seconds_to_target": to_target * seconds if reached else None,
        "seconds_per_step": seconds,
        "evaluations_per_step": evaluations,
    }


def _curve(runs: Sequence[Run]) -> Row:
    """Return the mean distance and its interval over the steps, None where a training has diverged."""
    table = np.array([one.distances for one in runs])
    ends = [t_interval(column) for column in table.T]
    finite = [value if isfinite(value) else None for value in table.mean(axis=0)]
    low, high = ([end if isfinite(end) else None for end in side] for side in zip(*ends, strict=True))
    return {"steps": runs[0].steps.tolist(), "mean": finite, "low": low, "high": high}


def _variances(
    track: Track, racers: Sequence[Estimator], trials: Sequence[Run], seed: int
) -> dict[Estimator, float | None]:
    """Return the variance of each gradient in phi, summed over phi, at the end of the best trial of all."""
    finished = [one for one in trials if one.params is not None]
    if not finished:
        return dict.fromkeys(racers)
    params = min(finished, key=lambda one: one.left).params
    assert params is not None
    found: dict[Estimator, float | None] = {}
    for estimator in racers:
        objective, rng = track.objective_with(estimator), spawn(seed, "race", "variance")
        memory, estimates = objective.initial_memory(params, rng), []
        for _ in range(VARIANCE_REPEATS):
            block = objective.draw(np.arange(len(track.x)), rng)
            _, gradients, memory = objective.gradients(params, block, ("phi",), memory)
            estimates.append(gradients["phi"])
        found[estimator] = float(np.var(estimates, axis=0, ddof=1).sum())
    return found


def _told_apart(
    ran: dict[Estimator, Sequence[Run]], variances: dict[Estimator, float | None]
) -> list[dict[str, Any]]:
    """Return the pairs of estimators whose distances the intervals of the paired differences tell apart."""
    pairs = list(combinations(ran, 2))
    level, found = 1.0 - (1.0 - LEVEL) / max(1, len(pairs)), []
    for a, b in pairs:
        left = {one: np.array([run.left for run in ran[one]]) for one in (a, b)}
        if not (np.isfinite(left[a]).all() and np.isfinite(left[b]).all()):
            continue
        near, far = sorted((a, b), key=lambda one: float(left[one].mean()))
        low, high = t_interval(left[far] - left[near], level)
        if low > 0.0:
            quiet, noisy = variances[near], variances[far]
            agrees = None if quiet is None or noisy is None else quiet < noisy
            found.append({"near": near.name, "far": far.name, "low": low, "high": high, "agrees": agrees})
    return found
