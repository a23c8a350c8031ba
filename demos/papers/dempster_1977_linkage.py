# %% [markdown]
# # Table 1 of the paper that gave EM its name
# %%
"""197 animals in four cells, one of which is two in one: EM to nine digits, as printed in 1977.

Claim. From 1/2 the iterates, their distances to the maximum and the ratios of consecutive distances are those
of the printed table, but for a unit in some last digits. The ratio tends to the share of the information that
the missing split of the first cell would have carried: a number of the model, known without an iteration.

Formula:
    cells (1/2 + t/4, (1 - t)/4, (1 - t)/4, t/4),   y = (125, 18, 20, 34)
    E-step  s = t / (2 + t)        M-step  t = (y1 s + y4) / (y1 s + y2 + y3 + y4)
    t* solves 197 t^2 - 15 t - 68 = 0
    rate = missing / complete information = [y1 s (1 - s) / t^2] / [(y1 s + y4) / t^2 + (y2 + y3) / (1 - t)^2]

Source: Dempster, Laird and Rubin (1977), JRSS B 39, 1-38: section 1 with table 1, the rate in section 3.
Exact set-up: the start 1/2, eight iterations, nothing random.
It must show: nine iterates, nine distances and six ratios, each within one unit of its last printed digit.
Ours are exact fractions, rounded to as many digits: where the last one differs, ours is the nearer.
Expected time: a second, most of it imports. The figure goes to the folder ELBO_LAB_OUT.
"""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
from _paper import paper_parser, publish, read_options

from elbo_lab.em import GeneticLinkage, run_em
from elbo_lab.plots import EXACT_LINE, figure_folder, new_figure, plot_staircase, save_figure, style_axes

# %% Constants
ASKED = read_options(paper_parser(__doc__))
OUT = figure_folder()
START = Fraction(1, 2)
PRINTED = """0.500000000 0.608247423 0.624321051 0.626488879 0.626777323 0.626815632 0.626820719 0.626821395
0.626821484""".split()
PRINTED_DISTANCE = """0.126821498 0.018574075 0.002500447 0.000332619 0.000044176 0.000005866 0.000000779
0.000000104 0.000000014""".split()
PRINTED_RATIO = "0.1465 0.1346 0.1330 0.1328 0.1328 0.1328".split()

# %% The exact answer first: the root of the likelihood equation, and the rate there
problem = GeneticLinkage()
y1, y2, y3, y4 = problem.counts
root = (15 + math.sqrt(15**2 + 4 * 197 * 68)) / (2 * 197)
s = problem.e_step(root)
missing = y1 * s * (1 - s) / root**2
complete = (y1 * s + y4) / root**2 + (y2 + y3) / (1 - root) ** 2
rate = missing / complete
print(f"maximum {root:.9f}, share of missing information {rate:.6f}")

# %% Then EM, in exact fractions: no digit is lost on the way
path = [START]
while len(path) < len(PRINTED):
    path.append(problem.m_step(problem.e_step(path[-1])))
iterates = [float(t) for t in path]
distances = [abs(t - root) for t in iterates]
ratios = [b / a for a, b in pairwise(distances)]
floating = run_em(problem, float(START), tolerance=1e-300, max_iterations=len(path) - 1)
print(f"floating point ends {abs(floating.theta - iterates[-1]):.0e} from the fractions")

# %% The figure
figure = new_figure(6.6)
above, below = figure.subfigures(2, 1, height_ratios=(3.6, 3.0))
plot_staircase(floating.history, above.subplots(), iterations=3, title="Three iterations")
ax = below.subplots()
title = "Every iteration leaves the same share of the distance"
style_axes(ax, title=title, xlabel="iteration", ylabel="|t - t*|")
steps = np.arange(len(distances))
ax.semilogy(steps, distances, "o", color="#0072B2", label="EM")
line = distances[-1] * rate ** (steps - steps[-1])
ax.semilogy(steps, line, label="slope: share of missing information, by formula", **EXACT_LINE)
ax.legend(frameon=False)
caption = (
    "Three iterations of EM as a staircase, and its distance to the maximum: each iteration leaves the same "
    "share, the share of missing information."
)
print("figure:", save_figure(figure, OUT, "linkage", caption)[0])


# %% The claim
def compared(kind, printed, ours, digits):
    """Return a row for every printed number, which ours meets to one in its last digit."""
    rows = []
    for p, (text, value) in enumerate(zip(printed, ours, strict=False)):
        assert abs(value - float(text)) < 1.0 * 10**-digits, (kind, p)
        shown = f"{value:.{digits}f}"
        note = "" if shown == text else "theirs is off by one in the last digit"
        rows.append({"quantity": f"{kind} {p}", "published": text, "ours": shown, "note": note})
    return rows


assert len(PRINTED) == len(iterates) and len(PRINTED_DISTANCE) == len(distances), "a row each"
rows = compared("iterate", PRINTED, iterates, 9)
rows += compared("distance", PRINTED_DISTANCE, distances, 9)
rows += compared("ratio", PRINTED_RATIO, ratios, 4)
rows.append({"quantity": "rate", "published": None, "ours": rate, "note": "limit of the ratios, by formula"})
publish(rows, "Dempster, Laird and Rubin (1977), table 1", ASKED)
assert abs(ratios[-1] - rate) < 1e-6, "the ratios should tend to the share of missing information"
assert abs(floating.theta - iterates[-1]) < 1e-12, "floating point should keep the digits"
