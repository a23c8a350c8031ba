"""One letter a thing: the glossary's table of notation holds over the docs and the demos."""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
DEMOS = sorted((ROOT / "demos").rglob("*.py"))
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MATHS = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$[^$\n]+(?:\n[^$\n]+)?\$", re.DOTALL)

# (what a formula must not have, what it has instead)
IN_FORMULAS = {
    "noise": (r"\\epsilon\b", r"\varepsilon"),
    "blackboard": (r"\\mathbb\s*\{?E\b", r"\mathrm{E}"),
    "italic": (r"(?<![A-Za-z\\{])E(?=_|\s*(?:\[|\\[Bb]ig|\\left|\\!|\\log)|\s+[fgh]\b)", r"\mathrm{E}"),
    "entropy": (r"(?<![A-Za-z\\{])H(?=\s*[(\[]\s*[qpv]\b)", r"\mathrm{H}"),
    "divergence": (r"(?<!mathrm\{)(?<![A-Za-z])KL\b", r"\mathrm{KL}"),
    "scales": (
        r"(?<![A-Za-z\\{])S\s*(?:\\,\s*)?(?:\\nabla|\(\\nabla)|\)\s*S(?![A-Za-z])|S\s*=\s*\\\w+\{diag\}",
        r"\Sigma^{1/2}",
    ),
    "angle": (r"\\varphi\b|\\vartheta\b", r"\phi, \theta"),
    "bound": (
        r"(?:IWAE\}?|\bL)_\{?K|frac\{?1\}?\s*\{?K\}?\s*\\sum_\{?[kls]\b",
        r"\mathrm{IWAE}_M, \frac1M \sum_m",
    ),
    "cooling": (r"(?<![A-Za-z])t\s*\\to\s*0", r"\lambda \to 0 for a temperature"),
}
# (what no sentence, comment or label has, what it has instead)
IN_WORDS = {
    "draws": (
        r"\b(?:bounds?|IWAE) (?:of|with) \$?K\$? draws|\bdraws K\b|\$?\bK\$? draws in one bound|\bL_K\b",
        "M draws",
    ),
    "temperature": (r"\$t\$,? (?:is )?the temperature|\btemperature \$?t\b", "temperature \\lambda"),
}
# (formula or sentence with the fault, the same without)
EXAMPLES = {
    "noise": (r"$z = m + s\,\epsilon$", r"$z = m + s\,\varepsilon$"),
    "blackboard": (r"$$\mathbb{E}_q[f]$$", r"$$\mathrm{E}_q[f]$$"),
    "italic": (r"$\nabla E_q[f] + E\Big[g\Big]$", r"$\nabla \mathrm{E}_q[f] + \mathrm{E}\Big[g\Big]$"),
    "entropy": (r"$\mathrm{E}_q \log p + H(q)$", r"$H(z, r) + \mathrm{H}(q)$, $H = I - B$"),
    "divergence": (r"$KL(q \Vert p)$", r"$\mathrm{KL}(q \Vert p)$, KL"),
    "scales": (
        r"$a = S \nabla \log p(m)$ and $B = -S (\nabla^2 \log p) S$",
        r"$a = \Sigma^{1/2} \nabla \log p(m)$ and $\frac1S \sum_s \nabla f$, $(S - 1)$",
    ),
    "angle": (r"$q_\varphi(z)$", r"$q_\phi(z)$"),
    "bound": (
        r"$\mathrm{IWAE}_K = \mathrm{E} \log \tfrac1K \textstyle\sum_k w_k$",
        r"$\mathrm{IWAE}_M = \mathrm{E} \log \tfrac1M \textstyle\sum_m w_m$",
    ),
    "cooling": (r"as $t \to 0$ its bias falls", r"as $\lambda \to 0$ its bias falls"),
    "draws": ("The bound of K draws", "The bound of M draws, of K latents"),
    "temperature": ("softmax, $t$ the temperature", r"softmax, $\lambda$ the temperature"),
}


def violations(text):
    """Return every use of a letter in a text that the table of notation has for something else."""
    formulas = MATHS.findall(text)
    found = [
        f"{words!r}: write {instead}"
        for pattern, instead in IN_FORMULAS.values()
        for formula in formulas
        for words in re.findall(rf".{{0,12}}(?:{pattern}).{{0,12}}", formula)
    ]
    found += [
        f"{match[0]!r}: write {instead}"
        for pattern, instead in IN_WORDS.values()
        for match in re.finditer(pattern, " ".join(text.split()))
    ]
    return found


def words_of(demo):
    """Return the comments, docstrings and labels of a demo."""
    tokens = tokenize.generate_tokens(io.StringIO(demo.read_text(encoding="utf-8")).readline)
    kinds = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
    return "\n".join(token.string for token in tokens if token.type in kinds)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_uses_the_letters_of_the_table(page):
    assert violations(FENCE.sub("", page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.stem)
def test_a_demo_uses_the_letters_of_the_table(demo):
    assert violations(words_of(demo)) == []


@pytest.mark.parametrize("rule", [*IN_FORMULAS, *IN_WORDS])
def test_each_rule_finds_its_fault_and_nothing_else(rule):
    wrong, right = EXAMPLES[rule]
    assert len(violations(wrong)) >= 1 and violations(right) == []


def test_a_fault_in_the_label_of_a_demo_is_found(tmp_path):
    demo = tmp_path / "demo.py"
    demo.write_text('"""No fault."""\nlabel = f"bound of K draws, {1}"  # $\\epsilon$\n', encoding="utf-8")
    assert len(violations(words_of(demo))) == 2


def table_of_notation(text):
    """Return [(names in code, letters), ...] of the rows of the table of notation."""
    section = text.partition("## Notation")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*`.+?) \| (.*?) \| ", section, re.MULTILINE)
    return [(re.findall(r"`(\w+)`", code), re.findall(r"\$([^$]+)\$", letter)) for code, letter in rows]


def test_no_letter_of_the_table_stands_for_two_rows():
    rows = table_of_notation((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    for column in (0, 1):
        letters = [letter for row in rows for letter in row[column]]
        assert len(letters) > 20 and len(letters) == len(set(letters))


def test_every_name_of_the_table_is_one_of_the_package():
    rows = table_of_notation((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "elbo_lab").rglob("*.py"))
    known = set(re.findall(r"\w+", code))
    assert [name for names, _ in rows for name in names if name not in known] == []
    assert "log_p_xz" not in known, "a name that is close to one of the table"
