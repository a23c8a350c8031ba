"""A comparison as one HTML page that needs nothing else: no network, no other file, no library of scripts.

The page holds the story, if there is one; one section for each question, with a table for each model and the
figures; what the columns mean; settings, versions and the command that makes it again; all rows as JSON and
CSV. Its template, style and script are in the folder `templates`, where `table.html` draws one `Table`.

Jinja2 is imported when a page is made.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from elbo_lab.estimators.targets import describe, parse
from elbo_lab.files import Kind
from elbo_lab.registry import display_name
from elbo_lab.report.blocks import COLORS
from elbo_lab.report.cautions import caution_lines
from elbo_lab.report.cells import (
    SMALL_ERROR,
    Row,
    Rows,
    clean_text,
    first_verdict,
    interval_text,
    number_text,
    span_text,
    value_text,
)
from elbo_lab.report.columns import COLUMNS, RELATIVE
from elbo_lab.report.grouping import full_name, group_rows, model_label, order_targets
from elbo_lab.report.questions import PLACES, question_of
from elbo_lab.report.story import Column, Section, Story
from elbo_lab.report.tables import (
    VERDICT_COLORS,
    conditions,
    digits_of,
    exact_gap,
    exact_numbers,
    exact_parts,
    meanings,
    refusals,
)
from elbo_lab.study.rows import bias_verdict

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = "index.html"
GENERATOR = "elbo_lab compare"
KIND = Kind(
    "the report of 'elbo-lab compare'",
    rb'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    rb'<meta name="generator" content="elbo_lab compare">',
)
# More rows than this are folded, so that the questions can be seen.
MOST_OPEN = 120
# A width at which no paragraph is broken into lines.
ONE_LINE = 1_000_000
# Verdicts in the order in which a reader looks for them.
RANKS = {word: rank for rank, word in enumerate(["FAIL", "biased", "blind", "blind (block)"])}
LAST_RANK = len(RANKS)
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


class Cell(NamedTuple):
    """One cell: its text, the number by which it is sorted, its colour, and a small remark."""

    text: str
    order: float | None = None
    tone: str = ""
    remark: str = ""


class Table(NamedTuple):
    """A table of a page.

    Attributes
    ----------
    caption : str
        Read aloud; the heading above says the same to the eye.
    columns : tuple of Column
        The first is that of the names.
    rows : list of tuple of Cell
    """

    caption: str
    columns: tuple[Column, ...]
    rows: list[tuple[Cell, ...]]


# The table of the models says what need not stand at every block.
OVERVIEW = (
    Column("model", numeric=False),
    Column("data", numeric=False),
    Column("rows"),
    Column("K", "latent dimensions, or components of a mixture"),
    Column("posterior", "what q is, and where its parameters come from", numeric=False),
    Column("log p(x)", "exact, nats per datum"),
    Column("ELBO", "exact, nats per datum"),
    Column("gap", "log p(x) - ELBO = KL(q || posterior), nats per datum"),
)


class Picture(NamedTuple):
    """A figure in a page: the question that it answers, and its SVG."""

    question: str
    svg: str


class Block(NamedTuple):
    """One model in a section: its name, what is known, its table, who has no numbers, and why not."""

    name: str
    title: str
    facts: list[str]
    table: Table | None
    missing: list[str]
    reasons: list[str]


class Question(NamedTuple):
    """One section: question, what is estimated, tables by model, figures."""

    slug: str
    question: str
    lead: str
    blocks: list[Block]
    pictures: list[Picture]


@functools.cache
def environment() -> "Environment":
    """Return the templates of the package; whatever they show is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("elbo_lab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A quote needs no escape outside of attributes, and rows have many.
    found.filters["content"] = lambda text: text.replace("&", "&amp;").replace("<", "&lt;")
    return found


def slug_of(text: str) -> str:
    """Return a text as a name inside a page: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def tone_of(style: str) -> str:
    """Return the colour of a style of the terminal."""
    return style.rpartition(" ")[2]


def number_in(text: str) -> float | None:
    """Return the first number in a text, by which its cell is sorted."""
    found = NUMBER.search(text)
    return float(found[0].replace(",", "")) if found else None


def story_table(section: Section) -> Table:
    """Return the table of a section of a story."""
    rows: list[tuple[Cell, ...]] = []
    for row in section.rows:
        # A name that stands for several rows is repeated, so that they can be sorted.
        name = Cell(row[0] or rows[-1][0].text)
        rows.append((name, *(Cell(text, number_in(text)) for text in row[1:])))
    return Table(section.question, section.columns, rows)


def named_cell(name: str, label: str = "") -> Cell:
    """Return the cell of a name, with its title in words; of a model by its label."""
    title = display_name(name)
    shown = clean_text(label or name)
    return Cell(shown, remark=clean_text(title) if slug_of(title) != slug_of(shown) else "")


def model_cell(row: Row) -> Cell:
    """Return the cell of the model of a row."""
    return named_cell(full_name(row), model_label(row))


def _columns(rows: Rows, settings: dict[str, Any]) -> tuple[Column, ...]:
    """Return the columns of all tables."""
    shown = [column for column in COLUMNS if column.title != RELATIVE]
    columns = [Column("estimator", numeric=False)]
    for column, meaning in zip(shown, meanings(shown, rows, settings), strict=True):
        columns.append(Column(column.title, meaning, column.title != "verdict"))
    if settings.get("against") is not None:
        against = clean_text(settings["against"])
        ratio = f"variance / variance of {against}, on the same random numbers, with its 95 % interval"
        columns += [
            Column("ratio", ratio),
            Column("of ratio", "95 % interval of the ratio, from the same batches of both"),
            Column(
                f"against {against}", "beats: the interval of the ratio lies below 1; loses: above", False
            ),
        ]
    if settings.get("power") is not None:
        before = "verdict before the blind row was repeated, and the number of repeats that it then had"
        columns.append(Column("before", before, False))
    return tuple(columns)


def _cells(row: Row, settings: dict[str, Any]) -> tuple[Cell, ...]:
    """Return the cells of one row with numbers, one for each of `_columns`."""
    word = bias_verdict(row) or ""
    tone = tone_of(VERDICT_COLORS.get(word, ""))
    cells = [named_cell(row["estimator"])]
    for column in COLUMNS:
        if column.title == "verdict":
            cells.append(Cell(column.cell(row), RANKS.get(word, LAST_RANK) if word else None, tone))
        elif column.title != RELATIVE:
            text = column.cell(row).replace(" us", " µs")
            cells.append(Cell(text, row[column.key], tone if column.title == "bias" else ""))
    if settings.get("against") is not None:
        ratio, judged = row["variance_ratio"], row["variance_verdict"] or "-"
        interval = interval_text(row["variance_ratio_low"], row["variance_ratio_high"])
        cells += [Cell(number_text(ratio), ratio), Cell(interval, row["variance_ratio_low"])]
        cells.append(Cell(judged, None, tone_of(COLORS.get(judged, ""))))
    if settings.get("power") is not None:
        again = row.get("bias_detectable_first") is not None
        cells.append(Cell(f"{first_verdict(row)}, then R = {row['repeats']}" if again else "-"))
    return tuple(cells)


def models_table(rows: Rows, settings: dict[str, Any]) -> Table:
    """Return the table of the models: their data, and how far the bound is from log p(x)."""
    table = []
    for block in group_rows(rows).values():
        row = block[0]
        known = exact_numbers(row, settings)
        gap = exact_gap(known)
        numbers = [known.get("log-evidence"), known.get("elbo"), gap]
        texts = [_exact_value(*number, digits_of(gap)) if number else "-" for number in numbers]
        cells = [model_cell(row), Cell(clean_text(row["data"] or "-"))]
        cells += [Cell(str(row[name] or "-"), row[name]) for name in ("n_data", "latent_dim")]
        cells.append(Cell(clean_text(row["posterior"] or "-")))
        values = [number[0] if number else None for number in numbers]
        cells += [Cell(text, value) for text, value in zip(texts, values, strict=True)]
        table.append(tuple(cells))
    return Table("The models", OVERVIEW, table)


def _exact_value(value: float, error: float, apart: float) -> str:
    """Return an exact value, with its error where a digit shows it."""
    return (
        "0" if value == 0.0 else plus_minus(value_text(value, error if error > SMALL_ERROR else None, apart))
    )


def plus_minus(text: str) -> str:
    """Return a text with the sign that a terminal may lack."""
    return text.replace("+-", "±")


def _block(rows: Rows, columns: tuple[Column, ...], settings: dict[str, Any]) -> Block:
    """Return the part of a section that is about one model and one target."""
    numbers = [row for row in rows if span_text(row) is None]
    missing = [row for row in rows if row not in numbers]
    infinite = [f"{span_text(row)}: {clean_text(row['estimator'])}" for row in missing if row["applicable"]]
    model = model_cell(rows[0])
    table = Table(f"{model.text}: {rows[0]['target']}", columns, [_cells(row, settings) for row in numbers])
    return Block(
        model.text,
        model.remark,
        [plus_minus(fact) for fact in exact_parts(rows, settings)],
        table if numbers else None,
        [clean_text(row["estimator"]) for row in missing],
        [*infinite, *refusals(rows)],
    )


def questions_of(
    rows: Rows, settings: dict[str, Any], pictures: Mapping[str, Picture] = MappingProxyType({})
) -> list[Question]:
    """Return one section for each question that the rows answer.

    The exact answer alone answers none, unless there is nothing else.
    """
    columns = _columns(rows, settings)
    by_stem: dict[str, list[str]] = {}
    answered = [row for row in rows if row["estimator"] != "exact"] or rows
    for target in order_targets(answered):
        by_stem.setdefault(parse(target)[0], []).append(target)
    sections = []
    for stem, targets in by_stem.items():
        blocks = []
        for target in targets:
            chosen = [row for row in rows if row["target"] == target]
            for block_rows in group_rows(chosen).values():
                block = _block(block_rows, columns, settings)
                blocks.append(block._replace(name=f"{block.name}, {target}") if len(targets) > 1 else block)
        lead = "; ".join(describe(target) or target for target in targets)
        lead = lead.replace("theta", "θ").replace("phi", "φ")
        drawn = [picture for name, picture in pictures.items() if PLACES.get(name, name) == stem]
        sections.append(Question(slug_of(stem), question_of(stem), lead, blocks, drawn))
    return sections


def page_html(
    rows: Rows,
    settings: dict[str, Any],
    *,
    story: Story | None = None,
    pictures: Mapping[str, Picture] | None = None,
    downloads: Mapping[str, str] | None = None,
    command: str = "",
    machine: Iterable[tuple[str, str]] = (),
) -> str:
    """Return a comparison as one HTML page.

    Parameters
    ----------
    rows, settings : list of dict, dict
        As of a `Comparison`.
    story : Story, optional
        Told before the tables.
    pictures : dict, optional
        {name: Picture}.
    downloads : dict, optional
        {file name: text}, to be had from inside the page.
    command : str
        What makes the page again.
    machine : list of (str, str)
        As of `machine.facts`.
    """
    pictures = dict(pictures or {})
    told = [
        (section, story_table(section), pictures.pop(section.figure, None) if section.figure else None)
        for section in (story.sections if story else ())
    ]
    models = list(dict.fromkeys(clean_text(model_label(row)) for row in rows))
    which = models[0] if len(models) == 1 else f"{len(models)} models"
    title = story.title if story else f"Estimators on {which}, compared with exact answers"
    questions = questions_of(rows, settings, pictures)
    placed = {picture.question for question in questions for picture in question.pictures}
    return (
        environment()
        .get_template("page.html")
        .render(
            generator=GENERATOR,
            title=title,
            subject=subject_of(rows, settings),
            story=story,
            told=told,
            models=models_table(rows, settings) if story is None else None,
            questions=questions,
            others=[picture for picture in pictures.values() if picture.question not in placed],
            cautions=[str(line) for line in caution_lines(rows, ONE_LINE) if str(line)],
            columns=_columns(rows, settings)[1:],
            opened=story is None and sum(row["applicable"] for row in rows) <= MOST_OPEN,
            settings=_shown(settings),
            machine=list(machine),
            command=command,
            downloads=dict(downloads or {}),
            slug_of=slug_of,
        )
    )


def subject_of(rows: Rows, settings: dict[str, Any]) -> str:
    """Return what was measured, in one line."""
    return " · ".join([f"seed {settings['seed']}", *conditions(rows, settings)])


def _shown(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the settings in words, without numbers that were measured: they stand at their tables."""
    known = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in settings.items()
        if value is not None and not isinstance(value, dict)
    }
    return [(name.replace("_", " "), clean_text(value)) for name, value in known.items()]
