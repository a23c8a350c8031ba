"""What models of several layers of z share: their option, and the gradient of a prior that is a chain."""

from collections.abc import Sequence

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Chain
from elbo_lab.models.base import Model


def widths_of(latent: int | Sequence[int] | None, usual: tuple[int, ...]) -> tuple[int, ...]:
    """Return the widths of the layers from the option `latent`: one layer, several, or the usual ones."""
    if latent is None:
        return usual
    return tuple(latent) if isinstance(latent, Sequence) else (latent,)


def pull_of_chain(
    model: Model, chain: Chain, theta: Floats, z: Draws, cotangent: Floats
) -> tuple[Floats, Floats | None]:
    """Return `Model.log_prior_vjp` of a prior that is a chain.

    The weights of the prior are the same for all data: draws and data are summed together, and no gradient of
    each datum, with all of these weights, is stored.
    """
    eta, shared = model.prior_eta(theta), z.shape[-2] < cotangent.shape[-1]
    if shared:
        cotangent = cotangent.sum(axis=-1, keepdims=True)
    rows = (*z.shape[:-3], z.shape[-3] * z.shape[-2], 1)
    by_eta, by_z = chain.log_prob_vjps(
        eta, z.reshape((*rows, z.shape[-1])), cotangent.reshape((*cotangent.shape[:-2], -1, 1))
    )
    return model.prior_eta_vjp(theta, by_eta[..., 0, :]), by_z.reshape((*cotangent.shape, z.shape[-1]))
