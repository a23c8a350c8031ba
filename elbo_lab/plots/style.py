"""One look for every figure: sizes, inks, and one colour and marker per estimator.

A reader learns once that `reparameterization` is the blue triangle and finds it again in every
figure. Colours come from palettes that stay apart for colour-blind readers (Okabe and Ito 2008;
Paul Tol's "muted" and "vibrant" sets, technical note SRON/EPS/TN/09-002), and since sixteen names
are more than any palette can hold apart, the marker differs too. The exact answer is no estimator
among others: it is a black dashed line.

Everything is set on the given figure and axes. No global state of Matplotlib is read or written
(neither pyplot nor `rcParams`), so a user's dark theme, a thread or a backend changes nothing. The
background is white and opaque, hence the ink is readable on a light and on a dark page.

A figure is 8 inches wide and is shown about 800 pixels wide in the README, so 9 points are 12.5
pixels there; those of lessons are narrower (`page_width`), which keeps them readable on a phone. Files
are written at twice that resolution for sharp screens.
"""

import base64
import html
import io
import math
import zlib
from collections.abc import Collection, Iterable, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.legend import Legend
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike

STYLE: MappingProxyType[str, Any] = MappingProxyType(
    {
        "width": 8.0,  # inches
        "page_width": 6.4,  # inches: narrower, so that its text can be read on a phone as well
        "dpi": 200,
        "background": "white",
        "ink": "#222222",
        "faint": "#6b6b6b",  # contrast 5.3 on white: notes in small print stay readable
        "grid": "#dddddd",
        "title_size": 10.5,  # points
        "label_size": 9.5,
        "tick_size": 9.0,
        "note_size": 8.0,
        "marker_size": 5.5,
        "line_width": 1.4,
        "grid_width": 0.6,
    }
)

EXACT_LINE: MappingProxyType[str, Any] = MappingProxyType(
    {"color": "black", "linestyle": "--", "linewidth": 1.2}
)
"""Keyword arguments of every line of the exact answer."""


class EstimatorStyle(NamedTuple):
    """Colour and marker of one estimator, the same in every figure."""

    color: str
    marker: str


_FIXED = MappingProxyType(
    {
        "exact": EstimatorStyle("#000000", "|"),
        # log-evidence
        "prior-monte-carlo": EstimatorStyle("#882255", "o"),
        "importance-sampling": EstimatorStyle("#33A9A0", "s"),
        # elbo
        "elbo-reconstruction-kl": EstimatorStyle("#117733", "o"),
        "elbo-joint-entropy": EstimatorStyle("#8F7FD6", "s"),
        "elbo-log-weight": EstimatorStyle("#AA7A00", "D"),
        # grad-theta-log-evidence
        "prior-monte-carlo-score": EstimatorStyle("#CC3311", "o"),
        "prior-monte-carlo-pathwise": EstimatorStyle("#6699CC", "^"),
        "importance-weighted": EstimatorStyle("#332288", "s"),
        # grad-theta-elbo
        "elbo-sampled": EstimatorStyle("#999933", "o"),
        "elbo-analytic-kl": EstimatorStyle("#AA4499", "D"),
        # grad-phi-elbo
        "score-function": EstimatorStyle("#D55E00", "o"),
        "score-function-loo": EstimatorStyle("#E69F00", "s"),
        "score-function-optimal-baseline": EstimatorStyle("#C58AAE", "D"),
        "reparameterization": EstimatorStyle("#0072B2", "^"),
        "reparameterization-analytic-kl": EstimatorStyle("#56B4E9", "v"),
        # grad-phi-elbo through discrete latents: the biased blue and green, the unbiased red to olive
        "enumeration": EstimatorStyle("#4D4D4D", "8"),
        "concrete-0.5": EstimatorStyle("#88CCEE", "p"),
        "straight-through": EstimatorStyle("#2A6FBB", "h"),
        "straight-through-gumbel-0.5": EstimatorStyle("#44AA99", "d"),
        "rebar-0.5": EstimatorStyle("#CC6677", "p"),
        "relax-0.5": EstimatorStyle("#771122", "h"),
        "arm": EstimatorStyle("#A8B820", "d"),
        "disarm": EstimatorStyle("#3D5A00", "H"),
        # grad-phi-iwae: the colours of their neighbours with one draw, where they have one
        "iwae-score-function": EstimatorStyle("#D55E00", "H"),
        "vimco": EstimatorStyle("#E69F00", "v"),
        "ovis-tilde-0": EstimatorStyle("#882255", "s"),
        "iwae-reparameterization": EstimatorStyle("#0072B2", "o"),
        "piwae-2-phi": EstimatorStyle("#56B4E9", "D"),
        "dreg": EstimatorStyle("#117733", "^"),
        # grad-phi-elbo, score functions: oranges to browns; what lists values, purple
        "score-function-running-mean": EstimatorStyle("#A6761D", "o"),
        "score-function-learned-baseline": EstimatorStyle("#6B5B00", "s"),
        "score-function-mean-baseline": EstimatorStyle("#D2B48C", "H"),
        "score-function-control-variate": EstimatorStyle("#8C564B", "D"),
        "score-function-delta": EstimatorStyle("#E377C2", "^"),
        "score-function-delta-unit": EstimatorStyle("#B03A8B", "v"),
        "score-function-top-categories": EstimatorStyle("#7F3C8D", "p"),
        "score-function-unordered-set": EstimatorStyle("#B58CC6", "h"),
        "score-function-oracle-baseline": EstimatorStyle("#4B2E05", "d"),
        # grad-phi-elbo, other paths and measures
        "sticking-the-landing": EstimatorStyle("#003F7F", "s"),
        "measure-valued": EstimatorStyle("#2CA25F", "o"),
        "measure-valued-coupled": EstimatorStyle("#7CB342", "D"),
        # bounds of several draws and their gradients
        "iwae": EstimatorStyle("#332288", "o"),
        "miwae-2": EstimatorStyle("#88CCEE", "s"),
        "ciwae-0.5": EstimatorStyle("#AA7A00", "D"),
        "jackknife-1": EstimatorStyle("#0072B2", "^"),
        "jackknife-2": EstimatorStyle("#56B4E9", "v"),
        "renyi-0.5": EstimatorStyle("#C58AAE", "D"),
        "cubo-2": EstimatorStyle("#D55E00", "8"),
        "iwae-theta": EstimatorStyle("#332288", "s"),
        "piwae-2-theta": EstimatorStyle("#56B4E9", "D"),
        # other bounds: each form in the colour that it has of the importance-weighted one
        **{
            f"{bound}-{form}": EstimatorStyle(color, marker)
            for bound, marker in (("ciwae", "D"), ("vr-iwae", "P"), ("renyi", "X"))
            for form, color in (
                ("theta", "#332288"),
                ("score-function", "#D55E00"),
                ("vimco", "#E69F00"),
                ("reparameterization", "#0072B2"),
                ("dreg", "#117733"),
            )
        },
        "vimco-arithmetic": EstimatorStyle("#A6761D", "^"),
        "ovis-mc-4": EstimatorStyle("#C2185B", "D"),
        "ovis-tilde-1": EstimatorStyle("#5E35B1", "H"),
        "stl-iwae": EstimatorStyle("#003F7F", "D"),
        "wake-phi": EstimatorStyle("#CC3311", "o"),
        "wake-phi-dreg": EstimatorStyle("#6699CC", "^"),
    }
)

# Other estimators never get a colour or marker of the fixed table, so that none is taken for one of the
# package's own.
_SPARE_COLORS = (
    "#009E73",
    "#661100",
    "#EE3377",
    "#004488",
    "#777777",
    "#BBA000",
    "#225522",
    "#994455",
    "#7A5CFF",
)
_SPARE_MARKERS = ("P", "X", "<", ">", "*")


def estimator_style(name: str) -> EstimatorStyle:
    """Return colour and marker of an estimator.

    Parameters
    ----------
    name : str
        Any name. Names of the package have a fixed look; every other name gets one from its checksum
        (CRC-32), the same in every process and on every machine.

    Returns
    -------
    EstimatorStyle
        `color` (hex string) and `marker` (Matplotlib marker).
    """
    if name in _FIXED:
        return _FIXED[name]
    checksum = zlib.crc32(str(name).encode("utf-8"))
    marker_index, color_index = divmod(checksum, len(_SPARE_COLORS))
    return EstimatorStyle(_SPARE_COLORS[color_index], _SPARE_MARKERS[marker_index % len(_SPARE_MARKERS)])


def marker_keywords(name: str) -> dict[str, Any]:
    """Return the line keywords (colour, marker, size) that draw one estimator."""
    color, marker = estimator_style(name)
    return {
        "color": color,
        "marker": marker,
        "markersize": STYLE["marker_size"],
        "linewidth": STYLE["line_width"],
    }


SHOWN_DPI = 100
"""A figure has the width of a column of text on a page, at twice that resolution in its file."""


class Picture(Figure):
    """A figure that a notebook shows by itself: without pyplot, and without a magic command."""

    seconds: tuple[float, ...] = ()
    """How long each frame is shown, of a figure that moves (`show_in_turn`)."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw, with what stands between dollars but is no formula, as in the name of a file, as it is."""
        for text in self.findobj(Text):
            if text.get_parse_math() and text.get_text().count("$") > 1:
                try:
                    MathTextParser("path").parse(text.get_text())
                except ValueError:
                    text.set_parse_math(False)
        super().draw(renderer)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return the PNG and the size in pixels at which a page shows it."""
        sheet = io.BytesIO()
        FigureCanvasAgg(self).print_png(sheet)
        width, height = (round(SHOWN_DPI * inches) for inches in self.get_size_inches())
        return sheet.getvalue(), {"width": width, "height": height}


class Pictures(dict[str, Picture]):
    """Figures by name, which a notebook shows one below the other."""

    def _repr_html_(self) -> str:
        return "".join(map(_figure_html, self, self.values()))


def _figure_html(name: str, figure: Picture) -> str:
    png, size = figure._repr_png_()
    data = base64.b64encode(png).decode()
    image = f'<img width="{size["width"]}" alt="" src="data:image/png;base64,{data}">'
    return f"<figure><figcaption>{html.escape(name)}</figcaption>{image}</figure>"


def new_figure(height: float, width: float = STYLE["width"]) -> Picture:
    """Return an empty white figure, made without pyplot.

    Parameters
    ----------
    height, width : float
        Inches. The default width is that of the README.
    """
    return Picture(
        figsize=(width, height),
        dpi=STYLE["dpi"],
        facecolor=STYLE["background"],
        edgecolor=STYLE["background"],
        layout="constrained",
    )


def panels(
    rows: int, columns: int, height: float, width: float = STYLE["width"]
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its axes, row by row.

    Parameters
    ----------
    rows, columns : int
    height, width : float
        Of the whole figure, in inches.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : list of matplotlib.axes.Axes (rows x columns)
    """
    figure = new_figure(height, width)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def style_axes(ax: Axes, *, title: str = "", xlabel: str = "", ylabel: str = "", grid: str = "both") -> Axes:
    """Set the inks, sizes and grid of one axes, and its title and labels.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    title, xlabel, ylabel : str
        Labels carry their unit. An empty string omits the text.
    grid : {'both', 'x', 'y'}
        The axis along which values are read.

    Returns
    -------
    matplotlib.axes.Axes
        The same axes.
    """
    ink = STYLE["ink"]
    ax.set_facecolor(STYLE["background"])
    ax.set_title(title, fontsize=STYLE["title_size"], color=ink, loc="left")
    ax.set_xlabel(xlabel, fontsize=STYLE["label_size"], color=ink)
    ax.set_ylabel(ylabel, fontsize=STYLE["label_size"], color=ink)
    ax.tick_params(which="both", colors=ink, labelsize=STYLE["tick_size"])
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(STYLE["faint"])
    ax.grid(False, which="both")
    ax.grid(True, axis=grid, color=STYLE["grid"], linewidth=STYLE["grid_width"], linestyle="-")
    ax.set_axisbelow(True)
    return ax


def styled_axes(ax: Axes | None, height: float, width: float = STYLE["width"], **words: str) -> Axes:
    """Return `ax`, or an axes in a new figure (inches), with the words of `style_axes`."""
    return style_axes(new_figure(height, width).subplots() if ax is None else ax, **words)


def count_axis(ax: Axes, counts: Collection[int], most: float = math.inf) -> None:
    """Make x a logarithmic axis of counts, each labelled unless there are more than `most`."""
    ax.set_xscale("log", base=2)
    ax.minorticks_off()
    if len(counts) <= most:
        ax.set_xticks(counts, [str(count) for count in counts])


def draw_band(ax: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str) -> None:
    """Shade the interval [low, high] around a curve over x; all (P,)."""
    ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def band_handle(words: str = "95 % interval") -> Patch:
    """Return the legend entry that says what a shaded band is."""
    return Patch(color=STYLE["faint"], alpha=0.3, lw=0, label=f"band: {words}")


def note_above(ax: Axes, words: str, side: str = "right", **text: float) -> None:
    """Write a note in small print above the panel, at its right or left; `text` goes to the artist."""
    ax.annotate(
        words,
        (1 if side == "right" else 0, 1),
        xycoords="axes fraction",
        xytext=(0, 4),
        textcoords="offset points",
        ha=side,
        va="bottom",
        color=STYLE["faint"],
        **{"fontsize": STYLE["note_size"], **text},
    )


def title_over_note(ax: Axes, title: str) -> None:
    """Write the title a line higher than usual, so that a note below it may be as long as it needs."""
    look = {"fontsize": STYLE["title_size"], "color": STYLE["ink"]}
    ax.set_title(title, loc="left", pad=STYLE["note_size"] + 9, **look)


def title_figure(figure: FigureBase, title: str) -> Text | None:
    """Write a title above all panels; an empty one takes no room."""
    look = {"fontsize": STYLE["title_size"], "color": STYLE["ink"], "x": 0.012, "ha": "left"}
    return figure.suptitle(title, **look) if title else None


def write_head(figure: Figure, title: str, note: str = "") -> None:
    """Write a title and a note in small print below it into the upper left corner."""
    width, height = figure.get_size_inches()
    place = {"x": 0.1 / width, "ha": "left", "va": "top"}
    figure.text(y=1 - 0.1 / height, s=title, fontsize=STYLE["title_size"], color=STYLE["ink"], **place)
    if note:
        figure.text(y=1 - 0.31 / height, s=note, fontsize=STYLE["note_size"], color=STYLE["faint"], **place)


def legend_inside(ax: Axes, place: str = "best", columns: int = 1) -> Legend:
    """Put a legend in small print into the axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    place : str
        One of Matplotlib's places, such as 'upper right'.
    columns : int
    """
    return ax.legend(
        loc=place, ncols=columns, frameon=False, fontsize=STYLE["note_size"], labelcolor=STYLE["ink"]
    )


def legend_below(
    ax: Axes, handles: Sequence[Artist] | None = None, columns: int = 3, gap: float = 38
) -> Legend:
    """Put the legend under the axis label, outside the data.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    handles : list of matplotlib artists, optional
        Labelled artists; those of the axes if omitted.
    columns : int
        Number of legend columns.
    gap : float
        Distance from the bottom of the axes in points: room for tick labels and axis label.
    """
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    below = ax.transAxes + ScaledTranslation(0, -gap / 72, ax.figure.dpi_scale_trans)
    return ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=below,
        borderaxespad=0,
        ncols=columns,
        frameon=False,
        fontsize=STYLE["tick_size"],
        labelcolor=STYLE["ink"],
        handletextpad=0.5,
        columnspacing=1.5,
    )


def left_out(names: Iterable[str]) -> str:
    """Return the end of a note on what is not drawn; empty if there is nothing."""
    left = list(names)
    told = ", ".join(left) if len(left) <= FEW else f"{len(left)} other estimators"
    return f"; not drawn: {told}" if left else ""


def legend_rows(handles: Sequence[Artist], width: float, character: float) -> list[list[Artist]]:
    """Return labelled artists in rows that are at most `width` inches, given the width of a character."""
    rows: list[list[Artist]] = []
    left = 0.0
    for handle in handles:
        size = 0.62 + character * len(str(handle.get_label()))
        if size > left:
            rows.append([])
            left = width
        rows[-1].append(handle)
        left -= size
    return rows


FEW = 3
"""Estimators left out that are named in a note."""
CORNER_LEGEND = {
    "loc": "lower left",
    "borderaxespad": 0.0,
    "borderpad": 0.0,
    "frameon": False,
    "fontsize": STYLE["note_size"],
    "labelcolor": STYLE["ink"],
    "columnspacing": 1.5,
}
"""Look of a legend in the lower left corner of a figure."""


def legend_outside(figure: FigureBase, handles: Sequence[Artist], columns: int = 3) -> Legend:
    """Put one legend for all panels below them.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or SubFigure
    handles : list of matplotlib artists
        Labelled.
    columns : int
        Number of legend columns.
    """
    return figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        fontsize=STYLE["tick_size"],
        labelcolor=STYLE["ink"],
    )
