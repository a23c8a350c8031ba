# %% [markdown]
# # A VAE that is told the digit
# %%
"""p(x | z, y): encoder and decoder are given the label, and z is left with the handwriting.

Claim. With the label given, two latents explain a digit better than two latents alone, by more than the
log 10 nats that a label can tell at most: z no longer has to say which digit it is. The same z gives the same
handwriting in every class. And by Bayes' rule the conditional densities are a classifier.

Formula:

    log p(x | y) = log int N(z; 0, I) p(x | z, y) dz >= E_q(z | x, y) log [p(x, z | y) / q(z | x, y)]
    p(y | x) = p(x | y) p(y) / sum_c p(x | c) p(c)

Source: Sohn, Lee and Yan (2015), Learning structured output representation using deep conditional generative
models; Kingma, Rezende, Mohamed and Welling (2014), Semi-supervised learning, model M2.
Expected time: ten seconds; with ELBO_LAB_QUICK=1 four, with fewer epochs.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import math
import os

import numpy as np

from elbo_lab import fit, load
from elbo_lab.evaluation import importance_nll
from elbo_lab.exact import ladder
from elbo_lab.plots import figure_folder, plot_class_images, save_figure

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
CLASSES = 10
ROWS = 12
JUDGED = 100
EPOCHS = 15 if QUICK else 40
SETTINGS = {"latent": 2, "hidden": (100,), "epochs": EPOCHS, "batch": 50, "holdout": 0.2, "seed": 0}
DATA = load("digits:binary")

# %% Two fits that differ in the label alone
told = fit("conditional-vae", DATA, **SETTINGS)
untold = fit("deep-bernoulli", DATA, **SETTINGS)
unseen = told.held_out.x
log_p_told, log_p_untold = (-result.final["held_out"]["nll_per_datum"] for result in (told, untold))
print(f"held-out rows: log p(x | y) {log_p_told:.2f}, log p(x) {log_p_untold:.2f} nats per datum")
gain = log_p_told - log_p_untold
print(f"the label can tell at most log 10 = {math.log(CLASSES):.2f} nats; the gain is {gain:.2f}")

# %% On some rows the exact values: the bound and what it bounds
few = unseen[:ROWS]
exact = ladder.log_evidence(told.model, told.theta, few)[0]
sampled = importance_nll(told.problem(few), 500)
print(f"{ROWS} rows: exact log p(x | y) {exact.mean():.3f}, sampled {-sampled.nll.mean():.3f}")
print(f"         ELBO {sampled.elbo.mean():.3f}: the gap is {(exact - sampled.elbo).mean():.3f} nats")

# %% Bayes' rule: every class is tried
judged = unseen[:JUDGED]
log_p = np.empty((JUDGED, CLASSES))
for c in range(CLASSES):
    rows = np.column_stack([judged[:, :-1], np.full(JUDGED, c)])
    log_p[:, c] = -importance_nll(told.problem(rows), 50).nll
accuracy = (log_p.argmax(axis=1) == judged[:, -1]).mean()
print(f"class of the largest log p(x | y): right for {accuracy:.2f} of {JUDGED} held-out rows")

# %% What z does to each class: the change from one end of a latent to its other end
ends = np.linspace(-2.0, 2.0, CLASSES // 2)
codes = np.zeros((CLASSES, 2))  # the same for every class: first along z_1, then along z_2
codes[: len(ends), 0] = codes[len(ends) :, 1] = ends
pictures = np.array([told.of_class(c).decode(codes) for c in range(CLASSES)])
alike = []
for k, first in enumerate((0, len(ends))):
    changes = pictures[:, first + len(ends) - 1] - pictures[:, first]
    alike.append(np.corrcoef(changes)[np.triu_indices(CLASSES, 1)].mean())
    print(
        f"z_{k + 1} from -2 to 2: the changes of two classes have a correlation of {alike[-1]:.2f} on average"
    )

# %% The figure: a row for each class, a column for each z
title = "A row for each digit; z_1, then z_2, from -2 to 2"
names = [str(c) for c in range(CLASSES)]
ax = plot_class_images(np.concatenate(pictures), names, (8, 8), title=title, limits=(0.0, 1.0))
caption = (
    "A row for each digit, a column for each z, along z_1 on the left and along z_2 on the right: the same z "
    "gives the same handwriting, such as slant and width, in every class."
)
print("figure:", save_figure(ax.figure, OUT, "conditional-vae", caption)[0])

# %% The claim
assert np.all(sampled.elbo < exact + 1.0), "an ELBO from 500 draws stays near or below log p"
assert (exact - sampled.elbo).mean() > 0.0, "and below it on average"
assert log_p_told > log_p_untold + math.log(CLASSES), "the gain is more than the label alone can tell"
assert min(alike) > 0.5, "z does the same to every class"
assert accuracy > 0.9, "the conditional densities tell the classes apart"
centres = np.array([DATA.x[DATA.labels == c].mean(axis=0) for c in range(CLASSES)])
means = []
for c in range(CLASSES):
    means.append(told.of_class(c).generate(500, np.random.default_rng(c)).mean(axis=0))
nearest = ((np.array(means)[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
assert (nearest == np.arange(CLASSES)).all(), "data of a class look like that class"
