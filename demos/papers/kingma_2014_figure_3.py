# %% [markdown]
# # AEVB, wake-sleep and Monte Carlo EM on a thousand digits
# %%
"""log p(x) of seen and unseen digits along three trainings of one decoder, with three latents.

Claim. On a thousand rows all three raise log p(x), and all end well above independent pixels. Monte Carlo EM
has no encoder and pays for each row with passes through the decoder; AEVB asks for one.

Formula:
    AEVB            theta and phi along the gradient of the mean ELBO
    wake-sleep      theta as there, phi along E_{p(x, z)}[d log q(z | x)/d phi] over dreams
    Monte Carlo EM  theta along E_{p(z | x)}[d log p(x, z)/d theta], z by Hamiltonian Monte Carlo
    log p(x)        annealed chains from the prior to the posterior, for all three alike

Source: Kingma and Welling (2014), figure 3, left panel (N = 1000); set-up in section 5, Monte Carlo EM in
appendix E.
Exact set-up: MNIST, 784-100-3 and back, tanh, batches of 100, one draw, start of theta N(0, 0.01^2), Adagrad
with the best of three rates, 10 leapfrog steps with the acceptance near 0.9 and then five steps of theta,
6 x 10^7 digits. Other than there: pixels are bits; chains go on where they stood at the last visit of a row;
log p(x) is estimated by annealed importance sampling of 50 digits, too low on average.
It must show: the three rise, and unseen digits stay below seen ones. The paper prints curves and no numbers.
Expected time: --short (10^6 digits a curve) minutes; in full hours. --seconds N stops each curve after so
long; it goes on next time from its checkpoint. --digits: a minute or two, 8 x 8 digits and 32 hidden
units. ELBO_LAB_QUICK=1: a few seconds.
"""

import math
import os

import numpy as np
from _kingma_2014 import BATCH, SEED, best_rate, networks, training_of
from _paper import mnist_parser, publish, read_mnist_sets, read_options

from elbo_lab.datasets import load
from elbo_lab.fitting.checkpoints import train_in_pieces
from elbo_lab.fitting.final import annealed_numbers
from elbo_lab.plots import STYLE, figure_folder, panels, save_figure, style_axes
from elbo_lab.plots.style import legend_outside
from elbo_lab.training import ElboObjective, MonteCarloEMObjective, WakeSleepObjective

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
COLORS = {"AEVB": "#004488", "wake-sleep": "#BB5566", "Monte Carlo EM": "#117733"}
PARSER = mnist_parser(__doc__)
PARSER.add_argument("--short", action="store_true", help="10^6 digits per curve")
PARSER.add_argument("--digits", action="store_true", help="8 x 8 digits and smaller networks: minutes")
PARSER.add_argument("--only", nargs="+", choices=COLORS, default=list(COLORS))
ASKED = read_options(PARSER)
SMALL = ASKED.digits and not QUICK
LATENT = 3
HIDDEN = 8 if QUICK else 32 if SMALL else 100
N = 200 if QUICK else 1000
THETA_STEPS = 5  # of Monte Carlo EM after each E-step
PILOT = 2 if QUICK else 50  # batches
DIGITS = 2000 if QUICK else 2e5 if SMALL else 1e6 if ASKED.short else 6e7  # per curve
TRAIN, TEST = load("digits:binary").split(0.2) if QUICK or SMALL else read_mnist_sets(PARSER, ASKED)
X, UNSEEN = TRAIN.rows(N, SEED).x, TEST.rows(min(N, len(TEST.x)), SEED).x
PASSES = math.ceil(DIGITS / N)
EVERY = max(1, PASSES // (2 if QUICK else 10))  # passes between two estimates of log p(x)

# %% Three objectives of one decoder, and everything else equal
model, posterior = networks(X.shape[1], LATENT, HIDDEN)
OBJECTIVES = {
    "AEVB": ElboObjective(model, posterior, X, dtype=np.float32),
    "wake-sleep": WakeSleepObjective(model, posterior, X, dtype=np.float32),
    "Monte Carlo EM": MonteCarloEMObjective(model, X, dtype=np.float32),
}


def record(params, phase):  # noqa: ARG001 - what a recorder is given
    """Return log p(x) of 50 seen and of 50 unseen digits."""
    seen, unseen = (annealed_numbers(model, params["theta"], x, SEED) for x in (X, UNSEEN))
    return {"seen": seen["annealed_per_datum"], "unseen": unseen["annealed_per_datum"]}


# %% Train each curve as far as time allows
curves = {}  # (digits evaluated, log p of seen, of unseen) by evaluation
rows = []
for name in ASKED.only:
    steps = THETA_STEPS if name == "Monte Carlo EM" else 1
    rate, minutes = best_rate(OBJECTIVES[name], PILOT, steps)
    print(f"{name}, rate {rate}")
    training = training_of(OBJECTIVES[name], PASSES, rate, [record], EVERY, steps)
    words = {"data": TRAIN.name, "rows": N, "hidden": HIDDEN, "rate": rate, "seed": SEED, "objective": name}
    checkpoint = OUT / f"kingma-{name.replace(' ', '-')}-{N}.npz"
    train_in_pieces(training, checkpoint, words, ASKED.seconds)
    curves[name] = np.array([[N * row["epoch"], row["seen"], row["unseen"]] for row in training.history])
    digits, seen, unseen = curves[name][-1]
    note = f"rate {rate}, {digits / 1e6:.2g} million; training {seen:.2f}"
    rows.append({"quantity": f"{name}: log p(x), unseen", "ours": unseen, "note": note})
    note = f"over the first {PILOT} batches of {BATCH}"
    rows.append({"quantity": f"{name}: minutes per million", "ours": minutes, "note": note})

# %% The figure
p = np.clip(X.mean(axis=0), 1e-3, 1 - 1e-3)
alone = float((UNSEEN @ np.log(p) + (1 - UNSEEN) @ np.log(1 - p)).mean())
figure, (ax,) = panels(1, 1, height=4.2, width=STYLE["page_width"])
title = f"{N} training digits, {LATENT} latents"
style_axes(ax, title=title, xlabel="digits evaluated", ylabel="log p(x), nats per digit")
for name, curve in curves.items():
    digits, seen, unseen = curve[1:].T
    ax.plot(digits, unseen, ".-", color=COLORS[name], linewidth=1.4, label=f"{name}, unseen digits")
    ax.plot(digits, seen, ":", color=COLORS[name], linewidth=1.4, label=f"{name}, training digits")
ax.axhline(alone, color="#777777", linestyle="-.", linewidth=1.2, label="independent pixels, unseen digits")
legend_outside(figure, ax.get_legend_handles_labels()[0], columns=2)
caption = (
    "Log p(x) under AEVB, wake-sleep and Monte Carlo EM against the digits evaluated: all three rise above "
    "independent pixels. Drawn with --digits, on 8 x 8 digits; the paper's run on MNIST takes hours."
)
print("figure:", save_figure(figure, OUT, "kingma-marginal", caption)[0])

# %% The claim
publish(rows, "Kingma and Welling (2014), figure 3, N = 1000: curves without numbers", ASKED, QUICK)
for curve in curves.values():
    assert len(curve) == 1 or curve[-1, 1] > curve[0, 1], "log p of the training digits should rise"
    if curve[-1, 0] >= DIGITS and not QUICK:
        assert curve[-1, 2] > alone, "latents should beat pixels on their own"
