"""MAP beside MLE: the conjugate prior of a Gaussian with unknown mean and variance.

    x_n | mu, s2 ~ N(mu, s2 I_D),    mu | s2 ~ N(m, (s2 / kappa) I_D),    s2 ~ InvGamma(a, b).

One variance s2 for all D columns. The posterior is of the same family, with

    kappa' = kappa + N,   m' = (kappa m + N xbar) / kappa',   a' = a + N D / 2,
    b' = b + (1/2) sum_n |x_n - xbar|^2 + (kappa N / (2 kappa')) |xbar - m|^2

(Murphy 2007, Conjugate Bayesian analysis of the Gaussian distribution, section 6, for D = 1; Bishop 2006,
eq. 2.154 with the precision 1 / s2). The prior is worth kappa data about the mean, and 2 a / D data of total
squared deviation 2 b about the variance.

**The mode.** In the joint density the D coordinates of mu bring s2^(-D/2), so that the joint mode is

    mu = m',   s2 = b' / (a' + 1 + D/2),

with the D/2 that the mode of the marginal InvGamma, b' / (a' + 1), does not have.

**Where MAP and MLE meet.** At the posterior s2 = (b + SS/2 + ...) / (a + 1 + D/2 + N D/2), and the maximum
likelihood is SS / (N D). They meet as N grows, with a difference of order 1/N; and they are equal for every
N in the limit kappa -> 0, b -> 0, a -> -(D/2 + 1), where the density of (mu, s2) is constant: a flat prior,
and MAP is then MLE by definition. No proper prior is there (a > 0 is needed). And flat in (mu, s2) is not
flat in (mu, log s2): a MAP depends on the coordinates in which it is taken, a maximum likelihood does not.
"""

import math
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable, bad_kind, bad_value, check_data, check_vector
from elbo_lab.models import GaussianMLE, Model
from elbo_lab.priors.base import Numbers, Prior
from elbo_lab.special import LOG_2PI


@dataclass(frozen=True, eq=False)
class NormalInverseGamma(Prior):
    """mu | s2 ~ N(mean, s2 / strength I), s2 ~ InvGamma(shape, rate).

    Parameters
    ----------
    mean : array (D,)
        m.
    strength : float
        kappa, the data that the prior mean is worth; 0 in the flat limit.
    shape, rate : float
        a and b. Proper priors have both above 0; the flat limit has shape -(D/2 + 1) and rate 0.
    """

    mean: Floats
    strength: float
    shape: float
    rate: float
    summary = "mu | s2 ~ N(m, s2 / kappa), s2 ~ InvGamma"

    def __post_init__(self) -> None:
        mean = np.atleast_1d(np.asarray(self.mean))
        mean = check_vector("mean", mean, mean.size).astype(np.float64)
        if not np.isfinite(mean).all():
            raise bad_value("mean", "finite numbers", mean)
        object.__setattr__(self, "mean", mean)
        lowest = {"strength": 0.0, "shape": -(0.5 * mean.size + 1.0), "rate": 0.0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
                raise bad_kind(name, "a number", repr(value))
            if not (math.isfinite(value) and value >= least):
                raise bad_value(name, f"a finite number of at least {least:g}", value)
            object.__setattr__(self, name, float(value))

    @classmethod
    def flat(cls, n_columns: int) -> Self:
        """Return the limit of a constant density of (mu, s2): its MAP is the maximum likelihood."""
        return cls(np.zeros(n_columns), 0.0, -(0.5 * n_columns + 1.0), 0.0)

    @classmethod
    def for_data(cls, model: Model, x: Floats, given: Numbers) -> Self:
        """Return the prior at the mean of the data, worth one datum, with a = 1 and b their mean variance."""
        rate = float(x.var(axis=0).mean())
        numbers: dict[str, Any] = {"mean": x.mean(axis=0), "strength": 1.0, "shape": 1.0, "rate": rate}
        prior = cls(**(numbers | given))
        prior.check_model(model)
        return prior

    @classmethod
    def flat_for(cls, model: Model) -> Self:
        return cls.flat(model.n_columns)

    def check_model(self, model: Model) -> None:
        if self.n_columns != model.n_columns:
            raise bad_value("prior mean", f"{model.n_columns} numbers, one a column", self.n_columns)

    @property
    def n_columns(self) -> int:
        """D."""
        return len(self.mean)

    @property
    def proper(self) -> bool:
        """Whether the density can be normalised."""
        return self.strength > 0 and self.shape > 0 and self.rate > 0

    def _check_proper(self) -> None:
        if not self.proper:
            raise NotApplicable(
                f"a Normal-inverse-gamma with strength {self.strength:g}, shape {self.shape:g} and rate "
                f"{self.rate:g} is improper: it has no normalised density (all three must be above 0)"
            )

    def posterior(self, x: Floats) -> "NormalInverseGamma":
        """Return the posterior given x (N, D): the same family."""
        x = check_data(x, n_columns=self.n_columns)
        n_data, centre = len(x), x.mean(axis=0)
        strength = self.strength + n_data
        within = 0.5 * ((x - centre) ** 2).sum()
        between = 0.5 * self.strength * n_data / strength * ((centre - self.mean) ** 2).sum()
        return NormalInverseGamma(
            # One datum after another must not lose digits: a step from the old mean, not a sum.
            self.mean + n_data / strength * (centre - self.mean),
            strength,
            self.shape + 0.5 * x.size,
            self.rate + within + between,
        )

    def log_density(self, mu: ArrayLike, sigma2: ArrayLike) -> Floats:
        """Return log p(mu, s2) in nats, at mu (..., D) and s2 (...)."""
        self._check_proper()
        squares = ((np.asarray(mu, dtype=np.float64) - self.mean) ** 2).sum(axis=-1)
        sigma2 = np.asarray(sigma2, dtype=np.float64)
        log_sigma2, half = np.log(sigma2), 0.5 * self.n_columns
        normal = (
            half * (math.log(self.strength) - LOG_2PI - log_sigma2) - 0.5 * self.strength * squares / sigma2
        )
        gamma = self.shape * math.log(self.rate) - math.lgamma(self.shape)
        return normal + gamma - (self.shape + 1.0) * log_sigma2 - self.rate / sigma2

    def mode(self) -> tuple[Floats, float]:
        """Return (mu (D,), s2) of the greatest joint density: the MAP estimate, if this is a posterior.

        Raises
        ------
        NotApplicable
            If the density has no mode with s2 above zero.
        """
        weight = self.shape + 1.0 + 0.5 * self.n_columns
        if self.rate <= 0 or weight <= 0:
            raise NotApplicable(
                f"a Normal-inverse-gamma with shape {self.shape:g} and rate {self.rate:g} has no mode with a "
                "positive variance; take the posterior given data that vary"
            )
        return self.mean.copy(), self.rate / weight

    def mode_in_log_scale(self) -> tuple[Floats, float]:
        """Return (mu (D,), s2) of the greatest density over (mu, log s2): another point than `mode`.

        The density over log s2 (and that over log s, but for a factor 2) has one power of s2 more, and its
        mode is b / (a + D/2).
        """
        mean, variance = self.mode()
        half = self.shape + 0.5 * self.n_columns
        if half <= 0:
            raise NotApplicable(f"a Normal-inverse-gamma with shape {self.shape:g} has no mode in log s2")
        return mean, variance * (half + 1.0) / half

    # -- over the stored theta of the model --------------------------------------------------------

    def log_prior(self, model: Model, theta: Floats) -> float:
        """Return the log density over (mu, sigma^2), sigma^2 = tau^2 + s^2: what the data know of theta."""
        sigma2, mu = cast(GaussianMLE, model).sigma2(theta), model.layout.view(theta, "mu")
        if self.proper:
            return float(self.log_density(mu, sigma2))
        squares = self.strength * float(((mu - self.mean) ** 2).sum())
        power = self.shape + 1.0 + 0.5 * self.n_columns
        return -power * math.log(sigma2) - (self.rate + 0.5 * squares) / sigma2

    def log_prior_grad(self, model: Model, theta: Floats) -> Floats:
        """d/dmu = -kappa (mu - m) / sigma^2; tau and s share d/dsigma^2 by their squares."""
        t, sigma2 = model.layout.views(theta), cast(GaussianMLE, model).sigma2(theta)
        difference = t["mu"] - self.mean
        squares = self.rate + 0.5 * self.strength * (difference**2).sum()
        by_sigma2 = (squares / sigma2 - (self.shape + 1.0 + 0.5 * self.n_columns)) / sigma2
        scales = {name: by_sigma2 * 2.0 * np.exp(2.0 * t[name]) for name in ("log_tau", "log_s")}
        return model.layout.pack({"mu": -self.strength * difference / sigma2, **scales})

    @classmethod
    def mode_has_formula(cls, model: Model) -> bool:  # noqa: ARG003
        return True

    def posterior_mode(self, model: Model, x: Floats) -> Floats:
        return cast(GaussianMLE, model).theta_of(*self.posterior(x).mode())

    # -- type-II maximum likelihood ----------------------------------------------------------------

    def most_evident_strength(self, x: Floats) -> float:
        """Return the kappa of the greatest evidence p(x), with m, a and b as they are: type-II likelihood.

        With r = kappa / (kappa + N), s = b + SS / 2 and q = N |xbar - m|^2 / 2 the evidence is r^(D/2) /
        (s + q r)^(a + N D / 2) but for constants, and its maximum is at r = D s / (q (2 a + N D - D)). From
        1 on the evidence rises all the way: the data do not tell the mean from m, and kappa is infinite.
        """
        self._check_proper()
        x = check_data(x, n_columns=self.n_columns)
        n_data, centre = len(x), x.mean(axis=0)
        within = self.rate + 0.5 * ((x - centre) ** 2).sum()
        between = 0.5 * n_data * ((centre - self.mean) ** 2).sum()
        share = self.n_columns * within
        whole = between * (2.0 * self.shape + x.size - self.n_columns)
        return math.inf if share >= whole else float(n_data * share / (whole - share))

    def log_evidence(self, x: Floats) -> float:
        """Return log p(x) (one number, all data), with mu and s2 integrated out.

        By Bayes' identity it is the log of prior x likelihood / posterior, at any (mu, s2).
        """
        self._check_proper()
        after = self.posterior(x)
        gammas = math.lgamma(after.shape) - math.lgamma(self.shape)
        rates = self.shape * math.log(self.rate) - after.shape * math.log(after.rate)
        strengths = 0.5 * self.n_columns * math.log(self.strength / after.strength)
        return gammas + rates + strengths - 0.5 * np.size(x) * LOG_2PI
