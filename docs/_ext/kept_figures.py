"""The figures of the demos at full budget, kept in docs/figures: every page shows them, and no build waits.

    python docs/_ext/kept_figures.py              draw what is older than its demo
    python docs/_ext/kept_figures.py 04 grosse    draw these demos, whatever their age
    python docs/_ext/kept_figures.py --check      name what is older than its demo; draw nothing

Of every demo there are one SVG a figure (`figures/NAME.svg`, colours for light and dark pages), a small one
of its largest panel for the list of demos (`figures/small/DEMO.svg`) and what it printed, cell by cell
(`figures/printed/DEMO.txt`). Each carries a digest of the code that made it, without comments, docstrings
and captions: prose may be mended without drawing anew. A run without --check puts new captions in.
"""

import argparse
import ast
import contextlib
import hashlib
import html
import io
import os
import re
import subprocess
import sys
import tempfile
import tokenize
import types
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "docs" / "figures"
SMALL = KEPT / "small"
PRINTED = KEPT / "printed"
DEMOS = sorted((ROOT / "demos").rglob("[!_]*.py"))
MOST = 300_000  # bytes of a figure
# Three scripts that need MNIST and train for hours: kept at the size that the package's digits allow.
SMALLER = {"burda_2016_table_1", "kingma_2014_figure_2", "kingma_2014_figure_3"}
NAMED = re.compile(r'save_figure\([^"]*"([\w-]+)"(?:, (?:caption|"(?P<words>[^"]+)"))?\)')
IMPORTED = re.compile(r"^from (_\w+) import", re.MULTILINE)
CELL = re.compile(r"^# %%.*$", re.MULTILINE)
DIGEST = re.compile(r'data-code="(\w+)"|\A# code (\w+)\n')
# A dense cloud is an image inside the figure, an image a grid of pixels and no finer than a screen.
DENSE = 1200
DPI = 144
NUMBERS = re.compile(r"-?\d+\.\d{2,}")
SIDES = ("labelbottom", "labeltop", "labelleft", "labelright")
# What a row of a table says that tells how long a machine took: a page is no place for that.
TIMED = re.compile(r"minutes per|^ million *$")
DRAWN = re.compile(r'(?<= )(d|transform|x|y|points|width|height)="([^"]*)"')


# -- what belongs to a demo ----------------------------------------------------------------------------


def _is_prose(node):
    """Return whether a statement is a docstring or a caption."""
    if isinstance(node, ast.Assign):
        return [getattr(target, "id", "") for target in node.targets] == ["caption"]
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)


def code_of(script):
    """Return the code of a script without comments, docstrings, captions and blank lines."""
    lines = script.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(script).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(script)):
        if isinstance(node, ast.stmt) and _is_prose(node):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip()).replace(", caption)", ")")


def digest_of(demo):
    """Return the digest of the code of a demo and of what it imports from its own folder."""
    script = demo.read_text(encoding="utf-8")
    parts = [script, *((demo.parent / f"{name}.py").read_text("utf-8") for name in IMPORTED.findall(script))]
    return hashlib.sha256("\0".join(map(code_of, parts)).encode()).hexdigest()[:12]


def captions_of(demo):
    """Return {name of a figure: its caption} of a demo, in the order in which they are saved."""
    script = demo.read_text(encoding="utf-8")
    found, caption = {}, ""
    nodes = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.stmt)]
    for node in sorted(nodes, key=lambda node: node.lineno):
        if isinstance(node, ast.Assign) and _is_prose(node):
            caption = ast.literal_eval(node.value)
        elif isinstance(node, ast.Expr) and (saved := NAMED.search(ast.get_source_segment(script, node))):
            found[saved[1]] = caption
    return found


def is_named(demo, word):
    """Return whether a word is whole parts of the name of a demo: 06 is not in bishop_2006."""
    return f"_{word.strip('_')}_" in f"_{demo.stem}_"


def files_of(demo):
    """Return the files that are kept of a demo."""
    figures = [KEPT / f"{name}.svg" for name in captions_of(demo)]
    return [*figures, SMALL / f"{demo.stem}.svg", PRINTED / f"{demo.stem}.txt"]


def is_stale(demo):
    """Return whether a file of a demo is missing or was made by other code."""
    digest = digest_of(demo)
    return any(not path.exists() or _digest_in(path) != digest for path in files_of(demo))


def _digest_in(path):
    found = DIGEST.search(path.read_text(encoding="utf-8")[:2000])
    return found and (found[1] or found[2])


def with_caption(svg, caption):
    """Return a kept figure with another description."""
    return re.sub(r'aria-label="[^"]*"', f'aria-label="{html.escape(caption)}"', svg, count=1)


# -- drawing -------------------------------------------------------------------------------------------


def _lighten(figure):
    """Turn dense clouds into images, and give images the resolution of a screen."""
    from matplotlib.collections import Collection, QuadMesh

    figure.set_dpi(DPI)
    for artist in figure.findobj(Collection):
        dense = isinstance(artist, QuadMesh) or len(artist.get_offsets()) > DENSE
        artist.set_rasterized(artist.get_rasterized() or dense)
    for line in figure.findobj(lambda artist: hasattr(artist, "get_marker") and hasattr(artist, "get_xdata")):
        if line.get_marker() not in ("", "None", None) and len(line.get_xdata()) > DENSE:
            line.set_rasterized(True)


def _shorter(svg):
    """Return an SVG whose coordinates have one decimal, a tenth of a point; images stay as they are."""

    def rounded(attribute):
        name, value = attribute.groups()
        if name == "transform" and "scale" in value:
            return attribute[0]
        return f'{name}="{NUMBERS.sub(lambda n: f"{float(n[0]):.1f}".removesuffix(".0"), value)}"'

    return DRAWN.sub(rounded, svg)


def svg_of(figure, name, caption, digest):
    """Return the SVG of a figure that is kept."""
    from elbo_lab.plots.files import themed_svg

    _lighten(figure)
    svg = _shorter(with_caption(themed_svg(figure, name), caption))
    return svg.replace("<svg ", f'<svg data-code="{digest}" ', 1) + "\n"


def small_svg_of(figure, name, digest):
    """Return the largest panel of a figure without words, for the list of demos; the figure is spent."""
    from matplotlib.legend import Legend
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    figure.seconds = ()  # among cards nothing moves
    areas = {ax: ax.bbox.width * ax.bbox.height for ax in figure.axes}
    panel = max(areas, key=areas.__getitem__)
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_visible(ax is panel)
    panel.tick_params(which="both", length=0, **dict.fromkeys(SIDES, False))
    for artist in figure.findobj(lambda artist: isinstance(artist, Text | Legend)):
        artist.set_visible(False)
    figure.set_size_inches(2.4, 1.6)
    place = Bbox.from_bounds(0.03, 0.04, 0.94, 0.92).transformed(figure.transFigure)
    panel.set_position(place.transformed(panel.figure.transSubfigure.inverted()))
    return svg_of(figure, f"small-{name}", "", digest)


def draw(demo, options=()):
    """Run a demo in this process at full budget, and keep its figures and what it prints."""
    import elbo_lab.plots

    digest = digest_of(demo)
    saved = []

    def keep(figure, folder, name, caption=""):
        svg = svg_of(figure, name, caption, digest)
        if len(svg) > MOST:
            raise ValueError(f"{name}.svg: {len(svg)} bytes, more than {MOST}")
        _write(KEPT / f"{name}.svg", svg)
        if not saved:
            _write(SMALL / f"{demo.stem}.svg", small_svg_of(figure, demo.stem, digest))
        saved.append(name)
        return [Path(folder) / f"{name}.png"]

    elbo_lab.plots.save_figure = keep
    script = demo.read_text(encoding="utf-8")
    starts = [0, *(mark.start() for mark in CELL.finditer(script)), len(script)]
    # Its names shall not be mixed with those of this file.
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    module.__file__ = str(demo)
    sys.argv = [str(demo), *options]
    sys.path[0] = str(demo.parent)
    text = f"# code {digest}\n"
    for start, end in pairwise(starts):
        # Blank lines in front, so that a traceback points into the demo.
        code = compile("\n" * script.count("\n", 0, start) + script[start:end], str(demo), "exec")
        sheet = io.StringIO()
        with contextlib.redirect_stdout(sheet):
            exec(code, vars(module))
        printed = sheet.getvalue().splitlines()
        lines = [line.rstrip() for line in printed if not (line.startswith("figure: ") or TIMED.search(line))]
        if any(lines):
            text += CELL.search(script, start)[0] + "\n" + "\n".join(lines).strip("\n") + "\n"
    _write(PRINTED / f"{demo.stem}.txt", text)


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _draw_elsewhere(demo):
    """Run a demo in a process of its own; return its exit code."""
    options = ["--digits"] if demo.stem in SMALLER else []
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "ELBO_LAB_QUICK": "0",
            "ELBO_LAB_OUT": folder,
            "COLUMNS": "100",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, __file__, "--here", str(demo), *options]
        return subprocess.run(command, env={**os.environ, **settings}, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="parts of names of demos, such as 04 or grosse_2015")
    parser.add_argument("--check", action="store_true", help="draw nothing; exit code 1 if a figure is stale")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    asked, options = parser.parse_known_args()
    if asked.here:
        return draw(asked.here, options)
    if options:
        parser.error(f"unknown: {' '.join(options)}")
    named = [demo for demo in DEMOS if any(is_named(demo, word) for word in asked.words)]
    stale = named if asked.words else [demo for demo in DEMOS if is_stale(demo)]
    failed = 0
    for demo in stale:
        print(demo.relative_to(ROOT).as_posix(), flush=True)
        failed += bool(asked.check or _draw_elsewhere(demo))
    if not asked.check:
        for demo in DEMOS:
            for name, caption in captions_of(demo).items():
                path = KEPT / f"{name}.svg"
                if path.exists() and (svg := path.read_text("utf-8")) != (new := with_caption(svg, caption)):
                    _write(path, new)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
