"""A second stage: its gain against formulas and quadrature, its samples, and the fits of both stages."""

import re
import shutil

import numpy as np
import pytest

from elbo_lab import fit
from elbo_lab.cli.main import main
from elbo_lab.datasets import MANIFOLDS, load
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import Fitted, TwoStage, elbo_surgery
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.evaluation.second_stage import Gain, draw_latents
from elbo_lab.files import plain
from elbo_lab.fitting import evaluate, fit_second_stage, fit_seeds, load_fitted
from elbo_lab.models import DeepGaussianFixed, GaussianMixture, GaussianMLE
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.training import load_checkpoint, save_checkpoint

ARC = load("arc").x[:40]


def first_stage(latent=1):
    """An untrained VAE of the arc whose codes are spread unlike the prior."""
    model = DeepGaussianFixed(2, latent, (6,))
    posterior = AmortisedPosterior.for_data(DiagonalGaussian(latent), ARC, (6,), "tanh")
    rng = np.random.default_rng(1)
    theta, phi = model.random_theta(ARC, rng), 0.6 * rng.standard_normal(posterior.layout.size)
    posterior.layout.view(phi, "encoder.b2")[latent:] -= 1.5
    return Fitted(model, theta, posterior, phi)


FIRST = first_stage()
ETA = encoded(FIRST.posterior, FIRST.phi, ARC)
MEAN, STD = (part[:, 0] for part in DiagonalGaussian(1).moments(ETA))


def gaussian(mean, variance):
    model = GaussianMLE(1)
    half = 0.5 * np.log(0.5 * variance)  # of the prior and of the noise
    return Fitted(model, model.layout.pack({"mu": np.array([mean]), "log_tau": half, "log_s": half}))


def mixture():
    model = GaussianMixture(1, 2, "full")
    x = draw_latents(FIRST, ARC, np.random.default_rng(0), 5).reshape(-1, 1)
    return Fitted(model, model.random_theta(x, np.random.default_rng(3)))


def vae_of_latents():
    """A deep second stage with one latent of its own, log p2(z) by quadrature."""
    model = DeepGaussianFixed(1, 1, (4,))
    posterior = AmortisedPosterior.for_data(DiagonalGaussian(1), MEAN[:, None], (4,), "tanh")
    rng = np.random.default_rng(2)
    theta = model.random_theta(MEAN[:, None], rng)
    return Fitted(model, theta, posterior, posterior.initial(rng))


# --- the gain ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 1.0), (0.7, 0.4), (-2.0, 3.0)])
def test_with_a_gaussian_second_stage_the_gain_is_its_formula(mean, variance):
    """E log N(z; m, v) under N(mu, s^2) is -((mu - m)^2 + s^2) / 2v - log(2 pi v) / 2."""

    def expected(m, v):
        return -0.5 * (((MEAN - m) ** 2 + STD**2) / v + np.log(2 * np.pi * v))

    found = TwoStage(FIRST, gaussian(mean, variance)).exact_gain(ARC)
    np.testing.assert_allclose(found.by_row, expected(mean, variance) - expected(0.0, 1.0), atol=1e-9)
    assert found.value == pytest.approx(found.by_row.mean())
    assert (abs(found.value) > 1e-3) == ((mean, variance) != (0.0, 1.0))


SECONDS = {"gaussian": gaussian(0.7, 0.4), "mixture": mixture(), "vae": vae_of_latents()}


@pytest.mark.parametrize("second", SECONDS.values(), ids=SECONDS)
def test_draws_agree_with_quadrature_within_their_error(second):
    """Four standard errors: a false alarm in 16,000 runs; the error is below 0.04 nats."""
    both = TwoStage(FIRST, second)
    exact, drawn = both.exact_gain(ARC), both.gain(ARC, draws=40, seed=3)
    assert exact.standard_error < 1e-7
    assert abs(drawn.value - exact.value) < 4 * drawn.standard_error < 0.16
    assert drawn.error_over_rows > 0


def test_no_second_stage_gains_more_than_the_aggregate_wastes():
    """gain = KL(q(z) || p) - KL(q(z) || p2), noise-free by two quadratures; a good p2 takes most of it."""
    waste = elbo_surgery(FIRST.model, FIRST.theta, ARC, ETA).aggregate_kl
    m, v = MEAN.mean(), (MEAN**2 + STD**2).mean() - MEAN.mean() ** 2
    gains = [TwoStage(FIRST, second).exact_gain(ARC).value for second in (gaussian(m, v), mixture())]
    assert all(gain < waste for gain in gains)
    assert 0 < gains[0] and gaussian(m, v).model.n_columns == 1
    # Moment matching: KL(q || p) of the first two moments alone.
    assert gains[0] == pytest.approx(0.5 * (m**2 + v - 1 - np.log(v)), abs=1e-9)


def test_the_standard_error_is_that_of_draws_and_covers():
    both = TwoStage(FIRST, gaussian(0.7, 0.4))
    truth = both.exact_gain(ARC).value
    found = [both.gain(ARC, draws=5, seed=seed) for seed in range(200)]
    off = np.array([(gain.value - truth) / gain.standard_error for gain in found])
    # A t statistic of many rows: sd 1; 200 of them tell 0.8 from 1.2.
    assert 0.8 < off.std() < 1.2 and abs(off.mean()) < 4 / np.sqrt(200)


def test_the_mean_and_errors_of_rows():
    gain = Gain.of(np.array([1.0, 3.0]), np.array([0.3, 0.4]))
    assert gain[:2] == pytest.approx((2.0, 0.25))
    assert gain.error_over_rows == pytest.approx(1.0)
    assert np.isnan(Gain.of(np.array([1.0]), np.array([0.3])).error_over_rows)


# --- samples through both stages -------------------------------------------------------------------


def test_samples_start_from_the_second_stage():
    both = TwoStage(FIRST, gaussian(0.7, 0.4))
    means = both.generate_means(7, np.random.default_rng(5))
    z = both.second.generate(7, np.random.default_rng(5))
    np.testing.assert_array_equal(means, FIRST.decode(z))
    x = both.generate(20_000, np.random.default_rng(5))
    sigma = np.exp(FIRST.theta[-1])
    variance = sigma**2 + FIRST.decode(both.second.generate(20_000, np.random.default_rng(6))).var(axis=0)
    np.testing.assert_allclose(x.var(axis=0), variance, rtol=0.08)


WRONG = [
    (Fitted(FIRST.model, FIRST.theta), "first: expected a model with an encoder, got none"),
    (
        Fitted(FIRST.model, FIRST.theta, FreePosterior(DiagonalGaussian(1), 3), np.zeros(6)),
        "first: .*got a free table",
    ),
    (first_stage(2), "second: expected a model of 2 columns, the latents of the first, got 1 columns"),
]


@pytest.mark.parametrize(("first", "what"), WRONG)
def test_stages_that_do_not_fit_are_refused(first, what):
    with pytest.raises(ValueError, match=what):
        TwoStage(first, gaussian(0.0, 1.0))


def test_quadrature_takes_one_latent():
    both = TwoStage(first_stage(2), Fitted(model := GaussianMLE(2), np.zeros(model.layout.size)))
    with pytest.raises(NotApplicable, match="one latent of the first stage, not 2; use gain"):
        both.exact_gain(ARC)
    assert np.isfinite(both.gain(ARC).value)


# --- fits ----------------------------------------------------------------------------------------

SMALL = {"hidden": (16,), "epochs": 30, "batch": 100, "learning_rate": 1e-2, "progress": False}


@pytest.fixture(scope="module")
def arc():
    return fit("deep-gaussian:fixed", "arc", latent=1, holdout=0.2, **SMALL | {"epochs": 60})


def test_a_mixture_as_second_stage_gains_on_rows_that_neither_has_seen(arc):
    both = fit_second_stage(arc, "gaussian-mixture:full", latent=4, restarts=2, progress=False)
    gain = both.exact_gain(arc.held_out.x)
    assert gain.value > 3 * gain.error_over_rows
    waste = elbo_surgery(
        arc.model, arc.theta, arc.held_out.x, encoded(arc.posterior, arc.phi, arc.held_out.x)
    )
    assert gain.value < waste.aggregate_kl
    assert both.second.train.columns == ("z_1",) and len(both.second.train.x) == 800
    again = fit_second_stage(arc, "gaussian-mixture:full", latent=4, restarts=2, progress=False)
    np.testing.assert_array_equal(both.second.train.x, again.second.train.x)


def test_seeds_are_shown_beside_the_best():
    found = fit_seeds("deep-gaussian:fixed", load("arc").rows(200, 0), seeds=(3, 4), latent=2, **SMALL)
    assert [row["seed"] for row in found.rows] == [3, 4]
    assert min(row["below_best"] for row in found.rows) == 0 < max(row["below_best"] for row in found.rows)
    best = max(found.rows, key=lambda row: row["elbo"])
    assert found.best.settings["seed"] == best["seed"]
    (line,) = [line for line in found.table().splitlines() if line.endswith("best")]
    assert line.split()[0] == str(best["seed"]) and f"{best['elbo']:.3f}" in line
    assert all(row["elbo"] < MANIFOLDS["arc"].ceiling(np.log(row["sigma"])) for row in found.rows)


def test_seeds_need_one_noise_and_at_least_one():
    with pytest.raises(ValueError, match="seeds: expected at least one, got none"):
        fit_seeds("deep-gaussian:fixed", "arc", seeds=())
    with pytest.raises(ValueError, match=r"model: expected .*:fixed, got gaussian-mle"):
        fit_seeds("gaussian-mle", "arc", seeds=(0,))


# --- two checkpoints, and the command line -----------------------------------------------------------


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Two checkpoints: a VAE of the arc with rows held out, and a VAE of its latents."""
    folder = tmp_path_factory.mktemp("stages")
    one, two = folder / "one.npz", folder / "two.npz"
    fit("deep-gaussian:fixed", "arc", latent=1, holdout=0.2, checkpoint=one, **SMALL)
    found = fit("deep-gaussian:fixed", f"latents:{one}", latent=1, checkpoint=two, **SMALL)
    return one, two, found


def test_the_second_stage_has_the_latents_of_the_same_rows_and_holds_out_the_same(stages):
    one, two, found = stages
    first, second = load_fitted(one), load_fitted(two)
    assert found.settings["holdout"] == 0.2 and found.train.columns == ("z_1",)
    for part, rows in zip((found.train, found.held_out), load("arc").split(0.2), strict=True):
        mean, std = first.encode(rows.x)
        # Draws from q row by row: standard normal, where those of other rows are wider.
        eps = (part.x - mean) / std
        assert abs(eps.std() - 1) < 4 / np.sqrt(2 * len(eps)) and abs(eps.mean()) < 4 / np.sqrt(len(eps))
        assert ((part.x - mean[::-1]) / std[::-1]).std() > 1.5
    np.testing.assert_array_equal(second.first.theta, first.theta)
    np.testing.assert_array_equal(second.first.phi, first.phi)
    gain = found.final["held_out"]["prior_gain"]
    draws = TwoStage(first, second).gain(load("arc").split(0.2)[1].x)
    assert abs(gain - draws.value) < 4 * np.hypot(found.final["held_out"]["prior_gain_error"], 0.02)
    assert "gain of the second stage" in found.table(80)


def test_sample_goes_through_both_stages_and_needs_no_other_file(stages, tmp_path, capsys):
    alone = tmp_path / "alone.npz"
    shutil.copy(stages[1], alone)
    main(["sample", str(alone), "--out", str(tmp_path / "out"), "--count", "300", "--seed", "5"])
    assert "300 rows x 2" in capsys.readouterr().out
    x = np.load(tmp_path / "out" / "samples.npz")["x"]
    both = TwoStage(load_fitted(stages[0]), load_fitted(stages[1]))
    np.testing.assert_array_equal(x, both.generate(300, np.random.default_rng(5)))


def test_evaluate_judges_it_on_the_latents_that_were_held_out(stages):
    found = evaluate(stages[1], importance_samples=200, progress=False)
    assert found.settings["part"] == "held out" and found.final["rows"] == 200
    told = stages[2].final["held_out"]
    assert found.final["prior_gain"] == pytest.approx(told["prior_gain"], abs=0.01)
    assert found.final["prior_gain_error"] == pytest.approx(told["prior_gain_error"], rel=0.1)


def test_a_second_stage_resumes_with_its_first(stages, tmp_path):
    halves, whole = tmp_path / "halves.npz", tmp_path / "whole.npz"
    options, data = SMALL | {"hidden": (4,)}, f"latents:{stages[0]}"
    fit("deep-gaussian:fixed", data, latent=1, checkpoint=halves, **options | {"epochs": 1})
    at_once = fit("deep-gaussian:fixed", data, latent=1, checkpoint=whole, **options | {"epochs": 2})
    resumed = fit(resume=halves, epochs=2, progress=False)
    np.testing.assert_array_equal(resumed.theta, at_once.theta)
    assert load_fitted(halves).first is not None
    assert plain(resumed.settings) == plain(at_once.settings)


def refusals(folder, one, two):
    fit("ppca", "plane", latent=2, checkpoint=folder / "formula.npz", progress=False)
    missing = folder / "none.npz"
    return [
        (["--data", f"latents:{missing}"], "data: expected an existing file"),
        (["--data", f"latents:{folder / 'formula.npz'}"], "data: expected a model with an encoder, got none"),
        (["--data", f"latents:{two}"], "data: expected latents of a first stage, got .*second stage already"),
        (["--data", f"latents:{one}", "--holdout", "0.3"], "holdout: expected 0.2, as in the first stage"),
        (["--data", f"latents:{one}", "--view", "raw"], "view: expected no view of latents, got 'raw'"),
        (
            ["--data", f"latents:{one}", "--checkpoint", str(one)],
            "--checkpoint: expected another file than that of --data",
        ),
        (["--data", "latents:"], "data: expected an existing file"),
    ]


def test_what_has_no_latents_is_refused_in_one_line(stages, tmp_path, capsys):
    for arguments, what in refusals(tmp_path, *stages[:2]):
        assert main(["fit", "gaussian-mle", *arguments]) == 2
        told = capsys.readouterr().err
        assert len(told.strip().splitlines()) == 1
        assert re.search(what, told), told
    with pytest.raises(ValueError, match="model: expected one with a density of latents, got logistic"):
        fit("logistic-regression", f"latents:{labelled(tmp_path)}")


def labelled(folder):
    """A checkpoint of rows with labels of two classes, whose latents have them too."""
    path = folder / "labelled.npz"
    fit("deep-gaussian:fixed", "breast-cancer:standardised", checkpoint=path, **SMALL | {"epochs": 1})
    return path


def test_a_first_stage_that_is_damaged_or_whose_data_changed_is_refused(stages, tmp_path):
    header, arrays = load_checkpoint(stages[1])
    header.pop("format"), header.pop("version")
    for broken in (
        {"first_stage": {}},
        {"first_stage": 3},
        {"first_stage": header["first_stage"] | {"model": 1}},
    ):
        path = tmp_path / "broken.npz"
        save_checkpoint(path, header | broken, arrays)
        with pytest.raises(ValueError, match=r"^checkpoint: .*damaged"):
            load_fitted(path)
    table, one = tmp_path / "table.csv", tmp_path / "of_table.npz"
    np.savetxt(table, load("arc").x[:50], delimiter=",")
    fit("deep-gaussian:fixed", table, checkpoint=one, **SMALL | {"epochs": 1})
    np.savetxt(table, load("arc").x[:50] + 0.1, delimiter=",")
    with pytest.raises(ValueError, match=r"^data: expected the rows of .*; fit the first stage anew"):
        fit("gaussian-mle", f"latents:{one}", progress=False)
