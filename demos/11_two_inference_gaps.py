# %% [markdown]
# # Two inference gaps
# %%
"""Why the bound of a VAE lies below log p(x): the family of q, and the encoder that has to choose from it.

Claim. The gap of an encoder is the sum of two: what no member of the family can reach (approximation), and
what the encoder loses against the best member for each datum (amortisation). On unseen digits the gap grows
as training goes on, and most of it is the encoder's: a q fitted to each datum by itself wins it back, and the
model stays as it is. A full covariance wins a little more.

Formula, with q the encoder's and q* the member of the family with the greatest ELBO, datum by datum:

    log p(x) - ELBO(q)  =  [log p(x) - ELBO(q*)]  +  [ELBO(q*) - ELBO(q)]
                             approximation             amortisation

Source: Cremer, Li and Duvenaud (2018), Inference Suboptimality in Variational Autoencoders, section 3.
Expected time: half a minute on two cores; with ELBO_LAB_QUICK=1 two, with little training.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import exact, fit
from elbo_lab.datasets import load
from elbo_lab.distributions import FullGaussian
from elbo_lab.evaluation import split_gap
from elbo_lab.optimise import fit_eta
from elbo_lab.plots import STYLE, figure_folder, new_figure, save_figure
from elbo_lab.plots.mixture import ellipse
from elbo_lab.plots.style import style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED, HOLDOUT, ROWS = 0, 0.2, 4 if QUICK else 60
EPOCHS = (1, 3) if QUICK else (10, 40, 160)
DATA = load("digits:binary").rows(100, SEED) if QUICK else load("digits:binary")
PARTS = dict(
    zip(("trained on", "unseen"), (part.rows(ROWS, SEED).x for part in DATA.split(HOLDOUT)), strict=True)
)
SETTINGS = {
    "latent": 2,
    "hidden": (64,),
    "batch": 100,
    "learning_rate": 3e-3,
    "holdout": HOLDOUT,
    "seed": SEED,
}
COLORS = {"amortisation": "#BB5566", "approximation": "#004488"}

# %% Train for longer and longer; split the gap of every datum (log p(x) and both ELBOs by quadrature)
gaps = {}
for epochs in EPOCHS:
    vae = fit("deep-bernoulli", DATA, epochs=epochs, **SETTINGS)
    for name, x in PARTS.items():
        rng = np.random.default_rng(SEED)
        gaps[epochs, name] = gap = split_gap(vae.problem(x), rng)
        means = [part.mean() for part in (gap.log_p, gap.approximation, gap.amortisation)]
        print("{:>3} epochs, {}: log p {:.2f}, gaps {:.3f} and {:.3f}".format(epochs, name, *means))

# %% A richer family on unseen digits: full covariance, fitted to each datum
model, theta, x = vae.model, vae.theta.astype(float), PARTS["unseen"]
eta = vae.posterior.eta(vae.phi, x).astype(float)
best = fit_eta(model, theta, x, eta, rng, 200)
family = FullGaussian(2)
fullest = fit_eta(model, theta, x, family.from_diagonal(best), rng, 200, family)
last = gaps[EPOCHS[-1], "unseen"]
full_elbo = exact.expected_log_joint(model, theta, x, fullest, family)[0] + family.entropy(fullest)
full_gap = last.log_p - np.maximum(full_elbo, last.best_elbo)
print(f"unseen, full covariance per datum: gap {full_gap.mean():.3f} nats")

# %% The figure: means, the data one by one, and a posterior on the latent plane
axes = (figure := new_figure(7.0)).subplots(2, 2).ravel()
highest = 1.1 * max((gap.log_p - gap.elbo).mean() for gap in gaps.values())
for ax, name in zip(axes, PARTS, strict=False):
    style_axes(ax, title=f"Digits {name}", xlabel="epochs", ylabel="gap, nats per datum").set_ylim(0, highest)
    second, first = ([getattr(gaps[e, name], part).mean() for e in EPOCHS] for part in COLORS)
    ax.bar([str(e) for e in EPOCHS], first, color=COLORS["approximation"], label="approximation")
    ax.bar([str(e) for e in EPOCHS], second, bottom=first, color=COLORS["amortisation"], label="amortisation")
title = f"{ROWS} digits each, {EPOCHS[-1]} epochs"
style_axes(axes[2], title=title, xlabel="approximation, nats", ylabel="amortisation, nats")
for (name, marker), color in zip((("trained on", "o"), ("unseen", "^")), ("#6b6b6b", "#882255"), strict=True):
    gap = gaps[EPOCHS[-1], name]
    pair = np.maximum([gap.approximation, gap.amortisation], 1e-4)
    axes[2].loglog(*pair, marker, color=color, ms=4, alpha=0.7, label=name)
axes[2].loglog([1e-3, 3.0], [1e-3, 3.0], ":", color="gray", label="equal")
n = np.argsort(last.amortisation)[-3]
family_means = [model.family.split(part[n]) for part in (eta, best)]
ends = np.array([[mean - 4 * np.exp(log_sd), mean + 4 * np.exp(log_sd)] for mean, log_sd in family_means])
low, high = ends.min(axis=(0, 1)), ends.max(axis=(0, 1))
grid = np.stack(np.meshgrid(*np.linspace(low, high, 121).T), axis=-1)
log_post = (
    model.log_joint(theta, x[[n]], grid.reshape(-1, 1, 2))[:, 0].reshape(grid.shape[:2]) - last.log_p[n]
)
style_axes(axes[3], title="The posterior of one unseen digit", xlabel="z_1", ylabel="z_2")
axes[3].contourf(grid[..., 0], grid[..., 1], np.exp(log_post), 8, cmap="Greys")
for (mean, log_sd), word, color in zip(family_means, ("encoder", "best q"), COLORS.values(), strict=True):
    axes[3].plot(*ellipse(mean, np.diag(np.exp(2 * log_sd)), 2), color=color, label=word)
mean, log_diagonal, below = family.split(fullest[n])
factor = np.array([[np.exp(log_diagonal[0]), 0.0], [below[0], np.exp(log_diagonal[1])]])
axes[3].plot(*ellipse(mean, factor @ factor.T, 2), color="#117733", label="full covariance")
for ax in axes:
    ax.legend(frameon=False, fontsize=STYLE["note_size"])
print("figure:", save_figure(figure, OUT, "two-inference-gaps")[0])

# %% The claim
for gap in gaps.values():
    assert (gap.amortisation >= 0).all() and (gap.approximation > -1e-6).all(), "no part is negative"
    assert np.allclose(gap.approximation + gap.amortisation, gap.log_p - gap.elbo, rtol=0, atol=1e-9), "a sum"
assert full_gap.mean() <= last.approximation.mean(), "a richer family is nowhere worse"
if not QUICK:
    first, seen = gaps[EPOCHS[0], "unseen"], gaps[EPOCHS[-1], "trained on"]
    assert last.amortisation.mean() > 3 * last.approximation.mean(), "on unseen digits most is the encoder's"
    assert last.amortisation.mean() > 1.5 * seen.amortisation.mean(), "more than on those it was trained on"
    assert last.amortisation.mean() > 2 * first.amortisation.mean(), "and it grew"
