"""The prior of probabilistic PCA and factor analysis: Gaussian loadings, inverse-gamma noise.

    W_d | v_d ~ N(0, (v_d / lambda) I_K),      v_d ~ InvGamma(a, b_d),      b flat

with v_d the noise variance of column d, one for all columns in PPCA. The loadings are measured in units of
the noise, which makes the prior conjugate for the M-step: given q(z), each row of W is a ridge regression
with penalty lambda, whatever v_d is, and v_d then has a formula. lambda is worth as many data whose value at
any code is the mean; a and b are 2 a data of squared deviation b / a each. A noise variance cannot go to 0
with b > 0, so that there is no Heywood case (Martin and McDonald 1975 put a prior on it for that reason).

The prior depends on W through its squares alone, so that a rotation of the latents changes nothing, and on
factor analysis through squares over noise variances: `canonical` keeps the density.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value
from elbo_lab.models import Model
from elbo_lab.models.linear_gaussian import LinearGaussian
from elbo_lab.priors.base import Numbers, Prior, several, single
from elbo_lab.special import LOG_2PI

LOADINGS, SHAPE, RATE = 0.01, 1.0, 0.02


@dataclass(frozen=True)
class LinearGaussianPrior(Prior):
    """W_d | v_d ~ N(0, (v_d / loadings) I), v_d ~ InvGamma(shape, rate).

    Parameters
    ----------
    loadings : float
        lambda, the precision of a loading in units of the noise.
    shape : float
        a.
    rate : sequence of float
        b in the data's unit squared: one number, or one for each column of a factor analysis.
    """

    loadings: float
    shape: float
    rate: Sequence[float]
    summary = "W_d | v_d ~ N(0, v_d / lambda), v_d ~ InvGamma"

    def __post_init__(self) -> None:
        object.__setattr__(self, "loadings", single("loadings", self.loadings, 0.0))
        object.__setattr__(self, "shape", single("shape", self.shape, -np.finfo(float).max))
        object.__setattr__(self, "rate", several("rate", self.rate, 0.0))

    @classmethod
    def for_data(cls, model: Model, x: Floats, given: Numbers) -> Self:
        variance = x.var(axis=0)
        shared = cast(LinearGaussian, model).shared_noise
        rate = RATE * (variance.mean() if shared else variance)
        prior = cls(**(Numbers(loadings=LOADINGS, shape=SHAPE, rate=rate) | given))
        prior.check_model(model)
        return prior

    @classmethod
    def flat_for(cls, model: Model) -> Self:
        return cls(0.0, -1.0 - 0.5 * cls._per_noise(cast(LinearGaussian, model)), (0.0,))

    @staticmethod
    def _per_noise(model: LinearGaussian) -> int:
        """Return the loadings whose unit is one noise variance."""
        return model.n_latent * (model.n_columns if model.shared_noise else 1)

    def check_model(self, model: Model) -> None:
        model = cast(LinearGaussian, model)
        sizes = {1} if model.shared_noise else {1, model.n_columns}
        if len(self.rate) not in sizes:
            words = " or ".join(map(str, sorted(sizes)))
            raise bad_value("prior rate", f"{words} numbers for {model.label}", len(self.rate))
        least = -1.0 - 0.5 * self._per_noise(model)
        single("shape", self.shape, least)

    @property
    def proper(self) -> bool:
        """Whether the density of (W, v) can be normalised."""
        return self.loadings > 0 and self.shape > 0 and min(self.rate) > 0

    def mode_after(
        self, model: LinearGaussian, n_data: int, cross: Floats, square: Floats, variances: Floats
    ) -> tuple[Floats, Floats]:
        """Return W (D, K) and the noise variances (), (D,) of the exact M-step of MAP.

        Parameters
        ----------
        model : LinearGaussian
        n_data : int
        cross : ndarray (K, D)
            Mean over data of E[z (x - mean)^T].
        square : ndarray (K, K)
            Mean over data of E[z z^T].
        variances : ndarray (D,)
            Of the columns.
        """
        penalty = self.loadings / n_data
        W = np.linalg.solve(square + penalty * np.eye(len(square)), cross).T
        misfit = variances - 2.0 * (W * cross.T).sum(axis=1) + ((W @ square) * W).sum(axis=1)
        # Everything is divided by N: a flat prior then leaves the misfit as it is.
        squares = misfit + penalty * (W**2).sum(axis=1)
        further = (self._per_noise(model) + 2.0 * (self.shape + 1.0)) / n_data
        rate = 2.0 * np.array(self.rate) / n_data
        if model.shared_noise:
            return W, (squares.sum() + rate[0]) / (model.n_columns + further)
        return W, (squares + rate) / (1.0 + further)

    def log_prior(self, model: Model, theta: Floats) -> float:
        """Return the log density over (W, v); b has a constant one, which is left out."""
        model = cast(LinearGaussian, model)
        t = model.layout.views(theta)
        log_sigma, rate = np.ravel(t["log_sigma"]), np.array(self.rate)
        noise = np.exp(2.0 * log_sigma)
        powers = (self._per_noise(model) + 2.0 * (self.shape + 1.0)) * log_sigma
        squares = (t["W"] ** 2).sum(axis=1) / noise
        value = -(powers + rate / noise).sum() - 0.5 * self.loadings * squares.sum()
        if self.proper:
            from scipy.special import gammaln

            of_noise = self.shape * np.log(np.broadcast_to(rate, noise.shape)) - gammaln(self.shape)
            value += of_noise.sum() + 0.5 * t["W"].size * (np.log(self.loadings) - LOG_2PI)
        return float(value)

    def log_prior_grad(self, model: Model, theta: Floats) -> Floats:
        """d/dW = -lambda W / v, d/dlog sigma = lambda |W|^2 / v + 2 b / v - K - 2 (a + 1)."""
        model = cast(LinearGaussian, model)
        t = model.layout.views(theta)
        noise = np.exp(2.0 * t["log_sigma"])
        by_column = self.loadings * (t["W"] ** 2).sum(axis=1)
        squares = by_column.sum() if model.shared_noise else by_column
        rate = self.rate[0] if model.shared_noise else np.array(self.rate)
        further = self._per_noise(model) + 2.0 * (self.shape + 1.0)
        parts = {"W": -self.loadings * t["W"] / noise[..., None], "b": np.zeros(model.n_columns)}
        return model.layout.pack(parts | {"log_sigma": (squares + 2.0 * rate) / noise - further})
