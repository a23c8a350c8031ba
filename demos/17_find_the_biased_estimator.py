# %% [markdown]
# # Find the biased estimator
# %%
"""Three gradients of the ELBO, written by hand. One of them is wrong in mean: which? Set GUESS, then run.

Claim. The lab tells bias twice: by Gauss-Hermite nodes, without luck, where log-weights are polynomials of
the noise, and by many repeats on real data. Of these three, both name the same culprit.

Formula, with f = log p(x, z) - log q(z), score = d log q(z; eta)/d eta, z = m + s eps:
    candidate-a    d/dz f(z) dz/d eta                     the pathwise gradient; is the term of q missing?
    candidate-b    (f_n - mean of f over the batch) score_n            a baseline for nothing
    candidate-c    (f_n - f at the mean of q) score_n                  a baseline that the draw never saw

Source: Roeder et al. (2017); Kool et al. (2019). How a candidate is written: docs/write_your_own.md.
Expected time: a few seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import Estimator, Exact, Problem, compare
from elbo_lab.bounds import log_weight
from elbo_lab.estimators import NO_STATE
from elbo_lab.models import PPCA
from elbo_lab.plots import STYLE, figure_folder, new_figure, save_figure
from elbo_lab.plots.style import EXACT_LINE, style_axes
from elbo_lab.posteriors import FreePosterior
from elbo_lab.report import verdict

# %% Constants, and your guess
QUICK, OUT = os.environ.get("ELBO_LAB_QUICK") == "1", figure_folder()
GUESS, ANSWER = None, False  # "candidate-a", -b or -c; True shows the answer
BUDGET, REPEATS = {"rows": 4, "draws": 2, "seed": 0}, (40, 160, 640) if QUICK else (40, 160, 640, 2560, 10240)
BATCHES, NODES = (1, 2, 3, 4), 5  # rows; a polynomial of degree 9 in each noise is integrated exactly
LOOKS = (("o", "#0072B2"), ("s", "#D55E00"), ("^", "#117733"), ("D", "#882255"), ("v", "#AA7A00"))


# %% The candidates. To try one of your own, write a class like these, last in CANDIDATES
class Candidate(Estimator):
    target = "grad-phi-elbo"
    unbiased = True  # what each of them claims

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family, eta = posterior.family, posterior.eta(phi, x)
        z, mean = family.sample(eta, noise), family.sample(eta, 0.0 * noise)
        f, f_at_mean = (log_weight(model, theta, x, family, eta, at) for at in (z, mean))  # (..., S, N)
        grad_eta = (self.centred(f, f_at_mean)[..., None] * family.score(eta, z)).mean(axis=-3)
        return posterior.eta_vjp(phi, x, grad_eta / len(x)), state


class CandidateA(Candidate):
    name, needs_pathwise = "candidate-a", True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family, eta = posterior.family, posterior.eta(phi, x)
        z = family.sample(eta, noise)
        slope = model.log_joint_vjp(theta, x, z, np.ones(z.shape[:-1]))[1] - family.log_prob_grad_z(eta, z)
        return posterior.eta_vjp(phi, x, family.sample_vjp(eta, noise, slope) / (z.shape[-3] * len(x))), state


class CandidateB(Candidate):
    name, centred = "candidate-b", lambda _, f, __: f - f.mean(axis=-1, keepdims=True)


class CandidateC(Candidate):
    name, centred = "candidate-c", lambda _, f, f_at_mean: f - f_at_mean


CANDIDATES = [CandidateA(), CandidateB(), CandidateC()]
if GUESS not in (None, *(names := [candidate.name for candidate in CANDIDATES])):
    raise SystemExit(f"GUESS: expected one of {', '.join(names)}, got {GUESS!r}")

# %% Without luck: the mean of each candidate, summed over nodes of all noise of a batch
rng, model = np.random.default_rng(0), PPCA(3, 1)
theta = model.layout.pack({"W": [[1.0], [0.5], [-0.8]], "log_sigma": -0.3})
node, weight = np.polynomial.hermite_e.hermegauss(NODES)
wrong, deviations = ({candidate.name: [] for candidate in CANDIDATES} for _ in range(2))
for n_rows in BATCHES:
    x, q = model.sample(theta, n_rows, rng)[0], FreePosterior(model.family, n_rows)
    phi = q.phi_from_eta(model.family.near(model.posterior_eta(theta, x)))
    problem = Problem(model, q, theta, phi, x)
    exact = Exact("grad-phi-elbo").answer(problem).value
    noise, mass = (np.stack(np.meshgrid(*[part] * n_rows), -1).reshape(-1, n_rows) for part in (node, weight))
    for candidate in CANDIDATES:
        g = candidate.estimate(problem, noise[:, None, :, None])[0]  # noise (R, S, N, K)
        bias = np.average(g, axis=0, weights=mass.prod(axis=1)) - exact
        wrong[candidate.name].append(np.linalg.norm(bias) / np.linalg.norm(exact))

# %% And on real data: the distance of a mean of R estimates from the exact gradient, in standard errors
for repeats in REPEATS:
    result = compare("gaussian-mle", estimators=CANDIDATES, repeats=repeats, **BUDGET)
    _ = [deviations[row["estimator"]].append(row["bias_max_z"]) for row in result.rows]

# %% The figure
left, right = (figure := new_figure(3.6)).subplots(1, 2)
style_axes(left, title="Without luck", xlabel="rows N", ylabel="|bias| / |gradient|").set_xticks(BATCHES)
style_axes(right, title="By repeats", xlabel="repeats R", ylabel="largest deviation, standard errors")
right.set_xscale("log"), right.set_yscale("log"), right.set_xticks(REPEATS, REPEATS), right.minorticks_off()
right.set_yticks(ticks := (1, 2, 5, 10, 20, 50), ticks)
for place, (name, shares) in enumerate(wrong.items()):
    marker, color = LOOKS[place % len(LOOKS)]
    left.plot(np.array(BATCHES) + 0.06 * (place - 1), shares, marker, color=color, label=name)
    right.plot(REPEATS, deviations[name], marker + "-", color=color)
left.plot(BATCHES, 1.0 / np.array(BATCHES), ":", color="gray", label="1 / N")
left.axhline(0.0, label="exact", **EXACT_LINE)
right.axhline(result.rows[0]["bias_z_limit"], color="gray", ls=":", label="limit of the verdict")
_ = [ax.legend(frameon=False, fontsize=STYLE["note_size"]) for ax in (left, right)]
print("figure:", save_figure(figure, OUT, "find-the-biased-estimator")[0])

# %% The grade, and the claim
culprits = [name for name, shares in wrong.items() if max(shares) > 1e-9]
named = [row["estimator"] for row in result.rows if verdict(row) == "FAIL"]
if ANSWER or GUESS in culprits:
    print(*(f"{name}: |bias| / |gradient| {np.round(shares, 9)}" for name, shares in wrong.items()), sep="\n")
    print(result.table(width=100), f"\nbiased by the nodes: {culprits}; by {REPEATS[-1]} repeats: {named}")
grade = f"right: {GUESS} is biased" if GUESS in culprits else f"wrong: {GUESS} is unbiased; guess again"
print(grade if GUESS else "no guess, no grade: set GUESS to a name and run again; ANSWER = True tells")
for found in (culprits, named):  # a candidate of your own may be anything
    assert [name for name in found if name in names[:3]] == ["candidate-b"], "f_n is in its own baseline"
assert np.allclose(wrong["candidate-b"], 1.0 / np.array(BATCHES), rtol=1e-9), "by one part in N"
