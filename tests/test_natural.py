"""Natural steps of a free q: one of length one on a conjugate target is the posterior."""

from dataclasses import dataclass

import numpy as np
import pytest
from checks import assert_close

from elbo_lab import exact
from elbo_lab.datasets import Dataset
from elbo_lab.distributions import Categorical, DiagonalGaussian, FullGaussian, IndependentBernoulli
from elbo_lab.errors import NotApplicable, UserMistake
from elbo_lab.estimators import Problem
from elbo_lab.fitting import fit
from elbo_lab.models import PPCA, FactorAnalysis, GaussianMixture, SigmoidBelief
from elbo_lab.posteriors import FreePosterior
from elbo_lab.training import NaturalStep

X = np.random.default_rng(0).standard_normal((5, 4)) * [1.0, 2.0, 0.5, 1.0] + [0.0, 1.0, 0.0, -1.0]
BITS = (X > 0.0).astype(np.float64)
# Of each the exact posterior is a member of the family, and the prior is another one.
CONJUGATE = {
    "ppca, full covariance": (PPCA(4, 2), FullGaussian(2), X),
    "factor analysis, full covariance": (FactorAnalysis(4, 3), FullGaussian(3), X),
    "ppca of one latent, diagonal": (PPCA(4, 1), DiagonalGaussian(1), X),
    "mixture": (GaussianMixture(4, 3, "full"), Categorical(3), X),
    "belief net of one bit": (SigmoidBelief(4, 1), IndependentBernoulli(1), BITS),
}


def problem_of(name, family=None, seed=1):
    """Return the Problem of a conjugate target with a q far from the posterior."""
    model, usual, x = CONJUGATE[name]
    posterior = FreePosterior(family or usual, len(x))
    rng = np.random.default_rng(seed)
    theta = model.random_theta(x, rng)
    return Problem(model, posterior, theta, 0.7 * rng.standard_normal(posterior.layout.size), x)


def stepped(problem, rate=1.0, n_rows=None):
    phi = problem.phi.copy()
    gradient = exact.gradients(problem).phi_elbo.value
    NaturalStep(problem.posterior, len(problem.x) if n_rows is None else n_rows).move(phi, gradient, rate)
    return problem._replace(phi=phi)


def check_one_step(name, family=None, n_rows=None):
    before = problem_of(name, family)
    after = stepped(before, n_rows=n_rows)
    gaps = [exact.log_evidence(one).value - exact.elbo(one).value for one in (before, after)]
    assert gaps[0].min() > 1e-3 and np.abs(gaps[1]).max() < 1e-10


@pytest.mark.parametrize("name", CONJUGATE)
def test_one_step_of_length_one_on_a_conjugate_target_is_the_posterior(name):
    check_one_step(name)


def test_a_shorter_step_goes_part_of_the_way_in_natural_parameters():
    before = problem_of("ppca, full covariance")
    ends = []
    for problem in (before, stepped(before, 0.3), stepped(before, 1.0)):
        family = problem.posterior.family
        eta = problem.posterior.eta(problem.phi, problem.x)
        lower = family.factor(eta)
        precision = np.linalg.inv(lower @ np.swapaxes(lower, -1, -2))
        ends.append((precision, (precision @ family.split(eta)[0][..., None])[..., 0]))
    for start, part, end in zip(*ends, strict=True):
        assert_close(part, 0.7 * start + 0.3 * end, 1e-10)


# -- planted faults ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class StdForVariance(DiagonalGaussian):
    def natural_step(self, eta, gradient, rate):
        return super().natural_step(eta, gradient * [1.0, 0.5], rate)


@dataclass(frozen=True)
class OldVariance(DiagonalGaussian):
    """The mean moves by the variance before the step: right to first order alone."""

    def natural_step(self, eta, gradient, rate):
        moved = super().natural_step(eta, gradient, rate)
        mean = eta[..., :1] + rate * np.exp(2.0 * eta[..., 1:]) * gradient[..., :1]
        return self.join(mean, moved[..., 1:])


@dataclass(frozen=True)
class FisherTimesGradient(DiagonalGaussian):
    """To first order in eta: F^-1 is diag(s^2, 1/2)."""

    def natural_step(self, eta, gradient, rate):
        return eta + rate * gradient * np.concatenate(
            [np.exp(2.0 * eta[..., 1:]), 0.5 + 0.0 * eta[..., 1:]], -1
        )


@dataclass(frozen=True)
class UpperTriangle(FullGaussian):
    """The slope of L without the product with L."""

    def natural_step(self, eta, gradient, rate):
        return super().natural_step(eta, gradient * np.r_[1, 1, 1, 1, 0], rate)


@dataclass(frozen=True)
class PlainGradient(Categorical):
    def natural_step(self, eta, gradient, rate):
        return eta + rate * gradient


FAULTS = [
    ("ppca of one latent, diagonal", StdForVariance(1)),
    ("ppca of one latent, diagonal", OldVariance(1)),
    ("ppca of one latent, diagonal", FisherTimesGradient(1)),
    ("ppca, full covariance", UpperTriangle(2)),
    ("mixture", PlainGradient(3)),
]


@pytest.mark.parametrize(("name", "family"), FAULTS, ids=[type(family).__name__ for _, family in FAULTS])
def test_one_step_refuses_a_planted_fault(name, family):
    with pytest.raises(AssertionError):
        check_one_step(name, family)


def test_one_step_refuses_the_gradient_of_the_mean_over_data():
    with pytest.raises(AssertionError):
        check_one_step("mixture", n_rows=1)


# -- the Fisher matrix -------------------------------------------------------------------------------


def fisher_of(family, eta):
    """Return E[score score^T] (E, E) of one member, by a sum or by Gauss-Hermite quadrature."""
    if family.discrete:
        z = family.values()[:, None]
        weights = np.exp(family.log_prob(eta, z))[:, 0]
    else:
        nodes, one = np.polynomial.hermite_e.hermegauss(5)  # the scores are quadratic in the noise
        grid = np.stack(np.meshgrid(*[nodes] * family.size, indexing="ij"), -1).reshape(-1, 1, family.size)
        weights = np.prod(np.meshgrid(*[one / one.sum()] * family.size, indexing="ij"), axis=0).ravel()
        z = family.sample(eta, grid)
    score = family.score(eta, z)[:, 0]
    return np.einsum("s,si,sj->ij", weights, score, score)


FAMILIES = [DiagonalGaussian(2), FullGaussian(3), Categorical(4), IndependentBernoulli(3)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_short_step_is_along_the_inverse_fisher_matrix_times_the_gradient(family):
    rng = np.random.default_rng(2)
    eta = 0.5 * rng.standard_normal((1, family.eta_size))
    fisher = fisher_of(family, eta)
    # In the range of the Fisher matrix, as gradients are: logits may be shifted by a constant.
    gradient = fisher @ rng.standard_normal(family.eta_size)
    h = 1e-6
    slope = family.natural_step(eta, gradient[None], h) - family.natural_step(eta, gradient[None], -h)
    assert_close(fisher @ slope[0] / (2.0 * h), gradient, 1e-7)


@pytest.mark.parametrize("family", FAMILIES[:2], ids=lambda family: family.name)
def test_a_step_never_leaves_the_family(family):
    """Along a slope that would make the precision negative it halves it in the steepest direction."""
    eta = np.zeros((2, family.eta_size))
    gradient = np.zeros_like(eta)
    gradient[:, family.size] = [50.0, 0.25]  # the log-scale of the first coordinate
    moved = family.natural_step(eta, gradient, 1.0)
    assert_close(moved[:, family.size], -0.5 * np.log([0.5, 0.75]), 1e-12)
    assert np.isfinite(moved).all()


# -- in a fit ----------------------------------------------------------------------------------------

OPTIONS = {"latent": 2, "method": "vae", "posterior": "free", "phi_step": "natural", "threads": 1}


def test_a_fit_by_natural_steps_goes_on_bit_for_bit(tmp_path):
    whole = fit("ppca", X, epochs=20, **OPTIONS)
    path = tmp_path / "state.npz"
    fit("ppca", X, epochs=7, checkpoint=path, **OPTIONS)
    resumed = fit(resume=path, data=X, epochs=20)
    assert np.array_equal(whole.theta, resumed.theta) and np.array_equal(whole.phi, resumed.phi)
    assert whole.settings["phi_learning_rate"] == 0.1 and whole.settings["phi_step"] == "natural"


def test_svi_by_natural_steps_is_near_its_optimum_after_few_epochs():
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((60, 2)) * [1.0, 30.0]  # columns of very different size
    labels = (rng.random(60) < 1.0 / (1.0 + np.exp(-rows @ [1.0, 0.05]))).astype(int)
    options = {"batch": 60, "epochs": 15, "draws": 20, "threads": 1, "learning_rate": 0.5}
    data = Dataset("rows", rows, labels=labels)
    natural, plain = (
        fit("logistic-regression", data, phi_step=kind, optimizer="sgd", **options).history[-1]["elbo_exact"]
        for kind in ("natural", "gradient")
    )
    assert natural > plain + 0.01


def test_what_has_no_natural_step_is_refused():
    with pytest.raises(NotApplicable, match=r"weights that all data share.*use the free posterior"):
        fit("deep-bernoulli", BITS, latent=1, phi_step="natural")
    with pytest.raises(UserMistake, match="clip: expected no value with natural steps"):
        fit("ppca", X, clip=1.0, **OPTIONS)
    with pytest.raises(UserMistake, match="phi_step: expected one of gradient, natural, got 'nature'"):
        fit("ppca", X, **OPTIONS | {"phi_step": "nature"})


def test_a_gradient_that_is_not_finite_shows_in_phi():
    step, phi = NaturalStep(FreePosterior(DiagonalGaussian(1), 2), 2), np.zeros(4, np.float32)
    step.move(phi, np.array([0.0, np.nan, 0.0, 0.0], np.float32), 1.0)
    assert np.isnan(phi).all()
