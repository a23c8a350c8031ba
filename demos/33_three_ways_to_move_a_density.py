# %% [markdown]
# # Three ways to differentiate an expectation
# %%
"""Move q a little: its draws can change their weights, or move, or be replaced by two other densities.

Claim. The derivative of E_q[f] in the mean of q is one number, and three estimators reach it. The score
function leaves the draws where they are and weighs them: it multiplies the size of f. The path moves the
draws along: it takes the slope of f. The measure-valued gradient writes the derivative of the density as a
difference of two densities: it subtracts values of f. With three columns, one latent and q off the posterior
all three have the mean -1.625, and the terms of the first are by far the most scattered.

Formula, with q = N(m, s^2), eps = (z - m) / s and f = log p(x, z) - log q(z):

    score function    d/dm E_q[f] = E[f(z) eps / s]
    path              d/dm E_q[f] = E[d log p(x, z) / dz],   z = m + s eps
    measure-valued    d/dm E_q[f] = (E[f(m + s W)] - E[f(m - s W)]) / (s sqrt(2 pi)),   W ~ w e^(-w^2 / 2)

Source: Mohamed, Rosca, Figurnov and Mnih (2020), JMLR 21(132), sections 4 to 6.
Expected time: two seconds. The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import numpy as np

from elbo_lab import Exact, Problem
from elbo_lab.models import PPCA
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    cloud_limits,
    figure_folder,
    marker_keywords,
    new_figure,
    plot_cloud_panel,
    save_figure,
    style_axes,
)
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import find_estimators
from elbo_lab.theory import gradient_variances

# %% Constants: three columns, one latent; q is off the posterior by 0.5 in the mean and -0.3 in the log sd
OUT = figure_folder()
SEED = 0
SHOWN = 60  # draws in a figure
DRAWS = 10  # of one estimate
REPEATS = 400  # estimates in a cloud
GAIN, LOSS = "#0072B2", "#D55E00"
MODEL = PPCA(3, 1)
THETA = MODEL.layout.pack({"W": np.array([[1.0], [0.5], [-1.0]]), "b": np.zeros(3), "log_sigma": 0.0})
X = np.array([[1.2, 0.3, -0.8]])
NAMES = ["score-function", "score-function-loo", "reparameterization", "sticking-the-landing"]

# %% The exact value first
posterior = FreePosterior(MODEL.family, 1)
eta = MODEL.posterior_eta(THETA, X) + np.array([0.5, -0.3])
problem = Problem(MODEL, posterior, THETA, posterior.phi_from_eta(eta), X)
exact = Exact("grad-phi-elbo").answer(problem, 1).value
m, s = eta[0, 0], np.exp(eta[0, 1])
print(f"q = N({m:.4f}, {s:.4f}^2), exact derivatives in m and log s: {exact.round(4)} nats per unit")


# %% The terms that the three average, as functions of their draws
def log_q(z):
    return -0.5 * ((z - m) / s) ** 2 - np.log(s * np.sqrt(2 * np.pi))


def f(z):
    """Return log p(x, z) - log q(z) at z (n,)."""
    return MODEL.log_joint(THETA, X, z[:, None, None])[:, 0] - log_q(z)


def slope(z):
    """Return d log p(x, z) / dz at z (n,)."""
    return MODEL.log_joint_grad_z(THETA, X, z[:, None, None], np.ones((len(z), 1)))[:, 0, 0]


def by_weight(z):
    return f(z) * (z - m) / s**2


def by_pair(right, left):
    return (f(right) - f(left)) / (s * np.sqrt(2 * np.pi))


rng = np.random.default_rng(SEED)
draws = m + s * rng.standard_normal(SHOWN)
lengths = np.linalg.norm(rng.standard_normal((2, SHOWN, 2)), axis=2)  # of two normals: the density of W
right, left = m + s * lengths[0], m - s * lengths[1]
terms = {
    "score-function": (draws, by_weight(draws)),
    "reparameterization": (draws, slope(draws)),
    "measure-valued": (right, by_pair(right, left)),
}
for name, (_, values) in terms.items():
    print(f"{name:<20} terms of {SHOWN} draws: mean {values.mean():+.3f}, sd {values.std():.3f}")

# %% The figures: above what happens to q, below the terms, over the same z
grid = np.linspace(m - 3.6 * s, m + 3.6 * s, 401)
q = np.exp(log_q(grid))
marks = m + s * np.linspace(-1.8, 1.8, 6)


def draw_weights(ax):
    change = q * (grid - m) / s**2
    ax.fill_between(grid, change, where=change >= 0, color=GAIN, alpha=0.35, lw=0)
    ax.fill_between(grid, change, where=change <= 0, color=LOSS, alpha=0.35, lw=0)
    ax.plot(grid, change, color=STYLE["ink"], lw=1.0)
    ax.text(m + 1.9 * s, 1.1, "gains weight", color=GAIN)
    ax.text(m - 1.9 * s, -1.35, "loses weight", color=LOSS, ha="right")
    style_axes(ax, title="REINFORCE: the draws stay, and are weighed", ylabel="dq(z) / dm")


def draw_paths(ax):
    ax.fill_between(grid, q, color=STYLE["grid"], lw=0)
    ax.plot(grid, q, color=STYLE["faint"], lw=1.0)
    ax.plot(grid + 0.2, q, color=GAIN, lw=1.4)
    for z in marks:
        ax.annotate("", (z + 0.2, 0.08), (z, 0.08), arrowprops={"arrowstyle": "->", "color": GAIN, "lw": 1.2})
    ax.plot(marks, np.full(len(marks), 0.08), "o", ms=3, color=STYLE["ink"])
    style_axes(ax, title="Pathwise: the draws move with q", ylabel="q(z)")


def draw_measures(ax):
    away = np.abs(grid - m) / s
    density = away * np.exp(-0.5 * away**2) / s
    for side, color, word, place in (
        (grid >= m, GAIN, "+", m + s),
        (grid <= m, LOSS, "−", m - s),
    ):
        ax.fill_between(grid[side], density[side], color=color, alpha=0.35, lw=0)
        ax.plot(grid[side], density[side], color=color, lw=1.4)
        ax.text(place, 0.5, word, color=color, ha="center", fontsize=16)
    style_axes(ax, title="Measure-valued: one density less another", ylabel="density of z")


def picture(name, draw, term, xlabel="z"):
    """Return a figure: above what happens to q, below the terms of an estimator."""
    figure = new_figure(4.6, 5.4)
    above, below = figure.subplots(2, 1, sharex=True)
    draw(above)
    z, values = terms[name]
    look = marker_keywords(name)
    below.plot(z, values, linestyle="none", marker=look["marker"], color=look["color"], ms=4, alpha=0.7)
    below.axhline(exact[0], **EXACT_LINE)
    place = {"xytext": (-2, 5), "textcoords": "offset points", "fontsize": STYLE["note_size"], "ha": "right"}
    below.annotate(f"exact {exact[0]:.3f}", (grid[-1], exact[0]), **place)
    style_axes(below, title=f"One draw, one term: {term}", xlabel=xlabel, ylabel="nats per unit of m")
    below.set(xlim=(grid[0], grid[-1]), ylim=(-26.0, 26.0))
    return figure


figure = picture("score-function", draw_weights, "f(z) times score")
caption = (
    "REINFORCE. Above: when the mean of q moves, z right of it gain weight and z left of it lose weight. "
    "Below: the terms f(z) times score of 60 draws reach from +10 to -23 around the exact -1.625."
)
print("figure:", save_figure(figure, OUT, "derivative-by-weights", caption)[0])
figure = picture("reparameterization", draw_paths, "slope of log p(x, z)")
caption = (
    "Pathwise. Above: when the mean of q moves, every draw moves along. "
    "Below: the terms of 60 draws, slopes of log p(x, z), stay within a few nats of the exact -1.625."
)
print("figure:", save_figure(figure, OUT, "derivative-by-paths", caption)[0])
figure = picture("measure-valued", draw_measures, "difference of f, scaled", "z of the right-hand density")
caption = (
    "Measure-valued. Above: the derivative of q is one density to the right less its mirror image. "
    "Below: the differences of f of 60 pairs of draws stay within a few nats of the exact -1.625."
)
print("figure:", save_figure(figure, OUT, "derivative-by-measures", caption)[0])

# %% The noise of both derivatives: four estimators, ten draws each, the same noise
noise = rng.standard_normal((REPEATS, DRAWS, 1, 1))  # repeats, S, N, K
clouds = {e.name: e.estimate(problem, noise)[0] for e in find_estimators(NAMES)}
known = gradient_variances(MODEL, THETA, X, MODEL.family, eta, DRAWS)
for name, points in clouds.items():
    spread = points.var(axis=0).round(3)
    print(f"{name:<22} variance measured {spread}, exact {known[name][0].round(3)}")

figure = new_figure(6.2, 5.4)
limits = cloud_limits(list(clouds.values()), exact)
for ax, name in zip(figure.subplots(2, 2, sharex=True, sharey=True).ravel(), NAMES, strict=True):
    plot_cloud_panel(clouds[name], exact, ax, name, limits)
words = {"fontsize": STYLE["label_size"], "color": STYLE["ink"]}
figure.supxlabel("derivative in m, nats per unit", **words)
figure.supylabel("derivative in log s, nats per unit", **words)
caption = (
    "400 gradients in the mean and log standard deviation, from ten draws each: REINFORCE fills the panel, "
    "leave-one-out a part of it, and the two pathwise gradients lie close to the exact answer, dashed."
)
print("figure:", save_figure(figure, OUT, "four-clouds", caption)[0])

# %% The claim: the three means by quadrature are the exact derivative, and theory has the order of the noise
nodes, weights = np.polynomial.hermite_e.hermegauss(40)
weights = weights / weights.sum()
W = np.linspace(0.0, 12.0, 20_001)
tent = W * np.exp(-0.5 * W**2) * (W[1] - W[0])
means = {
    "score-function": weights @ by_weight(m + s * nodes),
    "reparameterization": weights @ slope(m + s * nodes),
    "measure-valued": (tent @ f(m + s * W) - tent @ f(m - s * W)) / (s * np.sqrt(2 * np.pi)),
}
for name, mean in means.items():
    assert abs(mean - exact[0]) < 1e-6, name
sizes = [known[name][0, 0] for name in ("score-function", "score-function-loo", *NAMES[2:])]
assert sizes == sorted(sizes, reverse=True), "REINFORCE, leave-one-out, pathwise, sticking the landing"
assert sizes[0] > 50 * sizes[2], "size against slope"
