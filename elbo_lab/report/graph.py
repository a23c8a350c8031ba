"""The conditionals of a fitted graph as lines of text: tables row by row, linear forms as formulas."""

import itertools

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.models.graphs import BayesNet, Conditional, Variable
from elbo_lab.models.graphs.gaussian import ConditionalGaussian
from elbo_lab.models.graphs.predicted import LinearGaussian
from elbo_lab.models.graphs.table import Table
from elbo_lab.report.cells import number_text

# Lines of a screen.
MOST_LINES = 24


def graph_lines(net: BayesNet, theta: Floats) -> list[str]:
    """Return what each conditional says, parents before children; what is too large by its size alone."""
    lines = []
    for name in net.order:
        lines += _lines(net.conditionals[name], theta[net.parts[name]])
    if len(lines) <= MOST_LINES:
        return lines
    rest = f"{len(lines) - MOST_LINES} more lines: result.parameters in Python, --json FILE"
    return [*lines[:MOST_LINES], rest]


def state_name(variable: Variable, state: int) -> str:
    """Return 'rain = yes', or 'rain = 1' for a state without a name."""
    return f"{variable.name} = {variable.states[state] if variable.states else state}"


def _lines(conditional: Conditional, own: Floats) -> list[str]:
    variable, t = conditional.variable, conditional.described(own)
    if isinstance(conditional, Table):
        names = variable.states or tuple(map(str, range(variable.size)))
        return [
            f"p({variable.name}{given}): "
            + ", ".join(f"{one} {number_text(float(p))}" for one, p in zip(names, row, strict=True))
            for given, row in _by_row(conditional.parents, t["probabilities"])
        ]
    if isinstance(conditional, ConditionalGaussian) and variable.size == 1:
        rows = zip(*(_by_row(conditional.choosing, t[key]) for key in ("W", "b", "sigma")), strict=True)
        return [
            f"{variable.name}{given} ~ {_normal(conditional, W[0], b[0], sigma[0])}"
            for (given, W), (_, b), (_, sigma) in rows
        ]
    if isinstance(conditional, LinearGaussian) and variable.size == 1:
        return [f"{variable.name} ~ {_normal(conditional, t['W'][0], t['b'][0], t['sigma'][0])}"]
    of = f", of {', '.join(parent.name for parent in conditional.parents)}" if conditional.parents else ""
    return [f"{variable.name}: {conditional.name}{of}, {own.size:,} numbers"]


def _by_row(choosing: tuple[Variable, ...], array: Floats) -> list[tuple[str, Floats]]:
    """Return (' | rain = yes', the part of the array) of every combination of states."""
    found = []
    for states in itertools.product(*(range(one.size) for one in choosing)):
        words = ", ".join(state_name(one, s) for one, s in zip(choosing, states, strict=True))
        found.append((f" | {words}" if words else "", array[states]))
    return found


def _normal(conditional: Conditional, W: Floats, b: float, sigma: float) -> str:
    """Return 'N(1 + 2 h, 0.5^2)'."""
    mean, start = number_text(float(b)), 0
    for parent in conditional.entering:
        weights = W[start : start + parent.size]
        start += parent.size
        for i, weight in enumerate(weights):
            if parent.kind == "category":
                word = f"[{state_name(parent, i)}]"
            else:
                word = parent.columns[i]
            sign = "-" if weight < 0 else "+"
            mean += f" {sign} {number_text(float(np.abs(weight)))} {word}"
    return f"N({mean}, {number_text(float(sigma))}^2)"
