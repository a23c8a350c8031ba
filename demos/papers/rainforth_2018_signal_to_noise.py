# %% [markdown]
# # Tighter bounds, drowned gradients: the linear Gaussian model in twenty dimensions
# %%
"""The rates at which gradients of importance-weighted bounds lose or gain their signal.

Claim. In the parameters of q the signal-to-noise ratio of the pathwise gradient and of VIMCO falls as
M^(-1/2); that of the doubly reparameterised gradient (DReG) and of OVIS~ at gamma = 0 grows as M^(1/2). So
does that of the plain gradient in the parameters of the model, once the bound is tight.

Formula: z ~ N(mu, I), x | z ~ N(z, I), q(z | x) = N(A x + b, (2/3) I), where 2/3 is a variance; optimal are
mu = mean of x, A = I / 2, b = mu / 2. With g the mean over all data of the gradient in b, or in mu,
    SNR^2 = |E g|^2 / trace Var g,   E g in b from DReG, which has the least noise

Source: Rainforth, Kosiorek, Le, Maddison, Igl, Wood and Teh (2018), Tighter Variational Bounds are Not
Necessarily Better, ICML, theorem 1; Tucker, Lawson, Gu and Maddison (2019), DReG, ICLR; Lievin, Dittadi,
Christensen and Winther (2020), OVIS, NeurIPS. Set-up as there: D = 20, N = 1024 rows of the model with mu ~
N(0, I); every parameter off its optimum by N(0, 0.01^2). What it must show: the slopes, up to M = 1000.
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
from elbo_lab.plots import figure_folder, legend_below, marker_keywords, panels, save_figure, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import display_name
from elbo_lab.special import LOG_2PI

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
D = 20
N = 48 if QUICK else 1024
OFF = 0.01
DRAWS = (10, 30, 100) if QUICK else (1, 3, 10, 30, 100, 300, 1000)
TOTAL = 600  # draws for a datum and M, over the repeats; at least two repeats
IN_PHI = (lab.IwaeReparameterization(), lab.Dreg(), lab.Vimco(), lab.OvisTilde(0))
IN_THETA = lab.IwaeTheta()
PRINTED = {
    "iwae-reparameterization": -0.5,
    "dreg": 0.5,
    "vimco": "falls",
    "ovis-tilde-0": 0.5,
    "iwae-theta": 0.5,
}


class Shifted(Model):
    """z ~ N(mu, I), x | z ~ N(z, I); theta = mu."""

    name = "shifted"
    family = DiagonalGaussian(D)
    layout = Layout((("mu", (D,)),))
    sample_x = None
    initial_theta = None

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
mu = best + OFF * rng.standard_normal(D)
b = best / 2 + OFF * rng.standard_normal(D)
A = np.eye(D) / 2 + OFF * rng.standard_normal((D, D))
model = Shifted()
family = DiagonalGaussian(D)
eta = family.join(x @ A.T + b, np.full((N, D), 0.5 * np.log(2.0 / 3.0)))


# %% Every datum has noise of its own: means and variances of the gradient add up over the data
def repeats_of(n_draws):
    return max(TOTAL // n_draws, 2)


def moments_of_datum(n):
    """Return {(estimator, M): mean and variance (2, D) of its share}."""
    rng = np.random.default_rng([1, n])
    problem = Problem(model, FreePosterior(family, 1), mu, eta[n], x[n : n + 1])
    moments = {}
    for n_draws in DRAWS:
        noise = rng.standard_normal((repeats_of(n_draws), n_draws, 1, D))
        for estimator in (*IN_PHI, IN_THETA):
            if n_draws >= estimator.minimum_draws:
                estimates, _ = estimator.estimate(problem, noise)
                share = estimates[:, :D] / N
                moments[estimator.name, n_draws] = np.stack([share.mean(axis=0), share.var(axis=0, ddof=1)])
    return moments


with ThreadPoolExecutor() as pool:
    parts = list(pool.map(moments_of_datum, range(N)))
moments = {key: sum(part[key] for part in parts) for key in parts[0]}
ratios = {estimator.name: {} for estimator in (*IN_PHI, IN_THETA)}  # signal to noise, by M
for (name, n_draws), (mean, variance) in moments.items():
    if name == IN_THETA.name:
        signal = mean @ mean - variance.sum() / repeats_of(n_draws)  # without what noise adds to it
    else:
        signal = (moments["dreg", n_draws][0] ** 2).sum()
    ratios[name][n_draws] = np.sqrt(max(signal, 0.0) / variance.sum())

# %% The figure
figure, (ax,) = panels(1, 1, height=4.6)
title = "More draws: clearer in the model (mu), not always in the encoder (b)"
style_axes(ax, title=title, xlabel="draws M", ylabel="signal-to-noise ratio")
for name, curve in ratios.items():
    place = "mu" if name == IN_THETA.name else "b"
    label = f"{display_name(name)}, in {place}"
    ax.loglog(list(curve), list(curve.values()), **marker_keywords(name), label=label)
legend_below(ax, columns=2)
caption = (
    "Signal-to-noise ratio against the draws: it grows for the model and for doubly reparameterised "
    "gradients of q, and falls for the plain pathwise gradient of q."
)
print("figure:", save_figure(figure, OUT, "rainforth-2018-signal-to-noise", caption)[0])


# %% The claim
def log_slope(curve, first):
    """Return the slope of log signal-to-noise in log M, for M from `first` on."""
    large = [n_draws for n_draws in DRAWS if n_draws >= first]
    return np.polyfit(np.log(large), np.log([curve[n_draws] for n_draws in large]), 1)[0]


slopes = {}
rows = []
for name, curve in ratios.items():
    if name == IN_THETA.name:
        first = 10 if QUICK else 100
        note = "in mu; M and rows too few for the limit" if QUICK else "in mu"
    else:
        first = 10
        note = "in b"
    slopes[name] = log_slope(curve, first)
    rows.append((f"{name}, slope of log SNR, M >= {first}", PRINTED[name], slopes[name], note))
caption = "Rainforth et al. (2018), Tucker et al. (2019), Lievin et al. (2020): linear Gaussian toy"
publish([dict(zip(COLUMNS, row, strict=True)) for row in rows], caption, ASKED, QUICK)
expected = PRINTED | {"vimco": -0.5}
if QUICK:
    del expected[IN_THETA.name]  # too few for the limit
for name, slope in expected.items():
    assert abs(slopes[name] - slope) < (0.25 if QUICK else 0.1), name
