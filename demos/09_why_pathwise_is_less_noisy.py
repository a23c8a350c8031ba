# %% [markdown]
# # Why pathwise gradients are less noisy, and when they are not
# %%
"""The variance of gradient estimators in closed form: only the last check is sampled.

Claim. The pathwise gradient knows the slope of f = log p(x, z) - log q(z), the score function its size.
Where f is smooth and has many terms, size is much more than slope, and the pathwise gradient wins by
orders of magnitude, the more so the more latents there are. In three cases the order is reversed: a
baseline makes f small near the posterior, a rapidly oscillating f has a large slope, and sticking the landing
pays for its path where q is too narrow.

Formula, for a Gaussian q with z = m + s eps and log p(x, z) quadratic in z, so that in the noise
log p = const + a.eps - eps.B eps / 2 and f = const + a.eps + eps.H eps / 2 with H = I - B:

    pathwise   Var[d/dm_k] = |B_k|^2 / s_k^2            Var[d/dlog s_k] = a_k^2 + B_kk^2 + |B_k|^2
    score      Var[d/dm_k] = E[f^2 eps_k^2] / s_k^2 - c^2,   E[f^2 ...] about (E f)^2 + |a|^2 + |H|^2 / 2

Source: Mohamed et al. (2020), JMLR 21(132), section 3 for the costs; Roeder et al. (2017), NeurIPS 30, for
sticking the landing; Greensmith et al. (2004), JMLR 5, for baselines. Derivations: docs/variance.md.
Expected time: a few seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np
from matplotlib.lines import Line2D

from elbo_lab.models import PPCA
from elbo_lab.plots import STYLE, figure_folder, new_figure, plot_exact_variance, save_figure
from elbo_lab.registry import find_estimators, find_models
from elbo_lab.study import Moments, build_scene, run_batch
from elbo_lab.theory import COSTS, cost_variances, crossover, gradient_variances, known_variances

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
DRAWS = 10
BATCHES = 20 if QUICK else 40
BATCH = 10 if QUICK else 25
FREQUENCIES = 21 if QUICK else 481  # up to 5 pi / 2, one of them pi and one 2 pi
NAMES = ["score-function", "score-function-loo", "reparameterization", "sticking-the-landing"]
WORDS = {"score-function-mean-baseline": "REINFORCE, baseline E f"}  # a baseline that only theory has

# %% 1. From the posterior outwards: PPCA on digits, 10 latents, q moved by t sd and narrowed by e^-t
scene = build_scene(find_models(["ppca"])[0], None, None, "free", "exact", None, SEED)
family = scene.model.family
steps = 2.0 * np.linspace(0.1, 1.0, 34) ** 2


def variances_at(t):
    mean, log_std = family.split(scene.best_eta)
    eta = family.join(mean + t * np.exp(log_std), log_std - t)
    found = gradient_variances(scene.model, scene.theta, scene.x, family, eta, DRAWS)
    return {name: found[name].sum() for name in NAMES}


points = [variances_at(t) for t in steps]
outwards = {name: np.array([point[name] for point in points]) for name in NAMES}

# %% 2. More latents: data from the model itself, everything else the same
latents = [1, 2, 4, 8, 16, 32]
by_latents = {name: [] for name in NAMES}
for n_latent in latents:
    model = PPCA(64, n_latent)
    rng = np.random.default_rng(SEED)
    theta = model.canonical(model.layout.pack({"W": 0.3 * rng.standard_normal((64, n_latent))}))
    x, _ = model.sample(theta, 20, rng)
    eta = model.family.near(model.posterior_eta(theta, x))
    found = gradient_variances(model, theta, x, model.family, eta, DRAWS)
    for name in NAMES:
        by_latents[name].append(found[name].sum() / n_latent)

# %% 3. A cost that wiggles: f(z) = cos(k z), z ~ N(1, 1)
frequencies = np.linspace(0.0, 2.5 * np.pi, FREQUENCIES)[1:]
rows = [cost_variances(COSTS["wave"](k), 1.0, 1.0) for k in frequencies]
ON_COSTS = ["score-function", "score-function-mean-baseline", "reparameterization", "measure-valued-coupled"]
wiggly = {name: np.array([row[name, "mu"][1] for row in rows]) for name in ON_COSTS}
evaluations = {"measure-valued-coupled": 2}  # of f, for one derivative
work = {name: evaluations.get(name, 1) * variance for name, variance in wiggly.items()}
turns = crossover(COSTS["wave"], 0.5, 2.0)
print(f"cos(k z): the pathwise gradient is the noisier one from k = {turns:.4f} on")


# %% The figure: where two curves cross, theory says which estimator to take
def crossings(x, one, other):
    """Return the points (x, y) where two curves cross, by straight lines on a logarithmic axis."""
    ratio = np.log(one) - np.log(other)
    places = np.flatnonzero(np.sign(ratio[1:]) != np.sign(ratio[:-1]))
    share = ratio[places] / (ratio[places] - ratio[places + 1])
    at = x[places] + share * (x[places + 1] - x[places])
    return at, np.exp(np.interp(at, x, np.log(one)))


figure = new_figure(8.2, STYLE["page_width"])
top, bottom = figure.subfigures(2, 1, height_ratios=(4.4, 4.4))
left, right = top.subplots(1, 2)
xlabel = "t: mean off by t sd, sd divided by $e^t$"
plot_exact_variance(steps, outwards, left, xlabel, "q leaves the posterior (PPCA)", columns=1)
title = "PPCA near the posterior, per latent"
plot_exact_variance(latents, by_latents, right, "latent dimensions K", title, columns=1)
right.set_xscale("log", base=2)
right.set_xticks(latents, [str(n_latent) for n_latent in latents])
ring = {"linestyle": "none", "marker": "o", "ms": 9, "mfc": "none", "color": "black", "zorder": 5}
for name in ("score-function-loo", "sticking-the-landing"):
    left.plot(*crossings(steps, outwards[name], outwards["reparameterization"]), **ring)
note = {"textcoords": "offset points", "fontsize": 8}
left.annotate("squares: 0 at t = 0", (steps[0], outwards[name][0]), xytext=(12, -3), **note)
xlabel = "frequency k"
title = "Costs cos(k z), z ~ N(1, 1): derivative in the mean"
ax = plot_exact_variance(frequencies, work, bottom.subplots(), xlabel, title)
ax.lines[0].set(linewidth=4.0, alpha=0.5)  # REINFORCE, on which the one with the baseline comes to lie
ax.set(ylabel="variance x evaluations, cost² per unit²", xlim=(0.0, frequencies[-1]), ylim=(1e-3, 100.0))
ax.plot(turns, np.interp(turns, frequencies, wiggly["reparameterization"]), **ring)
ax.axvline(turns, color="gray", linestyle=":", linewidth=1.0)
ax.annotate(f"k = {turns:.4f}", (turns, 1.2e-3), xytext=(4, 0), **note)
for k, words in ((np.pi, "0 at k = π: f is even about 1"), (2 * np.pi, "0 at k = 2π")):
    ax.annotate(words, (k, 1.2e-3), xytext=(6, 0), **note)
crossing = Line2D([], [], label="the order is reversed", **ring)
for part in (top, bottom):
    handles, names = part.axes[0].get_legend_handles_labels()
    for drawn in part.axes:
        drawn.get_legend().remove()
    for handle, name in zip(handles, names, strict=True):
        handle.set_label(WORDS.get(name, name))
    look = {"loc": "outside lower center", "ncols": 3, "frameon": False, "fontsize": STYLE["note_size"]}
    part.legend(handles=[*handles, crossing], **look)
caption = (
    "Exact variances: the pathwise gradient is less noisy the further q is from the posterior and the more "
    "latents there are. Rings mark where the order is reversed, as for rapidly oscillating costs."
)
print("figure:", save_figure(figure, OUT, "why-pathwise-is-less-noisy", caption)[0])

# %% The check: measured variances beside the exact ones
near = build_scene(find_models(["ppca"])[0], None, None, "free", "near", None, SEED)
exact = known_variances(near, DRAWS)
chosen = [e for e in find_estimators(list(NAMES[:3])) if e in exact]
totals = [Moments() for _ in chosen]
for batch in range(BATCHES):
    moments = run_batch(near, chosen, DRAWS, SEED, "check", batch, BATCH)
    for total, found in zip(totals, moments, strict=True):
        total.merge(found)
for estimator, total in zip(chosen, totals, strict=True):
    low, high = total.interval()
    print(f"{estimator.name:<20} exact {exact[estimator]:10.4g}   measured [{low:.4g}, {high:.4g}]")

# %% The claim
by_name = {estimator.name: variance for estimator, variance in exact.items()}
assert by_name["score-function"] > 1000 * by_name["reparameterization"], "size against slope"
ratio = np.array(by_latents["score-function"]) / np.array(by_latents["reparameterization"])
assert (np.diff(ratio) > 0).all(), "more latents, more to lose"
pathwise = outwards["reparameterization"]
landing = outwards["sticking-the-landing"]
assert outwards["score-function-loo"][0] < pathwise[0], "turned around near the posterior"
assert landing[0] < 0.01 * pathwise[0], "best near the posterior"
assert landing[-1] > pathwise[-1], "and not where q is narrow"
for name in ("score-function-loo", "sticking-the-landing"):
    places, _ = crossings(steps, outwards[name], pathwise)
    assert len(places) == 1 and places[0] < 0.5, "one turn, less than half an sd from the posterior"
assert abs(turns - 1.0638) < 5e-5, "turned around where docs/variance.md says"
assert ((wiggly["reparameterization"] > wiggly["score-function"]) == (frequencies > turns)).all(), (
    "and only there"
)
even = np.isclose(np.sin(frequencies), 0.0, atol=1e-12)
assert wiggly["measure-valued-coupled"][even].max() < 1e-20, "both sides of an even cost are alike"
assert wiggly["reparameterization"][0] < wiggly["score-function"][0], "a slow cost"
assert wiggly["reparameterization"][-1] > 20 * wiggly["score-function"][-1], "and a fast one"
