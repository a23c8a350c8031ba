"""The source on the site: a page for each subpackage, and the tests as the sentences that they are named by.

Pages of the docs link relative to their own place, as `../elbo_lab/bounds/elbo.py`, which a repository
browser resolves by itself. For the site such a target is turned into the place of that file (or folder) on
the page of its subpackage, and a demo into its page in the gallery.
"""

import ast
import html
import inspect
import re
import sys
from pathlib import Path, PurePosixPath

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import MarkdownLexer, PythonLexer, TOMLLexer

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "elbo_lab"
LEXERS = {".py": PythonLexer, ".md": MarkdownLexer, ".toml": TOMLLexer}
DEMO = re.compile(r"\]\(\.\./demos/((?:papers/)?\w+)\.py\)")
FILE = re.compile(r"\]\(\.\./((?:elbo_lab|tests|demos)/?[\w./-]*?)/?\)")
# Tokens in the colour of the text, which are most of them.
PLAIN = re.compile(r'<span class="(?:n|p|w|o)">([^<]*)</span>')
# In MyST a scheme of our own: relative, since all pages stand in one folder.
SCHEMES = {"http": None, "https": None, "source": "source/{{path}}.html#{{fragment}}"}


def place_of(path):
    """Return (page, place on it) of a file or a folder: ('bounds', 'elbo.py') of elbo_lab/bounds/elbo.py.

    Parameters
    ----------
    path : str
        From the root of the repository, with forward slashes.
    """
    top, *inside = PurePosixPath(path).parts
    if top != PACKAGE or not inside or inside[0].endswith(".py"):
        return top, "/".join(inside)
    return inside[0], "/".join(inside[1:])


def point_into_the_site(_, __, source):
    """Turn links into the repository to links into the site; a handler of `source-read`."""
    text = DEMO.sub(r"](gallery/\1.md)", source[0].replace("](../demos)", "](gallery/index.md)"))
    source[0] = FILE.sub(lambda found: "](source:{}#{})".format(*place_of(found[1])), text)


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
    page, place = place_of(path.as_posix())
    return f"../source/{page}.html#{place}-L-{line}"


# -- the pages -------------------------------------------------------------------------------------


def _shown(folder):
    """Return the files of a folder that are shown."""
    found = [path for path in folder.iterdir() if path.is_file() and path.suffix in LEXERS]
    return sorted(path for path in found if not path.name.startswith("."))


def _all_shown(folder):
    """Return the files of a folder that are shown, those of its folders after its own."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    inner = [path for path in inner if not path.name.startswith((".", "__pycache__"))]
    return sum(map(_all_shown, inner), _shown(folder))


def _first_line(path):
    """Return the first line of the docstring of a file, or ''."""
    found = re.match(r'r?"""(.+)', path.read_text(encoding="utf-8"))
    return html.escape(found[1].removesuffix('"""')) if found else ""


def _definitions(text):
    """Return the lines where classes and functions begin, with their decorators."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return {min([node.lineno, *(one.lineno for one in node.decorator_list)]) for node in found}


def _code(path, place):
    """Return the highlighted text of a file, with an anchor at each definition."""
    text = path.read_text(encoding="utf-8")
    formatter = HtmlFormatter(lineanchors=f"{place}-L", cssclass="highlight")
    shown = highlight(text, LEXERS[path.suffix](), formatter)
    lines = _definitions(text) if path.suffix == ".py" else set()
    anchor = re.compile(r'<a id="[^"]*-L-(\d+)"[^>]*></a>')
    kept = f'<a id="{place}-L-{{}}"></a>'.format
    shown = anchor.sub(lambda found: kept(found[1]) if int(found[1]) in lines else "", shown)
    return PLAIN.sub(r"\1", shown)


def _rows(pairs):
    """Return rows of a table: (address, name, text) triples."""
    return "".join(
        f'<tr><td><a href="{address}"><code>{name}</code></a></td><td>{text}</td></tr>'
        for address, name, text in pairs
    )


def _page(name, title, files, body_of, pages=()):
    """Return a page of some files, with a list of them.

    Parameters
    ----------
    name, title : str
    files : dict
        {place on the page: path}.
    body_of : callable
        (path, place) -> HTML.
    pages : iterable
        (address, name, text) of further pages, before the files.
    """
    listed = _rows([*pages, *((f"#{place}", place, _first_line(path)) for place, path in files.items())])
    sections, folders = [], {""}
    for place, path in files.items():
        folder = place.rpartition("/")[0]
        start = "" if folder in folders else f'<span id="{folder}"></span>'
        folders.add(folder)
        sections.append(
            f'{start}<section id="{place}"><h2><code>{place}</code></h2>{body_of(path, place)}</section>'
        )
    table = f'<div class="table-wrapper"><table class="docutils">{listed}</table></div>'
    body = f'<h1 class="source-path">{title}</h1>{table}{"".join(sections)}'
    return f"source/{name}", {"title": title, "body": body}, "page.html"


def _sentences(path, place):
    """Return the tests of a file as a list: their names are sentences."""
    if path.suffix != ".py":
        return _code(path, place)
    names = re.findall(r"^ *def test_(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    items = "".join(f"<li>{name.replace('_', ' ')}</li>" for name in names)
    return f"<p>{_first_line(path)}</p><ul>{items}</ul>"


def _places(paths, folder):
    return {path.relative_to(folder).as_posix(): path for path in paths}


def collect(_):
    """Yield the pages of the source; a handler of `html-collect-pages`."""
    package, tests = ROOT / PACKAGE, ROOT / "tests"
    rooms = [path.parent for path in sorted(package.glob("*/__init__.py"))]
    pages = [(f"{room.name}.html", f"{room.name}/", _first_line(room / "__init__.py")) for room in rooms]
    yield _page(PACKAGE, PACKAGE, _places(_shown(package), package), _code, pages)
    for room in rooms:
        yield _page(room.name, f"{PACKAGE}.{room.name}", _places(_all_shown(room), room), _code)
    yield _page("tests", "What the tests say", _places(_all_shown(tests), tests), _sentences)
