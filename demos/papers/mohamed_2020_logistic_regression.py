# %% [markdown]
# # Bayesian logistic regression with three gradient estimators
# %%
"""The same descent with three gradients: who arrives, and how noisy they are on the way.

Claim. With 50 draws of q and minibatches of 32 rows, pathwise and coupled measure-valued gradients climb to
within a nat or so of the best mean-field ELBO; the bare score function, orders of magnitude noisier, does not. A
leave-one-out baseline takes off most of that noise.

Formula: weights z ~ N(0, I), log p(y | z) = sum_m log sigmoid(s_m z . f_m), q = N(m, diag(s^2)) and

    ELBO = E_q f(z) - KL(q || p),   f = log p(y | z), on B rows times M / B;   the KL in closed form

Source: Mohamed, Rosca, Figurnov and Mnih (2020), JMLR 21(132), section 8.3; the set-up is that of the public
code of the paper: breast cancer data (569 rows; 30 columns standardised by the population sd, and a constant),
q from mean 0 and log sd 0, B = 32, 50 draws, gradient ascent with the rate 1e-3 cos(pi t / 2T), T = 5000.
What it must show: the order of the curves, which the paper draws and does not print. New here: the ELBO along
the way is exact (one-dimensional quadrature), and so is the best one. Measure-valued has one draw, which takes
94 evaluations of f.
Expected time: a minute; with ELBO_LAB_QUICK=1 two seconds, and less far. The figure goes to ELBO_LAB_OUT.
"""

import os

import numpy as np

from elbo_lab import estimators as lab
from elbo_lab.cli.paper import COLUMNS, publish
from elbo_lab.datasets import load
from elbo_lab.distributions import draw_noise
from elbo_lab.exact.projected import expected_log_joint
from elbo_lab.learning import maximise_exact_elbo
from elbo_lab.models import LogisticRegression
from elbo_lab.plots import new_figure, save_figure
from elbo_lab.plots.style import EXACT_LINE, legend_below, marker_keywords, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.study.cost_model import NO_DATA, CostModel
from elbo_lab.study.theory import Cost

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = os.environ.get("ELBO_LAB_OUT", "elbo-lab-figures")
STEPS, SHOWN, BATCH, RATE = 200 if QUICK else 5000, 100 if QUICK else 250, 32, 1e-3
REPEATS = 20 if QUICK else 200  # for variances
RUNS = {  # estimator and draws
    "reparameterization": (lab.ReparameterizationAnalyticKL(), 50),
    "measure-valued-coupled": (lab.MeasureValuedCoupled(), 1),
    "score-function-loo": (lab.ScoreFunctionLOO(), 50),
    "score-function": (lab.ScoreFunction(), 50),
}

# %% The exact optimum first
data = load("breast-cancer:raw")
table = LogisticRegression.table_of(data)
model = LogisticRegression.for_data(table)
family, whole, theta = model.family, model.as_data(table), np.zeros(0)
q, prior = FreePosterior(family, 1), np.zeros((1, family.eta_size))


def elbo(eta):
    return (expected_log_joint(model, theta, whole, family, eta[None])[0] + family.entropy(eta[None]))[0]


best_eta = maximise_exact_elbo(model, theta, whole)[0]
BEST = elbo(best_eta)
print(f"best mean-field ELBO {BEST:.3f} nats, at the start {elbo(prior[0]):.1f}")


# %% The gradients: f is a bare cost of the rows at hand, the KL is exact
def likelihood(x):
    value = lambda z: model.log_likelihood(theta, x, z)[..., None]  # noqa: E731
    slope = lambda z: model.log_likelihood_vjp(theta, x, z, np.ones(z.shape[:-1]))[1]  # noqa: E731
    return CostModel(family, Cost("rows", value, slope))


def gradient(estimator, draws, eta, x, rng, lead=()):
    noise = draw_noise(estimator.noise_spec(family, draws, 1), rng, lead)
    by_f = estimator.estimate(likelihood(x), q, eta, eta, NO_DATA, noise)[0]
    return by_f - family.kl_grad(eta[None], prior)[0][0]


ELBO, VARIANCE, PATH = {}, {}, {}
for name, (estimator, draws) in RUNS.items():
    rng, eta, curve, PATH[name] = np.random.default_rng(0), np.zeros(family.eta_size), [], []
    for t in range(STEPS + 1):
        if t % SHOWN == 0:
            curve.append(elbo(eta))
            PATH[name].append(eta)
        rows = rng.choice(len(table), BATCH, replace=False)
        step = gradient(estimator, draws, eta, model.as_data(table[rows]), rng)
        eta = eta + RATE * np.cos(np.pi * t / (2 * STEPS)) * step
    ELBO[name] = np.array(curve)
    print(name, ELBO[name][[0,1,2,-1]])
for name, (estimator, draws) in RUNS.items():  # along one path, all rows
    VARIANCE[name] = []
    for eta in PATH["reparameterization"][:: 1 if QUICK else 4]:
        g = gradient(estimator, draws, eta, whole, np.random.default_rng(1), (REPEATS,))
        VARIANCE[name].append(g.var(axis=0, ddof=1).sum() )
    print(name, VARIANCE[name])
