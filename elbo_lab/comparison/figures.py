"""The figures of a comparison: four questions, four pictures.

variance-TARGET     which estimator of this target is how noisy, on every model? One for each target.
gradient-cloud      what does one gradient look like beside the exact one?
variance-vs-draws   do more draws help, and how fast?
prior-monte-carlo   why does sampling from the prior fail?
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from elbo_lab.blas import single_threaded_blas
from elbo_lab.plots import (
    plot_cloud,
    plot_prior_failure,
    plot_variance,
    plot_variance_against_draws,
    save_figure,
)
from elbo_lab.study.experiments import (
    fitting,
    gradient_cloud,
    prior_failure,
    theory_against_draws,
    variance_against_draws,
)
from elbo_lab.study.grouping import order_targets


def _example(comparison):
    """Return (scene, exact gradient in phi) for the two pictures of one model, or None.

    The last model with continuous latents: the lists end with the deep ones, which are what a reader has
    in mind. None without an estimator of the gradient.
    """
    found = [
        (scene, answers["grad-phi-elbo"].value)
        for scene, answers in zip(comparison.scenes, comparison.answers, strict=True)
        if "grad-phi-elbo" in answers
        and fitting(comparison.estimators, scene, comparison.settings["draws"], "grad-phi-elbo")
    ]
    continuous = [pair for pair in found if not pair[0].model.family.discrete]
    return (continuous or found or [None])[-1]


def _place(scene, at):
    """Say where a picture was taken."""
    where = {"near": "near the best fit", "start": "at the prior", "exact": "at the best fit"}[at]
    return f"{scene.model.label}, {scene.data}, q {where}"


def _two_coordinates(layout):
    """Return the first coordinates of the last two blocks, or the first and last of a single block.

    For a free Gaussian these are a mean and a log-scale of the first datum.
    """
    starts = np.cumsum([0, *(math.prod(shape) for _, shape in layout.entries)])
    return [int(start) for start in starts[-3:-1]] if len(layout.entries) > 1 else [0, layout.size - 1]


def draw_figures(comparison):
    """Return {name: Figure} for a `Comparison`."""
    settings = comparison.settings
    seed, draws = settings["seed"], settings["draws"]
    figures = {
        f"variance-{target}": plot_variance([row for row in comparison.rows if row["target"] == target])
        for target in order_targets(comparison.rows)
    }
    example = _example(comparison)
    if example is not None:
        scene, exact = example
        estimators, place = comparison.estimators, _place(scene, settings["at"])
        coordinates = _two_coordinates(scene.posterior.layout)
        names = [scene.posterior.layout.name_of(i) for i in coordinates]
        with single_threaded_blas(), ThreadPoolExecutor(settings["threads"]) as pool:
            points = min(400, settings["repeats"])
            cloud = pool.submit(gradient_cloud, scene, estimators, draws, seed, coordinates, points)
            # Six numbers of draws share about the work of one row of the table.
            repeats = max(20, settings["repeats"] // 5)
            records = variance_against_draws(scene, estimators, seed, pool, repeats=repeats)
            samples = cloud.result()
        theory = theory_against_draws(scene, records)
        title = f"Single gradients, S = {draws}: {place}"
        figures["gradient-cloud"] = plot_cloud(samples, exact[coordinates], names, title=title)
        figures["variance-vs-draws"] = plot_variance_against_draws(records, title=place, theory=theory).figure
    with single_threaded_blas():
        records = prior_failure(seed)
    title = "Prior Monte Carlo on PPCA, 64 columns, data from the model"
    figures["prior-monte-carlo"] = plot_prior_failure(records, title=title)
    return figures


def save_figures(figures, folder):
    """Write PNG and SVG of every figure; return the paths."""
    return [path for name, figure in figures.items() for path in save_figure(figure, folder, name)]
