"""Mixture of Student t: what a Gaussian mixture predicts once its parameters are averaged out.

    z ~ Categorical(pi),   x | z = c ~ St(mu_c, Sigma_c, n_c)
    log St = ln Gamma((n + D)/2) - ln Gamma(n/2) - (D/2) log(n pi) - log |L| - ((n + D)/2) log(1 + |y|^2 / n)

with y = L^-1 (x - mu) (Bishop 2006, eq. 2.162; 10.81 for the predictive density). With a diagonal structure
the columns are independent given z, each a t of its own with the n_c of its component.

It is what method variational-bayes of `gaussian-mixture` returns: every use of a fitted model, such as
scores, samples and responsibilities, is then that of the predictive density. Helps: heavy tails where a
component has seen few data. Fails: for n <= 2 it has no variance, for n <= 1 no mean.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.layout import Layout
from elbo_lab.models.gaussian_mixture import GaussianMixture


@dataclass(frozen=True)
class StudentTMixture(GaussianMixture):
    """A mixture of C Student t over D columns; theta is that of a `GaussianMixture` and log n_c."""

    name = "student-t-mixture"
    title = "mixture of Student t"
    synonyms = ()
    summary = "z ~ Categorical(pi), x | z = c ~ St(mu_c, Sigma_c, n_c)"

    @cached_property
    def layout(self) -> Layout:
        shape = (self.n_components, self.n_columns)
        ends = ("log_dof", shape[:1])
        return Layout((("logits", shape[:1]), ("mean", shape), *self.covariance.entries, ends))

    @property
    def closed_form_maximum(self) -> bool:
        return False

    def _squares(self, y: Floats) -> tuple[Floats, int]:
        """Return |y|^2 of each t (N, C, 1), or y^2 where columns have one each (N, C, D); its columns."""
        if self.variant == "diagonal":
            return y**2, 1
        return np.vecdot(y, y)[..., None], self.n_columns

    def likelihood_table(self, theta: Floats, x: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
        """Return log St(x_n; mu_c, Sigma_c, n_c) (N, C) and its pullback from weights (..., N, C).

        With g = (n + D) / (n + |y|^2): the slope in y is that of a Gaussian with weight g, and in log n it is
        (n / 2) [psi((n + D)/2) - psi(n/2) - D/n - log(1 + |y|^2/n) + g |y|^2 / n].
        """
        from scipy.special import betaln, digamma, gammaln  # heavy: loaded on use

        t = self.layout.views(theta)
        y, log_det = self.covariance.whiten(t, x[:, None, :] - t["mean"])
        n = np.exp(t["log_dof"])[:, None]
        squares, size = self._squares(y)
        tails = np.log1p(squares / n)
        # ln Gamma((n + D)/2) - ln Gamma(n/2), without the difference of two numbers near n log n.
        ratio = gammaln(0.5 * size) - betaln(0.5 * n, 0.5 * size)
        constant = ratio - 0.5 * size * np.log(n * np.pi)
        table = (constant - 0.5 * (n + size) * tails).sum(axis=-1) - log_det

        def pullback(weights: Floats) -> Floats:
            g = (n + size) / (n + squares)
            slopes = digamma(0.5 * (n + size)) - digamma(0.5 * n) - size / n - tails + g * squares / n
            by_dof = np.einsum("...nc,nc->...c", weights, (0.5 * n * slopes).sum(axis=-1))
            # In L the slope of -log |L| - g |y|^2 / 2 with g held: that of a Gaussian at sqrt(g) y.
            grads, _ = self.covariance.vjp(t, np.sqrt(g) * y, weights)
            by_mean = self._mean_slope(t, g * y, weights)
            return self.layout.pack({"mean": by_mean, "log_dof": by_dof, **grads}, lead=weights.shape[:-2])

        return table, pullback

    def _mean_slope(self, t: dict[str, Floats], weighted: Floats, weights: Floats) -> Floats:
        """Return the sum of weights L^-T (g y) (..., C, D)."""
        whitener, _ = self.covariance.whitener(t)
        summed = np.einsum("...nc,ncd->...cd", weights, weighted)
        if whitener.ndim == 2:
            return summed * whitener
        return np.einsum("cji,...cj->...ci", whitener, summed)

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        return self._with_dof(super().random_theta(x, rng))

    def initial_theta(self, x: Floats) -> Floats:
        return self._with_dof(super().initial_theta(x))

    def _with_dof(self, theta: Floats) -> Floats:
        """Return theta with ten degrees of freedom in each component."""
        self.layout.view(theta, "log_dof")[...] = np.log(10.0)
        return theta

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        t = self.layout.views(theta)
        shape = (len(z), self.n_columns if self.variant == "diagonal" else 1)
        n = np.exp(t["log_dof"])[z][:, None]
        # A t is a Gaussian over the root of a chi-square per degree of freedom.
        spread = np.sqrt(n / rng.chisquare(np.broadcast_to(n, shape)))
        noise = spread * rng.standard_normal((len(z), self.n_columns))
        return t["mean"][z] + self.covariance.color(t, noise, z)

    def described(self, theta: Floats) -> dict[str, Floats] | None:
        """Return weights, means, degrees of freedom; deviations and covariances, infinite for n <= 2."""
        t = self.layout.views(theta)
        found = super().described(theta) or {}
        n = np.exp(t["log_dof"])
        factor = np.where(n > 2, n / np.where(n > 2, n - 2, 1.0), np.inf)
        return found | {
            "standard_deviations": found["standard_deviations"] * np.sqrt(factor)[:, None],
            "covariances": found["covariances"] * factor[:, None, None],
            "degrees_of_freedom": n,
        }
