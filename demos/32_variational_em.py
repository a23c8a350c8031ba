# %% [markdown]
# # Variational EM: the bound rises while log p falls
# %%
"""The platform rises, the ceiling comes down to it: what a q that cannot be the posterior does to theta.

Claim. If the family of q does not contain the posterior, each step of variational EM raises the ELBO, and
log p(x) may fall. Here q must have standard deviation 0.2, where the posterior has 0.6. Started at the
maximum of the likelihood, log p falls from the first M-step on, the bound rises in every iteration, and both
settle at another W. With the standard deviation free this is EM, and stays at the maximum.

Formula, for x | z ~ N(W z, I) and q_n = N(m_n, s^2):

    E-step   m_n = W'x_n / (1 + W'W)                    the best mean, whatever s is
    M-step   W = sum_n x_n m_n / sum_n (m_n^2 + s^2)    least squares on completed data
    log p = ELBO + KL:  ELBO up and log p down means that the KL falls faster

Source: Neal and Hinton (1998); Turner and Sahani (2011) on what a q that is too compact does to parameters.
Expected time: one second. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.models import PPCA
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, new_figure, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
NARROW = 0.2  # sd that q must have
ITERATIONS = 12
ROWS = 200
MODEL = PPCA(3, 1)


def packed(weights):
    return MODEL.layout.pack({"W": weights[:, None], "b": np.zeros(3), "log_sigma": 0.0})


X = MODEL.sample(packed(np.array([1.0, 0.5, -1.0])), ROWS, np.random.default_rng(0))[0]


# %% The exact answers: log p and the ELBO per datum
def log_p(weights):
    return MODEL.log_evidence(packed(weights), X).mean()


def e_step(weights, sd):
    """Return eta (N, 2) of the best q with this sd, or with its best sd where None is given."""
    precision = 1 + weights @ weights
    log_sd = -0.5 * np.log(precision) if sd is None else np.log(sd)
    return MODEL.family.join((X @ weights / precision)[:, None], np.full((len(X), 1), log_sd))


def m_step(eta):
    mean, log_sd = MODEL.family.split(eta)
    return (X * mean).sum(axis=0) / (mean**2 + np.exp(2 * log_sd)).sum()


def elbo(weights, eta):
    gap = MODEL.family.kl(eta, MODEL.posterior_eta(packed(weights), X))
    return log_p(weights) - gap.mean()


def run(weights, sd, iterations):
    """Return (log p, ELBO) after each M-step, the first row at the start after an E-step; and W."""
    rows = [(log_p(weights), elbo(weights, e_step(weights, sd)))]
    for _ in range(iterations):
        eta = e_step(weights, sd)
        weights = m_step(eta)
        rows.append((log_p(weights), elbo(weights, eta)))
    return np.array(rows), weights


# %% EM to the maximum of the likelihood, and from there variational EM
_, best = run(np.array([1.0, 1.0, 0.0]), None, 300)
stays, _ = run(best, None, ITERATIONS)
falls, weights = run(best, NARROW, ITERATIONS)
print(f"maximum likelihood W = {best.round(4)}, posterior sd {(1 + best @ best) ** -0.5:.4f}")
print("iteration   log p     ELBO      gap     nats per datum")
for i, (ceiling, platform) in enumerate(falls[:5]):
    print(f"{i:>9}  {ceiling:.4f}  {platform:.4f}  {ceiling - platform:.4f}")
print(f"after {ITERATIONS}: log p {falls[-1, 0]:.4f}, ELBO {falls[-1, 1]:.4f}, W = {weights.round(4)}")

# %% The figure: platform and ceiling
figure = new_figure(4.4)
title = "q too narrow: the platform rises, the ceiling comes down"
ax = style_axes(figure.subplots(), title=title, xlabel="iteration of variational EM", ylabel="nats per datum")
steps = np.arange(len(falls))
ax.plot(steps, falls[:, 0], label="log p, exact: the ceiling", **EXACT_LINE)
ax.plot(steps, falls[:, 1], "-o", color="#004488", ms=4, lw=STYLE["line_width"], label="ELBO: the platform")
ax.fill_between(steps, *falls.T, color="#BB5566", alpha=0.2, lw=0, label="the gap, a KL")
ax.set(xlim=(0, ITERATIONS))
ax.legend(frameon=False, fontsize=STYLE["label_size"], loc="center right")
caption = (
    "Variational EM with a q that is too narrow: the ELBO rises in every iteration while log p falls, until "
    "the gap between them settles."
)
print("figure:", save_figure(figure, OUT, "variational-em", caption)[0])

# %% The claim
change = np.diff(falls, axis=0)
assert (change[:, 1] > 0).all(), "the bound rises in every iteration"
assert (change[:, 0] < 0).all(), "and log p falls in every one"
assert (falls[:, 0] > falls[:, 1]).all(), "a bound it is all the while"
assert np.ptp(stays) < 1e-9, "EM itself stays at the maximum, without a gap"
