"""A user's model is held against itself: correct ones pass, and every planted fault is named."""

import numpy as np
import pytest
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

from elbo_lab import check_model, compare, fit
from elbo_lab.distributions import FAMILIES, DiagonalGaussian, FullGaussian, Gamma
from elbo_lab.models import MODELS
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import find_models
from elbo_lab.report import verdict
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


@pytest.mark.parametrize("seed", range(5))
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
        ("log_joint of", "log p(x | z) + log p(z)"),
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
    for seed in range(10):
        check_model(CategoricalNetwork, "faithful", latent=5, seed=seed)
        assert "U[0, 2]" in refusal(kinked, latent=5, seed=seed)


@pytest.mark.parametrize("fault", ["theta, all 10 % too large", "z, all 20 % too large"])
def test_compare_and_fit_refuse_the_model_and_blame_no_estimator(fault):
    kind, parts = WRONG_DERIVATIVES[fault]
    for run in (
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
    alike = [{"diagonal-gaussian", "laplace", "logistic", "student-t", "gumbel"}]
    alike += [{"log-normal", "exponential", "weibull", "gamma"}]
    families = [kind(2) for kind in FAMILIES if kind is not FullGaussian]
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


@pytest.mark.parametrize(
    "posterior, at", [("free", "near"), ("free", "start"), ("free", "exact"), ("exact", None)]
)
def test_categories_without_a_formula_of_their_posterior_are_enumerated(posterior, at):
    result = compare(CategoricalNetwork, data="faithful", rows=8, repeats=40, posterior=posterior, at=at)
    applicable = [row for row in result.rows if row["applicable"]]
    assert {row["reference"] for row in applicable} <= {"enumeration", "closed-form"}
    assert all(verdict(row) in ("ok", "biased", "-") for row in applicable)
