r"""Chains: layers of z, each drawn given the one before, its parameters from a small network of that layer.

    top-down     q(z) = q(z_L) q(z_{L-1} | z_L) ... q(z_1 | z_2)      the prior of a model of several layers
    bottom-up    q(z) = q(z_1) q(z_2 | z_1) ... q(z_L | z_{L-1})      a q for it: z_1 is next to the data

z is the concatenation (z_1, ..., z_L), z_1 next to the data, in both orders. The parameters of the layer that
is drawn first are the first numbers of eta. The weights of the networks are the rest; under an encoder they
are the same for all data. Without hidden layers a network is affine.

    bits          z_l | z_m ~ prod_k Bernoulli(sigmoid(a_k)),    a = network(z_m)
    Gaussians     z_l | z_m ~ prod_k N(m_k, s_k^2),              (m, log s) = network(z_m)

The log-density is a sum over the layers, each with one forward pass. Backward, a layer receives its own slope
and what the network of the next layer passes on,

    d/dz_m log q = d/dz_m log q(z_m | .) + J_network(z_m)^T d/da log q(z_l | a)

The formula for bits also holds between zero and one, as for independent bits: relaxations use it there.

Helps: as a prior whose layers are coupled, or a q that follows the coupling between layers. Fails: within a
layer, whose coordinates are independent given the layer before; neither entropy nor KL has a closed form.

Sources: R. M. Neal, "Connectionist learning of belief networks", Artificial Intelligence 56 (1992), for bits;
D. J. Rezende, S. Mohamed and D. Wierstra, "Stochastic backpropagation", ICML (2014), for Gaussians.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family, count_of_values
from elbo_lab.distributions.independent_bernoulli import MOST_BITS, IndependentBernoulli
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.distributions.points import moments_by_points
from elbo_lab.errors import NotApplicable, Reason, bad_value, check_count, unknown_name
from elbo_lab.layout import Entries, Layout
from elbo_lab.names import Argument
from elbo_lab.networks import MLP
from elbo_lab.special import LOG_2PI, sigmoid, softplus

ORDERS = ("top-down", "bottom-up")


class Conditional(NamedTuple):
    """One layer of a draw, given the layer before it; arrays have the data before the draws.

    Attributes
    ----------
    layer : int
        Its place in `layers`.
    z : ndarray (..., N or 1, S, K_l)
    outputs : ndarray (..., N or 1, S or 1, out)
        Parameters of its density.
    activations : list of lists of ndarray
        Of the network that gave them: one list for all data, or one for each datum; empty for the first.
    """

    layer: int
    z: Floats
    outputs: Floats
    activations: list[list[Floats]]


@dataclass(frozen=True)
class Chain(Family):
    """Layers of z; the subclasses give the density of one layer.

    Parameters
    ----------
    layers : tuple of int
        Widths (K_1, ..., K_L), the layer next to the data first.
    order : {'bottom-up', 'top-down'}
        Which end is drawn first.
    hidden : tuple of int
        Hidden widths of every network between two layers.
    activation : {'tanh', 'relu', 'softplus'}
    """

    layers: tuple[int, ...]
    order: str = "bottom-up"
    hidden: tuple[int, ...] = ()
    activation: str = "tanh"
    event_axes = 1
    closed_kl = False
    closed_entropy = False
    noise_kind: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        if not self.layers:
            raise bad_value("layers", "the width of one layer or more", self.layers)
        for width in self.layers:
            check_count("layers", width)
        if self.order not in ORDERS:
            raise unknown_name("order", self.order, list(ORDERS))
        _ = self.networks  # which checks the hidden widths and the activation

    @classmethod
    def of_size(cls, size: int, **arguments: Argument) -> Self:
        """Return the chain over K = `size` numbers, by default of one layer.

        Parameters
        ----------
        size : int
        **arguments
            `layers` and `hidden` as widths joined by '+', as in layers=8+4; `order` and `activation`.

        Raises
        ------
        ValueError
            If an argument is unknown, or the layers do not add up to the size.
        """
        known = [field.name for field in fields(cls)]
        fitting: dict[str, Any] = {"layers": (size,)}
        for name, value in arguments.items():
            if name not in known:
                raise unknown_name(f"argument of {cls.name}", name, known)
            fitting[name] = _widths(name, value) if name in ("layers", "hidden") else value
        if sum(fitting["layers"]) != size:
            raise bad_value("layers", f"widths that add up to {size} latents", repr(arguments["layers"]))
        return cls(**fitting)

    def as_q(self) -> Self:
        """Return the chain of the same layers from the other end: a q begins at the data."""
        return replace(self, order="bottom-up")

    # -- density of one layer --------------------------------------------------------------------

    @abstractmethod
    def layer_sample(self, outputs: Floats, noise: Floats) -> Floats:
        """Return z of a layer (..., K_l) from its parameters (..., out) and noise (..., K_l)."""

    @abstractmethod
    def layer_log_prob(self, outputs: Floats, z: Floats) -> Floats:
        """Return the log-density of a layer (...)."""

    @abstractmethod
    def layer_slopes(self, outputs: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Return the derivatives of `layer_log_prob` in the parameters (..., out) and in z (..., K_l)."""

    # -- shapes ----------------------------------------------------------------------------------

    @cached_property
    def size(self) -> int:
        return sum(self.layers)

    @cached_property
    def sequence(self) -> tuple[int, ...]:
        """Places of the layers in `layers`, in the order in which they are drawn."""
        places = tuple(range(len(self.layers)))
        return places if self.order == "bottom-up" else places[::-1]

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Where each layer lies in z."""
        return tuple(slice(*ends) for ends in pairwise(accumulate(self.layers, initial=0)))

    @cached_property
    def networks(self) -> tuple[MLP, ...]:
        """The network from each layer, in the order of drawing, to the parameters of the next."""
        widths, per_unit = [self.layers[place] for place in self.sequence], len(self.parameters)
        return tuple(
            MLP((n_in, *self.hidden, per_unit * n_out), self.activation) for n_in, n_out in pairwise(widths)
        )

    @property
    def own_size(self) -> int:
        """Parameters of the layer that is drawn first."""
        return len(self.parameters) * self.layers[self.sequence[0]]

    @property
    def shared_size(self) -> int:
        """Weights of the networks, at the end of eta."""
        return sum(network.layout.size for network in self.networks)

    @property
    def eta_size(self) -> int:
        return self.own_size + self.shared_size

    @cached_property
    def eta_layout(self) -> Layout:
        first, *later = (f"layer{place + 1}" for place in self.sequence)
        entries: Entries = tuple(
            (f"{first}.{name}", (self.layers[self.sequence[0]],)) for name in self.parameters
        )
        for name, network in zip(later, self.networks, strict=True):
            entries += network.layout.prefixed(name)
        return Layout(entries)

    @property
    def start(self) -> Floats:
        """Standard members, no layer yet depending on another; weights that are all zero can be a saddle."""
        return np.concatenate([np.zeros(self.own_size), self.initial_shared(np.random.default_rng(0))])

    def initial_shared(self, rng: np.random.Generator) -> Floats:
        """Return weights with zeros in the last layer of each network: no layer yet depends on another."""
        parts: list[Floats] = [np.zeros(0)]
        for network in self.networks:
            weights = network.initial(rng)
            network.layout.views(weights)[f"W{network.n_layers}"][...] = 0.0
            parts.append(weights)
        return np.concatenate(parts)

    def from_independent(self, eta: Floats) -> Floats:
        """Return the member (N, E) with independent coordinates, from one block (N, K) per parameter."""
        blocks = np.split(eta, len(self.parameters), axis=-1)
        per_layer = [
            np.concatenate([block[:, self.places[place]] for block in blocks], axis=-1)
            for place in self.sequence
        ]
        start = np.tile(self.initial_shared(np.random.default_rng(0)), (len(eta), 1))
        ends = accumulate((network.layout.size for network in self.networks), initial=0)
        for network, pair, own in zip(self.networks, pairwise(ends), per_layer[1:], strict=True):
            network.layout.view(start[:, slice(*pair)], f"b{network.n_layers}")[...] = own
        return np.concatenate([per_layer[0], start], axis=-1)

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return NoiseSpec(self.noise_kind, (n_draws, n_data, self.size))

    def weights(self, eta: Floats) -> list[Floats]:
        """Return the parameters of each network: (1, P) where all data have the same, else (N, P)."""
        rest = eta[:, self.own_size :]
        if (rest == rest[:1]).all():
            rest = rest[:1]
        ends = accumulate((network.layout.size for network in self.networks), initial=0)
        return [rest[:, slice(*pair)] for pair in pairwise(ends)]

    # -- one pass, layer by layer ----------------------------------------------------------------

    def _pass(self, eta: Floats, layer_z: Callable[[int, Floats], Floats]) -> list[Conditional]:
        """Return the layers in the order of drawing; `layer_z` gives z of a layer from its parameters."""
        outputs = eta[:, None, : self.own_size]
        activations: list[list[Floats]] = []
        found: list[Conditional] = []
        for place, network, weights in zip(
            self.sequence, (None, *self.networks), (eta, *self.weights(eta)), strict=True
        ):
            if network is not None:
                outputs, activations = _forward(network, weights, found[-1].z)
            found.append(Conditional(place, layer_z(place, outputs), outputs, activations))
        return found

    def _at(self, eta: Floats, z: Floats) -> list[Conditional]:
        """Return the layers of given z (..., S, N or 1, K)."""
        by_datum = np.swapaxes(z, -2, -3).astype(eta.dtype, copy=False)
        return self._pass(eta, lambda place, _: by_datum[..., self.places[place]])

    def _sampled(self, eta: Floats, noise: Floats) -> list[Conditional]:
        """Return the layers of a draw."""
        by_datum = np.swapaxes(noise, -2, -3)
        return self._pass(
            eta, lambda place, outputs: self.layer_sample(outputs, by_datum[..., self.places[place]])
        )

    def _joined(self, layers: list[Conditional]) -> Floats:
        """Return z (..., S, N, K) of a pass."""
        ordered = [one.z for one in sorted(layers, key=lambda one: one.layer)]
        return np.ascontiguousarray(np.swapaxes(np.concatenate(ordered, axis=-1), -2, -3))

    def sample(self, eta: Floats, noise: Floats) -> Floats:
        """Return z (..., S, N, K), drawn layer by layer."""
        return self._joined(self._sampled(eta, noise))

    def log_prob(self, eta: Floats, z: Floats) -> Floats:
        """Return the sum of the log-densities of the layers (..., S, N)."""
        return self._log_density(self._at(eta, z))

    def _log_density(self, layers: list[Conditional]) -> Floats:
        total = sum(self.layer_log_prob(one.outputs, one.z) for one in layers)
        return np.swapaxes(np.asarray(total), -1, -2)

    # -- backward --------------------------------------------------------------------------------

    def _pull(
        self, eta: Floats, layers: list[Conditional], cotangent: Floats, each: bool = False
    ) -> tuple[Floats, Floats]:
        """Pull a cotangent (..., S, N) of log q back through a pass.

        Returns
        -------
        grad_eta : ndarray (..., N, E), or with `each` (..., N, S, E)
            Summed over draws, or of each draw.
        grad_z : ndarray (..., S, N, K)
        """
        by_datum = np.swapaxes(cotangent, -1, -2)[..., None]
        slopes = [self.layer_slopes(one.outputs, one.z) for one in layers]
        deltas = [by_datum * by_outputs for by_outputs, _ in slopes]
        by_z = [by_datum * of_layer for _, of_layer in slopes]
        parts: list[Floats] = []
        for step, (network, weights) in enumerate(zip(self.networks, self.weights(eta), strict=True), 1):
            grad, passed = _backward(network, weights, layers[step].activations, deltas[step], each)
            parts.append(grad)
            by_z[step - 1] = by_z[step - 1] + passed
        first = deltas[0] if each else deltas[0].sum(axis=-2)
        grad_eta = np.concatenate([first, *parts], axis=-1)
        return grad_eta, self._joined([one._replace(z=grad) for one, grad in zip(layers, by_z, strict=True)])

    def score(self, eta: Floats, z: Floats) -> Floats:
        """Return the score of each draw (..., S, N, E)."""
        layers = self._at(eta, z)
        n_data = max(len(eta), z.shape[-2])
        ones = np.ones((*z.shape[:-2], n_data), eta.dtype)
        return np.ascontiguousarray(np.swapaxes(self._pull(eta, layers, ones, each=True)[0], -2, -3))

    def log_prob_vjp(self, eta: Floats, z: Floats, cotangent: Floats) -> Floats:
        return self._pull(eta, self._at(eta, z), cotangent)[0]

    def log_prob_grad_z(self, eta: Floats, z: Floats) -> Floats:
        """Return d log q / dz (..., S, N, K), through the networks."""
        n_data = max(len(eta), z.shape[-2])
        return self._pull(eta, self._at(eta, z), np.ones((*z.shape[:-2], n_data), eta.dtype))[1]

    def log_prob_vjps(self, eta: Floats, z: Floats, cotangent: Floats) -> tuple[Floats, Floats]:
        return self._pull(eta, self._at(eta, z), cotangent)

    def draw(self, eta: Floats, noise: Floats) -> tuple[Floats, Floats, Callable[[Floats], Floats]]:
        """Use the layers of the draw: one forward pass for the draw, log q and its pullback."""
        layers = self._sampled(eta, noise)
        z, log_q = self._joined(layers), self._log_density(layers)
        return z, log_q, lambda cotangent: self._pull(eta, layers, cotangent)[0]

    # -- what has no closed form -----------------------------------------------------------------

    def entropy(self, eta: Floats) -> Floats:  # noqa: ARG002 - the signature is the contract
        text = f"the entropy of {self.name} has no closed form; estimate -E_q[log q] from draws"
        raise NotApplicable(text, Reason.NEEDS_ENTROPY)

    def entropy_grad(self, eta: Floats) -> Floats:
        return self.entropy(eta)

    def kl(self, eta: Floats, other: Floats) -> Floats:  # noqa: ARG002
        reason = "estimate E_q[log q - log q'] from draws"
        text = f"{self.name} has no closed-form KL between two members; {reason}"
        raise NotApplicable(text, Reason.NEEDS_CLOSED_KL)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        raise NotApplicable(str(self.kl(eta, other)), Reason.NEEDS_CLOSED_KL)


def _widths(name: str, value: Argument) -> tuple[int, ...]:
    """Return the whole numbers of a text such as '8+4'."""
    parts = str(value).split("+")
    if not all(part.strip().isdigit() for part in parts):
        raise bad_value(name, "widths joined by '+', as in 8+4", repr(value))
    return tuple(map(int, parts))


def _forward(network: MLP, weights: Floats, inputs: Floats) -> tuple[Floats, list[list[Floats]]]:
    """Return outputs (..., N, S, out) at inputs (..., N or 1, S, in), and the activations."""
    if len(weights) == 1:
        outputs, activations = network.forward(weights[0], inputs)
        return outputs, [activations]
    given = np.broadcast_to(inputs, (*inputs.shape[:-3], len(weights), *inputs.shape[-2:]))
    passes = [network.forward(own, given[..., n, :, :]) for n, own in enumerate(weights)]
    return np.stack([outputs for outputs, _ in passes], axis=-3), [activations for _, activations in passes]


def _backward(
    network: MLP, weights: Floats, activations: list[list[Floats]], cotangent: Floats, each: bool
) -> tuple[Floats, Floats]:
    """Pull a cotangent (..., N, S, out) back: to the weights (..., N, P), or of each draw, and the inputs."""
    axis = -3 if each else -2

    def pulled(own: Floats, passed: list[Floats], delta: Floats) -> tuple[Floats, Floats]:
        if each:  # every draw is a row of its own
            passed, delta = [a[..., None, :] for a in passed], delta[..., None, :]
            gradient, by_inputs = network.backward(own, passed, delta)
            return gradient, by_inputs[..., 0, :]
        return network.backward(own, passed, delta)

    if len(weights) == 1:
        return pulled(weights[0], activations[0], cotangent)
    pairs = [
        pulled(own, passed, cotangent[..., n, :, :])
        for n, (own, passed) in enumerate(zip(weights, activations, strict=True))
    ]
    return np.stack([grad for grad, _ in pairs], axis=axis), np.stack([by for _, by in pairs], axis=-3)


@dataclass(frozen=True)
class BernoulliChain(Chain):
    """Layers of bits; eta = logits of the layer drawn first, then the weights of the networks."""

    name = "bernoulli-chain"
    title = "layers of bits"
    synonyms = ("chain-of-bits", "belief-network")
    discrete = True
    support = (0.0, 1.0)
    noise_kind = "uniform"
    parameters = ("logits",)

    def layer_sample(self, outputs: Floats, noise: Floats) -> Floats:
        """Return [noise < sigmoid(a)], floats that are zero or one."""
        return (noise < sigmoid(outputs)).astype(outputs.dtype)

    def layer_log_prob(self, outputs: Floats, z: Floats) -> Floats:
        """Return sum_k [z_k a_k - softplus(a_k)]."""
        return np.einsum("...k,...k->...", z, outputs) - softplus(outputs).sum(axis=-1)

    def layer_slopes(self, outputs: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Return (z - sigmoid(a), a)."""
        return z - sigmoid(outputs), outputs

    @property
    def n_values(self) -> float:
        return count_of_values(2, self.size)

    def values(self) -> Floats:
        """Return all rows of bits (2^K, K), the last bit changing fastest."""
        return IndependentBernoulli(self.size).values()

    def probabilities(self, eta: Floats, z: Floats) -> Floats:
        """Return the probability of a one (..., S, N, K) of every bit, given the layer before it in z."""
        return self._joined([one._replace(z=self._ones(one)) for one in self._at(eta, z)])

    @staticmethod
    def _ones(one: Conditional) -> Floats:
        return np.broadcast_to(sigmoid(one.outputs), np.broadcast_shapes(one.outputs.shape, one.z.shape))

    def entropy(self, eta: Floats) -> Floats:
        """Return -sum_z q(z) log q(z) over all 2^K values, of at most 16 bits."""
        _, q, log_q = self._table(eta)
        return -(q * log_q).sum(axis=0)

    def entropy_grad(self, eta: Floats) -> Floats:
        """Return -sum_z q(z) log q(z) score(z): the mean of the score is zero."""
        z, q, log_q = self._table(eta)
        return -self.log_prob_vjp(eta, z, q * log_q)

    def _table(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return all z (G, 1, K), q and log q (G, N)."""
        if self.size > MOST_BITS:
            return super().entropy(eta), eta, eta  # which refuses
        z = self.values()[:, None]
        log_q = np.broadcast_to(self.log_prob(eta, z), (len(z), len(eta)))
        return z, np.exp(log_q), log_q

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return p_k and sqrt(p_k (1 - p_k)), of at most 16 bits."""
        z, q, _ = self._table(eta)
        p = np.clip(q.T @ z[:, 0], 0.0, 1.0)
        return p, np.sqrt(p * (1.0 - p))

    def near(self, eta: Floats) -> Floats:
        """Return logits and weights times one half."""
        return 0.5 * eta


@dataclass(frozen=True)
class GaussianChain(Chain):
    """Layers of Gaussians; eta = mean and log std of the layer drawn first, then the weights."""

    name = "gaussian-chain"
    title = "layers of Gaussians"
    synonyms = ("hierarchical-gaussian",)
    discrete = False
    noise_kind = "normal"
    parameters = ("mean", "log_std")

    @staticmethod
    def _moments(outputs: Floats) -> tuple[Floats, Floats]:
        """Return mean and log standard deviation (..., K_l)."""
        half = outputs.shape[-1] // 2
        return outputs[..., :half], outputs[..., half:]

    def layer_sample(self, outputs: Floats, noise: Floats) -> Floats:
        """Return m + s * noise."""
        mean, log_std = self._moments(outputs)
        return mean + np.exp(log_std) * noise

    def layer_log_prob(self, outputs: Floats, z: Floats) -> Floats:
        """Return sum_k [-u_k^2 / 2 - log s_k - log(2 pi) / 2] with u = (z - m) / s."""
        mean, log_std = self._moments(outputs)
        u = (z - mean) * np.exp(-log_std)
        constant = 0.5 * z.shape[-1] * LOG_2PI
        return -0.5 * np.einsum("...k,...k->...", u, u) - log_std.sum(axis=-1) - constant

    def layer_slopes(self, outputs: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Return ((u / s, u^2 - 1), -u / s)."""
        mean, log_std = self._moments(outputs)
        inverse = np.exp(-log_std)
        u = (z - mean) * inverse
        return np.concatenate([u * inverse, u * u - 1.0], axis=-1), -u * inverse

    def sample_vjp(self, eta: Floats, noise: Floats, grad_z: Floats) -> Floats:
        """Pull grad_z (..., S, N, K) back through `sample`, summed over draws: (..., N, E).

        From the layer drawn last to the first: dz_l/dm = 1 and dz_l/dlog s = s * noise, and what the network
        passes on is added to the slope of the layer before.
        """
        layers = self._sampled(eta, noise)
        by_datum, eps = np.swapaxes(grad_z, -2, -3), np.swapaxes(noise, -2, -3)
        passed: Floats | float = 0.0
        parts: list[Floats] = []
        for step in range(len(layers) - 1, -1, -1):
            place, _, outputs, activations = layers[step]
            where = self.places[place]
            by_z = by_datum[..., where] + passed
            by_log_std = by_z * np.exp(self._moments(outputs)[1]) * eps[..., where]
            delta = np.concatenate([by_z, by_log_std], axis=-1)
            if step:
                network, weights = self.networks[step - 1], self.weights(eta)[step - 1]
                grad, passed = _backward(network, weights, activations, delta, each=False)
            else:
                grad = delta.sum(axis=-2)
            parts.append(grad)
        return np.concatenate(parts[::-1], axis=-1)

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (N, K) over 256 fixed points of the noise, good to about 2 %."""
        return moments_by_points(self, eta)

    def near(self, eta: Floats) -> Floats:
        """Move the layer drawn first by half its width and narrow it by a fifth; keep the networks."""
        mean, log_std = self._moments(eta[:, : self.own_size])
        moved = [mean + 0.5 * np.exp(log_std), log_std + np.log(0.8), eta[:, self.own_size :]]
        return np.concatenate(moved, axis=-1)
