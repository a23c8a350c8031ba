"""Small tables with one block per model and target, at any width.

Where the columns do not fit beside the longest name, the numbers of a row stand in the line below it; none is
left out, and none is cut.
"""

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from elbo_lab.report.cells import clean_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Block = tuple[str, list[tuple[str, tuple[str, ...]]]]
"""Head of a block, and its rows: name and cells."""

COLORS = dict.fromkeys(("beats", "same", "identical", "best"), "green")
COLORS |= dict.fromkeys(("loses", "changed"), "red") | {"undecided": "yellow"}


def block_lines(
    blocks: Iterable[Block], titles: tuple[str, ...], width: int, dash: str = "-"
) -> "list[Text]":
    """Return the lines of a table.

    Parameters
    ----------
    blocks : list of (str, list of (str, tuple of str))
        Head, and the rows: name and cells.
    titles : tuple of str
        Of the cells; the name's is 'estimator'.
    width : int
        Characters per line.
    dash : str
        One character for rules.
    """
    from rich.text import Text

    from elbo_lab.report.tables import name_cell, wrapped

    rows = [row for _, block in blocks for row in block]
    sizes = [max(len(title), *(len(cells[i]) for _, cells in rows)) for i, title in enumerate(titles)]
    lead = max(len("estimator"), *(len(clean_text(name)) for name, _ in rows))
    gap = next((gap for gap in ("  ", " ") if lead + sum(sizes) + len(gap) * len(sizes) <= width), None)
    lines = []
    if gap is not None:
        header = "".join(gap + title.rjust(size) for title, size in zip(titles, sizes, strict=True))
        lines.append(Text(name_cell("estimator", lead) + header, "dim"))
    for head, block in blocks:
        lines.append(Text(dash * width, "dim"))
        lines += [Text(part, "bold cyan") for part in wrapped(clean_text(head), width, hang=2)]
        for name, cells in block:
            if gap is None:
                plain = clean_text(name)
                named = [f"{title} {cell}" for title, cell in zip(titles, cells, strict=True)]
                lines.append(Text(name_cell(plain, min(width, len(plain)))))
                lines += [Text("  ").append(part) for part in wrapped_texts(", ".join(named), width - 2)]
                continue
            line = Text(name_cell(name, lead))
            for cell, size in zip(cells, sizes, strict=True):
                line.append(gap).append(cell.rjust(size), COLORS.get(cell, ""))
            lines.append(line)
    return [*lines, Text(dash * width, "dim")]


def wrapped_texts(text: str, width: int, style: str = "") -> "list[Text]":
    """Return a text as lines of at most `width`; names are not broken at their hyphens."""
    from rich.text import Text

    return [Text(line, style) for line in textwrap.wrap(text, width, break_on_hyphens=False)]


def dash_of(console: "Console") -> str:
    """Return the character for rules that a console can show."""
    return "\u2500" if (console.encoding or "").lower().startswith("utf") else "-"


def print_lines(lines: "Iterable[Text | str]", console: "Console") -> None:
    """Print lines that fit, as they are."""
    for line in lines:
        console.print(line, no_wrap=True, overflow="crop", highlight=False)
