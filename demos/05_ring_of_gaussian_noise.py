# %% [markdown]
# # A ring of Gaussian noise
# %%
"""A simple function turns simple noise into a complicated density; a decoder can learn the function.

Claim. Pushed through g(z) = z / 10 + z / |z|, a two-dimensional Gaussian becomes a ring. Its density is known,
by the change of variables: so is the best log-likelihood that any model can have. A VAE with two latents
learns a decoder that makes the ring from Gaussian noise, comes within a fraction of a nat of the best, and is
never above it; PPCA, with a straight decoder, stays a blob.

Formula, with rho = |z|, |g(z)| = 1 + rho / 10, and the angle unchanged:

    |det dg/dz| = (1/10) (1/10 + 1/rho)          one factor along the radius, one along the circle
    p(x) = N(z; 0, I) / |det dg/dz|              at rho = 10 (|x| - 1), and zero for |x| < 1
    E_p log p_model(x) = -entropy(p) - KL(p || p_model)  <=  E_p log p(x)

Source: Doersch (2016), Tutorial on Variational Autoencoders, arXiv:1606.05908, figure 2.
Expected time: forty seconds on two cores; with ELBO_LAB_QUICK=1 two, with a short training.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import exact, fit
from elbo_lab.learning import fit_closed_form
from elbo_lab.models import PPCA
from elbo_lab.plots import STYLE, new_figure, save_figure
from elbo_lab.plots.style import EXACT_LINE, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = os.environ.get("ELBO_LAB_OUT", "elbo-lab-figures")
SEED, ROWS, UNSEEN = 0, 200 if QUICK else 2000, 20 if QUICK else 300
EPOCHS, HIDDEN = (5, (16,)) if QUICK else (600, (64, 64))
SETTINGS = {"latent": 2, "hidden": HIDDEN, "epochs": EPOCHS, "batch": 200, "learning_rate": 3e-3, "seed": SEED}
SETTINGS |= {"draws": 5, "schedule": f"cosine:{EPOCHS * ROWS // 200}"}


# %% The ring, its density by the change of variables, and the area under it
def ring(z):
    """Return g(z) (N, 2) of noise (N, 2)."""
    return z / 10 + z / np.linalg.norm(z, axis=-1, keepdims=True)


def log_density(x):
    """Return log p(x) (N,): -inf inside of the unit circle."""
    with np.errstate(divide="ignore"):
        rho = np.maximum(10 * (np.linalg.norm(x, axis=-1) - 1), 0.0)
        return -0.5 * rho**2 - np.log(2 * np.pi) - np.log(0.1 * (0.1 + 1 / np.where(rho, rho, np.nan)))
