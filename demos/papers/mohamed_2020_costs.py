# %% [markdown]
# # Which gradient estimator has the least variance depends on the cost
# %%
"""Three families of costs under one Gaussian: every estimator wins somewhere.

Claim. For a quadratic cost the pathwise gradient in the mean has the variance 4 at every k, and the score
function one that grows as k^4. For exp(-k z^2) and cos(k z) the pathwise variance grows with k without bound,
as k^(1/2) and k^2, and in the end is the largest; the others stay bounded.

Formula, z ~ N(mu, sigma^2) at mu = sigma = 1, one draw, derivatives of E f(z) in mu and in sigma:

    score function   (f(z) - b) dlog q/dtheta        pathwise   f'(z) dz/dtheta
    measure-valued   c (f(z+) - f(z-)),  z+ and z- coupled (Weibull in mu, Maxwell in sigma)

Source: Mohamed, Rosca, Figurnov and Mnih (2020), JMLR 21(132), section 3, figures 2 and 3. Set-up as there:
f(z; k) = (z - k)^2, k from -3 to 3; exp(-k z^2) and cos(k z), here for k from 0.1 to 10; the baseline of
least variance; variances by quadrature. What it must show: the figures draw curves and print no numbers, so
that shapes are compared. New here: the estimators of the lab, sampled, lie on the curves.
Expected time: ten seconds; with ELBO_LAB_QUICK=1 two. The figure goes to the folder ELBO_LAB_OUT.
"""

import os

import numpy as np
from _paper import COLUMNS, paper_parser, publish, read_options

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.distributions import DiagonalGaussian, draw_noise
from elbo_lab.plots import estimator_style, figure_folder, new_figure, save_figure
from elbo_lab.plots.style import style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.theory import COSTS, cost_variances
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED, OUT = read_options(paper_parser(__doc__)), figure_folder()
POINTS, REPEATS, BATCHES = (5, 500, 20) if QUICK else (61, 2000, 50)
RANGES = {"quadratic": np.linspace(-3.0, 3.0, POINTS)}
RANGES |= {name: np.geomspace(0.1, 10.0, POINTS) for name in ("bell", "wave")}
TITLES = {"quadratic": "(z - k)^2", "bell": "exp(-k z^2)", "wave": "cos(k z)"}
LINES = {  # the name in theory, and what is the same for a bare cost
    "score-function": lab.ScoreFunction(),
    "score-function-oracle-baseline": None,  # nobody has this baseline
    "reparameterization": lab.ReparameterizationAnalyticKL(),
    "measure-valued-coupled": lab.MeasureValuedCoupled(),
}
PARAMETERS = ("mu", "log_sigma")  # at sigma = 1 a derivative in log sigma is one in sigma

# %% The exact variances first
EXACT = {}
for cost, ks in RANGES.items():
    rows = [cost_variances(COSTS[cost](k), 1.0, 1.0) for k in ks]
    for name in LINES:
        EXACT[cost, name] = np.array([[row[name, which][1] for which in PARAMETERS] for row in rows])

# %% Then the estimators: one draw each, many times
family = DiagonalGaussian(1)
q, eta = FreePosterior(family, 1), np.array([1.0, 0.0])
SAMPLED, WORST = {}, 0.0
for cost, ks in RANGES.items():
    for i in range(0, POINTS, max(1, POINTS // 6)):
        model = CostModel(family, COSTS[cost](ks[i]))
        for name in filter(LINES.get, LINES):
            spec, rng = LINES[name].noise_spec(family, 1, 1), np.random.default_rng(i)
            draws = (draw_noise(spec, rng, (REPEATS,)) for _ in range(BATCHES))
            g = [LINES[name].estimate(Problem(model, q, eta, eta, NO_DATA), noise)[0] for noise in draws]
            batches = np.var(g, axis=1, ddof=1)
            SAMPLED[cost, name, i] = batches.mean(axis=0)
            error = batches.std(axis=0, ddof=1) / np.sqrt(BATCHES) + 1e-12
            WORST = max(WORST, (np.abs(SAMPLED[cost, name, i] - EXACT[cost, name][i]) / error).max())

# %% The figure
figure = new_figure(5.6)
panels = [(cost, which) for which in (0, 1) for cost in RANGES]
for ax, (cost, which) in zip(figure.subplots(2, 3).ravel(), panels, strict=True):
    title = TITLES[cost] if which == 0 else ""
    ylabel = f"variance, in {('mean', 'scale')[which]}" if cost == "quadratic" else ""
    style_axes(ax, title=title, xlabel="k" if which else "", ylabel=ylabel)
    for name in LINES:
        color, marker = estimator_style(name)
        look = {"color": color, "marker": marker if LINES[name] else None, "markersize": 5}
        label = name.replace("oracle", "optimal")
        ax.plot(RANGES[cost], EXACT[cost, name][:, which], **look, markevery=[], label=label)
        at = [i for c, n, i in SAMPLED if (c, n) == (cost, name)]
        ax.plot(RANGES[cost][at], [SAMPLED[cost, name, i][which] for i in at], **look, linestyle="")
    ax.set_yscale("log")
    if cost == "quadratic":
        ax.set_ylim(bottom=0.1)  # at k = mu the coupled difference is zero
    else:
        ax.set_xscale("log")
figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
print("figure:", save_figure(figure, OUT, "mohamed-2020-costs")[0])

# %% The claim
k, score, path = RANGES["wave"], EXACT["wave", "score-function"], EXACT["wave", "reparameterization"]
flat, steep = (EXACT["quadratic", name][:, 0] for name in ("reparameterization", "score-function"))
a = 1.0 - RANGES["quadratic"]
logs = {cost: np.log(EXACT[cost, "reparameterization"][k > 3.0, 0]) for cost in ("bell", "wave")}
slope = {cost: np.polyfit(np.log(k[k > 3.0]), values, 1)[0] for cost, values in logs.items()}
crossing = k[np.argmax(path[:, 0] > score[:, 0])]
ends = {name: [EXACT[cost, name][-1].max() for cost in ("bell", "wave")] for name in LINES}
print(f"sampled against exact: at worst {WORST:.1f} standard errors off, of {2 * len(SAMPLED)} comparisons")
rows = (
    ("(z-k)^2, mu: pathwise, least", "flat in k", flat.min(), "shape of figure 2"),
    ("(z-k)^2, mu: pathwise, most", "flat in k", flat.max(), "shape of figure 2"),
    ("(z-k)^2, mu: score function, k = -3", None, steep[0], "15 + 14 a^2 + a^4, a = 1 - k"),
    ("exp(-kz^2), mu: pathwise, power of k", "grows", slope["bell"], "figure 3; towards 1/2"),
    ("cos(kz), mu: pathwise, power of k", "grows", slope["wave"], "figure 3; towards 2"),
    ("cos(kz), mu: pathwise above score from k =", "turns around", crossing, "shape of figure 3"),
    ("cos(kz), mu: pathwise / score, k = 10", "far above", path[-1, 0] / score[-1, 0], "shape of figure 3"),
)
caption = "Mohamed et al. (2020), figures 2 and 3: variance of one draw"
publish([dict(zip(COLUMNS, line, strict=True)) for line in rows], caption, ASKED, QUICK)
assert np.ptp(flat) < 1e-9 and abs(flat[0] - 4.0) < 1e-9, "pathwise in the mean: the same at every k"
assert np.allclose(steep, 15.0 + 14.0 * a**2 + a**4, rtol=1e-9), "the score function: a quartic in k"
assert abs(slope["wave"] - 2.0) < 0.1 and abs(slope["bell"] - 0.5) < 0.1, "pathwise grows without bound"
assert max(ends["reparameterization"]) == max(map(max, ends.values())), "and is the noisiest in the end"
assert path[0, 0] < 1e-3 * score[0, 0], "after it was much the quieter one of the two"
assert WORST < 6.0, "the estimators of the lab should lie on the curves"
