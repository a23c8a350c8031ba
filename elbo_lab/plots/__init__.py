"""Figures: `ax` in, `ax` out; the exact answer is a black dashed line in each of them."""

from elbo_lab.plots.along import plot_along
from elbo_lab.plots.by_model import plot_by_model
from elbo_lab.plots.calibration import plot_calibration
from elbo_lab.plots.cloud import cloud_limits, plot_cloud, plot_cloud_panel
from elbo_lab.plots.dimension import plot_effective_sample_size, plot_prior_error, plot_prior_failure
from elbo_lab.plots.draws import plot_more_draws, plot_sandwich, plot_variance_against_draws
from elbo_lab.plots.files import figure_folder, save_figure
from elbo_lab.plots.functions import draw_widths, plot_relevances, shade_deviation
from elbo_lab.plots.gap import plot_gap, plot_surprisal, plot_surprisal_and_gap
from elbo_lab.plots.graph import plot_graph
from elbo_lab.plots.images import (
    latent_grid,
    plot_class_images,
    plot_images,
    plot_interpolation,
    plot_manifold,
    plot_reconstructions,
)
from elbo_lab.plots.learning import plot_learning_curves
from elbo_lab.plots.motion import show_in_turn
from elbo_lab.plots.points import ellipse, label_columns, plot_latent_plane, plot_mixture, plot_sample_scatter
from elbo_lab.plots.staircase import plot_climb, plot_distance_to_maximum, plot_staircase
from elbo_lab.plots.style import (
    EXACT_LINE,
    STYLE,
    estimator_style,
    legend_below,
    legend_inside,
    marker_keywords,
    new_figure,
    panels,
    style_axes,
)
from elbo_lab.plots.traversals import plot_traversals
from elbo_lab.plots.variance import plot_exact_variance

__all__ = [
    "EXACT_LINE",
    "STYLE",
    "cloud_limits",
    "draw_widths",
    "ellipse",
    "estimator_style",
    "figure_folder",
    "label_columns",
    "latent_grid",
    "legend_below",
    "legend_inside",
    "marker_keywords",
    "new_figure",
    "panels",
    "plot_along",
    "plot_by_model",
    "plot_calibration",
    "plot_class_images",
    "plot_climb",
    "plot_cloud",
    "plot_cloud_panel",
    "plot_distance_to_maximum",
    "plot_effective_sample_size",
    "plot_exact_variance",
    "plot_gap",
    "plot_graph",
    "plot_images",
    "plot_interpolation",
    "plot_latent_plane",
    "plot_learning_curves",
    "plot_manifold",
    "plot_mixture",
    "plot_more_draws",
    "plot_prior_error",
    "plot_prior_failure",
    "plot_reconstructions",
    "plot_relevances",
    "plot_sample_scatter",
    "plot_sandwich",
    "plot_staircase",
    "plot_surprisal",
    "plot_surprisal_and_gap",
    "plot_traversals",
    "plot_variance_against_draws",
    "save_figure",
    "shade_deviation",
    "show_in_turn",
    "style_axes",
]
