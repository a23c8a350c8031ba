# %% [markdown]
# # A VAE on digits, every gradient by hand
# %%
"""Two latent numbers per image, a curved decoder, and no automatic differentiation anywhere.

Claim. A VAE with two latents and a learned variance per pixel gives unseen digits a higher bound on log p(x)
than probabilistic PCA gives exact log p(x) with any number of latents up to 40; and its plane, which has
never seen a label, keeps the ten classes apart better than the plane of the first two principal components.
More than half of the lead over two-latent PPCA is the variance per pixel, which factor analysis has too.

Formula:

    ELBO = E_q[log N(x; mu(z), diag sigma^2(z))] - KL(q(z | x) || N(0, I))  <=  log p(x)
    z = m(x) + s(x) eps     d/d phi by the chain rule through z, backward written out layer by layer

Source: Kingma and Welling (2014), arXiv:1312.6114, eq. 10; Tipping and Bishop (1999) for PPCA.
Expected time: about half a minute on two cores; with ELBO_LAB_QUICK=1 three, of a small net.
The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import fit
from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form, fit_em
from elbo_lab.evaluation import held_out_log_likelihood, principal_scores
from elbo_lab.models import PPCA, FactorAnalysis
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    figure_folder,
    latent_grid,
    new_figure,
    panels,
    plot_images,
    plot_latent_plane,
    plot_learning_curves,
    plot_manifold,
    plot_reconstructions,
    save_figure,
    style_axes,
)
from elbo_lab.threads import single_threaded_blas

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
HOLDOUT = 0.2
GRID = 5 if QUICK else 13
DATA = load("digits:dequantised").rows(60, seed=0) if QUICK else load("digits:dequantised")
TRAIN, UNSEEN = DATA.split(HOLDOUT)  # the same rows for every seed; 1437 and 360
LATENTS = (1, 2, 5, 10) if QUICK else range(1, 41)
FACTORS = (2, 10) if QUICK else (2, 5, 10, 20, 40)
EPOCHS = 8 if QUICK else 200
# A tenth of the training rows is watched; an epoch of the others has 26 minibatches. The rate falls to zero.
SETTINGS = {
    "latent": 2,
    "holdout": HOLDOUT,
    "seed": SEED,
    "batch": 50,
    "learning_rate": 3e-3,
    "hidden": (32,) if QUICK else (256, 128, 64),
    "epochs": EPOCHS,
    "schedule": f"cosine:{26 * EPOCHS}",
    "patience": 60,
}
GREY = (0, 17)  # grey values plus a uniform on [0, 1)

# %% The exact answers first: held-out log p(x) of PPCA and factor analysis, by the number of latents
ppca = {}
factors = {}
with single_threaded_blas():  # many small products: threads would only wait for one another
    for latent in LATENTS:
        model = PPCA(TRAIN.x.shape[1], latent)
        theta = fit_closed_form(model, TRAIN.x).theta
        ppca[latent] = held_out_log_likelihood(model, theta, UNSEEN.x).mean()
    for latent in FACTORS:
        run = fit_em(FactorAnalysis(TRAIN.x.shape[1], latent), TRAIN.x, max_iterations=200)
        factors[latent] = held_out_log_likelihood(run.model, run.theta, UNSEEN.x).mean()
best = max(ppca, key=ppca.get)
print("factor analysis:", ", ".join(f"{k} latents {value:.2f}" for k, value in factors.items()))
print(f"PPCA: 2 latents {ppca[2]:.2f}, best of {len(ppca)}: {best} latents {ppca[best]:.2f} nats per datum")

# %% Then the VAE
result = fit("deep-gaussian:learned", DATA, **SETTINGS)
held_out = result.final["held_out"]
bound = held_out["elbo_per_datum"]
accuracy = held_out["neighbour_accuracy"]
yardstick = held_out["neighbour_accuracy_pca"]
print(f"VAE, {len(TRAIN.x)} rows: {result.stopped}")
print(f"  unseen rows: ELBO {bound:.2f}, log p by importance samples {-held_out['nll_per_datum']:.2f} nats")
print(f"  5-nearest-neighbour accuracy: codes {accuracy:.3f}, two principal components {yardstick:.3f}")

# %% The bound beside the exact answers
figure = new_figure(7.2, STYLE["page_width"])
above, below = figure.subfigures(2, 1)
plot_learning_curves(result.history, above, title="A VAE with two latents learns the digits")
watched = [(row["elbo_validation"], row["epoch"]) for row in result.history if "elbo_validation" in row]
kept = max(watched)[1]
for curve in above.axes:
    curve.axvline(kept, color=STYLE["faint"], linestyle=":", linewidth=1.0)
    curve.set_xlim(left=0)
note = {"textcoords": "offset points", "fontsize": STYLE["note_size"]}
above.axes[-1].annotate(f"epoch {kept:.0f}: kept", (kept, watched[1][0]), xytext=(5, 0), **note)
ax = below.subplots()
title = f"What it predicts: mean over {len(UNSEEN.x)} unseen rows"
style_axes(ax, title=title, xlabel="latents of PPCA, of factor analysis", ylabel="nats per datum")
ax.plot(list(ppca), list(ppca.values()), label="PPCA, log p(x), exact", **EXACT_LINE)
look = {**EXACT_LINE, "color": "gray", "marker": "."}
label = "factor analysis, log p(x), exact"
ax.plot(list(factors), list(factors.values()), label=label, **look)
look = {"color": "#004488", "linewidth": STYLE["line_width"]}
ax.axhline(bound, label="VAE with 2 latents, ELBO (log p(x) is higher)", **look)
ax.set_ylim(top=max(bound, ppca[best]) + 5)
ax.legend(frameon=False, fontsize=STYLE["tick_size"])
caption = (
    "The ELBO of a VAE with two latents rises over the epochs on seen and on unseen digits. On unseen digits "
    "it ends above the exact log p(x) of PPCA with any number of latents up to 40."
)
print("figure:", save_figure(figure, OUT, "vae-learning", caption)[0])

# %% The plane of the codes beside that of the principal components
train_scores, unseen_scores = principal_scores(TRAIN.x, UNSEEN.x, 2)
codes, _ = result.fitted.encode(UNSEEN.x)
figure, (left, right) = panels(1, 2, height=4.2, width=STYLE["page_width"])
plot_latent_plane(codes, UNSEEN.labels, left, title=f"VAE: 5 neighbours find\n{accuracy:.0%} of the classes")
scaled = unseen_scores / train_scores.std(axis=0)
plot_latent_plane(
    scaled, UNSEEN.labels, right, title=f"Principal components:\n{yardstick:.0%}", circles="standard normal"
)
left.set(xlabel="$z_1$, mean of q", ylabel="$z_2$, mean of q")
right.set(xlabel="first component, in sd", ylabel="second component, in sd")
for ax in (left, right):
    ax.set(adjustable="datalim", box_aspect=1)
caption = (
    "Unseen digits in the plane of a VAE and in that of the first two principal components, coloured by "
    "class: without having seen a label, the VAE keeps the classes apart better."
)
print("figure:", save_figure(figure, OUT, "vae-plane", caption)[0])

# %% Pictures
fitted = result.fitted
shape = DATA.image_shape
few = UNSEEN.x[:20]
title = "Unseen digits (class in the corner), each above its reconstruction"
ax = plot_reconstructions(few, fitted.reconstruct(few), shape, title=title)
pitch = (np.ptp(ax.get_xlim()) + 1) / 10
height = (np.ptp(ax.get_ylim()) + 3) * 10 / len(few)  # of a pair of lines
for i, label in enumerate(UNSEEN.labels[: len(few)]):
    corner = (pitch * (i % 10) - 0.3, height * (i // 10) - 0.3)
    ax.text(*corner, f"{label}", va="top", fontsize=STYLE["tick_size"], fontweight="bold", color="#E69F00")
ax.figure.set_size_inches(STYLE["width"], 3.5)
caption = "Unseen digits, each above its reconstruction from two latents."
print("figure:", save_figure(ax.figure, OUT, "vae-reconstructions", caption)[0])
if not QUICK:
    generated = fitted.generate_means(40, np.random.default_rng(SEED))
    ax = plot_images(generated, shape, title="E[x | z] at z from the prior", limits=GREY)
    caption = "Digits that the VAE makes of latents drawn from the prior."
    print("figure:", save_figure(ax.figure, OUT, "vae-samples", caption)[0])
    plane = fitted.decode(latent_grid(GRID))
    ax = plot_manifold(plane, shape, GRID, title="E[x | z] over the latent plane", limits=GREY)
    caption = (
        "The digits that the decoder makes over a grid of the latent plane: they change smoothly from one "
        "class to the next."
    )
    print("figure:", save_figure(ax.figure, OUT, "vae-manifold", caption)[0])

# %% The claim
curve = [row["elbo"] for row in result.history if "elbo" in row]
assert curve[-1] > curve[0] + 1, "the bound should rise"
if not QUICK:
    assert watched[-1][0] < max(watched)[0] - 0.5, "unseen rows gain no more after the epoch that is kept"
    assert curve[-1] > curve[int(kept)] + 1, "while the bound of its own rows rises on"
    assert bound > ppca[best], "the ELBO should be above every exact log p(x) of PPCA"
    assert factors[2] - ppca[2] > 0.5 * (bound - ppca[2]), "the variance per pixel is half of it"
    assert accuracy >= 0.75, "the plane should keep the classes apart"
    assert accuracy > yardstick, "better than two principal components"
