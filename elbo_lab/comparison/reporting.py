"""The HTML report of a comparison: its figures are drawn, its page is made and written."""

import os
import shlex
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elbo_lab.comparison.pipeline import named
from elbo_lab.comparison.story import REPEATS
from elbo_lab.files import check_folder_writable, check_output, write_output
from elbo_lab.progress import Progress
from elbo_lab.registry import DATASETS, all_estimators, find_models, own_titles
from elbo_lab.report.machine import facts
from elbo_lab.report.page import KIND, PAGE, Picture, page_html
from elbo_lab.study.scene import TRAINED

if TYPE_CHECKING:
    from elbo_lab.comparison.figures import Drawing
    from elbo_lab.comparison.result import Comparison

# The settings that are options of `elbo-lab compare`, with their defaults.
USUAL = {
    "data": None,
    "latent": None,
    "categories": None,
    "rows": None,
    "draws": 10,
    "seed": 0,
    "latent_prior": None,
    "posterior": "free",
    "noise": "independent",
    "against": None,
    "power": None,
    "repeats": 1000,
}


def command_of(comparison: "Comparison") -> str:
    """Return the command that makes a comparison or a story again; a call where a command cannot."""
    settings, usual = comparison.settings, USUAL
    asked: dict[str, list[str]] = {}
    named_models, known = {choice.label: "" for choice in find_models()}, all_estimators()
    labels = [] if comparison.story is not None else settings["models"]
    if comparison.story is not None:
        usual = USUAL | {"repeats": REPEATS}
    else:
        names = settings["estimators"]
        targets = list(dict.fromkeys(estimator.target for estimator in comparison.estimators))
        if set(targets) != {estimator.target for estimator in known if estimator.name in names}:
            asked["targets"] = targets
            known = [estimator for estimator in known if estimator.target in targets]
        if names != list(dict.fromkeys(estimator.name for estimator in known)):
            asked["estimators"] = names
    options = {name: settings[name] for name, value in usual.items() if settings.get(name, value) != value}
    if settings["at"] == TRAINED:
        labels = []  # those of the fit, as its q
        options = {name: value for name, value in options.items() if name != "posterior"}
        options["at"] = settings["checkpoint"]
    elif settings["at"] != ("exact" if settings["posterior"] == "exact" else "near"):
        options["at"] = settings["at"]
    kinds = {scene.model.label: type(scene.model).__name__ for scene in comparison.scenes}
    own = {label: kinds.get(label, label) for label in labels if label not in named_models}
    built_in = {estimator.name for estimator in all_estimators()}
    own |= {one.name: f"{type(one).__name__}()" for one in comparison.estimators if one.name not in built_in}
    if own or not _has_name(settings["data"]) or options.get("at", "") is None:
        return _call(labels, asked, options, own)
    words = ["elbo-lab", "compare", *(["--full"] if labels == list(named_models) else labels)]
    for name, values in asked.items():
        words += ["--target" if name == "targets" else "--estimators", ",".join(values)]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _has_name(data: str | None) -> bool:
    """Tell whether data are found again by what the settings call them."""
    return data is None or data.partition(":")[0] in DATASETS or os.path.exists(data)


def _call(
    labels: list[str], asked: dict[str, list[str]], options: dict[str, Any], own: dict[str, str]
) -> str:
    """Return the call in Python for what is a user's own, {name: how it is built}, and needs it."""
    lists = {"models": labels, **asked} if labels else asked
    words = [
        f"{name}=[{', '.join(own.get(one, repr(one)) for one in values)}]" for name, values in lists.items()
    ]
    needed = [word.removesuffix("()") for word in own.values()]
    for name, value in options.items():
        own_things = {"data": ("x", "the data"), "at": ("result", "the fit")}
        mine = value is None if name == "at" else name == "data" and not _has_name(value)
        letter, meaning = own_things.get(name, ("", ""))
        words.append(f"{name}={letter if mine else repr(value)}")
        needed += [f"{letter} ({meaning})"] if mine else []
    whose = ", ".join(dict.fromkeys(needed))
    return f"elbo_lab.compare({', '.join(words)})\n# in Python, with {whose} of yours"


def write_report(
    comparison: "Comparison", folder: str | PathLike[str], progress: Progress | None, figures: str
) -> str:
    """Draw, make and write the page; return its path. See `Comparison.report`."""
    path = os.path.join(folder, PAGE)
    check_folder_writable("folder", folder)
    if os.path.isdir(folder):
        check_output("folder", path, KIND)
    # Without figures Matplotlib is not needed.
    pictures = _pictures(comparison, progress, figures) if figures != "none" else {}
    with own_titles(comparison.settings["titles"]):
        page = page_html(
            comparison.rows,
            comparison.settings,
            story=comparison.story,
            pictures=pictures,
            downloads={
                "elbo-lab-compare.json": comparison.to_json(),
                "elbo-lab-compare.csv": comparison.to_csv(),
            },
            command=command_of(comparison),
            machine=facts(),
        )
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_output("folder", path, page, KIND)
    return path


def _pictures(comparison: "Comparison", progress: Progress | None, figures: str) -> dict[str, Picture]:
    """Return {name: Picture}, drawn in parallel where that pays."""
    from elbo_lab.comparison.figures import drawings  # Matplotlib is heavy
    from elbo_lab.threads import single_threaded_blas

    with single_threaded_blas():
        drawn = drawings(comparison, figures)
        svgs = comparison.workers.map(_svg, list(drawn.values()), named(progress, "figures"))
    return {name: Picture(drawn[name].question, svg) for name, svg in zip(drawn, svgs, strict=True)}


def _svg(drawing: "Drawing") -> str:
    from elbo_lab.plots.files import themed_svg

    return themed_svg(drawing.draw(), drawing.question)
