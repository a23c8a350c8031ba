# %% [markdown]
# # Tighter bounds, drowned gradients: the linear Gaussian model in twenty dimensions
# %%
"""The rates at which the gradients of importance-weighted bounds lose or gain their signal, as published.

Claim. In the parameters of q the signal-to-noise ratio of the pathwise gradient falls as K^(-1/2), and VIMCO's
no slower; the doubly reparameterised gradient (DReG) and OVIS~ at gamma = 0 grow as K^(1/2). In the
parameters of the model the plain gradient grows as K^(1/2).

Formula: z ~ N(mu, I), x | z ~ N(z, I), q(z | x) = N(A x + b, (2/3) I), 2/3 a variance; optimum A = I / 2,
b = mu / 2 at every mu, and mu the mean of x. Per coordinate SNR = |E g| / sd(g), here in the mean over b (or mu):

    SNR_K^2 = |E g|^2 / trace Var g,   g the mean over all N data, E g from DReG, which has the least noise

Source: Rainforth, Kosiorek, Le, Maddison, Igl, Wood and Teh (2018), Tighter Variational Bounds are Not
Necessarily Better, ICML, theorem 1 and figure 2; Tucker, Lawson, Gu and Maddison (2019), DReG, ICLR; Lievin,
Dittadi, Christensen and Winther (2020), OVIS, NeurIPS. Set-up as there: D = 20, N = 1024 from the model with
mu ~ N(0, I); every parameter off its optimum by N(0, 0.01^2); K up to 1000. What it must show: the slopes.
Expected time: a minute on two cores; with ELBO_LAB_QUICK=1 two seconds. The figure goes to ELBO_LAB_OUT.
"""

import os
from dataclasses import dataclass

import numpy as np

from elbo_lab import estimators as lab
from elbo_lab.cli.paper import COLUMNS, publish
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.layout import Layout
from elbo_lab.models import Model
from elbo_lab.plots import new_figure, save_figure
from elbo_lab.plots.style import legend_below, marker_keywords, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.special import LOG_2PI

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = os.environ.get("ELBO_LAB_OUT", "elbo-lab-figures")
D, N, BLOCK, OFF = 20, 64 if QUICK else 1024, 8, 0.01
DRAWS = (4, 16, 64) if QUICK else (1, 3, 10, 30, 100, 300, 1000)
TOTAL = 512 if QUICK else 1000  # draws per datum and K: repeats times K, at least 4 repeats
IN_PHI = (lab.IwaeReparameterization(), lab.Dreg(), lab.Vimco(), lab.OvisTilde(0))
IN_THETA = (lab.IwaeTheta(),)
SLOPES = {"iwae-reparameterization": -0.5, "dreg": 0.5, "vimco": -0.5, "ovis-tilde-0": 0.5, "iwae-theta": 0.5}


@dataclass(frozen=True)
class Shifted(Model):
    """z ~ N(mu, I), x | z ~ N(z, I); theta = mu."""

    family, layout, name, n_columns = DiagonalGaussian(D), Layout((("mu", (D,)),)), "shifted", D
    sample_x = initial_theta = None  # not needed here

    def prior_eta(self, theta):
        return np.concatenate([theta, np.zeros(D)])[None]

    def prior_eta_vjp(self, theta, grad_eta):  # noqa: ARG002
        return grad_eta[..., :D]

    def likelihood(self, theta, x, z):
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

# %% A gradient of the mean over N data: data have noise of their own, so that blocks add up
MOMENTS = {}  # (name, K): the sum over blocks of means (D,) and of variances
for k in DRAWS:
    repeats = max(TOTAL // k, 4)
    for start in range(0, N, BLOCK):
        rows = slice(start, start + BLOCK)
        q = FreePosterior(family, BLOCK)
        phi = q.phi_from_eta(eta[rows])
        noise = np.random.default_rng([k, start]).standard_normal((repeats, k, BLOCK, D))
        for estimator in IN_PHI + IN_THETA:
            if k < estimator.minimum_draws:
                continue
            g, _ = estimator.estimate(model, q, mu, phi, x[rows], noise)
            if estimator in IN_PHI:  # in b: the sum over the means of the data
                g = g[:, : BLOCK * D].reshape(repeats, BLOCK, D).sum(axis=1)
            g = g * BLOCK / N
            mean, variance = MOMENTS.get((estimator.name, k), (0.0, 0.0))
            MOMENTS[estimator.name, k] = mean + g.mean(axis=0), variance + g.var(axis=0, ddof=1)
