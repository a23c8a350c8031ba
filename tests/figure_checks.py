"""What the tests of figures share: words, marks and colours, and the claims that hold for every figure."""

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


def check_text(figure):
    """Hold that no text is cut off by the edge, and that no legend lies on data and no note on a title."""
    figure.draw_without_rendering()
    # Tick labels beyond the limits exist, but are not drawn.
    ticks = [text for ax in figure.axes for text in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_text().strip() and text.get_visible() and text not in ticks:
            place = text.get_window_extent()
            assert figure.bbox.x0 <= place.x0 and place.x1 <= figure.bbox.x1, text.get_text()
            assert figure.bbox.y0 - 1 <= place.y0 and place.y1 <= figure.bbox.y1 + 1, text.get_text()
    for legend in [ax.get_legend() for ax in figure.axes if ax.get_legend()] + figure.legends:
        assert not any(legend.get_window_extent().overlaps(ax.get_window_extent()) for ax in figure.axes)
    for ax in figure.axes:
        title = ax._left_title
        notes = [text for text in ax.texts if text.get_ha() == "right"]
        if title.get_text():
            assert not any(title.get_window_extent().overlaps(note.get_window_extent()) for note in notes)


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
