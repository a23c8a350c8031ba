# %% [markdown]
# # The bound of EM touches log p
# %%
"""Four points, one parameter: each E-step makes a curve that touches log p, each M-step goes to its top.

Claim. With q at the posterior of the present mu the ELBO, as a function of mu, touches log p there, has the
same slope, and lies below it elsewhere. Its maximum is therefore at least as high, and log p there is higher
still. From mu = 0.5 EM climbs; from mu = 0, where the slope of log p is zero, it never moves.

Formula, for x ~ N(-mu, 1) / 2 + N(mu, 1) / 2:

    E-step   r_n = p(+ | x_n) = 1 / (1 + exp(-2 mu x_n))
    M-step   mu  = (1 / N) sum_n (2 r_n - 1) x_n

Source: Dempster, Laird and Rubin (1977); the picture is that of Bishop (2006), figure 9.14.
Expected time: one second. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, new_figure, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
X = np.array([-2.0, -0.5, 1.0, 1.5])
START = 0.5
STEPS = 60
MU = np.linspace(0.0, 2.4, 481)
COLORS = ("#004488", "#BB5566")  # of the first bound and of the second


# %% The exact answer first, then the bound of an E-step at mu
def log_normal(x, mean):
    return -0.5 * np.log(2 * np.pi) - 0.5 * (x - mean) ** 2


def log_p(mu):
    """Return log p(x; mu) of the four points, in nats."""
    return np.logaddexp(log_normal(X, mu), log_normal(X, -mu)).sum() - len(X) * np.log(2)


def responsibilities(mu):
    """Return p(+ | x_n), the E-step."""
    return 1 / (1 + np.exp(-2 * mu * X))


def elbo(mu, r):
    """Return E_q log p(x, z; mu) + H(q) for q_n = (r_n, 1 - r_n), in nats."""
    joint = r * (log_normal(X, mu) - np.log(2)) + (1 - r) * (log_normal(X, -mu) - np.log(2))
    entropy = -r * np.log(r) - (1 - r) * np.log(1 - r)
    return (joint + entropy).sum()


def slope(function, mu):
    return (function(mu + 1e-5) - function(mu - 1e-5)) / 2e-5


# %% EM
mus = [START]
for _ in range(STEPS):
    r = responsibilities(mus[-1])
    mus.append(np.mean((2 * r - 1) * X))
for i, mu in enumerate(mus[:4]):
    print(f"mu_{i} = {mu:.4f}   log p = {log_p(mu):.4f}   r = {responsibilities(mu).round(4)}")
print(f"after {STEPS} iterations mu = {mus[-1]:.4f}, log p = {log_p(mus[-1]):.4f}")

# %% The figure
figure = new_figure(5.2)
ax = style_axes(figure.subplots(), xlabel=r"parameter $\mu$", ylabel="nats, four points")
exact = np.array([log_p(mu) for mu in MU])
ax.plot(MU, exact, label=r"log p(x; $\mu$), exact", **EXACT_LINE)
for i, color in enumerate(COLORS):
    r = responsibilities(mus[i])
    bound = np.array([elbo(mu, r) for mu in MU])
    ax.plot(MU, bound, color=color, lw=STYLE["line_width"], label=f"bound after E-step {i + 1}")
    top = elbo(mus[i + 1], r)
    ax.plot(mus[i], log_p(mus[i]), "o", color=color, ms=7)
    ax.plot(mus[i + 1], top, "^", color=color, ms=8)
    ax.plot([mus[i + 1]] * 2, [top, log_p(mus[i + 1])], ":", color=color, lw=1.5)
    words = {"ha": "right", "va": "bottom", "fontsize": STYLE["title_size"], "color": color}
    ax.text(mus[i] - 0.01, log_p(mus[i]) + 0.03, rf"$\mu_{i}$", **words)
ax.plot([], [], "o", color="gray", label="touches here (E-step)")
ax.plot([], [], "^", color="gray", label="its top (M-step)")
ax.set(xlim=(0, 1.8), ylim=(-8.1, -6.55))
figure.legend(frameon=False, fontsize=STYLE["label_size"], loc="outside lower left", ncols=2)
ax.set_title("Each bound touches log p and lies below it", fontsize=STYLE["title_size"], loc="left")
caption = (
    "Log p as a function of mu (dashed), and two bounds below it: each touches log p where its E-step was "
    "made, and its top is where the M-step goes."
)
print("figure:", save_figure(figure, OUT, "tangent-bound", caption)[0])

# %% The claim
for mu in mus[:5]:
    r = responsibilities(mu)
    bound = np.array([elbo(other, r) for other in MU])
    assert (bound <= exact + 1e-12).all(), "the bound lies below"
    assert abs(elbo(mu, r) - log_p(mu)) < 1e-12, "and touches at mu"
    assert abs(slope(lambda m, r=r: elbo(m, r), mu) - slope(log_p, mu)) < 1e-8, "with the same slope"
heights = np.array([log_p(mu) for mu in mus])
assert (np.diff(heights) > -1e-12).all(), "log p never falls"
assert abs(slope(log_p, mus[-1])) < 1e-8, "at the end its slope is zero"
assert np.mean((2 * responsibilities(0.0) - 1) * X) == 0.0, "from mu = 0 EM does not move"
assert log_p(0.0) < log_p(0.1), "though that is no maximum"
