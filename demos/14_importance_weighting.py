# %% [markdown]
# # More draws, worse gradients: the signal-to-noise ratio of importance-weighted bounds
# %%
"""A tighter bound is not a better gradient; which estimator is used decides.

Claim. The more draws stand in an importance-weighted bound, the nearer it comes to log p(x), and the less it
cares about q. The plain pathwise gradient in phi drowns: its signal-to-noise ratio falls as M^(-1/2), and so
does VIMCO's; the plain score function falls even faster. The doubly reparameterised gradient (DReG) and OVIS~
at gamma = 0 estimate the same gradient without bias, and their ratio grows as M^(1/2).

Formula, with v_k = w_k / sum_l w_l and h_k the score of q:

    SNR                        |E g| / sqrt(trace Var g)
    iwae-reparameterization    sum_k v_k   d/d eta log w(z_k(eta); eta)
    dreg                       sum_k v_k^2 d log w(z_k)/dz_k dz_k/d eta
    vimco, ovis-tilde-0        sum_k s_k h_k,  s_k = log Zhat - log Zhat_k - v_k  or  -log(1 - v_k) - v_k

Source: Rainforth et al. (2018), Tighter Variational Bounds are Not Necessarily Better, ICML; Tucker et al.
(2019), Doubly Reparameterized Gradient Estimators, ICLR; Mnih and Rezende (2016); Lievin et al. (2020).
Expected time: ten seconds on two cores; with ELBO_LAB_QUICK=1 one, with fewer draws and repeats.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import Exact
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    estimator_style,
    figure_folder,
    legend_below,
    marker_keywords,
    new_figure,
    save_figure,
    style_axes,
)
from elbo_lab.processes import Workers
from elbo_lab.registry import display_name, find_estimators
from elbo_lab.study.experiments import linear_gaussian_scene, log_slope, signal_to_noise

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
DRAWS = (4, 16, 64) if QUICK else (2, 4, 8, 16, 32, 64, 128, 256)
REPEATS = 200 if QUICK else 1000
SLOPES = {  # and where they come from
    "iwae-reparameterization": -0.5,  # Rainforth et al., theorem 1
    "piwae-2-phi": -0.5,  # two groups: another factor, the same rate
    "iwae-score-function": -1.5,  # signal 1/M, noise sqrt(M) |log p(x)|
    "vimco": -0.5,  # the term -v_k h_k has no baseline
    "ovis-tilde-0": 0.5,  # signal of a draw about v_k^2 / 2
    "dreg": 0.5,  # noise of sum_k v_k^2 (...) about M^(-3/2)
}
TOLERANCE = 0.25 if QUICK else 0.1

# %% The exact answers first: the gap of the bound falls as 1/M, and so does its gradient
scene = linear_gaussian_scene(SEED)
signal = [np.linalg.norm(Exact("grad-phi-iwae").answer(scene.problem, k).value) for k in DRAWS]
log_p = scene.model.log_evidence(scene.theta, scene.x).mean()
bounds = np.array([Exact("iwae").answer(scene.problem, k).value[0] for k in (1, *DRAWS)])
print(f"log p(x) = {log_p:.5f} nats, ELBO {bounds[0]:.5f}")
for k, bound, size in zip(DRAWS, bounds[1:], signal, strict=True):
    print(f"M = {k:>3}: bound {bound:.5f} nats, |exact gradient| {size:.5f} per unit, {k * size:.3f} / M")

# %% Then the estimates
records = signal_to_noise(scene, find_estimators(list(SLOPES)), SEED, Workers(), REPEATS, DRAWS)
for name, record in records.items():
    ratios = "  ".join(f"{snr:.3f}" for snr in record["snr"])
    print(f"{name:<24} {ratios}")

# %% The figure: above the bound, below its gradients, over the same M
counts = (1, *DRAWS)
slopes = {name: log_slope(record, first=4 if QUICK else 16) for name, record in records.items()}
figure = new_figure(7.8, STYLE["page_width"])
above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 4.4))
title = "Tighter: the exact bound of M draws (M = 1: ELBO)"
style_axes(above, title=title, ylabel="nats per datum")
above.semilogx(counts, bounds, "o-", color=estimator_style("iwae").color, base=2)
above.axhline(log_p, **EXACT_LINE)
note = {"textcoords": "offset points", "fontsize": STYLE["note_size"]}
above.annotate("log p(x), exact", (1, log_p), xytext=(0, -12), **note)
title = "Not always better: signal to noise of six unbiased gradients"
ylabel = "|exact gradient| / standard deviation"
style_axes(below, title=title, xlabel="draws M, each one evaluation of the model", ylabel=ylabel)
for name in sorted(records, key=lambda name: -records[name]["snr"][-1]):
    label = f"{display_name(name)}: {slopes[name]:+.2f} ({SLOPES[name]:+.1f})"
    color = marker_keywords(name)["color"]
    below.fill_between(DRAWS, records[name]["low"], records[name]["high"], color=color, alpha=0.2, lw=0)
    below.loglog(DRAWS, records[name]["snr"], label=label, **marker_keywords(name))
below.set_xticks(counts, [str(k) for k in counts])
below.minorticks_off()
legend = legend_below(below, columns=1)
legend.set_title("slope measured (in theory)", {"size": STYLE["tick_size"]})
legend.set_alignment("left")
caption = (
    "More draws make the bound tighter, but the signal-to-noise ratio of the plain pathwise gradient and of "
    "VIMCO falls, while those of DReG and OVIS~ grow."
)
print("figure:", save_figure(figure, OUT, "signal-to-noise", caption)[0])

# %% The claim
assert (np.diff(bounds) > 0).all(), "more draws, a tighter bound"
assert bounds[-1] < log_p, "that stays a lower bound"
scaled = np.array(DRAWS) * signal
assert abs(scaled[-1] / scaled[-2] - 1.0) < 0.05, "the gradient falls as 1/M"
for name, expected in SLOPES.items():
    print(f"{name:<24} slope {slopes[name]:+.2f}, in theory {expected:+.1f}")
    assert abs(slopes[name] - expected) < TOLERANCE, name
