"""Estimators with a temperature: it belongs to the object and to its name."""

from dataclasses import dataclass

from elbo_lab.distributions import relaxation_of
from elbo_lab.errors import NotApplicable, check_positive
from elbo_lab.estimators.base import Estimator


@dataclass(frozen=True)
class WithTemperature:
    """Mixin: a relaxation at a temperature.

    Parameters
    ----------
    temperature : float
        Positive; 1 / temperature is the steepness of the relaxed step.
    """

    temperature: float = 0.5

    def __post_init__(self):
        check_positive("temperature", self.temperature)

    @property
    def name(self):
        return f"{self.stem}-{self.temperature:g}"


class RelaxedEstimator(Estimator):
    """An estimator that sends the gradient through a relaxation, and is biased for it."""

    target = "grad-phi-elbo"
    unbiased = False

    def noise_spec(self, family, n_draws, n_data):
        """Return the noise of the relaxation where there is one: a Gumbel for every category."""
        if not family.discrete:
            return family.noise_spec(n_draws, n_data)
        return relaxation_of(family).noise_spec(n_draws, n_data)

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        relaxation_of(model.family)
        if not (model.family.event_axes or model.relaxes):
            raise NotApplicable(f"{model.label} has no relaxed likelihood")
