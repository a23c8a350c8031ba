# %% [markdown]
# # REINFORCE against reparameterization
# %%
"""Two unbiased gradients of the ELBO, and how much one draw of each can be trusted.

Claim. With q near the posterior, reparameterization has less variance than the score function
(REINFORCE) on every continuous model here, by a factor of a hundred to sixty thousand. It is no law of
nature: with q at the exact posterior the leave-one-out score function has no variance at all.

Formula, with f = log p(x, z) - log q(z) and z = z(eta, eps):

    score function      d/d eta E_q[f] = E_q[f(z) d log q(z; eta)/d eta]       uses the size of f
    reparameterization  d/d eta E_q[f] = E_eps[d/d eta f(z(eta, eps))]         uses the slope of f

Source: Williams (1992), Machine Learning 8, 229-256; Kingma and Welling (2014), arXiv:1312.6114.
Expected time: ten to thirty seconds on two cores; with ELBO_LAB_QUICK=1 three, on two models.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import Exact, compare
from elbo_lab.plots import (
    STYLE,
    cloud_limits,
    figure_folder,
    new_figure,
    plot_cloud_panel,
    plot_target_variance,
    save_figure,
)
from elbo_lab.registry import find_estimators
from elbo_lab.study.experiments import gradient_cloud

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
DRAWS = 10
ROWS = 4 if QUICK else 32
REPEATS = 60 if QUICK else 1000
POINTS = 60 if QUICK else 400
EVERY_MODEL = ["gaussian-mle", "ppca", "factor-analysis", "deep-gaussian:fixed", "deep-gaussian:learned"]
MODELS = ["ppca", "deep-bernoulli"] if QUICK else [*EVERY_MODEL, "deep-bernoulli"]
NAMES = ["score-function", "score-function-loo", "reparameterization"]
ESTIMATORS = [*NAMES, Exact("grad-phi-elbo")]
BUDGET = {"draws": DRAWS, "repeats": REPEATS, "rows": ROWS, "seed": SEED}

# %% Near the posterior: every continuous model
near = compare(MODELS, estimators=ESTIMATORS, at="near", **BUDGET)

# %% The exact value first: one gradient of deep-bernoulli, a mean and a log-scale of the first digit
scene = near.scenes[-1]
answer = near.answers[-1]["grad-phi-elbo"]
layout = scene.posterior.layout
coordinates = [0, layout.size // 2]
exact = answer.value[coordinates]
coordinate_names = [layout.name_of(i) for i in coordinates]
print(f"exact gradient ({answer.rung}, error {np.linalg.norm(answer.error):.0e}):")
for name, value in zip(coordinate_names, exact, strict=True):
    print(f"  {name:<14} {value:+.5f} nats per unit")

# %% Then the estimates
clouds = gradient_cloud(scene, find_estimators(NAMES), DRAWS, SEED, coordinates, repeats=POINTS)
for name, points in clouds.items():
    print(f"  {name:<20} mean {points.mean(axis=0).round(4)}  sd {points.std(axis=0).round(4)}")
print(near.table(width=100))

# %% The reversed case: q is the exact posterior, so every f equals log p(x)
reversed_case = compare("ppca", estimators=ESTIMATORS, at="exact", **BUDGET)
print(reversed_case.table(width=100))

# %% The figure
figure = new_figure(6.7)
above, below = figure.subfigures(2, 1, height_ratios=(2.9, 3.8))
words = {"fontsize": STYLE["label_size"], "color": STYLE["ink"]}
limits = cloud_limits(list(clouds.values()), exact)
for index, (ax, name) in enumerate(zip(above.subplots(1, len(NAMES)), NAMES, strict=True)):
    plot_cloud_panel(clouds[name], exact, ax, name, limits)
    ax.tick_params(labelleft=index == 0)
title = f"{POINTS} single gradients of {DRAWS} draws each; the dashed lines meet at the exact one"
above.suptitle(title, **words)
above.supxlabel(f"deep-bernoulli, {scene.data}: gradient in {coordinate_names[0]}, nats per unit", **words)
above.supylabel(f"in {coordinate_names[1]}", **words)
turned = [{**row, "model": "ppca, q exact"} for row in reversed_case.rows]
ax = plot_target_variance(near.rows + turned, below.subplots(), legend_columns=2)
title = "Variance of the whole gradient; q near the posterior, in the last line at it"
ax.set_title(title, loc="left", **words)
print("figure:", save_figure(figure, OUT, "headline")[0])

# %% The claim
variance = {(row["model"], row["variant"], row["estimator"]): row["variance"] for row in near.rows}
for model, variant in dict.fromkeys((row["model"], row["variant"]) for row in near.rows):
    pathwise = variance[model, variant, "reparameterization"]
    ratio = variance[model, variant, "score-function"] / pathwise
    label = f"{model}:{variant}" if variant else model
    print(f"{label}: score-function has {ratio:.0f} times the variance")
    assert ratio > 1, "reparameterization should win near the posterior"
at_it = {row["estimator"]: row["variance"] for row in reversed_case.rows}
assert at_it["score-function-loo"] == 0.0, "at the posterior leave-one-out has no variance"
assert at_it["reparameterization"] > 0.0, "and reparameterization has"
