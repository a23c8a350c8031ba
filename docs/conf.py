"""How the site is built:  sphinx-build -W -b html docs OUT

No demo runs: their figures are kept (`_ext/kept_figures.py`). Commands whose output a page shows do run,
unless `-D plot_gallery=0` is given. Nothing is loaded from elsewhere at view time: MathJax (3.2.2,
`es5/tex-svg-full.js` of the package `mathjax`, Apache 2.0) stands in `_static/mathjax` with its licence.
"""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT), str(ROOT / "demos" / "papers")]

import catalogue
import command_output
import demo_gallery
import readme_parts
import room_pages
import source_pages

project = "elbo_lab"
author = "elbo_lab contributors"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
# A line of the footer; without a year, so that a page is the same whenever it is built.
copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.linkcode",
    "sphinx.ext.mathjax",
    "numpydoc",
    "inline_figures",
]
exclude_patterns = ["_build", "_ext", "_static"]
default_role = "code"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_url_schemes = source_pages.SCHEMES

autosummary_generate = False
numpydoc_show_class_members = False
linkcode_resolve = source_pages.url_of

html_theme = "furo"
html_title = "elbo_lab"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
mathjax_path = "mathjax/tex-svg-full.js"
# Its menu would load speech rules from another host.
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "local"}}


CONTENTS = {
    "Lessons": ["likelihood", "errors_in_texts", "road", "estimators", "variance", "numerics"],
    "Estimators, one by one": [
        "score_function",
        "pathwise",
        "discrete",
        "multi_sample",
        "bounds",
        "families",
    ],
    "Other models": ["density", "conditional", "graphs", "gplvm", "manifolds"],
    "Other ways to learn": ["beta", "wake_sleep", "monte_carlo_em", "map_and_type_two"],
    "Working with it": [
        "explorer",
        "exercises",
        "instructors",
        "command_line",
        "choosing",
        "comparing",
        "learning",
        "notebooks",
        "write_your_own",
        "extending",
        "gotchas",
        "testing",
        "cost",
        "benchmarks",
    ],
    "Demos": ["gallery/index"],
    "Reference": ["concepts", "catalogue", "glossary", "api/index", "bibliography"],
}


def add_contents(_, page, source):
    """Put the tables of contents under the start page, whose Markdown is read in other places too."""
    if page == "index":
        for caption, pages in CONTENTS.items():
            # What is generated is there by now; a page that nobody has written yet is left out.
            found = [name for name in pages if list(HERE.glob(f"{name}.*"))]
            lines = "\n".join(found)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def setup(app):
    room_pages.write(HERE / "api")
    demo_gallery.write(HERE / "gallery")
    app.add_config_value("plot_gallery", "1", "env")
    app.connect("source-read", add_contents)
    app.connect("source-read", readme_parts.insert)
    app.connect("source-read", catalogue.insert)
    app.connect("source-read", command_output.insert)
    app.connect("source-read", source_pages.point_into_the_site)
    app.connect("html-collect-pages", source_pages.collect)
    # Before numpydoc, which expects reStructuredText.
    app.connect("autodoc-process-docstring", room_pages.read_docstring, priority=100)
