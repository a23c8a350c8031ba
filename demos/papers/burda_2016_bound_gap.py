# %% [markdown]
# # How fast importance weighting closes the gap
# %%
"""The bound of M draws lies Var(w / p) / 2M below log p(x), without a single random number.

Claim. Nothing here is sampled: the bound of M draws is an integral over one draw. Its distance to log p(x)
falls as 1/M with half the variance of the relative weight in front, and the next term is known as well. That
holds for continuous and for discrete latents. Where q is so narrow that the weight has no variance, the gap
falls more slowly than 1/M, and the law says nothing.

Formula, with r = w / p(x), E r = 1, v = Var r, m3 = E (r - 1)^3:
    log p(x) - L_M = v / 2M - (m3 / 3 - 3 v^2 / 4) / M^2 + O(M^-3),      L_M <= L_{M+1} <= log p(x)
    q normal of c posterior deviations: v finite only for c^2 > 1/2

Source: Burda, Grosse and Salakhutdinov (2016), theorem 1 (monotone); Maddison et al. (2017) and Domke and
Sheldon (2018) for the limit M (log p - L_M) -> v / 2; Nowozin (2018) for the expansion in 1/M.
Exact set-up: PPCA with one latent (D = 4) and q half a deviation off, 1.2 and 0.6 deviations wide; a mixture
of three components with a q that prefers the wrong ones. M = 1 to 4096 (beyond, the
second term drowns in rounding).
It must show: slope -1 of the gap against M, M times the gap tending to v / 2, the second term; rising bounds.
Expected time: five seconds; with ELBO_LAB_QUICK=1 two. The figure goes to the folder ELBO_LAB_OUT.
"""

import os

import numpy as np
from _paper import paper_parser, publish, read_options

from elbo_lab.exact.coupled import bound_of_draws
from elbo_lab.exact.enumeration import all_values
from elbo_lab.exact.ladder import log_evidence
from elbo_lab.models import PPCA, GaussianMixture
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, legend_below, panels, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
DRAWS = [4**i for i in range(6 if QUICK else 7)]
COLORS = ("#0072B2", "#117733", "#D55E00")
# Of the noise: an even grid, exact for what is analytic; far tails count.
NODES = np.arange(-14, 14.01, 1 / 16)
NODE_WEIGHTS = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()

# %% Three places: log p(x), and the log-weights under every node or value of z with their probabilities
rng = np.random.default_rng(0)
ppca = PPCA(4, 1)
theta = ppca.layout.pack({"W": 0.5 * rng.standard_normal((4, 1))})
x, _ = ppca.sample(theta, 1, rng)
posterior = ppca.posterior_eta(theta, x)


def under_normal(width):
    """Return log p(x), and log w and probabilities at the nodes, of a q half a deviation off."""
    mean, log_std = ppca.family.split(posterior)
    eta = ppca.family.join(mean + 0.5 * np.exp(log_std), log_std + np.log(width))
    z = ppca.family.sample(eta, NODES[:, None, None])
    log_w = ppca.log_joint(theta, x, z) - ppca.family.log_prob(eta, z)
    return ppca.log_evidence(theta, x)[0], log_w[:, 0], NODE_WEIGHTS


def under_categories():
    """Return the same of a mixture, whose q turns the responsibilities round."""
    model = GaussianMixture(2, 3, "spherical")
    theta = model.layout.pack({"mean": np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 2.0]])})
    x = np.array([[0.6, 0.9]])
    eta = -0.5 * model.posterior_eta(theta, x)
    z = all_values(model.family, 1)
    log_q = model.family.log_prob(eta, z)
    log_w = model.log_joint(theta, x, z) - log_q
    return log_evidence(model, theta, x)[0][0], log_w[:, 0], np.exp(log_q)[:, 0]


places = {
    "PPCA, q 1.2 wide": under_normal(1.2),
    "mixture": under_categories(),
    "PPCA, q 0.6 wide": under_normal(0.6),
}
HEAVY = "PPCA, q 0.6 wide"  # its weight has no variance

# %% The exact gap for every M, and what the moments of the weight say of it
gaps = {}
second_moment = {}
third_moment = {}
for name, (log_p, log_w, weights) in places.items():
    gaps[name] = np.array([log_p - bound_of_draws(log_w, weights, k)[0] for k in DRAWS])
    ratio = np.exp(log_w - log_p)
    assert abs(weights @ ratio - 1.0) < 1e-12, "weights should be unbiased"
    second_moment[name] = weights @ (ratio - 1.0) ** 2
    third_moment[name] = weights @ (ratio - 1.0) ** 3
    print(f"{name}: ELBO {gaps[name][0]:.4f} below log p, last gap {gaps[name][-1]:.2e}")

# %% The figure
figure, (ax,) = panels(1, 1, height=3.8, width=STYLE["page_width"])
title = "Gap of the bound of M draws, exact; dashed: Var(w / p) / 2M"
style_axes(ax, title=title, xlabel="draws M", ylabel="log p(x) - bound, nats")
for (name, gap), color in zip(gaps.items(), COLORS, strict=True):
    label = f"{name}: Var infinite" if name == HEAVY else name
    ax.loglog(DRAWS, gap, "o-", color=color, markersize=4, linewidth=STYLE["line_width"], label=label)
    if name != HEAVY:
        ax.loglog(DRAWS, second_moment[name] / (2 * np.array(DRAWS)), **EXACT_LINE)
legend_below(ax, columns=3)
caption = (
    "The gap of the importance-weighted bound falls as one over the number of draws, with half the variance "
    "of the relative weight in front (dashed), on continuous and on discrete latents."
)
print("figure:", save_figure(figure, OUT, "bound-gap", caption)[0])

# %% The claim
M = np.array(DRAWS, dtype=float)
rows = []
for name, gap in gaps.items():
    slope = np.polyfit(np.log(M[-3:]), np.log(gap[-3:]), 1)[0]
    assert (np.diff(gap) < 0.0).all(), "the bound should rise with M"
    assert (gap > 0.0).all(), "and stay below"
    row = {"quantity": f"{name}: slope", "published": -1, "ours": slope}
    if name == HEAVY:
        rows.append(row | {"published": "none", "note": "c² < 1/2: the weight has no variance"})
        assert slope > -0.9, "without a variance the gap should fall more slowly"
        continue
    rows.append(row)
    v = second_moment[name]
    first_term = (M * gap)[-1]
    rows.append({"quantity": f"{name}: M gap", "published": f"v / 2 = {v / 2:.4g}", "ours": first_term})
    second_term = (M**2 * (gap - v / (2 * M)))[-2]
    expected = 3 * v**2 / 4 - third_moment[name] / 3
    row = {"quantity": f"{name}: second term", "published": f"{expected:.4g}", "ours": second_term}
    rows.append(row | {"note": f"M = {M[-2]:.0f}"})
    assert abs(slope + 1.0) < 0.02, "1/M"
    assert abs(2.0 * first_term / v - 1.0) < 0.002, "with v/2 in front"
    assert abs(second_term / expected - 1.0) < 0.01, "the next term should be that of the expansion"
publish(rows, "The 1/M law; published: formulas, here with the exact moments of these weights", ASKED, QUICK)
