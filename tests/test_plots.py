"""Figures: what they hold, not how their pixels look."""

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from figure_checks import VISION, apart, check_text, check_theme, exact_lines, markers, words
from matplotlib.figure import Figure
from other_process import output_of
from PIL import Image
from synthetic_rows import ESTIMATORS, find_row, make_rows
from test_learning_plots import FIGURES as FIGURES_OF_LEARNING

from elbo_lab.estimators import ESTIMATORS as ALL_ESTIMATORS
from elbo_lab.plots import (
    STYLE,
    cloud_limits,
    estimator_style,
    figure_folder,
    new_figure,
    plot_by_model,
    plot_cloud,
    plot_cloud_panel,
    plot_effective_sample_size,
    plot_prior_error,
    plot_prior_failure,
    plot_variance_against_draws,
    save_figure,
)
from elbo_lab.plots.draws import spread
from elbo_lab.plots.zero_axis import zero_axis
from elbo_lab.registry import display_name


def phi_rows():
    return make_rows(["grad-phi-elbo"])


def draw_records():
    draws = [2, 4, 8, 16]
    return {
        name: {
            "draws": draws,
            "variance": [scale / s for s in draws],
            "low": [0.8 * scale / s for s in draws],
            "high": [1.2 * scale / s for s in draws],
        }
        for name, scale in (("score-function", 500.0), ("reparameterization", 2.0))
    }


def prior_records():
    dims, counts = [1, 2, 5, 10], (10, 100)
    return {
        "latent_dim": dims,
        "error": {s: [-k / s for k in dims] for s in counts},
        "low": {s: [-1.2 * k / s for k in dims] for s in counts},
        "high": {s: [-0.8 * k / s for k in dims] for s in counts},
        "effective_sample_size": {s: [1 + s * 0.5**k for k in dims] for s in counts},
    }


def cloud_samples():
    rng = np.random.default_rng(3)
    return {
        "score-function": rng.standard_t(1.3, (300, 2)),
        "reparameterization": 0.01 * rng.standard_normal((300, 2)),
    }


# -- colours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("target", ESTIMATORS)
def test_estimators_of_one_target_are_told_apart_by_colour_and_by_marker(target, vision):
    for first, second in combinations(ESTIMATORS[target], 2):
        one, other = estimator_style(first), estimator_style(second)
        assert one.marker != other.marker, (first, second)
        assert apart(one.color, other.color, vision) > 15, (first, second)


def test_no_two_estimators_of_the_house_share_their_look():
    names = {name for members in ESTIMATORS.values() for name in members}
    assert len({estimator_style(name) for name in names}) == len(names)


def test_no_two_estimators_of_a_target_share_colour_or_look():
    by_target = {}
    for estimator in ALL_ESTIMATORS:
        if estimator.name != "exact":
            by_target.setdefault(estimator.target, []).append(estimator_style(estimator.name))
    for target, looks in by_target.items():
        assert len({look.color for look in looks}) == len(looks), target


def test_an_unknown_estimator_never_looks_like_one_of_the_house():
    house = [estimator_style(name) for members in ESTIMATORS.values() for name in members]
    for index in range(200):
        look = estimator_style(f"stranger-{index}")
        assert look.color not in {style.color for style in house}
        assert look.marker not in {style.marker for style in house}


def test_an_unknown_estimator_has_the_same_look_in_another_process():
    code = "from elbo_lab.plots import estimator_style; print(*estimator_style('my-estimator'))"
    assert output_of(code, PYTHONHASHSEED="12345").split() == list(estimator_style("my-estimator"))


def test_an_estimator_has_one_colour_in_every_figure():
    name = "reparameterization"
    axes = [
        plot_by_model(phi_rows()).axes[0],
        plot_cloud({name: cloud_samples()[name]}, [0, 0]).axes[0],
        plot_variance_against_draws(draw_records()),
    ]
    assert all(markers(ax, name) for ax in axes)


# -- variance --------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ESTIMATORS)
def test_the_figure_of_a_target_has_a_panel_for_every_model_and_names_what_it_shows(target):
    rows = make_rows([target])
    figure = plot_by_model(rows, "Which?", "faithful, S = 10")
    assert isinstance(figure, Figure)
    found = sorted(ax.get_title("left").replace("\n", " ") for ax in figure.axes)
    labels = {":".join(filter(None, (row["model"], row["variant"]))) for row in rows}
    assert found == sorted(map(display_name, labels))
    told = words(figure)
    assert {"Which?", "faithful, S = 10", *map(display_name, ESTIMATORS[target][:-1])} <= set(told)
    assert target in words(plot_by_model(rows))
    if target == "log-evidence":
        assert "root mean squared error of an estimate from 10 draws, nats per datum" in told
        assert {"bias", "standard deviation", "root mean squared error"} <= set(told)
    elif target.endswith("log-evidence"):
        assert any(text.endswith("10 draws, as a multiple of the best one's") for text in told)
    else:
        assert any(
            text.startswith("variance \u00d7 evaluations of log p(x, z), as a multiple") for text in told
        )
    assert all(ax.get_xscale() == "log" for ax in figure.axes)


def ordered_rows(*numbers, **more):
    """Return rows of one model: (estimator, unbiased, variance, bias, evaluations)."""
    rows = []
    for (estimator, unbiased, variance, bias, evaluations), row in zip(numbers, phi_rows(), strict=False):
        mse = variance + bias**2
        row.update(estimator=estimator, unbiased=unbiased, variance=variance, bias_norm=bias, mse=mse, **more)
        row.update(variance_low=variance, variance_high=variance, mse_low=mse, mse_high=mse)
        rows.append({**row, "model": "ppca", "variant": None, "evaluations": evaluations})
    return rows


def names_from_top(figure):
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def test_costly_estimators_are_ranked_by_variance_times_evaluations():
    figure = plot_by_model(ordered_rows(("costly", True, 1.0, 0.0, 310), ("cheap", True, 3.0, 0.0, 10)))
    assert names_from_top(figure) == ["cheap", "costly"]
    (ax,) = figure.axes
    assert markers(ax, "costly")[0].get_xdata()[0] == pytest.approx(310 / 30)
    assert markers(ax, "cheap")[0].get_xdata()[0] == 1.0


def test_a_small_variance_does_not_hide_a_bias():
    rows = ordered_rows(
        ("biased", False, 0.01, 2.0, 10), ("calm", False, 0.5, 0.1, 10), target="log-evidence"
    )
    (ax,) = plot_by_model(rows).axes
    assert names_from_top(ax.figure) == ["calm", "biased"]
    assert markers(ax, "biased")[0].get_xdata()[0] == pytest.approx(np.sqrt(4.01))
    bias, deviation = (line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() in "v^")
    assert list(bias.get_xdata()) == [0.1, 2.0]
    assert list(deviation.get_xdata()) == pytest.approx([np.sqrt(0.5), 0.1])


def test_what_every_course_compares_is_among_the_few_that_are_shown():
    numbers = [(f"own-{i}", True, 1.0 + i, 0.0, 10) for i in range(4)]
    rows = ordered_rows(*numbers, ("score-function", True, 1e5, 0.0, 10))
    assert names_from_top(plot_by_model(rows, most=3)) == ["own-0", "own-1", "REINFORCE"]
    figure = plot_by_model(rows, note="S = 10", most=2, always=["own-3"])
    assert names_from_top(figure) == ["own-0", "own-3"]
    assert "S = 10; not drawn: own-1, own-2, REINFORCE" in words(figure)
    assert "S = 10; not drawn: 4 other estimators" in words(plot_by_model(rows, note="S = 10", most=1))


def test_the_legend_explains_only_what_is_drawn():
    best, *others = [(f"own-{i}", i < 2, 1.0 + i, 0.0, 10) for i in range(3)]
    rows = ordered_rows(best, *others)
    assert any("hollow" in text for text in words(plot_by_model(rows)))
    assert not any("hollow" in text for text in words(plot_by_model(rows, most=2)))


@pytest.mark.parametrize(("width", "told"), [(1.01, False), (1.5, True)])
def test_bars_have_a_legend_only_where_they_are_wider_than_their_markers(width, told):
    rows = ordered_rows(*((f"own-{i}", True, 100.0**i, 0.0, 10) for i in range(3)))
    for row in rows:
        row.update(variance_low=row["variance"] / width, variance_high=row["variance"] * width)
    assert any("bar:" in text for text in words(plot_by_model(rows))) == told


def test_panels_that_say_nothing_are_not_drawn():
    rows = phi_rows()
    for row in rows:
        if row["model"] == "ppca" or (
            row["model"] == "gaussian-mle" and row["estimator"] != "score-function"
        ):
            row["applicable"] = False
    titles = {ax.get_title("left") for ax in plot_by_model(rows).axes}
    assert len(titles) == 7 and not {display_name("ppca"), display_name("gaussian-mle")} & titles


def test_bounds_of_several_numbers_of_draws_share_a_figure_that_says_which():
    rows = ordered_rows(("iwae", True, 1.0, 0.0, 10), ("miwae-2", True, 2.0, 0.0, 10))
    for row, target in zip(rows, ("iwae-10", "iwae-5"), strict=True):
        row["target"] = target
    names = [f"{display_name('iwae')}, K = 10", f"{display_name('miwae-2')}, K = 5"]
    assert names_from_top(plot_by_model(rows)) == names


def drawn_intervals(axes):
    """Return how many intervals are drawn, and hold that none is outside of its panel."""
    found = 0
    for ax in axes:
        low, high = ax.get_xlim()
        bars = [part for part in ax.collections if part.get_transform() == ax.transData]
        ends = [tuple(segment[:, 0]) for part in bars for segment in part.get_segments()]
        assert all(low < x < high for pair in ends for x in pair)
        found += len(ends)
    return found


def test_every_finite_variance_and_interval_is_drawn():
    rows = [row for row in phi_rows() if row["estimator"] != "exact"]
    axes = plot_by_model(rows).axes
    for name in ESTIMATORS["grad-phi-elbo"][:-1]:
        finite = [row for row in rows if row["estimator"] == name and row["variance"] is not None]
        assert sum(len(markers(ax, name)) for ax in axes) == len(finite)
    assert drawn_intervals(axes) == sum(bool(row["variance"]) for row in rows)


def test_biased_estimators_have_hollow_markers_and_the_legend_says_so():
    rows = phi_rows()
    assert not any("hollow" in text for text in words(plot_by_model(rows)))
    for row in rows:
        row["unbiased"] = row["estimator"] != "reparameterization"
    figure = plot_by_model(rows)
    for name, hollow in (("reparameterization", True), ("score-function", False)):
        for line in [line for ax in figure.axes for line in markers(ax, name)]:
            assert (line.get_markerfacecolor() == STYLE["background"]) is hollow
    assert "hollow: biased; its mean squared error instead of the variance" in words(figure)


def test_what_cannot_be_drawn_says_so():
    rows = phi_rows()
    # With two more estimators the models are alike enough for one line of panels.
    rows += [
        row | {"estimator": name} for name in "ab" for row in rows if row["estimator"] == "score-function"
    ]
    find_row(rows, "ppca", "a").update(applicable=False)
    find_row(rows, "ppca", "b").update(variance=None, variance_low=None, variance_high=None)
    notes = [text.get_text() for ax in plot_by_model(rows).axes for text in ax.texts]
    assert notes.count("n/a") == notes.count("not finite") == 1


def test_blocks_that_differ_in_posterior_only_are_told_apart():
    rows = phi_rows() + make_rows(["grad-phi-elbo"], posterior="exact")
    titles = [ax.get_title("left").replace("\n", " ") for ax in plot_by_model(rows).axes]
    assert len(set(titles)) == len(titles) == 18
    assert {f"{display_name('gaussian-mle')}, {kind}" for kind in ("free", "exact")} <= set(titles)


@pytest.mark.parametrize("variance", [None, 0.0, 3.0, 1e-300, 1e300])
def test_a_single_row_makes_a_figure(variance):
    row = phi_rows()[0]
    row.update(variance=variance, variance_low=variance, variance_high=variance)
    words(plot_by_model([row]))


def test_rows_are_not_changed_by_drawing():
    rows = phi_rows()
    plot_by_model(rows)
    assert rows == phi_rows()


# -- cloud -----------------------------------------------------------------------------------------


def test_the_cloud_shows_names_units_exact_lines_and_counts_what_lies_outside():
    samples = cloud_samples()
    samples["score-function"][0] = np.nan
    figure = plot_cloud(samples, [0.1, -0.2], names=("mean[0, 0]", "log_std[0, 0]"))
    first, second = figure.axes[0], figure.axes[1]
    for ax in (first, second):
        vertical, horizontal = exact_lines(ax)
        assert list(vertical.get_xdata()) == list(horizontal.get_ydata()) == [0, 0]
        assert ax.get_xlim()[0] == -ax.get_xlim()[1] and ax.get_ylim()[0] == -ax.get_ylim()[1]
    differences = samples["score-function"] - [0.1, -0.2]
    inside = np.abs(differences) <= [first.get_xlim()[1], first.get_ylim()[1]]
    outside = 299 - inside.all(axis=1).sum()
    assert outside > 0
    texts = words(figure)
    assert any(f"{outside} of 300 outside, 1 not finite" in text for text in texts)
    assert "gradient in mean[0, 0] minus the exact 0.1, nats per unit" in texts
    assert "gradient in log_std[0, 0] minus the exact\n\u22120.2, nats per unit" in texts


@pytest.mark.parametrize("size", [1, 6])
def test_the_longest_names_fit_into_the_panels_of_a_cloud(size):
    names = [estimator.name for estimator in ALL_ESTIMATORS if estimator.target == "grad-phi-elbo"]
    names = sorted(names, key=lambda name: -len(display_name(name)))[:size]
    rng = np.random.default_rng(0)
    check_text(plot_cloud({name: rng.standard_normal((50, 2)) for name in names}, [0.0, 0.0], title="How?"))


def test_each_panel_of_a_cloud_frames_the_next_and_the_noisiest_is_first():
    samples = cloud_samples()
    first, second = plot_cloud(dict(reversed(samples.items())), [0.0, 0.0]).axes
    assert [ax.get_title("left") for ax in (first, second)] == ["REINFORCE", "reparameterization"]
    (frame,) = first.patches
    assert frame.get_width() == pytest.approx(max(2 * second.get_xlim()[1], 0.02 * np.ptp(first.get_xlim())))
    assert not second.patches


def test_a_cloud_that_is_but_a_dot_on_shared_axes_is_magnified_and_a_point_is_not():
    samples = cloud_samples()
    limits = cloud_limits(list(samples.values()), np.zeros(2))
    for points, insets in ((samples["reparameterization"], 1), (np.zeros((300, 2)), 0)):
        ax = plot_cloud_panel(points, [0, 0], new_figure(3).subplots(), "reparameterization", limits)
        assert len(ax.child_axes) == insets


def test_a_cloud_without_width_or_with_one_draw_has_axes():
    for points in (np.ones((5, 2)), np.zeros((1, 2)), np.full((3, 2), np.nan)):
        ax = plot_cloud_panel(points, [0.0, 0.0], new_figure(3).subplots(), "score-function")
        assert np.ptp(ax.get_xlim()) > 0
        words(ax.figure)


def test_a_cloud_of_rounding_is_a_point_at_the_exact_value():
    exact = np.array([1e-7, -3e-7])
    rounding = exact + 1e-22 * np.random.default_rng(0).standard_normal((50, 2))
    figure = plot_cloud({"score-function": cloud_samples()["score-function"], "enumeration": rounding}, exact)
    assert any(text.startswith("sd 0, 0") for text in words(figure))
    # Alone it has axes on which it stands on the cross-hair, not beside it.
    ax = plot_cloud({"enumeration": rounding}, exact).axes[0]
    assert np.ptp(ax.get_xlim()) > 1e-9 and not ax.child_axes


# -- draws and dimension ---------------------------------------------------------------------------


def test_variance_against_draws_has_a_guide_of_slope_minus_one_and_labelled_bands():
    ax = plot_variance_against_draws(draw_records())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel().startswith("draws S") and "nats² per unit²" in ax.get_ylabel()
    legend = {text.get_text() for text in ax.get_legend().get_texts()}
    guide_words = "dotted: half the variance for twice the cost"
    assert legend == {guide_words, "band: 95 % interval"}
    assert {"REINFORCE", "reparameterization"} <= {text.get_text() for text in ax.texts}
    (guide,) = (line for line in ax.lines if line.get_label() == guide_words)
    slope = np.diff(np.log(guide.get_ydata())) / np.diff(np.log(guide.get_xdata()))
    assert slope == pytest.approx(-1)
    assert len(ax.collections) == 2


def test_variance_against_draws_shows_biased_estimators_hollow():
    records = draw_records()
    records["score-function"]["biased"] = True
    ax = plot_variance_against_draws(records)
    assert markers(ax, "score-function")[0].get_markerfacecolor() == STYLE["background"]
    assert markers(ax, "reparameterization")[0].get_markerfacecolor() != STYLE["background"]
    assert "REINFORCE: error, biased" in {text.get_text() for text in ax.texts}


def test_the_error_of_a_biased_estimator_stops_falling_and_costs_are_evaluations():
    records = draw_records()
    records["score-function"] |= {"biased": True, "squared_bias": [3.0] * 4, "evaluations": [20, 40, 80, 160]}
    records["reparameterization"]["evaluations"] = [2, 4, 8, 16]
    ax = plot_variance_against_draws(records)
    assert ax.get_xlabel() == "evaluations of log p(x, z) per estimate"
    (line,) = markers(ax, "score-function")
    assert list(line.get_xdata()) == [20, 40, 80, 160]
    assert list(line.get_ydata()) == pytest.approx([253.0, 128.0, 65.5, 34.25])


def test_names_at_the_ends_of_curves_never_collide_and_keep_their_order():
    heights = [0.1, 0.11, 0.115, 0.5, 0.9, 0.91]
    placed = np.array(spread(heights, 0.04))
    assert np.diff(placed).min() >= 0.04 - 1e-12 and placed[3] == 0.5
    assert placed[:3].mean() == pytest.approx(np.mean(heights[:3]))


def test_variance_against_draws_keeps_zero_and_leaves_gaps_for_what_was_not_measured():
    records = draw_records()
    for key in ("variance", "low", "high"):
        records["score-function"][key] = [None, 0.0, 0.0, 0.0]
    ax = plot_variance_against_draws(records)
    (line,) = markers(ax, "score-function")
    (zero,) = exact_lines(ax)
    assert np.isnan(line.get_ydata()[0])
    assert list(line.get_ydata()[1:]) == [zero.get_ydata()[0]] * 3
    words(ax.figure)


def test_an_exact_record_is_the_dashed_line_and_no_estimator():
    records = draw_records()
    records["exact"] = {key: [0.0] * 4 for key in ("draws", "variance", "low", "high")}
    ax = plot_variance_against_draws(records)
    assert len(exact_lines(ax)) == 1 and not markers(ax, "exact")


UNEQUAL = {"draws": [1, 2], "variance": [1.0, 2.0], "low": [1.0], "high": [1.0, 2.0]}
BAD_INPUT = [
    (plot_by_model, ([],), "rows of one target, got none"),
    (plot_by_model, (make_rows(["elbo", "grad-phi-elbo"]),), "grad-phi-elbo, elbo"),
    (plot_cloud, ({"a": np.zeros((4, 3))}, [0, 0]), r"samples\['a'\].*\(4, 3\)"),
    (plot_cloud, ({"a": np.zeros((4, 2))}, [0, np.nan]), r"exact.*nan"),
    (plot_variance_against_draws, ({"exact": {**UNEQUAL, "low": [0, 0]}},), "beside the exact answer"),
    (plot_variance_against_draws, ({"score-function": UNEQUAL},), "lengths 2, 2, 1, 2"),
    (
        plot_prior_failure,
        (prior_records() | {"error": {10: [0.0]}},),
        r"records\['error'\]\[10\]: expected 4 numbers, got 1",
    ),
]


@pytest.mark.parametrize(("plot", "given", "message"), BAD_INPUT)
def test_what_cannot_be_a_figure_is_refused(plot, given, message):
    with pytest.raises(ValueError, match=message):
        plot(*given)


def test_prior_failure_shows_the_error_in_nats_around_an_exact_zero():
    figure = plot_prior_failure(prior_records(), title="ppca")
    error, size = figure.axes
    assert "nats per datum" in error.get_ylabel() and size.get_yscale() == "log"
    (zero,) = exact_lines(error)
    assert list(zero.get_ydata()) == [0, 0]
    assert error.get_xlabel() == size.get_xlabel() == "latent dimension K"
    texts = words(figure)
    assert {"S = 10 draws", "S = 100 draws", "exact", "band: 95 % interval of the mean"} <= set(texts)
    assert len(error.collections) == 2


def test_single_panels_hand_back_their_axes_with_a_legend():
    for plot in (plot_prior_error, plot_effective_sample_size):
        ax = new_figure(4).subplots()
        assert plot(prior_records(), ax) is ax and ax.get_legend()
    ax = new_figure(4).subplots()
    assert plot_variance_against_draws(draw_records(), ax) is ax


# -- every figure ----------------------------------------------------------------------------------

FIGURES = {
    "variance": lambda: plot_by_model(phi_rows()),
    "cloud": lambda: plot_cloud(cloud_samples(), [0.0, 0.0], title="ppca, S = 1"),
    "draws": lambda: plot_variance_against_draws(draw_records(), title="ppca").figure,
    "dimension": lambda: plot_prior_failure(prior_records(), title="ppca"),
    **FIGURES_OF_LEARNING,
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_off_or_collides_and_no_legend_lies_on_the_data(name):
    check_text(FIGURES[name]())


def colliding_ticks(ax):
    ax.plot([0, 1], [0, 1])
    ax.set_xticks([0.5, 0.51], ["a long name", "another one"])


def text_beyond_the_edge(ax):
    ax.plot([0, 1], [0, 1])
    ax.figure.text(0.9, 0.5, "words that reach beyond the edge of the figure")


def note_on_a_title(ax):
    ax.plot([0, 1], [0, 1])
    ax.set_title("a title that is as long as the panel is wide, or longer", loc="left")
    ax.figure.text(0.2, 0.95, "a note")


def legend_on_the_data(ax):
    ax.plot([0, 1], [0, 1], label="line")
    ax.legend()


@pytest.mark.parametrize(
    "flaw", [colliding_ticks, text_beyond_the_edge, note_on_a_title, legend_on_the_data, lambda _: None]
)
def test_the_check_of_figures_finds_a_flaw_and_an_empty_panel(flaw):
    ax = new_figure(3).subplots()
    flaw(ax)
    with pytest.raises(AssertionError):
        check_text(ax.figure)


@pytest.mark.parametrize("name", FIGURES)
def test_a_theme_of_the_user_changes_nothing_and_drawing_no_global_setting(name):
    check_theme(FIGURES[name])


def test_drawing_and_saving_never_loads_pyplot(tmp_path):
    code = (
        "import sys\n"
        "from synthetic_rows import make_rows\n"
        "from elbo_lab.plots import plot_images, plot_latent_plane, plot_learning_curves\n"
        "from elbo_lab.plots import plot_by_model, save_figure\n"
        "save_figure(plot_by_model(make_rows(['elbo'])), sys.argv[1], 'f')\n"
        "plot_learning_curves([{'epoch': 1, 'elbo': -1.0}])\n"
        "plot_images([[0.0, 1.0]], (1, 2)).figure.draw_without_rendering()\n"
        "plot_latent_plane([[0.0, 1.0]], [1]).figure.draw_without_rendering()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    output_of(code, tmp_path, path=[Path(__file__).parent])


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_figure_gives_the_same_bytes_twice(name, tmp_path):
    first = save_figure(FIGURES[name](), tmp_path / "new" / "a", name)
    second = save_figure(FIGURES[name](), tmp_path / "b", name)
    assert [path.name for path in first] == [f"{name}.png", f"{name}.svg"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in first[1].read_bytes() and b"<dc:date>" not in first[1].read_bytes()


def test_a_caption_stands_in_both_files_as_their_description(tmp_path):
    png, svg = save_figure(new_figure(1), tmp_path, "figure", "The gap is KL(q ‖ p) < 1 nat.")
    with Image.open(png) as image:
        assert image.text == {"Software": "elbo_lab", "Description": "The gap is KL(q ‖ p) < 1 nat."}
    description = "<dc:description>The gap is KL(q ‖ p) &lt; 1 nat.</dc:description>"
    assert description in svg.read_text(encoding="utf-8")
    # Both are still known as figures of the package, which may be replaced.
    assert save_figure(new_figure(1), tmp_path, "figure") == [png, svg]
    with Image.open(png) as image:
        assert image.text == {"Software": "elbo_lab"}


def test_a_script_learns_before_it_computes_where_its_figures_go(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ELBO_LAB_OUT", raising=False)
    assert str(figure_folder()) == "elbo-lab-figures"
    monkeypatch.setenv("ELBO_LAB_OUT", str(tmp_path / "new"))
    assert figure_folder() == tmp_path / "new" and not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("ELBO_LAB_OUT", str(tmp_path / "file" / "new"))
    with pytest.raises(SystemExit) as stopped:
        figure_folder()
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and line.startswith("error: ELBO_LAB_OUT: expected")


def test_a_fault_while_drawing_or_writing_leaves_old_files_and_no_rest(tmp_path, monkeypatch):
    paths = save_figure(new_figure(1), tmp_path, "figure")
    old = [path.read_bytes() for path in paths]
    figure = FIGURES["draws"]()
    broken = new_figure(1)

    def undrawable(*_):
        raise ValueError("no such artist")

    monkeypatch.setattr(broken.text(0, 0, "x"), "draw", undrawable)
    with pytest.raises(ValueError, match="no such artist"):
        save_figure(broken, tmp_path, "figure")

    def full_disk(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, tmp_path, "figure")
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert [path.read_bytes() for path in paths] == old


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden"])
def test_a_file_name_that_leaves_the_folder_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="plain file name"):
        save_figure(new_figure(1), tmp_path, name)


def test_print_is_at_least_eight_pixels_high_at_the_width_of_the_readme():
    pixels_per_point = 800 / STYLE["width"] / 72
    assert (STYLE["note_size"] - 1) * pixels_per_point > 8


@pytest.mark.parametrize("values", [[0.0], [], [1.0], [0.0, 1e-12, 1e9], [np.nan, np.inf, 2.0], [0.3, 0.31]])
def test_the_axis_with_a_zero_keeps_zero_left_of_everything(values):
    layout = zero_axis(values, always=True)
    positive = [value for value in values if 0 < value < np.inf]
    assert layout.limits[0] < layout.zero < layout.break_at < min(positive, default=np.inf)
    assert max(positive, default=0) < layout.limits[1]
    assert layout.labels[0] == "0" and 2 <= len(layout.ticks) == len(layout.labels) <= 8


@pytest.mark.parametrize("name", ["a$b_{c$.csv", "$$", "100 $ or $"])
def test_dollars_that_hold_no_formula_are_drawn_as_they_are(name, tmp_path):
    figure = new_figure(2)
    formula, text = figure.text(0.1, 0.5, "$x^2$"), figure.text(0.5, 0.5, name)
    assert len(save_figure(figure, tmp_path, "a")) == 2 and figure._repr_png_()
    assert formula.get_parse_math() and text.get_text() == name
