"""Both gradients of a VAE for bits in one compiled call: the twin of `elbo_lab.estimators.pathwise_pass`.

    ELBO = E_eps[sum_d x_d l_d - softplus(l_d)] - KL(N(m, s^2) || N(0, I)),   z = m + s eps,  l = decoder(z)

A step of a VAE is eleven products of matrices and three dozen short loops between them. Called one by one
from two threads they wait for the interpreter more often than for each other; here a block of rows is one
call without it. Every loop runs along the rows of a matrix, so that it vectorises, and sums over rows are
kept per column. Products are NumPy's (`products`); any depth and width and all activations of `MLP`.
"""

import numpy as np

from elbo_lab.kernels import elementwise
from elbo_lab.kernels.compiling import inner_loop, loop
from elbo_lab.kernels.mlp import backward, forward
from elbo_lab.kernels.products import product
from elbo_lab.kernels.views import matrix, vector


def scratch_size(decoder, encoder, n_data, n_draws):
    """Return the length of the scratch vector of `bernoulli_vae`; sizes as there."""
    rows, (n_latent, n_out) = n_data * n_draws, (decoder[0], decoder[-1])
    by_encoder = n_data * (encoder[0] + 2 * sum(encoder[1:]) + n_latent)
    return by_encoder + rows * (2 * sum(decoder[1:]) + 2 * n_latent) + n_out


@inner_loop
def standardise(x, shift, inverse, out):
    """Write (x - shift) inverse into out, all (n, D) by (D,)."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = (x[i, j] - shift[j]) * inverse[j]


@inner_loop
def total_width(sizes):
    """Return the numbers per row behind the inputs."""
    total = 0
    for layer in range(1, sizes.size):
        total += sizes[layer]
    return total


@inner_loop
def draw(eta, noise, std, z):
    """Write s (N, K) and z = m + s eps (S N, K), and return the sum over data of KL(q || N(0, I))."""
    n_data, n_latent = std.shape
    total = 0.0
    for n in range(n_data):
        for k in range(n_latent):
            mean, log_std = eta[n, k], eta[n, n_latent + k]
            std[n, k] = np.exp(log_std)
            total += 0.5 * np.expm1(2.0 * log_std) - log_std + 0.5 * mean * mean
        for s in range(noise.shape[0]):
            for k in range(n_latent):
                z[s * n_data + n, k] = eta[n, k] + std[n, k] * noise[s, n, k]
    return total


@inner_loop
def draw_backward(eta, noise, std, grad_z):
    """Lay the gradient of the ELBO in eta over eta; grad_z (S N, K) is that of the mean log-likelihood."""
    n_data, n_latent = std.shape
    share = std.dtype.type(1.0 / n_data)
    for n in range(n_data):
        for k in range(n_latent):
            by_mean, by_std = -share * eta[n, k], std.dtype.type(0.0)
            for s in range(noise.shape[0]):
                g = grad_z[s * n_data + n, k]
                by_mean += g
                by_std += g * noise[s, n, k]
            variance = std[n, k] * std[n, k]
            eta[n, k] = by_mean
            eta[n, n_latent + k] = std[n, k] * by_std - share * (variance - std.dtype.type(1.0))


@inner_loop
def bits(x, flat_logits, flat_spare, column):
    """Lay the slopes (x - sigmoid(l)) / (S N) over the logits (S N D,); return the mean log-likelihood.

    spare (S N D,) and column (D,) are written to.
    """
    n_data, n_out = x.shape
    rows = flat_logits.size // n_out
    logits, spare = matrix(flat_logits, 0, rows, n_out), matrix(flat_spare, 0, rows, n_out)
    share = x.dtype.type(1.0 / rows)
    column[:] = 0.0
    elementwise.softplus(flat_logits, flat_spare)
    for i in range(rows):
        n = i % n_data
        for j in range(x.shape[1]):
            column[j] += x[n, j] * logits[i, j] - spare[i, j]
    elementwise.sigmoid(flat_logits, flat_spare)
    for i in range(rows):
        n = i % n_data
        for j in range(x.shape[1]):
            logits[i, j] = (x[n, j] - spare[i, j]) * share
    total = 0.0
    for j in range(column.size):
        total += column[j]
    return total / rows


@loop
def bernoulli_vae(
    matmul,
    x,
    noise,
    shift,
    inverse,
    theta,
    phi,
    decoder,
    encoder,
    decoder_kind,
    encoder_kind,
    scratch,
    grad_theta,
    grad_phi,
):
    """Write both gradients of the mean ELBO, and return it.

    Parameters
    ----------
    matmul : int
        As from `products.address_of_matmul`.
    x : ndarray (N, D)
    noise : ndarray (S, N, K)
    shift, inverse : ndarray (D,)
        Of the encoder's inputs.
    theta, phi : ndarray (P_theta,), (P_phi,)
    decoder, encoder : ndarray of intp
        Widths of the layers.
    decoder_kind, encoder_kind : int
        Numbers of the activations, as in `kernels.mlp`.
    scratch : ndarray (scratch_size,)
        Written to.
    grad_theta, grad_phi : ndarray (P_theta,), (P_phi,)
        Written to. All arrays are contiguous and of one dtype.

    Returns
    -------
    value : float
    """
    n_data, n_latent, n_out = x.shape[0], decoder[0], x.shape[1]
    rows = noise.shape[0] * n_data
    inputs = matrix(scratch, 0, n_data, n_out)
    place = inputs.size
    width = n_data * total_width(encoder)
    encoder_pre, encoder_post = vector(scratch, place, width), vector(scratch, place + width, width)
    place += 2 * width
    std = matrix(scratch, place, n_data, n_latent)
    place += std.size
    z, grad_z = matrix(scratch, place, rows, n_latent), matrix(scratch, place + rows * n_latent, rows, n_latent)
    place += 2 * z.size
    width = rows * total_width(decoder)
    decoder_pre, decoder_post = vector(scratch, place, width), vector(scratch, place + width, width)
    place += 2 * width
    column = vector(scratch, place, n_out)

    standardise(x, shift, inverse, inputs)
    forward(matmul, encoder_kind, encoder, phi, inputs, encoder_pre, encoder_post)
    eta = matrix(encoder_pre, encoder_pre.size - n_data * 2 * n_latent, n_data, 2 * n_latent)
    divergence = draw(eta, noise, std, z)
    forward(matmul, decoder_kind, decoder, theta, z, decoder_pre, decoder_post)
    at_end = width - rows * n_out
    logits, spare = vector(decoder_pre, at_end, rows * n_out), vector(decoder_post, at_end, rows * n_out)
    value = bits(x, logits, spare, column) - divergence / n_data
    backward(matmul, decoder_kind, decoder, theta, z, decoder_pre, decoder_post, grad_theta)
    first = matrix(theta, 0, n_latent, decoder[1])
    product(matmul, matrix(decoder_pre, 0, rows, decoder[1]), first.T, grad_z)
    draw_backward(eta, noise, std, grad_z)
    backward(matmul, encoder_kind, encoder, phi, inputs, encoder_pre, encoder_post, grad_phi)
    return value
