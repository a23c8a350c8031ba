# %% [markdown]
# # Unbounded densities
# %%
"""A density may grow without end, and then maximum likelihood means nothing: three ways to put an end to it.

Claim. A mixture component on one datum, ever narrower, drives log p to infinity, past every sound maximum.
With few data EM finds such spikes: its highest run rises as the floor of the variances falls. Unseen data
have no part in that rise, and do better once the spike is taken out (the rest of a run with a spike may be
better or worse than a sound run: here it is better). A decoder with a variance per pixel does the same on
pixels that hardly change: the lower the floor, the more seen digits gain, by tens of nats, and the more
unseen ones lose, by hundreds and more. Floors and priors bound it; so does noise of the rounding in the data.

Formula, with component c on row x_1 of n, covariance s^2 C in D dimensions:

    log p(x_1 ... x_n) = -D log s + constant + o(1)  ->  infinity        as s -> 0
    log p + log InvGamma(s^2; a, b) = -(D + 2 a + 2) log s - b / s^2 + ...  ->  -infinity

Source: Bishop (2006), section 9.2.1; Mattei and Frellsen (2018), NeurIPS; Theis et al. (2016), ICLR.
Expected time: half a minute on two cores; with ELBO_LAB_QUICK=1 three seconds, with short trainings.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import fit
from elbo_lab.datasets import load
from elbo_lab.em import fit_em
from elbo_lab.exact import ladder
from elbo_lab.models import DeepGaussianLearned, GaussianMixture
from elbo_lab.plots import STYLE, figure_folder, legend_inside, panels, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
DATA = load("faithful")
SPIKE = 100  # a row
LOG_SD = np.linspace(0.0, -120.0, 121)  # log s, in units of the data's sd
SHAPE = 1.0  # of the prior of s^2
RATE = 1e-3
FEW = 30
COMPONENTS = 4
STARTS = 2 if QUICK else 10
FLOORS = np.logspace(-7, 0, 3 if QUICK else 8)  # of variances, minutes^2
SPIKE_FLOOR = 1e-2  # a component at such a floor is a spike
DIGITS = 300
DECODER_FLOORS = (0.0, -12.0) if QUICK else (0.0, -3.0, -6.0, -9.0, -12.0)  # of log variance
EPOCHS = 60 if QUICK else 600
SETTINGS = {
    "hidden": (64,),
    "epochs": EPOCHS,
    "batch": 50,
    "learning_rate": 3e-3,
    "schedule": f"cosine:{5 * EPOCHS}",  # steps; slopes are as steep as the variances are small
    "holdout": 0.3,
}
RED = "#BB5566"  # a spike, or the room for one
BLUE = "#004488"  # no spike
GREEN = "#117733"  # a prior
SAND = "#997700"  # the spike taken out

# %% The exact answer first: log p of all rows, by the width of a component on one of them
two = GaussianMixture(2, 2, "full")
x = DATA.x
sound = fit_em(two, x, restarts=2).log_likelihood
whole = two.covariance.stored(np.array([np.cov(x.T, bias=True)] * 2))


def spiked(log_s):
    """Return log p of all rows (total) with the second component at one row, s times as wide as the data."""
    shift = np.array([[0.0], [log_s]])
    theta = two.layout.pack(
        {
            "logits": np.log([len(x) - 1, 1]),
            "mean": [x.mean(axis=0), x[SPIKE]],
            "log_diagonal": whole["log_diagonal"] + shift,
            "lower": whole["lower"] * np.exp(shift),
        }
    )
    return ladder.log_evidence(two, theta, x)[0].sum()


likelihood = np.array([spiked(log_s) for log_s in LOG_SD])
prior = SHAPE * np.log(RATE) - (SHAPE + 1) * 2 * LOG_SD - RATE * np.exp(-2 * LOG_SD)  # a = 1: Gamma(a) = 1
with_prior = likelihood + prior
passes = LOG_SD[np.argmax(likelihood > sound)]
print(f"two clouds: {sound:.3f} nats; a spike passes them at s = e^{passes:.0f} = {np.exp(passes):.0e} sd")

# %% EM on few rows, from many starts: the highest end, and the highest without a component at the floor
model = GaussianMixture(2, COMPONENTS, "full")
few = DATA.rows(FEW, SEED).x
unseen = np.array([row for row in x if not (few == row).all(axis=1).any()])
ends = {"highest run": [], "best sound run": []}
spikeless = []  # of the highest run, unseen rows: with its spikes, and without them


def without_spikes(run):
    """Return log p (N,) of the unseen rows under the components of a run that are not at the floor."""
    kept = [c for c in range(COMPONENTS) if c not in run.at_floor]
    rest = GaussianMixture(2, len(kept), "full")
    parts = {name: part[kept] for name, part in run.model.layout.views(run.theta).items()}
    return ladder.log_evidence(rest, rest.layout.pack(parts), unseen)[0]


for floor in FLOORS:
    options = {"floor": floor, "max_iterations": 200, "tolerance": 1e-6}
    runs = [fit_em(model, few, restarts=1, seed=seed, **options) for seed in range(STARTS)]
    highest_run = max(runs, key=lambda run: run.log_likelihood)
    sound_run = fit_em(model, few, restarts=STARTS, **options)
    for name, run in (("highest run", highest_run), ("best sound run", sound_run)):
        on_few = run.log_likelihood / FEW
        on_unseen = ladder.log_evidence(model, run.theta, unseen)[0].mean()
        ends[name].append((on_few, on_unseen))
        print(f"floor {floor:.0e}, {name}: seen {on_few:.2f}, unseen {on_unseen:.2f} nats")
    if highest_run.at_floor and floor < SPIKE_FLOOR:
        spikeless.append((floor, ends["highest run"][-1][1], without_spikes(highest_run).mean()))
spikeless = np.array(spikeless)
ends = {name: np.array(values) for name, values in ends.items()}

# %% A decoder with a variance per pixel: grey values as they are, and with the noise of their rounding
bounds = {"raw": [], "dequantised": []}
constant = []  # log p of seen raw digits under a decoder without z: mean and variance of every pixel
for view, pairs in bounds.items():
    digits = load(f"digits:{view}").rows(DIGITS, SEED)
    for floor in DECODER_FLOORS:
        vae = fit(DeepGaussianLearned(64, 2, min_log_variance=floor), digits, **SETTINGS)
        pairs.append((vae.final["elbo_per_datum"], vae.final["held_out"]["elbo_per_datum"]))
        print(f"{view}, floor {floor:+.0f}: ELBO seen {pairs[-1][0]:.0f}, unseen {pairs[-1][1]:.0f}")
        if view == "raw":
            spread = vae.train.x.var(axis=0)
            variance = np.maximum(spread, np.exp(floor))
            constant.append(-0.5 * (np.log(2 * np.pi * variance) + spread / variance).sum())
bounds = {view: np.array(pairs) for view, pairs in bounds.items()}

# %% The figure: to the right ever narrower; solid what was fitted, dotted what was not seen
figure, axes = panels(2, 2, height=7.2)
style_axes(axes[0], title="A spike on one of 272 rows", xlabel="log s, its width", ylabel="nats, all rows")
axes[0].plot(LOG_SD, likelihood, color=RED, label="log p, exact")
axes[0].plot(LOG_SD, with_prior, color=GREEN, label="log p + log prior of s²")
axes[0].axhline(sound, color=BLUE, label="log p of two clouds, the best without a spike")
axes[0].set_ylim(-1400, -960)
title = f"EM on {FEW} rows: only a spike gains"
style_axes(axes[1], title=title, xlabel="floor of variances, minutes²", ylabel="log p, nats per datum")
for (name, values), color in zip(ends.items(), (RED, BLUE), strict=True):
    axes[1].semilogx(FLOORS, values[:, 0], ".-", color=color, label=f"{name}, seen")
    axes[1].semilogx(FLOORS, values[:, 1], ".:", color=color, label=f"{name}, unseen")
label = "highest run without its spike, unseen"
axes[1].semilogx(spikeless[:, 0], spikeless[:, 2], "x:", color=SAND, label=label)
axes[1].set_ylim(-5.1, -1.9)
axes[1].minorticks_off()
words = {"xlabel": "floor of log variances", "ylabel": "-ELBO, nats per datum"}
style_axes(axes[2], title="VAE on digits: the grey values as they are", **words)
style_axes(axes[3], title="The same with the noise of rounding", **words)
for ax, values, color in zip(axes[2:], bounds.values(), (RED, BLUE), strict=True):
    ax.semilogy(DECODER_FLOORS, -values[:, 0], ".-", color=color, label="seen")
    ax.semilogy(DECODER_FLOORS, -values[:, 1], ".:", color=color, label="unseen")
    for floor, value in zip((DECODER_FLOORS[0], DECODER_FLOORS[-1]), (values[0], values[-1]), strict=True):
        for number, side in zip(value, ("bottom", "top"), strict=True):
            above = {"xytext": (0, 4 if side == "bottom" else -4), "textcoords": "offset points"}
            look = {"ha": "center", "va": side, "fontsize": STYLE["note_size"], **above}
            ax.annotate(f"{-number:.0f}", (floor, -number), **look)
    ax.set_ylim(1e4, 40)  # upwards is better here too
    ax.set_xticks(DECODER_FLOORS)
axes[2].plot(DECODER_FLOORS, np.negative(constant), "--", color="black", lw=1, label="seen, without z: exact")
for ax, place in zip(axes, ("upper left", "upper left", "lower left", "lower left"), strict=True):
    ax.invert_xaxis()
    legend_inside(ax, place)
caption = (
    "A density has no upper limit: a spike on one row raises log p without bound, unless a floor or a prior "
    "holds the variance. A VAE with a variance per pixel gains in the same way from constant pixels, and not "
    "once noise of rounding is added."
)
print("figure:", save_figure(figure, OUT, "unbounded-densities", caption)[0])

# %% The claim
slope = np.diff(likelihood[-20:]) / np.diff(LOG_SD[-20:])
assert np.allclose(slope, -2.0, rtol=0, atol=1e-6), "log p grows by D for each factor e of the width"
assert likelihood[-1] > sound, "past every sound maximum"
assert 0 < np.argmax(with_prior) < 20, "with a prior there is a best width"
assert with_prior[-1] < -1e9, "and a spike is ruled out"
highest = ends["highest run"]
kept = ends["best sound run"][:, 0]
spiked = len(spikeless)
assert (np.diff(highest[:, 0]) < 0).all(), "the highest run depends on the floor"
assert highest[0, 0] > kept[0] + 0.1, "and is higher only by its spike"
assert abs(kept[0] - kept[1]) < 1e-6, "a run without a spike does not"
assert np.ptp(highest[:spiked, 1]) < 0.25 * np.ptp(highest[:spiked, 0]), (
    "unseen rows have no part in the rise"
)
assert (spikeless[:, 2] > spikeless[:, 1]).all(), "they do better without the spike"
raw = bounds["raw"]
assert (np.diff(raw[:, 0]) > 0).all(), "the lower the floor of a decoder, the more seen digits gain"
assert (np.diff(constant) > 0).all(), "as they do, exactly, under a decoder without z"
assert raw[-1, 1] < raw[:, 1].max() - 100, "and unseen digits pay for pixels that hardly change"
if not QUICK:
    assert highest[0, 1] > ends["best sound run"][0, 1], "here the rest of the run is better on unseen rows"
    assert raw[-1, 1] < raw[:, 1].max() - 1000, "hundreds and more"
    noisy = bounds["dequantised"]
    assert np.ptp(noisy[1:], axis=0).max() < 2, "with the noise of their rounding the floor does not matter"
