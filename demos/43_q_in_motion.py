# %% [markdown]
# # q moves to the posterior
# %%
"""A Gaussian q climbs the ELBO of one datum: the gap shrinks, the bound rises, and their sum stays log p(x).

Claim. log p(x) does not depend on q. So whatever a step of q adds to the bound it takes from the gap
KL(q || p(z | x)), and when the gap is zero q is the posterior. A step of fixed size along the slope moves q
much at first and little at the end.

Formula, for x | z ~ N(W z, I), z ~ N(0, 1), c = 1 + W'W, q = N(m, s^2) and posterior N(W'x / c, 1 / c):

    log p(x) = ELBO(q) + KL(q || p(z | x))
    dELBO/dm     = W'x - c m
    dELBO/dlog s = 1 - c s^2

Source: Jordan et al. (1999), Machine Learning 37, 183-233; Bishop (2006), section 9.4.
Expected time: one second. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import numpy as np
from matplotlib.colors import to_rgba

from elbo_lab.models import PPCA
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    figure_folder,
    new_figure,
    save_figure,
    show_in_turn,
    style_axes,
)

# %% Constants
OUT = figure_folder()
W = np.array([1.0, 0.5, -1.0])
X = np.array([1.2, 0.3, -0.8])
START = (-1.0, np.log(1.0))  # mean and log sd of q
RATE = 0.06
STEPS = 20
SECONDS = [1.5, *[0.6] * (STEPS - 1), 3.0]
Z = np.linspace(-4.0, 3.0, 101)
BLUE, RED = "#004488", "#BB5566"

# %% The exact answer first: log p(x) and the posterior
model = PPCA(3, 1)
theta = model.layout.pack({"W": W[:, None], "b": np.zeros(3), "log_sigma": 0.0})
log_p = model.log_evidence(theta, X[None])[0]
posterior = model.posterior_eta(theta, X[None])
c = 1 + W @ W
print(f"log p(x) = {log_p:.4f}, posterior N({posterior[0, 0]:.4f}, {np.exp(posterior[0, 1]):.4f}^2)")


# %% Then q: the bound from its own formula, the gap from that of two Gaussians, and steps along the slope
def elbo_of(mean, log_sd):
    """Return the reconstruction minus KL(q || prior), in nats."""
    second = mean**2 + np.exp(2 * log_sd)
    reconstruction = -1.5 * np.log(2 * np.pi) - 0.5 * (X @ X - 2 * mean * (W @ X) + (W @ W) * second)
    return reconstruction - 0.5 * (second - 1 - 2 * log_sd)


etas = [np.array(START)]
for _ in range(STEPS):
    mean, log_sd = etas[-1]
    slope = np.array([W @ X - c * mean, 1 - c * np.exp(2 * log_sd)])
    etas.append(etas[-1] + RATE * slope)
elbo = np.array([elbo_of(*eta) for eta in etas])
gap = model.family.kl(np.array(etas), posterior)
for i in (0, 1, 2, 5, 10, STEPS):
    mean, sd = etas[i][0], np.exp(etas[i][1])
    sums = f"ELBO {elbo[i]:8.4f} + gap {gap[i]:.4f} = {elbo[i] + gap[i]:.4f}"
    print(f"step {i:>2}: q = N({mean:7.4f}, {sd:.4f}^2)  {sums}")


# %% The figure: densities above, the bars below
def density(mean, log_sd):
    return np.exp(-0.5 * ((Z - mean) / np.exp(log_sd)) ** 2 - log_sd) / np.sqrt(2 * np.pi)


figure = new_figure(5.8, 5.2)
above, below = figure.subplots(2, 1, height_ratios=(2.4, 2.6))
style_axes(above, title=" ", xlabel="latent z", ylabel="density")
exact = density(*posterior[0])
above.plot(Z, exact, **EXACT_LINE)
above.text(posterior[0, 0] + 0.75, 0.55, "posterior, exact", fontsize=STYLE["label_size"])
above.set(xlim=(Z[0], Z[-1]), ylim=(0, 0.9))
floor = np.floor(elbo[0])
title = "ELBO + gap = log p(x): the top stays"
style_axes(below, title=title, xlabel="step of q", ylabel="nats, one datum", grid="y")
below.axhline(log_p, **EXACT_LINE)
below.set(xlim=(-0.7, STEPS + 0.7), ylim=(floor, log_p + 1.2), xticks=range(0, STEPS + 1, 5))
below.text(
    STEPS + 0.5, log_p + 0.1, f"log p(x) = {log_p:.4f}, exact", ha="right", fontsize=STYLE["label_size"]
)
words = {"fontsize": STYLE["label_size"], "fontweight": "bold"}
seen = []
for i, eta in enumerate(etas):
    curve = density(*eta)
    (area,) = above.fill(Z, curve, facecolor=to_rgba(BLUE, 0.15), edgecolor=BLUE, linewidth=2)
    place = {"transform": above.transAxes, "va": "bottom", "fontsize": STYLE["title_size"]}
    headline = above.text(0, 1.02, f"Step {i}: q = N({eta[0]:.3f}, {np.exp(eta[1]):.3f}$^2$)", **place)
    place = {"va": "bottom", **words}
    total = below.text(-0.5, log_p + 0.7, f"ELBO {elbo[i]:.4f}", color=BLUE, **place)
    rest = below.text(5.2, log_p + 0.7, f"+ gap {gap[i]:.4f}", color=RED, **place)
    name = above.text(
        eta[0], max(curve.max(), exact[curve.argmax()]) + 0.03, "q", color=BLUE, ha="center", **words
    )
    seen += [(artist, i, i) for artist in (area, headline, total, rest, name)]
    bars = (
        *below.bar(i, elbo[i] - floor, 0.8, floor, color=BLUE),
        *below.bar(i, log_p - elbo[i], 0.8, elbo[i], color=RED),
    )
    seen += [(bar, i, STEPS) for bar in bars]
show_in_turn(figure, seen, SECONDS)
caption = (
    "The density of q moves, step by step, to that of the exact posterior. Below, one bar a step: the blue "
    "part is the ELBO and grows, the red part is the gap and shrinks, and the top is log p(x) in every frame."
)
print("figure:", save_figure(figure, OUT, "q-in-motion", caption)[0])

# %% The claim
assert np.allclose(elbo + gap, log_p, rtol=0, atol=1e-12), "bound and gap add up to log p in each frame"
assert (np.diff(elbo) > 0).all() and (np.diff(gap) < 0).all(), "the bound rises, the gap shrinks"
assert gap[-1] < 0.01, "at the end q is nearly the posterior"
