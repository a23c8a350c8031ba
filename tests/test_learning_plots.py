"""Figures of learning: what they hold, not how their pixels look."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from figure_checks import VISION, apart, exact_lines, words
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from elbo_lab.plots import (
    latent_grid,
    learning,
    new_figure,
    plot_climb,
    plot_distance_to_maximum,
    plot_gap,
    plot_images,
    plot_interpolation,
    plot_latent_plane,
    plot_learning_curves,
    plot_manifold,
    plot_mixture,
    plot_reconstructions,
    plot_sample_scatter,
    plot_staircase,
    plot_surprisal,
    plot_surprisal_and_gap,
    plot_traversals,
)
from elbo_lab.plots.history import BOUND_COLOR, Q_STEP_COLOR, THETA_STEP_COLOR, lower_limit
from elbo_lab.plots.images import even_places, montage
from elbo_lab.plots.points import CLASS_COLORS, ellipse

# -- synthetic histories ---------------------------------------------------------------------------


def em_rows(n=20, rate=0.6, maximum=-1000.0, first=200.0):
    """Rows of EM that converges linearly; the M-step lifts the bound by 7/10 of the rise of log p."""
    evidence = [maximum - first * rate**i for i in range(n + 1)]
    rows = [{"iteration": 0, "log_likelihood": evidence[0]}]
    for i in range(1, n + 1):
        after_m = evidence[i - 1] + 0.7 * (evidence[i] - evidence[i - 1])
        row = {"elbo_after_e": evidence[i - 1], "elbo_after_m": after_m, "log_likelihood": evidence[i]}
        rows.append({"iteration": i, **row})
    return rows


def gap_keys(log_p, kl):
    return {"log_p": log_p, "elbo_exact": log_p - kl, "kl": kl}


def training_rows(epochs=30, start_gap=4000.0):
    """Rows of joint training whose start lies far below all that follows."""
    rows = [{"epoch": 0, "step": 0, "phase": "start", **gap_keys(-60.0, start_gap)}]
    for e in range(1, epochs + 1):
        log_p, kl = -40 - 20 * np.exp(-e / 8), 3 + 10 * np.exp(-e / 3)
        row = {"epoch": e, "step": 10 * e, "phase": "joint", "elbo": log_p - kl - 0.5, "learning_rate": 1e-3}
        rows.append({**row, "elbo_validation": log_p - kl - 1.0, **gap_keys(log_p, kl)})
    return rows


def alternating_rows(epochs=8):
    """Rows of alternating training with one batch per epoch: phi-steps leave log p where it is."""
    log_p, rows = -60.0, [{"epoch": 0, "step": 0, "phase": "start", **gap_keys(-60.0, 9.0)}]
    for e in range(1, epochs + 1):
        close = 2 * np.exp(-e / 4) + 0.05
        rows.append({"epoch": e, "step": 6 * e - 1, "phase": "phi", "elbo": -50.0, **gap_keys(log_p, close)})
        log_p = -40 - 20 * np.exp(-e / 4)
        kl = close + 3 * np.exp(-e / 5)
        rows.append({"epoch": e, "step": 6 * e, "phase": "theta", "elbo": -50.0, **gap_keys(log_p, kl)})
    return rows


def cycle_rows(epochs=8, every=1):
    """Rows of alternating training with many minibatches per epoch: other steps lie before every cycle."""
    rows = [{"epoch": 0, "step": 0, "phase": "start", **gap_keys(-60.0, 9.0)}]
    for e in range(every, every * epochs + 1, every):
        log_p = -40 - 20 * np.exp(-e / 4)
        for phase, gained, kl in (("before", 0.0, 3.0), ("phi", 0.0, 2.0), ("theta", 0.1, 2.5)):
            exact = gap_keys(log_p + gained, kl)
            rows.append({"epoch": e, "step": 60 * e, "phase": phase, "elbo": -50.0, **exact})
    return rows


def gradient_rows(epochs=12, n_data=100):
    """Rows of gradient ascent on log p: a mean over the epoch per datum, and the exact total."""
    rows = [{"epoch": 0, "step": 0, "phase": "start", "log_likelihood": -7.0 * n_data}]
    for e in range(1, epochs + 1):
        value = -4 - 3 * np.exp(-e / 4)
        row = {"epoch": e, "step": e, "phase": "joint", "log_p": value - 0.1, "learning_rate": 0.1}
        rows.append({**row, "log_likelihood": n_data * value})
    return rows


def pictures(n, height=3, width=2, seed=0):
    return np.random.default_rng(seed).random((n, height * width))


def latent_means(n=300, k=3, seed=1):
    return np.random.default_rng(seed).standard_normal((n, k))


REACHED = {"reached": {"training rows": (-45.0, -43.0), "held-out rows": (-46.5, -44.0)}, "kept": 22}

DESCRIBED = {
    "weights": np.array([0.25, 0.75]),
    "means": np.array([[0.0, 1.0, 5.0], [4.0, -2.0, 7.0]]),
    "covariances": np.array([np.diag([4.0, 1.0, 9.0]), [[2.0, 1.2, 0.5], [1.2, 1.0, 0.1], [0.5, 0.1, 3.0]]]),
}


def labels_of(place):
    legend = place.get_legend() if isinstance(place, Axes) else place.legends[0]
    return [text.get_text() for text in legend.get_texts()]


def line_called(place, start):
    axes = [place] if isinstance(place, Axes) else place.axes
    (line,) = (line for ax in axes for line in ax.lines if line.get_label().startswith(start))
    return line


def with_gid(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


# -- learning curves -------------------------------------------------------------------------------


def test_every_recorded_curve_is_drawn_against_the_epoch_with_its_unit():
    rows = training_rows()
    figure = plot_learning_curves(rows)
    for start, key in (
        ("ELBO, training", "elbo"),
        ("ELBO, validation", "elbo_validation"),
        ("exact ELBO", "elbo_exact"),
        ("exact log p", "log_p"),
    ):
        line = line_called(figure, start)
        kept = [row for row in rows if key in row]
        assert list(line.get_xdata()) == [row["epoch"] for row in kept]
        assert list(line.get_ydata()) == [row[key] for row in kept]
        assert line.axes.get_ylabel().endswith("nats per datum")
    assert figure.axes[-1].get_xlabel() == "epoch"
    assert figure.axes[-1].get_ylabel() == "log p and its bound,\nnats per datum"
    assert exact_lines(figure.axes[-1]) == [line_called(figure, "exact log p")]
    assert len(labels_of(figure)) == 4


MEANS = {
    "ELBO, training": "over the epoch",
    "log p, training": "over the epoch",
    "ELBO, validation": "over the watched rows",
    "exact ELBO": "over the gap rows",
    "exact log p, the same gap rows": "over the gap rows",
    "ELBO after the M-step": "over all rows",
    "exact log p, all": "over all rows",
}
HISTORIES = [training_rows(), alternating_rows(), cycle_rows(), gradient_rows(), em_rows()]


def check_panels(rows):
    easier = [row | {"elbo": row["elbo"] + 30.0} if "elbo" in row else row for row in rows]
    for ax in plot_learning_curves(easier, n_data=100).axes:
        lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
        assert len({mean for label in lines for start, mean in MEANS.items() if label.startswith(start)}) == 1
        if len(lines) == 2:
            bound, exact = (np.array(lines[label].get_xydata()) for label in sorted(lines))
            log_p = dict(exact)
            assert all(value <= log_p[time] for time, value in bound)


@pytest.mark.parametrize("rows", HISTORIES, ids=range(len(HISTORIES)))
def test_lines_of_one_panel_are_means_over_the_same_rows_at_the_same_parameters(rows):
    """So no bound lies above the log p of its panel, though it lies above that of other rows."""
    check_panels(rows)


@pytest.mark.parametrize("rows", HISTORIES[:4], ids=range(4))
def test_a_panel_of_different_means_is_caught(rows, monkeypatch):
    monkeypatch.setattr(learning, "PANELS", (tuple(learning.LOOKS),))
    with pytest.raises(AssertionError):
        check_panels(rows)


def test_a_start_far_below_does_not_squash_the_rest_and_is_counted():
    figure = plot_learning_curves(training_rows())
    ax = figure.axes[-1]
    low, high = ax.get_ylim()
    # The start is at -4060, all else between -75 and -40.
    assert -90 < low < -60 and -40 < high < -35
    (marks,) = with_gid(ax, "cut")
    assert list(marks.get_xdata()) == [0.0]
    assert any("1 point below the axis, down to −4060" in text for text in words(figure))


def test_nothing_is_cut_away_where_everything_fits():
    for rows in (em_rows(), gradient_rows(), training_rows(start_gap=20.0)):
        for ax in plot_learning_curves(rows, n_data=100).axes:
            low, high = ax.get_ylim()
            assert all(low < y < high for line in ax.lines for y in line.get_ydata())
            assert not with_gid(ax, "cut")


def test_a_later_fall_of_the_validation_bound_is_not_cut_away():
    rows = training_rows(60)
    for row in rows[30:]:
        row["elbo_validation"] -= 30.0
    ax = line_called(plot_learning_curves(rows), "ELBO, validation").axes
    assert ax.get_ylim()[0] < min(row["elbo_validation"] for row in rows[30:])


@pytest.mark.parametrize("rows", [alternating_rows(8), cycle_rows(8)], ids=["one minibatch", "many"])
def test_rows_within_a_cycle_do_not_multiply_the_points_of_a_learning_curve(rows):
    figure = plot_learning_curves(rows)
    assert list(line_called(figure, "ELBO, training").get_xdata()) == list(range(1, 9))
    exact = line_called(figure, "exact log p")
    assert list(exact.get_xdata()) == list(range(9))
    assert list(exact.get_ydata()) == [row["log_p"] for row in rows if row["phase"] in ("start", "theta")]


def test_em_rows_show_the_bound_below_the_exact_log_p_in_totals_or_per_datum():
    rows = em_rows(10)
    (ax,) = plot_learning_curves(rows).axes
    assert ax.get_xlabel() == "EM iteration" and ax.get_ylabel().endswith("nats, total")
    (exact,) = exact_lines(ax)
    assert list(exact.get_ydata()) == [row["log_likelihood"] for row in rows]
    (ax,) = plot_learning_curves(rows, n_data=50).axes
    assert ax.get_ylabel().endswith("nats per datum")
    (exact,) = exact_lines(ax)
    assert exact.get_ydata() == pytest.approx([row["log_likelihood"] / 50 for row in rows])
    bound = line_called(ax, "ELBO after the M-step")
    assert list(bound.get_xdata()) == list(range(1, 11))
    assert (bound.get_ydata() < exact.get_ydata()[1:]).all()


def test_gradient_rows_show_a_running_mean_that_is_not_taken_for_the_exact_value():
    figure = plot_learning_curves(gradient_rows(), n_data=100)
    (exact,) = exact_lines(figure.axes[1])
    assert exact.get_label() == "exact log p, all training rows" and exact.get_ydata()[0] == pytest.approx(
        -7.0
    )
    mean = line_called(figure, "log p, training rows, mean over the epoch")
    assert mean.get_linestyle() == "-" and len(mean.get_xdata()) == 12
    assert {ax.get_ylabel() for ax in figure.axes} == {"log p,\nnats per datum"}


def test_missing_and_infinite_values_leave_no_holes_in_a_curve():
    rows = training_rows(6)
    rows[2]["elbo"], rows[3]["elbo"], rows[4]["elbo"] = None, float("nan"), float("-inf")
    line = line_called(plot_learning_curves(rows), "ELBO, training")
    assert list(line.get_xdata()) == [1, 5, 6] and np.isfinite(line.get_ydata()).all()


# -- staircase -------------------------------------------------------------------------------------


def test_an_e_step_lifts_the_bound_to_log_p_and_an_m_step_leaves_a_gap():
    rows = em_rows(5)
    ax = plot_staircase(rows)
    evidence = [row["log_likelihood"] for row in rows]
    e_steps, m_steps = with_gid(ax, "e-step"), with_gid(ax, "m-step")
    assert len(e_steps) == len(m_steps) == 5
    for i, (e_step, m_step) in enumerate(zip(e_steps, m_steps, strict=True), start=1):
        assert set(e_step.get_xdata()) == {i - 0.5} and set(m_step.get_xdata()) == {i}
        assert e_step.get_ydata()[-1] == evidence[i - 1]
        assert list(m_step.get_ydata()) == [rows[i]["elbo_after_e"], rows[i]["elbo_after_m"]]
        assert to_hex(e_step.get_color()) == Q_STEP_COLOR.lower()
        assert to_hex(m_step.get_color()) == THETA_STEP_COLOR.lower()
    # A riser starts where the M-step before has ended; the first E-step has a place and no riser.
    assert [line.get_ydata()[0] for line in e_steps[1:]] == [row["elbo_after_m"] for row in rows[1:-1]]
    assert len(e_steps[0].get_xdata()) == 1
    assert len(ax.collections) == 5


def test_log_p_moves_at_whole_iterations_only():
    rows = em_rows(4)
    (exact,) = exact_lines(plot_staircase(rows))
    assert exact.get_drawstyle() == "steps-post"
    assert list(exact.get_xdata()) == [0, 1, 2, 3, 4, 4.5]
    assert list(exact.get_ydata())[:5] == [row["log_likelihood"] for row in rows]


def test_an_e_step_that_misses_log_p_is_seen():
    rows = em_rows(3)
    rows[2]["elbo_after_e"] -= 25.0
    assert with_gid(plot_staircase(rows), "e-step")[1].get_ydata()[-1] == rows[1]["log_likelihood"] - 25.0


@pytest.mark.parametrize(
    ("first", "count", "shown"), [(1, 12, range(13)), (1, 3, range(4)), (5, 2, range(4, 7))]
)
def test_the_staircase_shows_the_iterations_asked_for(first, count, shown):
    ax = plot_staircase(em_rows(40), first=first, iterations=count)
    (points,) = (line for line in ax.lines if line.get_marker() == "o")
    assert list(points.get_xdata()) == list(shown)
    low, high = ax.get_ylim()
    assert all(low < y < high for line in ax.lines for y in line.get_ydata())


def test_the_staircase_per_datum_is_the_total_divided():
    rows = em_rows(3)
    whole, share = (plot_staircase(rows, n_data=n) for n in (None, 50))
    assert exact_lines(share)[0].get_ydata() == pytest.approx(exact_lines(whole)[0].get_ydata() / 50)
    assert whole.get_ylabel().endswith("total") and share.get_ylabel().endswith("per datum")


def test_linear_convergence_is_a_straight_line_on_the_logarithmic_axis():
    rows = em_rows(30, rate=0.5)
    ax = plot_distance_to_maximum(rows, maximum=-1000.0)
    assert ax.get_yscale() == "log" and "below the maximum" in ax.get_ylabel()
    (exact,) = exact_lines(ax)
    assert np.diff(np.log(exact.get_ydata())) == pytest.approx(np.log(0.5), abs=1e-3)
    bound = line_called(ax, "bound after the M-step")
    assert (bound.get_ydata() > exact.get_ydata()[1:]).all()


def test_distances_of_rounding_are_left_away_and_the_figure_says_so():
    ax = plot_distance_to_maximum(em_rows(90, rate=0.5))
    (exact,) = exact_lines(ax)
    assert 40 < exact.get_xdata()[-1] < 60 and (exact.get_ydata() > 1e-12).all()
    assert ax.get_xlim()[1] < 70
    assert any("of 90 on: no more than rounding" in text for text in words(ax.figure))


# -- surprisal and gap -----------------------------------------------------------------------------


def test_phi_steps_leave_s_where_it_is_and_theta_steps_lower_it():
    rows = alternating_rows()
    ax = plot_surprisal(rows)
    (s,) = exact_lines(ax)
    assert s.get_ydata() == pytest.approx([-row["log_p"] for row in rows])
    assert list(s.get_xdata()[:5]) == [0, 0.5, 1, 1.5, 2]
    phi = np.arange(1, len(rows), 2)
    assert (s.get_ydata()[phi] == s.get_ydata()[phi - 1]).all()
    assert (s.get_ydata()[phi + 1] < s.get_ydata()[phi]).all()
    for name, color in (("phi", Q_STEP_COLOR), ("theta", THETA_STEP_COLOR)):
        on_s, on_u = with_gid(ax, name)
        kept = [row for row in rows if row["phase"] == name]
        assert on_s.get_ydata() == pytest.approx([-row["log_p"] for row in kept])
        assert on_u.get_ydata() == pytest.approx([-row["elbo_exact"] for row in kept])
        assert to_hex(on_s.get_color()) == to_hex(on_u.get_color()) == color.lower()
    assert len(ax.collections) == 1
    assert {"after φ-steps (they move the bound only)", "U = -ELBO"} <= set(labels_of(ax))


@pytest.mark.parametrize("every", [1, 10])
def test_a_cycle_among_many_minibatches_is_drawn_wide_and_the_axis_says_so(every):
    rows = cycle_rows(3, every)
    ax = plot_surprisal(rows)
    (s,) = exact_lines(ax)
    places = np.array([0, *(e + share for e in range(3) for share in (1 / 3, 2 / 3, 1))])
    assert s.get_xdata() == pytest.approx(every * places)
    assert (
        "drawn wide" in ax.get_xlabel()
        and "drawn wide" not in plot_surprisal(alternating_rows()).get_xlabel()
    )
    assert any("before φ-steps" in label for label in labels_of(ax))
    before, after = (with_gid(ax, phase)[0].get_ydata() for phase in ("before", "phi"))
    assert np.array_equal(before, after)  # S stands still


def test_bits_are_nats_divided_by_log_two():
    rows = alternating_rows()
    for plot in (plot_surprisal, plot_gap):
        nats, bits = (plot(rows, unit=unit) for unit in ("nats", "bits"))
        for in_nats, in_bits in zip(nats.lines, bits.lines, strict=True):
            assert in_bits.get_ydata() * np.log(2) == pytest.approx(in_nats.get_ydata())
        assert "bits per datum" in bits.get_ylabel() and "nats per datum" in nats.get_ylabel()


@pytest.mark.parametrize("epochs", [8, 100])
def test_the_gap_has_a_series_per_phase_on_a_logarithmic_axis(epochs):
    rows = alternating_rows(epochs)
    ax = plot_gap(rows)
    assert ax.get_yscale() == "log"
    for name in ("start", "phi", "theta"):
        (line,) = with_gid(ax, name)
        assert line.get_ydata() == pytest.approx([row["kl"] for row in rows if row["phase"] == name])
    # Hundreds of turns would be a solid band: many rows are two lines, few are markers.
    assert with_gid(ax, "phi")[0].get_linestyle() == ("-" if epochs == 100 else "None")
    (start,) = with_gid(ax, "start")
    assert start.get_marker() == "D"


def test_a_gap_of_zero_or_of_rounding_has_its_place_at_the_edge():
    rows = alternating_rows(3)
    rows[1] |= {"kl": 0.0}
    rows[3] |= {"kl": -1e-15}
    ax = plot_gap(rows)
    (line,) = with_gid(ax, "phi")
    assert line.get_ydata()[0] == line.get_ydata()[1] == ax.get_yticks()[0]
    assert ax.get_yticklabels()[0].get_text() == "0"
    assert line.get_ydata()[0] < line.get_ydata()[2]


def test_the_gap_is_formed_from_log_p_and_elbo_where_kl_is_not_recorded():
    rows = [{key: value for key, value in row.items() if key != "kl"} for row in alternating_rows(3)]
    (line,) = with_gid(plot_gap(rows), "theta")
    expected = [row["kl"] for row in alternating_rows(3) if row["phase"] == "theta"]
    assert line.get_ydata() == pytest.approx(expected)


def test_a_few_epochs_can_be_shown_alone():
    ax = plot_surprisal(alternating_rows(), epochs=(2, 4))
    assert list(exact_lines(ax)[0].get_xdata()) == [2, 2.5, 3, 3.5, 4]


def test_a_surprisal_far_above_is_cut_above_and_counted():
    ax = plot_surprisal(training_rows())
    assert ax.get_ylim()[1] < 100 and any("1 point above the axis, up to 4060" in t for t in words(ax.figure))


def test_upwards_the_same_curves_have_the_sign_of_log_p():
    down, up = (plot_surprisal(alternating_rows(), upwards=upwards) for upwards in (False, True))
    for below, above in zip(down.lines, up.lines, strict=True):
        assert above.get_ydata() == pytest.approx(-below.get_ydata())
    assert up.get_ylabel().startswith("log p and ELBO") and {"log p(x), exact", "ELBO"} <= set(labels_of(up))
    assert not any("U" in label.split() or "S" in label.split() for label in labels_of(up))


# -- pictures --------------------------------------------------------------------------------------


def sheet_of(ax):
    (image,) = ax.images
    return image.get_array()


def test_pictures_stand_row_by_row_on_one_grey_scale_without_frames():
    x = pictures(5)
    ax = plot_images(x, (3, 2), columns=3)
    sheet = sheet_of(ax)
    assert sheet.shape == (2 * 3 + 1, 3 * 2 + 2)
    for index in range(5):
        top, left = (index // 3) * 4, (index % 3) * 3
        assert (sheet[top : top + 3, left : left + 2] == x[index].reshape(3, 2)).all()
    # What is no picture is no grey: gaps and the sixth place.
    assert sheet.mask[3].all() and sheet.mask[:, 2].all() and sheet.mask[4:, 6:].all()
    (image,) = ax.images
    assert image.get_clim() == (x.min(), x.max()) and image.get_cmap().name == "gray"
    assert not any(spine.get_visible() for spine in ax.spines.values())
    assert not len(ax.get_xticks()) and not len(ax.get_yticks())


@pytest.mark.parametrize(("n", "columns"), [(1, 10), (4, 4), (7, 3)])
def test_each_datum_stands_right_above_its_reconstruction(n, columns):
    x, made = pictures(n), 0.5 * pictures(n, seed=9)
    ax = plot_reconstructions(x, made, (3, 2), columns=columns)
    sheet, ticks = sheet_of(ax), ax.get_yticks()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["data", "reconstruction"] * -(-n // columns)
    for index in range(n):
        line, left = index // columns, (index % columns) * 3
        for rows, middle in ((x, ticks[2 * line]), (made, ticks[2 * line + 1])):
            top = round(middle - 1)
            assert (sheet[top : top + 3, left : left + 2] == rows[index].reshape(3, 2)).all()
    assert ax.images[0].get_clim() == (x.min(), x.max())


def test_an_interpolation_is_a_line_per_way_with_shares_below():
    ways = np.stack([pictures(5), pictures(5, seed=3)])
    ax = plot_interpolation(ways, (3, 2))
    sheet = sheet_of(ax)
    assert sheet.shape == (7, 14)
    assert (sheet[4:7, 12:14] == ways[1, 4].reshape(3, 2)).all()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "0.25", "0.5", "0.75", "1"]
    assert list(ax.get_xticks()) == [0.5, 3.5, 6.5, 9.5, 12.5]
    assert (sheet_of(plot_interpolation(ways[0], (3, 2))) == montage(ways[0].reshape(-1, 3, 2), 5, 1)).any()


def test_a_traversal_is_a_line_per_latent_with_its_values_below():
    lines = np.stack([pictures(5), pictures(5, seed=3), pictures(5, seed=4)])
    ax = plot_traversals(lines, (3, 2), [-2.0, -1.0, 0.0, 1.0, 2.0])
    sheet = sheet_of(ax)
    assert sheet.shape == (11, 14)
    assert (sheet[8:11, 3:5] == lines[2, 1].reshape(3, 2)).all()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["\u22122", "\u22121", "0", "1", "2"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["$z_{1}$", "$z_{2}$", "$z_{3}$"]
    assert list(ax.get_yticks()) == [1.0, 5.0, 9.0]
    named = plot_traversals(lines, (3, 2), np.arange(5), names=["a", "b", "c"])
    assert [text.get_text() for text in named.get_yticklabels()] == ["a", "b", "c"]


def test_samples_and_data_are_told_apart_by_colour_marker_and_name():
    x, samples = latent_means(40), latent_means(25, seed=4)
    ax = plot_sample_scatter(x, samples, ("a", "b", "c"))
    data, drawn = ax.lines
    assert (np.column_stack(data.get_data()) == x[:, :2]).all()
    assert (np.column_stack(drawn.get_data()) == samples[:, :2]).all()
    assert data.get_color() != drawn.get_color() and data.get_marker() != drawn.get_marker()
    assert labels_of(ax) == ["data (40)", "samples of the model (25)"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")


def test_a_single_column_is_a_histogram_of_density():
    ax = plot_sample_scatter(latent_means(200, 1), latent_means(50, 1, seed=4))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 0", "density")
    for patch in ax.patches:
        x, y = patch.get_xy().T
        # The outline of a histogram of density encloses the area one.
        assert np.sum(np.diff(x) * y[1:]) == pytest.approx(1.0)
    assert len(ax.patches) == 2
    words(plot_sample_scatter([[1.0]], [[1.0]]).figure)


# -- latent plane ----------------------------------------------------------------------------------


@pytest.mark.parametrize("vision", VISION)
def test_ten_classes_are_told_apart_by_colour(vision):
    assert len(CLASS_COLORS) == 10
    for first, second in combinations(CLASS_COLORS, 2):
        assert apart(first, second, vision) > 15, (first, second)


def test_each_class_has_its_colour_its_points_and_its_name():
    means, labels = latent_means(), np.arange(300) % 10
    ax = plot_latent_plane(means, labels)
    assert len({to_hex(line.get_color()) for line in ax.lines}) == len(
        {line.get_marker() for line in ax.lines}
    )
    for line, digit in zip(ax.lines, range(10), strict=True):
        assert (np.column_stack(line.get_data()) == means[labels == digit, :2]).all()
        (text,) = (text for text in ax.texts if text.get_text() == str(digit))
        assert to_hex(text.get_color()) == to_hex(line.get_color())


def test_the_name_of_a_class_of_two_parts_stands_on_one_of_them():
    noise = 0.2 * latent_means(90, 2)
    centres = np.repeat([[-2.0, 0.0], [2.0, 0.0], [0.0, 0.0]], 30, axis=0)
    ax = plot_latent_plane(centres + noise, np.repeat(["two parts", "two parts", "between"], 30))
    places = {text.get_text(): text.get_position() for text in ax.texts}
    assert abs(abs(places["two parts"][0]) - 2) < 0.3 and abs(places["two parts"][1]) < 0.3
    assert np.abs(places["between"]).max() < 0.3


def test_many_classes_repeat_no_pair_of_colour_and_marker():
    ax = plot_latent_plane(latent_means(50), np.arange(50) % 25)
    assert len({(to_hex(line.get_color()), line.get_marker()) for line in ax.lines}) == 25


def test_the_plane_shows_the_priors_circles_and_equal_scales():
    ax = plot_latent_plane(0.1 * latent_means(), coordinates=(2, 0))
    assert [patch.get_radius() for patch in ax.patches] == [1, 2]
    assert ax.get_aspect() == 1
    assert min(*ax.get_xlim(), *ax.get_ylim()) < -2 and max(*ax.get_xlim(), *ax.get_ylim()) > 2
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("posterior mean of z[2]", "posterior mean of z[0]")
    assert any(text.startswith("circles: prior") for text in words(ax.figure))


def test_the_grid_of_the_plane_cuts_the_prior_into_equal_parts():
    from scipy.stats import norm

    grid = latent_grid(4).reshape(4, 4, 2)
    assert norm.cdf(grid[0, :, 0]) == pytest.approx([0.125, 0.375, 0.625, 0.875])
    assert (np.diff(grid[..., 0], axis=1) > 0).all() and (np.diff(grid[..., 1], axis=0) < 0).all()


def test_the_manifold_has_every_picture_where_its_z_is():
    z = latent_grid(3)
    x = z @ np.array([[1.0, 0, 0, 0], [0, 10.0, 0, 0]])
    ax = plot_manifold(x, (2, 2), 3)
    sheet = sheet_of(ax)
    for k, place in enumerate(ax.get_xticks()):
        for m, height in enumerate(ax.get_yticks()):
            left, top = round(place - 0.5), round(height - 0.5)
            across, up = sheet[top, left], sheet[top, left + 1] / 10
            assert across == pytest.approx(
                float(ax.get_xticklabels()[k].get_text().replace("−", "-")), abs=6e-3
            )
            assert up == pytest.approx(float(ax.get_yticklabels()[m].get_text().replace("−", "-")), abs=6e-3)


# -- mixture ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("component", [0, 1])
def test_an_ellipse_is_where_the_mahalanobis_distance_is_its_radius(component, radius):
    mean, covariance = (DESCRIBED[key][component] for key in ("means", "covariances"))
    offset = ellipse(mean[:2], covariance[:2, :2], radius).T - mean[:2]
    distance = np.sqrt(np.einsum("nd,de,ne->n", offset, np.linalg.inv(covariance[:2, :2]), offset))
    assert distance == pytest.approx(radius)


def test_each_component_has_two_ellipses_of_its_marginal_and_its_weight():
    x = latent_means(60)
    ax = plot_mixture(x, DESCRIBED, names=("u", "v", "w"))
    assert (np.column_stack(ax.lines[0].get_data()) == x[:, :2]).all()
    for index, (weight, mean) in enumerate(zip(("0.25", "0.75"), DESCRIBED["means"], strict=True)):
        inner, outer = with_gid(ax, f"component-{index}")
        assert (np.column_stack(inner.get_data()) - mean[:2]) * 2 == pytest.approx(
            np.column_stack(outer.get_data()) - mean[:2]
        )
        (text,) = (text for text in ax.texts if text.get_text() == weight)
        assert text.get_position() == tuple(mean[:2])
    assert any("2 sd of the marginal" in text for text in words(ax.figure))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("u", "v")


def test_a_component_without_width_is_a_line_and_no_warning():
    # As rounding may leave it: an eigenvalue of zero that is -5e-15.
    covariance = [[1.0, 1.0], [1.0, 1.0 - 1e-14]]
    ax = plot_mixture(
        latent_means(5, 2), {"weights": [1.0], "means": [[0.0, 0.0]], "covariances": [covariance]}
    )
    x, y = with_gid(ax, "component-0")[0].get_data()
    assert x == pytest.approx(y, abs=1e-7) and x.max() == pytest.approx(1.0, abs=1e-3)


# -- what cannot be drawn --------------------------------------------------------------------------

NAN_WEIGHT = {**DESCRIBED, "weights": np.array([np.nan, 1.0])}
WARM = [{"epoch": 1, "phase": "warm", **gap_keys(-1.0, 0.5)}]
BAD_INPUT = [
    (plot_learning_curves, ([],), "history: expected at least one row"),
    (plot_learning_curves, ([{"epoch": 0, "elbo": np.nan}],), "expected a finite value of one of elbo"),
    (plot_learning_curves, ([{"elbo": 1.0}],), "'epoch' or 'iteration', got keys elbo"),
    (plot_learning_curves, ([{"epoch": 1, "elbo": "high"}],), r"\['elbo'\]: expected a number, got 'high'"),
    (plot_learning_curves, (gradient_rows(),), "n_data.*log_likelihood is a total of, got None"),
    (partial(plot_staircase, first=6), (em_rows(5),), "first: expected one of the 5 iterations, got 6"),
    (plot_staircase, (em_rows(5)[:3:2],), "consecutive EM iterations"),
    (plot_staircase, (training_rows(),), "finite log_likelihood in every row"),
    (partial(plot_distance_to_maximum, maximum=-1001.0), (em_rows(40),), "a number not below -1000"),
    (partial(plot_gap, unit="dits"), (alternating_rows(),), "expected one of nats, bits, got 'dits'"),
    (partial(plot_surprisal, epochs=(20, 30)), (alternating_rows(),), "in epochs 20 to 30, got none"),
    (plot_surprisal_and_gap, (gradient_rows(),), "rows with epoch, log_p and elbo_exact, got none"),
    (plot_gap, (WARM,), "phase: expected one of start, before, phi, theta, joint, got 'warm'"),
    (plot_images, (pictures(2), (3, 3)), "expected 9 columns for pictures of 3 x 3, got 6 columns"),
    (plot_images, (np.full((1, 6), np.nan), (3, 2)), "images: expected finite numbers"),
    (partial(plot_images, limits=(1, 0)), (pictures(2), (3, 2)), "limits: expected two finite numbers"),
    (plot_reconstructions, (pictures(4), pictures(3), (3, 2)), "expected 4 rows, as x has, got 3 rows"),
    (plot_interpolation, (np.zeros(6), (3, 2)), r"shape \(n, D\) or \(pairs, n, D\)"),
    (plot_traversals, (np.zeros((2, 6)), (3, 2), [0, 1]), r"shape \(K, n, D\), got shape \(2, 6\)"),
    (plot_traversals, (np.zeros((1, 2, 6)), (3, 2), [0]), "values: expected a number for each of 2 pictures"),
    (
        partial(plot_traversals, names=["a", "b"]),
        (np.zeros((1, 2, 6)), (3, 2), [0, 1]),
        "names: expected a word for each of 1 latents, got 2 words",
    ),
    (plot_manifold, (pictures(8), (3, 2), 3), "9 rows for a grid of 3 x 3, got 8 rows"),
    (plot_sample_scatter, (latent_means(), latent_means()[:, :2]), "expected 3 columns, got 2 columns"),
    (plot_sample_scatter, (latent_means(), latent_means(), ["a"]), "expected 3 names, got 1 names"),
    (plot_latent_plane, (latent_means(k=1),), r"at least two latent coordinates.*\(300, 1\)"),
    (plot_latent_plane, (latent_means(), [0, 1]), r"labels: expected shape \(300,\), got shape \(2,\)"),
    (partial(plot_latent_plane, coordinates=(0, 3)), (latent_means(),), "two different numbers below 3, got"),
    (plot_mixture, (latent_means(5, 2), DESCRIBED), r"'means'.*shape \(2, 2\), got shape \(2, 3\)"),
    (plot_mixture, (latent_means(5, 1), DESCRIBED), "at least two columns"),
    (plot_mixture, (latent_means(5, 3), NAN_WEIGHT), r"described\['weights'\].*not finite"),
]


@pytest.mark.parametrize(("plot", "given", "message"), BAD_INPUT)
def test_what_cannot_be_drawn_is_refused(plot, given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        plot(*given)


# -- every figure ----------------------------------------------------------------------------------

LONG = "deep Bernoulli on digits (gray), seed 0: the decoded plane"
FIGURES = {
    "learning": lambda: plot_learning_curves(training_rows(), title="a model on data"),
    "learning-em": lambda: plot_learning_curves(em_rows(), n_data=10),
    "staircase": lambda: plot_staircase(em_rows(), title="EM").figure,
    "climb": lambda: plot_climb(em_rows(7), title="How?\nEM"),
    "reached": lambda: plot_learning_curves(training_rows(), title="How?\nVAE", **REACHED),
    "distance": lambda: plot_distance_to_maximum(em_rows(90), title="EM").figure,
    "gap": lambda: plot_surprisal_and_gap(alternating_rows(), title="alternating"),
    "surprisal": lambda: plot_surprisal(training_rows(60)).figure,
    "gap-alone": lambda: plot_gap(alternating_rows(60)).figure,
    "images": lambda: plot_images(pictures(12), (3, 2), title="pictures").figure,
    "reconstructions": lambda: plot_reconstructions(pictures(12), pictures(12), (3, 2)).figure,
    "interpolation": lambda: plot_interpolation(pictures(6), (3, 2), title="a way").figure,
    "traversals": lambda: plot_traversals(pictures(6)[None], (3, 2), np.arange(6), title=LONG).figure,
    "scatter": lambda: plot_sample_scatter(latent_means(), latent_means(seed=2)).figure,
    "plane": lambda: plot_latent_plane(latent_means(), np.arange(300) % 10, title="plane").figure,
    "plane-of-many": lambda: plot_latent_plane(latent_means(k=12), title=LONG).figure,
    "manifold": lambda: plot_manifold(pictures(9), (3, 2), 3, title="manifold").figure,
    "manifold-long": lambda: plot_manifold(pictures(100, 8, 8), (8, 8), 10, title=LONG).figure,
    "mixture": lambda: plot_mixture(latent_means(), DESCRIBED, title="mixture").figure,
}

SINGLE = {
    "staircase": lambda ax: plot_staircase(em_rows()[:1], ax),
    "distance": lambda ax: plot_distance_to_maximum(em_rows()[:1], ax),
    "surprisal": lambda ax: plot_surprisal(training_rows()[:1], ax),
    "gap": lambda ax: plot_gap(training_rows()[:1], ax),
    "images": lambda ax: plot_images(pictures(1), (3, 2), ax),
    "reconstructions": lambda ax: plot_reconstructions(pictures(1), pictures(1), (3, 2), ax),
    "interpolation": lambda ax: plot_interpolation(pictures(1), (3, 2), ax),
    "traversals": lambda ax: plot_traversals(pictures(1)[None], (3, 2), [0.0], ax),
    "scatter": lambda ax: plot_sample_scatter(latent_means(1), latent_means(1), ax=ax),
    "plane": lambda ax: plot_latent_plane(latent_means(1), [7], ax),
    "manifold": lambda ax: plot_manifold(pictures(1), (3, 2), 1, ax),
    "mixture": lambda ax: plot_mixture(latent_means(1), DESCRIBED, ax),
}


def test_learning_curves_of_a_single_row_are_points_in_the_figure_that_was_given():
    figure = new_figure(4).subfigures(1, 2)[0]
    for rows in (training_rows()[:1], em_rows()[:1]):
        assert plot_learning_curves(rows, figure) is figure
        assert all(line.get_marker() != "None" for ax in figure.axes for line in ax.lines)


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_row_makes_a_figure_on_the_axes_that_were_given(name):
    ax = new_figure(4).subplots()
    assert SINGLE[name](ax) is ax
    words(ax.figure)
    for line in ax.lines:
        assert np.isfinite(np.asarray(line.get_xydata(), dtype=float)).all()
    assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()


def test_rows_are_not_changed_by_drawing():
    rows, again = alternating_rows(), alternating_rows()
    plot_learning_curves(rows)
    plot_surprisal_and_gap(rows, unit="bits")
    assert rows == again


@pytest.mark.parametrize("vision", VISION)
def test_bound_q_steps_and_theta_steps_are_told_apart_by_colour(vision):
    for first, second in combinations((BOUND_COLOR, Q_STEP_COLOR, THETA_STEP_COLOR), 2):
        assert apart(first, second, vision) > 30


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_only_a_tail_that_is_worth_it_is_cut(offset):
    bulk = offset + np.linspace(-1.0, 0.0, 100)
    assert lower_limit([bulk]) == bulk.min()
    assert lower_limit([np.append(bulk, offset - 100.0)]) > offset - 2.0
    # Three points are no bulk, a constant has no scale, and a curve that is low as a whole stays.
    assert lower_limit([offset + np.array([-100.0, -1.0, 0.0])]) == offset - 100.0
    assert lower_limit([offset + np.append(np.zeros(50), -100.0)]) == offset - 100.0
    assert lower_limit([bulk, bulk - 100.0]) == (bulk - 100.0).min()


def test_the_note_names_black_and_white_and_what_lies_beyond():
    def note(x, **options):
        return [text for text in words(plot_images(x, (3, 2), **options).figure) if "black" in text]

    x = np.linspace(-2, 16, 12).reshape(2, 6)
    assert note(x) == ["black −2, white 16"]
    assert note(x, limits=(0, 16)) == ["black 0, white 16 and beyond"]
    assert note(np.full((1, 6), 3.0)) == ["black 2.5, white 3.5"]
    # To three digits of the range: no digits of a rounding, and none lost far from zero.
    for limits, expected in (
        ((-6.52e-6, 0.99996), "black 0, white 1"),
        ((1e6, 1e6 + 2.5), "black 1000000, white 1000002.5"),
    ):
        assert note(np.full((1, 6), limits[0]), limits=limits) == [expected]


def test_a_sampled_log_p_below_the_bound_is_drawn_where_it_is_and_the_legend_says_why():
    figure = plot_learning_curves(training_rows(), reached={"training rows": (-43.0, -43.25)})
    told = words(figure)
    assert "\u22120.25" in told and "their gap, nats per datum: below 0 by the noise of sampling" in told
    (log_p,) = exact_lines(figure.axes[-1])
    assert set(log_p.get_ydata()) == {-43.25}


def test_what_was_reached_stands_beside_the_curves_with_its_gap_and_the_epoch_kept():
    figure = plot_learning_curves(training_rows(), **REACHED)
    *curves, end = figure.axes
    assert end.get_title("left") == "at the end"
    assert [text.get_text() for text in end.texts] == ["2", "2.5"]
    assert [line.get_ydata()[0] for line in exact_lines(end)] == [-43.0, -44.0]
    assert "kept by early stopping: epoch 22" in labels_of(figure)
    assert all(any(list(line.get_xdata()) == [22, 22] for line in ax.lines) for ax in curves)


def test_every_iteration_of_em_is_seen_in_the_climb():
    above, below = plot_climb(em_rows(7)).axes
    assert above.get_xlim() == below.get_xlim()
    bound = line_called(below, "bound after the M-step")
    assert list(bound.get_xdata()) == list(range(1, 8))


@pytest.mark.parametrize(("n", "places"), [(12, [0, 4, 7, 11]), (9, [0, 2, 4, 6, 8]), (2, [0, 1]), (1, [0])])
def test_some_places_inside_of_a_grid_are_named_too(n, places):
    assert even_places(n) == places
