# %% [markdown]
# # ELBO surgery, with every term exact
# %%
"""The mean KL to the prior is information plus misfit, and the information cannot exceed log N.

Claim. With two latents all terms of the surgery are integrals, and they add up to the mean ELBO. The
index-code information is at most log N: few data fill it, each with a code of its own. What is left, KL of
the aggregate posterior to the prior, is never negative, and all that a better prior could win. It grows with
the number of latents, and the more data are looked at, the less of it there is.

Formula:
    q(n) = 1/N,  q(z) = (1/N) sum_n q(z | x_n)
    mean ELBO = (1/N) sum_n E_q log p(x_n | z) - [log N - E_q(z) H(q(n | z))] - KL(q(z) || p(z))
    I(n; z) = log N - E_q(z) H(q(n | z)) = (1/N) sum_n KL(q(z | x_n) || q(z)),   0 <= I <= log N

Source: Hoffman and Johnson (2016), ELBO surgery: yet another way to carve up the variational evidence lower
bound, NIPS workshop on Advances in Approximate Bayesian Inference.
Exact set-up: VAEs of 2 and 10 latents, 64 tanh units on both sides, binary 8 x 8 digits (there: MNIST); the
first by quadrature on 100 digits and by draws on more, the second by draws with the full mixture.
It must show: the sum; I <= log N; I by the entropy of the index equal to I by the KL; the misfit falling with
N and growing with the latents. Their numbers are of other data and are not quoted.
Expected time: half a minute; with ELBO_LAB_QUICK=1 four seconds. The figure goes to ELBO_LAB_OUT.
"""

import os

import numpy as np
from _paper import paper_parser, publish, read_options

from elbo_lab import fit
from elbo_lab.datasets import load
from elbo_lab.evaluation import decompose, elbo_surgery, sampled_surgery
from elbo_lab.exact.rules import hermite_rule
from elbo_lab.plots import STYLE, figure_folder, legend_below, panels, save_figure, style_axes
from elbo_lab.special import log_softmax

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
DATA = load("digits:binary").rows(100, seed=0) if QUICK else load("digits:binary")
SIZES = (10, 100) if QUICK else (10, 30, 100, 300, 1000, 1797)
EXACT_N = 10 if QUICK else 100
NODES = 64
DRAWS = 20
EPOCHS, BATCH = (100, 50) if QUICK else (200, 200)
SETTINGS = {"hidden": (64,), "epochs": EPOCHS, "batch": BATCH, "learning_rate": 2e-3}

# %% The exact answer first: two latents, every term an integral
vaes = {latent: fit("deep-bernoulli", DATA, latent=latent, **SETTINGS) for latent in (2, 10)}
small = vaes[2]
x = DATA.rows(EXACT_N, seed=0).x
eta = small.posterior.eta(small.phi, x)
exact = elbo_surgery(small.model, small.theta, x, eta)
terms = decompose(small.model, small.theta, x, eta).means()


def information_by_index(family, eta):
    """Return log N - E_q(z) H(q(n | z)) by Gauss-Hermite under each q: the other form of the same number."""
    nodes, weights = hermite_rule(NODES, 2)
    entropy = 0.0
    for n in range(len(eta)):
        z = family.sample(eta[n : n + 1], nodes[:, None, :])
        log_index = log_softmax(family.log_prob(eta, z), axis=-1)  # log q(n | z)
        entropy -= weights @ (np.exp(log_index) * log_index).sum(axis=-1) / len(eta)
    return np.log(len(eta)) - entropy


by_index = information_by_index(small.model.family, eta)
print(
    f"{EXACT_N} digits, nats: reconstruction {exact.reconstruction:.4f}, information {exact.information:.6f}"
)
print(f"  by the index {by_index:.6f}, log N {exact.most_information:.4f}, misfit {exact.aggregate_kl:.6f}")

# %% More digits, and more latents: draws with the full mixture
cuts = {latent: [] for latent in vaes}
for latent, vae in vaes.items():
    for n_data in SIZES:
        rows = DATA.rows(n_data, seed=0).x
        eta = vae.posterior.eta(vae.phi, rows)
        rng = np.random.default_rng(n_data)
        cuts[latent].append(sampled_surgery(vae.model, vae.theta, rows, eta, rng, DRAWS))

# %% The figure
figure, (left, right) = panels(1, 2, height=4.0, width=STYLE["page_width"])
style_axes(left, title="Index-code information", xlabel="digits N", ylabel="nats per digit")
style_axes(right, title="Misfit: KL(q(z) || p(z))", xlabel="digits N", ylabel="nats per digit")
left.plot(SIZES, np.log(SIZES), "k--", linewidth=1.2, label="log N, the most")
for (latent, of_sizes), color in zip(cuts.items(), ("#0072B2", "#D55E00"), strict=True):
    look = {"fmt": "o-", "color": color, "capsize": 2, "label": f"{latent} latents, ± its standard error"}
    errors = [cut.information_error for cut in of_sizes]
    left.errorbar(SIZES, [cut.information for cut in of_sizes], errors, **look)
    right.errorbar(SIZES, [cut.aggregate_kl for cut in of_sizes], errors, **look)
right.axhline(0.0, color="k", linestyle="--", linewidth=1.2, label="0, the least")
for ax in (left, right):
    ax.set_xscale("log")
    legend_below(ax, columns=1)
caption = (
    "The index-code information, which is at most log N, and the KL of the aggregate posterior to the prior, "
    "which is never negative, against the number of digits."
)
print("figure:", save_figure(figure, OUT, "surgery", caption)[0])

# %% The claim
at_most = f"<= log N = {np.log(EXACT_N):.3f}"
rows = [
    {"quantity": "sum of the terms - ELBO", "published": "zero", "ours": exact.elbo - terms["elbo"]},
    {"quantity": f"information, {EXACT_N} digits", "published": at_most, "ours": exact.information},
    {"quantity": "the same by the index", "published": "equal", "ours": by_index},
]
for latent, of_sizes in cuts.items():
    for cut, n_data in ((of_sizes[0], SIZES[0]), (of_sizes[-1], SIZES[-1])):
        share = f"information {cut.information:.2f} of {cut.most_information:.2f}"
        row = {"quantity": f"{latent} latents, {n_data} digits: misfit", "published": ">= 0, exact"}
        row |= {"ours": cut.aggregate_kl, "note": f"±{cut.information_error:.2f}; {share}"}
        rows.append(row)
publish(rows, "Hoffman and Johnson (2016): the identity and its bounds, nats per digit", ASKED, QUICK)
assert abs(exact.elbo - terms["elbo"]) < 1e-7, "the terms should add up"
assert abs(by_index - exact.information) < 1e-6, "two forms of one number"
for of_sizes in cuts.values():
    for cut in of_sizes:
        slack = 5.0 * cut.information_error
        assert -slack < cut.information < cut.most_information + slack, "information is at most log N"
        # The estimate of a misfit near zero could be negative; all of these stand out of their noise.
        assert cut.aggregate_kl > 2.0 * cut.information_error, "a KL is not negative"
    assert of_sizes[-1].aggregate_kl < of_sizes[0].aggregate_kl, "more data should fill the prior"
assert cuts[10][-1].aggregate_kl > cuts[2][-1].aggregate_kl, "more latents, more unfilled"
