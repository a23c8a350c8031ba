# %% [markdown]
# # EM, half step by half step
# %%
"""Two Gaussians find the two clouds of Old Faithful: colours change, then ellipses, and log p never falls.

Claim. The E-step leaves the ellipses as they are and asks of each point to which it belongs: the bound rises
to log p. The M-step leaves the colours and moves the ellipses to their points: the bound rises, and log p at
least as much.

Formula:

    E-step  r_nc = pi_c N(x_n; mu_c, Sigma_c) / sum_j pi_j N(x_n; mu_j, Sigma_j)
    M-step  mu_c = sum_n r_nc x_n / R_c, R_c = sum_n r_nc; Sigma_c and pi_c accordingly
    log p(x; theta) = ELBO(theta, r) + KL(r || p(z | x; theta))

Source: Dempster, Laird and Rubin (1977), JRSS B 39, 1-38; the picture of Bishop (2006), figure 9.8, moving.
Expected time: two seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

from itertools import pairwise

import numpy as np
from matplotlib.colors import to_hex, to_rgb

from elbo_lab.datasets import load
from elbo_lab.em import MixtureEM
from elbo_lab.exact import ladder
from elbo_lab.models import GaussianMixture
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    ellipse,
    figure_folder,
    legend_inside,
    new_figure,
    save_figure,
    show_in_turn,
    style_axes,
)

# %% Constants
OUT = figure_folder()
X = load("faithful").x  # minutes
MEANS = np.array([[4.8, 70.0], [2.4, 75.0]])  # beside the clouds
FLOOR = 1e-6  # of a variance; EM never comes near it here
ITERATIONS = 10
SLOW, FAST = 1.5, 0.7  # seconds a frame
SLOW_ITERATIONS = 3
GREEN, ORANGE = "#117733", "#E69F00"  # the two components
BOUND = "#004488"  # the ELBO
FLOOR_SHOWN = -1300.0  # nats; the start lies below
SHADES = 5

# %% EM: after each half step theta, the shares of the second component, the bound and log p
model = GaussianMixture(2, 2, "full")
em = MixtureEM(model, X, FLOOR)
spread = np.diag(X.var(axis=0))
covariances = model.covariance.stored(np.array([spread, spread]))
theta = model.layout.pack({"logits": np.zeros(2), "mean": MEANS, **covariances})


def shares_of(theta):
    """Return r (N,), the share of the second component in each point."""
    logits = model.posterior_eta(theta, X)
    return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))


def log_p_of(theta):
    return ladder.log_evidence(model, theta, X)[0].sum()


frames = [{"step": "The start", "theta": theta, "shares": None, "elbo": None, "log_p": log_p_of(theta)}]
for i in range(1, ITERATIONS + 1):
    q, shares = em.e_step(theta), shares_of(theta)
    for step in ("E", "M"):
        theta = em.m_step(q) if step == "M" else theta
        frame = {"theta": theta, "shares": shares, "elbo": em.elbo(theta, q), "log_p": log_p_of(theta)}
        frames.append({"step": f"{step}-step {i}", **frame})
log_p = np.array([frame["log_p"] for frame in frames])
elbo = np.array([frame["elbo"] for frame in frames[1:]])
for frame in frames[:5] + frames[-2:]:
    gap = "" if frame["elbo"] is None else f"   gap {abs(frame['log_p'] - frame['elbo']):8.4f}"
    print(f"{frame['step']:<10}  log p = {frame['log_p']:10.4f}{gap}")

# %% The figure: points and ellipses above, log p below
END = len(frames) - 1
SECONDS = [SLOW if i <= 2 * SLOW_ITERATIONS else FAST for i in range(END)] + [3.0]
INKS = [
    to_hex((1 - share) * np.array(to_rgb(GREEN)) + share * np.array(to_rgb(ORANGE)))
    for share in np.linspace(0, 1, SHADES)
]


def runs(values):
    """Return (value, first, last) of each run of equal values, one value a frame."""
    starts = [i for i in range(len(values)) if i == 0 or values[i] != values[i - 1]]
    return [(values[a], a, b - 1) for a, b in pairwise([*starts, len(values)])]


figure = new_figure(6.2, 5.2)
above, below = figure.subplots(2, 1, height_ratios=(3.4, 1.6))
style_axes(above, title=" ", xlabel="eruption, minutes", ylabel="waiting, minutes")
above.set(xlim=(1.2, 5.7), ylim=(36, 103))
seen = []

# A point is drawn once for each run of frames in which its shade stays.
shades = [np.full(len(X), -1)]
shades += [np.rint(frame["shares"] * (SHADES - 1)).astype(int) for frame in frames[1:]]
groups = {}
for point, of_frames in zip(X, np.transpose(shades), strict=True):
    for shade, first, last in runs(of_frames.tolist()):
        groups.setdefault((shade, first, last), []).append(point)
for (shade, first, last), points in groups.items():
    color = INKS[shade] if shade >= 0 else STYLE["faint"]
    (dots,) = above.plot(*np.transpose(points), "o", color=color, markersize=4, markeredgewidth=0, alpha=0.8)
    seen.append((dots, first, last))

# Ellipses move with each M-step and stay during the next E-step.
for i in range(0, END + 1, 2):
    described = model.described(frames[i]["theta"])
    for mean, covariance, color in zip(
        described["means"], described["covariances"], (GREEN, ORANGE), strict=True
    ):
        for radius, width in ((1, 2.4), (2, 1.4)):
            (line,) = above.plot(*ellipse(mean, covariance, radius, 60), color=color, linewidth=width)
            seen.append((line, i, min(i + 1, END)))
        (cross,) = above.plot(*mean, "P", color=color, markeredgecolor="white", markersize=10)
        seen.append((cross, i, min(i + 1, END)))

WORDS = {
    "T": "two Gaussians, both in the wrong place",
    "E": "which points are whose?",
    "M": "each ellipse moves to its points",
}
above_title = {"transform": above.transAxes, "va": "bottom", "fontsize": STYLE["title_size"]}
for i, frame in enumerate(frames):
    words = f"{frame['step']}: {WORDS[frame['step'][0]]}"
    seen.append((above.text(0, 1.02, words, **above_title), i, i))

style_axes(
    below,
    title="log p never falls, and E-steps lift the ELBO to it",
    xlabel="iteration",
    ylabel="nats, 272 points",
)
places = np.arange(END + 1) / 2
below.set(xlim=(-0.3, places[-1] + 0.3), ylim=(FLOOR_SHOWN, log_p[-1] + 15))
below.plot([], [], label="log p, exact", **EXACT_LINE)
below.plot([], [], color=BOUND, label="ELBO")
legend_inside(below, "lower right")
for i in range(1, END + 1):
    (line,) = below.plot(places[i - 1 : i + 1], log_p[i - 1 : i + 1], zorder=4, **EXACT_LINE)
    seen.append((line, i, END))
    if i > 1:
        (line,) = below.plot(places[i - 1 : i + 1], elbo[i - 2 : i], color=BOUND, linewidth=1.8)
        seen.append((line, i, END))
for i in range(END + 1):
    height, marker = (log_p[i], "o") if log_p[i] > FLOOR_SHOWN else (FLOOR_SHOWN + 8, "v")
    (dot,) = below.plot(places[i], height, marker, color="black", markersize=7, zorder=5)
    seen.append((dot, i, i))
    place = {"transform": below.transAxes, "va": "top", "fontsize": STYLE["label_size"]}
    seen.append((below.text(0.02, 0.97, f"log p = {log_p[i]:.1f}", **place), i, i))
show_in_turn(figure, seen, SECONDS)
caption = (
    "EM for two Gaussians on Old Faithful, one half step after the other: in an E-step the points change "
    "their colours, in an M-step the ellipses move, and log p below rises from frame to frame."
)
print("figure:", save_figure(figure, OUT, "em-in-motion", caption)[0])

# %% The claim
rounding = 1e-9
assert (np.diff(log_p) >= -rounding).all(), "log p never falls from frame to frame"
assert (elbo <= log_p[1:] + rounding).all(), "the bound is below log p in each frame"
assert np.allclose(elbo[::2], log_p[1::2], rtol=1e-12, atol=0), "after an E-step they are equal"
assert (np.diff(elbo) >= -rounding).all(), "and the bound never falls either"
assert abs(log_p[-1] - -1130.264) < 0.01, "the end is the best maximum"
