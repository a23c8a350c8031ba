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

One draw costs one evaluation of f with each of the three, and its slope too with reparameterization.
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
    marker_keywords,
    new_figure,
    plot_cloud_panel,
    save_figure,
    style_axes,
)
from elbo_lab.registry import display_name, find_estimators
from elbo_lab.study.experiments import gradient_cloud

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
DRAWS = 10
ROWS = 4 if QUICK else 32
REPEATS = 60 if QUICK else 1000
POINTS = 60 if QUICK else 400
MODELS = ["gaussian-mle", "ppca", "factor-analysis", "deep-gaussian:fixed", "deep-gaussian:learned"]
MODELS += ["deep-bernoulli"]
SHOWN = ["ppca", "deep-bernoulli"] if QUICK else MODELS
NAMES = ["score-function", "score-function-loo", "reparameterization"]
ESTIMATORS = [*NAMES, Exact("grad-phi-elbo")]
COLUMNS = ["bias", "verdict", "max|z|", "variance", "interval", "snr"]
BUDGET = {"draws": DRAWS, "repeats": REPEATS, "rows": ROWS, "seed": SEED}

# %% Near the posterior: every continuous model
near = compare(SHOWN, estimators=ESTIMATORS, at="near", **BUDGET)

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
print(near.table(width=100, columns=COLUMNS))

# %% The reversed case: q is the exact posterior, so every f equals log p(x)
reversed_case = compare("ppca", estimators=ESTIMATORS, at="exact", **BUDGET)
print(reversed_case.table(width=100, columns=COLUMNS))


# %% The variances as multiples of that of reparameterization, and the same multiples in theory
def multiples(rows, key):
    """Return {model: {estimator: multiple}} of the values under `key`."""
    values = {}
    for row in rows:
        label = f"{row['model']}:{row['variant']}" if row["variant"] else row["model"]
        values.setdefault(label, {})[row["estimator"]] = row[key]
    return {
        label: {name: found[name] / found["reparameterization"] for name in NAMES}
        for label, found in values.items()
    }


measured = multiples(near.rows, "variance")
known = multiples(near.rows, "variance_exact")
at_posterior = multiples(reversed_case.rows, "variance")["ppca"]
for label, found in measured.items():
    print(f"{display_name(label)}: REINFORCE has {found['score-function']:.0f} times the variance")

# %% The figure: clouds of single gradients
figure = new_figure(7.0, STYLE["page_width"])
above, below = figure.subfigures(2, 1, height_ratios=(2.9, 4.3))
words = {"fontsize": STYLE["label_size"], "color": STYLE["ink"]}
limits = cloud_limits(list(clouds.values()), exact)
for index, (ax, name) in enumerate(zip(above.subplots(1, 3), NAMES, strict=True)):
    plot_cloud_panel(clouds[name], exact, ax, name, limits)
    ax.tick_params(labelleft=index == 0)
title = f"VAE on digits: {POINTS} gradients, each from {DRAWS} draws; dashed: exact"
above.suptitle(title, fontsize=STYLE["title_size"], color=STYLE["ink"])
above.supxlabel("derivative in a mean of q, nats per unit", **words)
above.supylabel("in its log sd, nats per unit", **words)


# %% And the variances; a variance of zero has no place on a logarithmic axis, and stands at its left end
LEFT = 0.02


def draw_multiples(ax, y, found):
    for name in NAMES:
        look = {**marker_keywords(name), "linestyle": "none", "markersize": 8}
        if found[name] > 0:
            ax.plot(found[name], y, label=display_name(name), zorder=3, **look)
        else:
            ax.plot(LEFT, y, zorder=3, **look)
            ax.text(1.6 * LEFT, y, "variance 0", va="center", **words)
    worst = found["score-function"]
    place = {"xytext": (9, 0), "textcoords": "offset points", "va": "center"}
    ax.annotate(f"× {float(f'{worst:.2g}'):,.0f}", (worst, y), **place, **words)


near_ax, at_ax = below.subplots(2, 1, sharex=True, height_ratios=(max(len(measured), 3), 1))
title = "Noise of all derivatives, q near the posterior"
style_axes(near_ax, title=title, grid="x")
for y, (label, found) in enumerate(measured.items()):
    draw_multiples(near_ax, y, found)
    tick = {"color": "black", "linewidth": 1.2, "linestyle": "--", "zorder": 2, "label": "exact"}
    near_ax.vlines(list(known[label].values()), y - 0.4, y + 0.4, **tick)
near_ax.set_yticks(range(len(measured)), [display_name(label) for label in measured])
near_ax.set_ylim(len(measured) - 0.5, -0.5)
title = "q at the posterior: leave-one-out has no noise"
xlabel = "variance, as a multiple of that of reparameterization, equal draws"
style_axes(at_ax, title=title, xlabel=xlabel, grid="x")
draw_multiples(at_ax, 0, at_posterior)
at_ax.set_yticks([0], [display_name("ppca")])
at_ax.set(xscale="log", xlim=(LEFT / 2, 1.6e6), ylim=(0.6, -0.6))
at_ax.set_xticks([1, 10, 100, 1e3, 1e4, 1e5], ["1", "10", "100", "1,000", "$10^4$", "$10^5$"])
for ax in (near_ax, at_ax):
    ax.tick_params(axis="y", length=0)
    ax.minorticks_off()
handles, labels = near_ax.get_legend_handles_labels()
handles = list(dict(zip(labels, handles, strict=True)).values())
below.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=STYLE["tick_size"])
caption = (
    "One gradient of the ELBO, estimated many times by three unbiased estimators: the clouds of the score "
    "function (REINFORCE) are far wider than that of reparameterization. Below, the ratio of variances on "
    "several models, and the exception at the exact posterior."
)
print("figure:", save_figure(figure, OUT, "headline", caption)[0])

# %% The claim
for label, found in measured.items():
    worst = found["score-function"]
    assert 90 < worst < 7e4, "a factor of a hundred to sixty thousand"
    assert worst > found["score-function-loo"] > 1, "leave-one-out in between"
    for name, factor in found.items():
        assert abs(factor / known[label][name] - 1) < (1.0 if QUICK else 0.25), "as the exact variances say"
assert at_posterior["score-function-loo"] == 0.0, "at the posterior leave-one-out has no variance"
assert at_posterior["score-function"] > 1, "REINFORCE has as much as ever"
