"""A fitted model that comes back from its checkpoint."""

from dataclasses import dataclass

import numpy as np

from elbo_lab.evaluation import Fitted
from elbo_lab.fitting.specs import build_model, build_posterior
from elbo_lab.learning.training.checkpoint import load_checkpoint


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
        In one line, if the file is no checkpoint of this version.
    """
    header, arrays = load_checkpoint(path)
    model = build_model(header["model"])
    return Stored(
        model,
        build_posterior(header["posterior"], model),
        arrays["result.theta"],
        arrays.get("result.phi"),
        header["settings"],
        header["data"],
    )
