# %% [markdown]
# # ELBO surgery: what the KL is paid for
# %%
"""The KL of a VAE is two things: the information that a code carries, and a prior that does not fit.

Claim. The mean KL to the prior splits exactly into the information between datum and code, and the KL of the
aggregate posterior to the prior. Both depend on how many data N are looked at: the information cannot exceed
log N, and what has no room there counts as aggregate KL. With all 1797 digits a VAE of ten latents carries
twice the information of one of two, and pays about a nat per datum, still falling with N, for a prior that
its codes do not fill: what a better prior could win at most. Two latents leave a fifth of a nat.

Formula:

    (1/N) sum_n KL(q(z | x_n) || p(z)) = I(n; z) + KL(q(z) || p(z)),   q(z) = (1/N) sum_n q(z | x_n)
    mean ELBO = reconstruction - I(n; z) - KL(q(z) || p(z)),           0 <= I <= log N

Source: Hoffman and Johnson (2016), "ELBO surgery", NIPS workshop on approximate Bayesian inference.
Expected time: half a minute on two cores; with ELBO_LAB_QUICK=1 three seconds, with fewer data and epochs.
The figures go to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab import fit
from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form
from elbo_lab.evaluation import decompose, elbo_surgery, sampled_surgery
from elbo_lab.models import PPCA
from elbo_lab.plots import STYLE, figure_folder, panels, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
EXACT_N = 25 if QUICK else 100
SIZES = (25, 50) if QUICK else (25, 50, 100, 200, 400, 800, 1797)
BITS = load("digits:binary")
GREY = load("digits:dequantised")
SETTINGS = {"hidden": (64,), "epochs": 20 if QUICK else 100, "batch": 200, "learning_rate": 2e-3}
DRAWS = 10  # per datum

# %% The exact answer first: PPCA, where q is the posterior and every term has a formula or an integral
ppca = PPCA(64, 2)
theta = ppca.canonical(fit_closed_form(ppca, GREY.x).theta)
x = GREY.rows(EXACT_N, seed=0).x
eta = ppca.posterior_eta(theta, x)
terms = decompose(ppca, theta, x, eta).means()
print(f"PPCA, two latents, exact posterior, {EXACT_N} data, nats per datum:")
for pair in (("log_p", "kl_to_posterior"), ("reconstruction", "kl_to_prior"), ("energy", "entropy")):
    print("  " + ", ".join(f"{name} {terms[name] + 0.0:.4f}" for name in pair))
exact = elbo_surgery(ppca, theta, x, eta)
drawn = sampled_surgery(ppca, theta, x, eta, np.random.default_rng(0), DRAWS)
print(f"  information {exact.information:.4f} (error {exact.information_error:.0e})")
print(f"  from draws  {drawn.information:.4f} ± {drawn.information_error:.4f}")
print(f"  aggregate KL {exact.aggregate_kl:.4f}, log N {exact.most_information:.4f}")


# %% The same for more and more data, from draws and the full mixture
def by_size(model, theta, data, encode):
    """Return the surgeries of the first N rows of a fixed permutation, for every N."""
    cuts = []
    for n_data in SIZES:
        rows = data.rows(n_data, seed=0).x
        rng = np.random.default_rng(n_data)
        cuts.append(sampled_surgery(model, theta, rows, encode(rows), rng, DRAWS))
    return cuts


def vae_by_size(latent):
    vae = fit("deep-bernoulli", BITS, latent=latent, **SETTINGS)
    return by_size(vae.model, vae.theta, BITS, lambda rows: vae.posterior.eta(vae.phi, rows))


curves = {
    "PPCA, K = 2": by_size(ppca, theta, GREY, lambda rows: ppca.posterior_eta(theta, rows)),
    "VAE, K = 2": vae_by_size(2),
    "VAE, K = 10": vae_by_size(10),
}
for name, cuts in curves.items():
    line = ", ".join(f"{cut.information:.2f} + {cut.aggregate_kl:.2f}" for cut in cuts)
    print(f"{name:<12} information + aggregate KL: {line}")

# %% The figure
figure, (left, right) = panels(1, 2, height=3.9, width=STYLE["page_width"])
words = {"xlabel": "data N", "ylabel": "nats per datum"}
style_axes(left, title="Information in the code", **words)
style_axes(right, title="Aggregate KL to the prior", **words)
left.plot(SIZES, np.log(SIZES), ":", color=STYLE["ink"], label="log N, the most")
for ax, part in ((left, "information"), (right, "aggregate_kl")):
    for (name, cuts), color in zip(curves.items(), ("#117733", "#0072B2", "#D55E00"), strict=True):
        values = [getattr(cut, part) for cut in cuts]
        interval = [1.96 * cut.information_error for cut in cuts]
        look = {"color": color, "markersize": 4, "linewidth": STYLE["line_width"], "capsize": 3}
        ax.errorbar(SIZES, values, interval, fmt="o-", label=f"{name} (95 % interval)", **look)
    ax.set_ylim(bottom=0.0)
    ax.set_xscale("log")
    ax.set_xticks(SIZES, [str(n) for n in SIZES])
    ax.minorticks_off()
look = {"ncols": 2, "frameon": False, "fontsize": STYLE["tick_size"]}
figure.legend(handles=left.get_legend_handles_labels()[0], loc="outside lower center", **look)
caption = (
    "The two parts of the mean KL against the number of data: the information between datum and code, which "
    "is at most log N, and the KL of the aggregate posterior to the prior."
)
print("figure:", save_figure(figure, OUT, "elbo-surgery", caption)[0])

# %% The claim
assert abs(exact.elbo - terms["elbo"]) < 1e-8, "surgery should keep the ELBO"
assert abs(terms["kl_to_posterior"]) < 1e-8, "q is the posterior"
assert abs(drawn.information - exact.information) < 5.0 * drawn.information_error, "draws should agree"
for cuts in curves.values():
    for cut in cuts:
        assert 0.0 < cut.information < cut.most_information + 5.0 * cut.information_error, "at most log N"
        # The estimate of a KL near zero could be negative; all of these stand out of their noise.
        assert cut.aggregate_kl > 2.0 * cut.information_error, "a KL is not negative"
if not QUICK:
    linear, flat, deep = curves.values()
    assert deep[-1].information > 2.0 * flat[-1].information, "ten numbers should say more than two"
    assert deep[0].information > 0.8 * deep[0].most_information, "few data: nearly a code of their own"
    for cuts in (linear, flat):
        assert cuts[-1].aggregate_kl < 0.2 < cuts[0].aggregate_kl, "with many data two latents fill the prior"
    assert deep[-1].aggregate_kl > 0.6, "the codes of ten latents should not"
