# %% [markdown]
# # Four densities on the same unseen rows
# %%
"""A histogram, one Gaussian, a mixture and a kernel density, judged by log p of rows that none of them saw.

Claim. On Old Faithful the mixture of two and the kernel density cannot be told apart, and one Gaussian is
behind both: paired by row, the difference is more than two standard errors. The histogram gives some unseen
rows no mass at all: its mean log p is minus infinity, though a kernel density of the same rows is fine. The
kernel density's bandwidth comes from the leave-one-out likelihood, which needs no unseen rows and loses less
than half of what Scott's rule loses on them; but if every row has an equal twin, it grows without bound as h
goes to 0, by D log 2 for every halving.

Formula, for N rows in D columns with standard deviations s:

    p(x) = (1/N) sum_n N(x; x_n, diag(h s)^2)
    L(h) = (1/N) sum_n log [ (1/(N-1)) sum_{m != n} N(x_n; x_m, diag(h s)^2) ]

Source: Habbema, Hermans and van den Broek (1974); Duin (1976); Silverman (1986), section 3.4.4.
Expected time: two seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import fit, load
from elbo_lab.models.leave_one_out import leave_one_out
from elbo_lab.plots import STYLE, figure_folder, legend_inside, new_figure, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
HOLDOUT = 0.2
LOG_H = np.linspace(np.log(0.02), np.log(1.5), 20 if QUICK else 120)
OPTIONS = {"gaussian-mixture": {"latent": 2}}
NAMES = ("kde", "gaussian-mixture", "kde:scott", "gaussian", "histogram")
WORDS = {
    "kde": "kernel density",
    "kde:scott": "kernel density,\nScott's h",
    "gaussian": "one Gaussian",
    "histogram": "histogram*",
}
BLUE, RED, GREEN = "#004488", "#BB5566", "#117733"
TRAIN, UNSEEN = load("faithful").split(HOLDOUT)

# %% The exact answer first: L(h) of five rows, by its definition
rows = TRAIN.x[:5] / TRAIN.x.std(axis=0)
by_loop = []
for n in range(5):
    squares = ((rows[n] - np.delete(rows, n, axis=0)) ** 2).sum(axis=1)
    by_loop.append(np.log(np.mean(np.exp(-squares / 2) / (2 * np.pi))))  # h = 1, two columns
by_formula = leave_one_out(rows, np.zeros(1))[0][0]
print(f"L(1) of five rows: by the loop {np.mean(by_loop):.12f}, by the formula {by_formula:.12f}")

# %% Fit each to the same rows, and score the same others
fits = {name: fit(name, "faithful", holdout=HOLDOUT, **OPTIONS.get(name, {})) for name in NAMES}
log_p = {name: result.score_samples(UNSEEN.x) for name, result in fits.items()}
best = log_p["gaussian-mixture"]
lead, error = {}, {}
print(f"{len(UNSEEN.x)} unseen rows    log p per row   against the mixture, paired")
for name in NAMES:
    possible = log_p[name] > -np.inf
    ahead = (log_p[name] - best)[possible]
    lead[name], error[name] = ahead.mean(), ahead.std(ddof=1) / np.sqrt(len(ahead))
    lost = "" if possible.all() else f", without {np.sum(~possible)} rows of p = 0"
    print(f"{name:<18} {log_p[name].mean():9.3f}   {lead[name]:+9.3f} +- {error[name]:.3f}{lost}")

# %% The bandwidth: leave-one-out of the training rows, unseen rows, and the same rows twice
kde = fits["kde"]
deviations = kde.parameters["deviations"]
unit = np.log(deviations).sum()  # from units of the deviations back to minutes
u = TRAIN.x / deviations
loo = leave_one_out(u, LOG_H)[0] - unit
twins = leave_one_out(np.repeat(u, 2, axis=0), LOG_H)[0] - unit
given = [fit("kde", "faithful", holdout=HOLDOUT, hold={"log_factor": log_h}) for log_h in LOG_H]
unseen = np.array([result.score(UNSEEN.x) for result in given])
chosen = float(kde.parameters["factor"])
on_unseen = float(np.exp(LOG_H[unseen.argmax()]))
print(f"h by leave-one-out {chosen:.3f}, by unseen rows {on_unseen:.3f}, Scott {len(u) ** (-1 / 6):.3f}")
halving = leave_one_out(np.repeat(u, 2, axis=0), np.log([1e-5, 5e-6]))[0] @ [-1, 1]
print(f"every row twice: one more halving of h adds {halving:.6f} nats, D log 2 = {2 * np.log(2):.6f}")
print("what fit says of ties:", *kde.warnings)

# %% The figure
figure = new_figure(7.0, STYLE["page_width"])
left, right = figure.subplots(2, 1)
style_axes(
    left, title="Kernel density by bandwidth", xlabel="h, in standard deviations", ylabel="nats per row"
)
left.semilogx(np.exp(LOG_H), loo, color=BLUE, label="leave one out")
left.semilogx(np.exp(LOG_H), unseen, color=GREEN, ls="--", label="unseen rows")
left.semilogx(np.exp(LOG_H), twins, color=RED, ls=":", label="leave one out, rows twice")
left.axvline(chosen, ymax=0.58, color=STYLE["ink"], lw=0.8)
left.set_ylim(-6.5, -2.5)
style_axes(
    right,
    title="Unseen rows: lead on the mixture",
    xlabel="nats per row, 95 % intervals; * without rows of p = 0",
    grid="x",
)
others = [name for name in NAMES if name != "gaussian-mixture"]
words = [WORDS[name] for name in others]
right.errorbar([lead[n] for n in others], words, xerr=[1.96 * error[n] for n in others], fmt="o", color=BLUE)
right.axvline(0.0, color=GREEN, ls="-.")
right.set_ylim(len(others) - 0.5, -0.5)
right.tick_params(axis="y", length=0)
legend_inside(left, "upper right")
caption = (
    "A kernel density by its bandwidth: leaving one out finds a width near the best for unseen rows, unless "
    "every row has a twin. Below, the lead of each density on the mixture, on unseen rows."
)
print("figure:", save_figure(figure, OUT, "four-densities", caption)[0])

# %% The claim
assert abs(np.mean(by_loop) - by_formula) < 1e-12, "leave one out is a mean over densities"
assert abs(lead["kde"]) < 2 * error["kde"], "mixture and kernel density cannot be told apart"
assert lead["gaussian"] < -2 * error["gaussian"], "one Gaussian is behind"
assert log_p["histogram"].mean() == -np.inf, "an empty cell has no logarithm"
loss = {name: unseen.max() - fits[name].score(UNSEEN.x) for name in ("kde", "kde:scott")}
assert loss["kde"] < 0.5 * loss["kde:scott"], "leave one out is nearer to what unseen rows would choose"
assert loo[0] < loo.max() - 1, "with a row alone L falls as h goes to 0"
assert abs(halving - 2 * np.log(2)) < 1e-8 and twins.argmax() == 0, (
    "and rises for ever, if every row has a twin"
)
