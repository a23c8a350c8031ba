"""Models as a user writes them, correct ones, and ways to spoil one of their parts.

Heavy tails, counts, categories with a network, and latents that are positive: what a check must accept.
"""

from dataclasses import dataclass
from functools import cached_property
from math import lgamma, log, pi

import numpy as np
from scipy.special import gammaln

from elbo_lab import Layout, Model
from elbo_lab.distributions import Categorical, DiagonalGaussian, Gamma, LogNormal
from elbo_lab.models import StandardNormalPrior, fold_shared

NU = 4.0


class OfColumns:
    """Built for the columns of the data, with a finite E[x | z]."""

    @classmethod
    def for_data(cls, x, variant=None, latent=None):  # noqa: ARG003
        return cls(x.shape[1], cls.default_latent if latent is None else latent)


class OfMeans(OfColumns):
    """A model of x given W z + b: the mean of x, or its logarithm."""

    @cached_property
    def family(self):
        return DiagonalGaussian(self.n_latent)

    def pulled(self, t, z, cotangent, by_mean, **others):
        """Return (grad_theta, grad_z) from slopes (..., S, N, D) in W z + b, and other blocks of theta."""
        codes = np.broadcast_to(z, cotangent.shape + z.shape[-1:])
        parts = {"W": np.einsum("...snd,...snk->...dk", by_mean, codes), "b": by_mean.sum(axis=(-3, -2))}
        grad_theta = self.layout.pack(parts | others, lead=cotangent.shape[:-2])
        return grad_theta, fold_shared(by_mean @ t["W"], z)


@dataclass(frozen=True)
class Counts(OfMeans, StandardNormalPrior):
    """z ~ N(0, I), x_d | z ~ Poisson(exp((W z + b)_d))."""

    n_columns: int
    n_latent: int
    name = "counts"
    default_latent = 1

    @cached_property
    def layout(self):
        return Layout((("W", (self.n_columns, self.n_latent)), ("b", (self.n_columns,))))

    def likelihood(self, theta, x, z):
        t = self.layout.views(theta)
        log_rate = z @ t["W"].T + t["b"]
        terms = x * log_rate - np.exp(log_rate) - gammaln(x + 1.0)

        def pullback(cotangent):
            return self.pulled(t, z, cotangent, cotangent[..., None] * (x - np.exp(log_rate)))

        return terms.sum(axis=-1), pullback

    def sample_x(self, theta, z, rng):
        t = self.layout.views(theta)
        return rng.poisson(np.exp(z @ t["W"].T + t["b"])).astype(float)

    def initial_theta(self, x):
        weights = np.full((self.n_columns, self.n_latent), 0.3)
        return self.layout.pack({"W": weights, "b": np.log(x.mean(axis=0) + 0.1)})


@dataclass(frozen=True)
class RobustPPCA(OfMeans, StandardNormalPrior):
    """z ~ N(0, I), x_d | z ~ Student t with four degrees of freedom around W z + b."""

    n_columns: int
    n_latent: int
    name = "robust-ppca"
    default_data = "faithful"
    default_latent = 1

    @cached_property
    def layout(self):
        columns = (self.n_columns,)
        return Layout((("W", (*columns, self.n_latent)), ("b", columns), ("log_s", columns)))

    def likelihood(self, theta, x, z):
        t = self.layout.views(theta)
        constant = lgamma((NU + 1) / 2) - lgamma(NU / 2) - 0.5 * log(NU * pi)
        r = (x - z @ t["W"].T - t["b"]) * np.exp(-t["log_s"])
        terms = constant - t["log_s"] - 0.5 * (NU + 1) * np.log1p(r * r / NU)

        def pullback(cotangent):
            weight = cotangent[..., None]
            pull = weight * (NU + 1) * r / (NU + r * r)
            by_log_s = (pull * r - weight).sum(axis=(-3, -2))
            return self.pulled(t, z, cotangent, pull * np.exp(-t["log_s"]), log_s=by_log_s)

        return terms.sum(axis=-1), pullback

    def sample_x(self, theta, z, rng):
        t = self.layout.views(theta)
        noise = rng.standard_t(NU, (len(z), self.n_columns))
        return z @ t["W"].T + t["b"] + np.exp(t["log_s"]) * noise

    def initial_theta(self, x):
        _, singular, rows = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        scale = singular[: self.n_latent] / np.sqrt(len(x))
        parts = {
            "W": rows[: self.n_latent].T * scale,
            "b": np.median(x, axis=0),
            "log_s": np.log(0.5 * x.std(axis=0) + 0.01),
        }
        return self.layout.pack(parts)


@dataclass(frozen=True)
class CategoricalNetwork(OfColumns, Model):
    """z ~ Categorical(softmax(logits)), x_d | z ~ N(m_d, s_d^2), m = V max(0, U[z]) + b."""

    n_columns: int
    n_categories: int
    name = "categorical-network"
    default_data = "faithful"
    default_latent = 3
    width = 4

    @cached_property
    def family(self):
        return Categorical(self.n_categories)

    @cached_property
    def layout(self):
        shapes = {"U": (self.n_categories, self.width), "V": (self.width, self.n_columns)}
        shapes |= {"b": (self.n_columns,), "log_s": (self.n_columns,), "logits": (self.n_categories,)}
        return Layout(tuple(shapes.items()))

    def prior_eta(self, theta):
        return self.layout.view(theta, "logits")[None]

    def prior_eta_vjp(self, theta, grad_eta):  # noqa: ARG002
        return self.layout.pack({"logits": grad_eta}, lead=grad_eta.shape[:-1])

    def likelihood(self, theta, x, z):
        t = self.layout.views(theta)
        hidden = np.maximum(t["U"], 0.0)
        means = hidden @ t["V"] + t["b"]  # (C, D)
        r = (x[:, None] - means) * np.exp(-t["log_s"])  # (N, C, D)
        table = (-0.5 * r * r - t["log_s"] - 0.5 * log(2 * pi)).sum(axis=-1)
        value = table[np.arange(len(x)), z]

        def pullback(cotangent):
            weight = self.family.by_category(z, cotangent)[..., None]  # (..., N, C, 1)
            by_mean = (weight * r * np.exp(-t["log_s"])).sum(axis=-3)  # (..., C, D)
            parts = {
                "U": (by_mean @ t["V"].T) * (t["U"] > 0),
                "V": np.swapaxes(hidden, -1, -2) @ by_mean,
                "b": by_mean.sum(axis=-2),
                "log_s": (weight * (r * r - 1.0)).sum(axis=(-3, -2)),
            }
            return self.layout.pack(parts, lead=cotangent.shape[:-2]), None

        return value, pullback

    def sample_x(self, theta, z, rng):
        t = self.layout.views(theta)
        means = np.maximum(t["U"], 0.0) @ t["V"] + t["b"]
        return means[z] + np.exp(t["log_s"]) * rng.standard_normal((len(z), self.n_columns))

    def initial_theta(self, x):
        hidden = np.linspace(0.5, 1.5, self.n_categories * self.width).reshape(self.n_categories, -1)
        output = np.outer(np.linspace(-1.0, 1.0, self.width), x.std(axis=0))
        return self.layout.pack(
            {"U": hidden, "V": output, "b": x.mean(axis=0), "log_s": np.log(x.std(axis=0))}
        )


@dataclass(frozen=True)
class Positive(OfMeans, Model):
    """z positive with learned prior, x | z ~ N(W z + b, s^2)."""

    n_columns: int
    n_latent: int
    name = "gamma-factors"
    default_data = "faithful"
    default_latent = 1
    start_of_prior = (0.5, -0.5)

    @cached_property
    def family(self):
        return Gamma(self.n_latent)

    @cached_property
    def layout(self):
        columns = (self.n_columns,)
        prior = ("prior", (self.family.eta_size,))
        return Layout((("W", (*columns, self.n_latent)), ("b", columns), ("log_s", columns), prior))

    def prior_eta(self, theta):
        return self.layout.view(theta, "prior")[None]

    def prior_eta_vjp(self, theta, grad_eta):  # noqa: ARG002
        return self.layout.pack({"prior": grad_eta}, lead=grad_eta.shape[:-1])

    def likelihood(self, theta, x, z):
        t = self.layout.views(theta)
        r = (x - z @ t["W"].T - t["b"]) * np.exp(-t["log_s"])
        terms = -0.5 * r * r - t["log_s"] - 0.5 * log(2 * pi)

        def pullback(cotangent):
            weight = cotangent[..., None]
            by_log_s = (weight * (r * r - 1.0)).sum(axis=(-3, -2))
            return self.pulled(t, z, cotangent, weight * r * np.exp(-t["log_s"]), log_s=by_log_s)

        return terms.sum(axis=-1), pullback

    def sample_x(self, theta, z, rng):
        t = self.layout.views(theta)
        noise = rng.standard_normal((len(z), self.n_columns))
        return z @ t["W"].T + t["b"] + np.exp(t["log_s"]) * noise

    def initial_theta(self, x):
        weights = np.outer(x.std(axis=0), np.linspace(0.5, 1.0, self.n_latent))
        parts = {"W": weights, "b": x.mean(axis=0), "log_s": np.log(x.std(axis=0))}
        return self.layout.pack(parts | {"prior": np.repeat(self.start_of_prior, self.n_latent)})


@dataclass(frozen=True)
class PositiveLogNormal(Positive):
    """The same with log-normal z, which has heavier tails."""

    name = "log-normal-factors"

    @cached_property
    def family(self):
        return LogNormal(self.n_latent)


COUNTS = np.random.default_rng(3).poisson([2.0, 7.0, 0.5], size=(60, 3)).astype(float)
# Model class, data.
CORRECT = {
    "counts": (Counts, COUNTS),
    "robust-ppca": (RobustPPCA, "faithful"),
    "categorical-network": (CategoricalNetwork, "faithful"),
    "gamma-factors": (Positive, "faithful"),
    "log-normal-factors": (PositiveLogNormal, "faithful"),
}


def spoiled(kind, **methods):
    """Return a subclass of a model class with some of its methods replaced."""
    return dataclass(frozen=True)(type(f"Spoiled{kind.__name__}", (kind,), methods))


def with_pullback(kind, change):
    """Return a subclass whose pullback gives what `change(model, grad_theta, grad_z)` returns."""

    def likelihood(self, theta, x, z):
        value, pullback = kind.likelihood(self, theta, x, z)
        return value, lambda cotangent: change(self, *pullback(cotangent))

    return spoiled(kind, likelihood=likelihood)


@dataclass(frozen=True)
class Banana(StandardNormalPrior):
    """z ~ N(0, I_2), x | z ~ N(z_2 - z_1^2, s^2): the posterior of z lies along a parabola."""

    name = "banana"
    n_columns = 1

    @cached_property
    def family(self):
        return DiagonalGaussian(2)

    @cached_property
    def layout(self):
        return Layout((("log_s", ()),))

    @classmethod
    def for_data(cls, x, variant=None, latent=None):  # noqa: ARG003
        return cls()

    def likelihood(self, theta, x, z):
        log_s = theta[0]
        r = (x[:, 0] - z[..., 1] + z[..., 0] ** 2) * np.exp(-log_s)

        def pullback(cotangent):
            pull = cotangent * r * np.exp(-log_s)
            by_z = np.stack([-2.0 * z[..., 0] * pull, pull], axis=-1)
            by_log_s = (cotangent * (r * r - 1.0)).sum(axis=(-2, -1))
            return by_log_s[..., None], fold_shared(by_z, z)

        return -0.5 * r * r - log_s - 0.5 * log(2.0 * pi), pullback

    def sample_x(self, theta, z, rng):
        noise = np.exp(theta[0]) * rng.standard_normal(len(z))
        return (z[:, 1] - z[:, 0] ** 2 + noise)[:, None]

    def initial_theta(self, x):
        return np.array([log(x.std() + 0.1)])
