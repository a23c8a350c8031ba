"""Annealed importance sampling: log p(x) along a path of many easy steps.

A chain starts at z_0 ~ q, and moves under f_beta as beta increases from 0 to 1 (`path`). Its weight

    log w = sum_{t=1..T} (beta_t - beta_{t-1}) (log p(x, z_{t-1}) - log q(z_{t-1})),
    z_t from z_{t-1} by a move that leaves f_{beta_t} invariant,  t = 1..T-1,

is unbiased for p(x), however badly the chains mix (Neal 2001). T = 1 is importance sampling from q. The log
of the mean weight is biased downwards, less so with more steps.

The same chain backwards, from z_{T-1} ~ p(z | x) with beta falling, has E[1 / w] = 1 / p(x): the log of the
mean 1 / w, with its sign turned, is too *high* on average (Grosse, Ghahramani and Adams 2015). Exact draws of
the posterior exist for data that the model itself made: the z that made x is one.

It helps where no q is near the posterior, with as many digits as time allows. It fails if the path goes
through a bottleneck, as between modes that q misses; forward and backward bounds then stay apart, which shows
it.

Step sizes must not depend on the chains that they move: `pilot_steps` tunes them with separate chains.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Draws, Floats
from elbo_lab.chains import SingleFlips, Transition, draw_move_noise
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable, bad_value, check_count
from elbo_lab.evaluation.annealed.path import AnnealedPath, Tempered
from elbo_lab.evaluation.annealed.schedules import check_schedule
from elbo_lab.evaluation.running import RunningWeights
from elbo_lab.threads import single_threaded_blas

# Least number of moves of a pilot; each is followed by a correction of the step.
PILOT_MOVES = 60


@dataclass(frozen=True, eq=False)
class AnnealedRun:
    """Weights of chains.

    Attributes
    ----------
    log_w : ndarray (S, N)
        In nats.
    acceptance : ndarray (T - 1,)
        Share of moves that were accepted, at each temperature in the order of beta.
    """

    log_w: Floats
    acceptance: Floats

    def weights(self) -> RunningWeights:
        """Return the RunningWeights of the S chains: log of the mean, its error, effective sample size."""
        return RunningWeights.of(self.log_w)

    def inverse_weights(self) -> RunningWeights:
        """Return the RunningWeights of 1 / w, what a chain that ran backwards is unbiased for."""
        return RunningWeights.of(-self.log_w)


def _steps(steps: Floats | None, transition: Transition, n_moves: int, n_data: int) -> Floats:
    """Return the steps (T - 1, N) that are given, or those of the transition."""
    if steps is None:
        return np.full((n_moves, n_data), transition.step)
    if np.shape(steps) != (n_moves, n_data):
        raise bad_value("steps", f"shape {(n_moves, n_data)}", f"shape {np.shape(steps)}")
    return steps


def _check_move(path: AnnealedPath, transition: Transition) -> None:
    """Refuse a move along reals for bits, and flips for reals."""
    flips = isinstance(transition, SingleFlips)
    if path.family.discrete and not flips:
        raise NotApplicable(
            f"{path.family.name} z has no slope and no small steps: it moves by SingleFlips()"
        )
    if flips and not path.family.discrete:
        raise NotApplicable(f"SingleFlips moves bits, and {path.family.name} z is continuous")


def _start(path: AnnealedPath, n_chains: int, rng: np.random.Generator) -> Draws:
    noise = draw_noise(path.family.noise_spec(check_count("n_chains", n_chains), len(path.x)), rng)
    return path.family.sample(path.eta, noise)


def _annealed(
    path: AnnealedPath,
    z: Draws,
    betas: Floats,
    transition: Transition,
    rng: np.random.Generator,
    steps: Floats,
) -> AnnealedRun:
    """Return the AnnealedRun of chains from z (S, N, K) that move under each inner beta in turn."""
    _check_move(path, transition)
    changes, acceptance = np.abs(np.diff(betas)), np.zeros(len(steps))
    with single_threaded_blas():
        point = transition.start(Tempered(path, betas[0]), z)
        log_w = changes[0] * (point.log_joint - point.log_q)
        for t, step in enumerate(steps):
            noise = draw_move_noise(z.shape, rng)
            point, moved = transition.move(Tempered(path, betas[t + 1]), point, step, noise)
            acceptance[t] = moved.mean()
            log_w += changes[t + 1] * (point.log_joint - point.log_q)
    return AnnealedRun(log_w, acceptance)


def annealed_weights(
    path: AnnealedPath,
    schedule: ArrayLike,
    transition: Transition,
    rng: np.random.Generator,
    n_chains: int = 16,
    steps: Floats | None = None,
) -> AnnealedRun:
    """Return the AnnealedRun of chains from q to the posterior of each datum.

    Parameters
    ----------
    path : AnnealedPath
        As from `AnnealedPath.from_q`.
    schedule : ndarray (T + 1,)
        `linear_schedule`, `sigmoidal_schedule` or any rising numbers from 0 to 1.
    transition : RandomWalk or HamiltonianMonteCarlo, or SingleFlips for bits
    rng : numpy.random.Generator
    n_chains : int
        S per datum.
    steps : ndarray (T - 1, N), optional
        As from `pilot_steps`; the step of the transition if not given.
    """
    schedule = check_schedule(schedule)
    steps = _steps(steps, transition, len(schedule) - 2, len(path.x))
    return _annealed(path, _start(path, n_chains, rng), schedule, transition, rng, steps)


def reverse_annealed_weights(
    path: AnnealedPath,
    z: Draws,
    schedule: ArrayLike,
    transition: Transition,
    rng: np.random.Generator,
    n_chains: int = 16,
    steps: Floats | None = None,
) -> AnnealedRun:
    """Return the AnnealedRun of chains from exact draws of the posterior back to q.

    Parameters
    ----------
    z : ndarray (N, K)
        One exact draw of p(z | x_n) for each datum, from which all its chains begin.

    The other parameters are those of `annealed_weights`.
    """
    schedule = check_schedule(schedule)
    steps = _steps(steps, transition, len(schedule) - 2, len(path.x))
    start = np.repeat(z[None], check_count("n_chains", n_chains), axis=0)
    run = _annealed(path, start, schedule[::-1], transition, rng, steps[::-1])
    return AnnealedRun(run.log_w, run.acceptance[::-1])


def pilot_steps(
    path: AnnealedPath,
    schedule: ArrayLike,
    transition: Transition,
    rng: np.random.Generator,
    n_chains: int = 8,
) -> Floats:
    """Return steps (T - 1, N) that bring the acceptance near its goal, from separate chains.

    After each move the logarithm of a datum's step changes by its acceptance minus the goal. The arguments
    are those of `annealed_weights`; use another generator than theirs, or what it spawned.
    """
    schedule = check_schedule(schedule)
    _check_move(path, transition)
    log_step = np.full(len(path.x), np.log(transition.step))
    steps = np.zeros((len(schedule) - 2, len(path.x)))
    with single_threaded_blas():
        point = transition.start(Tempered(path, schedule[0]), _start(path, n_chains, rng))
        for t in range(len(steps)):
            target = Tempered(path, schedule[t + 1])
            for _ in range(max(1, PILOT_MOVES // len(steps))):
                noise = draw_move_noise(point.z.shape, rng)
                point, moved = transition.move(target, point, np.exp(log_step), noise)
                log_step = log_step + moved.mean(axis=0) - transition.acceptance_goal
            steps[t] = np.exp(log_step)
    return steps
