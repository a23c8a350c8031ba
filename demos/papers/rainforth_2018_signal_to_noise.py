# %% [markdown]
# # Tighter bounds, drowned gradients: the linear Gaussian model in twenty dimensions
# %%
"""The rates at which gradients of importance-weighted bounds lose or gain their signal.

Claim. In the parameters of q the signal-to-noise ratio of the pathwise gradient and of VIMCO falls as
K^(-1/2); that of the doubly reparameterised gradient (DReG) and of OVIS~ at gamma = 0 grows as K^(1/2). So
does that of the plain gradient in the parameters of the model, once the bound is tight.

Formula: z ~ N(mu, I), x | z ~ N(z, I), q(z | x) = N(A x + b, (2/3) I), where 2/3 is a variance; optimal are
mu = mean of x, A = I / 2, b = mu / 2. With g the mean over all data of the gradient in b, or in mu,
    SNR^2 = |E g|^2 / trace Var g,   E g in b from DReG, which has the least noise

Source: Rainforth, Kosiorek, Le, Maddison, Igl, Wood and Teh (2018), Tighter Variational Bounds are Not
Necessarily Better, ICML, theorem 1; Tucker, Lawson, Gu and Maddison (2019), DReG, ICLR; Lievin, Dittadi,
Christensen and Winther (2020), OVIS, NeurIPS. Set-up as there: D = 20, N = 1024 rows of the model with mu ~
N(0, I); every parameter off its optimum by N(0, 0.01^2). What it must show: the slopes, up to K = 1000.
Expected time: a minute on two cores; with ELBO_LAB_QUICK=1 two seconds. The figure goes to ELBO_LAB_OUT.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _paper import COLUMNS, paper_parser, publish, read_options

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.layout import Layout
from elbo_lab.models import Model
from elbo_lab.plots import figure_folder, new_figure, save_figure
from elbo_lab.plots.style import legend_below, marker_keywords, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.special import LOG_2PI

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED, OUT = read_options(paper_parser(__doc__)), figure_folder()
D, N, OFF = 20, 48 if QUICK else 1024, 0.01
DRAWS = (10, 30, 100) if QUICK else (1, 3, 10, 30, 100, 300, 1000)
TOTAL = 600  # draws for a datum and K, over the repeats; at least two repeats
PHI, THETA = (lab.IwaeReparameterization(), lab.Dreg(), lab.Vimco(), lab.OvisTilde(0)), lab.IwaeTheta()
SLOPES = dict(zip([*(one.name for one in PHI), THETA.name], (-0.5, 0.5, "falls", 0.5, 0.5), strict=True))


class Shifted(Model):
    """z ~ N(mu, I), x | z ~ N(z, I); theta = mu."""

    family, layout, name = DiagonalGaussian(D), Layout((("mu", (D,)),)), "shifted"
    sample_x = initial_theta = None

    def prior_eta(self, theta):
        return np.concatenate([theta, np.zeros(D)])[None]

    def prior_eta_vjp(self, theta, grad_eta):  # noqa: ARG002
        return grad_eta[..., :D]

    def likelihood(self, theta, x, z):  # noqa: ARG002
        error = x - z
        value = -0.5 * ((error**2).sum(axis=-1) + D * LOG_2PI)
        return value, lambda c: (np.zeros((*c.shape[:-2], D)), c[..., None] * error)


# %% Data from the model; the optimum; every parameter a little off it
rng = np.random.default_rng(0)
x = rng.standard_normal(D) + np.sqrt(2.0) * rng.standard_normal((N, D))
best = x.mean(axis=0)
mu, b = best + OFF * rng.standard_normal(D), best / 2 + OFF * rng.standard_normal(D)
A = np.eye(D) / 2 + OFF * rng.standard_normal((D, D))
model, family = Shifted(), DiagonalGaussian(D)
eta = family.join(x @ A.T + b, np.full((N, D), 0.5 * np.log(2.0 / 3.0)))


# %% Every datum has noise of its own: means and variances of the gradient add up over the data
def of_datum(n):  # {(estimator, K): mean and variance (2, D) of its share}
    rng, q, found = np.random.default_rng([1, n]), FreePosterior(family, 1), {}
    for k in DRAWS:
        noise = rng.standard_normal((max(TOTAL // k, 2), k, 1, D))
        for estimator in (*PHI, THETA):
            if k >= estimator.minimum_draws:
                g = estimator.estimate(Problem(model, q, mu, eta[n], x[n : n + 1]), noise)[0][:, :D] / N
                found[estimator.name, k] = np.stack([g.mean(axis=0), g.var(axis=0, ddof=1)])
    return found


with ThreadPoolExecutor() as pool:
    parts = list(pool.map(of_datum, range(N)))
MOMENTS = {key: sum(part[key] for part in parts) for key in parts[0]}
SNR = {estimator.name: {} for estimator in (*PHI, THETA)}
for (name, k), (mean, variance) in MOMENTS.items():
    signal = mean @ mean - variance.sum() / max(TOTAL // k, 2)  # without what noise adds to it
    if name != THETA.name:
        signal = (MOMENTS["dreg", k][0] ** 2).sum()
    SNR[name][k] = np.sqrt(max(signal, 0.0) / variance.sum())

# %% The figure
figure = new_figure(4.6)
ax = style_axes(figure.subplots(), title="", xlabel="draws K", ylabel="signal-to-noise ratio")
for name, curve in SNR.items():
    place = "mu" if name == THETA.name else "b"
    ax.loglog(list(curve), list(curve.values()), **marker_keywords(name), label=f"{name}, in {place}")
legend_below(ax)
print("figure:", save_figure(figure, OUT, "rainforth-2018-signal-to-noise")[0])

# %% The claim
rows, slope = [], {}
for name, curve in SNR.items():
    at = [k for k in DRAWS if k >= (100 if name == THETA.name and not QUICK else 10)]
    slope[name] = np.polyfit(np.log(at), np.log([curve[k] for k in at]), 1)[0]
    where = f"{name}, slope of log SNR, K >= {at[0]}"
    note = "in b" if name != THETA.name else "in mu; K and rows too few for the limit" if QUICK else "in mu"
    rows.append((where, SLOPES[name], slope[name], note))
caption = "Rainforth et al. (2018), Tucker et al. (2019), Lievin et al. (2020): linear Gaussian toy"
publish([dict(zip(COLUMNS, row, strict=True)) for row in rows], caption, ASKED, QUICK)
for name, found in slope.items():
    expected = -0.5 if name == "vimco" else SLOPES[name]
    assert (QUICK and name == THETA.name) or abs(found - expected) < (0.25 if QUICK else 0.1), name
