# %% [markdown]
# # A classifier: nothing hidden, nothing to integrate
# %%
"""Maximum likelihood of p(y | x) = Categorical(softmax(MLP(x))), where everything is observed.

Claim. Where nothing is hidden, log p(y | x) is itself the evidence: there is no bound and no gap, and maximum
likelihood is gradient ascent. The likelihood of separable training data has no maximum, so it rises for ever,
while that of held-out rows has a best epoch and then falls. A hidden layer gives them more probability.

Formula, with logits a = MLP(x) and one-hot y (minus the cross-entropy, and its slope):

    log p(y | x) = a_y - log sum_c exp(a_c)
    d log p(y | x) / d a_c = [c = y] - p(c | x)       what was seen minus what was expected

The rest is the backward pass of the network. Hide y, and the same network is the encoder q(z | x) of a
mixture; turn the arrow round, and it is the decoder of a deep model. Without hidden layers this is
multinomial logistic regression, whose log-likelihood is concave.

Source: Bishop (2006), Pattern Recognition and Machine Learning, sections 4.3.4 (eq. 4.109) and 5.2.
Expected time: ten seconds; with ELBO_LAB_QUICK=1 two, with fewer hidden units.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.datasets import load
from elbo_lab.networks import MLP
from elbo_lab.plots import STYLE, figure_folder, panels, save_figure, style_axes
from elbo_lab.special import log_softmax

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
CLASSES = 10
HIDDEN = 50 if QUICK else 200
EPOCHS = 60
BATCH = 100
RATE = 0.1
MOMENTUM = 0.9
TRAIN, HELD_OUT = load("digits").split(0.2)
# The network sees standardised columns; a constant column stays as it is.
SHIFT = TRAIN.x.mean(axis=0)
SCALE = np.where(np.ptp(TRAIN.x, axis=0) > 0, TRAIN.x.std(axis=0), 1.0)


# %% The likelihood and its derivative
def likelihood(network, theta, inputs, y):
    """Return log p(y | x) and the function that pulls a cotangent of it back.

    Parameters
    ----------
    network : MLP
        From the inputs (D,) to the logits (C,).
    theta : ndarray (P,)
    inputs : ndarray (N, D)
    y : ndarray of int (N,)

    Returns
    -------
    value : ndarray (N,)
        In nats.
    pullback : callable
        Cotangent (N,) -> gradient (P,).
    """
    logits, activations = network.forward(theta, inputs)
    log_p = log_softmax(logits, axis=-1)
    seen = np.arange(len(y)), y

    def pullback(cotangent):
        slopes = -np.exp(log_p)
        slopes[seen] += 1.0
        return network.backward_params(theta, activations, cotangent[:, None] * slopes)

    return log_p[seen], pullback


def log_probabilities(network, theta, inputs):
    """Return log p(c | x) of every class (N, C), in nats."""
    return log_softmax(network.forward(theta, inputs)[0], axis=-1)


# %% Stochastic gradient ascent with momentum
def judged(network, theta, part):
    """Return the mean log p(y | x) and the accuracy on a part of the data."""
    log_p = log_probabilities(network, theta, (part.x - SHIFT) / SCALE)
    rows = np.arange(len(log_p))
    return log_p[rows, part.labels].mean(), (log_p.argmax(axis=1) == part.labels).mean()


def trained(network):
    """Return theta after the last epoch, and (training, held-out) numbers after every epoch."""
    rng = np.random.default_rng(SEED)
    theta = network.initial(rng)
    velocity = np.zeros_like(theta)
    inputs = (TRAIN.x - SHIFT) / SCALE
    record = [(judged(network, theta, TRAIN), judged(network, theta, HELD_OUT))]
    for _ in range(EPOCHS):
        order = rng.permutation(len(inputs))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            _, pullback = likelihood(network, theta, inputs[rows], TRAIN.labels[rows])
            gradient = pullback(np.full(len(rows), 1.0 / len(rows)))
            velocity = MOMENTUM * velocity + gradient
            theta = theta + RATE * velocity
        record.append((judged(network, theta, TRAIN), judged(network, theta, HELD_OUT)))
    return theta, np.array(record)


# %% The exact value first: a network that knows nothing gives every class 1/10
columns = TRAIN.x.shape[1]
networks = {
    "no hidden layer": MLP((columns, CLASSES)),
    f"{HIDDEN} hidden units": MLP((columns, HIDDEN, CLASSES)),
}
print(f"guessing: log p(y | x) = -log 10 = {-np.log(CLASSES):.3f} nats")
found = {name: trained(network) for name, network in networks.items()}
for name, (_, record) in found.items():
    training, unseen = record[:, 0, 0], record[:, 1, 0]
    best = unseen.argmax()
    print(
        f"{name}: training {training[-1]:.4f}; held out at best {unseen[best]:.3f} (epoch {best}), "
        f"at the end {unseen[-1]:.3f} nats; accuracy {record[-1, 1, 1]:.3f}"
    )

# %% The figure
figure, axes = panels(1, 2, height=3.4, width=STYLE["page_width"])
for ax, part, title in zip(axes, (0, 1), ("Training rows", "Held-out rows"), strict=True):
    style_axes(ax, title=title, xlabel="epoch", ylabel="-log p(y | x), nats per datum")
    for (name, (_, record)), color in zip(found.items(), ("#004488", "#BB5566"), strict=True):
        ax.semilogy(-record[:, part, 0], color=color, linewidth=STYLE["line_width"], label=name)
for ax, ticks in zip(axes, ((0.01, 0.1, 1.0), (0.15, 0.2, 0.3, 0.5, 1.0, 2.0)), strict=True):
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.set_minor_formatter("")
axes[0].legend(frameon=False, fontsize=STYLE["tick_size"])
caption = (
    "-log p(y | x) of two classifiers over the epochs. On training rows it falls for ever. On held-out rows "
    "it is lower with a hidden layer, has its least value after a few epochs, and then rises again."
)
print("figure:", save_figure(figure, OUT, "classifier", caption)[0])

# %% The claim
for name, (theta, record) in found.items():
    network = networks[name]
    training, unseen = record[:, 0, 0], record[:, 1, 0]
    inputs = (HELD_OUT.x - SHIFT) / SCALE
    table = np.exp(log_probabilities(network, theta, inputs))
    score = sum(
        likelihood(network, theta, inputs, np.full(len(inputs), c))[1](table[:, c]) for c in range(CLASSES)
    )
    assert np.abs(score).max() < 1e-9, "the mean slope under the model's own p(y | x) is zero"
    assert training[-1] > training[len(training) // 2] > training[0], "training data have no maximum"
    assert unseen[-1] < unseen.max() - 1e-3, "held-out rows say when to stop"
records = [record for _, record in found.values()]
best_without, best_with = (record[:, 1, 0].max() for record in records)
assert best_with > best_without + 0.05, "a hidden layer should give unseen rows more probability"
assert all(record[-1, 1, 1] > 0.94 for record in records), "and both should find most classes"
