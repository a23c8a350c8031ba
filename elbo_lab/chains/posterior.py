"""Draws of the posterior of each datum by chains: a warm-up that tunes the step, then draws that keep it.

While the step still changes with the chain's own past, the chain does not leave the posterior invariant. So
h is tuned in the warm-up alone, whose draws are thrown away, by dual averaging (Hoffman and Gelman 2014,
section 3.2): after move t with a share a_t of accepted chains,

    H_t = (1 - 1 / (t + t0)) H_{t-1} + (goal - a_t) / (t + t0)
    log h_t = mu - sqrt(t) / gamma H_t,   log h~_t = t^-kappa log h_t + (1 - t^-kappa) log h~_{t-1}

with h~ at the end. Each datum has a step of its own, from all of its chains. Every move then takes h times a
factor between 0.8 and 1.2: L steps of one fixed h may be half a period of the posterior, and the chain would
swing between two places (Neal 2011, section 5.3.2).

Chains forget their start slowly or not at all, and nothing in a single one shows it. `ChainDraws.r_hat`
compares the chains of a datum with each other: about 1 where they agree, above 1.01 where they do not
(Vehtari et al. 2021). It fails where all of them missed the same mode.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.chains.hmc import HamiltonianMonteCarlo
from elbo_lab.chains.metropolis import P, Transition, draw_move_noise
from elbo_lab.chains.target import PosteriorTarget, Target
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import check_count
from elbo_lab.models import Model
from elbo_lab.threads import single_threaded_blas

# Of dual averaging, as in section 3.2.1 of Hoffman and Gelman (2014).
GAMMA, T0, KAPPA = 0.05, 10, 0.75
# Share of h by which a move may differ.
JITTER = 0.2
DEFAULT_TRANSITION = HamiltonianMonteCarlo(n_leapfrog=10, acceptance_goal=0.8)


@dataclass(frozen=True, eq=False)
class ChainDraws:
    """Draws of the posterior of each datum.

    Attributes
    ----------
    z : ndarray (T, S, N, K)
        T successive draws of S chains.
    acceptance : ndarray (N,)
        Share of moves that were accepted, after the warm-up.
    step : ndarray (N,)
        h of each datum, in units of z.
    """

    z: Floats
    acceptance: Floats
    step: Floats

    def mean_and_std(self) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (N, K) each of all draws of a datum."""
        return self.z.mean(axis=(0, 1)), self.z.std(axis=(0, 1))

    def standard_error(self) -> Floats:
        """Return the standard error (N, K) of the mean, from the S means of independent chains."""
        means = self.z.mean(axis=0)
        check_count("n_chains", len(means), 2)
        return means.std(axis=0, ddof=1) / np.sqrt(len(means))

    def r_hat(self) -> Floats:
        """Return split R-hat (N, K): each chain cut in two, variance of all draws over that within the parts.

            R-hat = sqrt(((T - 1) / T W + B) / W)

        with T draws of a part, B the variance of the means of the parts and W the mean of their variances
        (Vehtari et al. 2021, eqs. 1 to 4, without ranks). At least four draws.
        """
        half = check_count("n_draws", len(self.z), 4) // 2
        parts = np.concatenate([self.z[:half], self.z[-half:]], axis=1)
        within = parts.var(axis=0, ddof=1).mean(axis=0)
        between = parts.mean(axis=0).var(axis=0, ddof=1)
        # A chain that never moved has no variance within: its R-hat is infinite, not an error.
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(np.sqrt((half - 1) / half + between / within), nan=np.inf, posinf=np.inf)


def jittered(step: Floats, uniform: Floats) -> Floats:
    """Return the steps (N,) of one move, each times a factor between 0.8 and 1.2.

    Parameters
    ----------
    step : ndarray (N,)
    uniform : ndarray (N,)
        Noise on [0, 1).
    """
    return step * (1.0 + JITTER * (2.0 * uniform - 1.0))


def warm_up(
    target: Target[P], point: P, transition: Transition, n_moves: int, rng: np.random.Generator
) -> tuple[P, Floats]:
    """Return the point after `n_moves` moves, and the steps (N,) that they have tuned.

    Parameters
    ----------
    target : Target
    point : Point
    transition : Transition
        Its step is where the tuning begins.
    n_moves : int
    rng : numpy.random.Generator
    """
    log_step = log_mean_step = np.full(point.z.shape[-2], np.log(transition.step))
    drift, mean_error = log_step + np.log(10.0), np.zeros(len(log_step))
    for t in range(1, n_moves + 1):
        noise = draw_move_noise(point.z.shape, rng)
        point, moved = transition.move(
            target, point, jittered(np.exp(log_step), rng.random(len(log_step))), noise
        )
        mean_error += (transition.acceptance_goal - moved.mean(axis=0) - mean_error) / (t + T0)
        log_step = drift - np.sqrt(t) / GAMMA * mean_error
        log_mean_step = log_mean_step + t**-KAPPA * (log_step - log_mean_step)
    return point, np.exp(log_mean_step)


def posterior_draws(
    model: Model,
    theta: Floats,
    x: Floats,
    rng: np.random.Generator,
    n_chains: int = 8,
    n_warm_up: int = 200,
    n_draws: int = 200,
    transition: Transition = DEFAULT_TRANSITION,
    start: Draws | None = None,
) -> ChainDraws:
    """Return the ChainDraws of p(z | x_n) for each datum.

    Parameters
    ----------
    model : Model
        With continuous z.
    theta : ndarray (P,)
    x : ndarray (N, D)
    rng : numpy.random.Generator
    n_chains : int
        S per datum.
    n_warm_up : int
        Moves whose draws are thrown away, and which tune the step; 0 keeps that of the transition.
    n_draws : int
        T per chain, one after each move.
    transition : RandomWalk or HamiltonianMonteCarlo
    start : ndarray (S, N, K), optional
        Where chains begin; draws of the prior if not given.

    Raises
    ------
    NotApplicable
        If z is a category or a row of bits: their posterior is a plain sum.
    """
    x, theta = model.check_support(x), model.check_theta(theta)
    check_count("n_warm_up", n_warm_up, 0)
    check_count("n_draws", n_draws)
    target = PosteriorTarget(model, theta, x)
    if start is None:
        spec = model.family.noise_spec(check_count("n_chains", n_chains), len(x))
        start = model.family.sample(model.prior_eta(theta), draw_noise(spec, rng))
    acceptance, draws = np.zeros(len(x)), []
    with single_threaded_blas():
        point, step = warm_up(target, transition.start(target, start), transition, n_warm_up, rng)
        for _ in range(n_draws):
            noise = draw_move_noise(point.z.shape, rng)
            point, moved = transition.move(target, point, jittered(step, rng.random(len(step))), noise)
            acceptance += moved.mean(axis=0) / n_draws
            draws.append(point.z)
    return ChainDraws(np.array(draws), acceptance, step)
