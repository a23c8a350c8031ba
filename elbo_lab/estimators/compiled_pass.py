"""The pass of `pathwise_pass` in one compiled call, for the pairing that it is written for.

That is a `DeepBernoulli` decoder and an encoder of a diagonal Gaussian, of any depth, width and activation,
with any number of draws, all arrays plain and of one dtype, float32 or float64. Whatever else there is (another
likelihood or family, a free table, a NumPy whose loops are not found) stays with the definition.
"""

import numpy as np

from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def fits(model, posterior, theta, phi, x, noise):
    """Whether `compiled_pass` takes these arguments; `type is`, because a subclass may change a formula."""
    return (
        type(model) is DeepBernoulli
        and type(posterior) is AmortisedPosterior
        and type(posterior.family) is DiagonalGaussian
        and theta.dtype in DTYPES
        and all(
            type(a) is np.ndarray and a.dtype == theta.dtype and a.flags.c_contiguous and a.flags.writeable
            for a in (theta, phi, x, noise)
        )
        # The loops look at no lengths.
        and (theta.shape, phi.shape) == ((model.layout.size,), (posterior.layout.size,))
        and x.shape[1:] == (model.n_columns,) == (posterior.network.sizes[0],)
        and noise.ndim == 3
        and noise.shape[1:] == (len(x), model.n_latent)
        and posterior.family.size == model.n_latent
        and noise.size > 0
        and _address(theta.dtype) != 0
    )


def _address(dtype):
    from elbo_lab.kernels.products import address_of_matmul

    return address_of_matmul(dtype)


def compiled_pass(model, posterior, theta, phi, x, noise):
    """Return (value, grad_theta, grad_phi) as `pathwise_pass` does; the arguments fit."""
    from elbo_lab.kernels.bernoulli_vae import bernoulli_vae, scratch_size
    from elbo_lab.kernels.mlp import ACTIVATIONS

    networks = model.decoder, posterior.network
    sizes = [np.array(network.sizes, np.intp) for network in networks]
    kinds = [ACTIVATIONS[network.activation] for network in networks]
    length = scratch_size(*(network.sizes for network in networks), len(x), len(noise))
    scratch, grad_theta, grad_phi = np.empty(length, theta.dtype), np.empty_like(theta), np.empty_like(phi)
    value = bernoulli_vae(
        _address(theta.dtype),
        x,
        noise,
        *posterior.affine(theta.dtype),
        theta,
        phi,
        *sizes,
        *kinds,
        scratch,
        grad_theta,
        grad_phi,
    )
    return value, grad_theta, grad_phi
