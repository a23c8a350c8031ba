"""The page without a server: frames computed beforehand, on a grid of the sliders.

A slider then has the values of its grid, and a button leads to the nearest values of the grid. EM has more
settings than a grid can hold: its tab shows a recorded run, with a slider over the half steps.

Frames of a grid repeat each other: the posterior does not depend on q. So every part of a frame is stored
once for each combination of those sliders that change it. `page/recorded.js` puts the parts together.
"""

import itertools
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from elbo_lab.explorer.shown import Shown, running_example
from elbo_lab.explorer.tab import Frame, Settings, Tab

Grid = dict[str, list[float]]
"""The values of every slider of a tab, by name."""

Run = tuple[Settings, tuple[str, ...]]
"""Settings where a run begins, and the buttons that are pressed."""

DIGITS = 8
# Values of the sliders, and runs whose values join them, so that their numbers are those of a live page.
GRIDS: dict[str, Grid] = {
    "bound": {
        "mean": [-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0],
        "sd": [0.1, 0.3, 0.45, 0.8, 1.0, 1.4, 2.0],
        "theta": [-1.0, -0.5, 0.0, 0.5, 1.0],
    },
    "noise": {
        "mean": [-2.0, -1.0, 0.0, 0.5, 1.0, 2.0],
        "sd": [0.3, 0.8, 1.0, 1.5],
        "evaluations": [4, 16, 64],
    },
    "prior": {"latents": list(range(1, 21)), "log_draws": [0.5 * i for i in range(11)]},
    "draws": {
        "log2_draws": list(range(7)),
        "mean": [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0],
        "sd": [0.4, 0.6, 0.8, 1.0, 1.5],
    },
    "bit": {
        "temperature": [0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0],
        "logit": [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0],
        "target": [0.0, 0.25, 0.4, 0.49, 0.5, 0.6, 0.75, 1.0],
    },
}
RUNS: dict[str, list[Run]] = {
    "bound": [
        ({}, ("phi-step", "phi-step", "best-q")),
        ({"mean": -2.0}, ("theta-step",)),
        ({}, ("phi-step", "theta-step")),
    ],
    "noise": [({}, ("best-q",))],
}
# Dots of a cloud that are kept; its variance is that of all.
DOTS = 80
# Half steps of EM: from the start until nothing moves any more.
HALF_STEPS = 24
SCRIPT = '<script src="recorded.js" defer></script>\n'


def write_page(folder: Path) -> None:
    """Write the page and its frames, for the example of the lessons: it opens without a server.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    """
    from elbo_lab.explorer import TABS, described

    folder.mkdir(parents=True, exist_ok=True)
    for file in (files("elbo_lab.explorer") / "page").iterdir():
        text = file.read_text(encoding="utf-8")
        if file.name == "index.html":
            text = text.replace("</head>", f"{SCRIPT}</head>")
        (folder / file.name).write_text(text, encoding="utf-8")
    shown, page = running_example(), described()
    tabs = []
    for tab in TABS.values():
        found, table = recorded_run(tab, shown) if tab.name == "em" else recorded_grid(tab, shown)
        tabs.append(found)
        write_script(folder / f"frames-{tab.name}.js", tab.name, table)
    page["about"] = f"{page['about']}. Recorded: sliders move in steps; elbo-lab explore computes any value"
    write_script(folder / "frames.js", "", page | {"tabs": tabs})


def write_script(path: Path, name: str, value: Any) -> None:
    """Write a value as a script, which a page may load from a file too."""
    text = json.dumps(rounded(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    path.write_text(f"Explorer.record({json.dumps(name)},{text});\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """Return a copy whose floats have `DIGITS` significant digits."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


# -- a grid --------------------------------------------------------------------------------------------


def grid_of(tab: Tab, shown: Shown) -> Grid:
    """Return the grid of a tab, with the values of its runs."""
    grid = {name: set(values) for name, values in GRIDS[tab.name].items()}
    for beginning, buttons in RUNS.get(tab.name, []):
        place = tab.checked(shown, beginning)
        for button in ("", *buttons):
            place = tab.after(shown, button, place) if button else place
            for name, value in place.items():
                grid[name].add(value)
    return {name: sorted(values) for name, values in grid.items()}


def recorded_grid(tab: Tab, shown: Shown) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description of a tab with the values of its sliders, and its table of frames."""
    grid = grid_of(tab, shown)
    places = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    frames = [thinned(tab.frame(shown, place)) for place in places]
    moves = {}
    for button in tab.buttons:
        reached = [tab.after(shown, button.name, place) for place in places]
        moves[button.name] = [[nearest(grid[name], there[name]) for name in grid] for there in reached]
    described = tab.described(shown)
    for slider in described["sliders"]:
        slider["values"] = grid[slider["name"]]
    return described, table_of(grid, frames) | {"moves": moves}


def nearest(values: Sequence[float], value: float) -> int:
    """Return the index of the nearest value."""
    return min(range(len(values)), key=lambda i: abs(values[i] - value))


def thinned(frame: Frame) -> Frame:
    """Return a frame with fewer dots in its clouds."""
    clouds = [cloud | {"dots": few_digits(cloud["dots"][:DOTS])} for cloud in frame.get("clouds", [])]
    return frame | {"clouds": clouds} if clouds else frame


def few_digits(dots: list[list[float]]) -> list[list[float]]:
    """Return points with three significant digits."""
    return [[float(f"{value:.3g}") for value in dot] for dot in dots]


def table_of(grid: Grid, frames: list[Frame]) -> dict[str, Any]:
    """Return the frames of a grid, in the order of its product, with every part once."""
    return {"grid": grid, "frame": node_of([len(values) for values in grid.values()], frames)}


def node_of(sizes: list[int], values: list[Any]) -> dict[str, Any]:
    """Return a part of all frames: by key or by place as long as its shape is the same everywhere.

    A leaf has `over`, the places of the sliders on which it depends, and a value for each combination.
    """
    first = values[0]
    if isinstance(first, dict):
        return {"keys": {key: node_of(sizes, [value[key] for value in values]) for key in first}}
    alike = isinstance(first, list) and {len(value) for value in values} == {len(first)}
    if alike and first and isinstance(first[0], dict):
        return {"items": [node_of(sizes, [value[i] for value in values]) for i in range(len(first))]}
    over = [axis for axis in range(len(sizes)) if not constant(sizes, axis, values)]
    picked = [range(size) if axis in over else (0,) for axis, size in enumerate(sizes)]
    return {"over": over, "values": [values[flat(sizes, at)] for at in itertools.product(*picked)]}


def constant(sizes: list[int], axis: int, values: list[Any]) -> bool:
    """Return whether values of a product do not depend on one of its axes."""
    places = itertools.product(*(range(size) for size in sizes))
    return all(
        values[flat(sizes, at)] == values[flat(sizes, (*at[:axis], 0, *at[axis + 1 :]))] for at in places
    )


def flat(sizes: Sequence[int], at: Sequence[int]) -> int:
    """Return the index of a place in the order of the product."""
    index = 0
    for size, i in zip(sizes, at, strict=True):
        index = index * size + i
    return index


# -- a run ---------------------------------------------------------------------------------------------


def recorded_run(tab: Tab, shown: Shown) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description of EM as a recorded run, for each number of components, and its table."""
    (slider,) = tab.sliders(shown)
    numbers = list(range(round(slider.low), round(slider.high) + 1))
    frames = []
    for components in numbers:
        run = half_steps(tab, shown, components)
        history = [{key: frame[key] for key in ("log_p", "bound")} for frame in run]
        frames += [frame | {"history": history} for frame in run]
    grid: Grid = {slider.name: list(map(float, numbers)), "step": list(map(float, range(HALF_STEPS + 1)))}
    described = tab.described(shown)
    described["sliders"][0] |= {"values": grid[slider.name], "resets": []}
    steps = {"name": "step", "label": "half steps: E, M, E, M, …", "low": 0, "high": HALF_STEPS, "step": 1}
    described["sliders"].append(
        steps | {"start": 0, "unit": "", "power": 0, "resets": [], "values": grid["step"]}
    )
    described["question"] |= {
        "settled_by": ["step"],
        "try_it": "Move the slider of half steps one by one: odd ones are E-steps, even ones M-steps.",
    }
    described |= {"buttons": [], "recorded": True}
    return described, table_of(grid, frames) | {"moves": {}}


def half_steps(tab: Tab, shown: Shown, components: int) -> list[Frame]:
    """Return the frames of a run from the start, E-steps and M-steps alternately."""
    place = tab.checked(shown, {"components": components})
    run = [tab.frame(shown, place)]
    for button in itertools.islice(itertools.cycle(("e-step", "m-step")), HALF_STEPS):
        place = tab.after(shown, button, place)
        run.append(tab.frame(shown, place))
    return run
