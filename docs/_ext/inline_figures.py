"""Kept figures inside a page, where their colours follow the theme of the page; a click shows one alone.

One that moves stands in an element to which `_static/motion.js` adds a button and a slider.
"""

import posixpath
import re
from pathlib import Path
from urllib.parse import quote

import kept_figures
from docutils import nodes
from sphinx.writers.html5 import HTML5Translator

THEMED = re.compile(r'<svg (data-code="\w+" )?class="themed"')


def visit_image(translator, node):
    """Write a kept figure into the page, any other image as usual."""
    uri = node["uri"]
    path = Path(translator.builder.srcdir) / uri
    text = path.read_text(encoding="utf-8") if uri.endswith(".svg") and path.is_file() else ""
    if not THEMED.match(text):
        HTML5Translator.visit_image(translator, node)
        return
    link = posixpath.join(translator.builder.imgpath, quote(translator.builder.images[uri]))
    # A page may say in its own words what it wants to be seen.
    alt = node.get("alt", uri)
    svg = (text if alt == uri else kept_figures.with_caption(text, alt)).strip()
    figure = f'<a class="kept-figure" href="{link}" title="the figure alone">{svg}</a>'
    moves = " data-motion=" in text
    translator.body.append(f'<span class="motion">{figure}</span>' if moves else figure)


def setup(app):
    """Show kept figures inside the pages; other builders than HTML have the file as an image."""
    app.add_node(nodes.image, override=True, html=(visit_image, HTML5Translator.depart_image))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
