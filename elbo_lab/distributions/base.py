"""What every family of distributions can do.

A family is a form of density, q(z; eta), without its parameters: these are `eta`, one row per datum. The
same family serves as posterior q(z | x) and as prior p(z) of a model (with one row of eta for all data), so
that sampling, scores and KL are written once.

Axes: S draws, N data, K latent dimensions or categories, E parameters of one member. `eta` is (N, E)
or (1, E). Continuous z is (..., S, N, K), categorical z is integer (..., S, N), binary z is (..., S, N, K)
of zeros and ones. Axes before S are repeats: they are never summed, so that one call can compute R
independent estimates.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import NotApplicable, Reason, bad_value, unknown_name
from elbo_lab.layout import Layout
from elbo_lab.names import Argument

# Mean (N, K), a root L (N, K, K) of the covariance L L^T, and the pullback of their cotangents to eta (N, E).
MeanAndRoot = tuple[Floats, Floats, Callable[[Floats, Floats], Floats]]
# Means and standard deviations (N, M) of linear forms, and the pullback of their cotangents to eta (N, E).
Projection = tuple[Floats, Floats, Callable[[Floats, Floats], Floats]]


def shortened(rate: float, edge: Floats) -> Floats:
    """Return the rate, or 1 / (2 edge) where 1 - rate edge would not be positive."""
    return np.where(rate * edge < 1.0, rate, 0.5 / np.maximum(edge, np.finfo(edge.dtype).tiny))


class Family(ABC):
    """A parametric family q(z; eta); immutable, holds shapes only.

    Attributes
    ----------
    name, title : str
    synonyms : tuple of str
        Its names in other texts.
    discrete : bool
        Whether z takes finitely many values.
    has_path : bool
        Whether z is a differentiable function of the noise (`sample_vjp`): every continuous z, unless its
        family says otherwise.
    scores_foreign_z : bool
        Whether `log_prob` takes every z of the support, and not only draws of the same member.
    event_axes : int
        Axes of one z after (..., S, N): 1 for a vector (K,), 0 for a category.
    has_slope : bool
        Whether log q has a slope in z, as of real numbers, and of bits by its formula between zero and one;
        categories are labels, whose numbers mean nothing.
    size : int
        K, latent dimensions or categories.
    eta_size : int
        E, number of unconstrained parameters of one member.
    eta_layout : Layout
        Names and shapes inside one row of eta.
    shared_size : int
        How many of the last numbers of eta are the same for all data under an encoder, such as the weights of
        a flow: the encoder gives the others.
    gaussian : bool
        Whether every linear form of z is normal, with the moments of `projected`.
    has_covariance : bool
        Whether mean and covariance have formulas (`mean_and_root`).
    support : tuple of float
        Ends of the open interval that each coordinate of z lies in; of a discrete z its extreme values.
    has_natural_step : bool
        Whether the family has `natural_step`.
    closed_kl : bool
        Whether the KL between two members has a closed form.
    closed_entropy : bool
        Whether every member has an entropy, by a formula or a sum.
    """

    name: str
    title: ClassVar[str] = ""
    synonyms: ClassVar[tuple[str, ...]] = ()
    discrete: bool
    event_axes: int
    has_slope: bool = True
    gaussian: bool = False
    has_covariance: bool = False
    scores_foreign_z: bool = True
    support: tuple[float, float] = (-math.inf, math.inf)
    closed_kl: bool = True
    has_natural_step: bool = False
    closed_entropy: bool = True

    @property
    def shared_size(self) -> int:
        return 0

    if TYPE_CHECKING:
        # A subclass gives a field of the dataclass, a cached property or a class attribute.

        @property
        def size(self) -> int: ...

        @property
        def eta_size(self) -> int: ...

        @property
        def eta_layout(self) -> Layout: ...

    @property
    def has_path(self) -> bool:
        return not self.discrete

    @property
    def n_values(self) -> float:
        """How many values z takes; infinite for a continuous one."""
        return len(self.values()) if self.discrete else math.inf

    @classmethod
    def of_size(cls, size: int, **arguments: Argument) -> Self:
        """Return the family over `size` latent dimensions (or categories), by default a dataclass of both.

        Parameters
        ----------
        size : int
        **arguments
            Its further fields.

        Raises
        ------
        ValueError
            If a field is unknown or missing, or the family refuses its value.
        """
        further = [field for field in fields(cast(Any, cls)) if field.init and field.name != "size"]
        names = [field.name for field in further]
        for name in arguments:
            if not names:
                raise bad_value(cls.name, "no arguments", repr(name))
            if name not in names:
                raise unknown_name(f"argument of {cls.name}", name, names)
        needed = [field.name for field in further if field.default is MISSING and field.name not in arguments]
        if needed:
            given = ", ".join(f"{name}=..." for name in needed)
            raise bad_value(cls.name, f"its arguments, as in '{cls.name}({given})'", "none")
        return cast(Callable[..., Self], cls)(size, **arguments)

    @abstractmethod
    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        """Return the NoiseSpec of `n_draws` draws for each of `n_data` data."""

    @abstractmethod
    def sample(self, eta: Floats, noise: Draws) -> Draws:
        """Turn noise into z, deterministically."""

    @abstractmethod
    def log_prob(self, eta: Floats, z: Draws) -> Floats:
        """Return log q(z; eta) in nats (..., S, N)."""

    @abstractmethod
    def score(self, eta: Floats, z: Draws) -> Floats:
        """Return d log q(z; eta) / d eta (..., S, N, E)."""

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:  # noqa: ARG002 - the signature is the contract
        """Return mean and standard deviation (N, K) of z; of a category, those of its indicators.

        Raises
        ------
        NotApplicable
            If the family does not define them.
        """
        raise NotApplicable(f"mean and standard deviation of {self.name} are not implemented")

    def mean_and_root(self, eta: Floats) -> MeanAndRoot:  # noqa: ARG002 - the signature is the contract
        """Return the mean of z, a root of its covariance, and the pullback of their cotangents.

        Parameters
        ----------
        eta : ndarray (N, E)

        Returns
        -------
        mean : ndarray (N, K)
        root : ndarray (N, K, K)
            L with L L^T the covariance; infinite where z has no variance.
        pullback : callable
            (cotangent of mean (N, K), cotangent of L (N, K, K)) -> gradient (N, E).

        Raises
        ------
        NotApplicable
            If the family does not define them (`has_covariance`).
        """
        raise NotApplicable(f"the covariance of {self.name} has no formula here")

    @abstractmethod
    def entropy(self, eta: Floats) -> Floats:
        """Return H(q) in nats (N,).

        Raises
        ------
        NotApplicable
            If it has no formula (`closed_entropy`).
        """

    @abstractmethod
    def entropy_grad(self, eta: Floats) -> Floats:
        """Return dH / d eta (N, E)."""

    @abstractmethod
    def kl(self, eta: Floats, other: Floats) -> Floats:
        """Return KL(q(eta) || q(other)) in nats (N,), both of this family; else see `kl_to`."""

    @abstractmethod
    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Return (dKL / d eta (N, E), dKL / d other (N, E))."""

    @abstractmethod
    def near(self, eta: Floats) -> Floats:
        """Return a member that is close to eta and yet clearly different (N, E).

        A study at an optimum favours estimators whose noise vanishes there, a study far away those that need
        only a direction; this point is in between.
        """

    def as_q(self) -> Self:
        """Return the family that is meant where this one of a prior is asked for as that of q: itself."""
        return self

    @property
    def start(self) -> Floats:
        """The member (E,) at which a q begins to be fitted: eta = 0, unless its costs could not be estimated.

        The shared part is that of `initial_shared`.
        """
        return np.zeros(self.eta_size)

    def natural_step(self, eta: Floats, gradient: Floats, rate: float) -> Floats:  # noqa: ARG002
        """Return eta after a step in natural parameters along the gradient in mean parameters.

            lambda <- lambda + rate dF / dm

        Parameters
        ----------
        eta : ndarray (N, E)
        gradient : ndarray (N, E)
            dF / d eta, of each datum by itself.
        rate : float
            Length of the step; with one, and F the ELBO of a conjugate target, the result is the posterior.

        Raises
        ------
        NotApplicable
            If it is not implemented for this family (`has_natural_step`).
        """
        raise NotApplicable(f"the natural step of {self.name} is not implemented")

    def initial_shared(self, rng: np.random.Generator) -> Floats:  # noqa: ARG002 - for weights
        """Return the shared part (shared_size,) of eta at which training begins; zero if not given.

        Weights that are all zero can be a saddle, which no gradient leaves.
        """
        return np.zeros(self.shared_size)

    def values(self) -> Draws:
        """Return every value of a discrete z (G, ...), in a fixed order.

        Raises
        ------
        NotApplicable
            If z is continuous.
        """
        raise NotApplicable(f"{self.name} z cannot be enumerated", Reason.NEEDS_DISCRETE)

    def numbers(self, z: Draws) -> Floats:
        """Return z as numbers whose mean has a meaning (..., W): z itself, and of categories the indicators.

        `moments` gives the mean and standard deviation of these.
        """
        return z.astype(np.float64, copy=False) if self.has_slope else self.one_hot(z)

    def one_hot(self, z: Draws) -> Floats:  # noqa: ARG002 - the signature is the contract
        """Return the indicators of categories z."""
        raise NotApplicable(f"{self.name} z are no categories")

    def projected(self, eta: Floats, directions: Floats) -> Projection:  # noqa: ARG002 - the signature is the contract
        """Return the law of the linear forms a = directions z: means, standard deviations, and a pullback.

        Parameters
        ----------
        eta : ndarray (N, E)
        directions : ndarray (N, M, K)

        Returns
        -------
        mean, std : ndarray (N, M)
        pullback : callable
            (cotangent of mean, cotangent of std), each (N, M) -> gradient (N, E).

        Raises
        ------
        NotApplicable
            If linear forms of z are not normal.
        """
        raise NotApplicable(f"linear forms of {self.name} z are not normal")

    # -- KL of a pair of families ------------------------------------------------------------------

    def holds(self, family: "Family") -> bool:
        """Whether every member of another family is also one of this: its eta, then zeros."""
        return family == self

    def _family_of_kl(self, family: "Family") -> "Family | None":
        """Return this family or the other, whichever holds both and has a closed KL, or None."""
        both = (one for one in (self, family) if one.closed_kl and one.holds(self) and one.holds(family))
        return next(both, None)

    def has_kl_to(self, family: "Family") -> bool:
        """Whether KL(q || p), p in a given family, has a closed form."""
        return self._family_of_kl(family) is not None

    def kl_to(self, family: "Family", eta: Floats, other: Floats) -> Floats:
        """Return KL(q(eta) || p(other)) in nats (N,), p in a given family.

        Parameters
        ----------
        family : Family
            Of p.
        eta : ndarray (N, E)
            Of q.
        other : ndarray (N or 1, E of p)

        Raises
        ------
        NotApplicable
            If the pair has no closed form (`has_kl_to`).
        """
        common = self._with_closed_kl_to(family)
        return common.kl(common._embedded(eta), common._embedded(other))

    def kl_grad_to(self, family: "Family", eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Return (dKL / d eta (N, E), dKL / d other (N, E of p)) of `kl_to`."""
        common = self._with_closed_kl_to(family)
        by_eta, by_other = common.kl_grad(common._embedded(eta), common._embedded(other))
        return by_eta[..., : self.eta_size], by_other[..., : family.eta_size]

    def _with_closed_kl_to(self, family: "Family") -> "Family":
        common = self._family_of_kl(family)
        if common is None:
            reason = "estimate E_q[log q - log p] from draws"
            text = f"KL from {self.name} to {family.name} has no closed form; {reason}"
            raise NotApplicable(text, Reason.NEEDS_CLOSED_KL)
        return common

    def _embedded(self, eta: Floats) -> Floats:
        """Return the member (N, E) that equals one of a family that this one `holds`."""
        missing = self.eta_size - eta.shape[-1]
        return np.pad(eta, [(0, 0)] * (eta.ndim - 1) + [(0, missing)]) if missing else eta

    # -- support -----------------------------------------------------------------------------------

    def lies_within(self, other: "Family") -> bool:
        """Whether every z of this family is one of another.

        Where q reaches beyond the prior, log p(z) is minus infinity, and so is the ELBO.
        """
        # Bits are numbers and categories labels: neither is a value of the other, whatever its number.
        kinds = [(one.discrete, one.has_slope, one.event_axes, one.size) for one in (self, other)]
        (low, high), (low_o, high_o) = self.support, other.support
        return kinds[0] == kinds[1] and low_o <= low and high <= high_o

    def shares_support(self, other: "Family") -> bool:
        """Whether z of another family takes the same values.

        Where q does not reach all of the prior the ELBO is a bound, but importance weights miss a part of
        p(x).
        """
        return self.lies_within(other) and other.lies_within(self)

    # -- derivatives -------------------------------------------------------------------------------

    def log_prob_grad_z(self, eta: Floats, z: Draws) -> Floats:  # noqa: ARG002
        """Return d log q(z; eta) / d z, shaped as z.

        Raises
        ------
        NotApplicable
            If z has no slope.
        """
        raise NotApplicable(f"log q of {self.name} z has no slope in z", Reason.NO_SLOPE)

    def sample_vjp(self, eta: Floats, noise: Floats, grad_z: Floats) -> Floats:  # noqa: ARG002
        """Pull a cotangent (..., S, N, K) of z back to eta through the noise, summed over draws: (..., N, E).

        Raises
        ------
        NotApplicable
            If z is not a differentiable function of the noise.
        """
        text = f"{self.name} z is not a differentiable function of its noise"
        raise NotApplicable(text, Reason.NO_PATH)

    # -- strata ------------------------------------------------------------------------------------

    def stratum_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        """Return the NoiseSpec of the noise that `strata` takes."""
        return self.noise_spec(n_draws, n_data)

    @property
    def n_strata(self) -> int:
        """In how many parts `stratum` divides q."""
        return 1

    def stratum(self, eta: Floats, noise: Floats, number: int) -> tuple[Floats | float, Floats]:  # noqa: ARG002
        """Return one of the parts of q that expectations are sums over, E_q f = sum_c share_c E_c f.

        Where a number of the noise chooses one of finitely many paths, z jumps, and a rule of nodes fails;
        within a part z is smooth in the rest of the noise.

        Parameters
        ----------
        eta : ndarray (N, E)
        noise : ndarray (..., S, N or 1, K)
            As in `stratum_spec`.
        number : int
            From 0.

        Returns
        -------
        share : ndarray (N,) or float
            Probability of the part; one where there is no other.
        noise : ndarray (..., S, N, *event)
            From which `sample` makes a draw of this part.
        """
        return 1.0, noise

    def strata(self, eta: Floats, noise: Floats) -> Iterator[tuple[Floats | float, Floats]]:
        """Yield every `stratum`, all with the same noise."""
        return (self.stratum(eta, noise, number) for number in range(self.n_strata))

    def stratum_vjp(self, eta: Floats, noise: Floats, values: Floats, grad_z: Floats) -> Floats:  # noqa: ARG002
        """Return the derivative of sum(values) in eta (..., N, E) where all `strata` are summed over.

        Parameters
        ----------
        eta : ndarray (N, E)
        noise : ndarray
            As `strata` gives it.
        values : ndarray (..., S, N)
            f(z) times the share and the weight of each draw.
        grad_z : ndarray (..., S, N, K)
            Their slopes in z.
        """
        return self.sample_vjp(eta, noise, grad_z)

    def log_prob_vjp(self, eta: Floats, z: Draws, cotangent: Floats) -> Floats:
        """Pull a cotangent (..., S, N) of log_prob back to eta, summed over draws: (..., N, E)."""
        return (cotangent[..., None] * self.score(eta, z)).sum(axis=-3)

    def log_prob_vjps(self, eta: Floats, z: Draws, cotangent: Floats) -> tuple[Floats, Floats]:
        """Return (grad_eta (..., N, E), grad_z) of sum(cotangent * log_prob), for z with a slope."""
        by_z = cotangent[..., None] * self.log_prob_grad_z(eta, z)
        return self.log_prob_vjp(eta, z, cotangent), by_z

    def draw(self, eta: Floats, noise: Draws) -> tuple[Draws, Floats, Callable[[Floats], Floats]]:
        """Return z, log q(z; eta) and the function that pulls a cotangent of it back to eta, z held fixed.

        `sample`, `log_prob` and `log_prob_vjp` in one pass: a family that can compute log q of a draw from
        its noise need not standardise z again.
        """
        z = self.sample(eta, noise)
        return z, self.log_prob(eta, z), lambda cotangent: self.log_prob_vjp(eta, z, cotangent)


def count_of_values(n_categories: int, size: int) -> float:
    """Return C^K, the number of values of K variables of C categories; inf beyond the largest double."""
    try:
        return float(n_categories) ** size
    except OverflowError:
        return math.inf
