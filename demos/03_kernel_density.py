# %% [markdown]
# # Kernel density beside parametric densities
# %%
"""A density without parameters has one all the same: the bandwidth, and unseen data must choose it.

Claim. On Old Faithful one Gaussian is too stiff, and a mixture of two, with eleven numbers, predicts unseen
eruptions best. A kernel density keeps all data and comes within the error of it, but only with the right
bandwidth: the usual rule (Scott) takes two clouds for one and is too wide. On its own data a kernel density
reaches any log-likelihood by narrowing: only unseen data tell.

Formula, for x_1 ... x_n in d dimensions with covariance C:

    one Gaussian     p(x) = N(x; mean, C)
    mixture (EM)     p(x) = sum_c pi_c N(x; mu_c, Sigma_c)
    kernel density   p(x) = (1/n) sum_i N(x; x_i, h^2 diag C),  Scott: h = n^(-1/(d + 4))

with diag C the diagonal of C, as everywhere in this package.

Source: Scott (1992), Multivariate Density Estimation, chapter 6; Bishop (2006), sections 2.5.1 and 9.2.
Expected time: ten seconds. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np
from scipy.stats import gaussian_kde

from elbo_lab.datasets import load
from elbo_lab.em import fit_em
from elbo_lab.evaluation import held_out_log_likelihood
from elbo_lab.exact import ladder
from elbo_lab.models import GaussianMixture, KernelDensity
from elbo_lab.models.kernel_density import scott_factor
from elbo_lab.plots import STYLE, figure_folder, legend_inside, new_figure, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
FOLDS = 3 if QUICK else 10
INNER_FOLDS = 4
BANDWIDTHS = np.logspace(-1.4, 0.2, 7 if QUICK else 25)  # h; 1 is the sd of the data
COMPONENTS = (2,) if QUICK else (2, 3)
BEST = "mixture of 2 (EM)"
DRAWN = ("one Gaussian (MLE)", BEST, "kernel, Scott's h", "kernel, h by folds")
BLUE = "#004488"  # unseen data
RED = "#BB5566"  # its own data
GREEN = "#117733"  # the mixture of 2
X = load("faithful").x


# %% What is compared: each method learns from training rows, and gives log p of any rows
def kernel(bandwidth=None):
    """Return how a kernel density with factor h learns, Scott's if none is given."""

    def learn(train):
        model = KernelDensity.for_data(train, "scott")
        theta, _ = model.smoothed(train)
        if bandwidth is not None:
            model.layout.view(theta, "log_factor")[...] = np.log(bandwidth)
        return lambda x: held_out_log_likelihood(model, theta, x)

    return learn


def mixture(components):
    def learn(train):
        model = GaussianMixture(2, components, "full")
        theta = fit_em(model, train, restarts=2, tolerance=1e-6).theta
        return lambda x: ladder.log_evidence(model, theta, x)[0]

    return learn


def held_out(learn, x, folds):
    """Return log p of every row (N,), each by what was learned without its fold."""
    values = np.empty(len(x))
    for part in np.array_split(np.random.default_rng(SEED).permutation(len(x)), folds):
        log_p = learn(np.delete(x, part, axis=0))
        values[part] = log_p(x[part])
    return values


def chosen_kernel(train):
    """Learn with the bandwidth that folds of the training rows alone prefer."""
    scores = [held_out(kernel(h), train, INNER_FOLDS).mean() for h in BANDWIDTHS]
    return kernel(BANDWIDTHS[np.argmax(scores)])(train)


# %% The exact answer first: a kernel density is a mixture, with a component on every datum
scott = scott_factor(*X.shape)
model = GaussianMixture(2, len(X), "diagonal")
bumps = model.covariance.initial(np.tile(scott * X.std(axis=0, ddof=1), (len(X), 1)))
theta = model.layout.pack({"logits": np.zeros(len(X)), "mean": X, **bumps})
off = np.abs(kernel()(X)(X) - ladder.log_evidence(model, theta, X)[0]).max()
print(f"The kernel density and a mixture of {len(X)} components differ by {off:.0e} nats")
column = X[:, :1]
peer = np.abs(kernel()(column)(column) - gaussian_kde(column.T).logpdf(column.T)).max()
print(f"that of one column and SciPy's differ by {peer:.0e} nats")

# %% Held-out log-likelihood of every row
methods = {"one Gaussian (MLE)": mixture(1)}
for components in COMPONENTS:
    methods[f"mixture of {components} (EM)"] = mixture(components)
methods["kernel, Scott's h"] = kernel()
methods["kernel, h by folds"] = chosen_kernel
unseen_log_p = {name: held_out(learn, X, FOLDS) for name, learn in methods.items()}
fitted = {name: learn(X) for name, learn in methods.items()}
lead = {}
error = {}
print(f"{'nats per datum':<20} {'unseen':>7} {'seen':>7}   unseen, against the mixture of 2 (95 % interval)")
for name, values in unseen_log_p.items():
    ahead = values - unseen_log_p[BEST]
    lead[name] = ahead.mean()
    error[name] = 1.96 * ahead.std(ddof=1) / np.sqrt(len(X))
    own = fitted[name](X).mean()
    print(f"{name:<20} {values.mean():7.3f} {own:7.3f} {lead[name]:+10.3f} +- {error[name]:.3f}")

# %% The bandwidth: on its own data, and on unseen data
seen = np.array([kernel(h)(X)(X).mean() for h in BANDWIDTHS])
unseen = np.array([held_out(kernel(h), X, FOLDS).mean() for h in BANDWIDTHS])

# %% The figure: four densities on one scale
figure = new_figure(8.8, STYLE["page_width"])
above, below = figure.subfigures(2, 1, height_ratios=(5.4, 3.4))
axes = above.subplots(2, 2, sharex=True, sharey=True).ravel()
grids = np.meshgrid(np.linspace(0.2, 6.8, 60), np.linspace(26.0, 114.0, 60))
points = np.stack(grids, axis=-1).reshape(-1, 2)
levels = np.arange(-8.0, -2.0)
# One ink, more and more of it: dense is strong on a light and on a dark page.
shades = [("#08519c", share) for share in np.linspace(0.12, 0.95, len(levels))]
for ax, name in zip(axes, DRAWN, strict=True):
    unseen_mean = unseen_log_p[name].mean()
    style_axes(ax, title=f"{name}\n{unseen_mean:.2f} nats per unseen row")
    values = fitted[name](points).reshape(grids[0].shape)
    filled = ax.contourf(*grids, values, levels, colors=shades, extend="max")
    ax.plot(*X.T, ".", color=STYLE["ink"], ms=2.5, alpha=0.6)
    ax.label_outer()
bar = above.colorbar(filled, ax=axes, label="log p(x), nats; no ink: below -8", aspect=40)
bar.ax.tick_params(labelsize=STYLE["tick_size"])
words = {"fontsize": STYLE["label_size"], "color": STYLE["ink"]}
above.supxlabel("eruption, minutes", **words)
above.supylabel("waiting, minutes", **words)

# %% The bandwidth, and the comparison on unseen data
left, right = below.subplots(1, 2)
style_axes(left, title="Kernel density, by bandwidth", xlabel="h, in sd", ylabel="nats per datum")
left.semilogx(BANDWIDTHS, seen, ":", color=RED, label="its own data")
left.semilogx(BANDWIDTHS, unseen, color=BLUE, label="unseen data")
left.axhline(unseen_log_p[BEST].mean(), color=GREEN, ls="-.", label="mixture of 2 (EM), unseen")
chosen = BANDWIDTHS[unseen.argmax()]
mark = {"fontsize": STYLE["note_size"], "color": STYLE["ink"], "ha": "center", "va": "center"}
for h, name, shift in ((chosen, "h by folds", (0, -12)), (scott, "Scott's h", (26, 4))):
    value = np.interp(np.log(h), np.log(BANDWIDTHS), unseen)
    left.plot(h, value, "o", color=BLUE)
    left.annotate(name, (h, value), xytext=shift, textcoords="offset points", **mark)
left.set_ylim(-5.2, -2.0)
legend_inside(left, "upper right")
xlabel = "nats per datum, 95 % interval"
style_axes(right, title="Unseen: lead on mixture of 2", xlabel=xlabel, grid="x")
others = [name for name in methods if name != BEST]
interval = [error[name] for name in others]
right.errorbar([lead[name] for name in others], range(len(others)), xerr=interval, fmt="o", color=BLUE)
right.axvline(0.0, color=GREEN, ls="-.")
right.set_yticks(range(len(others)), [name.replace(" (", "\n(").replace(", ", ",\n") for name in others])
right.set_ylim(len(others) - 0.5, -0.5)
right.tick_params(axis="y", length=0)
caption = (
    "One Gaussian, a mixture of two and kernel densities on Old Faithful. The usual bandwidth is too wide, "
    "and on its own data a kernel density gains without end by narrowing; unseen data show the right width."
)
print("figure:", save_figure(figure, OUT, "kernel-density", caption)[0])

# %% The claim
means = {name: values.mean() for name, values in unseen_log_p.items()}
assert off < 1e-9, "a kernel density is a mixture"
assert peer < 1e-12, "and in one column that of SciPy"
assert max(means, key=means.get) == BEST, "two clouds, two Gaussians"
for name in ("one Gaussian (MLE)", "kernel, Scott's h"):
    assert lead[name] + error[name] < 0, "too stiff, or too wide"
assert BANDWIDTHS[unseen.argmax()] < scott, "Scott's rule takes two clouds for one"
assert means["kernel, h by folds"] > means["kernel, Scott's h"], "folds choose better"
by_folds = "kernel, h by folds"
if not QUICK:
    assert abs(lead[by_folds]) < error[by_folds], "and come within the error of the mixture"
assert seen.argmax() == 0, "narrower always looks better on its own data"
assert unseen[0] < unseen.max() - 1, "and is far worse on unseen data"
