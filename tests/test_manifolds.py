"""Manifold data: what is known of each, and the law of log p at small noise where it is exact."""

import numpy as np
import pytest

from elbo_lab.datasets import MANIFOLDS, load
from elbo_lab.datasets.manifolds import blob_images, plane_directions
from elbo_lab.models import PPCA
from elbo_lab.study.energy import distance_sums, energy_distance

# --- the data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MANIFOLDS)
def test_the_table_of_a_manifold_has_its_columns_and_new_rows_are_others(name):
    manifold, data = MANIFOLDS[name], load(name)
    new = manifold.sample(1000, np.random.default_rng(1))
    assert data.x.shape == new.shape == (1000, len(manifold.columns)) and data.columns == manifold.columns
    assert data.image_shape is None or np.prod(data.image_shape) == data.x.shape[1]
    assert not np.isin(new, data.x).all(axis=1).any()
    # Eight standard errors of the difference of two means.
    error = np.sqrt((new.var(axis=0) + data.x.var(axis=0)) / 1000)
    assert (np.abs(new.mean(axis=0) - data.x.mean(axis=0)) < 8 * error).all()


def off_manifold(name, x):
    """Return how far each row is from the manifold of a name, by its equation."""
    if name == "plane":
        return np.linalg.norm(x - x @ plane_directions() @ plane_directions().T, axis=1)
    if name in ("spiral", "swiss-roll"):
        along, up = x[:, 0], x[:, -1]
        t = 10 * np.hypot(along, up)
        return np.hypot(along - t * np.cos(t) / 10, up - t * np.sin(t) / 10)
    if name == "blobs":
        grey = x.reshape(-1, 8, 8)
        # Of a Gaussian spot, two neighbouring pixels tell the middle: log(a / b) is linear in it.
        ratio = np.log(grey[:, 4, 3] / grey[:, 3, 3]), np.log(grey[:, 3, 4] / grey[:, 3, 3])
        middles = 3.5 + 1.2**2 * np.stack(ratio, axis=1)
        return np.linalg.norm(x - blob_images(middles), axis=1)
    return np.abs(np.linalg.norm(x, axis=1) - 1)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_rows_are_on_their_manifold_without_noise(name):
    assert off_manifold(name, load(name).x).max() < 1e-12
    assert off_manifold(name, load(name).x + 0.01).max() > 1e-3


def test_an_arc_has_ends_and_a_ring_has_none():
    for name, gap in (("arc", np.pi / 2), ("ring", 0.0)):
        angle = np.sort(np.arctan2(*load(name).x.T[::-1]) % (2 * np.pi))
        widest = np.diff(angle, append=angle[0] + 2 * np.pi).max()
        # The widest of 1000 gaps of a full circle is about 2 pi log(1000) / 1000.
        assert gap < widest + 1e-3 < gap + 0.1


@pytest.mark.parametrize("name", ["arc", "ring", "spiral", "swiss-roll", "sphere", "plane"])
def test_the_entropy_is_that_of_neighbour_distances(name):
    """Kozachenko and Leonenko (1987): psi(N) - psi(1) + log of a ball of r dimensions + r E log distance."""
    from scipy.spatial import KDTree
    from scipy.special import digamma, gammaln

    manifold, n = MANIFOLDS[name], 4000
    x, r = manifold.sample(n, np.random.default_rng(2)), manifold.dimension
    nearest = KDTree(x).query(x, 2)[0][:, 1]
    ball = 0.5 * r * np.log(np.pi) - gammaln(0.5 * r + 1)
    found = digamma(n) - digamma(1) + ball + r * np.log(nearest).mean()
    # The standard deviation of log volumes is pi / sqrt(6), and more of the Gaussian; the bias is smaller.
    assert abs(found - manifold.entropy) < 5 * 2 / np.sqrt(n)


def test_a_manifold_without_an_entropy_has_no_ceiling():
    with pytest.raises(ValueError, match="entropy of blobs"):
        MANIFOLDS["blobs"].ceiling(-1.0)


# --- the law on a plane: D - r nats per unit of -log sigma ------------------------------------------

D, R = 10, 3
PLANE = load("plane").x


def mean_log_p(theta, latent):
    return PPCA(D, latent).log_evidence(theta, PLANE).mean()


@pytest.mark.parametrize("latent", [3, 4, 7])
def test_with_enough_latents_log_p_grows_by_the_missing_dimensions(latent):
    model, at = PPCA(D, latent), np.arange(-2.0, -6.0, -1.0)
    values = [mean_log_p(model.maximum_at_noise(PLANE, log_sigma), latent) for log_sigma in at]
    np.testing.assert_allclose(np.diff(values), D - R, atol=1e-6)
    # Not only at the best loadings: from fixed ones on the plane the slope comes near.
    theta = model.maximum_at_noise(PLANE, -1.0)
    slopes = []
    for log_sigma in (-2.0, -9.0):
        model.layout.view(theta, "log_sigma")[...] = log_sigma
        slopes.append(-model.log_evidence_grad(theta, PLANE, np.full(1000, 1e-3))[-1])
    assert abs(slopes[0] - (D - R)) > 1e-3 and abs(slopes[1] - (D - R)) < 1e-6


@pytest.mark.parametrize("latent", [1, 2])
def test_with_too_few_latents_log_p_falls_without_bound(latent):
    model = PPCA(D, latent)
    values = [mean_log_p(model.maximum_at_noise(PLANE, log_sigma), latent) for log_sigma in (0.0, -3.0, -6.0)]
    lost = np.linalg.eigvalsh(np.cov(PLANE.T, bias=True))[::-1][latent:R].sum()
    # The lost variance over 2 sigma^2 outruns the gain in the other directions.
    expected = (D - latent) * 3.0 - 0.5 * lost * (np.exp(12.0) - np.exp(6.0))
    assert values[2] - values[1] == pytest.approx(expected, rel=1e-8)
    assert values[2] < -1e4 < values[1] < values[0]


def test_the_ceiling_of_the_plane_is_what_the_linear_model_reaches():
    # Of the sample: the eigenvalues of its covariance in place of 4, 1 and 1/4.
    model, manifold = PPCA(D, R), MANIFOLDS["plane"]
    spread = np.sort(np.linalg.eigvalsh(np.cov(PLANE.T, bias=True)))[-R:]
    shift = 0.5 * np.log(spread).sum() - np.log([2.0, 1.0, 0.5]).sum()
    for log_sigma in (-2.0, -4.0):
        value = mean_log_p(model.maximum_at_noise(PLANE, log_sigma), R)
        assert value + shift == pytest.approx(manifold.ceiling(log_sigma), abs=1e-8)


def elbo_of_best_q(model, theta):
    """Return the mean ELBO at the diagonal q that maximises it: exact mean, 1 / M_kk as variance."""
    mean, covariance = model.posterior_moments(theta, PLANE)
    log_std = -0.5 * np.log(np.diag(np.linalg.inv(covariance)))
    eta = model.family.join(mean, np.broadcast_to(log_std, mean.shape))
    return (model.expected_log_joint(theta, PLANE, eta) + model.family.entropy(eta)).mean()


@pytest.mark.parametrize("latent", [3, 5])
def test_the_elbo_of_the_linear_vae_grows_as_fast_if_it_leaves_the_other_latents_unused(latent):
    model = PPCA(D, latent)
    for turned in (False, True):
        values = []
        for log_sigma in (-5.0, -6.0):
            theta = model.maximum_at_noise(PLANE, log_sigma)
            if turned:
                W = model.layout.view(theta, "W")
                W[...] = W @ np.linalg.qr(np.random.default_rng(0).standard_normal((latent, latent)))[0]
            values.append(elbo_of_best_q(model, theta))
            if not turned:  # the exact posterior is diagonal: no gap
                assert values[-1] == pytest.approx(mean_log_p(theta, latent), abs=1e-6)
        # A rotation spreads r directions over all K latents; a diagonal q pays for each of them.
        used = latent if turned else R
        assert np.diff(values)[0] == pytest.approx(D - used, abs=0.02 if turned else 1e-6)


@pytest.mark.parametrize("log_sigma", [1.0, 0.3, -0.3, -2.0])
def test_at_a_given_noise_the_loadings_are_at_a_maximum(log_sigma):
    model = PPCA(D, 2)
    theta = model.maximum_at_noise(PLANE, log_sigma)
    assert model.layout.view(theta, "log_sigma") == pytest.approx(log_sigma, abs=1e-12)
    by_theta = model.layout.views(model.log_evidence_grad(theta, PLANE, np.full(1000, 1e-3)))
    assert max(np.abs(by_theta["W"]).max(), np.abs(by_theta["b"]).max()) < 1e-9 * np.exp(-2 * log_sigma)
    spread = np.sort(np.linalg.eigvalsh(np.cov(PLANE.T, bias=True)))[::-1]
    used = (spread[:2] > np.exp(2 * log_sigma)).sum()
    slope = D - used - spread[used:].sum() * np.exp(-2 * log_sigma)
    assert -by_theta["log_sigma"] == pytest.approx(slope, rel=1e-9)
    value = mean_log_p(theta, 2)
    for step in 0.3 * np.random.default_rng(0).standard_normal((20, D, 2)):
        other = theta.copy()
        model.layout.view(other, "W")[...] += step
        assert mean_log_p(other, 2) < value


# --- energy distance -----------------------------------------------------------------------------


def energy_of_gaussians(shift, scale):
    """The energy distance of N(0, 1) and N(shift, scale^2), by the mean of a folded normal."""
    from scipy.special import erf

    def folded(mean, variance):
        spread = np.sqrt(2 * variance)
        return spread / np.sqrt(np.pi) * np.exp(-(mean**2) / (2 * variance)) + mean * erf(mean / spread)

    return 2 * folded(shift, 1 + scale**2) - folded(0, 2) - folded(0, 2 * scale**2)


def by_pairs(x, y):
    """The energy distance of two samples, by loops over different rows."""
    between = np.mean([np.linalg.norm(a - b) for a in x for b in y])
    within = [
        np.mean([np.linalg.norm(a - b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j])
        for rows in (x, y)
    ]
    return 2 * between - sum(within)


def test_energy_distance_and_its_jackknife_are_those_of_loops():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)) + 0.5
    found = energy_distance(x, y)
    assert found.value == pytest.approx(by_pairs(x, y), abs=1e-12)
    left = [np.array([by_pairs(np.delete(x, i, 0), y) for i in range(7)])]
    left.append(np.array([by_pairs(x, np.delete(y, j, 0)) for j in range(5)]))
    variance = sum((len(u) - 1) * u.var() for u in left)
    assert found.standard_error == pytest.approx(np.sqrt(variance), abs=1e-12)
    half = 1.96 * found.standard_error
    assert (found.low, found.high) == pytest.approx((found.value - half, max(found.value + half, 0.0)))


def test_distances_in_blocks_are_those_in_one(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 2)), rng.standard_normal((4, 2))
    whole = distance_sums(x, y)
    monkeypatch.setattr("elbo_lab.study.energy.PAIRS_PER_PASS", 8)
    for one, other in zip(distance_sums(x, y), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)


@pytest.mark.parametrize(("shift", "least", "most"), [(1.0, 0.91, 0.985), (0.0, 0.98, 1.0)])
def test_the_interval_covers_the_energy_distance_of_gaussians(shift, least, most):
    """400 samples: the sd of a share of 0.95 is 0.011, of 0.99 it is 0.005; limits two or more away."""
    rng, scale = np.random.default_rng(4), 1.2 if shift else 1.0
    truth = energy_of_gaussians(shift, scale)
    found = [
        energy_distance(rng.normal(0, 1, (100, 1)), rng.normal(shift, scale, (120, 1))) for _ in range(400)
    ]
    assert (np.mean([one.low > 0 for one in found]) > 0.9) == (truth > 0)  # it tells one from the other
    assert least <= np.mean([one.low <= truth <= one.high for one in found]) <= most
    values = np.array([one.value for one in found])
    assert abs(values.mean() - truth) < 4 * values.std() / 20  # unbiased
    # The plain mean over all pairs, a row with itself among them, would be off by far more.
    assert (1 / 100 + 1 / 120) * 1.128 > 10 * values.std() / 20 * (shift == 0.0)


@pytest.mark.parametrize(
    ("x", "y", "what"),
    [
        (np.zeros((2, 1)), np.zeros((3, 1)), "x: expected three rows or more, got 2"),
        (np.zeros((3, 1)), np.zeros((3, 2)), "y: .*"),
        (np.full((3, 1), np.nan), np.zeros((3, 1)), "x: .*"),
    ],
)
def test_samples_without_a_distance_are_refused(x, y, what):
    with pytest.raises(ValueError, match=what):
        energy_distance(x, y)
