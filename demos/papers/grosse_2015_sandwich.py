# %% [markdown]
# # log p(x) from below, from above, and between
# %%
"""A lower bound alone never says how far it is off; chains in two directions do.

Claim. Importance-weighted bounds climb to log p(x) from below as draws are added, and a jackknife takes off a
part of what is missing. The chi-square "upper bound", from the same draws, starts below log p(x) and crosses
it: it bounds nothing. Annealed chains from the prior, where plain sampling misses by nine nats, close in from
below, the same chains backwards from above. Where nobody knows log p(x), their distance is the certificate.

Formula:
    ELBO <= E log (1/S) sum_s w_s <= log p(x) <= (1/2) log E_q[w^2]
    forwards   E[w] = p(x),   log w = sum_t (beta_t - beta_{t-1}) (log p(x, z_{t-1}) - log q(z_{t-1}))
    backwards  E[1 / w] = 1 / p(x), from the z that made x

Source: Burda et al. (2016), eq. 8; Nowozin (2018); Dieng et al. (2017); Neal (2001), annealed importance
sampling; Grosse, Ghahramani and Adams (2015), arXiv:1511.02543.
Expected time: half a minute on two cores; with ELBO_LAB_QUICK=1 two seconds, with shorter chains.
The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import fit
from elbo_lab.bounds import chi_square_estimate, jackknife_evidence, log_weight, prior_evidence
from elbo_lab.datasets import load
from elbo_lab.evaluation import HamiltonianMonteCarlo, bidirectional, sigmoidal_schedule
from elbo_lab.learning import fit_closed_form
from elbo_lab.models import PPCA
from elbo_lab.plots import STYLE, new_figure, plot_sandwich, save_figure
from elbo_lab.plots.style import EXACT_LINE, legend_below, style_axes
from elbo_lab.special import log_mean_exp

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = os.environ.get("ELBO_LAB_OUT", "elbo-lab-figures")
LATENT, N, N_CHAINED = 10, 100, 10 if QUICK else 100
DRAWS = [2**k for k in range(2, 7 if QUICK else 13)]
STEPS = [2**k for k in range(0, 6 if QUICK else 10)]
DEEP_STEPS = [2**k for k in range(2, 4 if QUICK else 10)]
COLORS = ("#AA7A00", "#33A9A0", "#332288", "#D55E00")
MOVES, CHAINS = HamiltonianMonteCarlo(step=0.1, n_leapfrog=5), 4

# %% The exact answer first: PPCA with ten latents, fitted to digits, and data of its own making
ppca = PPCA(64, LATENT)
theta = ppca.canonical(fit_closed_form(ppca, load("digits:dequantised").x).theta)
x, _ = ppca.sample(theta, N, np.random.default_rng(0))
log_p = ppca.log_evidence(theta, x)
rng = np.random.default_rng(1)
prior_miss = (prior_evidence(ppca, theta, x, rng.standard_normal((1000, N, LATENT))) - log_p).mean()
print(f"log p(x) = {log_p.mean():.3f} nats per datum; 1000 draws from the prior miss by {prior_miss:.1f}")

# %% Bounds of draws from a q that is near the posterior: half a standard deviation off, too narrow by a fifth
eta = ppca.family.near(ppca.posterior_eta(theta, x))
bounds = {
    "ELBO": lambda log_w: log_w.mean(axis=0),
    "importance-weighted": lambda log_w: log_mean_exp(log_w, axis=0),
    "jackknife, order 1": jackknife_evidence,
    "chi-square, sampled": chi_square_estimate,
}
curves = {name: [] for name in bounds}
for n_draws in DRAWS:
    z = ppca.family.sample(eta, rng.standard_normal((n_draws, N, LATENT)))
    log_w = log_weight(ppca, theta, x, ppca.family, eta, z)
    for name, bound in bounds.items():
        curves[name].append((bound(log_w) - log_p).mean())
    print(f"  {n_draws:>4} draws: " + ", ".join(f"{name} {curve[-1]:+.3f}" for name, curve in curves.items()))


# %% Annealed chains from the prior, forwards and backwards
def sandwiches(model, theta, lengths):
    """Return one sandwich for each length of the path, all of the same data."""
    paths = [(sigmoidal_schedule(n), MOVES, np.random.default_rng(3)) for n in lengths]
    return [bidirectional(model, theta, N_CHAINED, *path, CHAINS) for path in paths]


found = sandwiches(ppca, theta, STEPS)
log_p = ppca.log_evidence(theta, found[0].x)
known = [{"n_steps": n, **one.means(log_p)} for n, one in zip(STEPS, found, strict=True)]

# %% A deep model, where log p(x) has no formula, and ten latents no quadrature
settings = {"latent": LATENT, "hidden": (64,), "epochs": 1 if QUICK else 60, "batch": 200}
vae = fit("deep-bernoulli", "digits:binary", learning_rate=2e-3, **settings)
found = sandwiches(vae.model, vae.theta, DEEP_STEPS)
middle = 0.5 * (found[-1].lower + found[-1].upper)  # of each datum, by the longest chains
unknown = [{"n_steps": n, **one.means(middle)} for n, one in zip(DEEP_STEPS, found, strict=True)]
for row in known + unknown:
    print(f"{row['n_steps']:>4} steps, {row['lower']:+8.3f} to {row['upper']:+8.3f}")

# %% The figures
words, title = "bound - log p(x), nats per datum", "From draws: the 'upper bound' starts below"
figure = new_figure(3.4)
ax = style_axes(figure.subplots(), title=title, xlabel="draws S", ylabel=words)
ax.axhline(0.0, **EXACT_LINE, label="exact")
for (name, curve), color in zip(curves.items(), COLORS, strict=True):
    ax.plot(DRAWS, curve, "o-", color=color, markersize=4, linewidth=STYLE["line_width"], label=name)
ax.set_xscale("log", base=2)
ax.set_xticks(DRAWS, DRAWS)
legend_below(ax, columns=5)
print("figure:", save_figure(figure, OUT, "bounds-of-draws")[0])
above, below = (figure := new_figure(7.4)).subplots(2, 1)
plot_sandwich(known[3:], above, 0.0, "PPCA, ten latents: chains meet at log p(x)", words)
plot_sandwich(unknown, below, None, "A deep model: the distance certifies", "bound - last middle, nats")
print("figure:", save_figure(figure, OUT, "sandwich")[0])

# %% The claim
elbo, weighted, corrected, chi_square = curves.values()
assert prior_miss < -5.0, "the prior should miss"
assert all(low < high < 0.05 for low, high in zip(elbo, weighted, strict=True)), "draws bound from below"
assert weighted[-1] > weighted[0] and abs(corrected[0]) < 0.8 * abs(weighted[0]), "a correction should help"
assert chi_square[0] < 0.0 < chi_square[-1], "a sampled chi-square bound should cross log p(x)"
assert known[-1]["upper"] - known[-1]["lower"] < 0.1 * (known[0]["upper"] - known[0]["lower"]), "they meet"
for row in known:
    assert row["lower"] < 4.0 * row["lower_se"] and row["upper"] > -4.0 * row["upper_se"], "wrong side"
if not QUICK:
    ends = [unknown[i]["upper"] - unknown[i]["lower"] for i in (0, -1)]
    assert ends[1] < 0.1 * ends[0], "chains should close in on what nobody knows"
