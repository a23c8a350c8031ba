# %% [markdown]
# # Do not blame the ELBO: posterior collapse is a count of eigenvalues
# %%
"""A linear VAE loses exactly the latents whose eigenvalue lies below the noise, as log p(x) wants it.

Claim. Climbing the exact ELBO of a linear VAE at a fixed noise sigma^2 ends at PPCA's maximum of log p(x),
from every start; as many latents are in use as there are eigenvalues of the covariance above sigma^2. Other
principal directions are stationary points but no maxima. A learned sigma^2 becomes PPCA's; none collapses.

Formula:
    x | z ~ N(W z + mu, sigma^2 I),   q(z | x) = N(V (x - mu), diag s^2),   S = U diag(lambda) U^T
    maximum at fixed sigma^2:  W = U_K (Lambda_K - sigma^2)_+^(1/2),  s_k^2 = min(1, sigma^2 / lambda_k)
    active units: #{k <= K: lambda_k > sigma^2};  sigma^2 at the maximum: the mean of the eigenvalues left out

Source: Lucas, Tucker, Grosse and Norouzi (2019), Don't Blame the ELBO!, arXiv:1911.02469, on linear VAEs.
Exact set-up: 1797 digits of 8 x 8, K = 10, L-BFGS from pushes off total collapse (there: MNIST). Of the data
the mean ELBO of a linear encoder sees mean and covariance alone: 128 points with the same two stand in.
It must show: the ELBO's maximum equal to that of log p(x); the count; other stationary points no maxima.
Expected time: a minute; with ELBO_LAB_QUICK=1 two seconds. The figure goes to the folder ELBO_LAB_OUT.
"""

import os

import numpy as np
from _paper import paper_parser, publish, read_options

from elbo_lab.datasets import load
from elbo_lab.models import PPCA
from elbo_lab.optimise import ascend
from elbo_lab.plots import EXACT_LINE, figure_folder, panels, save_figure, style_axes
from elbo_lab.threads import single_threaded_blas

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
K = 4 if QUICK else 10
STARTS = 1 if QUICK else 3
STEPS = 600 if QUICK else 3000
COUNTS = (0, 4) if QUICK else (0, 1, 2, 3, 5, 7, 9, 12)
SHORT_OF = 0.03  # nats that may be missing to the top
LEAST = 0.01  # variance of an active unit's mean

# %% The data's covariance, and points that have the same
digits = load("digits:dequantised").x[:, 16:32] if QUICK else load("digits:dequantised").x
D = digits.shape[1]
mean = digits.mean(axis=0)
eigenvalues, directions = np.linalg.eigh(np.cov(digits.T, bias=True))
eigenvalues = eigenvalues[::-1]
directions = directions[:, ::-1]
arrows = np.sqrt(D * eigenvalues)[:, None] * directions.T
centred = np.concatenate([arrows, -arrows])
x = mean + centred
model = PPCA(D, K)
noises = {0: 2 * eigenvalues[0]}  # σ² with so many eigenvalues above it
for count in COUNTS[1:]:
    noises[count] = np.sqrt(eigenvalues[count - 1] * eigenvalues[count])


# %% The exact ELBO and its gradient in (theta, V, log s); the noise stands still unless it is learned
def split(vector):
    theta, V, log_s = np.split(vector, [model.layout.size, model.layout.size + K * D])
    return theta, model.family.join(centred @ V.reshape(K, D).T, np.broadcast_to(log_s, (len(x), K)))


def elbo(vector, learn_noise=False):
    theta, eta = split(vector)
    weights = np.full(len(x), 1.0 / len(x))
    value = (model.expected_log_joint(theta, x, eta) + model.family.entropy(eta)).mean()
    by_theta, by_eta = model.expected_log_joint_vjp(theta, x, eta, weights)
    by_mean, by_log_s = model.family.split(by_eta + model.family.entropy_grad(eta) / len(x))
    model.layout.views(by_theta)["log_sigma"][...] *= learn_noise
    return value, np.concatenate([by_theta, (by_mean.T @ centred).ravel(), by_log_s.sum(axis=0)])


def stationary(chosen, sigma2):
    kept = np.maximum(eigenvalues[chosen], sigma2)  # of the chosen principal directions
    W = directions[:, chosen] * np.sqrt(kept - sigma2)
    theta = model.layout.pack({"W": W, "b": mean, "log_sigma": 0.5 * np.log(sigma2)})
    return np.concatenate([theta, (W / kept).T.ravel(), 0.5 * np.log(sigma2 / kept)])


def climbed(start, seed, away, learn_noise=False):
    """Return the end of an ascent from a start whose W and V are pushed away."""
    rng = np.random.default_rng(seed)
    start = start.copy()
    start[: D * K] += away * rng.standard_normal(D * K)
    start[model.layout.size : -K] += 0.01 * away * rng.standard_normal(D * K)
    return ascend(lambda vector: elbo(vector, learn_noise), start, STEPS, tolerance=1e-15)


def active(vector):
    means, _ = model.family.split(split(vector)[1])
    return int((means.var(axis=0) > LEAST).sum())


# %% The exact answer first, by formula; then the ascents
best = np.arange(K)
last = np.arange(D - K, D)
rows = []
units = {}
with single_threaded_blas():
    for count, sigma2 in noises.items():
        maximum = stationary(best, sigma2)
        top, slope = elbo(maximum)
        log_p = model.log_evidence(split(maximum)[0], x).mean()
        assert abs(top - log_p) < 1e-9, "the bound should be tight there"
        assert np.abs(slope).max() < 1e-8, "and flat"
        ends = [climbed(stationary(last, sigma2), seed, 1.0) for seed in range(STARTS)]
        lost = max(log_p - elbo(end)[0] for end in ends)
        expected = min(count, K)
        assert {active(end) for end in ends} == {expected}, (count, lost)
        assert -1e-9 < lost < SHORT_OF, (count, lost)
        units[count] = active(ends[0])
        row = {"quantity": f"units at σ² = {sigma2:.1f}", "published": f"count: {expected}"}
        rows.append(row | {"ours": units[count], "note": f"ELBO {lost:.0e} below {log_p:.2f}"})

# %% Another stationary point, without the first direction; and noise that is learned along
some = noises[COUNTS[-1]]
without_first = stationary(best + 1, some)
with single_threaded_blas():
    top, _ = elbo(stationary(best, some))
    low, slope = elbo(without_first)
    pushed, _ = elbo(climbed(without_first, 0, 1e-3))
    learned = climbed(stationary(last, eigenvalues.mean()), 0, 1.0, learn_noise=True)
noise = float(np.exp(2 * model.layout.views(split(learned)[0])["log_sigma"]))
rest = eigenvalues[K:].mean()
row = {"quantity": "push off another stationary point", "published": "leads up", "ours": pushed - low}
rows.append(row | {"note": f"nats; gradient there {np.abs(slope).max():.0e}"})
rows.append({"quantity": "learned σ²", "published": f"PPCA: {rest:.3f}", "ours": noise})

# %% The figure
figure, (ax,) = panels(1, 1, height=3.4)
words = {"xlabel": "noise variance σ², grey values squared", "ylabel": f"active units of K = {K}"}
style_axes(ax, title="Collapse is a count of eigenvalues", **words)
grid = np.geomspace(0.9 * min(noise, *noises.values()), 1.1 * max(noises.values()), 1000)
above = np.minimum((eigenvalues > grid[:, None]).sum(axis=1), K)
ax.semilogx(grid, above, label="eigenvalues above σ², at most K", **EXACT_LINE)
ax.plot(list(noises.values()), list(units.values()), "o", color="#D55E00", label="ELBO, by ascent")
ax.axvline(noise, color="#0072B2", label="σ² learned along")
ax.set_yticks(range(0, K + 1, 2))
ax.legend(frameon=False)
caption = (
    "The active units of a linear VAE are as many as there are eigenvalues above the noise variance, by "
    "formula (dashed) and by ascent of the ELBO."
)
print("figure:", save_figure(figure, OUT, "linear-vae", caption)[0])

# %% The claim
publish(rows, "Lucas et al. (2019), linear VAE; published: formulas, with these data", ASKED, QUICK)
assert np.abs(slope).max() < 1e-8, "the other point is stationary"
assert top - low > SHORT_OF, "and below the top"
assert top - pushed < SHORT_OF, "no other maximum"
assert abs(noise / rest - 1.0) < 0.02, "learned noise should be that of PPCA"
assert active(learned) == K, "and should keep all latents"
