"""How often one look of the bias test exceeds its limit without a bias: prints the table of docs/testing.md.

    python tests/false_alarms.py                                about two minutes on one core
    python tests/false_alarms.py --pairs 4000 --repeats 1000
    python tests/false_alarms.py --bias 1.0                     power: a mean off by what is detectable

A pair is one row and one seed: R estimates of an unbiased estimator on a small scene (one datum, two draws,
one latent), or R draws of a distribution, and the largest |z| over its numbers. Every pair is looked at with
the normal limit of the same nominal rate ("plain") and with that of `study.rows.bias_test`.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from elbo_lab.registry import find_estimators, find_models
from elbo_lab.study.measure import estimate_repeats, settled_state
from elbo_lab.study.references import references
from elbo_lab.study.rows import POWER_MARGIN, z_limit
from elbo_lab.study.scene import build_scene, spawn
from elbo_lab.study.statistics import skewed_limit

LEVELS = (1e-2, 1e-3, 1e-4)
DRAWS = 2
ESTIMATES_PER_PASS = 40_000

LIGHT = {
    "normal": (lambda rng, size: rng.standard_normal(size), 0.0),
    "Student t, 5 degrees": (lambda rng, size: rng.standard_t(5, size), 0.0),
    "exponential": (lambda rng, size: rng.exponential(size=size), 1.0),
}
HEAVY = {
    "normal^2": (lambda rng, size: rng.standard_normal(size) ** 2, 1.0),
    "normal^4": (lambda rng, size: rng.standard_normal(size) ** 4, 3.0),
    "log-normal, sd 1": (lambda rng, size: np.exp(rng.standard_normal(size)), np.exp(0.5)),
    "log-normal, sd 1.5": (lambda rng, size: np.exp(1.5 * rng.standard_normal(size)), np.exp(1.125)),
}
LIGHT_ROWS = (
    ("ppca", "near", "reparameterization"),
    ("gaussian-mle", "near", "elbo-log-weight"),
    ("gaussian-mle", "start", "elbo-reconstruction-kl"),
    ("factor-analysis", "near", "dreg"),
    ("gaussian-mle", "near", "elbo-sampled"),
)
HEAVY_ROWS = (
    ("ppca", "near", "ovis-mc-4"),
    ("ppca", "near", "vimco"),
    ("gaussian-mle", "near", "ovis-tilde-0"),
    ("gaussian-mle", "near", "score-function"),
    ("gaussian-mle", "start", "score-function-learned-baseline"),
    ("factor-analysis", "near", "score-function-delta-unit"),
    ("factor-analysis", "start", "score-function-loo"),
    ("deep-bernoulli", "near", "ovis-tilde-0"),
)


class Look(NamedTuple):
    """Signed z (M, P) of M pairs, and the skewness of their means (M, P), as `bias_test` forms them."""

    z: np.ndarray
    skewness: np.ndarray
    repeats: int

    def exceeds(self, level: float, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Return which pairs (M,) lie above the plain limit, and above their own.

        `bias` times what is detectable in the last number is added to it: the projection, or the value.
        """
        coordinates = self.z.shape[1]
        plain, student = z_limit(coordinates, level), z_limit(coordinates, level, self.repeats)
        z = self.z.copy()
        z[:, -1] += bias * (skewed_limit(student, np.abs(self.skewness[:, -1])) + POWER_MARGIN)
        limits = skewed_limit(student, -np.sign(z) * self.skewness)
        return (np.abs(z) > plain).any(axis=1), (np.abs(z) > limits).any(axis=1)


def look_at(values: np.ndarray, exact: np.ndarray) -> Look:
    """Return the Look at estimates (M, R, P) of an exact answer (P,), with the projection if P > 1."""
    if len(exact) > 1:
        values = np.concatenate([values, (values @ (exact / np.linalg.norm(exact)))[..., None]], axis=-1)
        exact = np.append(exact, np.linalg.norm(exact))
    repeats = values.shape[1]
    mean = values.mean(axis=1)
    deviations = values - mean[:, None]
    squares = deviations**2
    error = np.sqrt(squares.sum(axis=1) / (repeats - 1) / repeats)
    third = np.einsum("mrp,mrp->mp", squares, deviations) / repeats**3
    return Look((mean - exact) / error, third / error**3, repeats)


def row_passes(name: str, at: str, estimator_name: str, repeats: int, seed: int) -> Iterator[Look]:
    """Yield Looks at one estimator of the registry on a small scene, without end."""
    (choice,), (estimator,) = find_models(name), find_estimators(estimator_name)
    scene = build_scene(choice, None, None if name == "gaussian-mle" else 1, "free", at, 1, 0)
    answers, _ = references(scene, [estimator.target_at(DRAWS)])
    answer = answers[estimator.target_at(DRAWS)]
    state = settled_state(scene, estimator, DRAWS, 0)
    spec = estimator.noise_spec(scene.model.family, DRAWS, 1)
    rng = spawn(seed, name, at, estimator_name, "false alarms")
    pairs = max(1, ESTIMATES_PER_PASS // repeats // max(1, len(answer.value) // 8))
    while True:
        noise = scene.source.draw(spec, rng, (pairs * repeats,))
        values = estimate_repeats(estimator, scene.problem, noise, state)
        yield look_at(values.reshape(pairs, repeats, -1), answer.value)


def distribution_passes(
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray], mean: float, repeats: int, seed: int
) -> Iterator[Look]:
    """Yield Looks at draws of a distribution, without end."""
    rng = np.random.default_rng(seed)
    while True:
        yield look_at(draw(rng, (4 * ESTIMATES_PER_PASS // repeats, repeats, 1)), np.array([mean]))


def joined(passes: Iterator[Look], pairs: int) -> Look:
    """Return at least so many pairs as one Look."""
    looks = [next(passes)]
    while sum(len(look.z) for look in looks) < pairs:
        looks.append(next(passes))
    z, skewness = (np.concatenate([look[i] for look in looks]) for i in (0, 1))
    return Look(z, skewness, looks[0].repeats)


def rate_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of Clopper and Pearson for a rate."""
    low = beta.ppf(0.025, count, total - count + 1) if count else 0.0
    return float(low), float(beta.ppf(0.975, count + 1, total - count))


def counted(look: Look, bias: float = 0.0) -> np.ndarray:
    """Return how many pairs exceed (plain, own limit) at each level (2, L)."""
    return np.array([[hits.sum() for hits in look.exceeds(level, bias)] for level in LEVELS]).T


def lines(label: str, counts: np.ndarray, total: int) -> Iterator[str]:
    """Yield one line of the table."""
    plain = " ".join(f"{count / total:7.1e}" for count in counts[0])
    own = " ".join(
        "{:7.1e} [{:.1e}, {:.1e}]".format(count / total, *rate_interval(count, total)) for count in counts[1]
    )
    yield f"{label:56s} {total:7d}   {plain}   {own}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000, help="of each row and seed")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bias", type=float, default=0.0, help="in units of what is detectable")
    chosen = parser.parse_args()
    print(f"{chosen.repeats} repeats; nominal {LEVELS}; plain limit, then own limit with 95 % interval")
    for kind, distributions, rows in (("light", LIGHT, LIGHT_ROWS), ("heavy", HEAVY, HEAVY_ROWS)):
        sums, total = np.zeros((2, len(LEVELS)), dtype=int), 0
        sources = [
            (label, distribution_passes(*found, chosen.repeats, chosen.seed))
            for label, found in distributions.items()
        ]
        sources += [(" ".join(row), row_passes(*row, chosen.repeats, chosen.seed)) for row in rows]
        for label, passes in sources:
            look = joined(passes, chosen.pairs)
            counts = counted(look, chosen.bias)
            print(*lines(label, counts, len(look.z)), sep="\n", flush=True)
            sums, total = sums + counts, total + len(look.z)
        print(*lines(f"all {kind}", sums, total), sep="\n", flush=True)


if __name__ == "__main__":
    main()
