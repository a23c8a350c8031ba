# %% [markdown]
# # Bayesian logistic regression with three gradient estimators
# %%
"""The same descent with three gradients: who arrives, and how noisy they are on the way.

Claim. With 50 draws of q and minibatches of 32 rows the pathwise gradient ends within a tenth of a nat of the
best mean-field ELBO, the bare score function two nats below: its variance is hundreds of times larger. A
leave-one-out baseline takes off most of that. Coupled measure-valued gradients are as quiet as pathwise ones,
draw for draw, at 94 evaluations of f for one; with a single draw they still arrive.

Formula: weights z ~ N(0, I), f = log p(y | z) = sum_m log sigmoid(s_m z . f_m), q = N(m, diag(s^2)):
    ELBO = E_q f(z) - KL(q || p),   E_q f from B rows times M / B, the KL and its gradient in closed form

Source: Mohamed, Rosca, Figurnov and Mnih (2020), JMLR 21(132), their case study, in the set-up of its public
code: breast cancer data (569 rows; 30 columns standardised by the population sd, and a constant), q from mean
and log sd 0, B = 32, 50 draws, ascent with the rate 1e-3 cos(pi t / 2T), T = 5000. What it must show: the
order of the curves, which the paper draws and does not print. New here: all ELBOs are exact, by quadrature.
Expected time: half a minute; with ELBO_LAB_QUICK=1 two seconds, less far. The figure goes to ELBO_LAB_OUT.
"""

import os

import numpy as np
from _paper import COLUMNS, paper_parser, publish, read_options

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.datasets import load
from elbo_lab.distributions import draw_noise
from elbo_lab.exact.projected import expected_log_joint
from elbo_lab.models import LogisticRegression
from elbo_lab.optimise import maximise_exact_elbo
from elbo_lab.plots import figure_folder, marker_keywords, panels, save_figure, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import display_name
from elbo_lab.theory import Cost
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
STEPS = 100 if QUICK else 5000
SHOWN = 50 if QUICK else 250  # every so many steps
REPEATS = 60 if QUICK else 100  # for the variances
BATCH = 32
RATE = 1e-3
DRAWS = 50
RUNS = {  # estimator and draws
    "reparameterization": (lab.ReparameterizationAnalyticKL(), DRAWS),
    "measure-valued-coupled": (lab.MeasureValuedCoupled(), 1),
    "score-function-loo": (lab.ScoreFunctionLOO(), DRAWS),
    "score-function": (lab.ScoreFunction(), DRAWS),
}

# %% The exact optimum first
table = LogisticRegression.table_of(load("breast-cancer:raw"))
model = LogisticRegression.for_data(table)
family = model.family
whole = model.as_data(table)
theta = np.zeros(0)
posterior = FreePosterior(family, 1)
prior = np.zeros((1, family.eta_size))


def elbo(eta):
    return (expected_log_joint(model, theta, whole, family, eta[None])[0] + family.entropy(eta[None]))[0]


best = elbo(maximise_exact_elbo(model, theta, whole)[0])


# %% The gradients: f is a bare cost of the rows at hand, the KL is exact
def cost_of(x):
    """Return the log-likelihood of rows x as a cost of z."""

    def value(z):
        return model.log_likelihood(theta, x, z)[..., None]

    def slope(z):
        return model.log_likelihood_vjp(theta, x, z, np.ones(z.shape[:-1]))[1]

    return Cost("rows", value, slope)


def gradient(estimator, draws, eta, x, rng, lead=()):
    problem = Problem(CostModel(family, cost_of(x)), posterior, eta, eta, NO_DATA)
    noise = draw_noise(estimator.noise_spec(family, draws, 1), rng, lead)
    by_cost, _ = estimator.estimate(problem, noise)
    by_kl, _ = family.kl_grad(eta[None], prior)
    return by_cost - by_kl[0]


# %% Stochastic gradient ascent with each estimator
gaps = {}  # below the best ELBO
paths = {}
for name, (estimator, draws) in RUNS.items():
    rng = np.random.default_rng(0)
    eta = prior[0]
    paths[name] = []
    for step in range(STEPS + 1):
        if step % SHOWN == 0:
            paths[name].append(eta)
        rows = rng.choice(len(table), BATCH, replace=False)
        rate = RATE * np.cos(np.pi * step / (2 * STEPS))
        eta = eta + rate * gradient(estimator, draws, eta, model.as_data(table[rows]), rng)
    gaps[name] = [best - elbo(eta) for eta in paths[name]]

# %% Variances at the same q for all, on all rows; independent draws, so that the variance of 50 follows
variances = {name: [] for name in RUNS}
for name, (estimator, draws) in RUNS.items():
    for eta in paths["reparameterization"]:
        estimates = gradient(estimator, draws, eta, whole, np.random.default_rng(1), (REPEATS,))
        variances[name].append(estimates.var(axis=0, ddof=1).sum() * draws / DRAWS)

# %% The figure
figure, (left, right) = panels(1, 2, height=3.8)
style_axes(left, title="Best ELBO - ELBO, exact", xlabel="step", ylabel="nats")
style_axes(
    right, title="Variance at 50 draws, cost not counted", xlabel="step", ylabel="trace of the covariance"
)
times = SHOWN * np.arange(len(paths["reparameterization"]))
for name, (_, draws) in RUNS.items():
    label = f"{display_name(name)}, S = {draws}"
    left.semilogy(times, gaps[name], **marker_keywords(name), markevery=4, label=label)
    right.semilogy(times, variances[name], **marker_keywords(name), markevery=4)
figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
caption = (
    "Bayesian logistic regression: the distance to the best ELBO over the steps, and the variance of each "
    "gradient estimator on the way."
)
print("figure:", save_figure(figure, OUT, "mohamed-2020-logistic-regression", caption)[0])

# %% The claim
PATHWISE, MEASURE, LOO, BARE = RUNS
ends = {name: gap[-1] for name, gap in gaps.items()}
usual = {name: np.median(values[1:]) for name, values in variances.items()}
noise = {name: usual[name] / usual[PATHWISE] for name in RUNS}
rows = (
    ("best mean-field ELBO, nats", None, best, "exact"),
    ("below it at the end: pathwise", "arrives", ends[PATHWISE], "figures of the case study"),
    ("below it at the end: measure-valued", "arrives", ends[MEASURE], "here one draw, 94 evaluations"),
    ("below it at the end: leave-one-out", None, ends[LOO], "theirs: another baseline"),
    ("below it at the end: score function", "slower", ends[BARE], "figures of the case study"),
    ("variance / pathwise: measure-valued", None, noise[MEASURE], "at equal S, on the way"),
    ("variance / pathwise: leave-one-out", None, noise[LOO], "at equal S, on the way"),
    ("variance / pathwise: score function", "far above 1", noise[BARE], "at equal S, on the way"),
)
caption = "Mohamed et al. (2020): logistic regression on breast cancer data"
publish([dict(zip(COLUMNS, line, strict=True)) for line in rows], caption, ASKED, QUICK)
for name in RUNS:
    assert min(gaps[name]) > 0.0, "nothing is above the best"
assert noise[BARE] > 100.0, "the bare score function is far noisier"
assert 1.0 < noise[LOO] < 0.2 * noise[BARE], "a baseline takes off most, not all"
assert 0.5 < noise[MEASURE] < 2.0, "as quiet as the path, draw for draw"
if not QUICK:
    assert max(ends[PATHWISE], ends[MEASURE], ends[LOO]) < 0.5, "three arrive"
    assert ends[BARE] > 0.5, "the bare score function does not"
