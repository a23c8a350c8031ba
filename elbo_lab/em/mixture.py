"""EM for the Gaussian mixture: spherical, diagonal and full covariances.

    E-step:  r_nc = pi_c N(x_n; mu_c, Sigma_c) / sum_j pi_j N(x_n; mu_j, Sigma_j)
    M-step:  R_c = sum_n r_nc,   pi_c = R_c / N,   mu_c = (1/R_c) sum_n r_nc x_n,
             Sigma_c = (1/R_c) sum_n r_nc (x_n - mu_c)(x_n - mu_c)^T, eigenvalues clipped at the floor

(Bishop 2006, eqs. 9.23 to 9.27.) Responsibilities are formed from logarithms: far from all components every
density underflows, and their ratios do not. The M-step and the ELBO need only R_c, the weighted means, the
second moments, and the entropy of q; so q is these statistics, one pass over blocks of rows serves an
iteration, and memory does not grow with N C D. Second moments are taken about the present means and moved
to the new ones: the two meet as EM converges, so that nothing cancels where the digits matter.

**The unbounded density.** A component on one datum can shrink for ever (Bishop 2006, section 9.2.1), hence
the floor; `scatter` proves that clipping keeps every M-step an exact maximum. **A dead component**, whose
total responsibility underflows, keeps its mean and covariance and has weight 1e-300: no average of nothing
is taken, and the likelihood does not feel it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats
from elbo_lab.em.base import ModelProblem
from elbo_lab.em.fit import named
from elbo_lab.em.scatter import SCATTERS, is_at_floor
from elbo_lab.em.starts import mixture_start
from elbo_lab.em.sums import Densities, weighted_sums
from elbo_lab.held import Held
from elbo_lab.kernels import kernels_in_use
from elbo_lab.models import GaussianMixture
from elbo_lab.priors import MixturePrior
from elbo_lab.special import LOG_2PI, log_softmax

# Total responsibility below which averages lose their digits to underflow.
DEAD = 1e-200
# The weight of a component without data: its logarithm is finite, and the likelihood does not feel it.
LEAST_WEIGHT = 1e-300


@dataclass(frozen=True, eq=False)
class Responsibilities:
    """The statistics of q(z | x) that determine the ELBO.

    Attributes
    ----------
    total : ndarray (C,)
        R_c.
    mean : ndarray (C, D)
    moment : ndarray (C,), (C, D) or (C, D, D)
        Weighted second moments about `mean`, in the shape of the covariance.
    entropy : float
        -sum_nc r_nc log r_nc, in nats.
    """

    total: Floats
    mean: Floats
    moment: Floats
    entropy: float


Pass = tuple[Densities, Responsibilities, float]
"""What one pass over the data gives: densities, q and log-likelihood at a theta."""


def _held_covariances(model: GaussianMixture, held: Held) -> NDArray[np.bool_]:
    """Return which numbers of the covariances are held (C, n)."""
    masks = [held.mask(name).reshape(model.n_components, -1) for name, _ in model.covariance.entries]
    return np.concatenate(masks, axis=1)


class MixtureEM(ModelProblem[Responsibilities]):
    """EM for a `GaussianMixture`.

    Parameters
    ----------
    model : GaussianMixture
    x : ndarray (N, D)
    floor : float
        Least eigenvalue of every covariance, in the data's unit squared.
    threads : int
        Changes nothing but the time.
    prior : MixturePrior, optional
        For MAP.
    """

    restarts = 10
    spikes_at_floor = True
    model: GaussianMixture
    prior: MixturePrior | None

    def __init__(
        self,
        model: GaussianMixture,
        x: Floats,
        floor: float,
        threads: int = 1,
        prior: MixturePrior | None = None,
    ) -> None:
        self.model, self.x, self.floor, self.threads = model, np.ascontiguousarray(x), floor, threads
        self.prior = prior
        self.n_data = len(x)
        self.scatter = SCATTERS[model.variant]
        self._last: tuple[tuple[str, bytes], Pass] | None = None

    @classmethod
    def cannot_hold(cls, model: GaussianMixture, held: Held) -> str:
        """Return '' where blocks are held whole: those that remain then keep their formulas."""
        blocks = {
            "the logits (one alone only shifts the others)": held.mask("logits")[None],
            "the mean of a component": held.mask("mean"),
            "the covariance of a component": _held_covariances(model, held),
        }
        for words, mask in blocks.items():
            if (mask.any(axis=-1) != mask.all(axis=-1)).any():
                return f"em holds {words} whole or not at all"
        return ""

    def start(self, x: Floats, run: int, rng: np.random.Generator) -> Floats:  # noqa: ARG002 - all are random
        return mixture_start(self.model, x, rng, self.floor)

    def prepared(self, theta: Floats) -> Floats:
        """Return theta with the eigenvalues of its covariances clipped at the floor."""
        t = self.model.layout.views(np.array(theta, dtype=np.float64))
        variance = self.model.covariance.natural(t)
        if (self.scatter.smallest(variance) >= self.floor).all():
            return self._put(np.array(theta, dtype=np.float64))
        stored = self.model.covariance.stored(self.scatter.clip(variance, self.floor))
        return self._put(self.model.layout.pack({"logits": t["logits"], "mean": t["mean"], **stored}))

    def _put(self, theta: Floats) -> Floats:
        return theta if self.held is None else self.held.put(theta)

    def e_step(self, theta: Floats) -> Responsibilities:
        return self._passed(theta)[1]

    def log_likelihood(self, theta: Floats) -> float:
        return self._passed(theta)[2]

    def _passed(self, theta: Floats) -> Pass:
        """Return (densities, q, log-likelihood) at theta; the last answer is kept."""
        key = kernels_in_use(), theta.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = key, self._pass(theta)
        return self._last[1]

    def densities(self, theta: Floats) -> Densities:
        """Return the Densities at theta (P,)."""
        # A copy: theta may change in place, and the means are views of it.
        t = self.model.layout.views(np.array(theta))
        whitener, log_det = self.model.covariance.whitener(t)
        scale = log_softmax(t["logits"], axis=-1) - log_det - 0.5 * self.model.n_columns * LOG_2PI
        return Densities(t["mean"], whitener, scale)

    def _pass(self, theta: Floats) -> Pass:
        densities = self.densities(theta)
        total, shift, moment, entropy, log_likelihood = weighted_sums(
            self.x, densities, self.scatter, self.threads
        )
        q = self._statistics(theta, densities.mean, total, shift, moment, entropy)
        return densities, q, log_likelihood

    def _statistics(
        self, theta: Floats, mean: Floats, total: Floats, shift: Floats, moment: Floats, entropy: float
    ) -> Responsibilities:
        """Move sums about the present means to moments about the weighted ones."""
        by_component = (-1,) + (1,) * (moment.ndim - 1)
        dead = total <= DEAD
        count = np.where(dead, 1.0, total)
        step = np.where(dead, 0.0, shift.T).T / count[:, None]
        moved = moment / count.reshape(by_component) - self.scatter.outer(step)
        moment = np.where(dead.reshape(by_component), self.present(theta), moved)
        return Responsibilities(total, mean + step, moment, entropy)

    def present(self, theta: Floats) -> Floats:
        """Return the covariances at theta, which components without data keep (C, ...)."""
        return self.model.covariance.natural(self.model.layout.views(theta))

    def m_step(self, q: Responsibilities) -> Floats:
        """Return the theta (P,) that maximises the ELBO at q: weights, means, clipped moments.

        With a prior ELBO + log p(theta), by the modes of its conjugate laws; clipping is exact there too,
        since the Sigma of a component maximises the same function of other moments.
        """
        weights: Floats = q.total / self.n_data
        mean, variance = q.mean, q.moment
        if self.prior is not None:
            # A flat prior has nothing to say of a component without data: its mean and moments are kept.
            total = np.maximum(q.total, DEAD)
            weights, mean, variance = self.prior.mode_after(self.model, total, mean, variance)
        if self.held is not None and self.held.mask("mean").any():
            # About a mean that is held, and not about the weighted one.
            mean = np.where(self.held.mask("mean"), self.held.block("mean"), mean)
            variance = variance + self.scatter.outer(q.mean - mean)
        variance = self.scatter.clip(variance, self.floor)
        weights = np.maximum(weights, LEAST_WEIGHT)
        stored = self.model.covariance.stored(variance)
        return self._put(self.model.layout.pack({"logits": np.log(weights), "mean": mean, **stored}))

    def elbo(self, theta: Floats, q: Responsibilities) -> float:
        """sum_c R_c [log pi_c - (D log 2 pi + log |Sigma_c| + tr Sigma_c^-1 S_c(mu_c)) / 2] + H(q)."""
        # The likelihood at theta is wanted as well: it takes the same pass.
        mean, whitener, scale = self._passed(theta)[0]
        misfit = self.scatter.misfit(whitener, q.moment + self.scatter.outer(q.mean - mean))
        return float(q.total @ (scale - 0.5 * misfit)) + q.entropy

    def at_floor(self, theta: Floats) -> tuple[int, ...]:
        """Return the components with an eigenvalue at the floor."""
        variance = self.model.covariance.natural(self.model.layout.views(theta))
        low = is_at_floor(self.scatter, variance, self.floor)
        if self.held is not None:
            low = low & ~_held_covariances(self.model, self.held).any(axis=-1)
        return tuple(np.flatnonzero(low).tolist())

    def low_variance(
        self,
        low: Sequence[int],
        where: str,
        consequence: str,
        columns: Sequence[str] | None,  # noqa: ARG002 - components have numbers
    ) -> str:
        return (
            f"{named('component', low)} {where}: the density is unbounded there{consequence}; use fewer "
            "components or a simpler covariance"
        )

    def warnings(self, theta: Floats, columns: Sequence[str] | None) -> Iterator[str]:  # noqa: ARG002
        """Yield the components that are empty."""
        dead = self.dead(theta)
        if dead:
            yield f"{named('component', dead)} empty (less than a millionth of a datum); use fewer components"

    def dead(self, theta: Floats) -> tuple[int, ...]:
        """Return the components that hold less than a millionth of a datum."""
        weights = np.exp(log_softmax(self.model.layout.views(theta)["logits"], axis=-1))
        return tuple(np.flatnonzero(weights * self.n_data < 1e-6).tolist())
