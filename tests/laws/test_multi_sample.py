"""Estimators whose draws are coupled: identities between neighbours, known answers, their own faults."""

import itertools
import re

import estimator_laws as laws
import multi_sample_laws as several
import numpy as np
import pytest
from cases import CASES, CATEGORICAL, DISCRETE, over
from estimator_laws import BY_NAME, assert_same, exact_value
from multi_sample_laws import ONE_LATENT
from noise_integrals import NotIntegrated, expected_estimate

from elbo_lab.estimators import Dreg, ImportanceWeighted, OvisMonteCarlo, OvisTilde, PiwaePhi
from elbo_lab.estimators.iwae_gradients import ovis
from elbo_lab.estimators.iwae_gradients import score as coupled_score
from elbo_lab.estimators.iwae_gradients.path import CoupledPath, IwaeReparameterization
from elbo_lab.estimators.iwae_gradients.score import (
    IwaeScoreFunction,
    Vimco,
    VimcoArithmetic,
    log_sum_of_others,
)
from elbo_lab.estimators.iwae_gradients.wake import WakePhi, WakePhiDreg
from elbo_lab.special import log_mean_exp, log_sum_exp, softmax

CONTINUOUS = [case for case in CASES if not case.model.family.discrete]
# The exact posterior must lie in the family: that of hidden bits, which couples them, does not.
LANDED = [laws.canonical(c) for c in CASES if c in CATEGORICAL or hasattr(c.model, "log_evidence")]


def everywhere(law, case):
    for posterior, phi in case.posteriors():
        law(case, posterior, phi)


@over(CASES)
def test_with_one_draw_everything_is_the_elbo(case):
    everywhere(several.one_draw_is_the_elbo, case)


@over(CONTINUOUS)
def test_with_one_draw_dreg_sticks_the_landing(case):
    everywhere(several.one_draw_sticks_the_landing, case)


@over(CASES)
def test_at_two_draws_the_two_vimcos_are_one(case):
    everywhere(several.vimcos_agree_at_two_draws, case)


def test_at_three_draws_they_differ():
    case = CASES[0]
    noise = several.noise_of(case, 3)
    found, other = (
        several.named(n, case, case.free, case.free_phi, noise) for n in ("vimco", "vimco-arithmetic")
    )
    assert np.abs(found - other).max() > 1e-3


@over(CASES)
def test_ovis_tilde_lies_between_vimco_and_the_wake_phase(case):
    everywhere(several.ovis_tilde_between, case)


@over(CONTINUOUS)
def test_the_plain_landing_is_dreg_and_a_wake_phase(case):
    everywhere(several.landing_is_dreg_and_wake, case)


@over(ONE_LATENT)
def test_reparameterising_the_wake_phase_keeps_its_mean(case):
    several.wake_phases_agree_in_mean(case)


@over(DISCRETE)
def test_what_ovis_tilde_adds_to_the_gradient_is_the_wake_phase(case):
    several.wake_phase_is_what_ovis_adds(case)


@over(LANDED)
def test_at_the_exact_posterior_what_is_centred_has_no_noise(case):
    several.noiseless_at_the_exact_posterior(case)


@over(DISCRETE)
@pytest.mark.parametrize("n_draws", [2, 4])
def test_score_functions_are_unbiased_at_other_numbers_of_draws(case, n_draws):
    for name in ("iwae-score-function", "vimco", "vimco-arithmetic", "ovis-tilde-0", "iwae-theta"):
        found = expected_estimate(BY_NAME[name], case, case.free, case.free_phi, n_draws)
        assert_same(found, exact_value(BY_NAME[name], case, case.free, case.free_phi, n_draws), 1e-12)


@over(DISCRETE)
@pytest.mark.parametrize("further", [1, 2])
def test_any_number_of_further_draws_keeps_ovis_unbiased(case, further):
    estimator = OvisMonteCarlo(further)
    found = expected_estimate(estimator, case, case.free, case.free_phi, 3)
    assert_same(found, exact_value(estimator, case, case.free, case.free_phi, 3), 1e-12)


@over(DISCRETE)
def test_the_bias_of_ovis_tilde_tends_to_the_inclusive_gradient(case):
    wake = exact_value(BY_NAME["wake-phi"], case, case.free, case.free_phi)
    gaps = [
        np.linalg.norm(laws.bias(BY_NAME["ovis-tilde-1"], case, case.free, case.free_phi, s) - wake)
        for s in (3, 6)
    ]
    assert gaps[1] < 0.8 * gaps[0]


def test_three_groups_of_two_are_the_mean_of_three_bounds():
    case = CASES[6]
    noise = several.noise_of(case, 6)
    found = several.estimate(PiwaePhi(3), case, case.free, case.free_phi, noise)
    alone = several.named(
        "iwae-reparameterization", case, case.free, case.free_phi, noise.reshape(3, 2, 3, 1)
    )
    assert_same(found, alone.mean(axis=0), 1e-12)
    assert PiwaePhi(3).target_at(6) == "grad-phi-iwae-2"


def test_draws_that_fill_no_group_are_left_out():
    case = CASES[6]
    noise = several.noise_of(case, 7)
    seven, six = (
        several.estimate(PiwaePhi(3), case, case.free, case.free_phi, part) for part in (noise, noise[:6])
    )
    np.testing.assert_array_equal(seven, six)
    assert PiwaePhi(3).target_at(7) == "grad-phi-iwae-2"


def test_the_gradient_in_theta_is_one_formula_for_two_targets():
    estimator = BY_NAME["iwae-theta"]
    assert isinstance(estimator, ImportanceWeighted) and estimator.target_at(5) == "grad-theta-iwae-5"
    case = CASES[3]
    noise = several.noise_of(case, 5)
    found, other = (
        several.named(name, case, case.free, case.free_phi, noise)
        for name in ("iwae-theta", "importance-weighted")
    )
    np.testing.assert_array_equal(found, other)


@pytest.mark.parametrize("top", [0.0, 40.0, 800.0])
def test_the_sum_of_the_others_keeps_its_digits_under_one_large_weight(top):
    log_w = np.array([top, 0.3, -2.0, -900.0])[:, None] + np.array([0.0, 500.0])
    found = log_sum_of_others(log_w)
    for k in range(4):
        expected = log_sum_exp(np.delete(log_w, k, axis=0), axis=0)
        assert np.abs(found[k] - expected).max() < 1e-12 * 1000


def test_equal_weights_and_two_draws_are_no_special_case():
    np.testing.assert_allclose(log_sum_of_others(np.full((3, 1), 7.0)), 7.0 + np.log(2.0))
    np.testing.assert_allclose(log_sum_of_others(np.array([[1.0], [5.0]])), [[5.0], [1.0]])


IMPOSSIBLE_NUMBERS = [
    (lambda: PiwaePhi(1), "groups: expected a whole number of at least 2, got 1"),
    (lambda: OvisMonteCarlo(0), "further: expected a whole number of at least 1, got 0"),
    (lambda: OvisTilde(1.5), "gamma: expected a number between 0 and 1, got 1.5"),
]


@pytest.mark.parametrize(("build", "message"), IMPOSSIBLE_NUMBERS)
def test_impossible_numbers_are_refused(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


# -- planted faults --------------------------------------------------------------------------------


def own_draw_in_the_baseline(_):
    def signal(self, log_w):  # noqa: ARG001 - the mean of all weights, the draw's own among them
        replaced = np.logaddexp(log_sum_of_others(log_w), log_w.mean(axis=-2, keepdims=True))
        return log_sum_exp(log_w, axis=-2)[..., None, :] - replaced - softmax(log_w, axis=-2)

    return signal


def without_share(right):
    def signal(self, log_w):
        found = right(self, log_w)
        return found + softmax(log_w[..., : found.shape[-2], :], axis=-2)

    return signal


def own_weight_left(right):
    return lambda self, log_w: right(self, log_w) * (1.0 - softmax(log_w, axis=-2))


def wrong_count(right):
    return lambda self, log_w: right(self, log_w) - log_w / log_w.shape[-2] * 1e-3


def summed(right):
    return lambda self, log_w: right(self, log_w) + np.log(log_w.shape[-2]) * softmax(log_w, axis=-2)


def further_draws_of_the_bound(right):
    """The further draws are the bound's own first ones."""

    def signal(self, log_w):
        repeated = np.concatenate([log_w[..., : -self.further, :], log_w[..., : self.further, :]], axis=-2)
        return right(self, repeated)

    return signal


def not_squared(_):
    return lambda self, log_w: softmax(log_w, axis=-2)  # noqa: ARG005


def unnormalised(_):
    return lambda self, log_w: np.exp(log_w)  # noqa: ARG005


def over_the_data(_):
    return lambda self, log_w: softmax(log_w, axis=-1) / log_w.shape[-2]  # noqa: ARG005


def one_group(_):
    return lambda self, log_w: softmax(log_w, axis=-2)  # noqa: ARG005


def without_parameters(_):
    return lambda self, *arguments: CoupledPath.through_parameters(self, *arguments)


def times(factor):
    return lambda right: lambda *arguments: factor * right(*arguments)


FAULTS = {
    "VIMCO's baseline uses its own draw": (Vimco, "signal", own_draw_in_the_baseline),
    "VIMCO without the share of the draw": (Vimco, "signal", without_share),
    "VIMCO's arithmetic form times what is left": (VimcoArithmetic, "signal", own_weight_left),
    "arithmetic VIMCO one per cent off": (VimcoArithmetic, "signal", times(1.01)),
    "the score function's bound sees single draws": (IwaeScoreFunction, "signal", wrong_count),
    "the score function's share times log K": (IwaeScoreFunction, "signal", summed),
    "OVIS-MC without the share of the draw": (OvisMonteCarlo, "signal", without_share),
    "OVIS-MC with the bound's own draws": (OvisMonteCarlo, "signal", further_draws_of_the_bound),
    "OVIS~ with the share once more": (OvisTilde, "signal", without_share),
    "dropped square in dreg": (Dreg, "factors", not_squared),
    "dreg twice": (Dreg, "factors", times(2.0)),
    "weights normalised over the data": (IwaeReparameterization, "factors", over_the_data),
    "score term dropped": (IwaeReparameterization, "through_parameters", without_parameters),
    "score term with the wrong sign": (IwaeReparameterization, "through_parameters", times(-1.0)),
    "groups forgotten": (PiwaePhi, "factors", one_group),
    "groups added up": (PiwaePhi, "factors", times(2.0)),
    "wake phase with unnormalised weights": (WakePhi, "signal", unnormalised),
    "wake phase one per cent off": (WakePhi, "signal", times(1.01)),
    "reparameterised wake phase without its square": (WakePhiDreg, "factors", not_squared),
    "the sum of the others contains the draw": (
        coupled_score,
        "log_sum_of_others",
        lambda _: lambda log_w: log_sum_exp(log_w, axis=-2)[..., None, :] + 0.0 * log_w,
    ),
}


def coupled_laws():
    """Yield (sentence, law, arguments), the cheap ones first."""
    mixture, deep = DISCRETE[0], ONE_LATENT[1]
    for case in (mixture, CASES[6]):
        free = case, case.free, case.free_phi
        yield "one draw", several.one_draw_is_the_elbo, free
        yield "VIMCOs", several.vimcos_agree_at_two_draws, free
        yield "OVIS~", several.ovis_tilde_between, free
    free = CASES[6], CASES[6].free, CASES[6].free_phi
    yield "one draw of dreg", several.one_draw_sticks_the_landing, free
    yield "landing", several.landing_is_dreg_and_wake, free
    for estimator in BY_NAME.values():
        if estimator.unbiased and laws.couples_draws(estimator):
            if not estimator.needs_pathwise:
                yield "unbiased", laws.unbiased, (estimator, mixture, mixture.free, mixture.free_phi)
            else:
                yield "unbiased", laws.unbiased, (estimator, deep, deep.free, deep.free_phi)
    yield "wake phase by OVIS~", several.wake_phase_is_what_ovis_adds, (mixture,)
    yield "wake phases", several.wake_phases_agree_in_mean, (deep,)


def broken_law():
    """Return the sentence of the first law that fails, or None."""
    for sentence, law, arguments in coupled_laws():
        try:
            law(*arguments)
        except NotIntegrated:
            continue
        except AssertionError:
            return sentence
    return None


def test_without_a_fault_all_laws_hold():
    assert broken_law() is None


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_breaks_a_law(name, monkeypatch):
    owner, attribute, wrong = FAULTS[name]
    monkeypatch.setattr(owner, attribute, wrong(getattr(owner, attribute)))
    if owner is coupled_score:  # which OVIS imports
        monkeypatch.setattr(ovis, attribute, getattr(owner, attribute))
    assert broken_law() is not None


def test_all_tuples_of_draws_say_the_same_as_the_sum_over_them():
    # The enumeration of the laws itself, once by hand: two draws of the first mixture.
    case, name = DISCRETE[0], "vimco"
    eta = case.free.eta(case.free_phi, case.x)
    p = np.exp(eta - eta.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    values = np.arange(3)
    log_w = case.model.log_joint(case.theta, case.x, np.repeat(values[:, None], 3, axis=1)) - np.log(p.T)
    total = 0.0
    for n, (i, j) in itertools.product(range(3), itertools.product(values, repeat=2)):
        pair = log_w[[i, j], n]
        total += p[n, i] * p[n, j] * log_mean_exp(pair, axis=0) / 3
    bound = laws.Exact("iwae").answer(case.problem(), 2).value[0]
    assert abs(total - bound) < 1e-12
    assert BY_NAME[name].target_at(2) == "grad-phi-iwae-2"
