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
from elbo_lab.plots import STYLE, ellipse, figure_folder, legend_inside, panels, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
HOLDOUT = 0.2
ROWS = 4 if QUICK else 60
EPOCHS = (1, 3) if QUICK else (10, 40, 160)
DATA = load("digits:binary").rows(100, SEED) if QUICK else load("digits:binary")
TRAIN, UNSEEN = DATA.split(HOLDOUT)
PARTS = {"trained on": TRAIN.rows(ROWS, SEED).x, "unseen": UNSEEN.rows(ROWS, SEED).x}
SETTINGS = {
    "latent": 2,
    "hidden": (64,),
    "batch": 100,
    "learning_rate": 3e-3,
    "holdout": HOLDOUT,
    "seed": SEED,
}
GREY = "#6b6b6b"  # digits trained on
SAND = "#997700"  # unseen digits
RED = "#BB5566"  # amortisation, the encoder
BLUE = "#004488"  # approximation, the best q
GREEN = "#117733"  # full covariance

# %% Train for longer and longer; split the gap of every datum (log p(x) and both ELBOs by quadrature)
gaps = {}
for epochs in EPOCHS:
    vae = fit("deep-bernoulli", DATA, epochs=epochs, **SETTINGS)
    for name, x in PARTS.items():
        rng = np.random.default_rng(SEED)
        gap = split_gap(vae.problem(x), rng)
        gaps[epochs, name] = gap
        sizes = f"{gap.approximation.mean():.3f} and {gap.shortfall.mean():.3f}"
        print(f"{epochs:>3} epochs, {name}: log p {gap.log_p.mean():.2f}, gaps {sizes}")
last = gaps[EPOCHS[-1], "unseen"]

# %% A richer family on unseen digits: full covariance, fitted to each datum
model = vae.model
theta = vae.theta.astype(float)
x = PARTS["unseen"]
eta = vae.posterior.eta(vae.phi, x).astype(float)
best = fit_eta(model, theta, x, eta, rng, 200)
family = FullGaussian(2)
fullest = fit_eta(model, theta, x, family.from_diagonal(best), rng, 200, family)
full_elbo = exact.expected_log_joint(model, theta, x, fullest, family)[0] + family.entropy(fullest)
full_gap = last.log_p - np.maximum(full_elbo, last.best_elbo)
print(f"unseen, full covariance per datum: gap {full_gap.mean():.3f} nats")


# %% The figure: the means, with 95 % intervals of the whole gap
def interval(values):
    return 1.96 * values.std(ddof=1) / np.sqrt(len(values))


figure, axes = panels(2, 2, height=6.8, width=STYLE["page_width"])
xlabel = "epochs of training"
for ax, name in zip(axes[:2], PARTS, strict=True):
    title = f"{ROWS} digits {name}"
    style_axes(ax, title=title, xlabel=xlabel, ylabel="gap of the encoder, nats per datum", grid="y")
    found = [gaps[epochs, name] for epochs in EPOCHS]
    bars = [str(epochs) for epochs in EPOCHS]
    approximation = [gap.approximation.mean() for gap in found]
    amortisation = [gap.shortfall.mean() for gap in found]
    ax.bar(bars, approximation, color=BLUE, label="approximation")
    error = {"yerr": [interval(gap.log_p - gap.elbo) for gap in found], "capsize": 4}
    ax.bar(bars, amortisation, bottom=approximation, color=RED, label="amortisation", **error)
fitted = {"best q": (last.approximation, BLUE), "full cov.": (full_gap, GREEN)}
for name, (gap, color) in fitted.items():
    axes[1].bar(name, gap.mean(), color=color, yerr=interval(gap), capsize=4)
    axes[1].text(name, gap.mean() + interval(gap) + 0.03, f"{gap.mean():.3f}", ha="center", fontsize=8)
title = f"{ROWS} digits unseen"
xlabel = "epochs; then q fitted to each"
style_axes(axes[1], title=title, xlabel=xlabel, ylabel="gap, nats per datum", grid="y")
highest = max(ax.get_ylim()[1] for ax in axes[:2])
for ax in axes[:2]:
    ax.set_ylim(0, highest)

# %% The data one by one
title = f"Digit by digit, after {EPOCHS[-1]} epochs"
style_axes(axes[2], title=title, xlabel="approximation, nats", ylabel="amortisation, nats")
for name, marker, color in (("trained on", "o", GREY), ("unseen", "^", SAND)):
    gap = gaps[EPOCHS[-1], name]
    approximation = np.maximum(gap.approximation, 1e-4)
    amortisation = np.maximum(gap.shortfall, 1e-4)
    axes[2].loglog(approximation, amortisation, marker, color=color, ms=4, alpha=0.7, label=name)
axes[2].loglog([5e-3, 3.0], [5e-3, 3.0], ":", color="gray", label="equal")
axes[2].set(xlim=(5e-3, 5.0), ylim=(5e-3, 30.0))

# %% The posterior of one digit on the latent plane
n = np.argsort(last.shortfall)[-3]
encoder_mean, encoder_log_sd = model.family.split(eta[n])
best_mean, best_log_sd = model.family.split(best[n])
means = np.array([encoder_mean, best_mean])
reach = 4 * np.exp([encoder_log_sd, best_log_sd])
low = (means - reach).min(axis=(0, 1))
high = (means + reach).max(axis=(0, 1))
line = np.linspace(low, high, 121)
grid = np.stack(np.meshgrid(line, line), axis=-1)
log_joint = model.log_joint(theta, x[[n]], grid.reshape(-1, 1, 2))[:, 0].reshape(grid.shape[:2])
style_axes(axes[3], title="One unseen digit; ellipses: 2 sd", xlabel="$z_1$", ylabel="$z_2$")
axes[3].contourf(grid[..., 0], grid[..., 1], np.exp(log_joint - last.log_p[n]), 8, cmap="Greys")
encoder_covariance = np.diag(np.exp(2 * encoder_log_sd))
best_covariance = np.diag(np.exp(2 * best_log_sd))
full_mean, log_diagonal, below_diagonal = family.split(fullest[n])
factor = np.array([[np.exp(log_diagonal[0]), 0.0], [below_diagonal[0], np.exp(log_diagonal[1])]])
axes[3].plot(*ellipse(encoder_mean, encoder_covariance, 2), color=RED, label="encoder")
axes[3].plot(*ellipse(best_mean, best_covariance, 2), color=BLUE, label="best diagonal q")
axes[3].plot(*ellipse(full_mean, factor @ factor.T, 2), color=GREEN, label="full covariance")
for ax, place in zip(axes, ("upper left", "upper left", "upper left", "upper right"), strict=True):
    legend_inside(ax, place)
caption = (
    "The gap of a VAE in two parts, on digits seen in training and unseen ones: most of what the bound "
    "misses is due to the shared encoder (amortisation), little to the Gaussian family (approximation)."
)
print("figure:", save_figure(figure, OUT, "two-inference-gaps", caption)[0])

# %% The claim
for gap in gaps.values():
    assert (gap.shortfall >= 0).all(), "no part is negative"
    assert (gap.approximation > -1e-6).all(), "up to the error of the quadrature"
    assert np.allclose(gap.approximation + gap.shortfall, gap.log_p - gap.elbo, rtol=0, atol=1e-9), "a sum"
assert full_gap.mean() <= last.approximation.mean(), "a richer family is nowhere worse"
if not QUICK:
    first = gaps[EPOCHS[0], "unseen"]
    seen = gaps[EPOCHS[-1], "trained on"]
    assert last.shortfall.mean() > 3 * last.approximation.mean(), "on unseen digits most is the encoder's"
    assert last.shortfall.mean() > 1.5 * seen.shortfall.mean(), "more than on those it was trained on"
    won = last.approximation - full_gap
    assert won.mean() > interval(won), "a full covariance wins more than its error"
    assert last.shortfall.mean() > 2 * first.shortfall.mean(), "and it grew"
