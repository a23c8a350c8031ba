# %% [markdown]
# # Gradients through one bit
# %%
"""One Bernoulli bit, nine estimators, no luck: means and variances are integrals over the noise.

Claim. REINFORCE, REBAR, RELAX, ARM and DisARM have the exact gradient as their mean, at every logit. DisARM
is nowhere noisier than ARM, and has no variance at l = 0: the pair of a fair bit is always (0, 1). REBAR is
noisier than REINFORCE here, since f dips to zero between its corners; a trained RELAX unlearns that.
Concrete is off, at its worst more so when warm, and straight-through points the wrong way wherever p < t.

Formula: maximise E_b f(b), f(b) = (b - t)^2, b ~ Bernoulli(p), p = sigmoid(l), so that

    d/dl E f = p (1 - p) (f(1) - f(0)) = p (1 - p) (1 - 2 t)        exact, by two evaluations
    straight-through                     p (1 - p) 2 (p - t)         in mean

Source: Tucker et al. (2017), NeurIPS; Grathwohl et al. (2018), ICLR; Dong, Mnih and Tucker (2020), NeurIPS.
Expected time: half a minute. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.distributions import IndependentBernoulli
from elbo_lab.plots import EXACT_LINE, estimator_style, figure_folder, panels, save_figure, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
TARGETS = (0.45, 0.49, 0.499)  # the closer to 1/2, the smaller the gradient and the same the noise
SHOWN = 1  # the target of the figure
LOGITS = np.linspace(-4, 4, 5 if QUICK else 33)
STEPS = 40 if QUICK else 300  # with which RELAX is trained at every logit
DRAWS = 20
UNBIASED = (lab.ScoreFunction(), lab.Rebar(), lab.Relax(), lab.ARM(), lab.DisARM())
BIASED = (lab.Concrete(), lab.Concrete(1.0), lab.StraightThrough(), lab.StraightThroughGumbel())
FAMILY = IndependentBernoulli(1)


# %% The toy as a model whose ELBO is the bare E (b - t)^2
def toy(target):
    return CostModel(FAMILY, Cost("bit", lambda z: (z - target) ** 2, lambda z: 2.0 * (z - target)))


# %% All noise: Gauss-Legendre on pieces between the steps at p and 1 - p, short where a relaxation bends
def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def nodes_between(edges):
    """Return nodes and weights on (0, 1), twelve nodes between each two edges."""
    node, weight = np.polynomial.legendre.leggauss(12)
    ends = np.unique([0.0, *edges, 1.0])
    size = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + size * (node + 1)).ravel(), (size * weight).ravel()


def trained_state(estimator, problem, shape, rng):
    """Return the state after the steps that an estimator with a memory needs."""
    state = estimator.initial_state(problem)
    for _ in range(STEPS if estimator.burn_in else 0):
        _, state = estimator.estimate(problem, rng.random(shape), state)
    return state


def all_noise(logit, two_per_bit):
    """Return every noise (R, 1, 1, 1) or (R, 1, 1, 1, 2) and its weight (R,)."""
    p = sigmoid(logit)
    bends = sigmoid(np.add.outer([logit, -logit], np.arange(-6.0, 7.0, 2.0)).ravel())
    u, weight = nodes_between((p, 1 - p, *bends))
    if not two_per_bit:
        return u.reshape(-1, 1, 1, 1), weight
    v, weight_v = nodes_between(1 - 0.25 ** np.arange(1, 5))
    pairs = np.stack([np.repeat(u, len(v)), np.tile(v, len(u))], axis=-1)
    return pairs.reshape(-1, 1, 1, 1, 2), np.repeat(weight, len(v)) * np.tile(weight_v, len(u))


def mean_and_variance(estimator, logit, target):
    phi = np.array([logit])
    problem = Problem(toy(target), FreePosterior(FAMILY, 1), phi, phi, NO_DATA)
    shape = estimator.noise_spec(FAMILY, DRAWS, 1).shape
    state = trained_state(estimator, problem, shape, np.random.default_rng(0))
    noise, weight = all_noise(logit, two_per_bit=len(shape) == 4)
    estimates, _ = estimator.estimate(problem, noise, state)
    gradient = estimates[:, 0]
    mean = weight @ gradient
    return mean, weight @ (gradient - mean) ** 2


# %% The exact gradient first, then every estimator at every logit
P = sigmoid(LOGITS)
EXACT = np.array([P * (1 - P) * (1 - 2 * t) for t in TARGETS])
MEAN = {}  # (targets, logits) of each estimator
VARIANCE = {}
middle = len(LOGITS) // 2
for estimator in UNBIASED + BIASED:
    moments = np.array([[mean_and_variance(estimator, logit, t) for logit in LOGITS] for t in TARGETS])
    MEAN[estimator.name] = moments[..., 0]
    VARIANCE[estimator.name] = moments[..., 1]
    mean, variance = moments[SHOWN, middle]
    exact = EXACT[SHOWN].max()
    print(f"{estimator.name:<27} l = 0: exact {exact:.4f}, mean {mean:+.4f}, variance {variance:.1e}")

# %% The figure
figure, (left, right) = panels(1, 2, height=4.2)
title = f"Variance, one bit, t = {TARGETS[SHOWN]}"
style_axes(left, title=title, xlabel="logit l", ylabel="variance, loss²")
style_axes(right, title="Means of the biased; dashed: exact", xlabel="logit l", ylabel="gradient, loss")
for estimator in UNBIASED + BIASED:
    name = estimator.name
    color, marker = estimator_style(name)
    look = {"color": color, "marker": marker, "markevery": 4, "markersize": 4, "linewidth": 1.2}
    if name == "arm":  # DisARM lies close to it
        look |= {"linewidth": 4.0, "alpha": 0.5, "markersize": 8}
    line = ":" if estimator in BIASED else "-"
    above_zero = np.maximum(VARIANCE[name][SHOWN], 1e-8)  # zero has no logarithm
    left.semilogy(LOGITS, above_zero, ls=line, label=name, **look)
    if estimator in BIASED:
        right.plot(LOGITS, MEAN[name][SHOWN], ls=line, **look)
left.text(0.02, 0.02, "at the bottom: variance 0", transform=left.transAxes, fontsize=8)
left.set_ylim(bottom=1e-8)
right.plot(LOGITS, EXACT[SHOWN], **EXACT_LINE)
figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
print("figure:", save_figure(figure, OUT, "discrete-on-one-bernoulli")[0])

# %% The claim
for estimator in UNBIASED:
    assert np.abs(MEAN[estimator.name] - EXACT).max() < 1e-9, f"{estimator.name} should be unbiased"
assert (VARIANCE["disarm"] <= VARIANCE["arm"] + 1e-16).all(), "DisARM should be nowhere noisier than ARM"
cool = np.abs(MEAN["concrete-0.5"] - EXACT).max()
warm = np.abs(MEAN["concrete-1"] - EXACT).max()
assert warm > cool > 1e-3, "Concrete should be biased, and more so when warm"
for row, target in enumerate(TARGETS):
    assert (MEAN["straight-through"][row][P < target] < 0).all(), "straight-through points down below t"
assert VARIANCE["disarm"][:, middle].max() < 1e-20, "a fair bit leaves DisARM nothing to chance"
noise = {name: variance.mean() for name, variance in VARIANCE.items()}
assert noise["rebar-0.5"] > noise["score-function"], "REBAR should be misled here"
assert noise["relax-0.5"] < noise["score-function"], "and RELAX should learn"
