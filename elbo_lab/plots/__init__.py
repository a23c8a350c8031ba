"""Figures: `ax` in, `ax` out; the exact answer is a black dashed line in each of them."""

from elbo_lab.plots.cloud import cloud_limits, plot_cloud, plot_cloud_panel
from elbo_lab.plots.dimension import (
    plot_effective_sample_size,
    plot_prior_error,
    plot_prior_failure,
)
from elbo_lab.plots.draws import plot_variance_against_draws
from elbo_lab.plots.files import save_figure
from elbo_lab.plots.style import STYLE, estimator_style, new_figure
from elbo_lab.plots.variance import plot_target_variance, plot_variance

__all__ = [
    "STYLE",
    "cloud_limits",
    "estimator_style",
    "new_figure",
    "plot_cloud",
    "plot_cloud_panel",
    "plot_effective_sample_size",
    "plot_prior_error",
    "plot_prior_failure",
    "plot_target_variance",
    "plot_variance",
    "plot_variance_against_draws",
    "save_figure",
]
