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

import numpy as np

from elbo_lab.em.base import EMProblem
from elbo_lab.em.scatter import SCATTERS, is_at_floor
from elbo_lab.em.steps import CompiledSteps, Responsibilities, Steps
from elbo_lab.em.sums import weighted_sums
from elbo_lab.kernels import kernels_in_use
from elbo_lab.special import log_softmax

# Total responsibility below which averages lose their digits to underflow.
DEAD = 1e-200


class MixtureEM(EMProblem):
    """EM for a `GaussianMixture`.

    Parameters
    ----------
    model : GaussianMixture
    x : ndarray (N, D)
    floor : float
        Least eigenvalue of every covariance, in the data's unit squared.
    threads : int
        Changes nothing but the time.
    """

    def __init__(self, model, x, floor, threads=1):
        self.model, self.x, self.floor, self.threads = model, np.ascontiguousarray(x), floor, threads
        self.n_data = len(x)
        self.scatter = SCATTERS[model.variant]
        # By the road of the kernels: each is made when it is first taken.
        self._steps = {}
        self._last, self._last_read = None, None

    def prepared(self, theta):
        """Return theta with the eigenvalues of its covariances clipped at the floor."""
        t = self.model.layout.views(np.array(theta, dtype=np.float64))
        variance = self.model.covariance.natural(t)
        if (self.scatter.smallest(variance) >= self.floor).all():
            return np.array(theta, dtype=np.float64)
        stored = self.model.covariance.stored(self.scatter.clip(variance, self.floor))
        return self.model.layout.pack({"logits": t["logits"], "mean": t["mean"], **stored})

    def e_step(self, theta):
        return self._passed(theta)[0]

    def log_likelihood(self, theta):
        return self._passed(theta)[1]

    def _passed(self, theta):
        """Return (q, log-likelihood) at theta; the last answer is kept."""
        key = kernels_in_use(), theta.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = (key, *self._pass(theta))
        return self._last[1:]

    def _read(self, theta):
        """Return the Densities at theta; the last answer is kept."""
        key = kernels_in_use(), theta.tobytes()
        if self._last_read is None or self._last_read[0] != key:
            self._last_read = key, self.steps.densities(np.array(theta))
        return self._last_read[1]

    @property
    def steps(self):
        """The formulas without data, by whichever road the switch of the kernels says."""
        road = kernels_in_use()
        if road not in self._steps:
            compiled = road == "numba" and self.model.variant == "full"
            kind = CompiledSteps if compiled else Steps
            self._steps[road] = kind(self.model, self.n_data, self.floor)
        return self._steps[road]

    def _pass(self, theta):
        at = self._read(theta)
        sums = weighted_sums(self.x, at.mean, at.whitener, at.scale, self.scatter, self.threads)
        *statistics, log_likelihood = sums
        return self._statistics(theta, at.mean, *statistics), log_likelihood

    def _statistics(self, theta, mean, total, shift, moment, entropy):
        """Move sums about the present means to moments about the weighted ones."""
        by_component = (-1,) + (1,) * (moment.ndim - 1)
        dead = total <= DEAD
        some_dead, count = dead.any(), total
        if some_dead:
            count, shift = np.where(dead, 1.0, total), np.where(dead[:, None], 0.0, shift)
        step = shift / count[:, None]
        moment = moment / count.reshape(by_component) - self.scatter.outer(step)
        if some_dead:
            present = self.model.covariance.natural(self.model.layout.views(theta))
            moment = np.where(dead.reshape(by_component), present, moment)
        return Responsibilities(total, mean + step, moment, entropy)

    def m_step(self, q):
        return self.steps.best_theta(q)

    def elbo(self, theta, q):
        return self.steps.expected_log_joint(self._read(theta), q) + q.entropy

    def at_floor(self, theta):
        """Return the components with an eigenvalue at the floor."""
        variance = self.model.covariance.natural(self.model.layout.views(theta))
        return tuple(np.flatnonzero(is_at_floor(self.scatter, variance, self.floor)).tolist())

    def dead(self, theta):
        """Return the components that hold less than a millionth of a datum."""
        weights = np.exp(log_softmax(self.model.layout.views(theta)["logits"], axis=-1))
        return tuple(np.flatnonzero(weights * self.n_data < 1e-6).tolist())
