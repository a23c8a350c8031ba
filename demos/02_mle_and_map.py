# %% [markdown]
# # Maximum likelihood and MAP
# %%
"""What a prior changes when data are few, and why nobody sees it when they are many.

Claim. MAP and maximum likelihood differ by about 1/n; the uncertainty of either falls only like 1/sqrt(n),
so that from some n on the difference cannot be seen. With few data a sensible prior predicts better, and a
stubborn wrong one worse. Under a flat prior the two are the same for every n.

Formula, for x_1 ... x_n ~ N(mu, s2) with mean xbar and squares SS = sum (x - xbar)^2:

    MLE    mu = xbar                                 s2 = SS / n
    prior  mu | s2 ~ N(m, s2 / kappa)                s2 ~ InvGamma(a, b)
    MAP    mu = (kappa m + n xbar) / (kappa + n)     s2 = (b + SS/2 + between) / (a + n/2 + 3/2)
           between = kappa n (xbar - m)^2 / (2 (kappa + n))

Source: Murphy (2007), Conjugate Bayesian analysis of the Gaussian distribution, section 6.
Expected time: two to five seconds; with ELBO_LAB_QUICK=1 under two, over fewer subsets.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.datasets import load
from elbo_lab.em import NormalInverseGamma, fit_closed_form
from elbo_lab.models import GaussianMLE
from elbo_lab.plots import STYLE, figure_folder, new_figure, save_figure
from elbo_lab.plots.style import EXACT_LINE, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
SIZES = (3, 10, 30, 100, 272)
SUBSETS = 60 if QUICK else 400
DATA = load("faithful")  # its second column: minutes until the next eruption
PRIORS = {
    "sensible prior": NormalInverseGamma(np.array([60.0]), strength=4.0, shape=3.0, rate=600.0),
    "stubborn prior": NormalInverseGamma(np.array([50.0]), strength=40.0, shape=3.0, rate=600.0),
    "flat prior": NormalInverseGamma.flat(1),
}
LOOKS = {"MLE": ("#222222", "o"), "sensible prior": ("#004488", "s"), "stubborn prior": ("#BB5566", "^")}
model, waiting = GaussianMLE(1), DATA.x[:, [1]]


def estimates(x):
    """Return {name: (mu, s2)} of maximum likelihood and of MAP under each prior."""
    theta = fit_closed_form(model, x).theta
    modes = {name: prior.posterior(x).mode() for name, prior in PRIORS.items()}
    return {"MLE": (theta[0], model.sigma2(theta)), **{name: (mu[0], s2) for name, (mu, s2) in modes.items()}}


# %% The exact answer first: at the maximum of all data the gradient of log p(x) is zero
best = fit_closed_form(model, waiting)
gradient = model.log_evidence_grad(best.theta, waiting, np.ones(len(waiting)))
steepest = np.abs(model.log_evidence_grad(model.theta_of(70.0, 180.0), waiting, np.ones(len(waiting)))).max()
print(f"closed form: log p(x) = {best.log_likelihood:.3f} nats, slope {np.abs(gradient).max():.0e}")

# %% Few data, more data: one order of the rows
chain = {n: estimates(DATA.rows(n, SEED).x[:, [1]]) for n in SIZES}
print(f"{'n':>4}" + "".join(f"{name:>24}" for name in chain[3]) + "    (mu, sd in minutes)")
for n, row in chain.items():
    print(f"{n:>4}" + "".join(f"{mu:>15.3f} {s2**0.5:>8.3f}" for mu, s2 in row.values()))

# %% Many subsets of each size. Three equal rows have a MAP but no MLE: their density is unbounded
orders = [np.random.default_rng((SEED, i)).permutation(len(waiting)) for i in range(SUBSETS)]
orders = [order for order in orders if np.ptp(waiting[order[: SIZES[0]]]) > 0]
print(f"{len(orders)} of {SUBSETS} subsets have an MLE at n = {SIZES[0]}")
distance, unseen = {name: [] for name in PRIORS}, {name: [] for name in LOOKS}
for n in SIZES:
    found = [estimates(waiting[order[:n]]) for order in orders]
    rest = [waiting[order[n:]] for order in orders]
    for name in PRIORS:
        distance[name].append(np.mean([abs(row[name][0] - row["MLE"][0]) for row in found]))
    for name in LOOKS if n < len(waiting) else ():
        pairs = zip([model.theta_of(*row[name]) for row in found], rest, strict=True)
        unseen[name].append(np.median([model.log_evidence(*pair).mean() for pair in pairs]))
truth = best.theta[0], model.sigma2(best.theta) ** 0.5

# %% The figure
figure = new_figure(6.4)
axes = figure.subplots(2, 2).ravel()
titles = [f"mu from the first n of {len(waiting)} rows", "sd from the same rows"]
titles += ["|MAP - MLE| of mu, mean over subsets", "log p of the unseen rows, median"]
for ax, title in zip(axes, titles, strict=True):
    style_axes(ax, title=title, xlabel="n, rows seen", ylabel="minutes")
axes[3].set_ylabel("nats per datum")
for name, (color, marker) in LOOKS.items():
    look = {"color": color, "marker": marker, "markersize": 5, "linewidth": STYLE["line_width"]}
    label = name if name == "MLE" else f"MAP, {name}"
    axes[0].plot(SIZES, [chain[n][name][0] for n in SIZES], label=label, **look)
    axes[1].plot(SIZES, [chain[n][name][1] ** 0.5 for n in SIZES], **look)
    axes[2].loglog(SIZES, distance.get(name, np.full(len(SIZES), np.nan)), **look)
    axes[3].plot(SIZES[:-1], unseen[name], **look)
for ax, value in zip(axes[:2], truth, strict=True):
    ax.axhline(value, label="MLE of all rows, exact", **EXACT_LINE)
line = axes[2].plot(SIZES, truth[1] / np.sqrt(SIZES), ":", c="gray", label="standard error, sd / sqrt(n)")
for ax in axes:
    ax.set_xscale("log")
    ax.set_xticks(SIZES, [str(n) for n in SIZES])
    ax.minorticks_off()
handles = [*axes[0].get_legend_handles_labels()[0], *line]
figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=STYLE["tick_size"])
print("figure:", save_figure(figure, OUT, "mle-and-map")[0])

# %% The claim
assert np.abs(gradient).max() < 1e-9 * steepest, "the closed form should be a stationary point"
for n, row in chain.items():
    assert np.allclose(row["flat prior"], row["MLE"], rtol=1e-12, atol=0), "a flat prior changes nothing"
    for name in ("sensible prior", "stubborn prior"):
        prior, mle = PRIORS[name], row["MLE"][0]
        law = prior.strength / (prior.strength + n) * (prior.mean[0] - mle)
        assert np.isclose(row[name][0] - mle, law, rtol=1e-9), "the distance is kappa / (kappa + n)"
slope = np.diff(np.log(distance["sensible prior"]))[-1] / np.diff(np.log(SIZES))[-1]
print(f"sensible prior: |MAP - MLE| of mu falls like n^{slope:.2f} from n = {SIZES[-2]} to {SIZES[-1]}")
assert abs(slope + 1) < 0.1, "the distance should shrink like 1/n"
assert unseen["sensible prior"][0] > unseen["MLE"][0], "with three rows a sensible prior should help"
assert unseen["stubborn prior"][2] < unseen["MLE"][2], "and with thirty a stubborn one should hurt"
