"""One Gaussian with full covariance per datum, independent of all others.

The free table (see `free`) of a richer family: where the latents of the true posterior are correlated, its
ELBO is higher than that of any diagonal q, up to log p(x) if the posterior is Gaussian.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from elbo_lab.distributions import FullGaussian
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.posteriors.free import FreePosterior

if TYPE_CHECKING:
    from elbo_lab.models import Model


@dataclass(frozen=True)
class FullPosterior(FreePosterior):
    """phi = mean and Cholesky factor of each of `n_data` data, block by block.

    Parameters
    ----------
    family : FullGaussian
    n_data : int
    """

    name = "full"
    synonyms = ("full-covariance", "full-rank")
    summary = "a free Gaussian with full covariance for every datum"

    @classmethod
    def for_model(cls, model: "Model", n_data: int) -> Self:
        """Return the table for `n_data` data, or raise NotApplicable for categorical z."""
        if model.family.discrete:
            text = f"a Gaussian with full covariance needs continuous z, not {model.family.name}"
            raise NotApplicable(text, Reason.SUPPORT)
        return cls(FullGaussian(model.latent_dim), n_data)
