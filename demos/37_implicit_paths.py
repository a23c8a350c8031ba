# %% [markdown]
# # A path without a formula
# %%
"""How a Gamma draw moves with its shape though nobody can write it down, and when the path is worth having.

Claim. With the noise u frozen, the draw z that solves F(z; a) = u moves by -(dF/da) / q: the fall of the
curve F divided by its steepness. That is the slope of the quantile in a, to eight digits, at every u, without
a formula for the quantile. For nine families and smooth costs the gradient along the path has less variance
than the score function, for all but the exponential at cos(z); for the rapidly oscillating cos(4z) it is the
other way round in every family but Beta, which is narrow.

Formula:

    F(z(u; a); a) = u     gives     dz/da = -(dF/da) / q(z; a)

Source: Figurnov, Mohamed and Mnih (2018), NeurIPS, section 2; Mohamed et al. (2020), JMLR, section 4.
Expected time: five seconds. The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import numpy as np
from scipy.special import gammainc, gammaincinv, gammaln

from elbo_lab.distributions.gamma import gamma_velocity
from elbo_lab.plots import (
    STYLE,
    figure_folder,
    legend_inside,
    new_figure,
    save_figure,
    style_axes,
)
from elbo_lab.theory import family_variances

# %% Constants
OUT = figure_folder()
SHAPE, LARGER = 2.0, 2.5
LEVELS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])  # frozen noise u
SHAPES = np.linspace(1.0, 4.0, 61)
MARKED = np.array([1.5, 2.5, 3.5])
BLUE, RED, GREEN = "#004488", "#BB5566", "#117733"

# %% The slope of the quantile first, by central differences; then by the implicit formula
STEP = 1e-5
Z = gammaincinv(SHAPE, LEVELS)
by_differences = (gammaincinv(SHAPE + STEP, LEVELS) - gammaincinv(SHAPE - STEP, LEVELS)) / (2 * STEP)
implicit = gamma_velocity(np.full_like(Z, SHAPE), Z)
fall = (gammainc(SHAPE + STEP, Z) - gammainc(SHAPE - STEP, Z)) / (2 * STEP)  # dF/da at fixed z
density = np.exp((SHAPE - 1) * np.log(Z) - Z - gammaln(SHAPE))
for u, z, slope in zip(LEVELS, Z, implicit, strict=True):
    print(f"u = {u}: z = {z:.4f}, dz/da = {slope:.6f}")

# %% The first figure: why the formula holds, and the paths
figure = new_figure(7.0, STYLE["page_width"])
above, below = figure.subplots(2, 1)
z = np.linspace(0.01, 6.5, 300)
style_axes(above, title="Two distribution functions, one noise", xlabel="z", ylabel="F(z; a)")
above.plot(z, gammainc(SHAPE, z), color=BLUE, label=f"shape a = {SHAPE}")
above.plot(z, gammainc(LARGER, z), color=RED, label=f"shape a = {LARGER}")
for u in LEVELS:
    start, end = gammaincinv(SHAPE, u), gammaincinv(LARGER, u)
    arrow = {"arrowstyle": "->", "color": STYLE["ink"], "lw": 1.4}
    above.annotate("", xy=(end, u), xytext=(start, u), arrowprops=arrow)
    above.text(end + 0.12, u - 0.025, f"u = {u}", fontsize=STYLE["note_size"])
legend_inside(above, "lower right")
style_axes(below, title="The draws of five noises, and their slopes", xlabel="shape a", ylabel="z(u; a)")
for u in LEVELS:
    below.plot(SHAPES, gammaincinv(SHAPES, u), color=BLUE, lw=1.4, label="quantile" if u == 0.1 else None)
    at = gammaincinv(MARKED, u)
    for a, value, slope in zip(MARKED, at, gamma_velocity(MARKED, at), strict=True):
        reach = np.array([-0.22, 0.22])
        label = "implicit slope" if u == 0.1 and a == MARKED[0] else None
        below.plot(a + reach, value + slope * reach, color=RED, lw=3.0, alpha=0.8, label=label)
    below.text(4.03, gammaincinv(4.0, u) - 0.1, f"u = {u}", fontsize=STYLE["note_size"])
below.set_xlim(0.95, 4.4)
legend_inside(below, "upper left")
caption = (
    "Above, the distribution functions of two Gamma shapes: at a frozen noise u the draw moves along the "
    "arrow, the fall of the curve divided by its steepness. Below, the draws of five noises against the "
    "shape, with the slopes that the implicit formula gives: they touch the curves."
)
print("figure:", save_figure(figure, OUT, "implicit-paths", caption)[0])

# %% Which gradient is less noisy: the first parameter of each family, exact variances
ROWS, seen = {}, set()
for row in family_variances():
    key = row["family"], row["cost"]
    if key not in seen:  # the first parameter of each family
        seen.add(key)
        ROWS[key] = row["variance_score_function"], row["variance_pathwise"]
FAMILIES = list(dict.fromkeys(family for family, _ in ROWS))
LOOKS = {"z^2": (BLUE, "s"), "exp(-z)": (GREEN, "^"), "cos(z)": ("#AA7A00", "D"), "cos(4z)": (RED, "o")}

# %% The second figure
figure = new_figure(5.0, STYLE["page_width"])
ax = figure.subplots()
title = "Variance of the score function / variance of the path"
style_axes(ax, title=title, xlabel="ratio (right of the line the path is less noisy)")
for cost, (color, marker) in LOOKS.items():
    pairs = [ROWS[family, cost] for family in FAMILIES]
    ratio = [score / path if np.isfinite(path) else np.nan for score, path in pairs]  # no value: no mark
    ax.semilogx(ratio, range(len(FAMILIES)), marker, color=color, markersize=7, label=f"f = {cost}")
ax.axvline(1.0, color=STYLE["faint"], lw=1.4)
ax.set_yticks(range(len(FAMILIES)), FAMILIES)
ax.invert_yaxis()
legend_inside(ax, "upper right")
caption = (
    "For nine families of q and four costs, the exact variance of the score function divided by that of the "
    "pathwise gradient. Smooth costs lie to the right, the rapidly oscillating cos(4z) to the left."
)
print("figure:", save_figure(figure, OUT, "family-variances", caption)[0])

# %% The claim
assert np.allclose(implicit, by_differences, rtol=1e-8), "the implicit slope is that of the quantile"
assert np.allclose(-fall / density, by_differences, rtol=1e-7), "the fall of F divided by its steepness"
for (family, cost), (score, path) in ROWS.items():
    if not (np.isfinite(score) and np.isfinite(path)):
        continue
    if cost == "cos(4z)":
        assert (score < path) == (family != "beta"), f"{family}: a cost that oscillates turns the order round"
    else:
        assert (score > path) != ((family, cost) == ("exponential", "cos(z)")), f"{family}, {cost}"
