"""Laws of the maps from data to eta: free table, encoder, exact posterior."""

import numpy as np
import pytest
from cases import CASES, FAMILIES, WITH_POSTERIOR, model_id
from checks import assert_close, check_vjp, exact_draws, read_only

from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.models import GaussianMLE
from elbo_lab.networks import MLP
from elbo_lab.optimise import fit_encoder
from elbo_lab.posteriors import POSTERIORS, AmortisedPosterior, ExactPosterior, FreePosterior

X = np.random.default_rng(3).normal([50.0, -2.0], [12.0, 0.3], (4, 2))

every_case = pytest.mark.parametrize("case", CASES, ids=model_id)
PAIRS = [
    pytest.param(case.x, posterior, phi, id=f"{model_id(case)}-{posterior.name}")
    for case in CASES
    for posterior, phi in case.posteriors()
]
every_pair = pytest.mark.parametrize(("x", "posterior", "phi"), PAIRS)


def exact_posterior(case):
    """Return the exact posterior at an equivalent theta whose coordinates are independent."""
    return ExactPosterior(case.model, case.model.canonical(case.theta))


with_exact = pytest.mark.parametrize("case", WITH_POSTERIOR, ids=model_id)


# -- maps with parameters ------------------------------------------------------------------------


@every_pair
def test_eta_has_a_row_per_datum_and_phi_a_name_per_coordinate(x, posterior, phi):
    assert posterior.eta(phi, x).shape == (len(x), posterior.family.eta_size)
    assert posterior.layout.size == len(phi) and posterior.has_parameters
    assert len({posterior.layout.name_of(i) for i in range(len(phi))}) == len(phi)


@every_pair
def test_eta_vjp_is_the_derivative_of_eta(x, posterior, phi):
    rng = np.random.default_rng(len(phi))
    check_vjp(lambda p: posterior.eta(p, x), lambda p, c: posterior.eta_vjp(p, x, c), phi, rng)


@every_pair
def test_leading_axes_of_repeats_equal_looped_calls(x, posterior, phi):
    rng = np.random.default_rng(len(phi))
    cotangent = rng.standard_normal((2, 3, len(x), posterior.family.eta_size))
    together = posterior.eta_vjp(phi, x, cotangent)
    alone = [[posterior.eta_vjp(phi, x, c) for c in row] for row in cotangent]
    assert_close(together, alone)


@every_pair
def test_eta_error_is_carried_over_by_the_jacobian(x, posterior, phi):
    rng = np.random.default_rng(len(phi))
    error = rng.random((len(x), posterior.family.eta_size))
    columns = [
        (posterior.eta(phi + step, x) - posterior.eta(phi - step, x)) / 2e-6
        for step in 1e-6 * np.eye(len(phi))
    ]
    expected = np.sqrt([((column * error) ** 2).sum() for column in columns])
    assert_close(posterior.eta_error(phi, x, error), expected, 1e-7)


@every_pair
def test_inputs_are_never_written_into(x, posterior, phi):
    x, phi, cotangent = read_only(x, phi, np.ones((len(x), posterior.family.eta_size)))
    posterior.eta(phi, x)
    posterior.eta_vjp(phi, x, cotangent)
    posterior.eta_error(phi, x, cotangent)


# -- free ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{f.name}-{f.size}")
def test_the_free_table_is_phi_itself(family):
    posterior = FreePosterior(family, 4)
    eta = np.random.default_rng(0).standard_normal((4, family.eta_size))
    phi = posterior.phi_from_eta(eta)
    assert not np.shares_memory(phi, eta)
    assert np.array_equal(posterior.eta(phi, X), eta)
    assert np.array_equal(posterior.eta_vjp(phi, X, eta), phi)
    assert np.array_equal(posterior.eta_error(phi, X, eta), phi)


def test_the_free_table_takes_the_exact_posterior_that_is_one_row_of_a_broadcast():
    case = CASES[0]
    eta = np.broadcast_to(case.model.prior_eta(case.theta), (3, 4))
    phi = case.free.phi_from_eta(eta)
    phi += 1.0
    assert np.array_equal(case.free.eta(phi, case.x), eta + 1.0)


def test_the_free_table_ignores_the_data_but_not_their_number():
    posterior = FreePosterior(DiagonalGaussian(1), 4)
    phi = np.arange(8.0)
    assert np.array_equal(posterior.eta(phi, X), posterior.eta(phi, -X))
    with pytest.raises(ValueError, match=r"x: expected the 4 data .*, got 3"):
        posterior.eta(phi, X[:3])


# -- a part of eta that all data share -----------------------------------------------------------


class OneScale(DiagonalGaussian):
    """Diagonal Gaussian whose log-std are the same for all data under an encoder."""

    @property
    def shared_size(self):
        return self.size

    def initial_shared(self, rng):
        return rng.uniform(-1.0, -0.5, self.size)


def sharing():
    posterior = AmortisedPosterior.for_data(OneScale(2), X, hidden=(3,))
    return posterior, np.random.default_rng(1).standard_normal(posterior.layout.size)


def check_shared_pullback():
    posterior, phi = sharing()
    rng = np.random.default_rng(2)
    check_vjp(lambda p: posterior.eta(p, X), lambda p, c: posterior.eta_vjp(p, X, c), phi, rng)


def test_the_shared_part_of_eta_is_in_phi_once_under_its_own_name():
    posterior, phi = sharing()
    own, shared = np.split(posterior.eta(phi, X), 2, axis=-1)
    assert posterior.network.sizes == (2, 3, 2)
    assert np.array_equal(shared, np.tile(posterior.layout.view(phi, "shared"), (4, 1)))
    assert_close(own, posterior.network.forward(phi[:-2], (X - X.mean(axis=0)) / X.std(axis=0))[0])
    assert posterior.layout.name_of(len(phi) - 1) == "shared[1]"


def test_the_pullback_sums_the_shared_part_over_the_data():
    check_shared_pullback()
    posterior, phi = sharing()
    cotangent = np.random.default_rng(3).standard_normal((5, 4, 4))
    together = posterior.eta_vjp(phi, X, cotangent)
    assert_close(together, [posterior.eta_vjp(phi, X, c) for c in cotangent])
    assert_close(together[:, -2:], cotangent[..., 2:].sum(axis=1))


def test_a_shared_part_averaged_instead_of_summed_is_caught(monkeypatch):
    right = AmortisedPosterior.eta_and_pullback

    def wrong(self, phi, x):
        eta, pullback = right(self, phi, x)
        return eta, lambda cotangent: pullback(cotangent) * np.r_[np.ones(len(phi) - 2), 0.25, 0.25]

    monkeypatch.setattr(AmortisedPosterior, "eta_and_pullback", wrong)
    with pytest.raises(AssertionError):
        check_shared_pullback()


def test_the_family_gives_the_start_of_its_shared_part():
    posterior = AmortisedPosterior.for_data(OneScale(2), X, hidden=(3,))
    eta = posterior.eta(posterior.initial(np.random.default_rng(0)), X)
    assert not eta[:, :2].any() and np.all(eta[:, 2:] == eta[0, 2:]) and np.all(eta[:, 2:] < 0.0)
    free = FreePosterior(OneScale(2), 4)
    table = free.eta(free.initial(np.random.default_rng(0)), X)
    assert not table[:, :2].any() and np.all(table[:, 2:] == table[0, 2:]) and np.all(table[:, 2:] < 0.0)


def test_a_description_with_a_shared_part_is_read_back():
    posterior, phi = sharing()
    again = AmortisedPosterior.from_dict(OneScale(2), posterior.to_dict())
    assert again == posterior and np.array_equal(again.eta(phi, X), posterior.eta(phi, X))


def test_an_encoder_with_a_shared_part_learns_a_table_of_eta():
    posterior, _ = sharing()
    table = np.concatenate([np.tanh((X - X.mean(axis=0)) / X.std(axis=0)), np.full((4, 2), -0.7)], axis=1)
    phi = fit_encoder(posterior, X, table, np.random.default_rng(0))
    assert_close(posterior.eta(phi, X), table, 1e-2)


# -- amortised -----------------------------------------------------------------------------------


def encoder(x=X, **settings):
    posterior = AmortisedPosterior.for_data(DiagonalGaussian(1), x, **settings)
    return posterior, np.random.default_rng(1).standard_normal(posterior.layout.size)


def test_the_encoder_sees_standardised_columns():
    posterior, phi = encoder(hidden=(3,))
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    assert_close(posterior.eta(phi, X), posterior.network.forward(phi, standard)[0])


def test_the_encoder_does_not_see_the_units_of_the_data():
    posterior, phi = encoder()
    in_other_units = AmortisedPosterior.for_data(posterior.family, 60.0 * X + 5.0)
    assert_close(in_other_units.eta(phi, 60.0 * X + 5.0), posterior.eta(phi, X), 1e-10)


def test_a_constant_column_is_only_shifted():
    x = np.column_stack([X, np.full(4, 9.0)])
    posterior, phi = encoder(x)
    assert posterior.scale[2] == 1.0
    assert np.isfinite(posterior.eta(phi, x)).all()


def test_each_datum_has_its_own_eta_whatever_stands_beside_it():
    posterior, phi = encoder()
    together = posterior.eta(phi, X)
    assert_close(posterior.eta(phi, X[[2, 0]]), together[[2, 0]])
    assert len(np.unique(together[:, 0])) == 4


def test_an_encoder_without_hidden_layers_is_affine():
    posterior, phi = encoder(hidden=())
    eta = posterior.eta(phi, np.array([X[0], X[1], X[0] + X[1], 0.0 * X[0]]))
    assert_close(eta[0] + eta[1], eta[2] + eta[3])


def test_the_encoder_starts_at_eta_zero_and_can_leave_it():
    posterior, _ = encoder()
    phi = posterior.initial(np.random.default_rng(0))
    assert not posterior.eta(phi, X).any()
    assert posterior.eta_vjp(phi, X, np.ones((4, 2))).any()
    assert np.array_equal(phi, posterior.initial(np.random.default_rng(0)))


def test_equal_encoders_are_equal_and_hash_equally():
    assert encoder()[0] == encoder()[0] and hash(encoder()[0]) == hash(encoder()[0])


# -- exact ---------------------------------------------------------------------------------------


@with_exact
def test_the_exact_posterior_is_proportional_to_the_joint(case):
    posterior = exact_posterior(case)
    eta = posterior.eta(np.zeros(0), case.x)
    z, _ = exact_draws(posterior.family, eta, n_nodes=4)
    log_w = case.model.log_joint(posterior.theta, case.x, z) - posterior.family.log_prob(eta, z)
    assert_close(log_w, np.broadcast_to(log_w[0], log_w.shape), 1e-11)


@with_exact
def test_the_exact_posterior_has_no_parameters(case):
    posterior = exact_posterior(case)
    assert posterior.layout.size == 0 and not posterior.has_parameters
    assert posterior.family == case.model.family
    cotangent = np.ones((5, 3, posterior.family.eta_size))
    assert posterior.eta_vjp(np.zeros(0), case.x, cotangent).shape == (5, 0)
    assert posterior.eta_error(np.zeros(0), case.x, cotangent[0]).shape == (0,)


@pytest.mark.parametrize("case", [c for c in CASES if c not in WITH_POSTERIOR], ids=model_id)
def test_a_model_without_a_known_posterior_is_refused_with_the_reason(case):
    with pytest.raises(NotApplicable, match=f"posterior of {case.model.label} (has no closed|couples)"):
        ExactPosterior(case.model, case.theta).eta(np.zeros(0), case.x)


def test_every_posterior_has_its_own_name_and_a_summary():
    assert len({posterior.name for posterior in POSTERIORS}) == len(POSTERIORS)
    assert all(posterior.summary for posterior in POSTERIORS)


def test_a_scale_that_is_not_positive_is_refused():
    network = MLP((2, 4))
    with pytest.raises(ValueError, match="scale: expected a positive finite number, got 0"):
        AmortisedPosterior(DiagonalGaussian(2), network, (0.0, 0.0), (1.0, 0.0))


def test_the_exact_posterior_wants_a_theta_of_its_model():
    with pytest.raises(ValueError, match=r"theta: expected shape \(4,\), got shape \(3,\)"):
        ExactPosterior(GaussianMLE(2), np.zeros(3))
