# %% [markdown]
# # The learning curves of the first VAE
# %%
"""The bound of seen and unseen digits, against the number of digits evaluated, for 3 to 200 latents.

Claim. More latents give a higher bound up to a point, and beyond it they do no harm, also on unseen digits.

Formula:
    theta += rate g / sqrt(sum of squares),   g = gradient of the mean ELBO - theta / N       (prior N(0, I))

Source: Kingma and Welling (2014), Auto-Encoding Variational Bayes, figure 2 (MNIST, without the
curves of wake-sleep), set-up in section 5.
Exact set-up: 784-500-N_z and back for N_z = 3, 5, 10, 20, 200, tanh, batches of 100, one draw, start of theta
N(0, 0.01^2), Adagrad with the rate of 0.01, 0.02, 0.1 that is best on the first batches, 10^8 digits. Other
than there: pixels are bits, drawn anew in every step from the grey values; the encoder starts at q = N(0, I).
It must show: 200 latents do no harm to unseen digits ("more latent variables does not result in more
overfitting"). The paper prints curves and no numbers; its time was 20 to 40 minutes per million digits.
Expected time: days; --short: 10^6 digits per curve, minutes each. --only 3 20 picks curves, --seconds N stops
each after so long; it goes on next time from its checkpoint. ELBO_LAB_QUICK=1: two seconds, small digits.
"""

import math
import os
import time

import numpy as np
from _paper import mnist_parser, publish, read_mnist_sets, read_options

from elbo_lab.datasets import load
from elbo_lab.errors import Diverged
from elbo_lab.fitting.checkpoints import train_in_pieces
from elbo_lab.fitting.recorders import validation_recorder
from elbo_lab.models import DeepBernoulli
from elbo_lab.networks import MLP
from elbo_lab.plots import figure_folder, legend_below, panels, save_figure, style_axes
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.threads import available_cores
from elbo_lab.training import Adagrad, ElboObjective, Plan, Training

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
DRAWN = (2, 10) if QUICK else (3, 5, 10, 20, 200)  # latents
PARSER = mnist_parser(__doc__)
PARSER.add_argument("--short", action="store_true", help="10^6 digits per curve")
PARSER.add_argument("--only", nargs="+", type=int, choices=DRAWN, default=DRAWN)
ASKED = read_options(PARSER)
HIDDEN = 8 if QUICK else 500
BATCH = 100
RATES = (0.01, 0.02, 0.1)
PILOT = 2 if QUICK else 50  # batches
SEED = 0
DIGITS = 4000 if QUICK else 1e6 if ASKED.short else 1e8  # per curve
TRAIN, TEST = load("digits:dynamic").split(0.2) if QUICK else read_mnist_sets(PARSER, ASKED)
PASSES = math.ceil(DIGITS / len(TRAIN.x))
COLORS = ("#0072B2", "#33A9A0", "#117733", "#AA7A00", "#D55E00")


# %% Maximum a posteriori in theta, from a small start
class MapObjective(ElboObjective):
    def initial(self, rng):
        start = super().initial(rng)
        theta = 0.01 * rng.standard_normal(start["theta"].size)
        return start | {"theta": theta.astype(self.dtype)}

    def gradients(self, params, block, names, memory):
        value, gradients, memory = super().gradients(params, block, names, memory)
        with_prior = gradients["theta"] - params["theta"] / self.n_rows
        return value, gradients | {"theta": with_prior}, memory


def build(latent, rate):
    columns = TRAIN.x.shape[1]
    model = DeepBernoulli(columns, latent, (HIDDEN,))
    encoder = MLP((columns, HIDDEN, 2 * latent))
    posterior = AmortisedPosterior(model.family, encoder, (0.0,) * columns, (1.0,) * columns)
    objective = MapObjective(model, posterior, TRAIN.x, TRAIN.probabilities, dtype=np.float32)
    plan = Plan(PASSES, BATCH, Adagrad(), {"theta": rate, "phi": rate})
    record = validation_recorder(model, posterior, TEST.x[:1000], SEED, np.float32)
    return Training(objective, plan, SEED, [record], available_cores())


def pilot(latent, rate):
    """Return the bound over the first batches, minutes per million digits, and the rate."""
    training = build(latent, rate)
    begun = time.perf_counter()
    try:
        training.run(lambda t: t.step >= PILOT)
    except Diverged:
        return -math.inf, 0.0, rate
    minutes = (time.perf_counter() - begun) / 60
    return training.running_value, minutes * 1e6 / (PILOT * BATCH), rate


# %% Train each curve as far as time allows
curves = {}  # (training, unseen) bounds by pass
rows = []
for latent in ASKED.only:
    _, minutes, rate = max(pilot(latent, rate) for rate in RATES)
    print(f"{latent} latents, rate {rate}")
    training = build(latent, rate)
    words = {"data": TRAIN.name, "latent": latent, "hidden": HIDDEN, "rate": rate, "seed": SEED}
    train_in_pieces(training, OUT / f"kingma-{latent}x{HIDDEN}.npz", words, ASKED.seconds, print)
    unseen = [row["elbo_validation"] for row in training.history]
    seen = [row.get("elbo", unseen[0]) for row in training.history]
    curves[latent] = np.array([seen, unseen])
    millions = training.epoch * len(TRAIN.x) / 1e6
    note = f"rate {rate}, {millions:.2g} million digits; training {seen[-1]:.2f}"
    rows.append({"quantity": f"{latent} latents: bound, unseen", "ours": unseen[-1], "note": note})
    row = {"quantity": f"{latent} latents: minutes per million", "published": "20 to 40"}
    rows.append(row | {"ours": minutes, "note": "over the first batches"})

# %% The figure
figure, (ax,) = panels(1, 1, height=3.8)
title = "Solid: unseen, dotted: training"
style_axes(ax, title=title, xlabel="training digits evaluated", ylabel="ELBO, nats per digit")
for (latent, (seen, unseen)), color in zip(curves.items(), COLORS, strict=False):
    digits = len(TRAIN.x) * np.arange(1, len(seen))
    line = ".-" if len(digits) < 40 else "-"
    ax.semilogx(digits, unseen[1:], line, color=color, linewidth=1.4, label=f"{latent} latents")
    ax.semilogx(digits, seen[1:], ":", color=color, linewidth=1.4)
legend_below(ax, columns=5)
print("figure:", save_figure(figure, OUT, "kingma-curves")[0])

# %% The claim
publish(rows, "Kingma and Welling (2014), figure 2: curves, and minutes in the caption", ASKED, QUICK)
for _, unseen in curves.values():
    assert len(unseen) == 1 or unseen[-1] > unseen[0], "it should rise"
finished = min(curve.shape[1] for curve in curves.values()) > PASSES
if {20, 200} <= set(curves) and finished:
    assert curves[200][1, -1] > curves[20][1, -1] - 2.0, "superfluous latents should do no harm"
