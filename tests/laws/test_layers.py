"""Several layers of z: chains as priors, belief nets of any depth, exact sums over layer after layer."""

import itertools

import estimator_laws as laws
import numpy as np
import pytest
from cases import LAYERED, over, pairing_id, pairings
from checks import assert_close, check_vjp, peak_memory
from noise_integrals import affordable_draws

from elbo_lab import exact
from elbo_lab.chains import RandomWalk, SingleFlips, draw_move_noise, flips
from elbo_lab.distributions import BernoulliChain, IndependentBernoulli
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import RebarLearned
from elbo_lab.evaluation import annealed_weights, linear_schedule
from elbo_lab.evaluation.annealed.path import AnnealedPath, Tempered
from elbo_lab.exact import elimination, enumeration, ladder
from elbo_lab.models import PPCA, DeepSigmoidBelief, SigmoidBelief
from elbo_lab.special import sigmoid

NETS = (
    DeepSigmoidBelief(3, (3,)),
    DeepSigmoidBelief(4, (3, 2)),
    DeepSigmoidBelief(2, (2, 1, 2)),
    SigmoidBelief(3, 3),
)
every_net = pytest.mark.parametrize("model", NETS, ids=lambda model: f"{model.name}-{model.layers}")
N_DATA = 4


def problem_of(model, seed=0):
    """Return theta, x and eta of independent bits."""
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(model.layout.size)
    x = (rng.random((N_DATA, model.n_columns)) < 0.5).astype(float)
    return theta, x, rng.standard_normal((N_DATA, model.latent_dim)), rng


def by_hand(model, theta, x):
    """Return log p(x, z) (2^K, N) of every z, bit by bit."""
    parts = model.layout.views(theta)
    starts = np.cumsum([0, *model.layers])
    table = []
    for z in itertools.product([0.0, 1.0], repeat=model.latent_dim):
        layers = [np.array(z[a:b]) for a, b in itertools.pairwise(starts)]
        depth = len(layers)
        top = parts["logits"] if "logits" in parts else parts[f"layer{depth}.logits"]
        total = log_bits(top, layers[-1])
        for m in range(depth - 1, 0, -1):
            logits = layers[m] @ parts[f"layer{m}.W1"] + parts[f"layer{m}.b1"]
            total += log_bits(logits, layers[m - 1])
        logits = parts["W"] @ layers[0] + parts["b"]
        table.append([total + log_bits(logits, row) for row in x])
    return np.array(table)


def log_bits(logits, bits):
    p = 1.0 / (1.0 + np.exp(-logits))
    return np.log(np.where(bits == 1.0, p, 1.0 - p)).sum()


# -- the model -------------------------------------------------------------------------------------


@every_net
def test_the_joint_density_is_the_product_over_the_layers(model):
    theta, x, _, _ = problem_of(model)
    z = IndependentBernoulli(model.latent_dim).values()[:, None]
    assert_close(model.log_joint(theta, x, z), by_hand(model, theta, x), 1e-12)


@over(LAYERED)
def test_the_derivatives_of_the_joint_are_those_of_its_formula_also_between_bits(case):
    model, theta, rng = case.model, case.theta, np.random.default_rng(0)
    own = rng.random((2, len(case.x), model.latent_dim))
    for z in (own, own[:, :1]):
        check_vjp(
            lambda t, z=z: model.log_joint(t, case.x, z),
            lambda t, c, z=z: model.log_joint_vjp(t, case.x, z, c)[0],
            theta,
            rng,
        )
        check_vjp(
            lambda z: model.log_joint(theta, case.x, z),
            lambda z, c: model.log_joint_vjp(theta, case.x, z, c)[1],
            z,
            rng,
        )


@over(LAYERED)
def test_leading_axes_of_repeats_equal_looped_calls(case):
    model, rng = case.model, np.random.default_rng(0)
    z = (rng.random((2, 4, len(case.x), model.latent_dim)) < 0.5).astype(float)
    cotangent = rng.standard_normal((2, 4, len(case.x)))
    together = model.log_joint_vjp(case.theta, case.x, z, cotangent)
    for r in range(2):
        alone = model.log_joint_vjp(case.theta, case.x, z[r], cotangent[r])
        for many, one in zip(together, alone, strict=True):
            assert_close(many[r], one)


def test_draws_of_the_model_have_its_probabilities():
    # Each of 32 shares of 20 000 draws is within 5 of its standard errors: a false alarm in 1 of 50 000 runs.
    model = DeepSigmoidBelief(2, (2, 1))
    theta = problem_of(model)[0]
    x, z = model.sample(theta, 20_000, np.random.default_rng(1))
    rows = np.concatenate([z, x], axis=1) @ 2.0 ** np.arange(5)[::-1]
    share = np.bincount(rows.astype(int), minlength=32) / len(x)
    every_x = np.array(list(itertools.product([0.0, 1.0], repeat=2)))
    p = np.exp(by_hand(model, theta, every_x)).ravel()
    assert np.all(np.abs(share - p) < 5.0 * np.sqrt(p * (1.0 - p) / len(x)))


# -- exact sums ------------------------------------------------------------------------------------


def check_elimination(model):
    """Log p(x), its gradient, marginals and expectations are those of all 2^K values at once."""
    theta, x, eta, _ = problem_of(model)
    table, z = by_hand(model, theta, x), IndependentBernoulli(model.latent_dim).values()
    p = np.exp(table - np.log(np.exp(table).sum(axis=0)))
    found, expected = elimination.evidence(model, theta, x), enumeration.evidence(model, theta, x)
    assert_close(found.value, np.log(np.exp(table).sum(axis=0)), 1e-12)
    assert_close(elimination.log_evidence(model, theta, x)[0], found.value)
    assert_close(found.grad_theta, expected.grad_theta, 1e-12)
    assert_close(elimination.posterior_marginals(model, theta, x), p.T @ z, 1e-12)
    family = IndependentBernoulli(model.latent_dim)
    mine = elimination.expectation(model, theta, x, family, eta)
    theirs = enumeration.expectation(model, theta, x, family, eta)
    for part in ("value", "grad_theta", "grad_eta"):
        assert_close(getattr(mine, part), getattr(theirs, part), 1e-12)


@every_net
def test_sums_over_one_layer_after_the_other_are_the_sum_over_all_values(model):
    check_elimination(model)


@pytest.mark.parametrize("block", [1, 3, 8])
def test_sums_in_blocks_of_any_size_are_the_same(block, monkeypatch):
    monkeypatch.setattr(elimination, "BLOCK", block)
    check_elimination(NETS[1])


def without_log_p_of_a_layer(layers):
    return layers._replace(log_p=[0.0 * layers.log_p[0], *layers.log_p[1:]])


def with_the_order_of_values_turned(layers):
    return layers._replace(log_p=[layers.log_p[0][::-1], *layers.log_p[1:]])


@pytest.mark.parametrize("fault", [without_log_p_of_a_layer, with_the_order_of_values_turned])
def test_a_layer_that_is_missed_or_turned_round_is_caught(fault, monkeypatch):
    right = elimination.layers_of
    monkeypatch.setattr(elimination, "layers_of", lambda *given: fault(right(*given)))
    with pytest.raises(AssertionError):
        check_elimination(NETS[1])


def test_a_prior_with_its_layers_swapped_is_caught(monkeypatch):
    model = DeepSigmoidBelief(3, (2, 2))
    monkeypatch.setitem(model.__dict__, "chain", BernoulliChain((2, 2), "bottom-up"))
    theta, x, _, _ = problem_of(DeepSigmoidBelief(3, (2, 2)))
    with pytest.raises(AssertionError):
        assert_close(
            model.log_joint(theta, x, IndependentBernoulli(4).values()[:, None]),
            by_hand(DeepSigmoidBelief(3, (2, 2)), theta, x),
        )


def test_wide_nets_are_exact_where_a_layer_has_few_bits_and_are_refused_beyond():
    assert elimination.applies(DeepSigmoidBelief(3, (16, 4, 16)))
    for layers in ((17,), (16, 5), (11, 10)):
        model = DeepSigmoidBelief(3, layers)
        assert not elimination.applies(model)
        theta, x, _, _ = problem_of(model)
        if model.latent_dim > 16:
            with pytest.raises(
                NotApplicable, match=r"log p\(x\) of deep-sigmoid-belief is not known exactly"
            ):
                ladder.log_evidence(model, theta, x)


def test_the_ladder_sums_layers_where_no_list_of_all_values_fits():
    model = DeepSigmoidBelief(3, (8, 8, 8))
    theta, x, eta, rng = problem_of(model)
    value, error, rung = ladder.log_evidence(model, theta, x)
    assert rung == "enumeration" and not error.any()
    check_vjp(
        lambda t: ladder.log_evidence(model, t, x)[0].mean(keepdims=True),
        lambda t, c: c * exact.evidence(model, t, x).grad_theta,
        theta,
        rng,
        n_directions=2,
    )
    elbo = exact.expectation(model, theta, x, eta).value + model.posterior_family.entropy(eta)
    assert np.all(elbo < value)


def test_the_memory_of_a_wide_layer_does_not_grow_with_the_data():
    model = DeepSigmoidBelief(4, (12,))
    theta = problem_of(model)[0]
    few, many = (np.zeros((n, 4)) for n in (800, 3200))
    elimination.evidence(model, theta, few)
    peaks = [peak_memory(lambda x=x: elimination.evidence(model, theta, x)) for x in (few, many)]
    assert peaks[1] < 1.2 * peaks[0], peaks


# -- estimators ------------------------------------------------------------------------------------


def integrable(case, estimator):
    """Whether a rule has nodes for all noise: of layers of Gaussians two numbers of a single draw."""
    one_draw = affordable_draws(estimator, case) == 1 and not laws.couples_draws(estimator)
    return case.free.family.discrete or one_draw


UNBIASED = [
    pytest.param(pair, marks=pytest.mark.slow if pair[1].name.startswith("relax") else ())
    for pair in pairings(LAYERED)
    # Three temperatures at every node ask for a finer rule: `test_discrete_estimators` has it.
    if pair[1].unbiased and integrable(*pair) and not isinstance(pair[1], RebarLearned)
]


@pytest.mark.parametrize("pair", UNBIASED, ids=pairing_id)
def test_the_expectation_over_all_noise_is_the_exact_target(pair):
    case, estimator = pair
    laws.unbiased(estimator, case, case.free, case.free_phi)


# -- annealed importance sampling over bits ----------------------------------------------------------


def gibbs_of(model, theta, x):
    """Return the matrix (2^K, 2^K) of one move under the posterior of one datum, and p(z | x)."""
    z = IndependentBernoulli(model.latent_dim).values()
    log_joint = model.log_joint(theta, x, z[:, None])[:, 0]
    p, matrix = np.exp(log_joint - log_joint.max()), np.eye(len(z))
    p /= p.sum()
    for k in range(model.latent_dim):
        other = np.arange(len(z)) ^ (1 << (model.latent_dim - 1 - k))
        flip = p[other] / (p + p[other])
        step = np.diag(1.0 - flip)
        step[np.arange(len(z)), other] = flip
        matrix = matrix @ step
    return matrix, p


def test_one_move_of_single_flips_has_the_law_of_gibbs_sampling_and_keeps_the_posterior():
    # 2^3 starts of 4000 chains: each share within 5 standard errors, a false alarm in 1 of 20 000 runs.
    model = DeepSigmoidBelief(2, (2, 1))
    theta, x, _, rng = problem_of(model)
    matrix, p = gibbs_of(model, theta, x[:1])
    assert_close(p @ matrix, p)
    z = np.repeat(IndependentBernoulli(3).values(), 4000, axis=0)[:, None]
    target = Tempered(AnnealedPath.from_q(model, theta, x[:1]), 1.0)
    gibbs = SingleFlips()
    moved, _ = gibbs.move(target, gibbs.start(target, z), np.ones(1), draw_move_noise(z.shape, rng))
    ends = (moved.z[:, 0] @ 2.0 ** np.arange(3)[::-1]).astype(int).reshape(8, 4000)
    share = np.stack([np.bincount(row, minlength=8) for row in ends]) / 4000
    assert np.all(np.abs(share - matrix) <= 5.0 * np.sqrt(matrix * (1.0 - matrix) / 4000) + 1e-12)


def mean_weights(transition, seed=0):
    """Return (mean of w / p(x) - 1) in its own standard errors (N,), from annealed chains over bits."""
    model = DeepSigmoidBelief(3, (2, 2))
    theta, x, _, rng = problem_of(model, seed)
    path = AnnealedPath.from_q(model, 2.0 * theta, x)
    log_p = enumeration.log_evidence(model, 2.0 * theta, x)[0]
    run = annealed_weights(path, linear_schedule(4), transition, rng, n_chains=4000)
    ratio = np.exp(run.log_w - log_p)
    return (ratio.mean(axis=0) - 1.0) / (ratio.std(axis=0, ddof=1) / np.sqrt(len(ratio)))


def test_annealed_weights_over_bits_are_unbiased_for_p_of_x():
    # |z| <= 5 of four data: a false alarm of 2e-6 in the normal limit, at a fixed seed.
    assert np.abs(mean_weights(SingleFlips())).max() <= 5.0


def test_a_flip_by_the_wrong_ratio_is_caught(monkeypatch):
    monkeypatch.setattr(flips, "sigmoid", lambda ratio: sigmoid(-ratio))
    assert np.abs(mean_weights(SingleFlips())).max() > 5.0


def test_a_move_along_a_slope_is_refused_for_bits_and_flips_for_reals():
    theta, x, _, rng = problem_of(NETS[1])
    with pytest.raises(NotApplicable, match="moves by SingleFlips"):
        annealed_weights(AnnealedPath.from_q(NETS[1], theta, x), [0, 1], RandomWalk(), rng)
    path = AnnealedPath.from_q(PPCA(3, 1), np.ones(PPCA(3, 1).layout.size), np.ones((2, 3)))
    with pytest.raises(NotApplicable, match="SingleFlips moves bits"):
        annealed_weights(path, [0, 1], SingleFlips(), rng)
