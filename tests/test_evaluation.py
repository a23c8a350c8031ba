"""What a trained model is worth: importance samples, active units, held-out rows, and its use."""

import itertools

import numpy as np
import pytest
from cases import CASES, CATEGORICAL, DEEP, WITH_GAUSSIAN_X, make_case, model_id, over
from checks import assert_close, peak_memory
from estimator_laws import canonical
from scipy.special import logsumexp, softmax

from elbo_lab import exact
from elbo_lab.distributions import Logistic, StudentT
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import Problem
from elbo_lab.evaluation import (
    Fitted,
    active_units,
    held_out_log_likelihood,
    importance,
    importance_nll,
    neighbour_accuracy,
    principal_scores,
    prior,
    prior_nll,
)
from elbo_lab.evaluation.importance import RunningWeights, stream_weights
from elbo_lab.exact import ladder
from elbo_lab.models import (
    PPCA,
    CategoricalVAE,
    DeepBernoulli,
    DeepGaussianFixed,
    DeepGaussianLearned,
    FactorAnalysis,
    GaussianMixture,
)
from elbo_lab.posteriors import ExactPosterior, FreePosterior

MIXTURES = list(CATEGORICAL)
# A regression explains labels of given features, and has no mean of both.


def has_mean(case):
    """Whether E[x | z] is defined: it is not for labels of given features, without a label, or of a graph."""
    try:
        case.model.expected_x(case.theta, case.model.sample(case.theta, 1, np.random.default_rng(0))[1])
    except NotApplicable:
        return False
    return True


DECODING = [case for case in CASES if has_mean(case)]
WITHOUT_ENCODER = [case for case in CASES if case not in DEEP]
VAE = make_case(DeepBernoulli(6, 2, (8,)), n_data=45)


def nll_of(case, n_samples, **options):
    arguments = (case.model, case.amortised, case.theta, case.amortised_phi, case.x)
    return importance_nll(Problem(*arguments), n_samples, **options)


# -- laws of the importance estimate, which the planted faults below break --------------------------


def one_weight_is_enough_at_the_exact_posterior():
    """With q the posterior every weight is p(x)."""
    case = canonical(make_case(PPCA(4, 2)))
    q = ExactPosterior(case.model, case.theta)
    for n_samples in (2, 300):
        found = importance_nll(Problem(case.model, q, case.theta, np.zeros(0), case.x), n_samples)
        assert_close(found.nll, -case.model.log_evidence(case.theta, case.x), 1e-12)
        assert_close(found.effective_sample_size, np.full(3, float(n_samples)), 1e-10)
        assert found.standard_error.max() < 1e-7


class EvenNoise:
    """Stands for a generator; its uniform numbers are the midpoints of M equal parts, in order."""

    def __init__(self, parts):
        self.midpoints, self.taken = (np.arange(parts) + 0.5) / parts, 0

    def random(self, shape, dtype):  # noqa: ARG002
        part = self.midpoints[self.taken : self.taken + shape[0]]
        self.taken += shape[0]
        return np.broadcast_to(part[:, None], shape)


def the_mean_weight_is_the_evidence():
    """With every category as often as q says, the mean weight is p(x), without luck."""
    case = make_case(GaussianMixture(2, 3))
    q = np.array([[0.1, 0.6, 0.3], [0.25, 0.25, 0.5], [0.45, 0.05, 0.5]])
    running = stream_weights(
        case.model, case.theta, case.x, case.model.family, np.log(q), 100, EvenNoise(100)
    )
    assert_close(running.log_mean(), ladder.log_evidence(case.model, case.theta, case.x)[0], 1e-12)


def streamed_weights_are_all_weights():
    """Blocks of any size give sum, squares and mean of the whole table, wherever its peak is."""
    log_w = 30.0 * np.random.default_rng(1).standard_normal((50, 4)) - 2000.0
    log_w[40] += 200.0
    for size in (1, 7, 50):
        running = RunningWeights(4)
        for start in range(0, 50, size):
            running.add(log_w[start : start + size])
        assert_close(running.log_mean(), logsumexp(log_w, axis=0) - np.log(50), 1e-14)
        kish = np.exp(2.0 * logsumexp(log_w, axis=0) - logsumexp(2.0 * log_w, axis=0))
        assert_close(running.effective_sample_size(), kish, 1e-10)
        weights = np.exp(log_w - log_w.max(axis=0))
        delta = weights.std(axis=0, ddof=1) / weights.mean(axis=0) / np.sqrt(50)
        assert_close(running.standard_error(), delta, 1e-10)


LAWS = (
    one_weight_is_enough_at_the_exact_posterior,
    the_mean_weight_is_the_evidence,
    streamed_weights_are_all_weights,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_importance_samples_keep_the_law(law):
    law()


class MeanOfLogs(RunningWeights):
    """The logarithm inside of the mean: the ELBO, not log p."""

    def log_mean(self):
        return self.mean_log()


class Sum(RunningWeights):
    """log K forgotten."""

    def log_mean(self):
        return self.peak + np.log(self.total)


class Unscaled(RunningWeights):
    """A new peak does not rescale what was summed before."""

    def add(self, log_w):
        before = self.total, self.squares
        self.total, self.squares = 0.0 * self.total, 0.0 * self.squares
        super().add(log_w)
        self.total, self.squares = self.total + before[0], self.squares + before[1]


class ErrorOfWeights(RunningWeights):
    """The spread of the weights, not that of their mean."""

    def standard_error(self):
        return super().standard_error() * np.sqrt(self.count)


@pytest.mark.parametrize(
    "fault", [MeanOfLogs, Sum, Unscaled, ErrorOfWeights], ids=lambda fault: fault.__name__
)
def test_a_planted_fault_breaks_a_law(fault, monkeypatch):
    monkeypatch.setattr(importance, "RunningWeights", fault)
    monkeypatch.setitem(globals(), "RunningWeights", fault)
    broken = 0
    for law in LAWS:
        try:
            law()
        except AssertionError:
            broken += 1
    assert broken


def test_a_weight_without_q_breaks_a_law(monkeypatch):
    honest = importance.log_weight

    def without_q(model, theta, x, family, eta, z):
        return honest(model, theta, x, family, eta, z) + family.log_prob(eta, z)

    monkeypatch.setattr(importance, "log_weight", without_q)
    with pytest.raises(AssertionError):
        the_mean_weight_is_the_evidence()


# -- the estimate on deep models -------------------------------------------------------------------


@over(DEEP)
def test_importance_samples_reach_the_exact_evidence_within_their_error(case):
    # q wider than the posterior: the prior of these small models. |z| <= 5, fixed seed.
    prior = FreePosterior(case.model.family, len(case.x))
    found = importance_nll(Problem(case.model, prior, case.theta, np.zeros(prior.layout.size), case.x), 4000)
    truth = ladder.log_evidence(case.model, case.theta, case.x)[0]
    assert (found.standard_error > 0).all() and (found.standard_error < 0.2).all()
    assert (np.abs(found.nll + truth) <= 5.0 * found.standard_error).all()


def test_the_standard_error_is_the_spread_over_seeds():
    case = make_case(DeepBernoulli(4, 2, (3,)), n_data=5)
    runs = [nll_of(case, 400, seed=seed, threads=1) for seed in range(300)]
    spread = np.std([run.nll for run in runs], axis=0, ddof=1)
    # A standard deviation of 300 normal values is known to 4 per cent.
    ratio = np.mean([run.standard_error for run in runs], axis=0) / spread
    assert (np.abs(ratio - 1.0) < 0.2).all(), ratio


@pytest.mark.parametrize("family", [StudentT(1), Logistic(1)], ids=lambda family: family.name)
def test_importance_samples_come_from_the_family_of_q(family):
    case = make_case(DeepBernoulli(3, 1, (4, 3), "softplus"))
    q = FreePosterior(family, len(case.x))
    found = importance_nll(Problem(case.model, q, case.theta, np.zeros(q.layout.size), case.x), 20_000)
    log_p = ladder.log_evidence(case.model, case.theta, case.x)[0]
    assert (np.abs(found.nll + log_p) < 5.0 * found.standard_error).all()
    assert (found.effective_sample_size > 2000).all()


def test_draws_streamed_in_passes_are_the_same_draws(monkeypatch):
    whole = nll_of(VAE, 333)
    monkeypatch.setattr(importance, "ROWS_PER_PASS", 10 * importance.ROWS_PER_BLOCK)
    cut = nll_of(VAE, 333)
    monkeypatch.setattr(importance, "ROWS_PER_PASS", 10**9)
    for other in (cut, nll_of(VAE, 333)):
        assert_close(other.nll, whole.nll, 1e-13)
        assert_close(other.effective_sample_size, whole.effective_sample_size, 1e-11)


def test_blocks_of_rows_have_noise_of_their_own():
    # The same datum in three blocks.
    x = np.repeat(VAE.x[:1], 2 * importance.ROWS_PER_BLOCK + 1, axis=0)
    found = importance_nll(Problem(VAE.model, VAE.amortised, VAE.theta, VAE.amortised_phi, x), 50)
    assert len(np.unique(found.nll)) == len(x)


@over([make_case(model) for model in (DeepBernoulli(4, 2, (3,)), DeepGaussianLearned(3, 2, (3,), "tanh"))])
def test_a_decoder_in_float32_is_summed_in_float64(case, monkeypatch):
    theta, phi = case.theta.astype(np.float32), case.amortised_phi.astype(np.float32)
    seen, honest = set(), type(case.model).observe

    def watched(model, extra, outputs, x):
        seen.update((outputs.dtype, x.dtype))
        return honest(model, extra, outputs, x)

    monkeypatch.setattr(type(case.model), "observe", watched)
    short = importance_nll(Problem(case.model, case.amortised, theta, phi, case.x), 200)
    assert seen == {np.dtype(np.float32)}
    wide = theta.astype(np.float64), phi.astype(np.float64)
    full = importance_nll(Problem(case.model, case.amortised, *wide, case.x), 200)
    assert short.nll.dtype == short.effective_sample_size.dtype == np.float64
    assert_close(short.nll, full.nll, 1e-5)


def test_weights_that_are_all_zero_say_so():
    running = RunningWeights(2)
    running.add(np.full((3, 2), -np.inf))
    running.add(np.array([[-np.inf, -5.0], [-np.inf, -6.0]]))
    log_mean = running.log_mean()
    assert log_mean[0] == -np.inf and log_mean[1] == pytest.approx(np.log((np.exp(-5) + np.exp(-6)) / 5))
    assert running.effective_sample_size()[0] == 0.0 and running.standard_error()[0] == np.inf


def test_progress_counts_the_rows():
    seen = []
    nll_of(VAE, 2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(20, 45), (40, 45), (45, 45)]


# -- what draws from q and draws from the prior have in common --------------------------------------


def prior_nll_of(case, n_samples, **options):
    return prior_nll(case.model, case.theta, case.x, n_samples, **options)


LARGE = make_case(DeepBernoulli(60, 3, (40,)), n_data=30)
# The draws that cost memory where they are not streamed.
STREAMS = {"importance": (nll_of, VAE, 500), "prior": (prior_nll_of, LARGE, 5000)}
over_streams = pytest.mark.parametrize(("estimate", "case", "n_samples"), STREAMS.values(), ids=STREAMS)


@over_streams
def test_ten_times_the_draws_take_no_more_memory(estimate, case, n_samples, monkeypatch):
    def peak(n_samples):
        return peak_memory(lambda: estimate(case, n_samples, threads=1))

    estimate(case, 2)  # what is loaded once
    few, many = peak(n_samples), peak(10 * n_samples)
    assert many < 1.05 * few
    for module, size in ((importance, "ROWS"), (prior, "DRAWS"), (prior, "VALUES")):
        monkeypatch.setattr(module, f"{size}_PER_PASS", 10**12)
    assert peak(10 * n_samples) > 3.0 * few, "the check is meant to see draws that are not streamed"


@over_streams
def test_threads_change_no_bit(estimate, case, n_samples):
    first, *others = [estimate(case, n_samples // 5, threads=threads) for threads in (1, 2, 5)]
    for other in others:
        for name in vars(first):
            np.testing.assert_array_equal(getattr(other, name), getattr(first, name))


@over_streams
def test_the_seed_names_the_draws(estimate, case, n_samples):  # noqa: ARG001
    first, again, other = (estimate(case, 50, seed=seed).nll for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


IMPOSSIBLE_SETTINGS = [
    ({"n_samples": 1}, "n_samples: expected a whole number of at least 2, got 1"),
    ({"n_samples": 50, "threads": 0}, "threads: expected a whole number of at least 1, got 0"),
    ({"n_samples": 50, "seed": -1}, "seed: expected a whole number of at least 0, got -1"),
]


@pytest.mark.parametrize("estimate", [nll_of, prior_nll_of])
@pytest.mark.parametrize(("options", "message"), IMPOSSIBLE_SETTINGS)
def test_impossible_settings_are_refused(estimate, options, message):
    with pytest.raises(ValueError, match=message):
        estimate(VAE, **options)


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: importance_nll(Problem(VAE.model, VAE.amortised, VAE.theta, VAE.amortised_phi, x), 10),
        lambda x: prior_nll(VAE.model, VAE.theta, x, 10),
        lambda x: held_out_log_likelihood(VAE.model, VAE.theta, x),
        lambda x: Fitted(VAE.model, VAE.theta, VAE.amortised, VAE.amortised_phi).encode(x),
    ],
)
def test_rows_of_another_width_are_refused(ask):
    with pytest.raises(ValueError, match="expected 6 columns, got 2 columns"):
        ask(np.zeros((3, 2)))


# -- active units ----------------------------------------------------------------------------------


def test_active_units_are_those_whose_mean_follows_the_data():
    case = make_case(PPCA(6, 4), n_data=40)
    table = case.free.eta(case.free_phi, case.x)
    means = np.random.default_rng(0).standard_normal((40, 4)) * np.array([1.0, 0.12, 0.02, 0.0])
    table[:, :4] = means + np.array([5.0, -3.0, 2.0, 1.0])  # a constant mean carries nothing
    found = active_units(case.free, case.free.phi_from_eta(table), case.x)
    assert_close(found.variance, ((means - means.mean(axis=0)) ** 2).mean(axis=0), 1e-12)
    assert found.active.tolist() == [True, True, False, False]
    assert found.count == 2 and type(found.count) is int
    strict = active_units(case.free, case.free.phi_from_eta(table), case.x, threshold=0.1)
    assert strict.active.tolist() == [True, False, False, False]


def test_an_encoder_that_ignores_the_data_has_no_active_unit():
    start = VAE.amortised.initial(np.random.default_rng(0))
    assert active_units(VAE.amortised, start, VAE.x).count == 0


def test_units_are_counted_over_passes_of_rows(monkeypatch):
    whole = active_units(VAE.amortised, VAE.amortised_phi, VAE.x).variance
    monkeypatch.setattr("elbo_lab.evaluation.encoding.ROWS_PER_PASS", 7)
    assert_close(active_units(VAE.amortised, VAE.amortised_phi, VAE.x).variance, whole, 1e-12)
    single = active_units(VAE.amortised, VAE.amortised_phi.astype(np.float32), VAE.x).variance
    assert single.dtype == np.float64
    assert_close(single, whole, 1e-5)


def test_units_of_categories_and_impossible_thresholds_are_refused():
    case = MIXTURES[0]
    with pytest.raises(NotApplicable, match="category"):
        active_units(case.amortised, case.amortised_phi, case.x)
    with pytest.raises(ValueError, match="threshold: expected a positive finite number, got -1"):
        active_units(VAE.amortised, VAE.amortised_phi, VAE.x, threshold=-1)


# -- held-out log-likelihood -----------------------------------------------------------------------


@over(CASES)
def test_held_out_log_likelihood_is_the_exact_evidence(case, monkeypatch):
    expected = exact.evidence(case.model, case.theta, case.x).value
    assert_close(held_out_log_likelihood(case.model, case.theta, case.x), expected, 1e-12)
    monkeypatch.setitem(held_out_log_likelihood.__globals__, "ROWS_PER_PASS", 2)
    assert_close(held_out_log_likelihood(case.model, case.theta, case.x), expected, 1e-12)
    # A single row has no spread, and a likelihood all the same.
    assert_close(held_out_log_likelihood(case.model, case.theta, case.x[:1]), expected[:1], 1e-12)


def test_held_out_log_likelihood_of_many_latents_is_refused():
    case = make_case(DeepBernoulli(3, 3, (2,)))
    with pytest.raises(NotApplicable, match=r"log p\(x\) of deep-bernoulli"):
        held_out_log_likelihood(case.model, case.theta, case.x)


# -- neighbours ------------------------------------------------------------------------------------


def test_neighbours_vote_with_the_lowest_class_at_a_tie():
    codes, labels = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([2, 1, 0, 0])
    held_out = np.array([[0.4], [10.4]])
    assert neighbour_accuracy(codes, held_out, labels, np.array([2, 0]), k=1) == 1.0
    assert neighbour_accuracy(codes, held_out, labels, np.array([1, 0]), k=2) == 1.0
    assert neighbour_accuracy(codes, held_out, labels, np.array([2, 1]), k=2) == 0.0
    assert neighbour_accuracy(codes, held_out, labels, np.array([0, 0]), k=4) == 1.0  # all rows vote
    with pytest.raises(ValueError, match="k: expected at most the 4 training rows, got 5"):
        neighbour_accuracy(codes, held_out, labels, np.array([2, 1]), k=5)


def test_principal_scores_keep_the_distances_of_flat_data():
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((30, 2)) @ rng.standard_normal((2, 5)) + 3.0
    train, held_out = principal_scores(flat[:20], flat[20:], 2)
    found = np.linalg.norm(held_out[:, None] - train, axis=2)
    assert_close(found, np.linalg.norm(flat[20:, None] - flat[:20], axis=2), 1e-12)


# -- what one does with a fitted model -------------------------------------------------------------


class Silent:
    """Stands for a generator without noise: Gaussian observations are their means."""

    def standard_normal(self, shape):
        return np.zeros(shape)


def some_z(model, n, seed=0):
    if not model.family.event_axes:
        return np.arange(n) % model.family.size
    return np.random.default_rng(seed).standard_normal((n, model.latent_dim))


@over(WITH_GAUSSIAN_X)
def test_the_expected_x_is_an_observation_without_noise(case):
    z = some_z(case.model, 5)
    found = case.model.expected_x(case.theta, z)
    assert found.shape == (5, case.model.n_columns)
    assert_close(found, case.model.sample_x(case.theta, z, Silent()))


@over([case for case in CASES if case.model.name == "deep-bernoulli"])
def test_the_expected_bits_are_averages_over_all_bits(case):
    z = some_z(case.model, 5)
    bits = np.array(list(itertools.product([0.0, 1.0], repeat=case.model.n_columns)))
    p = np.exp(case.model.log_likelihood(case.theta, bits, z[:, None, :]))
    assert_close(case.model.expected_x(case.theta, z), p @ bits)


@pytest.mark.parametrize("model", [DeepBernoulli(4, 2, (3,)), DeepGaussianFixed(3, 1, (3,))], ids=model_id)
def test_the_expected_x_of_a_float32_network_is_float32(model):
    case, z = make_case(model), some_z(model, 5)
    found = model.expected_x(case.theta.astype(np.float32), z)
    assert found.dtype == np.float32
    assert_close(found.astype(np.float64), model.expected_x(case.theta, z), 1e-5)


def fitted_of(case, encoder=True):
    if encoder:
        return Fitted(case.model, case.theta, case.amortised, case.amortised_phi)
    return Fitted(case.model, case.theta)


@over(DECODING)
def test_means_are_generated_from_the_z_of_the_data(case):
    fitted = fitted_of(case)
    x = fitted.generate(4, np.random.default_rng(5))
    means = fitted.generate_means(4, np.random.default_rng(5))
    assert x.shape == means.shape == (4, case.model.n_columns)
    _, z = case.model.sample(case.theta, 4, np.random.default_rng(5))
    assert_close(means, case.model.expected_x(case.theta, z))
    assert_close(x, case.model.sample(case.theta, 4, np.random.default_rng(5))[0])


@over(CASES)
def test_an_encoder_gives_the_moments_of_its_q(case):
    mean, std = fitted_of(case).encode(case.x)
    eta = case.amortised.eta(case.amortised_phi, case.x)
    if case.model.family.discrete:
        if isinstance(case.model, CategoricalVAE):
            shares = softmax(eta.reshape(len(eta), case.model.latent_dim, -1), axis=-1).reshape(eta.shape)
        else:
            shares = softmax(eta, axis=1) if case in MIXTURES else 1.0 / (1.0 + np.exp(-eta))
        assert_close(mean, shares)
        assert_close(std, np.sqrt(shares - shares**2))
    else:
        assert_close(mean, case.model.family.split(eta)[0])
        assert_close(np.log(std), case.model.family.split(eta)[1])


@over([make_case(PPCA(4, 2)), make_case(FactorAnalysis(5, 3))])
def test_without_an_encoder_linear_models_give_their_exact_moments(case):
    mean, std = fitted_of(case, encoder=False).encode(case.x)
    # x and z are jointly Gaussian: condition by the covariance of x, the long way round.
    t = case.model.layout.views(case.theta)
    noise = np.broadcast_to(np.exp(2.0 * t["log_sigma"]), (case.model.n_columns,))
    gain = t["W"].T @ np.linalg.inv(t["W"] @ t["W"].T + np.diag(noise))
    assert_close(mean, (case.x - t["b"]) @ gain.T, 1e-10)
    covariance = np.eye(case.model.latent_dim) - gain @ t["W"]
    assert_close(std, np.tile(np.sqrt(np.diag(covariance)), (3, 1)), 1e-10)


@over(MIXTURES)
def test_without_an_encoder_mixtures_give_their_responsibilities(case):
    mean, std = fitted_of(case, encoder=False).encode(case.x)
    size = case.model.family.size
    joint = case.model.log_joint(case.theta, case.x, np.tile(np.arange(size)[:, None], 3))
    shares = np.exp(joint - logsumexp(joint, axis=0)).T
    assert_close(mean, shares)
    assert_close(std**2, shares * (1.0 - shares))


def test_a_deep_model_without_an_encoder_says_what_is_missing():
    with pytest.raises(NotApplicable, match=r"deep-bernoulli has no closed form; give an encoder"):
        fitted_of(VAE, encoder=False).encode(VAE.x)
    # The rest does not need one.
    assert fitted_of(VAE, encoder=False).decode(np.zeros((1, 2))).shape == (1, 6)


@over(DECODING)
def test_a_reconstruction_decodes_the_mean_code(case):
    fitted = fitted_of(case)
    found, mean = fitted.reconstruct(case.x), fitted.encode(case.x)[0]
    if case in MIXTURES:
        table = case.model.expected_x(case.theta, np.arange(case.model.family.size))
        assert_close(found, np.einsum("nc,cd->nd", mean, table))
    elif isinstance(case.model, CategoricalVAE):
        assert_close(found, case.model.expected_at_shares(case.theta, mean))
    else:
        assert_close(found, case.model.expected_x(case.theta, mean))


NOTHING_TO_DECODE = {
    "logistic-regression": "explains labels of given features",
    "conditional-vae": "depends on the label: use of_class",
    "bayes-net": "does not define E",
}


@over([case for case in CASES if case not in DECODING])
def test_a_model_without_a_mean_given_z_alone_says_so(case):
    with pytest.raises(NotApplicable, match=NOTHING_TO_DECODE[case.model.name]):
        fitted_of(case).decode(np.zeros((1, case.model.latent_dim)))


def test_components_are_decoded_by_number_or_by_share():
    case = MIXTURES[0]
    fitted, size = fitted_of(case), case.model.family.size
    means = case.model.layout.views(case.theta)["mean"]
    assert_close(fitted.decode(np.array([2, 0])), means[[2, 0]])
    assert_close(fitted.decode(np.eye(size)), means)
    assert_close(fitted.decode(np.full((1, size), 1.0 / size)), means.mean(axis=0)[None])
    with pytest.raises(ValueError, match="z: expected components from 0 to 2, got 3"):
        fitted.decode(np.array([0, 3]))


@over(DECODING)
def test_an_interpolation_goes_straight_from_one_reconstruction_to_the_other(case):
    fitted = fitted_of(case)
    found = fitted.interpolate(case.x[0], case.x[1], 5)
    ends, codes = fitted.reconstruct(case.x[:2]), fitted.encode(case.x[:2])[0]
    assert found.shape == (5, case.model.n_columns)
    assert_close(found[[0, -1]], ends)
    assert_close(found[2], fitted.decode(codes.mean(axis=0)[None])[0])
    with pytest.raises(ValueError, match="n: expected a whole number of at least 2, got 1"):
        fitted.interpolate(case.x[0], case.x[1], 1)


MISSING_PARTS = [
    ((np.zeros(3),), r"theta: expected shape \(\d+,\), got shape \(3,\)"),
    ((VAE.theta, VAE.amortised), "posterior and phi: expected both or neither, got only a posterior"),
    ((VAE.theta, None, np.zeros(3)), "posterior and phi: expected both or neither, got only phi"),
    ((VAE.theta, VAE.amortised, np.zeros(3)), r"phi: expected shape \(\d+,\), got shape \(3,\)"),
]


@pytest.mark.parametrize(("arguments", "message"), MISSING_PARTS)
def test_a_fitted_model_with_parts_missing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Fitted(VAE.model, *arguments)
