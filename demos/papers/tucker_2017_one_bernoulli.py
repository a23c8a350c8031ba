# %% [markdown]
# # One Bernoulli: a bias that stops short of the optimum, and a control variate that does not fit
# %%
"""The toy of REBAR and RELAX by integration: where descent ends, and how noisy each estimator is on the way.

Claim. The minimum is a certain bit. Concrete stops at an uncertain one, for t = 0.499 even when it is cold.
REBAR at temperature 0.5 helps nowhere, not even with the best coefficient c: the loss between corners says
nothing about them. Very hot it is all but a baseline, and helps at 0.45. RELAX learns what helps at every t.
Formula: minimise E (b - t)^2, b ~ Bernoulli(p), p = sigmoid(a), from a = 0; s = d log q(b)/da:
    dL/da = p (1 - p) (1 - 2 t),    REBAR  g = [f(b) - c f(y~)] s + c df(y)/da - c df(y~)/da
Source: Tucker, Mnih, Maddison, Lawson and Sohl-Dickstein (2017), REBAR, NeurIPS, figure 1 (t = 0.45);
Grathwohl, Choi, Wu, Roeder and Duvenaud (2018), Backpropagation through the Void, ICLR, toy (t = 0.499).
Theirs are sampled runs that tune temperature and c; here all is exact, along the exact descent. What it must
show: Concrete ends between 0 and 1; at 0.499 RELAX alone is quieter.
Expected time: half a minute; with ELBO_LAB_QUICK=1 three seconds. The figure goes to ELBO_LAB_OUT.
"""

import os

import numpy as np
from _paper import COLUMNS, paper_parser, publish, read_options
from scipy.optimize import brentq

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.distributions import IndependentBernoulli
from elbo_lab.plots import figure_folder, legend_inside, marker_keywords, panels, save_figure, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import display_name
from elbo_lab.special import sigmoid
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
TARGETS = (0.45, 0.499) if QUICK else (0.45, 0.49, 0.499)
TEMPERATURES = (1.0, 0.5, 0.25, 0.1, 0.05)
WARM = 0.5
HOT = 100.0
PATH = np.linspace(0.0, -4.0, 2 if QUICK else 9)  # descent moves a down, at every t
RELAX = lab.Relax(0.5)
STEPS = 100 if QUICK else 600  # to train RELAX at every point of the path
DRAWS = 20
BARE, REBAR, LEARNED = "score-function", "rebar-0.5", "relax-0.5"
POSTERIOR = FreePosterior(IndependentBernoulli(1), 1)


# %% All noise: Gauss-Legendre on pieces, short where a relaxation bends, long in the tails
def nodes_between(*edges):
    node, weight = np.polynomial.legendre.leggauss(12)
    ends = np.unique(np.concatenate([[0.0, 1.0], *edges]))
    size = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + size * (node + 1)).ravel(), (size * weight).ravel()


def first_noise(a, temperature):
    """Return nodes u and weights, where zeta = a + log((1 - u) / u)."""
    bends = a - temperature * np.arange(-24.0, 24.1, 4.0)
    return nodes_between(sigmoid(bends), sigmoid(np.arange(-36.0, 37.0, 6.0)))


def both_noises(a, temperature):
    """Return pairs (R, 1, 1, 1, 2) of u and v, and weights; |zeta~| = z at v = (1 + e^m) / (e^z + e^m)."""
    z = np.concatenate([temperature * np.arange(0.0, 24.1, 4.0), np.arange(4.0, 41.0, 4.0)])
    edges = [np.exp(np.logaddexp(0.0, m) - np.logaddexp(z, m)) for m in (a, -a)]
    v, weight_v = nodes_between(*edges)
    u, weight_u = first_noise(a, temperature)
    pairs = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1)
    return pairs.reshape(-1, 1, 1, 1, 2), np.outer(weight_u, weight_v).ravel()


def problem_at(a, t):
    """Return the problem of climbing minus the loss (b - t)^2, at logit a."""
    climbed = Cost("minus the loss", lambda z: -((z - t) ** 2), lambda z: -2.0 * (z - t))
    logit = np.array([a])
    return Problem(CostModel(POSTERIOR.family, climbed), POSTERIOR, logit, logit, NO_DATA)


def estimates(estimator, a, t, noise, state=lab.NO_STATE):
    return estimator.estimate(problem_at(a, t), noise, state)[0][:, 0]


# %% Where descent along Concrete ends: its mean changes sign, the exact gradient never does
def mean_of_concrete(a, t, temperature):
    u, weight = first_noise(a, temperature)
    return weight @ estimates(lab.Concrete(temperature), a, t, u.reshape(-1, 1, 1, 1))


def end_of_concrete(t, temperature):
    """Return P(b = 1) where descent from a fair bit ends: 0 if it is downhill everywhere."""
    grid = np.linspace(0.0, -10.0, 21)
    upwards = [mean_of_concrete(a, t, temperature) > 0.0 for a in grid]
    i = np.argmax(upwards)
    if i == 0:
        return 0.0
    return sigmoid(brentq(mean_of_concrete, grid[i - 1], grid[i], args=(t, temperature)))


ends = {(t, temperature): end_of_concrete(t, temperature) for t in TARGETS for temperature in TEMPERATURES}


# %% The variance of every estimator on the way down
def trained_relax(state, a, t, rng):
    """Return the state of RELAX after so many more steps at a point of the path."""
    problem = problem_at(a, t)
    for _ in range(STEPS):
        _, state = RELAX.estimate(problem, rng.random((DRAWS, 1, 1, 2)), state)
    return state


def measured(a, t, temperature, state):
    """Return {estimator: exact variance}, and what the best multiple of REBAR's control leaves of it."""
    noise, weight = both_noises(a, temperature)
    exact = -sigmoid(a) * sigmoid(-a) * (1.0 - 2.0 * t)
    values = {
        BARE: estimates(lab.ScoreFunction(), a, t, noise[..., 0]),
        REBAR: estimates(lab.Rebar(temperature), a, t, noise),
        LEARNED: estimates(RELAX, a, t, noise, state),
    }
    variance = {}
    for name, gradient in values.items():
        assert abs(weight @ gradient - exact) < 1e-8, f"{name} should be unbiased"
        variance[name] = weight @ (gradient - exact) ** 2
    control = values[BARE] - values[REBAR]  # has mean zero
    explained = (weight @ (control * values[BARE])) ** 2 / (weight @ control**2)
    return variance, 1.0 - explained / variance[BARE]


variance = {}
left_by_rebar = {}
for t in TARGETS:
    rng = np.random.default_rng(0)
    state = RELAX.initial_state(problem_at(0.0, t))
    for a in PATH:
        state = trained_relax(state, a, t, rng)
        variance[t, a], left_by_rebar[t, a] = measured(a, t, WARM, state)
hot_left = {t: measured(0.0, t, HOT, state)[1] for t in TARGETS}

# %% The figure
figure, (left, right) = panels(1, 2, height=3.4)
style_axes(
    left, title="Where Concrete ends, by target t; optimum: 0", xlabel="temperature", ylabel="P(b = 1)"
)
for t, color in zip(TARGETS, ("#0072B2", "#D55E00", "#222222"), strict=False):
    left.semilogx(TEMPERATURES, [ends[t, one] for one in TEMPERATURES], "o-", color=color, label=f"t = {t}")
style_axes(right, title="Exact variance of one draw, target t = 0.499", xlabel="P(b = 1), down from 1/2")
for name in (BARE, REBAR, LEARNED):
    curve = [variance[0.499, a][name] for a in PATH]
    look = {**marker_keywords(name), "linestyle": "none" if QUICK else "-", "label": display_name(name)}
    if name == LEARNED:
        look["label"] += ", a training for each point"
    right.semilogy(sigmoid(PATH), curve, **look)
right.invert_xaxis()
legend_inside(left)
legend_inside(right)
caption = (
    "Where Concrete ends on one bit, by temperature, short of the optimum at 0; and the exact variance of "
    "REBAR and RELAX on the way there."
)
print("figure:", save_figure(figure, OUT, "tucker-2017-one-bernoulli", caption)[0])

# %% The claim
relax = {t: max(variance[t, a][LEARNED] / variance[t, a][BARE] for a in PATH) for t in TARGETS}
rows = [(f"Concrete 0.5 ends at, t = {t}", "stochastic", ends[t, 0.5], "Tucker, figure 1") for t in TARGETS]
rows += [("Concrete 0.1 ends at, t = 0.45", "close to 0", ends[0.45, 0.1], "Tucker, toy")]
for t in TARGETS:
    label = f"REBAR {WARM:g}, best c / REINFORCE, t = {t}"
    rows.append((label, None, left_by_rebar[t, 0.0], "curves there, tuned"))
for t in TARGETS:
    rows.append((f"REBAR {HOT:g}, best c / REINFORCE, t = {t}", None, hot_left[t], "curves there, tuned"))
rows += [(f"RELAX / REINFORCE, t = {t}", "below 1", relax[t], "Grathwohl, toy") for t in TARGETS]
publish([dict(zip(COLUMNS, row, strict=True)) for row in rows], "One bit: REBAR and RELAX", ASKED, QUICK)
for t in TARGETS:
    assert ends[t, 0.5] > 0.3, "warm Concrete stays stochastic"
assert ends[0.45, 0.1] < 1e-4, "cold Concrete ends well"
assert ends[0.499, 0.05] > 0.4, "unless the gradient is tiny"
assert min(left_by_rebar.values()) > 0.99, "REBAR at temperature 0.5 is no help"
assert hot_left[0.45] < 0.1, "a hot one is a baseline by another name"
assert hot_left[0.499] > 0.9, "which does not help a tiny gradient"
assert max(relax.values()) < (0.5 if QUICK else 0.05), "RELAX learns its own"
