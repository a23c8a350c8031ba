"""Repeat estimators on one scene, on common random numbers, and stream their moments.

The repeats are cut into a fixed number of batches. A batch draws its own noise from a seed that names
the model, the kind of noise and the batch, so that batches can run on any number of workers in any
order; they are merged in their own order. Within a batch the noise comes in passes of bounded size, and
each pass goes through every estimator that takes that noise.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from time import perf_counter
from typing import cast

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import NoiseSpec
from elbo_lab.errors import bad_kind, bad_value
from elbo_lab.estimators import Estimator, Problem
from elbo_lab.models import Model
from elbo_lab.processes import Workers
from elbo_lab.study.cached_likelihood import CachedLikelihood
from elbo_lab.study.moments import Moments
from elbo_lab.study.scene import Scene, read_only, spawn

BATCHES = 40
# Rows (repeats x draws x data) through the decoder at once: few calls, a few megabytes.
ROWS_PER_PASS = 8192


def batch_sizes(repeats: int) -> list[int]:
    """Return the sizes of the batches: at most 40 of at least ten repeats, or ten of at least two."""
    count = max(1, min(BATCHES, max(repeats // 10, min(10, repeats // 2))))
    size, longer = divmod(repeats, count)
    return [size + 1] * longer + [size] * (count - longer)


def estimate_repeats(estimator: Estimator, problem: Problem, noise: Floats, state: Floats) -> Floats:
    """Return the estimates (R, P) for noise (R, *spec.shape), all from the same state."""
    values = np.asarray(_pair(estimator, estimator.estimate(problem, noise, state))[0])
    if values.ndim != 2 or len(values) != len(noise):
        got = f"shape {values.shape} for {len(noise)} repeats"
        remedy = "noise comes as (repeats, *spec.shape): count axes from the end"
        raise bad_value(f"estimator {estimator.name!r}", "one vector per repeat", got, remedy)
    if values.dtype.kind != "f":
        raise bad_kind(f"estimator {estimator.name!r}", "estimates that are floats", f"dtype {values.dtype}")
    return values


def settled_state(scene: Scene, estimator: Estimator, draws: int, seed: int) -> Floats:
    """Return the state of an estimator after its burn-in on this scene: `burn_in` estimates in a row.

    What an estimator has learned is random as well; with the state fixed the repeats are independent, and
    mean and variance are conditional on it.
    """
    problem = scene.problem
    state = _array(estimator, estimator.initial_state(problem))
    if estimator.burn_in:
        spec = _spec(scene, estimator, draws)
        rng = spawn(seed, scene.model.label, estimator.name, "burn-in")
        for _ in range(estimator.burn_in):
            noise = scene.source.draw(spec, rng)
            state = _array(estimator, _pair(estimator, estimator.estimate(problem, noise, state))[1])
    return read_only(state)


def settled_states(scene: Scene, estimators: list[Estimator], draws: int, seed: int) -> list[Floats]:
    """Return the `settled_state` of each estimator."""
    return [settled_state(scene, estimator, draws, seed) for estimator in estimators]


def _array(estimator: Estimator, state: object) -> Floats:
    """Return a state if it is an array, which can be made read-only, or raise TypeError."""
    if not isinstance(state, np.ndarray) or state.dtype.kind not in "fiu":
        got = f"one of {state.dtype}" if isinstance(state, np.ndarray) else type(state).__name__
        remedy = "np.array([0.0]) holds one number"
        raise bad_kind(f"state of estimator {estimator.name!r}", "an array of numbers", got, remedy)
    return state


def _spec(scene: Scene, estimator: Estimator, draws: int) -> NoiseSpec:
    """Return the noise of an estimator on a scene if it is a NoiseSpec, or raise TypeError."""
    spec = estimator.noise_for(scene.problem, draws)
    if not isinstance(spec, NoiseSpec):
        raise bad_kind(f"noise_spec of estimator {estimator.name!r}", "a NoiseSpec", type(spec).__name__)
    return spec


def _pair(estimator: Estimator, returned: object) -> tuple[object, object]:
    """Return what `estimate` returned if it is (estimate, state), or raise TypeError."""
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise bad_kind(f"estimator {estimator.name!r}", "a pair (estimate, state)", type(returned).__name__)
    return returned


def noise_groups(scene: Scene, estimators: list[Estimator], draws: int) -> list[tuple[NoiseSpec, list[int]]]:
    """Return [(spec, [index of each estimator that takes this noise, ...]), ...]."""
    specs = [_spec(scene, estimator, draws) for estimator in estimators]
    order = sorted(range(len(specs)), key=lambda i: (specs[i].kind, specs[i].shape))
    return [(spec, list(group)) for spec, group in groupby(order, key=lambda i: specs[i])]


def _estimates(
    scene: Scene,
    estimators: list[Estimator],
    draws: int,
    repeats: int,
    seed: int,
    key: tuple[int | str, ...],
    states: list[Floats] | None = None,
) -> Iterator[tuple[int, Floats]]:
    """Yield (index of estimator, estimates (R_i, P)) pass by pass until all have `repeats`.

    All repeats of an estimator with a state see the state that it has after its burn-in.
    """
    cached = CachedLikelihood(scene.model)
    problem = scene.problem._replace(model=cast(Model, cached))
    if states is None:
        states = settled_states(scene, estimators, draws, seed)
    per_pass = max(1, ROWS_PER_PASS // (draws * len(scene.x)))
    for spec, members in noise_groups(scene, estimators, draws):
        rng = spawn(seed, scene.model.label, f"{spec.kind} {spec.shape}", *key)
        for start in range(0, repeats, per_pass):
            noise = scene.source.draw(spec, rng, (min(per_pass, repeats - start),))
            noise.flags.writeable = False  # the next estimator sees it as well
            for i in members:
                yield i, estimate_repeats(estimators[i], problem, noise, states[i])
    cached.forget()


@dataclass(frozen=True, eq=False)
class Repeats:
    """What the batches of one scene have in common.

    Attributes
    ----------
    scene : Scene
    estimators : list of Estimator
    draws, repeats, seed : int
        S of an estimate, R estimates of each estimator.
    purpose : str
        Part of the seed's key.
    states : list of ndarray, optional
        From `settled_states`; computed anew in every batch if not given.
    centres : list of ndarray (P_i,), optional
        Exact answers, for the size of single errors; an estimate of another shape is refused.
    blocks : list of tuple of slice, optional
        Blocks of parameters in which errors are followed along them.
    """

    scene: Scene
    estimators: list[Estimator]
    draws: int
    repeats: int
    seed: int
    purpose: str
    states: list[Floats] | None = None
    centres: list[Floats] | None = None
    blocks: list[tuple[slice, ...]] | None = None


def run_batch(
    scene: Scene, estimators: list[Estimator], draws: int, seed: int, purpose: str, batch: int, size: int
) -> list[Moments]:
    """Return one closed batch of `Moments` per estimator.

    Parameters
    ----------
    scene : Scene
    estimators : list of Estimator
    draws : int
        S.
    seed : int
    purpose : str
        Part of the seed's key: another purpose gives other noise.
    batch, size : int
        Number of the batch and its repeats.
    """
    return _batch_of(Repeats(scene, estimators, draws, size, seed, purpose), (batch, size))


def _batch_of(work: Repeats, batch: tuple[int, int]) -> list[Moments]:
    """Return a closed batch of `work`, given by its number and its repeats."""
    scene, estimators, (number, size) = work.scene, work.estimators, batch
    moments = [Moments() for _ in estimators]
    if work.centres is not None:
        blocks: list[tuple[slice, ...]] = work.blocks or [()] * len(estimators)
        moments = [Moments(centre=c, blocks=part) for c, part in zip(work.centres, blocks, strict=True)]
    key = work.purpose, number
    for i, values in _estimates(scene, estimators, work.draws, size, work.seed, key, work.states):
        exact = moments[i].centre
        if exact is not None and values.shape[1:] != exact.shape:
            what = f"estimates of {estimators[i].target} of shape {exact.shape} for {scene.model.label}"
            raise bad_value(f"estimator {estimators[i].name!r}", what, f"shape {values.shape[1:]}")
        moments[i].add(values)
    for of_estimator in moments:
        of_estimator.close_batch()
    return moments


def run_repeats(
    workers: Workers, works: list[Repeats], progress: Callable[[int, int], object] | None = None
) -> list[list[Moments]]:
    """Return the moments of each estimator of each of the works, merged in the order of their batches.

    Parameters
    ----------
    workers : Workers
        They change only the running time.
    works : list of Repeats
        The slowest first.
    progress : callable, optional
        Called as progress(done, total) with numbers of batches.
    """
    groups = [(work, list(enumerate(batch_sizes(work.repeats)))) for work in works]
    totals = [[Moments() for _ in work.estimators] for work in works]
    n_batches, done = sum(len(batches) for _, batches in groups), 0

    def merge(index: int, batches: list[list[Moments]]) -> None:
        nonlocal done
        for batch in batches:
            for total, moments in zip(totals[index], batch, strict=True):
                total.merge(moments)
        done += len(batches)
        if progress is not None:
            progress(done, n_batches)

    workers.run(_batch_of, groups, merge)
    return totals


def run_sample(
    scene: Scene, estimators: list[Estimator], draws: int, repeats: int, seed: int, coordinates: Sequence[int]
) -> list[Floats]:
    """Return single estimates of some coordinates, for clouds and histograms: a list of (R, C)."""
    kept: list[list[Floats]] = [[] for _ in estimators]
    for i, values in _estimates(scene, estimators, draws, repeats, seed, ("sample",)):
        kept[i].append(values[:, coordinates])
    return [np.concatenate(parts) for parts in kept]


SHORT_CALLS, LONG_CALLS = 5, 3
LONG = 0.02
"""Seconds of one call from which on three are enough: there an interruption is a small part."""


def seconds_per_estimate(
    scene: Scene,
    estimator: Estimator,
    draws: int,
    seed: int,
    state: Floats,
    budget: float = 0.001,
) -> float:
    """Return the median seconds of a single call, over `SHORT_CALLS` calls or more, `LONG_CALLS` if long.

    Under load one call in twenty takes a hundred times its own length. A median of three is then wrong in one
    case of a hundred, of five in one of a thousand. The first call, which may compile, does not count.

    Parameters
    ----------
    scene : Scene
    estimator : Estimator
    draws : int
        S.
    seed : int
    state : ndarray
        From `settled_state`.
    budget : float
        Seconds that all timed calls take at least.
    """
    spec = estimator.noise_for(scene.problem, draws)
    noise = scene.source.draw(spec, spawn(seed, "timing"))
    problem, times = scene.problem, list[float]()
    while (
        len(times) <= LONG_CALLS
        or sum(times[1:]) < budget
        or (len(times) <= SHORT_CALLS and min(times[1:]) < LONG)
    ):
        start = perf_counter()
        estimator.estimate(problem, noise, state)
        times.append(perf_counter() - start)
    return float(np.median(times[1:]))
