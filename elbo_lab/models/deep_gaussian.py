"""z ~ N(0, I), x | z ~ N(mean(z), noise), the mean from an MLP: nonlinear factor analysis.

Two observations, two classes:

    fixed:    log N(x; m, sigma^2 I), one noise scale;            r = (x - m) / sigma,
              d/dm = r / sigma,   d/dlog sigma = |r|^2 - D
    learned:  log N(x; m, diag exp(v)), v a function of z;        r = (x - m) exp(-v / 2),
              d/dm = r exp(-v / 2),   d/dv = (r^2 - 1) / 2

(Kingma and Welling 2014, appendix C.2.)

Why the learned log-variance is bounded below: a density, unlike a probability, has no upper limit. A
flexible decoder can put its mean on one datum and let the variance there go to zero, and log p goes to
infinity although nothing is learned; columns that are constant in the data lead to exactly that
(Mattei and Frellsen 2018). So v = floor + softplus(raw - floor) >= floor. The slope is
dv/draw = sigmoid(raw - floor), and far above the floor v is nearly raw.

Helps: for curved data of continuous columns. Fails: by densities without a limit where the variance is
learned, and log p(x) is exact for one or two latents only.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.layout import Entries
from elbo_lab.models.deep import DeepModel, Observation
from elbo_lab.special import LOG_2PI, sigmoid, softplus

# The floor that `for_data` sets, relative to the mean variance of a column.
RELATIVE_FLOOR = 1e-4


class DeepGaussian(DeepModel):
    """Base of the Gaussian decoders."""

    name = "deep-gaussian"
    title = "Gaussian VAE"
    synonyms = ("dlgm", "deep-latent-gaussian-model")
    usual_variant = "learned"
    default_data = "digits:dequantised"
    natural_views = ("dequantised",)
    must_vary = "one"


@dataclass(frozen=True)
class DeepGaussianFixed(DeepGaussian):
    """MLP decoder for the mean, one noise scale for all columns; theta ends in log_sigma."""

    variant = "fixed"
    variants = ("fixed",)
    summary = "z ~ N(0, I), x | z ~ N(MLP(z), sigma^2 I)"

    @property
    def extra_entries(self) -> Entries:
        return (("log_sigma", ()),)

    def observe(self, extra: Floats, outputs: Floats, x: Floats) -> Observation:
        log_sigma = extra[0]
        r = (x - outputs) * np.exp(-log_sigma)
        squares = np.einsum("...d,...d->...", r, r)
        value = -0.5 * squares - self.n_columns * (log_sigma + 0.5 * LOG_2PI)

        def extra_vjp(cotangent: Floats) -> Floats:
            return (cotangent * (squares - self.n_columns)).sum(axis=(-2, -1))[..., None]

        return value, lambda: np.exp(-log_sigma) * r, extra_vjp

    def observe_sample(self, extra: Floats, outputs: Floats, rng: np.random.Generator) -> Floats:
        return outputs + np.exp(extra[0]) * rng.standard_normal(outputs.shape)

    def observe_mean(self, outputs: Floats) -> Floats:
        return outputs

    def output_bias(self, x: Floats) -> Floats:
        return x.mean(axis=0)

    def initial_extra(self, x: Floats) -> Floats:
        return np.array([0.5 * np.log(max(x.var(axis=0).mean(), np.finfo(float).tiny))])


@dataclass(frozen=True)
class DeepGaussianOptimal(DeepGaussianFixed):
    """The same density; a training moves log_sigma in closed form, to the mean squared error.

    See `training.noise_scale`.
    """

    variant = "optimal"
    variants = ("optimal",)
    summary = "z ~ N(0, I), x | z ~ N(MLP(z), sigma^2 I), sigma^2 the mean squared error"
    compared = False


@dataclass(frozen=True)
class DeepGaussianLearned(DeepGaussian):
    """MLP decoder for the mean and a bounded log-variance of every column.

    Parameters
    ----------
    min_log_variance : float
        The floor of v, in log units of the data's squared unit.
    """

    min_log_variance: float = -6.0
    variant = "learned"
    variants = ("learned",)
    summary = "z ~ N(0, I), x | z ~ N(MLP(z), diag exp(bounded MLP(z)))"

    @property
    def n_outputs(self) -> int:
        """Means and log-variances."""
        return 2 * self.n_columns

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:
        mean_variance = max(x.var(axis=0).mean(), np.finfo(float).tiny)
        floor = float(np.log(RELATIVE_FLOOR * mean_variance))
        return replace(super().for_data(x, variant, latent), min_log_variance=floor)

    def split_outputs(self, outputs: Floats) -> tuple[Floats, Floats, Floats]:
        """Return mean, log-variance v and the slope dv/draw, each (..., D)."""
        mean, raw = outputs[..., : self.n_columns], outputs[..., self.n_columns : 2 * self.n_columns]
        above = raw - self.min_log_variance
        return mean, self.min_log_variance + softplus(above), sigmoid(above)

    def log_variance(self, theta: Floats, z: Floats) -> Floats:
        """Return the log-variance v (..., D) of x at z (..., K)."""
        return self.split_outputs(self.decode(theta, z))[1]

    def observe(self, extra: Floats, outputs: Floats, x: Floats) -> Observation:  # noqa: ARG002
        mean, log_variance, slope = self.split_outputs(outputs)
        precision_root = np.exp(-0.5 * log_variance)
        r = (x - mean) * precision_root
        squares = np.einsum("...d,...d->...", r, r)
        value = -0.5 * (squares + log_variance.sum(axis=-1) + self.n_columns * LOG_2PI)

        def slopes() -> Floats:
            by_raw = 0.5 * (r * r - 1.0) * slope
            return np.concatenate([r * precision_root, by_raw], axis=-1)

        return value, slopes, self.no_extra_vjp

    def observe_sample(self, extra: Floats, outputs: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        mean, log_variance, _ = self.split_outputs(outputs)
        return mean + np.exp(0.5 * log_variance) * rng.standard_normal(mean.shape)

    def observe_mean(self, outputs: Floats) -> Floats:
        return self.split_outputs(outputs)[0]

    def output_bias(self, x: Floats) -> Floats:
        """Return column means, and raw log-variances of the columns (at least at the floor)."""
        variance = np.maximum(x.var(axis=0), 2.0 * np.exp(self.min_log_variance))
        return np.concatenate([x.mean(axis=0), np.log(variance)])
