"""Figures on disk: PNG and SVG, whole or not at all, the same bytes for the same figure."""

import io
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from elbo_lab.errors import bad_value
from elbo_lab.files import Kind, StrPath, check_folder_writable, check_output, write_bytes
from elbo_lab.plots.style import STYLE

# The SVG writer reads its salt from `rcParams`, which are shared by all threads.
_SALT = {"svg.hashsalt": "elbo_lab", "svg.fonttype": "path"}
_LOCK = threading.Lock()

# In place of the date and the version of Matplotlib.
_CREATOR = "elbo_lab"
_METADATA = {"Date": None, "Creator": _CREATOR}

KINDS = {
    "png": Kind("a figure of elbo_lab", rb"\x89PNG\r\n.*tEXtSoftware\x00elbo_lab"),
    "svg": Kind("a figure of elbo_lab", rb"<\?xml .*<dc:title>elbo_lab</dc:title>"),
}


def files_of(figures: Iterable[str]) -> list[tuple[str, Kind]]:
    """Return (file name, kind) of all files of some figures."""
    return [(f"{name}.{ending}", kind) for name in figures for ending, kind in KINDS.items()]


def _png(figure: Figure) -> bytes:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    opaque = np.asarray(canvas.buffer_rgba())[..., :3]
    image = Image.fromarray(np.ascontiguousarray(opaque))
    sheet = io.BytesIO()
    # Level 3 takes half the time of the usual 6 for the same size.
    signature = PngInfo()
    signature.add_text("Software", _CREATOR)
    image.save(sheet, "png", dpi=(figure.dpi, figure.dpi), compress_level=3, pnginfo=signature)
    return sheet.getvalue()


def _svg(figure: Figure) -> bytes:
    sheet = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(sheet, metadata=_METADATA)
    return sheet.getvalue()


def figure_folder() -> Path:
    """Return the folder in the environment variable ELBO_LAB_OUT, by default elbo-lab-figures.

    For a script that will draw: call it before the computations, since a folder that cannot be written ends
    the script, with one line and exit code 2.

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


def render_figure(figure: Figure) -> dict[str, bytes]:
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


def save_figure(figure: Figure, folder: StrPath, name: str) -> list[Path]:
    """Write a figure as `name`.png and `name`.svg.

    Both are rendered before anything is written, and each is written whole or not at all: after an error the
    older files are as they were.

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

    Raises
    ------
    ValueError
        If `name` is not a plain file name.
    OSError
        If the system refuses, for example on a full disk.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise bad_value("name", "a plain file name without ending", repr(name))
    return write_rendered(render_figure(figure), folder, name)


def write_rendered(contents: Mapping[str, bytes], folder: StrPath, name: str) -> list[Path]:
    """Write what `render_figure` returned; return the paths as `save_figure` does."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {ending: folder / f"{name}.{ending}" for ending in contents}
    for ending, path in paths.items():
        check_output("folder", path, KINDS[ending])
    for ending, path in paths.items():
        write_bytes(path, contents[ending])
    return list(paths.values())
