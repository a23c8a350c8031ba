# %% [markdown]
# # Three tied bits: sum some values, draw others, or draw none twice
# %%
"""Eight values are few enough to show without luck what gradient estimators for discrete latents do.

Claim. With k evaluations of the loss, drawing without replacement (the unordered set) has little variance at
high and at low entropy. Summing the most probable values (Rao-Blackwellising) is good where few values have
nearly all probability, and poor where all are alike, if nothing takes off the level of the loss.

Formula, three bits, s = sigmoid(phi), p = (0.6, 0.51, 0.48), loss E sum_i (b_i - p_i)^2, b_i ~ Bernoulli(s):
    dL/dphi = s (1 - s) sum_i (1 - 2 p_i)

Source: Liu, Regier, Tripuraneni, Jordan and McAuliffe (2019), Rao-Blackwellized Stochastic Gradients for
Discrete Distributions, ICML, the toy of figures 1 and 2; Kool, van Hoof and Welling (2020), Estimating
Gradients for Discrete Random Variables by Sampling without Replacement, ICLR, the toy at phi = 0 and -4.
Set-up as there; they sample, here every outcome of the noise is summed. What it must show: the order of the
curves; two numbers are from Liu's public notebook (10^4 gradients; baseline: f of another draw).
Expected time: ten seconds; with ELBO_LAB_QUICK=1 two. The figure goes to the folder ELBO_LAB_OUT.
"""

import itertools
import os

import numpy as np
from _paper import COLUMNS, paper_parser, publish, read_options

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.distributions import IndependentBernoulli
from elbo_lab.plots import estimator_style, figure_folder, new_figure, save_figure
from elbo_lab.plots.style import style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.special import sigmoid
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED, OUT = read_options(paper_parser(__doc__)), figure_folder()
P, PHIS = np.array([0.6, 0.51, 0.48]), (0.0, -4.0)
LOSS = Cost("tied", lambda z: (z - P) ** 2, lambda z: 2.0 * (z - P))
FAMILY = IndependentBernoulli(3)
MODEL, Q, BITS = CostModel(FAMILY, LOSS), FreePosterior(FAMILY, 1), FAMILY.values()
REPLACED, DIFFERENT = (3, 3) if QUICK else (5, 6)  # the most draws that are enumerated


# %% All noise, with its probability: draws of bits, of different values by number, and antithetic pairs
def of_bits(q, k):
    outcomes = np.array(list(itertools.product(range(8), repeat=k)))
    return 1.0 - BITS[outcomes][:, :, None], q[outcomes].prod(axis=1)


def of_numbers(q, k, top=()):
    found = []
    for order in itertools.permutations(np.setdiff1d(range(8), top), k):
        left, u, p = np.where(np.isin(range(8), top), 0.0, q), [], 1.0
        for value in order:
            left = left / left.sum()
            u.append(left[:value].sum() + 0.5 * left[value])
            p, left[value] = p * left[value], 0.0
        found.append((u, p))
    u, p = map(np.array, zip(*found, strict=True))
    return u[..., None], p


def of_pairs(s):  # the pair changes at s and at 1 - s, and says nothing else of u
    ends = np.unique([0.0, s, 1.0 - s, 1.0])
    axes = (ends[:-1] + ends[1:]) / 2, np.diff(ends)
    u, p = (np.array(list(itertools.product(axis, repeat=3))) for axis in axes)
    return u[:, None, None], p.prod(axis=1)


# %% The exact gradient first, then every estimator against its evaluations of the loss
CURVES, GRADIENT = {}, {phi: sigmoid(phi) * sigmoid(-phi) * (1.0 - 2.0 * P).sum() for phi in PHIS}
for phi in PHIS:
    logits = np.full(3, phi)
    q = np.exp(FAMILY.log_prob(logits[None], BITS[:, None]))[:, 0]
    top = np.argsort(-q, kind="stable")
    plan = [(lab.ScoreFunction(), k, of_bits(q, k)) for k in range(1, REPLACED + 1)]
    plan += [(lab.ScoreFunctionLOO(), k, of_bits(q, k)) for k in range(2, REPLACED + 1)]
    plan += [(lab.DisARM(), 2, of_pairs(sigmoid(phi)))]
    plan += [(lab.ScoreFunctionTopCategories(k - 1), k, of_numbers(q, 1, top[: k - 1])) for k in range(2, 8)]
    plan += [(lab.ScoreFunctionUnorderedSet(), k, of_numbers(q, k)) for k in range(2, DIFFERENT + 1)]
    for estimator, k, (noise, p) in plan:
        g = estimator.estimate(Problem(MODEL, Q, logits, logits, NO_DATA), noise)[0].sum(axis=-1)  # tied
        assert abs(p @ g - GRADIENT[phi]) < 1e-12, f"{estimator.name} should be unbiased"
        name = estimator.name.removesuffix(f"-{k - 1}")
        CURVES.setdefault((phi, name), {})[k] = p @ (g - GRADIENT[phi]) ** 2
f, score = ((BITS - P) ** 2).sum(axis=1), BITS.sum(axis=1) - 1.5
OTHER = (((f[:, None] - f) * score[:, None]) ** 2).mean() - GRADIENT[0.0] ** 2  # all pairs alike at phi = 0

# %% The figure
figure = new_figure(4.2)
for ax, phi in zip(figure.subplots(1, 2), PHIS, strict=True):
    style_axes(ax, title=f"phi = {phi:g}, exact", xlabel="evaluations of the loss", ylabel="variance")
    for (_, name), values in ((key, values) for key, values in CURVES.items() if key[0] == phi):
        (color, marker), style = estimator_style(name), "--" if "top" in name else "-"
        ax.semilogy(*zip(*values.items(), strict=True), style, marker=marker, color=color, label=name)
figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
print("figure:", save_figure(figure, OUT, "liu-2019-tied-bernoullis")[0])

# %% The claim
BARE, LOO, TOP, SET = (f"score-function{end}" for end in ("", "-loo", "-top-categories", "-unordered-set"))
ratio = {
    (phi, one, other): CURVES[phi, one][3] / CURVES[phi, other][3]
    for phi, one, other in itertools.product(PHIS, (SET, TOP), (BARE, LOO, SET))
}
rows = (
    ("phi = 0: gradient", -0.045, GRADIENT[0.0], "Liu's notebook"),
    ("phi = 0: variance with the baseline", 0.0127, OTHER, "Liu's notebook; ours exact"),
    ("phi = 0, k = 3: set / leave-one-out", "below 1", ratio[0.0, SET, LOO], "Kool et al., toy"),
    ("phi = -4, k = 3: set / leave-one-out", "far below 1", ratio[-4.0, SET, LOO], "Kool et al., toy"),
    ("phi = -4, k = 3: top values / bare", "far below 1", ratio[-4.0, TOP, BARE], "Liu et al., figure 2"),
    ("phi = 0, k = 3: top values / set", None, ratio[0.0, TOP, SET], "ours has no baseline"),
)
caption = "Three tied bits: Liu et al. (2019), Kool et al. (2020)"
publish([dict(zip(COLUMNS, line, strict=True)) for line in rows], caption, ASKED, QUICK)
assert abs(OTHER / 0.0127 - 1.0) < 0.05, "sampled by the authors: about three standard errors"
assert all(CURVES[phi, SET][k] < CURVES[phi, LOO][k] for phi in PHIS for k in (2, 3)), "none twice is better"
assert ratio[-4.0, TOP, LOO] < 0.2, "nearly all probability is summed"
assert ratio[0.0, TOP, SET] > 10.0, "and here little of it"
