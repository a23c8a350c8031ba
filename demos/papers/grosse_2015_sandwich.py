# %% [markdown]
# # log p(x) from below, from above, and between
# %%
"""A lower bound alone never says how far it is off; chains in two directions do.

Claim. On data that the model itself made, annealed chains from the prior bound log p(x) from below, the same
chains backwards from above, and longer chains close in: for PPCA on the exact value, of which 1000 draws from
the prior miss nine nats. Where nobody knows log p(x), their distance is the certificate. The chi-square
"upper bound" of draws is none: it starts below log p(x) and crosses it.

Formula:
    ELBO <= E log (1/S) sum_s w_s <= log p(x) <= (1/2) log E_q[w^2]
    forwards   E[w] = p(x),   log w = sum_t (beta_t - beta_{t-1}) (log p(x, z_{t-1}) - log q(z_{t-1}))
    backwards  E[1 / w] = 1 / p(x), from the z that made x

Source: Grosse, Ghahramani and Adams (2015), arXiv:1511.02543, section 3; Neal (2001); for the bounds of draws
Burda et al. (2016), eq. 8; Nowozin (2018); Dieng et al. (2017).
Exact set-up: PPCA of ten latents fitted to 8 x 8 digits, 100 data of its own; a VAE of ten latents; 4 chains
each way, one Hamiltonian move per temperature, 1 to 512 steps of a sigmoidal schedule (there: other models).
It must show: lower <= exact <= upper in mean, both within a tenth of the first distance at the end.
Expected time: half a minute on two cores; with ELBO_LAB_QUICK=1 two seconds. The figure goes to ELBO_LAB_OUT.
"""

import os

import numpy as np
from _paper import paper_parser, publish, read_options

from elbo_lab import fit
from elbo_lab.bounds import chi_square_estimate, jackknife_evidence, log_weight, prior_evidence
from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form
from elbo_lab.evaluation import HamiltonianMonteCarlo, bidirectional, sigmoidal_schedule
from elbo_lab.models import PPCA
from elbo_lab.plots import STYLE, figure_folder, new_figure, plot_sandwich, save_figure
from elbo_lab.plots.style import EXACT_LINE, legend_below, style_axes
from elbo_lab.special import log_mean_exp

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED, OUT = read_options(paper_parser(__doc__)), figure_folder()
LATENT, N, N_CHAINED = 10, 100, 10 if QUICK else 100
DRAWS = [2**k for k in range(2, 7 if QUICK else 13)]
STEPS = [2**k for k in ((0, 5) if QUICK else range(10))]
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


# %% Annealed chains from the prior, forwards and backwards
def sandwiches(model, theta, lengths):
    paths = [(sigmoidal_schedule(n), MOVES, np.random.default_rng(3)) for n in lengths]
    return [bidirectional(model, theta, N_CHAINED, *path, CHAINS) for path in paths]


found = sandwiches(ppca, theta, STEPS)
log_p = ppca.log_evidence(theta, found[0].x)
known = [{"n_steps": n, **one.means(log_p)} for n, one in zip(STEPS, found, strict=True)]

# %% A deep model, where log p(x) has no formula, and ten latents no quadrature
settings = {"latent": LATENT, "hidden": (64,), "epochs": 1 if QUICK else 60, "batch": 200}
bits = load("digits:binary").rows(50, seed=0) if QUICK else "digits:binary"
vae = fit("deep-bernoulli", bits, learning_rate=2e-3, **settings)
found = sandwiches(vae.model, vae.theta, DEEP_STEPS)
middle = 0.5 * (found[-1].lower + found[-1].upper)  # of each datum, by the longest chains
unknown = [{"n_steps": n, **one.means(middle)} for n, one in zip(DEEP_STEPS, found, strict=True)]

# %% The figure
words, title = "bound - log p(x), nats per datum", "PPCA, from draws: the 'upper bound' starts below"
ax, above, below = (figure := new_figure(10.2)).subplots(3, 1)
style_axes(ax, title=title, xlabel="draws S", ylabel=words).axhline(0.0, **EXACT_LINE, label="exact")
for (name, curve), color in zip(curves.items(), COLORS, strict=True):
    ax.plot(DRAWS, curve, "o-", color=color, markersize=4, linewidth=STYLE["line_width"], label=name)
ax.set_xscale("log", base=2)
ax.set_xticks(DRAWS, DRAWS)
legend_below(ax, columns=5)
plot_sandwich(known[-7:], above, 0.0, "PPCA, ten latents: chains meet at log p(x)", words)
plot_sandwich(unknown, below, None, "A deep model: the distance certifies", "bound - last middle, nats")
print("figure:", save_figure(figure, OUT, "sandwich")[0])

# %% The claim
rows = []
for name, row in (("PPCA", known[0]), ("PPCA", known[-1]), ("VAE", unknown[0]), ("VAE", unknown[-1])):
    note = f"{row['lower']:+.3f} to {row['upper']:+.3f} from {'exact' if name == 'PPCA' else 'last middle'}"
    quantity = {"quantity": f"{name}, {row['n_steps']} steps", "published": "closes", "note": note}
    rows.append(quantity | {"ours": row["upper"] - row["lower"]})
publish(rows, "Grosse et al. (2015): distance of the two bounds, nats per datum", ASKED, QUICK)
elbo, weighted, corrected, chi_square = curves.values()
assert prior_miss < -5.0, "the prior should miss"
assert all(low < high < 0.05 for low, high in zip(elbo, weighted, strict=True)), "draws bound from below"
assert weighted[-1] > weighted[0] and abs(corrected[0]) < 0.8 * abs(weighted[0]), "a correction should help"
assert chi_square[0] < 0.0 < chi_square[-1], "a sampled chi-square bound should cross log p(x)"
assert rows[1]["ours"] < 0.1 * rows[0]["ours"], "they meet"
for row in known:
    assert row["lower"] < 4.0 * row["lower_se"] and row["upper"] > -4.0 * row["upper_se"], "wrong side"
assert QUICK or rows[-1]["ours"] < 0.1 * rows[-2]["ours"], "chains should close in on what nobody knows"
