"""Write the last run into the docs: a page with its table, a figure, and the figure of the cost model.

python tests/benchmarks/publish.py out.json scaling.json
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
from matplotlib.ticker import NullFormatter
from PIL import Image
from table import cells, times

from elbo_lab.files import write_bytes
from elbo_lab.plots import STYLE, new_figure, style_axes
from elbo_lab.plots.files import render_figure

COLORS = {"N": "#0072B2", "D": "#D55E00", "C": "#117733", "K": "#AA4499", "H": "#E69F00", "S": "#882255"}
DOCS = Path(__file__).parents[2] / "docs"
PAGE = """# Benchmarks

Every contestant runs in a process of its own, rounds alternate between them, and figures are medians of one
run; `tests/benchmarks/run.py` makes this page's numbers and `tests/benchmarks/publish.py` the page:

```bash
pip install '.[peers]'
python tests/benchmarks/run.py --peers --json out.json
python tests/benchmarks/scaling.py --json scaling.json
python tests/benchmarks/publish.py out.json scaling.json
```

{machine}

![How many times longer each peer takes, on a log axis](figures/benchmarks.png)

*Limit* is what cannot be left out, mostly the matrix products alone through the same BLAS. *Definition* is
the readable NumPy form of the same work, with the kernels switched off. MB is the peak while working, over
what the process held before its first call. How time and memory grow is told in the [cost model](cost.md).

{table}

{targets}
"""


def table_of(rows):
    """Return the rows as a Markdown table."""
    head = "work|ours|definition|limit|ours / limit|MB|peer|peer takes|peer / ours|MB of peer".split("|")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    names = [None, *(row["name"] for row in rows)]
    lines += [
        "| " + " | ".join(cells(row, row["name"] == before)) + " |"
        for before, row in zip(names, rows, strict=False)
    ]
    return "\n".join(lines)


def machine_of(machine):
    """Return one sentence about the machine."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, {packages}."
    )


def targets_of(rows):
    """Return what was aimed at, met or missed, as a list."""
    lines = ["What was aimed at:", ""]
    for row in rows:
        for target in row["targets"]:
            word = "met" if target["met"] else "**missed**"
            lines.append(f"- {row['name']}, {target['text']}: {target['value']:.3g}{target['unit']}, {word}")
    return "\n".join(lines)


def draw_peers(rows):
    """Return the figure of how many times longer each peer takes."""
    rows = [row for row in rows if row["peer"]]
    figure = new_figure(0.7 + 0.27 * len(rows))
    ax = figure.add_subplot()
    places = np.arange(len(rows))[::-1]
    ratios = np.array([row["ratio_to_peer"] for row in rows])
    ax.hlines(places, 1.0, ratios, color="#56B4E9", linewidth=3)
    ax.plot(ratios, places, "o", color="#0072B2", markersize=STYLE["marker_size"])
    for place, ratio in zip(places, ratios, strict=True):
        note = {"xytext": (8, 0), "textcoords": "offset points", "va": "center"}
        ax.annotate(times(ratio), (max(ratio, 1.0), place), fontsize=STYLE["note_size"], **note)
    ax.set_yticks(places, [f"{row['name']}   {row['peer']}" for row in rows])
    ax.set_xscale("log")
    ax.set_xlim(min(0.8, 0.9 * ratios.min()), 2 * ratios.max())
    ax.axvline(1.0, color="black", linewidth=1.0)
    ax.xaxis.set_major_formatter("{x:g} x")
    ax.xaxis.set_minor_formatter(NullFormatter())
    style_axes(ax, xlabel="time of the peer / time of elbo_lab", grid="x")
    return figure


def draw_growth(lines):
    """Return the figure of time (left) and memory (right) against size, one row per work."""
    works = list(dict.fromkeys(line["work"] for line in lines))
    figure = new_figure(0.4 + 1.9 * len(works))
    axes = figure.subplots(len(works), 2, squeeze=False)
    for work, (time_ax, memory_ax) in zip(works, axes, strict=True):
        own = [line for line in lines if line["work"] == work]
        plot_growth(time_ax, own, "ms")
        plot_growth(memory_ax, own, "mb")
        style_axes(time_ax, title=work, ylabel="ms, one core")
        style_axes(memory_ax, title=work, ylabel="MB of a call")
        memory_ax.legend(
            fontsize=STYLE["note_size"], frameon=False, loc="center left", bbox_to_anchor=(1, 0.5)
        )
    for ax in axes[-1]:
        ax.set_xlabel("times the smallest size", fontsize=STYLE["label_size"])
    return figure


def plot_growth(ax, lines, key):
    """Plot one line per letter, and dotted what grows in proportion."""
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    for letter in dict.fromkeys(line["letter"] for line in lines):
        part = [line for line in lines if line["letter"] == letter]
        first, values = part[0]["value"], [line[key] for line in part]
        sizes = [line["value"] / first for line in part]
        ax.plot(sizes, values, "o-", markersize=3, color=COLORS[letter], label=f"{letter} from {first:,}")
        ax.plot([1, sizes[-1]], [values[0], values[0] * sizes[-1]], ":", color=COLORS[letter], linewidth=0.8)
    ax.set_xticks([1, 2, 4, 8, 16, 32, 64])
    ax.xaxis.set_major_formatter("{x:g}")


def few_colors(png):
    """Return the picture in 64 colours, a third of the size: a page should load at once."""
    small = io.BytesIO()
    Image.open(io.BytesIO(png)).quantize(64).save(small, "PNG", optimize=True)
    return small.getvalue()


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("scaling", type=Path)
    options = parser.parse_args(words)
    run = json.loads(options.run.read_text(encoding="utf-8"))
    scaling = json.loads(options.scaling.read_text(encoding="utf-8"))
    words = {
        "machine": machine_of(run["machine"]),
        "table": table_of(run["rows"]),
        "targets": targets_of(run["rows"]),
    }
    (DOCS / "benchmarks.md").write_text(PAGE.format(**words), encoding="utf-8")
    figures = {"benchmarks": draw_peers(run["rows"]), "cost": draw_growth(scaling["lines"])}
    for name, figure in figures.items():
        write_bytes(DOCS / "figures" / f"{name}.png", few_colors(render_figure(figure)["png"]))


if __name__ == "__main__":
    main()
