"""Which independences a graph alone implies, and the numbers that must vanish for them.

A path is blocked by the variables `given` if it has a chain a -> c -> b or a fork a <- c -> b whose middle is
given, or a collider a -> c <- b of which neither the middle nor a descendant is given. Two sets are
d-separated if all paths between them are blocked; they are then independent given the others, whatever the
conditionals are (Pearl 1988, section 3.3.1).

The test needs no list of paths. Keep the ancestors of all sets, join the parents of each child ("marry"
them), forget the directions, and take away what is given: d-separated are sets without a path in what
remains (Lauritzen, Dawid, Larsen and Leimer 1990, proposition 3).

The numbers: the conditional mutual information, by a sum over all values of categories and bits,

    I(A; B | C) = sum p(a, b, c) log [p(a, b, c) p(c) / (p(a, c) p(b, c))]   in nats,

and for linear-Gaussian graphs the partial covariance Sigma_ab - Sigma_ac Sigma_cc^-1 Sigma_cb.
"""

import itertools
from collections.abc import Iterable

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.errors import NotApplicable, bad_value, unknown_name
from elbo_lab.models.graphs.gaussian import StandardNormal
from elbo_lab.models.graphs.net import BayesNet
from elbo_lab.models.graphs.predicted import LinearGaussian
from elbo_lab.special import log_sum_exp

# Values that a sum over all of them lists at most.
MOST_VALUES = 1 << 20

Names = str | Iterable[str]


def _names(net: BayesNet, argument: str, names: Names) -> list[str]:
    """Return names as a list, or refuse one that the graph does not have."""
    listed = [names] if isinstance(names, str) else list(names)
    for name in listed:
        if name not in net.parents:
            raise unknown_name(argument, name, list(net.parents), "see the graph")
    return listed


def _three_sets(net: BayesNet, a: Names, b: Names, given: Names) -> tuple[list[str], list[str], list[str]]:
    sets = _names(net, "a", a), _names(net, "b", b), _names(net, "given", given)
    for one, other in itertools.combinations(sets, 2):
        for name in one:
            if name in other:
                raise bad_value("a, b, given", "sets without a common variable", f"{name!r} in two of them")
    return sets


def ancestors(net: BayesNet, names: Iterable[str]) -> set[str]:
    """Return the variables and all their ancestors."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += net.parents[name]
    return found


def d_separated(net: BayesNet, a: Names, b: Names, given: Names = ()) -> bool:
    """Tell whether the graph makes `a` and `b` independent given others.

    Parameters
    ----------
    net : BayesNet
    a, b, given : str or sequence of str
        Without a common variable.

    Examples
    --------
    >>> from elbo_lab.models.graphs import BayesNet, Node
    >>> net = BayesNet((Node("rain", "table"), Node("hose", "table"), Node("wet", "table", ("rain", "hose"))))
    >>> d_separated(net, "rain", "hose"), d_separated(net, "rain", "hose", given="wet")
    (True, False)
    """
    a, b, given = _three_sets(net, a, b, given)
    kept = ancestors(net, [*a, *b, *given])
    neighbours: dict[str, set[str]] = {name: set() for name in kept}
    for name in kept:
        family = (name, *net.parents[name])  # all of them in `kept`
        for one, other in itertools.permutations(family, 2):
            neighbours[one].add(other)
    reached, waiting = set(given), list(a)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += neighbours[name]
    return not reached.intersection(b)


def all_values(net: BayesNet) -> dict[str, Draws]:
    """Return every value of categories and bits, (G,) or (G, n) each; the last variable changes fastest.

    Raises
    ------
    NotApplicable
        If a variable is real, or there are more than 2^20 values.
    """
    sizes = []
    for variable in net.variables.values():
        if not variable.discrete:
            raise NotApplicable(f"{variable.name!r} is real: its values cannot be listed")
        sizes += [variable.size] if variable.kind == "category" else [2] * variable.size
    n_values = np.prod(sizes, dtype=float)
    if n_values > MOST_VALUES:
        raise NotApplicable(f"{n_values:.0f} values are too many to list: at most {MOST_VALUES}")
    table = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1).astype(np.float64)
    return net.values_of(table)


def conditional_mutual_information(
    net: BayesNet, theta: Floats, a: Names, b: Names, given: Names = ()
) -> float:
    """Return I(A; B | C) in nats, by the sum over all values of the graph.

    Raises
    ------
    NotApplicable
        If the values cannot be listed.
    """
    a, b, given = _three_sets(net, a, b, given)
    values = all_values(net)
    log_p = net.log_joint(theta, values)[0]
    table = net.table_of(values)

    def marginal(names: list[str]) -> Floats:
        """Return log p of the values of some variables, in every row of all."""
        columns = [table[:, net.places[name]] for name in names]
        if not columns:
            return np.zeros(len(table))
        _, group = np.unique(np.concatenate(columns, axis=1), axis=0, return_inverse=True)
        group = group.ravel()
        sums = np.array([log_sum_exp(log_p[group == one], axis=None) for one in range(group.max() + 1)])
        return sums[group]

    possible = log_p > -np.inf
    gain = marginal([*a, *b, *given])[possible] + marginal(given)[possible]
    gain -= marginal([*a, *given])[possible] + marginal([*b, *given])[possible]
    return float(np.exp(log_p[possible]) @ gain)


def gaussian_moments(net: BayesNet, theta: Floats) -> tuple[Floats, Floats]:
    """Return the mean (D,) and covariance (D, D) of a linear-Gaussian graph, in the order of its columns.

    With v = A v + b + S eps, eps ~ N(0, I), the mean is (I - A)^-1 b and the covariance
    (I - A)^-1 S^2 (I - A)^-T.

    Raises
    ------
    NotApplicable
        If a conditional is not linear-Gaussian.
    """
    n = len(net.columns)
    A, b, sigma = np.zeros((n, n)), np.zeros(n), np.zeros(n)
    for name, conditional in net.conditionals.items():
        if not isinstance(conditional, LinearGaussian | StandardNormal):
            raise NotApplicable(f"{name!r} is not linear-Gaussian but {conditional.name}")
        form = conditional.linear_form(theta[net.parts[name]], {})
        inputs = [i for parent in net.parents[name] for i in range(n)[net.places[parent]]]
        A[net.places[name], inputs] = form.W[0, 0]
        b[net.places[name]], sigma[net.places[name]] = form.b[0, 0], np.exp(form.log_sigma[0, 0])
    back = np.linalg.inv(np.eye(n) - A)
    scaled = back * sigma
    return back @ b, scaled @ scaled.T


def partial_covariance(net: BayesNet, theta: Floats, a: Names, b: Names, given: Names = ()) -> Floats:
    """Return Cov[a, b | given] (A, B) of a linear-Gaussian graph; zero where `d_separated`."""
    a, b, given = _three_sets(net, a, b, given)
    covariance = gaussian_moments(net, theta)[1]
    columns = range(len(net.columns))
    i, j, k = ([c for name in names for c in columns[net.places[name]]] for names in (a, b, given))
    direct = covariance[np.ix_(i, j)]
    if not k:
        return direct
    explained = np.linalg.solve(covariance[np.ix_(k, k)], covariance[np.ix_(k, j)])
    return direct - covariance[np.ix_(i, k)] @ explained
