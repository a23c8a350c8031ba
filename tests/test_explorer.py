"""The explorer without a browser: laws of its frames, its tabs, and a server that answers nobody else."""

import http.client
import itertools
import json
import re
import threading
from queue import Queue
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elbo_lab import exact
from elbo_lab.cli.main import main
from elbo_lab.errors import UserMistake
from elbo_lab.estimators import Concrete, Problem, Rebar
from elbo_lab.explorer import (
    TABS,
    Shown,
    bit,
    described,
    draws,
    em,
    frame,
    noise,
    prior,
    recorded,
    running_example,
    shown_model,
)
from elbo_lab.explorer.server import LONGEST_QUERY, Explorer
from elbo_lab.models import PPCA, DeepBernoulli
from elbo_lab.plots.style import estimator_style
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import ESTIMATORS
from elbo_lab.study.scene import Scene
from elbo_lab.theory import known_variances_by_draws
from elbo_lab.theory.weight_law import weight_laws

MEANS, STDS, THETAS = st.floats(-3, 3), st.floats(0.1, 2), st.floats(-1.5, 1.5)


# -- the bound -------------------------------------------------------------------------------------


@given(MEANS, STDS, THETAS)
def test_elbo_and_gap_are_log_p_at_every_place_of_q_and_theta(mean, sd, theta):
    now = frame("bound", mean=mean, sd=sd, theta=theta)
    assert abs(now["elbo"] + now["gap"] - now["log_p"]) <= 1e-12 * max(1.0, abs(now["elbo"]))
    assert now["gap"] >= -1e-12


@given(MEANS, STDS, THETAS)
def test_a_step_of_phi_lowers_the_gap_and_leaves_log_p_as_it_is_to_the_last_bit(mean, sd, theta):
    now = frame("bound", mean=mean, sd=sd, theta=theta)
    after = frame("bound", take="phi-step", **now["settings"])
    assert after["log_p"] == now["log_p"]
    assert after["settings"]["theta"] == now["settings"]["theta"]
    assert after["elbo"] >= now["elbo"]
    assert after["gap"] <= now["gap"] + 1e-12


@given(MEANS, STDS, THETAS)
def test_a_step_of_theta_leaves_q_and_does_not_lower_the_elbo(mean, sd, theta):
    now = frame("bound", mean=mean, sd=sd, theta=theta)
    after = frame("bound", take="theta-step", **now["settings"])
    assert (after["settings"]["mean"], after["settings"]["sd"]) == (mean, sd)
    assert after["elbo"] >= now["elbo"]


def test_steps_move_what_they_should():
    first = frame("bound")
    for button in ("phi-step", "theta-step"):
        assert frame("bound", take=button)["elbo"] > first["elbo"] + 0.1
    assert abs(frame("bound", take="theta-step")["log_p"] - first["log_p"]) > 0.01


def test_a_phi_step_is_a_fifth_of_the_gradient_in_the_mean_and_the_log_standard_deviation():
    # At q = N(0, 1) the slopes are W^T x = 2.15, and 1 - 3.25 = -2.25.
    settings = frame("bound", take="phi-step")["settings"]
    assert settings["mean"] == pytest.approx(0.2 * 2.15)
    assert settings["sd"] == pytest.approx(np.exp(-0.2 * 2.25))


def test_a_step_of_theta_may_raise_the_elbo_and_lower_log_p():
    now = frame("bound", mean=-2.0)
    after = frame("bound", take="theta-step", **now["settings"])
    assert after["elbo"] > now["elbo"]
    assert after["log_p"] < now["log_p"]


def test_at_the_best_q_there_is_no_gap():
    assert abs(frame("bound", take="best-q", theta=0.4)["gap"]) < 1e-12


def test_the_example_is_that_of_the_lessons():
    settings = frame("bound", take="best-q")["settings"]
    assert (round(settings["mean"], 4), round(settings["sd"], 4)) == (0.6615, 0.5547)


def test_the_density_curves_are_the_densities():
    now = frame("bound", mean=0.3, sd=0.5)
    z = np.array(now["z"])
    for curve, mean, sd in ((now["q"], 0.3, 0.5), (now["posterior"], 2.15 / 3.25, 3.25**-0.5)):
        assert np.allclose(curve, np.exp(-0.5 * ((z - mean) / sd) ** 2) / sd / np.sqrt(2 * np.pi), atol=1e-5)


def network_shown():
    """Return a small model with a network, whose posterior is integrated."""
    model = DeepBernoulli(4, 1, hidden=(5,))
    rng = np.random.default_rng(3)
    theta, x = rng.standard_normal(model.layout.size), np.array([[1.0, 0.0, 1.0, 1.0]])
    posterior = FreePosterior(model.family, 1)
    return Shown(Problem(model, posterior, theta, np.zeros(2), x), "a network")


def test_the_gap_of_a_network_is_the_integral_of_its_formula():
    shown = network_shown()
    now = frame("bound", shown, mean=0.4, sd=0.6)
    here = shown.at(**now["settings"])
    z = np.linspace(-8, 8, 4001)[:, None, None]
    log_q = here.posterior.family.log_prob(here.posterior.eta(here.phi, here.x), z)[:, 0]
    log_posterior = here.model.log_joint(here.theta, here.x, z)[:, 0] - now["log_p"]
    assert now["gap"] == pytest.approx(
        np.trapezoid(np.exp(log_q) * (log_q - log_posterior), dx=0.004), abs=1e-7
    )
    assert np.trapezoid(np.exp(log_posterior), dx=0.004) == pytest.approx(1.0, abs=1e-7)
    assert abs(now["elbo"] + now["gap"] - now["log_p"]) < 1e-10


def test_steps_of_a_network_keep_their_promises():
    shown = network_shown()
    now = frame("bound", shown, mean=-1.0, sd=1.5)
    after = frame("bound", shown, take="phi-step", **now["settings"])
    assert after["log_p"] == now["log_p"]
    assert after["gap"] < now["gap"]
    best = frame("bound", shown, take="best-q", **now["settings"])
    assert best["gap"] < after["gap"]
    assert frame("bound", shown, take="phi-step", **best["settings"])["gap"] == pytest.approx(
        best["gap"], abs=1e-6
    )
    assert frame("bound", shown, take="theta-step", **now["settings"])["elbo"] > now["elbo"]


# -- the noise -------------------------------------------------------------------------------------

PLACES = [(0.0, 1.0), (0.5, 0.6), (-1.0, 0.4), (1.5, 1.5)]


def test_every_estimator_of_the_clouds_spends_the_same():
    for budget in range(4, 65, 4):
        clouds = frame("noise", evaluations=budget)["clouds"]
        assert {cloud["evaluations"] for cloud in clouds} == {budget}
        assert next(cloud["draws"] for cloud in clouds if cloud["name"] == "measure-valued") == budget // 4


@pytest.mark.parametrize(("mean", "sd"), PLACES)
def test_clouds_are_centred_on_the_exact_gradient(mean, sd):
    # Ten means under unbiased estimators, each within 4.5 of its standard errors: falsely refused in 1e-4.
    now = frame("noise", mean=mean, sd=sd)
    slope = exact.gradients(running_example().at(mean, sd)).phi_elbo.value
    assert np.allclose(now["exact"], slope)
    for cloud in now["clouds"]:
        dots = np.array(cloud["dots"])
        limit = 4.5 * dots.std(axis=0, ddof=1) / np.sqrt(len(dots)) + 1e-4
        assert (np.abs(dots.mean(axis=0) - slope) < limit).all(), cloud["name"]


def test_the_variance_of_a_cloud_is_that_of_its_estimator():
    shown = running_example()
    model, posterior, theta, phi, x = shown.at(0.5, 0.9)
    scene = Scene(model, theta, posterior, phi, x, "", model.posterior_eta(theta, x))
    known = known_variances_by_draws(scene, [16])[16]
    exactly = {one.name: value for one, value in known.items()}
    found = {cloud["name"]: cloud["variance"] for cloud in frame("noise", mean=0.5, sd=0.9)["clouds"]}
    compared = exactly.keys() & found.keys()
    assert len(compared) >= 4
    for name in compared:  # 300 dots; tails of REINFORCE are heavy
        assert 0.6 < found[name] / exactly[name] < 1.6, name


def test_on_the_posterior_three_clouds_are_points_and_two_are_not():
    clouds = {cloud["name"]: cloud["variance"] for cloud in frame("noise", take="best-q")["clouds"]}
    points = {name for name, variance in clouds.items() if variance < 1e-20}
    assert points == {"score-function-loo", "sticking-the-landing", "measure-valued"}
    assert min(clouds[name] for name in clouds.keys() - points) > 0.1


def test_the_noise_of_dots_is_the_same_in_every_frame_and_in_every_process():
    first = frame("noise", mean=0.2)["clouds"]
    noise.kept_noise.cache_clear()
    assert frame("noise", mean=0.2)["clouds"] == first


# -- the prior -------------------------------------------------------------------------------------


@pytest.mark.parametrize("latents", [1, 3, 20])
def test_log_weights_by_products_are_the_likelihood_of_the_model(latents):
    model, _, theta, _, x = prior.example(latents)[0]
    z = prior.pool()[:latents, :50].T[:, None, :]
    assert np.allclose(prior.log_weights(latents)[:50], model.log_likelihood(theta, x, z)[:, 0], atol=1e-8)


def test_the_draws_needed_are_those_of_the_exact_variance():
    for latents in (1, 7):
        problem, needed = prior.example(latents)
        assert needed == pytest.approx(weight_laws(problem)[0].log10_draws(0.1)[0])
    needed = frame("prior", latents=20)["log10_needed"]
    assert 14.5 < needed < 15.2  # about 680 trillion, as docs/explorer.md says


def test_the_estimates_do_what_the_exact_variance_says():
    # At K = 1 with S draws the deviation of log p-hat is sqrt(V / S), which is 0.1 at the number needed.
    now = frame("prior", latents=1, log_draws=3)
    deviation = 0.1 * 10 ** ((now["log10_needed"] - 3) / 2)
    assert np.std(now["estimates"]) == pytest.approx(deviation, rel=0.3)
    assert abs(now["off"]) < 0.02
    far = frame("prior", latents=20, log_draws=3)
    assert far["off"] < -20
    assert 1.0 <= far["effective"] < 1.5


@pytest.mark.parametrize("log_draws", [0, 1.7, 5])
def test_any_number_of_draws_gives_estimates(log_draws):
    now = frame("prior", latents=20, log_draws=log_draws)
    assert len(now["estimates"]) >= 2
    assert np.isfinite(now["estimates"]).all()
    assert 1.0 <= now["effective"] <= now["draws"]


# -- the draws -------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(MEANS, STDS)
def test_more_draws_make_the_bound_tighter_and_it_stays_below_log_p(mean, sd):
    known = frame("bound", mean=mean, sd=sd)
    bounds = [draws.bound_of(running_example(), mean, sd, count) for count in (1, 2, 5, 17, 64)]
    assert bounds[0] == pytest.approx(known["elbo"], rel=1e-9)
    assert (np.diff([*bounds, known["log_p"]]) > -1e-6 * abs(bounds[0])).all()
    assert bounds[-1] > bounds[0] or known["gap"] < 1e-6


def test_the_plain_signal_falls_and_the_doubly_reparameterized_one_and_that_of_theta_grow():
    now = frame("draws", log2_draws=6)
    curves = {one["name"]: one["curve"] for one in now["ratios"]}
    assert (np.diff(curves["iwae-reparameterization"]) < 0).all()
    for name in ("dreg", "iwae-theta"):
        assert (np.diff(curves[name][2:]) > 0).all()
    slope = np.polyfit(np.log(now["counts"][3:]), np.log(curves["iwae-reparameterization"][3:]), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.15)  # Rainforth et al. (2018), theorem 1
    assert (now["bound"], now["ratios"][0]["now"]) == (now["bounds"][-1], now["ratios"][0]["curve"][-1])


def test_the_ratio_of_one_draw_is_that_of_the_exact_variance():
    # With M = 1 the bound is the ELBO; the variance of the pathwise gradient is known by quadrature.
    shown = running_example()
    model, posterior, theta, phi, x = shown.at(0.5, 0.9)
    scene = Scene(model, theta, posterior, phi, x, "", model.posterior_eta(theta, x))
    known = {one.name: value for one, value in known_variances_by_draws(scene, [1])[1].items()}
    exactly = (
        np.linalg.norm(exact.gradients(scene.problem).phi_elbo.value) / known["reparameterization"] ** 0.5
    )
    ratios = {one["name"]: one["now"] for one in frame("draws", mean=0.5, sd=0.9)["ratios"]}
    assert ratios["iwae-reparameterization"] == pytest.approx(exactly, rel=0.15)  # 2000 repeats


# -- one bit ---------------------------------------------------------------------------------------

BITS = st.floats(-4, 4), st.floats(0, 1), st.floats(0.05, 2)


def bit_rows(**given):
    now = frame("bit", **given)
    return now, {row["name"]: row for row in now["estimators"]}


@settings(max_examples=20, deadline=None)
@given(*BITS)
def test_bias_and_noise_of_straight_through_and_reinforce_are_sums_over_both_bits(logit, target, temperature):
    now, rows = bit_rows(logit=logit, target=target, temperature=temperature)
    p = 1.0 / (1.0 + np.exp(-logit))
    weights, bits = np.array([1.0 - p, p]), np.array([0.0, 1.0])
    assert now["exact"] == pytest.approx(p * (1 - p) * ((1 - target) ** 2 - target**2), abs=1e-12)
    single = {
        "straight-through": p * (1 - p) * 2 * (bits - target),
        "score-function": (bits - target) ** 2 * (bits - p),
    }
    for name, gradients in single.items():
        mean = weights @ gradients
        assert rows[name]["mean"] == pytest.approx(mean, abs=1e-10)
        assert rows[name]["bias"] == pytest.approx(mean - now["exact"], abs=1e-10)
        assert rows[name]["sd"] == pytest.approx((weights @ (gradients - mean) ** 2) ** 0.5, abs=1e-8)


@settings(max_examples=20, deadline=None)
@given(*BITS)
def test_rebar_is_unbiased_at_every_temperature_and_more_nodes_change_nothing(logit, target, temperature):
    now, rows = bit_rows(logit=logit, target=target, temperature=temperature)
    assert rows["rebar"]["mean"] == pytest.approx(now["exact"], abs=2e-6)
    for kind in (Concrete, Rebar):
        finer = bit.moments(kind(temperature), logit, target, nodes=2 * bit.NODES)
        row = rows[kind.stem]
        assert (row["mean"], row["sd"]) == pytest.approx((finer[0], finer[1] ** 0.5), abs=2e-5)


def test_a_cold_concrete_is_less_biased_and_noisier_with_the_numbers_of_the_lesson():
    # docs/discrete.md: variances 3.8e-3 at 1 and 6.6e-2 at 0.1; REBAR 1.8e-2 at 0.5.
    for temperature, mean, variance in ((1.0, 0.0326, 3.8e-3), (0.1, 0.0128, 6.6e-2)):
        _, rows = bit_rows(temperature=temperature)
        assert rows["concrete"]["mean"] == pytest.approx(mean, abs=5e-5)
        assert rows["concrete"]["sd"] ** 2 == pytest.approx(variance, rel=0.02)
    now, rows = bit_rows()
    assert rows["rebar"]["sd"] ** 2 == pytest.approx(1.8e-2, rel=0.03)
    assert rows["straight-through"]["mean"] == pytest.approx(0.0948, abs=5e-5)
    at = now["temperatures"].index(0.5)
    for name in ("concrete", "rebar"):
        assert now["curves"][name]["sd"][at] == pytest.approx(rows[name]["sd"], abs=1e-6)


# -- EM --------------------------------------------------------------------------------------------


@st.composite
def em_places(draw):
    """Return settings as the page sends them: own points, means that were dragged, Old Faithful or not."""
    coordinates = st.tuples(st.floats(1, 6), st.floats(35, 105))
    components = draw(st.integers(1, 3))
    points = draw(st.lists(coordinates, max_size=6))
    now = frame("em", components=components)
    theta, first = now["settings"]["theta"], now["first_mean"]
    means = draw(st.lists(coordinates, min_size=components, max_size=components))
    theta[first : first + 2 * components] = np.ravel(means).tolist()
    flag = draw(st.integers(0, 1)) if points else 1
    return {"components": components, "faithful": flag, "points": np.ravel(points).tolist(), "theta": theta}


@settings(max_examples=25, deadline=None)
@given(em_places())
def test_no_half_step_of_em_lowers_the_bound_or_log_p(place):
    now = frame("em", **place)
    for step in ("e-step", "m-step", "e-step", "m-step", "both"):
        after = frame("em", take=step, **now["settings"])
        rounding = 1e-9 * max(1.0, abs(now["log_p"]))
        assert after["bound"] >= now["bound"] - rounding
        assert after["bound"] <= after["log_p"] + rounding
        if step == "e-step":
            assert after["log_p"] == now["log_p"]
            assert after["settings"]["theta"] == now["settings"]["theta"]
            assert after["bound"] == pytest.approx(after["log_p"], abs=rounding)
        else:
            assert after["log_p"] >= now["log_p"] - rounding
        now = after


def test_a_run_of_em_from_the_start_finds_both_clouds():
    now = frame("em")
    assert now["bound"] < now["log_p"] - 100  # every point is shared equally at first
    assert np.allclose(now["shares"], 0.5)
    for _ in range(12):
        now = frame("em", take="both", **now["settings"])
    assert now["log_p"] == pytest.approx(-1130.264, abs=1e-3)  # the maximum of demo 4
    assert np.allclose(sorted(now["means"]), [[2.036, 54.48], [4.29, 79.97]], atol=0.01)
    both = frame("em", take="m-step", **frame("em", take="e-step")["settings"])
    assert frame("em", take="both") == both


def test_one_component_is_the_gaussian_of_the_points_after_one_step():
    points = [[2.0, 50.0], [3.0, 60.0], [4.5, 90.0]]
    now = frame("em", take="both", components=1, faithful=0, points=np.ravel(points).tolist())
    assert np.allclose(now["means"], [np.mean(points, axis=0)])
    assert now["bound"] == pytest.approx(now["log_p"])


def test_the_plane_may_be_empty():
    now = frame("em", take="empty")
    assert (now["points"], now["log_p"], now["bound"]) == ([], 0.0, 0.0)
    assert frame("em", take="both", **now["settings"])["means"] == now["means"]
    assert len(frame("em", take="eruptions", **now["settings"])["points"]) == 272


def test_the_longest_lists_of_a_page_fit_into_a_query():
    numbers = {
        "theta": [-1.2345678901234567] * 18,
        "q": [-1.2345678901234567] * 18,
        "points": [100.25] * 2 * em.MOST_POINTS,
    }
    lists = {name: ",".join(map(str, value)) for name, value in numbers.items()}
    assert (
        len(urlencode({"tab": "em", "take": "e-step", "components": 3, "faithful": 1, **lists}))
        < LONGEST_QUERY
    )


# -- every tab -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABS)
def test_a_frame_is_plain_numbers_and_says_itself_in_words(name):
    now = frame(name)
    assert json.loads(json.dumps(now, allow_nan=False)) == now
    assert re.search(r"\d", now["words"])
    for slider in TABS[name].sliders(running_example()):
        assert now["settings"][slider.name] == slider.start


@pytest.mark.parametrize("name", TABS)
def test_a_tab_asks_a_question_that_its_own_controls_settle(name):
    tab = TABS[name]
    controls = [one.name for one in (*tab.sliders(running_example()), *tab.buttons)]
    assert len(set(tab.question.choices)) == 3
    assert 0 <= tab.question.right < 3
    assert tab.question.settled_by
    assert set(tab.question.settled_by) <= set(controls)


@pytest.mark.parametrize("name", TABS)
def test_every_end_of_a_slider_has_a_frame(name):
    for slider in TABS[name].sliders(running_example()):
        assert slider.low <= slider.start <= slider.high
        for end in (slider.low, slider.high):
            json.dumps(frame(name, **{slider.name: end}), allow_nan=False)


WRONG = [
    ("bund", {}, "tab: expected one of bound"),
    ("bound", {"mean": "far"}, "mean: expected a number, got 'far'"),
    ("bound", {"mean": 3.1}, "mean: expected a number from -3 to 3, got 3.1"),
    ("bound", {"sd": 0.0}, "sd: expected a number from 0.1"),
    ("bound", {"sd": float("nan")}, "sd: expected a number"),
    ("bound", {"theta": "inf"}, "theta: expected a number"),
    ("bound", {"men": 1}, "settings: expected one of mean, sd, theta, got 'men'"),
    ("bound", {"take": "phi"}, "take: expected one of phi-step"),
    ("prior", {"take": "phi-step"}, "take: expected nothing, since prior has no buttons, got"),
    ("prior", {"log_draws": 6}, "log_draws: expected a number from 0 to 5"),
    ("em", {"points": "1,2,x"}, "points: expected numbers between commas, got '1,2,x'"),
    ("em", {"points": 3}, "points: expected numbers between commas"),
    ("em", {"points": [2.0]}, "points: expected pairs of numbers"),
    ("em", {"points": [2.0, 20.0]}, "points: expected points within 1 to 6 and 35 to 105"),
    ("em", {"points": [2.0, 50.0] * 61}, "points: expected at most 120 numbers, got 122"),
    ("em", {"theta": [1.0]}, "theta: expected 12 numbers for 2 components, got 1"),
    ("em", {"theta": "nan"}, "theta: expected finite numbers"),
    ("em", {"theta": [0, 0, 2, 50, 4, 80, 99, 0, 0, 0, 0, 0]}, "theta: expected covariances"),
    ("em", {"faithful": 2}, "faithful: expected 0 or 1"),
    ("em", {"men": 1}, "settings: expected one of components, faithful, points, q, theta, got 'men'"),
]


@pytest.mark.parametrize(("tab", "settings", "line"), WRONG)
def test_a_wrong_setting_is_told_in_one_line(tab, settings, line):
    with pytest.raises(UserMistake, match=re.escape(line)):
        frame(tab, **settings)


def test_colours_of_estimators_are_those_of_the_figures():
    from importlib.resources import files

    style = (files("elbo_lab.explorer") / "page" / "explorer.css").read_text(encoding="utf-8")
    light = style[: style.index("@media")]
    for name in (*noise.NAMES, "prior-monte-carlo", "dreg", "iwae-theta", "straight-through"):
        assert f"--{name}: {estimator_style(name).color.lower()};" in light
        assert name in ESTIMATORS
    for stem in ("concrete", "rebar"):
        assert f"--{stem}: {estimator_style(f'{stem}-0.5').color.lower()};" in light


def test_dark_is_the_same_by_the_system_and_by_the_button():
    from importlib.resources import files

    style = (files("elbo_lab.explorer") / "page" / "explorer.css").read_text(encoding="utf-8")
    light, system, button = (
        set(re.findall(r"(--[\w-]+): (#\w+)", block))
        for block in re.findall(r":root[^{]*\{\s+color-scheme([^}]*)\}", style)
    )
    assert system == button
    assert {name for name, _ in light} == {name for name, _ in system}
    assert not light & system


# -- models ----------------------------------------------------------------------------------------

REFUSED = {
    "gaussian-mixture:full": "z is categorical",
    "logistic-regression": "its latents are global",
    "gaussian": "z is categorical",
    "gaussian-mle": "its z is diagonal-gaussian, of size 2",
    "ppcaa": "a known name",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_cannot_be_shown_is_refused_with_the_reason(name, capsys):
    assert main(["explore", "--model", name, "--no-browser"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("elbo-lab: error: --model: expected")
    assert re.search(REFUSED[name], line)


def test_a_model_of_the_registry_is_shown_with_its_own_data():
    shown = shown_model("factor-analysis")
    now = frame("bound", shown, mean=-1.0, sd=0.3)
    assert abs(now["elbo"] + now["gap"] - now["log_p"]) < 1e-10 * abs(now["log_p"])
    after = frame("bound", shown, take="phi-step", mean=-1.0, sd=0.3)
    assert after["log_p"] == now["log_p"]
    assert after["gap"] < now["gap"]
    assert abs(frame("bound", shown, take="best-q")["gap"]) < 1e-10
    assert json.dumps(described(shown))


# -- the server ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    with Explorer(running_example()) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one
        one.shutdown()


def ask(server, path, method="GET", **headers):
    """Return status, headers and body of the answer to a request whose path is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_a_frame_over_http_is_the_frame(server):
    status, _, body = ask(server, f"/{server.token}/frame?tab=bound&mean=0.5&take=phi-step")
    assert status == 200
    assert json.loads(body) == frame("bound", take="phi-step", mean=0.5)


def test_the_page_and_its_tabs_are_served_with_the_rule_that_nothing_comes_from_elsewhere(server):
    for name, kind in (("", "text/html"), ("shell.js", "text/javascript"), ("tabs", "application/json")):
        status, headers, body = ask(server, f"/{server.token}/{name}")
        assert (status, headers["Content-Type"].split(";")[0]) == (200, kind)
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers["Cache-Control"] == "no-store"
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert len(body) == int(headers["Content-Length"])


def test_frames_that_are_slow_the_first_time_are_computed_before_they_are_asked_for(monkeypatch):
    computed, done = [], threading.Event()

    def frame_of(tab, _, settings):
        computed.append((tab.name, str(settings)))
        if len(computed) == len(TABS) - 1 + prior.MOST_LATENTS:
            done.set()

    for tab in TABS.values():
        monkeypatch.setattr(type(tab), "frame", frame_of)
    with Explorer(running_example()) as one:
        one.prepare()
        assert done.wait(20)
    assert len(set(computed)) == len(computed)
    assert ("prior", "{'latents': 20, 'log_draws': 3.0}") in computed


def test_only_the_loopback_is_listened_on(server):
    assert server.server_address[0] == "127.0.0.1"
    with Explorer(running_example()) as other:
        assert (other.token, other.server_port) != (server.token, server.server_port)
        assert len(other.token) >= 32


REFUSALS = [
    ("/", {}, 403),
    ("/tabs", {}, 403),
    ("/wrong/frame?tab=bound", {}, 403),
    ("/{token}x/tabs", {}, 403),
    ("/{token}/tabs", {"Host": "evil.example"}, 403),
    ("/{token}/tabs", {"Host": "127.0.0.1"}, 403),
    ("/{token}/tabs", {"Host": ""}, 403),
    ("/{token}/tabs", {"Origin": "http://evil.example"}, 403),
    ("/{token}/tabs", {"Origin": "null"}, 403),
    ("/{token}/tabs", {"Origin": "http://127.0.0.1:1"}, 403),
    ("/{token}/../server.py", {}, 404),
    ("/{token}/..%2fserver.py", {}, 404),
    ("/{token}/%2e%2e/%2e%2e/etc/passwd", {}, 404),
    ("/{token}//etc/passwd", {}, 404),
    ("/{token}/nowhere.js", {}, 404),
    ("/{token}/frame", {}, 400),
    ("/{token}/frame?tab=bound&mean=far", {}, 400),
    ("/{token}/frame?tab=bound&shown=1&self=2", {}, 400),
    ("/{token}/frame?tab=bound&" + "x" * LONGEST_QUERY, {}, 414),
]


@pytest.mark.parametrize(("path", "headers", "status"), REFUSALS)
def test_who_asks_wrongly_is_refused_in_one_line(path, headers, status, server):
    found, _, body = ask(server, path.format(token=server.token), **headers)
    assert found == status
    line = json.loads(body)["error"]
    assert line
    assert "\n" not in line
    assert server.token not in line


def test_a_model_that_raises_is_told_to_the_page_with_the_place(server, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(type(TABS["bound"]), "frame", broken)
    status, _, body = ask(server, f"/{server.token}/frame?tab=bound")
    assert status == 400
    assert re.search(r"ZeroDivisionError: float division by zero, in broken", json.loads(body)["error"])


def test_its_own_origin_and_localhost_are_let_in(server):
    own = f"localhost:{server.server_port}"
    assert ask(server, f"/{server.token}/tabs", Host=own, Origin=f"http://{own}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_nothing_but_get_is_answered(method, server):
    status, headers, _ = ask(server, f"/{server.token}/tabs", method)
    assert (status, headers["Allow"]) == (405, "GET")


# -- the command -----------------------------------------------------------------------------------


def test_the_command_prints_the_address_and_ends_with_ctrl_c(monkeypatch, capsys):
    opened, opening, serving = Queue(), [], threading.Event()

    def browse(address):  # as a browser in the terminal, which returns when it is closed
        opened.put((address, serving.wait(5)))

    monkeypatch.setattr("webbrowser.open", browse)

    def interrupted(self):
        serving.set()
        opening.append((self.tabs["first"], self.tabs["skip_predictions"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(Explorer, "serve_forever", interrupted)
    assert main(["explore", "--tab", "noise", "--skip-predictions"]) == 130
    address = capsys.readouterr().out.split()[0]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32,}/", address)
    assert opened.get(timeout=10) == (address, True)
    assert main(["explore", "--no-browser"]) == 130
    assert opened.empty()
    assert opening == [("noise", True), ("bound", False)]


def test_a_wrong_tab_or_port_is_told_in_one_line(capsys, server):
    for options in (
        ["--tab", "bond"],
        ["--model", "no-such-model"],
        ["--port", "70000"],
        ["--port", str(server.server_port)],
    ):
        assert main(["explore", "--no-browser", *options]) == 2
        assert capsys.readouterr().err.startswith(f"elbo-lab: error: {options[0]}: expected")


def test_the_example_of_the_prior_is_that_of_the_demo():
    model, _, _, _, x = prior.example(4)[0]
    assert (type(model), model.n_columns, model.latent_dim, x.shape) == (PPCA, 64, 4, (1, 64))


def part_at(node, sizes, at):
    """Return what a page puts together from a part of a table at a place of the sliders."""
    if "keys" in node:
        return {key: part_at(one, sizes, at) for key, one in node["keys"].items()}
    if "items" in node:
        return [part_at(one, sizes, at) for one in node["items"]]
    picked = [sizes[axis] for axis in node["over"]]
    return node["values"][recorded.flat(picked, [at[axis] for axis in node["over"]])]


def test_a_table_of_frames_gives_each_frame_back_and_stores_what_depends_on_one_slider_once():
    grid = {"a": [0.0, 1.0], "b": [0.0, 1.0, 2.0], "c": [0.0, 5.0]}
    places = list(itertools.product(*grid.values()))
    frames = [
        {"all": a + 10 * b + 100 * c, "b": [b, -b], "none": "words", "list": [{"c": c}, {"a": a, "b": b}]}
        for a, b, c in places
    ]
    sizes = [len(values) for values in grid.values()]
    table = recorded.table_of(grid, frames)
    indices = itertools.product(*map(range, sizes))
    assert [part_at(table["frame"], sizes, at) for at in indices] == frames
    stored = {key: len(node["values"]) for key, node in table["frame"]["keys"].items() if "values" in node}
    assert stored == {"all": 12, "b": 3, "none": 1}


def test_a_button_of_a_recorded_page_leads_to_the_nearest_value():
    assert [recorded.nearest([0.0, 1.0, 3.0], value) for value in (-9.0, 0.6, 1.9, 2.1, 9.0)] == [
        0,
        1,
        1,
        2,
        2,
    ]
