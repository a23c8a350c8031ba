"""What a page says of itself: a description for search results and links, and its address.

The description is the first sentence of the page; of a lesson it is what the reader can do afterwards. The
address of the site comes from `html_baseurl`: with it, the site has canonical addresses and a map.
"""

import html
import re
from urllib.parse import urljoin

from docutils import nodes

SHORTEST, ENOUGH = 20, 60
LONGEST = 160  # letters, about what a list of results shows
GOAL = re.compile(r"\bAfter: you (.+?)(?:\. |\.?$)")
# docutils writes a second one, beside that of the theme.
VIEWPORT = re.compile(r'<meta content="width=device-width, initial-scale=1" name="viewport" ?/?>\n?')
VIEWPORT_FIRST = re.compile(r'<meta name="viewport" content="width=device-width, initial-scale=1" ?/?>\n?')


def description_of(doctree, title):
    """Return the description of a page.

    Parameters
    ----------
    doctree : docutils.nodes.document or None
        None for a page without a source, as an index.
    title : str
        Of the page, used where it has no sentence.
    """
    for paragraph in doctree.findall(nodes.paragraph) if doctree is not None else ():
        in_text = not isinstance(paragraph.parent, (nodes.entry, nodes.list_item))
        text = " ".join(paragraph.astext().replace("\\", "").split())
        if in_text and text[:1].isupper() and len(text) > SHORTEST:
            goal = GOAL.search(text)
            if goal:
                return shortened(f"{title.rstrip('.')}{'' if title.endswith('?') else '.'} You {goal[1]}.")
            first, *rest = re.split(r"(?<=[.?!]) (?=[A-Z])", text)
            while rest and len(first) < ENOUGH:
                first += f" {rest.pop(0)}"
            return shortened(first)
    return shortened(f"{title}: a page of elbo_lab, where estimates of log p(x) stand beside exact answers.")


def shortened(text):
    """Return a text of at most LONGEST letters, cut between words."""
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - 1].rpartition(" ")[0].rstrip(",;:") + "…"


def add_to_head(app, page, _, context, doctree):
    """Put description and Open Graph into the head of a page; a handler of `html-page-context`."""
    title = html.unescape(re.sub(r"<[^>]*>", "", context.get("title", ""))) or app.config.project
    description = description_of(doctree, title)
    pairs = {"og:title": title, "og:description": description, "og:type": "website"}
    pairs["og:site_name"] = app.config.project
    if app.config.html_baseurl:
        pairs["og:url"] = urljoin(app.config.html_baseurl, app.builder.get_target_uri(page))
    lines = [f'<meta name="description" content="{html.escape(description)}">']
    lines += [f'<meta property="{name}" content="{html.escape(text)}">' for name, text in pairs.items()]
    kept = VIEWPORT_FIRST.sub("", VIEWPORT.sub("", context.get("metatags", "")))
    context["metatags"] = "\n".join([kept, *lines])
    # A heading for a screen reader needs a level.
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def write_map(app, failed):
    """Write the map of a site whose address is known; a handler of `build-finished`."""
    base = app.config.html_baseurl
    if failed or not base or app.builder.format != "html":
        return
    pages = sorted(map(app.builder.get_target_uri, app.env.all_docs))
    lines = [f"<url><loc>{html.escape(urljoin(base, page))}</loc></url>" for page in pages]
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    )
    app.outdir.joinpath("sitemap.xml").write_text(
        "\n".join([head, *lines, "</urlset>", ""]), encoding="utf-8"
    )


def setup(app):
    """Connect the handlers, after those of the theme."""
    app.connect("html-page-context", add_to_head, priority=900)
    app.connect("build-finished", write_map)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
