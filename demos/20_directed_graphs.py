# %% [markdown]
# # Directed graphs: what is missing is summed over
# %%
"""A lawn, its sprinkler and the rain: a graph with missing cells, and one estimator for each hidden variable.

Claim. A directed graph says which variables are independent, and the exact conditional mutual information is
zero there and nowhere else. Cells that are missing because of what was observed are no loss of truth: EM with
the exact posterior finds the probabilities again, where dropping incomplete rows finds others. And one ELBO
may have an estimator for each hidden variable, of which the sum over a category is the quietest.

Formula:

    p(v_1, ..., v_M) = prod_m p(v_m | parents of m)
    log p(observed) = log sum_hidden p(observed, hidden)
    d ELBO / d eta_k = sum_z q(z) score(z) log p(x, z, rest) + dH / d eta_k         one hidden category

Source: Pearl (1988), Probabilistic Reasoning in Intelligent Systems, section 3.2; Lauritzen (1995), The EM
algorithm for graphical association models with missing data; Ranganath, Gerrish and Blei (2014).
Expected time: five seconds; with ELBO_LAB_QUICK=1 two, with fewer rows.
The figure goes to the folder ELBO_LAB_OUT, by default ./elbo-lab-figures.
"""

import os

import numpy as np

from elbo_lab.datasets import EXAMPLE_GRAPHS
from elbo_lab.em import fit_em
from elbo_lab.estimators.per_node import PerNode, noise_table
from elbo_lab.exact.graphs import log_evidence
from elbo_lab.models import GraphModel
from elbo_lab.models.graphs.description import read_graph
from elbo_lab.models.graphs.independence import conditional_mutual_information, d_separated
from elbo_lab.plots import STYLE, figure_folder, panels, plot_graph, save_figure, style_axes

# %% Constants
QUICK = os.environ.get("ELBO_LAB_QUICK") == "1"
OUT = figure_folder()
SEED = 0
ROWS = 2000 if QUICK else 10_000
HIDDEN_SHARE = 0.8
MISSING = np.nan
rng = np.random.default_rng(SEED)

# %% The graph, and what it says without any data
lawn, parameters = read_graph(EXAMPLE_GRAPHS["sprinkler"])
theta = lawn.theta(parameters)
information = {}
for given in ((), ("cloudy",), ("cloudy", "wet")):
    nats = conditional_mutual_information(lawn, theta, "rain", "sprinkler", given)
    separated = d_separated(lawn, "rain", "sprinkler", given)
    information[given] = (separated, nats)
    words = ", ".join(given) or "nothing"
    print(f"rain and sprinkler given {words}: d-separated {separated}, mutual information {nats:.2e} nats")


# %% Explaining away, exactly
def probability(query, seen):
    """Return p(query | seen) from two exact evidences; both are {variable: state}."""
    rows = np.full((2, len(lawn.columns)), MISSING)
    for name, state in seen.items():
        rows[:, lawn.columns.index(name)] = state
    for name, state in query.items():
        rows[0, lawn.columns.index(name)] = state
    both, alone = log_evidence(lawn, theta, rows).value
    return np.exp(both - alone)


wet = probability({"rain": 1}, {"wet": 1})
explained = probability({"rain": 1}, {"wet": 1, "sprinkler": 1})
print(f"p(rain | wet) = {wet:.3f}; with the sprinkler seen on it falls to {explained:.3f}")

# %% Missing cells: of a wet lawn the rain is mostly not written down
table = lawn.table_of(lawn.sample(theta, ROWS, rng))
rain, is_wet = lawn.columns.index("rain"), table[:, lawn.columns.index("wet")] == 1
unseen = is_wet & (rng.random(ROWS) < HIDDEN_SHARE)
table[unseen, rain] = MISSING

fitted = fit_em(GraphModel.of(lawn), table)
truth = lawn.described(theta)["rain"]["probabilities"][:, 1]
by_em = lawn.described(fitted.theta)["rain"]["probabilities"][:, 1]
complete = table[~unseen]
by_dropping = np.array([complete[complete[:, 0] == cloudy, rain].mean() for cloudy in (0, 1)])
print(
    f"p(rain | cloudy no, yes): truth {truth}, EM {by_em.round(3)}, rows without gaps {by_dropping.round(3)}"
)
climb = [row["log_likelihood"] for row in fitted.history]

# %% A mixed graph: one estimator for each hidden variable
house, parameters = read_graph(EXAMPLE_GRAPHS["greenhouse"])
theta_house = house.theta(parameters)
seen = {"thermometer": np.array([[0.3]]), "flowers": np.array([[1.0]])}
choices = {
    "score function everywhere": dict.fromkeys(("season", "window", "warmth"), "score-function"),
    "its local terms alone": dict.fromkeys(("season", "window", "warmth"), "score-function-local"),
    "one for each variable": {"season": "enumeration", "window": "enumeration", "warmth": "pathwise"},
}
noises = {}
for words, estimators in choices.items():
    per_node = PerNode(house, estimators)
    etas = per_node.near(1, np.random.default_rng(SEED))
    noises[words] = per_node.noise(theta_house, etas, seen)
    print(f"\n{words}, exact noise by a sum over all draws:\n{noise_table(noises[words])}")

# %% The figure
figure, (left, right) = panels(2, 1, height=8.2, width=STYLE["page_width"])
plot_graph(
    house,
    {"season": 1.0, "window": 1.0, "warmth": 1.0},
    ax=left,
    title="A greenhouse: what is seen is shaded",
)
style_axes(right, title="Noise of the gradient from one draw", ylabel="variance, nats² per unit²", grid="y")
places = np.arange(3)
for i, (words, rows) in enumerate(noises.items()):
    color = ("#BB5566", "#DDAA33", "#004488")[i]
    right.bar(places + 0.26 * (i - 1), [row.variance for row in rows], 0.24, label=words, color=color)
right.set_yscale("log")
right.set_xticks(places, [row.variable for row in rows])
right.legend(frameon=False, fontsize=STYLE["note_size"])
caption = (
    "A greenhouse as a directed graph, its seen variables shaded, and the variance of the gradient in each "
    "hidden one under three estimators: the sum over a category is the least noisy."
)
print("figure:", save_figure(figure, OUT, "directed-graphs", caption)[0])

# %% The claim
for separated, nats in information.values():
    assert (abs(nats) < 1e-12) == separated, "no information exactly where the graph separates"
assert explained < wet, "the sprinkler explains the wet lawn away"
assert (np.diff(climb) > -1e-7).all(), "EM with an exact E-step never falls"
assert np.abs(by_em - truth).max() < 0.06, "EM finds the truth from rows with gaps"
assert np.abs(by_dropping - truth).max() > 0.1, "rows without gaps tell another story"
everywhere, local, chosen = noises.values()
for one, two in zip(everywhere, chosen, strict=True):
    assert np.isclose(one.squared_norm, two.squared_norm), "all are unbiased: the same mean"
for two, three in zip(local[:2], chosen[:2], strict=True):
    assert three.variance < two.variance, "a sum over a variable is quieter than its score"
