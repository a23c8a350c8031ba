"""The demos as a gallery: their header in gallery form, their figures from the folder where they save them.

A demo opens with a Markdown cell that is its title and a docstring that is its text, and it names each cell
on the line of its mark. sphinx-gallery wants the title inside the docstring, in reStructuredText, and the
name of a cell on a line of its own. So the gallery is built from rewritten copies; the demos stay as they
are.
"""

import os
import re
import shutil
from pathlib import Path

from plain_text import escape, to_rst

OUT = "elbo-lab-figures"
HEADER = re.compile(r'\A# %% \[markdown\]\n# # (?P<title>.+)\n# %%\n"""(?P<text>.*?)"""\n', re.DOTALL)
CELL = re.compile(r"^# %% +(?P<name>\S.*)$", re.MULTILINE)
LEAD = re.compile(r"^(Claim\.|Formula|Source:|Sources:|Expected time:)", re.MULTILINE)
PAGE = re.compile(r"docs/(\w+)\.md")
FOLDERS = {
    "demos": (
        "The demos, in the order of the story",
        "One idea each: a claim, its formula, the exact value, the estimates, and a last cell that asserts\n"
        "the claim. They are scripts with ``# %%`` cells, and run in a terminal, in an editor, as notebooks.",
    ),
    "demos/papers": (
        "Published results, reproduced",
        "A figure or a table of a paper each, beside exact values.",
    ),
}


def full_run():
    """Return whether the demos run in full; by default they run quickly."""
    return os.environ.get("ELBO_LAB_FULL") == "1"


def note(path):
    """Return the line that says which run the figures of a page are of."""
    if full_run():
        return f"Figures and numbers on this page are those of a **full run**, ``python {path}``."
    return (
        "Figures and numbers on this page are those of a **quick run**, with small budgets, and rougher\n"
        f"than what the text says. In full: ``python {path}``."
    )


def rewritten(text, path):
    """Return a demo in gallery form.

    Parameters
    ----------
    text : str
    path : str
        Of the demo, for messages and for the command that runs it.
    """
    header = HEADER.match(text)
    if header is None:
        raise ValueError(f"{path}: a demo begins with '# %% [markdown]', '# # TITLE', '# %%' and a docstring")
    body = PAGE.sub(r":doc:`/\1`", LEAD.sub(r"\n**\1**", to_rst(header["text"])))
    title = escape(header["title"])
    first = f'r"""\n{title}\n{"=" * len(title)}\n\n{body}\n.. note::\n\n'
    first += "".join(f"   {line}\n" for line in note(path).splitlines()) + '"""\n'
    return first + CELL.sub(_heading, text[header.end() :])


def _heading(match):
    """Return the mark of a cell with its name as a heading, set off from comments of the code below."""
    name = escape(match["name"])
    return f"# %%\n# {name}\n# {'-' * len(name)}\n"


def prepare(root, target):
    """Write the demos in gallery form under `target`, the sections in folders of it, and return `target`."""
    shutil.rmtree(target, ignore_errors=True)
    for name, (title, text) in FOLDERS.items():
        folder = target / Path(name).relative_to("demos")
        folder.mkdir(parents=True)
        (folder / "GALLERY_HEADER.rst").write_text(
            f"{title}\n{'=' * len(title)}\n\n{text}\n", encoding="utf-8"
        )
        for demo in sorted((root / name).glob("[!_]*.py")):
            path = demo.relative_to(root).as_posix()
            (folder / demo.name).write_text(
                rewritten(demo.read_text(encoding="utf-8"), path), encoding="utf-8"
            )
    return target


def start_afresh(_, demo):
    """Empty the folder of the figures before a demo runs; called by sphinx-gallery."""
    # `demo` is None before a section.
    # Relative, as a reader has it: the demos print the name of the file.
    os.environ["ELBO_LAB_OUT"] = OUT
    if demo is not None:
        shutil.rmtree(Path(demo).parent / OUT, ignore_errors=True)


def show_figures(_, block_vars, gallery_conf):
    """Return the figures that a cell has written, each with its name and its run under it."""
    found = []
    folder = Path(block_vars["src_file"]).parent / OUT
    for path in sorted(folder.glob("*.png"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
        image = Path(next(block_vars["image_path_iterator"]))
        shutil.move(path, image)
        name = path.stem.replace("-", " ")
        place = image.relative_to(gallery_conf["src_dir"]).as_posix()
        run = "full run" if full_run() else "quick run"
        found += ["", f".. figure:: /{place}", f"   :alt: {name}", "", f"   {name} ({run})", ""]
    return "\n".join(found)


def write_notebooks(app):
    """Write the demos as 'elbo-lab demo --notebook' does; a handler of `builder-inited`."""
    # Imported late, since the package is on the path only once the configuration is read.
    from elbo_lab.cli.notebooks import notebook_of

    for script in sorted((Path(app.confdir).parent / "demos").glob("[0-9]*.py")):
        path = Path(app.srcdir) / "gallery" / f"{script.stem}.ipynb"
        if path.exists():
            path.write_text(notebook_of(script.read_text(encoding="utf-8")), encoding="utf-8")
