# %% [markdown]
# # Data on a manifold
# %%
"""Without noise, data lie on a manifold and log p has no upper limit: its growth counts dimensions.

Claim. Where r coordinates bend into D columns, log p of the best model grows by D - r nats for each unit of
-log sigma, the noise of the decoder, as soon as there are r latents; with fewer it falls without bound. On a
plane this is exact, and the ELBO grows as fast only if it leaves the other latents unused. On an arc training
keeps close to the same line, but stops at another sigma and with other units for every seed: it does not find
the optimum, which has no end. A ring has one coordinate and needs two latents: with one, two opposite points
share a code, and one of them is reconstructed with an error of at least the radius.

Formula, for a density on the manifold of the entropy H (nats per unit of length or area):

    max E log p(x)  =  -H - (D - r) (log sigma + log(2 pi) / 2) + small       as sigma -> 0
    a code e: ring -> R is continuous, e(a) - e(a + pi) changes its sign, so e(a) = e(a + pi) for some a

Source: Dai and Wipf (2019), Diagnosing and Enhancing VAE Models, theorems 1 to 3; the second line is the
theorem of Borsuk and Ulam for a circle.
Expected time: ten seconds on two cores; with ELBO_LAB_QUICK=1 two, with short trainings.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os
from dataclasses import dataclass

import numpy as np

from elbo_lab import fit
from elbo_lab.datasets import MANIFOLDS, load
from elbo_lab.exact import expected_log_joint
from elbo_lab.fitting import fit_seeds
from elbo_lab.models import PPCA, DeepGaussianFixed
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, legend_inside, panels, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
LOG_SIGMA = np.linspace(0.5, -4.0, 46)
LATENTS = (1, 2, 3, 5)
SEEDS = range(2 if QUICK else 5)
EPOCHS = 30 if QUICK else 100
SETTINGS = {
    "hidden": (32, 32),
    "epochs": EPOCHS,
    "batch": 100,
    "learning_rate": 5e-3,
    "schedule": f"cosine:{10 * EPOCHS}",
    "evaluate_every": EPOCHS,
}
QUIET = 0.1  # sd of x at the start: with that of the data, a decoder of the ring learns to ignore z
COLORS = {1: "#BB5566", 2: "#DDAA33", 3: "#77AADD", 5: "#004488"}
BLUE = "#004488"
RED = "#BB5566"


@dataclass(frozen=True)
class Decoder(DeepGaussianFixed):
    name = "quiet-decoder"

    def initial_extra(self, x):  # noqa: ARG002
        return np.log([QUIET])


# %% The law where it is exact: a plane of r = 3 in D = 10, the loadings at their best for every sigma
plane = MANIFOLDS["plane"]
x = load("plane").x
missing = x.shape[1] - plane.dimension
curves = {}
slopes = {}
for latent in LATENTS:
    model = PPCA(x.shape[1], latent)
    best = [model.maximum_at_noise(x, log_sigma) for log_sigma in LOG_SIGMA]
    curves[latent] = np.array([model.log_evidence(theta, x).mean() for theta in best])
    slopes[latent] = (curves[latent][-1] - curves[latent][-2]) / (LOG_SIGMA[-2] - LOG_SIGMA[-1])
    print(f"plane, K = {latent}: d log p / d(-log sigma) at the end {slopes[latent]:.6f}; D - r = {missing}")

# %% The ELBO: a diagonal q pays for each latent in use, and a turned W uses all of them
model = PPCA(x.shape[1], 5)
turn = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]


def elbo(log_sigma, turned):
    """Return the mean ELBO at the best diagonal q: the exact mean, and 1 / M_kk as variances."""
    theta = model.maximum_at_noise(x, log_sigma)
    if turned:  # the same W W^T, and so the same log p
        loadings = model.layout.view(theta, "W")
        loadings[...] = loadings @ turn
    mean, covariance = model.posterior_moments(theta, x)
    log_std = np.tile(-0.5 * np.log(np.diag(np.linalg.inv(covariance))), (len(x), 1))
    eta = model.family.join(mean, log_std)
    return (expected_log_joint(model, theta, x, eta)[0] + model.family.entropy(eta)).mean()


kept, spread = (elbo(-5.0, turned) - elbo(-4.0, turned) for turned in (False, True))
print(f"plane, K = 5: the ELBO gains {kept:.4f} per unit, and {spread:.4f} where W spreads over all latents")

# %% Training on an arc: r = 1, D = 2, and one latent more than it takes
arc = MANIFOLDS["arc"]
runs = fit_seeds("deep-gaussian:fixed", "arc", seeds=SEEDS, latent=2, progress=False, **SETTINGS)
print(runs.table())
rows = runs.rows
reached = np.array([row["elbo"] for row in rows])
sigma = np.array([row["sigma"] for row in rows])
short = arc.ceiling(np.log(sigma)) - reached
print(f"below the line of the best model at the same sigma: {short.min():.3f} to {short.max():.3f} nats")


# %% The counterexample: a ring with one latent and with two
def code(vae, angle):
    """Return the mean code (n, K) of points of the ring at angles (n,)."""
    return vae.encode(np.stack([np.cos(angle), np.sin(angle)], axis=1))[0]


def shared_code(vae):
    """Return the angle at which a point and its opposite have the same code, by bisection."""
    low, high = 0.0, np.pi

    def difference(angle):
        return np.subtract(*code(vae, np.array([angle, angle + np.pi])))[0]

    sign = np.sign(difference(low))
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.sign(difference(middle)) == sign else (low, middle)
    return low


fine = np.linspace(0, 2 * np.pi, 2001)
ring = np.stack([np.cos(fine), np.sin(fine)], axis=1)
rings = {latent: fit(Decoder, "ring", latent=latent, seed=0, progress=False, **SETTINGS) for latent in (1, 2)}
worst = {}
for latent, vae in rings.items():
    worst[latent] = np.linalg.norm(vae.reconstruct(ring) - ring, axis=1).max()
    value, noise = vae.final["elbo_per_datum"], vae.final["decoder_noise"]["sigma"]
    print(f"ring, K = {latent}: ELBO {value:.2f}, sigma {noise:.3f}, largest error {worst[latent]:.2f}")
torn = shared_code(rings[1])
pair = np.array([torn, torn + np.pi])
ends = np.stack([np.cos(pair), np.sin(pair)], axis=1)
apart = float(np.abs(np.subtract(*code(rings[1], pair)))[0])
error = np.linalg.norm(rings[1].reconstruct(ends) - ends, axis=1).max()
print(f"opposite points with codes {apart:.0e} apart: one has an error of {error:.3f}, at least the radius 1")

# %% The figure
figure, axes = panels(2, 2, height=7.4)
ax = axes[0]
style_axes(ax, title="A plane, r = 3 of D = 10: exact", xlabel="-log sigma", ylabel="log p, nats per datum")
for latent, curve in curves.items():
    wide = 3 if latent == plane.dimension else 1  # the curve of K = 5 lies on it
    ax.plot(-LOG_SIGMA, curve, color=COLORS[latent], lw=wide * STYLE["line_width"], label=f"K = {latent}")
ax.plot(-LOG_SIGMA, plane.ceiling(LOG_SIGMA), label=f"slope D - r = {missing}", **EXACT_LINE)
ax.set_ylim(-60, 25)
legend_inside(ax, "lower left")
ax = axes[1]
style_axes(ax, title="An arc, K = 2: training", xlabel="-log sigma", ylabel="ELBO, nats per datum")
line = np.array([-np.log(sigma).max() - 0.3, -np.log(sigma).min() + 0.3])
ax.plot(line, arc.ceiling(-line), label="best model at this sigma", **EXACT_LINE)
for row in rows:
    filled = BLUE if row["active_units"] == 1 else "none"
    ax.plot(-np.log(row["sigma"]), row["elbo"], "o", color=BLUE, markerfacecolor=filled)
ax.plot([], [], "o", color=BLUE, label="a seed, 1 active unit")
ax.plot([], [], "o", color=BLUE, markerfacecolor="none", label="a seed, 2 active units")
legend_inside(ax, "lower right")
for ax, (latent, vae) in zip(axes[2:], rings.items(), strict=True):
    title = f"The ring, K = {latent}: largest error {worst[latent]:.2f}"
    style_axes(ax, title=title, xlabel="$x_1$", ylabel="$x_2$")
    ax.plot(*ring.T, label="the ring", **EXACT_LINE)
    ax.plot(*vae.reconstruct(ring).T, color=BLUE, lw=STYLE["line_width"], label="its reconstruction")
    if latent == 1:
        ax.plot(*ends.T, "o", color=RED)
        ax.plot(*vae.reconstruct(ends[:1]).T, "x", color=RED)
    ax.axis((-1.3, 1.3, -1.3, 1.3))
    ax.set_aspect("equal")
ax.plot([], [], "o", color=RED, label="K = 1: two points of one code")
ax.plot([], [], "x", color=RED, label="K = 1: their reconstruction")
legend_inside(ax, "center")
caption = (
    "Log p grows by D - r nats for each unit of -log sigma once there are r latents. Training on an arc "
    "stays near that line. A ring needs two latents: with one, two opposite points share a code."
)
print("figure:", save_figure(figure, OUT, "manifolds", caption)[0])

# %% The claim
assert all(abs(slopes[latent] - missing) < 1e-6 for latent in (3, 5)), "D - r nats per unit"
assert all(slopes[latent] < -10 for latent in (1, 2)), "with too few latents it falls"
assert abs(kept - missing) < 1e-6, "the ELBO grows as fast with the unused latents off"
assert abs(spread - (10 - 5)) < 0.01, "and by D - K if all are in use"
assert error >= 1 - 1e-6, "no continuous code of one number tells a ring apart"
if not QUICK:
    assert (short > 0).all(), "no bound is above the best model"
    assert np.ptp(np.log(sigma)) > 0.1, "every seed ends at another noise"
    assert worst[2] < 0.5 < 1 <= worst[1] + 0.05, "two latents close the ring"
