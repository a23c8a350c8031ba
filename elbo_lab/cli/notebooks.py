"""A demo as a Jupyter notebook: its text as Markdown, its formulas rendered, its figures below their cells.

A demo is a script with `# %%` cells. Its docstring is plain text for a terminal; the indented lines in it are
formulas, whose parts stand two or more spaces apart.
"""

import json
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

HEADER = re.compile(r'\A# %% \[markdown\]\n# # (?P<title>.+)\n# %%\n"""(?P<text>.*?)"""\n', re.DOTALL)
MARK = re.compile(r"^# %%[ \t]*(.*)\n", re.MULTILINE)
LEAD = re.compile(r"^(Claim\.|Formula|Sources?:|Expected time:)")
SAVED = re.compile(
    r'^( *)print\("figure:", save_figure\((.+?), (?:OUT|figure_folder\(\)), "[\w-]+"(, caption)?\)\[0\]\)',
    re.M,
)
WHERE = re.compile(r"The figures? goe?s? to\s+the folder ELBO_LAB_OUT, by default ./elbo-lab-figures\.")
FOLDER = re.compile(r"^OUT = figure_folder\(\)\n|^ +(?:figure_folder|save_figure),\n", re.MULTILINE)
FIRST = """\
import os
import sys

try:
    import elbo_lab
except ImportError:
    print("elbo_lab is not installed in the Python of this notebook. In a terminal:\\n")
    print("    git clone <repository> elbo_lab")
    print("    cd elbo_lab")
    print(f"    {sys.executable} -m pip install .\\n")
    print("and then restart the kernel.")
    raise
os.environ["ELBO_LAB_QUICK"] = "1"  # a small budget; "0" for that of the text"""

# -- formulas ------------------------------------------------------------------------------------------

GREEK = (
    "alpha beta gamma delta eps zeta eta theta kappa lambda mu nu pi rho sigma tau phi psi "
    "Gamma Lambda Sigma Phi"
).split()
LETTERS = {name: rf"\{name}" for name in GREEK} | {"eps": r"\varepsilon"}
WORDS = (
    LETTERS
    | {
        "E": r"\mathrm{E}",
        "integral": r"\int",
        "int": r"\int",
        "infinity": r"\infty",
        "inf": r"\infty",
        "sum": r"\sum",
        "prod": r"\prod",
        "argmax": r"\operatorname{arg\,max}",
        "KL": r"\mathrm{KL}",
        "trace": r"\operatorname{tr}",
        "diag": r"\operatorname{diag}",
    }
    | {name: rf"\{name}" for name in ("log", "exp", "min", "max", "det")}
)
MARKS = {
    "~=": r"\approx ",
    "<=": r"\le ",
    ">=": r"\ge ",
    "=>": r"\Rightarrow ",
    "->": r"\to ",
    "||": r"\,\|\,",
    "...": r"\ldots ",
}
MARKS |= {"{": r"\{", "}": r"\}", "#": r"\#", "%": r"\%", "&": r"\&", "|": r"\vert ", " | ": r"\mid "}
MARKS |= {" ~ ": r"\sim ", " * ": r"\cdot "}
ACCENTS = {"bar": r"\bar", "hat": r"\hat"}
TOKEN = re.compile(r" \| | ~ | \* |~=|<=|>=|=>|->|\|\||\.\.\.|[A-Za-z]+|\d+(?:\.\d+)?|\s+|.")
MATH = re.compile(r"[=^_|/\[\]<>~+*]|\w\(| - ")


def to_latex(formula: str) -> str:
    """Return a formula in plain letters, such as 'E_q[log p(x | z)] <= log p(x)', in LaTeX."""
    if not MATH.search(formula):
        return rf"\text{{{formula.replace('%', chr(92) + '%')}}}"
    tokens = [found[0] for found in TOKEN.finditer(formula)]
    return "".join(_translated(tokens)).strip()


def _translated(tokens: list[str]) -> Iterator[str]:
    at = 0
    while at < len(tokens):
        token, after = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        at += 1
        if token in "^_":
            end = _end_of_script(tokens, at)
            inner = tokens[at:end]
            if inner[:1] in (["("], ["{"]) and inner[-1] in ")}":
                inner = inner[1:-1]
            yield f"{token}{{{''.join(_translated(inner))}}}"
            at = end
        elif after in ("~", "*") and token[-1].isalnum():
            yield rf"\tilde{{{_word(token)}}}" if after == "~" else f"{_word(token)}^*"
            at += 1
        elif token == "N" and after == "(":
            yield r"\mathcal{N}"
        elif token[0].isalpha():
            yield _word(token)
        else:
            yield MARKS.get(token, token)


def _end_of_script(tokens: list[str], at: int) -> int:
    """Return where the script that begins at a place ends: a group, a word, or a number with its sign."""
    if tokens[at] not in "({":
        return at + 1 + (tokens[at] == "-")
    depth = 0
    for end in range(at, len(tokens)):
        depth += (tokens[end] in "({") - (tokens[end] in ")}")
        if depth == 0:
            return end + 1
    return len(tokens)


def _word(word: str) -> str:
    """Return a symbol, the name of a function, or a word of a sentence."""
    if word in WORDS:
        return f"{WORDS[word]} "
    if word[0] == "d" and word[1:] in WORDS:  # a differential
        return f"d{WORDS[word[1:]]} "
    if word[1:] in ACCENTS:
        return f"{ACCENTS[word[1:]]}{{{word[0]}}}"
    if len(word) <= 2 and word not in ("at", "by", "in", "of", "or", "as", "is", "sd", "to"):
        return word
    return rf"\mathrm{{{word}}}" if word.isupper() or word in ("Var", "InvGamma") else rf"\text{{ {word} }}"


def formulas(lines: list[str]) -> list[str]:
    """Return indented lines as displays in LaTeX: what stands two spaces apart is a column of one."""
    # A line that is set in goes on in the second column.
    rows = [
        [""] * (line[4] == " ") + [to_latex(cell) for cell in re.split(r" {2,}", line.strip())]
        for line in lines
    ]
    # A long line without columns would push the columns of its neighbours apart.
    return [_array(list(group)) for _, group in groupby(rows, key=lambda row: len(row) > 1)]


def _array(rows: list[list[str]]) -> str:
    columns = max(map(len, rows))
    body = " \\\\\n".join(" & ".join(row) for row in rows)
    return f"\\begin{{array}}{{{'l' * columns}}}\n{body}\n\\end{{array}}"


# -- cells ---------------------------------------------------------------------------------------------


def _prose(lines: list[str]) -> str:
    """Return lines of plain text as Markdown."""
    text = re.sub(r"([\\*_<$])", r"\\\1", "\n".join(lines))
    return "\n".join(LEAD.sub(r"\n**\1**", line) for line in text.splitlines())


def _displays(lines: list[str]) -> str:
    return "\n\n".join(f"$$\n{display}\n$$" for display in formulas(lines))


def to_markdown(text: str) -> str:
    """Return the docstring of a demo as Markdown."""
    parts: list[tuple[bool, list[str]]] = []
    lines: list[str] = []
    formula = False
    for line in [*WHERE.sub("", text).splitlines(), ""]:
        if line.strip() and line.startswith("    ") != formula:
            parts.append((formula, lines))
            lines, formula = [], not formula
        lines.append(line)
    parts.append((formula, lines))
    found = (
        _displays([line for line in part if line.strip()]) if is_formula else _prose(part)
        for is_formula, part in parts
    )
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(found)).strip()


def notebook_of(script: str) -> str:
    """Return a demo as the JSON of a notebook.

    Parameters
    ----------
    script : str
        Text of a script that begins with a Markdown cell, its title, and a docstring.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the script does not begin so.
    """
    header = HEADER.match(script)
    if header is None:
        raise ValueError("a demo begins with '# %% [markdown]', '# # TITLE', '# %%' and a docstring")
    cells = [_cell("markdown", f"# {header['title']}\n\n{to_markdown(header['text'])}"), _cell("code", FIRST)]
    first, *rest = MARK.split(script[header.end() :])
    cells.append(_cell("code", _code(first)))
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        if name == "[markdown]":
            cells.append(_cell("markdown", re.sub(r"^# ?", "", body, flags=re.MULTILINE)))
            continue
        cells += [_cell("markdown", f"## {name}")] if name else []
        cells.append(_cell("code", _code(body)))
    cells = [cell | {"id": f"cell-{i}"} for i, cell in enumerate(cells) if cell["source"]]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _code(text: str) -> str:
    """Return the code of a cell, which shows the figures that the script would write."""
    return FOLDER.sub("", SAVED.sub(_shown, text)).strip()


def _shown(saved: re.Match[str]) -> str:
    """Return the lines that show a figure, and its caption below it, in place of the one that saves it."""
    margin, figure, caption = saved.groups()
    return f"{margin}display({figure})" + (f"\n{margin}print(caption)" if caption else "")


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "metadata": {},
        "source": text.strip().splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
