"""The figures that suit a fit: learning curves always, pictures where the data are pictures."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.evaluation import Fitted
from elbo_lab.exact import closed_form
from elbo_lab.files import StrPath
from elbo_lab.fitting.result import FitResult
from elbo_lab.plots import (
    latent_grid,
    plot_images,
    plot_interpolation,
    plot_latent_plane,
    plot_learning_curves,
    plot_manifold,
    plot_mixture,
    plot_reconstructions,
    plot_sample_scatter,
    plot_staircase,
    plot_surprisal_and_gap,
    save_figure,
)

PICTURES, COLUMNS = 40, 10
PAIRS = 20
WAYS, STOPS = 4, 9
GRID = 12
POINTS = 1000


def draw_figures(result: FitResult, folder: StrPath) -> list[str]:
    """Write the figures of a fit into a folder; return their names."""
    figures = dict(figures_of(result))
    for name, figure in figures.items():
        save_figure(figure, folder, name)
    return list(figures)


def figures_of(result: FitResult) -> Iterator[tuple[str, Figure]]:
    """Yield (file name, figure)."""
    label = f"{result.settings['model']}, {result.train.name}"
    if len(result.history) > 1:
        curves = plot_learning_curves(result.history, n_data=len(result.train.x), title=label)
        yield "learning-curves", curves.figure
    if any("elbo_after_m" in row for row in result.history):
        yield "staircase", plot_staircase(result.history, title=label).figure
    if any("kl" in row for row in result.history):
        yield "surprisal-and-gap", plot_surprisal_and_gap(result.history, title=label)
    if result.model.global_latents:
        return
    if result.train.image_shape is None:
        yield from _tables(result, label)
    else:
        yield from _pictures(result, result.train.image_shape, label)
    if not result.model.family.discrete and result.model.latent_dim >= 2:
        yield from _latent_plane(result, label)


def _with_units(dataset: Dataset) -> tuple[str, ...] | None:
    """Return the names of the columns with their unit where the set says it, or None without names."""
    if dataset.columns is None or not dataset.unit:
        return dataset.columns
    return tuple(f"{name}, {dataset.unit}" for name in dataset.columns)


def _tables(result: FitResult, label: str) -> Iterator[tuple[str, Figure]]:
    """Yield what is seen in the columns: the components of a mixture, and samples beside the data."""
    train, described = result.train, result.model.described(result.theta)
    names = _with_units(train)
    if result.model.family.discrete and described is not None and train.x.shape[1] > 1:
        yield "mixture", plot_mixture(train.x, described, names=names, title=label).figure
    rng = np.random.default_rng(result.settings["seed"])
    samples = result.fitted.generate(min(len(train.x), POINTS), rng)
    yield "samples", plot_sample_scatter(train.x[:POINTS], samples, names, title=label).figure


def _pictures(result: FitResult, shape: tuple[int, int], label: str) -> Iterator[tuple[str, Figure]]:
    """Yield generated pictures, and what becomes of the data on the way through the latents."""
    fitted, train = result.fitted, result.train
    limits = grey_limits(train.x)
    yield from sample_figures(fitted, shape, limits, np.random.default_rng(result.settings["seed"]), label)
    if not _encodes(result):
        return
    shown, what = train.x, "training"
    if result.held_out is not None:
        shown, what = result.held_out.x, "held-out"
    pairs = shown[:PAIRS]
    title = f"{what} rows; {label}"
    yield "reconstructions", plot_reconstructions(pairs, fitted.reconstruct(pairs), shape, title=title).figure
    ends = shown[: 2 * WAYS]
    if len(ends) < 2 * WAYS:
        return
    ways = [fitted.interpolate(a, b, STOPS) for a, b in zip(ends[::2], ends[1::2], strict=True)]
    title = f"between {what} rows; {label}"
    yield "interpolation", plot_interpolation(np.array(ways), shape, limits=limits, title=title).figure


def sample_figures(
    fitted: Fitted,
    image_shape: tuple[int, int],
    limits: tuple[float, float],
    rng: np.random.Generator,
    label: str,
) -> Iterator[tuple[str, Figure]]:
    """Yield (file name, figure) of what a model generates by itself."""
    means = fitted.generate_means(PICTURES, rng)
    title = f"generated: E[x | z] of z from the prior; {label}"
    yield "samples", plot_images(means, image_shape, columns=COLUMNS, limits=limits, title=title).figure
    if not fitted.model.family.discrete and fitted.model.latent_dim == 2:
        pictures = fitted.decode(latent_grid(GRID))
        title = f"the latent plane, decoded; {label}"
        yield "latent-grid", plot_manifold(pictures, image_shape, GRID, limits=limits, title=title).figure


def grey_limits(x: Floats) -> tuple[float, float]:
    """Return the grey scale of the data."""
    return float(x.min()), float(x.max())


def _encodes(result: FitResult) -> bool:
    """Whether any row can be given a code shorter than itself: by an encoder, or by the exact posterior."""
    if result.posterior is None:
        return closed_form.applies(result.model) and result.model.latent_dim < result.model.n_columns
    return not result.posterior.needs_all_rows


def _latent_plane(result: FitResult, label: str) -> Iterator[tuple[str, Figure]]:
    """Yield the codes of the rows; of a free table those of its own rows."""
    part = result.train if result.held_out is None else result.held_out
    if not _encodes(result):
        part = result.train
        if result.posterior is None:
            return
    means = result.fitted.encode(part.x)[0]
    title = f"codes, {label}"
    unseen = result.final.get("held_out", {})
    if "neighbour_accuracy" in unseen:
        codes, scores = unseen["neighbour_accuracy"], unseen["neighbour_accuracy_pca"]
        title += f"\n5 nearest neighbours: {codes:.2f} (PCA {scores:.2f})"
    labels = None if part.labels is None else part.labels[:POINTS]
    yield "latent-plane", plot_latent_plane(means[:POINTS], labels, title=title).figure
