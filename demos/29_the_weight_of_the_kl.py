# %% [markdown]
# # The weight of the KL: beta, collapse and disentangling
# %%
"""A weight beta on the KL makes codes shorter, and for a linear VAE it says which latents are left.

Claim. At the exact posterior the objective with weight beta is log p(x) + (1 - beta) KL(posterior || prior):
a bound for beta >= 1, none below. A linear VAE keeps the latents whose eigenvalue lies above beta sigma^2, by
formula and by an ascent without noise; if sigma^2 is learned, units collapse with beta as well. On images of
four known factors the mutual information gap of a VAE's latents is measured exactly, for ten seeds: it
changes when the latents are turned by a rotation, although the ELBO does not. No claim is made that beta
raises it.

Formula:

    L_beta = E_q[log p(x | z)] - beta KL(q || p(z)) = ELBO + (1 - beta) KL(q || p(z))
    unit k of a linear VAE is active:  lambda_k > beta sigma^2
    MIG = mean_j [I(z_(1); v_j) - I(z_(2); v_j)] / H(v_j)

Source: Higgins et al. (2017), eq. 4; Lucas et al. (2019), section 4; Chen et al. (2018), eqs. 5 and 6.
Expected time: about ten seconds on two cores; with ELBO_LAB_QUICK=1 five, with fewer seeds and epochs.
The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np
import scipy

from elbo_lab import Problem
from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form
from elbo_lab.evaluation import (
    Fitted,
    active_units,
    decompose,
    information_gap,
    mutual_information_gap,
    rotated,
)
from elbo_lab.models import PPCA, DeepBernoulli
from elbo_lab.networks import MLP
from elbo_lab.optimise import ascend_weighted_elbo
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    figure_folder,
    panels,
    plot_traversals,
    save_figure,
    style_axes,
)
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.theory import predict_active_units
from elbo_lab.training import BetaObjective, BetaSchedule, Plan, Training

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
GREY = load("digits:dequantised")
SHAPES = load("shapes")
WEIGHTS = np.linspace(0.0, 4.0, 41)
LATENT = 6  # of the linear VAE, on 12 of the pixels
SIGMA2 = 4.0  # its noise where it is given, grey values squared
ASCENTS = (0.5, 2.0, 4.0) if QUICK else (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
BETAS = (1.0, 4.0)
SEEDS = range(2 if QUICK else 10)
EPOCHS = 20 if QUICK else 150
BLUE, RED, GREEN, PURPLE = "#0072B2", "#D55E00", "#117733", "#882255"

# %% The exact answer first: PPCA at its posterior, where every term has a formula
ppca = PPCA(64, 2)
theta = ppca.canonical(fit_closed_form(ppca, GREY.x).theta)
rows = GREY.rows(50, seed=0).x
parts = decompose(ppca, theta, rows, ppca.posterior_eta(theta, rows))
log_p = parts.log_p.mean()
rate = parts.kl_to_prior.mean()
at_posterior = [parts.beta_objective(beta).mean() for beta in WEIGHTS]
print(f"PPCA at its posterior: log p {log_p:.4f}, KL to the prior {rate:.4f} nats per datum")
for beta in (0.5, 1.0, 4.0):
    value = parts.beta_objective(beta).mean()
    print(f"  beta {beta:g}: objective {value:.4f} = log p {(1 - beta) * rate:+.4f}")

# %% Which latents of a linear VAE are left: by formula
pixels = GREY.x[:, 18:30]
# A linear encoder sees mean and covariance alone: 24 points with the same two stand in for the data.
spread, directions = np.linalg.eigh(np.cov(pixels.T, bias=True))
arrows = np.sqrt(len(spread) * spread)[:, None] * directions.T
x = pixels.mean(axis=0) + np.concatenate([arrows, -arrows])
given = [predict_active_units(x, LATENT, beta, SIGMA2).count for beta in WEIGHTS[1:]]
learned = [predict_active_units(x, LATENT, beta).count for beta in WEIGHTS[1:]]
eigenvalues = predict_active_units(x, LATENT, 1.0, SIGMA2).eigenvalues
print("eigenvalues:", ", ".join(f"{value:.1f}" for value in eigenvalues[:LATENT]))


# %% and by an ascent of the exact objective, from small random weights
def linear_vae(seed):
    """Return PPCA and a linear encoder at a random start."""
    rng = np.random.default_rng(seed)
    model = PPCA(x.shape[1], LATENT)
    network = MLP((x.shape[1], 2 * LATENT), "tanh")
    encoder = AmortisedPosterior(model.family, network, tuple(x.mean(axis=0)), (1.0,) * x.shape[1])
    phi = 0.01 * rng.standard_normal(encoder.layout.size)
    return Problem(model, encoder, model.random_theta(x, rng), phi, x)


climbed = {}
for beta in ASCENTS:
    start = linear_vae(seed=1)
    free = ascend_weighted_elbo(start, beta, tolerance=1e-12)
    start.model.layout.views(start.theta)["log_sigma"][...] = 0.5 * np.log(SIGMA2)
    held = ascend_weighted_elbo(start, beta, held=["log_sigma"], tolerance=1e-12)
    climbed[beta] = [active_units(end.posterior, end.phi, x).count for end in (held, free)]
    predicted = [predict_active_units(x, LATENT, beta, noise).count for noise in (SIGMA2, None)]
    print(f"  beta {beta:g}: units by ascent {climbed[beta]}, predicted {predicted}")


# %% A VAE of images whose factors are known: shape, size, row, column
def vae(beta, seed):
    """Return a trained VAE with five latents."""
    model = DeepBernoulli(SHAPES.x.shape[1], 5, (64,))
    encoder = AmortisedPosterior.for_pixels(model.family, SHAPES.x, (64,))
    objective = BetaObjective(model, encoder, SHAPES.x, weight=BetaSchedule(beta), dtype=np.float32)
    rates = {"theta": 5e-3, "phi": 5e-3}
    training = Training(objective, Plan(epochs=EPOCHS, batch=81, rates=rates, evaluate_every=EPOCHS), seed)
    training.run()
    theta, phi = (training.params[name].astype(np.float64) for name in ("theta", "phi"))
    return Fitted(model, theta, encoder, phi), training.history[-1]


def twin_of(fitted, seed):
    """Return the gap of the same VAE with its latents turned by a random rotation, and how far it is off."""
    turn = scipy.stats.special_ortho_group.rvs(fitted.model.n_latent, random_state=seed)
    eta = fitted.posterior.eta(fitted.phi, SHAPES.x)
    theta, family, turned = rotated(fitted.model, fitted.theta, eta, turn)
    codes = fitted.encode(SHAPES.x)[0]
    same_pictures = np.abs(fitted.model.expected_x(theta, codes @ turn.T) - fitted.decode(codes)).max()
    prior = fitted.model.prior_eta(theta)
    kl = fitted.posterior.family.kl_to(fitted.model.family, eta, prior)
    same_kl = np.abs(family.kl_to(fitted.model.family, turned, prior) - kl).max()
    return mutual_information_gap(*family.moments(turned), SHAPES.factors), max(same_pictures, same_kl)


gaps = {}
shown = {}
for beta in BETAS:
    found = []
    for seed in SEEDS:
        fitted, last = vae(beta, seed)
        own = information_gap(fitted, SHAPES.x, SHAPES.factors)
        twin, off = twin_of(fitted, seed)
        found.append((own.mig, twin.mig, max(own.mig_error, twin.mig_error), off))
        shown.setdefault(beta, fitted)
    gaps[beta] = np.array(found)
    own, twin = gaps[beta][:, :2].T
    reach = scipy.stats.t.ppf(0.975, len(own) - 1) / np.sqrt(len(own))
    line = ", ".join(
        f"{word} {values.mean():.3f} ± {reach * values.std(ddof=1):.3f}"
        for word, values in (("MIG", own), ("of the rotated twins", twin))
    )
    print(f"beta {beta:g}, {len(own)} seeds: {line}; ELBO of the last {last['elbo']:.2f}")

# %% What the objective is, and which latents collapse
figure, (upper, lower) = panels(2, 1, height=6.4, width=STYLE["page_width"])
style_axes(upper, title="PPCA at its posterior", xlabel="beta", ylabel="nats per datum")
upper.axhline(log_p, label="log p(x)", **EXACT_LINE)
upper.plot(WEIGHTS, at_posterior, color=PURPLE, label="beta objective")
upper.axvspan(0.0, 1.0, color=PURPLE, alpha=0.08, linewidth=0, label="no bound of log p(x)")
style_axes(lower, title="Linear VAE: what is left", xlabel="beta", ylabel=f"active units of {LATENT}")
lower.step(WEIGHTS[1:], given, where="mid", color=BLUE, label=f"predicted, σ² = {SIGMA2:g}")
lower.step(WEIGHTS[1:], learned, where="mid", color=RED, label="predicted, σ² learned")
held, free = np.array(list(climbed.values())).T
lower.plot(ASCENTS, held, "o", color=BLUE, label="the same, by ascent")
lower.plot(ASCENTS, free, "s", color=RED, markersize=4, label="the same, by ascent")
for ax in (upper, lower):
    ax.legend(frameon=False, fontsize=STYLE["tick_size"])
caption = (
    "The objective with the KL weighted by beta: a bound of log p(x) for beta of at least one only; and the "
    "units of a linear VAE that stay active, by formula and by ascent."
)
print("figure:", save_figure(figure, OUT, "beta-objective", caption)[0])


# %% What each latent changes
def traversal(beta):
    """Draw a line of pictures for each latent, from the code of one image."""
    pictures, values = shown[beta].traverse(SHAPES.x[14])
    title = f"One latent at a time, beta = {beta:g}"
    return plot_traversals(pictures, SHAPES.image_shape, values, title=title, limits=(0, 1)).figure


caption = "Images as one latent at a time is moved, with the KL at full weight."
print("figure:", save_figure(traversal(BETAS[0]), OUT, "traversals", caption)[0])
caption = "Images as one latent at a time is moved, with the KL weighted more."
print("figure:", save_figure(traversal(BETAS[1]), OUT, "traversals-weighted", caption)[0])

# %% The gap of every seed beside that of its rotated twin
figure, (ax,) = panels(1, 1, height=4.0, width=STYLE["page_width"])
style_axes(ax, title="The same ELBO, another gap", ylabel="mutual information gap", grid="y")
for place, found in enumerate(gaps.values()):
    for side, (values, color, word) in enumerate(
        ((found[:, 0], GREEN, "a VAE"), (found[:, 1], RED, "its rotated twin"))
    ):
        at = 3 * place + side
        label = word if place == 0 else None
        ax.plot(at + np.linspace(-0.15, 0.15, len(values)), values, "o", color=color, alpha=0.6, label=label)
        spread = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        ax.errorbar(at + 0.3, values.mean(), spread, color=color, marker="_", capsize=4)
ax.set_xticks([3 * place + 0.5 for place in range(len(BETAS))], [f"beta = {beta:g}" for beta in BETAS])
ax.set_ylim(bottom=0.0)
ax.legend(frameon=False, title=f"dots: {len(SEEDS)} seeds; bars: mean, 95 % interval")
caption = (
    "The mutual information gap of ten seeds, before and after a rotation of the latents that leaves the "
    "ELBO as it is: the gap changes."
)
print("figure:", save_figure(figure, OUT, "information-gap", caption)[0])

# %% The claim
assert np.allclose(at_posterior, log_p + (1 - WEIGHTS) * rate, atol=1e-8), "log p + (1 - beta) KL"
for beta, units in climbed.items():
    formula = [predict_active_units(x, LATENT, beta, noise).count for noise in (SIGMA2, None)]
    assert units == formula, "an ascent should keep the predicted units"
assert learned[0] == LATENT > learned[-1], "learned noise collapses with beta too"
for found in gaps.values():
    own, twin, error, off = found.T
    assert off.max() < 1e-8, "the twin has the same pictures and the same KL: the same ELBO"
    assert (np.abs(own - twin) > 100 * error).all(), "and another gap"
