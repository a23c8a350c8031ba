"""Pages of the source files, so that a link to a file works in the built site as in a repository.

Pages of the docs link relative to their own place, as `../elbo_lab/bounds/elbo.py`, which a repository
browser resolves by itself. For the site such a target is turned into the page of that file (or folder), and
a demo into its page in the gallery.
"""

import html
import inspect
import re
import sys
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import MarkdownLexer, PythonLexer

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("elbo_lab", "tests", "demos")
LEXERS = {".py": PythonLexer, ".md": MarkdownLexer}
DEMO = re.compile(r"\]\(\.\./demos/((?:papers/)?\w+)\.py\)")
FILE = re.compile(r"\]\(\.\./((?:elbo_lab|tests|demos)/?[\w./-]*?)/?(#L\d+)?\)")
# In MyST a scheme of our own: relative, since all pages stand in one folder.
SCHEMES = {"http": None, "https": None, "source": "source/{{path}}.html#{{fragment}}"}


def point_into_the_site(_, __, source):
    """Turn links into the repository to links into the site; a handler of `source-read`."""
    text = DEMO.sub(r"](gallery/\1.rst)", source[0].replace("](../demos)", "](gallery/index.rst)"))
    source[0] = FILE.sub(r"](source:\1\2)", text)


def url_of(_, info):
    """Return the address of the source of an object, for `sphinx.ext.linkcode` on a page of the API."""
    try:
        found = sys.modules[info["module"]]
        for part in info["fullname"].split("."):
            found = getattr(found, part)
        found = inspect.unwrap(getattr(found, "fget", found))
        path = Path(inspect.getsourcefile(found)).resolve().relative_to(ROOT)
        line = inspect.getsourcelines(found)[1]
    except (AttributeError, TypeError, OSError, ValueError):
        return None
    return f"../source/{path.as_posix()}.html#L-{line}"


def _crumbs(path):
    """Return the path as links to its folders, from a page that stands at this path."""
    *folders, last = path.parts
    up = [f'<a href="{"../" * (len(folders) - i)}{name}.html">{name}</a>' for i, name in enumerate(folders)]
    return " / ".join([*up, html.escape(last)])


def _page(path, body):
    context = {"title": path.as_posix(), "body": f'<h1 class="source-path">{_crumbs(path)}</h1>\n{body}'}
    return f"source/{path.as_posix()}", context, "page.html"


def _listing(folder):
    """Return links to the files and folders of a folder, each with the first line of its docstring."""
    rows = []
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if entry.name.startswith((".", "__pycache__")) or (entry.is_file() and entry.suffix not in LEXERS):
            continue
        chapter = entry / "__init__.py" if entry.is_dir() else entry
        first = re.match(r'r?"""(.+)', chapter.read_text(encoding="utf-8")) if chapter.exists() else None
        text = html.escape(first[1].rstrip('"')) if first else ""
        slash = "/" if entry.is_dir() else ""
        link = f'<a href="{folder.name}/{entry.name}.html"><code>{entry.name}{slash}</code></a>'
        rows.append(f"<tr><td>{link}</td><td>{text}</td></tr>")
    return f'<div class="table-wrapper"><table class="docutils">{"".join(rows)}</table></div>'


def collect(_):
    """Yield a page for every source file and folder; a handler of `html-collect-pages`."""
    formatter = HtmlFormatter(linenos="inline", lineanchors="L", cssclass="highlight")
    for room in ROOMS:
        yield _page(Path(room), _listing(ROOT / room))
        for path in sorted((ROOT / room).rglob("*")):
            place = path.relative_to(ROOT)
            if "__pycache__" in place.parts or any(part.startswith(".") for part in place.parts):
                continue
            if path.is_dir():
                yield _page(place, _listing(path))
            elif path.suffix in LEXERS:
                code = highlight(path.read_text(encoding="utf-8"), LEXERS[path.suffix](), formatter)
                yield _page(place, code)
