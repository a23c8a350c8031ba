"""One Gaussian: x ~ N(mu, Sigma), Sigma full, diagonal or spherical.

The mixture with one component, under a name of its own: z takes one value, and there is nothing to infer. The
maximum is a formula, mu = mean and Sigma = (1/N) sum_n (x_n - mu)(x_n - mu)^T, or its diagonal, or its trace
over D (Bishop 2006, eqs. 2.121 and 2.122), and log p(x) is exact. It is the density that every other must
beat on held-out rows.

Helps: as the first density to try, and for data of one cloud. Fails: for several clouds, curves and heavy
tails; and, with a full Sigma, where columns determine one another (it has no inverse then; refused).
"""

from dataclasses import dataclass
from typing import Self

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value
from elbo_lab.models.gaussian_mixture import GaussianMixture


@dataclass(frozen=True)
class Gaussian(GaussianMixture):
    """x ~ N(mu, Sigma) over D columns.

    Parameters
    ----------
    n_columns : int
        D.
    n_components : int
        One.
    variant : {'full', 'diagonal', 'spherical'}
        Structure of Sigma.
    """

    n_components: int = 1
    variant: str = "full"
    name = "gaussian"
    title = "Gaussian density"
    synonyms = ("mvn",)
    summary = "x ~ N(mu, Sigma)"
    variants = ("full", "diagonal", "spherical")
    default_latent = None
    compared = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_components != 1:
            raise bad_value("n_components", "one component", self.n_components, "use GaussianMixture")

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        return cls(x.shape[1], variant=variant or "full")
