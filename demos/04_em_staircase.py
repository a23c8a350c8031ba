# %% [markdown]
# # EM on Old Faithful: the bound as a staircase
# %%
"""Every E-step lifts the bound to log p(x), every M-step lifts both; nothing ever falls.

Claim. From any start the log-likelihood never falls, and after every E-step the ELBO equals it. From a poor
start EM creeps over a plateau for dozens of iterations before it finds the two clouds; from the usual starts
it is there in a few. Gradient ascent climbs to the same maximum in hundreds of steps of a tuned size, and for
one component both reach what the closed form says at once.

Formula:

    log p(x; theta) = ELBO(theta, q) + KL(q || p(z | x; theta))
    E-step  q_i = p(z | x; theta_{i-1})            =>  ELBO(theta_{i-1}, q_i) = log p(x; theta_{i-1})
    M-step  theta_i = argmax ELBO(theta, q_i)      =>  ELBO(theta_i, q_i) <= log p(x; theta_i)

Source: Dempster, Laird and Rubin (1977), JRSS B 39, 1-38; Neal and Hinton (1998); Bishop (2006), section 9.4.
Expected time: ten to twenty seconds on two cores; with ELBO_LAB_QUICK=1 two, with fewer
gradient steps and one figure.
The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import fit
from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form, fit_em
from elbo_lab.models import GaussianMixture
from elbo_lab.plots import (
    STYLE,
    figure_folder,
    new_figure,
    panels,
    plot_distance_to_maximum,
    plot_mixture,
    plot_staircase,
    save_figure,
    style_axes,
)

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
MAXIMUM = -1130.264  # nats over all 272 rows: two full-covariance components
DATA = load("faithful")
X = DATA.x
STEPS = 30 if QUICK else 600
# All rows in every step; the mean must travel many minutes, hence the large rate, and then settle.
GRADIENT = {
    "method": "gradient",
    "batch": len(X),
    "epochs": STEPS,
    "learning_rate": 0.3,
    "schedule": f"cosine:{STEPS}",
}
APART = 8.0  # minutes of waiting between the overall mean and each mean of the poor start

# %% The exact answer first: one component has a formula, and EM and gradient ascent find the same number
one = GaussianMixture(2, 1, "full")
formula = fit_closed_form(one, X).log_likelihood
em_one = fit_em(one, X).log_likelihood
gradient_one = fit("gaussian-mixture:full", DATA, latent=1, **GRADIENT)
print(f"one component: closed form {formula:.6f}, EM {em_one - formula:+.0e}")
print(f"  gradient ascent {gradient_one.final['log_likelihood'] - formula:+.0e} after {STEPS} steps")

# %% Two components from a poor start: equal clouds, side by side where the data are not
two = GaussianMixture(2, 2, "full")
spread = np.cov(X.T, bias=True)
means = X.mean(axis=0) + APART * np.array([[0, 1], [0, -1]])
covariances = two.covariance.stored(np.array([spread, spread]))
start = two.layout.pack({"logits": np.zeros(2), "mean": means, **covariances})
poor = fit_em(two, X, start=start)
plateau = next(row["iteration"] for row in poor.history if row["log_likelihood"] > formula + 10)
print(f"poor start: {plateau} iterations to gain 10 nats on one component, {len(poor.history) - 1} in all")

# %% The usual starts, and gradient ascent
usual = fit_em(two, X, restarts=3 if QUICK else 10)
gradient = fit("gaussian-mixture:full", DATA, latent=2, **GRADIENT)
unmoved = fit("gaussian-mixture:full", DATA, latent=2, **{**GRADIENT, "epochs": 1, "learning_rate": 1e-12})
same_start = fit_em(two, X, start=unmoved.theta)
print(f"EM, poor start   {poor.log_likelihood:.6f}")
print(f"EM, k-means++    {usual.log_likelihood:.6f}")
print(f"EM, random start {same_start.log_likelihood:.6f} after {len(same_start.history) - 1} passes")
print(f"gradient ascent  {gradient.final['log_likelihood']:.6f} after {STEPS} passes over the data")

# %% The figures
top = max(poor.log_likelihood, usual.log_likelihood)
figure = new_figure(7.4, STYLE["page_width"])
above, below = figure.subplots(2, 1, height_ratios=(4.2, 2.6))
title = "EM leaves the plateau: the steps alternate, and nothing falls"
plot_staircase(poor.history, above, first=plateau - 3, title=title)
for text in above.get_legend().get_texts():
    text.set_fontsize(STYLE["note_size"])
plot_distance_to_maximum(poor.history, below, top, title="The whole way from the poor start")
caption = (
    "The bound and log p(x) over the iterations of EM: each E-step lifts the bound to log p(x), each M-step "
    "lifts both, and nothing falls. Below, the distance to the maximum from the poor start."
)
print("figure:", save_figure(figure, OUT, "em-staircase", caption)[0])


def plot_two_mixtures():
    figure = new_figure(3.2, STYLE["page_width"])
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    names = ("eruption, minutes", "waiting, minutes")
    plot_mixture(X, two.described(start), left, names, "The poor start\n")
    plot_mixture(X, two.described(poor.theta), right, names, "The maximum\n")
    return figure


def plot_ways_up():
    figure, (ax,) = panels(1, 1, height=3.4, width=STYLE["page_width"])
    title = "From one start: EM never falls and needs fewer passes"
    style_axes(ax, title=title, xlabel="passes over the data", ylabel="nats below the maximum, total")
    ways = {"EM": (same_start, "#004488"), "gradient ascent (Adam)": (gradient, "#BB5566")}
    for name, (run, color) in ways.items():
        missing = np.array([top - row["log_likelihood"] for row in run.history])
        ax.plot(missing, color=color, linewidth=STYLE["line_width"])
        passes = np.flatnonzero(missing > 30.0)[-1]
        note = {"xytext": (6, 6), "textcoords": "offset points", "fontsize": STYLE["label_size"]}
        ax.annotate(name, (passes, missing[passes]), color=color, **note)
    swing = np.flatnonzero((missing[:-1] < 1.0) & (np.diff(missing) > 0))[3]
    note = {"xytext": (8, 32), "textcoords": "offset points", "fontsize": STYLE["note_size"]}
    words = "momentum carries theta past the\nmaximum: log p falls, then rises again"
    ax.annotate(words, (swing, missing[swing]), arrowprops={"arrowstyle": "->", "relpos": (0, 0)}, **note)
    ax.set(yscale="log", ylim=(1e-6, 2e3), xlim=(-3, 240))
    return figure


if not QUICK:
    caption = (
        "Two Gaussians on Old Faithful: the poor start lies across both clouds, the maximum has one "
        "component on each."
    )
    print("figure:", save_figure(plot_two_mixtures(), OUT, "em-mixture", caption)[0])
    caption = (
        "From the same start EM is at the maximum after 17 passes over the data and never falls; gradient "
        "ascent (Adam) takes many more, and momentum carries it past the maximum on the way."
    )
    print("figure:", save_figure(plot_ways_up(), OUT, "em-against-gradient", caption)[0])

# %% The claim
for history in (poor.history, usual.history):
    log_p = np.array([row["log_likelihood"] for row in history])
    after_e = np.array([row["elbo_after_e"] for row in history[1:]])
    after_m = np.array([row["elbo_after_m"] for row in history[1:]])
    rounding = 1e-12 * np.abs(log_p[:-1])
    assert np.allclose(after_e, log_p[:-1], rtol=1e-12, atol=0), "the E-step should close the gap"
    assert (after_m >= after_e - rounding).all(), "the M-step lowers no bound"
    assert (log_p[1:] >= after_m - rounding).all(), "and log p never falls"
assert np.isclose(em_one, formula, rtol=1e-12, atol=0), "one component: EM should be the closed form"
assert plateau > 20 > len(usual.history), "the poor start should be slow, the usual one not"
for value in (poor.log_likelihood, usual.log_likelihood):
    assert abs(value - MAXIMUM) < 1e-3, "both should reach the best maximum"
if not QUICK:
    starts = [run.history[0]["log_likelihood"] for run in (gradient, same_start)]
    assert np.isclose(*starts), "the race is fair"
    climbed = np.array([row["log_likelihood"] for row in gradient.history])
    assert np.diff(climbed).min() < -0.01, "Adam's momentum should lead it down on its way"
    assert len(same_start.history) < 0.5 * np.argmax(climbed > MAXIMUM - 1e-3), "EM should take fewer passes"
    assert abs(gradient.final["log_likelihood"] - MAXIMUM) < 1e-3, "gradient ascent should reach it too"
