"""A page for each demo, its kept figures first, and a page of cards for all of them.

A demo opens with a Markdown cell that is its title and a docstring that is its text, and it names each cell
on the line of its mark. Its page shows the title, the claim in one line, the figures, the text with its
formulas, and then cell by cell the code and what it printed. Nothing is run: figures and printed words are
those of `kept_figures`. The pages are written anew by every build.
"""

import html
import re
from pathlib import Path

import kept_figures

HEADER = re.compile(r'\A# %% \[markdown\]\n# # (?P<title>.+)\n# %%\n"""(?P<text>.*?)"""\n', re.DOTALL)
CELL = re.compile(r"^# %%[ \t]*(.*)\n", re.MULTILINE)
PAGE = re.compile(r"docs/((?:\w|\\_)+)\.md")
TIME = re.compile(r"^Expected time: ([^.;]+)[.;]", re.MULTILINE)
WIDEST = 40  # letters of a time on a card
# Demos by number; one that stands nowhere comes last.
TOPICS = {
    "What is estimated": "01 30 06 44 07 43 36 39 40 41",
    "Likelihood, MAP and densities": "02 03 26 13 25 18",
    "EM": "04 42 31 32 12 24",
    "Gradients and their noise": "00 33 34 08 09 35 16 17 28 14",
    "VAEs": "10 38 11 15 27 29 22 23",
    "Other models": "05 19 20 21",
}
REST = "More"
PAPERS = "Published results, reproduced"
ABOUT = """\
# Demos

One idea each: a claim, its formula, the exact value, the estimates, and a last cell that asserts the claim.
They are scripts with `# %%` cells, and run in a terminal, in an editor, as notebooks.
"""


def parts_of(script, path):
    """Return (title, text, cells) of a demo; cells are pairs of a name and code.

    Parameters
    ----------
    script : str
    path : str
        Of the demo, for messages.
    """
    header = HEADER.match(script)
    if header is None:
        raise ValueError(f"{path}: a demo begins with '# %% [markdown]', '# # TITLE', '# %%' and a docstring")
    first, *rest = CELL.split(script[header.end() :])
    cells = [("", first), *zip(rest[::2], rest[1::2], strict=True)]
    return header["title"], header["text"], [(name, code.strip("\n")) for name, code in cells if code.strip()]


def printed_by(text):
    """Return {name of a cell: what it printed} of the text that is kept of a demo."""
    _, *rest = CELL.split(text)
    return dict(zip(rest[::2], rest[1::2], strict=True))


def page_of(script, path, captions, printed, depth=""):
    """Return the Markdown of the page of a demo.

    Parameters
    ----------
    script : str
    path : str
        Of the demo, from the root.
    captions : dict of str to str
        Of the figures that are kept, by name.
    printed : dict of str to str
        By the name of the cell.
    depth : str
        '../' for a page one folder further down.
    """
    from elbo_lab.cli.notebooks import to_markdown

    title, text, cells = parts_of(script, path)
    teaser, _, rest = text.partition("\n\n")
    lines = [f"# {title}", "", to_markdown(teaser), ""]
    for name, caption in captions.items():
        lines += [f"```{{figure}} {depth}../figures/{name}.svg", f":alt: {caption}", "", caption, "```", ""]
    lines += [PAGE.sub(_link(depth), to_markdown(rest)), ""]
    script_link = f"{{download}}`the script <{depth}../../{path}>`"
    number = Path(path).name.partition("_")[0]
    notebook = f"{{download}}`the notebook <{Path(path).stem}.ipynb>`" if number.isdigit() else ""
    lines += [
        ", ".join(filter(None, (f"Download {script_link}", notebook))) + f". To run it: `python {path}`.",
        "",
    ]
    for name, code in cells:
        lines += [f"## {name}", ""] if name and name != "[markdown]" else []
        if name == "[markdown]":
            lines += [re.sub(r"^# ?", "", code, flags=re.MULTILINE), ""]
            continue
        lines += ["```python", code, "```", ""]
        if name in printed:
            lines += ["```{code-block} text", ":class: printed", "", printed[name].rstrip("\n"), "```", ""]
    return "\n".join(lines)


def _link(depth):
    def link(found):
        page = found[1].replace("\\", "")
        return f"[{page}]({depth}../{page}.md)"

    return link


def card_of(script, path, address, small):
    """Return the card of a demo: its picture, title, one line and time, all of it one link."""
    title, text, _ = parts_of(script, path)
    teaser = " ".join(text.split("\n\n")[0].split())
    time = TIME.search(text)
    words = time[1] if time else ""
    words = words if len(words) <= WIDEST and not words.startswith("-") else "long in full"
    picture = (
        small.replace("<svg ", '<svg aria-hidden="true" ', 1).replace('role="img" aria-label=""', "").strip()
    )
    return (
        f'<a class="demo-card" href="{address}.html"><span class="demo-picture">{picture}</span>'
        f"<strong>{html.escape(title)}</strong><span>{html.escape(teaser)}</span>"
        f"<small>{html.escape(words)}</small></a>"
    )


def _address(demo):
    return f"papers/{demo.stem}" if demo.parent.name == "papers" else demo.stem


def by_topic(demos):
    """Return {title: demos} in the order of the page."""
    numbered = {demo.name.partition("_")[0]: demo for demo in demos if demo.parent.name == "demos"}
    found = {
        title: [numbered.pop(n) for n in numbers.split() if n in numbered]
        for title, numbers in TOPICS.items()
    }
    found[REST] = list(numbered.values())
    found[PAPERS] = [demo for demo in demos if demo.parent.name == "papers"]
    return {title: group for title, group in found.items() if group}


def write(folder):
    """Write the pages, the page of cards and the notebooks into a folder, and nothing else."""
    from elbo_lab.cli.notebooks import notebook_of

    files = {}
    cards = {}
    for demo in kept_figures.DEMOS:
        script, path = demo.read_text(encoding="utf-8"), demo.relative_to(kept_figures.ROOT).as_posix()
        address = _address(demo)
        *figures, small, printed = kept_figures.files_of(demo)
        captions = kept_figures.captions_of(demo)
        kept = {file.stem: captions[file.stem] for file in figures if file.exists()}
        words = printed_by(printed.read_text(encoding="utf-8")) if printed.exists() else {}
        files[f"{address}.md"] = page_of(script, path, kept, words, "../" * address.count("/"))
        picture = small.read_text(encoding="utf-8") if small.exists() else ""
        cards[demo] = card_of(script, path, address, picture)
        if demo.parent.name == "demos":
            files[f"{address}.ipynb"] = notebook_of(script)
    files["index.md"] = ABOUT
    for title, group in by_topic(kept_figures.DEMOS).items():
        inside = "\n".join(cards[demo] for demo in group)
        entries = "\n".join(map(_address, group))
        files["index.md"] += f'\n## {title}\n\n<div class="demo-cards">\n{inside}\n</div>\n'
        files["index.md"] += f"\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"
    for name, text in files.items():
        # An unchanged page keeps its time, so that Sphinx need not read it again.
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    for file in folder.rglob("*.*"):
        if file.is_file() and file.relative_to(folder).as_posix() not in files:
            file.unlink()
