"""Second rung, for layers of bits: sums over one layer after the other, where all 2^K values are too many.

The layers of a belief net form a chain, so that the sum over z splits. From the top down, over one at a time,

    p(h_m) = sum_{h_{m+1}} p(h_m | h_{m+1}) p(h_{m+1}),        p(x) = sum_{h_1} p(x | h_1) p(h_1)

("variable elimination"; Koller and Friedman 2009, section 9.3). Only the last sum knows x: 16 bits next to
the data are 65 536 values for each datum, whatever lies above. Neighbouring layers meet in one matrix, of at
most 2^20 entries. Everything is summed in blocks, in logarithms.

The gradient is the posterior expectation of that of log p(x, z), by the same sums in reverse. With w(h_1) the
mean over the data of p(h_1 | x),

    w(h_m, h_{m+1}) = w(h_m) p(h_m | h_{m+1}) p(h_{m+1}) / p(h_m),      w(h_{m+1}) = sum_{h_m} w(h_m, h_{m+1})
    d/da(h_{m+1}) = sum_{h_m} w(h_m, h_{m+1}) (h_m - sigmoid(a(h_{m+1})))

where a are the logits of h_m given h_{m+1}. The means E[h_m | h_1] are tables without x, too, so that the
marginals of the posterior cost one product per datum.

Under a q of independent bits E_q log p(x, z) needs the sum over one layer only, since log p(h_m | h_{m+1}) is
linear in h_m: E_q[h_m] takes its place.

Source: D. Koller and N. Friedman, "Probabilistic Graphical Models" (2009), section 9.3.

Helps: exact log p(x), gradients and ELBOs of nets with two dozen bits and more. Fails: with more than 16 bits
in a layer; annealed importance sampling (`evaluation.annealed`) takes over.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family, IndependentBernoulli
from elbo_lab.exact.answer import Evidence, Expectation, without_error
from elbo_lab.models import BeliefNet, Model
from elbo_lab.networks import MLP
from elbo_lab.special import log_sum_exp, sigmoid, softplus

RUNG = "enumeration"
# Up to so many bits in all, every value is listed at once (`enumeration`).
FEW_BITS = 10
MOST_BITS_OF_LAYER, MOST_BITS_OF_NEIGHBOURS = 16, 20
# Numbers in one block, 8 MB: a few such arrays are alive at a time.
BLOCK = 1 << 20


def applies(model: Model, family: Family | None = None) -> bool:
    """Whether z are layers of bits that can be summed one by one, and a q is one of independent bits."""
    if not isinstance(model, BeliefNet) or model.latent_dim <= FEW_BITS:
        return False
    return sums_over(model) and (family is None or isinstance(family, IndependentBernoulli))


def sums_over(model: BeliefNet) -> bool:
    """Whether no layer and no pair of neighbours has too many values."""
    pairs = zip(model.layers, model.layers[1:], strict=False)
    few = max(model.layers) <= MOST_BITS_OF_LAYER
    return few and all(sum(pair) <= MOST_BITS_OF_NEIGHBOURS for pair in pairs)


class Link(NamedTuple):
    """The network from a layer to the one below it, at every value of the layer.

    Attributes
    ----------
    network : MLP
    weights : ndarray (P,)
    bits : ndarray (G, K_above)
        All values of the layer above.
    logits : ndarray (G, K_below)
        Of the bits below, given each.
    activations : list of ndarray
    """

    network: MLP
    weights: Floats
    bits: Floats
    logits: Floats
    activations: list[Floats]


class Layers(NamedTuple):
    """What does not depend on x.

    Attributes
    ----------
    bits : list of ndarray (2^K_m, K_m)
        All values of each layer, the one next to the data first.
    log_p : list of ndarray (2^K_m,)
        log p(h_m).
    links : list of Link
        links[m] leads from layer m + 1 to layer m.
    """

    bits: list[Floats]
    log_p: list[Floats]
    links: list[Link]


def layers_of(model: BeliefNet, theta: Floats) -> Layers:
    """Return the marginals of all layers, from the top down."""
    chain, eta = model.chain, model.prior_eta(theta)
    bits = [IndependentBernoulli(width).values().astype(theta.dtype) for width in model.layers]
    top = eta[0, : chain.own_size]
    log_p, links = [bits[-1] @ top - softplus(top).sum()], []
    below = list(zip(bits[-2::-1], bits[:0:-1], chain.networks, chain.weights(eta), strict=True))
    for lower, upper, network, weights in below:
        link = Link(network, weights[0], upper, *network.forward(weights[0], upper))
        marginal = np.empty(len(lower), theta.dtype)
        for rows, log_joint in _pairs(link, lower, log_p[-1]):
            marginal[rows] = log_sum_exp(log_joint, axis=1)
        log_p.append(marginal)
        links.append(link)
    return Layers(bits, log_p[::-1], links[::-1])


def _pairs(link: Link, lower: Floats, log_p_upper: Floats) -> Iterator[tuple[slice, Floats]]:
    """Yield rows of the lower layer, and log p(h_m, h_{m+1}) (B, G) of these with all of the upper layer."""
    log_upper = log_p_upper - softplus(link.logits).sum(axis=1)
    for rows in _blocks(len(lower), len(log_upper)):
        log_joint = lower[rows] @ link.logits.T
        log_joint += log_upper
        yield rows, log_joint


def _blocks(n_rows: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // width)
    return (slice(start, start + step) for start in range(0, n_rows, step))


# -- log p(x) --------------------------------------------------------------------------------------


def log_evidence(model: Model, theta: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return log p(x) (N,) and its error (N,), which is zero."""
    assert isinstance(model, BeliefNet)
    value = np.empty(len(x), theta.dtype)
    for rows, log_p, _ in _posteriors(model, theta, x, layers_of(model, theta)):
        value[rows] = log_p
    return value, np.zeros_like(value)


def _posteriors(
    model: BeliefNet, theta: Floats, x: Floats, layers: Layers
) -> Iterator[tuple[slice, Floats, Floats]]:
    """Yield rows of the data, log p(x) (B,) of these, and p(h_1 | x) (B, G) of all values of h_1."""
    columns = model.terms_of_bits(theta, layers.bits[0])
    columns[:, -1] += layers.log_p[0]
    columns, terms = np.ascontiguousarray(columns.T), model.terms_of_data(theta, x)
    for rows in _blocks(len(x), columns.shape[1]):
        shares = terms[rows] @ columns
        largest = shares.max(axis=1, keepdims=True)
        shares -= largest
        total = np.exp(shares, out=shares).sum(axis=1, keepdims=True)
        shares /= total
        yield rows, (largest + np.log(total))[:, 0], shares


def evidence(model: Model, theta: Floats, x: Floats) -> Evidence:
    """Return log p(x) and its gradient."""
    assert isinstance(model, BeliefNet)
    layers = layers_of(model, theta)
    bits = layers.bits[0]
    value, mean = np.empty(len(x), theta.dtype), np.empty((len(x), bits.shape[1]), theta.dtype)
    share = np.zeros(len(bits), theta.dtype)
    for rows, log_p, posterior in _posteriors(model, theta, x, layers):
        value[rows], mean[rows] = log_p, posterior @ bits
        share += posterior.sum(axis=0)
    grad_theta = model.likelihood_gradient(theta, x, bits, mean, share)
    grad_theta += _prior_gradient(model, theta, layers, share)
    return without_error(Evidence, RUNG, value, grad_theta / len(x))


def _prior_gradient(model: BeliefNet, theta: Floats, layers: Layers, share: Floats) -> Floats:
    """Return d/dtheta of sum_h share(h_1) log p(h_1), by the joint shares of neighbouring layers."""
    parts: list[Floats] = []
    for lower, log_p, log_p_upper, link in zip(
        layers.bits, layers.log_p, layers.log_p[1:], layers.links, strict=False
    ):
        by_logits, upper = np.zeros_like(link.logits), np.zeros(len(link.bits), theta.dtype)
        for rows, log_joint in _pairs(link, lower, log_p_upper):
            log_joint -= log_p[rows, None]
            joint = np.exp(log_joint, out=log_joint)
            joint *= share[rows, None]
            by_logits += joint.T @ lower[rows]
            upper += joint.sum(axis=0)
        by_logits -= upper[:, None] * sigmoid(link.logits)
        parts.append(link.network.backward_params(link.weights, link.activations, by_logits))
        share = upper
    top = model.prior_eta(theta)[0, : model.chain.own_size]
    parts.append(share @ layers.bits[-1] - share.sum() * sigmoid(top))
    return model.prior_eta_vjp(theta, np.concatenate(parts[::-1]))


def posterior_marginals(model: BeliefNet, theta: Floats, x: Floats) -> Floats:
    """Return p(z_k = 1 | x_n) (N, K) of every bit in every layer.

    Parameters
    ----------
    model : BeliefNet
    theta : ndarray (P,)
    x : ndarray (N, D)
    """
    layers = layers_of(model, theta)
    # E[h_m, h_{m+1}, ... | h_m] of every value of h_m, from the top down to the first layer.
    means = layers.bits[-1]
    for lower, log_p, log_p_upper, link in zip(
        layers.bits[-2::-1], layers.log_p[-2::-1], layers.log_p[:0:-1], layers.links[::-1], strict=True
    ):
        above = np.empty((len(lower), means.shape[1]), theta.dtype)
        for rows, log_joint in _pairs(link, lower, log_p_upper):
            above[rows] = np.exp(log_joint - log_p[rows, None]) @ means
        means = np.concatenate([lower, above], axis=1)
    marginals = np.empty((len(x), model.latent_dim), theta.dtype)
    for rows, _, posterior in _posteriors(model, theta, x, layers):
        marginals[rows] = posterior @ means
    return np.clip(marginals, 0.0, 1.0)  # a sum of many shares may end a rounding error above one


# -- expectations under independent bits -----------------------------------------------------------


def expected_log_joint(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats
) -> tuple[Floats, Floats]:
    """Return E_q log p(x, z) (N,) and its error (N,), which is zero."""
    value = expectation(model, theta, x, family, eta).value
    return value, np.zeros_like(value)


def expectation(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Expectation:  # noqa: ARG001
    """Return E_q log p(x, z) and its gradients."""
    assert isinstance(model, BeliefNet)
    chain, prior = model.chain, model.prior_eta(theta)
    own = [np.ascontiguousarray(eta[:, place]) for place in chain.places]
    mean, slope = [sigmoid(one) for one in own], [sigmoid(one) * sigmoid(-one) for one in own]
    all_bits = [IndependentBernoulli(width).values().astype(theta.dtype) for width in model.layers]
    value, by_eta = np.zeros(len(x), theta.dtype), [np.zeros_like(one) for one in own]

    share = np.zeros(len(all_bits[0]), theta.dtype)
    columns, terms = model.terms_of_bits(theta, all_bits[0]).T, model.terms_of_data(theta, x)
    for rows, q, log_p in _under_q(own[0], all_bits[0], terms, columns):
        share += q.sum(axis=0)
        _add_expectation(value[rows], by_eta[0][rows], q * log_p, all_bits[0], mean[0][rows])
    grad_theta = model.likelihood_gradient(theta, x, all_bits[0], mean[0], share)

    parts: list[Floats] = []
    for lower, network, (weights,) in zip(
        chain.sequence[1:], chain.networks, chain.weights(prior), strict=True
    ):
        upper, bits = lower + 1, all_bits[lower + 1]
        logits, activations = network.forward(weights, bits)
        by_logits, share = np.zeros_like(logits), np.zeros(len(bits), theta.dtype)
        # log p(h_m | h_{m+1}) at h_m = E_q[h_m], in which it is linear.
        columns = np.concatenate([logits, -softplus(logits).sum(axis=1, keepdims=True)], axis=1).T
        terms = np.concatenate([mean[lower], np.ones((len(x), 1), theta.dtype)], axis=1)
        for rows, q, log_p in _under_q(own[upper], bits, terms, columns):
            share += q.sum(axis=0)
            by_logits += q.T @ mean[lower][rows]
            by_eta[lower][rows] += slope[lower][rows] * (q @ logits)
            _add_expectation(value[rows], by_eta[upper][rows], q * log_p, bits, mean[upper][rows])
        by_logits -= share[:, None] * sigmoid(logits)
        parts.append(network.backward_params(weights, activations, by_logits))
    top = prior[0, : chain.own_size]
    value += mean[-1] @ top - softplus(top).sum()
    by_eta[-1] += slope[-1] * top
    parts.insert(0, (mean[-1] - sigmoid(top)).sum(axis=0))
    grad_theta += model.prior_eta_vjp(theta, np.concatenate(parts))
    by_q = np.concatenate(by_eta, axis=1)
    return without_error(Expectation, RUNG, value, grad_theta / len(x), by_q / len(x))


def _under_q(
    logits: Floats, bits: Floats, terms: Floats, columns: Floats
) -> Iterator[tuple[slice, Floats, Floats]]:
    """Yield rows of the data, and q (B, G) and terms @ columns (B, G) at all values of a layer."""
    columns, across = np.ascontiguousarray(columns), np.ascontiguousarray(bits.T)
    constant = softplus(logits).sum(axis=1, keepdims=True)
    for rows in _blocks(len(logits), len(bits)):
        q = logits[rows] @ across
        q -= constant[rows]
        yield rows, np.exp(q, out=q), terms[rows] @ columns


def _add_expectation(value: Floats, by_logits: Floats, weighted: Floats, bits: Floats, mean: Floats) -> None:
    """Add E_q f (B,) and its gradient in the logits of q (B, K), from q f (B, G) and the score."""
    total = weighted.sum(axis=1)
    value += total
    by_logits += weighted @ bits - total[:, None] * mean
