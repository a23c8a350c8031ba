"""Monte Carlo EM: theta follows the slope of log p(x, z) at draws of the posterior that chains have made.

    E-step   z_n by Hamiltonian Monte Carlo on p(z | x_n, theta), for the rows of a minibatch
    M-step   theta along (1 / (S B)) sum_{s, n} d log p(x_n, z_sn)/d theta,   one step or several

(Wei and Tanner 1990; with HMC, Kingma and Welling 2014, appendix E.) It has no q and no phi. What makes it
right is Fisher's identity,

    d log p(x)/d theta = E_{p(z | x)}[d log p(x, z)/d theta]

so that with exact draws of the posterior the step *is* an unbiased one along log p(x). A chain that is too
short is still near its start, and the step is biased, however many chains there are. Two ways to start:

    persistent   where the chains of the row stood when its minibatch came last; one move a visit suffices
                 while theta moves slowly, but the draws are always somewhat late
    cold         at a draw of the prior, anew at every visit: biased towards the prior, by less for more moves

Several steps along the same draws (`Plan.theta_steps`; five in Kingma and Welling) share the cost of an
E-step. All but the first see draws of the posterior at an earlier theta, as in EM.

The step size of a row's chains follows their acceptance from visit to visit (the goal is 0.9, as in Kingma
and Welling), never within one, so that each E-step leaves the posterior at the present theta invariant.

Helps: no encoder, no gap of q; nothing but the length of the chains stands between it and maximum likelihood.
Fails: the cost of an E-step is L + 1 passes through the decoder for each datum and move; between separate
modes no chain crosses; on large data sets the chains of a row are visited rarely.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.chains import HamiltonianMonteCarlo, MoveNoise, PosteriorTarget
from elbo_lab.chains.posterior import jittered
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import MOST_STEPS, check_count, check_table
from elbo_lab.kinds import check_kinds
from elbo_lab.models import Model
from elbo_lab.training.batch import Vectors
from elbo_lab.training.objectives import Drawn, Gradients, Names, Objective

TRANSITION = HamiltonianMonteCarlo(n_leapfrog=10, acceptance_goal=0.9)
# By how much the logarithm of a step changes per visit, times the error of the acceptance.
GAIN = 0.1


class ChainNoise(NamedTuple):
    """The randomness of the E-step of a block.

    Attributes
    ----------
    moves : tuple of MoveNoise
        One for each move.
    jitter : ndarray (T, B)
        On [0, 1), of the steps.
    start : ndarray or None
        Noise of draws of the prior, for cold chains.
    """

    moves: tuple[MoveNoise, ...]
    jitter: Floats
    start: Floats | None


@dataclass(frozen=True, eq=False)
class MonteCarloEMObjective(Objective):
    """The expected log-joint under draws of the posterior; chains go on where they stood.

    Its value is the mean of log p(x, z) over the draws, which is no bound of log p(x).

    Parameters
    ----------
    model : Model
        With continuous z.
    x : ndarray (N, D)
    probabilities : ndarray (N, D), optional
        As of `VariationalObjective`.
    draws : int
        S, chains of each row.
    moves : int
        T, moves of an E-step.
    transition : HamiltonianMonteCarlo
        Its step is that of the first visit.
    dtype : {float32, float64}
    """

    model: Model
    x: Floats
    probabilities: Floats | None = None
    draws: int = field(default=1, kw_only=True)
    moves: int = field(default=1, kw_only=True)
    transition: HamiltonianMonteCarlo = field(default=TRANSITION, kw_only=True)
    dtype: type = field(default=np.float64, kw_only=True)
    value_key = "log_joint"
    further_keys: ClassVar[Names] = ("acceptance",)
    ascends = False
    name: ClassVar[str] = "persistent"
    persistent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_kinds(type(self), vars(self))
        check_table(self.x, "x")
        if self.probabilities is not None:
            check_table(self.probabilities, "probabilities")
        check_count("draws", self.draws)
        check_count("moves", self.moves, maximum=MOST_STEPS)
        PosteriorTarget(self.model, np.zeros(0), self.x)  # refuses z without a slope

    @property
    def n_rows(self) -> int:
        return len(self.x)

    @cached_property
    def table(self) -> Floats:
        """The data, or the probabilities of a one, (N, D) in the dtype of the training."""
        source = self.x if self.probabilities is None else self.probabilities
        return np.ascontiguousarray(source, self.dtype)

    def initial(self, rng: np.random.Generator) -> Vectors:
        return {"theta": self.model.random_theta(self.x, rng).astype(self.dtype)}

    def _from_prior(self, theta: Floats, noise: Floats) -> Draws:
        return self.model.family.sample(self.model.prior_eta(theta), noise).astype(np.float64, copy=False)

    def initial_memory(self, params: Vectors, rng: np.random.Generator) -> Vectors:
        """Return the steps (N,) of the rows, and the z (N, S, K) of their chains, from the prior."""
        noise = draw_noise(self.model.family.noise_spec(self.draws, self.n_rows), rng)
        z = self._from_prior(params["theta"], noise)
        log_step = np.full(self.n_rows, np.log(self.transition.step))
        return {"log_step": log_step, "z": np.ascontiguousarray(np.swapaxes(z, 0, 1))}

    def blocks(self, rows: Integers) -> list[Integers]:
        _ = self.table  # computed by one thread, before several read it
        return super().blocks(rows)

    def data(self, rows: Integers, rng: np.random.Generator) -> Floats:
        """Return x (B, D) of some rows; bits are drawn anew, where they have probabilities."""
        x = self.table[rows]
        if self.probabilities is not None:
            x = (rng.random(x.shape, dtype=self.dtype) < x).astype(self.dtype)
        return x

    def draw(self, rows: Integers, rng: np.random.Generator) -> Drawn:
        x = self.data(rows, rng)
        S, B, K = self.draws, len(rows), self.model.latent_dim
        moves = tuple(
            MoveNoise(rng.standard_normal((S, B, K)), rng.random((S, B))) for _ in range(self.moves)
        )
        start = None if self.persistent else draw_noise(self.model.family.noise_spec(S, B), rng)
        return x, rows, ChainNoise(moves, rng.random((self.moves, B)), start)

    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:
        """Return the mean log-joint and the acceptance, the M-gradient, and the chains of the block."""
        x, rows, noise = block
        theta, log_step = params["theta"], memory["log_step"][rows]
        target = PosteriorTarget(self.model, theta, x)
        if noise.start is None:
            z = np.swapaxes(memory["z"][rows], 0, 1)
        else:
            z = self._from_prior(theta, noise.start)
        point, step, acceptance = self.transition.start(target, z), np.exp(log_step), np.zeros(len(rows))
        for jitter, of_move in zip(noise.jitter, noise.moves, strict=True):
            point, moved = self.transition.move(target, point, jittered(step, jitter), of_move)
            acceptance += moved.mean(axis=0) / self.moves
        values = np.array([point.log_joint.mean(), acceptance.mean()])
        log_step = log_step + GAIN * (acceptance - self.transition.acceptance_goal)
        kept = {"log_step": log_step, "z": np.swapaxes(point.z, 0, 1)}
        gradients = {"theta": self.m_gradient(theta, x, point.z)} if "theta" in names else {}
        return values, gradients, kept

    def m_gradient(self, theta: Floats, x: Floats, z: Draws) -> Floats:
        """Return d/d theta of the mean of log p(x_n, z_sn) over draws z (S, N, K) of all rows: (P,)."""
        share = np.full(z.shape[:-1], 1.0 / (z.shape[0] * len(x)))
        return self.model.log_joint_vjp(theta, x, z, share)[0]

    def further(self) -> "MStep":
        return MStep(self)

    def joined(self, memory: Vectors, blocks: list[Integers], parts: list[Vectors]) -> Vectors:
        """Return the memory of all rows after a batch: that of the blocks, in their places."""
        for name, whole in memory.items():
            for rows, part in zip(blocks, parts, strict=True):
                whole[rows] = part[name]
        return memory


@dataclass(frozen=True, eq=False)
class MStep(Objective):
    """The expected log-joint under the draws that the memory of an E-step has: no chain moves.

    Parameters
    ----------
    of : MonteCarloEMObjective
    """

    of: MonteCarloEMObjective
    value_key = "log_joint"

    @property
    def n_rows(self) -> int:
        return self.of.n_rows

    def initial(self, rng: np.random.Generator) -> Vectors:
        return self.of.initial(rng)

    def draw(self, rows: Integers, rng: np.random.Generator) -> Drawn:
        return self.of.data(rows, rng), rows

    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:  # noqa: ARG002
        x, rows = block
        z = np.swapaxes(memory["z"][rows], 0, 1)
        value = float(self.of.model.log_joint(params["theta"], x, z).mean())
        return value, {"theta": self.of.m_gradient(params["theta"], x, z)}, memory


@dataclass(frozen=True, eq=False)
class ColdMonteCarloEMObjective(MonteCarloEMObjective):
    """The expected log-joint under draws of chains that begin at the prior, anew in every step.

    The parameters are those of `MonteCarloEMObjective`.
    """

    name = "cold"
    persistent = False


CHAINS: dict[str, type[MonteCarloEMObjective]] = {
    kind.name: kind for kind in (MonteCarloEMObjective, ColdMonteCarloEMObjective)
}
"""The ways to start the chains of an E-step, by name."""
