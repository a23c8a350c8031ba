"""The variance of every weight's gradient in the VAE 784-500-20-500-784, in float32.

Peers form the gradient of each draw (`vmap` of `grad`) and take its variance over the draws; the data are
summed over afterwards, since their noise is independent. BackPACK squares outer products as we do, and gives
the second moment; ours gives the variance, which needs the means too.
"""

import warnings
from functools import partial

import numpy as np
from work import Work

from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.study.weight_variance import decoder_variance, variance_at_once, weight_variance
from elbo_lab.threads import thread_pool

PIXELS, HIDDEN, LATENT, CORES = 784, 500, 20, 2
ONE_DATUM, BATCH = (256, 1), (16, 100)  # draws, data


def scene(n_draws, n_data):
    """Return model, posterior, theta, phi, x (N, D), noise (S, N, K), all float32."""
    rng = np.random.default_rng(0)
    x = (rng.random((n_data + 100, PIXELS)) < 0.3).astype(np.float32)
    model = DeepBernoulli(PIXELS, LATENT, (HIDDEN,))
    posterior = AmortisedPosterior.for_pixels(model.family, x, hidden=(HIDDEN,))
    theta, phi = model.random_theta(x, rng), posterior.network.initial(rng)
    noise = rng.standard_normal((n_draws, n_data, LATENT), dtype=np.float32)
    return model, posterior, theta.astype(np.float32), phi.astype(np.float32), x[:n_data], noise


def networks(n_draws, n_data):
    """Return {name: array} of both networks, the scaled x (N, D), x, noise: what a peer needs."""
    model, posterior, theta, phi, x, noise = scene(n_draws, n_data)
    parts = {f"decoder.{k}": v for k, v in model.decoder.layout.views(theta).items()}
    parts |= {f"encoder.{k}": v for k, v in posterior.network.layout.views(phi).items()}
    scaled = ((x - np.asarray(posterior.shift)) / np.asarray(posterior.scale)).astype(np.float32)
    return parts, scaled, x, noise


# -- ours, and what cannot be left out ---------------------------------------------------------------


def ours(shape):
    """Return the streamed variance."""
    case = scene(*shape)
    weight_variance(*scene(2, 1))  # imports and compiles, as the import of a peer does
    return lambda: weight_variance(*case)


def definition(shape):
    """Return the readable function."""
    case = scene(*shape)
    variance_at_once(*scene(2, 1))
    return lambda: variance_at_once(*case)


def limit(shape):
    """Return the large matrix products alone: of the decoder, half on each core."""
    n_draws, n_data = shape
    rng = np.random.default_rng(0)
    z, a, delta = (
        rng.standard_normal((n_draws * n_data, width), dtype=np.float32) for width in (LATENT, HIDDEN, PIXELS)
    )
    w1, w2 = (rng.standard_normal(size, dtype=np.float32) for size in ((LATENT, HIDDEN), (HIDDEN, PIXELS)))

    def half(rows, cols):
        own_a, own_delta = a[rows], delta[rows]
        z[rows] @ w1, own_a @ w2, own_delta @ w2.T
        a.T @ delta[:, cols]
        for n in range(n_data):
            part = slice(n * n_draws, (n + 1) * n_draws)
            a[part].T @ delta[part, cols]

    middle, centre = len(z) // 2, PIXELS // 2
    halves = (slice(0, middle), slice(middle, None)), (slice(0, centre), slice(centre, None))

    def work():
        with thread_pool(CORES) as pool:
            list(pool.map(half, *halves))

    return work


def ours_decoder():
    """Variance of the decoder's weights alone."""
    model, posterior, theta, phi, x, noise = scene(*ONE_DATUM)
    z = posterior.family.sample(posterior.eta(phi, x), noise)
    return lambda: decoder_variance(model, theta, x, z)


def definition_decoder():
    """The same with all rows in memory."""
    model, posterior, theta, phi, x, noise = scene(*ONE_DATUM)
    z = posterior.family.sample(posterior.eta(phi, x), noise)

    def work():
        by_output, activations = model.output_slopes(theta, x, z)
        return model.decoder.backward_variance(theta, activations, by_output)[0]

    return work


# -- peers -----------------------------------------------------------------------------------------


def logits_and_kl(library, p, scaled, eps):
    """Return log-odds of the pixels (D,) and KL(q || N(0, I)) of one draw, in the array library of a peer."""
    eta = library.tanh(scaled @ p["encoder.W1"] + p["encoder.b1"]) @ p["encoder.W2"] + p["encoder.b2"]
    mean, log_std = eta[:LATENT], eta[LATENT:]
    z = mean + library.exp(log_std) * eps
    logits = library.tanh(z @ p["decoder.W1"] + p["decoder.b1"]) @ p["decoder.W2"] + p["decoder.b2"]
    return logits, 0.5 * (library.exp(2 * log_std) + mean**2 - 1 - 2 * log_std).sum()


def pytorch(shape):
    """Return `torch.func.vmap(grad)`: every gradient, then the variance."""
    import torch
    from torch.func import grad, vmap
    from torch.nn.functional import binary_cross_entropy_with_logits as minus_log_prob

    torch.set_num_threads(CORES)
    parts, scaled, x, noise = networks(*shape)
    parts = {name: torch.tensor(value) for name, value in parts.items()}
    scaled, x, noise = (torch.tensor(value) for value in (scaled, x, noise))

    def elbo(p, scaled, x, eps):
        logits, kl = logits_and_kl(torch, p, scaled, eps)
        return -minus_log_prob(logits, x, reduction="sum") - kl

    per_draw = vmap(vmap(grad(elbo), (None, 0, 0, 0)), (None, None, None, 0))

    def work():
        with torch.no_grad():
            gradients = per_draw(parts, scaled, x, noise)
            return {name: value.var(dim=0).sum(dim=0) for name, value in gradients.items()}

    return work


def jax_vmap(shape):
    """Return `jit(vmap(grad))`: every gradient, then the variance."""
    import jax
    import jax.numpy as jnp

    parts, *data = networks(*shape)
    parts, data = jax.tree.map(jnp.asarray, parts), [jnp.asarray(value) for value in data]

    def elbo(p, scaled, x, eps):
        logits, kl = logits_and_kl(jnp, p, scaled, eps)
        return (x * logits - jax.nn.softplus(logits)).sum() - kl

    per_draw = jax.vmap(jax.vmap(jax.grad(elbo), (None, 0, 0, 0)), (None, None, None, 0))

    @jax.jit
    def variance(parts, scaled, x, noise):
        gradients = per_draw(parts, scaled, x, noise)
        return jax.tree.map(lambda value: value.var(axis=0, ddof=1).sum(axis=0), gradients)

    return lambda: jax.block_until_ready(variance(parts, *data))


def backpack():
    """Second moment of the decoder's weights by BackPACK's SumGradSquared."""
    import torch
    from backpack import backpack as extensions
    from backpack import extend
    from backpack.extensions import SumGradSquared
    from torch.nn.functional import binary_cross_entropy_with_logits as minus_log_prob

    torch.set_num_threads(CORES)
    model, posterior, theta, phi, x, noise = scene(*ONE_DATUM)
    z = torch.tensor(posterior.family.sample(posterior.eta(phi, x), noise)[:, 0])
    rows = torch.tensor(np.repeat(x, len(z), axis=0))
    layers = torch.nn.Sequential(
        torch.nn.Linear(LATENT, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, PIXELS)
    )
    views = model.decoder.layout.views(theta)
    with torch.no_grad():
        for layer, number in ((layers[0], 1), (layers[2], 2)):
            layer.weight.copy_(torch.tensor(views[f"W{number}"].T))
            layer.bias.copy_(torch.tensor(views[f"b{number}"]))
    layers = extend(layers)
    # Its hooks tell that the inputs need no gradient; that is meant.
    warnings.filterwarnings("ignore", message="Full backward hook is firing")

    def work():
        layers.zero_grad()
        with extensions(SumGradSquared()):
            minus_log_prob(layers(z), rows, reduction="sum").backward()
        return [parameter.sum_grad_squared for parameter in layers.parameters()]

    return work


def _against_every_gradient(name, shape):
    peers = {"pytorch-vmap": partial(pytorch, shape), "jax-vmap": partial(jax_vmap, shape)}
    return Work(
        name=name,
        ours=partial(ours, shape),
        definition=partial(definition, shape),
        limit=partial(limit, shape),
        peers=peers,
        least_over_peer=dict.fromkeys(peers, 100.0),
        most_of_peer_memory=dict.fromkeys(peers, 0.1),
    )


WORKS = (
    _against_every_gradient("weight-variance-one-datum", ONE_DATUM),
    _against_every_gradient("weight-variance-batch", BATCH),
    Work(
        name="weight-variance-decoder",
        ours=ours_decoder,
        definition=definition_decoder,
        limit=partial(limit, ONE_DATUM),
        peers={"backpack": backpack},
        least_over_peer={"backpack": 1.25},
    ),
)
