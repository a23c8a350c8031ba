# %% [markdown]
# # Many weights in one bound
# %%
"""Three columns and one latent: bounds of M draws, their gradients, and the Renyi curve from below to above.

Claim. The importance-weighted bound rises with M, from the ELBO to log p(x), and its gap falls like 1 / M.
The signal-to-noise ratio of its gradient in theta rises like the square root of M; in phi that of the plain
path and of VIMCO falls like one over the square root, and that of DReG and OVIS~ rises. The exact Renyi bound
falls as alpha rises: an upper bound below alpha = 0, log p(x) at 0, the ELBO at 1. A mean over draws inside
its logarithm is too low there: with one draw every alpha gives the ELBO on average. If q is wider than the
posterior, 100 draws are enough. If q is too narrow, the exact upper bound goes to infinity at a finite alpha,
and a mean of 100 draws gives a harmless number, nats too low just before that point.

Formula, with w_m = p(x, z_m) / q(z_m), and q = N(1, 0.7^2) beside the posterior N(0.6615, 0.5547^2):

    IWAE_M = E log (1/M) sum_m w_m,      SNR = |E g| / sqrt(trace Var g)
    L_alpha = 1 / (1 - alpha) log E w^(1 - alpha)

Source: Burda et al. (2016); Rainforth et al. (2018); Tucker et al. (2019); Lievin et al. (2020); Li and
Turner (2016); Dieng et al. (2017).
Expected time: five seconds. The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import Exact, Problem
from elbo_lab.bounds import exact_renyi_bound
from elbo_lab.distributions import draw_noise
from elbo_lab.exact.coupled import bound_of_draws
from elbo_lab.models import PPCA
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    estimator_style,
    figure_folder,
    legend_below,
    legend_inside,
    marker_keywords,
    new_figure,
    save_figure,
    style_axes,
)
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import display_name, find_estimators
from elbo_lab.special import log_mean_exp

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
DRAWS = (1, 2, 4, 8, 16, 32, 64) if QUICK else (1, 2, 4, 8, 16, 32, 64, 128, 256)
BUDGET = 40_000 if QUICK else 400_000  # draws in all, at every M
FIRST = 4  # M from which a slope is fitted
SLOPES = {"iwae-theta": 0.5, "dreg": 0.5, "ovis-tilde-0": 0.5, "vimco": -0.5, "iwae-reparameterization": -0.5}
TOLERANCE = 0.2
ALPHAS = np.delete(np.linspace(-3.0, 2.4, 109), 80)  # without 1
AT = 40  # where alpha = -1, the CUBO of order two
BESIDE = {"too wide": (1.0, 0.7), "too narrow": (1.0, 0.4)}  # mean and standard deviation of q
SAMPLES = (1, 10, 100)

# %% Three columns, one latent, and a q that is off and too wide
model = PPCA(3, 1)
theta = model.layout.pack({"W": np.array([[1.0], [0.5], [-1.0]]), "b": np.zeros(3), "log_sigma": 0.0})
x = np.array([[1.2, 0.3, -0.8]])
eta = np.array([[1.0, np.log(0.7)]])  # mean, log standard deviation
posterior = FreePosterior(model.family, 1)
problem = Problem(model, posterior, theta, posterior.phi_from_eta(eta), x)

# %% The exact answers first
LOG_P = model.log_evidence(theta, x)[0]
BOUND = np.array([Exact("iwae").answer(problem, m).value[0] for m in DRAWS])
print(f"log p(x) = {LOG_P:.4f} nats")
for m, bound in zip(DRAWS, BOUND, strict=True):
    print(f"M = {m:>3}: bound {bound:.4f}, gap {LOG_P - bound:.4f}, M x gap {m * (LOG_P - bound):.4f}")


# %% Then what single estimates do: the band of the bound, and the signal-to-noise ratio of five gradients
def noise_of(estimator, m):
    rng = np.random.default_rng(SEED)
    return draw_noise(estimator.noise_spec(model.family, m, 1), rng, (BUDGET // m,))


def signal_to_noise(estimator, m):
    gradient, _ = estimator.estimate(problem, noise_of(estimator, m))
    exact = Exact(estimator.target).answer(problem, m).value
    return np.linalg.norm(exact) / np.sqrt(gradient.var(axis=0).sum())


ESTIMATORS = {estimator.name: estimator for estimator in find_estimators(list(SLOPES))}
band = []
for m in DRAWS:
    z = model.family.sample(eta, noise_of(ESTIMATORS["dreg"], m))
    log_w = model.log_joint(theta, x, z) - model.family.log_prob(eta, z)
    band.append(np.quantile(log_mean_exp(log_w, axis=-2), (0.1, 0.9)))
coupled = np.array([m for m in DRAWS if m > 1])
SNR, slope = {}, {}
for name, estimator in ESTIMATORS.items():
    SNR[name] = np.array([signal_to_noise(estimator, m) for m in coupled])
    late = coupled >= FIRST
    slope[name] = np.polyfit(np.log(coupled[late]), np.log(SNR[name][late]), 1)[0]
    print(f"{name:<24} SNR {SNR[name][0]:.3f} at M = 2, {SNR[name][-1]:.3f} at M = {DRAWS[-1]}", end="")
    print(f", slope {slope[name]:+.2f}")

# %% The first figure: above the bound, below its gradients, over the same M
figure = new_figure(7.8, STYLE["page_width"])
above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 4.0))
style_axes(above, title="The bound rises to log p(x), and one estimate settles", ylabel="nats")
low, high = np.transpose(band)
color = estimator_style("iwae").color
above.fill_between(DRAWS, low, high, color=color, alpha=0.15, lw=0, label="80 % of single estimates")
above.semilogx(DRAWS, BOUND, "o-", color=color, base=2, label="exact bound (M = 1: the ELBO)")
above.axhline(LOG_P, **EXACT_LINE, label="log p(x)")
legend_inside(above, "lower right")
title = "Its gradients: signal against noise"
style_axes(below, title=title, xlabel="draws M in the bound", ylabel="|exact| / standard deviation")
for name in sorted(SNR, key=lambda name: -SNR[name][-1]):
    label = f"{display_name(name)}: slope {slope[name]:+.2f}"
    below.loglog(coupled, SNR[name], label=label, **marker_keywords(name))
below.set_xticks(DRAWS, [str(m) for m in DRAWS])
below.minorticks_off()
legend_below(below, columns=1)
caption = (
    "Above, the exact bound of M draws rises from the ELBO to log p(x), and the band of single estimates "
    "narrows. Below, signal to noise of five gradients: in phi that of the plain path and of VIMCO falls "
    "like one over the square root of M, the other three rise."
)
print("figure:", save_figure(figure, OUT, "importance-weighted-bound", caption)[0])

# %% The Renyi curve: exact in closed form, and the exact mean of what S draws give, by quadrature
BEST = model.posterior_eta(theta, x)[0]
NODE, WEIGHT = np.polynomial.hermite_e.hermegauss(120)
WEIGHT = WEIGHT / WEIGHT.sum()


def exact_curve(mean, sd):
    """Return L_alpha = log p(x) - D_alpha(q || posterior) of two Gaussians, infinite where E w^n is."""
    best, best_sd = BEST[0], np.exp(BEST[1])
    between = ALPHAS * best_sd**2 + (1 - ALPHAS) * sd**2
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(best_sd / sd) + np.log(best_sd**2 / between) / (2 * (ALPHAS - 1))
        divergence = logs + ALPHAS * (mean - best) ** 2 / (2 * between)
    return np.where(between > 0, LOG_P - divergence, np.where(ALPHAS < 0, np.inf, -np.inf))


def log_weights(mean, sd):
    """Return log w at the nodes of q, whose probabilities are WEIGHT."""
    z = (mean + sd * NODE)[:, None, None]
    q = np.array([[mean, np.log(sd)]])
    return (model.log_joint(theta, x, z) - model.family.log_prob(q, z))[:, 0]


def sampled_curve(log_w, n_draws):
    """Return the mean of 1 / (1 - alpha) log (1/S) sum_s w_s^(1 - alpha) over all draws."""
    return np.array([bound_of_draws((1 - a) * log_w, WEIGHT, n_draws)[0] / (1 - a) for a in ALPHAS])


CURVE, SAMPLED, ELBOS = {}, {}, {}
for name, (mean, sd) in BESIDE.items():
    log_w = log_weights(mean, sd)
    ELBOS[name] = WEIGHT @ log_w
    CURVE[name] = exact_curve(mean, sd)
    SAMPLED[name] = {s: sampled_curve(log_w, s) for s in SAMPLES}
    cubo = [curve[AT] for curve in (CURVE[name], *SAMPLED[name].values())]
    print(f"{name}: ELBO {ELBOS[name]:.4f}, CUBO_2 {cubo[0]:.4f}, sampled with S = 1, 10, 100:", end="")
    print("".join(f" {value:.4f}" for value in cubo[1:]))

# %% The second figure
figure = new_figure(7.0, STYLE["page_width"])
for ax, (name, (_, sd)) in zip(figure.subplots(2, 1, sharex=True), BESIDE.items(), strict=True):
    title = f"q {name}: standard deviation {sd}, the posterior has {np.exp(BEST[1]):.4f}"
    style_axes(ax, title=title, xlabel="alpha" if name == "too narrow" else "", ylabel="nats")
    finite = np.isfinite(CURVE[name])
    ax.plot(ALPHAS[finite], CURVE[name][finite], color="#882255", lw=2.4, label="exact bound")
    for s, shade in zip(SAMPLES, ("#88CCEE", "#4477AA", "#003F7F"), strict=True):
        ax.plot(ALPHAS, SAMPLED[name][s], color=shade, label=f"mean of S = {s}")
    ax.axhline(LOG_P, **EXACT_LINE, label="log p(x)")
    for alpha, value, words in ((0.0, LOG_P, "log p(x)"), (1.0, ELBOS[name], "ELBO")):
        ax.plot(alpha, value, "o", color="black", markersize=5)
        place = {"xytext": (5, 6), "textcoords": "offset points", "fontsize": STYLE["note_size"]}
        ax.annotate(words, (alpha, value), **place)
    ax.set_ylim(LOG_P - 1.0, LOG_P + 0.8)
    if not finite.all():
        first = ALPHAS[finite][0]
        ax.axvspan(ALPHAS[0], first, color="#882255", alpha=0.12, lw=0)
        ax.text(ALPHAS[0] + 0.1, LOG_P + 0.55, "exact bound infinite", fontsize=STYLE["note_size"])
    legend_inside(ax, "lower left")
caption = (
    "Exact Renyi bounds against alpha, and what 1, 10 and 100 draws give on average. One draw gives the "
    "ELBO. If q is too wide, 100 draws suffice; if it is too narrow, the exact upper bound becomes "
    "infinite and the sampled ones do not show it."
)
print("figure:", save_figure(figure, OUT, "renyi-curve", caption)[0])

# %% The claim
assert (np.diff(BOUND) > 0).all() and BOUND[-1] < LOG_P, "more draws, a tighter lower bound"
gap = np.array(DRAWS) * (LOG_P - BOUND)
assert abs(gap[-1] / gap[-2] - 1.0) < 0.05, "the gap falls like 1 / M"
for name, expected in SLOPES.items():
    assert abs(slope[name] - expected) < TOLERANCE, f"{name}: {slope[name]:.2f} is not near {expected}"
for name, curve in CURVE.items():
    finite = np.isfinite(curve)
    assert (np.diff(curve[finite]) < 0).all(), "the exact curve falls"
    assert (curve[ALPHAS < 0] > LOG_P).all() and (curve[ALPHAS > 0] < LOG_P).all(), "upper and lower bounds"
    assert np.abs(SAMPLED[name][1] - ELBOS[name]).max() < 1e-6, "one draw gives the ELBO for every alpha"
    negative = ALPHAS < 0
    assert (SAMPLED[name][100][negative] < curve[negative]).all(), (
        "a sampled upper bound is too low on average"
    )
wide = np.abs(SAMPLED["too wide"][100] - CURVE["too wide"])[(ALPHAS >= -3) & (ALPHAS <= 0)]
assert wide.max() < 0.01, "if q is too wide, 100 draws are enough below zero"
assert np.isinf(CURVE["too narrow"][ALPHAS < -1.1]).all(), "if it is too narrow, the bound is infinite"
short = CURVE["too narrow"][AT] - SAMPLED["too narrow"][100][AT]
assert short > 4.0, "just before that, 100 draws are more than four nats short of the exact bound"
by_rule = exact_renyi_bound(log_weights(*BESIDE["too wide"])[:, None], np.log(WEIGHT)[:, None], -1.0)[0]
assert abs(by_rule - CURVE["too wide"][AT]) < 1e-9, "two ways to the same CUBO_2"
