"""Sources of base noise: independent draws, antithetic pairs, or a randomised Sobol sequence.

    independent   all numbers independent
    antithetic    half of the draws, and their mirror images: eps and -eps, u and 1 - u
    sobol         S points that fill the cube evenly, mapped to normals by the inverse distribution function

Every single draw has the correct distribution under each of them, so that a plain mean over draws stays
unbiased; what differs is the dependence among the S draws of one estimate. Mirror images cancel odd functions
of the noise, and leave (or double) the variance of even ones; evenly spread points integrate smooth functions
of few dimensions with an error near 1/S in place of 1/sqrt(S) (Owen 1997; Buchholz, Wenzel and Mandt 2018 for
variational inference). An estimator that multiplies draws with each other (a leave-one-out baseline) or takes
the logarithm of their mean assumes independent draws: it declares `independent_draws`. Where the draws form
groups that are independent of each other, pairs or several sets of Sobol points, a form of it for groups is
unbiased (`estimators.coupled`); on a single set of Sobol points it is refused.

Leading axes are repeats, and every repeat is an independent randomisation. The variance over repeats is
therefore that of the estimate, not of a single draw over S. The error of a *single* randomised set cannot be
estimated from its points.

The Sobol points are those of SciPy's unscrambled generator; here each repeat and dimension multiplies their
binary digits by a random lower triangular matrix and adds a random digital shift (Matousek 1998), all repeats
at once. The balance of the points is complete only when S is a power of two; any S is allowed.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.distributions.noise import FloatDType, NoiseSpec, draw_noise, unknown_kind
from elbo_lab.distributions.special_functions import ndtri
from elbo_lab.errors import NotApplicable, bad_value, check_count, unknown_name
from elbo_lab.names import called, parse_call, spell_call

BITS = 30
MOST_DIMENSIONS = 21_201  # the limit of SciPy's direction numbers


class NoiseSource(ABC):
    """One way to draw the noise of a NoiseSpec, whose first axis counts the draws.

    Attributes
    ----------
    name, title, summary : str
    synonyms : tuple of str
        Its names in other texts.
    independent : bool
        Whether the draws of one estimate are independent of each other.
    group_word : str
        What the groups of draws are called that are independent of each other.
    remedy : str
        What to do where all draws are one group.
    """

    name: str
    title: str = ""
    synonyms: tuple[str, ...] = ()
    summary: str
    independent = False
    group_word: str = "draws"
    remedy: str = ""

    @property
    def one_group(self) -> bool:
        """Whether all draws of an estimate depend on each other."""
        return False

    @property
    def spec(self) -> str:
        """The text that `find_source` turns back into this source."""
        return self.name

    def groups(self, n_draws: int) -> Integers:
        """Return which of S draws depend on each other: numbers (G, m), a row per independent group."""
        return np.arange(n_draws)[:, None]

    @abstractmethod
    def draw(
        self,
        spec: NoiseSpec,
        rng: np.random.Generator,
        lead: tuple[int, ...] = (),
        dtype: FloatDType = np.float64,
    ) -> Floats:
        """Return noise (*lead, *spec.shape), as `draw_noise` does; entries of `lead` are independent."""

    def check(self, spec: NoiseSpec) -> None:  # noqa: B027 - most sources take any number of draws
        """Raise ValueError if noise of this shape cannot be drawn."""


class Independent(NoiseSource):
    """All numbers independent."""

    name = "independent"
    synonyms = ("iid",)
    summary = "independent draws (the default)"
    independent = True

    def draw(
        self,
        spec: NoiseSpec,
        rng: np.random.Generator,
        lead: tuple[int, ...] = (),
        dtype: FloatDType = np.float64,
    ) -> Floats:
        return draw_noise(spec, rng, lead, dtype)


class Antithetic(NoiseSource):
    """Draw S / 2 + s is the mirror image of draw s."""

    name = "antithetic"
    synonyms = ("mirrored",)
    summary = "pairs of mirror images: eps and -eps, u and 1 - u; an even number of draws"
    group_word = "pairs"

    def groups(self, n_draws: int) -> Integers:
        return np.arange(n_draws).reshape(2, -1).T

    def draw(
        self,
        spec: NoiseSpec,
        rng: np.random.Generator,
        lead: tuple[int, ...] = (),
        dtype: FloatDType = np.float64,
    ) -> Floats:
        self.check(spec)
        n_draws, *rest = spec.shape
        half = draw_noise(NoiseSpec(spec.kind, (n_draws // 2, *rest)), rng, lead, dtype)
        return np.concatenate([half, mirrored(spec.kind, half)], axis=len(lead))

    def check(self, spec: NoiseSpec) -> None:
        if spec.shape[0] % 2:
            raise bad_value("draws", "an even number with antithetic noise", spec.shape[0], "take one more")


@dataclass(frozen=True)
class Sobol(NoiseSource):
    """Randomised Sobol points, one independent randomisation per repeat, or several.

    Parameters
    ----------
    scrambles : int
        G, sets of S / G points, each with a randomisation of its own.
    """

    scrambles: int = 1

    name = "sobol"
    synonyms = ("qmc", "quasi-monte-carlo")
    summary = "randomised Sobol points (quasi-Monte Carlo), best with a power of two; sobol(scrambles=4)"
    group_word = "scrambles"
    remedy = "sobol(scrambles=G) has G independent sets"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scrambles", check_count("scrambles", self.scrambles))

    @property
    def one_group(self) -> bool:
        return self.scrambles == 1

    @property
    def spec(self) -> str:
        return self.name if self.one_group else spell_call(self.name, {"scrambles": self.scrambles})

    def groups(self, n_draws: int) -> Integers:
        return np.arange(n_draws).reshape(self.scrambles, -1)

    def draw(
        self,
        spec: NoiseSpec,
        rng: np.random.Generator,
        lead: tuple[int, ...] = (),
        dtype: FloatDType = np.float64,
    ) -> Floats:
        self.check(spec)
        n_draws, n_dims = spec.shape[0], int(np.prod(spec.shape[1:]))
        points = _sobol_points(n_draws // self.scrambles, n_dims)
        digits = _scrambled(points, (*lead, self.scrambles), rng)
        # The midpoints of cells of width 2^-30: never 0 or 1.
        u = ((digits + 0.5) * 2.0**-BITS).reshape(*lead, *spec.shape)
        if spec.kind == "normal":
            u = ndtri(u)
        elif spec.kind != "uniform":
            raise unknown_kind(spec.kind)
        return u.astype(dtype, copy=False)

    def check(self, spec: NoiseSpec) -> None:
        if spec.shape[0] % self.scrambles:
            expected = f"a multiple of the {self.scrambles} scrambles of {self.spec}"
            raise bad_value("draws", expected, spec.shape[0], "each scramble has as many points")
        n_dims = int(np.prod(spec.shape[1:]))
        if n_dims > MOST_DIMENSIONS:
            raise NotApplicable(
                f"Sobol points have at most {MOST_DIMENSIONS} dimensions, not {n_dims}: fewer rows"
            )


SOURCES = (Independent(), Antithetic(), Sobol())
"""Every source of noise, the default first."""


def find_source(name: str) -> NoiseSource:
    """Return the source of a name, as 'sobol' or 'sobol(scrambles=4)', or raise ValueError."""
    kind, options = parse_call(name, "noise")
    for source in called(kind, SOURCES):
        known = [one.name for one in fields(source)] if isinstance(source, Sobol) else []
        for option in options:
            if option not in known:
                takes = (
                    f"arguments of {source.name} ({', '.join(known)})" if known else f"no arguments of {kind}"
                )
                raise bad_value("noise", takes, repr(option))
        return type(source)(**options) if options else source
    raise unknown_name("noise", name, [source.name for source in SOURCES])


def mirrored(kind: str, noise: Floats) -> Floats:
    """Return the mirror image of noise: -eps, or 1 - u (below one, as uniform noise is)."""
    if kind == "uniform":
        one = noise.dtype.type(1.0)
        return np.minimum(one - noise, np.nextafter(one, noise.dtype.type(0.0)))
    return -noise


@lru_cache(maxsize=64)
def _sobol_points(n_draws: int, n_dims: int) -> Integers:
    """Return the first points of the Sobol sequence as integers of 30 bits (S, dimensions)."""
    from scipy.stats import qmc  # heavy: loaded on use

    # SciPy returns whole powers of two of points; the first S are used.
    points = qmc.Sobol(n_dims, scramble=False, bits=BITS).random_base2((n_draws - 1).bit_length())
    points = np.rint(points[:n_draws] * 2.0**BITS).astype(np.int64)
    points.flags.writeable = False
    return points


def _scrambled(points: Integers, lead: tuple[int, ...], rng: np.random.Generator) -> Integers:
    """Return scrambled points (*lead, S, dimensions): a random linear matrix and shift per dimension.

    To digit i of a point are added, modulo 2, a random subset of the digits before it and a random digit.
    """
    scrambled = np.zeros((*lead, *points.shape), dtype=np.int64)
    matrices = rng.integers(1 << BITS, size=(BITS, *lead, 1, points.shape[1]))
    for i, row in enumerate(matrices):
        place = BITS - 1 - i
        chosen = (row >> (place + 1) << (place + 1)) | (1 << place)
        scrambled |= (np.bitwise_count(chosen & points).astype(np.int64) & 1) << place
    return scrambled ^ rng.integers(1 << BITS, size=(*lead, 1, points.shape[1]))
