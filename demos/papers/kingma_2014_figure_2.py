# %% [markdown]
# # The learning curves of the first VAE
# %%
"""The bound of seen and unseen digits, against the number of digits evaluated: AEVB beside wake-sleep.

Claim. For every number of latents the steps along the ELBO in both vectors (AEVB) reach a higher bound than
wake-sleep with the same networks, and sooner. More latents do no harm, also on unseen digits.

Formula:
    theta += rate g / sqrt(sum of squares),   g = gradient of the mean ELBO - theta / N       (prior N(0, I))
    AEVB        phi along the gradient of the mean ELBO
    wake-sleep  phi along E_{p(x, z)}[d log q(z | x)/d phi], over z and x that the model dreams

Source: Kingma and Welling (2014), Auto-Encoding Variational Bayes, figure 2 (MNIST), set-up in section 5.
Exact set-up: 784-500-N_z and back for N_z = 3, 5, 10, 20, 200, tanh, batches of 100, one draw, start of theta
N(0, 0.01^2), Adagrad with the rate of 0.01, 0.02, 0.1 that is best on the first batches, 10^8 digits. Other
than there: pixels are bits, drawn anew in every step from the grey values; the encoder starts at q = N(0, I).
It must show: AEVB above wake-sleep ("our method converged considerably faster and reached a better solution
in all experiments"); 200 latents do no harm to unseen digits ("more latent variables does not result in more
overfitting"). The paper prints curves and no numbers; its time was 20 to 40 minutes per million digits.
Expected time: days; --short: 10^6 digits per curve, minutes each. --only 3 20 picks latents, --seconds N
stops each curve after so long; it goes on next time from its checkpoint. --digits: a minute or two,
8 x 8 digits, 64 hidden units, 3 and 10 latents. ELBO_LAB_QUICK=1: seconds.
"""

import math
import os

import numpy as np
from _kingma_2014 import SEED, best_rate, networks, training_of
from _paper import mnist_parser, publish, read_mnist_sets, read_options

from elbo_lab.datasets import load
from elbo_lab.fitting.checkpoints import train_in_pieces
from elbo_lab.fitting.recorders import validation_recorder
from elbo_lab.plots import STYLE, figure_folder, panels, save_figure, style_axes
from elbo_lab.plots.style import legend_outside
from elbo_lab.training import ElboObjective, WakeSleepObjective

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
DRAWN = (2, 10) if QUICK else (3, 5, 10, 20, 200)  # latents
PARSER = mnist_parser(__doc__)
PARSER.add_argument("--short", action="store_true", help="10^6 digits per curve")
PARSER.add_argument("--digits", action="store_true", help="8 x 8 digits and smaller networks: minutes")
PARSER.add_argument("--only", nargs="+", type=int, choices=DRAWN, help="latents")
ASKED = read_options(PARSER)
SMALL = ASKED.digits and not QUICK
ONLY = ASKED.only or ((3, 10) if SMALL else DRAWN)
HIDDEN = 8 if QUICK else 64 if SMALL else 500
PILOT = 2 if QUICK else 50  # batches
DIGITS = 4000 if QUICK else 1e6 if ASKED.short or SMALL else 1e8  # per curve
TRAIN, TEST = load("digits:dynamic").split(0.2) if QUICK or SMALL else read_mnist_sets(PARSER, ASKED)
PASSES = math.ceil(DIGITS / len(TRAIN.x))
OBJECTIVES = {"AEVB": ElboObjective, "wake-sleep": WakeSleepObjective}
COLORS = {"AEVB": "#004488", "wake-sleep": "#BB5566"}

# %% Train each curve as far as time allows
curves = {}  # (training, unseen) bounds by pass
rows = []
for latent in ONLY:
    model, posterior = networks(TRAIN.x.shape[1], latent, HIDDEN)
    record = validation_recorder(model, posterior, TEST.x[:1000], SEED, np.float32)
    for name, kind in OBJECTIVES.items():
        objective = kind(model, posterior, TRAIN.x, TRAIN.probabilities, dtype=np.float32)
        rate, minutes = best_rate(objective, PILOT)
        print(f"{latent} latents, {name}, rate {rate}")
        training = training_of(objective, PASSES, rate, [record])
        words = {"data": TRAIN.name, "latent": latent, "hidden": HIDDEN, "rate": rate, "seed": SEED}
        words |= {"objective": name}
        checkpoint = OUT / f"kingma-{name}-{latent}x{HIDDEN}.npz"
        train_in_pieces(training, checkpoint, words, ASKED.seconds, None if SMALL else print)
        unseen = [row["elbo_validation"] for row in training.history]
        seen = [row.get("elbo", unseen[0]) for row in training.history]
        curves[latent, name] = np.array([seen, unseen])
        note = f"rate {rate}, {training.epoch * len(TRAIN.x) / 1e6:.2g} million; training {seen[-1]:.2f}"
        what = f"{latent} latents, {name}:"
        rows.append({"quantity": f"{what} bound, unseen", "ours": unseen[-1], "note": note})
        row = {"quantity": f"{what} minutes per million", "ours": minutes, "note": "over the first batches"}
        rows.append(row | {"published": "20 to 40" if name == "AEVB" else None})

# %% The figure
figure, axes = panels(1, len(ONLY), height=3.8, width=max(STYLE["page_width"], 2.0 * len(ONLY)))
for ax, latent in zip(axes, ONLY, strict=True):
    style_axes(ax, title=f"{latent} latents", xlabel="digits evaluated")
    for name, color in COLORS.items():
        seen, unseen = curves[latent, name]
        digits = len(TRAIN.x) * np.arange(1, len(seen))
        line = ".-" if len(digits) < 40 else "-"
        ax.semilogx(digits, unseen[1:], line, color=color, linewidth=1.4, label=f"{name}, unseen digits")
        ax.semilogx(digits, seen[1:], ":", color=color, linewidth=1.4, label=f"{name}, training digits")
    # The mean over the first pass, far below, would press all else together.
    unseen = np.array([curves[latent, name][1, 1:] for name in COLORS])
    ax.set_ylim(unseen.min() - 0.5, unseen.max() + 0.5)
axes[0].set_ylabel("ELBO, nats per digit")
legend_outside(figure, axes[0].get_legend_handles_labels()[0], columns=2)
caption = (
    "The ELBO against the digits evaluated: steps along the ELBO (AEVB) end above wake-sleep. Drawn with "
    "--digits, on 8 x 8 digits; the paper's run on MNIST takes days."
)
print("figure:", save_figure(figure, OUT, "kingma-curves", caption)[0])

# %% The claim
publish(rows, "Kingma and Welling (2014), figure 2: curves, and minutes in the caption", ASKED, QUICK)
for _, unseen in curves.values():
    assert len(unseen) == 1 or unseen[-1] > unseen[0], "it should rise"
finished = min(curve.shape[1] for curve in curves.values()) > PASSES
if finished and not QUICK:
    for latent in ONLY:
        assert curves[latent, "AEVB"][1, -1] > curves[latent, "wake-sleep"][1, -1], "AEVB should end higher"
if {20, 200} <= set(ONLY) and finished:
    assert curves[200, "AEVB"][1, -1] > curves[20, "AEVB"][1, -1] - 2.0, "more latents should do no harm"
