# %% [markdown]
# # The platform, the ceiling, and what early stopping sees
# %%
"""The bound rises while log p wanders or falls, on rows of training and on unseen ones; q narrows meanwhile.

Claim. (1) Joint steps from the maximum of the likelihood, with an encoder that knows nothing yet: the ELBO
rises in every step, while log p falls, and comes back only when the gap has closed. (2) A VAE trained for
longer and longer: the ELBO of its own rows rises throughout, log p of unseen rows turns and falls, and the
ELBO of unseen rows, which early stopping watches, turns at the same place. At the end it falls further while
log p of the same rows rises again: the encoder has got worse on them, not the model. (3) Meanwhile q narrows,
as the posterior does: with every column that tells of z the posterior is narrower, and fewer draws of the
prior fall into it.

Formula, with log p(x) and the ELBO exact (closed form in (1), quadrature over the latent in (2)):

    log p(x)  =  ELBO + gap            ceiling, platform, and what is between
    sd of p(z | x)  =  (1 + W'W)^(-1/2)      probabilistic PCA: narrower with every column

Source: Turner and Sahani (2011) on bounds that move parameters; Prechelt (1998) on early stopping; Wu, Burda,
Salakhutdinov and Grosse (2017) on log p of held-out rows.
Expected time: ten seconds on two cores; with ELBO_LAB_QUICK=1 three, with little training.
The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import exact, fit
from elbo_lab.datasets import load
from elbo_lab.estimators import Problem
from elbo_lab.evaluation import measure_gap
from elbo_lab.models import PPCA
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, new_figure, save_figure, style_axes
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.training import Adam

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
BLUE, RED, SAND = "#004488", "#BB5566", "#997700"
ROWS = 30  # of (1)
STEPS = 60 if QUICK else 200
HOLDOUT = 0.75
DATA = load("digits:binary").rows(60 if QUICK else 200, seed=0)
TRAIN, UNSEEN = DATA.split(HOLDOUT)
EPOCHS = (1, 3) if QUICK else (10, 20, 40, 80, 160, 320)
SETTINGS = {"latent": 1, "hidden": (64,), "batch": 25, "learning_rate": 4e-3, "holdout": HOLDOUT, "seed": 0}

# %% (1) Probabilistic PCA at the maximum of the likelihood, a fresh encoder, exact gradients
model = PPCA(3, 1)
rng = np.random.default_rng(0)
example = model.layout.pack({"W": np.array([[1.0], [0.5], [-1.0]]), "b": np.zeros(3), "log_sigma": 0.0})
x = model.sample(example, ROWS, rng)[0]
encoder = AmortisedPosterior.for_data(model.family, x, hidden=(32,))
best = model.maximum_likelihood(x)
params = np.concatenate([best, encoder.initial(rng)])
n_theta = len(best)
adam = Adam()
state = adam.initial_state(len(params))
rows = []
for i in range(STEPS + 1):
    problem = Problem(model, encoder, params[:n_theta], params[n_theta:], x)
    rows.append((exact.log_evidence(problem).value.mean(), exact.elbo(problem).value.mean()))
    slopes = exact.gradients(problem)
    gradient = np.concatenate([slopes.theta_elbo.value, slopes.phi_elbo.value])
    adam.step(params, gradient, state, i + 1, 0.004)
ceiling, platform = np.array(rows).T
lowest = ceiling.argmin()
print("step   log p    ELBO     gap     nats per datum")
for i in sorted({0, 10, int(lowest), 60, STEPS}):
    print(f"{i:>4} {ceiling[i]:>8.4f} {platform[i]:>8.4f} {ceiling[i] - platform[i]:>7.4f}")

# %% The figure: platform and ceiling
figure = new_figure(4.6, 5.4)
title = "The platform rises, the ceiling dips"
xlabel = "joint steps, with a fresh encoder"
ax = style_axes(figure.subplots(), title=title, xlabel=xlabel, ylabel="nats per datum")
steps = np.arange(STEPS + 1)
ax.plot(steps, ceiling, label="log p, exact: the ceiling", **EXACT_LINE)
ax.plot(steps, platform, color=BLUE, lw=STYLE["line_width"] + 0.4, label="ELBO: the platform")
ax.fill_between(steps, platform, ceiling, color=RED, alpha=0.2, lw=0, label="the gap, a KL")
ax.axhline(ceiling[0], color=STYLE["faint"], lw=0.8, ls=":")
ax.set(xlim=(0, STEPS), ylim=(ceiling[0] - 0.12, ceiling[0] + 0.012))
ax.legend(frameon=False, fontsize=STYLE["label_size"], loc="lower right")
caption = (
    "Joint steps from the maximum of the likelihood with a fresh encoder: the ELBO rises from far below, "
    "log p falls and comes back when the gap has closed."
)
print("figure:", save_figure(figure, OUT, "platform-and-ceiling", caption)[0])


# %% (2) A VAE, trained for longer and longer. log p, ELBO and both standard deviations are exact
def posterior_sd(fitted, x):
    """Return the mean standard deviation of p(z | x), by a grid over the one latent."""
    z = np.linspace(-6.0, 6.0, 601)
    draws = np.broadcast_to(z[:, None, None], (len(z), len(x), 1))
    log_joint = fitted.model.log_joint(fitted.theta.astype(float), x, draws)
    weights = np.exp(log_joint - log_joint.max(axis=0))
    weights /= weights.sum(axis=0)
    mean = z @ weights
    return np.sqrt(z**2 @ weights - mean**2).mean()


print("epochs  rows seen: log p    ELBO   unseen: log p    ELBO    sd of q, of p(z | x)")
rows = []
for epochs in EPOCHS:
    vae = fit("deep-bernoulli", DATA, epochs=epochs, **SETTINGS)
    seen, unseen = (measure_gap(vae.problem(x)) for x in (TRAIN.x, UNSEEN.x))
    eta = vae.posterior.eta(vae.phi, TRAIN.x)
    widths = (np.exp(eta[:, 1:]).mean(), posterior_sd(vae, TRAIN.x))
    rows.append([gap.mean() for pair in (seen, unseen) for gap in (pair.log_p, pair.elbo)] + list(widths))
    numbers = [f"{number:>9.3f}" for number in rows[-1]]
    print(f"{epochs:>6} {numbers[0]:>16}{numbers[1]}{numbers[2]:>14}{numbers[3]}  {numbers[4]}{numbers[5]}")
log_p_seen, elbo_seen, log_p_unseen, elbo_unseen, sd_q, sd_posterior = np.array(rows).T

# %% The figure: what early stopping sees
figure = new_figure(5.2, 5.4)
title = f"VAE, {len(TRAIN.x)} digits seen and {len(UNSEEN.x)} unseen"
xlabel = "epochs of training"
ax = style_axes(figure.subplots(), title=title, xlabel=xlabel, ylabel="nats per datum")
for color, name, log_p, elbo in (
    (BLUE, "seen", log_p_seen, elbo_seen),
    (SAND, "unseen", log_p_unseen, elbo_unseen),
):
    ax.plot(EPOCHS, log_p, "--", color=color, lw=1.2, label=f"log p, exact, {name}")
    ax.plot(EPOCHS, elbo, "-o", color=color, ms=4, lw=STYLE["line_width"], label=f"ELBO, {name}")
ax.set_xscale("log", base=2)
ax.set_xticks(EPOCHS, [str(epochs) for epochs in EPOCHS])
stop = EPOCHS[elbo_unseen.argmax()]
ax.axvline(stop, color=STYLE["faint"], ls=":", lw=1.2)
ax.text(stop, ax.get_ylim()[0], " stop here", va="bottom", fontsize=STYLE["label_size"], color=STYLE["ink"])
figure.legend(frameon=False, fontsize=STYLE["label_size"], loc="outside lower left", ncols=2)
caption = (
    "A VAE trained for longer and longer: the ELBO of the rows it is trained on rises throughout, log p and "
    "ELBO of unseen rows rise and then fall."
)
print("figure:", save_figure(figure, OUT, "what-early-stopping-sees", caption)[0])

# %% (3) Narrower with every column: the running example, its three columns repeated
repeats = np.array([1, 2, 4, 8, 16, 32])
tau = (1 + 2.25 * repeats) ** -0.5
mean = 2.15 * repeats * tau**2
rho2 = 2 - tau**2
needed = np.exp(mean**2 / rho2) / (tau * np.sqrt(rho2))  # 1 + relative variance of one draw of the prior
print("columns  sd of p(z | x)   1 + V, one latent   the same with 20 latents")
for i, r in enumerate(repeats):
    print(f"{3 * r:>7} {tau[i]:>15.4f} {needed[i]:>19.3f} {needed[i] ** 20:>26.1e}")

figure = new_figure(6.4, 5.4)
above, below = figure.subplots(2, 1)
title = "More columns: the posterior narrows"
style_axes(above, title=title, xlabel="columns D (the example, repeated)", ylabel="sd of p(z | x)")
above.plot(3 * repeats, tau, marker="o", ms=4, label="exact", **EXACT_LINE)
above.set(xscale="log", ylim=(0.0, 1.0))
above.set_xticks(3 * repeats, [str(columns) for columns in 3 * repeats])
above.minorticks_off()
style_axes(below, title="More training: q narrows with it", xlabel=xlabel, ylabel="mean sd, digits seen")
below.plot(EPOCHS, sd_posterior, label="p(z | x), by quadrature", **EXACT_LINE)
below.plot(EPOCHS, sd_q, "-o", color=BLUE, ms=4, lw=STYLE["line_width"], label="q of the encoder")
below.set_xscale("log", base=2)
below.set_xticks(EPOCHS, [str(epochs) for epochs in EPOCHS])
below.set_ylim(0.0, 1.05)
below.legend(frameon=False, fontsize=STYLE["label_size"], loc="upper right")
caption = (
    "The standard deviation of the posterior falls with the number of columns; during the training of a VAE "
    "that of q falls together with that of the posterior."
)
print("figure:", save_figure(figure, OUT, "q-narrows", caption)[0])

# %% The claim
assert (np.diff(platform) > 0).all(), "the platform rises in every step"
assert ceiling[lowest] < ceiling[0] - 0.01 and 0 < lowest < STEPS, "the ceiling falls first"
assert (ceiling >= platform).all(), "a bound it is all the while"
assert (np.diff(tau) < 0).all() and (np.diff(needed) > 0).all(), "narrower, and more draws of the prior"
if not QUICK:
    assert ceiling[-1] > ceiling[0] - 0.001, "and comes back when the gap has closed"
    assert (np.diff(elbo_seen) > 0).all(), "the ELBO of the rows seen rises throughout"
    peak = log_p_unseen.argmax()
    assert 0 < peak < len(EPOCHS) - 1, "log p of unseen rows turns"
    assert log_p_unseen[peak + 1 :].max() < log_p_unseen[peak] - 0.1, "and falls"
    assert elbo_unseen.argmax() == peak, "the ELBO that early stopping watches turns with it"
    assert elbo_unseen[-1] < elbo_unseen[-2] - 0.1, "and falls on at the end"
    assert log_p_unseen[-1] > log_p_unseen[-2] + 0.1, "where log p of the same rows rises again"
    assert sd_q[-1] < 0.6 * sd_q[0], "q narrows"
    assert np.abs(sd_q[2:] - sd_posterior[2:]).max() < 0.1, "as the posterior does"
