"""The figures of a comparison: four questions, four pictures.

variance-TARGET     which estimator of this target is how noisy, on every model? One for each target that
                    some estimator admits.
gradient-cloud      what does one gradient look like beside the exact one?
variance-vs-draws   do more draws help, and how fast?
prior-monte-carlo   why does sampling from the prior fail? Drawn, on PPCA, where prior Monte Carlo is among
                    the estimators and a model with continuous latents among the models.
"""

from concurrent.futures import ThreadPoolExecutor

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
    noisy_coordinates,
    prior_failure,
    theory_against_draws,
    variance_against_draws,
)
from elbo_lab.study.grouping import order_targets

WHERE = {"near": "near the best fit", "start": "at the prior", "exact": "at the best fit"}


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
    return f"{scene.model.label}, {scene.data}, q {WHERE[at]}"


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


def draw_figures(comparison):
    """Return {name: Figure} for a `Comparison`."""
    settings = comparison.settings
    seed, draws = settings["seed"], settings["draws"]
    figures = {}
    for target in order_targets(comparison.rows):
        rows = [row for row in comparison.rows if row["target"] == target]
        if any(row["applicable"] and row["estimator"] != "exact" for row in rows):
            figures[f"variance-{target}"] = plot_variance(rows, _note(rows, settings))
    example = _example(comparison)
    if example is not None:
        scene, answer = example
        estimators, place = comparison.estimators, _place(scene, settings["at"])
        with single_threaded_blas(), ThreadPoolExecutor(settings["threads"]) as pool:
            coordinates = noisy_coordinates(scene, estimators, draws, seed, answer.value)
            points = min(400, settings["repeats"])
            cloud = pool.submit(gradient_cloud, scene, estimators, draws, seed, coordinates, points)
            # Six numbers of draws share about the work of one row of the table.
            repeats = max(20, settings["repeats"] // 5)
            records = variance_against_draws(scene, estimators, seed, pool, repeats, answer)
            samples = cloud.result()
        theory = theory_against_draws(scene, records)
        names = [scene.posterior.layout.name_of(i) for i in coordinates]
        title = f"Single gradients, S = {draws}: {place}"
        figures["gradient-cloud"] = plot_cloud(samples, answer.value[coordinates], names, title=title)
        figures["variance-vs-draws"] = plot_variance_against_draws(records, title=place, theory=theory).figure
    if _shows_prior_failure(comparison):
        with single_threaded_blas():
            records = prior_failure(seed)
        title = "Prior Monte Carlo on PPCA, 64 columns, data from the model"
        figures["prior-monte-carlo"] = plot_prior_failure(records, title=title)
    return figures


def save_figures(figures, folder):
    """Write PNG and SVG of every figure; return the paths."""
    return [path for name, figure in figures.items() for path in save_figure(figure, folder, name)]
