# %% [markdown]
# # Sticking the landing: a gradient whose noise dies out at the optimum
# %%
"""A Gaussian fitted to a Gaussian in a hundred dimensions: with the score term left out, ascent arrives.

Claim. The path derivative ("sticking the landing") has no variance at q = p, so that ascent at a constant
rate with one draw comes as near as rounding allows; the standard gradient keeps the variance of the score and
stops at a floor. Far from p the order may be reversed: where q is too narrow the path derivative is noisier.

Formula: maximise -KL(q || p) = E_q[log p(z) - log q(z)], q and p Gaussians with independent coordinates:

    standard         d/dz [log p - log q](z) dz/deta - d log q(z; eta)/deta      at q = p: the score alone
    path derivative  d/dz [log p - log q](z) dz/deta                             at q = p: zero for every draw

Source: Roeder, Wu and Duvenaud (2017), Sticking the Landing, NeurIPS 30, section 3, and figure 1 (a Gaussian
q of 100 dimensions fitted to another Gaussian). Set-up as there; target, start and rate are not printed: here
p has means N(0, 1) and sds from e^-1 to e, q begins at N(0, I), one draw, stochastic gradient ascent. What it
must show: the standard gradient stops at a floor, the path derivative does not. The KL is exact on the way.
Expected time: five seconds; with ELBO_LAB_QUICK=1 two. The figure goes to the folder ELBO_LAB_OUT.
"""

import os

import numpy as np
from _paper import COLUMNS, paper_parser, publish, read_options

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.plots import (
    STYLE,
    figure_folder,
    legend_below,
    marker_keywords,
    panels,
    plot_exact_variance,
    save_figure,
    style_axes,
)
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import display_name
from elbo_lab.theory import Cost, gradient_variances
from elbo_lab.theory.cost_model import NO_DATA, CostModel

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
D = 100
STEPS = 1000 if QUICK else 3000
SHOWN = 50  # every so many steps
RATE = 0.02
ESTIMATORS = (lab.Reparameterization(), lab.StickingTheLanding())

# %% The target as the prior of a model without a cost: its ELBO is -KL(q || p)
family = DiagonalGaussian(D)
model = CostModel(family, Cost("none", lambda z: 0.0 * z, lambda z: 0.0 * z))
posterior = FreePosterior(family, 1)
rng = np.random.default_rng(0)
target = family.join(rng.standard_normal((1, D)), np.linspace(-1.0, 1.0, D)[None])[0]


def variances(eta):
    """Return {estimator: exact variance of one draw, summed over coordinates}."""
    by_coordinate = gradient_variances(model, target, NO_DATA, family, eta[None], 1)
    return {estimator.name: by_coordinate[estimator.name].sum() for estimator in ESTIMATORS}


at_target = variances(target)
score = np.sum(np.exp(-2.0 * target[D:])) + 2.0 * D  # the Fisher information of q
print(f"at q = p: {at_target}, the score alone {score:.6f}")


# %% Descent, one draw at a time, on the same noise
def descend(estimator):
    """Return the KL (nats) every so many steps."""
    rng = np.random.default_rng(1)
    rates = RATE * np.concatenate([np.exp(2.0 * target[D:]), np.ones(D)])  # suit sds of e^-1 to e
    eta = np.zeros(2 * D)
    curve = []
    for step in range(STEPS + 1):
        if step % SHOWN == 0:
            curve.append(family.kl(eta[None], target[None])[0])
        problem = Problem(model, posterior, target, eta, NO_DATA)
        gradient, _ = estimator.estimate(problem, rng.standard_normal((1, 1, D)))
        eta = eta + rates * gradient
    return np.array(curve)


curves = {estimator.name: descend(estimator) for estimator in ESTIMATORS}

# %% Outwards from p: q narrower by e^-t
narrow = np.linspace(0.02, 2.0, 25)
direction = np.repeat([0.0, 1.0], D)  # the log-sds
points = [variances(target - t * direction) for t in narrow]
outwards = {estimator.name: np.array([point[estimator.name] for point in points]) for estimator in ESTIMATORS}
turns = narrow[np.argmax(outwards["sticking-the-landing"] > outwards["reparameterization"])]

# %% The figure
figure, (left, right) = panels(1, 2, height=4.0, width=STYLE["page_width"])
style_axes(left, title="One draw, constant rate; the KL is exact", xlabel="step", ylabel="KL(q || p), nats")
for name, curve in curves.items():
    look = {**marker_keywords(name), "markevery": 8, "label": display_name(name)}
    left.semilogy(SHOWN * np.arange(len(curve)), curve, **look)
legend_below(left, columns=1)
words = "t: sd of q is that of p divided by $e^t$"
plot_exact_variance(narrow, outwards, right, words, "Variance, exact", columns=1)
caption = (
    "With sticking the landing the noise dies out at the optimum, and ascent at a constant rate ends at "
    "rounding; the standard gradient stops at a floor. Where q is too narrow the order may be reversed."
)
print("figure:", save_figure(figure, OUT, "roeder-2017-sticking-the-landing", caption)[0])

# %% The claim
plain = curves["reparameterization"]
landing = curves["sticking-the-landing"]
floor = np.median(plain[len(plain) // 2 :])
of_score = at_target["reparameterization"] / score
rows = (
    ("variance at q = p: path derivative", 0, at_target["sticking-the-landing"], "section 3"),
    ("variance at q = p: standard / that of the score", 1, of_score, "section 3"),
    ("KL at the end: standard, nats", "a floor", plain[-1], "figure 1"),
    ("KL at the end: path derivative, nats", "no floor", landing[-1], "figure 1"),
    ("path derivative is noisier from t =", None, turns, "q narrower by e^-t"),
)
caption = "Roeder et al. (2017): a Gaussian fitted to a Gaussian, 100 dimensions"
publish([dict(zip(COLUMNS, line, strict=True)) for line in rows], caption, ASKED, QUICK)
assert at_target["sticking-the-landing"] < 1e-20, "no noise at q = p"
assert abs(of_score - 1.0) < 1e-12, "where the standard gradient has that of the score"
assert plain[-1] > 0.2 * floor, "the standard gradient stays at its floor"
assert landing[-1] < 1e-3 * floor, "the path derivative goes through it"
assert 0.1 < turns < 2.0, "and is no law far away"
