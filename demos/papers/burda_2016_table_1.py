# %% [markdown]
# # VAE and IWAE on MNIST: the table of 2016
# %%
"""The same networks, trained on the ELBO and on bounds of 5 and 50 draws; then -log p(x) of the test digits.

Claim. A tighter bound gives a better model: -log p(x) of unseen digits falls as draws are added to the bound,
and more latents stay in use. More draws under the ELBO, which only lower its noise, gain much less.

Formula:
    VAE   E (1/k) sum_i log w_i        IWAE   E log (1/k) sum_i w_i        w_i = p(x, z_i) / q(z_i | x)
    -log p(x) ~ -log (1/5000) sum_i w_i       active unit: Var_x(E_q[z]) > 0.01

Source: Burda, Grosse and Salakhutdinov (2016), table 1, one stochastic layer, MNIST; set-up in section 5.
Exact set-up: 784-200-200-50 and back, tanh, Bernoulli pixels drawn anew in every step from grey values, Adam
(0.9, 0.999, 1e-4), batches of 20, 3^i passes at rate 1e-3 10^(-i/7) for i = 0..7. Other than there: the KL of
the VAE is in closed form, and the encoder starts at q = N(0, I).
It must show: a lower -log p(x) and more active units for more draws, as printed. All 3280 passes take days:
--short does 40 (at 1e-3 10^(-i/3), i = 0..3) in batches of 100, judges 500 test digits, and ends nats above.
Expected time: --short --only vae-1 ten minutes on two cores. --only picks rows, --seconds N stops each after
so long; it goes on next time from its checkpoint. --digits: three minutes, three rows, 8 x 8
digits, 64-64-10 and 40 passes. ELBO_LAB_QUICK=1: two seconds, 8 x 8 digits and a tiny net.
"""

import math
import os
from dataclasses import dataclass

import numpy as np
from _paper import mnist_parser, publish, read_mnist_sets, read_options

from elbo_lab.datasets import load
from elbo_lab.estimators import Problem
from elbo_lab.evaluation import active_units, importance_nll
from elbo_lab.fitting.checkpoints import train_in_pieces
from elbo_lab.models import DeepBernoulli
from elbo_lab.networks import MLP
from elbo_lab.plots import STYLE, figure_folder, legend_inside, panels, save_figure, style_axes
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.threads import available_cores
from elbo_lab.training import Adam, ElboObjective, ImportanceWeightedObjective, Plan, Schedule, Training

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
PRINTED = {  # -log p(x), active units
    "vae-1": (86.76, 19),
    "iwae-5": (85.54, 22),
    "iwae-50": (84.78, 25),
    "vae-5": (86.47, 20),
    "vae-50": (86.35, 20),
}
WORDS = {
    "vae-1": "VAE, 1 draw",
    "iwae-5": "IWAE, 5 draws",
    "iwae-50": "IWAE, 50 draws",
    "vae-5": "VAE, 5 draws",
    "vae-50": "VAE, 50 draws",
}
OBJECTIVES = {"vae": ElboObjective, "iwae": ImportanceWeightedObjective}
PARSER = mnist_parser(__doc__)
PARSER.add_argument("--short", action="store_true", help="40 passes in batches of 100, 500 test digits")
PARSER.add_argument("--digits", action="store_true", help="8 x 8 digits and smaller networks: minutes")
PARSER.add_argument("--only", nargs="+", choices=PRINTED, help="rows of the table")
ASKED = read_options(PARSER)
DIGITS = ASKED.digits and not QUICK
ONLY = ASKED.only or list(PRINTED)[: 2 if QUICK else 3 if DIGITS else None]
LAST = 1 if QUICK else 3 if ASKED.short or DIGITS else 7  # stage of the rates
BATCH = 100 if ASKED.short and not QUICK else 20
PASSES = (3 ** (LAST + 1) - 1) // 2
HIDDEN = (8, 8) if QUICK else (64, 64) if DIGITS else (200, 200)
LATENT = 3 if QUICK else 10 if DIGITS else 50
SAMPLES = 100 if QUICK else 5000
SMALL = load("digits:dynamic").split(0.9 if QUICK else 0.2) if QUICK or DIGITS else ()
TRAIN, TEST = SMALL or read_mnist_sets(PARSER, ASKED)
TEST_ROWS = TEST.x[: 20 if QUICK else 500 if ASKED.short else None]
SEED = 0
COLORS = ("#0072B2", "#D55E00", "#117733", "#882255", "#AA7A00")


# %% The model, and the rates that fall in stages of 1, 3, 9, ... passes
@dataclass(frozen=True)
class Stages(Schedule):
    steps: int
    last: int

    def factor(self, step):
        stage = math.floor(math.log(2 * (step // self.steps) + 1, 3) + 1e-9)
        return 10.0 ** (-min(stage, self.last) / self.last)


columns = TRAIN.x.shape[1]
model = DeepBernoulli(columns, LATENT, HIDDEN[::-1])
encoder = MLP((columns, *HIDDEN, model.family.eta_size))
posterior = AmortisedPosterior(model.family, encoder, (0.0,) * columns, (1.0,) * columns)
stages = Stages(math.ceil(len(TRAIN.x) / BATCH), LAST)
plan = Plan(PASSES, BATCH, Adam(eps=1e-4), {"theta": 1e-3, "phi": 1e-3}, stages)

# %% Train each row as far as time allows, and judge it where it stands
rows = []
nll = {}
curves = {}
for name in ONLY:
    kind, draws = name.split("-")
    data = {"x": TRAIN.x, "probabilities": TRAIN.probabilities, "draws": int(draws), "dtype": np.float32}
    objective = OBJECTIVES[kind](model, posterior, **data)
    training = Training(objective, plan, SEED, threads=available_cores())
    words = {"row": name, "data": TRAIN.name, "hidden": HIDDEN, "batch": BATCH, "last": LAST, "seed": SEED}
    print(name)
    checkpoint = OUT / f"burda-{name}-{BATCH}x{columns}.npz"
    train_in_pieces(training, checkpoint, words, ASKED.seconds, None if DIGITS else print)
    theta, phi = training.params["theta"], training.params["phi"]
    per_datum = importance_nll(Problem(model, posterior, theta, phi, TEST_ROWS), SAMPLES, SEED).nll
    nll[name] = per_datum
    curves[name] = [-row[objective.value_key] for row in training.history[1:]]
    error = per_datum.std(ddof=1) / math.sqrt(len(TEST_ROWS))
    note = f"pass {training.epoch} of {PASSES}, {len(TEST_ROWS)} test rows, ±{error:.2f}"
    printed_nll, printed_units = (None, None) if QUICK or DIGITS else PRINTED[name]
    rows.append(
        {"quantity": f"{name} -log p(x)", "published": printed_nll, "ours": per_datum.mean(), "note": note}
    )
    units = active_units(posterior, phi.astype(np.float64), TEST.x).count
    rows.append({"quantity": f"{name} active units", "published": printed_units, "ours": units})

# %% The figure
figure, (ax, below) = panels(2, 1, height=5.6, width=STYLE["page_width"])
title = "Each by its own bound"
style_axes(ax, title=title, xlabel="pass over the training data", ylabel="-bound, nats per digit")
for (name, curve), color in zip(curves.items(), COLORS, strict=False):
    look = {"color": color, "linewidth": STYLE["line_width"], "label": WORDS[name]}
    ax.plot(np.arange(1, len(curve) + 1), curve, **look)
legend_inside(ax, "upper right")
first = next(iter(nll.values()))
title = "Test digits: nats gained on the first row"
style_axes(below, title=title, xlabel="nats per digit, ± twice the standard error of the pair", grid="x")
for name, color in zip(nll, COLORS, strict=False):
    gain = first - nll[name]
    error = 2.0 * gain.std(ddof=1) / math.sqrt(len(gain))
    label = f"{WORDS[name]}\n-log p(x) = {nll[name].mean():.2f}"
    below.errorbar(gain.mean(), label, xerr=error, fmt="o", color=color, capsize=3)
below.axvline(0.0, color=STYLE["ink"], linewidth=0.8)
below.set_ylim(len(nll) - 0.5, -0.5)
below.tick_params(axis="y", length=0)
caption = (
    "Above, the bounds of a VAE and of two importance-weighted autoencoders in training. Below, what more "
    "draws in the bound gain in log p(x) of test digits. Drawn with --digits, on 8 x 8 "
    "digits; the paper's run on MNIST takes days."
)
print("figure:", save_figure(figure, OUT, "burda-table", caption)[0])

# %% The claim
publish(rows, "Burda et al. (2016), table 1, MNIST, one stochastic layer", ASKED, QUICK)
p = np.clip(TRAIN.probabilities.mean(axis=0), 1e-4, 1 - 1e-4)
alone = -(TEST_ROWS @ np.log(p) + (1 - TEST_ROWS) @ np.log(1 - p)).mean()
if not QUICK:
    assert max(row.mean() for row in nll.values()) < alone, "latents should beat pixels on their own"
if BATCH == 20 and not QUICK and {"vae-1", "iwae-5", "iwae-50"} <= set(nll):
    one, five, fifty = (nll[name].mean() for name in ("vae-1", "iwae-5", "iwae-50"))
    assert fifty < five < one, "a tighter bound should give a better model"
