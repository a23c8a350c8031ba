# %% [markdown]
# # A guarantee for the pathwise gradient, and the function that meets it
# %%
"""How large can the pathwise gradient be? As large as a round bowl makes it, and no larger.

Claim. For every f whose gradient is M-Lipschitz the expected square of the pathwise gradient is bounded by
the distance of q from a stationary point of f and by its spread. A round quadratic meets the bound with
equality, at every q. A long one does so with M as a matrix, and stays below with its largest curvature as M.
A logistic regression stays orders of magnitude below both.

Formula: z = m + C u, E u = 0, E u u^T = I, E u_i^3 = 0, E u_i^4 = kappa (3 for a Gaussian), grad f(zbar) = 0:

    E |d f(m + C u) / d(m, C)|^2  <=  (d + 1) |M (m - zbar)|^2 + (d + kappa) |M C|_F^2

Source: Domke (2019), Provable Gradient Variance Guarantees for Black-Box Variational Inference, NeurIPS 32:
the theorem for M-smooth f, its remark that it cannot be improved, and its version with a matrix M. His
experiments are logistic regressions, of which this is another (breast cancer data, full C). What it must
show: equality for quadratics, to rounding; ratios below one elsewhere.
Expected time: five seconds; with ELBO_LAB_QUICK=1 two. The figure goes to the folder ELBO_LAB_OUT.
"""

import os

import numpy as np
from _paper import COLUMNS, paper_parser, publish, read_options

from elbo_lab.datasets import load
from elbo_lab.exact.laplace import mode_and_precision
from elbo_lab.exact.rules import hermite_rule
from elbo_lab.models import LogisticRegression
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, legend_below, panels, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
SEED = 0
REPEATS = 2000 if QUICK else 20000
KAPPA = 3.0
WIDTHS = 10.0 ** np.linspace(-1.0, 1.0, 9)  # one of them is 1


def bound(M, m, C, zbar):
    """Return the right-hand side; M is a number or a matrix."""
    d = len(m)
    M = M * np.eye(d) if np.ndim(M) == 0 else M
    return (d + 1) * ((M @ (m - zbar)) ** 2).sum() + (d + KAPPA) * ((M @ C) ** 2).sum()


def square(gradient, m, C, u):
    """Return |d f / d(m, C)|^2 of every draw u (G, d): the gradient in C is an outer product."""
    return (gradient(m + u @ C.T) ** 2).sum(axis=-1) * (1.0 + (u**2).sum(axis=-1))


# %% Quadratics, exactly: Gauss-Hermite with four nodes is exact for these polynomials
def bowl(H, zbar):
    return lambda z: (z - zbar) @ H


rng = np.random.default_rng(SEED)
ratios = {"round": [], "long": [], "long, matrix M": []}
for d in np.repeat([2, 3, 4, 5], 5):
    u, weights = hermite_rule(4, d)
    zbar, m = rng.standard_normal((2, d))
    C = rng.standard_normal((d, d))
    axes, _ = np.linalg.qr(rng.standard_normal((d, d)))
    H = axes @ np.diag(np.geomspace(0.1, 1.0, d)) @ axes.T  # curvatures from 0.1 to 1
    of_round = weights @ square(bowl(2.0 * np.eye(d), zbar), m, C, u)
    of_long = weights @ square(bowl(H, zbar), m, C, u)
    ratios["round"].append(of_round / bound(2.0, m, C, zbar))
    ratios["long"].append(of_long / bound(1.0, m, C, zbar))
    ratios["long, matrix M"].append(of_long / bound(H, m, C, zbar))

# %% Logistic regression: M bounds the curvature, zbar is the mode, C is that of Laplace times a width
table = LogisticRegression.table_of(load("breast-cancer:raw"))
model = LogisticRegression.for_data(table)
x = model.as_data(table)
theta = np.zeros(0)
rows = model.predictors(x)[0][0]
K = rows.shape[1]
M = np.eye(K) + rows.T @ rows / 4.0
largest = np.linalg.eigvalsh(M)[-1]
modes, precisions = mode_and_precision(model, x)
mode = modes[0]
laplace = np.linalg.inv(np.linalg.cholesky(precisions[0])).T  # C C^T is the inverse of the precision


def slope(z):
    return model.log_joint_vjp(theta, x, z[:, None, :], np.ones((len(z), 1)))[1][:, 0]


u = rng.standard_normal((REPEATS, K))
with_number = []
with_matrix = []
errors = []  # relative
for width in WIDTHS:
    C = width * laplace
    draws = square(slope, mode, C, u)
    with_number.append(draws.mean() / bound(largest, mode, C, mode))
    with_matrix.append(draws.mean() / bound(M, mode, C, mode))
    errors.append(draws.std() / draws.mean() / np.sqrt(REPEATS))

# %% The figure
figure, (ax,) = panels(1, 1, height=3.9, width=STYLE["page_width"])
title = "Quadratics meet the bound on the noise, others stay below"
xlabel = "width of q, in sd of the Laplace approximation"
style_axes(ax, title=title, xlabel=xlabel, ylabel="E |g|² / its bound")
ax.loglog(WIDTHS, with_matrix, "o-", color="#0072B2", label="logistic regression, M a matrix")
ax.loglog(WIDTHS, with_number, "s-", color="#D55E00", label="logistic regression, M its largest eigenvalue")
ax.axhline(1.0, **EXACT_LINE, label="quadratics, M their curvature: equality")
legend_below(ax, columns=1)
caption = (
    "The expected square of the pathwise gradient as a share of its bound: quadratics meet the bound, a "
    "logistic regression stays orders of magnitude below."
)
print("figure:", save_figure(figure, OUT, "domke-2019-quadratic", caption)[0])

# %% The claim
at_laplace = WIDTHS.tolist().index(1.0)
lines = (
    ("round quadratics, least ratio", 1, min(ratios["round"]), "cannot be improved"),
    ("round quadratics, largest ratio", 1, max(ratios["round"]), "cannot be improved"),
    ("long quadratics, largest ratio", "below 1", max(ratios["long"]), "curvatures from 0.1 M to M"),
    ("long quadratics, M a matrix, least", 1, min(ratios["long, matrix M"]), "the version with a matrix"),
    ("logistic regression at Laplace", "below 1", with_number[at_laplace], "M a number"),
    ("logistic regression at Laplace", "below 1", with_matrix[at_laplace], "M a matrix"),
)
caption = "Domke (2019): E |g|^2 over its bound"
publish([dict(zip(COLUMNS, line, strict=True)) for line in lines], caption, ASKED, QUICK)
assert np.abs(np.array(ratios["round"]) - 1.0).max() < 1e-12, "equality"
assert np.abs(np.array(ratios["long, matrix M"]) - 1.0).max() < 1e-12, "and with the curvature itself"
assert 0.0 < max(ratios["long"]) < 1.0, "below, where curvatures differ"
assert max(with_number) < 0.01, "far below for a number M"
assert max(with_matrix) < 1.0, "and below for a matrix"
assert max(errors) < 0.1, "the sampled ratios are known to ten per cent"
