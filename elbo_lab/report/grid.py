"""The grid of models, families of q, objectives and estimators as text: a mark per cell, and the reasons.

    +        it trains
    a, b ..  it does not, for the reason of that letter
    .        the estimator is one of another function than the objective

One model is shown in full, estimators by objectives; of several models there is a line each.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase
from textwrap import wrap
from typing import NamedTuple

from elbo_lab.errors import Reason

TRAINS, ELSEWHERE = "+", "."
SHARE = "  share"
LETTERS = ascii_lowercase + ascii_uppercase
OTHER_TARGET = Reason.WRONG_TARGET.value


class Cell(NamedTuple):
    """A model, a family of q, an objective, and an estimator of its gradient in theta or phi.

    Attributes
    ----------
    model, family, objective, parameters, estimator : str
        Their names; `parameters` is 'theta' or 'phi'.
    reason : Reason or None
        Why nothing can be trained so; None where it can.
    text : str
        The sentence of the refusal, '' without one.
    own : bool
        Whether the family is that in which the model builds its q by itself.
    """

    model: str
    family: str
    objective: str
    parameters: str
    estimator: str
    reason: Reason | None
    text: str
    own: bool


Cells = Sequence[Cell]
Letters = Mapping[Reason, str]


def grid_lines(cells: Cells, width: int, why: bool = False) -> list[str]:
    """Return the lines to print.

    Parameters
    ----------
    cells : sequence of Cell
    width : int
    why : bool
        Whether each reason comes with its cells and an example.
    """
    letters = dict(zip([one for one in Reason if any(c.reason is one for c in cells)], LETTERS, strict=False))
    lines = [*_summary(cells, width), ""]
    models = _names(cell.model for cell in cells)
    if len(models) > 1:
        lines += _overview(cells, letters, width)
    else:
        families = _names(cell.family for cell in cells)
        if len(families) > 1:
            lines += [*_families(cells, letters, width), ""]
            families = _names(cell.family for cell in cells if cell.own) or families
        lines += _estimators([cell for cell in cells if cell.family == families[0]], letters, width)
    lines += ["", *_legend(cells, letters, width, why)]
    return lines


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _summary(cells: Cells, width: int) -> list[str]:
    """Return how many cells there are, and how many of them train."""
    counts = [
        f"{len(found)} {one if len(found) == 1 else many}"
        for one, many, found in (
            ("model", "models", _names(c.model for c in cells)),
            ("family of q", "families of q", _names(c.family for c in cells)),
            ("objective", "objectives", _names(c.objective for c in cells)),
            ("estimator", "estimators of a gradient", _names(c.estimator for c in cells)),
        )
    ]
    trains = sum(cell.reason is None for cell in cells)
    text = f"{', '.join(counts)}: {trains:,} of {len(cells):,} cells train ({trains / len(cells):.0%})."
    return wrap(text, width)


def _mark(cells: Cells, letters: Letters) -> str:
    """Return + if anything trains among the cells, else the letter of their commonest reason."""
    if any(cell.reason is None for cell in cells):
        return TRAINS
    reasons = Counter(cell.reason for cell in cells)
    return letters[reasons.most_common(1)[0][0]] if reasons else ELSEWHERE  # type: ignore[index]


def _numbered(title: str, names: Sequence[str], width: int) -> list[str]:
    """Return the names of the columns, which stand above them as numbers."""
    text = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
    return wrap(f"{title}: {text}", width, subsequent_indent="  ", break_on_hyphens=False)


def _head(start: int, n_columns: int) -> str:
    return " " * start + "".join(f"{number:>3}" for number in range(1, n_columns + 1))


def _overview(cells: Cells, letters: Letters, width: int) -> list[str]:
    """Return a line for each model: which families of q can be trained, and the share of cells that can."""
    families = _names(cell.family for cell in cells)
    by_pair: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        by_pair.setdefault((cell.model, cell.family), []).append(cell)
    rows: dict[str, tuple[str, ...]] = {}
    for model in _names(cell.model for cell in cells):
        of_model = [by_pair.get((model, family), []) for family in families]
        all_found = [cell for found in of_model for cell in found]
        share = sum(cell.reason is None for cell in all_found) / len(all_found)
        rows[model] = (*(_mark(found, letters) for found in of_model), f"{share:.0%}")
    shown: dict[str, tuple[str, ...]] = {}
    for model, marks in rows.items():
        name = model.partition(":")[0]
        alike = {other for label, other in rows.items() if label.partition(":")[0] == name}
        shown[name if len(alike) == 1 else model] = marks
    start = max(map(len, shown)) + 2
    lines = _numbered("Families of q", families, width)
    fitting = max(1, (width - start - len(SHARE)) // 3)
    for first in range(0, len(families), fitting):
        part = range(first, min(first + fitting, len(families)))
        lines += ["", " " * start + "".join(f"{column + 1:>3}" for column in part) + SHARE]
        for name, marks in shown.items():
            row = "".join(f"{marks[column]:>3}" for column in part)
            lines.append(f"{name:<{start}}{row}{marks[-1]:>{len(SHARE)}}")
    notes = ["share: of all cells of the line, those that train."]
    if len(shown) < len(rows):
        notes.append("Kinds of a model, as deep-gaussian:fixed, share a line if they are alike.")
    notes.append("One model in full: elbo-lab grid deep-bernoulli")
    return [*lines, "", *(line for note in notes for line in wrap(note, width))]


def _families(cells: Cells, letters: Letters, width: int) -> list[str]:
    """Return the families of q by the objectives, of one model."""
    families, objectives = _names(c.family for c in cells), _names(c.objective for c in cells)
    lines = wrap(f"{cells[0].model}: families of q by objectives.", width)
    start = max(map(len, families)) + 4
    lines += [*_numbered("Objectives", objectives, width), "", _head(start, len(objectives))]
    for family in families:
        found = [[c for c in cells if c.family == family and c.objective == one] for one in objectives]
        marks = "".join(f"{_mark(each, letters):>3}" for each in found)
        star = "*" if found[0] and found[0][0].own else ""
        lines.append(f"  {family + star:<{start - 2}}{marks}")
    return [*lines, "  * the family that is taken if none is named"]


def _estimators(cells: Cells, letters: Letters, width: int) -> list[str]:
    """Return the estimators by the objectives, of one model and one family of q."""
    objectives = _names(cell.objective for cell in cells)
    marks = {(c.parameters, c.estimator, c.objective): _mark([c], letters) for c in cells}
    lines = wrap(f"{cells[0].model}, q {cells[0].family}: estimators by objectives.", width)
    start = max(len(cell.estimator) for cell in cells) + 4
    lines += _numbered("Objectives", objectives, width)
    for parameters in ("phi", "theta"):
        names = _names(cell.estimator for cell in cells if cell.parameters == parameters)
        if names:
            lines += ["", f"{f'gradient in {parameters}':<{start}}{_head(0, len(objectives))}"]
        for name in names:
            row = [marks.get((parameters, name, objective), ELSEWHERE) for objective in objectives]
            lines.append(f"  {name:<{start - 2}}{''.join(f'{mark:>3}' for mark in row)}")
    return lines


def _legend(cells: Cells, letters: Letters, width: int, why: bool) -> list[str]:
    """Return what the marks mean, with the number of cells of each."""
    counts = Counter(cell.reason for cell in cells)
    rows: list[tuple[str, int, str, list[str]]] = [(TRAINS, counts[None], "it trains", [])]
    for reason, letter in letters.items():
        examples = _examples([cell for cell in cells if cell.reason is reason]) if why else []
        rows.append((letter, counts[reason], reason.value, examples))
    digits = max(len(f"{count:,}") for _, count, _, _ in rows)
    lines = ["Marks, and how many cells have them:"]
    for mark, count, sentence, examples in rows:
        start = f"  {mark}  {count:>{digits},}  "
        indent = " " * len(start)
        lines += wrap(sentence, width, initial_indent=start, subsequent_indent=indent)
        for example in examples:
            after = f"{indent}  "
            lines += wrap(
                example, width, initial_indent=indent, subsequent_indent=after, break_on_hyphens=False
            )
    return [*lines, *wrap(f"  {ELSEWHERE}  {'':>{digits}}  {OTHER_TARGET}", width)]


def _examples(cells: Cells) -> list[str]:
    """Return an example of a reason, and its estimators or its families if they are few."""
    told = [f"as in: {cells[0].text}"]
    for title, names in (
        ("estimators", _names(cell.estimator for cell in cells)),
        ("families of q", _names(cell.family for cell in cells)),
        ("models", _names(cell.model for cell in cells)),
    ):
        told += [f"{title}: {', '.join(names)}"] if len(names) <= MOST_NAMED else []
    return told


MOST_NAMED = 12
