"""Which units of a linear VAE collapse: by formula, by its slopes, and by an ascent without noise."""

import numpy as np
import pytest
from checks import assert_close, check_vjp

from elbo_lab import Problem
from elbo_lab.distributions import Beta
from elbo_lab.em import fit_closed_form
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import active_units, decompose
from elbo_lab.models import PPCA, DeepBernoulli
from elbo_lab.networks import MLP
from elbo_lab.optimise import ascend_weighted_elbo, exact_weighted_elbo
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.theory import predict_active_units
from elbo_lab.theory.collapse import learned_noise

K = 4
EIGENVALUES = np.array([9.0, 5.0, 2.5, 1.2, 0.6, 0.3])


def table(eigenvalues=EIGENVALUES, seed=0):
    """Rows with a given covariance (over N), turned by a rotation, and a mean that is not zero."""
    rng, size = np.random.default_rng(seed), len(eigenvalues)
    rotation = np.linalg.qr(rng.standard_normal((size, size)))[0]
    arrows = np.sqrt(size * eigenvalues)[:, None] * rotation
    return np.concatenate([arrows, -arrows]) + rng.standard_normal(size)


def linear_vae(x, latent, seed=None):
    """The problem of PPCA under a linear encoder of a diagonal Gaussian, at small random weights."""
    model = PPCA(x.shape[1], latent)
    network = MLP((x.shape[1], model.family.eta_size), "tanh")
    encoder = AmortisedPosterior(model.family, network, tuple(x.mean(axis=0)), (1.0,) * x.shape[1])
    rng = np.random.default_rng(seed)
    theta, phi = 0.3 * rng.standard_normal(model.layout.size), 0.1 * rng.standard_normal(encoder.layout.size)
    model.layout.views(theta)["b"][...] = x.mean(axis=0)
    return Problem(model, encoder, theta, phi, x)


# beta, sigma^2, units: the threshold beta sigma^2 between all eigenvalues, above all, and below all of four.
KNOWN = [
    (1.0, 0.2, 4),
    (1.0, 1.5, 3),
    (4.0, 0.2, 4),
    (4.0, 0.5, 3),
    (4.0, 1.0, 2),
    (0.1, 60.0, 1),
    (4.0, 3.0, 0),
]
known = pytest.mark.parametrize("beta, sigma2, count", KNOWN)


@known
def test_units_are_the_eigenvalues_above_beta_times_the_noise(beta, sigma2, count):
    found = predict_active_units(table(), K, beta, sigma2)
    assert_close(found.eigenvalues, EIGENVALUES, 1e-12)
    assert found.count == count and found.threshold == pytest.approx(beta * sigma2)
    W = found.model.layout.views(found.theta)["W"]
    assert_close(
        np.sqrt((W**2).sum(axis=0)), np.sqrt(np.maximum(EIGENVALUES[:K] - beta * sigma2, 0.0)), 1e-12
    )


def check_maximum(found, beta, x, learned=False):
    """Its value is that of the exact objective, and every slope there is zero."""
    parts = decompose(found.model, found.theta, x, found.best_eta(x))
    assert_close(found.value, parts.beta_objective(beta).mean(), 1e-10)
    q = FreePosterior(found.model.family, len(x))
    problem = Problem(found.model, q, found.theta, q.phi_from_eta(found.best_eta(x)), x)
    value, by_theta, by_phi = exact_weighted_elbo(problem, beta)
    assert_close(found.value, value, 1e-10)
    slopes = found.model.layout.views(by_theta)
    largest = max(np.abs(by_phi).max(), np.abs(slopes["W"]).max(), np.abs(slopes["b"]).max())
    assert max(largest, learned * np.abs(slopes["log_sigma"])) < 1e-9


@known
def test_the_predicted_point_is_stationary_and_its_value_exact(beta, sigma2, count):  # noqa: ARG001
    x = table()
    check_maximum(predict_active_units(x, K, beta, sigma2), beta, x)


@pytest.mark.parametrize("beta", [0.3, 1.0, 1.3, 2.0, 8.0])
def test_so_is_the_point_with_learned_noise(beta):
    x = table()
    found = predict_active_units(x, K, beta)
    check_maximum(found, beta, x, learned=True)
    # Of all noise variances none is better.
    values = [
        predict_active_units(x, K, beta, found.sigma2 * f).value for f in (0.02, 0.5, 0.98, 1.02, 2, 50)
    ]
    assert max(values) < found.value


def test_at_beta_one_learned_noise_is_that_of_ppca_and_nothing_collapses():
    x = table()
    found = predict_active_units(x, K)
    fitted = fit_closed_form(PPCA(6, K), x)
    log_p = PPCA(6, K).log_evidence(fitted.theta, x).mean()
    assert_close(found.value, log_p, 1e-12)
    assert found.sigma2 == pytest.approx(EIGENVALUES[K:].mean()) and found.count == K


@pytest.mark.parametrize("beta", [1.0, 1.7, 2.5, 4.0, 100.0])
def test_learned_noise_is_where_the_slope_changes_its_sign(beta):
    def slope(v):
        above = (EIGENVALUES[:K] > v).sum()
        return beta * EIGENVALUES[above:].sum() - v * (len(EIGENVALUES) - beta * above)

    v = beta * learned_noise(EIGENVALUES, K, beta)
    assert slope(v * (1 - 1e-6)) > 0 > slope(v * (1 + 1e-6))
    signs = np.sign([slope(f * v) for f in np.geomspace(1e-3, 1e3, 400)])
    assert (np.diff(signs) <= 0).all()


@pytest.mark.parametrize("fault", ["noise without beta", "degrees of freedom without beta"])
def test_another_threshold_is_caught(fault, monkeypatch):
    x, beta = table(), 4.0
    if fault == "noise without beta":
        found = predict_active_units(x, K, 1.0, 0.5)
        with pytest.raises(AssertionError):
            check_maximum(found, beta, x)
        return
    monkeypatch.setattr(
        "elbo_lab.theory.collapse.learned_noise",
        lambda e, k, beta: float(e[k:].mean()),  # noqa: ARG005
    )
    with pytest.raises(AssertionError):
        check_maximum(predict_active_units(x, K, 1.3), 1.3, x, learned=True)


# -- an ascent finds them ----------------------------------------------------------------------------


@pytest.mark.parametrize("beta, sigma2", [(1.0, 1.5), (4.0, 0.5), (4.0, 3.0), (0.1, 60.0)])
def test_an_ascent_without_noise_keeps_the_predicted_units(beta, sigma2):
    x = table()
    predicted = predict_active_units(x, K, beta, sigma2)
    start = linear_vae(x, K, seed=1)
    start.model.layout.views(start.theta)["log_sigma"][...] = 0.5 * np.log(sigma2)
    end = ascend_weighted_elbo(start, beta, held=["log_sigma"])
    value, *_ = exact_weighted_elbo(end, beta)
    assert -1e-9 < predicted.value - value < 1e-4
    assert active_units(end.posterior, end.phi, x).count == predicted.count
    assert end.model.layout.views(end.theta)["log_sigma"] == 0.5 * np.log(sigma2)


@pytest.mark.parametrize("beta", [1.0, 1.6, 6.0])
def test_an_ascent_that_learns_the_noise_finds_it_and_the_units(beta):
    x = table()
    predicted = predict_active_units(x, K, beta)
    end = ascend_weighted_elbo(linear_vae(x, K, seed=2), beta)
    assert -1e-9 < predicted.value - exact_weighted_elbo(end, beta)[0] < 1e-4
    assert active_units(end.posterior, end.phi, x).count == predicted.count
    noise = np.exp(2.0 * end.model.layout.views(end.theta)["log_sigma"])
    assert noise == pytest.approx(predicted.sigma2, rel=1e-2)


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_slopes_of_the_exact_objective_are_its_differences(beta):
    model = DeepBernoulli(3, 1, (3,))
    x = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    q = AmortisedPosterior.for_data(model.family, x, (3,))
    for start in (linear_vae(table(), 2, seed=3), Problem(model, q, *_random(model, q), x)):
        for place, name in enumerate(("theta", "phi")):
            check_vjp(
                lambda p, start=start, name=name: np.array(
                    [exact_weighted_elbo(start._replace(**{name: p}), beta)[0]]
                ),
                lambda p, c, start=start, name=name, place=place: (
                    c[0] * exact_weighted_elbo(start._replace(**{name: p}), beta)[1 + place]
                ),
                getattr(start, name),
                np.random.default_rng(4),
                n_directions=2,
            )


def _random(model, q):
    rng = np.random.default_rng(5)
    return 0.4 * rng.standard_normal(model.layout.size), 0.4 * rng.standard_normal(q.layout.size)


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"latent": 6}, "latent: expected fewer than the 6 columns"),
        ({"latent": 0}, "latent"),
        ({"beta": 0.0}, "beta: expected"),
        ({"beta": -1.0}, "beta: expected"),
        ({"sigma2": 0.0}, "sigma2: expected"),
    ],
)
def test_what_has_no_answer_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        predict_active_units(table(), **{"latent": K} | options)


def test_data_without_noise_have_none_to_learn():
    flat = table(np.array([3.0, 1.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match=r"data: expected a covariance of rank above latent = 2"):
        predict_active_units(flat, 2, beta=1.5)
    assert predict_active_units(flat, 2, beta=1.5, sigma2=0.1).count == 2


def test_a_q_without_a_closed_kl_is_refused():
    model, x = DeepBernoulli(3, 1, (4,)), np.array([[0.0, 1.0, 1.0]])
    q = FreePosterior(Beta(1), 1)
    problem = Problem(model, q, np.zeros(model.layout.size), np.zeros(q.layout.size), x)
    with pytest.raises(NotApplicable, match="KL between a beta q"):
        exact_weighted_elbo(problem, 2.0)
