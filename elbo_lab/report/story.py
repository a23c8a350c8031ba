"""A comparison told as a story: questions, each with a small table, and one finding.

The structure is neutral: the terminal and the HTML report render the same `Story`. All cells are text, so
that both show the same digits.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elbo_lab.report.blocks import print_lines, readable, wrapped_texts

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table

INDENT = 3
SHORT = 8


@dataclass(frozen=True)
class Column:
    """A column of a section: its title, what it means in a sentence, and whether it holds numbers."""

    title: str
    help: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Section:
    """One question with its answer.

    Attributes
    ----------
    question, unit : str
        The unit of the numbers in words: 'nats per datum'.
    columns : tuple of Column
    rows : tuple of tuple of str
        One cell for each column.
    notes : tuple of str
        Sentences below the table.
    figure : str or None
        Name of the figure that shows the same, as in `Comparison.plot`.
    """

    question: str
    unit: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    figure: str | None = None


@dataclass(frozen=True)
class Story:
    """The first screen of `elbo-lab compare`.

    Attributes
    ----------
    title, subject : str
        What is compared, and on which data with how many draws and repeats.
    sections : tuple of Section
    finding : str
        Computed from the rows.
    further : tuple of (str, str)
        Commands to go on with, and what each shows.
    """

    title: str
    subject: str
    sections: tuple[Section, ...]
    finding: str
    further: tuple[tuple[str, str], ...]


def print_head(title: str, subject: str, console: "Console") -> None:
    """Print the two lines that are known before anything is measured."""
    for text, style in ((title, "bold"), (subject, "")):
        print_lines(wrapped_texts(readable(text, console), console.width, style), console)


def print_story(story: Story, console: "Console") -> None:
    """Print the sections, the finding, and how to go on; `print_head` prints what stands above them."""
    for number, section in enumerate(story.sections, 1):
        _print_section(number, section, console)
    console.print()
    print_lines(wrapped_texts(readable(story.finding, console), console.width, "bold"), console)
    width = max(len(command) for command, _ in story.further)
    for command, shows in story.further:
        line = f"{command:<{width}}  {shows}"
        short = line if len(line) <= console.width else command
        print_lines([readable(short, console)], console)


def _print_section(number: int, section: Section, console: "Console") -> None:
    from rich.text import Text

    console.print()
    question, unit = (readable(text, console) for text in (section.question, section.unit))
    head = Text().append(f"{number}  {question}", "bold cyan")
    space = console.width - len(head) - len(unit)
    if space >= 2:
        print_lines([head.append(" " * space).append(unit, "dim")], console)
    else:
        print_lines([head, *wrapped_texts(f"{' ' * INDENT}{unit}", console.width, "dim")], console)
    # Cells are wrapped only where two spaces between columns, and then one, are too many.
    tables = [_table(section, gap, console) for gap in (2, 1)]
    room = console.width - INDENT
    table = next((one for one in tables if console.measure(one).maximum <= room), tables[-1])
    for cells in console.render_lines(table, console.options.update(width=room), pad=False):
        line = Text(" " * INDENT)
        for cell in cells:
            line.append(cell.text, cell.style)
        line.rstrip()
        print_lines([line], console)
    for note in section.notes:
        for line in wrapped_texts(readable(note, console), console.width - INDENT, "italic"):
            print_lines([Text(" " * INDENT).append(line)], console)


def _table(section: Section, gap: int, console: "Console") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for index, column in enumerate(section.columns):
        side: JustifyMethod = "right" if column.numeric else "left"
        cells = [len(row[index]) for row in section.rows]
        # In a narrow table the words of a long title stand below each other.
        words = column.title.split() if len(column.title) > SHORT else [column.title]
        width = max([*cells, *map(len, words)]) if column.numeric and gap == 1 else None
        title = readable(column.title, console)
        table.add_column(title, justify=side, no_wrap=not index, max_width=width)
    for row in section.rows:
        table.add_row(*(Text(readable(cell, console)) for cell in row))
    return table
