# %% [markdown]
# # Without the entropy, q collapses to a point
# %%
"""Leave the entropy out of the ELBO, and q shrinks to a point at the mode; what is left is no better bound.

Claim. Gradient ascent of E_q log p(x, z) alone drives the standard deviation of q to 0, as 1 / sqrt(2 c t);
with the entropy it settles at the posterior's. While the objective without entropy rises to log p(x, z*)
and looks healthy, the ELBO of that q falls without limit. With many columns that objective even passes
log p(x): it is no bound.

Formula, with the posterior N(m*, 1 / c), here c = 3.25, q = N(m, s^2) and time t = steps times their size:

    E_q log p(x, z)  =  log p(x, m*) - c ((m - m*)^2 + s^2) / 2
    without entropy     ds/dt = -c s^3             1 / s^2 = 1 / s_0^2 + 2 c t
    with entropy        ds/dt = s - c s^3          1 / s^2 = c + (1 / s_0^2 - c) e^(-2 t)
    log p(x, m*)     =  log p(x) + log c / 2 - log(2 pi) / 2

The steps are those of gradient ascent in log s.

Source: Jordan, Ghahramani, Jaakkola and Saul (1999); Bishop (2006), section 9.4 for the two terms.
Expected time: one second. The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import numpy as np

from elbo_lab.models import PPCA
from elbo_lab.plots import EXACT_LINE, STYLE, figure_folder, new_figure, save_figure, style_axes

# %% Constants: the running example, and q at the prior
OUT = figure_folder()
MODEL = PPCA(3, 1)
THETA = MODEL.layout.pack({"W": np.array([[1.0], [0.5], [-1.0]]), "b": np.zeros(3), "log_sigma": 0.0})
X = np.array([[1.2, 0.3, -0.8]])
START = (0.0, 1.0)  # mean and sd of q
SIZE = 0.02
STEPS = 1000
RED, BLUE = "#BB5566", "#004488"

# %% The exact answers
log_p = MODEL.log_evidence(THETA, X)[0]
mode, log_tau = MODEL.posterior_eta(THETA, X)[0]
tau = np.exp(log_tau)
c = 1 / tau**2
top = log_p + 0.5 * np.log(c / (2 * np.pi))
print(f"log p(x) = {log_p:.4f}, posterior N({mode:.4f}, {tau:.4f}^2), log p(x, z) at its mode {top:.4f}")


# %% Gradient ascent in the mean and in log s, with and without the entropy
def ascend(entropy):
    """Return mean and sd of q before each step (STEPS + 1, 2); `entropy` is its weight, 1 or 0."""
    mean, log_s = START[0], np.log(START[1])
    path = [(mean, np.exp(log_s))]
    for _ in range(STEPS):
        mean, log_s = mean + SIZE * c * (mode - mean), log_s + SIZE * (entropy - c * np.exp(2 * log_s))
        path.append((mean, np.exp(log_s)))
    return np.array(path).T


def expected_log_joint(mean, sd):
    return top - 0.5 * c * ((mean - mode) ** 2 + sd**2)


def elbo(mean, sd):
    return expected_log_joint(mean, sd) + 0.5 * np.log(2 * np.pi * np.e * sd**2)


time = SIZE * np.arange(STEPS + 1)
kept, dropped = ascend(1.0), ascend(0.0)
flow_kept = (c + (1 / START[1] ** 2 - c) * np.exp(-2 * time)) ** -0.5
flow_dropped = (1 / START[1] ** 2 + 2 * c * time) ** -0.5
print("steps   sd with entropy   ELBO     sd without   objective   its ELBO")
for i in (0, 10, 100, 1000):
    left = f"{i:>5} {kept[1, i]:>17.4f} {elbo(*kept[:, i]):>8.4f}"
    objective = expected_log_joint(*dropped[:, i])
    print(f"{left} {dropped[1, i]:>12.4f} {objective:>11.4f} {elbo(*dropped[:, i]):>10.4f}")

# %% The figure
figure = new_figure(6.4, 5.4)
above, below = figure.subplots(2, 1, sharex=True)
style_axes(above, title="Without its entropy q collapses", ylabel="standard deviation of q")
look = {"lw": STYLE["line_width"] + 0.4}
above.plot(time / SIZE, kept[1], color=BLUE, label="with entropy", **look)
above.plot(time / SIZE, dropped[1], color=RED, label="without entropy", **look)
above.axhline(tau, label="posterior", **EXACT_LINE)
above.set(ylim=(0.0, 1.02), xscale="log", xlim=(1, STEPS))
above.legend(frameon=False, fontsize=STYLE["label_size"], loc="upper right")
title = "Its objective looks healthy, its ELBO falls"
style_axes(below, title=title, xlabel=f"gradient steps of size {SIZE}", ylabel="nats")
below.plot(time / SIZE, elbo(*kept), color=BLUE, label="ELBO, with entropy", **look)
label = "E log p(x, z) of the collapsing q"
below.plot(time / SIZE, expected_log_joint(*dropped), "-.", color=RED, label=label, **look)
below.plot(time / SIZE, elbo(*dropped), color=RED, label="ELBO of the collapsing q", **look)
below.axhline(log_p, label="log p(x)", **EXACT_LINE)
below.set(ylim=(-6.5, -3.4))
words = {"frameon": False, "fontsize": STYLE["label_size"], "loc": "outside lower left"}
figure.legend(*below.get_legend_handles_labels(), **words)
caption = (
    "Above: the standard deviation of q settles at that of the posterior with the entropy, and falls towards "
    "0 without it. Below: the objective without entropy rises and levels off while the ELBO of that q falls."
)
print("figure:", save_figure(figure, OUT, "without-the-entropy", caption)[0])

# %% More columns: the example repeated. log p(x, z*) against log p(x)
print("columns  posterior sd  log p(x, z*) - log p(x)")
excess = []
for repeats in (1, 2, 4, 8):
    precision = 1 + 2.25 * repeats
    excess.append(0.5 * np.log(precision / (2 * np.pi)))
    print(f"{3 * repeats:>7}  {precision**-0.5:>12.4f}  {excess[-1]:>+23.4f}")

# %% The claim
assert abs(kept[1, -1] - tau) < 1e-6, "with entropy q becomes the posterior"
assert abs(elbo(*kept[:, -1]) - log_p) < 1e-9, "and the ELBO log p"
assert (np.diff(dropped[1]) < 0).all() and dropped[1, -1] < 0.1, "without it sd falls, step by step"
assert np.abs(kept[1] - flow_kept).max() < 0.02, "the formula with entropy, up to the size of the steps"
assert np.abs(dropped[1] - flow_dropped).max() < 0.02, "and the one without"
assert (np.diff(expected_log_joint(*dropped)) > 0).all(), "its objective rises in every step"
assert elbo(*dropped[:, -1]) < elbo(*dropped[:, 100]) - 1, "while its ELBO falls"
assert excess[1] < 0 < excess[2], "and with twelve columns the objective passes log p: it is no bound"
