# %% [markdown]
# # Alternating against joint updates: surprisal, its upper bound, and the gap
# %%
"""Who closes the gap, and who learns: phi-steps and theta-steps seen one by one.

Claim. Steps of phi lower the upper bound U and leave the surprisal S where it is: the gap closes. A step of
theta lowers S. Many phi-steps per theta-step keep the gap small on the whole way; joint steps let it open
while theta runs ahead, and for the same number of gradients theta gets farther.

Formula, per datum, with the data x and a decoder of two latents (so that log p(x) is exact by quadrature):

    S = -log p(x; theta)                                surprisal: moves with theta only
    U = -ELBO(theta, phi) = S + KL(q || p(z | x))       its upper bound: moves with both
    alternating   5 steps of phi, 1 of theta            6 gradients
    joint         3 steps of phi and theta together     6 gradients

Source: Neal and Hinton (1998); Kingma and Welling (2014), arXiv:1312.6114.
Expected time: fifteen to thirty seconds on two cores; with ELBO_LAB_QUICK=1 three, with fewer rows and steps.
The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os
from itertools import pairwise

import numpy as np

from elbo_lab import fit
from elbo_lab.datasets import load
from elbo_lab.evaluation import surprisal_view
from elbo_lab.plots import (
    STYLE,
    figure_folder,
    new_figure,
    plot_surprisal_and_gap,
    save_figure,
    style_axes,
)

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
PHI_STEPS = 5  # before every theta-step
JOINT_STEPS = 3  # cost as many gradients as a cycle
ROWS = 8 if QUICK else 60
CYCLES = 5 if QUICK else 24
SHOWN = 5
DATA = load("digits:binary").rows(ROWS, seed=0)
COLORS = ("#117733", "#882255")  # of the two trainings
# Every step sees all rows (one minibatch is an epoch): between two measurements nothing else happens.
SETTINGS = {
    "latent": 2,
    "hidden": (50,),
    "batch": ROWS,
    "gap_rows": ROWS,
    "draws": 20,
    "learning_rate": 5e-3,
    "dtype": "float64",
    "seed": 0,
}

# %% Two trainings from the same start; after every phase S, U and the gap are measured exactly
alternating = fit("deep-bernoulli", DATA, phi_steps=PHI_STEPS, epochs=CYCLES, **SETTINGS)
joint_epochs = {"epochs": JOINT_STEPS * CYCLES, "evaluate_every": JOINT_STEPS}
joint = fit("deep-bernoulli", DATA, **joint_epochs, **SETTINGS)
runs = {"alternating": alternating, "joint": joint}

# %% The exact record, in nats: the first cycles, one phase after the other
print(f"{'epoch':>5} {'after':<6} {'S':>9} {'U':>9} {'gap':>8}   nats per datum")
rows = surprisal_view(alternating.history)
for row in rows[:9]:
    bounds = f"{row['surprisal']:>9.4f} {row['upper_bound']:>9.4f} {row['gap']:>8.4f}"
    print(f"{row['epoch']:>5} {row['phase']:<6} {bounds}")

# %% The same gradients spent jointly
gradients = {"alternating": 1, "joint": 2}  # of one step: one vector, or both
curves = {}
for name, run in runs.items():
    view = [row for row in surprisal_view(run.history) if row["phase"] != "phi"]
    columns = ("step", "surprisal", "upper_bound", "gap")
    curves[name] = np.array([[row[key] for key in columns] for row in view]).T
    curves[name][0] *= gradients[name]
    spent, surprisal, bound, gap = curves[name][:, -1]
    parts = run.final["gap"]
    print(f"{name:<12} {spent:.0f} gradients: S = {surprisal:.3f}, U = {bound:.3f}, gap {gap:.3f} nats")
    print(f"  of it: approximation {parts['approximation']:.4f}, amortisation {parts['amortisation']:.4f}")

# %% The figures
title = f"{PHI_STEPS} phi-steps, then one theta-step: VAE on {ROWS} binary digits"
figure = plot_surprisal_and_gap(alternating.history, epochs=(0, SHOWN), title=title)
figure.set_size_inches(STYLE["page_width"], 5.0)
caption = (
    "Surprisal and its upper bound, -ELBO, under alternating steps: phi-steps close the gap and leave the "
    "surprisal as it is, theta-steps move both."
)
print("figure:", save_figure(figure, OUT, "alternating-steps", caption)[0])
figure = new_figure(5.2, STYLE["page_width"])
above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
title = "Alternating or joint steps; solid: U, dashed: S, exact"
style_axes(above, title=title, ylabel="nats per datum")
xlabel = "gradients spent (one for phi or theta, over all rows)"
style_axes(below, title="Joint steps let the gap open", xlabel=xlabel, ylabel="gap U - S, nats")
for (name, (spent, surprisal, bound, gap)), color in zip(curves.items(), COLORS, strict=True):
    look = {"color": color, "linewidth": STYLE["line_width"]}
    above.plot(spent, bound, **look)
    above.plot(spent, surprisal, linestyle="--", **look)
    below.plot(spent, gap, marker="o", markersize=3, **look)
    shift = {"alternating": (8, 4), "joint": (-8, -26)}[name]
    middle = len(spent) // 2
    words = {"xytext": shift, "textcoords": "offset points", "fontsize": STYLE["label_size"]}
    above.annotate(name, (spent[middle], bound[middle]), color=color, **words)
below.set_ylim(bottom=0)
caption = (
    "The same number of gradients spent alternately or jointly: the bound, the exact surprisal, and the gap "
    "between them, which opens under joint steps."
)
print("figure:", save_figure(figure, OUT, "alternating-and-joint", caption)[0])

# %% The claim
for run in runs.values():
    for row in surprisal_view(run.history):
        assert row["gap"] >= 0, "the gap is a KL"
        assert row["upper_bound"] >= row["surprisal"], "U is an upper bound"
changes = {"phi": [], "theta": []}
for before, after in pairwise(rows):
    change = [after[key] - before[key] for key in ("surprisal", "upper_bound", "gap")]
    changes[after["phase"]].append(change)
by_phi = np.array(changes["phi"])
by_theta = np.array(changes["theta"])
assert np.abs(by_phi[:, 0]).max() < 1e-9, "S should stand still while phi moves"
assert np.allclose(by_phi[:, 1], by_phi[:, 2], rtol=0, atol=1e-9), "what U loses, the gap loses"
assert by_phi[:, 2].mean() < 0, "phi-steps should close the gap"
assert by_theta[:, 0].mean() < 0, "theta-steps should lower S"
if not QUICK:
    turns = curves["alternating"]
    together = curves["joint"]
    assert together[3].max() > 3 * turns[3, 2:].max(), "jointly it should open"
    assert turns[3, 2:].max() < together[3, 2:].max(), "alternately the gap should stay smaller"
    assert together[1, -1] < turns[1, -1], "and theta should get less far"
