"""Any family is a q, free or amortised, and many are the prior of a deep model: fits, bounds, refusals."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from elbo_lab import fit
from elbo_lab.distributions import FAMILIES, DiagonalGaussian, Gamma, Laplace, LowRankGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import ElboReconstructionKL, Problem, elbo_for
from elbo_lab.exact import ladder
from elbo_lab.fitting import evaluate, load_fitted
from elbo_lab.fitting.samples import write_samples
from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import FreePosterior, find_posterior

RNG = np.random.default_rng(0)
BITS = (RNG.random((8, 3)) < 0.5) * 1.0
ON_THE_LINE = [
    name
    for name in (kind.name for kind in FAMILIES)
    if name not in ("categorical", "independent-bernoulli", "categorical-vector") and "chain" not in name
]
QUICK = {"latent": 2, "hidden": (3,), "batch": 8, "seed": 1, "progress": False}


def usable(name, size):
    """Return the family, or None where it has no member of this size without arguments, or no path."""
    kind = next(kind for kind in FAMILIES if kind.name == name)
    try:
        family = kind.of_size(size)
    except ValueError:
        return None
    return family if family.has_path and family.lies_within(DiagonalGaussian(size)) else None


# A table of numbers is the same for every family: two of them stand for the rest.
WAYS = [(name, "amortised") for name in ON_THE_LINE]
WAYS += [
    pytest.param(name, "free", marks=() if name in ("laplace", "coupling-flow") else pytest.mark.slow)
    for name in ON_THE_LINE
]


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_a_fit_with_any_q_is_kept_resumed_to_the_bit_and_evaluated(name, way, tmp_path):
    if usable(name, 2) is None:
        pytest.skip("no member without arguments, or no path")
    whole, part = tmp_path / "whole.npz", tmp_path / "part.npz"
    options = QUICK | {"posterior": f"{way}:{name}"}
    found = fit("deep-bernoulli", BITS, epochs=2, checkpoint=whole, **options)
    fit("deep-bernoulli", BITS, epochs=1, checkpoint=part, **options)
    resumed = fit(data=BITS, resume=part, epochs=2, progress=False)
    assert np.array_equal(found.theta, resumed.theta) and np.array_equal(found.phi, resumed.phi)
    stored = load_fitted(whole)
    assert stored.posterior.family.name == name and stored.posterior.name == way
    write_samples(stored, tmp_path / "samples", 2)
    scores = evaluate(whole, BITS, importance_samples=20, progress=False).final
    assert np.isfinite(scores["elbo_per_datum"]) and scores["elbo_per_datum"] < 0.0


def test_arguments_of_a_family_are_part_of_the_file(tmp_path):
    kept = tmp_path / "flow.npz"
    fit("deep-bernoulli", BITS, epochs=1, posterior="coupling-flow(layers=2)", checkpoint=kept, **QUICK)
    assert load_fitted(kept).posterior.family.layers == 2


# -- the bound of a fit is a bound -------------------------------------------------------------------


MODEL = DeepBernoulli(3, 1, (4,))
THETA = np.random.default_rng(3).normal(size=MODEL.layout.size)
X = BITS[:2]


def problem_in(family):
    eta = np.tile(family.start, (len(X), 1)) + 0.2 * np.random.default_rng(4).normal(size=family.eta_size)
    q = FreePosterior(family, len(X))
    return Problem(MODEL, q, THETA, q.phi_from_eta(eta), X), eta


def rule_on(family):
    """Return nodes z (G, 1, 1) and weights (G,) over the support: 40 Gauss-Legendre nodes in every panel."""
    low, high = family.support
    right = np.concatenate([[0.0], 10.0 ** np.arange(-6, 0), [0.3, 1.0, 3.0], 10.0 ** np.arange(1, 9)])
    ends = np.concatenate([-right[:0:-1], right]) if low < 0.0 else right
    if np.isfinite(high):
        ends = np.array([0.0, 1e-6, 1e-3, 0.03, 0.3, 0.7, 0.97, 1.0 - 1e-3, 1.0 - 1e-6, 1.0])
    nodes, weights = np.polynomial.legendre.leggauss(40)
    half, middle = 0.5 * np.diff(ends)[:, None], 0.5 * (ends[1:] + ends[:-1])[:, None]
    return (middle + half * nodes).reshape(-1, 1, 1), (half * weights).ravel()


def elbo_by_integral(family, eta):
    """Return the mean ELBO of the data: the integral of q (log p - log q) over z."""
    z, weights = rule_on(family)
    log_q = family.log_prob(eta, np.broadcast_to(z, (len(z), len(X), 1)))
    log_q = np.maximum(log_q, -700.0)
    terms = np.exp(log_q) * (MODEL.log_joint(THETA, X, z) - log_q)
    return (weights @ terms).mean()


def elbo_by_noise(estimator, problem):
    """Return the expectation of an estimator of one draw, by a trapezoid rule over its noise."""
    family, eps = problem.posterior.family, np.linspace(-8.0, 8.0, 4001)
    spec, eta = family.stratum_spec(1, len(X)), problem.posterior.eta(problem.phi, X)
    noise = eps if spec.kind == "normal" else scipy.special.ndtr(eps)
    noise, values = np.broadcast_to(noise[:, None, None, None], (4001, *spec.shape)), 0.0
    for share, own in family.strata(eta, noise):  # both data have the same q
        values = values + np.mean(share) * estimator.estimate(problem, own)[0]
    return float(values[..., 0] @ scipy.stats.norm.pdf(eps)) * (eps[1] - eps[0])


@pytest.mark.parametrize("name", ON_THE_LINE)
def test_the_elbo_that_a_fit_reports_is_that_by_quadrature(name):
    family = usable(name, 1)
    if family is None or len(family.noise_spec(1, 1).shape) != 3:
        pytest.skip("no member of one dimension without arguments")
    problem, eta = problem_in(family)
    found = elbo_by_noise(elbo_for(MODEL, problem.posterior), problem)
    assert abs(found - elbo_by_integral(family, eta)) < 1e-4


def test_the_kl_within_the_family_of_q_is_no_bound(monkeypatch):
    family = Laplace(1)
    problem, eta = problem_in(family)
    exact = elbo_by_integral(family, eta)
    monkeypatch.setattr(Laplace, "kl_to", lambda self, _, eta, other: self.kl(eta, other))
    assert abs(elbo_by_noise(ElboReconstructionKL(), problem) - exact) > 0.02


def test_a_gaussian_of_low_rank_is_the_density_of_scipy_and_starts_off_its_saddle():
    family, rng = LowRankGaussian(4, 2), np.random.default_rng(7)
    eta, z = 0.5 * rng.normal(size=(2, family.eta_size)), rng.normal(size=(5, 2, 4))
    for n in range(2):
        directions = eta[n, 8:].reshape(4, 2)
        covariance = np.diag(np.exp(2.0 * eta[n, 4:8])) + directions @ directions.T
        density = scipy.stats.multivariate_normal(eta[n, :4], covariance)
        np.testing.assert_allclose(family.log_prob(eta, z)[:, n], density.logpdf(z[:, n]), rtol=1e-12)
        np.testing.assert_allclose(family.moments(eta)[1][n], np.sqrt(np.diag(covariance)), rtol=1e-12)
    standard = np.zeros((1, 8))
    slope = family.kl_grad_to(DiagonalGaussian(4), family.start[None], standard)[0]
    assert np.all(np.abs(slope[0, 8:]) > 1e-4)
    with pytest.raises(ValueError, match="rank"):
        LowRankGaussian(2, 3)


# -- what is refused -----------------------------------------------------------------------------------


MISTAKES = [
    ("lapalce", "posterior: .*'laplace'"),
    ("amortisd:laplace", "posterior: .*amortised"),
    ("exact:laplace", "posterior: expected 'exact' alone"),
    ("exact", "posterior: expected amortised or free, or a family"),
    ("laplace(rank=2)", "laplace: expected no arguments"),
    ("coupling-flow(layres=2)", "layers"),
    ("categorical", "posterior: categorical as q needs discrete z"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_wrong_q_is_one_line(text, message):
    with pytest.raises(ValueError, match=message):
        fit("deep-bernoulli", BITS, posterior=text, epochs=1, **QUICK)


def test_a_q_beyond_the_support_of_the_prior_is_refused_with_what_would_do():
    with pytest.raises(NotApplicable, match=r"-inf where q reaches beyond it; take gamma, .*weibull"):
        fit("deep-bernoulli", BITS, latent_prior="gamma", posterior="laplace", epochs=1, **QUICK)


def test_texts_of_a_q_are_read_in_any_spelling():
    assert find_posterior("Amortized:Full_Covariance").text == "amortised:full-gaussian"
    assert find_posterior("free").text == "free" and find_posterior("full").text == "full-gaussian"


# -- the prior of a deep model ---------------------------------------------------------------------------


def log_p_by_integral(model, theta, x):
    """Return log p(x) of one datum x (1, 3) under one latent, by a rule over its support."""
    z, weights = rule_on(model.family)
    return np.log(np.exp(model.log_joint(theta, x, z))[:, 0] @ weights)


@pytest.mark.parametrize("name", ON_THE_LINE)
def test_log_p_under_any_prior_is_that_of_an_independent_quadrature(name):
    if usable(name, 1) is None or name == "diagonal-gaussian-mixture":
        pytest.skip("no member of one dimension without arguments, or its standard member is N(0, I)")
    model = DeepBernoulli(3, 1, (4,), latent_prior=name)
    value, error, rung = ladder.log_evidence(model, THETA, X[:1])
    assert rung == "quadrature" and error.max() < 1e-7
    assert abs(value[0] - log_p_by_integral(model, THETA, X[:1])) < 1e-7


def test_two_latents_under_a_heavy_tail_and_a_half_line():
    for name, low in (("laplace", -np.inf), ("exponential", 0.0)):
        model = DeepBernoulli(3, 2, (3,), latent_prior=name)
        theta = np.random.default_rng(5).normal(size=model.layout.size)
        # 120 Gauss-Legendre nodes on each side of zero, far into the tails.
        nodes, weights = np.polynomial.legendre.leggauss(120)
        side, w = 20.0 * (nodes + 1.0), 20.0 * weights
        if low < 0.0:
            side, w = np.concatenate([-side, side]), np.concatenate([w, w])
        z = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 1, 2)
        total = np.exp(model.log_joint(theta, X[:1], z))[:, 0] @ np.outer(w, w).ravel()
        value, _, _ = ladder.log_evidence(model, theta, X[:1])
        assert abs(value[0] - np.log(total)) < 1e-7


def test_a_prior_that_stays_gaussian_in_the_density_is_found(monkeypatch):
    model = DeepBernoulli(3, 1, (4,), latent_prior="laplace")
    exact = ladder.log_evidence(model, THETA, X[:1])[0][0]
    standard = np.zeros((1, 2))
    monkeypatch.setattr(
        DeepBernoulli, "log_prior", lambda *given: DiagonalGaussian(1).log_prob(standard, given[2])
    )
    assert abs(log_p_by_integral(model, THETA, X[:1]) - exact) > 1e-3


@pytest.mark.parametrize(("name", "q"), [("laplace", "diagonal-gaussian"), ("gamma", "gamma")])
def test_a_fit_under_another_prior_is_kept_and_resumed(name, q, tmp_path):
    whole, part = tmp_path / "whole.npz", tmp_path / "part.npz"
    options = QUICK | {"latent_prior": name}
    found = fit("deep-bernoulli", BITS, epochs=2, checkpoint=whole, **options)
    fit("deep-bernoulli", BITS, epochs=1, checkpoint=part, **options)
    resumed = fit(data=BITS, resume=part, epochs=2, progress=False)
    assert np.array_equal(found.theta, resumed.theta) and np.array_equal(found.phi, resumed.phi)
    stored = load_fitted(whole)
    assert (stored.model.family.name, stored.posterior.family.name) == (name, q)
    assert np.isfinite(evaluate(whole, BITS, importance_samples=20, progress=False).final["elbo_per_datum"])


def test_a_discrete_prior_and_a_model_without_the_choice_are_refused():
    with pytest.raises(ValueError, match="latent_prior: expected a family of continuous z"):
        fit("deep-bernoulli", BITS, latent_prior="categorical", epochs=1, **QUICK)
    with pytest.raises(ValueError, match="latent_prior: expected no value with method"):
        fit("ppca", np.random.default_rng(0).normal(size=(9, 3)), latent_prior="laplace", latent=1)
    assert Gamma(2) == DeepBernoulli(3, 2, latent_prior="gamma").posterior_family
