# %% [markdown]
# # KL one way, and the other way round
# %%
"""A Gaussian q fitted to a posterior that is no Gaussian: KL(q || p) picks one mode, KL(p || q) covers both.

Claim. The posterior of z given x = z^2 + noise has two modes. The q with the least KL(q || p), the gap of the
ELBO, sits on one of them and is narrow; that with the least KL(p || q) has the mean and the standard
deviation of the posterior, and is highest where the posterior has nothing. Each is bad by the measure of the
other. For two latents that are correlated and a q without correlation, the first is too narrow in each
direction, the second has the right widths. If the posterior is a member of the family, both find it.

Formula:

    KL(q || p) = E_q[log q - log p]      mean under q: punishes mass where p has none
    KL(p || q) = E_p[log p - log q]      mean under p: punishes no mass where p has some
    least KL(p || q) among Gaussians:    mean and variance of p
    p = N(0, C), q = N(0, diag(v)):      v_k = 1 / (C^-1)_kk one way, v_k = C_kk the other

Source: Minka (2005), Divergence measures and message passing; Bishop (2006), section 10.1.2 and figures 10.2
and 10.3.
Expected time: one second. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import numpy as np
from scipy.optimize import minimize

from elbo_lab.plots import STYLE, figure_folder, new_figure, save_figure, style_axes

# %% Constants
OUT = figure_folder()
X, NOISE = 2.0, 0.5  # z ~ N(0, 1), x | z ~ N(z^2, 0.5^2)
RHO = 0.9  # correlation of two latents
Z = np.linspace(-6.0, 6.0, 6001)
DZ = Z[1] - Z[0]
BLUE, RED = "#004488", "#BB5566"


def log_normal(x, mean, sd):
    return -0.5 * np.log(2 * np.pi) - np.log(sd) - 0.5 * ((x - mean) / sd) ** 2


# %% The exact answer first: the posterior, by quadrature
log_joint = log_normal(Z, 0.0, 1.0) + log_normal(X, Z**2, NOISE)
log_p_x = np.log(np.exp(log_joint).sum() * DZ)
log_post = log_joint - log_p_x
post = np.exp(log_post)
print(f"log p(x) = {log_p_x:.4f}")


def kl_q_p(mean, sd):
    log_q = log_normal(Z, mean, sd)
    return (np.exp(log_q) * (log_q - log_post)).sum() * DZ


def kl_p_q(mean, sd):
    return (post * (log_post - log_normal(Z, mean, sd))).sum() * DZ


# %% The two fits: KL(q || p) by a search from the right-hand side, KL(p || q) by its formula
exact = {"method": "Nelder-Mead", "options": {"xatol": 1e-9, "fatol": 1e-12}}
found = minimize(lambda eta: kl_q_p(eta[0], np.exp(eta[1])), (1.0, -1.0), **exact)
one = (found.x[0], np.exp(found.x[1]))
mean = (post * Z).sum() * DZ
both = (mean, np.sqrt((post * (Z - mean) ** 2).sum() * DZ))
print("least          mean      sd   KL(q || p)   KL(p || q)      ELBO")
for name, q in (("KL(q || p)", one), ("KL(p || q)", both)):
    here, there = kl_q_p(*q), kl_p_q(*q)
    print(f"{name} {q[0] + 0.0:>8.4f} {q[1]:>7.4f} {here:>12.4f} {there:>12.4f} {log_p_x - here:>9.4f}")

# %% Two correlated latents
C = np.array([[1.0, RHO], [RHO, 1.0]])
variances = {"KL(q || p)": 1 / np.diag(np.linalg.inv(C)), "KL(p || q)": np.diag(C)}


def kl_gaussians(first, second):
    """Return KL(N(0, first) || N(0, second)), both (2, 2)."""
    ratio = np.linalg.solve(second, first)
    return 0.5 * (np.trace(ratio) - 2 - np.linalg.slogdet(ratio)[1])


for name, v in variances.items():
    q = np.diag(v)
    numbers = f"KL(q || p) {kl_gaussians(q, C):.4f}, KL(p || q) {kl_gaussians(C, q):.4f}"
    print(f"correlation {RHO}, least {name}: sd {v[0] ** 0.5:.4f}, {numbers}")

# %% The figure
figure = new_figure(7.0, 5.4)
above, below = figure.subplots(2, 1, height_ratios=(1.0, 1.25))
style_axes(above, title="Two modes: pick one, or cover both", xlabel="z", ylabel="density")
look = {"color": "black", "ls": "--", "lw": 1.2}
shown = np.abs(Z) <= 3.5
shown &= np.arange(len(Z)) % 10 == 0
above.plot(Z[shown], post[shown], label="posterior p(z | x)", **look)
for (mean, sd), color, label in ((one, BLUE, "least KL(q || p)"), (both, RED, "least KL(p || q)")):
    density = np.exp(log_normal(Z[shown], mean, sd))
    above.plot(Z[shown], density, color=color, lw=STYLE["line_width"] + 0.4, label=label)
    above.fill_between(Z[shown], density, color=color, alpha=0.15, lw=0)
above.set(xlim=(-3.5, 3.5), ylim=(0.0, 2.3))
title = f"Correlation {RHO}: too narrow, or the right widths"
style_axes(below, title=title, xlabel="$z_1$", ylabel="$z_2$")
angle = np.linspace(0.0, 2 * np.pi, 201)
circle = np.array([np.cos(angle), np.sin(angle)])
below.plot(*(2 * np.linalg.cholesky(C) @ circle), **look)
for name, color in (("KL(q || p)", BLUE), ("KL(p || q)", RED)):
    line = 2 * np.sqrt(variances[name])[:, None] * circle
    below.plot(*line, color=color, lw=STYLE["line_width"] + 0.4)
    below.fill(*line, color=color, alpha=0.15, lw=0)
below.set(xlim=(-3.4, 3.4), ylim=(-2.3, 2.3), aspect="equal")
figure.legend(
    *above.get_legend_handles_labels(),
    frameon=False,
    fontsize=STYLE["label_size"],
    loc="outside lower left",
    ncols=1,
)
caption = (
    "Above: a posterior with two modes. The Gaussian with the least KL(q || p) sits on one mode, that with "
    "the least KL(p || q) spreads over both. Below: contours at two standard deviations of a correlated "
    "posterior and of both q."
)
print("figure:", save_figure(figure, OUT, "kl-two-ways", caption)[0])

# %% The claim
assert abs(kl_q_p(*one) - np.log(2)) < 0.03, "one of two modes: a gap of about log 2"
assert kl_q_p(*one) < kl_q_p(*both) and kl_p_q(*both) < kl_p_q(*one), "each is best by its own measure"
assert kl_p_q(*one) > 10 * kl_p_q(*both), "and bad by the other"
assert abs(both[0]) < 1e-9 and np.interp(both[0], Z, post) < 0.01, (
    "that which covers is centred where p has nothing"
)
for step in ((1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3)):
    assert kl_p_q(both[0] + step[0], both[1] + step[1]) > kl_p_q(*both), (
        "moments of p are the least KL(p || q)"
    )
    assert kl_q_p(one[0] + step[0], one[1] + step[1]) > kl_q_p(*one), (
        "and the search found a least KL(q || p)"
    )
narrow, right = (np.diag(v) for v in variances.values())
assert np.allclose(narrow, (1 - RHO**2) * np.eye(2)) and np.allclose(right, np.eye(2)), "widths of both"
assert kl_gaussians(narrow, C) < kl_gaussians(right, C), "one way"
assert kl_gaussians(C, right) < kl_gaussians(C, narrow), "and the other"
