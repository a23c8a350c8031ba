# %% [markdown]
# # Three tied bits: sum some values, draw others, or draw none twice
# %%
"""Eight values are few enough to show exactly what gradient estimators for discrete latents do.

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
from elbo_lab.plots import STYLE, estimator_style, figure_folder, panels, save_figure, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import display_name
from elbo_lab.special import sigmoid
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
P = np.array([0.6, 0.51, 0.48])
PHIS = (0.0, -4.0)
LOSS = Cost("tied", lambda z: (z - P) ** 2, lambda z: 2.0 * (z - P))
FAMILY = IndependentBernoulli(3)
MODEL = CostModel(FAMILY, LOSS)
POSTERIOR = FreePosterior(FAMILY, 1)
BITS = FAMILY.values()  # (8, 3)
REPLACED = 3 if QUICK else 5  # the most draws with replacement that are enumerated
DIFFERENT = 3 if QUICK else 6  # and without


# %% All noise, with its probability: draws of bits, of different values by number, and antithetic pairs
def of_bits(q, k):
    outcomes = np.array(list(itertools.product(range(8), repeat=k)))
    return 1.0 - BITS[outcomes][:, :, None], q[outcomes].prod(axis=1)


def of_numbers(q, k, top=()):
    """Return noise that draws k different values outside of `top` in every order, and its probability."""
    noise = []
    probability = []
    for order in itertools.permutations(np.setdiff1d(range(8), top), k):
        left = np.where(np.isin(range(8), top), 0.0, q)
        u = []
        p = 1.0
        for value in order:
            left = left / left.sum()
            u.append(left[:value].sum() + 0.5 * left[value])
            p *= left[value]
            left[value] = 0.0
        noise.append(u)
        probability.append(p)
    return np.array(noise)[..., None], np.array(probability)


def of_pairs(s):
    """Return the noise of antithetic pairs, which change at s and at 1 - s and say nothing else of u."""
    ends = np.unique([0.0, s, 1.0 - s, 1.0])
    middles = np.array(list(itertools.product((ends[:-1] + ends[1:]) / 2, repeat=3)))
    lengths = np.array(list(itertools.product(np.diff(ends), repeat=3)))
    return middles[:, None, None], lengths.prod(axis=1)


# %% The exact gradient first, then every estimator against its evaluations of the loss
def plan_at(phi):
    """Return [(estimator, evaluations of the loss, (noise, probability)), ...]."""
    q = np.exp(FAMILY.log_prob(np.full((1, 3), phi), BITS[:, None]))[:, 0]
    top = np.argsort(-q, kind="stable")
    plan = [(lab.ScoreFunction(), k, of_bits(q, k)) for k in range(1, REPLACED + 1)]
    plan += [(lab.ScoreFunctionLOO(), k, of_bits(q, k)) for k in range(2, REPLACED + 1)]
    plan += [(lab.DisARM(), 2, of_pairs(sigmoid(phi)))]
    plan += [(lab.ScoreFunctionTopCategories(k - 1), k, of_numbers(q, 1, top[: k - 1])) for k in range(2, 8)]
    plan += [(lab.ScoreFunctionUnorderedSet(), k, of_numbers(q, k)) for k in range(2, DIFFERENT + 1)]
    return plan


gradient = {phi: sigmoid(phi) * sigmoid(-phi) * (1.0 - 2.0 * P).sum() for phi in PHIS}
variance = {phi: {} for phi in PHIS}  # of each estimator by evaluations
for phi in PHIS:
    logits = np.full(3, phi)
    problem = Problem(MODEL, POSTERIOR, logits, logits, NO_DATA)
    for estimator, k, (noise, p) in plan_at(phi):
        estimates, _ = estimator.estimate(problem, noise)
        tied = estimates.sum(axis=-1)
        assert abs(p @ tied - gradient[phi]) < 1e-12, f"{estimator.name} should be unbiased"
        name = estimator.name.removesuffix(f"-{k - 1}")
        variance[phi].setdefault(name, {})[k] = p @ (tied - gradient[phi]) ** 2

# %% Liu's own: the loss of another draw as baseline; all pairs are alike at phi = 0
f = ((BITS - P) ** 2).sum(axis=1)
score = BITS.sum(axis=1) - 1.5
with_baseline = (((f[:, None] - f) * score[:, None]) ** 2).mean() - gradient[0.0] ** 2

# %% The figure
figure, axes = panels(1, 2, height=4.4, width=STYLE["page_width"])
for ax, phi in zip(axes, PHIS, strict=True):
    title = f"phi = {phi:g}, {'high' if phi == 0.0 else 'low'} entropy"
    style_axes(ax, title=title, xlabel="evaluations of the loss", ylabel="exact variance, loss²")
    for name, by_evaluations in variance[phi].items():
        color, marker = estimator_style(name)
        line = "--" if "top" in name else "-"
        evaluations = list(by_evaluations)
        look = {"marker": marker, "color": color, "label": display_name(name)}
        ax.semilogy(evaluations, by_evaluations.values(), line, **look)
handles = axes[1].get_legend_handles_labels()
figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
caption = (
    "Exact variance against the evaluations of the loss, at high and at low entropy: drawing without "
    "replacement has little variance in both."
)
print("figure:", save_figure(figure, OUT, "liu-2019-tied-bernoullis", caption)[0])

# %% The claim
BARE = "score-function"
LOO = "score-function-loo"
TOP = "score-function-top-categories"
SET = "score-function-unordered-set"


def ratio(phi, one, other):
    """Return the ratio of two variances at three evaluations of the loss."""
    return variance[phi][one][3] / variance[phi][other][3]


rows = (
    ("phi = 0: gradient", -0.045, gradient[0.0], "Liu's notebook"),
    ("phi = 0: variance with the baseline", 0.0127, with_baseline, "Liu's notebook; ours exact"),
    ("phi = 0, k = 3: set / leave-one-out", "below 1", ratio(0.0, SET, LOO), "Kool et al., toy"),
    ("phi = -4, k = 3: set / leave-one-out", "far below 1", ratio(-4.0, SET, LOO), "Kool et al., toy"),
    ("phi = -4, k = 3: top values / bare", "far below 1", ratio(-4.0, TOP, BARE), "Liu et al., figure 2"),
    ("phi = 0, k = 3: top values / set", None, ratio(0.0, TOP, SET), "ours has no baseline"),
)
caption = "Three tied bits: Liu et al. (2019), Kool et al. (2020)"
publish([dict(zip(COLUMNS, line, strict=True)) for line in rows], caption, ASKED, QUICK)
assert abs(with_baseline / 0.0127 - 1.0) < 0.05, "sampled by the authors: about three standard errors"
for phi in PHIS:
    for k in (2, 3):
        assert variance[phi][SET][k] < variance[phi][LOO][k], "none twice is better"
assert ratio(-4.0, TOP, LOO) < 0.2, "nearly all probability is summed"
assert ratio(0.0, TOP, SET) > 10.0, "and here little of it"
