"""The contract of an estimator.

An estimator is a small frozen object that turns given noise into one estimate. It declares what it
estimates, whether without bias, and what it needs. Nothing else varies: a different formula is a
different object with a different name.

    estimate(problem, noise, state) -> (estimate, state),   problem = (model, posterior, theta, phi, x)

Repeats are a leading axis: noise (R, *spec.shape) gives estimates (R, P). For that it suffices that a formula
counts its axes from the end: draws are axis -2 of log-weights, and axis -3 of arrays whose last axis holds
coordinates.

To bring your own, subclass `Estimator`, set the class attributes, write `estimate`, and pass an
instance to `elbo_lab.compare(..., estimators=[...])`.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.bounds import log_weight
from elbo_lab.distributions import (
    DiagonalGaussian,
    IndependentBernoulli,
    Laplace,
    Logistic,
    LogNormal,
    relaxation_of,
)
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.independent_bernoulli import MOST_BITS
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import NotApplicable, Reason, bad_kind, bad_value
from elbo_lab.estimators.targets import numbered
from elbo_lab.exact.problem import Problem
from elbo_lab.models.base import Model
from elbo_lab.names import drop_inherited_words
from elbo_lab.posteriors.base import Posterior

NO_STATE: Floats = np.zeros(0)

Estimate = tuple[Floats, Floats]
"""What `estimate` returns: the estimate (..., P), and the state after it."""

# Attributes of the contract that preceded `Problem`, and how many arguments the methods take now.
OLD_ATTRIBUTES = ("unbiased_for", "vectorised")
ARGUMENTS = {"estimate": 4, "initial_state": 2}


class Latents(NamedTuple):
    """A kind of z that a formula may be limited to: its words, the reason for a refusal, and its test."""

    words: str
    reason: Reason
    include: Callable[[Family], bool]


LATENTS: Mapping[str, Latents] = {
    "discrete": Latents("a discrete z", Reason.NEEDS_DISCRETE, lambda family: family.discrete),
    "bits": Latents(
        "independent bits", Reason.NEEDS_BITS, lambda family: isinstance(family, IndependentBernoulli)
    ),
    "symmetric": Latents(
        "a q symmetric about its location",
        Reason.NEEDS_SYMMETRY,
        lambda family: isinstance(family, DiagonalGaussian | Laplace | Logistic),
    ),
    "gaussian-noise": Latents(
        "a q with one Gaussian number behind each coordinate",
        Reason.NEEDS_GAUSSIAN_NOISE,
        lambda family: isinstance(family, DiagonalGaussian | LogNormal),
    ),
}


class Estimator(ABC):
    """One way to estimate one target, for the mean over the rows of x.

    Attributes
    ----------
    name : str
    title : str
        Its name in a textbook, for figures and sentences; '' for the name itself.
    synonyms : tuple of str
        Its other names; wherever a name is taken they are, too.
    target : str
        The quantity with which its estimates are compared, one of `targets.TARGETS`.
    unbiased : bool
        Whether its expectation is its target. A study tests this claim.
    summary : str
        One line for lists.
    draws_from : {'posterior', 'prior'} or None
        Where z comes from; None if no draws are used.
    needs_pathwise : bool
        Whether z must be a differentiable function of the noise.
    needs_kl : bool
        Whether KL(q || prior) must be in closed form (`Family.has_kl_to`).
    needs_entropy : bool
        Whether the entropy of q must have a formula or be a sum.
    latents : str
        'any', or the kind of z that the formula is limited to, one of `LATENTS`.
    needs_relaxation : bool
        Whether it replaces a discrete z by a continuous one, at which log p(x | z) must have a formula.
    needs_log_q_at_foreign_z : bool
        Whether it evaluates log q at a z that was not drawn from the same q (`Family.scores_foreign_z`).
    most_values : float
        How many values of a discrete z it can list.
    most_dimensions : float
        How many coordinates of a continuous z it can integrate over.
    minimum_draws : int
    independent_draws : bool
        Whether the formula assumes that the S draws are independent, as a leave-one-out baseline or the
        logarithm of a mean does: antithetic or Sobol draws are then refused. A plain mean over draws does
        not assume it.
    is_reference : bool
        Whether it needs something unavailable in practice, such as the exact answer: it is shown, but never
        recommended.
    burn_in : int
        Number of successive estimates after which the state has settled. A study makes them first and then
        holds the state fixed. Zero without a state.
    compared : bool
        Whether a table of all estimators has a row of it; by name it is compared in any case.
    """

    if TYPE_CHECKING:
        # Read only: a subclass sets the attribute of the class, or writes a property.
        @property
        def name(self) -> str: ...
        @property
        def title(self) -> str: ...
        @property
        def synonyms(self) -> tuple[str, ...]: ...
        @property
        def target(self) -> str: ...
        @property
        def unbiased(self) -> bool: ...
        @property
        def summary(self) -> str: ...
        @property
        def draws_from(self) -> str | None: ...
        @property
        def needs_pathwise(self) -> bool: ...
        @property
        def needs_kl(self) -> bool: ...
        @property
        def needs_entropy(self) -> bool: ...
        @property
        def latents(self) -> str: ...
        @property
        def needs_relaxation(self) -> bool: ...
        @property
        def needs_log_q_at_foreign_z(self) -> bool: ...
        @property
        def most_values(self) -> float: ...
        @property
        def most_dimensions(self) -> float: ...
        @property
        def minimum_draws(self) -> int: ...
        @property
        def independent_draws(self) -> bool: ...
        @property
        def is_reference(self) -> bool: ...
        @property
        def burn_in(self) -> int: ...
        @property
        def compared(self) -> bool: ...
    else:
        title = ""
        synonyms = ()
        unbiased = True
        summary = ""
        draws_from = "posterior"
        needs_pathwise = False
        needs_kl = False
        needs_entropy = False
        latents = "any"
        needs_relaxation = False
        needs_log_q_at_foreign_z = False
        most_values = np.inf
        most_dimensions = np.inf
        minimum_draws = 1
        independent_draws = False
        is_reference = False
        burn_in = 0
        compared = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, 'name', None)!r}>"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        drop_inherited_words(cls)
        _refuse_old_form(cls)

    @abstractmethod
    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        """Return (estimate (P,), state); deterministic given the noise.

        Parameters
        ----------
        problem : Problem
        noise : ndarray (..., *spec.shape)
            Of the shape of `noise_spec`, after a leading axis of any repeats R; the estimate is then (R, P).
        state : ndarray
            Memory carried from call to call; empty for most. All repeats use the given state, and the
            returned state has learned from all of them.
        """

    def group_size(self, n_draws: int) -> int:
        """Return how many of S draws enter one bound of several draws: all, unless they are grouped."""
        return n_draws

    def evaluations(self, n_draws: int, family: Family) -> int:  # noqa: ARG002
        """Return at how many z, for each datum, an estimate from S draws evaluates log p(x, z) or its slope.

        The cost of an estimate that does not depend on the machine. A value and a slope at the same z count
        once.

        Parameters
        ----------
        n_draws : int
        family : Family
            That of q.
        """
        return n_draws

    def target_at(self, n_draws: int) -> str:
        """Return the target of an estimate from S draws, as a table shows it: 'grad-phi-iwae-10'."""
        return numbered(self.target, self.group_size(n_draws))

    def noise_spec(self, family: Family, n_draws: int, n_data: int) -> NoiseSpec:
        """Return the NoiseSpec of one estimate; equal specs share their draws."""
        return family.noise_spec(n_draws, n_data)

    def noise_for(self, problem: Problem, n_draws: int) -> NoiseSpec:
        """Return the NoiseSpec of one estimate on a problem: of q, or of the prior where z comes from it.

        The two may be of different kinds; a problem without a posterior (None) has only the prior's.
        """
        from_prior = self.draws_from == "prior" or problem.posterior is None
        family = problem.model.family if from_prior else problem.posterior.family
        return self.noise_spec(family, n_draws, len(problem.x))

    def initial_state(self, problem: Problem) -> Floats:  # noqa: ARG002 - most have no state
        """Return the state before the first call, for the data of a problem."""
        return NO_STATE

    def check_pairing(self, model: Model, posterior: Posterior) -> None:
        """Refuse a model and a posterior to which the estimator does not apply.

        Computed from what the estimator declares that it needs, and the families declare that they have.

        Parameters
        ----------
        posterior : Posterior or None
            None if the model has no posterior of the wanted kind.

        Raises
        ------
        NotApplicable
            With the reason.
        """
        if model.all_observed:
            text = f"{model.label} has nothing hidden: its log p is exact, and no estimate of it"
            raise NotApplicable(text, Reason.NOTHING_HIDDEN)
        if self.target.startswith("grad-theta") and not model.layout.size:
            raise NotApplicable(f"{model.label} has no parameters theta", Reason.NO_THETA)
        if self.target.startswith("grad-phi") and not posterior.has_parameters:
            raise NotApplicable(f"the {posterior.name} posterior has no parameters phi", Reason.NO_PHI)
        from_prior = self.draws_from == "prior" or posterior is None
        if from_prior or self.needs_kl:
            model.check_prior()
        self._check_family(model.family if from_prior else posterior.family, model)

    def _check_family(self, family: Family, model: Model) -> None:
        """Refuse a family that z is drawn from, with the prior and the likelihood of a model."""
        if self.needs_pathwise and not family.has_path:
            raise NotApplicable(f"{family.name} z has no pathwise derivative", Reason.NO_PATH)
        if self.needs_kl and not family.has_kl_to(model.family):
            pair = f"a {family.name} q and a {model.family.name} prior"
            text = f"KL between {pair} has no closed form; use an estimator that samples log q"
            raise NotApplicable(text, Reason.NEEDS_CLOSED_KL)
        if self.needs_entropy and not (family.closed_entropy or family.n_values <= 2**MOST_BITS):
            text = f"the entropy of a {family.name} q has no formula; use an estimator that samples log q"
            raise NotApplicable(text, Reason.NEEDS_ENTROPY)
        if self.latents != "any" and not LATENTS[self.latents].include(family):
            text = f"{self.name} needs {LATENTS[self.latents].words}, and z is {family.name}"
            raise NotApplicable(text, LATENTS[self.latents].reason)
        if self.needs_log_q_at_foreign_z and not family.scores_foreign_z:
            text = f"{self.name} needs log q at a foreign z, and a {family.name} q knows it at its own draws"
            raise NotApplicable(text, Reason.NO_LOG_Q_AT_FOREIGN_Z)
        if self.needs_relaxation:
            relaxation_of(family)
            if not (family.has_slope or model.relaxes):
                raise NotApplicable(f"{model.label} has no relaxed likelihood", Reason.NO_RELAXATION)
        if family.discrete and family.n_values > self.most_values:
            text = f"z has {family.n_values:g} values, more than the {self.most_values:g} of {self.name}"
            raise NotApplicable(f"{family.name} {text}", Reason.TOO_MANY_VALUES)
        if not family.discrete and family.size > self.most_dimensions:
            text = f"{self.name} integrates over z: at most {self.most_dimensions:g} latents"
            raise NotApplicable(f"{text}, not {family.size}", Reason.TOO_MANY_LATENTS)

    def check_draws(self, n_draws: int) -> None:
        """Refuse fewer draws than the formula needs.

        Raises
        ------
        ValueError
        """
        if n_draws < self.minimum_draws:
            raise bad_value(
                "draws", f"at least {self.minimum_draws} for {self.name}", n_draws, "raise --draws"
            )


def _refuse_old_form(kind: type[Estimator]) -> None:
    """Refuse a class written for the contract that preceded `Problem`.

    Raises
    ------
    TypeError
    """
    outdated = [name for name in OLD_ATTRIBUTES if name in vars(kind)]
    for name, n_arguments in ARGUMENTS.items():
        method = vars(kind).get(name)
        if inspect.isfunction(method):
            signature = inspect.signature(method)
            required = (p for p in signature.parameters.values() if p.default is p.empty)
            if sum(p.kind < p.VAR_POSITIONAL for p in required) > n_arguments:
                outdated.append(f"{name}{signature}")
    if outdated:
        expected = "estimate(self, problem, noise, state=NO_STATE) and unbiased = True or False"
        remedy = (
            "write `model, posterior, theta, phi, x = problem` in estimate and initial_state(self, problem), "
            "leave out unbiased_for and vectorised, and accept noise with a leading axis of repeats"
        )
        raise bad_kind(f"estimator {kind.__name__}", expected, ", ".join(outdated), remedy)


def mean_over_rows(values: Floats) -> Floats:
    """Return the mean of (..., N) over rows as a vector of one (..., 1)."""
    return values.mean(axis=-1, keepdims=True)


def prior_draws(problem: Problem, noise: Floats) -> Draws:
    """Return z from the prior."""
    return problem.model.family.sample(problem.model.prior_eta(problem.theta), noise)


def posterior_draws(problem: Problem, noise: Floats) -> tuple[Floats, Draws]:
    """Return eta (N, E) and z = sample(eta, noise) from q."""
    eta = problem.posterior.eta(problem.phi, problem.x)
    return eta, problem.posterior.family.sample(eta, noise)


def weighted_draws(problem: Problem, noise: Floats) -> tuple[Floats, Draws, Floats]:
    """Return eta (N, E), z = sample(eta, noise) from q, and log w = log p(x, z) - log q(z) (..., S, N)."""
    eta, z = posterior_draws(problem, noise)
    return eta, z, log_weight_at(problem, eta, z)


def log_weight_at(problem: Problem, eta: Floats, z: Draws) -> Floats:
    """Return log w = log p(x, z) - log q(z) (..., S, N) at some z."""
    return log_weight(problem.model, problem.theta, problem.x, problem.posterior.family, eta, z)


def log_weight_and_score(problem: Problem, noise: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Draw from q; return log w (..., S, N) and a function that averages weighted scores.

    The function takes a signal (..., S, N) and returns the mean over draws and rows of signal times score
    in phi (..., P).
    """
    model, posterior, theta, phi, x = problem
    z, log_q, pull_q = posterior.family.draw(posterior.eta(phi, x), noise)

    def mean_score(signal: Floats) -> Floats:
        grad_eta = pull_q(signal) / (signal.shape[-2] * signal.shape[-1])
        return posterior.eta_vjp(phi, x, grad_eta)

    return model.log_joint(theta, x, z) - log_q, mean_score


def mean_gradient(problem: Problem, grad_eta: Floats) -> Floats:
    """Return the mean over draws and rows of gradients in eta (..., S, N, E), pulled back to phi (..., P)."""
    grad_eta = grad_eta.mean(axis=-3) / len(problem.x)
    return problem.posterior.eta_vjp(problem.phi, problem.x, grad_eta)


def mean_cotangent(family: Family, z: Draws) -> Floats:
    """Return the cotangent of a mean over draws and rows: 1 / (S N), shaped (..., S, N)."""
    shape = z.shape[: z.ndim - family.event_axes]
    dtype = z.dtype if z.dtype.kind == "f" else np.float64
    return np.full(shape, 1.0 / (shape[-2] * shape[-1]), dtype=dtype)
