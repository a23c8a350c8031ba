"""Lines of text, and small tables with one block per model and target, at any width.

Where the columns do not fit beside the longest name, the numbers of a row are on the line below it; none is
left out, and none is cut.

rich is imported when a table is drawn, since `import elbo_lab` must stay light.
"""

import textwrap
from collections.abc import Callable, Iterable
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from elbo_lab.report.cells import Row, Rows, clean_text
from elbo_lab.report.grouping import group_rows, model_label, order_targets

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Block = tuple[str, list[tuple[str, tuple[str, ...]]]]
"""Head of a block, and its rows: name and cells."""

COLORS = dict.fromkeys(("beats", "same", "identical", "best"), "green")
COLORS |= dict.fromkeys(("loses", "changed"), "red") | {"undecided": "yellow"}

# For terminals without these letters.
ASCII = str.maketrans({"±": "+-", "–": "-", "·": "-", "×": "x", "\u2500": "-"})


def styled(lines: Iterable[str], style: str = "") -> "list[Text]":
    """Return lines in a style of rich."""
    from rich.text import Text

    return [Text(line, style) for line in lines]


def wrapped(text: str, width: int, hang: int = 0) -> list[str]:
    """Break a text, not at hyphens, into lines of at most `width`, all but the first indented by `hang`."""
    indent = " " * min(hang, width // 2)
    return textwrap.wrap(text, max(width, 1), subsequent_indent=indent, break_on_hyphens=False)


def wrapped_texts(text: str, width: int, style: str = "") -> "list[Text]":
    """Return a text as lines of at most `width` in a style of rich."""
    return styled(wrapped(text, width), style)


def name_cell(name: object, width: int) -> str:
    """Pad a name to `width` cells, or cut it with '..' if a terminal is too narrow for it."""
    from rich.cells import cell_len, set_cell_size

    name = clean_text(name)
    if cell_len(name) > width:
        return set_cell_size(name, max(width - 2, 0)) + ".."[:width]
    return set_cell_size(name, width)


def model_blocks(rows: Rows, cells: Callable[[Row], tuple[str, ...]]) -> list[Block]:
    """Return one block for each target and model, with cells(row) for each row."""
    blocks = []
    for target in order_targets(rows):
        for block in group_rows([row for row in rows if row["target"] == target]).values():
            named_cells = [(row["estimator"], cells(row)) for row in block]
            blocks.append((f"{model_label(block[0])}  {target}", named_cells))
    return blocks


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
        lines += styled(wrapped(clean_text(head), width, hang=2), "bold cyan")
        for name, cells in block:
            if gap is None:
                named = [f"{title} {cell}" for title, cell in zip(titles, cells, strict=True)]
                lines.append(Text(name_cell(name, min(width, len(clean_text(name))))))
                lines += styled(f"  {part}" for part in wrapped(", ".join(named), width - 2))
                continue
            line = Text(name_cell(name, lead))
            for cell, size in zip(cells, sizes, strict=True):
                line.append(gap).append(cell.rjust(size), COLORS.get(cell, ""))
            lines.append(line)
    return [*lines, Text(dash * width, "dim")]


def width_or_terminal(width: int | None) -> int:
    """Return a width in characters; without one that of the terminal, or 120 where there is none."""
    return get_terminal_size((120, 24)).columns if width is None else width


def text_of(lines: "Iterable[Text | str]") -> str:
    """Return lines as one plain text.

    No console of rich comes into it: in a notebook such a console displays what it is to print.
    """
    return "\n".join(str(line).rstrip() for line in lines) + "\n"


def readable(text: str, console: "Console") -> str:
    """Return a text in letters that the console has."""
    return text if (console.encoding or "").lower().startswith("utf") else text.translate(ASCII)


def dash_of(console: "Console") -> str:
    """Return the character for rules that a console can show."""
    return readable("\u2500", console)


def print_lines(lines: "Iterable[Text | str]", console: "Console") -> None:
    """Print lines that fit, as they are."""
    for line in lines:
        console.print(line, no_wrap=True, overflow="crop", highlight=False)
