"""Docstrings as text for a terminal: paragraphs filled anew, formulas left as they stand."""

import re
import textwrap

# What a docstring says to a programmer, and the entry of a textbook leaves out.
SECTIONS = re.compile(r"^(Parameters|Attributes|Returns|Raises|Examples)\n-{3,}\n.*", re.M | re.S)
# A sentence that says when something helps or fails begins a paragraph.
VERDICTS = re.compile(r"(?<=[.)])\s+(?=(?:It )?(?:[Hh]elps|[Ff]ails|[Hh]urts)\b)")
MARKS = re.compile(r"`([^`\n]+)`|(?<![\w*])\*{1,2}(\w[^*]*)\*{1,2}(?![\w*])")


def filled(text: str, width: int, start: str = "", after: str = "") -> list[str]:
    """Return a paragraph as lines of at most `width` characters."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=after,
        break_on_hyphens=False,
        break_long_words=False,
    )


def folded(docstring: str, width: int) -> list[str]:
    """Return a docstring as lines: paragraphs filled, formulas kept and broken only where too long."""
    lines: list[str] = []
    text = MARKS.sub(r"\1\2", SECTIONS.sub("", docstring)).strip("\n")
    for paragraph in re.split(r"\n\s*\n", VERDICTS.sub("\n\n", text)):
        block = paragraph.split("\n")
        if lines:
            lines.append("")
        plain = [line for line in block if not line.startswith("  ")]
        if len(plain) == len(block):
            lines += filled(" ".join(block), width)
            continue
        for line in block:
            lines += [line] if len(line) <= width else _broken(line, width)
    return lines


def _broken(line: str, width: int) -> list[str]:
    """Return a formula that is too long in several lines: broken at its gaps, else before equals signs."""
    indent = " " * (len(line) - len(line.lstrip()))
    label, gap, text = [*re.split(r"( {3,})", line.strip(), maxsplit=1), "", ""][:3]
    lines, start, after = [""], indent, f"{indent}    "
    hanging = f"{after}    "
    if text and "=" not in label and len(indent + label + gap) <= width // 2:  # a row of a table
        line, start = text, indent + label + gap
        after = hanging = " " * len(start)
    for gap, piece in re.findall(r"( {3,}|^)(\S+(?: {1,2}\S+)*)", line.strip()):
        for part in re.split(r" (?==>? )", piece) if len(after + piece) > width else [piece]:
            between = gap if part is piece or piece.startswith(part) else " "
            if lines[-1] and len(lines[-1] + between + part) <= width:
                lines[-1] += between + part
            else:
                lines += filled(part, width, after if lines[-1] else start, hanging)
    return lines[1:]
