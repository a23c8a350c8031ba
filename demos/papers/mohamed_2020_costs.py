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
from elbo_lab.plots import estimator_style, figure_folder, panels, save_figure, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import display_name
from elbo_lab.theory import COSTS, cost_variances, crossover
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
POINTS = 5 if QUICK else 61
REPEATS = 500 if QUICK else 2000
BATCHES = 20 if QUICK else 50
RANGES = {
    "quadratic": np.linspace(-3.0, 3.0, POINTS),
    "bell": np.geomspace(0.1, 10.0, POINTS),
    "wave": np.geomspace(0.1, 10.0, POINTS),
}
SAMPLED = range(0, POINTS, max(1, POINTS // 6))  # points
TITLES = {"quadratic": "(z - k)^2", "bell": "exp(-k z^2)", "wave": "cos(k z)"}
LINES = {  # the name in theory, and what is the same for a bare cost
    "score-function": lab.ScoreFunction(),
    "score-function-oracle-baseline": None,  # not available in practice
    "reparameterization": lab.ReparameterizationAnalyticKL(),
    "measure-valued-coupled": lab.MeasureValuedCoupled(),
}
PARAMETERS = ("mu", "log_sigma")  # at sigma = 1 a derivative in log sigma is one in sigma

# %% The exact variances first
exact = {}  # (points, parameters) of each cost and estimator
for cost, ks in RANGES.items():
    rows = [cost_variances(COSTS[cost](k), 1.0, 1.0) for k in ks]
    for name in LINES:
        exact[cost, name] = np.array([[row[name, which][1] for which in PARAMETERS] for row in rows])

# %% Then the estimators: one draw each, many times
family = DiagonalGaussian(1)
posterior = FreePosterior(family, 1)
eta = np.array([1.0, 0.0])


def sampled_variance(estimator, cost, seed):
    """Return the variance (2,) of a draw, and its standard error over batches."""
    problem = Problem(CostModel(family, cost), posterior, eta, eta, NO_DATA)
    spec = estimator.noise_spec(family, 1, 1)
    rng = np.random.default_rng(seed)
    variances = []
    for _ in range(BATCHES):
        estimates, _ = estimator.estimate(problem, draw_noise(spec, rng, (REPEATS,)))
        variances.append(np.var(estimates, axis=0, ddof=1))
    return np.mean(variances, axis=0), np.std(variances, axis=0, ddof=1) / np.sqrt(BATCHES)


sampled = {}
worst = 0.0  # in standard errors
for cost, ks in RANGES.items():
    for i in SAMPLED:
        for name, estimator in LINES.items():
            if estimator is None:
                continue
            variance, error = sampled_variance(estimator, COSTS[cost](ks[i]), i)
            sampled[cost, name, i] = variance
            worst = max(worst, (np.abs(variance - exact[cost, name][i]) / (error + 1e-12)).max())


# %% The figure
def plot_costs(ax, cost, which):
    """Draw the exact variances of a cost in one parameter as lines, the sampled ones as markers."""
    for name, estimator in LINES.items():
        color, marker = estimator_style(name)
        label = display_name(name.replace("oracle", "optimal"))
        ax.plot(RANGES[cost], exact[cost, name][:, which], color=color, label=label)
        if estimator is not None:
            ks = RANGES[cost][list(SAMPLED)]
            variances = [sampled[cost, name, i][which] for i in SAMPLED]
            ax.plot(ks, variances, linestyle="", marker=marker, color=color, markersize=5)
    ax.set_yscale("log")
    if cost == "quadratic":
        ax.set_ylim(bottom=0.1)  # at k = mu the coupled difference is zero
    else:
        ax.set_xscale("log")


figure, axes = panels(2, 3, height=5.6)
for column, cost in enumerate(RANGES):
    in_mean, in_scale = axes[column], axes[3 + column]
    left = cost == "quadratic"
    style_axes(in_mean, title=TITLES[cost], ylabel="variance, in mean" if left else "")
    style_axes(in_scale, xlabel="k", ylabel="variance, in scale" if left else "")
    plot_costs(in_mean, cost, 0)
    plot_costs(in_scale, cost, 1)
figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
caption = (
    "Variance of three gradient estimators, in the mean and in the scale, for three costs of frequency k: "
    "which one is least noisy depends on the cost."
)
print("figure:", save_figure(figure, OUT, "mohamed-2020-costs", caption)[0])

# %% The claim
k = RANGES["wave"]
score = exact["wave", "score-function"]
path = exact["wave", "reparameterization"]
flat = exact["quadratic", "reparameterization"][:, 0]
steep = exact["quadratic", "score-function"][:, 0]
a = 1.0 - RANGES["quadratic"]
slope = {}  # of log variance in log k, for large k
for cost in ("bell", "wave"):
    large = k > 3.0
    logs = np.log(exact[cost, "reparameterization"][large, 0])
    slope[cost] = np.polyfit(np.log(k[large]), logs, 1)[0]
crossing = crossover(COSTS["wave"], 0.5, 2.0)
print(f"sampled against exact: at worst {worst:.1f} standard errors off, of {2 * len(sampled)} comparisons")
rows = (
    ("(z-k)^2, mu: pathwise, least", "flat in k", flat.min(), "shape of figure 2"),
    ("(z-k)^2, mu: pathwise, most", "flat in k", flat.max(), "shape of figure 2"),
    ("(z-k)^2, mu: score function, k = -3", None, steep[0], "15 + 14 a^2 + a^4, a = 1 - k"),
    ("exp(-kz^2), mu: pathwise, power of k", "grows", slope["bell"], "figure 3; towards 1/2"),
    ("cos(kz), mu: pathwise, power of k", "grows", slope["wave"], "figure 3; towards 2"),
    ("cos(kz), mu: pathwise above score from k =", "order reversed", crossing, "shape of figure 3"),
    ("cos(kz), mu: pathwise / score, k = 10", "far above", path[-1, 0] / score[-1, 0], "shape of figure 3"),
)
caption = "Mohamed et al. (2020), figures 2 and 3: variance of one draw"
publish([dict(zip(COLUMNS, line, strict=True)) for line in rows], caption, ASKED, QUICK)
assert np.ptp(flat) < 1e-9, "pathwise in the mean: the same at every k"
assert abs(flat[0] - 4.0) < 1e-9, "namely four"
assert np.allclose(steep, 15.0 + 14.0 * a**2 + a**4, rtol=1e-9), "the score function: a quartic in k"
assert abs(slope["wave"] - 2.0) < 0.1, "pathwise grows without bound"
assert abs(slope["bell"] - 0.5) < 0.1, "for a bell too"
at_the_end = {name: max(exact[cost, name][-1].max() for cost in ("bell", "wave")) for name in LINES}
assert max(at_the_end, key=at_the_end.get) == "reparameterization", "and is the noisiest in the end"
assert path[0, 0] < 1e-3 * score[0, 0], "after it was much the quieter one of the two"
assert ((path[:, 0] > score[:, 0]) == (k > crossing)).all(), "the order is reversed once"
assert worst < 6.0, "the estimators of the lab should lie on the curves"
