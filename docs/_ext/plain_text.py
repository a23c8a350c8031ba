"""Docstrings of the house as reStructuredText.

Chapters (docstrings of modules) are plain text: paragraphs, formulas that stand indented by four, headings
with a line under them, names in backticks. Read as reStructuredText their formulas would run together, and a
`|` or a `*` in a formula would be markup. Formulas are typeset, as in the notebook of a demo.
"""

import re
from itertools import groupby

CODE = re.compile(r"(``[^`]+``|`[^`]+`)")
EMPHASIS = re.compile(r"(?<![\w*])\*([A-Za-z][\w\n',-]*(?: [\w\n',-]+)*)\*(?![\w*])")
STRONG = re.compile(r"\*\*(\w[^*]*\S|\w)\*\*")
HEADING = re.compile(r"^(\S.*)\n([-=])\2{2,}$", re.MULTILINE)
# Names and marks that only code has.
TYPED = re.compile(r"log_[a-z]|[a-z]{2}_[a-z]{3}|[a-z]\.[a-z]\w*\(|[`\"#]|->|==|\*\*|\bnp\b|\([A-Z], [A-Z]\b")
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


def is_mathematics(lines):
    """Return whether indented lines are formulas; code and tables of words stay as they were typed."""
    from elbo_lab.cli.notebooks import MATH

    cells = [cell for line in lines for cell in re.split(r" {2,}", line.strip()) if cell]
    formulas = sum(MATH.search(cell) is not None for cell in cells)
    return 2 * formulas >= len(cells) and not any(TYPED.search(line) for line in lines)


def _displays(lines):
    """Return the lines of directives that typeset formulas."""
    from elbo_lab.cli.notebooks import formulas

    found = []
    for display in formulas(lines):
        found += ["", ".. math::", "", *(f"   {line}" for line in display.splitlines()), ""]
    return found


def to_rst(text):
    """Return plain text of the house as reStructuredText."""
    lines = text.rstrip().splitlines()
    found = []
    for kind, group in groupby(zip(_kinds(lines), lines, strict=True), key=lambda pair: pair[0]):
        block = [line for _, line in group]
        if kind == "formula" and is_mathematics(block):
            found += _displays([line for line in block if line.strip()])
        elif kind == "formula":
            found += ["", ".. code-block:: none", "", *block, ""]
        else:
            prose = HEADING.sub(r"\n.. rubric:: \1\n", escape("\n".join(block)))
            found += LIST_AFTER_PROSE.sub(r"\1\n\n", prose).split("\n")
    return "\n".join(found) + "\n"
