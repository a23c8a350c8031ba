# %% [markdown]
# # A ring of Gaussian noise
# %%
"""A simple function turns simple noise into a complicated density; a decoder can learn the function.

Claim. Pushed through g(z) = z / 10 + z / |z|, a two-dimensional Gaussian becomes a ring. The change of
variables gives its density, and so the best log-likelihood that any model can have. A VAE with two latents
learns a decoder that bends noise into the ring and lacks about half a nat: being continuous, it has to carry
some noise across the hole. One Gaussian, all that a straight decoder can make, lacks almost two.

Formula, with rho = |z|, |g(z)| = 1 + rho / 10, and the angle unchanged:

    |det dg/dz| = (1/10) (1/10 + 1/rho)          one factor along the radius, one along the circle
    p(x) = N(z; 0, I) / |det dg/dz|              at rho = 10 (|x| - 1), and zero for |x| < 1
    E_p log p_model(x) = -entropy(p) - KL(p || p_model)  <=  E_p log p(x)

Source: Doersch (2016), Tutorial on Variational Autoencoders, arXiv:1606.05908, figure 2.
Expected time: twenty seconds on two cores; with ELBO_LAB_QUICK=1 one, with a short training.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap

from elbo_lab import fit
from elbo_lab.em import fit_closed_form
from elbo_lab.evaluation import importance_nll
from elbo_lab.models import DeepGaussianFixed, GaussianMLE
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, legend_inside, panels, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
ROWS = 400 if QUICK else 2000
UNSEEN = 40 if QUICK else 300
SAMPLES = 200 if QUICK else 5000
EPOCHS = 20 if QUICK else 300
SETTINGS = {
    "latent": 2,
    "hidden": (64, 64),
    "batch": 200,
    "learning_rate": 5e-3,
    "epochs": EPOCHS,
    "schedule": f"cosine:{EPOCHS * ROWS // 200}",
    "draws": 1,
    "seed": SEED,
}
NOISE = 0.1  # sd of x at the start: with that of the data, the decoder learns to ignore z


@dataclass(frozen=True)
class Decoder(DeepGaussianFixed):
    name = "ring-decoder"

    def initial_extra(self, x):  # noqa: ARG002
        return np.log([NOISE])


# %% The ring and its density
def ring(z):
    """Return g(z) (N, 2) of noise (N, 2)."""
    return z / 10 + z / np.linalg.norm(z, axis=-1, keepdims=True)


def log_density(x):
    """Return log p(x) (N,) by the change of variables: -inf inside the unit circle."""
    rho = np.maximum(10 * (np.linalg.norm(x, axis=-1) - 1), 0.0)
    with np.errstate(divide="ignore"):
        log_det = np.log(0.1 * (0.1 + 1 / rho))
    return -0.5 * rho**2 - np.log(2 * np.pi) - log_det


# %% The exact answers first: the Jacobian, the area, and the best that any model can have
rng = np.random.default_rng(SEED)
x = ring(rng.standard_normal((ROWS, 2)))
unseen = ring(rng.standard_normal((UNSEEN, 2)))
z = rng.standard_normal((50, 2))
h = 1e-6
columns = [(ring(z + h * unit) - ring(z - h * unit)) / (2 * h) for unit in np.eye(2)]
by_differences = np.linalg.det(np.stack(columns, axis=-1))
by_formula = 0.1 * (0.1 + 1 / np.linalg.norm(z, axis=-1))
jacobian_off = np.abs(by_differences / by_formula - 1).max()
radius = np.linspace(1.0, 2.2, 4001)
on_a_ray = np.stack([radius, 0 * radius], axis=-1)
density_of_radius = 2 * np.pi * radius * np.exp(log_density(on_a_ray))
area = np.trapezoid(density_of_radius, radius)
best = log_density(unseen).mean()
print(f"Jacobian against differences: {jacobian_off:.0e}; area under p(x): {area:.8f}")
print(f"the best that any model can have on {UNSEEN} unseen points: {best:.3f} nats per point")

# %% One Gaussian, which is all that a straight decoder can make of two latents, and the VAE
gauss = GaussianMLE(2)
theta = fit_closed_form(gauss, x).theta
blob = gauss.log_evidence(theta, unseen).mean()
vae = fit(Decoder, x, **SETTINGS)
nll = importance_nll(vae.problem(unseen), SAMPLES, SEED)
short = nll.nll + log_density(unseen)  # of the best, per point
error = short.std(ddof=1) / np.sqrt(UNSEEN)
print(f"one Gaussian: {best - blob:.3f} nats below the best")
print(f"VAE: log p {short.mean():.3f} +- {error:.3f} nats below, by {SAMPLES} importance samples per point")
print(f"  ELBO of its own rows {vae.final['elbo_per_datum']:.3f}, noise of x {np.exp(vae.theta[-1]):.3f}")

# %% The figure: colours follow the angle of z, which no model is told: a VAE may turn or mirror the plane
z = rng.standard_normal((ROWS, 2))
made = vae.model.sample_x(vae.theta.astype(float), z, rng)
distance = np.linalg.norm(made, axis=-1)
figure, axes = panels(2, 2, height=6.4, width=STYLE["page_width"])
style_axes(axes[0], title="Gaussian noise z", xlabel="$z_1$", ylabel="$z_2$")
style_axes(axes[1], title="g(z): the ring", xlabel="$x_1$", ylabel="$x_2$")
style_axes(axes[2], title="VAE: z may be turned, mirrored", xlabel="$x_1$", ylabel="$x_2$")
hues = ListedColormap(0.82 * colormaps["hsv"](np.linspace(0, 1, 256))[:, :3])  # darker, to be seen on white
for ax, points, reach in zip(axes[:3], (z, ring(z), made), (4, 1.6, 1.6), strict=True):
    angle = np.arctan2(z[:, 1], z[:, 0])
    ax.scatter(*points.T, s=4, c=angle, cmap=hues, lw=0, rasterized=True)
    ax.axis((-reach, reach, -reach, reach))
    ax.set_aspect("equal")
style_axes(axes[3], title="Distance from the middle", xlabel="|x|", ylabel="density of |x|")
edges = np.linspace(0.0, 1.6, 65)
short_of = f"VAE: {short.mean():.2f} ± {1.96 * error:.2f} nats short"
axes[3].hist(distance, edges, density=True, label=short_of, histtype="step", color="#004488")
line = np.linspace(0.0, 2.2, 400)
sigma2 = gauss.sigma2(theta)
of_gauss = line / sigma2 * np.exp(-0.5 * line**2 / sigma2)
axes[3].plot(line, of_gauss, color="#BB5566", label=f"one Gaussian: {best - blob:.2f} nats short")
axes[3].plot(radius[::10], density_of_radius[::10], label="ring, exact", **EXACT_LINE)
axes[3].set(xlim=(0.0, 1.8), ylim=(0.0, 8.5), box_aspect=1)
legend_inside(axes[3], "upper left")
caption = (
    "Gaussian noise, the ring that a known map makes of it, and the ring of a trained VAE. The VAE carries "
    "some noise across the hole and lacks about half a nat; one Gaussian lacks almost two."
)
print("figure:", save_figure(figure, OUT, "ring", caption)[0])

# %% The claim
assert jacobian_off < 1e-7, "the Jacobian is that of differences"
assert abs(area - 1) < 1e-6, "p(x) is a density"
assert blob < best - 1, "no ellipse is a ring"
assert short.mean() > -3 * error, "no model is above the truth"
if not QUICK:
    assert 1.5 < best - blob < 2, "one Gaussian lacks almost two nats"
    assert 0.4 < short.mean() < 0.6, "and a learned decoder about half a nat"
    assert short.mean() < 0.4 * (best - blob), "much nearer than one Gaussian"
    assert 0 < (distance < 0.6).mean() < 0.05, "and leaves the middle nearly empty"
