"""Variational Bayes for the Gaussian mixture: a q over z and one over theta, each exact given the other.

    log p(x) >= E_q[log p(x, z, theta)] + H(q(z)) + H(q(theta)),   q = q(z) q(pi) prod_c q(mu_c, Sigma_c)

(Bishop 2006, section 10.2; Attias 1999.) With conjugate priors q(pi) is a Dirichlet and q(mu_c, Sigma_c) a
Normal-inverse-Wishart, and the two updates are those of EM with other numbers:

    q(z):      r_nc in proportion to exp(E log pi_c + E log N(x_n; mu_c, Sigma_c))      eq. 10.46
    q(theta):  alpha_c = a + R_c, and the laws after the weighted data of component c   eqs. 10.58 to 10.63

So E log N is a Gaussian with E[Lambda]^(1/2) as whitener and another constant, and the pass over the data is
that of EM. After a q(z)-step the bound is sum_n log sum_c exp(...) - KL(q(theta) || p(theta)).

With one component q(z) is no approximation, q(theta) is the posterior, and the bound is the evidence. With
more the bound leaves out that theta and z depend on each other, and the C! equal modes of their names.
**Superfluous components empty**: a component without data costs nothing, one that shares the data of another
costs its own KL. No density is unbounded here, so there is no floor.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln

from elbo_lab.arrays import Floats
from elbo_lab.em.base import ModelProblem
from elbo_lab.em.mixture import MixtureEM, Responsibilities
from elbo_lab.em.restarts import EMFit
from elbo_lab.em.starts import cluster
from elbo_lab.em.sums import Densities
from elbo_lab.errors import NotApplicable
from elbo_lab.layout import Layout
from elbo_lab.models import GaussianMixture, Model
from elbo_lab.models.student_t_mixture import StudentTMixture
from elbo_lab.priors import DEFAULT, MixturePrior, NormalInverseWishart, Prior, find_prior
from elbo_lab.special import LOG_2PI
from elbo_lab.threads import single_threaded_blas

# A component that holds less of the data than half a datum is empty.
EMPTY = 0.5


class MixtureVB(MixtureEM):
    """Variational Bayes as an EM problem: what EM calls theta is the vector of the numbers of q(theta).

    Parameters
    ----------
    model : GaussianMixture
    x : ndarray (N, D)
    floor : float
        Not used.
    threads : int
        Changes nothing but the time.
    prior : MixturePrior
        Proper.
    """

    value_names = ("evidence_bound",)

    def __init__(
        self,
        model: GaussianMixture,
        x: Floats,
        floor: float,
        threads: int = 1,
        prior: MixturePrior | None = None,
    ) -> None:
        assert prior is not None, "variational Bayes has a prior"
        super().__init__(model, x, floor, threads, prior)
        self.alpha, self.laws = prior.dirichlet, prior.of_components(model)
        if not self.laws.proper:
            raise NotApplicable(
                "prior: expected one that can be normalised (strength and scale above 0, nu above D - 1), "
                "got an improper one; variational Bayes measures the distance to it"
            )

    @cached_property
    def layout(self) -> Layout:
        """Of the numbers of q(theta)."""
        C, D = self.model.n_components, self.model.n_columns
        laws = ("strength", (C,)), ("nu", (C,)), ("mean", (C, D)), ("scale", self.laws.scale.shape)
        return Layout((("alpha", (C,)), *laws))

    def read(self, theta: Floats) -> tuple[Floats, NormalInverseWishart]:
        """Return alpha (C,) and the laws of (mu, Sigma) of a q(theta)."""
        t = self.layout.views(np.array(theta))
        laws = NormalInverseWishart(self.model.variant, t["strength"], t["nu"], t["mean"], t["scale"])
        return t["alpha"], laws

    def start(self, x: Floats, run: int, rng: np.random.Generator) -> Floats:  # noqa: ARG002 - all are random
        """Return q(theta) after k-means++ and Lloyd's clusters, each row wholly in one."""
        labels = cluster(x, self.model.n_components, rng)
        members = [x[labels == c] for c in range(self.model.n_components)]
        mean = np.array([rows.mean(axis=0) for rows in members])
        moment = [
            self.scatter.second_moment(np.full(len(rows), 1.0 / len(rows)), rows - centre)
            for rows, centre in zip(members, mean, strict=True)
        ]
        total = np.array([float(len(rows)) for rows in members])
        return self.m_step(Responsibilities(total, mean, np.array(moment), 0.0))

    def prepared(self, theta: Floats) -> Floats:
        return np.array(theta, dtype=np.float64)

    def densities(self, theta: Floats) -> Densities:
        """Return E log pi_c + E log N(x; mu_c, Sigma_c) as Densities."""
        alpha, laws = self.read(theta)
        D = self.model.n_columns
        log_pi = digamma(alpha) - digamma(alpha.sum())
        scale = log_pi + 0.5 * (laws.expected_log_det() - D * LOG_2PI - D / laws.strength)
        return Densities(laws.mean, laws.whitener(), scale)

    def present(self, theta: Floats) -> Floats:
        return self.read(theta)[1].scale

    def m_step(self, q: Responsibilities) -> Floats:
        """Return the best q(theta) for a q(z)."""
        laws = self.laws.updated(q.total, q.mean, q.moment)
        parts = {"strength": laws.strength, "nu": laws.nu, "mean": laws.mean, "scale": laws.scale}
        return self.layout.pack({"alpha": self.alpha + q.total, **parts})

    def divergence(self, theta: Floats) -> float:
        """Return KL(q(theta) || p(theta)) in nats."""
        alpha, laws = self.read(theta)
        of_laws = laws.expected_log_density(laws) - self.laws.expected_log_density(laws)
        log_pi = digamma(alpha) - digamma(alpha.sum())
        prior = np.full_like(alpha, self.alpha)
        of_weights = _dirichlet(alpha, log_pi) - _dirichlet(prior, log_pi)
        return float(of_laws.sum() + of_weights)

    def elbo(self, theta: Floats, q: Responsibilities) -> float:
        return super().elbo(theta, q) - self.divergence(theta)

    def values(self, theta: Floats) -> tuple[float, ...]:
        """Return the bound at q(theta) and the best q(z)."""
        return (self.log_likelihood(theta) - self.divergence(theta),)

    def log_prior(self, theta: Floats) -> float:  # noqa: ARG002 - it is in the bound already
        return 0.0

    def at_floor(self, theta: Floats) -> tuple[int, ...]:  # noqa: ARG002 - there is no floor
        return ()

    def warnings(self, theta: Floats, columns: Sequence[str] | None) -> Iterator[str]:  # noqa: ARG002
        yield from ()

    def in_use(self, theta: Floats) -> int:
        """Return how many components hold data."""
        return int((self.read(theta)[0] - self.alpha >= EMPTY).sum())

    def predictive(self, theta: Floats) -> tuple[StudentTMixture, Floats]:
        """Return the mixture of Student t that is p(x_new | x) under q, and its theta (eq. 10.81)."""
        alpha, laws = self.read(theta)
        model = StudentTMixture(self.model.n_columns, self.model.n_components, self.model.variant)
        dof = laws.nu + 1.0 - (laws.n_columns if self.model.variant == "full" else 1)
        factor = (laws.strength + 1.0) / (laws.strength * dof)
        variance = laws.scale * factor.reshape((-1,) + (1,) * (laws.scale.ndim - 1))
        parts = {"logits": np.log(alpha), "mean": laws.mean, "log_dof": np.log(dof)}
        return model, model.layout.pack({**parts, **model.covariance.stored(variance)})


def _dirichlet(alpha: Floats, log_pi: Floats) -> float:
    """Return the log density of a Dirichlet at expected logarithms of its weights."""
    return float(gammaln(alpha.sum()) - gammaln(alpha).sum() + (alpha - 1.0) @ log_pi)


class VariationalFit(EMFit):
    """Variational Bayes from several starts, one iteration at a time: `EMFit` with a q over theta.

    The default of `prior` is that of MAP but for the weights: dirichlet = 1 / C, under which superfluous
    components empty.
    """

    problem: MixtureVB

    @staticmethod
    def kind_for(model: Model) -> type[ModelProblem[Any]] | None:
        return MixtureVB if isinstance(model, GaussianMixture) else None

    def _prior(self, spec: str | Prior | None) -> Prior:
        usual = {"dirichlet": 1.0 / self.model.latent_dim}
        return find_prior(DEFAULT if spec is None else spec, self.model, self.x, usual)


def fit_variational_bayes(model: GaussianMixture, x: Floats, **settings: Any) -> VariationalFit:
    """Return variational Bayes run to its end; the parameters are those of `EMFit`.

    `result().theta` are the numbers of q(theta), which `problem.read` reads and `problem.predictive` averages
    out.
    """
    with single_threaded_blas():
        fit = VariationalFit(model, x, **settings)
        while fit.advance() is not None:
            pass
    return fit
