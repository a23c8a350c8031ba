"""Do the draws of a model follow its density? One bounded statistic for constants, samplers and parameters.

For any two densities p and g with draws of both,

    E_p[g / (p + g)] = E_g[p / (p + g)],

since both are the integral of p g / (p + g) (Bennett 1976; Meng and Wong 1996). If p is not normalised, or
its draws are those of another density, the two sides differ. The terms lie between zero and one whatever the
tails, so that the mean of n pairs has a limit without any assumption (empirical Bernstein; Maurer and Pontil
2009, theorem 4): a correct model is refused with probability 1e-4 at most. Two choices of g:

    a histogram of earlier draws, column by column, normalised by construction: it sees a wrong constant of
    log p(x | z) or log p(z), and a sampler that is far off (the difference is quadratic in its fault)

    the model itself at another theta, moved in one block: it sees a sampler whose scale, mean or prior is
    off in that block (linear in the fault), and no constant, which cancels

What neither sees: faults below `Bridge.constant` nats, which grows with the columns, as a product of
histograms and p then overlap little; a dependence between columns that theta does not govern.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import LARGEST_DATUM, bad_value
from elbo_lab.layout import Layout
from elbo_lab.models import Model
from elbo_lab.special import sigmoid
from elbo_lab.study.rows import POWER_MARGIN

Pair = tuple[Floats, Draws]
"""Draws x (n, D) and z (n, ...)."""
Draw = Callable[[int], Draws]
"""From n to draws (n, D)."""

FALSE_ALARM = 1e-4
PILOT = 1000
BINS = 25
# Pairs of draws, and numbers in them, of one statistic.
MOST_PAIRS, MOST_NUMBERS = 8000, 100_000
# A share of draws that may lie beyond the floats, as under an exponential of heavy tails.
RARE = 0.01


class NoDraws(Exception):
    """The model cannot be drawn from here: it raises, as where a rate overflows."""


def _drawn(method: Callable[..., Any], *arguments: object) -> Any:
    try:
        return method(*arguments)
    except (ValueError, ArithmeticError, NotImplementedError) as reason:
        raise NoDraws from reason


class Bridge(NamedTuple):
    """The difference of the two sides, its limit, and the constant (nats) found with 99 % power."""

    difference: float
    limit: float
    constant: float

    @property
    def holds(self) -> bool:
        """Whether the two sides may be equal."""
        return abs(self.difference) <= self.limit


def pairs_for(columns: int) -> int:
    """Return the number of pairs for draws of so many columns."""
    return min(MOST_PAIRS, max(PILOT, MOST_NUMBERS // columns))


def bridge(at_p: Floats, at_g: Floats, tests: int) -> Bridge:
    """Compare the two sides of the identity.

    Parameters
    ----------
    at_p, at_g : ndarray (n,)
        log p - log g at draws of p and at draws of g.
    tests : int
        Statistics that share the rate of false alarms.
    """
    # Where a log-density is not finite (zero, or beyond the floats) both sides leave the draw out.
    by_p, by_g = (np.where(np.isfinite(ratio), sigmoid(ratio), 0.0) for ratio in (-at_p, at_g))
    n, difference = len(by_p), by_p - by_g
    log_odds = np.log(4.0 * tests / FALSE_ALARM)
    variance = difference.var(ddof=1)
    limit = np.sqrt(2.0 * variance * log_odds / n) + 14.0 * log_odds / (3.0 * (n - 1))
    slope = (by_p * (1.0 - by_p)).mean() + (by_g * (1.0 - by_g)).mean()
    seen = limit + POWER_MARGIN * np.sqrt(variance / n)
    return Bridge(float(difference.mean()), float(limit), float(seen / slope) if slope > 0 else np.inf)


@dataclass(frozen=True)
class Histogram:
    """A product of histograms: one column each, of values where they repeat, else of bins of equal mass.

    Attributes
    ----------
    columns : tuple of (ndarray, ndarray or None)
        Edges of bins of equal mass, or values and their probabilities.
    """

    columns: tuple[tuple[Floats, Floats | None], ...]

    @classmethod
    def of(cls, draws: Draws) -> "Histogram":
        """Return the histogram of draws (n, D)."""
        return cls(tuple(_of_column(column) for column in draws.T))

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw (n, D)."""
        drawn = []
        for places, shares in self.columns:
            if shares is not None:
                drawn.append(rng.choice(places, n, p=shares))
            else:
                bins = rng.integers(len(places) - 1, size=n)
                drawn.append(rng.uniform(places[bins], places[bins + 1]))
        return np.stack(drawn, axis=-1)

    def log_density(self, x: Draws) -> Floats:
        """Return log g (n,); -inf outside."""
        total = np.zeros(len(x))
        for (places, shares), column in zip(self.columns, x.T, strict=True):
            if shares is not None:
                at = np.minimum(np.searchsorted(places, column), len(places) - 1)
                total += np.where(places[at] == column, np.log(shares[at]), -np.inf)
            else:
                at = np.clip(np.searchsorted(places, column, side="right") - 1, 0, len(places) - 2)
                inside = (column >= places[0]) & (column <= places[-1])
                widths = np.diff(places)
                total += np.where(inside, -np.log(widths[at] * len(widths)), -np.inf)
        return total


def _of_column(column: Draws) -> tuple[Floats, Floats | None]:
    values, counts = np.unique(column, return_counts=True)
    if len(values) < len(column) / 2 or np.all(values == np.round(values)):
        return values.astype(np.float64), counts / len(column)
    return np.quantile(values, np.linspace(0.0, 1.0, BINS + 1)), None


def against_histogram(
    draw: Draw, log_density: Callable[[Draws], Floats], tests: int, rng: np.random.Generator
) -> tuple[Bridge, float] | None:
    """Return the bridge between a density p and a histogram of its draws, and what p integrates to there.

    None where the columns of the draws determine each other, as shares of one whole do: their density is then
    one over fewer columns.

    Parameters
    ----------
    draw : callable
        From n to draws (n, D) of p.
    log_density : callable
        From such draws to log p (n,).
    tests : int
    rng : numpy.random.Generator
    """
    pilot = draw(PILOT)
    histogram = Histogram.of(pilot)
    free = pilot[:, [shares is None for _, shares in histogram.columns]]
    if np.linalg.matrix_rank(free - free.mean(axis=0)) < free.shape[1]:
        return None
    n = pairs_for(pilot.shape[1])
    ours, others = draw(n), histogram.sample(n, rng)
    at_g = np.nan_to_num(log_density(others) - histogram.log_density(others), nan=-np.inf, neginf=-np.inf)
    at_p = log_density(ours) - histogram.log_density(ours)
    mass = float(np.exp(at_g).mean())
    return bridge(at_p, at_g, tests), mass


def check_draws(model: Model, theta: Floats, sizes: Floats, rng: np.random.Generator) -> float:
    """Refuse a model whose draws are not those of its density.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    sizes : ndarray (P,)
        Of the block of each coordinate.
    rng : numpy.random.Generator

    Returns
    -------
    float
        A constant missing in log p(x | z) or log p(z) is found with 99 % power from this size on, in nats;
        inf where they could not be tested.

    Raises
    ------
    ValueError
    """
    x, z = _drawn(model.sample, theta, pairs_for(model.n_columns), rng)
    possible = np.all(np.abs(x) < LARGEST_DATUM, axis=-1)
    model.check_support(x[possible], f"draws of sample_x of {model.label}")
    here = model.log_joint(theta, x, z[None])[0]
    if np.mean(~np.isfinite(here)) > RARE:
        what, got = f"log_joint of {model.label}", here[~np.isfinite(here)][0]
        raise bad_value(what, "finite numbers at draws of sample", got, "correct sample_x, or likelihood")
    family, eta = model.family, model.prior_eta(theta)[0]
    tests = len(model.layout.entries) + len(family.eta_layout.entries) + 3

    def of_pair(theta: Floats, pair: Pair) -> Floats:
        return model.log_joint(theta, pair[0], pair[1][None])[0]

    def of_z(eta: Floats, pair: Pair) -> Floats:
        return family.log_prob(eta[None], pair[1][None])[0]

    def from_prior(eta: Floats) -> Pair:
        return x, family.sample(eta[None], draw_noise(family.noise_spec(1, len(x)), rng))[0]

    prior = Moving("p(z)", family.eta_layout, eta, np.ones_like(eta), of_z, from_prior)
    joint = Moving(
        "p(x, z)", model.layout, theta, sizes, of_pair, lambda theta: _drawn(model.sample, theta, len(x), rng)
    )
    for moving in (prior, joint):
        for name, _ in moving.layout.entries:
            found = moving.against_moved(name, (x, z), tests, rng)
            if not found.holds:
                agreement = f"whose means agree within {found.limit:.2g} as {name} moves"
                expected = f"draws of {moving.formula}, {agreement}"
                remedy = "correct sample_x, or likelihood" if moving is joint else "correct sample"
                raise bad_value(f"sample of {model.label}", expected, f"{found.difference:+.2g}", remedy)

    def draw_z(n: int) -> Draws:
        return _drawn(model.sample, theta, n, rng)[1].reshape(n, -1)

    def density_of_z(table: Draws) -> Floats:
        return model.log_prior(theta, table.reshape(1, -1, *z.shape[1:]).astype(z.dtype))[0]

    def draw_x(given: Draws, n: int) -> Draws:
        return _drawn(model.sample_x, theta, np.repeat(given, n, axis=0), rng)

    def density_of_x(given: Draws, x: Floats) -> Floats:
        return model.log_likelihood(theta, x, np.repeat(given, len(x), axis=0)[None])[0]

    constants = [_check_constant(f"log_prior of {model.label}", draw_z, density_of_z, tests, rng)]
    for given in (z[:1], z[1:2]):
        of_x = partial(draw_x, given), partial(density_of_x, given)
        constants.append(_check_constant(f"likelihood of {model.label}", *of_x, tests, rng))
    return max(constants)


@dataclass(frozen=True)
class Moving:
    """A density with named blocks of parameters, and its draws.

    Attributes
    ----------
    formula : str
    layout : Layout
    place, sizes : ndarray (P,)
        The parameters, and the size of the block of each.
    log_density : callable
        From parameters and draws to (n,).
    draw : callable
        From parameters to draws.
    """

    formula: str
    layout: Layout
    place: Floats
    sizes: Floats
    log_density: Callable[[Floats, Pair], Floats]
    draw: Callable[[Floats], Pair]

    def against_moved(self, block: str, draws: Pair, tests: int, rng: np.random.Generator) -> Bridge:
        """Return the bridge between draws at the place and those of one that is about a nat away."""
        direction = np.zeros_like(self.place)
        view = self.layout.view(direction, block)
        view[...] = self.layout.view(self.sizes, block) * np.abs(rng.standard_normal(view.shape))
        here, share = self.log_density(self.place, draws), 0.3
        for _ in range(4):
            moved = self.place + share * direction
            ratio = here - self.log_density(moved, draws)
            finite = np.isfinite(ratio)
            spread = ratio[finite].std() if np.mean(finite) > 1.0 - RARE else np.inf
            if 0.5 < spread < 2.0:
                break
            share *= min(1.0 / max(spread, 0.1), 10.0) if np.isfinite(spread) else 0.1
        others = self.draw(moved)
        there = self.log_density(self.place, others) - self.log_density(moved, others)
        return bridge(ratio, there, tests)


def _check_constant(
    what: str, draw: Draw, log_density: Callable[[Draws], Floats], tests: int, rng: np.random.Generator
) -> float:
    """Refuse a density that is not that of its draws; return the constant that would have been found."""
    tested = against_histogram(draw, log_density, tests, rng)
    if tested is None:
        return np.inf
    found, mass = tested
    if not found.holds:
        expected = "a density that integrates to 1 over the draws of sample"
        remedy = "add the constant that is missing, or correct sample_x"
        raise bad_value(what, expected, f"{mass:.3g}", remedy)
    return found.constant
