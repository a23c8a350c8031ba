"""What the tests of figures share: words, marks and colours, and the claims that hold for every figure."""

from itertools import combinations

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb

from elbo_lab.plots import estimator_style

# Machado, Oliveira and Fernandes (2009), full severity, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def lab(color, vision):
    """Return CIE Lab (D65) of a colour as an eye sees it."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(VISION[vision] @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / to_xyz.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(first, second, vision):
    """Return the distance in CIE Lab of two colours as an eye sees them."""
    return np.linalg.norm(lab(first, vision) - lab(second, vision))


def words(figure):
    """Return every text of a figure that has been laid out."""
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def exact_lines(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--" and line.get_color() == "black"]


def markers(ax, name):
    """Return the lines of an axes that carry the marker and colour of an estimator."""
    style = estimator_style(name)
    return [
        line
        for line in ax.lines
        if line.get_marker() == style.marker and to_hex(line.get_color()) == style.color.lower()
    ]


def tick_labels(axis):
    """Return the labels of an axis that are drawn: those beyond its limits exist, but are not."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    shown = [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
    return [label for label in shown if label.get_visible() and label.get_text().strip()]


def frame(text):
    """Return the box of a text, a little smaller than its letters' greatest height."""
    return text.get_window_extent().shrunk(0.96, 0.8)


def check_inside(figure, text):
    """Hold that a text is not cut off by the edge of the figure."""
    place = text.get_window_extent()
    assert figure.bbox.x0 <= place.x0 and place.x1 <= figure.bbox.x1, text.get_text()
    assert figure.bbox.y0 - 1 <= place.y0 and place.y1 <= figure.bbox.y1 + 1, text.get_text()


def check_apart(texts):
    """Hold that no two texts overlap."""
    boxes = [(frame(text), text.get_text()) for text in texts]
    for (one, first), (other, second) in combinations(boxes, 2):
        assert not one.overlaps(other), (first, second)


def check_panel(figure, ax):
    """Hold that a panel shows something, and that its tick labels are whole and apart."""
    drawn = [line for line in ax.lines if np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any()]
    assert drawn or ax.images or ax.patches or any(len(part.get_paths()) for part in ax.collections)
    across, along = tick_labels(ax.xaxis), tick_labels(ax.yaxis)
    for label in (*across, *along):
        check_inside(figure, label)
    check_apart([*across, *along])


def check_text(figure):
    """Hold that no text is cut off or lies on another, no legend on data, and that no panel is empty."""
    figure.draw_without_rendering()
    ticks = [text for ax in figure.axes for text in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_text().strip() and text.get_visible() and text not in ticks:
            check_inside(figure, text)
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()] + figure.legends
    for legend in legends:
        assert not any(legend.get_window_extent().overlaps(ax.get_window_extent()) for ax in figure.axes)
    around = [text for ax in figure.axes for text in (ax._left_title, ax.xaxis.label, ax.yaxis.label)]
    around += [
        text for ax in figure.axes for text in ax.texts if text.get_ha() == "right" and not text.get_clip_on()
    ]
    around += [text for legend in legends for text in legend.get_texts()] + list(figure.texts)
    around += [label for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for label in tick_labels(axis)]
    check_apart([text for text in around if text.get_text().strip() and text.get_visible()])
    for ax in figure.axes:
        check_panel(figure, ax)


def pixels(draw):
    """Return the drawing of a figure, small, as an array (height, width, 4)."""
    figure = draw()
    figure.set_dpi(50)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def check_theme(draw):
    """Hold that a theme of the user changes nothing, and that drawing changes no global setting."""
    plain = pixels(draw)
    with matplotlib.rc_context():
        matplotlib.style.use("dark_background")
        matplotlib.rcParams.update({"image.cmap": "jet", "image.origin": "lower", "axes.grid": True})
        before = dict(matplotlib.rcParams)
        dark = pixels(draw)
        assert dict(matplotlib.rcParams) == before
    assert (plain == dark).all()
