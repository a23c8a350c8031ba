"""Estimators of several draws on groups of draws: the mean is that of independent draws."""

import estimator_laws as laws
import numpy as np
import pytest
from cases import CATEGORICAL, ONE_LATENT, WITH_POSTERIOR, model_id
from estimator_laws import BY_NAME, assert_same, exact_value
from noise_integrals import estimate, expected_estimate

from elbo_lab import compare
from elbo_lab.distributions import SOURCES, NoiseSpec, find_source, mirrored
from elbo_lab.errors import NotApplicable, UserMistake
from elbo_lab.estimators import NO_STATE, Estimator
from elbo_lab.estimators.coupled import LeaveOneGroupOut, OneOfEveryGroup, for_source
from elbo_lab.fitting import fit

INDEPENDENT, ANTITHETIC, SOBOL = SOURCES
FOUR = find_source("sobol(scrambles=4)")
SMOOTH = next(case for case in ONE_LATENT if case.model.name == "deep-bernoulli")
SMALL = (SMOOTH, CATEGORICAL[0])
LOO = BY_NAME["score-function-loo"]
over_small = pytest.mark.parametrize("case", SMALL, ids=model_id)


class WithMirrorImages(Estimator):
    """An estimator that is given half of its draws and adds their mirror images."""

    def __init__(self, inner):
        self.inner, self.name, self.target = inner, inner.name, inner.target
        self.needs_pathwise = inner.needs_pathwise

    def noise_spec(self, family, n_draws, n_data):
        return self.inner.noise_spec(family, n_draws, n_data)

    def estimate(self, problem, noise, state=NO_STATE):
        spec = self.noise_spec(problem.posterior.family, 1, len(problem.x))
        both = np.concatenate([noise, mirrored(spec.kind, noise)], axis=noise.ndim - len(spec.shape))
        return self.inner.estimate(problem, both, state)


def mean_over_pairs(estimator, case, n_pairs=2):
    """Return the expectation over the noise of the pairs: one integral or sum for each."""
    whole = WithMirrorImages(estimator)
    return expected_estimate(whole, case, case.free, case.free_phi, n_pairs, tolerance=1e-7)


# -- the expectation, without luck -----------------------------------------------------------------


def check_pairs(kind, case):
    assert_same(
        mean_over_pairs(kind(LOO, ANTITHETIC), case), exact_value(LOO, case, case.free, case.free_phi), 1e-7
    )


@over_small
def test_leave_one_out_over_pairs_is_unbiased(case):
    check_pairs(LeaveOneGroupOut, case)


class SeesItsMirrorImage(LeaveOneGroupOut):
    """The baseline of a draw is the mean of all others, its mirror image among them."""

    def estimate(self, problem, noise, state=NO_STATE):
        return self.inner.estimate(problem, noise, state)


class SeesItsGroup(LeaveOneGroupOut):
    """The baseline of a group is the mean of all groups."""

    def estimate(self, problem, noise, state=NO_STATE):
        plain, n_draws = self.inner.estimate(problem, noise, state)[0], noise.shape[-2]
        return plain * (n_draws - 1) / n_draws, state


@pytest.mark.parametrize("fault", [SeesItsMirrorImage, SeesItsGroup])
@over_small
def test_a_baseline_that_knows_the_draw_is_caught(fault, case):
    with pytest.raises(AssertionError):
        check_pairs(fault, case)


MULTI = [(SMOOTH, "dreg"), (SMOOTH, "vimco")]
MULTI += [
    (CATEGORICAL[0], name) for name in ("vimco", "importance-weighted", "score-function-optimal-baseline")
]


def check_sets(kind, name, case):
    """Two pairs are two bounds of two draws, each with the expectation of two independent draws."""
    inner = BY_NAME[name]
    expected = expected_estimate(inner, case, case.free, case.free_phi, 2, tolerance=1e-7)
    assert_same(mean_over_pairs(kind(inner, ANTITHETIC), case), expected, 1e-7)


@pytest.mark.parametrize(("case", "name"), MULTI, ids=lambda value: value if isinstance(value, str) else "")
def test_mirror_images_are_a_second_bound_of_as_many_draws(case, name):
    check_sets(OneOfEveryGroup, name, case)


class AllInOneBound(OneOfEveryGroup):
    """All draws in one bound, pairs and all."""

    def estimate(self, problem, noise, state=NO_STATE):
        return self.inner.estimate(problem, noise, state)


class PairsApart(OneOfEveryGroup):
    """Every pair a bound of its own."""

    def estimate(self, problem, noise, state=NO_STATE):
        swapped = noise[..., self.source.groups(noise.shape[-2]).ravel(), :]
        halves = np.split(swapped, 2, axis=-2)
        return sum(self.inner.estimate(problem, half, state)[0] for half in halves) / 2, state


@pytest.mark.parametrize("fault", [AllInOneBound, PairsApart])
def test_a_pair_inside_one_bound_is_caught(fault):
    with pytest.raises(AssertionError):
        check_sets(fault, "vimco", CATEGORICAL[0])


# -- identities --------------------------------------------------------------------------------------


def noise_of(estimator, case, source, n_draws, lead=(3,)):
    spec = estimator.noise_spec(case.model.family, n_draws, len(case.x))
    return source.draw(spec, np.random.default_rng(4), lead)


@over_small
def test_groups_of_one_draw_are_leave_one_out(case):
    noise = noise_of(LOO, case, INDEPENDENT, 4)
    found, plain = (
        estimate(one, case, case.free, case.free_phi, noise)
        for one in (LeaveOneGroupOut(LOO, INDEPENDENT), LOO)
    )
    assert_same(found, plain, 1e-12)


def test_at_the_exact_posterior_the_estimate_is_zero():
    case = laws.canonical(WITH_POSTERIOR[0])
    phi = case.free.phi_from_eta(case.model.posterior_eta(case.theta, case.x))
    noise = noise_of(LOO, case, ANTITHETIC, 6)
    assert np.abs(estimate(for_source(LOO, ANTITHETIC), case, case.free, phi, noise)).max() < 1e-12


@pytest.mark.parametrize(("source", "n_draws"), [(ANTITHETIC, 6), (FOUR, 8)], ids=["pairs", "scrambles"])
def test_an_estimate_over_groups_is_the_mean_over_its_sets(source, n_draws):
    inner = BY_NAME["vimco"]
    noise, groups = noise_of(inner, SMOOTH, source, n_draws), source.groups(n_draws)
    assert np.array_equal(np.sort(groups, axis=None), np.arange(n_draws))
    sets = [estimate(inner, SMOOTH, SMOOTH.free, SMOOTH.free_phi, noise[:, rows]) for rows in groups.T]
    found = estimate(for_source(inner, source), SMOOTH, SMOOTH.free, SMOOTH.free_phi, noise)
    assert_same(found, np.mean(sets, axis=0), 1e-13)


def test_several_scrambles_are_independent_and_one_is_as_before():
    """Two draws of one scramble are far apart; of two scrambles they do not know each other."""
    spec = NoiseSpec("uniform", (8, 1))
    one, four = (s.draw(spec, np.random.default_rng(0), (20_000,))[..., 0] for s in (SOBOL, FOUR))
    between = np.corrcoef(four, rowvar=False)
    same = np.zeros((8, 8), bool)
    for group in FOUR.groups(8):
        same[np.ix_(group, group)] = True
    # A correlation of independent draws has a standard deviation of 1 / sqrt(20 000).
    assert np.abs(between[~same]).max() < 6.0 / np.sqrt(20_000) < 0.4 < np.abs(between[same]).min()
    assert np.abs(np.corrcoef(one, rowvar=False)[0, 4:]).max() > 0.05
    assert find_source("sobol(scrambles=1)") == SOBOL and FOUR.spec == "sobol(scrambles=4)"


def test_numbers_of_draws_that_make_no_groups_are_refused():
    with pytest.raises(UserMistake, match=r"draws: expected a multiple of the 4 scrambles .*got 6"):
        FOUR.check(NoiseSpec("normal", (6,)))
    with pytest.raises(
        NotApplicable, match="at least 2 independent groups of draws: 2 antithetic draws are 1"
    ):
        for_source(LOO, ANTITHETIC).check_draws(2)
    with pytest.raises(UserMistake, match=r"noise: expected arguments of sobol .scrambles., got 'scramble'"):
        find_source("sobol(scramble=4)")
    with pytest.raises(UserMistake, match="noise: expected no arguments of antithetic, got 'pairs'"):
        find_source("antithetic(pairs=4)")
    assert for_source(LOO, SOBOL) is LOO and for_source(LOO, INDEPENDENT) is LOO


# -- in a comparison and in a fit --------------------------------------------------------------------


def test_a_table_names_the_form_and_its_target():
    found = compare(
        "ppca", noise="antithetic", draws=8, rows=4, repeats=200, latent=2, estimators=["loo", "vimco"]
    )
    names = {row["estimator"]: row["target"] for row in found.rows}
    assert names == {"score-function-loo-pairs": "grad-phi-elbo", "vimco-pairs": "grad-phi-iwae-4"}
    assert all(row["applicable"] for row in found.rows) and found.settings["noise"] == "antithetic"


BITS = (np.random.default_rng(0).random((110, 4)) < 0.4).astype(np.float64)
OPTIONS = {"latent": 1, "hidden": (3,), "draws": 4, "batch": 55}


@pytest.mark.parametrize("noise", ["antithetic", "sobol(scrambles=2)"])
def test_a_fit_goes_on_bit_for_bit_on_any_threads(noise, tmp_path):
    options = OPTIONS | {"noise": noise, "phi_estimator": "score-function-loo"}
    whole = fit("deep-bernoulli", BITS, epochs=3, threads=2, **options)
    path = tmp_path / "state.npz"
    fit("deep-bernoulli", BITS, epochs=1, threads=1, checkpoint=path, **options)
    resumed = fit(resume=path, data=BITS, epochs=3, threads=1)
    assert np.array_equal(whole.theta, resumed.theta) and np.array_equal(whole.phi, resumed.phi)
    plain = fit("deep-bernoulli", BITS, epochs=3, threads=1, **options | {"noise": "independent"})
    assert not np.array_equal(whole.theta, plain.theta)


def test_a_fit_refuses_what_has_no_form():
    with pytest.raises(NotApplicable, match=r"all sobol draws depend on each other; sobol\(scrambles=G\)"):
        fit("deep-bernoulli", BITS, noise="sobol", phi_estimator="score-function-loo", **OPTIONS)
    with pytest.raises(UserMistake, match="draws: expected an even number with antithetic noise, got 1"):
        fit("deep-bernoulli", BITS, latent=1, noise="antithetic", draws=1)
    with pytest.raises(NotApplicable, match="at most 21201 dimensions"):
        fit(
            "deep-bernoulli",
            np.repeat(BITS, 60, axis=0),
            latent=5,
            noise="sobol",
            batch=6600,
            posterior="free",
        )
