"""The figures of a comparison: each answers the question that is its title.

TARGET              how noisy, or how far off, is each estimator of this target, on every model? Bounds of
                    several numbers of draws share a figure.
gradient-cloud      how do single gradients scatter around the exact one?
more-draws          do more draws help the importance-weighted bound and its gradient? Of the story only.
variance-vs-draws   how fast do more draws lower the variance?
prior-monte-carlo   why does sampling from the prior fail? Drawn on PPCA, if prior Monte Carlo is among the
                    estimators and a model with continuous latents among the models.
"""

from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib.figure import Figure

from elbo_lab.comparison.pipeline import named
from elbo_lab.comparison.result import CHOICES, Comparison
from elbo_lab.comparison.story import DOUBLY, PLAIN
from elbo_lab.errors import unknown_name
from elbo_lab.estimators import Estimator
from elbo_lab.estimators.targets import parse
from elbo_lab.exact import Answer
from elbo_lab.plots import (
    plot_by_model,
    plot_cloud,
    plot_more_draws,
    plot_prior_failure,
    plot_variance_against_draws,
)
from elbo_lab.plots.files import render_figure, write_rendered
from elbo_lab.plots.ranking import ALWAYS
from elbo_lab.plots.style import Pictures, left_out
from elbo_lab.posteriors import Posterior
from elbo_lab.progress import Progress
from elbo_lab.registry import display_name, is_built_in, own_titles
from elbo_lab.report import order_targets
from elbo_lab.report.questions import question_of
from elbo_lab.report.tables import conditions, exact_numbers
from elbo_lab.study.experiments import (
    Record,
    fitting,
    gradient_cloud,
    noisy_coordinates,
    prior_failure,
    theory_against_draws,
    variance_against_draws,
)
from elbo_lab.study.scene import WHERE, Scene
from elbo_lab.study.statistics import NORMAL_95
from elbo_lab.threads import single_threaded_blas

MOST_OF_STORY = 4
MOST_CURVES = 6
MOST_ROWS = 8
"""Estimators in a line of panels of the story."""
SCORE_FUNCTIONS = "elbo_lab.estimators.score."
MOST_POINTS = 200
MAIN = ("log-evidence", "grad-phi-elbo", "gradient-cloud", "variance-vs-draws")
"""The figures that answer the main questions; others take the places of those that a comparison lacks."""


class Drawing(NamedTuple):
    """One figure before it is drawn.

    Attributes
    ----------
    question : str
        The title in words: what the figure answers.
    draw : callable
        Returns the Figure.
    """

    question: str
    draw: Callable[[], Figure]


def _example(comparison: Comparison) -> tuple[Scene, Answer] | None:
    """Return (scene, exact answer of the gradient in phi) for the two figures of one model, or None.

    The last model with continuous latents, since the lists end with the deep models, which interest most
    readers. None without an estimator of the gradient.
    """
    scenes = [
        (scene, answers["grad-phi-elbo"])
        for scene, answers in zip(comparison.scenes, comparison.answers, strict=True)
        if "grad-phi-elbo" in answers
        and fitting(comparison.estimators, scene, comparison.settings["draws"], "grad-phi-elbo")
    ]
    continuous = [pair for pair in scenes if not pair[0].model.family.discrete]
    candidates = continuous or scenes
    return candidates[-1] if candidates else None


def _few(comparison: Comparison, scene: Scene) -> list[Estimator]:
    """Return few estimators of the gradient in phi for the figures of one scene.

    Those that every course compares, and of each other idea (each has a file of its own) the best, by the
    mean squared error times evaluations that the table found; further baselines of the score function come
    last. A user's own come before all others. What has no noise, or needs the exact answer, shows nothing.
    """
    kept = next(index for index, one in enumerate(comparison.scenes) if one is scene)
    size = len(comparison.estimators)
    blocks = [comparison.rows[i : i + size] for i in range(0, len(comparison.rows), size)]
    rows = [block for block in blocks if block[0]["data"] is not None][kept]
    noise = {
        estimator: row["mse"] * row["evaluations"]
        for estimator, row in zip(comparison.estimators, rows, strict=True)
        if row["target"] == "grad-phi-elbo" and row["variance"] and not estimator.is_reference
    }
    best: dict[str, Estimator] = {}
    for estimator in sorted(noise, key=lambda one: noise[one]):
        if estimator.name not in ALWAYS and is_built_in(estimator):
            best.setdefault(type(estimator).__module__, estimator)
    files = sorted(best, key=lambda file: file.startswith(SCORE_FUNCTIONS))
    own = [estimator for estimator in noise if not is_built_in(estimator)]
    always = [estimator for estimator in noise if estimator.name in ALWAYS]
    chosen = [*own, *always, *(best[file] for file in files)][:MOST_CURVES]
    return chosen or fitting(comparison.estimators, scene, comparison.settings["draws"], "grad-phi-elbo")


def _place(scene: Scene, at: str) -> str:
    """Return model, data, position of q and noise for the title of a figure."""
    noise = "" if scene.source.independent else f", {scene.source.name} noise"
    return f"{display_name(scene.model.label)}, {scene.data}, q {WHERE[at]}{noise}"


def _shows_prior_failure(comparison: Comparison) -> bool:
    """Tell whether the comparison has prior Monte Carlo and a model with continuous latents."""
    asked = any(estimator.name == "prior-monte-carlo" for estimator in comparison.estimators)
    return asked and not all(scene.model.family.discrete for scene in comparison.scenes)


def drawings(comparison: Comparison, figures: str = "story", name: str | None = None) -> dict[str, Drawing]:
    """Return {name: Drawing} for a `Comparison`, in the order of reading.

    Parameters
    ----------
    comparison : Comparison
    figures : {'story', 'all', 'none'}
        At most four that answer the main questions (of a story, those of its sections), all, or none.
    name : str, optional
        Only this one of them.

    Raises
    ------
    ValueError
        If `figures` is another word, or `name` the name of none.
    """
    if figures not in CHOICES:
        raise unknown_name("figures", figures, CHOICES)
    if figures == "none":
        return {}
    settings, example = comparison.settings, _example(comparison)
    draw: dict[str, Callable[..., Figure]] = {}
    always = [*ALWAYS, *(one.name for one in comparison.estimators if not is_built_in(one))]
    for target in dict.fromkeys(parse(target)[0] for target in order_targets(comparison.rows)):
        rows = [row for row in comparison.rows if parse(row["target"])[0] == target]
        if any(row["applicable"] and row["estimator"] != "exact" for row in rows):
            most = MOST_ROWS if figures == "story" else None
            note = ", ".join(conditions(rows, settings))
            draw[target] = partial(plot_by_model, rows, question_of(target), note, most, always)
    if "more_draws" in settings:
        draw["more-draws"] = partial(_more_draws, comparison)
    if example is not None:
        scene, answer = example
        few = _few(comparison, scene)
        fit = fitting(comparison.estimators, scene, settings["draws"], "grad-phi-elbo")
        left = [one.name for one in fit if one not in few and not one.is_reference]
        draw["gradient-cloud"] = partial(_cloud, few, left, settings, scene, answer)
        draw["variance-vs-draws"] = partial(_against_draws, left, settings["at"], scene)
    if _shows_prior_failure(comparison):
        draw["prior-monte-carlo"] = partial(_prior_failure, settings["seed"])
    names = list(draw)
    if figures == "story" and comparison.story is not None:
        names = [section.figure for section in comparison.story.sections if section.figure in draw]
    elif figures == "story":
        names.sort(key=lambda name: MAIN.index(name) if name in MAIN else len(MAIN))
        names = names[:MOST_OF_STORY]
    if name is not None:
        if name not in names:
            raise unknown_name("name", name, names)
        names = [name]
    if example is not None and "variance-vs-draws" in names:
        # Five numbers of draws together cost about as much as one row of the table. They run on the workers,
        # where the figures are drawn, hence before them.
        repeats = max(20, settings["repeats"] // 5)
        records = variance_against_draws(scene, few, settings["seed"], comparison.workers, repeats, answer)
        draw["variance-vs-draws"] = partial(draw["variance-vs-draws"], records)
    # The titles go along, since figures may be drawn in other processes.
    titled = partial(_titled, settings["titles"])
    return {name: Drawing(question_of(name), partial(titled, draw[name])) for name in names}


def _titled(titles: dict[str, str], draw: Callable[[], Figure]) -> Figure:
    with own_titles(titles):
        return draw()


def _more_draws(comparison: Comparison) -> Figure:
    settings = comparison.settings
    gaps, ratios = {}, {}
    for name, found in settings["more_draws"].items():
        row = next(row for row in comparison.rows if row["model"] == name)
        log_p = exact_numbers(row, settings)["log-evidence"][0]
        gap, half = log_p - np.array(found["bound"]), NORMAL_95 * np.array(found["bound_se"])
        draws = {"draws": found["draws"]}
        gaps[display_name(name)] = draws | {"gap": gap, "low": gap - half, "high": gap + half}
        ratios[display_name(name)] = {one.name: draws | found[one.name] for one in (PLAIN, DOUBLY)}
    note = f"{row['n_data']} rows, q {WHERE[settings['at']]}; a small gap and a large ratio are good"
    return plot_more_draws(gaps, ratios, question_of("more-draws"), note)


def _cloud(
    estimators: list[Estimator], left: list[str], settings: dict[str, Any], scene: Scene, answer: Answer
) -> Figure:
    seed, draws = settings["seed"], settings["draws"]
    coordinates = noisy_coordinates(scene, estimators, draws, seed, answer.value)
    points = min(MOST_POINTS, settings["repeats"])
    samples = gradient_cloud(scene, estimators, draws, seed, coordinates, points)
    layout = cast(Posterior, scene.posterior).layout  # without a q there is no gradient in phi
    names = [layout.name_of(i) for i in coordinates]
    note = f"{_place(scene, settings['at'])}; {points} gradients of {draws} draws each"
    note += left_out(map(display_name, left))
    return plot_cloud(samples, answer.value[coordinates], names, question_of("gradient-cloud"), note)


def _against_draws(left: list[str], at: str, scene: Scene, records: dict[str, Record]) -> Figure:
    draws = sorted({draws for record in records.values() for draws in record["draws"]})
    note = f"{_place(scene, at)}; markers at {', '.join(map(str, draws))} draws"
    note += left_out(map(display_name, left))
    # For a network a quadrature would take longer than all that is measured here.
    theory = {} if scene.model.hidden is not None else theory_against_draws(scene, records)
    title = question_of("variance-vs-draws")
    return plot_variance_against_draws(records, title=title, note=note, theory=theory).figure


def _prior_failure(seed: int) -> Figure:
    title = f"{question_of('prior-monte-carlo')}\n{display_name('ppca')}, 64 columns, data from the model"
    return plot_prior_failure(prior_failure(seed), title=title)


def draw_figure(comparison: Comparison, name: str) -> Figure:
    """Return one figure of a `Comparison`."""
    with single_threaded_blas():
        return drawings(comparison, "all", name)[name].draw()


def draw_figures(comparison: Comparison, figures: str = "story") -> dict[str, Figure]:
    """Return {name: Figure} for a `Comparison`; `figures` as for `drawings`."""
    with single_threaded_blas():
        return Pictures({name: drawing.draw() for name, drawing in drawings(comparison, figures).items()})


def write_drawings(
    comparison: Comparison,
    folder: str | PathLike[str],
    progress: Progress | None = None,
    figures: str = "story",
) -> list[str]:
    """Draw and write figures of a `Comparison`, in parallel where that pays; return their names.

    Parameters
    ----------
    folder : str or path
    progress : callable, optional
        Called as progress(done, total, 'figures').
    figures : {'story', 'all', 'none'}
        As for `drawings`.
    """
    with single_threaded_blas():
        chosen = drawings(comparison, figures)
        # A typical one comes first, since it is timed; of the others the last take longest.
        names = [*list(chosen)[:1], *list(chosen)[:0:-1]]
        draw = [chosen[name].draw for name in names]
        contents = comparison.workers.map(_rendered, draw, named(progress, "figures"))
    for name, content in zip(names, contents, strict=True):
        write_rendered(content, folder, name)
    return list(chosen)


def _rendered(draw: Callable[[], Figure]) -> dict[str, bytes]:
    return render_figure(draw())
