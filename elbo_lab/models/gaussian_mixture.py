"""Gaussian mixture: z ~ Categorical(pi), x | z = c ~ N(mu_c, Sigma_c).

The latent takes C values, so the evidence is a sum of C terms (Bishop 2006, eq. 9.12) and evidence,
posterior and gradients are exact by enumeration. log p(x | z) needs only the table of the C component
densities at each datum; a draw of z selects an entry.

theta = (logits of pi, means, covariance parameters); see `covariances` for the three structures. Helps: for
data in clouds, and as a discrete z whose sums are exact. Fails: the likelihood is unbounded: a component
centred on one datum can shrink without limit (Bishop 2006, section 9.2.1); a fit looks for a finite local
maximum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Self

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Categorical
from elbo_lab.errors import bad_value, check_count, unknown_name
from elbo_lab.layout import Layout
from elbo_lab.models.base import LEAST_VARIANCE
from elbo_lab.models.components import Components
from elbo_lab.models.covariances import COVARIANCES, Covariance
from elbo_lab.special import LOG_2PI, softmax


@dataclass(frozen=True)
class GaussianMixture(Components):
    """A mixture of C Gaussians over D columns.

    Parameters
    ----------
    n_columns, n_components : int
        D and C.
    variant : {'spherical', 'diagonal', 'full'}
        Structure of each component's covariance; spherical is the simplest.
    """

    n_columns: int
    n_components: int
    variant: str = "spherical"
    name = "gaussian-mixture"
    title = "mixture of Gaussians"
    synonyms: ClassVar[tuple[str, ...]] = ("gmm", "mog", "gaussian-mixture-model")
    summary = "z ~ Categorical(pi), x | z = c ~ N(mu_c, Sigma_c)"
    variants = tuple(COVARIANCES)
    default_data = "faithful"
    natural_views = ("dequantised",)
    default_latent: ClassVar[int | None] = 2
    usual_variant = "full"

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        check_count("latent", self.n_components)
        if self.variant not in COVARIANCES:
            raise unknown_name("variant", self.variant, list(COVARIANCES))

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:
        n_components = (cls.default_latent or 1) if latent is None else latent
        if n_components > len(x):
            raise bad_value("latent", f"at most as many components as the {len(x)} data", n_components)
        return cls(x.shape[1], n_components, variant or "spherical")

    @cached_property
    def family(self) -> Categorical:
        return Categorical(self.n_components)

    @cached_property
    def covariance(self) -> Covariance:
        """The covariance structure."""
        return COVARIANCES[self.variant](self.n_components, self.n_columns)

    @cached_property
    def layout(self) -> Layout:
        shape = (self.n_components, self.n_columns)
        return Layout((("logits", shape[:1]), ("mean", shape), *self.covariance.entries))

    @property
    def must_vary(self) -> Literal["one", "all"]:
        """A spherical component has one scale for all columns."""
        return "one" if self.variant == "spherical" else "all"

    def prior_eta(self, theta: Floats) -> Floats:
        return self.layout.view(theta, "logits")[None]

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002 - the map is linear
        return self.layout.pack({"logits": grad_eta}, lead=grad_eta.shape[:-1])

    def likelihood_table(self, theta: Floats, x: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
        """Return log N(x_n; mu_c, Sigma_c) (N, C) and its pullback from weights (..., N, C)."""
        t = self.layout.views(theta)
        y, log_det = self.covariance.whiten(t, x[:, None, :] - t["mean"])
        table = -0.5 * np.vecdot(y, y) - (log_det + 0.5 * self.n_columns * LOG_2PI)

        def pullback(weights: Floats) -> Floats:
            grads, by_mean = self.covariance.vjp(t, y, weights)
            return self.layout.pack({"mean": by_mean, **grads}, lead=weights.shape[:-2])

        return table, pullback

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return E[x | z] = mu_z (..., D) at categories z (...)."""
        return self.layout.view(theta, "mean")[z]

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Means at randomly chosen data, the spread of all data in every component."""
        means = x[rng.choice(len(x), self.n_components, replace=False)]
        spread = np.broadcast_to(np.maximum(x.std(axis=0), np.finfo(float).tiny), means.shape)
        return self.layout.pack({"mean": means, **self.covariance.initial(spread)})

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        t = self.layout.views(theta)
        noise = rng.standard_normal((len(z), self.n_columns))
        return t["mean"][z] + self.covariance.color(t, noise, z)

    def described(self, theta: Floats) -> dict[str, Floats] | None:
        """Return 'weights' (C,), 'means', 'standard_deviations' (C, D), 'covariances' (C, D, D)."""
        t = self.layout.views(theta)
        covariances = self.covariance.matrices(t)
        return {
            "weights": softmax(t["logits"], axis=-1),
            "means": t["mean"].copy(),
            "standard_deviations": np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1)),
            "covariances": covariances,
        }

    @property
    def closed_form_maximum(self) -> bool:
        """One component is a single Gaussian."""
        return self.n_components == 1

    def maximum_likelihood(self, x: Floats) -> Floats:
        """Return the maximum for one component: the mean, and the covariance about it over N.

        A diagonal covariance is the diagonal of that, a spherical one its trace / D (Bishop 2006, eqs. 2.121
        and 2.122).
        """
        if not self.closed_form_maximum:
            return super().maximum_likelihood(x)
        x = self.check_data(x)
        mean = x.mean(axis=0)
        covariance = (x - mean).T @ (x - mean) / len(x)
        variance = {
            "spherical": np.trace(covariance) / self.n_columns,
            "diagonal": np.diag(covariance),
            "full": covariance,
        }[self.variant]
        if self.variant == "full":
            self._refuse_singular(x - mean)
        elif np.min(variance) < LEAST_VARIANCE:
            expected = f"variances above {LEAST_VARIANCE:g}"
            raise bad_value("data", expected, np.min(variance), "change the unit")
        return self.layout.pack({"mean": mean, **self.covariance.stored(variance[None])})

    def _refuse_singular(self, centred: Floats) -> None:
        """Raise ValueError if the covariance of centred data (N, D) has no inverse."""
        singular = np.linalg.svd(centred, compute_uv=False)
        # Singular values below this are rounding.
        rank = int((singular > max(centred.shape) * np.finfo(float).eps * singular[0]).sum())
        if rank < self.n_columns:
            expected = (
                f"a covariance of rank {self.n_columns} (the density of {self.label} is unbounded otherwise)"
            )
            remedy = "use variant diagonal, or method em, which keeps a floor under the eigenvalues"
            raise bad_value("data", expected, f"rank {rank}", remedy)

    def initial_theta(self, x: Floats) -> Floats:
        """Divide the data into C equal groups along the first principal direction of the scaled columns.

        Means and spreads are those of the groups; deterministic, and close to a good maximum for data
        with one dominant direction.
        """
        overall = np.maximum(x.std(axis=0), 1e-6 * max(np.abs(x).max(), np.finfo(float).tiny))
        scaled = (x - x.mean(axis=0)) / overall
        direction = np.linalg.svd(scaled, full_matrices=False)[2][0]
        groups = np.array_split(np.argsort(scaled @ direction, kind="stable"), self.n_components)
        means = np.array([x[group].mean(axis=0) for group in groups])
        spread = np.array([x[group].std(axis=0) for group in groups])
        spread = np.maximum(spread, 0.1 * overall)
        return self.layout.pack({"mean": means, **self.covariance.initial(spread)})
