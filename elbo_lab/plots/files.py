"""Figures on disk: PNG and SVG, whole or not at all, the same bytes for the same figure."""

import io
import os
import threading
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imsave

from elbo_lab.errors import bad_value
from elbo_lab.plots.style import STYLE

# The SVG writer reads its salt from `rcParams`, which are shared by all threads.
_SALT = {"svg.hashsalt": "elbo_lab", "svg.fonttype": "path", "savefig.bbox": None}
_LOCK = threading.Lock()

# Without these the files would carry the date and the version of Matplotlib.
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def render_figure(figure, kind):
    """Return the bytes of a figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    kind : {'png', 'svg'}

    Returns
    -------
    bytes
    """
    with _LOCK, matplotlib.rc_context(_SALT):
        return _RENDERERS[kind](figure)


def _render_png(figure):
    # `savefig` would draw twice, once for the layout; the canvas does both in one drawing.
    figure.set_dpi(STYLE["dpi"])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    sheet = io.BytesIO()
    imsave(sheet, np.asarray(canvas.buffer_rgba()), format="png", dpi=STYLE["dpi"], metadata=_METADATA["png"])
    return sheet.getvalue()


def _render_svg(figure):
    sheet = io.BytesIO()
    figure.savefig(
        sheet, format="svg", dpi=STYLE["dpi"], facecolor=STYLE["background"], metadata=_METADATA["svg"]
    )
    return sheet.getvalue()


_RENDERERS = {"png": _render_png, "svg": _render_svg}
FORMATS = tuple(_RENDERERS)


def save_figure(figure, folder, name):
    """Write a figure as `name`.png and `name`.svg.

    Both are rendered before anything is written, written under a temporary name in the same folder,
    and renamed together at the end: a fault on the way leaves older files as they were.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    folder : str or path
        Created if missing.
    name : str
        File name without ending.

    Returns
    -------
    list of pathlib.Path
        The PNG and the SVG.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise bad_value("name", "a plain file name without ending", repr(name))
    contents = {kind: render_figure(figure, kind) for kind in FORMATS}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    finals = {kind: folder / f"{name}.{kind}" for kind in FORMATS}
    # The thread's own number: two threads may write the same figure at once.
    mark = f"{os.getpid()}-{threading.get_ident()}"
    temporary = {kind: folder / f".{name}.{mark}.{kind}" for kind in FORMATS}
    try:
        for kind in FORMATS:
            temporary[kind].write_bytes(contents[kind])
        for kind in FORMATS:
            os.replace(temporary[kind], finals[kind])
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
    return list(finals.values())
