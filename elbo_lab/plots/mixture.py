"""A Gaussian mixture over its data: an ellipse per component, one and two standard deviations.

The ellipse of r standard deviations of N(mu, Sigma) is {mu + r L u: |u| = 1} with Sigma = L L^T; in two
dimensions it holds 1 - exp(-r^2 / 2) of the component: 39 % and 86 %. More columns than two are integrated
out, which for a Gaussian is to leave them away.
"""

import numpy as np

from elbo_lab.errors import bad_value, check_data
from elbo_lab.plots.history import note_above
from elbo_lab.plots.images import label_columns
from elbo_lab.plots.latent_plane import class_style, write_on
from elbo_lab.plots.style import STYLE, new_figure, style_axes

RADII = (1, 2)


def check_described(described, n_columns):
    """Return weights (C,), means (C, D) and covariances (C, D, D), or raise."""
    parts = [np.asarray(described[key], dtype=float) for key in ("weights", "means", "covariances")]
    n_components = parts[0].size
    shapes = ((n_components,), (n_components, n_columns), (n_components, n_columns, n_columns))
    for name, part, shape in zip(("weights", "means", "covariances"), parts, shapes, strict=True):
        if part.shape != shape or not np.isfinite(part).all():
            got = f"shape {part.shape}" if part.shape != shape else "not finite numbers"
            raise bad_value(f"described[{name!r}]", f"finite numbers of shape {shape}", got)
    return parts


def ellipse(mean, covariance, radius, n=120):
    """Return the points (2, n) of an ellipse of `radius` standard deviations.

    Parameters
    ----------
    mean : ndarray (2,)
    covariance : ndarray (2, 2)
    radius : float
    """
    turn = np.linspace(0, 2 * np.pi, n)
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root also exists where a variance is zero; rounding may put it below.
    root = vectors * np.sqrt(np.maximum(values, 0))
    return mean[:, None] + radius * root @ np.stack([np.cos(turn), np.sin(turn)])


def plot_mixture(x, described, ax=None, names=None, title=""):
    """Draw data in grey, and each component as two ellipses with its weight.

    Parameters
    ----------
    x : array (N, D)
        D >= 2; the first two columns are drawn.
    described : dict
        'weights' (C,), 'means' (C, D), 'covariances' (C, D, D), as `GaussianMixture.described` returns.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if left away.
    names : sequence of str, optional
        Names of the columns, with their unit.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    x = check_data(x, "x")
    if x.shape[1] < 2:
        raise bad_value("x", "at least two columns", f"shape {x.shape}")
    weights, means, covariances = check_described(described, x.shape[1])
    names = label_columns(names, x.shape[1])
    ax = new_figure(4.6).subplots() if ax is None else ax
    style_axes(ax, title=title, xlabel=names[0], ylabel=names[1])
    alpha = float(np.clip(300 / len(x), 0.2, 0.6))
    points = {"color": STYLE["faint"], "markersize": 3.6, "markeredgewidth": 0, "rasterized": True}
    ax.plot(*x[:, :2].T, "o", alpha=alpha, zorder=1, **points)
    for index, (weight, mean, covariance) in enumerate(zip(weights, means, covariances, strict=True)):
        color = class_style(index)[0]
        for radius, width in zip(RADII, (2.0, 1.2), strict=True):
            line = ellipse(mean[:2], covariance[:2, :2], radius)
            ax.plot(*line, color=color, linewidth=width, zorder=3, gid=f"component-{index}")
        write_on(ax, f"{weight:.2g}", mean[:2], color)
    words = "number: weight; ellipses: 1 and 2 sd"
    note_above(ax, words + (" of the marginal" if x.shape[1] > 2 else ""))
    return ax
