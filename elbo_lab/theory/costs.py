"""One-dimensional costs: the variance of every Gaussian gradient estimator of E f(z), z ~ N(mu, sigma^2).

The setting in which the families are compared by Mohamed, Rosca, Figurnov and Mnih (2020, section 3): one
latent, no log q in f, everything by quadrature. Derivatives are in mu and in log sigma (divide the second by
sigma for sigma itself). With e ~ N(0, 1), z = mu + sigma e and one draw,

    score function      (f(z) - b) e / sigma                              (f(z) - b) (e^2 - 1)
    reparameterization  f'(z)                                             f'(z) sigma e
    measure-valued      {f(mu + sigma R) - f(mu - sigma R)} / (sigma sqrt(2 pi))      f(mu + sigma M) - f(z)

where R is Rayleigh with density r exp(-r^2 / 2) and M is double-sided Maxwell with density
m^2 exp(-m^2 / 2) / sqrt(2 pi). The two terms of a measure-valued estimate are drawn independently, or
coupled: the same R, and e = U M with U uniform on (0, 1), which is again N(0, 1).

The pathwise variance is that of f', the others' that of f: a cost that wiggles with a high frequency and a
small amplitude has a large f' and turns the usual order around: `crossover` finds where.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count, check_positive, unknown_name
from elbo_lab.exact.rules import panel_rule
from elbo_lab.kinds import checks_kinds
from elbo_lab.special import LOG_2PI

# Panels of Gauss-Legendre nodes: a cost of frequency 20 in units of sigma has 30 nodes per period.
REACH = 11.0
PANELS = 44
NODES = 20
PARAMETERS = ("mu", "log_sigma")

Function = Callable[[Any], Any]
"""Of a number or an array, element by element."""

Table = dict[tuple[str, str], tuple[float, float]]
"""By estimator and parameter: the gradient, and the variance of its estimate."""


@dataclass(frozen=True)
class Cost:
    """A cost f(z) with its derivative.

    Attributes
    ----------
    name : str
    value, slope : callable
        f and f', element by element.
    """

    name: str
    value: Function
    slope: Function


def quadratic_cost(k: float) -> Cost:
    """Return f(z) = (z - k)^2."""
    return Cost(f"(z - {k:g})^2", lambda z: (z - k) ** 2, lambda z: 2.0 * (z - k))


def bell_cost(k: float) -> Cost:
    """Return f(z) = exp(-k z^2)."""
    return Cost(f"exp(-{k:g} z^2)", lambda z: np.exp(-k * z * z), lambda z: -2.0 * k * z * np.exp(-k * z * z))


def wave_cost(k: float) -> Cost:
    """Return f(z) = cos(k z)."""
    return Cost(f"cos({k:g} z)", lambda z: np.cos(k * z), lambda z: -k * np.sin(k * z))


COSTS = {"quadratic": quadratic_cost, "bell": bell_cost, "wave": wave_cost}
"""Families of costs in one parameter k, by name."""


def _moments(weights: Floats, g: Floats) -> tuple[float, float]:
    """Return mean and variance of g under weights that sum to one."""
    mean = (weights * g).sum()
    return mean, (weights * (g - mean) ** 2).sum()


def _normal_rule() -> tuple[Floats, Floats]:
    e, w = panel_rule(np.linspace(-REACH, REACH, 2 * PANELS + 1), NODES)
    return e, w * np.exp(-0.5 * (e * e + LOG_2PI))


def _score_rows(f: Function, mu: float, sigma: float, n_draws: int) -> Table:
    e, w = _normal_rule()
    values = f(mu + sigma * e)
    mean, variance = _moments(w, values)
    rows = {}
    for parameter, s in (("mu", e / sigma), ("log_sigma", e * e - 1.0)):
        square = (w * s * s).sum()
        optimal = (w * values * s * s).sum() / square
        baselines = {"": 0.0, "-mean-baseline": mean, "-oracle-baseline": optimal}
        for name, b in baselines.items():
            gradient, one = _moments(w, (values - b) * s)
            rows[f"score-function{name}", parameter] = gradient, one / n_draws
        if n_draws > 1:
            centred = (w * (values - mean) ** 2 * s * s).sum()
            explained = (n_draws - 2) / (n_draws - 1) * gradient**2
            loo = (centred - explained + variance * square / (n_draws - 1)) / n_draws
            rows["score-function-loo", parameter] = gradient, loo
    return rows


def _path_rows(slope: Function, mu: float, sigma: float, n_draws: int) -> Table:
    e, w = _normal_rule()
    found = {"mu": slope(mu + sigma * e), "log_sigma": slope(mu + sigma * e) * sigma * e}
    rows = {}
    for parameter, g in found.items():
        mean, one = _moments(w, g)
        rows["reparameterization", parameter] = mean, one / n_draws
    return rows


def _measure_rows(f: Function, mu: float, sigma: float, n_draws: int) -> Table:
    r, w = panel_rule(np.linspace(0.0, REACH, PANELS + 1), NODES)
    rayleigh, constant = w * r * np.exp(-0.5 * r * r), 1.0 / (sigma * np.sqrt(2.0 * np.pi))
    up, down = f(mu + sigma * r), f(mu - sigma * r)
    mean, coupled = _moments(rayleigh, constant * (up - down))
    apart = sum(_moments(rayleigh, constant * side)[1] for side in (up, down))
    rows = {
        ("measure-valued", "mu"): (mean, apart / n_draws),
        ("measure-valued-coupled", "mu"): (mean, coupled / n_draws),
    }
    e, normal = _normal_rule()
    maxwell = normal * e * e
    (high, above), (low, below) = _moments(maxwell, f(mu + sigma * e)), _moments(normal, f(mu + sigma * e))
    rows["measure-valued", "log_sigma"] = high - low, (above + below) / n_draws
    # The coupling: e = U M, an integral over both.
    u, share = panel_rule(np.linspace(0.0, 1.0, PANELS + 1), NODES)
    weights = np.multiply.outer(maxwell, share)
    difference = f(mu + sigma * e)[:, None] - f(mu + sigma * np.multiply.outer(e, u))
    mean, one = _moments(weights, difference)
    rows["measure-valued-coupled", "log_sigma"] = mean, one / n_draws
    return rows


def _check_finite(**numbers: float) -> None:
    for name, number in numbers.items():
        if not np.isfinite(number):
            raise bad_value(name, "a finite number", number)


@checks_kinds
def cost_variances(cost: Cost, mu: float, sigma: float, n_draws: int = 1) -> Table:
    """Return mean and variance of every Gaussian gradient estimator of E f(z), z ~ N(mu, sigma^2).

    Parameters
    ----------
    cost : Cost
    mu, sigma : float
    n_draws : int
        S; an estimate is the mean of S draws (leave-one-out from two on).

    Returns
    -------
    dict of (str, str) to (float, float)
        By (estimator, 'mu' or 'log_sigma'): the gradient and the variance of its estimate.

    Raises
    ------
    ValueError
        If sigma is not positive, S is no positive integer, or f is not finite somewhere within 11 sigma.

    Examples
    --------
    >>> rows = cost_variances(quadratic_cost(0.0), 1.0, 1.0)
    >>> round(rows["reparameterization", "mu"][1], 9), round(rows["score-function", "mu"][1], 9)
    (4.0, 30.0)
    """
    _check_finite(mu=mu)
    check_positive("sigma", sigma)
    check_count("n_draws", n_draws)
    z = mu + sigma * _normal_rule()[0]
    for what, values in (("value", cost.value(z)), ("slope", cost.slope(z))):
        if not np.isfinite(values).all():
            raise bad_value("cost", f"a finite {what} within {REACH:g} sigma of mu", f"{cost.name}")
    return (
        _score_rows(cost.value, mu, sigma, n_draws)
        | _path_rows(cost.slope, mu, sigma, n_draws)
        | _measure_rows(cost.value, mu, sigma, n_draws)
    )


@checks_kinds
def crossover(
    costs: Callable[[float], Cost],
    low: float,
    high: float,
    names: tuple[str, str] = ("reparameterization", "score-function"),
    parameter: str = "mu",
    mu: float = 1.0,
    sigma: float = 1.0,
) -> float:
    """Return the k between `low` and `high` at which two estimators of costs(k) have the same variance.

    Parameters
    ----------
    costs : callable
        A family of costs, such as COSTS['wave'].
    low, high : float
        Ends of an interval in which the order changes once.
    names : pair of str
        Estimators, as in `cost_variances`, that have noise at both ends.
    parameter : {'mu', 'log_sigma'}
    mu, sigma : float

    Raises
    ------
    ValueError
        If the same estimator has less variance at both ends.

    Examples
    --------
    >>> round(crossover(COSTS["wave"], 0.5, 2.0), 4)
    1.0638
    """
    from scipy.optimize import brentq  # heavy: loaded on use

    _check_finite(low=low, high=high, mu=mu)
    if parameter not in PARAMETERS:
        raise unknown_name("parameter", parameter, PARAMETERS)
    known = dict.fromkeys(name for name, _ in cost_variances(costs(low), mu, sigma))
    for name in names:
        if name not in known:
            raise unknown_name("names", name, list(known))

    def log_ratio(k: float) -> float:
        rows = cost_variances(costs(k), mu, sigma)
        first, second = (rows[name, parameter][1] for name in names)
        return float(np.log(first) - np.log(second))

    if log_ratio(low) * log_ratio(high) > 0:
        raise bad_value("low, high", "ends between which the order changes", f"{low:g}, {high:g}")
    return float(brentq(log_ratio, low, high, xtol=1e-10))
