"""A block of a batch through a VAE for bits, forward and backward, in one compiled call.

    ELBO = E_eps[sum_d x_d l_d - softplus(l_d)] - KL(N(m, s^2) || N(0, I)),   z = m + s eps,  l = decoder(z)

A step of a VAE is eleven products of matrices and three dozen short loops between them. Called one by one
from two threads they wait for the interpreter more often than for each other; here a block is one call
without it. Every loop runs along the rows of a matrix, so that it vectorises, and sums over rows are kept per
column. Products are NumPy's (`products`); any depth and width and all activations of `MLP`.

The definition is `elbo_lab.estimators.passes.pathwise_pass`, the user of whole batches is `kernels.vae_step`,
which says what is gained.
"""

import numpy as np

from elbo_lab.kernels import elementwise
from elbo_lab.kernels.compiling import inner_loop, loop
from elbo_lab.kernels.mlp import backward, forward
from elbo_lab.kernels.products import product
from elbo_lab.kernels.views import matrix, vector


@inner_loop
def standardise(x, rows, shift, inverse, out):
    """Write (x - shift) inverse of some rows of x (M, D) into out (n, D); shift and inverse (D,)."""
    for i in range(rows.size):
        row = rows[i]
        for j in range(x.shape[1]):
            out[i, j] = (x[row, j] - shift[j]) * inverse[j]


@inner_loop
def draw(eta, noise, z):
    """Write z = m + s eps (S n, K), and return the sum over data of KL(q || N(0, I)); noise (S n, K)."""
    n_data, n_latent = eta.shape[0], z.shape[1]
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
def draw_backward(eta, noise, grad_z, share):
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
def observe(x, own, flat_logits, flat_spare, column, share):
    """Lay the slopes share (x - sigmoid(l)) over the logits (S n D,); return the sum of log p(x | z).

    x (M, D) are all data, own (n,) the rows of these; flat_spare (S n D,) and column (D,) are written to.
    """
    n_data, n_out = own.size, x.shape[1]
    rows = flat_logits.size // n_out
    logits, spare = matrix(flat_logits, 0, rows, n_out), matrix(flat_spare, 0, rows, n_out)
    column[:] = 0.0
    elementwise.softplus(flat_logits, flat_spare)
    for i in range(rows):
        n = own[i % n_data]
        for j in range(n_out):
            column[j] += x[n, j] * logits[i, j] - spare[i, j]
    elementwise.sigmoid(flat_logits, flat_spare)
    for i in range(rows):
        n = own[i % n_data]
        for j in range(n_out):
            logits[i, j] = (x[n, j] - spare[i, j]) * share
    total = 0.0
    for j in range(n_out):
        total += column[j]
    return total


@loop
def bernoulli_vae(
    matmul, x, own, noise, shift, inverse, theta, phi, decoder, encoder, kinds, first, inputs, z, down, up
):
    """Fill the rows of one block in the arrays of its batch, and return the mean ELBO of the block.

    Parameters
    ----------
    matmul : int
        As from `products.address_of_matmul`.
    x : ndarray (M, D)
        All data.
    own : ndarray (n,) of intp
        The rows of the block in x.
    noise : ndarray (S n, K)
        Draw after draw.
    shift, inverse : ndarray (D,)
        Of the encoder's inputs.
    theta, phi : ndarray (P_theta,), (P_phi,)
    decoder, encoder : ndarray of intp
        Widths of the layers.
    kinds : tuple of int
        Of the activations of decoder and encoder, as in `kernels.mlp`.
    first : int
        The first datum of the block in the batch.
    inputs : ndarray (B, D)
        What the encoder sees; written to.
    z : ndarray (S B, K)
        Written to: a block has S n rows together.
    down, up : ndarray (2, S B W), (2, B W)
        `pre` and `post` of decoder and encoder, W the sum of the widths behind the inputs; written to.
        All arrays are contiguous and of one dtype.

    Returns
    -------
    value : float
        Nats per datum.
    """
    n_data, n_out, n_latent = own.size, x.shape[1], z.shape[1]
    n_draws = noise.shape[0] // n_data
    total, rows, start = inputs.shape[0], n_draws * n_data, n_draws * first
    own_inputs = matrix(inputs, first * n_out, n_data, n_out)
    standardise(x, own, shift, inverse, own_inputs)
    forward(matmul, kinds[1], encoder, phi, own_inputs, up[0], up[1], first, total)
    eta_place = up.shape[1] - 2 * n_latent * (total - first)
    eta = matrix(up, eta_place, n_data, 2 * n_latent)
    own_z = matrix(z, start * n_latent, rows, n_latent)
    divergence = draw(eta, noise, own_z)

    forward(matmul, kinds[0], decoder, theta, own_z, down[0], down[1], start, n_draws * total)
    logits_place = down.shape[1] - n_out * (n_draws * total - start)
    logits, spare = (
        vector(down, logits_place, rows * n_out),
        vector(down, down.shape[1] + logits_place, rows * n_out),
    )
    column = np.empty(n_out, x.dtype)
    by_logit = x.dtype.type(1.0 / (n_draws * total))
    log_likelihood = observe(x, own, logits, spare, column, by_logit)

    backward(matmul, kinds[0], decoder, theta, down[0], down[1], start, rows, n_draws * total)
    grad_z = np.empty((rows, n_latent), x.dtype)
    delta = matrix(down, start * decoder[1], rows, decoder[1])
    product(matmul, delta, matrix(theta, 0, n_latent, decoder[1]).T, grad_z)
    draw_backward(eta, noise, grad_z, x.dtype.type(1.0 / total))
    backward(matmul, kinds[1], encoder, phi, up[0], up[1], first, n_data, total)
    return log_likelihood / rows - divergence / n_data
