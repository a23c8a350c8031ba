"""Data on manifolds: r coordinates, drawn at random, bend into D columns without any noise.

Such data have no density in D dimensions, and so log p of a model has no upper limit: it grows as the noise
sigma of the decoder falls, by D - r nats for each unit of -log sigma, where decoder and encoder can follow
the manifold (Dai and Wipf 2019, theorems 1 to 3). Within the manifold, per unit of length or area, there is
a density, and with it an entropy: the expected log p of the best model at a small sigma is

    -entropy - (D - r) (log sigma + log(2 pi) / 2)

Seven of them, each with its r and with a sampler for as many further rows as one likes:

- `plane`: a Gaussian on three orthogonal directions of ten; the linear VAE is exact here.
- `arc`: three quarters of a circle.
- `spiral`: the curve that the Swiss roll is a strip along; it takes a bent decoder.
- `swiss-roll`: a rolled-up strip (Tenenbaum, de Silva and Langford 2000), at a tenth of the usual scale.
- `blobs`: images of 8 x 8 pixels with one bright spot, whose place is drawn.
- `ring` and `sphere`: closed, so that no continuous code of r numbers tells all of their points apart: by the
  theorem of Borsuk and Ulam two opposite points share their code. It takes r + 1 latents.

The table under a name has 1000 rows from a fixed seed.

Source: B. Dai and D. Wipf (2019), Diagnosing and Enhancing VAE Models, ICLR, arXiv:1903.05789.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.datasets.dataset import BuiltIn, Dataset
from elbo_lab.errors import check_count

ROWS = 1000
SOURCE = "drawn by this package; manifolds as in B. Dai and D. Wipf (2019), arXiv:1903.05789"
LICENCE = "made by a formula; no rights reserved"

PLANE_DEVIATIONS, PLANE_COLUMNS = (2.0, 1.0, 0.5), 10
ARC = 1.5 * np.pi
ROLL, ROLL_WIDTH, ROLL_SCALE = (1.5 * np.pi, 4.5 * np.pi), 21.0, 0.1
PIXELS, BLOB_WIDTH, BLOB_PLACES = 8, 1.2, (1.5, 5.5)


@dataclass(frozen=True)
class Manifold:
    """Where data lie, and how they are drawn.

    Parameters
    ----------
    name : str
    summary : str
    dimension : int
        r, the number of coordinates.
    latents : int
        What a continuous encoder and decoder need: r, or r + 1 where the manifold is closed.
    columns : tuple of str, length D
    draw : callable
        ``draw(n, rng) -> x (n, D)``.
    entropy : float or None
        In nats, of the density per unit of length or area (of r coordinates of unit length); None where it
        has no formula.
    title : str
    synonyms : tuple of str
    image_shape : tuple of int, or None
    """

    name: str
    summary: str
    dimension: int
    latents: int
    columns: tuple[str, ...]
    draw: Callable[[int, np.random.Generator], Floats]
    entropy: float | None
    title: str
    synonyms: tuple[str, ...] = ()
    image_shape: tuple[int, int] | None = None

    def sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Return n new rows x (n, D)."""
        return self.draw(check_count("n", n), rng)

    def ceiling(self, log_sigma: Floats) -> Floats:
        """Return the expected log p, in nats, of the best model with a small noise sigma.

        Its decoder carries the prior onto the density of the manifold, and its noise leaves the manifold in
        D - r directions. The remainder is of the order of sigma^2 where the density is smooth, and of sigma
        where it has an edge.

        Parameters
        ----------
        log_sigma : ndarray

        Raises
        ------
        ValueError
            If the entropy has no formula.
        """
        if self.entropy is None:
            raise ValueError(f"the entropy of {self.name} has no formula")
        across = len(self.columns) - self.dimension
        return -self.entropy - across * (np.asarray(log_sigma) + 0.5 * np.log(2 * np.pi))

    def read(self, _view: str | None, _seed: int, _data_dir: object = None) -> Dataset:
        """Return the table under the name, the same for every seed."""
        stream = np.random.SeedSequence(0, spawn_key=tuple(self.name.encode()))
        x = self.draw(ROWS, np.random.default_rng(stream)).astype(np.float64, copy=False)
        return Dataset(
            self.name, x, self.columns, source=SOURCE, licence=LICENCE, image_shape=self.image_shape
        )

    @property
    def entry(self) -> BuiltIn:
        """The line of the registry."""
        return BuiltIn(self.name, self.summary, (), self.read, title=self.title, synonyms=self.synonyms)


def axes(count: int) -> tuple[str, ...]:
    """Return x_1, x_2 and so on."""
    return tuple(f"x_{d}" for d in range(1, count + 1))


def plane_directions() -> Floats:
    """Return the orthonormal directions (D, r) of the plane."""
    made = np.random.default_rng(3).standard_normal((PLANE_COLUMNS, len(PLANE_DEVIATIONS)))
    return np.linalg.qr(made)[0]


def draw_plane(n: int, rng: np.random.Generator) -> Floats:
    """u ~ N(0, diag(4, 1, 1/4)), x = B u with orthonormal columns of B."""
    u = rng.standard_normal((n, len(PLANE_DEVIATIONS))) * PLANE_DEVIATIONS
    return u @ plane_directions().T


def draw_arc(n: int, rng: np.random.Generator) -> Floats:
    """The angle ~ U(0, 3 pi / 2), on the unit circle."""
    return _on_circle(ARC * rng.random(n))


def draw_ring(n: int, rng: np.random.Generator) -> Floats:
    """The angle ~ U(0, 2 pi), on the unit circle."""
    return _on_circle(2 * np.pi * rng.random(n))


def draw_sphere(n: int, rng: np.random.Generator) -> Floats:
    """A Gaussian point, divided by its length: uniform on the unit sphere."""
    points = rng.standard_normal((n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def draw_swiss_roll(n: int, rng: np.random.Generator) -> Floats:
    """t ~ U(3 pi / 2, 9 pi / 2), v ~ U(0, 1), x = (t cos t, 21 v, t sin t) / 10."""
    t, v = rng.uniform(*ROLL, n), rng.random(n)
    return ROLL_SCALE * np.stack([t * np.cos(t), ROLL_WIDTH * v, t * np.sin(t)], axis=1)


def draw_spiral(n: int, rng: np.random.Generator) -> Floats:
    """t ~ U(3 pi / 2, 9 pi / 2), x = (t cos t, t sin t) / 10."""
    t = rng.uniform(*ROLL, n)
    return ROLL_SCALE * np.stack([t * np.cos(t), t * np.sin(t)], axis=1)


def draw_blobs(n: int, rng: np.random.Generator) -> Floats:
    """The middle ~ U(1.5, 5.5)^2 in pixels, grey = exp(-distance^2 / (2 1.2^2))."""
    return blob_images(rng.uniform(*BLOB_PLACES, (n, 2)))


def blob_images(middles: Floats) -> Floats:
    """Return images (n, 64) with bright spots at given middles (n, 2): row and column, in pixels."""
    across = np.exp(-0.5 * ((np.arange(PIXELS) - middles[..., None]) / BLOB_WIDTH) ** 2)
    return (across[:, 0, :, None] * across[:, 1, None, :]).reshape(len(middles), PIXELS**2)


def _on_circle(angle: Floats) -> Floats:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _roll_entropy() -> float:
    """log of the ranges of t and v, plus E log |dx/dt| + log |dx/dv|: the strip has a width of 21 / 10."""
    return _spiral_entropy() + float(np.log(ROLL_WIDTH * ROLL_SCALE))


def _spiral_entropy() -> float:
    """log of the range of t, plus E log |dx/dt|, with |dx/dt| = sqrt(1 + t^2) / 10."""
    low, high = (t * np.log1p(t * t) - 2 * t + 2 * np.arctan(t) for t in ROLL)
    span = ROLL[1] - ROLL[0]
    return float(np.log(span * ROLL_SCALE) + 0.5 * (high - low) / span)


_PIXEL_NAMES = tuple(f"pixel_{row}_{column}" for row in range(PIXELS) for column in range(PIXELS))

MANIFOLDS = {
    manifold.name: manifold
    for manifold in (
        Manifold(
            "plane",
            "a Gaussian on 3 directions of 10: 1000 rows x 10, no noise",
            dimension=3,
            latents=3,
            columns=axes(PLANE_COLUMNS),
            draw=draw_plane,
            entropy=float(np.log(PLANE_DEVIATIONS).sum() + 1.5 * np.log(2 * np.pi * np.e)),
            title="plane in ten dimensions",
        ),
        Manifold(
            "arc",
            "three quarters of a circle: 1000 rows x 2, no noise, 1 coordinate",
            dimension=1,
            latents=1,
            columns=axes(2),
            draw=draw_arc,
            entropy=float(np.log(ARC)),
            title="three quarters of a circle",
        ),
        Manifold(
            "spiral",
            "a curve that winds about itself: 1000 rows x 2, no noise, 1 coordinate",
            dimension=1,
            latents=1,
            columns=axes(2),
            draw=draw_spiral,
            entropy=_spiral_entropy(),
            title="spiral",
        ),
        Manifold(
            "swiss-roll",
            "a rolled-up strip: 1000 rows x 3, no noise, 2 coordinates",
            dimension=2,
            latents=2,
            columns=axes(3),
            draw=draw_swiss_roll,
            entropy=_roll_entropy(),
            title="Swiss roll",
        ),
        Manifold(
            "blobs",
            "grey images of a spot that moves: 1000 rows x 64 pixels, no noise, 2 coordinates",
            dimension=2,
            latents=2,
            columns=_PIXEL_NAMES,
            draw=draw_blobs,
            entropy=None,
            title="images of a moving spot",
            synonyms=("moving-blob",),
            image_shape=(PIXELS, PIXELS),
        ),
        Manifold(
            "ring",
            "a circle: 1000 rows x 2, no noise, 1 coordinate, closed",
            dimension=1,
            latents=2,
            columns=axes(2),
            draw=draw_ring,
            entropy=float(np.log(2 * np.pi)),
            title="circle",
        ),
        Manifold(
            "sphere",
            "the surface of a ball: 1000 rows x 3, no noise, 2 coordinates, closed",
            dimension=2,
            latents=3,
            columns=axes(3),
            draw=draw_sphere,
            entropy=float(np.log(4 * np.pi)),
            title="surface of a ball",
        ),
    )
}
