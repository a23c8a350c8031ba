"""Wake-sleep and reweighted wake-sleep: theta and phi follow the slopes of two different functions.

    wake     theta rises along  E_q[d log p(x, z)/d theta]           the data, explained by draws of q
    sleep    phi rises along    E_{p(x, z)}[d log q(z | x)/d phi]    dreams: z and x drawn from the model

(Hinton, Dayan, Frey and Neal 1995.) The wake phase raises the ELBO in theta. The sleep phase lowers the other
KL, averaged over what the model dreams instead of the data:

    E_{p(x, z)}[d log q(z | x)/d phi] = -d/d phi E_{p(x)} KL(p(z | x) || q(z | x))

since the entropy of p(z | x) does not contain phi. A dream comes with its z, so that this is supervised
learning of an encoder: no weights, no path through z, and no noise of scores that grows with log p(x). But
the two phases have no common function that rises. It need not converge, and where the dreams are unlike the
data q is good only on the dreams. Reweighted wake-sleep (Bornschein and Bengio 2015) takes S weighted draws:

    wake-theta   sum_s v_s d log p(x, z_s)/d theta,   v_s = w_s / sum_t w_t,   w_s = p(x, z_s) / q(z_s | x)
    wake-phi     sum_s v_s d log q(z_s | x)/d phi                                        (`wake-phi`)
    sleep-phi    as above

which is self-normalised importance sampling of the gradient of log p(x) (Fisher's identity) and of that of
-KL(p(z | x) || q) on the data; both are biased by order 1/S. So wake-theta raises the importance-weighted
bound of S draws, and phi something else. The names of their combinations:

    wake-sleep      wake phase by draws of q,  sleep-phi
    rws             wake-theta,                wake-phi
    rws-sleep       wake-theta,                sleep-phi
    rws-wake-sleep  wake-theta,                the mean of wake-phi and sleep-phi

With one draw v_1 = 1: wake-theta is the wake phase, and `rws-sleep` is `wake-sleep`; wake-phi is a score
alone, of mean zero, so that `rws` needs at least two.

All are trained with a history that shows what they do not ascend: the ELBO, the importance-weighted bound
and, where it is known, log p(x) of the same rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable, Reason, bad_value
from elbo_lab.estimators import (
    ElboAnalyticKL,
    ElboSampled,
    Estimator,
    ImportanceWeightedBound,
    IwaeTheta,
    WakePhi,
)
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.training.batch import Vectors
from elbo_lab.training.objectives import Drawn, Gradients, Names, VariationalObjective


class DreamNoise(NamedTuple):
    """The randomness of a block of dreams.

    Attributes
    ----------
    z : ndarray (1, M, ...)
        Noise of M draws of the prior.
    key : ndarray (4,)
        Seeds the generator that draws x given z.
    """

    z: Floats
    key: Integers


def dream(model: Model, theta: Floats, noise: DreamNoise, dtype: type = np.float64) -> tuple[Floats, Draws]:
    """Return x (M, D) and z (M, K) or (M,) drawn from the model."""
    z = model.family.sample(model.prior_eta(theta), noise.z)[0]
    return model.sample_x(theta, z, np.random.default_rng(noise.key)).astype(dtype, copy=False), z


def sleep_gradient(posterior: Posterior, phi: Floats, x: Floats, z: Draws) -> Floats:
    """Return the gradient of the mean of log q(z_m | x_m) over M dreams in phi: (P,).

        (1 / M) sum_m d log q(z_m | x_m)/d phi = (1 / M) sum_m h(z_m) d eta(x_m)/d phi,   h the score of q

    Parameters
    ----------
    posterior : Posterior
        An encoder: dreams are rows that no table has.
    phi : ndarray (P,)
    x : ndarray (M, D)
    z : ndarray (M, K) or (M,)
    """
    eta, pullback = posterior.eta_and_pullback(phi, x)
    share = np.full((1, len(x)), 1.0 / len(x), eta.dtype)
    return pullback(posterior.family.log_prob_vjp(eta, z[None], share))


@dataclass(frozen=True, eq=False)
class DreamingObjective(VariationalObjective):
    """Base of the objectives with a sleep phase: as many dreams in a step as draws of q.

    Where phi has an estimator too, its gradient is the mean of both.
    """

    ascends = False

    @classmethod
    def check_combination(cls, model: Model, posterior: Posterior) -> None:
        super().check_combination(model, posterior)
        model.check_prior()  # dreams begin with its draws
        family = posterior.family
        if posterior.needs_all_rows:
            reason = "it has no q for dreams, which are new rows; use the amortised posterior"
            text = f"a {posterior.name} posterior has no sleep phase: {reason}"
            raise NotApplicable(text, Reason.NEEDS_NEW_ROWS)
        if not model.family.lies_within(family):
            reason = f"a {family.name} q does not reach all z of the prior"
            text = f"no sleep phase: {reason}, and log q of a dream may be -inf"
            raise NotApplicable(text, Reason.SUPPORT)
        if not family.scores_foreign_z:
            text = f"no sleep phase: a {family.name} q does not know log q at the z of a dream"
            raise NotApplicable(text, Reason.NO_LOG_Q_AT_FOREIGN_Z)

    def draw(self, rows: Integers, rng: np.random.Generator) -> Drawn:
        spec = self.model.family.noise_spec(1, self.draws * len(rows))
        key = rng.integers(0, 1 << 32, 4, dtype=np.uint32)
        return super().draw(rows, rng), DreamNoise(draw_noise(spec, rng, dtype=self.dtype), key)

    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:
        awake, noise = block
        value, gradients, memory = super().gradients(params, awake, names, memory)
        if "phi" in names:
            x, z = dream(self.model, params["theta"], noise, self.dtype)
            asleep = sleep_gradient(self.posterior, params["phi"], x, z)
            wake = gradients.get("phi")
            gradients["phi"] = asleep if wake is None else 0.5 * (wake + asleep)
        return value, gradients, memory


@dataclass(frozen=True, eq=False)
class WakeSleepObjective(DreamingObjective):
    """Wake-sleep: theta along the ELBO by draws of q, phi along log q of the z of dreams.

    Helps: encoders of bits and categories, whose ELBO gradient in phi is noisy; every step is plain
    supervised learning. Fails: it ascends no function; early dreams are unlike the data, and q covers the
    posterior of dreams, not of the data.

    Parameters
    ----------
    theta_estimator : Estimator
        Of `grad-theta-elbo`.

    The other parameters are those of `VariationalObjective`.

    Source: Hinton, Dayan, Frey and Neal, "The wake-sleep algorithm for unsupervised neural networks" (1995).
    """

    theta_estimator: Estimator = ElboAnalyticKL()  # noqa: RUF009 - estimators are immutable
    targets: ClassVar[Mapping[str, str]] = {"theta": "grad-theta-elbo"}
    usual: ClassVar[Mapping[str, Any]] = {"draws": 1}
    name = "wake-sleep"
    summary = "theta along the ELBO, phi along log q of the z of dreams"


@dataclass(frozen=True, eq=False)
class WeightedObjective(VariationalObjective):
    """Base of the objectives whose theta follows S weighted draws (wake-theta).

    Its value is the importance-weighted bound of S draws, which only its theta ascends.
    """

    theta_estimator: Estimator = IwaeTheta()  # noqa: RUF009
    targets: ClassVar[Mapping[str, str]] = {"theta": "grad-theta-iwae"}
    usual: ClassVar[Mapping[str, Any]] = {"theta_estimator": IwaeTheta.name, "draws": 10}
    value_key = "iwae"
    ascends = False

    @cached_property
    def bound(self) -> Estimator:
        return ImportanceWeightedBound()


@dataclass(frozen=True, eq=False)
class ReweightedWakeSleepObjective(WeightedObjective):
    """Reweighted wake-sleep: both follow S weighted draws of q on the data.

    Helps: discrete z without a baseline, and more draws make both gradients better. Fails: at few draws,
    where both are biased; where q misses a mode, no weight points there.

    Parameters
    ----------
    theta_estimator, phi_estimator : Estimator
        Of `grad-theta-iwae` and `grad-phi-inclusive-kl`.
    draws : int
        S, at least 2.

    The other parameters are those of `VariationalObjective`.

    Source: Bornschein and Bengio, "Reweighted wake-sleep" (2015), section 2.
    """

    phi_estimator: Estimator = WakePhi()  # noqa: RUF009
    draws: int = field(default=10, kw_only=True)
    targets: ClassVar[Mapping[str, str]] = {
        **WeightedObjective.targets,
        "phi": "grad-phi-inclusive-kl",
    }
    usual: ClassVar[Mapping[str, Any]] = {**WeightedObjective.usual, "phi_estimator": WakePhi.name}
    name = "rws"
    title = "reweighted wake-sleep"
    summary = "theta and phi along S weighted draws of q (wake-theta, wake-phi)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draws < 2:
            expected = f"at least 2 for {self.name} (of one draw the weight is 1, wake-phi has mean zero)"
            raise bad_value("draws", expected, self.draws)


@dataclass(frozen=True, eq=False)
class InclusiveKLObjective(VariationalObjective):
    """The other KL for q: theta along the ELBO, phi along -KL(p(z | x) || q) on the data, by weighted draws.

    Helps: q covers the posterior instead of one part of it, for any z, without a baseline. Fails: no function
    rises; the weights of few draws are biased, and where q misses a mode no weight points there.

    Parameters
    ----------
    theta_estimator, phi_estimator : Estimator
        Of `grad-theta-elbo` and `grad-phi-inclusive-kl`.
    draws : int
        S, at least 2.

    The other parameters are those of `VariationalObjective`.

    Source: Bornschein and Bengio, "Reweighted wake-sleep" (2015), section 2, for phi.
    """

    theta_estimator: Estimator = ElboSampled()  # noqa: RUF009
    phi_estimator: Estimator = WakePhi()  # noqa: RUF009
    draws: int = field(default=10, kw_only=True)
    targets: ClassVar[Mapping[str, str]] = {"theta": "grad-theta-elbo", "phi": "grad-phi-inclusive-kl"}
    usual: ClassVar[Mapping[str, Any]] = {"phi_estimator": WakePhi.name, "draws": 10}
    name = "inclusive-kl"
    title = "inclusive KL"
    synonyms = ("forward-kl",)
    summary = "theta along the ELBO, phi along -KL(posterior || q) by weighted draws of q"
    ascends = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draws < 2:
            expected = f"at least 2 for {self.name} (of one draw the weight is 1, wake-phi has mean zero)"
            raise bad_value("draws", expected, self.draws)


@dataclass(frozen=True, eq=False)
class SleepReweightedObjective(DreamingObjective, WeightedObjective):
    """Reweighted wake-sleep with the sleep phase: theta along weighted draws, phi along log q of dreams.

    Parameters
    ----------
    theta_estimator : Estimator
        Of `grad-theta-iwae`.

    The other parameters are those of `VariationalObjective`.
    """

    name = "rws-sleep"
    title = "reweighted wake-sleep, sleep-phi"
    summary = "theta along S weighted draws of q, phi along log q of the z of dreams"


@dataclass(frozen=True, eq=False)
class BothReweightedObjective(DreamingObjective, ReweightedWakeSleepObjective):
    """Reweighted wake-sleep in which phi follows the mean of the wake-phi and the sleep-phi gradient.

    Parameters
    ----------
    theta_estimator, phi_estimator : Estimator
        Of `grad-theta-iwae` and `grad-phi-inclusive-kl`.

    The other parameters are those of `VariationalObjective`.
    """

    name = "rws-wake-sleep"
    title = "reweighted wake-sleep, wake-phi and sleep-phi"
    summary = "as rws, phi along the mean of wake-phi and sleep-phi"
