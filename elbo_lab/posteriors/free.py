"""One eta per datum, independent of all others: phi is the table itself, block by block.

Per-datum ("stochastic") variational inference; the gap of the ELBO is then due to the family alone.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family
from elbo_lab.errors import bad_value
from elbo_lab.layout import Layout
from elbo_lab.posteriors.base import Posterior, PosteriorSpec


@dataclass(frozen=True)
class FreePosterior(Posterior):
    """phi = eta of each of `n_data` data, row by row.

    Parameters
    ----------
    family : Family
    n_data : int
    """

    family: Family
    n_data: int
    name = "free"
    synonyms = ("non-amortised", "non-amortized")
    summary = "a free eta for every datum"
    needs_all_rows = True

    @cached_property
    def layout(self) -> Layout:
        entries = self.family.eta_layout.entries
        return Layout(tuple((name, (self.n_data, *shape)) for name, shape in entries))

    def eta(self, phi: Floats, x: Floats) -> Floats:
        if len(x) != self.n_data:
            raise bad_value("x", f"the {self.n_data} data that the table was made for", len(x))
        rows = [block.reshape(self.n_data, -1) for block in self.layout.views(phi).values()]
        return np.concatenate(rows, axis=-1)

    def eta_vjp(self, phi: Floats, x: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002 - the map is the identity
        flat = (*grad_eta.shape[:-2], -1)
        blocks = self.family.eta_layout.views(grad_eta).values()
        return np.concatenate([block.reshape(flat) for block in blocks], axis=-1)

    def eta_error(self, phi: Floats, x: Floats, error: Floats) -> Floats:  # noqa: ARG002
        return self.phi_from_eta(error)

    def to_dict(self) -> PosteriorSpec:
        return {"name": self.name, "n_data": self.n_data}

    @classmethod
    def from_dict(cls, family: Family, values: PosteriorSpec) -> Self:
        return cls(family, values["n_data"])

    def initial(self, rng: np.random.Generator) -> Floats:
        """Return the table of `Family.start`; what an encoder would share has a start of its own."""
        eta = np.tile(self.family.start, (self.n_data, 1))
        eta[:, self.family.eta_size - self.family.shared_size :] = self.family.initial_shared(rng)
        return self.phi_from_eta(eta)

    def phi_from_eta(self, eta: Floats) -> Floats:
        """Return the phi whose table is eta (N, E)."""
        return self.layout.pack(self.family.eta_layout.views(eta))
