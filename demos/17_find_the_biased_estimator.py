# %% [markdown]
# # Find the biased estimator
# %%
"""Three gradients of the ELBO, written by hand. One of them is biased: which? Set GUESS, then run.

Claim. The lab tells bias twice: exactly, by Gauss-Hermite nodes, where log-weights are polynomials of the
noise, and by many repeats on real data. Of these three, both name the same culprit. Before a right guess
figure and text do not say which.

Formula, with f = log p(x, z) - log q(z), score = d log q(z; eta)/d eta, z = m + s eps:
    candidate-a    d/dz f(z) dz/d eta                     the pathwise gradient; is the term of q missing?
    candidate-b    (f_n - mean of f over the batch) score_n            a baseline for nothing
    candidate-c    (f_n - f at the mean of q) score_n                  a baseline that the draw never saw

Source: Roeder et al. (2017); Kool et al. (2019). How a candidate is written: docs/write_your_own.md.
Expected time: a few seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os
from hashlib import sha256

import numpy as np

from elbo_lab import Estimator, Exact, Problem, compare
from elbo_lab.bounds import log_weight
from elbo_lab.estimators import NO_STATE
from elbo_lab.models import PPCA
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, legend_inside, panels, save_figure, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.report import verdict

# %% Constants, and your guess
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
GUESS = None  # "candidate-a", "candidate-b" or "candidate-c"
ANSWER = False  # True shows the answer
BUDGET = {"rows": 4, "draws": 2, "seed": 0}
REPEATS = (40, 160, 640) if QUICK else (40, 160, 640, 2560, 10240)
BATCHES = np.array([1, 2, 3, 4])  # rows
NODES = 5  # a polynomial of degree 9 in each noise is integrated exactly
SEALED = "95408549bee1"  # of the answer, so that reading the code does not tell
LOOKS = (("o", "#0072B2"), ("s", "#D55E00"), ("^", "#117733"), ("D", "#882255"), ("v", "#AA7A00"))


# %% The candidates. To try one of your own, write a class like these, last in CANDIDATES
class CandidateA(Estimator):
    name = "candidate-a"
    target = "grad-phi-elbo"
    unbiased = True  # what each of them claims
    needs_pathwise = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta = posterior.eta(phi, x)
        z = family.sample(eta, noise)  # (..., S, N, K)
        _, slope_of_log_p = model.log_joint_vjp(theta, x, z, np.ones(z.shape[:-1]))
        slope = slope_of_log_p - family.log_prob_grad_z(eta, z)
        grad_eta = family.sample_vjp(eta, noise, slope) / z.shape[-3]
        return posterior.eta_vjp(phi, x, grad_eta / len(x)), state


class ScoreCandidate(Estimator):
    """A score function whose log-weights are centred by `baseline`."""

    target = "grad-phi-elbo"
    unbiased = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta = posterior.eta(phi, x)
        z = family.sample(eta, noise)
        f = log_weight(model, theta, x, family, eta, z)  # (..., S, N)
        mean = family.sample(eta, 0.0 * noise)
        f_at_mean = log_weight(model, theta, x, family, eta, mean)
        signal = f - self.baseline(f, f_at_mean)
        grad_eta = (signal[..., None] * family.score(eta, z)).mean(axis=-3)
        return posterior.eta_vjp(phi, x, grad_eta / len(x)), state


class CandidateB(ScoreCandidate):
    name = "candidate-b"

    def baseline(self, f, f_at_mean):  # noqa: ARG002
        return f.mean(axis=-1, keepdims=True)


class CandidateC(ScoreCandidate):
    name = "candidate-c"

    def baseline(self, f, f_at_mean):  # noqa: ARG002
        return f_at_mean


CANDIDATES = [CandidateA(), CandidateB(), CandidateC()]
NAMES = [candidate.name for candidate in CANDIDATES]
if GUESS is not None and GUESS not in NAMES:
    raise SystemExit(f"GUESS: expected one of {', '.join(NAMES)}, got {GUESS!r}")

# %% Exactly: the mean of each candidate, summed over nodes of all noise of a batch
rng = np.random.default_rng(0)
model = PPCA(3, 1)
theta = model.layout.pack({"W": [[1.0], [0.5], [-0.8]], "log_sigma": -0.3})
node, weight = np.polynomial.hermite_e.hermegauss(NODES)


def every_combination(values, n_rows):
    """Return all combinations (R, N) of one value for each row."""
    return np.stack(np.meshgrid(*[values] * n_rows), axis=-1).reshape(-1, n_rows)


shares = {name: [] for name in NAMES}  # |bias| / |gradient|
for n_rows in BATCHES:
    x = model.sample(theta, n_rows, rng)[0]
    posterior = FreePosterior(model.family, n_rows)
    phi = posterior.phi_from_eta(model.family.near(model.posterior_eta(theta, x)))
    problem = Problem(model, posterior, theta, phi, x)
    exact = Exact("grad-phi-elbo").answer(problem).value
    noise = every_combination(node, n_rows)[:, None, :, None]  # (R, S, N, K)
    mass = every_combination(weight, n_rows).prod(axis=1)
    for candidate in CANDIDATES:
        estimates, _ = candidate.estimate(problem, noise)
        bias = np.average(estimates, axis=0, weights=mass) - exact
        shares[candidate.name].append(np.linalg.norm(bias) / np.linalg.norm(exact))

# %% And on real data: the distance of a mean of R estimates from the exact gradient, in standard errors
deviations = {name: [] for name in NAMES}
limits = []
for repeats in REPEATS:
    result = compare("gaussian-mle", estimators=CANDIDATES, repeats=repeats, **BUDGET)
    for row in result.rows:
        deviations[row["estimator"]].append(row["bias_max_z"])
    limits.append(max(row["bias_z_limit"] for row in result.rows))

# %% The figure: without names until the guess is right
culprits = [name for name in NAMES if max(shares[name]) > 1e-9]
told = ANSWER or GUESS in culprits
figure, axes = panels(1, 2 if told else 1, height=3.4, width=STYLE["page_width"])
title = "Measured, over R repeats" if told else "One of these lines leaves the others: whose is it?"
style_axes(axes[-1], title=title, xlabel="repeats R", ylabel="largest deviation, standard errors")
for place, name in enumerate(NAMES):
    marker, color = LOOKS[place % len(LOOKS)] if told else ("o", "gray")
    axes[-1].loglog(REPEATS, deviations[name], marker + "-", color=color)
    if told:
        axes[0].plot(BATCHES + 0.06 * (place - 1), shares[name], marker, color=color, label=name)
axes[-1].loglog(REPEATS, limits, ":", color="black", label="limit of the verdict")
axes[-1].set_xticks(REPEATS, REPEATS)
axes[-1].set_yticks([1, 2, 5, 10, 20, 50, 100], [1, 2, 5, 10, 20, 50, 100])
axes[-1].minorticks_off()
legend_inside(axes[-1], "upper left")
if told:
    style_axes(axes[0], title="Exact bias, over all noise", xlabel="rows N", ylabel="|bias| / |gradient|")
    axes[0].plot(BATCHES, 1.0 / BATCHES, ":", color="gray", label="1 / N")
    axes[0].axhline(0.0, label="exact", **EXACT_LINE)
    axes[0].set_xticks(BATCHES)
    legend_inside(axes[0], "upper right")
caption = (
    "The deviation of three estimators from the exact gradient, in standard errors, against the number of "
    "repeats: only a bias keeps growing with them."
)
print("figure:", save_figure(figure, OUT, "find-the-biased-estimator", caption)[0])

# %% The grade
named = [row["estimator"] for row in result.rows if verdict(row) == "FAIL"]
if told:
    for name in NAMES:
        print(f"{name}: |bias| / |gradient| {np.round(shares[name], 9)}")
    print(result.table(width=100))
    print(f"biased, exactly: {culprits}; by {REPEATS[-1]} repeats: {named}")
if GUESS is None:
    print("no guess, no grade: set GUESS to a name and run again; ANSWER = True tells")
elif GUESS in culprits:
    print(f"right: {GUESS} is biased")
else:
    print(f"wrong: {GUESS} is unbiased; guess again")

# %% The claim, which leaves a candidate of your own alone
for biased in (culprits, named):
    (culprit,) = [name for name in biased if name in NAMES[:3]]
    assert sha256(culprit.encode()).hexdigest().startswith(SEALED), "both ways should find the same one"
assert np.allclose(shares[culprit], 1.0 / BATCHES, rtol=1e-9), "a batch of one shows all of its bias"
