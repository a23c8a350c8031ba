# %% [markdown]
# # What lies between the corners of one bit
# %%
"""Two costs of a bit with the same values at 0 and 1: which estimators can tell them apart?

Claim. Only f(0) and f(1) count for the gradient. REINFORCE, leave-one-out, ARM and DisARM look at nothing
else: on both costs they have the same mean and the same variance, digit by digit. Straight-through, Concrete,
REBAR and RELAX look between the corners. Where f is a straight line there, straight-through is right on
average and REBAR has less than a six-hundredth of the variance of REINFORCE; where f dips, straight-through
is 24 times too large and REBAR is noisier than REINFORCE. RELAX learns what lies there: quiet on both.

Formula, with b ~ Bernoulli(p), p = sigmoid(l), and the noise u integrated, not sampled:

    f(b) = (b - 0.49)^2  and  f(b) = 0.2401 + 0.02 b:    both 0.2401 at 0 and 0.2601 at 1
    d/dl E f(b) = p (1 - p) (f(1) - f(0)) = 0.0039 at l = 1

Source: Tucker et al. (2017), NeurIPS; Grathwohl et al. (2018), ICLR; Dong, Mnih and Tucker (2020), NeurIPS.
Expected time: four seconds. The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
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
    legend_inside,
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
LOGIT = np.array([1.0])
P = 1.0 / (1.0 + np.exp(-1.0))
NODES = 24 if QUICK else 60  # of Gauss-Legendre on every piece of the noise
DIP = Cost("dip", lambda b: (b - 0.49) ** 2, lambda b: 2.0 * (b - 0.49))
LINE = Cost("line", lambda b: 0.2401 + 0.02 * b, lambda b: np.full_like(b, 0.02))
DIP_COLOR, LINE_COLOR = "#BB5566", "#004488"
ESTIMATORS = {
    "REINFORCE": lab.ScoreFunction(),
    "leave-one-out, two draws": lab.ScoreFunctionLOO(),
    "ARM": lab.ARM(),
    "DisARM": lab.DisARM(),
    "REBAR, λ = 0.5": lab.Rebar(0.5),
    "RELAX, λ = 0.5": lab.Relax(0.5),
    "straight-through": lab.StraightThrough(),
    "Concrete, λ = 0.5": lab.Concrete(0.5),
    "Concrete, λ = 0.1": lab.Concrete(0.1),
}
VALUES_ONLY = ("REINFORCE", "leave-one-out, two draws", "ARM", "DisARM")
FAMILY = IndependentBernoulli(1)


# %% All noise: one uniform, or two, by Gauss-Legendre between the steps at p and at 1 - p
def pieces(*edges):
    """Return nodes and weights on (0, 1), between each two edges."""
    node, weight = np.polynomial.legendre.leggauss(NODES)
    size = np.diff(edges)[:, None] / 2
    return (np.array(edges[:-1])[:, None] + size * (node + 1)).ravel(), (size * weight).ravel()


def all_noise(shape):
    """Return every noise (R, *shape), and its weight (R,): u alone, u and v of a pair, or two draws."""
    u, of_u = pieces(0.0, 1 - P, P, 1.0)
    if np.prod(shape) == 1:
        return u.reshape(-1, *shape), of_u
    v, of_v = (u, of_u) if shape[0] == 2 else pieces(0.0, 0.5, 1.0)
    pairs = np.stack([np.repeat(u, len(v)), np.tile(v, len(u))], axis=-1)
    return pairs.reshape(-1, *shape), np.outer(of_u, of_v).ravel()


def single_estimates(estimator, cost):
    """Return u (R,), the estimates (R,) and their weights (R,)."""
    problem = Problem(CostModel(FAMILY, cost), FreePosterior(FAMILY, 1), LOGIT, LOGIT, NO_DATA)
    state, rng = estimator.initial_state(problem), np.random.default_rng(0)
    for _ in range(estimator.burn_in):
        noise = rng.random(estimator.noise_spec(FAMILY, 20, 1).shape)
        _, state = estimator.estimate(problem, noise, state)
    shape = estimator.noise_spec(FAMILY, estimator.minimum_draws, 1).shape
    noise, weight = all_noise(shape)
    estimates, _ = estimator.estimate(problem, noise, state)
    return noise.reshape(len(noise), -1)[:, 0], estimates[:, 0], weight


# %% The exact gradient first, then the mean and the standard deviation of every estimator
EXACT = P * (1 - P) * 0.02
print(f"exact gradient {EXACT:.5f}")
print("                                 dip: mean  deviation     line: mean  deviation")
MOMENTS = {}
for name, estimator in ESTIMATORS.items():
    for cost in (DIP, LINE):
        _, g, weight = single_estimates(estimator, cost)
        mean = weight @ g
        MOMENTS[name, cost.name] = mean, np.sqrt(weight @ (g - mean) ** 2)
    numbers = [f"{mean:+12.5f} {sd:10.5f}" for mean, sd in (MOMENTS[name, "dip"], MOMENTS[name, "line"])]
    print(f"{name:<28}", "  ".join(numbers))

# %% The first figure: the two costs, and what each estimator makes of them
figure = new_figure(7.6, STYLE["page_width"])
above, below = figure.subplots(2, 1, height_ratios=(2.2, 4.6))
b = np.linspace(0.0, 1.0, 101)
style_axes(above, title="Two costs with the same corners", xlabel="b", ylabel="f(b), cost")
above.plot(b, DIP.value(b), color=DIP_COLOR, label="dip: (b - 0.49)²")
above.plot(b, LINE.value(b), color=LINE_COLOR, label="line: 0.2401 + 0.02 b")
above.plot([0, 1], [0.2401, 0.2601], "o", color="black", label="the two values that count")
legend_inside(above, "center")
title = f"Mean ± standard deviation (dashed: exact, {EXACT:.4f})"
style_axes(below, title=title, xlabel="estimate of the gradient, cost per unit of l")
for place, name in enumerate(ESTIMATORS):
    for cost, color, shift in (("dip", DIP_COLOR, -0.16), ("line", LINE_COLOR, 0.16)):
        mean, sd = MOMENTS[name, cost]
        below.errorbar(mean, place + shift, xerr=sd, fmt="o", color=color, markersize=5, capsize=3, lw=1.6)
below.axvline(EXACT, **EXACT_LINE)
below.axhline(5.5, color=STYLE["faint"], lw=0.8)
below.text(0.37, 5.42, "unbiased", ha="right", va="bottom", fontsize=STYLE["note_size"])
below.text(0.37, 5.58, "biased", ha="right", va="top", fontsize=STYLE["note_size"])
below.set_yticks(range(len(ESTIMATORS)), list(ESTIMATORS))
below.set_xlim(-0.38, 0.38)
below.invert_yaxis()
caption = (
    "Above, two costs of a bit with the same two corners: one dips between them, one is a line. Below, "
    "exact mean and standard deviation of nine estimators of the gradient. The first four do not care "
    "which cost it is; REBAR, straight-through and Concrete do."
)
print("figure:", save_figure(figure, OUT, "one-bit-between-the-corners", caption)[0])

# %% The second figure: an estimate as a function of its noise; its mean is the area
figure = new_figure(6.4, STYLE["page_width"])
above, below = figure.subplots(2, 1, sharex=True)
style_axes(above, title="REINFORCE, and two biased ones", ylabel="estimate g(u)")
style_axes(
    below, title="The pair u and 1 - u (scale 20 times finer)", xlabel="noise u", ylabel="estimate g(u)"
)
shown = (("REINFORCE", above), ("straight-through", above), ("Concrete, λ = 0.5", above))
for name, ax in (*shown, ("ARM", below), ("DisARM", below)):
    u, g, _ = single_estimates(ESTIMATORS[name], DIP)
    order = np.argsort(u)
    color = estimator_style(ESTIMATORS[name].name).color
    label = f"{name}: area {MOMENTS[name, 'dip'][0]:.4f}"
    ax.plot(u[order], g[order], color=color, lw=1.8, label=label)
for ax in (above, below):
    ax.axhline(EXACT, **EXACT_LINE, label=f"exact: {EXACT:.4f}")
    legend_inside(ax, "lower left" if ax is above else "upper center")
    ax.axhline(0.0, color=STYLE["grid"], lw=0.8, zorder=0)
caption = (
    "Five estimators as functions of the noise u; the mean is the area. REINFORCE has the right area by "
    "two large pieces that cancel, straight-through and Concrete have a wrong one. ARM is a slanted "
    "piece, DisARM the same piece made flat."
)
print("figure:", save_figure(figure, OUT, "one-bit-noise", caption)[0])

# %% The claim
for name in ESTIMATORS:
    (mean_dip, sd_dip), (mean_line, sd_line) = MOMENTS[name, "dip"], MOMENTS[name, "line"]
    if name in VALUES_ONLY:
        assert abs(mean_dip - mean_line) < 1e-12, f"{name} should not see between the corners"
        assert abs(sd_dip - sd_line) < 1e-12, f"{name} should not see between the corners"
    if ESTIMATORS[name].unbiased:
        assert abs(mean_dip - EXACT) < 1e-9, f"{name} should be unbiased"
        assert abs(mean_line - EXACT) < 1e-9, f"{name} should be unbiased"
reinforce = MOMENTS["REINFORCE", "dip"][1]
assert abs(MOMENTS["straight-through", "line"][0] - EXACT) < 1e-12, "a line is what straight-through assumes"
assert 24 < MOMENTS["straight-through", "dip"][0] / EXACT < 25, "and the dip misleads it"
assert MOMENTS["REBAR, λ = 0.5", "dip"][1] > reinforce > MOMENTS["REBAR, λ = 0.5", "line"][1] * 600**0.5
assert max(MOMENTS["RELAX, λ = 0.5", cost][1] for cost in ("dip", "line")) < reinforce / 10
