# %% [markdown]
# # Gaussian processes over latents
# %%
"""Functions can be integrated out instead of latents, and the bound then finds how many latents it takes.

Claim. With a linear covariance function and no prior on Z, the highest log p(Y | Z) is Lawrence's closed
form, and its latents span the principal scores of PCA. But it is not the log p of probabilistic PCA, which
integrates z and keeps W. With an RBF log p(Y) has no formula: a grid gives it for three rows, and the
collapsed bound lies below at every length. Of six latents offered to a table that two have made, the bound
switches four off, and the mode of Z keeps them. In a curved plane digits lie nearer to their like than in
that of PCA.

Formula, y_nd = f_d(z_n) + sigma eps, f_d ~ GP(0, k), z_n ~ N(0, I):

    log p(Y | Z) = sum_d log N(y_d; 0, C),       C = k(Z, Z) + sigma^2 I
    max_Z of it, k linear: -D/2 [N log(2 pi) + sum_q log l_q + (N - Q) log sigma^2 + N]
                           l = eigenvalues of Y Y^T / D, sigma^2 = the mean of the last N - Q
    log p(Y) >= E_q log p(Y | Z) - KL(q(Z) || p(Z)) >= the collapsed bound, by inducing points

Source: Lawrence (2005), sections 2 and 3; Titsias and Lawrence (2010), sections 3 and 4.
Expected time: five seconds on two cores; with ELBO_LAB_QUICK=1 three, with fewer rows.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import fit, load
from elbo_lab.datasets import Dataset
from elbo_lab.models import GPLVM, PPCA
from elbo_lab.models.gplvm import Rows, collapsed_bound
from elbo_lab.optimise import ascend
from elbo_lab.optimise.gplvm import BoundClimb, ModeClimb
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    figure_folder,
    legend_inside,
    new_figure,
    save_figure,
    style_axes,
)

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
LATENTS = 2
OFFERED = 6
FEW_ROWS = 3
STEPS = (0.4, 0.25)  # of the grid, the second where the first is checked
NODES = 16
LOG_RELEVANCES = np.linspace(-3.0, 2.0, 3 if QUICK else 9)
N_TRUE, D_TRUE = 60, 12
DIGITS = (0, 1, 4)
N_DIGITS = 45 if QUICK else 150
ITERATIONS = 100 if QUICK else 300
BLUE, RED, YELLOW = "#004488", "#BB5566", "#DDAA33"

# %% Exact first: linear, no prior on Z, both Z and the noise at their best
digits = load("digits")
table = digits.rows(25, seed=0).x
linear = GPLVM.for_data(table, "linear", LATENTS)
x = linear.as_data(table)
size = linear.layout.size


def log_p_given_z(vector):
    """Return log p(Y | Z) and its gradient in theta and Z, as one vector."""
    value, pullback = linear.likelihood(vector[:size], x, vector[size:][None, None])
    by_theta, by_z = pullback(np.ones((1, 1)))
    return value[0, 0], np.concatenate([by_theta, by_z[0, 0]])


rng = np.random.default_rng(1)
start = np.concatenate([linear.initial_theta(x), rng.standard_normal(linear.latent_dim)])
best = ascend(log_p_given_z, start, 3000, tolerance=1e-16)
highest = log_p_given_z(best)[0]

y = table - table.mean(axis=0)
n, d = y.shape
eigenvalues = np.linalg.eigvalsh(y @ y.T / d)[::-1]
noise = eigenvalues[LATENTS:].sum() / (n - LATENTS)
log_det = np.log(eigenvalues[:LATENTS]).sum() + (n - LATENTS) * np.log(noise)
lawrence = -0.5 * d * (n * np.log(2 * np.pi) + log_det + n)
print(f"linear, no prior: L-BFGS from random Z {highest:.8f}, closed form {lawrence:.8f} nats")

scores = np.linalg.svd(y)[0][:, :LATENTS]
cosines = np.linalg.svd(scores.T @ np.linalg.qr(best[size:].reshape(n, LATENTS))[0], compute_uv=False)
print(f"cosines between its latents and the principal scores: {cosines.round(8)}")
ppca = PPCA.for_data(table, latent=LATENTS)
log_p_ppca = ppca.log_evidence(ppca.maximum_likelihood(table), table).sum()
print(f"probabilistic PCA, which integrates z instead of W: log p {log_p_ppca:.2f}")

# %% log p(Y) itself: three rows, one latent each, on a grid; below it the bound at its best q
few = np.array([[-1.0, 0.6], [0.1, -0.9], [0.9, 0.3]])
curved = GPLVM(FEW_ROWS, (0.0, 0.0), 1)


def product(points):
    """Return every choice of one point for each row, (points ** rows, 1, rows)."""
    return np.stack(np.meshgrid(*[points] * FEW_ROWS, indexing="ij"), axis=-1).reshape(-1, 1, FEW_ROWS)


def parameters(log_relevance):
    return curved.layout.pack({"log_relevance": np.array([log_relevance]), "log_sigma": np.log(0.4)})


def log_evidence(theta, step):
    """Return log p(Y) by the trapezoid rule over all Z."""
    grid = product(np.arange(-6, 6 + step / 2, step))
    log_joint = curved.log_joint(theta, few.reshape(1, -1), grid)
    return np.logaddexp.reduce(log_joint[:, 0]) + FEW_ROWS * np.log(step)


def best_bound(theta):
    """Return the collapsed bound at its best q(Z) and inducing inputs."""

    def objective(vector):
        mean, log_std, inducing = vector.reshape(3, FEW_ROWS, 1)
        value, gradient = collapsed_bound(curved, theta, few, Rows(mean, log_std, inducing))
        return value, np.concatenate([part.ravel() for part in gradient().rows])

    scores = curved.principal_scores(few.reshape(1, -1)).ravel()
    start = np.concatenate([scores, np.full(FEW_ROWS, -0.5), scores])
    found = ascend(objective, start, 300)
    return objective(found)[0], found


def elbo(theta, vector):
    """Return E_q log p(Y | Z) - KL of the same q by quadrature: nothing is lost to inducing points."""
    mean, log_std, _ = vector.reshape(3, FEW_ROWS)
    log_p = curved.log_likelihood(theta, few.reshape(1, -1), mean + np.exp(log_std) * nodes)[:, 0]
    kl = 0.5 * np.sum(np.exp(2 * log_std) + mean**2 - 1 - 2 * log_std)
    return weights @ log_p - kl


node, weight = np.polynomial.hermite_e.hermegauss(NODES)
nodes = product(node)
weights = product(weight / weight.sum()).prod(axis=-1)[:, 0]
exact, elbos, bounds = [], [], []
for value in LOG_RELEVANCES:
    theta = parameters(value)
    bound, found = best_bound(theta)
    exact.append(log_evidence(theta, STEPS[1]))
    elbos.append(elbo(theta, found))
    bounds.append(bound)
    values = f"log p(Y) {exact[-1]:.4f}, ELBO of its q {elbos[-1]:.4f}, collapsed bound {bound:.4f}"
    print(f"relevance {np.exp(value):7.3f}: {values}")
exact, elbos, bounds = map(np.array, (exact, elbos, bounds))
coarse = log_evidence(theta, STEPS[0])
print(f"the last log p(Y) on a coarser grid: {coarse:.4f}")

# %% Six latents offered where two made the table
true = GPLVM(N_TRUE, (0.0,) * D_TRUE, LATENTS)
theta = true.layout.pack({"log_relevance": np.log([0.3, 0.3]), "log_sigma": np.log(0.1)})
made = true.sample(theta, 1, np.random.default_rng(0))[0].reshape(N_TRUE, D_TRUE)
model = GPLVM.for_data(made, "rbf", OFFERED)
reaches = {}
for name, climb in (("bound", BoundClimb(model, made, 20)), ("mode", ModeClimb(model, made))):
    found = climb.ascended(climb.start(), ITERATIONS)
    theta, rows = climb.split(found)
    z = rows.mean if name == "bound" else rows
    # What counts is how far a latent reaches, in lengths of the covariance function.
    reach = np.exp(0.5 * model.layout.view(theta, "log_relevance")) * z.std(axis=0)
    reaches[name] = np.sort(reach)[::-1]
    print(f"{name}: standard deviations of the latents, in lengths of k: {reaches[name].round(3)}")

# %% Digits in a plane, with the uncertainty of each
chosen = np.flatnonzero(np.isin(digits.labels, DIGITS))[:N_DIGITS]
some = Dataset("some digits", digits.x[chosen], labels=digits.labels[chosen])
plane = fit("gplvm", some, latent=LATENTS, n_inducing=20, epochs=ITERATIONS, progress=False)
mean, std = plane.encode(some.x)


def mistaken(codes):
    """Return the share of rows whose nearest other row is another digit."""
    apart = ((codes[:, None] - codes) ** 2).sum(axis=-1)
    np.fill_diagonal(apart, np.inf)
    return float(np.mean(some.labels[apart.argmin(axis=1)] != some.labels))


pca = np.linalg.svd(some.x - some.x.mean(axis=0), full_matrices=False)[0][:, :LATENTS]
errors = {"GPLVM": mistaken(mean), "PCA": mistaken(pca)}
print(f"rows whose neighbour in the plane is another digit: {errors}")

# %% The figure
figure = new_figure(7.6, STYLE["page_width"])
grid = figure.add_gridspec(2, 2)
axes = [figure.add_subplot(part) for part in (grid[0, 0], grid[0, 1], grid[1, :])]
ax = axes[0]
style_axes(ax, title="Three rows, one latent", xlabel="relevance", ylabel="nats, for the whole table")
ax.semilogx(np.exp(LOG_RELEVANCES), exact, label="log p(Y), grid", **EXACT_LINE)
ax.semilogx(np.exp(LOG_RELEVANCES), elbos, color=YELLOW, lw=STYLE["line_width"], label="ELBO of its q")
ax.semilogx(np.exp(LOG_RELEVANCES), bounds, color=BLUE, lw=STYLE["line_width"], label="collapsed bound")
legend_inside(ax, "lower left")
ax = axes[1]
title = f"{OFFERED} latents offered, {LATENTS} true"
style_axes(ax, title=title, xlabel="latent, by its reach", ylabel="sd, in lengths of k")
places = np.arange(OFFERED)
ax.bar(places - 0.2, reaches["bound"], 0.4, color=BLUE, label="bound")
ax.bar(places + 0.2, reaches["mode"], 0.4, color=RED, label="mode of Z")
ax.set_xticks(places, [str(place + 1) for place in places])
legend_inside(ax, "upper right")
ax = axes[2]
style_axes(ax, title=f"{len(some.x)} digits", xlabel="$z_1$", ylabel="$z_2$")
for digit, color in zip(DIGITS, (BLUE, YELLOW, RED), strict=True):
    of = some.labels == digit
    look = {"fmt": "o", "color": color, "ms": 2.5, "elinewidth": 0.8, "label": f"{digit}, two sd"}
    ax.errorbar(*mean[of].T, *2 * std[of].T[::-1], **look)
legend_inside(ax, "best")
caption = (
    "Log p(Y) of a Gaussian process over latents on a grid, above the ELBO and the collapsed bound; the "
    "latents that bound and mode keep of six offered; digits in a curved plane."
)
print("figure:", save_figure(figure, OUT, "gplvm", caption)[0])

# %% The claim
assert abs(highest - lawrence) < 1e-8 * abs(lawrence), "the maximum is Lawrence's closed form"
assert np.allclose(cosines, 1, atol=1e-6), "its latents are those of PCA"
assert abs(highest - log_p_ppca) > 10, "its value is not the log p of probabilistic PCA"
assert abs(coarse - exact[-1]) < 0.01, "the grid is fine enough"
assert (bounds < elbos).all() and (elbos < exact).all(), "two inequalities, two losses"
used = {name: int(np.sum(reach > 0.05 * reach[0])) for name, reach in reaches.items()}
assert used["bound"] == LATENTS < used["mode"], "the bound uses as many latents as made the table"
if not QUICK:
    assert errors["GPLVM"] < errors["PCA"], "a curved plane keeps the digits apart"
