"""Parameters that a fit holds: exactly, in every method, and as constants of the maximum."""

import json

import numpy as np
import pytest
from checks import assert_close

from elbo_lab import fit, load, load_fitted, use_kernels
from elbo_lab.cli.main import main
from elbo_lab.em import fit_em
from elbo_lab.em.linear_gaussian import LinearGaussianEM
from elbo_lab.em.mixture import MixtureEM
from elbo_lab.exact import evidence
from elbo_lab.held import held_in
from elbo_lab.layout import Layout
from elbo_lab.models import PPCA, DeepBernoulli, DeepGaussianFixed, FactorAnalysis, GaussianMixture
from elbo_lab.optimise.ascent import ascend

DIGITS = load("digits:dequantised").x[:300, 18:24]
FAITHFUL = load("faithful").x
LAYOUT = Layout((("W", (2, 3)), ("b", (3,)), ("log_s", ())))
STEPS, NET = {"epochs": 3, "batch": 20}, {"hidden": (5,)}


# -- names and values ------------------------------------------------------------------------------


def test_a_name_stands_for_a_block_a_row_or_an_entry():
    held = held_in(LAYOUT, {"W[1]": [1.0, 2.0, 3.0], "b[ 2 ]": -0.1, "log_s": 5, "W[0, 1]": 7.0})
    found = LAYOUT.views(held.put(np.full(LAYOUT.size, 9.0)))
    assert np.array_equal(found["W"], [[9.0, 7.0, 9.0], [1.0, 2.0, 3.0]])
    assert np.array_equal(found["b"], [9.0, 9.0, -0.1]) and found["log_s"] == 5.0
    assert np.array_equal(held.mask("b"), [False, False, True])
    assert held_in(LAYOUT, {}) is None and held_in(LAYOUT, None) is None
    assert np.array_equal(LAYOUT.view(held_in(LAYOUT, {"b": 2}).put(np.zeros(LAYOUT.size)), "b"), [2, 2, 2])


WRONG = [
    ({"log_t": 0}, ValueError, "hold: expected one of W, b, log_s, got 'log_t'; did you mean 'log_s'"),
    ({"W[2, 0]": 0}, ValueError, r"an index within the shape \(2, 3\) of W, got 'W\[2, 0\]'"),
    ({"log_s[0]": 0}, ValueError, r"within the shape \(\) of log_s"),
    ({"W[-1]": 0}, ValueError, r"expected one of W, b, log_s, got 'W\[-1\]'"),
    ({"b": [1, 2]}, ValueError, r"one number, or numbers of shape \(3,\), for b, got shape \(2,\)"),
    ({"log_s": [1]}, ValueError, r"one number for log_s, got shape \(1,\)"),
    ({"b": np.nan}, ValueError, "finite numbers for b, got nan"),
    ({"b": "1"}, TypeError, "numbers for b, got '1'"),
    ({"b": True}, TypeError, "numbers for b, got True"),
    ({"W": [[1], [2, 3]]}, ValueError, "numbers for W, got ragged rows"),
    ({"W[1]": 0, "W[1, 2]": 1}, ValueError, r"every parameter once, got W\[1, 2\] twice"),
    ({"log_s": 101}, ValueError, "numbers from -100 to 100 for log_s, got 101; it is a natural logarithm"),
    ({"b": [0, 0, -1e101]}, ValueError, r"numbers from -1e\+100 to 1e\+100 for b"),
    ({3: 0}, ValueError, "expected one of W, b, log_s, got 3"),
]


@pytest.mark.parametrize(("hold", "error", "message"), WRONG)
def test_what_cannot_be_held_is_refused_in_a_line(hold, error, message):
    with pytest.raises(error, match=message):
        held_in(LAYOUT, hold)


# -- the M-step is least squares -------------------------------------------------------------------


@pytest.mark.parametrize("hold", [{"log_sigma": 0.0}, {"log_sigma": 0.0, "W[2, 0]": 0.5, "W[2, 1]": -1.0}])
@pytest.mark.parametrize("model", [PPCA(6, 2), FactorAnalysis(6, 2)], ids=lambda model: model.name)
def test_with_sigma_held_the_m_step_is_least_squares(model, hold):
    problem, held = LinearGaussianEM(model, DIGITS, floor=1e-6), held_in(model.layout, hold)
    problem.hold(held)
    start = problem.prepared(problem.start(DIGITS, 1, np.random.default_rng(0)))
    q = problem.e_step(start)
    found = model.layout.views(problem.m_step(q))
    # A row for every mean of z, and K rows whose squares are the spread of z about it.
    centred, root = DIGITS - DIGITS.mean(axis=0), np.linalg.cholesky(len(DIGITS) * q.sigma).T
    z = np.concatenate([centred @ q.beta.T, root])
    targets = np.concatenate([centred, np.zeros((2, 6))])
    for d in range(6):
        free = ~held.mask("W")[d]
        known = held.block("W")[d]
        answer = known.copy()
        answer[free] = np.linalg.lstsq(z[:, free], targets[:, d] - z @ known, rcond=None)[0]
        assert_close(found["W"][d], answer, 1e-10)
    assert (found["log_sigma"] == 0.0).all() and np.array_equal(found["b"], DIGITS.mean(axis=0))


def test_the_last_layer_of_a_decoder_with_sigma_held_has_its_maximum_at_least_squares():
    model, rng = DeepGaussianFixed(6, 2, (5,)), np.random.default_rng(1)
    theta = model.random_theta(DIGITS, rng)
    z = rng.standard_normal((3, len(DIGITS), 2))
    t = model.layout.views(theta)
    hidden = np.tanh(z @ t["decoder.W1"] + t["decoder.b1"]).reshape(-1, 5)
    design = np.column_stack([hidden, np.ones(len(hidden))])
    answer = np.linalg.lstsq(design, np.tile(DIGITS, (3, 1)), rcond=None)[0]
    for log_sigma in (0.0, -1.0):
        best = model.layout.pack(
            t | {"decoder.W2": answer[:-1], "decoder.b2": answer[-1], "log_sigma": log_sigma}
        )
        gradient = model.likelihood(best, DIGITS, z)[1](np.ones((3, len(DIGITS))))[0]
        slopes = model.layout.views(gradient)
        scale = np.abs(DIGITS).sum() * np.exp(-2.0 * log_sigma)
        assert np.abs(slopes["decoder.W2"]).max() < 1e-11 * scale
        assert np.abs(slopes["decoder.b2"]).max() < 1e-11 * scale
        assert np.abs(slopes["decoder.W1"]).max() > 1e-3 * scale / len(DIGITS)


def test_with_sigma_held_the_gradient_is_that_of_the_squared_error_over_its_variance():
    model, rng = DeepGaussianFixed(4, 2, (5,)), np.random.default_rng(2)
    x, z = DIGITS[:, :4], rng.standard_normal((2, len(DIGITS), 2))
    theta, n = model.random_theta(x, rng), model.layout.size - 1  # all but log_sigma, which is last

    def slope(log_sigma):
        theta[-1] = log_sigma
        return model.likelihood(theta, x, z)[1](np.ones((2, len(x))))[0][:n]

    outputs, activations = model.decoder.forward(theta[:n], z.reshape(-1, 2))
    residual = np.tile(x, (2, 1)) - outputs
    # Of -|x - m|^2 / 2: the network's own derivative of the residual.
    assert_close(slope(0.0), model.decoder.backward_params(theta[:n], activations, residual), 1e-12)
    for log_sigma in (-1.0, 0.7):
        assert_close(slope(log_sigma) * np.exp(2 * log_sigma), slope(0.0), 1e-12)


# -- the maximum under the constraint --------------------------------------------------------------


def test_ppca_with_sigma_held_is_the_formula_of_tipping_and_bishop():
    model, log_sigma = PPCA(6, 2), 0.3
    fitted = fit_em(model, DIGITS, hold={"log_sigma": log_sigma}, tolerance=1e-13, max_iterations=5000)
    centred = DIGITS - DIGITS.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(DIGITS))
    W = vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1] - np.exp(2 * log_sigma), 0.0))
    theta = model.layout.pack({"W": W, "b": DIGITS.mean(axis=0), "log_sigma": log_sigma})
    assert fitted.log_likelihood == pytest.approx(model.log_evidence(theta, DIGITS).sum(), rel=1e-9)
    assert model.layout.view(fitted.theta, "log_sigma") == log_sigma


HOLDS = [
    (PPCA(6, 2), DIGITS, {"b": 5.0}),
    (PPCA(6, 2), DIGITS, {"W[0]": [1.0, 0.0], "W[1, 1]": -0.3}),
    (PPCA(6, 2), DIGITS, {"W": 0.5}),
    (FactorAnalysis(6, 2), DIGITS, {"log_sigma": 0.1, "W[0, 1]": 0.0}),
    (GaussianMixture(2, 2, "full"), FAITHFUL, {"mean[0]": [2.0, 54.0]}),
    (GaussianMixture(2, 2, "full"), FAITHFUL, {"logits": [1.0, 0.0]}),
    (GaussianMixture(2, 2, "full"), FAITHFUL, {"log_diagonal[1]": 0.5, "lower[1]": 0.2, "mean[1]": 3.0}),
    (GaussianMixture(2, 2, "diagonal"), FAITHFUL, {"log_sigma[0]": [-1.0, 1.5]}),
    (GaussianMixture(2, 2, "spherical"), FAITHFUL, {"log_sigma": 1.7, "mean[0]": [2.0, 54.0]}),
]


@pytest.mark.parametrize(("model", "x", "hold"), HOLDS, ids=lambda v: getattr(v, "label", None))
def test_em_climbs_to_a_point_without_slope_in_what_is_free(model, x, hold):
    fitted = fit_em(model, x, hold=hold, tolerance=1e-13, max_iterations=4000, restarts=1)
    held = held_in(model.layout, hold)
    assert held.still(fitted.theta)
    values = [row["log_likelihood"] for row in fitted.history]
    assert np.diff(values).min() > -1e-9 * abs(values[-1]), "EM never falls"

    def objective(theta):
        answer = evidence(model, theta, x)
        return answer.value.mean(), held.without(answer.grad_theta)

    higher = ascend(objective, fitted.theta, 200, tolerance=0.0)
    assert held.still(higher), "a slope of zero moves nothing"
    assert objective(higher)[0] - objective(fitted.theta)[0] < 1e-6
    free = fit_em(model, x, tolerance=1e-10, restarts=1)
    assert fitted.log_likelihood < free.log_likelihood


def test_the_bound_after_each_step_is_that_of_its_own_formula_with_parameters_held():
    for model, x, hold in HOLDS:
        kind = LinearGaussianEM if isinstance(model, PPCA | FactorAnalysis) else MixtureEM
        problem = kind(model, x, floor=1e-6)
        problem.hold(held_in(model.layout, hold))
        theta = problem.prepared(problem.start(x, 1, np.random.default_rng(3)))
        q = problem.e_step(theta)
        assert problem.elbo(theta, q) == pytest.approx(problem.log_likelihood(theta), rel=1e-10)
        after = problem.m_step(q)
        bounds = problem.elbo(theta, q), problem.elbo(after, q), problem.log_likelihood(after)
        assert np.diff(bounds).min() >= -1e-12 * abs(bounds[0])


# -- every method ----------------------------------------------------------------------------------

FITS = [
    ("ppca", DIGITS, "gradient", {"log_sigma": -0.3}),
    ("ppca", DIGITS, "em", {"log_sigma": -0.3}),
    ("gaussian-mixture", FAITHFUL, "gradient", {"logits[0]": 0.1}),
    ("kde", FAITHFUL, "smoothing", {"log_factor": -1.3}),
    ("deep-gaussian:fixed", DIGITS, "vae", {"log_sigma": -0.25, "decoder.b1[2]": 0.5}),
    ("deep-bernoulli", (DIGITS > 8).astype(float), "vae", {"decoder.W1[0]": 0.0, "decoder.b2": 0.125}),
]


@pytest.mark.parametrize(("name", "x", "method", "hold"), FITS)
def test_every_method_holds_bit_for_bit_from_the_start_on(name, x, method, hold, tmp_path):
    more = {} if method in ("em", "smoothing") else STEPS
    more = more | ({"latent": 2} if name != "kde" else {}) | (NET if method == "vae" else {})
    path = tmp_path / "fit.npz"
    result = fit(name, x, method=method, hold=hold, checkpoint=path, threads=1, **more)
    held = held_in(result.model.layout, hold)
    assert held.still(result.theta) and result.settings["hold"] == hold
    assert held.still(load_fitted(path).theta)
    assert json.loads(json.dumps(result.to_dict()))["settings"]["hold"] == hold
    other = fit(name, x, method=method, threads=1, **more)
    assert not np.array_equal(other.theta, result.theta)


def test_the_compiled_step_and_its_definition_hold_the_same():
    bits, hold = (DIGITS > 8).astype(float), {"decoder.W1[0]": 0.0, "decoder.b2": 0.125}
    found = []
    for kind in ("numba", "numpy"):
        with use_kernels(kind):
            found.append(fit("deep-bernoulli", bits, latent=2, hold=hold, dtype="float64", **NET, **STEPS))
    assert isinstance(found[0].model, DeepBernoulli)
    assert_close(found[0].theta, found[1].theta, 1e-10)
    held = held_in(found[0].model.layout, hold)
    assert held.still(found[0].theta) and held.still(found[1].theta)


@pytest.mark.parametrize("model", ["ppca", "deep-gaussian:fixed"])
def test_a_resumed_fit_holds_and_is_bit_for_bit_the_uninterrupted_one(model, tmp_path):
    options = {"latent": 2, "hold": {"log_sigma": 0.25}, "batch": 20, "threads": 1}
    options |= {"method": "gradient"} if model == "ppca" else {"hidden": (5,)}
    whole = fit(model, DIGITS, epochs=4, **options)
    path = tmp_path / "half.npz"
    fit(model, DIGITS, epochs=2, checkpoint=path, **options)
    resumed = fit(data=DIGITS, resume=path, epochs=4)
    assert np.array_equal(resumed.theta, whole.theta) and resumed.settings["hold"] == {"log_sigma": 0.25}
    with pytest.raises(ValueError, match=r"hold: expected .*'log_sigma': 0.25.*as in the checkpoint"):
        fit(data=DIGITS, resume=path, epochs=5, hold={"log_sigma": 0.0})


REFUSED = [
    ("ppca", {"method": "closed-form", "hold": {"log_sigma": 0}}, "closed-form is a formula.*use method em"),
    (
        "factor-analysis",
        {"method": "em", "hold": {"b[1]": 0}},
        "b in all columns or in none; use",
    ),
    ("gaussian-mixture", {"method": "em", "hold": {"logits[0]": 0}}, "logits .* whole or not at all; use"),
    ("gaussian-mixture", {"method": "em", "hold": {"mean[0, 1]": 0}}, "the mean of a component whole"),
    ("gaussian-mixture", {"method": "em", "hold": {"lower": 0}}, "the covariance of a component whole"),
    ("kde", {"hold": {"rows[0]": 0}}, "smoothing holds log_factor of kde alone"),
    ("histogram", {"hold": {"low": 0}}, "smoothing holds log_factor of kde alone"),
    ("deep-gaussian:fixed", {"hold": {"log_sigma": 0.1}, "epochs": 1}, "a number that float32 has exactly"),
    ("deep-gaussian:fixed", {"hold": {"sigma": 0}}, "expected one of .*did you mean 'log_sigma'"),
]


@pytest.mark.parametrize(("model", "options", "message"), REFUSED)
def test_what_a_method_cannot_hold_is_refused_with_the_reason_and_a_remedy(model, options, message):
    latent = {"kde": None, "histogram": None, "gaussian-mixture": 2}.get(model, 1)
    with pytest.raises(ValueError, match=f"hold: .*{message}") as refused:
        fit(model, FAITHFUL, latent=latent, **options)
    assert "\n" not in str(refused.value)


def test_the_first_method_that_can_hold_is_taken():
    assert fit("ppca", DIGITS, latent=2).settings["method"] == "closed-form"
    assert fit("ppca", DIGITS, latent=2, hold={"log_sigma": 0}).settings["method"] == "em"
    held = fit("gaussian-mle", DIGITS, hold={"log_s": 0}, epochs=1)
    assert held.settings["method"] == "gradient"


def test_the_command_line_has_the_option(tmp_path, capsys):
    out = tmp_path / "out.json"
    words = ["fit", "ppca", "--data", "faithful", "--latent", "1", "--hold", "log_sigma=0.5"]
    assert main([*words, "--hold", "W[0, 0] = 1", "--json", str(out)]) == 0
    record = json.loads(out.read_text())
    assert record["settings"]["hold"] == {"log_sigma": 0.5, "W[0, 0]": 1}
    assert record["parameters"]["W"][0][0] == 1.0
    for wrong in ("log_sigma", "=1", "log_sigma=abc", "log_sigma=true", "log_sigma={}"):
        assert main([*words[:-1], wrong]) == 2
        assert "--hold: expected NAME=VALUE with a number" in capsys.readouterr().err
    assert main([*words, "--hold", "log_sigma=1"]) == 2
    assert "every parameter once" in capsys.readouterr().err
