"""The figures of a comparison: four questions, four pictures.

variance-TARGET     which estimator of this target is how noisy, on every model? One for each target that
                    some estimator admits.
gradient-cloud      what does one gradient look like beside the exact one?
variance-vs-draws   do more draws help, and how fast?
prior-monte-carlo   why does sampling from the prior fail? Drawn, on PPCA, where prior Monte Carlo is among
                    the estimators and a model with continuous latents among the models.
"""

from functools import partial

from elbo_lab.plots import (
    plot_cloud,
    plot_prior_failure,
    plot_variance,
    plot_variance_against_draws,
)
from elbo_lab.plots.files import render_figure, write_rendered
from elbo_lab.plots.style import new_figure
from elbo_lab.processes import Workers
from elbo_lab.report.grouping import order_targets
from elbo_lab.study.experiments import (
    fitting,
    gradient_cloud,
    noisy_coordinates,
    prior_failure,
    theory_against_draws,
    variance_against_draws,
)
from elbo_lab.study.scene import WHERE
from elbo_lab.threads import single_threaded_blas

FEW_CURVES = 8


def _example(comparison):
    """Return (scene, exact answer of the gradient in phi) for the two pictures of one model, or None.

    The last model with continuous latents: the lists end with the deep ones, which are what a reader has
    in mind. None without an estimator of the gradient.
    """
    found = [
        (scene, answers["grad-phi-elbo"])
        for scene, answers in zip(comparison.scenes, comparison.answers, strict=True)
        if "grad-phi-elbo" in answers
        and fitting(comparison.estimators, scene, comparison.settings["draws"], "grad-phi-elbo")
    ]
    continuous = [pair for pair in found if not pair[0].model.family.discrete]
    return (continuous or found or [None])[-1]


def _place(scene, at):
    """Say where a picture was taken."""
    noise = "" if scene.source.independent else f", {scene.source.name} noise"
    return f"{scene.model.label}, {scene.data}, q {WHERE[at]}{noise}"


def _note(rows, settings):
    """Return the line that tells two runs apart: data, rows, S, R, posterior, place of q, and the noise."""
    data = list(dict.fromkeys(row["data"] for row in rows if row["data"]))
    sizes = sorted({row["n_data"] for row in rows if row["n_data"]})
    parts = [data[0] if len(data) == 1 else "the data of each model"]
    parts.append(f"{' to '.join(str(n) for n in dict.fromkeys((sizes[0], sizes[-1])))} rows")
    parts += [f"S = {settings['draws']}", f"R = {settings['repeats']}", f"posterior {settings['posterior']}"]
    parts.append(f"q {WHERE[settings['at']]}")
    if settings["noise"] != "independent":
        parts.append(f"{settings['noise']} noise")
    return ", ".join(parts)


def _shows_prior_failure(comparison):
    """Tell whether prior Monte Carlo was asked about on a model with continuous latents."""
    asked = any(estimator.name == "prior-monte-carlo" for estimator in comparison.estimators)
    return asked and not all(scene.model.family.discrete for scene in comparison.scenes)


def drawings(comparison, workers):
    """Return {name: function without arguments that returns the Figure} for a `Comparison`."""
    settings, found = comparison.settings, {}
    for target in order_targets(comparison.rows):
        rows = [row for row in comparison.rows if row["target"] == target]
        if any(row["applicable"] and row["estimator"] != "exact" for row in rows):
            found[f"variance-{target}"] = partial(plot_variance, rows, _note(rows, settings))
    example = _example(comparison)
    if example is not None:
        scene, answer = example
        # Six numbers of draws share about the work of one row of the table.
        repeats = max(20, settings["repeats"] // 5)
        seed = settings["seed"]
        records = variance_against_draws(scene, comparison.estimators, seed, workers, repeats, answer)
        found["gradient-cloud"] = partial(_cloud, comparison, scene, answer)
        found["variance-vs-draws"] = partial(_against_draws, comparison, scene, records)
    if _shows_prior_failure(comparison):
        found["prior-monte-carlo"] = partial(_prior_failure, settings["seed"])
    return found


def _cloud(comparison, scene, answer):
    settings, estimators = comparison.settings, comparison.estimators
    seed, draws = settings["seed"], settings["draws"]
    coordinates = noisy_coordinates(scene, estimators, draws, seed, answer.value)
    points = min(400, settings["repeats"])
    samples = gradient_cloud(scene, estimators, draws, seed, coordinates, points)
    names = [scene.posterior.layout.name_of(i) for i in coordinates]
    title = f"Single gradients, S = {draws}: {_place(scene, settings['at'])}"
    return plot_cloud(samples, answer.value[coordinates], names, title=title)


def _against_draws(comparison, scene, records):
    title, theory = _place(scene, comparison.settings["at"]), theory_against_draws(scene, records)
    # A line of the legend is a thirtieth of the panel: many names need the room of several columns.
    columns = 2 if len(records) <= FEW_CURVES else 3
    ax = new_figure(4.6 if columns == 2 else 5.6).subplots()
    return plot_variance_against_draws(records, ax, title=title, columns=columns, theory=theory).figure


def _prior_failure(seed):
    title = "Prior Monte Carlo on PPCA, 64 columns, data from the model"
    return plot_prior_failure(prior_failure(seed), title=title)


def draw_figures(comparison):
    """Return {name: Figure} for a `Comparison`."""
    with single_threaded_blas(), Workers(comparison.settings["threads"]) as workers:
        return {name: draw() for name, draw in drawings(comparison, workers).items()}


def write_figures(figures, folder, threads):
    """Write PNG and SVG of every figure.

    Parameters
    ----------
    figures : dict of str to Figure
    folder : str or path
    threads : int
        Workers that render.
    """
    with Workers(threads) as workers:
        contents = workers.map(render_figure, figures.values())
        for name, content in zip(figures, contents, strict=True):
            write_rendered(content, folder, name)


def write_drawings(comparison, folder, progress=None):
    """Draw and write all figures of a `Comparison`, several at a time; return their names.

    Parameters
    ----------
    folder : str or path
    progress : callable, optional
        Called as progress(done, total, 'figures').
    """
    with single_threaded_blas(), Workers(comparison.settings["threads"]) as workers:
        found = drawings(comparison, workers)
        contents = workers.map(lambda draw: render_figure(draw()), found.values(), last_first=True)
        for done, (name, content) in enumerate(zip(found, contents, strict=True), start=1):
            write_rendered(content, folder, name)
            if progress is not None:
                progress(done, len(found), "figures")
    return list(found)
