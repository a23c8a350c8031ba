"""Columns of numbers in a table stand at the right, and no number is broken into two lines."""

import re

from docutils import nodes

NUMBER = re.compile(
    r"[−+±<>≈~-]?\s?\d[\d,.]*(?: \d{3})*(?:e[+-]?\d+)?(?: ?(?:%|±|×|x|ms|us|s|min|MB|kB|times)\W?[\d.]*)?"
)
EMPTY = {"", "-", "–", "—", "n/a"}


def is_number(text):
    """Return whether the text of a cell is one number, with its unit if it has one."""
    return NUMBER.fullmatch(text.strip()) is not None


def mark_numbers(_, doctree, __=None):
    """Give the cells of a column of numbers the class `number`; a handler of `doctree-resolved`."""
    for table in doctree.findall(nodes.tgroup):
        bodies = [row.children for body in table.findall(nodes.tbody) for row in body]
        heads = [row.children for head in table.findall(nodes.thead) for row in head]
        for place, cells in enumerate(zip(*bodies, strict=False)):
            texts = [text for cell in cells if (text := cell.astext().strip()) not in EMPTY]
            if texts and all(map(is_number, texts)):
                for cell in [*cells, *(row[place] for row in heads if place < len(row))]:
                    cell["classes"] = [name for name in cell["classes"] if not name.startswith("text-")]
                    cell["classes"].append("number")


def setup(app):
    """Connect the handler."""
    app.connect("doctree-resolved", mark_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
