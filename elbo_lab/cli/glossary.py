"""The words of docs/glossary.md as plain text."""

import re
from collections.abc import Iterator

from elbo_lab.cli.shipped import shipped
from elbo_lab.names import spelt

PARAGRAPH = re.compile(r"^\*\*(?P<names>[^*]+)\.\*\* (?P<text>.+?)(?=\n\n|\Z)", re.M | re.S)
ROW = re.compile(r"^\| (?P<names>[^|]+) \| (?P<cells>.+) \|$", re.M)
# What the registry says itself.
REGISTERED = re.compile(r"### Other words that are accepted\n.*?(?=\n## (?!Targets))", re.S)
# What TeX writes with a command, and a terminal without one.
TEX = (
    (r"\\(?:d|t)?frac\{?(\w+)\}?\{?(\w+)\}?", r"\1/\2"),
    (r"\\(?:mathrm|mathcal|text|operatorname|mathbb)\{([^}]*)\}", r"\1"),
    (r"\\sqrt\{([^}]*)\}|\\sqrt(\w)", r"sqrt(\1\2)"),
    (r"\\[,;!:] ?| ?\\quad ?", " "),
    (r"\\(?:\||Vert)", "||"),
    (r"\\mid|\\vert", "|"),
    (r"\\le(?![a-z])|\\leq", "<="),
    (r"\\ge(?![a-z])|\\geq", ">="),
    (r"\\int", "integral of"),
    (r"\\to", "->"),
    (r"\\cdot|\\times", "*"),
    (r"\\pm", "+-"),
    (r"\\infty", "infinity"),
    (r"\\partial", "d"),
    (r"\\(?:left|right|big|bigl|bigr)", ""),
    (r"\\([a-zA-Z]+)", r"\1"),
    (r"[{}$`]", ""),
    (r"\[([^\]]+)\]\([^)]+\.md[^)]*\)", r"\1"),
    (r"\*+", ""),
)


def plain(text: str) -> str:
    """Return Markdown with TeX as plain text on one line."""
    text = " ".join(text.split())
    for pattern, instead in TEX:
        text = re.sub(pattern, instead, text)
    return re.sub(r" +", " ", text).strip()


def entries() -> list[tuple[str, str]]:
    """Return (word, what it means) of the whole glossary; several words may share a text."""
    page = REGISTERED.sub("", (shipped("pages") / "glossary.md").read_text(encoding="utf-8"))
    return [*_paragraphs(page), *_rows(page)]


def _paragraphs(page: str) -> Iterator[tuple[str, str]]:
    for found in PARAGRAPH.finditer(page):
        text = f"{found['names']}. {plain(found['text'])}"
        yield from ((name, text) for name in re.split(r",\s*", " ".join(found["names"].split())))


def _rows(page: str) -> Iterator[tuple[str, str]]:
    page = page.replace(r"\|", r"\Vert ")
    for found in ROW.finditer(page):
        names, *cells = (plain(cell) for cell in re.split(r" *\| +|\|(?=\s)", found[0].strip("| ")))
        if set(names) <= {"-", "|", " "} or not any(cells):
            continue
        section = page.rfind("\n##", 0, found.start())
        where = page[section:].lstrip("\n# ").partition("\n")[0].lower()
        text = f"{names} ({where}): {'; '.join(filter(None, cells))}"
        yield from ((name, text) for name in _words(found["names"]))


def without_number(word: str) -> str:
    """Return a verdict or a head of a column without its number: 'blind < 340 %' is 'blind', 'K = 10' 'K'."""
    return re.sub(r"\s+[<=]\s.*", "", word)


def found_in(every: list[tuple[str, str]], word: str) -> list[str]:
    """Return the texts of a word as a screen shows it: with a number, a last dot, or more after a comma."""
    for form in (word, without_number(word), word.partition(",")[0]):
        found = [text for name, text in every if spelt(name).rstrip(".") == spelt(form).rstrip(".")]
        if found:
            return list(dict.fromkeys(found))
    return []


def _words(cell: str) -> list[str]:
    """Return the words of the first cell of a row: those in code, or all that stand between commas."""
    code = re.findall(r"`([^`]+)`", cell)
    other = [re.sub(r"\([^)]*\)", "", part).strip() for part in re.split(r"[,;]", cell)]
    abbreviations = re.findall(r"\(([A-Z]{2,})\)", cell)
    code = [without_number(word) for word in code]
    return code or [word for word in (*other, *abbreviations) if word and "$" not in word]
