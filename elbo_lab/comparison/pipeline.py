"""The steps of a comparison: scenes and references, repeats, the test of bias, rows.

A `Bench` takes one model through them, with one `Run` for each estimator. Every step takes the
`Workers`; each task has its own seed, and results are merged in a fixed order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.checking.model import check_once
from elbo_lab.checking.references import shared_with_model
from elbo_lab.datasets import Dataset
from elbo_lab.distributions import NoiseSource
from elbo_lab.errors import BadValue, bad_value
from elbo_lab.estimators import Estimator, Exact
from elbo_lab.estimators.targets import is_gradient, parse
from elbo_lab.exact import Answer
from elbo_lab.exact.quadrature import NODES_PER_PASS, PAIRS_PER_PASS
from elbo_lab.layout import Layout
from elbo_lab.memory import Sizes
from elbo_lab.models import Model
from elbo_lab.processes import Workers
from elbo_lab.progress import Progress
from elbo_lab.registry import Latent, ModelChoice
from elbo_lab.study.measure import ROWS_PER_PASS, Repeats, run_repeats, seconds_per_estimate, settled_states
from elbo_lab.study.moments import Moments
from elbo_lab.study.rare_events import missed_of_bound, missed_variance
from elbo_lab.study.references import references
from elbo_lab.study.rows import (
    LOOKS,
    NATS_TO_SEE,
    SHARE_TO_SEE,
    BiasTest,
    Row,
    bias_test,
    exact_row,
    inapplicable,
    judged,
    measured_row,
    nats_to_see,
    row_head,
)
from elbo_lab.study.scene import DEFAULT_ROWS, Scene, build_scene
from elbo_lab.study.weights import weight_numbers
from elbo_lab.theory import known_variances

RERUN_FACTOR = 10
FALSE_ALARM = 1e-6
ROUNDING = 1e-9

Data = str | PathLike[str] | ArrayLike | Dataset


class Where(Protocol):
    """What gives every model of a comparison its scene."""

    @property
    def seed(self) -> int: ...

    def scene(self, choice: ModelChoice, draws: int) -> Scene:
        """Return the scene of a model for estimates of some draws."""


@dataclass(frozen=True, eq=False)
class Placement:
    """The data of a comparison, the position of q, and the source of its noise: see `compare`."""

    data: Data | None
    latent: Latent | None
    posterior: str
    at: str
    rows: int | None
    seed: int
    source: NoiseSource

    def scene(self, choice: ModelChoice, draws: int) -> Scene:
        """Return the scene of a model for estimates of some draws."""

        def check(model: Model, table: Floats) -> None:
            check_size(model, table, self.rows, draws)
            check_once(model, table)

        return build_scene(
            choice, self.data, self.latent, self.posterior, self.at, self.rows, self.seed, self.source, check
        )


@dataclass
class Run:
    """One estimator on one scene; each step fills in its results.

    Attributes
    ----------
    estimator : Estimator
    target : str
        With its number of draws.
    refusal : str or None
        Why the estimator makes no sense on the scene.
    variance : float or None
        The exact variance, where theory gives it.
    state : ndarray
        State of the estimator after its burn-in.
    shared_moments : Moments
        From the batches that all estimators of the scene share.
    moments : Moments
        The same, or those of a rerun.
    bias : BiasTest
    first : BiasTest or None
        Test of the first repeats, where more were made to see more (`power`).
    weights : dict
        Numbers of its importance weights.
    seconds : float
        Of a single call, or of the exact answer.
    """

    estimator: Estimator
    target: str
    refusal: str | None = None
    variance: float | None = None
    state: Floats = field(init=False)
    shared_moments: Moments = field(init=False)
    moments: Moments = field(init=False)
    bias: BiasTest = field(init=False)
    first: BiasTest | None = None
    weights: Row = field(init=False)
    seconds: float = field(init=False)

    @property
    def is_exact(self) -> bool:
        """Whether it is the exact answer, which has no draws."""
        return isinstance(self.estimator, Exact)

    @property
    def fails(self) -> bool:
        """Whether it is declared unbiased, and its test exceeds the limit."""
        return self.estimator.unbiased and (self.bias.max_z or 0.0) > self.bias.limit


@dataclass
class Bench:
    """One model and its estimators in the steps of a comparison.

    Attributes
    ----------
    label : tuple of (str, str or None)
        Name and variant.
    runs : list of Run
        One for each estimator, in their order.
    refusal : str
        Why the model refuses the data; there is then no scene.
    scene : Scene
    answers : dict
        {target: Answer}.
    shared : dict
        {target: what its exact answer shares with the estimators}.
    nats_to_see : float
        The bias that the test of a value must see.
    """

    label: tuple[str, str | None]
    runs: list[Run]
    refusal: str = ""
    scene: Scene = field(init=False)
    answers: dict[str, Answer] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    nats_to_see: float = NATS_TO_SEE

    @property
    def applicable(self) -> list[Run]:
        """The runs of applicable estimators."""
        return [run for run in self.runs if run.refusal is None]

    @property
    def measured(self) -> list[Run]:
        """The runs that have draws: all but the exact answer."""
        return [run for run in self.applicable if not run.is_exact]

    @property
    def shared_moments(self) -> dict[Estimator, Moments]:
        """{estimator: Moments} on the common batches."""
        return {run.estimator: run.shared_moments for run in self.measured}

    def to_see(self, run: Run) -> float:
        """Return the bias that the test of a run must see: nats for a value, a share for a gradient."""
        return SHARE_TO_SEE if is_gradient(run.target) else self.nats_to_see


def named(progress: Progress | None, what: str) -> Callable[[int, int], object] | None:
    """Return progress(done, total) of a step, or None without `progress`."""
    return None if progress is None else lambda done, total: progress(done, total, what)


# -- scenes and references -------------------------------------------------------------------------


def build_benches(
    workers: Workers,
    choices: Sequence[ModelChoice],
    estimators: Sequence[Estimator],
    draws: int,
    placement: Where,
    skip_refusals: bool,
    progress: Progress | None,
) -> list[Bench]:
    """Build all scenes, their exact answers and the states of the estimators.

    Raises
    ------
    ValueError
        If a model refuses the data; with `skip_refusals`, if all do.
    """
    build, step = partial(_build_bench, estimators, draws, placement, skip_refusals), "fits and exact answers"
    if progress is not None:
        progress(0, len(choices), step)  # the arguments are right: now the work begins
    # The deep models are last in every list and take longest: begin with them.
    benches = workers.map(build, choices[::-1], named(progress, step))[::-1]
    for bench in benches:
        for run, estimator in zip(bench.runs, estimators, strict=True):
            run.estimator = estimator  # replaces the copy that came from another process
    if all(bench.refusal for bench in benches):
        raise BadValue(benches[0].refusal)
    return benches


def _build_bench(
    estimators: Sequence[Estimator],
    draws: int,
    placement: Where,
    skip_refusals: bool,
    choice: ModelChoice,
) -> Bench:
    runs = [Run(estimator, estimator.target_at(draws)) for estimator in estimators]
    bench = Bench((choice.kind.name, choice.variant), runs)
    try:
        scene = placement.scene(choice, draws)
    except BadValue as refusal:
        if not skip_refusals:
            raise
        bench.refusal = str(refusal)
        for run in bench.runs:
            run.refusal = bench.refusal
        return bench
    bench.scene = scene
    for run in bench.runs:
        run.refusal = scene.refusal(run.estimator, draws)
    targets = dict.fromkeys(run.target for run in bench.applicable)
    # Beside everything under q stands log p(x): what is missing from the bound is its gap.
    under_q = any(not target.endswith("log-evidence") for target in targets)
    bench.answers, seconds = references(scene, [*targets, "log-evidence"] if under_q else targets)
    bench.shared = shared_with_model(scene, bench.answers, targets)
    if scene.posterior is not None and not all(is_gradient(run.target) for run in bench.measured):
        bench.nats_to_see = _nats_to_see(scene, bench.answers)
    # By class: in another process an estimator is a copy.
    known = known_variances(scene, draws) if "grad-phi-elbo" in targets else {}
    variances = {type(estimator): variance for estimator, variance in known.items()}
    for run in bench.applicable:
        run.variance = variances.get(type(run.estimator))
        if run.is_exact:
            run.seconds = seconds[run.target]
    chosen = [run.estimator for run in bench.measured]
    for run, state in zip(bench.measured, settled_states(scene, chosen, draws, placement.seed), strict=True):
        run.state = state
    return bench


def _nats_to_see(scene: Scene, answers: dict[str, Answer]) -> float:
    """Return the bias in nats that values must show, from the gap log p - ELBO of the scene."""
    pair = ("log-evidence", "elbo")
    missing = [target for target in pair if target not in answers]
    evidence, bound = ((answers | references(scene, missing)[0])[target] for target in pair)
    error = float(np.hypot(evidence.error, bound.error)[0]) + ROUNDING * max(1.0, abs(float(bound.value[0])))
    return nats_to_see(float((evidence.value - bound.value)[0]), error)


def check_size(model: Model, table: Floats, rows: int | None, draws: int) -> None:
    """Refuse what does not fit into memory: the draws of one estimate are formed together."""
    n_data = min(len(table), DEFAULT_ROWS if rows is None else rows)
    # The one datum of a model with global latents is a whole table.
    batch = table.shape[1] // model.table_columns if model.global_latents else n_data
    sizes = Sizes.of(model, len(table), table.shape[1], draws, batch)
    sizes = replace(sizes, parameters=sizes.parameters + n_data * model.family.eta_size)
    by_quadrature = model.hidden is not None and model.latent_dim <= 2
    # Measured: a pass of the quadrature holds about so many nodes for each datum.
    nodes = min(PAIRS_PER_PASS, 4 * NODES_PER_PASS * n_data) if by_quadrature else 0
    sizes.check(sizes.estimate(max(ROWS_PER_PASS, nodes)))


def check_any_pairing(benches: Sequence[Bench]) -> None:
    """Refuse estimators of which none applies to any of the models: the table would be empty."""
    if any(bench.applicable for bench in benches):
        return
    refused = [run for bench in benches if not bench.refusal for run in bench.runs]
    reasons = dict.fromkeys(str(run.refusal) for run in refused)
    names = dict.fromkeys(run.estimator.name for run in refused)
    got = f"{', '.join(names)} ({'; '.join(reasons)})"
    raise bad_value("estimators", "at least one that makes sense here", got, "'elbo-lab list' has them all")


# -- repeats and the test of bias ------------------------------------------------------------------


def repeat(
    workers: Workers, benches: Sequence[Bench], draws: int, repeats: int, seed: int, progress: Progress | None
) -> None:
    """Fill the moments of every run that has draws."""
    measured = [bench for bench in reversed(benches) if bench.measured]
    works = [_repeats(bench, bench.measured, draws, repeats, seed, "repeats") for bench in measured]
    totals = run_repeats(workers, works, named(progress, "repeats"))
    for bench, moments_of_bench in zip(measured, totals, strict=True):
        for run, moments in zip(bench.measured, moments_of_bench, strict=True):
            run.moments = run.shared_moments = moments


def _repeats(bench: Bench, runs: Sequence[Run], draws: int, repeats: int, seed: int, purpose: str) -> Repeats:
    return Repeats(
        bench.scene,
        [run.estimator for run in runs],
        draws,
        repeats,
        seed,
        purpose,
        [run.state for run in runs],
        [bench.answers[run.target].value for run in runs],
        [_blocks(bench.scene, run.estimator) for run in runs],
    )


def _blocks(scene: Scene, estimator: Estimator) -> tuple[slice, ...]:
    """Return the blocks of parameters of a gradient; none if there is only one, or for a value."""
    layout = _layout(scene, estimator)
    return layout.blocks if layout is not None and len(layout.blocks) > 1 else ()


def check_bias(workers: Workers, benches: Sequence[Bench], draws: int, repeats: int, seed: int) -> float:
    """Test every run; return the rate of false alarms of one look at one row.

    An estimator that is declared unbiased and exceeds its limit is looked at once more, with other noise and
    ten times as many repeats, and only that look counts. A false alarm needs both, so that the rate of each
    is the root of what a row may have, an equal share of `FALSE_ALARM` of the table.
    """
    claims = [(bench, run) for bench in benches for run in bench.measured if run.estimator.unbiased]
    rate = (FALSE_ALARM / max(1, len(claims))) ** (1 / LOOKS)
    for bench in benches:
        _test_bias(bench, bench.measured, draws, rate)
    suspects = [(bench, run, RERUN_FACTOR * repeats) for bench, run in claims if run.fails]
    rerun(workers, suspects, draws, seed, "rerun", rate)
    return rate


def rerun(
    workers: Workers,
    works: Sequence[tuple[Bench, Run, int]],
    draws: int,
    seed: int,
    purpose: str,
    rate: float,
    progress: Progress | None = None,
) -> None:
    """Repeat runs with other noise, each as often as told, and test them again: only that test counts.

    Parameters
    ----------
    workers : Workers
    works : list of (Bench, Run, int)
        What to repeat, and how often.
    draws, seed : int
    purpose : str
        Part of the seed's key.
    rate : float
        Of false alarms, of one look at one row.
    progress : callable, optional
    """
    repeats = [_repeats(bench, [run], draws, count, seed, purpose) for bench, run, count in works]
    found = run_repeats(workers, repeats, named(progress, purpose))
    for (bench, run, _), (moments,) in zip(works, found, strict=True):
        run.moments = moments
        _test_bias(bench, [run], draws, rate)


def _test_bias(bench: Bench, runs: Sequence[Run], draws: int, rate: float) -> None:
    """Compare the mean of each run with the exact answer, at this rate of false alarms."""
    missed = {}
    for run in runs:
        n_draws = run.moments.count * draws
        # Only an ELBO is a mean over draws; what else there is joins all that enter one estimate.
        bound_draws = None if run.target.endswith("elbo") else parse(run.target)[1] or draws
        key = n_draws, bound_draws, run.estimator.draws_from
        if key not in missed:
            missed[key] = _missed(bench.scene, *key)
        share = missed[key].get(run.target, 0.0) / n_draws
        is_value = not is_gradient(run.target)
        run.bias = bias_test(run.moments, bench.answers[run.target], share, is_value, rate)


def _missed(scene: Scene, n_draws: int, bound_draws: int | None, draws_from: str | None) -> dict[str, Floats]:
    """Return {target: variance (P,) of one draw} that `n_draws` draws may miss."""
    if draws_from is None:
        return {}
    if bound_draws is None:
        return missed_variance(scene, n_draws)
    return missed_of_bound(scene, n_draws, bound_draws, draws_from)


# -- times, weights and rows -----------------------------------------------------------------------


def time_calls(benches: Sequence[Bench], draws: int, seed: int) -> None:
    """Fill the seconds of one estimate, one after another in this process, while nothing else runs."""
    for bench in benches:
        for run in bench.measured:
            run.seconds = seconds_per_estimate(bench.scene, run.estimator, draws, seed, run.state)


def weigh(benches: Sequence[Bench], draws: int, seed: int) -> None:
    """Fill the numbers of the importance weights, in this process, which loads ArviZ once."""
    for bench in benches:
        if not bench.measured:
            continue
        chosen = [run.estimator for run in bench.measured]
        weights = weight_numbers(bench.scene, chosen, draws, seed)
        for run, numbers in zip(bench.measured, weights, strict=True):
            run.weights = numbers


def rows_of(bench: Bench, posterior: str, draws: int, repeats: int) -> list[Row]:
    """Return the rows of one model, in the order of its runs."""
    return [_row(bench, run, posterior, draws, repeats) for run in bench.runs]


def _row(bench: Bench, run: Run, posterior: str, draws: int, repeats: int) -> Row:
    scene = None if bench.refusal else bench.scene
    head = row_head(bench.label, scene, posterior, run.estimator, draws, repeats)
    if run.refusal is not None:
        return inapplicable(head, run.refusal)
    head["reference_note"] = bench.shared.get(run.target)
    posterior_or_prior = bench.scene.posterior or bench.scene.model
    head["evaluations"] = run.estimator.evaluations(draws, posterior_or_prior.family)
    answer = bench.answers[run.target]
    if run.is_exact:
        return exact_row(head, answer, run.seconds)
    layout = _layout(bench.scene, run.estimator)
    row = measured_row(head, run.moments, run.bias, answer, run.seconds, run.variance, layout, run.weights)
    return judged(row, run.bias, bench.to_see(run), run.first)


def _layout(scene: Scene, estimator: Estimator) -> Layout | None:
    """Return the names of the coordinates of a gradient, or None for a value."""
    if estimator.target.startswith("grad-theta"):
        return scene.model.layout
    if estimator.target.startswith("grad-phi") and scene.posterior is not None:
        return scene.posterior.layout
    return None
