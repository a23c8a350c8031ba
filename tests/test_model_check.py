"""A user's model is held against itself: correct ones pass, and every planted fault is named."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from scipy.special import gammaln
from user_models import (
    CORRECT,
    COUNTS,
    CategoricalNetwork,
    Counts,
    Positive,
    PositiveLogNormal,
    RobustPPCA,
    spoiled,
    with_pullback,
)

from elbo_lab import Problem, check_model, check_unbiased, compare, fit
from elbo_lab.checking.draws import Histogram, against_histogram, bridge
from elbo_lab.checking.references import shared_with_model
from elbo_lab.distributions import FAMILIES, DiagonalGaussian, FullGaussian, Gamma, Laplace
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import Estimator
from elbo_lab.exact import coupled
from elbo_lab.models import MODELS, PPCA, GaussianMixture
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import ModelChoice, find_estimators, find_models
from elbo_lab.report import verdict
from elbo_lab.study import build_scene
from elbo_lab.study.references import references
from elbo_lab.training import ElboObjective

TIMES = 1.1


def data_of(kind):
    return next(data for correct, data in CORRECT.values() if issubclass(kind, correct))


def refusal(kind, latent=2, seed=0):
    """Return the line with which a model is refused."""
    with pytest.raises((ValueError, TypeError)) as refused:
        check_model(kind, data_of(kind), latent=latent, seed=seed)
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("choice", find_models(MODELS), ids=lambda choice: choice.label)
def test_the_models_of_the_package_pass(choice):
    check_model(f"{choice.kind.name}:{choice.variant}" if choice.variant else choice.kind)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CORRECT)
def test_correct_models_with_heavy_tails_counts_categories_and_positive_latents_pass(name, seed):
    kind, data = CORRECT[name]
    check_model(kind, data, latent=2, seed=seed)


def _coordinate(array, index, factor):
    return np.where(np.arange(array.shape[-1]) == index, factor * array, array)


def _with_prior(kind, times):
    def prior_eta_vjp(self, theta, grad_eta):
        return times * kind.prior_eta_vjp(self, theta, grad_eta)

    return spoiled(kind, prior_eta_vjp=prior_eta_vjp)


def _with_prior_z(kind, times):
    def log_prior_grad_z(self, theta, z, cotangent):
        return times * kind.log_prior_grad_z(self, theta, z, cotangent)

    return spoiled(kind, log_prior_grad_z=log_prior_grad_z)


def _log_prior_wrong_only_in_sum(kind):
    def log_joint(self, theta, x, z):
        return kind.log_joint(self, theta, x, z) + 0.01

    return spoiled(kind, log_joint=log_joint)


# Model, what its line must contain.
WRONG_DERIVATIVES = {
    "theta, all 10 % too large": (
        with_pullback(Counts, lambda _, a, b: (TIMES * a, b)),
        ("grad_theta of likelihood", "1.1 times"),
    ),
    "theta, one block of the wrong sign": (
        with_pullback(RobustPPCA, lambda _, a, b: (_coordinate(a, 6, -1.0), b)),
        ("grad_theta of likelihood", "log_s[0]", "-1 times"),
    ),
    "theta, 1 % in one coordinate": (
        with_pullback(Positive, lambda _, a, b: (_coordinate(a, 3, 1.01), b)),
        ("grad_theta of likelihood", "W[1, 1]", "1.01 times"),
    ),
    "theta, of a network behind categories": (
        with_pullback(CategoricalNetwork, lambda _, a, b: (_coordinate(a, 2, TIMES), b)),
        ("grad_theta of likelihood", "U[0, 2]", "1.1 times"),
    ),
    "z, all 20 % too large": (
        with_pullback(Counts, lambda _, a, b: (a, 1.2 * b)),
        ("grad_z of likelihood", "z[", "1.2 times"),
    ),
    "z, one latent": (
        with_pullback(RobustPPCA, lambda _, a, b: (a, _coordinate(b, 1, TIMES))),
        ("grad_z of likelihood", "z[1]", "1.1 times"),
    ),
    "prior in theta": (_with_prior(Positive, TIMES), ("grad_theta of log_prior", "prior[", "prior_eta_vjp")),
    "prior in theta of categories": (
        _with_prior(CategoricalNetwork, 0.9),
        ("grad_theta of log_prior", "logits["),
    ),
    "prior in z": (_with_prior_z(Positive, TIMES), ("grad_z of log_prior", "z[")),
    "a prior that is called fixed and is not": (
        spoiled(Positive, fixed_prior=True),
        ("fixed_prior", "prior["),
    ),
    "log_joint that is no sum": (
        _log_prior_wrong_only_in_sum(Counts),
        ("log_joint of", "the sum over likelihood and log_prior"),
    ),
}


@pytest.mark.parametrize("fault", WRONG_DERIVATIVES)
def test_a_wrong_derivative_is_named_with_its_coordinate_and_its_factor(fault):
    kind, parts = WRONG_DERIVATIVES[fault]
    line = refusal(kind)
    assert all(part in line for part in parts), line


def _likelihood(change, kind=RobustPPCA):
    def likelihood(self, theta, x, z):
        value, pullback = kind.likelihood(self, theta, x, z)
        return change(value), pullback

    return spoiled(kind, likelihood=likelihood)


def _joint(change, kind=RobustPPCA):
    return spoiled(kind, log_joint=lambda self, theta, x, z: change(kind.log_joint(self, theta, x, z)))


WRONG_RESULTS = {
    "the first datum stands for all": (
        _likelihood(lambda value: value[..., :1]),
        ("shape (3, 2, 8)", "(3, 2, 1)"),
    ),
    "a sum over the data": (
        _likelihood(lambda value: value.sum(axis=-1)),
        ("shape (3, 2, 8)", "shape (3, 2)"),
    ),
    "repeats added up": (
        _likelihood(
            lambda value: np.broadcast_to(value.sum(axis=0), value.shape) if value.ndim > 2 else value
        ),
        ("likelihood", "as without repeats in front"),
    ),
    "a column of the joint": (_joint(lambda value: value[..., :1]), ("log_joint", "(3, 2, 1)")),
    "complex numbers": (_likelihood(lambda value: value + 0j), ("likelihood", "floats", "complex128")),
    "not a number": (_likelihood(lambda value: value * np.nan), ("likelihood", "finite numbers")),
    "no array": (_likelihood(lambda value: value.tolist()), ("likelihood", "an array of floats", "list")),
    "gradients of theta without repeats": (
        with_pullback(RobustPPCA, lambda _, a, b: (a.reshape(-1, a.shape[-1]).sum(axis=0), b)),
        ("grad_theta of likelihood", "shape (3, 8)", "shape (8,)"),
    ),
    "gradients of z for all data where they share a draw": (
        with_pullback(RobustPPCA, lambda _, a, b: (a, np.repeat(b, 8, axis=-2) if b.shape[-2] == 1 else b)),
        ("grad_z", "one draw for all data", "(2, 1, 2)"),
    ),
    "a start of another size": (
        spoiled(RobustPPCA, initial_theta=lambda *_: np.zeros(3)),
        ("initial_theta", "(8,)"),
    ),
}


@pytest.mark.parametrize("fault", WRONG_RESULTS)
def test_a_result_of_the_wrong_form_is_named_with_its_shape(fault):
    kind, parts = WRONG_RESULTS[fault]
    line = refusal(kind)
    assert all(part in line for part in parts), line


def test_a_kink_is_no_fault_and_hides_none():
    kinked = WRONG_DERIVATIVES["theta, of a network behind categories"][0]
    for seed in range(5):
        check_model(CategoricalNetwork, "faithful", latent=5, seed=seed)
        assert "U[0, 2]" in refusal(kinked, latent=5, seed=seed)


@pytest.mark.parametrize("fault", ["theta, all 10 % too large", "z, all 20 % too large"])
def test_compare_and_fit_refuse_the_model_and_blame_no_estimator(fault):
    kind, parts = WRONG_DERIVATIVES[fault]
    for run in (
        lambda: check_unbiased("score-function-loo", kind(3, 1)),
        lambda: compare(kind, data=data_of(kind), rows=8, repeats=10),
        lambda: compare(kind(3, 1), data=data_of(kind), rows=8, repeats=10),
        lambda: fit(kind, data_of(kind), epochs=1),
    ):
        with pytest.raises(ValueError) as refused:
            run()
        assert parts[0] in str(refused.value)


UNUSABLE = {
    "no family": ({"family": None}, "family of robust-ppca"),
    "a layout that is a number": ({"layout": 3}, "layout of robust-ppca"),
    "an empty name": ({"name": ""}, "name"),
    "no name": ({"name": None}, "name"),
    "the name of a model of the package": ({"name": "ppca"}, "name"),
    "for_data that returns nothing": ({"for_data": classmethod(lambda *_, **__: None)}, "for_data"),
}


@pytest.mark.parametrize("fault", UNUSABLE)
@pytest.mark.parametrize("run", [compare, fit, check_model], ids=lambda run: run.__name__)
def test_a_model_without_what_a_model_needs_is_refused_in_one_line(fault, run):
    attributes, part = UNUSABLE[fault]
    kind = spoiled(RobustPPCA, **attributes)
    for model in (kind, kind(2, 1)) if "for_data" not in attributes else (kind,):
        with pytest.raises((ValueError, TypeError)) as refused:
            run(model, data="faithful")
        assert part in str(refused.value) and "\n" not in str(refused.value)


# -- supports, and categories without a formula of their posterior ---------------------------------


def test_families_share_their_support_with_those_whose_draws_have_the_same_values():
    alike = [
        {"diagonal-gaussian", "laplace", "logistic", "student-t", "gumbel", "planar-flow", "coupling-flow"}
        | {"gaussian-chain", "low-rank-gaussian", "diagonal-gaussian-mixture"},
        {"independent-bernoulli", "bernoulli-chain"},
    ]
    alike += [{"log-normal", "exponential", "weibull", "gamma"}]
    families = [kind.of_size(2) for kind in FAMILIES if kind is not FullGaussian]
    for one in families:
        for other in families:
            expected = one == other or any({one.name, other.name} <= names for names in alike)
            assert one.shares_support(other) == expected, (one.name, other.name)
    assert FullGaussian(2).shares_support(DiagonalGaussian(2))
    assert not Gamma(2).shares_support(Gamma(1))


def test_a_q_whose_support_is_not_that_of_the_prior_is_refused_with_the_reason():
    chosen = ["elbo-log-weight", "prior-monte-carlo"]
    result = compare(
        PositiveLogNormal, data=COUNTS[:8], estimators=chosen, repeats=4, posterior="full", at="start"
    )
    reasons = [row["reason"] for row in result.rows]
    assert reasons[1] is None and "another support than the log-normal prior" in reasons[0]
    with pytest.raises(ValueError, match="another support than the gamma prior"):
        compare(
            Positive, data="faithful", estimators="reparameterization", rows=4, repeats=4, posterior="full"
        )
    with pytest.raises(ValueError, match="another support than the gamma prior"):
        ElboObjective(Positive(2, 1), FreePosterior(DiagonalGaussian(1), 4), np.zeros((4, 2)))


@dataclass(frozen=True)
class LaplaceFactors(Positive):
    """Positive's formulas with z of either sign: a prior whose noise is uniform."""

    name = "laplace-factors"

    @cached_property
    def family(self):
        return Laplace(self.n_latent)


def check_noise_of_another_family():
    """A Gaussian q under a prior with uniform noise is drawn from normal noise, and its ELBO is not FAIL."""
    estimators = ["elbo-log-weight", "prior-monte-carlo"]
    options = {"posterior": "full", "at": "start", "rows": 3, "repeats": 200, "draws": 4}
    rows = compare(LaplaceFactors, data="faithful", estimators=estimators, **options).rows
    assert not any(verdict(row) == "FAIL" for row in rows)


def test_a_q_is_drawn_from_its_own_noise_and_the_prior_from_that_of_the_prior():
    model = LaplaceFactors(2, 1)
    q = FreePosterior(DiagonalGaussian(1), 3)
    problem = Problem(model, q, np.zeros(model.layout.size), np.zeros(q.layout.size), np.zeros((3, 2)))
    specs = [
        find_estimators(name)[0].noise_for(problem, 4) for name in ("elbo-log-weight", "prior-monte-carlo")
    ]
    assert [(spec.kind, spec.shape) for spec in specs] == [("normal", (4, 3, 1)), ("uniform", (4, 3, 1))]
    check_noise_of_another_family()


def test_a_q_drawn_from_the_noise_of_the_prior_is_caught(monkeypatch):
    def of_prior(self, problem, n_draws):
        return self.noise_spec(problem.model.family, n_draws, len(problem.x))

    monkeypatch.setattr(Estimator, "noise_for", of_prior)
    with pytest.raises(AssertionError):
        check_noise_of_another_family()


@pytest.mark.parametrize(
    "posterior, at", [("free", "near"), ("free", "start"), ("free", "exact"), ("exact", None)]
)
def test_categories_without_a_formula_of_their_posterior_are_enumerated(posterior, at):
    result = compare(CategoricalNetwork, data="faithful", rows=8, repeats=40, posterior=posterior, at=at)
    applicable = [row for row in result.rows if row["applicable"]]
    assert {row["reference"] for row in applicable} <= {"enumeration", "closed-form"}
    assert applicable and all("FAIL" not in verdict(row) for row in applicable)


def _formula(method, change, kind=PPCA):
    """Return a model under another name, with `change` of what one of its formulas returns."""
    formula = getattr(kind, method)
    changed = {method: lambda *arguments: change(formula(*arguments))}
    return spoiled(kind, name=f"own-{kind.name}", **changed)


def _relaxed(by_theta, by_shares):
    """Return a mixture whose pullback of shares of categories is multiplied."""

    def change(pair):
        value, pullback = pair
        factors = by_theta, by_shares
        return value, lambda c: tuple(k * part for k, part in zip(factors, pullback(c), strict=True))

    return _formula("relaxed_likelihood", change, GaussianMixture)


WRONG_FORMULAS = {
    "the posterior": (_formula("posterior_eta", lambda eta: eta + 0.01), "posterior_eta of own-ppca"),
    "the evidence": (_formula("log_evidence", lambda value: value - 0.5), "log_evidence of own-ppca"),
    "the exact bound": (_formula("expected_log_joint", lambda value: 1.01 * value), "expected_log_joint of"),
    "the gradient of the evidence": (
        _formula("log_evidence_grad", lambda gradient: TIMES * gradient),
        "^log_evidence_grad of own-ppca",
    ),
    "the gradient of the exact bound in theta": (
        _formula("expected_log_joint_vjp", lambda pair: (TIMES * pair[0], pair[1])),
        "^grad_theta of expected_log_joint_vjp of own-ppca",
    ),
    "the gradient of the exact bound in eta": (
        _formula("expected_log_joint_vjp", lambda pair: (pair[0], TIMES * pair[1])),
        "^grad_eta of expected_log_joint_vjp of own-ppca",
    ),
    "the likelihood of shared draws": (
        _formula("shared_likelihood", lambda value: value + 0.1),
        "^shared_likelihood of own-ppca",
    ),
    "the terms of the data": (_formula("data_terms", lambda x: 1.01 * x), "^shared_likelihood of own-ppca"),
    "an equivalent theta": (_formula("canonical", lambda theta: 1.01 * theta), "^canonical of own-ppca"),
    "moments of the posterior": (
        _formula("posterior_mean_and_std", lambda pair: (pair[0], 1.01 * pair[1])),
        "^posterior_mean_and_std of own-ppca",
    ),
}


WRONG_OF_CATEGORIES = {
    "the posterior": (_formula("posterior_eta", lambda eta: 1.01 * eta, GaussianMixture), "posterior_eta of"),
    "a value between categories": (
        _formula("relaxed_likelihood", lambda pair: (pair[0] + 0.1, pair[1]), GaussianMixture),
        "^relaxed_likelihood of",
    ),
    "its slope in theta": (_relaxed(TIMES, 1.0), "^grad_theta of relaxed_likelihood of .* 1.1 times that"),
    "its slope in the shares": (_relaxed(1.0, TIMES), "^grad_y of relaxed_likelihood of .* 1.1 times that"),
}


def _raises(*_, **__):
    raise ZeroDivisionError("no such\nluck")


RAISING = {
    "for_data": (
        _raises,
        r"^for_data of \w+: it raises ZeroDivisionError: no such luck, in _raises, test_model",
    ),
    "initial_theta": (
        _raises,
        "^own-ppca: it raises ZeroDivisionError: no such luck, in _raises, test_model",
    ),
    "log_evidence": (
        lambda self, theta, x: PPCA.log_evidence(self, theta, x)[:, None],
        r"^(log_evidence|canonical) of own-ppca: expected shape \(8,\), .*, got shape \(8, 1\)",
    ),
    "shared_likelihood": (
        lambda *_: 1.0,
        r"^shared_likelihood of own-ppca: expected shape .*, got shape \(\)",
    ),
    "posterior_mean_and_std": (lambda *_: (1, 2, 3), "^own-ppca: it raises ValueError: zip|^posterior_mean"),
    "expected_log_joint_vjp": (lambda *_: 1, "^own-ppca: it raises TypeError: cannot unpack"),
}


@pytest.mark.parametrize("method", RAISING)
def test_a_method_that_raises_or_returns_something_else_is_one_line(method):
    replacement, line = RAISING[method]
    replacement = classmethod(replacement) if method == "for_data" else replacement
    with pytest.raises(ValueError, match=line) as refused:
        check_model(spoiled(PPCA, name="own-ppca", **{method: replacement}), data="faithful", latent=1)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("fault", WRONG_OF_CATEGORIES)
def test_a_wrong_formula_of_a_model_of_categories_is_refused(fault):
    kind, part = WRONG_OF_CATEGORIES[fault]
    with pytest.raises(ValueError, match=part):
        check_model(kind)


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("log_evidence_grad", "the exact grad-theta-log-evidence of own-ppca"),
        ("expected_log_joint_vjp", "the exact grad-(theta|phi)-elbo of own-ppca"),
    ],
)
def test_exact_gradients_are_held_against_exact_values_even_of_a_model_that_nobody_has_checked(
    method, part, monkeypatch
):
    def larger(found):
        return TIMES * found if method == "log_evidence_grad" else tuple(TIMES * g for g in found)

    monkeypatch.setattr("elbo_lab.comparison.pipeline.check_once", lambda model, x: None)  # noqa: ARG005
    with pytest.raises(ValueError, match=part):
        compare(_formula(method, larger), data="faithful", latent=1, rows=8, repeats=10)


@pytest.mark.parametrize("fault", WRONG_FORMULAS)
def test_a_wrong_formula_of_a_model_with_a_closed_form_is_refused_before_it_judges_anyone(fault):
    kind, part = WRONG_FORMULAS[fault]
    with pytest.raises(ValueError, match=part):
        compare(kind, data="faithful", latent=1, rows=8, repeats=10)


def test_a_model_derived_from_one_of_the_package_passes_as_that_does():
    compare(spoiled(PPCA, name="own-ppca"), data="faithful", estimators="exact", latent=1, rows=8, repeats=10)


# -- draws against the density ---------------------------------------------------------------------


def _with_draws(kind, draw):
    """Return a subclass whose `sample_x` is draw(means, scales, rng), or draw(means, rng) for counts."""

    def sample_x(self, theta, z, rng):
        t = self.layout.views(theta)
        means = z @ t["W"].T + t["b"]
        return draw(np.exp(means), rng) if kind is Counts else draw(means, np.exp(t["log_s"]), rng)

    return spoiled(kind, sample_x=sample_x)


def _with_z(kind, change):
    def sample(self, theta, n_data, rng):
        _, z = kind.sample(self, theta, n_data, rng)
        z = change(z, rng)
        return self.sample_x(theta, z, rng), z

    return spoiled(kind, sample=sample)


def _with_constant(kind, nats):
    """Return a subclass whose likelihood lacks `nats(model, x)`, which has no part in any derivative."""

    def likelihood(self, theta, x, z):
        value, pullback = kind.likelihood(self, theta, x, z)
        return value + nats(self, x), pullback

    return spoiled(kind, likelihood=likelihood)


class Unbounded(Gamma):
    """A family that forgets its support."""

    def log_prob(self, eta, z):
        return super().log_prob(eta, np.abs(z))


WRONG_DRAWS = {
    "noise 10 % too wide": (
        _with_draws(Positive, lambda mean, s, rng: mean + 1.1 * s * rng.standard_normal(mean.shape)),
        "log_s",
    ),
    "variance for standard deviation": (
        _with_draws(Positive, lambda mean, s, rng: mean + s**2 * rng.standard_normal(mean.shape)),
        "sample",
    ),
    "normal noise where the density has heavy tails": (
        _with_draws(RobustPPCA, lambda mean, s, rng: mean + s * rng.standard_normal(mean.shape)),
        "log_s",
    ),
    "heavy tails 20 % too wide": (
        _with_draws(RobustPPCA, lambda mean, s, rng: mean + 1.2 * s * rng.standard_t(4, mean.shape)),
        "log_s",
    ),
    "the sign of the means": (
        _with_draws(Positive, lambda mean, s, rng: -mean + s * rng.standard_normal(mean.shape)),
        "sample",
    ),
    "rates 20 % too large": (
        _with_draws(Counts, lambda rates, rng: rng.poisson(1.2 * rates).astype(float)),
        "sample",
    ),
    "x that ignores z": (
        spoiled(RobustPPCA, sample_x=lambda m, theta, z, rng: RobustPPCA.sample_x(m, theta, 0.0 * z, rng)),
        "sample",
    ),
    "a learned prior, z 20 % too large": (_with_z(Positive, lambda z, _: 1.2 * z), "sample of gamma-factors"),
    "a fixed prior, z moved": (_with_z(RobustPPCA, lambda z, _: z + 0.3), "mean"),
    "a fixed prior, z too wide": (_with_z(RobustPPCA, lambda z, _: 1.4 * z), "log_std"),
    "equal categories": (
        _with_z(CategoricalNetwork, lambda z, rng: np.minimum(rng.integers(4, size=z.shape), 1)),
        "logits",
    ),
    "the means of other categories": (
        spoiled(
            CategoricalNetwork,
            sample_x=lambda m, theta, z, rng: CategoricalNetwork.sample_x(m, theta, 1 - z, rng),
        ),
        "sample",
    ),
    "no normalising constant": (
        _with_constant(Positive, lambda m, _: 0.5 * m.n_columns * np.log(2 * np.pi)),
        "likelihood of gamma-factors: expected a density that integrates to 1",
    ),
    "no factorial": (_with_constant(Counts, lambda _, x: gammaln(x + 1.0).sum(axis=-1)), "integrates to 1"),
    "a tenth of a nat": (_with_constant(RobustPPCA, lambda *_: -0.1), "integrates to 1"),
    "counts below zero": (
        spoiled(Counts, sample_x=lambda m, theta, z, rng: Counts.sample_x(m, theta, z, rng) - 1.0),
        "log_joint of counts: expected finite numbers at draws of sample",
    ),
    "a prior that has no end": (
        spoiled(Positive, family=property(lambda m: Unbounded(m.n_latent))),
        "log_prior of gamma-factors: expected -inf at z = -1",
    ),
}


@pytest.mark.parametrize("fault", WRONG_DRAWS)
def test_draws_that_are_not_those_of_the_density_are_found_with_any_seed(fault):
    kind, part = WRONG_DRAWS[fault]
    for seed in range(2):
        line = refusal(kind, seed=seed)
        assert part in line, line


def test_both_sides_of_the_identity_are_equal_without_luck():
    p, g = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.1, 0.1, 0.3, 0.5])
    with np.errstate(divide="ignore"):
        log_ratio = np.log(p) - np.log(g)
    by_p, by_g = (np.repeat(log_ratio, np.round(10_000 * share).astype(int)) for share in (p, g))
    assert abs(bridge(by_p, by_g, 1).difference) < 1e-15
    # A constant changes both sides, by what the slope says, and beyond its bound the identity is refused.
    seen = bridge(by_p, by_g, 1).constant
    assert bridge(by_p + 0.5 * seen, by_g + 0.5 * seen, 1).holds
    assert not bridge(by_p + seen, by_g + seen, 1).holds


def test_a_histogram_of_values_and_of_bins_is_normalised():
    rng = np.random.default_rng(0)
    draws = np.stack([rng.poisson(3.0, 1000), rng.standard_t(2, 1000)], axis=-1)
    histogram = Histogram.of(draws)
    (values, shares), (edges, none) = histogram.columns
    middles = 0.5 * (edges[1:] + edges[:-1])
    table = np.stack(np.meshgrid(values, middles), axis=-1).reshape(-1, 2)
    mass = np.exp(histogram.log_density(table)) * np.tile(np.diff(edges)[:, None], len(values)).ravel()
    assert none is None and abs(mass.sum() - 1.0) < 1e-12 and abs(shares.sum() - 1.0) < 1e-12
    assert np.all(np.isfinite(histogram.log_density(histogram.sample(500, rng))))
    assert histogram.log_density(np.array([[1.5, 0.0], [2.0, 1e9]])).tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("name", sorted(CORRECT.keys() - {"gamma-factors"}))
def test_the_constant_that_is_said_to_be_detectable_is_detected(name):
    kind, data = CORRECT[name]
    for seed in range(3):
        seen = check_model(kind, data, latent=2, seed=seed).constant_detectable
        assert 0.0 < seen < 0.1
        wrong = _with_constant(kind, lambda *_, seen=seen: 1.3 * seen)
        assert "integrates to 1" in refusal(wrong, seed=seed)


def test_data_of_which_one_column_follows_from_the_others_are_left_out():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), 4000)
    assert against_histogram(lambda n: shares[:n], lambda x: np.zeros(len(x)), 1, rng) is None


# -- references ------------------------------------------------------------------------------------


def scene_of(kind, latent, at="near"):
    choice = ModelChoice(kind)
    return build_scene(choice, data_of(kind), latent, "free", at, 4, 0)


TARGETS_OF = {
    "theta": ["grad-theta-log-evidence", "grad-theta-elbo", "grad-theta-iwae-3"],
    "phi": ["grad-phi-elbo", "grad-phi-iwae-3"],
}


@pytest.mark.parametrize("kind, latent", [(Counts, 1), (RobustPPCA, 2), (CategoricalNetwork, 3)])
def test_exact_gradients_of_a_correct_model_are_the_slopes_of_exact_values(kind, latent):
    scene = scene_of(kind, latent)
    targets = [*TARGETS_OF["theta"], *TARGETS_OF["phi"], "grad-phi-inclusive-kl", "elbo"]
    answers, _ = references(scene, targets)
    assert shared_with_model(scene, answers, targets) == {}


@pytest.mark.parametrize("target", [*TARGETS_OF["theta"], *TARGETS_OF["phi"]])
def test_an_exact_gradient_that_is_no_slope_is_refused_wherever_the_fault_hides(target):
    def change(_, grad_theta, grad_z):
        return TIMES * grad_theta, TIMES * grad_z

    scene = scene_of(with_pullback(RobustPPCA, change), 1)
    answers, _ = references(scene, [target])
    with pytest.raises(ValueError, match=f"the exact {target.removesuffix('-3')} of robust-ppca: expected"):
        shared_with_model(scene, answers, [target])


def test_a_long_run_of_a_users_model_says_that_it_shares_the_pullback():
    result = compare(
        Counts, data=COUNTS, estimators=["score-function", "elbo-log-weight"], latent=3, rows=4, repeats=4
    )
    notes = {row["target"]: row["reference_note"] for row in result.rows}
    assert notes == {"grad-phi-elbo": "reference shares: pullback", "elbo": None}
    table = result.table(width=100)
    assert "(long-run), reference shares: pullback" in table
    assert " ".join(table.split()).count("no difference of exact values confirms here") == 1
    own = compare("deep-bernoulli", estimators="score-function", latent=3, rows=4, repeats=4)
    assert {row["reference_note"] for row in own.rows} == {None}


def test_a_single_category_is_no_special_case():
    result = compare(CategoricalNetwork, data="faithful", latent=1, rows=4, repeats=10)
    assert all("FAIL" not in verdict(row) for row in result.rows if row["applicable"])


def test_a_model_that_cannot_be_drawn_from_is_checked_without_draws_and_says_so():
    def sample_x(*_):
        raise ValueError("a rate that is too large")

    result = check_model(spoiled(Counts, sample_x=sample_x), COUNTS)
    assert result.constant_detectable == np.inf and "draws could not be compared" in str(result)


def test_a_few_draws_beyond_the_floats_are_no_fault():
    def sample_x(self, theta, z, rng):
        x = Counts.sample_x(self, theta, z, rng)
        x[: len(x) // 500] = np.inf
        return x

    assert check_model(spoiled(Counts, sample_x=sample_x), COUNTS).constant_detectable < 0.1


def _writes_to_theta(kind):
    def likelihood(self, theta, x, z):
        theta += 0.01
        return kind.likelihood(self, theta, x, z)

    return spoiled(kind, likelihood=likelihood)


def test_a_likelihood_that_writes_to_its_inputs_is_told_before_what_follows_from_it():
    assert "only reads its inputs, got one that writes to theta" in refusal(_writes_to_theta(Counts))


def test_parameters_of_the_prior_have_an_axis_for_the_data():
    flat = spoiled(Positive, prior_eta=lambda self, theta: Positive.prior_eta(self, theta)[0])
    line = refusal(flat)
    assert line.startswith("prior_eta of") and "expected shape (1, 4), got shape (4,)" in line


@pytest.mark.parametrize("fault", ["pullback", "sample_x"])
def test_an_estimator_is_not_held_against_a_model_that_is_wrong(fault):
    def sample_x(self, theta, z, rng):
        return 1.0 + Counts.sample_x(self, theta, z, rng)

    wrong = {
        "pullback": with_pullback(Counts, lambda _, a, b: (TIMES * a, b)),
        "sample_x": spoiled(Counts, sample_x=sample_x),
    }
    expected = {"pullback": "^grad_theta of likelihood", "sample_x": "^sample of counts"}
    with pytest.raises(ValueError, match=expected[fault]):
        check_unbiased("reparameterization", wrong[fault])


def test_a_gap_that_is_not_exact_is_refused_by_its_name():
    def initial_theta(self, x):
        start = RobustPPCA.initial_theta(self, x)
        self.layout.view(start, "log_s")[...] = -6.0
        return start

    sharp = spoiled(RobustPPCA, initial_theta=initial_theta)
    with pytest.raises(NotApplicable, match=r"^gap_rows: .*leave gap_rows out"):
        fit(sharp, "faithful", gap_rows=2, epochs=1, latent=1)


def test_a_bound_whose_weights_are_too_wide_for_its_integral_is_left_to_draws():
    model, family = Counts(2, 1), DiagonalGaussian(1)
    theta = model.layout.pack({"W": np.full((2, 1), 8.0), "b": np.full(2, 12.0)})
    bounds = [
        coupled.importance_weighted_bound(
            model, at, np.full((1, 2), 3.0), family, np.zeros((1, 2)), 3, np.random.default_rng(0)
        )
        for at in (0.1 * theta, theta)
    ]
    assert [bound.rung for bound in bounds] == ["quadrature", "long-run"]
