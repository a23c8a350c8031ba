"""Figures on disk: PNG and SVG, whole or not at all, the same bytes for the same figure."""

import io
import os
import sys
import threading
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from PIL import Image

from elbo_lab.errors import bad_value
from elbo_lab.files import check_folder_writable
from elbo_lab.plots.style import STYLE

# The SVG writer reads its salt from `rcParams`, which are shared by all threads.
_SALT = {"svg.hashsalt": "elbo_lab", "svg.fonttype": "path"}
_LOCK = threading.Lock()

# Without these the file would carry the date and the version of Matplotlib.
_METADATA = {"Date": None, "Creator": None}


def _png(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Figures are opaque. Level 3 takes half the time of the usual 6 for the same size.
    opaque, sheet = np.asarray(canvas.buffer_rgba())[..., :3], io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(opaque))
    image.save(sheet, "png", dpi=(figure.dpi, figure.dpi), compress_level=3)
    return sheet.getvalue()


def _svg(figure):
    sheet = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(sheet, metadata=_METADATA)
    return sheet.getvalue()


FORMATS = ("png", "svg")


def figure_folder():
    """Return the folder in the environment variable ELBO_LAB_OUT, by default elbo-lab-figures.

    For a script that will draw: it asks before it computes, and a folder that cannot be written ends it
    there, with one line and code 2.

    Returns
    -------
    pathlib.Path
    """
    folder = os.environ.get("ELBO_LAB_OUT") or "elbo-lab-figures"
    try:
        check_folder_writable("ELBO_LAB_OUT", folder)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    return Path(folder)


def render_figure(figure):
    """Return the bytes of a figure: {'png': bytes, 'svg': bytes}.

    The canvases are used directly: `Figure.savefig` would draw, and lay out, twice for each format. The
    layout is made once, with the first drawing.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    """
    with _LOCK, matplotlib.rc_context(_SALT):
        figure.set_dpi(STYLE["dpi"])
        png = _png(figure)
        figure.set_layout_engine("none")
        return {"png": png, "svg": _svg(figure)}


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
    check_name(name)
    return write_rendered(render_figure(figure), folder, name)


def check_name(name):
    """Refuse what is not a plain file name without ending."""
    if not name or Path(name).name != name or name.startswith("."):
        raise bad_value("name", "a plain file name without ending", repr(name))


def write_rendered(contents, folder, name):
    """Write what `render_figure` returned, both files or none; return the paths as `save_figure` does."""
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
