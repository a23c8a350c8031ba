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
from elbo_lab.plots import figure_folder, new_figure, save_figure
from elbo_lab.plots.style import EXACT_LINE, style_axes
from elbo_lab.special import log_sum_exp

# %% Constants
QUICK, OUT = os.environ.get("ELBO_LAB_QUICK") == "1", figure_folder()
MINUTES = load("faithful").x[:, [0]]  # length of an eruption
WEIGHT, LOG_SIGMA, CODES = 1.5, np.log(0.6), np.array([-1.5, 0.0, 1.5])
LATENTS, COLUMNS, REACH, WANTED = range(1, 4 if QUICK else 5), 6, 6.0, 0.01  # sd of the prior; nats
AGE_OF_THE_UNIVERSE, (BLUE, GREEN, RED) = 4.4e26, ("#004488", "#117733", "#BB5566")  # nanoseconds

# %% 1. One fit, two units: log p(x) moves by log 60 per datum, a probability does not move
model, fits = GaussianMLE(1), {}
for unit, one in (("minute", 1.0), ("hour", 1 / 60)):
    theta = fit_closed_form(model, MINUTES * one).theta
    inside, grid = (np.linspace(a, b, 4001) * one for a, b in ((2.0, 3.0), (0.0, 7.0)))
    density, middle = (np.exp(model.log_evidence(theta, line[:, None])) for line in (grid, inside))
    share = np.trapezoid(middle, inside)
    fits[unit] = grid / one, density, share, model.log_evidence(theta, MINUTES * one).mean()
    print("per {:<7} at most {:7.3f}, P {:.6f}, log p {:+.4f}".format(unit, density.max(), *fits[unit][2:]))

# %% 2. A change of variables: x ~ N(0, 1), y = exp(x), so that |dy/dx| = y
u = np.linspace(-12.0, 12.0, 4001)  # a grid in x is a grid in y
y, normal = np.exp(u), np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)
area_with, area_without = (np.trapezoid(p * y, u) for p in (normal / y, normal))  # dy = y dx
print(f"y = exp(x): area with the Jacobian {area_with:.10f}, without it {area_without:.4f}")

# %% 3. Three likelihoods of one model with one latent
theta_of = lambda model, W: model.layout.pack({"W": W, "log_sigma": LOG_SIGMA})  # noqa: E731
ppca, x, weights = PPCA(1, 1), np.linspace(-16.0, 16.0, 1601)[:, None], np.linspace(0.0, 8.0, 401)
theta = theta_of(ppca, [[WEIGHT]])
conditional = np.exp(ppca.log_likelihood(theta, x, CODES[:, None, None]))  # (S, N)
marginal = np.exp(ppca.log_evidence(theta, x))
seen = ppca.sample(theta, 30, np.random.default_rng(1))[0]
likelihood = np.array([ppca.log_evidence(theta_of(ppca, [[w]]), seen).sum() for w in weights])
areas, area_of_w = np.trapezoid([*conditional, marginal], x[:, 0]), np.trapezoid(np.exp(likelihood), weights)
print(f"areas: p(x | z) {areas[:3].round(10)}, p(x) {areas[3]:.10f}; of p(data; w) over w {area_of_w:.1e}")


# %% 4. The evidence on a grid: exact to rounding for one latent, and G^K points for K
def on_a_grid(model, theta, x, nodes):
    line, step = np.linspace(-REACH, REACH, nodes, retstep=True)
    z = np.stack(np.meshgrid(*[line] * model.n_latent), axis=-1).reshape(-1, 1, model.n_latent)
    return log_sum_exp(model.log_joint(theta, x, z), axis=0) + model.n_latent * np.log(step)


middle = x[600:1001:25]
one_latent = on_a_grid(ppca, theta, middle, 401) - ppca.log_evidence(theta, middle)
rng, points = np.random.default_rng(1), {}
for n_latent in LATENTS:
    wide = PPCA(COLUMNS, n_latent)
    at = theta_of(wide, WEIGHT * np.linalg.qr(rng.standard_normal((COLUMNS, n_latent)))[0])
    data = wide.sample(at, 4, rng)[0]
    exact, sizes = wide.log_evidence(at, data), range(6, 60, 2)
    nodes = next(g for g in sizes if np.abs(on_a_grid(wide, at, data, g) - exact).max() < WANTED)
    points[n_latent] = nodes**n_latent
    print(f"K = {n_latent}: {nodes} nodes per dimension, {points[n_latent]} in all, for {WANTED} nats")

# %% The figure
axes = (figure := new_figure(5.8)).subplots(2, 3).ravel()
titles = ["1. A density has a unit", "2. y = exp(x), x ~ N(0, 1)", "3. p(x | z): area one"]
titles += ["4. p(x): area one", "5. log p(30 data; w)", "6. Points of the grid"]
names = "minutes", "y", "x", "x", "w", "latents K"
heights = ["per minute, per hour", "per unit of y", *["per unit of x"] * 2, "nats", "points"]
windows = [(0, 7, 1e-3, 1e4), (0, 5, 0, 0.8), (-6, 6, 0, 1), (-6, 6, 0, 0.4)]
windows += [(0, 4, likelihood.max() - 12, likelihood.max() + 4), (0, 40, 1, 1e56)]
for (unit, (grid, density, *_)), color in zip(fits.items(), (BLUE, RED), strict=True):
    axes[0].semilogy(grid, density, color=color, label=f"p(x), 1 / {unit}")
axes[0].axvspan(2.0, 3.0, color="gray", alpha=0.2, lw=0, label=f"P = {share:.3f} in both")
axes[1].plot(y, normal / y, color=BLUE, label=f"p(x) / y, area {area_with:.2f}")
axes[1].plot(y, normal, ":", color=RED, label=f"p(x), area {area_without:.2f}")
for z, p, color in zip(CODES, conditional, (BLUE, GREEN, RED), strict=True):
    axes[2].plot(x, p, color=color, label=f"z = {z:+.1f}")
axes[3].plot(x, marginal, label="exact", **EXACT_LINE)
axes[3].plot(middle, np.exp(on_a_grid(ppca, theta, middle, 401)), "o", color=BLUE, ms=4, label="grid over z")
axes[4].plot(weights, likelihood, color=BLUE)
axes[4].axvline(WEIGHT, label="w of the data", **EXACT_LINE)
axes[5].semilogy(range(1, 31), [nodes**k for k in range(1, 31)], color=BLUE, label=f"{nodes}^K")
axes[5].plot(list(points), list(points.values()), "o", color=RED, label="computed here")
axes[5].axhline(AGE_OF_THE_UNIVERSE, color="gray", ls=":", label="age of the universe, ns")
for ax, title, name, height, window in zip(axes, titles, names, heights, windows, strict=True):
    style_axes(ax, title=title, xlabel=name, ylabel=height).axis(window)
    ax.legend(frameon=False, fontsize=8, loc="upper right" if name != "latents K" else "upper left")
print("figure:", save_figure(figure, OUT, "what-is-p-of-x")[0])

# %% The claim
(_, low, by_minutes, per_minute), (_, high, by_hours, per_hour) = fits.values()
assert high.max() > 1 > low.max() and abs(by_hours - by_minutes) < 1e-12, "a density above one is no harm"
assert abs(per_hour - per_minute - np.log(60)) < 1e-9, "log p moves by the logarithm of the unit"
assert abs(area_with - 1) < 1e-10 and abs(area_without - np.exp(0.5)) < 1e-10, "the Jacobian keeps the area"
assert np.abs(areas - 1).max() < 1e-10 and area_of_w < 1e-3, "densities of x, and a likelihood of w"
assert np.abs(one_latent).max() < 1e-10, "one integral gives the evidence to rounding"
assert all(k * np.log(nodes - 3) < np.log(n) < k * np.log(nodes + 3) for k, n in points.items()), "G^K"
assert nodes**24 > AGE_OF_THE_UNIVERSE, "two dozen latents, a point per nanosecond"
