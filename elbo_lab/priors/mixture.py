"""The prior of a Gaussian mixture: Dirichlet weights, and a Normal-inverse-Wishart for each component.

    pi ~ Dirichlet(a, ..., a),      (mu_c, Sigma_c) ~ NIW(m, kappa, Psi, nu), the same for all c

(Bishop 2006, section 10.2.1; `normal_inverse_wishart` has the forms of the three covariances.) A Dirichlet is
worth a - 1 further data in every component; for a < 1 its density grows without bound where a weight goes to
0, and there is no MAP: only variational Bayes, which takes no mode, can use it. With Psi positive definite
the posterior is bounded: no component can shrink on a datum (Fraley and Raftery 2007), which it does under
maximum likelihood.

The default is that of Fraley and Raftery (2007, section 3.2): m the mean of the data, kappa = 0.01, nu = D +
2 and Psi the covariance of the data over C^(2/D), in the shape of the component's covariance; so that C
clouds of that size fill the volume of the data. They leave the weights without a prior; here a = 2, one datum
more in each component.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable, bad_value
from elbo_lab.models import GaussianMixture, Model
from elbo_lab.priors.base import Numbers, Prior, several, single
from elbo_lab.priors.normal_inverse_wishart import NormalInverseWishart
from elbo_lab.special import log_softmax, softmax

STRENGTH, DIRICHLET = 0.01, 2.0


@dataclass(frozen=True)
class MixturePrior(Prior):
    """Dirichlet times Normal-inverse-Wishart.

    Parameters
    ----------
    dirichlet : float
        a, above 0; MAP needs at least 1.
    strength : float
        kappa, the data that the mean is worth.
    nu : float
        Degrees of freedom; proper above D - 1 (full), else above 0.
    mean : sequence of float (D,)
        m.
    scale : sequence of float
        Psi in the data's unit squared: one number, one for each column, or a whole matrix row by row.
    """

    dirichlet: float
    strength: float
    nu: float
    mean: Sequence[float]
    scale: Sequence[float]
    summary = "pi ~ Dirichlet, (mu, Sigma) ~ Normal-inverse-Wishart"

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "dirichlet": single("dirichlet", self.dirichlet, 0.0, open_end=True),
            "strength": single("strength", self.strength, 0.0),
            "mean": several("mean", self.mean),
            "scale": several("scale", self.scale),
        }
        # Flat in (mu, Sigma): no covariance has a lower one.
        checked["nu"] = single("nu", self.nu, -(len(checked["mean"]) + 2.0))
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def for_data(cls, model: Model, x: Floats, given: Numbers) -> Self:
        model = cast(GaussianMixture, model)
        n_columns = model.n_columns
        centred = x - x.mean(axis=0)
        covariance = centred.T @ centred / len(x) / model.n_components ** (2.0 / n_columns)
        shapes = {"spherical": np.trace(covariance) / n_columns, "diagonal": np.diag(covariance)}
        numbers: Numbers = {
            "dirichlet": DIRICHLET,
            "strength": STRENGTH,
            "nu": n_columns + 2.0,
            "mean": x.mean(axis=0),
            "scale": shapes.get(model.variant, covariance),
        }
        if model.variant == "full" and "scale" not in given and np.linalg.matrix_rank(centred) < n_columns:
            expected = "rows that span all columns, which the default scale is measured on"
            raise bad_value("data", expected, "a singular covariance", "name it, as in scale=1")
        prior = cls(**(numbers | given))
        prior.check_model(model)
        return prior

    @classmethod
    def flat_for(cls, model: Model) -> Self:
        model = cast(GaussianMixture, model)
        offset = 3.0 if model.variant == "diagonal" else model.n_columns + 2.0
        return cls(1.0, 0.0, -offset, (0.0,) * model.n_columns, (0.0,))

    def check_model(self, model: Model) -> None:
        n_columns = model.n_columns
        if len(self.mean) != n_columns:
            raise bad_value("prior mean", f"{n_columns} numbers, one a column", f"{len(self.mean)}")
        variant = str(model.variant)
        sizes = {"spherical": {1}, "diagonal": {1, n_columns}, "full": {1, n_columns, n_columns**2}}[variant]
        if len(self.scale) not in sizes:
            words = " or ".join(map(str, sorted(sizes)))
            raise bad_value("prior scale", f"{words} numbers for {model.label}", f"{len(self.scale)}")
        scale = self._scale(n_columns, variant)
        lowest = np.linalg.eigvalsh(scale)[0] if variant == "full" else np.min(scale)
        if variant == "full" and not np.array_equal(scale, scale.T):
            raise bad_value("prior scale", "a symmetric matrix", "one that is not")
        if lowest < 0 or (lowest == 0 and np.any(scale)):
            expected = "a positive definite scale (or 0, with a flat prior)"
            raise bad_value("prior scale", expected, f"a smallest eigenvalue of {lowest:.3g}")

    def _scale(self, n_columns: int, variant: str) -> Floats:
        """Return Psi (), (D,) or (D, D)."""
        scale = np.array(self.scale)
        if variant == "spherical":
            return scale[0]
        if variant == "diagonal":
            return np.broadcast_to(scale, (n_columns,))
        if len(scale) == n_columns**2:
            return scale.reshape(n_columns, n_columns)
        return np.diag(np.broadcast_to(scale, (n_columns,)))

    def of_components(self, model: GaussianMixture) -> NormalInverseWishart:
        """Return the law of every component's (mu, Sigma)."""
        C, D = model.n_components, model.n_columns
        strength, nu = np.full(C, self.strength), np.full(C, self.nu)
        scale = self._scale(D, model.variant)
        return NormalInverseWishart(
            model.variant, strength, nu, np.tile(self.mean, (C, 1)), np.tile(scale, (C,) + (1,) * scale.ndim)
        )

    def check_mode(self) -> None:
        if self.dirichlet < 1:
            raise NotApplicable(
                f"prior dirichlet: expected at least 1, got {self.dirichlet:g} (below it the density grows "
                "without bound as a weight goes to 0: no MAP); use method variational-bayes"
            )

    def mode_after(
        self, model: GaussianMixture, total: Floats, mean: Floats, moment: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return weights (C,), means (C, D), covariances (C, ...): the exact M-step of MAP.

        pi_c = (R_c + a - 1) / (N + C (a - 1)); see `normal_inverse_wishart` for the others.
        """
        counts = total + (self.dirichlet - 1.0)
        means, variances = self.of_components(model).mode_after(total, mean, moment)
        return counts / counts.sum(), means, variances

    def log_prior(self, model: Model, theta: Floats) -> float:
        """Return the log density over (pi, mu, Sigma)."""
        model = cast(GaussianMixture, model)
        t, laws = model.layout.views(theta), self.of_components(model)
        misfit, log_det = self._misfit(model, t, laws)
        value = -(laws.log_det_weight() * log_det + 0.5 * misfit).sum()
        value += (self.dirichlet - 1.0) * log_softmax(t["logits"], axis=-1).sum()
        if laws.proper:
            value += laws.log_normaliser().sum() + self.log_dirichlet(model.n_components)
        return float(value)

    def log_dirichlet(self, n_components: int) -> float:
        """Return the log of the constant in front of the Dirichlet density."""
        from scipy.special import gammaln

        return float(gammaln(n_components * self.dirichlet) - n_components * gammaln(self.dirichlet))

    def _misfit(
        self, model: GaussianMixture, t: dict[str, Floats], laws: NormalInverseWishart
    ) -> tuple[Floats, Floats]:
        """Return tr(Sigma^-1 (Psi + kappa (mu - m)(mu - m)^T)) (C,) and log |L| (C,)."""
        whitener, log_det = model.covariance.whitener(t)
        scale = laws.with_means(t["mean"])
        if model.variant == "full":
            return ((whitener @ scale) * whitener).sum(axis=(-1, -2)), log_det
        if model.variant == "diagonal":
            return (whitener**2 * scale).sum(axis=1), log_det
        return whitener[:, 0] ** 2 * scale, log_det

    def log_prior_grad(self, model: Model, theta: Floats) -> Floats:
        """d/dlogits = (a - 1)(1 - C pi), d/dmu = -kappa Sigma^-1 (mu - m), d/dL = tril(L^-T B) - w / diag(L).

        With B = L^-1 (Psi + kappa (mu - m)(mu - m)^T) L^-T, and w the factor of -log |L|.
        """
        model = cast(GaussianMixture, model)
        t, laws = model.layout.views(theta), self.of_components(model)
        whitener, _ = model.covariance.whitener(t)
        scale, difference = laws.with_means(t["mean"]), t["mean"] - laws.mean
        logits = (self.dirichlet - 1.0) * (1.0 - model.n_components * softmax(t["logits"], axis=-1))
        if model.variant == "full":
            transposed = np.swapaxes(whitener, -1, -2)
            by_mean = np.einsum("cji,cjk,ck->ci", whitener, whitener, difference)
            by_factor = transposed @ (whitener @ scale @ transposed)
            inverse_diagonal = np.diagonal(whitener, axis1=1, axis2=2)
            diagonal = np.diagonal(by_factor, axis1=1, axis2=2) / inverse_diagonal
            rows, columns = np.tril_indices(model.n_columns, -1)
            weight = laws.log_det_weight()[:, None]
            grads = {"log_diagonal": diagonal - weight, "lower": by_factor[:, rows, columns]}
        else:
            by_mean = whitener**2 * difference
            inverse = whitener**2 if model.variant == "diagonal" else whitener[:, 0] ** 2
            grads = {"log_sigma": inverse * scale - (self.nu + laws.offset)}
        by_mean = -self.strength * by_mean
        return model.layout.pack({"logits": logits, "mean": by_mean, **grads})

    @classmethod
    def mode_has_formula(cls, model: Model) -> bool:
        return cast(GaussianMixture, model).n_components == 1

    def posterior_mode(self, model: Model, x: Floats) -> Floats:
        model = cast(GaussianMixture, model)
        if not self.mode_has_formula(model):
            return super().posterior_mode(model, x)
        mean = x.mean(axis=0)
        centred = x - mean
        covariance = centred.T @ centred / len(x)
        moment = {
            "spherical": np.trace(covariance) / model.n_columns,
            "diagonal": np.diag(covariance),
            "full": covariance,
        }[model.variant]
        total = np.array([float(len(x))])
        _, means, variances = self.mode_after(model, total, mean[None], np.asarray(moment)[None])
        return model.layout.pack({"mean": means, **model.covariance.stored(variances)})
