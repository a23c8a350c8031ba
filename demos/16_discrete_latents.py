# %% [markdown]
# # Gradients through one bit
# %%
"""One Bernoulli bit, nine estimators: means and variances are integrals over the noise, not sampled.

Claim. REINFORCE, REBAR, RELAX, ARM and DisARM have the exact gradient as their mean, at every logit. DisARM
is nowhere noisier than ARM, and has no variance at l = 0: the pair of a fair bit is always (0, 1). REBAR is
noisier than REINFORCE here, since f dips to zero between its corners; a trained RELAX unlearns that, the one
training more, the other less. Concrete is off, at its worst more so when warm, and straight-through points
the wrong way wherever p < c.

Formula: maximise E_b f(b), f(b) = (b - c)^2, b ~ Bernoulli(p), p = sigmoid(l), so that

    d/dl E f = p (1 - p) (f(1) - f(0)) = p (1 - p) (1 - 2 c)        exact, by two evaluations
    straight-through                     p (1 - p) 2 (p - c)         on average

Source: Tucker et al. (2017), NeurIPS; Grathwohl et al. (2018), ICLR; Dong, Mnih and Tucker (2020), NeurIPS.
Expected time: half a minute. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.distributions import IndependentBernoulli
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    estimator_style,
    figure_folder,
    new_figure,
    save_figure,
    style_axes,
)
from elbo_lab.posteriors import FreePosterior
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
TARGETS = (0.45, 0.49, 0.499)  # the closer to 1/2, the smaller the gradient and the same the noise
SHOWN = 1  # the target of the figure
LOGITS = np.linspace(-4, 4, 5 if QUICK else 33)
TRAININGS = 2 if QUICK else 7  # of RELAX, at the target of the figure
STEPS = 40 if QUICK else 300  # with which RELAX is trained at every logit
DRAWS = 20
UNBIASED = (lab.ScoreFunction(), lab.Rebar(), lab.Relax(), lab.ARM(), lab.DisARM())
BIASED = (lab.Concrete(), lab.Concrete(1.0), lab.StraightThrough(), lab.StraightThroughGumbel())
WORDS = {
    "score-function": "REINFORCE",
    "rebar-0.5": "REBAR",
    "relax-0.5": "RELAX",
    "arm": "ARM",
    "disarm": "DisARM",
    "concrete-0.5": "Concrete, λ = 0.5",
    "concrete-1": "Concrete, λ = 1",
    "straight-through": "straight-through",
    "straight-through-gumbel-0.5": "straight-through Gumbel, λ = 0.5",
}
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


def mean_and_variance(estimator, logit, target, seed=0):
    phi = np.array([logit])
    problem = Problem(toy(target), FreePosterior(FAMILY, 1), phi, phi, NO_DATA)
    shape = estimator.noise_spec(FAMILY, DRAWS, 1).shape
    state = trained_state(estimator, problem, shape, np.random.default_rng(seed))
    noise, weight = all_noise(logit, two_per_bit=len(shape) == 4)
    estimates, _ = estimator.estimate(problem, noise, state)
    gradient = estimates[:, 0]
    mean = weight @ gradient
    return mean, weight @ (gradient - mean) ** 2


# %% The exact gradient first, then every estimator at every logit
P = sigmoid(LOGITS)
EXACT = np.array([P * (1 - P) * (1 - 2 * target) for target in TARGETS])
MEAN = {}  # (targets, logits) of each estimator
VARIANCE = {}
middle = len(LOGITS) // 2
for estimator in UNBIASED + BIASED:
    moments = np.array([[mean_and_variance(estimator, logit, c) for logit in LOGITS] for c in TARGETS])
    MEAN[estimator.name] = moments[..., 0]
    VARIANCE[estimator.name] = moments[..., 1]
    mean, variance = moments[SHOWN, middle]
    exact = EXACT[SHOWN].max()
    print(f"{estimator.name:<27} l = 0: exact {exact:.4f}, mean {mean:+.4f}, variance {variance:.1e}")

# %% RELAX learns, so that its variance depends on the training: the same with other noise
target = TARGETS[SHOWN]
seeds = range(TRAININGS)
again = [[mean_and_variance(lab.Relax(), logit, target, seed)[1] for logit in LOGITS] for seed in seeds]
least, median, most = np.quantile(again, (0.0, 0.5, 1.0), axis=0)
print(f"RELAX at l = 0, {TRAININGS} trainings: variance {least[middle]:.0e} to {most[middle]:.0e}")


# %% The figure: the unbiased above, the biased below; a variance counts once for each evaluation of f
def draw_estimators(figure, estimators, title, markers):
    left, right = figure.subplots(1, 2)
    style_axes(left, title=f"{title}: mean", xlabel="logit l", ylabel="gradient, cost")
    style_axes(right, title=f"{title}: noise", xlabel="logit l", ylabel="variance × evaluations, cost²")
    for place, estimator in enumerate(estimators):
        name = estimator.name
        color, marker = estimator_style(name)
        look = {"color": COLORS.get(name, color), "marker": marker, "markersize": 4, "linewidth": 1.2}
        cost = estimator.evaluations(DRAWS, FAMILY) / DRAWS
        variance = median if name == "relax-0.5" else VARIANCE[name][SHOWN]
        if name == "relax-0.5":
            right.fill_between(LOGITS, cost * least, cost * most, color=color, alpha=0.2, lw=0)
        if name == "arm":  # DisARM lies close to it
            look |= {"linewidth": 4.0, "alpha": 0.5, "markersize": 8}
        shown = np.where(variance > 1e-20, cost * variance, np.nan)  # zero has no logarithm
        right.semilogy(LOGITS, shown, markevery=(place % 4, 4), label=WORDS[name], **look)
        every = (place, 5) if markers else (place % 4, 4)
        line = {"linestyle": "none"} if markers else {}
        left.plot(LOGITS, MEAN[name][SHOWN], markevery=every, **{**look, "markersize": 5}, **line)
    left.plot(LOGITS, EXACT[SHOWN], label="exact", **EXACT_LINE)
    handles = right.get_legend_handles_labels()[0] + left.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return left, right


COLORS = {"concrete-1": "#4477AA", "relax-0.5": "#771122"}
figure = new_figure(7.4, STYLE["page_width"])
figure.suptitle(f"One bit, f(b) = (b - {target})²; λ: temperature", fontsize=STYLE["title_size"])
above, below = figure.subfigures(2, 1)
_, noise_of_unbiased = draw_estimators(above, UNBIASED, "Unbiased", markers=True)
draw_estimators(below, BIASED, "Biased", markers=False)
words = f"DisARM: 0 at l = 0\nband: RELAX, {TRAININGS} trainings"
noise_of_unbiased.text(0.03, 0.03, words, transform=noise_of_unbiased.transAxes, fontsize=8)
noise_of_unbiased.set_ylim(bottom=1e-9)
caption = (
    "Mean and noise of the estimators through one Bernoulli bit, against its logit. The unbiased ones lie on "
    "the exact gradient; straight-through and Concrete do not."
)
print("figure:", save_figure(figure, OUT, "discrete-on-one-bernoulli", caption)[0])

# %% The claim
for estimator in UNBIASED:
    assert np.abs(MEAN[estimator.name] - EXACT).max() < 1e-9, f"{estimator.name} should be unbiased"
assert (VARIANCE["disarm"] <= VARIANCE["arm"] + 1e-16).all(), "DisARM should be nowhere noisier than ARM"
cool = np.abs(MEAN["concrete-0.5"] - EXACT).max()
warm = np.abs(MEAN["concrete-1"] - EXACT).max()
assert warm > cool > 1e-3, "Concrete should be biased, and more so when warm"
for row, target in enumerate(TARGETS):
    assert (MEAN["straight-through"][row][P < target] < 0).all(), "straight-through points down below c"
assert VARIANCE["disarm"][:, middle].max() < 1e-20, "a fair bit leaves DisARM nothing to chance"
noise = {name: variance.mean() for name, variance in VARIANCE.items()}
assert noise["rebar-0.5"] > noise["score-function"], "REBAR should be misled here"
assert noise["relax-0.5"] < noise["score-function"], "and RELAX should learn"
of_reinforce = VARIANCE["score-function"][SHOWN].mean()
assert max(map(np.mean, again)) < of_reinforce, "in every training"
