"""Mutants: small plausible faults in the mathematics, each one edit of the text of one file.

    + and -, * and / exchanged            one side of a sum, difference, product or quotient left out
    < and <=, > and >=, == and != exchanged        `and` and `or` exchanged
    a minus sign or a `not` left out      a whole number one larger, another doubled, True and False exchanged
    sum and mean, max and min, argmax and argmin exchanged

Docstrings, annotations, decorators, texts and the words of errors carry no mathematics and are left alone.
"""

import ast
import random
from dataclasses import dataclass

ROOMS = (
    "special.py",
    "distributions",
    "networks",
    "models",
    "posteriors",
    "bounds",
    "exact",
    "estimators",
    "optimise",
    "em",
    "theory",
    "evaluation",
    "checking",
    "study/moments.py",
    "study/rare_events.py",
    "study/rows.py",
    "study/statistics.py",
    "study/weights.py",
    "study/weight_sums.py",
    "study/weight_variance.py",
    "training/objectives.py",
    "training/optimizers.py",
    "training/schedules.py",
)
SWAPPED = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.And: "or",
    ast.Or: "and",
}
PAIRS = (("sum", "mean"), ("max", "min"), ("argmax", "argmin"), ("maximum", "minimum"))
METHODS = dict(PAIRS) | {second: first for first, second in PAIRS}
SPEAKERS = {"bad_value", "bad_kind", "unknown_name", "BadColumn", "NotApplicable", "TypeVar", "cast"}
MUTE = (ast.Raise, ast.Assert, ast.JoinedStr)


@dataclass(frozen=True)
class Mutant:
    """One edit.

    Attributes
    ----------
    path : str
        Of the file, from the root of the repository.
    line, last_line : int
        Of the replaced text, from 1.
    start, end : int
        The bytes of the file that are replaced.
    new : str
        What stands in their place.
    name : str
        The file and the lines after the edit: the same wherever in the file they stand.
    """

    path: str
    line: int
    last_line: int
    start: int
    end: int
    new: str
    name: str

    def applied(self, source):
        """Return the bytes of the file with the edit."""
        return source[: self.start] + self.new.encode() + source[self.end :]


class Finder(ast.NodeVisitor):
    """Collects the mutants of one file."""

    def __init__(self, path, source):
        self.path, self.source, self.mutants = path, source, []
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node):
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node):
        start, end = self.span(node)
        return self.source[start:end].decode()

    def add(self, node, new):
        start, end = self.span(node)
        first, last = self.starts[node.lineno - 1], self.starts[node.end_lineno]
        before, after = (self.source[part].decode() for part in (slice(first, start), slice(end, last)))
        name = f"{self.path}: {' '.join(f'{before}{new}{after}'.split())}"
        self.mutants.append(Mutant(self.path, node.lineno, node.end_lineno, start, end, new, name))

    def visit(self, node):
        if isinstance(node, MUTE):
            return
        getattr(self, f"visit_{type(node).__name__}", self.generic_visit)(node)

    def visit_FunctionDef(self, node):
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(part)

    def visit_ClassDef(self, node):
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_If(self, node):
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_Call(self, node):
        method = isinstance(node.func, ast.Attribute)
        called = node.func.attr if method else getattr(node.func, "id", "")
        if called in SPEAKERS:
            return
        if method and called in METHODS:
            self.add(node.func, f"({self.text(node.func.value)}).{METHODS[called]}")
        self.generic_visit(node)

    def visit_BinOp(self, node):
        if any(is_text(side) for side in (node.left, node.right)):
            return
        left, right = f"({self.text(node.left)})", f"({self.text(node.right)})"
        if type(node.op) in SWAPPED:
            self.add(node, f"{left} {SWAPPED[type(node.op)]} {right}")
            self.add(node, left)
            if isinstance(node.op, ast.Add | ast.Mult):
                self.add(node, right)
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        parts = [f"({self.text(value)})" for value in node.values]
        self.add(node, f" {SWAPPED[type(node.op)]} ".join(parts))
        self.generic_visit(node)

    def visit_Compare(self, node):
        if len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
            left, right = self.text(node.left), self.text(node.comparators[0])
            self.add(node, f"({left}) {SWAPPED[type(node.ops[0])]} ({right})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.operand, ast.Constant):
            self.add(node, f"({self.text(node)} - 1)")
        elif isinstance(node.op, ast.USub | ast.Not):
            self.add(node, f"({self.text(node.operand)})")
            self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            self.add(node, str(not node.value))
        elif isinstance(node.value, int):
            self.add(node, str(node.value + 1))
        elif isinstance(node.value, float):
            self.add(node, repr(2.0 * node.value) if node.value else "1.0")


def is_text(node):
    """Return whether a side of a sum or product is a text."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def mutants_of(path, root):
    """Return every mutant of a file."""
    source = path.read_bytes()
    finder = Finder(path.relative_to(root).as_posix(), source)
    finder.visit(ast.parse(source))
    return finder.mutants


def files(root):
    """Return the files of the mathematical rooms."""
    places = [root / "elbo_lab" / room for room in ROOMS]
    found = [sorted(place.rglob("*.py")) if place.is_dir() else [place] for place in places]
    return [path for room in found for path in room]


def chosen(root, count, seed):
    """Return `count` mutants by seed, at most one to a line."""
    by_line = {}
    for path in files(root):
        for mutant in mutants_of(path, root):
            by_line.setdefault((mutant.path, mutant.line), []).append(mutant)
    chance = random.Random(seed)
    lines = chance.sample(sorted(by_line), min(count, len(by_line)))
    return [chance.choice(by_line[line]) for line in lines]
