"""Which of several runs is the answer, and the warnings that go with it."""

from collections.abc import Iterator, Sequence
from typing import Any

from elbo_lab.arrays import Floats
from elbo_lab.em.base import RISING, EMRun, ModelProblem
from elbo_lab.em.fit import DEFAULT_FLOOR, Fit, named
from elbo_lab.em.problems import problem_of
from elbo_lab.models import Model

Runs = Sequence[EMRun[Floats, Any]]


def judge(problem: ModelProblem[Any], runs: Runs, columns: Sequence[str] | None = None) -> Fit:
    """Return the Fit of the best of several runs as they are.

    Runs at the floor are set aside where they are spikes, as in a mixture, while there is another. A factor
    analysis may have its maximum there, and nothing is set aside.

    Parameters
    ----------
    problem : ModelProblem
    runs : sequence of EMRun
    columns : sequence of str, optional
        Names for the warnings.
    """
    floors = [problem.at_floor(run.theta) for run in runs]
    sound = [i for i, floor in enumerate(floors) if not (floor and problem.spikes_at_floor)]
    best = max(sound or range(len(runs)), key=lambda i: runs[i].value)
    run = runs[best]
    warnings = [
        *_about_convergence(problem, runs, run),
        *_about_floor(problem, floors[best], len(runs), bool(sound), columns),
        *_about_set_aside(runs, floors, sound),
        *problem.warnings(run.theta, columns),
        *problem.model.cautions,
    ]
    return Fit(
        problem.model,
        problem.canonical(run.theta),
        [dict(row) for row in run.history],
        run.converged,
        run.stopped,
        tuple(warnings),
        floors[best],
        problem.floor,
    )


def vanished(model: Model, x: Floats, theta: Floats, columns: Sequence[str] | None = None) -> Iterator[str]:
    """Yield a warning if variances at theta are below EM's default floor.

    Parameters
    ----------
    model : Model
    x : ndarray (N, D)
    theta : ndarray (P,)
        From a method that keeps no floor.
    columns : sequence of str, optional

    Yields
    ------
    str
        One warning for a model with such variances; none for models other than EM's.
    """
    kind = problem_of(model)
    if kind is None:
        return
    least = DEFAULT_FLOOR * kind.mean_variance(model, x)
    problem = kind(model, x, least)
    low = problem.at_floor(theta)
    if low:
        where = f"below {least:.3g}, a millionth of the mean column variance"
        yield problem.low_variance(low, where, "; method em keeps a floor", columns)


def _about_convergence(problem: ModelProblem[Any], runs: Runs, run: EMRun[Floats, Any]) -> Iterator[str]:
    if run.finished and not run.converged:
        rise = run.value - run.history[-2][run.rising]
        yield (
            f"EM has not converged: after {run.n_iterations} iterations (the limit) the {RISING[run.rising]} "
            f"still rose by {rise / problem.n_data:.2g} nats per datum; raise the "
            "limit (--epochs; max_iterations of fit_em)"
        )
    others = sum(other.finished and not other.converged for other in runs if other is not run)
    if others:
        yield f"{others} of {len(runs)} runs reached the iteration limit before they converged"


def _about_floor(
    problem: ModelProblem[Any],
    at_floor: Sequence[int],
    n_runs: int,
    some_sound: bool,
    columns: Sequence[str] | None,
) -> Iterator[str]:
    if not at_floor:
        return
    consequence = ", and the estimate hangs on the floor"
    if not some_sound:
        those = "the only run" if n_runs == 1 else f"all {n_runs} runs"
        consequence += f"; so it is in {those}, and the best of them is kept"
    where = f"at the floor {problem.floor:.3g} of the variances"
    yield problem.low_variance(at_floor, where, consequence, columns)


def _about_set_aside(runs: Runs, floors: Sequence[Sequence[int]], sound: Sequence[int]) -> Iterator[str]:
    aside = [i for i in range(len(runs)) if i not in sound]
    if sound and aside:
        highest = max(aside, key=lambda i: runs[i].value)
        where = f"{named('component', floors[highest])} there"
        yield (
            f"{len(aside)} of {len(runs)} runs ended at the floor and were set aside (the highest has "
            f"{RISING[runs[highest].rising]} {runs[highest].value:.3f}, and {where})"
        )
