# %% [markdown]
# # Maximum likelihood, MAP, type II, variational Bayes
# %%
"""One mixture, few rows, four ways to deal with its parameters: take the best, the most probable, or average.

Claim. With thirty rows and four components maximum likelihood fits spikes. The mode of a posterior (MAP) has
none, but need not predict better: a mode lies at smaller covariances than the bulk of its own posterior. An
average over a q of the parameters (variational Bayes) does predict unseen rows better. On all rows the
likelihood rises with every component, and the bound on the evidence does not: it is greatest at two. The
strength of a prior can be read off the data as well, where the evidence is greatest (type II).

Formula, with q(theta) the conjugate laws after the data of each component:

    MLE       max p(x | theta)
    MAP       max p(x | theta) p(theta)
    type II   max p(x | kappa),   p(x | kappa) = integral p(x | theta) p(theta | kappa) dtheta
    VB        log p(x) >= E[log p(x, z, theta)] + H(q(z)) + H(q(theta))

Source: Bishop (2006), sections 3.5 and 10.2; Fraley and Raftery (2007).
Expected time: seven to fifteen seconds; with ELBO_LAB_QUICK=1 four, over fewer subsets.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.datasets import load
from elbo_lab.em import NormalInverseGamma, fit_em
from elbo_lab.em.variational_bayes import fit_variational_bayes
from elbo_lab.models import GaussianMixture
from elbo_lab.plots import STYLE, figure_folder, legend_inside, panels, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
DATA = load("faithful")
FEW = 30
COMPONENTS = 4
STARTS = 3
SUBSETS = 8 if QUICK else 25
SIZES = (1, 2, 3, 4, 5, 6)
ITERATIONS = 100 if QUICK else 400
MINUTES = DATA.x[:10, [1]]  # for type II: ten waiting times, and a prior mean of 65 minutes
PRIOR_MEAN = 65.0
LOWEST = -8.0  # nats; what lies below is not shown
RED, BLUE, YELLOW = "#BB5566", "#004488", "#DDAA33"
LOOKS = {"MLE": RED, "MAP": YELLOW, "VB": BLUE}

# %% The exact answer first: with one component the bound of variational Bayes is the evidence
one = fit_variational_bayes(GaussianMixture(2, 1, "full"), DATA.x)
covariance = np.cov(DATA.x.T, bias=True)
rows = np.array([float(len(DATA.x))])
evidence = one.problem.laws.log_evidence(rows, DATA.x.mean(axis=0)[None], covariance[None])[0]
print(f"one component: bound {one.value:.6f}, evidence by formula {evidence:.6f}")

# %% Few rows: what each of the three says of the rows that it has not seen
model = GaussianMixture(2, COMPONENTS, "full")
settings = {"restarts": STARTS, "seed": SEED, "max_iterations": ITERATIONS}
unseen = {name: [] for name in LOOKS}
spikes = {"MLE": 0, "MAP": 0}
for subset in range(SUBSETS):
    order = np.random.default_rng((SEED, subset)).permutation(len(DATA.x))
    seen, rest = DATA.x[order[:FEW]], DATA.x[order[FEW:]]
    mle = fit_em(model, seen, **settings)
    mode = fit_em(model, seen, prior="default", **settings)
    average = fit_variational_bayes(model, seen, **settings)
    spikes["MLE"] += bool(mle.at_floor)
    spikes["MAP"] += bool(mode.at_floor)
    predictive, theta = average.problem.predictive(average.result().theta)
    joint = predictive.joint_table(theta, rest)
    unseen["MLE"].append(np.logaddexp.reduce(model.joint_table(mle.theta, rest), axis=1).mean())
    unseen["MAP"].append(np.logaddexp.reduce(model.joint_table(mode.theta, rest), axis=1).mean())
    unseen["VB"].append(np.logaddexp.reduce(joint, axis=1).mean())
for name, count in spikes.items():
    print(f"{name:>4}: {count} of {SUBSETS} fits to {FEW} rows hang on the floor of the variances")
for name, values in unseen.items():
    print(f"{name:>4}: log p of the unseen rows, median {np.median(values):.3f} nats per datum")

# %% All rows: what rises with the number of components, and what does not
likelihoods, bounds, used = [], [], []
for size in SIZES:
    mixture = GaussianMixture(2, size, "full")
    likelihoods.append(fit_em(mixture, DATA.x, **settings).log_likelihood)
    best = fit_variational_bayes(mixture, DATA.x, **settings)
    result = best.result()
    bounds.append(result.history[-1]["evidence_bound"])
    used.append(best.problem.in_use(result.theta))
for size, likelihood, bound, count in zip(SIZES, likelihoods, bounds, used, strict=True):
    print(f"C = {size}: log-likelihood {likelihood:.2f}, bound on the evidence {bound:.2f}, in use {count}")

# %% Type II: the strength kappa of a prior mean, from ten rows
law = NormalInverseGamma([PRIOR_MEAN], strength=1.0, shape=2.0, rate=200.0)
best_kappa = law.most_evident_strength(MINUTES)
kappas = best_kappa * np.logspace(-2.5, 2.5, 201)
log_evidence = [NormalInverseGamma([PRIOR_MEAN], k, 2.0, 200.0).log_evidence(MINUTES) for k in kappas]
highest = NormalInverseGamma([PRIOR_MEAN], best_kappa, 2.0, 200.0).log_evidence(MINUTES)
print(f"type II: kappa = {best_kappa:.3f}, log p(x | kappa) = {highest:.3f}")

# %% The figure
figure, axes = panels(3, 1, height=8.4, width=STYLE["page_width"])
style_axes(axes[0], title=f"Unseen rows, {FEW} seen", ylabel="log p, nats per datum")
for place, (name, color) in enumerate(LOOKS.items()):
    jitter = 0.25 * (np.arange(SUBSETS) / max(1, SUBSETS - 1) - 0.5)
    axes[0].plot(place + jitter, unseen[name], "o", color=color, markersize=3.5, alpha=0.7)
    axes[0].plot([place - 0.3, place + 0.3], [np.median(unseen[name])] * 2, color=color, linewidth=2)
axes[0].set_xticks(range(len(LOOKS)), list(LOOKS))
low = max(min(map(min, unseen.values())), LOWEST)
axes[0].set_ylim(low - 0.1, np.max(unseen["VB"]) + 0.1)
style_axes(axes[1], title="All 272 rows", xlabel="components", ylabel="nats, total")
axes[1].plot(SIZES, likelihoods, "o-", color=RED, label="log-likelihood, MLE", linewidth=STYLE["line_width"])
axes[1].plot(SIZES, bounds, "s-", color=BLUE, label="bound on log p(x), VB", linewidth=STYLE["line_width"])
legend_inside(axes[1])
style_axes(axes[2], title="Type II: ten rows", xlabel="kappa", ylabel="log p(x | kappa), nats")
axes[2].semilogx(kappas, log_evidence, color=BLUE, linewidth=STYLE["line_width"])
axes[2].plot([best_kappa], [highest], "o", color=RED)
caption = (
    "Maximum likelihood, MAP and variational Bayes on thirty rows; likelihood and bound against the number "
    "of components; the evidence against the strength of a prior."
)
print("figure:", save_figure(figure, OUT, "map-type-two-and-variational-bayes", caption)[0])

# %% The claim
assert np.isclose(one.value, evidence, rtol=1e-10), "with one component nothing is approximate"
assert spikes["MLE"] > 0 == spikes["MAP"], "a prior should leave no spike"
for name in ("MLE", "MAP"):
    better = np.array(unseen["VB"]) > np.array(unseen[name])
    assert better.mean() > 0.9, "an average over parameters should predict better than a point"
assert (np.diff(likelihoods) > 0).all(), "the likelihood rises with every component"
assert SIZES[int(np.argmax(bounds))] == 2, "the bound does not"
assert highest >= max(log_evidence), "the closed form should be where the evidence is greatest"
