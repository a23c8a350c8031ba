"""Docstrings of the house as reStructuredText.

Chapters (docstrings of modules) and the texts over demos are plain text: paragraphs, formulas that stand
indented by four, headings with a line under them, names in backticks. Read as reStructuredText their
formulas would run together, and a `|` or a `*` in a formula would be markup.
"""

import re
from itertools import groupby

CODE = re.compile(r"(``[^`]+``|`[^`]+`)")
EMPHASIS = re.compile(r"(?<![\w*])\*([A-Za-z][\w\n',-]*(?: [\w\n',-]+)*)\*(?![\w*])")
STRONG = re.compile(r"\*\*(\w[^*]*\S|\w)\*\*")
HEADING = re.compile(r"^(\S.*)\n([-=])\2{2,}$", re.MULTILINE)
LIST_AFTER_PROSE = re.compile(r"^(?!- |  )(.+)\n(?=- )", re.MULTILINE)


def escape(text):
    """Return text whose only markup is code in backticks, *emphasis* and **strong words**."""
    parts = CODE.split(text)
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = f"``{part.strip('`')}``"
        else:
            marked = STRONG.sub("\x00\x00\\1\x00\x00", part.replace("\\", "\\\\"))
            marked = EMPHASIS.sub("\x00\\1\x00", marked)
            marked = re.sub(r"_(?!\w)", r"\\_", re.sub(r"([*|`])", r"\\\1", marked))
            parts[i] = marked.replace("\x00", "*")
    return "".join(parts)


def _kinds(lines):
    """Return the kind of each line; a blank line between two formulas belongs to them."""
    kinds = ["formula" if line.startswith("    ") else "prose" if line.strip() else "" for line in lines]
    for i, kind in enumerate(kinds):
        if not kind and i and kinds[i - 1] == "formula":
            following = next((later for later in kinds[i:] if later), "prose")
            kinds[i] = "formula" if following == "formula" else ""
    return kinds


def to_rst(text):
    """Return plain text of the house as reStructuredText."""
    lines = text.rstrip().splitlines()
    found = []
    for kind, group in groupby(zip(_kinds(lines), lines, strict=True), key=lambda pair: pair[0]):
        block = [line for _, line in group]
        if kind == "formula":
            found += ["", ".. code-block:: none", "", *block, ""]
        else:
            prose = HEADING.sub(r"\n.. rubric:: \1\n", escape("\n".join(block)))
            found += LIST_AFTER_PROSE.sub(r"\1\n\n", prose).split("\n")
    return "\n".join(found) + "\n"
