"""What turns the docs into a site: demos into gallery form, docstrings into markup, links into the site."""

import ast
import importlib
import re
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from elbo_lab.bounds import BOUNDS
from elbo_lab.cli.main import build_parser
from elbo_lab.datasets import DATASETS
from elbo_lab.distributions import FAMILIES
from elbo_lab.estimators import ESTIMATORS, Exact
from elbo_lab.posteriors import POSTERIORS
from elbo_lab.registry import find_estimators, find_models
from elbo_lab.report.columns import COLUMNS, find_column

ROOT = Path(__file__).parents[1]
# The modules of the site are no part of the package.
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
TOOLS = ("catalogue", "command_output", "demo_gallery", "plain_text", "readme_parts", "source_pages")
catalogue, command_output, demo_gallery, plain_text, readme_parts, source_pages = map(
    importlib.import_module, TOOLS
)
# What a run costs depends on the machine that builds the site.
OF_THE_MACHINE = {"time", "effic."}

DEMOS = sorted((ROOT / "demos").rglob("[!_]*.py"))
NAME = r"[A-Z][\w'-]+"
LINK = rf"(?:, (?:(?:van|van den) )?{NAME})*(?: (?:and|et) (?:van )?{NAME.replace('A-Z', 'A-Za-z')}\.?)?"
CITED = re.compile(rf"\b({NAME}){LINK},? \(?((?:19|20)\d\d)\b")
# Words before a year that name no author.
NO_AUTHORS = {"ICLR", "ICML", "NIPS", "NeurIPS", "JMLR", "Press", "In", "February", "Sun"}


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_a_demo_becomes_a_page_with_its_figures_first_and_all_of_its_code(path):
    text = path.read_text(encoding="utf-8")
    title, _, cells = demo_gallery.parts_of(text, path.name)
    body = "\n".join(code for name, code in cells if name != "[markdown]")
    assert ast.dump(ast.Module(ast.parse(text).body[1:], [])) == ast.dump(ast.parse(body))
    page = demo_gallery.page_of(
        text, f"demos/{path.name}", {"a-b": "What it shows."}, {cells[-1][0]: "7.5\n"}
    )
    assert page.startswith(f"# {title}\n")
    assert page.index("/figures/a-b.svg") < page.index("**Claim.**") < page.index("```python")
    assert page.count("```python\n") == sum(name != "[markdown]" for name, _ in cells)
    assert page.rstrip().endswith(":class: printed\n\n7.5\n```")


def test_a_demo_without_its_header_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^demos/x\.py: a demo begins with"):
        demo_gallery.parts_of('"""Text."""\n', "demos/x.py")


def test_the_list_of_demos_holds_each_once_under_its_topic():
    groups = demo_gallery.by_topic(DEMOS)
    assert sorted(path for group in groups.values() for path in group) == DEMOS
    later = ROOT / "demos" / "99_later.py"
    assert demo_gallery.by_topic([later, *DEMOS])[demo_gallery.REST] == [
        later,
        *groups.get(demo_gallery.REST, []),
    ]


def test_a_card_is_one_link_with_title_line_and_time():
    script = '# %% [markdown]\n# # A < B\n# %%\n"""One\nline.\n\nExpected time: two seconds.\n"""\n'
    card = demo_gallery.card_of(
        script, "demos/x.py", "x", '<svg data-code="1" role="img" aria-label=""></svg>'
    )
    assert card.startswith('<a class="demo-card" href="x.html">') and card.count("<a") == 1
    assert re.sub(r"<svg.*?</svg>", "", card).count("One line.") == 1 and "two seconds" in card
    assert "A &lt; B" in card and 'aria-hidden="true"' in card and "aria-label" not in card


def test_the_catalogue_holds_every_name_of_the_registries_with_its_file():
    page = [(ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")]
    catalogue.insert(None, "catalogue", page)
    names = [choice.label for choice in find_models()]
    names += [item.name for item in (*ESTIMATORS, *POSTERIORS, *DATASETS, *FAMILIES)]
    names += [bound.__name__ for bound in BOUNDS]
    assert [name for name in names if f"`{name}`" not in page[0]] == []
    files = re.findall(r"\]\(\.\./(\S+)\)", page[0])
    assert len(files) >= len(ESTIMATORS) and all((ROOT / file).is_file() for file in files)


def test_an_estimator_from_elsewhere_stands_in_the_catalogue_without_an_edit(monkeypatch):
    stranger = replace(Exact("elbo"))
    object.__setattr__(stranger, "name", "stranger")
    object.__setattr__(stranger, "summary", "a | b_c")
    monkeypatch.setattr(catalogue, "all_estimators", lambda: [stranger])
    assert catalogue.estimators().endswith(
        r"| [`stranger`](../elbo_lab/estimators/exact.py) | yes | a \| b\_c |"
    )


def columns_of(options):
    """Return the names of the columns that a comparison prints at the width of the site."""
    return options.columns.split(",") if options.columns else [column.title for column in COLUMNS]


def test_a_table_that_prints_seconds_is_found():
    options = build_parser().parse_args(["compare", "ppca"])
    assert set(columns_of(options)) >= OF_THE_MACHINE


def test_a_page_explains_the_columns_of_its_tables_once(monkeypatch):
    legend = "In nats per unit of parameter (variance and mse squared): bias is\nthe mean."
    monkeypatch.setattr(command_output, "printed", lambda words: f"table of {words}\n\n{legend}\n")
    block = "```bash\nelbo-lab compare {}\n```\n\n<!-- output -->\n"
    page = command_output.with_outputs(block.format("a") + block.format("b"))
    assert page.count(legend) == 1 and page.index("table of compare a") < page.index(legend)
    assert page.index(legend) < page.index("table of compare b\n```")


def test_marked_commands_are_known_and_only_they_are_run(monkeypatch):

    found = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        marked = [match["words"] for match in command_output.MARK.finditer(text)]
        assert len(marked) == text.count("<!-- output -->"), page.name
        found += marked
    assert found
    for words in found:
        options = build_parser().parse_args(words.split())
        if options.command == "compare":
            assert find_estimators(options.estimators.split(","))
            assert not OF_THE_MACHINE.intersection(
                find_column("columns", c).title for c in columns_of(options)
            )

    monkeypatch.setattr(command_output, "printed", lambda words: f"printed by {words}")
    page = ["```bash\nelbo-lab list\n```\n\n<!-- output -->\n\n```bash\nelbo-lab doctor\n```\n"]
    app = type("App", (), {"config": type("Config", (), {"run_commands": True})})
    command_output.insert(app, "page", page)
    assert page[0].count("printed by") == 1 and "printed by list" in page[0]


def test_the_start_page_shows_the_questions_of_the_readme_with_links_that_lead_there_from_the_docs():
    page = [(ROOT / "docs" / "index.md").read_text(encoding="utf-8")]
    readme_parts.insert(None, "index", page)
    assert "<!-- readme" not in page[0] and "| question |" in page[0]
    table = [line for line in page[0].splitlines() if line.startswith("|")]
    links = [target for line in table for target in re.findall(r"\]\(([^)#]+)", line)]
    assert len(links) > len(table) and all((ROOT / "docs" / link).is_file() for link in links)


def test_a_section_that_the_readme_has_not_is_refused():
    with pytest.raises(ValueError):
        readme_parts.section("Nothing of the kind")


def plain_letters(text):
    """Return a text without accents, which some sources write and some do not."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def cited_in(text):
    """Return {(first author, year), ...} of a text, whose lines may break anywhere."""
    found = CITED.findall(re.sub(r"\s+", " ", plain_letters(text)))
    return {(author, year) for author, year in found if author not in NO_AUTHORS}


def test_every_work_that_is_cited_stands_in_the_bibliography():
    bibliography = (ROOT / "docs" / "bibliography.md").read_text(encoding="utf-8")
    items = plain_letters(bibliography).replace("\n  ", " ").splitlines()
    missing = {}
    texts = [*(ROOT / "docs").glob("*.md"), *DEMOS, *(ROOT / "elbo_lab").rglob("*.py"), ROOT / "README.md"]
    for path in texts:
        for author, year in cited_in(path.read_text(encoding="utf-8")):
            if not any(item.startswith("- ") and author in item and year in item for item in items):
                missing.setdefault((author, year), []).append(path.name)
    assert missing == {}


def test_a_citation_is_found_in_its_usual_forms():
    text = "(Kool, van Hoof\nand Welling 2019), Dieng et al. (2017), Neal 2001; Dong, Mnih and Tucker (2020)"
    assert cited_in(text) == {("Kool", "2019"), ("Dieng", "2017"), ("Neal", "2001"), ("Dong", "2020")}


@pytest.fixture(scope="module")
def pages_of_the_source():
    """{name: HTML} of the pages that show the source."""
    return {name.removeprefix("source/"): context["body"] for name, context, _ in source_pages.collect(None)}


def test_every_link_of_a_page_to_a_file_leads_to_its_place_in_the_source(pages_of_the_source):
    found = 0
    for page in sorted((ROOT / "docs").glob("*.md")):
        source = [page.read_text(encoding="utf-8")]
        source_pages.point_into_the_site(None, page.stem, source)
        for name, place in re.findall(r"\]\(source:([\w/]+)#([^)]*)\)", source[0]):
            assert not place or f'id="{place}"' in pages_of_the_source[name], (page.name, name, place)
            found += 1
    assert found > 100


@pytest.mark.parametrize(
    "name", ["elbo_lab.bounds.log_weight", "elbo_lab.models.PPCA", "elbo_lab.special.log_softmax"]
)
def test_the_api_leads_to_the_definition_in_the_source(name, pages_of_the_source):
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    address = source_pages.url_of("py", {"module": module, "fullname": attribute})
    page, _, place = address.removeprefix("../source/").partition(".html#")
    after = pages_of_the_source[page].partition(f'<a id="{place}"></a>')[2]
    assert re.sub(r"<[^>]*>", "", after[:300]).lstrip().startswith(("def ", "class ", "@")), found


def test_the_source_of_every_module_of_the_package_is_shown_once(pages_of_the_source):
    shown = "".join(pages_of_the_source.values())
    modules = [path for path in (ROOT / "elbo_lab").rglob("*.py") if "__pycache__" not in path.parts]
    assert shown.count('<div class="highlight">') >= len(modules)
    assert set(pages_of_the_source) >= {
        path.parent.name for path in (ROOT / "elbo_lab").glob("*/__init__.py")
    }


@pytest.mark.parametrize(
    ("line", "typeset"),
    [
        ("    p(x) = E_{p(z)}[p(x | z)] = E_{q(z)}[p(x, z) / q(z)]", True),
        ("    J_1 = S L_S - (S - 1) mean L_{S-1}", True),
        ("    estimate(problem, noise, state) -> (estimate, state)", False),
        ("    p(observed) = sum_g exp(log_weight_g)", False),
        ("    vimco                 the geometric mean of the other weights", False),
        ("    log_p.value - elbo.value      # (N,), zeros up to the errors", False),
    ],
)
def test_formulas_of_a_chapter_are_typeset_and_code_stays_as_it_is(line, typeset):
    made = plain_text.to_rst(f"Words.\n\n{line}\n\nMore.\n")
    assert (".. math::" in made, ".. code-block::" in made) == (typeset, not typeset)
    assert typeset or line in made


def test_a_column_of_numbers_stands_at_the_right():
    nodes = pytest.importorskip("docutils.nodes")
    tables = importlib.import_module("tables")
    texts = [("what", "ms", "page"), ("a 1", "2.81", "3 to 4"), ("b", "−1,200", "9 ± 1"), ("c", "-", "x")]
    rows = [
        nodes.row("", *(nodes.entry("", nodes.paragraph(text=cell), classes=["text-left"]) for cell in row))
        for row in texts
    ]
    head, body = nodes.thead("", rows[0]), nodes.tbody("", *rows[1:])
    tables.mark_numbers(None, nodes.table("", nodes.tgroup("", head, body)))
    classes = [[cell["classes"] for cell in row] for row in rows]
    assert classes == [[["text-left"], ["number"], ["text-left"]]] * len(texts)
    assert [
        word for word in ("12", "≈ 0.5", "3 %", "1e-5", "20 ms", "9 ± 1") if not tables.is_number(word)
    ] == []
    assert [
        word for word in ("K = 3", "3 to 4", "6, 7, 12", "ppca", "1 a", "") if tables.is_number(word)
    ] == []


def test_a_page_is_described_by_its_first_sentences_or_by_what_one_can_do_afterwards():
    nodes = pytest.importorskip("docutils.nodes")
    head = importlib.import_module("page_head")

    def described(*texts, title="Which one?"):
        paragraphs = [nodes.paragraph(text=text) for text in texts]
        return head.description_of(nodes.section("", *paragraphs), title)

    lesson = "Before: sums. After: you can add, and\nsubtract. Time: 3 minutes."
    assert described(lesson) == "Which one? You can add, and subtract."
    assert described(lesson, title="Sums") == "Sums. You can add, and subtract."
    short = "A package and a course. You see how well sums are estimated, and where not. More follows."
    assert described("goes on after a formula, in small letters.", short) == short.removesuffix(
        " More follows."
    )
    long = described("Words " * 100)
    assert len(long) <= head.LONGEST and long.endswith("Words…")
    assert described(title="Index").startswith("Index: ")
