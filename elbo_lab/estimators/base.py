"""The contract of an estimator.

An estimator is a small frozen object that turns given noise into one estimate. It declares what it
estimates without bias, what it needs, and nothing else varies: a different formula is a different
object with a different name.

To bring your own, subclass `Estimator`, set the class attributes, write `estimate`, and pass an
instance to `elbo_lab.compare(..., estimators=[...])`.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from elbo_lab.errors import NotApplicable, bad_value

TARGETS = (
    "log-evidence",
    "elbo",
    "grad-theta-log-evidence",
    "grad-theta-elbo",
    "grad-phi-elbo",
)

NO_STATE = np.zeros(0)


class Estimator(ABC):
    """One way to estimate one target, for the mean over the rows of x.

    Attributes
    ----------
    name : str
    target : str
        What its estimates are held against.
    unbiased_for : str or None
        The target for which its expectation is exact, or None.
    summary : str
        One line for lists.
    draws_from : {'posterior', 'prior'} or None
        Where z comes from; None if no draws are used.
    needs_pathwise : bool
        Whether z must be a differentiable function of the noise.
    minimum_draws : int
    independent_draws : bool
        Whether the formula assumes that the S draws are independent.
    vectorised : bool
        Whether `estimate` accepts noise with extra leading axes (R, *spec.shape) and then returns
        (R, P): write axes from the end (draws are axis -2 of log-weights). If False, the study calls it
        once per repeat.
    """

    name: ClassVar[str]
    target: ClassVar[str]
    unbiased_for: ClassVar[str | None] = None
    summary: ClassVar[str] = ""
    draws_from: ClassVar[str | None] = "posterior"
    needs_pathwise: ClassVar[bool] = False
    minimum_draws: ClassVar[int] = 1
    independent_draws: ClassVar[bool] = True
    vectorised: ClassVar[bool] = False

    @abstractmethod
    def estimate(self, model, posterior, theta, phi, x, noise, state=NO_STATE):
        """Return (estimate (P,), state); deterministic given the noise.

        Parameters
        ----------
        model : Model
        posterior : Posterior or None
        theta, phi : ndarray (P_theta,), (P_phi,)
        x : ndarray (N, D)
        noise : ndarray
            Of the shape of `noise_spec`.
        state : ndarray
            Memory carried from call to call; empty for most.
        """

    @property
    def biased(self):
        """Whether its expectation differs from its target."""
        return self.unbiased_for != self.target

    def noise_spec(self, family, n_draws, n_data):
        """Return the NoiseSpec of one estimate; equal specs share their draws."""
        return family.noise_spec(n_draws, n_data)

    def initial_state(self):
        """Return the state before the first call."""
        return NO_STATE

    def check_pairing(self, model, posterior):
        """Refuse a pairing that makes no sense.

        Parameters
        ----------
        posterior : Posterior or None
            None if the model has no posterior of the wanted kind.

        Raises
        ------
        NotApplicable
            With the reason.
        """
        if self.needs_pathwise and model.family.discrete:
            raise NotApplicable("categorical z has no pathwise derivative")
        if self.target.startswith("grad-phi") and not posterior.has_parameters:
            raise NotApplicable(f"the {posterior.name} posterior has no parameters phi")

    def check_draws(self, n_draws):
        """Refuse fewer draws than the formula needs.

        Raises
        ------
        ValueError
        """
        if n_draws < self.minimum_draws:
            raise bad_value(
                "draws", f"at least {self.minimum_draws} for {self.name}", n_draws, "raise --draws"
            )


def mean_over_rows(values):
    """Return the mean of (..., N) over rows as a vector of one (..., 1)."""
    return values.mean(axis=-1, keepdims=True)


def posterior_draws(posterior, phi, x, noise):
    """Return eta (N, E) and z = sample(eta, noise)."""
    eta = posterior.eta(phi, x)
    return eta, posterior.family.sample(eta, noise)


def prior_draws(model, theta, noise):
    """Return z from the prior."""
    return model.family.sample(model.prior_eta(theta), noise)


def mean_cotangent(family, z):
    """Return the cotangent of a mean over draws and rows: 1 / (S N), shaped (..., S, N)."""
    shape = z.shape if family.discrete else z.shape[:-1]
    dtype = np.float64 if family.discrete else z.dtype
    return np.full(shape, 1.0 / (shape[-2] * shape[-1]), dtype=dtype)
