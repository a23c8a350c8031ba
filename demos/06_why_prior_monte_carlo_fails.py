# %% [markdown]
# # Why prior Monte Carlo fails
# %%
"""Unbiased, and useless: how many draws of the prior the evidence needs.

Claim. The mean of p(x | z) over draws of the prior is unbiased for p(x) in every dimension. But the number of
draws for a given error grows exponentially with the latent dimension, and for each dimension like 1 / noise:
with few draws one of them carries all the weight, and log p comes out too low by nats. Draws of a q near the
posterior need orders of magnitude fewer, and their number grows exponentially too, with a smaller rate. This
q is wider than the posterior (sd x 1.2, its mean 0.2 sd off); a q that is too narrow, as that of `elbo-lab
draws`, needs far more, since rare draws have huge weights.

Formula, for weights w = p(x, z) / q(z) of PPCA, x | z ~ N(W z + b, sigma^2 I); relative error of the mean of
S weights = sqrt(V / S), V = E w^2 / (E w)^2 - 1:

    from the prior   E w^2 = (4 pi sigma^2)^(-D/2) N(x; b, W W^T + sigma^2 I / 2)
    from q           E w^2 / p(x)^2 = prod_k s_k^2 / (t_k r_k) exp(d_k^2 / r_k^2),  r_k^2 = 2 s_k^2 - t_k^2
                     s_k, t_k: sd of q and of the posterior, d_k: distance of their means

Source: Owen (2013), Monte Carlo theory, methods and examples, chapter 9; Tipping and Bishop (1999).
Expected time: five seconds; with ELBO_LAB_QUICK=1 one, in fewer dimensions. The figure goes to
the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.models import PPCA
from elbo_lab.plots import (
    STYLE,
    estimator_style,
    figure_folder,
    legend_inside,
    new_figure,
    save_figure,
    style_axes,
)
from elbo_lab.plots.dimension import error_handles, plot_effective_sample_size, plot_prior_error
from elbo_lab.registry import display_name
from elbo_lab.study.experiments import prior_failure

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
ROWS = 25
COLUMNS = 64
LATENTS = (1, 2, 4, 8) if QUICK else (1, 2, 4, 8, 16, 32)
NOISES = np.logspace(-2, 0.5, 11)
SHARP_LATENTS = (1, 2, 4)
SHIFT = 0.2  # q: posterior mean + 0.2 sd
WIDER = 1.2  # q: posterior sd times 1.2
ERROR = 0.1  # nats, wanted
CHECKED = (1, 2)
DRAWS = 300 if QUICK else 3000
BATCHES = 20


# %% The exact answer first: log(1 + V) of one weight, per datum
def model_and_data(n_latent, noise=1.0):
    """Return a PPCA with W ~ N(0, 1/4), its theta, and data drawn from itself."""
    rng = np.random.default_rng((SEED, n_latent))
    model = PPCA(COLUMNS, n_latent)
    weights = 0.5 * rng.standard_normal((COLUMNS, n_latent))
    theta = model.canonical(model.layout.pack({"W": weights, "log_sigma": np.log(noise)}))
    return model, theta, model.sample(theta, ROWS, rng)[0]


def prior_law(model, theta, x):
    """Return eta of the prior, and log(1 + V) (N,) of its weights."""
    parts = model.layout.views(theta)
    half = model.layout.pack({**parts, "log_sigma": parts["log_sigma"] - 0.5 * np.log(2.0)})
    constant = -0.5 * model.n_columns * (np.log(4.0 * np.pi) + 2.0 * parts["log_sigma"])
    ratio = constant + model.log_evidence(half, x) - 2.0 * model.log_evidence(theta, x)
    return model.prior_eta(theta), ratio


def near_law(model, theta, x):
    """Return eta (N, E) of the q near the posterior, and log(1 + V) of its weights, equal for all data."""
    mean, log_std = model.family.split(model.posterior_eta(theta, x))
    eta = model.family.join(mean + SHIFT * np.exp(log_std), log_std + np.log(WIDER))
    r2 = 2.0 * WIDER**2 - 1.0  # in units of the posterior's variance
    return eta, model.n_latent * (2.0 * np.log(WIDER) - 0.5 * np.log(r2) + SHIFT**2 / r2)


def draws_needed(law, n_latent, noise=1.0):
    """Return the number of draws for the median datum."""
    _, log_ratio = law(*model_and_data(n_latent, noise))
    return np.expm1(np.median(log_ratio)) / ERROR**2


WORDS = {"prior-monte-carlo": "prior", "importance-sampling": "q"}
LAWS = {"prior-monte-carlo": prior_law, "importance-sampling": near_law}
needed = {name: [draws_needed(law, k) for k in LATENTS] for name, law in LAWS.items()}
sharp = {k: [draws_needed(prior_law, k, noise) for noise in NOISES] for k in SHARP_LATENTS}
print(f"Draws for an error of {ERROR} nats; q is wide: the posterior's sd x {WIDER}, its mean + {SHIFT} sd:")
for i, n_latent in enumerate(LATENTS):
    of_prior = needed["prior-monte-carlo"][i]
    of_q = needed["importance-sampling"][i]
    print(f"K = {n_latent:<2}  draws of the prior {of_prior:8.1e}, of q {of_q:8.1e}")


# %% Then the estimates: the mean of w^2 against its formula, with the standard error over batches
def measured_over_exact(n_latent, law):
    """Return the mean over batches of E w^2 from draws over E w^2 by formula, and its standard error."""
    model, theta, x = model_and_data(n_latent)
    eta, log_ratio = law(model, theta, x)
    log_p = model.log_evidence(theta, x)
    rng = np.random.default_rng(SEED)
    means = []
    for _ in range(BATCHES):
        z = model.family.sample(eta, rng.standard_normal((DRAWS, ROWS, n_latent)))
        log_w = log_weight(model, theta, x, model.family, eta, z) - log_p
        means.append(np.exp(2.0 * log_w - log_ratio).mean())
    return np.mean(means), np.std(means, ddof=1) / np.sqrt(BATCHES)


print("The formula for E w^2, the mean squared weight that sets the number of draws, against draws:")
worst = 0.0  # in standard errors
for n_latent in CHECKED:
    for name, law in LAWS.items():
        ratio, error = measured_over_exact(n_latent, law)
        worst = max(worst, abs(ratio - 1.0) / error)
        print(f"K = {n_latent} {name:<20} E w^2 measured / exact {ratio:.4f} +- {error:.4f}")
records = prior_failure(SEED, dims=LATENTS)
short = records["error"][1000][-1]
print(f"1000 draws of the prior in K = {LATENTS[-1]}: log p too low by {-short:.1f} nats per datum")

# %% The figure
figure = new_figure(9.4, STYLE["page_width"])
above, middle, below = figure.subfigures(3, 1, height_ratios=(3.8, 3.0, 2.6))
left, right = above.subplots(1, 2)
plot_prior_error(records, left, legend=False)
plot_effective_sample_size(records, right, legend=False)
above.legend(handles=error_handles(records), loc="outside lower left", ncols=3, frameon=False, fontsize=8)
left, right = middle.subplots(1, 2)
xlabel = "latent dimension K, not logarithmic"
style_axes(left, title=f"Draws for {ERROR} nats: exact", xlabel=xlabel, ylabel="draws")
style_axes(right, title="Those of q alone", xlabel=xlabel, ylabel="draws")
rates = {}
for name, draws in needed.items():
    log_moment = np.log1p(ERROR**2 * np.array(draws))  # log(1 + V) of one weight
    rates[name] = (log_moment[-1] - log_moment[1]) / (LATENTS[-1] - LATENTS[1])
for name, draws in needed.items():
    color, marker = estimator_style(name)
    label = f"{WORDS[name]}: × {np.exp(rates[name]):.2f} per latent"
    left.semilogy(LATENTS, draws, marker + "-", color=color, lw=STYLE["line_width"], label=label)
right.semilogy(LATENTS, needed["importance-sampling"], marker + "-", color=color, lw=STYLE["line_width"])
per_latent = np.exp(rates["importance-sampling"])
line = np.linspace(0.0, LATENTS[-1], 100)
words = f"${per_latent:.2f}^K$ / {ERROR}², the limit"
right.semilogy(line, per_latent**line / ERROR**2, ":", color="gray", label=words)
right.set_ylim(5.0, 2e4)
narrow = below.subplots()
style_axes(narrow, title="From the prior, by noise of x: exact", xlabel="noise sigma of x", ylabel="draws")
for (n_latent, draws), look in zip(sharp.items(), (":", "-", "-."), strict=True):
    narrow.loglog(NOISES, draws, look, color="#882255", label=f"K = {n_latent}: slope {-n_latent}")
for ax, place in ((left, "upper left"), (right, "upper left"), (narrow, "upper right")):
    legend_inside(ax, place)
caption = (
    "Draws from the prior miss p(x): the error and the effective sample size against the number of latents. "
    "The draws that are needed grow exponentially with the latents, and faster the sharper p(x | z) is."
)
print("figure:", save_figure(figure, OUT, "prior-failure", caption)[0])

# %% The claim
print("growth of log(1 + V) per latent dimension:")
for name, rate in rates.items():
    print(f"  {display_name(name)}: {rate:.3f}, so {np.exp(rate):.2f} times as many draws in the end")
assert rates["prior-monte-carlo"] > 5 * rates["importance-sampling"] > 0, "both grow exponentially"
for n_latent, draws in sharp.items():
    slope = np.diff(np.log(draws)) / np.diff(np.log(NOISES))
    assert abs(slope[0] + n_latent) < 0.05, "with sharp data the draws grow like sigma^-K"
of_q = ERROR**2 * np.array(needed["importance-sampling"])  # V of one weight
assert np.allclose(np.log1p(of_q), np.array(LATENTS) * np.log(per_latent)), "1 + V of q is a power of K"
assert worst < 5.0, "the formulas hold"
assert short < -1.0, "log p comes out too low by nats"
assert records["effective_sample_size"][1000][-1] < 10, "few draws carry all the weight"
