"""Lines of code, without docstrings, comments and blank lines, of the package and of its tests, room by room.

    python tests/count_lines.py

A line counts if a token of code stands on it; a string that stands by itself as a statement is a docstring.
The script exits with code 1 if a limit is passed. The limits bound growth: each is what there was when it was
set, rounded up to the next 500. They are no reason for a dense line.
"""

import ast
import sys
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMITS = {"elbo_lab": 47_500, "tests": 39_500}  # lines of code
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
NO_CODE |= {tokenize.ENCODING, tokenize.ENDMARKER}


def code_lines(path):
    """Return the number of lines of a file that hold code."""
    with tokenize.open(path) as source:
        tokens = list(tokenize.generate_tokens(source.readline))
    lines = set()
    for token in tokens:
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def count(folder):
    """Return ({room: lines of code}, {room: files}) of a folder; a room is a folder inside of it."""
    lines = Counter()
    files = Counter()
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        room = parts[0] if len(parts) > 1 else "."
        lines[room] += code_lines(path)
        files[room] += 1
    return lines, files


def main():
    """Print the counts and return 1 if a limit is passed."""
    passed = False
    for name, limit in LIMITS.items():
        lines, files = count(ROOT / name)
        for room in sorted(lines):
            print(f"{name + '/' + room:<28}{files[room]:5} files {lines[room]:7,} lines of code")
        print(f"{name:<28}{files.total():5} files {lines.total():7,} of at most {limit:,}\n")
        passed |= lines.total() > limit
    return int(passed)


if __name__ == "__main__":
    sys.exit(main())
