"""A whole step of a VAE for bits, as one member of a crew does it.

    for my blocks:    forward and backward                       `bernoulli_vae`
    meet              all rows of the batch are there
    for my parts:     the gradient, a product over all rows; Adam moves along it at once
    meet              all parameters have moved

The member who leads calls once per step. The others stay here, step after step, and need the interpreter only
when no order has come for a while: two threads that both want its lock, a dozen times in a step, wait for
each other longer than for a matrix product.

The definition is `elbo_lab.training.batch.Batch`; the results are its own to rounding, and the same
bits for any number of members. Measured for 784-500-20-500-784, 100 rows, float32, two threads (AMD EPYC,
AVX2): the definition 12.7 ms, this 5.5 ms, the matrix products alone 4.5 ms. The first step on a machine
compiles for 13 s of one core.
"""

import numpy as np

from elbo_lab.kernels.adam import adam_step
from elbo_lab.kernels.bernoulli_vae import bernoulli_vae
from elbo_lab.kernels.compiling import inner_loop, loop
from elbo_lab.kernels.fresh_bits import fresh_bits
from elbo_lab.kernels.mlp import weight_gradient
from elbo_lab.kernels.views import matrix, vector
from elbo_lab.kernels.waiting import has_order, meet


@inner_loop
def _move(member, size, turn, matmul, network, gradient):
    """Move the parts of a network whose turn it is."""
    edges, sizes, inputs, layers, params, slots, numbers = network
    for i in range(edges.size - 1):
        if (turn + i) % size == member:
            start, count = edges[i], edges[i + 1] - edges[i]
            own = vector(gradient, member * gradient.shape[1], count)
            n_rows = inputs.shape[0]
            weight_gradient(matmul, sizes, inputs, layers[0], layers[1], 0, n_rows, start, own)
            part, m, v = (
                vector(params, start, count),
                vector(slots, start, count),
                vector(slots, params.size + start, count),
            )
            beta1, beta2, new1, new2 = numbers[0], numbers[1], numbers[2], numbers[3]
            adam_step(part, own, m, v, beta1, beta2, new1, new2, numbers[4], numbers[5], numbers[6])


@inner_loop
def _draw(b, first, count, fresh, x):
    """Draw the bits of a block into x, if they are drawn here."""
    here, states, words, numbers, table, rows = fresh
    if here[b]:
        size = count * x.shape[1]
        n_words = size * words.shape[1] // numbers.shape[1]
        fresh_bits(
            vector(states, 4 * b, 4),
            vector(words, words.shape[1] * b, n_words),
            vector(numbers, numbers.shape[1] * b, size),
            table,
            vector(rows, first, count),
            matrix(x, first * x.shape[1], count, x.shape[1]),
        )


@inner_loop
def _step(member, meeting, step):
    """Do the step of a member; return whether all members did theirs."""
    arrivals, size, offer_core = meeting
    matmul, fresh, x, rows, noise, shift, inverse, kinds, theta, phi, edges, values, shares, gradient = step
    _, decoder, z, down, theta_vector, _, _ = theta
    _, encoder, inputs, up, phi_vector, _, _ = phi
    n_latent, n_draws = z.shape[1], noise.size // (rows.size * z.shape[1])
    for b in range(member, values.size, size):
        first, count = edges[b], edges[b + 1] - edges[b]
        _draw(b, first, count, fresh, x)
        own_noise = matrix(noise, n_draws * n_latent * first, n_draws * count, n_latent)
        values[b] = bernoulli_vae(
            matmul,
            x,
            vector(rows, first, count),
            own_noise,
            shift,
            inverse,
            theta_vector,
            phi_vector,
            decoder,
            encoder,
            kinds,
            first,
            inputs,
            z,
            down,
            up,
        )
    if not meet(arrivals, size, offer_core):
        return False
    value = 0.0
    for b in range(values.size):
        value += shares[b] * values[b]
    # Nothing moves along the gradient of a bound that is lost.
    if np.isfinite(value):
        _move(member, size, 0, matmul, theta, gradient)
        _move(member, size, theta[0].size - 1, matmul, phi, gradient)
    return meet(arrivals, size, offer_core)


@loop
def take_part(member, orders, order, last, kind, looks, meeting, step):
    """Do steps, one per order; return the number of the first order that is not done.

    Parameters
    ----------
    member : int
    orders : ndarray (3,) int64
        A signal that counts orders, and the kind of the last one.
    order, last : int
        The first and the last to obey.
    kind, looks : int
        Who is called to another kind of work returns, and who is not called within `looks` looks.
    meeting : tuple
        arrivals, size, offer_core: as for `waiting.meet`.
    step : tuple
        matmul : int, as from `products.address_of_matmul`;
        fresh : tuple of whether the bits of a block are drawn here (n_blocks,), and for `fresh_bits` states
        (n_blocks, 4), words and numbers (n_blocks, most), table and rows (B,);
        x (M, D), rows (B,), shift (D,), inverse (D,), kinds: as for `bernoulli_vae`;
        noise (S B K,): (S, n, K) of each block;
        theta, phi : tuples of edges (n + 1,) of the parts that move, sizes, inputs and layers as
        `bernoulli_vae` leaves them, params (P,), slots (2, P), and the numbers (7,) of `adam.adam_step`;
        edges (n_blocks + 1,), values (n_blocks,), shares (n_blocks,) of the blocks, values written to;
        gradient (size, largest part), written to.
    """
    while order <= last and has_order(orders, order, kind, looks, meeting[2]):
        order += 1
        if not _step(member, meeting, step):
            break
    return order
