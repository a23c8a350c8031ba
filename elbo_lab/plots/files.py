"""Figures on disk: PNG and SVG, whole or not at all, the same bytes for the same figure.

`themed_svg` gives the SVG that stands inside a page: its inks are CSS variables with one value for a light
and one for a dark page.
"""

import colorsys
import html
import io
import os
import re
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
from elbo_lab.plots.motion import all_frames, animate
from elbo_lab.plots.style import STYLE

# The SVG writer reads its salt from `rcParams`, which are shared by all threads.
_SALT = {"svg.hashsalt": "elbo_lab", "svg.fonttype": "path"}
_LOCK = threading.Lock()

# Text stays text. Verdana has the widths of DejaVu Sans, for which the layout is made; a narrower font that
# stands in for them leaves gaps and never overlaps.
_INLINE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Geneva"],
}
# Lightness of the paper of a dark page and of its strongest ink.
_DARK_PAPER, _DARK_INK = 0.095, 0.95
# Contrast of the darkest hues with the dark paper: 3 is the least that is readable. All lighter ones are
# lifted by a share of what is left up to white, so that two blues stay two blues.
_DARK_CONTRAST, _DARK_LIFT = 3.5, 0.7
_STYLE = re.compile(r' style="[^"]*"')
_COLOR = re.compile(r"(fill|stroke): #([0-9a-f]{6})")
# Names that nothing refers to: all but those of clip paths, markers, dots of many colours, and frames.
_UNUSED = re.compile(
    r' id="(?!([pm]|C[0-9a-f]+_[0-9a-f]+_)[0-9a-f]{10}"|frames-)[^"]*"| transform="rotate\(-?0 [^"]*"'
)

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


def _png(figure: Figure, caption: str) -> bytes:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    opaque = np.asarray(canvas.buffer_rgba())[..., :3]
    image = Image.fromarray(np.ascontiguousarray(opaque))
    sheet = io.BytesIO()
    # Level 3 takes half the time of the usual 6 for the same size.
    signature = PngInfo()
    signature.add_text("Software", _CREATOR)
    if caption:
        signature.add_itxt("Description", caption)
    image.save(sheet, "png", dpi=(figure.dpi, figure.dpi), compress_level=3, pnginfo=signature)
    return sheet.getvalue()


def _svg(figure: Figure, caption: str) -> bytes:
    sheet = io.BytesIO()
    with all_frames(figure) as seconds:
        FigureCanvasSVG(figure).print_svg(sheet, metadata=_METADATA | {"Description": caption or None})
    if seconds:
        return animate(sheet.getvalue().decode("utf-8"), seconds, caption).encode("utf-8")
    return sheet.getvalue()


def _luminance(red: float, green: float, blue: float) -> float:
    """Return the relative luminance of an sRGB colour (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def dark_color(color: str) -> str:
    """Return what a colour, six hexadecimal digits, is on a dark page: greys turn round, hues get lighter."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (0, 2, 4))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    if max(red, green, blue) - min(red, green, blue) < 0.08:
        light = _DARK_INK + (_DARK_PAPER - _DARK_INK) * light
    else:
        least = _DARK_CONTRAST * (_luminance(_DARK_PAPER, _DARK_PAPER, _DARK_PAPER) + 0.05) - 0.05
        shades = np.linspace(0.0, 1.0, 101)
        readable = next(x for x in shades if _luminance(*colorsys.hls_to_rgb(hue, x, saturation)) >= least)
        light = max(light, float(readable) + (1.0 - float(readable)) * _DARK_LIFT * light)
    inks = colorsys.hls_to_rgb(hue, light, saturation)
    return "".join(f"{round(255 * ink):02x}" for ink in inks)


def themed_svg(figure: Figure, title: str = "") -> str:
    """Return a figure as one SVG element that fits a light and a dark page.

    Colours are CSS variables. They are the dark ones where the reader prefers a dark page, unless an element
    around the figure has the attribute data-theme="light" or "dark".

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    title : str
        What the figure shows, for readers who do not see it. Figures of one page need different titles, from
        which the names inside the SVG are made.
    """
    sheet = io.BytesIO()
    salted = matplotlib.rc_context(_INLINE | {"svg.hashsalt": title or _CREATOR})
    with _LOCK, salted, all_frames(figure) as seconds:
        FigureCanvasSVG(figure).print_svg(sheet, metadata=_METADATA)
    text = sheet.getvalue().decode("utf-8")
    width, height = figure.get_size_inches() * 72
    body = text[text.index("</defs>", text.index("<style")) + len("</defs>") : text.rindex("</svg>")]
    # The writer leaves out a fill that is black, which is what an SVG fills with: it has to be told for dark.
    named = {color for style in _STYLE.findall(body) for _, color in _COLOR.findall(style)}
    colors = sorted(named | {"000000"})
    body = _STYLE.sub(lambda style: _COLOR.sub(r"\1: var(--c\2)", style[0]), body)
    body = _UNUSED.sub("", re.sub(r"\n\s*", " ", body))
    light = "".join(f"--c{color}:#{color};" for color in colors)
    dark = "".join(f"--c{color}:#{dark_color(color)};" for color in colors)
    name = html.escape(title, quote=True)
    themed = (
        f'<svg class="themed" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}"><style>'
        f".themed{{{light}fill:var(--c000000);stroke-linejoin:round;stroke-linecap:butt}}"
        f"@media (prefers-color-scheme:dark){{.themed:not([data-theme=light] *){{{dark}}}}}"
        f"[data-theme=dark] .themed{{{dark}}}</style>{body}</svg>"
    )
    return animate(themed, seconds, title)


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


def render_figure(figure: Figure, caption: str = "") -> dict[str, bytes]:
    """Return the bytes of a figure: {'png': bytes, 'svg': bytes}.

    The canvases are used directly: `Figure.savefig` would draw, and lay out, twice for each format. The
    layout is made once, with the first drawing.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    caption : str
        Stands in both files as their description, if it is not empty.
    """
    with _LOCK, matplotlib.rc_context(_SALT):
        figure.set_dpi(STYLE["dpi"])
        png = _png(figure, caption)
        figure.set_layout_engine("none")
        return {"png": png, "svg": _svg(figure, caption)}


def save_figure(figure: Figure, folder: StrPath, name: str, caption: str = "") -> list[Path]:
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
    caption : str
        What the figure shows, in a sentence or two, for readers who see it and for those who do not. Both
        files have it as their description.

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
    return write_rendered(render_figure(figure, caption), folder, name)


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
