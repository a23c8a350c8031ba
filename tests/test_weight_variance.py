"""The variance of every weight's gradient, against the gradients of single draws."""

import numpy as np
import pytest
from checks import assert_close

from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import ReparameterizationAnalyticKL
from elbo_lab.estimators.elbo import ElboAnalyticKL
from elbo_lab.estimators.pathwise import Reparameterization
from elbo_lab.estimators.score import ScoreFunction
from elbo_lab.models import PPCA, DeepBernoulli, DeepGaussianFixed, DeepGaussianLearned
from elbo_lab.networks import MLP
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.study.weight_variance import weight_variance

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
        draws = [estimator.estimate(model, posterior, theta, phi, x[row], one[None, row])[0] for one in noise]
        total = total + np.var(draws, axis=0, ddof=1)
    return total


@pytest.mark.parametrize("name", PHI)
@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.label}-{m.activation}")
def test_it_is_the_variance_of_the_gradients_of_single_draws(model, name):
    case = setting(model)
    found = weight_variance(*case, estimator=name)
    assert_close(found.theta, one_by_one(ElboAnalyticKL(), *case), 1e-11)
    assert_close(found.phi, one_by_one(PHI[name], *case), 1e-11)


def test_the_factored_moment_of_the_sum_would_be_another_number():
    case = setting(MODELS[0])
    model, posterior, theta, phi, x, noise = case
    sums = []
    for one in noise:  # draws of different data tied together: the gradient of the whole batch per draw
        sums.append(ElboAnalyticKL().estimate(model, posterior, theta, phi, x, one[None])[0] * len(x))
    tied = np.var(sums, axis=0, ddof=1)
    assert np.abs(tied - weight_variance(*case).theta).max() > 0.1 * tied.max()


def test_a_planted_fault_is_seen(monkeypatch):
    case = setting(MODELS[0])
    expected = one_by_one(ElboAnalyticKL(), *case)
    honest = MLP._weight_variance

    def without_means(self, params, activations, cotangent):
        variance, delta = honest(self, params, activations, cotangent)
        if activations[0].ndim < cotangent.ndim:
            return variance, delta
        rows = [a.reshape(-1, a.shape[-1]) for a in activations]
        flat = cotangent.reshape(-1, cotangent.shape[-1])
        return self.backward_squares(params, rows, flat) / (len(cotangent) - 1), delta

    monkeypatch.setattr(MLP, "_weight_variance", without_means)
    with pytest.raises(AssertionError):
        assert_close(weight_variance(*case).theta, expected, 1e-3)


def test_float32_stays_float32_and_agrees():
    found, expected = (weight_variance(*setting(MODELS[0], dtype=t)) for t in (np.float32, np.float64))
    assert found.theta.dtype == found.phi.dtype == np.float32
    for part in ("theta", "phi"):
        assert_close(getattr(found, part), getattr(expected, part), 1e-4)


def test_equal_draws_have_no_variance():
    model, posterior, theta, phi, x, noise = setting(MODELS[0])
    found = weight_variance(model, posterior, theta, phi, x, np.repeat(noise[:1], 5, axis=0))
    assert max(found.theta.max(), found.phi.max()) < 1e-15
    assert min(found.theta.min(), found.phi.min()) >= 0.0


def test_what_has_no_encoder_or_no_decoder_is_refused_in_one_line():
    model, posterior, theta, phi, x, noise = setting(MODELS[0])
    with pytest.raises(ValueError, match="at least two draws, got 1"):
        weight_variance(model, posterior, theta, phi, x, noise[:1])
    with pytest.raises(ValueError, match=r"estimator.*'nosuch'"):
        weight_variance(model, posterior, theta, phi, x, noise, estimator="nosuch")
    free = FreePosterior(model.family, len(x))
    with pytest.raises(NotApplicable, match="got deep-bernoulli with the free posterior"):
        weight_variance(model, free, theta, np.zeros(free.layout.size), x, noise)
    for other in (PPCA(4, 2), DeepGaussianFixed(4, 2, (3,))):
        with pytest.raises(NotApplicable, match=f"got {other.label}"):
            weight_variance(other, posterior, np.zeros(other.layout.size), phi, x, noise)
