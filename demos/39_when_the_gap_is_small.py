# %% [markdown]
# # When the gap is small, theta-steps raise log p
# %%
"""A theta-step that gains more than the gap must raise log p; one that gains less may lower it.

Claim. A step of theta that raises the ELBO by `gain`, where the gap before it is `gap`, changes log p by at
least gain - gap. So it raises log p whenever gain > gap, and lowers it by less than the gap otherwise. Among
random steps of probabilistic PCA none breaks the law, and some with a large gap do lower log p.

Formula, for any theta', with the same q before and after:

    log p(theta') >= ELBO(theta', q)
                   = ELBO(theta, q) + gain
                   = log p(theta) - gap + gain

Source: Neal and Hinton (1998); Wainwright and Jordan (2008), section 6.2, on EM and its variational form.
Expected time: one second. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import exact
from elbo_lab.estimators import Problem
from elbo_lab.models import PPCA
from elbo_lab.plots import STYLE, figure_folder, new_figure, save_figure, style_axes
from elbo_lab.posteriors import FreePosterior

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
MODEL = PPCA(3, 1)
FAMILY = MODEL.family
X = np.array([[1.2, 0.3, -0.8]])
TRIALS = 300 if QUICK else 1200
RED, BLUE, GREY = "#BB5566", "#004488", "#6b6b6b"


def measured(theta, eta):
    """Return the exact log p, ELBO and gradient of the ELBO in theta, in nats."""
    problem = Problem(MODEL, FreePosterior(FAMILY, 1), theta, eta.ravel(), X)
    log_p, elbo = exact.log_evidence(problem).value, exact.elbo(problem).value
    return log_p[0], elbo[0], exact.gradients(problem).theta_elbo.value


def step(theta, eta, direction, size):
    """Return gap, gain of the ELBO and change of log p of one step of theta, q held."""
    log_p, elbo, _ = measured(theta, eta)
    log_p_after, elbo_after, _ = measured(theta + size * direction, eta)
    return log_p - elbo, elbo_after - elbo, log_p_after - log_p


# %% The running example: steps of size 0.2 along the gradient in W, as in the lesson on log p
theta = MODEL.layout.pack({"W": np.array([[1.0], [0.5], [-1.0]]), "b": np.zeros(3), "log_sigma": 0.0})
in_w = MODEL.layout.pack({"W": np.ones((3, 1)), "b": np.zeros(3), "log_sigma": 0.0})
example = {}
for name, mean, sd in (("q too narrow", 0.2, 0.1), ("after a phi-step", 0.78, 0.6446)):
    eta = np.array([[mean, np.log(sd)]])
    gap, gain, change = example[name] = step(theta, eta, in_w * measured(theta, eta)[2], 0.2)
    print(f"{name:<17} gap {gap:.4f}  gain {gain:.4f}  change of log p {change:+.4f} >= {gain - gap:+.4f}")

# %% Many models, many q, one step of each along its gradient, no longer than 0.2
rng = np.random.default_rng(0)
trials = []
for _ in range(TRIALS):
    values = {"W": rng.standard_normal((3, 1)), "b": 0.3 * rng.standard_normal(3)}
    theta = MODEL.layout.pack(values | {"log_sigma": 0.3 * rng.standard_normal()})
    off = 10 ** rng.uniform(-2.0, 0.3) * rng.standard_normal((1, 2))
    eta = MODEL.posterior_eta(theta, X) + off
    gradient = measured(theta, eta)[2]
    trials.append(step(theta, eta, gradient / max(1.0, np.linalg.norm(gradient)), 0.2))
gap, gain, change = np.array(trials).T
safe = gain > gap
fell = change < 0
print(f"{TRIALS} theta-steps; the ELBO rose in {(gain > 0).sum()}")
print(f"gain > gap: {safe.sum()}, log p fell in {(safe & fell).sum()}")
least = gap[fell].min()
print(f"gain < gap: {(~safe).sum()}, log p fell in {(~safe & fell).sum()}, smallest gap there {least:.3f}")

# %% The figure: what the bound gained beyond the gap, and what log p did
figure = new_figure(5.0, 5.4)
title = "A gain above the gap reaches log p"
xlabel = "gain of the ELBO minus the gap before, nats"
ax = style_axes(figure.subplots(), title=title, xlabel=xlabel, ylabel="change of log p, nats")
ax.axhspan(-1.0, 0.0, color=GREY, alpha=0.12, lw=0)
ax.axvline(0.0, color=GREY, lw=0.8)
ax.plot([-3.0, 1.5], [-3.0, 1.5], color=STYLE["ink"], lw=1.2, label="gain - gap: nothing lies below it")
groups = {"gain above the gap": (safe, BLUE), "gain below the gap": (~safe & ~fell, GREY)}
groups["the same, and log p fell"] = (~safe & fell, RED)
for label, (chosen, color) in groups.items():
    ax.plot((gain - gap)[chosen], change[chosen], "o", color=color, ms=3, mew=0, alpha=0.7, label=label)
ax.set(xlim=(-3.0, 1.2), ylim=(-0.6, 1.8))
ax.text(1.15, -0.03, "log p falls", ha="right", va="top", fontsize=STYLE["label_size"], color=STYLE["ink"])
figure.legend(frameon=False, fontsize=STYLE["label_size"], loc="outside lower left", ncols=1)
caption = (
    "Random steps of theta in probabilistic PCA. Where the ELBO gained more than the gap, log p rose each "
    "time; where it gained less, log p fell in some. No dot lies below the line of gain minus gap."
)
print("figure:", save_figure(figure, OUT, "when-the-gap-is-small", caption)[0])

# %% The claim
assert (change - (gain - gap) > -1e-9).all(), "log p changes by at least gain - gap"
assert not (safe & fell).any(), "a gain above the gap raises log p"
assert (~safe & fell).sum() > TRIALS // 100, "a smaller one may lower it"
assert (-change[fell] < gap[fell]).all(), "by less than the gap"
assert example["q too narrow"][1] > 0 > example["q too narrow"][2], "as in the running example"
assert example["after a phi-step"][2] > 0, "after a phi-step the same size of step raises it"
