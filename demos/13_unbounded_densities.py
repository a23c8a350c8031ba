# %% [markdown]
# # Unbounded densities
# %%
"""A density may grow without end, and then maximum likelihood means nothing: three ways to put an end to it.

Claim. A mixture component on one datum, ever narrower, drives log p to infinity, past every sound maximum.
With few data EM finds such spikes: its highest run rises as the floor of the variances falls. Unseen data
have no part in that rise, and do better once the spike is taken out (the rest of a run with a spike may be
better or worse than a sound run: here it is better). A decoder with a variance per pixel does the same where
a pixel has one value in all seen digits: each such pixel adds half a nat to log p for each nat by which the
floor of its log variance falls, without end. An unseen digit in which the pixel changes pays for it, and e
times as much with each nat. Floors and priors put an end to it; noise of the rounding takes its cause away.

Formula, with component c on row x_1 of n, covariance s^2 C in D dimensions:

    log p(x_1 ... x_n) = -D log s + constant + o(1)  ->  infinity        as s -> 0
    log p + log InvGamma(s^2; a, b) = -(D + 2 a + 2) log s - b / s^2 + ...  ->  -infinity
    log N(x; x, e^f) = -(f + log 2 pi) / 2  ->  infinity         as the floor f -> -infinity

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
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, legend_inside, panels, save_figure, style_axes

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
EVER_LOWER = np.linspace(0.0, -18.0, 37)  # floors of a decoder that ignores z: it has a formula
HOLDOUT = 0.3
EPOCHS = 60 if QUICK else 600
SETTINGS = {
    "hidden": (64,),
    "epochs": EPOCHS,
    "batch": 50,
    "learning_rate": 3e-3,
    "schedule": f"cosine:{5 * EPOCHS}",  # steps; slopes are as steep as the variances are small
    "holdout": HOLDOUT,
}
RED = "#BB5566"  # a spike, or pixels that allow one
BLUE = "#004488"  # no spike, or noise that allows none
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

# %% A decoder that ignores z, exactly: what every decoder with a variance per pixel can do at least
train, held_out = load("digits:raw").rows(DIGITS, SEED).split(HOLDOUT)
still = int((np.ptp(train.x, axis=0) == 0).sum())  # pixels with one value in all seen digits


def without_z(rows, floor):
    """Return the mean log p of some rows, with the means and variances that the pixels have in seen ones."""
    variance = np.maximum(train.x.var(axis=0), np.exp(floor))
    squares = (rows - train.x.mean(axis=0)) ** 2
    return -0.5 * (np.log(2 * np.pi * variance) + squares / variance).sum(axis=1).mean()


seen_without_z = np.array([without_z(train.x, floor) for floor in EVER_LOWER])
unseen_without_z = np.array([without_z(held_out.x, floor) for floor in EVER_LOWER])
print(
    f"{still} pixels have one value in all {len(train.x)} seen digits; without z, floor {EVER_LOWER[-1]:.0f}:"
)
print(f"  log p seen {seen_without_z[-1]:.0f}, unseen {unseen_without_z[-1]:.1e} nats per datum")

# %% A VAE that uses z: grey values as they are, and with the noise of their rounding
bounds = {"raw": [], "dequantised": []}
for view, pairs in bounds.items():
    digits = load(f"digits:{view}").rows(DIGITS, SEED)
    for floor in DECODER_FLOORS:
        vae = fit(DeepGaussianLearned(64, 2, min_log_variance=floor), digits, **SETTINGS)
        pairs.append((vae.final["elbo_per_datum"], vae.final["held_out"]["elbo_per_datum"]))
        print(f"{view}, floor {floor:+.0f}: ELBO seen {pairs[-1][0]:.0f}, unseen {pairs[-1][1]:.0f}")
bounds = {view: np.array(pairs) for view, pairs in bounds.items()}

# %% The figure: to the right ever narrower; solid what was fitted, dotted what was not seen
figure, axes = panels(2, 2, height=7.2, width=STYLE["page_width"])
style_axes(axes[0], title="A spike on one of 272 rows", xlabel="log s, its width", ylabel="nats, all rows")
axes[0].plot(LOG_SD, likelihood, color=RED, label="log p, exact")
axes[0].plot(LOG_SD, with_prior, color=GREEN, label="log p + log prior of s²")
axes[0].axhline(sound, color=BLUE, label="log p without a spike, best")
axes[0].set_ylim(-1400, -940)
title = f"EM, {FEW} rows: a spike gains"
style_axes(axes[1], title=title, xlabel="floor of variances, minutes²", ylabel="log p, nats per datum")
for (name, values), color in zip(ends.items(), (RED, BLUE), strict=True):
    axes[1].semilogx(FLOORS, values[:, 0], ".-", color=color, label=f"{name}, seen")
    axes[1].semilogx(FLOORS, values[:, 1], ".:", color=color, label=f"{name}, unseen")
label = "highest without its spike, unseen"
axes[1].semilogx(spikeless[:, 0], spikeless[:, 2], "x:", color=SAND, label=label)
axes[1].set_ylim(-5.1, -1.3)
axes[1].minorticks_off()
xlabel = "floor of log variances"
style_axes(axes[2], title="Seen digits: no end", xlabel=xlabel, ylabel="log p or ELBO, nats per datum")
ylabel = "-log p or -ELBO, nats per datum"
style_axes(axes[3], title="Unseen digits: ever worse", xlabel=xlabel, ylabel=ylabel)
labels = ("VAE, grey values", "VAE, noise of rounding added")
for values, color, label in zip(bounds.values(), (RED, BLUE), labels, strict=True):
    axes[2].plot(DECODER_FLOORS, values[:, 0], ".-", color=color, label=label)
    axes[3].semilogy(DECODER_FLOORS, -values[:, 1], ".:", color=color, label=label)
label = f"without z, exact: + {still / 2:g} per nat"
axes[2].plot(EVER_LOWER, seen_without_z, label=label, **EXACT_LINE)
axes[3].plot(EVER_LOWER, -unseen_without_z, label="without z, exact: × e per nat", **EXACT_LINE)
axes[2].set_ylim(-165, 0)
axes[3].set_ylim(70, 1e9)
for ax in axes[2:]:
    ax.set_xticks([0, -3, -6, -9, -12, -15, -18])
for ax, place in zip(axes, ("upper left",) * 4, strict=True):
    ax.invert_xaxis()
    legend_inside(ax, place)
caption = (
    "Above: a spike on one row raises log p without bound, unless a floor or a prior holds its variance. "
    "Below: with a variance per pixel, pixels that never change in the seen digits raise their log p by half "
    "a nat each for each nat of a lower floor; unseen digits pay exponentially. Noise of rounding ends it."
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
last = EVER_LOWER < np.log(train.x.var(axis=0)[np.ptp(train.x, axis=0) > 0].min())  # still pixels alone count
slope = np.diff(seen_without_z[last]) / np.diff(EVER_LOWER[last])
assert still > 0, "some pixels never change in seen digits"
assert np.allclose(slope, -still / 2, rtol=1e-9, atol=0), "each gives half a nat per nat, without end"
growth = np.diff(np.log(-unseen_without_z[-3:])) / np.diff(EVER_LOWER[-3:])
assert np.allclose(growth, -1.0, rtol=0, atol=1e-3), "and unseen digits pay e times as much per nat"
assert raw[-1, 0] > raw[0, 0] + 10, "a VAE finds much of it"
assert raw[-1, 1] < raw[:, 1].max() - 100, "and unseen digits pay for pixels that hardly change"
if not QUICK:
    assert highest[0, 1] > ends["best sound run"][0, 1], "here the rest of the run is better on unseen rows"
    assert raw[-1, 1] < raw[:, 1].max() - 1000, "hundreds and more"
    noisy = bounds["dequantised"]
    assert np.ptp(noisy[1:], axis=0).max() < 2, "with the noise of their rounding the floor does not matter"
