"""Kept figures inside a page, where their colours follow the theme of the page; a click shows one alone."""

import html
import posixpath
import re
from pathlib import Path
from urllib.parse import quote

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator

THEMED = re.compile(r'<svg (data-code="\w+" )?class="themed"')


def inlined(svg, link, alt):
    """Return a kept figure as part of a page.

    Parameters
    ----------
    svg : str
        Text of the file.
    link : str
        Address of the file, which shows the figure alone and as large as the window.
    alt : str
        What takes the place of the description in the file, if it is not empty.
    """
    if alt:
        svg = re.sub(r'aria-label="[^"]*"', f'aria-label="{html.escape(alt)}"', svg, count=1)
    return f'<a class="kept-figure" href="{link}" title="the figure alone">{svg.strip()}</a>'


def visit_image(translator, node):
    """Write a kept figure into the page, any other image as usual."""
    uri = node["uri"]
    path = Path(translator.builder.srcdir) / uri
    text = path.read_text(encoding="utf-8") if uri.endswith(".svg") and path.is_file() else ""
    if not THEMED.match(text):
        HTML5Translator.visit_image(translator, node)
        return
    link = posixpath.join(translator.builder.imgpath, quote(translator.builder.images[uri]))
    alt = node.get("alt", "")
    translator.body.append(inlined(text, link, "" if alt == uri else alt))


def setup(app):
    """Show kept figures inside the pages; other builders than HTML have the file as an image."""
    app.add_node(nodes.image, override=True, html=(visit_image, HTML5Translator.depart_image))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
