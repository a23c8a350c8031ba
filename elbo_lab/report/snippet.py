"""What a notebook shows of a result: its head, a table or two, and the rest folded.

A snippet takes its colours from the page around it, light or dark. Jinja2 is imported when one is made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from elbo_lab.errors import one_line
from elbo_lab.report.cells import Row, Rows, clean_text, interval_text, number_text, time_text
from elbo_lab.report.grouping import model_label
from elbo_lab.report.numbers import columns_of, number_rows
from elbo_lab.report.page import (
    Block,
    Cell,
    Table,
    environment,
    models_table,
    plus_minus,
    questions_of,
    story_table,
    subject_of,
)
from elbo_lab.report.parameters import parameter_table
from elbo_lab.report.story import Column, Story
from elbo_lab.study.scene import WHERE

if TYPE_CHECKING:
    from elbo_lab.fitting import FitResult

# The columns of a notebook; the others are in `table`, in the report and in the files.
KEPT = ("estimator", "bias", "verdict", "variance", "95 % interval", "snr", "time", "ratio", "of ratio")
# Rows and columns of parameters that stand open.
MOST_LINES = 10
# Characters of a setting.
LONGEST = 80
MAIN = "grad-phi-elbo"
# Rows of a table that stands open, and of all tables together: more would fill pages of a notebook.
MOST_OPEN, MOST_ROWS = 30, 150


class Part(NamedTuple):
    """A part of a snippet: tables and sentences, open or folded under a title."""

    title: str
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    opened: bool = False


def snippet(title: str, subject: str, parts: Iterable[Part]) -> str:
    """Return the HTML of a head and parts; what they hold is escaped."""
    words = {"title": title, "subject": subject, "parts": list(parts)}
    return environment().get_template("snippet.html").render(words)


def plain_table(caption: str, titles: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> Table:
    """Return a table of texts, the first `names` columns of which hold no numbers."""
    columns = tuple(Column(title, numeric=i >= names) for i, title in enumerate(titles))
    return Table(caption, columns, [tuple(Cell(plus_minus(text)) for text in row) for row in rows])


def comparison_snippet(rows: Rows, settings: dict[str, Any], story: Story | None) -> str:
    """Return the HTML of a comparison: its story, or its models and one table for each question."""
    if story is not None:
        parts = [
            Part(f"{section.question} ({section.unit})", [story_table(section)], section.notes, True)
            for section in story.sections
        ]
        return snippet(story.title, story.subject, [*parts, Part("", notes=[story.finding], opened=True)])
    parts, left, unshown = [Part("", [models_table(rows, settings)], opened=True)], MOST_ROWS, []
    # The gradients in phi come first.
    for question in sorted(questions_of(rows, settings), key=lambda question: question.slug != MAIN):
        table = joined(question.blocks, with_help=len(parts) == 1)  # what the columns mean is said once
        if table is None:
            continue
        if len(table.rows) > left:
            unshown.append(question.question)
            continue
        left -= len(table.rows)
        opened = question.slug == MAIN and len(table.rows) <= MOST_OPEN
        parts.append(Part(question.question, [table], opened=opened))
    if unshown:
        rest = f"Not shown here: {' '.join(unshown)} result.report(folder) writes a page with all tables."
        parts.append(Part("", notes=[rest], opened=True))
    return snippet("Comparison with exact answers", subject_of(rows, settings), parts)


def fit_snippet(result: "FitResult") -> str:
    """Return the HTML of a fit: closing numbers and parameters; its history and settings folded."""
    settings, history = result.settings, result.history
    titles, numbers = number_rows(columns_of(result.final))
    titles = ["in nats", *(title.strip().replace("\n", ", ") for title in titles)]
    closing = plain_table("", titles, numbers)
    table = parameter_table(result.parameters, result.train.columns)
    facts, names, rows = table.facts, table.titles, table.rows
    shown = [(clean_text(name), *cells) for name, cells in rows[:MOST_OPEN]]
    # The last sentence stands above the table.
    above, title = (facts[:-1], facts[-1].rstrip(":")) if rows else (facts, "")
    parts = [Part("", [closing], opened=True), Part("", notes=above, opened=True)]
    if rows:
        opened = len(rows) <= MOST_LINES and len(names) <= MOST_LINES
        parts.append(Part(title, [plain_table("", ("", *names), shown)], opened=opened))
    parts.append(Part("", notes=[f"stopped: {result.stopped}", *result.warnings], opened=True))
    if len(history) > 1:
        every = -(-len(history) // MOST_OPEN)
        chosen = [*history[-1::-every]][::-1]
        numeric = {name for row in chosen for name in row if isinstance(row[name], int | float)}
        titles = [name for name in chosen[-1] if name in numeric]
        cells = [[number_text(row.get(name)) for name in titles] for row in chosen]
        note = [f"Every {every} rows of {len(history)}; result.history has them all."] if every > 1 else []
        parts.append(Part("History", [plain_table("", titles, cells, 0)], note))
    parts.append(Part("Settings", [_settings(settings)]))
    return snippet(f"{settings['model']} on {result.train.name}", f"method {settings['method']}", parts)


def advice_snippet(settings: dict[str, Any], sentences: Sequence[str], rows: Rows) -> str:
    """Return the HTML of an advice: what to use; the measurements folded."""
    parts = [Part("", notes=sentences, opened=True)]
    titles = ("estimator", "variance", "time", "work, times the least", "95 % interval", "verdict")
    places: dict[tuple[str, str], Rows] = {}
    for row in rows:
        if row["reason"] is None:
            places.setdefault((row["target"], row["at"]), []).append(row)
    tables = []
    for (target, at), found in places.items():
        cells = [
            (
                clean_text(row["estimator"]),
                number_text(row["variance"]),
                time_text(row["seconds_per_estimate"]),
                number_text(row["work_ratio"]),
                interval_text(row["work_ratio_low"], row["work_ratio_high"]),
                row["verdict"],
            )
            for row in found
        ]
        tables.append(plain_table(f"{target}, q {WHERE[at]}", titles, cells))
    parts += [Part("Measurements", tables)] if tables else []
    subject = f"{settings['model']} on {settings['data']}, {settings['rows']} rows, K = {settings['latent']}"
    return snippet("Advice", subject, [*parts, Part("Settings", [_settings(settings)])])


def difference_snippet(
    summary: str, settings: dict[str, list[Any]], rows: Rows, only: tuple[Rows, Rows]
) -> str:
    """Return the HTML of the difference of two runs: the rows that changed; those of one run only folded."""
    changed = [row for row in rows if row["verdict"] == "changed"]
    parts = [
        Part("", notes=[f"setting {name}: {a} -> {b}" for name, (a, b) in settings.items()], opened=True)
    ]
    if changed:
        titles = ("model", "target", "estimator", "what", "variance B/A", "95 % interval")
        cells = [
            (
                *_identity(row),
                "; ".join(row["reasons"]),
                number_text(row["variance_ratio"]),
                interval_text(row["variance_ratio_low"], row["variance_ratio_high"]),
            )
            for row in changed[:MOST_ROWS]
        ]
        table = plain_table("", titles, cells, 4)
        parts.append(Part(f"Changed: {len(changed)} rows", [table], opened=len(changed) <= MOST_OPEN))
    for run, lone in zip("AB", only, strict=True):
        if lone:
            table = plain_table("", ("model", "target", "estimator"), map(_identity, lone[:MOST_ROWS]), 3)
            parts.append(Part(f"Only in {run}: {len(lone)} rows", [table]))
    return snippet("Difference", summary.partition(" of ")[2], parts)


def _identity(row: Row) -> tuple[str, ...]:
    return clean_text(model_label(row)), row["target"], clean_text(row["estimator"])


def _settings(settings: dict[str, Any]) -> Table:
    shown = [(name, one_line(str(value), LONGEST)) for name, value in settings.items() if value is not None]
    return plain_table("", ("setting", "value"), shown, 2)


def joined(blocks: Sequence[Block], with_help: bool) -> Table | None:
    """Return one table of the tables of several models, with the columns of a notebook."""
    columns: tuple[Column, ...] = ()
    rows: list[tuple[Cell, ...]] = []
    for block in blocks:
        if block.table is None:
            continue
        places = [i for i, column in enumerate(block.table.columns) if column.title in KEPT]
        columns = tuple(block.table.columns[i] for i in places)
        name = block.name
        for row in block.table.rows:
            if row[0].text != "exact":
                rows.append((Cell(name), *(row[i] for i in places)))
                name = ""
    if not rows:
        return None
    if not with_help:
        columns = tuple(replace(column, help="") for column in columns)
    return Table("", (Column("model", numeric=False), *columns), rows)
