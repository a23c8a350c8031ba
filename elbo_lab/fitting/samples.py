"""Samples of a stored model on disk: numbers and figures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable, bad_value, check_count
from elbo_lab.evaluation import Fitted, TwoStage
from elbo_lab.files import StrPath, write_arrays
from elbo_lab.fitting.checkpoints import Stored
from elbo_lab.fitting.figures import POINTS, class_figure, grey_limits, sample_figures
from elbo_lab.memory import Sizes
from elbo_lab.plots import label_columns, save_figure
from elbo_lab.plots.history import BOUND_COLOR
from elbo_lab.plots.style import new_figure, style_axes

SAMPLES = "samples.npz"


def write_samples(
    stored: Stored, folder: StrPath, count: int, seed: int = 0, label: str | None = None
) -> list[str]:
    """Write samples.npz (array x (count, D)) and figures into a folder; return the names of the figures.

    A conditional model draws data of one class, or of all in equal shares: then with an array `labels`, the
    codes of the classes.

    Parameters
    ----------
    stored : Stored
    folder : path
        Created if missing.
    count, seed : int
    label : str, optional
        The name of a class, of a conditional model.

    Raises
    ------
    NotApplicable
        For a regression or a classifier, which generate nothing; for a label where none is given.
    """
    check_count("count", count)
    check_count("seed", seed, minimum=0)
    if stored.model.global_latents or stored.model.all_observed:
        raise NotApplicable(f"{stored.model.name} explains labels of given rows: there is nothing to sample")
    front = stored.front
    for stage in (stored,) if stored.first is None else (front, stored):
        sizes = Sizes.of(stage.model, 0, stage.model.n_columns, draws=count)
        sizes.check(sizes.sample(stage.theta.itemsize), "count")
    rng = np.random.default_rng(seed)
    source, title = _source(stored, label)
    arrays = {"x": source.generate(count, rng)}
    of_all_classes = source is stored and stored.model.given_classes > 0
    if of_all_classes:
        arrays = {"x": arrays["x"][:, :-1], "labels": arrays["x"][:, -1].astype(np.int64)}
    x, shape = arrays["x"], front.image_shape
    if shape is None:
        figures = {"samples": _scatter(x[:POINTS], front.feature_columns, title)}
    elif of_all_classes:
        figures = dict([class_figure(stored, stored.classes, shape, grey_limits(x), rng, title)])
    else:
        figures = dict(sample_figures(source, shape, grey_limits(x), rng, title))
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_arrays("folder", Path(folder) / SAMPLES, arrays)
    for name, figure in figures.items():
        save_figure(figure, folder, name)
    return list(figures)


def _source(stored: Stored, label: str | None) -> tuple[Fitted | TwoStage, str]:
    """Return what generates the data, of one class if a label is given, and its title."""
    title = stored.settings["model"]
    if label is None and stored.first is not None:
        return TwoStage(stored.first, stored), f"{stored.front.settings['model']}, second stage {title}"
    if label is None:
        return stored, title
    if stored.model.given_classes and label not in stored.classes:
        raise bad_value("label", f"one of the classes of the fit, {', '.join(stored.classes)}", repr(label))
    code = stored.classes.index(label) if label in stored.classes else 0
    return stored.of_class(code), f"{title}, class {label}"


def _scatter(samples: Floats, columns: Sequence[str] | None, title: str) -> Figure:
    """Return a figure of samples alone, in the first two columns: a checkpoint does not hold the data."""
    names, single = label_columns(columns, samples.shape[1]), samples.shape[1] == 1
    ax = new_figure(4.4).subplots()
    style_axes(ax, title=title, xlabel=names[0], ylabel="density" if single else names[1])
    if single:
        ax.hist(samples[:, 0], bins="sqrt", density=True, histtype="step", color=BOUND_COLOR)
    else:
        ax.plot(*samples[:, :2].T, "x", color=BOUND_COLOR, markersize=3.6, alpha=0.7, rasterized=True)
    return ax.figure
