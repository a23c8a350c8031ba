# %% [markdown]
# # The six panels of Old Faithful
# %%
"""EM for a mixture of two Gaussians: the picture that every student of EM has seen, with its numbers.

Claim. From two equal circles off the cloud, both components are long and lie along the whole cloud after one
cycle; after five they have parted, after twenty nothing moves. The log-likelihood rises in every cycle. It
ends at the maximum that the same data have in minutes, once the Jacobian of the standardisation is paid:
standardising changes no responsibility.

Formula:
    E-step  r_nk = pi_k N(x_n; mu_k, Sigma_k) / sum_j pi_j N(x_n; mu_j, Sigma_j)
    M-step  mu_k, Sigma_k = mean and covariance weighted by r_nk,   pi_k = sum_n r_nk / N
    log p(minutes) = log p(standardised) - N sum_d log sd_d

Source: Bishop (2006), Pattern Recognition and Machine Learning, section 9.2.2, figure 9.8, eqs. 9.23 to 9.27.
Exact set-up: 272 eruptions, each column shifted to mean 0 and scaled to sd 1; centres as for K-means in the
book's figure 9.1, covariances proportional to the unit matrix. The book draws the start and prints no
coordinates: read off, (-1.5, 1) and (1.5, -1), sd 0.5, equal weights. So panels are compared, not digits.
It must show: no motion after 20 cycles ("close to convergence"), and a likelihood that never falls.
Expected time: two seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import numpy as np
from _paper import paper_parser, publish, read_options

from elbo_lab.datasets import load
from elbo_lab.em import MixtureEM, fit_em, run_em
from elbo_lab.models import GaussianMixture
from elbo_lab.plots import ellipse, figure_folder, new_figure, save_figure, style_axes

# %% Constants
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
MINUTES = load("faithful").x
SPREAD = MINUTES.std(axis=0)
X = (MINUTES - MINUTES.mean(axis=0)) / SPREAD
CYCLES = (1, 2, 5, 20)
MEANS = np.array([[-1.5, 1.0], [1.5, -1.0]])
START_SD = 0.5
BLUE = np.array([0.0, 0.27, 0.53])
RED = np.array([0.8, 0.2, 0.07])
FLOOR = 1e-6

# %% The exact answer first: the best maximum of the data in minutes, from many starts
model = GaussianMixture(2, 2, "full")
best = fit_em(model, MINUTES, restarts=3).log_likelihood
jacobian = len(X) * np.log(SPREAD).sum()
print(f"maximum {best:.6f} nats in minutes, {best + jacobian:.6f} standardised")

# %% Then the book's cycles: the parameters after 0, 1, 2, 5 and 20
circles = np.array([START_SD**2 * np.eye(2)] * 2)
start = model.layout.pack({"logits": np.zeros(2), "mean": MEANS, **model.covariance.stored(circles)})
problem = MixtureEM(model, X, FLOOR)
thetas = {0: start}
for cycles in CYCLES:
    thetas[cycles] = run_em(problem, start, tolerance=1e-300, max_iterations=cycles).theta
run = run_em(problem, start, tolerance=1e-300, max_iterations=40)
log_p = np.array([row["log_likelihood"] for row in run.history])


def moved(cycles):
    """Return how far the means still are from where EM ends, in standard deviations of the data."""
    end = model.layout.views(run.theta)["mean"]
    return float(np.abs(model.layout.views(thetas[cycles])["mean"] - end).max())


def longest(cycles):
    """Return the ratio of the axes of the longer component: 1 for a circle."""
    values = np.linalg.eigvalsh(model.covariance.natural(model.layout.views(thetas[cycles])))
    return float(np.sqrt(values[:, 1] / values[:, 0]).max())


shares = {}
for cycles, theta in thetas.items():
    logits = model.posterior_eta(theta, X)
    shares[cycles] = 1.0 / (1.0 + np.exp(logits[:, 0] - logits[:, 1]))  # of the second component
    print(f"L = {cycles:>2}: log p {log_p[cycles]:9.3f}, means {moved(cycles):.3f} away")


# %% The figure: (a) the start, (b) the first E-step, then after L cycles
def plot_cycle(ax, title, inks, theta):
    style_axes(ax, title=title)
    ax.scatter(*X.T, s=6, c=inks, linewidths=0)
    parts = model.described(theta)
    for mean, covariance, color in zip(parts["means"], parts["covariances"], (BLUE, RED), strict=True):
        ax.plot(*ellipse(mean, covariance, 1), color=color, linewidth=1.6)
    ax.set_aspect("equal")


def mixed_inks(share):
    """Return a colour (N, 3) for every datum, between those of the components."""
    return np.outer(1 - share, BLUE) + np.outer(share, RED)


figure = new_figure(5.4)
axes = figure.subplots(2, 3, sharex=True, sharey=True)
plot_cycle(axes[0, 0], "(a) start", "#3a7d44", start)
plot_cycle(axes[0, 1], "(b) first E-step", mixed_inks(shares[0]), start)
for ax, letter, cycles in zip(axes.flat[2:], "cdef", CYCLES, strict=True):
    plot_cycle(ax, f"({letter}) L = {cycles}", mixed_inks(shares[cycles]), thetas[cycles])
for ax in axes[1]:
    ax.set_xlabel("eruption, sd")
for ax in axes[:, 0]:
    ax.set_ylabel("waiting, sd")
caption = (
    "Six panels of EM on Old Faithful: from two equal circles off the cloud to two clusters after twenty "
    "cycles."
)
print("figure:", save_figure(figure, OUT, "faithful-panels", caption)[0])

# %% The claim
rows = []
for cycles in CYCLES:
    rows.append(
        {"quantity": f"log p after L = {cycles}", "ours": log_p[cycles], "note": "nats, standardised"}
    )
in_minutes = run.log_likelihood - jacobian
rows += [
    {"quantity": "panel (c), L = 1", "ours": longest(1), "note": "ratio of axes"},
    {"quantity": "panel (e), L = 5", "ours": moved(5), "note": "sd from the end"},
    {"quantity": "panel (f), L = 20", "published": "close to convergence", "ours": moved(20)},
    {"quantity": "end, in minutes", "ours": in_minutes, "note": "nats"},
]
publish(rows, "Bishop (2006), figure 9.8: the book prints panels and no numbers", ASKED)
assert (np.diff(log_p) >= -1e-12 * np.abs(log_p[1:])).all(), "the likelihood should never fall"
assert abs(in_minutes - best) < 1e-6, "the end should be the maximum known in minutes"
assert moved(20) < 0.02 < moved(1), "twenty cycles should be enough, and one should not"
