"""A comparison told as a story: questions, each with a small table, and one finding.

The structure is neutral: the terminal and the HTML report render the same `Story`. All cells are text, so
that both show the same digits.
"""

from dataclasses import dataclass


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
