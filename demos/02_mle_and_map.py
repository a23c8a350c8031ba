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
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, panels, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
SIZES = (3, 10, 30, 100, 272)
SUBSETS = 60 if QUICK else 400
DATA = load("faithful")
WAITING = DATA.x[:, [1]]  # minutes until the next eruption
PRIORS = {
    "sensible prior": NormalInverseGamma(np.array([60.0]), strength=4.0, shape=3.0, rate=600.0),
    "stubborn prior": NormalInverseGamma(np.array([50.0]), strength=40.0, shape=3.0, rate=600.0),
    "flat prior": NormalInverseGamma.flat(1),
}
LOOKS = {"MLE": ("#222222", "o"), "sensible prior": ("#004488", "s"), "stubborn prior": ("#BB5566", "^")}
model = GaussianMLE(1)


def estimates(x):
    """Return {name: (mu, s2)} of maximum likelihood and of MAP under each prior."""
    theta = fit_closed_form(model, x).theta
    found = {"MLE": (theta[0], model.sigma2(theta))}
    for name, prior in PRIORS.items():
        mu, s2 = prior.posterior(x).mode()
        found[name] = (mu[0], s2)
    return found


# %% The exact answer first: at the maximum of all data the gradient of log p(x) is zero
ones = np.ones(len(WAITING))
best = fit_closed_form(model, WAITING)
gradient = model.log_evidence_grad(best.theta, WAITING, ones)
elsewhere = model.log_evidence_grad(model.theta_of(70.0, 180.0), WAITING, ones)
print(f"closed form: log p(x) = {best.log_likelihood:.3f} nats, slope {np.abs(gradient).max():.0e}")

# %% Few data, more data: one order of the rows
chain = {n: estimates(DATA.rows(n, SEED).x[:, [1]]) for n in SIZES}
print(f"{'n':>4}" + "".join(f"{name:>24}" for name in chain[3]) + "    (mu, sd in minutes)")
for n, row in chain.items():
    print(f"{n:>4}" + "".join(f"{mu:>15.3f} {s2**0.5:>8.3f}" for mu, s2 in row.values()))

# %% Many subsets of each size. Three equal rows have a MAP but no MLE: their density is unbounded
orders = []
for i in range(SUBSETS):
    order = np.random.default_rng((SEED, i)).permutation(len(WAITING))
    if np.ptp(WAITING[order[: SIZES[0]]]) > 0:
        orders.append(order)
print(f"{len(orders)} of {SUBSETS} subsets have an MLE at n = {SIZES[0]}")
distance = {name: [] for name in PRIORS}
unseen = {name: [] for name in LOOKS}
for n in SIZES:
    rows = [estimates(WAITING[order[:n]]) for order in orders]
    for name in PRIORS:
        distance[name].append(np.mean([abs(row[name][0] - row["MLE"][0]) for row in rows]))
    if n == len(WAITING):
        continue  # nothing is unseen
    for name in LOOKS:
        scores = []
        for row, order in zip(rows, orders, strict=True):
            scores.append(model.log_evidence(model.theta_of(*row[name]), WAITING[order[n:]]).mean())
        unseen[name].append(np.median(scores))
true_mean = best.theta[0]
true_sd = model.sigma2(best.theta) ** 0.5

# %% The figure
figure, axes = panels(2, 2, height=6.2, width=STYLE["page_width"])
words = {"xlabel": "n, rows seen", "ylabel": "minutes"}
style_axes(axes[0], title=f"mu from the first n of {len(WAITING)} rows", **words)
style_axes(axes[1], title="sd from the same rows", **words)
style_axes(axes[2], title="|MAP - MLE| of mu, mean", **words)
style_axes(axes[3], title="log p of the unseen rows, median", xlabel=words["xlabel"], ylabel="nats per datum")
for name, (color, marker) in LOOKS.items():
    look = {"color": color, "marker": marker, "markersize": 5, "linewidth": STYLE["line_width"]}
    label = name if name == "MLE" else f"MAP, {name}"
    axes[0].plot(SIZES, [chain[n][name][0] for n in SIZES], label=label, **look)
    axes[1].plot(SIZES, [chain[n][name][1] ** 0.5 for n in SIZES], **look)
    axes[2].loglog(SIZES, distance.get(name, np.full(len(SIZES), np.nan)), **look)
    axes[3].plot(SIZES[:-1], unseen[name], **look)
axes[0].axhline(true_mean, label="MLE of all rows, exact", **EXACT_LINE)
axes[1].axhline(true_sd, **EXACT_LINE)
(guide,) = axes[2].plot(SIZES, true_sd / np.sqrt(SIZES), ":", c="gray", label="standard error, sd / sqrt(n)")
near = SIZES[1] * distance["sensible prior"][1]
(law,) = axes[2].plot(SIZES, near / np.array(SIZES), "-.", c="gray", label="parallel to 1 / n")
note = {"ha": "right", "fontsize": STYLE["note_size"], "color": STYLE["faint"]}
for ax in axes:
    ax.set_xscale("log")
    ax.set_xticks(SIZES, [str(n) for n in SIZES])
    ax.set_xlim(2.5, 330)
    ax.minorticks_off()
axes[3].text(325, 0.03, "272 rows: all seen", transform=axes[3].get_xaxis_transform(), **note)
handles = [*axes[0].get_legend_handles_labels()[0], guide, law]
figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=STYLE["tick_size"])
caption = (
    "Maximum likelihood and MAP of a mean and an sd against the number of rows: they differ by about 1/n, "
    "far less than the standard error. With few rows a sensible prior predicts unseen rows better, a "
    "stubborn one worse."
)
print("figure:", save_figure(figure, OUT, "mle-and-map", caption)[0])

# %% The claim
steepest = np.abs(elsewhere).max()
assert np.abs(gradient).max() < 1e-9 * steepest, "the closed form should be a stationary point"
for n, row in chain.items():
    assert np.allclose(row["flat prior"], row["MLE"], rtol=1e-12, atol=0), "a flat prior changes nothing"
    for name in ("sensible prior", "stubborn prior"):
        prior = PRIORS[name]
        mle = row["MLE"][0]
        law = prior.strength / (prior.strength + n) * (prior.mean[0] - mle)
        assert np.isclose(row[name][0] - mle, law, rtol=1e-9), "the distance is kappa / (kappa + n)"
slope = np.diff(np.log(distance["sensible prior"]))[-1] / np.diff(np.log(SIZES))[-1]
print(f"sensible prior: |MAP - MLE| of mu falls like n^{slope:.2f} from n = {SIZES[-2]} to {SIZES[-1]}")
assert abs(slope + 1) < 0.1, "the distance should shrink like 1/n"
assert unseen["sensible prior"][0] > unseen["MLE"][0], "with three rows a sensible prior should help"
assert unseen["stubborn prior"][2] < unseen["MLE"][2], "and with thirty a stubborn one should hurt"
