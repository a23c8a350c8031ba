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
from elbo_lab.plots import estimator_style, figure_folder, new_figure, save_figure
from elbo_lab.plots.style import EXACT_LINE, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
TARGETS = (0.45, 0.49, 0.499)  # the closer to 1/2, the smaller the gradient and the same the noise
SHOWN = 1  # the target of the figure
LOGITS = np.linspace(-4, 4, 5 if QUICK else 33)
STEPS, DRAWS = (40, 20) if QUICK else (300, 20)  # with which RELAX is trained at every logit
UNBIASED = (lab.ScoreFunction(), lab.Rebar(), lab.Relax(), lab.ARM(), lab.DisARM())
BIASED = (lab.Concrete(), lab.Concrete(1.0), lab.StraightThrough(), lab.StraightThroughGumbel())
FAMILY = IndependentBernoulli(1)


# %% The toy as a model whose ELBO is the bare E (b - t)^2
def toy(target):
    return CostModel(FAMILY, Cost("bit", lambda z: (z - target) ** 2, lambda z: 2.0 * (z - target)))


# %% All noise: Gauss-Legendre on pieces between the steps at p and 1 - p, short where a relaxation bends
def panels(edges):
    node, weight = np.polynomial.legendre.leggauss(12)
    ends = np.unique([0.0, *edges, 1.0])
    size = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + size * (node + 1)).ravel(), (size * weight).ravel()


def mean_and_variance(estimator, logit, target, rng):
    phi = np.array([logit])
    problem = Problem(toy(target), FreePosterior(FAMILY, 1), phi, phi, NO_DATA)
    spec, state = estimator.noise_spec(FAMILY, DRAWS, 1), estimator.initial_state(problem)
    for _ in range(STEPS if estimator.burn_in else 0):
        state = estimator.estimate(problem, rng.random(spec.shape), state)[1]
    p = 1 / (1 + np.exp(-logit))
    bends = 1 / (1 + np.exp(-np.add.outer([logit, -logit], np.arange(-6.0, 7.0, 2.0)).ravel()))
    (u, weight), (v, weight_v) = panels((p, 1 - p, *bends)), panels(1 - 0.25 ** np.arange(1, 5))
    noise = u.reshape(-1, 1, 1, 1)
    if len(spec.shape) == 4:  # a second uniform per bit
        noise = np.stack([np.repeat(u, len(v)), np.tile(v, len(u))], axis=-1).reshape(-1, 1, 1, 1, 2)
        weight = np.repeat(weight, len(v)) * np.tile(weight_v, len(u))
    g = estimator.estimate(problem, noise, state)[0][:, 0]
    return weight @ g, weight @ (g - weight @ g) ** 2


# %% The exact gradient first, then every estimator at every logit
P = 1 / (1 + np.exp(-LOGITS))
EXACT = np.array([P * (1 - P) * (1 - 2 * t) for t in TARGETS])
MEAN, VARIANCE = {}, {}
for one in UNBIASED + BIASED:
    found = [[mean_and_variance(one, a, t, np.random.default_rng(0)) for a in LOGITS] for t in TARGETS]
    MEAN[one.name], VARIANCE[one.name] = np.moveaxis(found, -1, 0)
    at_zero = "mean {:+.4f}, variance {:.1e}".format(*found[SHOWN][len(P) // 2])
    print(f"{one.name:<27} l = 0: exact {EXACT[SHOWN].max():.4f}, {at_zero}")

# %% The figure
figure = new_figure(4.2)
left, right = figure.subplots(1, 2)
style_axes(
    left,
    title=f"Variance, one bit, t = {TARGETS[SHOWN]}",
    xlabel="logit l",
    ylabel="variance, loss²",
)
style_axes(right, title="Means of the biased; dashed: exact", xlabel="logit l", ylabel="gradient, loss")
for one in UNBIASED + BIASED:
    color, marker = estimator_style(one.name)
    kind = {"color": color, "marker": marker, "markevery": 4, "markersize": 4, "linewidth": 1.2}
    shown = np.maximum(VARIANCE[one.name][SHOWN], 1e-8)  # zero has no logarithm
    if one.name == "arm":  # DisARM lies close to it
        kind |= {"linewidth": 4.0, "alpha": 0.5, "markersize": 8}
    left.semilogy(LOGITS, shown, **kind, label=one.name, ls=":" if one in BIASED else "-")
    if one in BIASED:
        right.plot(LOGITS, MEAN[one.name][SHOWN], **kind, ls=":")
left.text(0.02, 0.02, "at the bottom: variance 0", transform=left.transAxes, fontsize=8)
left.set_ylim(bottom=1e-8)
right.plot(LOGITS, EXACT[SHOWN], **EXACT_LINE)
figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
print("figure:", save_figure(figure, OUT, "discrete-on-one-bernoulli")[0])

# %% The claim
for one in UNBIASED:
    assert np.abs(MEAN[one.name] - EXACT).max() < 1e-9, f"{one.name} should be unbiased"
assert (VARIANCE["disarm"] <= VARIANCE["arm"] + 1e-16).all(), "DisARM should be nowhere noisier than ARM"
cool, warm = (np.abs(MEAN[name] - EXACT).max() for name in ("concrete-0.5", "concrete-1"))
assert warm > cool > 1e-3, "Concrete should be biased, and more so when warm"
wrong = [MEAN["straight-through"][row][P < t] for row, t in enumerate(TARGETS)]
assert max(part.max() for part in wrong) < 0, "straight-through should point down below t"
assert VARIANCE["disarm"][:, len(P) // 2].max() < 1e-20, "a fair bit leaves DisARM nothing to chance"
means = [VARIANCE[name].mean() for name in ("score-function", "rebar-0.5", "relax-0.5")]
assert means[1] > means[0] > means[2], "REBAR should be misled here, and RELAX should learn"
