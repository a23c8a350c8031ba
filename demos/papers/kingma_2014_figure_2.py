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
from elbo_lab.fitting.building import validation_recorder
from elbo_lab.fitting.checkpoints import train_in_pieces
from elbo_lab.models import DeepBernoulli
from elbo_lab.networks import MLP
from elbo_lab.plots import figure_folder, new_figure, save_figure
from elbo_lab.plots.style import legend_below, style_axes
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.threads import available_cores
from elbo_lab.training.objectives import ElboObjective
from elbo_lab.training.optimizers import Adagrad
from elbo_lab.training.plan import Plan
from elbo_lab.training.trainer import Training

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
DRAWN, PARSER = (2, 10) if QUICK else (3, 5, 10, 20, 200), mnist_parser(__doc__)
PARSER.add_argument("--short", action="store_true", help="10^6 digits per curve")
PARSER.add_argument("--only", nargs="+", type=int, choices=DRAWN, default=DRAWN)
ASKED = read_options(PARSER)
HIDDEN, BATCH, RATES, PILOT, SEED = 8 if QUICK else 500, 100, (0.01, 0.02, 0.1), 2 if QUICK else 50, 0
TRAIN, TEST = load("digits:dynamic").split(0.2) if QUICK else read_mnist_sets(PARSER, ASKED)
PASSES = math.ceil((4000 if QUICK else 1e6 if ASKED.short else 1e8) / len(TRAIN.x))
curves, rows, COLORS = {}, [], ("#0072B2", "#33A9A0", "#117733", "#AA7A00", "#D55E00")


# %% Maximum a posteriori in theta, from a small start
class MapObjective(ElboObjective):
    def initial(self, rng):
        start = super().initial(rng)
        return start | {"theta": (0.01 * rng.standard_normal(start["theta"].size)).astype(self.dtype)}

    def gradients(self, params, block, names, memory):
        value, found, memory = super().gradients(params, block, names, memory)
        return value, found | {"theta": found["theta"] - params["theta"] / self.n_rows}, memory


def build(latent, rate):
    model = DeepBernoulli(TRAIN.x.shape[1], latent, (HIDDEN,))
    network, D = MLP((model.n_columns, HIDDEN, 2 * latent)), model.n_columns
    posterior = AmortisedPosterior(model.family, network, (0.0,) * D, (1.0,) * D)
    objective = MapObjective(model, posterior, TRAIN.x, TRAIN.probabilities, dtype=np.float32)
    plan = Plan(PASSES, BATCH, Adagrad(), {"theta": rate, "phi": rate})
    record = validation_recorder(model, posterior, TEST.x[:1000], SEED, np.float32)
    return Training(objective, plan, SEED, [record], available_cores())


def pilot(latent, rate):
    """Return the bound over the first batches, minutes per million digits, and the rate."""
    training, begun = build(latent, rate), time.perf_counter()
    try:
        training.run(lambda t: t.step >= PILOT)
    except Diverged:
        return -math.inf, 0.0, rate
    return training.running_value, (time.perf_counter() - begun) / 60 * 1e6 / (PILOT * BATCH), rate


# %% Train each curve as far as time allows
for latent in ASKED.only:
    _, minutes, rate = max(pilot(latent, rate) for rate in RATES)
    print(f"{latent} latents, rate {rate}")
    training = build(latent, rate)
    words = {"data": TRAIN.name, "latent": latent, "hidden": HIDDEN, "rate": rate, "seed": SEED}
    train_in_pieces(training, OUT / f"kingma-{latent}x{HIDDEN}.npz", words, ASKED.seconds, print)
    unseen = [row["elbo_validation"] for row in training.history]
    curves[latent] = np.array([[row.get("elbo", unseen[0]) for row in training.history], unseen])
    seen, unseen = curves[latent][:, -1]
    note = f"rate {rate}, {training.epoch * len(TRAIN.x) / 1e6:.2g} million digits; training {seen:.2f}"
    rows.append({"quantity": f"{latent} latents: bound, unseen", "ours": unseen, "note": note})
    row = {"quantity": f"{latent} latents: minutes per million", "published": "20 to 40"}
    rows.append(row | {"ours": minutes, "note": "over the first batches"})

# %% The figure
words = {"xlabel": "training digits evaluated", "ylabel": "ELBO, nats per digit"}
ax = style_axes((figure := new_figure(3.8)).subplots(), title="Solid: unseen, dotted: training", **words)
for (latent, curve), color in zip(curves.items(), COLORS, strict=False):
    digits, look = len(TRAIN.x) * np.arange(1, curve.shape[1]), {"color": color, "linewidth": 1.4}
    ax.semilogx(digits, curve[1, 1:], ".-" if len(digits) < 40 else "-", label=f"{latent} latents", **look)
    ax.semilogx(digits, curve[0, 1:], ":", **look)
legend_below(ax, columns=5)
print("figure:", save_figure(figure, OUT, "kingma-curves")[0])

# %% The claim
publish(rows, "Kingma and Welling (2014), figure 2: curves, and minutes in the caption", ASKED, QUICK)
assert all(curve.shape[1] == 1 or curve[1, -1] > curve[1, 0] for curve in curves.values()), "it should rise"
if {20, 200} <= set(curves) and min(curve.shape[1] for curve in curves.values()) > PASSES:
    assert curves[200][1, -1] > curves[20][1, -1] - 2.0, "superfluous latents should do no harm"
