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
from elbo_lab.estimators.targets import numbered

NO_STATE = np.zeros(0)


class Estimator(ABC):
    """One way to estimate one target, for the mean over the rows of x.

    Attributes
    ----------
    name : str
    target : str
        What its estimates are held against, one of `targets.TARGETS`.
    unbiased_for : str or None
        The target for which its expectation is exact, or None.
    summary : str
        One line for lists.
    draws_from : {'posterior', 'prior'} or None
        Where z comes from; None if no draws are used.
    needs_pathwise : bool
        Whether z must be a differentiable function of the noise.
    needs_kl : bool
        Whether KL(q || prior) must be in closed form (`Family.has_kl_to`).
    minimum_draws : int
    independent_draws : bool
        Whether the formula assumes that the S draws are independent: antithetic or Sobol draws are then
        refused. A plain mean over draws does not assume it.
    is_reference : bool
        Whether it needs what nobody has in practice, such as the exact answer: shown, but never advised.
    burn_in : int
        Estimates, one after the other, by which the state of an estimator has settled; it is studied with
        the state that it then has, held still. Zero without a state.
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
    needs_kl: ClassVar[bool] = False
    minimum_draws: ClassVar[int] = 1
    independent_draws: ClassVar[bool] = True
    is_reference: ClassVar[bool] = False
    vectorised: ClassVar[bool] = False
    burn_in: ClassVar[int] = 0

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
            Memory carried from call to call; empty for most. With R repeats in front all of them see the
            state given, and the state returned has learned from all of them.
        """

    @property
    def biased(self):
        """Whether its expectation differs from its target."""
        return self.unbiased_for != self.target

    def group_size(self, n_draws):
        """Return how many of S draws stand in one bound of several draws: all, unless groups are formed."""
        return n_draws

    def target_at(self, n_draws):
        """Return the target of an estimate from S draws, as it stands in a row: 'grad-phi-iwae-10'."""
        return numbered(self.target, self.group_size(n_draws))

    def unbiased_at(self, n_draws):
        """Return the target for which the expectation of an estimate from S draws is exact, or None."""
        name = self.unbiased_for
        return None if name is None else numbered(name, self.group_size(n_draws))

    def noise_spec(self, family, n_draws, n_data):
        """Return the NoiseSpec of one estimate; equal specs share their draws."""
        return family.noise_spec(n_draws, n_data)

    def initial_state(self, model, posterior, x):  # noqa: ARG002 - most remember nothing
        """Return the state before the first call, for these data."""
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
            raise NotApplicable(f"{model.family.name} z has no pathwise derivative")
        if self.needs_kl and not posterior.family.has_kl_to(model.family):
            pair = f"a {posterior.family.name} q and a {model.family.name} prior"
            raise NotApplicable(f"KL between {pair} has no closed form; use an estimator that samples log q")
        if self.target.startswith("grad-theta") and not model.layout.size:
            raise NotApplicable(f"{model.label} has no parameters theta")
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
    shape = z.shape[: z.ndim - family.event_axes]
    dtype = z.dtype if z.dtype.kind == "f" else np.float64
    return np.full(shape, 1.0 / (shape[-2] * shape[-1]), dtype=dtype)


def log_weight_and_score(model, posterior, theta, phi, x, noise):
    """Draw from q; return log w (..., S, N) and the function that weighs the scores of the draws.

    The function takes a signal (..., S, N) and returns the mean over draws and rows of signal times score,
    by phi (..., P).
    """
    z, log_q, pull_q = posterior.family.draw(posterior.eta(phi, x), noise)

    def mean_score(signal):
        grad_eta = pull_q(signal) / (signal.shape[-2] * signal.shape[-1])
        return posterior.eta_vjp(phi, x, grad_eta)

    return model.log_joint(theta, x, z) - log_q, mean_score
