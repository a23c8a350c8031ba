"""A fitted model that comes back from its checkpoint."""

from dataclasses import dataclass

import numpy as np

from elbo_lab.evaluation import Fitted
from elbo_lab.fitting.specs import build_model, build_posterior
from elbo_lab.training.checkpoint import damaged, load_checkpoint


@dataclass(frozen=True, eq=False)
class Stored:
    """What a checkpoint holds beside the state of the job.

    Attributes
    ----------
    model : Model or CategoricalMLP
    posterior : Posterior or None
    theta, phi : ndarray or None
        In float64, or float32 as trained.
    settings, data : dict
    """

    model: object
    posterior: object
    theta: np.ndarray
    phi: np.ndarray | None
    settings: dict
    data: dict

    @property
    def fitted(self):
        """The model ready for use."""
        return Fitted(self.model, self.theta, self.posterior, self.phi)

    @property
    def image_shape(self):
        shape = self.data["image_shape"]
        return None if shape is None else tuple(shape)


def load_fitted(path):
    """Return the Stored model of a checkpoint.

    Raises
    ------
    ValueError
        In one line, if the file is no checkpoint of this version, or is damaged.
    """
    header, arrays = load_checkpoint(path)
    specs = {name: header[name] for name in ("model", "posterior", "settings", "data", "job")}
    theta, phi = arrays["result.theta"], arrays.get("result.phi")
    try:
        model = build_model(specs["model"])
        posterior = build_posterior(specs["posterior"], model)
    except Exception as error:  # what constructors trip over in wrong values is no closed list
        reason = " ".join(str(error).split())
        raise damaged(path, f"or not of this installation: no model from it, {reason}") from None
    _check_vector(path, "theta", theta, model)
    if (posterior is None) != (phi is None):
        raise damaged(path, f"only {'phi' if posterior is None else 'a posterior'} of the posterior and phi")
    if posterior is not None:
        _check_vector(path, "phi", phi, posterior)
    for name in ("model", "data"):
        if not isinstance(specs["settings"][name], str):
            raise damaged(path, f"its {name!r} in 'settings' is no name")
    shape = specs["data"]["image_shape"]
    if shape is not None and not (isinstance(shape, list) and all(isinstance(n, int) for n in shape)):
        raise damaged(path, "its 'image_shape' is no shape")
    return Stored(model, posterior, theta, phi, specs["settings"], specs["data"])


def _check_vector(path, name, vector, owner):
    """Refuse parameters of another shape than the model's or the posterior's, or no floats."""
    if vector.shape != (owner.layout.size,) or vector.dtype not in (np.float32, np.float64):
        found = f"{vector.dtype} of shape {vector.shape}"
        raise damaged(path, f"{name} is {found}, not {owner.layout.size} floats")
