# %% [markdown]
# # A black box: log p(x | z) without a derivative
# %%
"""A likelihood that is a program with a loop and an `if`: REINFORCE needs its values alone.

Claim. A simulator counts the bounces of a ball. The count is a whole number, so log p(x | z) is a staircase
in z: its slope is zero wherever it has one, and a pathwise gradient would follow the KL alone, back to the
prior. The score function asks for values only. With it q climbs to the best Gaussian's ELBO.

Formula, with q = N(m, s^2), S draws, f = log p(x, z) - log q(z), and the mean of the other draws as baseline:

    grad ELBO ~= (1/S) sum_s (f_s - mean of the other f) grad log q(z_s)

    z ~ N(0, 1), speed = 4 exp(z / 2) m/s,  n = number of bounces above 5 cm,  x_i ~ Poisson(n)

Source: Williams (1992); with the baseline Mnih and Rezende (2016). Black-box inference: Ranganath, Gerrish
and Blei (2014).
Expected time: three seconds; with ELBO_LAB_QUICK=1 the same.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import math

import numpy as np
from scipy.optimize import minimize

from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.plots import STYLE, figure_folder, panels, save_figure, style_axes

# %% Constants
OUT = figure_folder()
SEED = 0
COUNTS = (9, 11, 10)
GRAVITY = 9.81
LOWEST = 0.05
KEPT = 0.64  # of the height, at each bounce
DRAWS = 20
STEPS = 400
RATE = 0.05
FAMILY = DiagonalGaussian(1)


# %% The simulator, as somebody else wrote it
def bounces(speed):
    """Count the bounces of a ball thrown up at a speed in m/s, until they stay below 5 cm."""
    height, count = speed**2 / (2.0 * GRAVITY), 0
    while height > LOWEST:
        height *= KEPT
        count += 1
    return count


def log_likelihood(z):
    """Return log p(x | z) of all counts at one z, in nats."""
    rate = max(bounces(4.0 * math.exp(0.5 * z)), 0.5)
    return sum(x * math.log(rate) - rate - math.lgamma(x + 1) for x in COUNTS)


def log_joint(z):
    """Return log p(x, z) at every entry of z: the callable is called once for each."""
    values = np.array([log_likelihood(one) for one in z.ravel()]).reshape(z.shape)
    return values - 0.5 * z**2 - 0.5 * math.log(2.0 * math.pi)


# %% The exact values first: sums over a fine grid, which one latent allows
grid = np.linspace(-6.0, 6.0, 24_001)
step = grid[1] - grid[0]
on_grid = log_joint(grid)
peak = on_grid.max()
log_p = peak + math.log(np.exp(on_grid - peak).sum() * step)
posterior = np.exp(on_grid - log_p)


def exact_elbo(eta):
    """Return the ELBO of q with eta = (mean, log s), a sum over the grid."""
    q = np.exp(-0.5 * ((grid - eta[0]) / np.exp(eta[1])) ** 2)
    q /= q.sum()
    return float(q @ on_grid + eta[1] + 0.5 * (1.0 + math.log(2.0 * math.pi)))


best = minimize(lambda eta: -exact_elbo(eta), [1.0, -1.0], method="Nelder-Mead")
of_prior, of_best = exact_elbo([0.0, 0.0]), -best.fun
print(f"log p(x) = {log_p:.4f}; ELBO of the prior {of_prior:.4f}, of the best Gaussian {of_best:.4f}")

# %% There is no slope
places = np.random.default_rng(SEED).standard_normal(1000)
slopes = np.array([(log_likelihood(z + 1e-9) - log_likelihood(z)) / 1e-9 for z in places])
print(f"slope of log p(x | z) at 1000 draws of the prior: {np.count_nonzero(slopes)} are not zero")


# %% REINFORCE with the mean of the other draws as baseline
def climb():
    """Return eta after every step of Adam along the score-function gradient."""
    rng, eta, path = np.random.default_rng(SEED), np.zeros(2), []
    mean, square = np.zeros((2, 2))
    for t in range(1, STEPS + 1):
        z = FAMILY.sample(eta[None], rng.standard_normal((DRAWS, 1, 1)))
        f = log_joint(z)[..., 0] - FAMILY.log_prob(eta[None], z)
        others = (f.sum(axis=0) - f) / (DRAWS - 1)
        gradient = ((f - others)[..., None] * FAMILY.score(eta[None], z)).mean(axis=0)[0]
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        corrected = (mean / (1.0 - 0.9**t)) / (np.sqrt(square / (1.0 - 0.999**t)) + 1e-8)
        eta = eta + RATE * (1.0 - t / STEPS) * corrected
        path.append(eta)
    return np.array(path)


path = climb()
climbed = np.array([exact_elbo(eta) for eta in path])
print(f"after {STEPS} steps: ELBO {climbed[-1]:.4f}, q = N({path[-1, 0]:.3f}, {np.exp(path[-1, 1]):.3f}^2)")

# %% The figure
figure, axes = panels(2, 1, height=6.4, width=STYLE["page_width"])
shown = np.abs(grid) < 3.0
style_axes(axes[0], title="The posterior is a staircase too", xlabel="z", ylabel="density")
axes[0].plot(grid[shown], posterior[shown], "k--", linewidth=STYLE["line_width"], label="exact posterior")
density = np.exp(FAMILY.log_prob(path[-1][None], grid[:, None, None])[:, 0])
axes[0].plot(grid[shown], density[shown], color="#004488", linewidth=STYLE["line_width"], label="q")
axes[0].legend(frameon=False, fontsize=STYLE["tick_size"])
style_axes(axes[1], title="REINFORCE climbs without a slope", xlabel="step", ylabel="ELBO, nats")
axes[1].plot(
    np.arange(1, STEPS + 1), climbed, color="#004488", linewidth=STYLE["line_width"], label="exact ELBO of q"
)
axes[1].axhline(log_p, color="black", linestyle="--", label="log p(x)")
axes[1].axhline(of_best, color="#BB5566", linestyle=":", label="ELBO of the best Gaussian")
axes[1].set_xscale("log")
axes[1].legend(frameon=False, fontsize=STYLE["tick_size"])
caption = (
    "A simulator of bounces: its likelihood is a staircase without a slope, and REINFORCE, which asks for "
    "values only, climbs to the ELBO of the best Gaussian."
)
print("figure:", save_figure(figure, OUT, "black-box", caption)[0])

# %% The claim
assert np.count_nonzero(slopes) == 0, "a staircase has no slope but at its steps"
assert np.all(climbed < log_p), "every ELBO stays below log p(x)"
assert of_prior < of_best - 1.0, "the prior, where a pathwise gradient would lead, is far below"
assert climbed[-1] > of_best - 0.02, "the score function finds the best Gaussian"
