# %% [markdown]
# # Any density from uniform noise
# %%
"""Push uniform noise through the inverse of a distribution function, and it has that distribution.

Claim. Equally spaced numbers between 0 and 1, read off at the curve F, come out dense where F is steep, that
is where the density is high. For a Gaussian the recipe is z = m + s eps; it works for every density in one
dimension, one with two humps too. Then z is a function of noise that has no parameters, and a derivative can
pass through it: backpropagation, blocked where z is drawn, is free where z is computed. For any density
dz/d eta = -(dF/d eta) / q(z).

Formula:

    u ~ U(0, 1),   z = F^(-1)(u; eta)   =>   P(z <= t) = P(u <= F(t)) = F(t)
    F(z; eta) = u held fixed            =>   dz/d eta = -(dF/d eta) / q(z; eta)

Source: Devroye (1986), Non-uniform random variate generation, section 2.2; Kingma and Welling (2014),
arXiv:1312.6114; Figurnov, Mohamed and Mnih (2018), NeurIPS 31, for the last line.
Expected time: two seconds. The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from elbo_lab.plots import STYLE, figure_folder, new_figure, save_figure, style_axes

# %% Constants: the q of the lessons, and a density with two humps whose left one has its mean at eta
OUT = figure_folder()
M, S = 1.1615, 0.4109
ETA, RIGHT, SHARE, WIDTH = -1.0, 1.2, 0.4, 0.5
SHOWN = 24
BLUE, RED, GREEN = "#004488", "#BB5566", "#117733"


def gaussian_cdf(z):
    return norm.cdf((z - M) / S)


def gaussian_density(z):
    return norm.pdf((z - M) / S) / S


def humps_cdf(z, eta=ETA):
    return SHARE * norm.cdf((z - eta) / WIDTH) + (1 - SHARE) * norm.cdf((z - RIGHT) / WIDTH)


def humps_density(z, eta=ETA):
    return (SHARE * norm.pdf((z - eta) / WIDTH) + (1 - SHARE) * norm.pdf((z - RIGHT) / WIDTH)) / WIDTH


def inverse(cdf, u, *parameters):
    """Return the z at which a distribution function is u, one for each number (n,)."""
    return np.array([brentq(lambda z, level=level: cdf(z, *parameters) - level, -9.0, 9.0) for level in u])


# %% The recipe: equally spaced u, read off at the curve
u = (np.arange(SHOWN) + 0.5) / SHOWN
pairs = {
    "A Gaussian q": (gaussian_cdf, gaussian_density, np.linspace(-0.3, 2.7, 301)),
    "Two humps": (humps_cdf, humps_density, np.linspace(-2.6, 2.8, 301)),
}
figure = new_figure(5.2, 5.4)
columns = zip(figure.subplots(2, 2, sharex="col", height_ratios=(1.5, 1.0)).T, pairs.items(), strict=True)
for (above, below), (title, (cdf, density, grid)) in columns:
    z = inverse(cdf, u)
    style_axes(above, title=title)
    above.plot(grid, cdf(grid), color=BLUE, lw=1.6)
    above.hlines(u, grid[0], z, color=GREEN, lw=0.6)
    above.vlines(z, 0.0, u, color=GREEN, lw=0.6)
    above.set(xlim=(grid[0], grid[-1]), ylim=(0.0, 1.0))
    style_axes(below, xlabel="z")
    below.fill_between(grid, density(grid), color=BLUE, alpha=0.2, lw=0)
    below.plot(grid, density(grid), color=BLUE, lw=1.4)
    below.plot(z, np.zeros(SHOWN), "|", color=GREEN, ms=14, mew=1.2)
    below.set_ylim(bottom=0.0)
    if title == "A Gaussian q":
        above.set_ylabel("u = F(z)", fontsize=STYLE["label_size"])
        below.set_ylabel("density q(z)", fontsize=STYLE["label_size"])
caption = (
    "24 equally spaced numbers u, read off at a distribution function: the z are dense where the curve is "
    "steep, which is where the density below is high. Left a Gaussian, right a density with two humps."
)
print("figure:", save_figure(figure, OUT, "inverse-transform", caption)[0])

# %% Blocked and freed: two graphs of the same computation
BOX = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": STYLE["ink"]}
NOISE = BOX | {"boxstyle": "circle,pad=0.4", "edgecolor": GREEN}


def draw_arrow(ax, start, end, color, style="-|>"):
    look = {"arrowstyle": style, "color": color, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=look)


def draw_graph(ax, title, middle, middle_box, free):
    """Draw eta -> z -> f, and under it how far the derivative of f comes back."""
    words = {"ha": "center", "va": "center", "fontsize": 11}
    ax.text(0.8, 1.0, "$m, s$", bbox=BOX, **words)
    ax.text(4.6, 1.0, middle, bbox=middle_box, **words)
    ax.text(8.6, 1.0, "$f(z)$", bbox=BOX, **words)
    draw_arrow(ax, (1.5, 1.15), (3.0, 1.15), STYLE["ink"])
    draw_arrow(ax, (6.2, 1.15), (7.8, 1.15), STYLE["ink"])
    draw_arrow(ax, (7.8, 0.75), (6.2, 0.75), RED)
    ax.text(7.0, 0.4, "$df/dz$", color=RED, **words)
    if free:
        draw_arrow(ax, (3.0, 0.75), (1.5, 0.75), RED)
        ax.text(2.25, 0.4, "$dz/dm, dz/ds$", color=RED, **words)
        ax.text(4.6, 2.35, r"$\varepsilon$", bbox=NOISE, **words)
        draw_arrow(ax, (4.6, 1.95), (4.6, 1.45), GREEN)
        ax.text(5.2, 2.35, "drawn, without parameters", va="center", color=GREEN, fontsize=9)
    else:
        ax.plot(2.25, 0.75, "x", color=RED, ms=13, mew=3)
        ax.text(2.25, 0.4, "no derivative of a draw", color=RED, ha="center", va="center", fontsize=9)
    ax.set_title(title, loc="left", fontsize=STYLE["title_size"], color=STYLE["ink"])
    ax.set(xlim=(0.0, 9.4), ylim=(0.1, 2.9 if free else 1.6))
    ax.axis("off")


figure = new_figure(3.6, 5.4)
blocked, freed = figure.subplots(2, 1, height_ratios=(1.5, 2.8))
draw_graph(blocked, "Blocked: z is drawn", r"$z \sim N(m, s^2)$", BOX | {"edgecolor": GREEN}, free=False)
draw_graph(freed, "Freed: z is computed", r"$z = m + s\,\varepsilon$", BOX, free=True)
caption = (
    "Above: z is drawn from N(m, s^2), and the derivative of f does not reach m and s. Below: z = m + s eps "
    "is computed from noise without parameters, and the derivative passes through it to m and s."
)
print("figure:", save_figure(figure, OUT, "blocked-and-freed", caption)[0])

# %% The derivative of a draw with two humps, compared with a difference of two runs of the recipe
z = inverse(humps_cdf, u)
step = 1e-5
moved = (inverse(humps_cdf, u, ETA + step) - inverse(humps_cdf, u, ETA - step)) / (2 * step)
of_cdf = -SHARE * norm.pdf((z - ETA) / WIDTH) / WIDTH  # dF / d eta
path = -of_cdf / humps_density(z)
error = np.abs(path - moved).max()
print(f"dz/d eta: between {path.min():.4f} and {path.max():.4f}, largest error {error:.1e}")

# The mean of z is SHARE eta + (1 - SHARE) RIGHT, so that its derivative in eta is SHARE.
levels, weights = np.polynomial.legendre.leggauss(200)
z = inverse(humps_cdf, 0.5 * (levels + 1))
gradient = 0.5 * weights @ (SHARE * norm.pdf((z - ETA) / WIDTH) / WIDTH / humps_density(z))
print(f"d E[z] / d eta along the path: {gradient:.6f}, exact {SHARE:.6f}")

# %% The claim
assert np.allclose(inverse(gaussian_cdf, u), M + S * norm.ppf(u), atol=1e-9), "a Gaussian: z = m + s eps"
assert np.allclose(path, moved, atol=1e-6), "dz/d eta = -(dF/d eta) / q"
assert abs(gradient - SHARE) < 1e-3, "the derivative passes through the recipe"
assert path.max() > 0.9 and path.min() < 0.01, "the left hump moves, the right one hardly"
