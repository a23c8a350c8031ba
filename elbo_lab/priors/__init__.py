"""Priors over the parameters theta: one file for each, and which serves which models."""

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable, bad_kind, short
from elbo_lab.models import CategoricalMLP, GaussianMixture, GaussianMLE, Model, SigmoidBelief
from elbo_lab.models.deep import DeepModel
from elbo_lab.models.linear_gaussian import LinearGaussian
from elbo_lab.priors.base import DEFAULT, FLAT, Numbers, Prior, read_numbers
from elbo_lab.priors.linear_gaussian import LinearGaussianPrior
from elbo_lab.priors.mixture import MixturePrior
from elbo_lab.priors.network import NetworkPrior
from elbo_lab.priors.normal_inverse_gamma import NormalInverseGamma
from elbo_lab.priors.normal_inverse_wishart import NormalInverseWishart

PRIORS: dict[type, type[Prior]] = {
    GaussianMLE: NormalInverseGamma,
    GaussianMixture: MixturePrior,
    LinearGaussian: LinearGaussianPrior,
    SigmoidBelief: NetworkPrior,
    CategoricalMLP: NetworkPrior,
    DeepModel: NetworkPrior,
}


def prior_kind(model: Model) -> type[Prior] | None:
    """Return the kind of prior that a model has, or None."""
    return next((kind for of, kind in PRIORS.items() if isinstance(model, of)), None)


def find_prior(spec: str | Prior, model: Model, x: Floats, usual: Numbers | None = None) -> Prior:
    """Return the prior of a text, or check a given one.

    Parameters
    ----------
    spec : str or Prior
        'default', 'flat', or numbers as in 'dirichlet=2,nu=5' (see `priors.base`).
    model : Model
    x : ndarray (N, D)
        Training rows: the defaults are measured on them.
    usual : dict, optional
        Numbers by name that take the place of defaults.

    Raises
    ------
    NotApplicable
        If this model has no prior.
    ValueError
        In one line, for a wrong name or number.
    """
    kind = prior_kind(model)
    if kind is None:
        remedy = (
            "its coefficients are latents with a prior already" if model.global_latents else "leave it out"
        )
        raise NotApplicable(f"prior: none is known for the parameters of {model.label}; {remedy}")
    if isinstance(spec, Prior):
        if not isinstance(spec, kind):
            raise bad_kind("prior", f"a {kind.__name__} for {model.label}", type(spec).__name__)
        spec.check_model(model)
        return spec
    if not isinstance(spec, str):
        raise bad_kind("prior", f"a text or a {kind.__name__}", short(spec))
    text = spec.strip()
    if text == FLAT:
        return kind.flat_for(model)
    names = tuple(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    given = Numbers() if text == DEFAULT else Numbers(read_numbers(text, names))
    return kind.for_data(model, x, (usual or {}) | given)


__all__ = [
    "DEFAULT",
    "PRIORS",
    "LinearGaussianPrior",
    "MixturePrior",
    "NetworkPrior",
    "NormalInverseGamma",
    "NormalInverseWishart",
    "Prior",
    "find_prior",
    "prior_kind",
]
