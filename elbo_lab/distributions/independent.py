"""What families with independent continuous coordinates share: q(z; eta) = prod_k q(z_k; eta_k).

A family of this kind gives its formulas for one coordinate; this module sums them over the K coordinates and
lays eta out, one block of K numbers per parameter. All parameters are unconstrained: locations, logarithms of
scales and shapes.

Sampling. The inverse of the distribution function maps uniform noise u to z = F^{-1}(u; eta). The formulas
are given *both* tails, u and 1 - u, because each is needed where it is small: log(1 - u) at u = 1e-20 can be
computed only from u, and log u at 1 - u = 1e-20 only from 1 - u.

Derivative of sampling. With the noise frozen, z moves with the parameters at the velocity dz/deta. If F^{-1}
has a formula, so has the velocity. If not, the identity F(z(u, eta); eta) = u gives

    dz/deta = -(dF/deta) / q(z; eta)                       (Figurnov, Mohamed and Mnih 2018, section 2)

(`elbo_lab.distributions.implicit`). Either way it is a function of z alone, and `sample_vjp` is the cost's
slope times it.

Change of variables. Probabilities survive a transformation z = g(u), densities do not:
q(z) = p(u) |du/dz|. Every log-density here contains that Jacobian term; without it q does not integrate
to one.
"""

from abc import abstractmethod
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family, MeanAndRoot
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.layout import Layout

# One array (N, K) or (1, K) per parameter.
Parameters = tuple[Floats, ...]

# Mean and standard deviation of a coordinate, and the slopes of each in the parameters.
MomentsOfOne = tuple[Floats, Floats, Parameters, Parameters]

# A draw is kept where its reciprocal and its square are finite floats, and strictly below one on (0, 1).
SMALLEST, LARGEST = 1e-300, 1e150
# A generator's uniform noise is a multiple of 1e-16, zero included; quadrature may ask for smaller numbers.
LEAST_NOISE = 1e-30
BELOW_ONE = np.nextafter(1.0, 0.0)
NO_DIVERGENCE = "{} has no closed-form KL between two members; estimate E_q[log q - log q'] from draws"


def tails(noise: Floats) -> tuple[Floats, Floats]:
    """Return (u, 1 - u) of uniform noise, moved off 0 (to 1e-30) and 1 (to the float below)."""
    one = noise.dtype.type(1.0)
    lower = np.clip(noise, LEAST_NOISE, np.nextafter(one, one - one))
    return lower, 1.0 - lower


class IndependentFamily(Family):
    """Independent continuous coordinates; a subclass gives the formulas of one coordinate.

    Methods named in the plural take and return values per coordinate (..., K), with the parameters unpacked
    in the order of `parameters`, each (N, K) or (1, K); those that return one array per parameter return
    a tuple.

    Attributes
    ----------
    parameters : tuple of str
        Names of the blocks of eta.
    noise_kind : {'uniform', 'normal'}
    """

    discrete = False
    event_axes = 1
    parameters: tuple
    noise_kind = "uniform"

    # -- formulas of one coordinate ----------------------------------------------------------------

    @abstractmethod
    def quantiles(self, lower: Floats, upper: Floats, *parameters: Floats) -> Floats:
        """Return F^{-1}(lower), where upper = 1 - lower."""

    @abstractmethod
    def velocities(self, z: Floats, *parameters: Floats) -> tuple[Floats, ...]:
        """Return dz/d(parameter) with the noise frozen."""

    @abstractmethod
    def log_densities(self, z: Floats, *parameters: Floats) -> Floats:
        """Return log q(z) per coordinate, the Jacobian term included."""

    @abstractmethod
    def slopes(self, z: Floats, *parameters: Floats) -> Floats:
        """Return d log q / dz."""

    @abstractmethod
    def scores(self, z: Floats, *parameters: Floats) -> tuple[Floats, ...]:
        """Return d log q / d(parameter)."""

    @abstractmethod
    def entropies(self, *parameters: Floats) -> Floats:
        """Return H(q) per coordinate."""

    @abstractmethod
    def entropy_slopes(self, *parameters: Floats) -> tuple[Floats | float, ...]:
        """Return dH / d(parameter)."""

    @abstractmethod
    def neighbours(self, *parameters: Floats) -> tuple[Floats, ...]:
        """Return the parameters of a member that is close and yet clearly different."""

    def moments_of_one(self, *parameters: Floats) -> MomentsOfOne:  # noqa: ARG002 - a formula would
        """Return mean and standard deviation per coordinate, and the slopes of each in the parameters.

        Raises
        ------
        NotApplicable
            If the family does not define them (`has_covariance`).
        """
        raise NotApplicable(f"mean and standard deviation of {self.name} are not implemented")

    def divergences(self, ours: Parameters, others: Parameters) -> Floats:  # noqa: ARG002 - a formula would
        """Return KL per coordinate from two tuples of parameters.

        Raises
        ------
        NotApplicable
            If the family has no closed form.
        """
        raise NotApplicable(NO_DIVERGENCE.format(self.name), Reason.NEEDS_CLOSED_KL)

    def divergence_slopes(self, ours: Parameters, others: Parameters) -> tuple[Parameters, Parameters]:  # noqa: ARG002
        """Return (dKL / d(our parameters), dKL / d(their parameters)), two tuples."""
        raise NotApplicable(NO_DIVERGENCE.format(self.name), Reason.NEEDS_CLOSED_KL)

    # -- the family ----------------------------------------------------------------------------------

    @property
    def eta_size(self) -> int:
        return len(self.parameters) * self.size

    @cached_property
    def eta_layout(self) -> Layout:
        return Layout(tuple((name, (self.size,)) for name in self.parameters))

    def split(self, eta: Floats) -> tuple[Floats, ...]:
        """Return the blocks of eta, one (..., K) per parameter."""
        starts = range(0, self.eta_size, self.size)
        # NumPy's exp and log may differ in the last bit between strided and contiguous numbers.
        return tuple(np.ascontiguousarray(eta[..., i : i + self.size]) for i in starts)

    def join(self, *blocks: Floats | float) -> Floats:
        """Return eta (..., E) from one (..., K) per parameter."""
        return np.concatenate(np.broadcast_arrays(*blocks), axis=-1)

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return NoiseSpec(self.noise_kind, (n_draws, n_data, self.size))

    def inside(self, z: Floats) -> Floats:
        """Return z moved into the part of the support that floats can represent."""
        low, high = self.support
        return np.clip(z, -LARGEST if np.isinf(low) else SMALLEST, LARGEST if np.isinf(high) else BELOW_ONE)

    def quantile(self, eta: Floats, lower: Floats, upper: Floats) -> Floats:
        """Return F^{-1}(lower; eta) (..., S, N, K), from both tail probabilities, upper = 1 - lower."""
        with np.errstate(over="ignore"):  # what overflows is moved back inside
            return self.inside(self.quantiles(lower, upper, *self.split(eta)))

    def sample(self, eta: Floats, noise: Floats) -> Floats:
        """Return z = F^{-1}(noise) (..., S, N, K)."""
        return self.quantile(eta, *tails(noise))

    def velocity(self, eta: Floats, z: Floats) -> tuple[Floats, ...]:
        """Return dz/deta at z with the noise frozen, one (..., S, N, K) per parameter."""
        return self.velocities(z, *self.split(eta))

    def sample_vjp(self, eta: Floats, noise: Floats, grad_z: Floats) -> Floats:
        """Pull grad_z (..., S, N, K) back through `sample`, summed over draws: (..., N, E)."""
        velocity = self.velocity(eta, self.sample(eta, noise))
        return self.join(*((grad_z * dz).sum(axis=-3) for dz in velocity))

    def log_prob(self, eta: Floats, z: Floats) -> Floats:
        """Return sum_k log q(z_k) (..., S, N); -inf outside the open support."""
        low, high = self.support
        within = (z > low) & (z < high)
        # 1/2 is in every support and replaces the others; its density is then discarded.
        with np.errstate(over="ignore"):
            densities = self.log_densities(np.where(within, z, 0.5), *self.split(eta))
        return np.where(within, densities, -np.inf).sum(axis=-1)

    def log_prob_grad_z(self, eta: Floats, z: Floats) -> Floats:
        """Return d log q / dz (..., S, N, K) for z inside the support."""
        return self.slopes(z, *self.split(eta))

    def score(self, eta: Floats, z: Floats) -> Floats:
        """Return d log q / deta (..., S, N, E) for z inside the support."""
        return self.join(*self.scores(z, *self.split(eta)))

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        return self.moments_of_one(*self.split(eta))[:2]

    def mean_and_root(self, eta: Floats) -> MeanAndRoot:
        """Return the mean and the standard deviations as a diagonal matrix: coordinates are independent."""
        mean, std, mean_slopes, std_slopes = self.moments_of_one(*self.split(eta))
        k = np.arange(self.size)
        root = np.zeros((*mean.shape, self.size))
        root[..., k, k] = std

        def pullback(by_mean: Floats, by_root: Floats) -> Floats:
            by_std = by_root[..., k, k]
            both = zip(mean_slopes, std_slopes, strict=True)
            return self.join(*(by_mean * of_mean + by_std * of_std for of_mean, of_std in both))

        return mean, root, pullback

    def entropy(self, eta: Floats) -> Floats:
        return self.entropies(*self.split(eta)).sum(axis=-1)

    def entropy_grad(self, eta: Floats) -> Floats:
        return self.join(*self.entropy_slopes(*self.split(eta)))

    def kl(self, eta: Floats, other: Floats) -> Floats:
        with np.errstate(over="ignore"):  # members far apart: +inf
            return self.divergences(self.split(eta), self.split(other)).sum(axis=-1)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        ours, others = self.divergence_slopes(self.split(eta), self.split(other))
        return self.join(*ours), self.join(*others)

    def near(self, eta: Floats) -> Floats:
        return self.join(*self.neighbours(*self.split(eta)))
