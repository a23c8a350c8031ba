# %% [markdown]
# # What is p(x)?
# %%
"""Densities, their units, three likelihoods of one model, and why the one that counts has no short sum.

Claim. A density may be far above one: it has a unit, and log p moves by the logarithm of the unit while no
probability moves. A change of variables needs its Jacobian. Conditional and marginal density have area one
over x; a likelihood of theta is no density. p(x) is an integral over z, and a grid needs G^K points for it.

Formula:

    probability           P(a < x < b) = integral_a^b p(x) dx        p(x) in 1 / (unit of x)
    change of variables   y = g(x):  p(y) = p(x) / |g'(x)|
    evidence              p(x) = integral p(x | z) p(z) dz = N(x; 0, W W^T + sigma^2 I) for PPCA

Source: Bishop (2006), sections 1.2.1, 2.3 and 12.2; Tipping and Bishop (1999), section 3.
Expected time: a few seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form
from elbo_lab.models import PPCA, GaussianMLE
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    figure_folder,
    legend_inside,
    panels,
    save_figure,
    style_axes,
)
from elbo_lab.special import log_sum_exp

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
MINUTES = load("faithful").x[:, [0]]  # length of an eruption
WEIGHT = 1.5
LOG_SIGMA = np.log(0.6)
CODES = np.array([-1.5, 0.0, 1.5])
LATENTS = range(1, 4 if QUICK else 5)
COLUMNS = 6
REACH = 6.0  # of the grid, in sd of the prior
WANTED = 0.01  # nats
AGE_OF_THE_UNIVERSE = 4.4e26  # nanoseconds
BLUE = "#004488"  # a density
GREEN = "#117733"  # points of a grid
RED = "#BB5566"  # no density

# %% 1. One fit, two units: log p(x) moves by log 60 per datum, a probability does not move
model = GaussianMLE(1)
fits = {}
for unit, hours in (("minute", 1.0), ("hour", 1 / 60)):
    theta = fit_closed_form(model, MINUTES * hours).theta
    grid = np.linspace(0.0, 7.0, 4001) * hours
    inside = np.linspace(2.0, 3.0, 4001) * hours
    density = np.exp(model.log_evidence(theta, grid[:, None]))
    probability = np.trapezoid(np.exp(model.log_evidence(theta, inside[:, None])), inside)
    log_p = model.log_evidence(theta, MINUTES * hours).mean()
    fits[unit] = {"minutes": grid / hours, "density": density, "probability": probability, "log_p": log_p}
    print(f"per {unit:<7} at most {density.max():7.3f}, P {probability:.6f}, log p {log_p:+.4f}")

# %% 2. A change of variables: x ~ N(0, 1), y = exp(x), so that |dy/dx| = y
u = np.linspace(-12.0, 12.0, 4001)  # a grid in x is a grid in y
y = np.exp(u)
normal = np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)
area_with = np.trapezoid(normal / y * y, u)  # dy = y dx
area_without = np.trapezoid(normal * y, u)
print(f"y = exp(x): area with the Jacobian {area_with:.10f}, without it {area_without:.4f}")


# %% 3. Three likelihoods of one model with one latent
def theta_of(model, weights):
    return model.layout.pack({"W": weights, "log_sigma": LOG_SIGMA})


ppca = PPCA(1, 1)
theta = theta_of(ppca, [[WEIGHT]])
x = np.linspace(-16.0, 16.0, 1601)[:, None]
conditional = np.exp(ppca.log_likelihood(theta, x, CODES[:, None, None]))  # (S, N)
marginal = np.exp(ppca.log_evidence(theta, x))
seen = ppca.sample(theta, 30, np.random.default_rng(1))[0]
weights = np.linspace(0.0, 8.0, 401)
log_likelihood = np.array([ppca.log_evidence(theta_of(ppca, [[w]]), seen).sum() for w in weights])
likelihood = np.exp(log_likelihood)
areas = np.trapezoid([*conditional, marginal], x[:, 0])
area_of_w = np.trapezoid(likelihood, weights)
print(f"areas: p(x | z) {areas[:3].round(10)}, p(x) {areas[3]:.10f}; of p(data; w) over w {area_of_w:.1e}")
print(f"the likelihood is highest at w = {weights[likelihood.argmax()]:.2f}; the data have w = {WEIGHT}")


# %% 4. The evidence on a grid: exact to rounding for one latent, and G^K points for K
def evidence_on_a_grid(model, theta, x, nodes):
    line, step = np.linspace(-REACH, REACH, nodes, retstep=True)
    z = np.stack(np.meshgrid(*[line] * model.n_latent), axis=-1).reshape(-1, 1, model.n_latent)
    return log_sum_exp(model.log_joint(theta, x, z), axis=0) + model.n_latent * np.log(step)


def nodes_needed(model, theta, x):
    exact = model.log_evidence(theta, x)
    for nodes in range(6, 60, 2):
        if np.abs(evidence_on_a_grid(model, theta, x, nodes) - exact).max() < WANTED:
            return nodes
    raise ArithmeticError("the grid is too coarse")


middle = x[600:1001:25]
on_a_grid = evidence_on_a_grid(ppca, theta, middle, 401)
one_latent = on_a_grid - ppca.log_evidence(theta, middle)
rng = np.random.default_rng(1)
points = {}
for n_latent in LATENTS:
    wide = PPCA(COLUMNS, n_latent)
    directions, _ = np.linalg.qr(rng.standard_normal((COLUMNS, n_latent)))
    theta_wide = theta_of(wide, WEIGHT * directions)
    nodes = nodes_needed(wide, theta_wide, wide.sample(theta_wide, 4, rng)[0])
    points[n_latent] = nodes**n_latent
    print(f"K = {n_latent}: {nodes} nodes per dimension, {points[n_latent]} in all, for {WANTED} nats")

# %% The figure: a density has a unit, and a change of variables a Jacobian
figure, axes = panels(3, 2, height=8.0, width=STYLE["page_width"])
minute = fits["minute"]
thin = slice(None, None, 4)  # of a fine grid: as much as an eye sees
length, density = minute["minutes"][thin], minute["density"][thin]
style_axes(axes[0], title="One density in two units", xlabel="length x, minutes", ylabel="p(x), 1 / minute")
axes[0].plot(length, density, color=BLUE)
band = {"color": BLUE, "alpha": 0.2, "lw": 0}
axes[0].fill_between(length, density, where=abs(length - 2.5) < 0.51, **band)
words = {"ha": "center", "fontsize": STYLE["note_size"], "color": STYLE["ink"]}
axes[0].text(0.1, 0.35, f"shaded area: P = {probability:.3f}\nin either unit", **{**words, "ha": "left"})
per_hour = axes[0].secondary_yaxis("right", functions=(lambda p: 60 * p, lambda p: p / 60))
per_hour.set_ylabel("p(x), 1 / hour", fontsize=STYLE["label_size"])
per_hour.tick_params(labelsize=STYLE["tick_size"])
axes[0].axis((0, 7, 0, 0.4))
title = "y = exp(x), x ~ N(0, 1)"
shown = np.flatnonzero((y > 1e-3) & (y < 6.0))[thin]
style_axes(axes[1], title=title, xlabel="y", ylabel="per unit of y")
axes[1].plot(y[shown], (normal / y)[shown], color=BLUE, label=f"p(x) / |dy/dx|, area {area_with:.2f}")
axes[1].plot(y[shown], normal[shown], ":", color=RED, label=f"p(x), area {area_without:.2f}: no density of y")
axes[1].fill_between(y[shown], (normal / y)[shown], **band)
axes[1].axis((0, 5, 0, 0.9))

# %% Conditional and marginal density have area one, a likelihood has not
style_axes(axes[2], title="p(x | z): area 1 for every z", xlabel="x", ylabel="per unit of x")
for z, density, side in zip(CODES, conditional, ("right", "center", "left"), strict=True):
    axes[2].plot(x[thin], density[thin], color=BLUE)
    axes[2].fill_between(x[thin, 0], density[thin], **band)
    axes[2].text(x[density.argmax(), 0], density.max() + 0.02, f"z = {z:g}", **{**words, "ha": side})
axes[2].axis((-6, 6, 0, 0.8))
style_axes(axes[3], title="p(x), z integrated out: area 1", xlabel="x", ylabel="per unit of x")
axes[3].plot(x[thin], marginal[thin], label="exact", **EXACT_LINE)
axes[3].fill_between(x[thin, 0], marginal[thin], **band)
axes[3].plot(middle, np.exp(on_a_grid), "o", color=GREEN, ms=4, label="by a grid over z")
axes[3].axis((-6, 6, 0, 0.4))
power = np.floor(np.log10(likelihood.max()))
title = f"Likelihood of w: area $10^{{{np.log10(area_of_w):.0f}}}$"
ylabel = f"p(30 data; w), $10^{{{power:.0f}}}$ per unit$^{{30}}$"
style_axes(axes[4], title=title, xlabel="parameter w", ylabel=ylabel)
axes[4].plot(weights, likelihood / 10**power, color=RED, label="no density of w")
axes[4].fill_between(weights, likelihood / 10**power, **{**band, "color": RED})
best = likelihood.argmax()
highest = (weights[best], likelihood[best] / 10**power)
axes[4].plot(*highest, "o", color=RED, label=f"maximum, w = {highest[0]:.2f}")
axes[4].axvline(WEIGHT, ymax=0.7, label=f"w = {WEIGHT} of the data", **EXACT_LINE)
axes[4].axis((0, 4, 0, 1.5 * highest[1]))

# %% And a grid needs G^K points
style_axes(axes[5], title=f"Points of a grid for {WANTED} nats", xlabel="latents K", ylabel="points")
axes[5].semilogy(range(1, 31), [nodes**k for k in range(1, 31)], color="gray", label=f"${nodes}^K$")
axes[5].plot(list(points), list(points.values()), "o", color=GREEN, label="computed here")
axes[5].axhline(AGE_OF_THE_UNIVERSE, color="gray", ls=":")
note = {"fontsize": STYLE["note_size"], "va": "bottom", "color": STYLE["ink"]}
axes[5].text(0.5, 3 * AGE_OF_THE_UNIVERSE, "age of the universe, ns", **note)
axes[5].axis((0, 30, 1, 1e40))
for ax in (axes[1], axes[3], axes[4]):
    legend_inside(ax, "upper right")
legend_inside(axes[5], "lower right")
caption = (
    "A density in two units, a change of variables with its Jacobian, conditional and marginal densities of "
    "area one, a likelihood whose area is not one, and the points that a grid over z needs: exponentially "
    "many."
)
print("figure:", save_figure(figure, OUT, "what-is-p-of-x", caption)[0])

# %% The claim
hour = fits["hour"]
assert hour["density"].max() > 1 > minute["density"].max(), "a density above one is no harm"
assert abs(minute["probability"] - hour["probability"]) < 1e-12, "a probability has no unit"
assert abs(hour["log_p"] - minute["log_p"] - np.log(60)) < 1e-9, "log p moves by the logarithm of the unit"
assert abs(area_with - 1) < 1e-10, "the Jacobian keeps the area"
assert abs(area_without - np.exp(0.5)) < 1e-10, "without it the area is lost"
assert np.abs(areas - 1).max() < 1e-10, "densities of x have area one"
assert area_of_w < 1e-3, "a likelihood of w has not"
assert abs(weights[best] - WEIGHT) > 0.1, "nor is its maximum at the parameter of the data"
assert np.allclose(hour["density"], 60 * minute["density"], rtol=1e-9, atol=0), "one curve, two scales"
assert np.abs(one_latent).max() < 1e-10, "one integral gives the evidence to rounding"
for n_latent, n_points in points.items():
    assert n_latent * np.log(nodes - 3) < np.log(n_points) < n_latent * np.log(nodes + 3), "G^K"
assert nodes**24 > AGE_OF_THE_UNIVERSE, "two dozen latents, a point per nanosecond"
