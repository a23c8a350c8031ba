"""The figures that suit a fit: learning curves always, pictures where the data are pictures."""

import numpy as np

from elbo_lab.exact import closed_form
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


def draw_figures(result, folder):
    """Write the figures of a FitResult into a folder; return their names."""
    figures = dict(_figures(result))
    for name, figure in figures.items():
        save_figure(figure, folder, name)
    return list(figures)


def _figures(result):
    """Yield (file name, figure)."""
    label = f"{result.settings['model']}, {result.train.name}"
    if len(result.history) > 1:
        yield (
            "learning-curves",
            _figure(plot_learning_curves(result.history, n_data=len(result.train.x), title=label)),
        )
    if any("elbo_after_m" in row for row in result.history):
        yield "staircase", _figure(plot_staircase(result.history, title=label))
    if any("kl" in row for row in result.history):
        yield "surprisal-and-gap", plot_surprisal_and_gap(result.history, title=label)
    if result.model.global_latents:
        return
    yield from _samples(result, label)
    if not result.model.family.discrete and result.model.latent_dim >= 2:
        yield from _latent_plane(result, label)


def _figure(ax):
    return ax.figure


def _with_units(dataset):
    """Return the names of the columns with their unit where the set says it, or None without names."""
    if dataset.columns is None or not dataset.unit:
        return dataset.columns
    return tuple(f"{name}, {dataset.unit}" for name in dataset.columns)


def sample_figures(fitted, image_shape, limits, rng, label):
    """Yield (file name, figure) of what a model generates by itself."""
    yield (
        "samples",
        _figure(
            plot_images(
                fitted.generate_means(PICTURES, rng),
                image_shape,
                columns=COLUMNS,
                limits=limits,
                title=f"generated: E[x | z] of z from the prior; {label}",
            )
        ),
    )
    if not fitted.model.family.discrete and fitted.model.latent_dim == 2:
        pictures = fitted.decode(latent_grid(GRID))
        yield (
            "latent-grid",
            _figure(
                plot_manifold(
                    pictures, image_shape, GRID, limits=limits, title=f"the latent plane, decoded; {label}"
                )
            ),
        )


def grey_limits(x):
    """Return the grey scale of the data."""
    return float(x.min()), float(x.max())


def _samples(result, label):
    fitted, rng = result.fitted, np.random.default_rng(result.settings["seed"])
    train, shape = result.train, result.train.image_shape
    if shape is None:
        described = result.model.described(result.theta)
        if result.model.family.discrete and described is not None and train.x.shape[1] > 1:
            yield "mixture", _figure(plot_mixture(train.x, described, names=_with_units(train), title=label))
        samples = fitted.generate(min(len(train.x), POINTS), rng)
        yield (
            "samples",
            _figure(plot_sample_scatter(train.x[:POINTS], samples, _with_units(train), title=label)),
        )
        return
    limits = grey_limits(train.x)
    yield from sample_figures(fitted, shape, limits, rng, label)
    if _encodes(result):
        shown = (train if result.held_out is None else result.held_out).x
        pairs = shown[:PAIRS]
        what = "training" if result.held_out is None else "held-out"
        yield (
            "reconstructions",
            _figure(
                plot_reconstructions(pairs, fitted.reconstruct(pairs), shape, title=f"{what} rows; {label}")
            ),
        )
        ends = shown[: 2 * WAYS]
        if len(ends) == 2 * WAYS:
            ways = [fitted.interpolate(a, b, STOPS) for a, b in zip(ends[::2], ends[1::2], strict=True)]
            yield (
                "interpolation",
                _figure(
                    plot_interpolation(
                        np.array(ways), shape, limits=limits, title=f"between {what} rows; {label}"
                    )
                ),
            )


def _encodes(result):
    """Whether any row can be given a code shorter than itself: by an encoder, or by the exact posterior."""
    if result.posterior is None:
        return closed_form.applies(result.model) and result.model.latent_dim < result.model.n_columns
    return not result.posterior.needs_all_rows


def _latent_plane(result, label):
    part = result.train if result.held_out is None else result.held_out
    if not _encodes(result):
        part = result.train  # the rows of the table
        if result.posterior is None or len(part.x) != result.posterior.n_data:
            return
    means = result.fitted.encode(part.x)[0]
    title = f"codes, {label}"
    unseen = result.final.get("held_out", {})
    if "neighbour_accuracy" in unseen:
        codes, scores = unseen["neighbour_accuracy"], unseen["neighbour_accuracy_pca"]
        title += f"\n5 nearest neighbours: {codes:.2f} (PCA {scores:.2f})"
    labels = None if part.labels is None else part.labels[:POINTS]
    yield "latent-plane", _figure(plot_latent_plane(means[:POINTS], labels, title=title))
