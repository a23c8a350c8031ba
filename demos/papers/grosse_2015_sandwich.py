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
It must show: lower <= exact <= upper on average, both within a tenth of the first distance at the end.
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
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    figure_folder,
    legend_below,
    panels,
    plot_sandwich,
    save_figure,
    style_axes,
)
from elbo_lab.special import log_mean_exp

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
LATENT = 10
N = 100
N_CHAINED = 10 if QUICK else 100
CHAINS = 4
MOVES = HamiltonianMonteCarlo(step=0.1, n_leapfrog=5)
DRAWS = [2**k for k in range(2, 7 if QUICK else 13)]
STEPS = [2**k for k in ((0, 5) if QUICK else range(10))]
DEEP_STEPS = [2**k for k in range(2, 4 if QUICK else 10)]
COLORS = ("#AA7A00", "#33A9A0", "#332288", "#D55E00")

# %% The exact answer first: PPCA with ten latents, fitted to digits, and data of its own making
ppca = PPCA(64, LATENT)
theta = ppca.canonical(fit_closed_form(ppca, load("digits:dequantised").x).theta)
x, _ = ppca.sample(theta, N, np.random.default_rng(0))
log_p = ppca.log_evidence(theta, x)
rng = np.random.default_rng(1)
prior_miss = (prior_evidence(ppca, theta, x, rng.standard_normal((1000, N, LATENT))) - log_p).mean()
print(f"log p(x) = {log_p.mean():.3f} nats per datum; 1000 draws from the prior miss by {prior_miss:.1f}")


# %% Bounds of draws from a q that is near the posterior: half a standard deviation off, too narrow by a fifth
def elbo_of_draws(log_w):
    return log_w.mean(axis=0)


def importance_weighted(log_w):
    return log_mean_exp(log_w, axis=0)


bounds = {
    "ELBO": elbo_of_draws,
    "importance-weighted": importance_weighted,
    "jackknife, order 1": jackknife_evidence,
    "chi-square, sampled": chi_square_estimate,
}
eta = ppca.family.near(ppca.posterior_eta(theta, x))
curves = {name: [] for name in bounds}
for n_draws in DRAWS:
    z = ppca.family.sample(eta, rng.standard_normal((n_draws, N, LATENT)))
    log_w = log_weight(ppca, theta, x, ppca.family, eta, z)
    for name, bound in bounds.items():
        curves[name].append((bound(log_w) - log_p).mean())
curves = {name: np.array(curve) for name, curve in curves.items()}


# %% Annealed chains from the prior, forwards and backwards
def sandwich(model, theta, n_steps):
    schedule = sigmoidal_schedule(n_steps)
    return bidirectional(model, theta, N_CHAINED, schedule, MOVES, np.random.default_rng(3), CHAINS)


sandwiches = [sandwich(ppca, theta, n_steps) for n_steps in STEPS]
log_p = ppca.log_evidence(theta, sandwiches[0].x)
known = [{"n_steps": n, **pair.means(log_p)} for n, pair in zip(STEPS, sandwiches, strict=True)]

# %% A deep model, where log p(x) has no formula, and ten latents no quadrature
settings = {"latent": LATENT, "hidden": (64,), "epochs": 1 if QUICK else 60, "batch": 200}
bits = load("digits:binary").rows(50, seed=0) if QUICK else "digits:binary"
vae = fit("deep-bernoulli", bits, learning_rate=2e-3, **settings)
sandwiches = [sandwich(vae.model, vae.theta, n_steps) for n_steps in DEEP_STEPS]
middle = 0.5 * (sandwiches[-1].lower + sandwiches[-1].upper)  # of each datum, by the longest chains
unknown = [{"n_steps": n, **pair.means(middle)} for n, pair in zip(DEEP_STEPS, sandwiches, strict=True)]

# %% The figure
figure, (top, above, below) = panels(3, 1, height=10.2)
words = "bound - log p(x), nats per datum"
style_axes(top, title="PPCA, from draws: the 'upper bound' starts below", xlabel="draws S", ylabel=words)
top.axhline(0.0, **EXACT_LINE, label="exact")
for (name, curve), color in zip(curves.items(), COLORS, strict=True):
    top.plot(DRAWS, curve, "o-", color=color, markersize=4, linewidth=STYLE["line_width"], label=name)
top.set_xscale("log", base=2)
top.set_xticks(DRAWS, DRAWS)
legend_below(top, columns=5)
plot_sandwich(known[-7:], above, 0.0, "PPCA, ten latents: chains meet at log p(x)", words)
plot_sandwich(unknown, below, None, "A deep model: the distance certifies", "bound - last middle, nats")
caption = (
    "Annealed chains bound log p(x) from below and from above and meet as they get longer; the 'upper bound' "
    "of independent draws starts below log p(x)."
)
print("figure:", save_figure(figure, OUT, "sandwich", caption)[0])


# %% The claim
def distance(model, pair, middle):
    """Return the row of the table for the distance of the two bounds."""
    note = f"{pair['lower']:+.3f} to {pair['upper']:+.3f} from {middle}"
    row = {"quantity": f"{model}, {pair['n_steps']} steps", "published": "closes"}
    return row | {"ours": pair["upper"] - pair["lower"], "note": note}


rows = [distance("PPCA", pair, "exact") for pair in (known[0], known[-1])]
rows += [distance("VAE", pair, "last middle") for pair in (unknown[0], unknown[-1])]
publish(rows, "Grosse et al. (2015): distance of the two bounds, nats per datum", ASKED, QUICK)
weighted = curves["importance-weighted"]
corrected = curves["jackknife, order 1"]
chi_square = curves["chi-square, sampled"]
assert prior_miss < -5.0, "the prior should miss"
assert (curves["ELBO"] < weighted).all(), "more is gained by weighting"
assert (weighted < 0.05).all(), "draws bound from below"
assert weighted[-1] > weighted[0], "and better with more draws"
assert abs(corrected[0]) < 0.8 * abs(weighted[0]), "a correction should help"
assert chi_square[0] < 0.0 < chi_square[-1], "a sampled chi-square bound should cross log p(x)"
first, last, first_deep, last_deep = (row["ours"] for row in rows)
assert last < 0.1 * first, "they meet"
for pair in known:
    assert pair["lower"] < 4.0 * pair["lower_se"], "the lower bound is below"
    assert pair["upper"] > -4.0 * pair["upper_se"], "and the upper one above"
if not QUICK:
    assert last_deep < 0.1 * first_deep, "chains should close in where log p(x) is unknown"
