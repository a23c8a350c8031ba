# %% [markdown]
# # Draws of the prior, as K grows
# %%
"""The same 400 draws, in more and more latents: ever fewer of them carry the weight, in the end one or two.

Claim. Each latent that is added asks of a draw to be close in one more coordinate. The weights become
unequal: the number of draws that carry 90 % of the weight falls from 150 to one or a few, and the mean of the
weights misses most of p(x), so that log p comes out too low by nats. Which draws are left is luck; that few
are left is not, as the median of other sets of draws shows.

Formula, for z_k ~ N(0, 1), x_k | z_k ~ N(z_k, sigma^2), k = 1 ... K, and x = 0:

    p-hat = (1 / S) sum_s p(x | z_s)          E p-hat = p(x)
    log p(x) = -(K / 2) log(2 pi (1 + sigma^2))
    Var p-hat / p(x)^2 = V / S                1 + V = ((1 + sigma^2) / (sigma sqrt(2 + sigma^2)))^K

Source: Owen (2013), Monte Carlo theory, methods and examples, chapter 9; Doersch (2016).
Expected time: two seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import numpy as np
from scipy.special import logsumexp

from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    ellipse,
    estimator_style,
    figure_folder,
    new_figure,
    save_figure,
    show_in_turn,
    style_axes,
)

# %% Constants
OUT = figure_folder()
SEED = 0
DRAWS = 400
NOISE = 0.5
LATENTS = (2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40)
CARRIED = 0.9  # of the weight
REPEATS = 200
SECONDS = [2.0, *[1.2] * (len(LATENTS) - 2), 3.0]
COLOR = estimator_style("prior-monte-carlo").color


# %% The exact answer first, then the weights of the draws
def log_p_of(n_latent):
    return -0.5 * n_latent * np.log(2 * np.pi * (1 + NOISE**2))


def log_weights(z):
    """Return log p(x | z) of x = 0; z (..., K)."""
    constant = -0.5 * z.shape[-1] * np.log(2 * np.pi * NOISE**2)
    return constant - 0.5 * (z**2).sum(axis=-1) / NOISE**2


def carriers(log_w):
    """Return whether a draw (S,) is among the heaviest that carry 90 % of the weight."""
    order = np.argsort(-log_w)
    share = np.exp(log_w[order] - logsumexp(log_w))
    count = 1 + np.searchsorted(np.cumsum(share), CARRIED)
    return np.isin(np.arange(len(log_w)), order[:count])


rng = np.random.default_rng(SEED)
z = rng.standard_normal((DRAWS, max(LATENTS)))
carry = np.array([carriers(log_weights(z[:, :k])) for k in LATENTS])  # (frames, S)
counts = carry.sum(axis=1)
errors = np.array([logsumexp(log_weights(z[:, :k])) - np.log(DRAWS) - log_p_of(k) for k in LATENTS])
for k, count, error in zip(LATENTS, counts, errors, strict=True):
    print(
        f"K = {k:>2}: {count:>3} of {DRAWS} draws carry 90 % of the weight, log p-hat - log p = {error:7.3f}"
    )

# %% Was that luck? The medians of other sets of draws
others = rng.standard_normal((REPEATS, DRAWS, max(LATENTS)))
typical_counts, typical_errors = [], []
for k in LATENTS:
    log_w = log_weights(others[..., :k])  # (repeats, S)
    typical_counts.append(np.median([carriers(row).sum() for row in log_w]))
    typical_errors.append(np.median(logsumexp(log_w, axis=1)) - np.log(DRAWS) - log_p_of(k))
ratio = (1 + NOISE**2) / (NOISE * np.sqrt(2 + NOISE**2))
last = f"{typical_counts[-1]:.0f} draws, {typical_errors[-1]:.1f} nats"
print(f"medians of {REPEATS} other sets of draws at K = {LATENTS[-1]}: {last}")
print(f"draws needed for a relative error of one: {ratio ** LATENTS[-1] - 1:.0e}")

# %% The figure: the draws in the first two coordinates, how many carry the weight, and the error
END = len(LATENTS) - 1
figure = new_figure(6.4, 5.2)
above, below = figure.subfigures(2, 1, height_ratios=(3.6, 2.8))
cloud = above.subplots()
style_axes(cloud, title=" ", xlabel="$z_1$", ylabel="$z_2$")
cloud.set(xlim=(-4.4, 4.4), ylim=(-2.9, 2.9), aspect="equal", anchor="W")
cloud.plot(*z[:, :2].T, "o", color="#bbbbbb", markersize=3, markeredgewidth=0)
posterior_sd = NOISE / np.sqrt(1 + NOISE**2)  # of each coordinate; the mean is 0
cloud.plot(*ellipse(np.zeros(2), posterior_sd**2 * np.eye(2), 2), zorder=4, **EXACT_LINE)
words = {"ha": "right", "fontsize": STYLE["note_size"]}
cloud.text(4.3, -2.75, "dashed: 2 sd of the exact posterior", **words)
left, right = below.subplots(1, 2)
style_axes(left, title="Draws that carry 90 %", xlabel="latents K", ylabel=f"draws, of {DRAWS}")
left.set(yscale="log", ylim=(0.7, DRAWS), xlim=(-1, LATENTS[-1] + 2))
left.set_yticks([1, 10, 100], ["1", "10", "100"])
left.minorticks_off()
style_axes(right, title="Error of log p", xlabel="latents K", ylabel="nats")
right.axhline(0.0, **EXACT_LINE)
right.text(LATENTS[-1] + 1, 0.15, "log p(x), exact", ha="right", va="bottom", fontsize=STYLE["note_size"])
right.set(xlim=(-1, LATENTS[-1] + 2), ylim=(min(typical_errors) - 0.7, 1.5))
for ax, values in ((left, typical_counts), (right, typical_errors)):
    ax.plot(LATENTS, values, color="#aaaaaa", linewidth=3, zorder=1)
left.text(14, 40, f"grey: median of\n{REPEATS} other sets", color=STYLE["faint"], fontsize=STYLE["note_size"])

seen = []
# A draw is drawn once for each run of frames in which it carries weight.
groups = {}
for draw, carries in zip(z, carry.T, strict=True):
    edges = np.flatnonzero(np.diff(np.concatenate([[False], carries, [False]]).astype(int)))
    for first, stop in edges.reshape(-1, 2).tolist():
        groups.setdefault((first, stop - 1), []).append(draw[:2])
for (first, last), points in groups.items():
    (dots,) = cloud.plot(*np.transpose(points), "o", color=COLOR, markersize=5.5, markeredgewidth=0)
    seen.append((dots, first, last))
for i, k in enumerate(LATENTS):
    place = {"transform": cloud.transAxes, "va": "bottom", "fontsize": STYLE["title_size"]}
    carry_them = "carry" if counts[i] > 1 else "carries"
    words = f"K = {k}: {counts[i]} of {DRAWS} draws {carry_them} 90 % of the weight"
    seen.append((cloud.text(0, 1.02, words, **place), i, i))
    for ax, values in ((left, counts), (right, errors)):
        (dot,) = ax.plot(k, values[i], "o", color=COLOR, markersize=5)
        seen.append((dot, i, END))
        if i:
            (line,) = ax.plot(LATENTS[i - 1 : i + 1], values[i - 1 : i + 1], color=COLOR, linewidth=1.4)
            seen.append((line, i, END))
show_in_turn(figure, seen, SECONDS)
caption = (
    "Draws of the prior in two of K coordinates: those that carry 90 % of the weight are coloured, 151 at "
    "K = 2 and one at K = 40. Below, their number, and the error of log p, which falls to -7 nats."
)
print("figure:", save_figure(figure, OUT, "prior-draws-in-motion", caption)[0])

# %% The claim
assert (np.diff(typical_counts) <= 0).all(), "the share of the draws that carry the weight falls with K"
assert min(counts[0], typical_counts[0]) > 0.3 * DRAWS, "it begins with more than a hundred"
assert max(*counts[-4:], *typical_counts[-4:]) <= 10, "and ends with a few"
assert abs(errors[0]) < 0.2, "with two latents the estimate is good"
assert max(errors[-1], typical_errors[-1]) < -5, "with forty it is too low by nats, and that is no bad luck"
assert (np.diff(typical_errors[LATENTS.index(10) :]) < 0).all(), "and it gets worse with each latent"
