"""Kernel densities, histograms and the Gaussian: against SciPy and NumPy, direct loops, and quadrature."""

import numpy as np
import pytest
from checks import assert_close, check_vjp
from scipy.stats import gaussian_kde, multivariate_normal

from elbo_lab import compare, fit, load, load_fitted
from elbo_lab.evaluation import held_out_log_likelihood
from elbo_lab.models import Gaussian, GaussianMixture, Histogram, KernelDensity
from elbo_lab.models.histogram import best_by_leave_one_out, scores_by_leave_one_out
from elbo_lab.models.leave_one_out import best_log_factor, extremes, leave_one_out

FAITHFUL = load("faithful").x
SMALL = np.random.default_rng(0).standard_normal((20, 2)) * [1.0, 5.0] + [2.0, -3.0]
RULES = {"scott": "scott", "silverman": "silverman"}


def log_p(model, theta, x):
    return held_out_log_likelihood(model, theta, x)


def smoothed(kind, x, variant=None):
    model = kind.for_data(x, variant)
    return model, model.smoothed(x)[0]


def uncorrelated(x):
    """Return rows and their mirror images: columns without any correlation, as SciPy's kernel then has."""
    centred = x - x.mean(axis=0)
    return np.concatenate([centred, centred * [1.0, -1.0]])


# -- kernel density --------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", RULES)
@pytest.mark.parametrize("x", [FAITHFUL[:, :1], uncorrelated(FAITHFUL[:50])], ids=["1-D", "2-D"])
def test_a_kernel_density_is_that_of_scipy(x, variant):
    model, theta = smoothed(KernelDensity, x, variant)
    peer = gaussian_kde(x.T, RULES[variant])
    new = np.concatenate([x[:20] + 0.3, 3.0 * x[:5]])
    assert_close(log_p(model, theta, new), peer.logpdf(new.T), 1e-12)
    assert model.described(theta)["factor"] == pytest.approx(peer.factor, rel=1e-14)


def test_it_is_a_mixture_with_an_equal_component_on_every_row():
    model, theta = smoothed(KernelDensity, SMALL)
    mixture = GaussianMixture(2, len(SMALL), "diagonal")
    deviations = np.tile(model.described(theta)["bandwidths"], (len(SMALL), 1))
    twin = mixture.layout.pack({"mean": SMALL, **mixture.covariance.initial(deviations)})
    assert_close(log_p(model, theta, FAITHFUL), log_p(mixture, twin, FAITHFUL), 1e-12)
    assert_close(model.posterior_eta(theta, SMALL), mixture.posterior_eta(twin, SMALL), 1e-12)


def test_leave_one_out_is_the_mean_over_densities_of_all_other_rows():
    model, theta = smoothed(KernelDensity, SMALL)
    values = []
    for n in range(len(SMALL)):
        others = KernelDensity(2, len(SMALL) - 1)
        t = model.layout.views(theta) | {"rows": np.delete(SMALL, n, axis=0)}
        values.append(log_p(others, others.layout.pack(t), SMALL[n : n + 1])[0])
    assert model.leave_one_out(theta) == pytest.approx(np.mean(values), rel=1e-12)
    assert model.leave_one_out(theta) < log_p(model, theta, SMALL).mean() - 0.1


@pytest.mark.parametrize("block", [1, 7 * 20, 1 << 18])
def test_its_slope_in_the_factor_is_that_of_central_differences_in_any_blocks(block, monkeypatch):
    monkeypatch.setattr("elbo_lab.models.leave_one_out.BLOCK_ENTRIES", block)
    u, places, step = SMALL / SMALL.std(axis=0), np.log([0.05, 0.3, 1.0, 4.0]), 1e-5
    rise = leave_one_out(u, places + step)[0] - leave_one_out(u, places - step)[0]
    assert_close(leave_one_out(u, places)[1], rise / (2.0 * step), 1e-8)


@pytest.mark.parametrize(
    "x",
    [SMALL, FAITHFUL[:, :1], np.repeat(SMALL, 2, axis=0)[:-1], np.array([[0.0], [1.0], [5.0]])],
    ids=["cloud", "ties", "one row alone", "three rows"],
)
def test_the_factor_found_is_the_highest_of_a_fine_grid_and_has_no_slope(x):
    u = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    ends = extremes(u)
    found = best_log_factor(u, *ends)
    grid = np.linspace(found - 4.0, found + 3.0, 400)
    values, slopes = leave_one_out(u, grid)
    value, slope = leave_one_out(u, np.array([found]))
    assert value[0] >= values.max() and abs(slope[0]) < 1e-8
    low, high = (0.5 * np.log(d.mean() / x.shape[1]) for d in ends)
    assert (slopes[grid < low] > 0).all() and (slopes[grid > high] < 0).all(), "the bracket is proven"


def test_where_every_row_has_a_twin_the_likelihood_grows_without_bound_and_the_data_are_refused():
    twins = np.repeat(SMALL, 2, axis=0)
    values = leave_one_out(twins / SMALL.std(axis=0), np.log([1e-5, 5e-6]))[0]
    assert values[1] - values[0] == pytest.approx(2 * np.log(2.0), rel=1e-9)
    with pytest.raises(ValueError, match=r"unbounded as h -> 0.*got 40 of 40 rows.*use kde:scott"):
        fit("kde", twins)
    assert fit("kde:scott", twins).warnings == ()


def test_some_ties_are_counted_and_pull_the_bandwidth_down():
    tied = np.concatenate([SMALL, SMALL[:10]])
    alone, some = fit("kde", SMALL), fit("kde", tied)
    assert alone.warnings == () and some.warnings[0].startswith("20 of 30 rows equal another row")
    assert some.parameters["factor"] < 0.7 * alone.parameters["factor"]


# -- histogram -------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [FAITHFUL[:, :1], FAITHFUL], ids=["1-D", "2-D"])
@pytest.mark.parametrize("variant", Histogram.variants)
def test_a_histogram_is_that_of_numpy(x, variant):
    # No row on an edge, where rounding gives it to the one bin or the other.
    x = x + 1e-4 * np.random.default_rng(0).standard_normal(x.shape)
    model, theta = smoothed(Histogram, x, variant)
    density, edges = np.histogramdd(x, model.bins, density=True)
    centres = np.stack(np.meshgrid(*[0.5 * (e[1:] + e[:-1]) for e in edges], indexing="ij"), axis=-1)
    with np.errstate(divide="ignore"):
        expected = np.log(density.ravel())
    found = log_p(model, theta, centres.reshape(-1, x.shape[1]))
    empty = np.isinf(expected)
    assert np.array_equal(np.isinf(found), empty)
    assert_close(found[~empty], expected[~empty], 1e-10)
    assert np.isfinite(log_p(model, theta, x)).all(), "its own rows, the greatest too, are inside"
    assert np.isinf(log_p(model, theta, np.array([x.min(axis=0) - 1e-6, x.max(axis=0) + 1e-6]))).all()


def test_the_number_of_bins_of_one_column_is_that_of_freedman_and_diaconis():
    for x in (FAITHFUL[:, :1], SMALL[:, 1:]):
        assert Histogram.for_data(x).bins == (len(np.histogram_bin_edges(x, "fd")) - 1,)


def test_the_bins_by_leave_one_out_are_the_best_of_a_direct_loop():
    x, values = FAITHFUL[:60, :1], {}
    for m, value in scores_by_leave_one_out(x):
        edges = np.linspace(x.min(), x.max(), m + 1)
        n = np.histogram(x, edges)[0][np.clip(np.searchsorted(edges, x[:, 0], "right") - 1, 0, m - 1)]
        with np.errstate(divide="ignore"):
            values[m] = np.log((n - 1) / ((len(x) - 1) * (edges[1] - edges[0]))).mean()
        assert value == values[m] or value == pytest.approx(values[m], rel=1e-9)
    assert best_by_leave_one_out(x) == (max(values, key=values.get),)
    assert -np.inf in values.values(), "a row alone in its bin"


def test_the_gradient_of_a_histogram_is_that_within_a_cell():
    model, rng = Histogram(2, (3, 2)), np.random.default_rng(1)
    theta = 0.3 * rng.standard_normal(model.layout.size)
    x, z = model.sample(theta, 6, rng)
    assert np.isfinite(model.log_joint(theta, x, z[None])).all()
    check_vjp(
        lambda t: model.log_joint(t, x, z[None]),
        lambda t, c: model.log_joint_vjp(t, x, z[None], c)[0],
        theta,
        rng,
    )


def test_a_histogram_of_many_columns_or_cells_is_refused_in_a_line():
    with pytest.raises(ValueError, match="at most 3 columns, got 64"):
        fit("histogram", "digits")
    far = np.concatenate([SMALL, [[1e9, 1e9]]])
    with pytest.raises(ValueError, match="data: expected a spread that at most 262144 cells cover"):
        fit("histogram", far)


def test_new_rows_without_density_are_counted_and_said():
    result = fit("histogram", "faithful", holdout=0.2)
    unseen = result.final["held_out"]
    assert unseen["log_likelihood_per_datum"] == -np.inf and unseen["impossible_rows"] == 2
    values = result.score_samples(result.held_out.x)
    assert unseen["log_likelihood_per_possible_datum"] == pytest.approx(values[values > -np.inf].mean())
    assert "log p(x) is -inf in 2 of 55 rows" in result.table(80)
    assert result.to_dict()["final"]["held_out"]["log_likelihood"] is None, "JSON has no infinity"


# -- all of them -----------------------------------------------------------------------------------

ALL = [*(f"kde:{v}" for v in KernelDensity.variants), *(f"histogram:{v}" for v in Histogram.variants)]
ALL += [f"gaussian:{v}" for v in Gaussian.variants]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n_columns", [1, 2])
def test_a_density_integrates_to_one(name, n_columns):
    x = SMALL[:, :n_columns]
    result = fit(name, x)
    low, high = x.min(axis=0), x.max(axis=0)
    if name.startswith("histogram"):  # one point in every cell is exact
        counts = result.model.bins
    else:  # a sum over a wide grid is exact for smooth densities
        counts = (400,) * n_columns
        low, high = low - 9.0 * x.std(), high + 9.0 * x.std()
    axes = [a + (b - a) * (np.arange(n) + 0.5) / n for a, b, n in zip(low, high, counts, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, n_columns)
    total = np.exp(result.score_samples(grid)).sum() * np.prod((high - low) / counts)
    assert total == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("variant", Gaussian.variants)
def test_the_gaussian_is_that_of_scipy_at_the_maximum_of_its_likelihood(variant):
    result = fit(f"gaussian:{variant}", FAITHFUL)
    covariance = np.cov(FAITHFUL.T, bias=True)
    if variant != "full":
        covariance = np.diag(np.diag(covariance))
    if variant == "spherical":
        covariance = np.eye(2) * np.trace(covariance) / 2
    peer = multivariate_normal(FAITHFUL.mean(axis=0), covariance)
    assert_close(result.score_samples(FAITHFUL), peer.logpdf(FAITHFUL), 1e-12)
    assert result.settings["method"] == "closed-form"
    with pytest.raises(ValueError, match="n_components: expected one component"):
        Gaussian(2, 2)


@pytest.mark.parametrize("name", ALL)
def test_a_checkpoint_gives_the_same_density_and_draws_within_its_support(name, tmp_path):
    path = tmp_path / "density.npz"
    result = fit(name, FAITHFUL, checkpoint=path)
    stored = load_fitted(path)
    assert np.array_equal(stored.score_samples(FAITHFUL), result.score_samples(FAITHFUL))
    x = stored.generate(300, np.random.default_rng(0))
    assert x.shape == (300, 2) and np.isfinite(stored.score_samples(x)).all()
    # Four standard errors of a mean of 300 draws, whose spread is that of the data and a little more.
    assert (np.abs(x.mean(axis=0) - FAITHFUL.mean(axis=0)) < 4.5 * FAITHFUL.std(axis=0) / np.sqrt(300)).all()


@pytest.mark.parametrize("name", ["kde", "histogram", "gaussian"])
def test_figures_record_and_notebook_are_made_of_every_density(name, tmp_path):
    result = fit(name, "faithful", holdout=0.2)
    assert "samples" in result.write_figures(tmp_path)
    assert result.model.label in result._repr_html_() and result.to_json(tmp_path / "out.json")
    result.write_scores(tmp_path / "rows.csv")
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 273


def test_a_kernel_density_of_images_draws_images(tmp_path):
    result = fit("kde:scott", load("digits:dequantised").rows(60, 0))
    assert "samples" in result.write_figures(tmp_path)
    assert result.generate(3, np.random.default_rng(0)).shape == (3, 64)


@pytest.mark.parametrize("name", ["kde", "histogram"])
def test_no_ascent_and_no_comparison_of_estimators_takes_a_density_of_the_rows(name):
    for method in ("gradient", "vae", "em", "closed-form"):
        with pytest.raises(ValueError, match="method: expected one of smoothing"):
            fit(name, FAITHFUL, method=method)
    with pytest.raises(ValueError, match=f"{name} has no estimators to compare.*take gaussian-mixture"):
        compare(name)
    with pytest.raises(ValueError, match="method: expected one of closed-form"):
        fit("gaussian-mle", FAITHFUL, method="smoothing")


def test_a_constant_column_and_a_latent_size_are_refused():
    flat = np.column_stack([SMALL, np.ones(len(SMALL))])
    for name in ALL[:5]:
        with pytest.raises(ValueError, match=r"data: expected columns that vary.*column 2"):
            fit(name, flat)
    with pytest.raises(ValueError, match="latent: expected no value for kde"):
        fit("kde", SMALL, latent=3)
    with pytest.raises(ValueError, match=r"data: expected two rows or more .* got one row"):
        fit("kde", SMALL[:1])


@pytest.mark.parametrize("variant", ["leave-one-out", "scott"])
def test_a_spread_that_is_lost_to_underflow_is_refused(variant):
    with pytest.raises(ValueError, match=r"data: expected variances above 1e-280, got 0.*change the unit"):
        fit(f"kde:{variant}", 1e-200 * SMALL)
