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

import itertools
import os

import numpy as np
from _paper import COLUMNS, paper_parser, publish, read_options
from scipy.optimize import brentq

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.distributions import IndependentBernoulli
from elbo_lab.plots import figure_folder, new_figure, save_figure
from elbo_lab.plots.style import marker_keywords, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.special import sigmoid
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED, OUT = read_options(paper_parser(__doc__)), figure_folder()
TARGETS, TEMPERATURES = (0.45, 0.499) if QUICK else (0.45, 0.49, 0.499), (1.0, 0.5, 0.25, 0.1, 0.05)
PATH = np.linspace(0.0, -4.0, 2 if QUICK else 9)  # descent moves a down, at every t
STEPS, DRAWS, RELAX = 100 if QUICK else 600, 20, lab.Relax(0.5)  # to train it at every point of the path
NAMES, Q = ("score-function", "rebar-0.5", "relax-0.5"), FreePosterior(IndependentBernoulli(1), 1)


# %% All noise: Gauss-Legendre on pieces, short where a relaxation bends, long in the tails
def panels(*edges):
    node, weight = np.polynomial.legendre.leggauss(12)
    ends = np.unique(np.concatenate([[0.0, 1.0], *edges]))
    size = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + size * (node + 1)).ravel(), (size * weight).ravel()


def first_noise(a, temperature):  # zeta = a + log((1 - u) / u)
    return panels(*map(sigmoid, (a - temperature * np.arange(-24.0, 24.1, 4.0), np.arange(-36.0, 37.0, 6.0))))


def both_noises(a, temperature):  # |zeta~| = z at v = (1 + e^m) / (e^z + e^m), m = a or -a
    z = np.concatenate([temperature * np.arange(0.0, 24.1, 4.0), np.arange(4.0, 41.0, 4.0)])
    v, w = panels(*(np.exp(np.logaddexp(0.0, m) - np.logaddexp(z, m)) for m in (a, -a)))
    u, p = first_noise(a, temperature)
    pairs = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1)
    return pairs.reshape(-1, 1, 1, 1, 2), np.outer(p, w).ravel()


def run(estimator, a, t, noise, state=lab.NO_STATE):
    climbed = Cost("minus the loss", lambda z: -((z - t) ** 2), lambda z: -2.0 * (z - t))
    model, at = CostModel(Q.family, climbed), np.array([a])
    return estimator.estimate(Problem(model, Q, at, at, NO_DATA), noise, state)


# %% Where descent along Concrete ends: its mean changes sign, the exact gradient never does
def concrete(a, t, temperature):
    u, p = first_noise(a, temperature)
    return p @ run(lab.Concrete(temperature), a, t, u.reshape(-1, 1, 1, 1))[0][:, 0]


ENDS, grid = {}, np.linspace(0.0, -10.0, 21)
for where in itertools.product(TARGETS, TEMPERATURES):
    i = np.argmax([concrete(a, *where) > 0.0 for a in grid])  # 0 if it is downhill everywhere
    ENDS[where] = sigmoid(brentq(concrete, grid[i - 1], grid[i], args=where)) if i else 0.0

# %% The variance of every estimator on the way down
VARIANCE, LEFT = {}, {}
for t, a, temperature in [(t, a, 0.5) for t in TARGETS for a in PATH] + [(t, 0.0, 100.0) for t in TARGETS]:
    if (a, temperature) == (0.0, 0.5):
        rng = np.random.default_rng(0)
        state = RELAX.initial_state(Problem(None, Q, np.array([a]), np.array([a]), NO_DATA))
    for _ in range(STEPS):
        state = run(RELAX, a, t, rng.random((DRAWS, 1, 1, 2)), state)[1]
    (noise, p), exact = both_noises(a, temperature), -sigmoid(a) * sigmoid(-a) * (1.0 - 2.0 * t)
    three = ((lab.ScoreFunction(), noise[..., 0]), (lab.Rebar(temperature), noise), (RELAX, noise))
    bare, rebar, _ = found = [run(estimator, a, t, its, state)[0] for estimator, its in three]
    for name, g in zip(NAMES, found, strict=True):
        assert abs(p @ g[:, 0] - exact) < 1e-8, f"{name} should be unbiased"
        VARIANCE[t, a, temperature, name] = p @ (g[:, 0] - exact) ** 2
    control = (bare - rebar)[:, 0]  # has mean zero; what the best coefficient leaves:
    explained = (p @ (control * bare[:, 0])) ** 2 / (p @ control**2)
    LEFT[t, a, temperature] = 1.0 - explained / VARIANCE[t, a, temperature, NAMES[0]]

# %% The figure
left, right = (figure := new_figure(3.4)).subplots(1, 2)
style_axes(left, title="Where Concrete ends; optimum: 0", xlabel="temperature", ylabel="P(b = 1)")
for t, color in zip(TARGETS, ("#0072B2", "#D55E00", "#222222"), strict=False):
    left.semilogx(TEMPERATURES, [ENDS[t, one] for one in TEMPERATURES], "o-", color=color, label=f"t = {t}")
style_axes(right, title="Variance of one draw, t = 0.499, exact", xlabel="P(b = 1), down from 1/2")
for name in NAMES:
    curve = [VARIANCE[0.499, a, 0.5, name] for a in PATH]
    right.semilogy(sigmoid(PATH), curve, ls="none" if QUICK else "-", **marker_keywords(name), label=name)
right.invert_xaxis(), left.legend(frameon=False, fontsize=8), right.legend(frameon=False, fontsize=8)
print("figure:", save_figure(figure, OUT, "tucker-2017-one-bernoulli")[0])

# %% The claim
relax = {t: max(VARIANCE[t, a, 0.5, NAMES[2]] / VARIANCE[t, a, 0.5, NAMES[0]] for a in PATH) for t in TARGETS}
rows = [(f"Concrete 0.5 ends at, t = {t}", "stochastic", ENDS[t, 0.5], "Tucker, figure 1") for t in TARGETS]
rows += [("Concrete 0.1 ends at, t = 0.45", "close to 0", ENDS[0.45, 0.1], "Tucker, toy")]
for hot, t in itertools.product((0.5, 100.0), TARGETS):
    rows += [(f"REBAR {hot:g}, best c / REINFORCE, t = {t}", None, LEFT[t, 0.0, hot], "curves there, tuned")]
rows += [(f"RELAX / REINFORCE, t = {t}", "below 1", relax[t], "Grathwohl, toy") for t in TARGETS]
publish([dict(zip(COLUMNS, row, strict=True)) for row in rows], "One bit: REBAR and RELAX", ASKED, QUICK)
assert all(ENDS[t, 0.5] > 0.3 for t in TARGETS) and ENDS[0.45, 0.1] < 1e-4 < 0.4 < ENDS[0.499, 0.05]
assert min(LEFT[t, a, 0.5] for t in TARGETS for a in PATH) > 0.99, "REBAR at temperature 0.5 is no help"
assert LEFT[0.45, 0.0, 100.0] < 0.1 < 0.9 < LEFT[0.499, 0.0, 100.0], "a baseline by another name"
assert max(relax.values()) < (0.5 if QUICK else 0.05), "RELAX learns its own"
