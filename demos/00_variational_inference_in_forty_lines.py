# %% [markdown]
# # Variational inference in forty lines
# %%
"""A length measured ten times, and two ways up the same bound, in plain NumPy.

Claim. Gradient ascent on the ELBO finds the posterior, and the bound then equals log p(x). Two estimators of
the gradient lead there: REINFORCE needs the value of f = log p(x, z) - log q(z) at each draw,
reparameterization the slope of log p(x, z). Both are right on average, and REINFORCE is several times as
noisy, so that its path shakes.

Formula, for q(z) = N(m, s^2) and draws z = m + s eps, eps ~ N(0, 1):

    ELBO(m, s)          = E_q[log p(x, z) - log q(z)]  <=  log p(x)
    REINFORCE           d/dm = E[f eps / s]                    d/dlog s = E[f (eps^2 - 1)]
    reparameterization  d/dm = E[d/dz log p(x, z)]             d/dlog s = E[d/dz log p(x, z) s eps] + 1

Source: Williams (1992), Machine Learning 8, 229-256; Kingma and Welling (2014), arXiv:1312.6114.
Expected time: two seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import numpy as np

# %% Constants
X = np.array([1.42, 0.55, 1.63, 1.31, 0.36, 1.77, 0.93, 1.05, 1.96, 0.72])  # ten measurements of z
NOISE = 0.5  # sd of a measurement
START = (-0.5, 0.0)  # m and log s
DRAWS = 10
STEPS = 2000
RATE = 0.005


# %% The model p(x, z), the slope of its logarithm, and q
def log_normal(value, mean, sd):
    return -0.5 * ((value - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2.0 * np.pi)


def log_joint(z):
    return log_normal(z, 0.0, 1.0) + log_normal(X[:, None], z, NOISE).sum(axis=0)


def slope_of_log_joint(z):
    return -z + (X[:, None] - z).sum(axis=0) / NOISE**2


# %% Two estimators of one gradient, each from the noise of its draws
def reinforce(mean, log_sd, eps):
    sd = np.exp(log_sd)
    z = mean + sd * eps
    f = log_joint(z) - log_normal(z, mean, sd)
    return np.array([np.mean(f * eps / sd), np.mean(f * (eps**2 - 1.0))])


def reparameterization(mean, log_sd, eps):
    sd = np.exp(log_sd)
    slope = slope_of_log_joint(mean + sd * eps)
    return np.array([np.mean(slope), np.mean(slope * sd * eps) + 1.0])


# %% Stochastic gradient ascent with a falling rate
def ascend(gradient):
    rng = np.random.default_rng(0)
    position = np.array(START)
    path = [position]
    for step in range(STEPS):
        rate = RATE / (1.0 + 0.01 * step)
        position = position + rate * gradient(*position, rng.standard_normal(DRAWS))
        path.append(position)
    return np.array(path)


ESTIMATORS = {"REINFORCE": reinforce, "reparameterization": reparameterization}
COLORS = {"REINFORCE": "#D55E00", "reparameterization": "#0072B2"}
paths = {name: ascend(gradient) for name, gradient in ESTIMATORS.items()}
for name, path in paths.items():
    print(f"{name:<20} q ends with mean {path[-1, 0]:+.4f} and sd {np.exp(path[-1, 1]):.4f}")

# %% The gradient at the start: the same mean, another noise
rng = np.random.default_rng(1)
first = {name: [] for name in ESTIMATORS}
for _ in range(2000):
    eps = rng.standard_normal(DRAWS)
    for name, gradient in ESTIMATORS.items():
        first[name].append(gradient(*START, eps))
for name, gradients in first.items():
    mean, sd = np.mean(gradients, axis=0), np.std(gradients, axis=0)
    print(f"{name:<20} gradient at the start {mean.round(2)}, sd of one estimate {sd.round(2)}")

# %% The exact answer of the package: log p(x), the posterior, and the ELBO of every q on the paths
from elbo_lab import exact
from elbo_lab.models import PPCA

model = PPCA(len(X), 1)
theta = model.layout.pack({"W": np.ones((len(X), 1)), "log_sigma": np.log(NOISE)})
x = X[None]  # one datum of ten columns
log_p = model.log_evidence(theta, x)[0]
posterior = model.posterior_eta(theta, x)[0]  # mean and log s
print(f"exact: log p(x) = {log_p:.5f} nats, mean {posterior[0]:+.4f}, sd {np.exp(posterior[1]):.4f}")


def elbo(etas):
    """Return the ELBO (N,) of every q, given as rows (mean, log s) (N, 2)."""
    energy = exact.expected_log_joint(model, theta, np.repeat(x, len(etas), axis=0), etas)[0]
    return energy + model.family.entropy(etas)


bounds = {name: elbo(path) for name, path in paths.items()}

# %% The figure
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    figure_folder,
    legend_inside,
    panels,
    save_figure,
    style_axes,
)

figure, (left, right) = panels(1, 2, height=3.4, width=STYLE["page_width"])
style_axes(left, title="The bound", xlabel="1 + steps", ylabel="ELBO, nats")
style_axes(right, title="The paths of q", xlabel="mean of q", ylabel="sd of q")
for name, path in paths.items():
    color = COLORS[name]
    left.semilogx(np.arange(1, STEPS + 2), bounds[name], color=color, linewidth=1.0, label=name)
    right.plot(path[:, 0], np.exp(path[:, 1]), color=color, linewidth=1.0)
left.axhline(log_p, label="log p(x), exact", **EXACT_LINE)
left.set_ylim(log_p - 5.0, log_p + 0.5)
right.plot(posterior[0], np.exp(posterior[1]), "k*", markersize=11, label="exact posterior")
right.set_yscale("log")
right.set_yticks([0.2, 0.5, 1.0], ["0.2", "0.5", "1"])
right.minorticks_off()
legend_inside(left, "lower right")
legend_inside(right, "lower left")
caption = (
    "Two estimators climb the same ELBO to log p(x). Reparameterization goes straight to the posterior "
    "(star); the path of the score function (REINFORCE) shakes."
)
print("figure:", save_figure(figure, figure_folder(), "variational-inference", caption)[0])

# %% The claim
last = slice(-STEPS // 10, None)
for bound in bounds.values():
    assert bound.max() <= log_p + 1e-9, "the ELBO is a lower bound"
    assert log_p - bound[last].mean() < 0.3, "ascent should end near log p(x)"
assert log_p - bounds["reparameterization"][last].mean() < 0.01, "with the quiet gradient very near"
assert np.abs(paths["reparameterization"][last].mean(axis=0) - posterior).max() < 0.05, "at the posterior"
noise = {name: np.std(gradients, axis=0) for name, gradients in first.items()}
assert (noise["REINFORCE"] > 3.0 * noise["reparameterization"]).all(), "REINFORCE should be noisier"
difference = np.array(first["REINFORCE"]) - np.array(first["reparameterization"])
error = difference.std(axis=0) / np.sqrt(len(difference))
assert (np.abs(difference.mean(axis=0)) < 5.0 * error).all(), "and both right on average"
