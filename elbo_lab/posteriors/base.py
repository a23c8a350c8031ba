"""The contract of a posterior q_phi(z | x) = family(z; eta), eta = map_phi(x).

The family gives densities and samples; the map gives eta. Estimators differentiate with respect to eta, and
`eta_vjp` pulls that back to phi. Three maps: a free table (one eta per datum, no amortisation gap), an MLP
encoder shared by all data, and the exact posterior.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family
from elbo_lab.distributions.named import families_on
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.layout import Layout


class PosteriorSpec(TypedDict, total=False):
    """The entries of a map in a checkpoint: its name, and the numbers that its kind is built from."""

    name: str
    family: str
    family_fields: dict[str, Any]
    n_data: int
    sizes: list[int]
    activation: str
    n_classes: int
    channels: list[int]
    image_shape: list[int]
    shift: list[float]
    scale: list[float]


def mismatch(family: Family, prior: Family) -> str:
    """Return in one sentence how the z of a q differ from those of a prior, and which families to take."""
    remedy = f"take {', '.join(families_on(prior))}"
    if family.discrete != prior.discrete:
        wanted = "discrete" if family.discrete else "continuous"
        return f"{family.name} as q needs {wanted} z, not {prior.name}; {remedy}"
    pair = f"a {family.name} q has another support than the {prior.name} prior"
    if not family.lies_within(prior):
        return f"{pair}: the ELBO is -inf where q reaches beyond it; {remedy}"
    return f"{pair}: importance weights miss the part that q does not reach; {remedy}"


class Posterior(ABC):
    """A family with a map from data to its parameters.

    Attributes
    ----------
    name, title : str
    synonyms : tuple of str
        Its names in other texts.
    family : Family
    layout : Layout
        Names and shapes in phi.
    summary : str
        In one line, for `elbo-lab list`.
    needs_all_rows : bool
        Whether phi is a table with an eta for each of given data: `eta` takes all of these at once, in their
        order, and is not defined for other data.
    shortfall : str
        Why its q falls short of the family's best: 'amortisation' where one network serves all data, else
        'optimisation', an ascent that has not yet arrived.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    synonyms: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str] = ""
    needs_all_rows: ClassVar[bool] = False
    shortfall: ClassVar[str] = "optimisation"

    if TYPE_CHECKING:
        # A subclass gives a field of the dataclass, a cached property or a class attribute.

        @property
        def family(self) -> Family: ...

        @property
        def layout(self) -> Layout: ...

    @abstractmethod
    def eta(self, phi: Floats, x: Floats) -> Floats:
        """Return eta (N, E) for the data x (N, D)."""

    @abstractmethod
    def eta_vjp(self, phi: Floats, x: Floats, grad_eta: Floats) -> Floats:
        """Pull a cotangent (..., N, E) of eta back to phi: (..., P)."""

    def initial(self, rng: np.random.Generator) -> Floats:  # noqa: ARG002 - an encoder needs weights
        """Return the phi at which training begins: that of `Family.start`, as N(0, I) or equal categories."""
        return np.zeros(self.layout.size)

    def eta_and_pullback(self, phi: Floats, x: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
        """Return eta (N, E) and the function that pulls its cotangent back: one pass for both."""
        return self.eta(phi, x), lambda grad_eta: self.eta_vjp(phi, x, grad_eta)

    def eta_error(self, phi: Floats, x: Floats, error: Floats) -> Floats:
        """Propagate independent standard errors of a gradient in eta (N, E) to phi: (P,).

        The map is linear, so the variances add: one backward pass per parameter of one datum.
        """
        variance = np.zeros(self.layout.size)
        for n in range(len(x)):
            one_datum = np.zeros((error.shape[1], *error.shape))
            one_datum[:, n, :] = np.diag(error[n])
            variance += (self.eta_vjp(phi, x, one_datum) ** 2).sum(axis=0)
        return np.sqrt(variance)

    def check_support(self, prior: Family) -> None:
        """Refuse a prior whose z takes other values than that of q.

        Raises
        ------
        NotApplicable
            With the reason.
        """
        if not self.family.shares_support(prior):
            raise NotApplicable(mismatch(self.family, prior), Reason.SUPPORT)

    def to_dict(self) -> PosteriorSpec:
        """Return the name and the numbers from which `from_dict` builds this map, for checkpoints.

        Raises
        ------
        NotApplicable
            If this kind of posterior is not trained.
        """
        raise NotApplicable(f"a posterior of kind {self.name!r} cannot be saved in a checkpoint")

    @classmethod
    def from_dict(cls, family: Family, values: PosteriorSpec) -> Self:  # noqa: ARG003
        """Return the posterior in a family from the dictionary of `to_dict`."""
        raise NotApplicable(f"a posterior of kind {cls.name!r} cannot be saved in a checkpoint")

    @property
    def has_parameters(self) -> bool:
        """Whether phi is not empty."""
        return self.layout.size > 0
