# %% [markdown]
# # Wake-sleep against the ELBO
# %%
"""The same hidden bits and the same encoder, trained three ways, with the exact log p(x) of every row.

Claim. Wake-sleep learns without the noisy gradient of the ELBO through bits, but it climbs no function. With
the model held where the ELBO has put it, sleep steps lower the exact ELBO: what they lower is another
distance, the KL from the posterior to q, on what the model dreams. (Which maximum of log p each training
finds is luck of the start.)

Formula:
    wake     theta along E_q[d log p(x, z)/d theta]
    sleep    phi along E_{p(x, z)}[d log q(z | x)/d phi] = -d/d phi E_{p(x)} KL(p(z | x) || q(z | x))

Source: Hinton, Dayan, Frey and Neal (1995), Science 268; Bornschein and Bengio (2015), ICLR. Derivation:
docs/wake_sleep.md.
Expected time: about ten seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os
from dataclasses import replace

import numpy as np

from elbo_lab.datasets import load
from elbo_lab.estimators import ScoreFunctionLOO
from elbo_lab.evaluation import measure_gap
from elbo_lab.models import SigmoidBelief
from elbo_lab.plots import STYLE, figure_folder, panels, save_figure, style_axes
from elbo_lab.plots.style import legend_outside
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.training import (
    Cosine,
    ElboObjective,
    Plan,
    ReweightedWakeSleepObjective,
    Training,
    WakeSleepObjective,
)

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
LATENT = 4
HIDDEN = (30,)
DRAWS = 10
EPOCHS = 100 if QUICK else 250
EVERY = 10
N_DREAMS = 1000
X = load("digits:binary").rows(300, SEED).x
HELD = "ELBO, then sleep alone"
COLORS = {"ELBO": "#004488", "wake-sleep": "#BB5566", "reweighted": "#117733", HELD: "#AA7A00"}

# %% The model, the encoder, and what is exact: log p(x), ELBO and both KLs, summed over 2^4 values of z
model = SigmoidBelief(X.shape[1], LATENT)
encoder = AmortisedPosterior.for_data(model.family, X, HIDDEN)


def exact_values(params, phase):  # noqa: ARG001 - what a recorder is given
    """Return the exact means over the rows, and the KL that sleep lowers over rows that the model dreams."""
    dreams, _ = model.sample(params["theta"], N_DREAMS, np.random.default_rng(SEED))
    z = np.repeat(model.family.values()[:, None], N_DREAMS, axis=1)
    log_joint = model.log_joint(params["theta"], dreams, z)
    log_posterior = log_joint - np.logaddexp.reduce(log_joint, axis=0)
    log_q = model.family.log_prob(encoder.eta(params["phi"], dreams), z)
    inclusive = (np.exp(log_posterior) * (log_posterior - log_q)).sum(axis=0)
    row = measure_gap(objectives["ELBO"].problem(params, X)).means()
    return row | {"inclusive": float(inclusive.mean())}


# %% Three objectives, and everything else equal
common = {"model": model, "posterior": encoder, "x": X, "draws": DRAWS}
objectives = {
    "ELBO": ElboObjective(**common, phi_estimator=ScoreFunctionLOO()),
    "wake-sleep": WakeSleepObjective(**common),
    "reweighted": ReweightedWakeSleepObjective(**common),
}
plan = Plan(
    epochs=EPOCHS,
    batch=100,
    rates={"theta": 0.02, "phi": 0.02},
    schedule=Cosine(3 * EPOCHS),
    evaluate_every=EVERY,
)
curves, ends = {}, {}
for name, objective in objectives.items():
    training = Training(objective, plan, SEED, [exact_values])
    training.run()
    curves[name], ends[name] = training.history, training.params

# %% From the end of the ELBO's training: the model is held, and q dreams on
held = replace(plan, rates={"theta": 1e-12, "phi": 0.02})
asleep = Training(objectives["wake-sleep"], held, SEED, [exact_values])
asleep.params = {name: vector.copy() for name, vector in ends["ELBO"].items()}
asleep.run()
curves[HELD] = asleep.history

print("exact, nats per row        log p      ELBO   KL(q||p)   KL(p||q) on dreams")
for name, history in curves.items():
    last = history[-1]
    values = f"{last['log_p']:9.3f} {last['elbo_exact']:9.3f} {last['kl']:10.3f} {last['inclusive']:10.3f}"
    print(f"{name:<22} {values}")

# %% The figure
figure, (left, middle, right) = panels(3, 1, height=8.2, width=STYLE["page_width"])
style_axes(left, title="The model", xlabel="epoch", ylabel="exact log p, nats a row")
style_axes(middle, title="What the ELBO sees", xlabel="epoch", ylabel="KL(q || posterior), nats")
style_axes(right, title="What sleep lowers, on dreams", xlabel="epoch", ylabel="KL(posterior || q), nats")
for name, history in curves.items():
    epochs = [row["epoch"] for row in history]
    look = {"color": COLORS[name], "linewidth": 1.4, "linestyle": "--" if name == HELD else "-"}
    for ax, key in ((left, "log_p"), (middle, "kl"), (right, "inclusive")):
        ax.plot(epochs, [row[key] for row in history], label=name, **look)
for ax, key in ((middle, "kl"), (right, "inclusive")):
    ax.set_ylim(0.0, 3.0 * max(history[-1][key] for history in curves.values()))
legend_outside(figure, left.get_legend_handles_labels()[0], columns=2)
caption = (
    "Wake-sleep and the ELBO over the epochs: log p(x), KL(q || posterior) and KL(posterior || q). Sleep "
    "lowers the last, not what the ELBO sees."
)
print("figure:", save_figure(figure, OUT, "wake-sleep", caption)[0])

# %% The claim
first, last = curves[HELD][0], curves[HELD][-1]
assert abs(first["log_p"] - last["log_p"]) < 1e-6, "the model is held"
assert last["elbo_exact"] < first["elbo_exact"] - 0.005, "sleep lowers the ELBO"
assert last["inclusive"] < first["inclusive"] - 0.005, "and the other KL, on dreams"
assert curves["wake-sleep"][-1]["log_p"] > curves["wake-sleep"][0]["log_p"] + 1.0, "and yet both phases learn"
