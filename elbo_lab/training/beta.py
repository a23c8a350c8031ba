"""The KL of a bound with a weight: beta-VAE, and its warm-up.

    L_beta = E_q[log p(x | z)] - beta KL(q || p(z))  =  ELBO + (1 - beta) KL(q || p(z))

(Higgins et al. 2017, eq. 4.) A KL is not negative, so for beta >= 1 the objective stays below the ELBO, and
is a looser lower bound of log p(x). For beta < 1 it is none: at the exact posterior it lies above,

    q = p(z | x):   L_beta = log p(x) + (1 - beta) KL(p(z | x) || p(z))

Nor is the posterior the best q any more, except for beta = 1: the best q of all is proportional to
p(z) p(x | z)^(1/beta). So what is maximised has a name of its own, `beta_objective`, and the ELBO that is
reported beside it is the true one.

*Warm-up.* A weight that rises from 0 lets the decoder learn to use z before the code has to be paid for
(Bowman et al. 2016, section 3.1; Sønderby et al. 2016, eq. 14). With t the minibatches already seen:

    constant      beta
    linear:T      beta min(1, t / T)

Helps: to trade the accuracy of a code for its brevity; a warm-up against units that collapse early. Fails: as
maximum likelihood, unless beta ends at 1. The estimators of the ELBO's gradient, each with its own noise,
serve here too: the gradient of (1 - beta) KL is added in closed form, so a q needs a KL to the prior that
has a formula.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable, Reason, bad_kind, bad_value, is_number, short, unknown_name
from elbo_lab.estimators.passes import kl_pass, weighted_pass
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.training.batch import Vectors
from elbo_lab.training.objectives import Drawn, ElboObjective, Gradients, Names

SCHEDULES = ("constant", "linear")


@dataclass(frozen=True)
class BetaSchedule:
    """The weight of the KL as a function of the minibatches seen.

    Parameters
    ----------
    final : float
        beta, at least 0.
    steps : int
        Minibatches over which the weight rises linearly from 0; with 0 it is constant.
    """

    final: float = 1.0
    steps: int = 0

    def __post_init__(self) -> None:
        if not is_number(self.final):
            raise bad_kind("beta", "a number", short(self.final))
        if not (math.isfinite(self.final) and self.final >= 0.0):
            expected = "a finite weight of the KL, at least 0"
            raise bad_value("beta", expected, self.final, "1 is the ELBO, more asks for shorter codes")

    @classmethod
    def parse(cls, beta: float, text: str) -> Self:
        """Return the schedule of a text, 'constant' or 'linear:STEPS', that ends at `beta`.

        Raises
        ------
        ValueError
        """
        name, colon, number = (part.strip() for part in text.partition(":"))
        if name not in SCHEDULES:
            raise unknown_name("beta_schedule", name, SCHEDULES)
        if name == "constant":
            if colon:
                raise bad_value("beta_schedule", "'constant' without a number", repr(text))
            return cls(beta)
        if not (number.isascii() and number.isdigit() and int(number) > 0):
            expected = "'linear:STEPS' with a whole number of steps"
            raise bad_value("beta_schedule", expected, repr(text), "it counts minibatches")
        return cls(beta, int(number))

    def at(self, step: int) -> float:
        """Return the weight of a minibatch, `step` of them having been seen before."""
        return float(self.final * min(1.0, step / self.steps) if self.steps else self.final)

    def check_ends(self, n_minibatches: int) -> None:
        """Refuse a warm-up that a training of so many minibatches does not finish."""
        if self.steps > n_minibatches:
            expected = f"a warm-up of at most the {n_minibatches} minibatches of the training"
            remedy = "take fewer, or raise the epochs"
            raise bad_value("beta_schedule", expected, f"{self.steps}", remedy)

    @property
    def is_elbo(self) -> bool:
        """Whether the objective is the ELBO at every step."""
        return self.final == 1.0 and not self.steps


@dataclass(frozen=True, eq=False)
class BetaObjective(ElboObjective):
    """E_q[log p(x | z)] - beta KL(q || p(z)), with a beta that may rise during the training.

    Its gradients are those of an unbiased estimator of the ELBO's, and of (1 - beta) KL in closed form.

    Parameters
    ----------
    weight : BetaSchedule

    The other parameters are those of `ElboObjective`.

    Raises
    ------
    NotApplicable
        If KL(q || prior) has no closed form.
    """

    weight: BetaSchedule = BetaSchedule()
    further_keys: ClassVar[Names] = ("beta_objective",)
    watched_key = "beta_objective_validation"

    @classmethod
    def check_combination(cls, model: Model, posterior: Posterior) -> None:
        super().check_combination(model, posterior)
        family = posterior.family
        model.check_prior()
        if not family.has_kl_to(model.family):
            pair = f"a {family.name} q and a {model.family.name} prior"
            text = f"beta weighs a closed KL, and that of {pair} has no formula; leave beta out"
            raise NotApplicable(text, Reason.NEEDS_CLOSED_KL)

    @property
    def moves_on(self) -> bool:
        return super().moves_on or bool(self.weight.steps)

    @property
    def beta(self) -> float:
        """The weight of the KL at this step."""
        return self.weight.at(self.step)

    @property
    def notes(self) -> dict[str, float]:
        return super().notes | {"beta": self.beta}

    def values(self, elbo: float, kl: float) -> Floats:
        """Return the ELBO and what is maximised, (2,) in nats per datum."""
        return np.array([elbo, elbo + (1.0 - self.beta) * kl])

    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:
        if self.one_pass:
            x, noise = block
            (draws,) = noise.values()
            elbo, kl, *found = weighted_pass(self.problem(params, x), draws, self.beta)
            return self.values(elbo, kl), dict(zip(self.names, found, strict=True)), memory
        value, gradients, memory = super().gradients(params, block, names, memory)
        kl, *of_kl = kl_pass(self.problem(params, block[0]))
        for name, slope in zip(self.names, of_kl, strict=True):
            if name in gradients:
                gradients[name] = gradients[name] + (1.0 - self.beta) * slope
        return self.values(float(value), kl), gradients, memory
