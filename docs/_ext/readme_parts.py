"""Sections of the README inside a page of the site, so that a table stands in one file.

A line of a page that ends with `<!-- readme: HEADING -->` links to the README, for those who read the file
itself; on the site the text under that heading takes its place.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^.*<!-- readme: (.+?) -->$", re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")


def section(heading):
    """Return the text under a heading of the README, with links as seen from the folder of the docs."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    return LINK.sub(lambda link: f"]({_from_docs(link[1])})", found).strip()


def _from_docs(target):
    return target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"


def insert(_, __, source):
    """Put the sections into a page in place of the lines that name them; a handler of `source-read`."""
    source[0] = MARK.sub(lambda mark: section(mark[1]), source[0])
