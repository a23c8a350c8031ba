"""The variance of every weight's gradient, against the gradients of single draws."""

import numpy as np
import pytest
from checks import assert_close, peak_memory

from elbo_lab import Problem
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import (
    ElboAnalyticKL,
    Reparameterization,
    ReparameterizationAnalyticKL,
    ScoreFunction,
)
from elbo_lab.models import PPCA, DeepBernoulli, DeepGaussianFixed, DeepGaussianLearned
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.study import weight_sums
from elbo_lab.study import weight_variance as home
from elbo_lab.study.weight_sums import OwnInputs, SharedInputs
from elbo_lab.study.weight_variance import WeightVariance, decoder_variance, variance_at_once, weight_variance

PHI = {e.name: e for e in (Reparameterization(), ReparameterizationAnalyticKL(), ScoreFunction())}


def setting(model, n_data=3, n_draws=6, dtype=np.float64):
    rng = np.random.default_rng(0)
    theta = 0.5 * rng.standard_normal(model.layout.size)
    x, _ = model.sample(theta, n_data, rng)
    posterior = AmortisedPosterior.for_data(model.family, x, hidden=(5, 4))
    phi = 0.5 * rng.standard_normal(posterior.layout.size)
    noise = rng.standard_normal((n_draws, n_data, model.latent_dim))
    return model, posterior, *(array.astype(dtype) for array in (theta, phi, x, noise))


MODELS = [DeepBernoulli(4, 2, (3,)), DeepBernoulli(3, 1, (4, 3), "softplus"), DeepGaussianLearned(3, 2, (4,))]


def one_by_one(estimator, model, posterior, theta, phi, x, noise):
    """Return the variance over draws of single-draw gradients, summed over the data, from each of them."""
    total = 0.0
    for n in range(len(x)):
        row = slice(n, n + 1)
        draws = [
            estimator.estimate(Problem(model, posterior, theta, phi, x[row]), one[None, row])[0]
            for one in noise
        ]
        total = total + np.var(draws, axis=0, ddof=1)
    return total


def assert_same(found, expected, relative):
    """Hold both vectors of variances together, each relative to its own largest entry."""
    for part in ("theta", "phi"):
        size = getattr(expected, part).max()
        assert_close(getattr(found, part) / size, getattr(expected, part) / size, relative)


ROADS = (variance_at_once, weight_variance)


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
@pytest.mark.parametrize("name", PHI)
@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.label}-{m.activation}")
def test_it_is_the_variance_of_the_gradients_of_single_draws(model, name, road):
    case = setting(model)
    expected = WeightVariance(one_by_one(ElboAnalyticKL(), *case), one_by_one(PHI[name], *case))
    assert_same(road(*case, estimator=name), expected, 1e-11)


# Rows per pass and per piece, where 6 draws of 3 data: are one piece, are pieces of single data, are cut
# within a datum, take several passes each, the last of them short.
CUTS = [(512, 128), (18, 6), (12, 4), (5, 2), (4, 4)]


def cut(monkeypatch, per_pass, per_piece):
    monkeypatch.setattr(home, "ROWS_PER_PASS", per_pass)
    monkeypatch.setattr(home, "ROWS_PER_PIECE", per_piece)
    monkeypatch.setattr(weight_sums, "FEWEST_ROWS", 1)
    monkeypatch.setattr(weight_sums, "MOST_ROWS", 1)


@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.label}-{m.activation}")
def test_however_rows_are_cut_the_variance_is_the_same(model, cuts, monkeypatch):
    case = setting(model)
    expected = variance_at_once(*case)
    cut(monkeypatch, *cuts)
    assert_same(weight_variance(*case), expected, 1e-11)


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_the_decoder_alone_has_the_variance_it_has_beside_an_encoder(cuts, monkeypatch):
    case = setting(MODELS[1])
    model, posterior, theta, phi, x, noise = case
    cut(monkeypatch, *cuts)
    z = posterior.family.sample(posterior.eta(phi, x), noise)
    assert_close(decoder_variance(model, theta, x, z), weight_variance(*case).theta, 1e-13)


def test_the_factored_moment_of_the_sum_would_be_another_number():
    case = setting(MODELS[0])
    model, posterior, theta, phi, x, noise = case
    sums = []
    for one in noise:  # draws of different data tied together: the gradient of the whole batch per draw
        sums.append(
            ElboAnalyticKL().estimate(Problem(model, posterior, theta, phi, x), one[None])[0] * len(x)
        )
    tied = np.var(sums, axis=0, ddof=1)
    assert np.abs(tied - weight_variance(*case).theta).max() > 0.1 * tied.max()


def _without_means(monkeypatch):
    """The second moment in place of the variance."""
    monkeypatch.setattr(weight_sums, "subtract_squares", lambda total, product, share: None)  # noqa: ARG005


def _means_of_passes(monkeypatch):
    """The mean of a pass is squared, not that of the datum."""
    honest = OwnInputs.add
    monkeypatch.setattr(OwnInputs, "add", lambda *arguments: honest(*arguments[:-1], True))


def _centre_of_each_pass(monkeypatch):
    """What was summed about one centre is added to what was summed about another."""
    honest = SharedInputs.put

    def put(self, cotangent):
        self.centre = None
        honest(self, cotangent)

    monkeypatch.setattr(SharedInputs, "put", put)


def _divided_by_draws(monkeypatch):
    """S in place of S - 1."""
    honest = OwnInputs._divide

    def divide(self, total):
        self.n_draws += 1
        honest(self, total)
        self.n_draws -= 1

    monkeypatch.setattr(OwnInputs, "_divide", divide)


def _only_the_last_pass(monkeypatch):
    """Every pass writes over what came before."""
    honest = OwnInputs.add

    def add(self, index, *arguments):
        self.begun[index] = False
        honest(self, index, *arguments)

    monkeypatch.setattr(OwnInputs, "add", add)


FAULTS = (_without_means, _means_of_passes, _centre_of_each_pass, _divided_by_draws, _only_the_last_pass)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fault, monkeypatch):
    case = setting(MODELS[0])
    expected = variance_at_once(*case)
    cut(monkeypatch, 4, 4)
    fault(monkeypatch)
    found = weight_variance(*case, threads=1)
    with pytest.raises(AssertionError):
        assert_same(found, expected, 1e-3)


# -- how it is done --------------------------------------------------------------------------------

WIDE = DeepBernoulli(150, 2, (130,))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(300, 1), (9, 70), (600, 2)], ids=str)
def test_threads_change_no_bit(shape, dtype):
    case = setting(WIDE, n_draws=shape[0], n_data=shape[1], dtype=dtype)
    first, *others = [weight_variance(*case, threads=threads) for threads in (1, 2, 3)]
    for other in others:
        assert np.array_equal(other.theta, first.theta) and np.array_equal(other.phi, first.phi)


def peak_of(road, **shape):
    case = setting(WIDE, **shape)
    return peak_memory(lambda: road(*case))


@pytest.mark.parametrize("more", [{"n_draws": 6000, "n_data": 1}, {"n_draws": 6, "n_data": 1000}], ids=str)
def test_memory_does_not_grow_with_draws_or_data(more):
    weight_variance(*setting(WIDE))  # what is loaded once
    few = {name: max(1, count // 10) if count > 6 else count for name, count in more.items()}
    small, large = (peak_of(weight_variance, **shape) for shape in (few, more))
    # Pieces that happen to run side by side differ by some arrays of 128 rows.
    assert large < 1.3 * small
    assert peak_of(variance_at_once, **more) > 3.0 * large, "the check is meant to see rows all at once"


# -- edges -----------------------------------------------------------------------------------------


def test_float32_stays_float32_and_agrees():
    found, expected = (weight_variance(*setting(MODELS[0], dtype=t)) for t in (np.float32, np.float64))
    assert found.theta.dtype == found.phi.dtype == np.float32
    assert_same(found, expected, 1e-4)


def test_equal_draws_have_no_variance():
    model, posterior, theta, phi, x, noise = setting(MODELS[0])
    found = weight_variance(model, posterior, theta, phi, x, np.repeat(noise[:1], 5, axis=0))
    assert max(found.theta.max(), found.phi.max()) < 1e-15
    assert min(found.theta.min(), found.phi.min()) >= 0.0


def test_a_draw_that_is_lost_shows():
    model, posterior, theta, phi, x, noise = setting(MODELS[0])
    noise[2, 1, 0] = np.nan
    found = weight_variance(model, posterior, theta, phi, x, noise)
    assert np.isnan(found.theta).all()
    assert np.isnan(found.phi).all()


def test_what_has_no_encoder_or_no_decoder_is_refused_in_one_line():
    model, posterior, theta, phi, x, noise = setting(MODELS[0])
    with pytest.raises(ValueError, match="at least two draws, got 1"):
        weight_variance(model, posterior, theta, phi, x, noise[:1])
    for rows in (np.concatenate([x, x]), x[:1], x[:0]):
        for road in ROADS:
            with pytest.raises(ValueError, match=rf"every row of x.*for {len(rows)} rows"):
                road(model, posterior, theta, phi, rows, noise)
        with pytest.raises(ValueError, match=rf"every row of x.*for {len(rows)} rows"):
            decoder_variance(model, theta, rows, noise)
    with pytest.raises(ValueError, match=r"at least one row, got shape \(6, 0, 2\) for 0 rows"):
        weight_variance(model, posterior, theta, phi, x[:0], noise[:, :0])
    with pytest.raises(ValueError, match=r"estimator.*'nosuch'"):
        weight_variance(model, posterior, theta, phi, x, noise, estimator="nosuch")
    free = FreePosterior(model.family, len(x))
    with pytest.raises(NotApplicable, match="got deep-bernoulli with the free posterior"):
        weight_variance(model, free, theta, np.zeros(free.layout.size), x, noise)
    for other in (PPCA(4, 2), DeepGaussianFixed(4, 2, (3,))):
        with pytest.raises(NotApplicable, match=f"got {other.label}"):
            weight_variance(other, posterior, np.zeros(other.layout.size), phi, x, noise)
