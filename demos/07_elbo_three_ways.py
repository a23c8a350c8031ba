# %% [markdown]
# # The ELBO, three ways
# %%
"""One bound, three formulas, and a landscape over all q whose distance to log p(x) is a KL divergence.

Claim. The three forms of the ELBO are one number. Whatever q is, the bound and KL(q || p(z | x)) add up to
log p(x): raising the bound is bringing q to the posterior, and nothing is lost but the KL. Drawn instead of
integrated, the forms differ: the log-weight has no noise at all at the posterior, the others have. Where the
posterior is no Gaussian the best Gaussian q keeps a gap: of two humps it takes one, and lacks log 2.

Formula:

    log p(x) = ELBO(q) + KL(q || p(z | x))
    ELBO(q)  = E_q[log p(x | z)] - KL(q || p(z))     reconstruction - KL
             = E_q[log p(x, z)] + H(q)               energy + entropy
             = E_q[log p(x, z) - log q(z)]           log-weight

Source: Jordan et al. (1999), Machine Learning 37; Kingma and Welling (2014); Roeder et al. (2017).
Expected time: a few seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import bounds
from elbo_lab.exact import ladder
from elbo_lab.models import PPCA, DeepGaussianFixed
from elbo_lab.plots import (
    EXACT_LINE,
    STYLE,
    estimator_style,
    figure_folder,
    legend_inside,
    panels,
    save_figure,
    style_axes,
)
from elbo_lab.registry import display_name

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
FORMS = {
    "elbo-reconstruction-kl": bounds.reconstruction_kl,
    "elbo-joint-entropy": bounds.joint_entropy,
    "elbo-log-weight": bounds.log_weight,
}
MEANS = np.linspace(-2.5, 2.5, 41 if QUICK else 81)  # of q
LOG_SDS = np.linspace(-2.5, 1.0, 31 if QUICK else 61)
LEVELS = [0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]  # nats below log p(x)
# One ink, more and more of it: the order of the shades is the same on a light and on a dark page.
SHADES = [("#08519c", share) for share in np.linspace(0.03, 0.97, len(LEVELS))]
EPS = np.linspace(-8.0, 8.0, 401)[:, None, None]  # nodes of the noise (S, N, K), a trapezoid rule
MASS = np.exp(-0.5 * EPS[:, 0, 0] ** 2) * (EPS[1, 0, 0] - EPS[0, 0, 0]) / np.sqrt(2 * np.pi)
UNIT = 0.2  # of the softplus, whose sum is |z| with a round corner

# %% The exact answers first: a line (PPCA), and a fold |z|, where z and -z explain x equally well
line = PPCA(2, 1)
theta_line = line.layout.pack({"W": [[1.2], [-0.7]], "log_sigma": np.log(0.8)})
fold = DeepGaussianFixed(1, 1, hidden=(2,), activation="softplus")
decoder = {"decoder.W1": [[1 / UNIT, -1 / UNIT]], "decoder.W2": [[UNIT], [UNIT]]}
theta_fold = fold.layout.pack({**decoder, "log_sigma": -1.2})
scenes = {"line": (line, theta_line, [[1.0, -0.9]]), "fold": (fold, theta_fold, [[1.8]])}
means, log_sds = np.meshgrid(MEANS, LOG_SDS)
etas = line.family.join(means.reshape(-1, 1), log_sds.reshape(-1, 1))  # (N, E): every q is a row
posterior = line.posterior_eta(theta_line, np.array(scenes["line"][2]))


def form_moments(model, theta, x, eta):
    """Return {form: (mean (N,), variance (N,))} of one draw, and log p(x), both without a draw."""
    x = np.repeat(x, len(eta), axis=0)
    z = model.family.sample(eta, EPS)
    moments = {}
    for name, form in FORMS.items():
        values = form(model, theta, x, model.family, eta, z)  # (S, N)
        mean = MASS @ values
        variance = MASS @ (values - mean) ** 2
        moments[name] = (mean, variance)
    return moments, ladder.log_evidence(model, theta, x[:1])[0][0]


bound = {}
log_p = {}
for name, scene in scenes.items():
    moments, log_p[name] = form_moments(*scene, etas)
    bound[name] = np.array([mean for mean, _ in moments.values()])
    same = np.ptp(bound[name], axis=0).max()
    least = log_p[name] - bound[name][2].max()
    print(f"{name}: log p(x) = {log_p[name]:.6f}, three forms within {same:.0e}, least KL {least:.4f} nats")
kl = line.family.kl(etas, posterior)  # by its own formula
off = np.abs(bound["line"] + kl - log_p["line"]).max()
print(f"line: bound + KL is log p(x), for all {len(etas)} q, within {off:.0e}")

below = {name: log_p[name] - bound[name][2] for name in scenes}

# %% One slice: q moves past the posterior with the posterior's sd
slice_eta = line.family.join(MEANS[:, None], np.full((len(MEANS), 1), posterior[0, 1]))
slice_moments, _ = form_moments(*scenes["line"], slice_eta)
slice_kl = line.family.kl(slice_eta, posterior)
at_posterior, _ = form_moments(*scenes["line"], posterior)
for name, (mean, variance) in at_posterior.items():
    print(f"  {name:<24} at the posterior: {mean[0]:.6f}, sd of one draw {max(variance[0], 0) ** 0.5:.1e}")

# %% The figure: how far below log p(x) the bound is, for every q
figure, axes = panels(2, 2, height=6.6, width=STYLE["page_width"])
best_mean, best_log_sd = etas[below["fold"].argmin()]
titles = {
    "line": "PPCA: x = W z + noise",
    "fold": "x = |z| + noise: z or -z",
}
for ax, (name, title) in zip(axes[:2], titles.items(), strict=True):
    style_axes(ax, title=title, xlabel="mean of q", ylabel="sd of q")
    short = np.maximum(below[name], 0.0).reshape(means.shape)
    filled = ax.contourf(means, np.exp(log_sds), short, LEVELS, colors=SHADES, extend="max")
    ax.set(yscale="log", xlim=(MEANS[0], MEANS[-1]))
    ax.set_yticks([0.1, 0.2, 0.5, 1.0, 2.0], ["0.1", "0.2", "0.5", "1", "2"])
    ax.minorticks_off()
mark = {"marker": "*", "color": "black", "linestyle": "none", "markersize": 11}
axes[0].plot(posterior[0, 0], np.exp(posterior[0, 1]), **mark)
axes[1].plot([-best_mean, best_mean], np.exp([best_log_sd, best_log_sd]), **{**mark, "marker": "+"})
words = {"ha": "center", "fontsize": STYLE["note_size"], "color": "black"}
axes[0].text(posterior[0, 0], 0.65, "posterior:\n0 nats", **words)
axes[1].text(0.0, 0.45, f"best q: one hump,\n{below['fold'].min():.2f} nats, log 2", **words)
bar = figure.colorbar(filled, ax=axes[1], label="log p(x) - ELBO, nats")
bar.ax.tick_params(labelsize=STYLE["tick_size"])

# %% The slice
left, right = axes[2:]
words = {"xlabel": "mean of q", "ylabel": "nats"}
style_axes(left, title="PPCA: ELBO + KL = log p(x)", **words)
style_axes(right, title="The same q: sd of one draw", **words)
left.plot(MEANS, slice_moments["elbo-log-weight"][0], color="#004488", label="ELBO")
left.axhline(log_p["line"], label="log p(x), exact", **EXACT_LINE)
shade = {"color": "#BB5566", "alpha": 0.25, "lw": 0}
left.fill_between(MEANS, log_p["line"] - slice_kl, log_p["line"], label="KL", **shade)
for name, (_, variance) in slice_moments.items():
    color, marker = estimator_style(name)
    look = {"color": color, "marker": marker, "markevery": 5, "markersize": 4, "label": display_name(name)}
    right.plot(MEANS, np.sqrt(np.maximum(variance, 0.0)), **look)
right.axvline(posterior[0, 0], ymax=0.6, label="mean of the posterior", **EXACT_LINE)
right.set_ylim(0.0, 11.0)
for ax, place in ((left, "lower right"), (right, "upper right")):
    ax.set_xlim(MEANS[0], MEANS[-1])
    legend_inside(ax, place)
caption = (
    "The gap log p(x) - ELBO over mean and sd of q, for a Gaussian posterior and for one with two humps. "
    "Along a slice ELBO and KL add up to log p(x), and the log-weight has no noise at the posterior."
)
print("figure:", save_figure(figure, OUT, "elbo-three-ways", caption)[0])

# %% The claim
for name, values in bound.items():
    assert np.ptp(values, axis=0).max() < 1e-9, "three forms, one number"
    assert values.max() <= log_p[name] + 1e-9, "a lower bound, everywhere"
assert off < 1e-9, "bound and KL add up to log p(x)"
noise = {name: variance[0] for name, (_, variance) in at_posterior.items()}
assert noise["elbo-log-weight"] < 1e-20, "at the posterior every log-weight is log p(x)"
assert min(noise["elbo-reconstruction-kl"], noise["elbo-joint-entropy"]) > 0.01, "and the others have noise"
assert abs(below["fold"].min() - np.log(2)) < 0.05, "the best Gaussian q lacks log 2"
assert abs(best_mean) > 1, "since it takes one of two humps"
