"""A whole training step of a Bernoulli VAE in compiled code, in two parallel regions.

    ELBO = E_eps[sum_d x_d l_d - softplus(l_d)] - KL(N(m, s^2) || N(0, I)),   z = m + s eps,  l = decoder(z)

or, for another weight beta of the KL, along the gradient of that weighted objective:

    for the blocks of rows, in parallel:     draw, forward, backward: a_l and delta_l of every layer
    for slices of all weights, in parallel:  grad W_l = a_{l-1}^T delta_l over all rows; the optimiser moves
                                             along it while it is in the cache

Blocks and slices are the same for any number of threads, and no sum is shared between threads, so the result
is the same, bit for bit. One function serves any depth, width, activation, number of draws and optimiser.
Each network has a tape, two flat vectors with a_0, a_1, ..., a_L and delta_0, delta_1, ..., delta_L, matrices
of all rows of a batch one after the other; a block fills its own rows. The last layer is linear: its output
is stored as delta_L, and the memory of a_L is spare.

The definition is `elbo_lab.training.batch.ascend` with `elbo_lab.estimators.passes.weighted_pass`.
"""

from collections.abc import Callable

import numpy as np
from numba import get_thread_id, prange

from elbo_lab.arrays import Floats, Integers
from elbo_lab.kernels import elementwise
from elbo_lab.kernels.compiling import as_part, inner_loop, parallel_loop
from elbo_lab.kernels.gemm import product, product_of_transposed
from elbo_lab.kernels.optimizers import step_by_rule

Gemm = Callable[..., None] | None
# Number of the activation, widths of the layers, parameters, a and delta of the tape.
Network = tuple[int, Integers, Floats, Floats, Floats]
# Number of the rule, slots, numbers of the rule.
Rule = tuple[int, Floats, Floats]
# Whether bits are redrawn, table, rows, shift, inverse.
Data = tuple[bool, Floats, Integers, Floats, Floats]
Rng = np.random.Generator

# Numbers of the activations in compiled code.
TANH, RELU, SOFTPLUS = 0, 1, 2
ACTIVATIONS = {"tanh": TANH, "relu": RELU, "softplus": SOFTPLUS}
# The rule of parameters that stay fixed.
STILL = -1
# Slices of every weight matrix; more than threads, few enough that their products keep their efficiency.
SLICES = 8

tanh, softplus, sigmoid = (as_part(f) for f in (elementwise.tanh, elementwise.softplus, elementwise.sigmoid))
times_softplus_slope = as_part(elementwise.times_softplus_slope)


@inner_loop
def layer_rows(flat: Floats, sizes: Integers, layer: int, first: int, n: int) -> Floats:
    """Return n rows (n, sizes[layer]) of a layer from `first` on, in one vector of a tape."""
    n_rows, width = flat.size // sizes.sum(), sizes[layer]
    start = n_rows * sizes[:layer].sum() + first * width
    return flat[start : start + n * width].reshape((n, width))


@inner_loop
def weights_start(sizes: Integers, layer: int) -> int:
    """Return the index at which W_l (sizes[layer - 1], sizes[layer]) begins in the parameters, before b_l."""
    start = 0
    for below in range(1, layer):
        start += (sizes[below - 1] + 1) * sizes[below]
    return start


@inner_loop
def weights(params: Floats, sizes: Integers, layer: int) -> Floats:
    """Return W_l (sizes[layer - 1], sizes[layer])."""
    start, size = weights_start(sizes, layer), sizes[layer - 1] * sizes[layer]
    return params[start : start + size].reshape((sizes[layer - 1], sizes[layer]))


@inner_loop
def activate(kind: int, u: Floats, a: Floats) -> None:
    """Write f(u) into a; vectors (n,)."""
    if kind == TANH:
        tanh(u, a)
    elif kind == SOFTPLUS:
        softplus(u, a)
    else:
        for i in range(u.size):
            # Written so that nan fails the comparison and stays.
            a[i] = 0.0 if u[i] < 0.0 else u[i]


@inner_loop
def times_slope(kind: int, a: Floats, delta: Floats) -> None:
    """Multiply delta by f', from the output a = f(u); vectors (n,)."""
    one = a.dtype.type(1.0)
    if kind == TANH:
        for i in range(a.size):
            delta[i] *= one - a[i] * a[i]
    elif kind == SOFTPLUS:
        times_softplus_slope(a, delta)
    else:
        for i in range(a.size):
            delta[i] *= one if a[i] > 0.0 else a.dtype.type(0.0)


@inner_loop
def forward(gemm: Gemm, network: Network, first: int, n: int) -> None:
    """Compute n rows from `first` on of all layers above a_0."""
    kind, sizes, params, a, delta = network
    for layer in range(1, sizes.size):
        u = layer_rows(delta, sizes, layer, first, n)
        product(gemm, layer_rows(a, sizes, layer - 1, first, n), weights(params, sizes, layer), u)
        end = weights_start(sizes, layer + 1)
        bias = params[end - sizes[layer] : end]
        for i in range(n):
            for j in range(bias.size):
                u[i, j] += bias[j]
        if layer < sizes.size - 1:
            activate(kind, u.reshape(-1), layer_rows(a, sizes, layer, first, n).reshape(-1))


@inner_loop
def backward(gemm: Gemm, network: Network, first: int, n: int, lowest: int) -> None:
    """Compute n rows of delta_l for the layers from the last but one down to `lowest`, given delta_L."""
    kind, sizes, params, a, delta = network
    for layer in range(sizes.size - 2, lowest - 1, -1):
        delta_above = layer_rows(delta, sizes, layer + 1, first, n)
        delta_here = layer_rows(delta, sizes, layer, first, n)
        product(gemm, delta_above, weights(params, sizes, layer + 1).T, delta_here)
        if layer > 0:
            times_slope(kind, layer_rows(a, sizes, layer, first, n).reshape(-1), delta_here.reshape(-1))


@inner_loop
def read(rng: Rng, data: Data, first: int, x: Floats, inputs: Floats) -> None:
    """Write the data of a block into x (n, D), bits drawn anew if `fresh`, and standardised into inputs."""
    fresh, table, rows, shift, inverse = data
    zero, one = x.dtype.type(0.0), x.dtype.type(1.0)
    for n in range(x.shape[0]):
        row = table[rows[first + n]]
        for d in range(row.size):
            if fresh:
                x[n, d] = one if rng.random(dtype=x.dtype.type) < row[d] else zero
            else:
                x[n, d] = row[d]
            inputs[n, d] = (x[n, d] - shift[d]) * inverse[d]


@inner_loop
def draw(rng: Rng, eta: Floats, noise: Floats, z: Floats) -> float:
    """Draw noise, write z = m + s noise (S n, K), and return the sum over data of KL(q || N(0, I))."""
    n_data, n_latent = eta.shape[0], z.shape[1]
    for i in range(z.shape[0]):
        for k in range(n_latent):
            noise[i, k] = rng.standard_normal(dtype=noise.dtype.type)
    total = 0.0
    for n in range(n_data):
        for k in range(n_latent):
            mean, log_std = eta[n, k], eta[n, n_latent + k]
            std = np.exp(log_std)
            total += 0.5 * np.expm1(2.0 * log_std) - log_std + 0.5 * mean * mean
            for i in range(n, z.shape[0], n_data):
                z[i, k] = mean + std * noise[i, k]
    return total


@inner_loop
def draw_backward(eta: Floats, noise: Floats, grad_z: Floats, share: float | np.floating) -> None:
    """Overwrite eta by the gradient in eta; `share` is the weight of the KL of a datum in the batch."""
    n_data, n_latent = eta.shape[0], grad_z.shape[1]
    zero, one = eta.dtype.type(0.0), eta.dtype.type(1.0)
    for n in range(n_data):
        for k in range(n_latent):
            mean, std = eta[n, k], np.exp(eta[n, n_latent + k])
            by_z, by_scale = zero, zero
            for i in range(n, grad_z.shape[0], n_data):
                g = grad_z[i, k]
                by_z += g
                by_scale += g * noise[i, k]
            eta[n, k] = by_z - share * mean
            eta[n, n_latent + k] = std * by_scale - share * (std * std - one)


@inner_loop
def observe(x: Floats, logits: Floats, spare: Floats, share: float | np.floating) -> float:
    """Overwrite the logits (S n, D) by the slopes share (x - sigmoid(l)); return the sum of log p(x | z)."""
    n_data, n_out = x.shape
    column = np.zeros(n_out, x.dtype)
    softplus(logits.reshape(-1), spare.reshape(-1))
    for i in range(logits.shape[0]):
        for j in range(n_out):
            column[j] += x[i % n_data, j] * logits[i, j] - spare[i, j]
    sigmoid(logits.reshape(-1), spare.reshape(-1))
    for i in range(logits.shape[0]):
        for j in range(n_out):
            logits[i, j] = (x[i % n_data, j] - spare[i, j]) * share
    total = 0.0
    for j in range(n_out):
        total += column[j]
    return total


@inner_loop
def block(
    gemm: Gemm,
    rng: Rng,
    data: Data,
    encoder: Network,
    decoder: Network,
    first: int,
    n: int,
    beta: float,
    buffers: tuple[Floats, Floats],
) -> tuple[float, float]:
    """Compute n rows from `first` on of the tapes of both networks; return their mean ELBO and KL in nats."""
    x, noise = buffers
    n_draws, total = noise.shape[0] // x.shape[0], x.shape[0]
    widths, _, a, delta = encoder[1:]
    x_block = x[first : first + n]
    read(rng, data, first, x_block, layer_rows(a, widths, 0, first, n))
    forward(gemm, encoder, first, n)
    eta = layer_rows(delta, widths, widths.size - 1, first, n)

    sizes, _, a, delta = decoder[1:]
    start, count, last = n_draws * first, n_draws * n, sizes.size - 1
    noise_block = noise[start : start + count]
    divergence = draw(rng, eta, noise_block, layer_rows(a, sizes, 0, start, count))
    forward(gemm, decoder, start, count)
    logits, spare = layer_rows(delta, sizes, last, start, count), layer_rows(a, sizes, last, start, count)
    by_logit, by_datum = x.dtype.type(1.0 / (n_draws * total)), x.dtype.type(beta / total)
    log_likelihood = observe(x_block, logits, spare, by_logit)

    backward(gemm, decoder, start, count, 0)
    draw_backward(eta, noise_block, layer_rows(delta, sizes, 0, start, count), by_datum)
    backward(gemm, encoder, first, n, 1)
    return log_likelihood / count - divergence / n, divergence / n


@inner_loop
def move(
    gemm: Gemm, network: Network, update: Rule, n_rows: int, number: int | np.integer, scratch: Floats
) -> None:
    """Move slice `number` of every weight matrix, with its bias as the last row, along the gradient."""
    _, sizes, params, a, delta = network
    rule, slots, numbers = update
    if rule == STILL:
        return
    for layer in range(1, sizes.size):
        narrow, wide = sizes[layer - 1], sizes[layer]
        low, high = number * (narrow + 1) // SLICES, (number + 1) * (narrow + 1) // SLICES
        start = weights_start(sizes, layer) + low * wide
        by_output = layer_rows(delta, sizes, layer, 0, n_rows)
        gradient = scratch[: (high - low) * wide].reshape((high - low, wide))
        inner = min(high, narrow)
        if low < inner:
            below = layer_rows(a, sizes, layer - 1, 0, n_rows)[:, low:inner]
            product_of_transposed(gemm, below, by_output, gradient[: inner - low])
        if inner < high:
            bias = gradient[high - low - 1]
            bias[:] = 0.0
            for i in range(n_rows):
                for j in range(wide):
                    bias[j] += by_output[i, j]
        step_by_rule(rule, params, gradient.reshape(-1), slots, start, numbers)


@parallel_loop
def vae_step(
    gemm: Gemm,
    rngs: tuple[Rng, ...],
    data: Data,
    encoder: Network,
    decoder: Network,
    encoder_move: Rule,
    decoder_move: Rule,
    edges: Integers,
    beta: float,
    buffers: tuple[Floats, Floats],
    values: Floats,
    scratch: Floats,
) -> tuple[float, float]:
    """Take one step; return mean ELBO and KL of the batch in nats. Nothing moves if they are not finite.

    Parameters
    ----------
    gemm : ctypes function or None
        As from `kernels.gemm.gemm`.
    rngs : tuple of numpy.random.Generator
        At least one per block.
    data : tuple
        fresh : bool; table (M, D) of bits, or of probabilities of a one if fresh; rows (B,); shift (D,),
        inverse (D,): the input of the encoder is (x - shift) inverse.
    encoder, decoder : tuple
        Number of the activation; sizes, widths of the layers; params (P,); a and delta, the tape
        (B sum(sizes),), for the decoder (S B sum(sizes),), written to.
    encoder_move, decoder_move : tuple
        Number of the rule in `optimizers.RULES`, or STILL; slots (n_slots, P); numbers (8,) of the rule.
    edges : ndarray (n_blocks + 1,)
        Of the blocks in the batch, from 0 to B.
    beta : float
        Weight of the KL in what is maximised; 1 for the ELBO.
    buffers : tuple
        x (B, D), noise (S B, K): written to.
    values : ndarray (n_blocks, 2)
        Mean ELBO and KL of each block; written to.
    scratch : ndarray (threads, largest slice)
        Written to. All floats but `values` are of one dtype, all arrays contiguous.
    """
    x, noise = buffers
    for index in prange(len(values)):
        b = np.intp(index)
        first, n = edges[b], edges[b + 1] - edges[b]
        values[b, 0], values[b, 1] = block(gemm, rngs[b], data, encoder, decoder, first, n, beta, buffers)
    elbo, kl = 0.0, 0.0
    for i in range(len(values)):
        share = (edges[i + 1] - edges[i]) / edges[-1]
        elbo += share * values[i, 0]
        kl += share * values[i, 1]
    if np.isfinite(elbo) and np.isfinite(kl):
        for index in prange(SLICES):
            number, gradient = np.intp(index), scratch[get_thread_id()]
            move(gemm, encoder, encoder_move, x.shape[0], number, gradient)
            move(gemm, decoder, decoder_move, noise.shape[0], number, gradient)
    return elbo, kl
