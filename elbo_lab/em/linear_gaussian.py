"""EM for probabilistic PCA and factor analysis, on sufficient statistics.

    x | z ~ N(W z + b, Psi),  z ~ N(0, I_K);   q(z | x) = N(beta (x - mean), Sigma), the same Sigma for all x

    E-step:  Sigma = (I + W^T Psi^-1 W)^-1,   beta = Sigma W^T Psi^-1
    M-step:  W = S beta^T (Sigma + beta S beta^T)^-1,   Psi = diag(S - W beta S), or its mean for PPCA

with S the covariance of the data divided by N (Rubin and Thayer 1982; Bishop 2006, eqs. 12.54 to 12.57 and
12.66 to 12.70; Tipping and Bishop 1999, appendix B). Posterior, bound and likelihood are quadratic in x, so
that the data enter through (N, mean, S) alone: after one pass an iteration costs O(D^2 K), however many
rows there are. The best b is the mean, whatever W and Psi are; it is set there once.

Parameters may be held: entries of W move to the other side of its regressions, noise variances and b are
what they are, and nothing else changes.

The rows of W are regressions on z and do not depend on Psi; given W, every noise variance v has its own
problem log v + s / v over v >= floor, whose solution is max(s, floor): clipping is exact here too (see
`scatter`). A factor analysis may have its maximum at a noise variance of zero (a Heywood case: a column that
the factors explain whole). That is a property of the data and not of a bad start, so that it is kept and
reported. EM comes to it only as 1 / iteration: with W held, the step of a noise variance v is 2 v^2 / N times
the slope of log p.

PPCA has no local maxima besides the global one (Tipping and Bishop 1999, appendix A), and EM finds it from
a random start; its speed is what a comparison with the closed form shows. Factor analysis starts from
principal directions with half of each column's variance as noise; one start is the default, further ones
are random.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.em.base import ModelProblem
from elbo_lab.em.fit import named
from elbo_lab.em.scatter import AT_FLOOR
from elbo_lab.held import Held
from elbo_lab.models.linear_gaussian import LinearGaussian
from elbo_lab.priors import LinearGaussianPrior
from elbo_lab.special import LOG_2PI

# A column whose noise is less of its variance than this is on the way to a Heywood case, or has no noise.
NEARLY_NONE = 0.005


@dataclass(frozen=True, eq=False)
class LinearPosterior:
    """q(z | x) = N(beta (x - mean), Sigma).

    Attributes
    ----------
    beta : ndarray (K, D)
    sigma : ndarray (K, K)
    """

    beta: Floats
    sigma: Floats


class LinearGaussianEM(ModelProblem[LinearPosterior]):
    """EM for `PPCA` and `FactorAnalysis`.

    Parameters
    ----------
    model : PPCA or FactorAnalysis
    x : ndarray (N, D)
    floor : float
        Least noise variance, in the data's unit squared.
    threads : int
        Not used: after the first pass nothing is as long as the data.
    prior : LinearGaussianPrior, optional
        For MAP.
    """

    model: LinearGaussian
    prior: LinearGaussianPrior | None

    def __init__(
        self,
        model: LinearGaussian,
        x: Floats,
        floor: float,
        threads: int = 1,  # noqa: ARG002
        prior: LinearGaussianPrior | None = None,
    ) -> None:
        self.model, self.floor, self.n_data, self.prior = model, floor, len(x), prior
        self.mean = x.mean(axis=0)
        centred = x - self.mean
        self.covariance = centred.T @ centred / self.n_data

    @classmethod
    def cannot_hold(cls, model: LinearGaussian, held: Held) -> str:  # noqa: ARG003
        """Return '' unless b is held in some columns: the best b of the others then depends on W and Psi."""
        b = held.mask("b")
        return "em holds b in all columns or in none" if b.any() and not b.all() else ""

    def hold(self, held: Held) -> None:
        """Keep parameters; with b held, the moments of the data are those about it."""
        super().hold(held)
        if held.mask("b").all():
            step = self.mean - held.block("b")
            self.mean, self.covariance = held.block("b"), self.covariance + np.outer(step, step)

    def _put(self, theta: Floats) -> Floats:
        return theta if self.held is None else self.held.put(theta)

    def _loadings(self, cross: Floats, square: Floats) -> Floats:
        """Return the regressions W (D, K) on z; entries that are held move to the other side."""
        if self.held is None or not self.held.mask("W").any():
            return np.linalg.solve(square, cross).T
        W, free = self.held.block("W"), ~self.held.mask("W")
        for row, open_, target in zip(W, free, cross.T, strict=True):
            row[open_] = np.linalg.solve(square[np.ix_(open_, open_)], (target - square @ row)[open_])
        return W

    def start(self, x: Floats, run: int, rng: np.random.Generator) -> Floats:
        """Return the model's own start for the first run of a factor analysis, else a random one.

        Random: every loading normal, with half of a column's variance in the noise and half in W W^T on
        average.
        """
        if run == 0 and not self.model.shared_noise:
            return self.model.initial_theta(x)
        half = np.maximum(0.5 * x.var(axis=0), np.finfo(float).tiny)
        shape = (self.model.n_columns, self.model.n_latent)
        W = rng.standard_normal(shape) * np.sqrt(half / self.model.n_latent)[:, None]
        noise = half.mean() if self.model.shared_noise else half
        return self.model.layout.pack({"W": W, "b": x.mean(axis=0), "log_sigma": 0.5 * np.log(noise)})

    def prepared(self, theta: Floats) -> Floats:
        """Return theta with b at the mean of the data and noise variances of at least the floor."""
        t = self.model.layout.views(np.asarray(theta, dtype=np.float64))
        log_sigma = np.maximum(t["log_sigma"], 0.5 * np.log(self.floor))
        return self._put(self.model.layout.pack({"W": t["W"], "b": self.mean, "log_sigma": log_sigma}))

    def _read(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return W (D, K) and the noise variances (D,)."""
        t = self.model.layout.views(theta)
        return t["W"], np.broadcast_to(np.exp(2.0 * t["log_sigma"]), (self.model.n_columns,))

    def e_step(self, theta: Floats) -> LinearPosterior:
        W, noise = self._read(theta)
        by_noise = W / noise[:, None]
        sigma = np.linalg.inv(np.eye(self.model.n_latent) + W.T @ by_noise)
        sigma = 0.5 * (sigma + sigma.T)
        return LinearPosterior(sigma @ by_noise.T, sigma)

    def _moments(self, q: LinearPosterior) -> tuple[Floats, Floats]:
        """Return the means over data of E[z (x - mean)^T] (K, D) and E[z z^T] (K, K)."""
        cross = q.beta @ self.covariance
        return cross, q.sigma + cross @ q.beta.T

    def _misfit(self, W: Floats, cross: Floats, square: Floats) -> Floats:
        """Return the means over data of E[(x - mean - W z)_d^2] (D,)."""
        return np.diag(self.covariance) - 2.0 * (W * cross.T).sum(axis=1) + ((W @ square) * W).sum(axis=1)

    def m_step(self, q: LinearPosterior) -> Floats:
        cross, square = self._moments(q)
        if self.prior is not None:
            variances = np.diag(self.covariance)
            W, noise = self.prior.mode_after(self.model, self.n_data, cross, square, variances)
        else:
            W = self._loadings(cross, square)
            noise = self._misfit(W, cross, square)
            if self.model.shared_noise:
                noise = noise.mean()
        log_sigma = 0.5 * np.log(np.maximum(noise, self.floor))
        return self._put(self.model.layout.pack({"W": W, "b": self.mean, "log_sigma": log_sigma}))

    def elbo(self, theta: Floats, q: LinearPosterior) -> float:
        """E_q log p(x | z) + E_q log p(z) + H(q), where D, K and Sigma are the same for all data."""
        W, noise = self._read(theta)
        cross, square = self._moments(q)
        from_x = (
            self.model.n_columns * LOG_2PI + (np.log(noise) + self._misfit(W, cross, square) / noise).sum()
        )
        # log 2 pi of the prior and of the entropy cancel.
        from_z = np.trace(square) - self.model.n_latent - np.linalg.slogdet(q.sigma)[1]
        return float(-0.5 * self.n_data * (from_x + from_z))

    def log_likelihood(self, theta: Floats) -> float:
        """-(N/2) [D log 2 pi + log |C| + tr(C^-1 S)], with |C| and C^-1 through K x K matrices."""
        W, noise = self._read(theta)
        by_noise = W / noise[:, None]
        root = np.linalg.cholesky(np.eye(self.model.n_latent) + W.T @ by_noise)
        explained = np.linalg.solve(root, by_noise.T)
        trace = (np.diag(self.covariance) / noise).sum() - ((explained @ self.covariance) * explained).sum()
        log_det = 2.0 * np.log(np.diag(root)).sum() + np.log(noise).sum()
        return float(-0.5 * self.n_data * (self.model.n_columns * LOG_2PI + log_det + trace))

    def at_floor(self, theta: Floats) -> tuple[int, ...]:
        """Return the columns whose noise variance is at the floor (all of them for PPCA)."""
        low = self._read(theta)[1] <= self.floor * (1.0 + AT_FLOOR)
        if self.held is not None:
            low = low & ~self.held.mask("log_sigma")
        return tuple(np.flatnonzero(low).tolist())

    def low_variance(
        self,
        low: Sequence[int],
        where: str,
        consequence: str,  # noqa: ARG002 - the maximum is where it is, with a floor or without
        columns: Sequence[str] | None,
    ) -> str:
        if self.model.shared_noise:
            return f"the noise variance is {where}: the latent dimensions explain all; use fewer of them"
        noise = f"the noise of {named('column', _names(low, columns))} {where}"
        remedy = "use fewer latent dimensions or drop the column"
        return f"{noise}: a Heywood case, the factors explain all of it; {remedy}"

    def warnings(self, theta: Floats, columns: Sequence[str] | None) -> Iterator[str]:
        """Yield the columns that may be on the way to a Heywood case."""
        low = self.nearly_without_noise(theta)
        if low and not self.model.shared_noise:
            noise = f"the noise of {named('column', _names(low, columns))}"
            yield (
                f"{noise} below {100 * NEARLY_NONE:g} % of its variance and may go to 0 (a Heywood case), "
                "slowly by EM; use fewer latent dimensions"
            )

    def nearly_without_noise(self, theta: Floats) -> tuple[int, ...]:
        """Return the columns not at the floor whose noise is less than 0.5 % of their variance."""
        low = self._read(theta)[1] < NEARLY_NONE * np.diag(self.covariance)
        return tuple(i for i in np.flatnonzero(low).tolist() if i not in self.at_floor(theta))


def _names(indices: Sequence[int], columns: Sequence[str] | None) -> Sequence[int | str]:
    return indices if columns is None else [columns[i] for i in indices]
