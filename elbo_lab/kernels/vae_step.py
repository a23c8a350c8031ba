"""A whole step of a VAE for bits in compiled code, in two parallel regions.

    ELBO = E_eps[sum_d x_d l_d - softplus(l_d)] - KL(N(m, s^2) || N(0, I)),   z = m + s eps,  l = decoder(z)

    for the blocks of rows, side by side:     draw, forward, backward: a_l and delta_l of every layer
    for slices of all weights, side by side:  grad W_l = a_{l-1}^T delta_l over all rows; the optimiser moves
                                              along it while it is in the cache

Blocks and slices are the same for any number of threads, and no sum is shared between threads, so the result
is too, bit for bit. One function serves any depth, width, activation, number of draws and optimiser. Each
network has a tape, two flat vectors with a_0, a_1, ..., a_L and delta_0, delta_1, ..., delta_L, matrices of
all rows of a batch one after the other; a block fills its own rows. The last layer is linear: its output
stands in the place of delta_L, and what a_L would be is free.

The definition is `elbo_lab.training.batch.ascend` with `elbo_lab.estimators.pathwise_pass`.
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
# Whether bits are drawn anew, table, rows, shift, inverse.
Data = tuple[bool, Floats, Integers, Floats, Floats]
Rng = np.random.Generator

# What an activation is called in compiled code.
TANH, RELU, SOFTPLUS = 0, 1, 2
ACTIVATIONS = {"tanh": TANH, "relu": RELU, "softplus": SOFTPLUS}
# The rule of parameters that do not move.
STILL = -1
# Bytes of a float32.
SHORT = 4
# Slices of every weight matrix; more than threads, few enough that their products keep their efficiency.
SLICES = 8

tanh, softplus, sigmoid = (as_part(f) for f in (elementwise.tanh, elementwise.softplus, elementwise.sigmoid))
times_softplus_slope = as_part(elementwise.times_softplus_slope)


@inner_loop
def layer_rows(flat: Floats, sizes: Integers, layer: int, first: int, n: int) -> Floats:
    """Return n rows (n, sizes[layer]) of a layer from `first` on, in one vector of a tape."""
    wide, before, total = sizes[layer], 0, 0
    for other in range(sizes.size):
        before += sizes[other] if other < layer else 0
        total += sizes[other]
    start = flat.size // total * before + first * wide
    return flat[start : start + n * wide].reshape((n, wide))


@inner_loop
def weights_start(sizes: Integers, layer: int) -> int:
    """Return where W_l (sizes[layer - 1], sizes[layer]) begins in the parameters; b_l follows it."""
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
    """Fill n rows from `first` on of all layers above a_0."""
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
    """Lay delta_l over n rows of the layers from the last but one down to `lowest`, from delta_L."""
    kind, sizes, params, a, delta = network
    for layer in range(sizes.size - 2, lowest - 1, -1):
        above, own = layer_rows(delta, sizes, layer + 1, first, n), layer_rows(delta, sizes, layer, first, n)
        product(gemm, above, weights(params, sizes, layer + 1).T, own)
        if layer > 0:
            times_slope(kind, layer_rows(a, sizes, layer, first, n).reshape(-1), own.reshape(-1))


@inner_loop
def uniform(rng: Rng, like: Floats) -> float:
    """Return the next uniform number of the dtype of an array."""
    if like.itemsize == SHORT:
        return np.float64(rng.random(dtype=np.float32))
    return rng.random(dtype=np.float64)


@inner_loop
def normal(rng: Rng, like: Floats) -> float:
    """Return the next normal number of the dtype of an array."""
    if like.itemsize == SHORT:
        return np.float64(rng.standard_normal(dtype=np.float32))
    return rng.standard_normal(dtype=np.float64)


@inner_loop
def see(
    rng: Rng,
    fresh: bool,
    table: Floats,
    rows: Integers,
    shift: Floats,
    inverse: Floats,
    x: Floats,
    inputs: Floats,
) -> None:
    """Write the data of some rows into x (n, D), bits drawn anew if `fresh`, and standardised into inputs."""
    zero, one = x.dtype.type(0.0), x.dtype.type(1.0)
    for n in range(rows.size):
        row = table[rows[n]]
        if fresh:
            for d in range(row.size):
                x[n, d] = one if uniform(rng, x) < row[d] else zero
        else:
            for d in range(row.size):
                x[n, d] = row[d]
        for d in range(row.size):
            inputs[n, d] = (x[n, d] - shift[d]) * inverse[d]


@inner_loop
def draw(rng: Rng, eta: Floats, noise: Floats, z: Floats) -> float:
    """Draw noise, write z = m + s noise (S n, K), and return the sum over data of KL(q || N(0, I))."""
    n_data, n_latent = eta.shape[0], z.shape[1]
    for i in range(z.shape[0]):
        for k in range(n_latent):
            noise[i, k] = normal(rng, noise)
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
    """Lay the gradient in eta over eta; `share` is that of a datum in the batch."""
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
    """Lay the slopes share (x - sigmoid(l)) over the logits (S n, D); return the sum of log p(x | z)."""
    n_data, n_out = x.shape
    column = np.empty(n_out, x.dtype)
    for j in range(n_out):
        column[j] = 0.0
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
    buffers: tuple[Floats, Floats],
) -> float:
    """Fill n rows from `first` on of the tapes of both networks, and return their mean ELBO in nats."""
    fresh, table, rows, shift, inverse = data
    x, noise = buffers
    n_draws, total = noise.shape[0] // x.shape[0], x.shape[0]
    widths, _, a, delta = encoder[1:]
    own, bottom = x[first : first + n], layer_rows(a, widths, 0, first, n)
    see(rng, fresh, table, rows[first : first + n], shift, inverse, own, bottom)
    forward(gemm, encoder, first, n)
    eta = layer_rows(delta, widths, widths.size - 1, first, n)

    sizes, _, a, delta = decoder[1:]
    start, count, last = n_draws * first, n_draws * n, sizes.size - 1
    own_noise, z = noise[start : start + count], layer_rows(a, sizes, 0, start, count)
    divergence = draw(rng, eta, own_noise, z)
    forward(gemm, decoder, start, count)
    logits, spare = layer_rows(delta, sizes, last, start, count), layer_rows(a, sizes, last, start, count)
    by_logit, by_datum = x.dtype.type(1.0 / (n_draws * total)), x.dtype.type(1.0 / total)
    log_likelihood = observe(own, logits, spare, by_logit)

    backward(gemm, decoder, start, count, 0)
    draw_backward(eta, own_noise, layer_rows(delta, sizes, 0, start, count), by_datum)
    backward(gemm, encoder, first, n, 1)
    return log_likelihood / count - divergence / n


@inner_loop
def move(
    gemm: Gemm, network: Network, how: Rule, n_rows: int, number: int | np.integer, scratch: Floats
) -> None:
    """Move slice `number` of every weight matrix, its bias behind it as its last row, along the gradient."""
    (_, sizes, params, a, delta), (rule, slots, numbers) = network, how
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
            for j in range(wide):
                bias[j] = 0.0
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
    buffers: tuple[Floats, Floats],
    values: Floats,
    scratch: Floats,
) -> float:
    """Do one step, and return the mean ELBO of the batch in nats; nothing moves if it is not finite.

    Parameters
    ----------
    gemm : ctypes function or None
        As from `kernels.gemm.gemm`.
    rngs : tuple of numpy.random.Generator
        At least one per block.
    data : tuple
        fresh : bool, table (M, D) of bits, or of chances of a one if fresh; rows (B,); shift (D,), inverse
        (D,): the encoder sees (x - shift) inverse.
    encoder, decoder : tuple
        Number of the activation; sizes, widths of the layers; params (P,); a and delta, the tape
        (B sum(sizes),), for the decoder (S B sum(sizes),), written to.
    encoder_move, decoder_move : tuple
        Number of the rule in `optimizers.RULES`, or STILL; slots (n_slots, P); numbers (7,) of the rule.
    edges : ndarray (n_blocks + 1,)
        Of the blocks in the batch, from 0 to B.
    buffers : tuple
        x (B, D), noise (S B, K): written to.
    values : ndarray (n_blocks,)
        Mean ELBO of each block; written to.
    scratch : ndarray (threads, largest slice)
        Written to. All floats but `values` are of one dtype, all arrays contiguous.
    """
    x, noise = buffers
    for index in prange(values.size):
        b = np.intp(index)
        first, n = edges[b], edges[b + 1] - edges[b]
        values[b] = block(gemm, rngs[b], data, encoder, decoder, first, n, buffers)
    value = 0.0
    for i in range(values.size):
        value += (edges[i + 1] - edges[i]) / edges[-1] * values[i]
    if np.isfinite(value):
        for index in prange(SLICES):
            number, own = np.intp(index), scratch[get_thread_id()]
            move(gemm, encoder, encoder_move, x.shape[0], number, own)
            move(gemm, decoder, decoder_move, noise.shape[0], number, own)
    return value
