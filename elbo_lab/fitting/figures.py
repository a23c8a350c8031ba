"""The figures of a fit: learning curves, and figures that suit its model and data."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from elbo_lab.arrays import Floats
from elbo_lab.datasets import Dataset
from elbo_lab.evaluation import Fitted, TwoStage
from elbo_lab.evaluation.new_rows import hidden_columns, reconstructed_cells
from elbo_lab.exact import closed_form
from elbo_lab.fitting.graphs import missing_shares
from elbo_lab.fitting.result import FitResult
from elbo_lab.fitting.watched import watched_rows
from elbo_lab.models import GraphModel
from elbo_lab.models.gplvm import GPLVMRows
from elbo_lab.plots import (
    draw_widths,
    latent_grid,
    new_figure,
    plot_along,
    plot_class_images,
    plot_climb,
    plot_graph,
    plot_images,
    plot_interpolation,
    plot_latent_plane,
    plot_learning_curves,
    plot_manifold,
    plot_mixture,
    plot_reconstructions,
    plot_relevances,
    plot_sample_scatter,
    plot_surprisal_and_gap,
    plot_traversals,
    shade_deviation,
)
from elbo_lab.plots.learning import count_panels
from elbo_lab.registry import display_name, own_titles, titles_of
from elbo_lab.report.questions import OF_FITS
from elbo_lab.training import find_objective

PICTURES, COLUMNS = 40, 10
PAIRS = 20
WAYS, STOPS = 4, 9
MOST_TRAVERSED = 20
GRID = 12
POINTS = 1000


def titled(name: str, *notes: str) -> str:
    """Return the title of a figure: its question, and below it what is shown."""
    return f"{OF_FITS[name]}\n{'; '.join(notes)}"


def figures_of(result: FitResult) -> Iterator[tuple[str, Figure]]:
    """Yield (file name, figure)."""
    with own_titles(titles_of([result.model])):
        label = f"{display_name(result.settings['model'])}, {result.train.name}"
    if "prior" in result.final:
        label += ", variational Bayes" if "evidence_bound" in result.final else ", MAP"
    if any("elbo_after_m" in row for row in result.history):
        # The stairs are the learning curves of EM.
        yield "staircase", plot_climb(result.history, title=titled("staircase", label))
    elif len(result.history) > 1:
        yield "learning-curves", _curves(result, titled("learning-curves", label))
    if any("kl" in row for row in result.history):
        # Upwards, like the learning curves and the printed numbers.
        title = titled("bound-and-gap", label)
        yield "bound-and-gap", plot_surprisal_and_gap(result.history, title=title, upwards=True)
    watched = watched_rows(result.history)
    if watched:
        target = find_objective(result.settings["objective"]).targets.get("phi", "grad-phi-elbo")
        ax = plot_along(watched, title=titled("watched-variance", label), target=target)
        yield "watched-variance", ax.figure
    if isinstance(result.model, GraphModel):
        shares = missing_shares(result.model, result.train.x)
        yield "graph", plot_graph(result.model.net, shares, title=titled("graph", label)).figure
        return
    if result.model.global_latents or result.model.all_observed:
        return
    if not result.model.has_prior:
        pass  # it cannot be sampled
    elif result.train.image_shape is None:
        yield from _tables(result, label)
    else:
        yield from _pictures(result, result.train.image_shape, label)
    if isinstance(result.model, GPLVMRows):
        yield from _functions(result, result.model, label)
    elif not result.model.family.discrete and result.model.latent_dim >= 2:
        yield from _latent_plane(result, label)


def _curves(result: FitResult, title: str) -> Figure:
    """Return the learning curves, with what was reached and the epoch that early stopping kept."""
    reached, final = {}, result.final
    for word, numbers in (("training rows", final), ("held-out rows", final.get("held_out", {}))):
        if "elbo_on_nll_rows" in numbers:
            reached[word] = (numbers["elbo_on_nll_rows"], -numbers["nll_per_datum"])
    # Of the bounds on validation rows the one that is not the ELBO is what was maximised.
    keys = sorted({key for row in result.history for key in row if key.endswith("_validation")})
    key = next((key for key in keys if key != "elbo_validation"), "elbo_validation")
    watched = [row for row in result.history if row.get(key) is not None]
    best = max(watched, key=lambda row: row[key], default=None)
    kept = None if best is None or result.settings.get("patience") is None else best["epoch"]
    figure = new_figure(2.0 + 2.0 * count_panels(result.history))
    plot_learning_curves(result.history, figure, len(result.train.x), title, reached, kept)
    return figure


def _with_units(dataset: Dataset) -> tuple[str, ...] | None:
    """Return the names of the columns, with the unit if the data set has one, or None without names."""
    if dataset.columns is None or not dataset.unit:
        return dataset.columns
    return tuple(f"{name}, {dataset.unit}" for name in dataset.columns)


def _tables(result: FitResult, label: str) -> Iterator[tuple[str, Figure]]:
    """Yield figures of the columns: the components of a mixture, and samples beside the data."""
    train, described = result.train, result.model.described(result.theta) or {}
    names = _with_units(train)
    if "components_in_use" in result.final:
        # An empty component is as wide as its prior: it would hide the others.
        kept = np.sort(np.argsort(-described["weights"])[: result.final["components_in_use"]])
        described = {name: values[kept] for name, values in described.items()}
    if {"weights", "means", "covariances"} <= set(described) and train.x.shape[1] > 1:
        yield "mixture", plot_mixture(train.x, described, names=names, title=titled("mixture", label)).figure
    rng = np.random.default_rng(result.settings["seed"])
    samples = result.generate(min(len(train.x), POINTS), rng)
    title = titled("samples", label)
    yield "samples", plot_sample_scatter(train.x[:POINTS], samples, names, title=title).figure


def _pictures(result: FitResult, shape: tuple[int, int], label: str) -> Iterator[tuple[str, Figure]]:
    """Yield generated images, and reconstructions and interpolations of the data."""
    rng = np.random.default_rng(result.settings["seed"])
    limits = grey_limits(pixels_of(result.train.x, shape))
    if result.model.given_classes:
        yield class_figure(result, result.train.class_names, shape, limits, rng, label)
    else:
        yield from sample_figures(result, shape, limits, rng, label)
    if not _encodes(result):
        return
    shown, what = result.train.x, "training"
    if result.held_out is not None:
        shown, what = result.held_out.x, "held-out"
    pairs = shown[:PAIRS]
    title = titled("reconstructions", f"{what} rows", label)
    seen, again = pixels_of(pairs, shape), result.reconstruct(pairs)
    yield "reconstructions", plot_reconstructions(seen, again, shape, title=title).figure
    if result.model.given_classes:
        return  # between two codes there is no label
    ends = shown[: 2 * WAYS]
    if len(ends) < 2 * WAYS:
        return
    yield from _traversals(result, shown[0], shape, limits, titled("traversals", f"a {what} row", label))
    ways = [result.interpolate(a, b, STOPS) for a, b in zip(ends[::2], ends[1::2], strict=True)]
    title = titled("interpolation", f"{what} rows", label)
    yield "interpolation", plot_interpolation(np.array(ways), shape, limits=limits, title=title).figure


def _traversals(
    result: FitResult, row: Floats, shape: tuple[int, int], limits: tuple[float, float], title: str
) -> Iterator[tuple[str, Figure]]:
    """Yield the pictures along each latent; nothing for categories and bits."""
    if result.model.family.discrete:
        return
    pictures, values = result.traverse(row, STOPS)
    pictures = pictures[:MOST_TRAVERSED]
    yield "traversals", plot_traversals(pictures, shape, values, limits=limits, title=title).figure


def pixels_of(x: Floats, image_shape: tuple[int, int]) -> Floats:
    """Return the pixels of rows x, without a label behind them."""
    return x[:, : image_shape[0] * image_shape[1]]


def class_figure(
    fitted: Fitted,
    names: Sequence[str],
    image_shape: tuple[int, int],
    limits: tuple[float, float],
    rng: np.random.Generator,
    label: str,
) -> tuple[str, Figure]:
    """Return the file name and the figure of a row of samples for each class, z the same in a column."""
    state = rng.bit_generator.state
    rows = []
    for c in range(len(names)):
        rng.bit_generator.state = state  # the same z for every class
        rows.append(fitted.of_class(c).generate_means(COLUMNS, rng))
    title = titled("samples", "E[x | z, y], a row for each class, a column for each z", label)
    means = np.concatenate(rows)
    return "samples", plot_class_images(means, names, image_shape, limits=limits, title=title).figure


def sample_figures(
    fitted: Fitted | TwoStage,
    image_shape: tuple[int, int],
    limits: tuple[float, float],
    rng: np.random.Generator,
    label: str,
) -> Iterator[tuple[str, Figure]]:
    """Yield (file name, figure) of data generated by a model."""
    means = fitted.generate_means(PICTURES, rng)
    where = "the second stage" if isinstance(fitted, TwoStage) else "the prior"
    title = titled("samples", f"E[x | z] of z from {where}", label)
    yield "samples", plot_images(means, image_shape, columns=COLUMNS, limits=limits, title=title).figure
    if isinstance(fitted, TwoStage):
        return
    if not fitted.model.family.discrete and fitted.model.latent_dim == 2:
        pictures = fitted.decode(latent_grid(GRID))
        title = titled("latent-grid", label)
        yield "latent-grid", plot_manifold(pictures, image_shape, GRID, limits=limits, title=title).figure


def grey_limits(x: Floats) -> tuple[float, float]:
    """Return the limits (black, white) of the data."""
    return float(x.min()), float(x.max())


def _encodes(result: FitResult) -> bool:
    """Tell whether new rows have a code of a chosen size, from an encoder or the exact posterior."""
    if result.posterior is None:
        return closed_form.applies(result.model) and result.model.default_latent is not None
    return not result.posterior.needs_all_rows


def _functions(result: FitResult, model: GPLVMRows, label: str) -> Iterator[tuple[str, Figure]]:
    """Yield what the functions of a GPLVM know: latent plane, relevances, hidden cells of new rows."""
    relevance = model.described(result.theta)["relevance"]
    if model.latent_dim >= 2:
        yield "relevances", plot_relevances(relevance, title=titled("relevances", label)).figure
        # The two latents of greatest relevance, in their order.
        first, second = sorted(np.argsort(-relevance, kind="stable")[:2].tolist())
        means, deviations = (part[:POINTS] for part in result.encode(result.train.x))
        labels = None if result.train.labels is None else result.train.labels[:POINTS]
        title = _plane_title(result, label)
        ax = plot_latent_plane(means, labels, coordinates=(first, second), title=title)

        def deviation_at(points: Floats) -> Floats:
            z = np.zeros((len(points), model.latent_dim))
            z[:, [first, second]] = points
            return np.sqrt(model.moments_of_x(result.theta, z)[1])

        shade_deviation(ax, deviation_at)
        draw_widths(ax, means[:, [first, second]], deviations[:, [first, second]])
        yield "latent-plane", ax.figure
    shape, unseen = result.train.image_shape, result.held_out
    if shape is not None and unseen is not None and model.n_columns > 1:
        x, seed = unseen.x[:COLUMNS], result.settings["seed"]
        hidden = hidden_columns(model.n_columns, seed)
        limits = grey_limits(result.train.x)
        seen, told = x.copy(), x.copy()
        seen[:, hidden] = np.mean(limits)
        told[:, hidden] = reconstructed_cells(model, result.theta, x, hidden, seed)
        title = titled("hidden-cells", "held-out rows, grey where hidden") + f"\n{label}"
        lines = ("data", "given", "told")
        sheet = np.concatenate([x, seen, told])
        yield "hidden-cells", plot_class_images(sheet, lines, shape, limits=limits, title=title).figure


def _latent_plane(result: FitResult, label: str) -> Iterator[tuple[str, Figure]]:
    """Yield the codes of the held-out rows; for a free table, of the training rows."""
    if result.posterior is None and not _encodes(result):
        return
    rows = result.held_out if result.held_out is not None and _encodes(result) else result.train
    means = result.encode(rows.x)[0]
    title = _plane_title(result, label)
    labels = None if rows.labels is None else rows.labels[:POINTS]
    yield "latent-plane", plot_latent_plane(means[:POINTS], labels, title=title).figure


def _plane_title(result: FitResult, label: str) -> str:
    """Return the title of the latent plane, with how well neighbours tell the class."""
    title = titled("latent-plane", label)
    unseen = result.final.get("held_out", {})
    if "neighbour_accuracy" in unseen:
        codes, scores = unseen["neighbour_accuracy"], unseen["neighbour_accuracy_pca"]
        title += f"\nclass told by the 5 nearest neighbours: right for {codes:.2f} (PCA {scores:.2f})"
    return title
