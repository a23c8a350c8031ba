# %% [markdown]
# # Monte Carlo EM: how long is long enough?
# %%
"""The M-step of short chains beside the exact gradient of log p(x): cold, persistent, and exact draws.

Claim. With exact draws of the posterior the M-step is the gradient of log p(x), but for noise. Cold chains,
which begin at the prior at every visit, are biased, however many there are, and the model that they learn is
worse. Persistent chains of the same length follow the posterior while theta moves slowly, and lose the bias.

Formula:
    d log p(x)/d theta = E_{p(z | x)}[d log p(x, z)/d theta]                          (Fisher's identity)

Source: Wei and Tanner (1990), JASA 85; Kingma and Welling (2014), appendix E. Derivation:
docs/monte_carlo_em.md.
Expected time: about ten seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.chains import HamiltonianMonteCarlo
from elbo_lab.datasets import load
from elbo_lab.distributions import draw_noise
from elbo_lab.exact import evidence
from elbo_lab.models import PPCA, DeepBernoulli
from elbo_lab.plots import STYLE, figure_folder, panels, save_figure, style_axes
from elbo_lab.plots.style import legend_outside
from elbo_lab.training import ColdMonteCarloEMObjective, MonteCarloEMObjective

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
CHAINS = 100  # per row: the noise of a step is far below its bias
MOVE = HamiltonianMonteCarlo(step=0.1, n_leapfrog=3)
STEPS = 120 if QUICK else 250
COLORS = {"cold": "#BB5566", "persistent": "#004488"}

# %% Two models whose gradient of log p(x) is exact: a formula, and a quadrature over one latent
rng = np.random.default_rng(SEED)
linear = PPCA(6, 2)
truth = linear.canonical(linear.layout.pack({"W": 1.5 * rng.standard_normal((6, 2)), "log_sigma": -0.7}))
x_linear, _ = linear.sample(truth, 60, rng)
deep = DeepBernoulli(12, 1, (6,))
x_deep = load("digits:binary").rows(60, SEED).x[:, 18:30]
# Each with its step size.
problems = {"PPCA, two latents": (linear, x_linear, 0.03), "deep model, one latent": (deep, x_deep, 0.3)}


# %% Climb along the M-steps of chains, and hold every step against the exact gradient
def climb(kind, model, x, rate):
    """Return log p(x) and the relative error of the M-step, along the way."""
    objective = kind(model, x, draws=CHAINS, transition=MOVE)
    rng = np.random.default_rng(SEED)
    params = objective.initial(rng)
    memory, rows = objective.initial_memory(params, rng), np.arange(len(x))
    values, errors = [], []
    for _ in range(STEPS):
        exact = evidence(model, params["theta"], x)
        block = objective.draw(rows, rng)
        _, gradients, part = objective.gradients(params, block, ("theta",), memory)
        memory = objective.joined(memory, [rows], [part])
        values.append(exact.value.mean())
        errors.append(np.linalg.norm(gradients["theta"] - exact.grad_theta))
        params = {"theta": params["theta"] + rate * gradients["theta"]}
    return np.array(values), np.array(errors)


found = {}
for name, (model, x, rate) in problems.items():
    for kind in (ColdMonteCarloEMObjective, MonteCarloEMObjective):
        found[name, kind.name] = climb(kind, model, x, rate)
        values, errors = found[name, kind.name]
        print(f"{name:<28} {kind.name:<12} log p {values[-1]:8.4f}   error of the last step {errors[-1]:.4f}")

# %% Exact draws of the posterior, where there is a formula: nothing but noise is left
theta = linear.canonical(linear.initial_theta(x_linear) + 0.2)
eta = linear.posterior_eta(theta, x_linear)
noise = draw_noise(linear.family.noise_spec(4 * CHAINS, len(x_linear)), np.random.default_rng(SEED))
exact = evidence(linear, theta, x_linear).grad_theta
objective = MonteCarloEMObjective(linear, x_linear)
z = linear.family.sample(eta, noise)
parts = np.array([objective.m_gradient(theta, x_linear, z[s : s + 1]) for s in range(len(z))])
error_of_mean = parts.std(axis=0, ddof=1) / np.sqrt(len(parts))
offset = (parts.mean(axis=0) - exact) / error_of_mean
print(f"exact draws: the mean M-step is within {np.abs(offset).max():.1f} of its standard errors")

# %% The figure
figure, axes = panels(2, 2, height=6.2, width=STYLE["page_width"])
for (name, _), (left, right) in zip(problems.items(), (axes[:2], axes[2:]), strict=True):
    style_axes(left, title=name[0].upper() + name[1:], xlabel="step", ylabel="exact log p, nats a row")
    style_axes(right, title="Error of the step", xlabel="step", ylabel="|M-step − exact gradient|")
    for kind, color in COLORS.items():
        values, errors = found[name, kind]
        left.plot(values, color=color, linewidth=1.4, label=f"{kind} chains, one move a visit")
        right.semilogy(errors, color=color, linewidth=1.4)
    left.set_ylim(values[STEPS // 10], None)
best = evidence(linear, linear.maximum_likelihood(x_linear), x_linear).value.mean()
axes[0].axhline(best, color="black", linestyle="--", linewidth=1.2, label="greatest log p, by its formula")
legend_outside(figure, axes[0].get_legend_handles_labels()[0], columns=2)
caption = (
    "Monte Carlo EM with cold and with persistent chains: cold chains are biased, and the model that they "
    "learn is worse; persistent ones follow the posterior."
)
print("figure:", save_figure(figure, OUT, "monte-carlo-em", caption)[0])

# %% The claim
assert np.abs(offset).max() < 5.0, "with exact draws only noise is left (false alarm 1e-5)"
for name in problems:
    (cold, cold_errors), (persistent, errors) = found[name, "cold"], found[name, "persistent"]
    late = slice(STEPS // 2, None)
    assert np.median(errors[late]) < 0.5 * np.median(cold_errors[late]), "persistent chains lose the bias"
    assert persistent[-1] > cold[-1], "and learn the better model"
assert found["PPCA, two latents", "persistent"][0][-1] < best + 1e-9, "none climbs beyond the maximum"
