"""How the site is built:  sphinx-build -W -b html docs OUT

No demo runs: their figures are kept (`_ext/kept_figures.py`). Commands whose output a page shows do run,
unless `-D run_commands=0` is given. Nothing is loaded from elsewhere at view time: MathJax (3.2.2,
`es5/tex-svg-full.js` of the package `mathjax`, Apache 2.0) stands in `_static/mathjax` with its licence.
"""

import os
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlparse

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT), str(ROOT / "demos" / "papers")]

import catalogue
import command_output
import demo_gallery
import explorer_page
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
    "sphinx_copybutton",
    "notfound.extension",
    "inline_figures",
    "page_head",
    "tables",
]
exclude_patterns = ["_build", "_ext", "_static", "_templates"]
default_role = "code"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_url_schemes = source_pages.SCHEMES

autosummary_generate = False
numpydoc_show_class_members = False
linkcode_resolve = source_pages.url_of

templates_path = ["_templates"]
html_theme = "furo"
html_title = "elbo_lab"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_js_files = ["site.js", ("motion.js", {"defer": "defer"})]
# Where the site is published, with a slash at its end: for canonical addresses and a map of the site.
html_baseurl = os.environ.get("ELBO_LAB_SITE_URL", "")
html_copy_source = False
html_show_sphinx = False
# Code that one may run; what it prints and the pages of the source are not copied.
copybutton_selector = "div[class^=highlight-]:not(.highlight-text) > div.highlight pre"
# A page that is missed may be anywhere, so that its links are those from the root.
notfound_urls_prefix = urlparse(html_baseurl).path or "/"
notfound_context = {
    "title": "Page not found",
    "body": "<h1>Page not found</h1><p>There is no page at this address. "
    f'<a href="{notfound_urls_prefix}index.html">The start page</a> has the way to all others, '
    f'and <a href="{notfound_urls_prefix}search.html">the search</a> finds words.</p>',
}
mathjax_path = "mathjax/tex-svg-full.js"
# Its menu would load speech rules from another host.
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "local"}}


# In the order of reading; what comes first is for everybody.
CONTENTS = {
    "Learn": ["likelihood", "road", "estimators", "variance", "exercises", "explorer", "gallery/index"],
    "Then: each estimator": [
        "score_function",
        "pathwise",
        "discrete",
        "multi_sample",
        "bounds",
        "families",
        "choosing",
    ],
    "Then: what goes wrong": ["what_the_bound_hides", "errors_in_texts", "gotchas", "numerics"],
    "Then: other models": ["several_layers", "density", "conditional", "graphs", "gplvm", "manifolds"],
    "Then: other ways to learn": ["learning", "beta", "wake_sleep", "monte_carlo_em", "map_and_type_two"],
    "Use and extend": ["command_line", "comparing", "notebooks", "write_your_own", "extending"],
    "Teach and check": ["instructors", "testing", "cost", "benchmarks"],
    "Reference": ["concepts", "catalogue", "grid", "glossary", "api/index", "bibliography"],
}

# What one may search for, by the page that explains it, which then comes first.
KEYWORDS = {
    "likelihood": "evidence; marginal likelihood; ELBO; variational lower bound; KL divergence; surprisal; "
    "learned variance; prior sampling",
    "road": "EM algorithm; expectation maximization; VAE; variational autoencoder; variational EM",
    "estimators": "gradient estimator",
    "score_function": "REINFORCE; score function; likelihood ratio; baseline; leave-one-out; control variate",
    "pathwise": "reparameterization; reparameterization trick; pathwise gradient; sticking the landing; "
    "measure-valued gradient",
    "discrete": "Gumbel-softmax; Concrete distribution; straight-through; REBAR; RELAX; ARM; DisARM",
    "multi_sample": "IWAE; importance-weighted autoencoder; VIMCO; DReG; OVIS; signal-to-noise ratio; "
    "signal to noise",
    "bounds": "ELBO surgery; Renyi bound; CUBO; annealed importance sampling",
    "families": "implicit reparameterization; inverse transform sampling; change of variables",
    "what_the_bound_hides": "mode seeking; mass covering; early stopping and the ELBO",
    "numerics": "log-sum-exp; softplus; float32",
    "write_your_own": "own estimator; own model; own data; CSV",
    "learning": "early stopping; checkpoint; MNIST",
    "beta": "beta-VAE; posterior collapse; disentangling",
    "conditional": "conditional VAE; classifier",
    "density": "kernel density; histogram",
    "several_layers": "sigmoid belief network; hierarchical VAE; variable elimination",
    "gplvm": "Gaussian process; GPLVM",
    "graphs": "directed graph; missing data; d-separation",
    "manifolds": "manifold; two-stage VAE",
    "map_and_type_two": "MAP; maximum a posteriori; empirical Bayes; variational Bayes",
    "wake_sleep": "wake-sleep; reweighted wake-sleep",
    "monte_carlo_em": "Monte Carlo EM; Langevin; HMC",
}


def add_keywords(_, page, source):
    """Put the words of a page into the index, under its title."""
    if page in KEYWORDS:
        title, _, rest = source[0].partition("\n")
        entries = [f"```{{index}} ! {word}\n```" for word in KEYWORDS[page].split("; ")]
        source[0] = "\n\n".join([title, *entries, rest.lstrip()])


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
    app.add_config_value("run_commands", True, "env")
    app.connect("source-read", add_contents)
    app.connect("source-read", add_keywords)
    app.connect("source-read", readme_parts.insert)
    app.connect("source-read", catalogue.insert)
    app.connect("source-read", command_output.insert)
    app.connect("source-read", source_pages.point_into_the_site)
    app.connect("html-collect-pages", source_pages.collect)
    app.connect("build-finished", explorer_page.write)
    # Before numpydoc, which expects reStructuredText.
    app.connect("autodoc-process-docstring", room_pages.read_docstring, priority=100)
