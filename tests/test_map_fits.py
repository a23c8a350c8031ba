"""--prior in fits: every method arrives at the MAP, stores it, goes on bit for bit, and says what it is."""

import json
import re

import numpy as np
import pytest

from elbo_lab import fit
from elbo_lab.cli.main import main
from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form
from elbo_lab.errors import Stopped, UserMistake
from elbo_lab.fitting import evaluate, load_fitted
from elbo_lab.models import DeepBernoulli, GaussianMixture, GaussianMLE
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.priors import MixturePrior, NetworkPrior, find_prior
from elbo_lab.training import Adam, ElboObjective, PosteriorObjective

FAITHFUL = load("faithful").x
BITS = (np.random.default_rng(0).random((120, 6)) < 0.4).astype(float)
SMALL_NET = {"hidden": (5,), "latent": 2, "epochs": 3, "batch": 40, "dtype": "float64"}
FITS = {
    "closed-form": ("gaussian-mle", FAITHFUL, {}),
    "em": ("gaussian-mixture", FAITHFUL, {"restarts": 2, "epochs": 6}),
    "gradient": ("gaussian-mixture", FAITHFUL, {"method": "gradient", "epochs": 4}),
    "vae": ("deep-bernoulli", BITS, SMALL_NET),
    "vae with a warm-up": ("deep-bernoulli", BITS, SMALL_NET | {"beta": 2.0, "beta_schedule": "linear:5"}),
    "monte-carlo-em": ("deep-bernoulli", BITS, SMALL_NET | {"method": "monte-carlo-em"}),
    "monte-carlo-em of ppca": ("ppca", FAITHFUL, {"method": "mcem", "latent": 1, "epochs": 3}),
    "vae of a mixture": ("gaussian-mixture", FAITHFUL, {"method": "vae", "hidden": (5,), "epochs": 2}),
}
over_fits = pytest.mark.parametrize(("model", "x", "options"), FITS.values(), ids=list(FITS))


@over_fits
def test_a_fit_with_a_prior_records_the_posterior_and_not_as_a_likelihood(model, x, options):
    result = fit(model, x, prior="default", progress=False, **options)
    final, settings = result.final, result.settings
    prior = find_prior(settings["prior"], result.model, x)
    assert settings["prior"] == "default" and final["prior"] == prior.spec
    assert final["log_prior"] == prior.log_prior(result.model, result.theta)
    if "log_likelihood" in final:
        assert final["log_posterior"] == final["log_likelihood"] + final["log_prior"]
        assert final["log_likelihood"] == pytest.approx(result.score_samples(x).sum())
    elif result.posterior is None:  # neither exact nor a bound
        assert not {"log_posterior", "log_posterior_bound"} & set(final)
    else:
        assert final["log_posterior_bound"] == len(x) * final["elbo_per_datum"] + final["log_prior"]
    assert all("log_prior" in row for row in result.history)
    shown = result.table(100)
    assert "MAP under the prior" in shown and "log p(theta), the prior" in shown


@over_fits
def test_a_prior_as_an_object_is_that_of_its_text_to_the_last_bit(model, x, options):
    by_text = fit(model, x, prior="default", progress=False, **options)
    by_object = fit(model, x, prior=find_prior("default", by_text.model, x), progress=False, **options)
    assert by_object.theta.tobytes() == by_text.theta.tobytes()


@over_fits
def test_a_map_fit_goes_on_bit_for_bit_from_its_checkpoint(model, x, options, tmp_path):
    whole = fit(model, x, prior="default", progress=False, **options)
    steps = iter([False, True])
    try:
        fit(
            model,
            x,
            prior="default",
            checkpoint=tmp_path / "a.npz",
            progress=lambda *_: next(steps, True),
            **options,
        )
        assert model == "gaussian-mle", "a formula alone has no step to be stopped at"
    except Stopped:
        resumed = fit(resume=tmp_path / "a.npz", data=x, progress=False)
        assert resumed.theta.tobytes() == whole.theta.tobytes()
        assert resumed.history == whole.history and resumed.final["prior"] == whole.final["prior"]
        with pytest.raises(UserMistake, match="prior: expected 'default' as in the checkpoint"):
            fit(resume=tmp_path / "a.npz", data=x, prior="flat")
    found = load_fitted(tmp_path / "a.npz")
    assert found.settings["prior"] == "default"
    assert evaluate(tmp_path / "a.npz", x).final["rows"] == len(x)


def test_gradient_ascent_arrives_at_the_closed_form_of_map():
    prior = "strength=20,mean=2/50,shape=3,rate=200"
    options = {"epochs": 1500, "batch": 272, "learning_rate": 0.1, "schedule": "cosine:1500"}
    climbed = fit(
        "gaussian-mle",
        FAITHFUL,
        method="gradient",
        prior=prior,
        evaluate_every=1500,
        progress=False,
        **options,
    )
    best = fit_closed_form(GaussianMLE(2), FAITHFUL, prior)
    assert climbed.converged
    assert climbed.final["log_posterior"] == pytest.approx(best.log_posterior, abs=1e-3)
    np.testing.assert_allclose(climbed.parameters["mean"], best.theta[:2], rtol=1e-3)


def test_the_prior_of_a_network_is_in_its_gradient_as_theta_over_n_s_squared():
    model = DeepBernoulli(6, 2, (5,))
    posterior = AmortisedPosterior.for_data(model.family, BITS, (5,), "tanh")
    inner = ElboObjective(model, posterior, BITS)
    whole = PosteriorObjective(inner, model, NetworkPrior(0.5))
    params = inner.initial(np.random.default_rng(1))
    rows = np.arange(30)  # the share of the prior is that of all rows, whatever the batch
    block = inner.draw(rows, np.random.default_rng(2))
    value, plain, _ = inner.gradients(params, block, inner.names, {})
    with_prior = whole.gradients(params, block, inner.names, {})
    assert with_prior[0] == value
    difference = with_prior[1]["theta"] - plain["theta"]
    np.testing.assert_allclose(difference, -params["theta"] / (len(BITS) * 0.25), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(with_prior[1]["phi"], plain["phi"])


def test_decoupled_weight_decay_is_not_map():
    # log p(x | theta) = -(1/2) sum_j a_j (theta_j - 1)^2, prior N(0, 1): the MAP is a / (a + 1).
    a = np.array([0.1, 1.0, 10.0])
    ends = {}
    for decoupled in (False, True):
        theta, rate, adam = np.zeros(3), 1e-3, Adam()
        state = adam.initial_state(3)
        for count in range(1, 6001):
            gradient = -a * (theta - 1.0)
            adam.step(theta, gradient if decoupled else gradient - theta, state, count, rate)
            if decoupled:
                theta -= rate * theta
        ends[decoupled] = theta
    np.testing.assert_allclose(ends[False], a / (a + 1.0), atol=2e-3)
    # AdamW: Adam divides the gradient by its size, so that one decay pulls all three alike.
    assert np.abs(ends[True] - a / (a + 1.0)).max() > 0.2
    assert np.ptp(ends[True]) < 0.1 < np.ptp(ends[False])


def test_the_usual_method_is_the_first_that_takes_a_prior():
    assert fit("ppca", FAITHFUL, latent=1, prior="default", progress=False).settings["method"] == "em"
    assert fit("ppca", FAITHFUL, latent=1, progress=False).settings["method"] == "closed-form"
    one = fit("gaussian-mixture", FAITHFUL, latent=1, prior="default", progress=False)
    assert one.settings["method"] == "closed-form"


def test_the_command_line_fits_under_a_prior(tmp_path, capsys):
    where = str(tmp_path / "out.json")
    assert not main(["fit", "gaussian-mixture", "--data", "faithful", "--prior", "default", "--json", where])
    shown = capsys.readouterr().out
    assert "log posterior, but for log p(x)" in shown and "MAP under the prior dirichlet 2.00" in shown
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["settings"]["prior"] == "default"
    values = [row["log_posterior"] for row in record["history"]]
    assert values == sorted(values) and record["final"]["log_posterior"] == pytest.approx(values[-1])


def test_the_screen_has_a_flat_prior_by_its_name_and_of_a_long_vector_the_range(capsys):
    start = ["fit", "factor-analysis", "--data", "digits", "--latent", "1", "--epochs", "2", "--prior"]
    assert not main([*start, "flat"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "MAP under a flat prior" in shown
    assert "log p(theta), the prior 0 " in shown  # not -0
    assert not main([*start, "default"])
    shown = " ".join(capsys.readouterr().out.split())
    assert re.search(r"rate [\d.e-]+ to [\d.e-]+ \(64 numbers\)", shown)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gaussian-mixture", "--data", "faithful", "--prior", "dirichlet=0.5"], "at least 1, got 0.5"),
        (["gaussian-mixture", "--data", "faithful", "--prior", "sd=1"], "prior: expected one of dirichlet"),
        (["ppca", "--data", "faithful", "--method", "closed-form", "--prior", "default"], "no closed form"),
        (
            ["logistic-regression", "--data", "breast-cancer", "--prior", "default"],
            "no value with method svi",
        ),
        (["deep-bernoulli", "--data", "digits", "--prior", "sd=-1"], "prior sd: expected a finite number"),
        (["deep-bernoulli", "--data", "digits", "--prior", "flat"], "name one, as in sd=10"),
        (["deep-bernoulli", "--data", "digits", "--prior", "sd=1e-200"], "a size from 1e-100 to 1e+100"),
        (["ppca", "--data", "digits", "--prior", "rate=1e300"], "prior rate: expected numbers of at most"),
    ],
)
def test_a_wrong_prior_is_told_on_the_command_line(arguments, words, capsys):
    assert main(["fit", *arguments]) == 2
    told = capsys.readouterr().err
    assert words in " ".join(told.split()) and "Traceback" not in told


def test_a_default_scale_that_the_rows_do_not_determine_is_refused_and_a_given_one_taken():
    two = FAITHFUL[:2]
    with pytest.raises(UserMistake, match=r"data: expected rows that span all columns.*as in scale=1"):
        fit("gaussian-mixture", two, latent=1, prior="default")
    assert np.isfinite(fit("gaussian-mixture", two, latent=1, prior="scale=1").final["log_posterior"])


def test_a_prior_object_of_another_model_is_refused():
    prior = MixturePrior(2.0, 0.1, 4.0, (0.0, 0.0), (1.0,))
    with pytest.raises(UserMistake, match="prior: expected one of sd, got 'dirichlet'"):
        fit("deep-bernoulli", BITS, prior=prior, progress=False)
    with pytest.raises(TypeError, match="prior: expected a text or a Prior"):
        fit("gaussian-mixture", FAITHFUL, prior=3)


def test_the_figures_of_a_map_fit_say_log_posterior():
    result = fit("gaussian-mixture", FAITHFUL, prior="default", restarts=1, progress=False)
    figure = result.plot("staircase")
    words = " ".join(text.get_text() for ax in figure.axes for text in [ax.title, ax.yaxis.label])
    assert "log posterior and its bound" in words and "MAP" in figure.axes[0].get_title(loc="left")


def test_map_of_a_mixture_has_the_floor_only_where_the_prior_is_nearly_flat():
    x = np.concatenate([FAITHFUL, np.tile(FAITHFUL[7], (6, 1))])
    kept = fit("gaussian-mixture", x, latent=6, prior="default", restarts=4, seed=1, progress=False)
    assert kept.final["at_floor"] == [] and not kept.warnings
    assert isinstance(kept.model, GaussianMixture)
