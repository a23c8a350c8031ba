"""The objectives of stochastic ascent: four means over data with a common interface.

    evidence      mean log p_theta(x)                        theta, exact (closed form or enumeration)
    elbo          mean ELBO(theta, phi; x)                   theta and phi, by any estimators of the lab
    importance    mean E[log (1/K) sum_k w_k]                theta and phi, of K draws in one bound
    global        ELBO(phi; x) / M, latents of all rows      phi, from minibatches of the table's M rows

`beta` has the ELBO with a weight on its KL, `wake_sleep` trainings whose theta and phi follow two functions;
`objective_names` has their names.

Each is a mean over data, so that the gradient of a minibatch drawn uniformly is unbiased for the gradient of
the whole, whatever its size. A batch is cut into blocks of rows that run in parallel: their number depends on
the batch alone, never on the threads, so results do not either. For each block `draw` is the only random step
(which bits, which noise); `gradients` is a deterministic function of what was drawn.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.distributions import SOURCES, Family, NoiseSource, NoiseSpec
from elbo_lab.errors import NotApplicable, Reason, check_table
from elbo_lab.estimators import (
    ElboAnalyticKL,
    Estimator,
    ImportanceWeightedBound,
    Problem,
    ReparameterizationAnalyticKL,
    elbo_for,
)
from elbo_lab.estimators.coupled import check_source, for_source
from elbo_lab.estimators.iwae_gradients.path import Dreg, IwaeReparameterization, IwaeTheta
from elbo_lab.estimators.iwae_gradients.score import Vimco
from elbo_lab.estimators.passes import coupled_pass, doubly_coupled_pass, pathwise_pass
from elbo_lab.exact import evidence
from elbo_lab.kinds import check_kinds
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.training.batch import Vectors, blocks_of
from elbo_lab.training.temperature import TemperatureSchedule

Names = tuple[str, ...]

Pair = tuple[type[Estimator], ...]
"""The classes of the estimators of an objective."""

Pass = Callable[[Problem, Floats], tuple[float, Floats, Floats]]
"""Value and gradients in theta and phi, as the functions of `estimators.passes` return them."""

Drawn = Any
"""The data of a block of rows and the noise of its gradient: what `draw` of an objective returns."""

Value = float | Floats
"""Mean value in nats per datum; with `further_keys` an array (1 + F,), the further means after it."""

Gradients = tuple[Value, Vectors, Vectors]
"""Mean value of a block, its gradients, and the states of the estimators."""


class Objective(ABC):
    """A mean over data that a training maximises.

    Attributes
    ----------
    names : tuple of str
        The parameter vectors: "theta", or "theta" and "phi".
    ascends : bool
        Whether all of them rise along one function, which its value estimates.
    n_rows : int
        N.
    whole : bool
        Whether it is defined only on all rows at once, in their order.
    value_key : str
        Name of its value in a history.
    further_keys : tuple of str
        Names of further means that come with the value.
    watched_key : str
        What early stopping watches: a number that a recorder adds to the rows of the history.
    """

    names: ClassVar[Names] = ("theta",)
    ascends: ClassVar[bool] = True
    value_key: ClassVar[str] = "log_p"
    further_keys: ClassVar[Names] = ()
    watched_key: ClassVar[str] = "elbo_validation"

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """N, rows of the data."""

    @property
    def whole(self) -> bool:
        return False

    def at(self, step: int) -> Self:  # noqa: ARG002 - most are the same at every step
        """Return the objective of a minibatch, `step` of them having been seen before."""
        return self

    @property
    def notes(self) -> dict[str, float]:
        """Numbers of the present step for a row of the history, beside the means."""
        return {}

    @abstractmethod
    def initial(self, rng: np.random.Generator) -> Vectors:
        """Return {name: start vector}."""

    def blocks(self, rows: Integers) -> list[Integers]:
        """Cut `rows` (indices) into blocks, a list of indices; a batch is their union."""
        return [rows[part] for part in blocks_of(len(rows))]

    @abstractmethod
    def draw(self, rows: Integers, rng: np.random.Generator) -> Drawn:
        """Return the data of one block of `rows` (indices) and the noise of its gradient."""

    @abstractmethod
    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:
        """Return (value, {name: gradient}, memory) of the mean over the rows of one block."""

    def initial_memory(self, params: Vectors, rng: np.random.Generator) -> Vectors:  # noqa: ARG002
        """Return what steps hand on, before the first one from `params`: {name: array}.

        For most the states of estimators, or nothing.
        """
        return {}

    def further(self) -> "Objective | None":
        """Return the objective of further steps of theta along the draws of a step that its memory has.

        None, for most: every step has draws of its own.
        """
        return None

    def joined(self, memory: Vectors, blocks: list[Integers], parts: list[Vectors]) -> Vectors:
        """Return the memory after a batch from that before it and those after each of its blocks of rows.

        The states of estimators change in a batch of one block alone.
        """
        return parts[0] if len(blocks) == 1 else memory


@dataclass(frozen=True, eq=False)
class EvidenceObjective(Objective):
    """Exact log p_theta(x) of a tractable model.

    Parameters
    ----------
    model : Model
    x : ndarray (N, D)
    """

    model: Model
    x: Floats

    def __post_init__(self) -> None:
        check_kinds(type(self), vars(self))
        if not self.model.allows_missing:
            check_table(self.x, "x")

    @property
    def n_rows(self) -> int:
        return len(self.x)

    def initial(self, rng: np.random.Generator) -> Vectors:
        return {"theta": self.model.random_theta(self.x, rng)}

    def draw(self, rows: Integers, rng: np.random.Generator) -> Drawn:  # noqa: ARG002 - nothing is random but the rows
        return self.x[rows]

    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:  # noqa: ARG002
        answer = evidence(self.model, params["theta"], block)
        return float(answer.value.mean()), {"theta": answer.grad_theta}, memory


@dataclass(frozen=True, eq=False)
class VariationalObjective(Objective):
    """Base of the objectives of a latent-variable model with a variational posterior.

    A subclass names an estimator for each gradient that comes from draws of q on the data: a field
    `theta_estimator` or `phi_estimator`, and its target in `targets`.

    Parameters
    ----------
    model : Model
    posterior : Posterior
        With parameters phi. A free table needs all rows at once.
    x : ndarray (N, D)
    probabilities : ndarray (N, D), optional
        Probabilities of a one; every draw then binarises its rows anew (Salakhutdinov and Murray 2008), so
        that no single binarisation is memorised, and x is used for the starting values only.
    draws : int
        S, draws of z per datum and step.
    dtype : {float32, float64}
    source : NoiseSource
        How the draws of a step depend on each other; every step has a randomisation of its own. Estimators
        that need independent draws take their form for groups of them (`estimators.coupled`).

    Attributes
    ----------
    name, title : str
        As in `training.OBJECTIVES`.
    synonyms : tuple of str
    summary : str
        In one line, for `elbo-lab list`.
    targets : dict of str to str
        {"theta": ..., "phi": ...}, what the estimator of each vector must estimate.
    usual : dict
        Estimators, by name, and draws of a fit, where they are not the usual ones of the family of q.
    usual_of_discrete : dict
        The same for a discrete z, where it is other.
    """

    model: Model
    posterior: Posterior
    x: Floats
    probabilities: Floats | None = None
    draws: int = field(default=1, kw_only=True)
    dtype: type = field(default=np.float64, kw_only=True)
    source: NoiseSource = field(default=SOURCES[0], kw_only=True)
    names: ClassVar[Names] = ("theta", "phi")
    name: ClassVar[str]
    title: ClassVar[str] = ""
    synonyms: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str] = ""
    targets: ClassVar[Mapping[str, str]] = {}
    usual: ClassVar[Mapping[str, Any]] = {}
    usual_of_discrete: ClassVar[Mapping[str, Any]] = {}
    value_key = "elbo"

    def __post_init__(self) -> None:
        check_kinds(type(self), vars(self))
        check_table(self.x, "x")
        if self.probabilities is not None:
            check_table(self.probabilities, "probabilities")
        self.check_combination(self.model, self.posterior)
        for name, estimator in self.estimators.items():
            self.check_estimator(name, estimator, self.model, self.posterior)
            estimator.check_draws(self.draws)
            check_source(estimator, self.source)
        self.source.check(NoiseSpec("normal", (self.draws,)))

    @classmethod
    def check_combination(cls, model: Model, posterior: Posterior) -> None:
        """Refuse a model and a q that this objective cannot train, whatever the estimators.

        Raises
        ------
        NotApplicable
            With the reason.
        """
        if model.all_observed:
            text = f"{model.label} has nothing hidden: it has no q"
            raise NotApplicable(text, Reason.NOTHING_HIDDEN)
        if model.formula_only:
            raise NotApplicable(f"{model.label}: {model.formula_only}", Reason.FORMULA_ONLY)
        if not posterior.family.lies_within(model.family):
            posterior.check_support(model.family)

    @classmethod
    def check_estimator(cls, name: str, estimator: Estimator, model: Model, posterior: Posterior) -> None:
        """Refuse an estimator for the gradient in `name`: "theta" or "phi".

        Raises
        ------
        NotApplicable
            With the reason.
        """
        if estimator.target != cls.targets[name]:
            got = f"{estimator.name}, which estimates {estimator.target}"
            text = f"estimator: expected an estimator of {cls.targets[name]}, got {got}"
            raise NotApplicable(text, Reason.WRONG_TARGET)
        estimator.check_pairing(model, posterior)

    @classmethod
    def adapted(cls, estimator: Estimator) -> Estimator:
        """Return the estimator that a name means here: that of the bound with the objective's arguments."""
        return estimator

    @classmethod
    def usual_for(cls, family: Family) -> dict[str, Any]:
        """Return estimators and draws of a fit with a q of this family, where the objective has its own."""
        return {**cls.usual, **(cls.usual_of_discrete if family.discrete else {})}

    @property
    def estimators(self) -> dict[str, Estimator]:
        """{name: estimator} of the vectors whose gradient comes from draws of q on the data."""
        return {name: for_source(getattr(self, f"{name}_estimator"), self.source) for name in self.targets}

    @property
    def n_rows(self) -> int:
        return len(self.x)

    @property
    def whole(self) -> bool:
        return self.posterior.needs_all_rows

    def problem(self, params: Vectors, x: Floats) -> Problem:
        """Return the Problem of data x (N, D) at the parameters `params`."""
        return Problem(self.model, self.posterior, params["theta"], params["phi"], x)

    def initial_memory(self, params: Vectors, rng: np.random.Generator) -> Vectors:  # noqa: ARG002
        problem = self.problem(params, self.x)
        return {name: estimator.initial_state(problem) for name, estimator in self.estimators.items()}

    @cached_property
    def _one_block(self) -> bool:
        """Whether a batch is one block: for a table of all data, or an estimator with a state."""
        if self.whole:
            return True
        rng = np.random.default_rng(0)
        return any(state.size for state in self.initial_memory(self.initial(rng), rng).values())

    @cached_property
    def bound(self) -> Estimator:
        """What estimates the value, where it does not come with the gradients."""
        return elbo_for(self.model, self.posterior)

    @property
    def one_pass(self) -> bool:
        """Whether both gradients come from one run through the networks."""
        return False

    @cached_property
    def table(self) -> Floats:
        """The data, or the probabilities of a one, (N, D) in the dtype of the training."""
        source = self.x if self.probabilities is None else self.probabilities
        table: Floats = np.ascontiguousarray(source, self.dtype)
        # To Numba a read-only array is another type, for which it would recompile the kernels.
        return table if table.flags.writeable else table.copy()

    def initial(self, rng: np.random.Generator) -> Vectors:
        theta = self.model.random_theta(self.x, rng)
        return {"theta": theta.astype(self.dtype), "phi": self.posterior.initial(rng).astype(self.dtype)}

    def blocks(self, rows: Integers) -> list[Integers]:
        _ = self.table  # computed by one thread, before several read it
        return [rows] if self._one_block else super().blocks(rows)

    def draw(self, rows: Integers, rng: np.random.Generator) -> Drawn:
        x = self.table[rows]
        if self.probabilities is not None:
            x = (rng.random(x.shape, dtype=self.dtype) < x).astype(self.dtype)
        return x, self.noise(len(rows), rng)

    def noise_specs(self, n_data: int) -> tuple[NoiseSpec, ...]:
        """Return the noise specs of the estimators; estimators with equal specs share their draws."""
        estimators = list(self.estimators.values())
        if not self.one_pass:
            estimators.append(for_source(self.bound, self.source))
        return tuple(dict.fromkeys(self._noise_spec(estimator, n_data) for estimator in estimators))

    def _noise_spec(self, estimator: Estimator, n_data: int) -> NoiseSpec:
        # Draws are those of q, whose noise may be of another kind than that of the prior.
        return estimator.noise_spec(self.posterior.family, self.draws, n_data)

    def noise(self, n_data: int, rng: np.random.Generator) -> dict[NoiseSpec, Floats]:
        """Return {spec: noise}."""
        return {spec: self.source.draw(spec, rng, dtype=self.dtype) for spec in self.noise_specs(n_data)}

    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:
        x, noise = block
        problem = self.problem(params, x)
        memory, gradients = dict(memory), {}
        for name, estimator in self.estimators.items():
            if name in names:
                draws = noise[self._noise_spec(estimator, len(x))]
                gradients[name], memory[name] = estimator.estimate(problem, draws, memory[name])
        bound = for_source(self.bound, self.source)
        draws = noise[self._noise_spec(bound, len(x))]
        return float(bound.estimate(problem, draws)[0][0]), gradients, memory


@dataclass(frozen=True, eq=False)
class ElboObjective(VariationalObjective):
    """The ELBO of a latent-variable model with a variational posterior.

    Parameters
    ----------
    theta_estimator, phi_estimator : Estimator
        Of `grad-theta-elbo` and `grad-phi-elbo`.
    temperatures : TemperatureSchedule, optional
        Of a `phi_estimator` with a temperature.
    step : int
        Minibatches seen before this one.

    The other parameters are those of `VariationalObjective`.
    """

    theta_estimator: Estimator = ElboAnalyticKL()  # noqa: RUF009 - estimators are immutable
    phi_estimator: Estimator = ReparameterizationAnalyticKL()  # noqa: RUF009
    temperatures: TemperatureSchedule | None = field(default=None, kw_only=True)
    step: int = field(default=0, kw_only=True)
    targets: ClassVar[Mapping[str, str]] = {"theta": "grad-theta-elbo", "phi": "grad-phi-elbo"}
    name = "elbo"
    title = "evidence lower bound"
    summary = "theta and phi along estimated gradients of the ELBO"
    # The pairs of estimators whose value and gradients come from one run through the networks.
    passes: ClassVar[Mapping[Pair, Pass]] = {(ElboAnalyticKL, ReparameterizationAnalyticKL): pathwise_pass}

    @property
    def moves_on(self) -> bool:
        """Whether the objective differs from step to step."""
        return self.temperatures is not None

    def at(self, step: int) -> Self:
        if not self.moves_on:
            return self
        _ = self.table, self._one_block  # computed once, before the first copy
        now = copy(self)
        vars(now)["step"] = step
        return now

    @property
    def estimators(self) -> dict[str, Estimator]:
        found = super().estimators
        if self.temperatures is not None:
            cooled = self.temperatures.cooled(self.phi_estimator, self.step)
            found["phi"] = for_source(cooled, self.source)
        return found

    @property
    def notes(self) -> dict[str, float]:
        return {} if self.temperatures is None else {"temperature": self.temperatures.at(self.step)}

    @cached_property
    def one_pass(self) -> bool:
        return self._pair in self.passes

    @property
    def _pair(self) -> Pair:
        return tuple(map(type, self.estimators.values()))

    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:
        if not self.one_pass:
            return super().gradients(params, block, names, memory)
        x, noise = block
        value, grad_theta, grad_phi = self.passes[self._pair](self.problem(params, x), *noise.values())
        return value, {"theta": grad_theta, "phi": grad_phi}, memory


@dataclass(frozen=True, eq=False)
class ImportanceWeightedObjective(ElboObjective):
    """The importance-weighted bound L_K of a latent-variable model, K = `draws`.

        ELBO = L_1 <= L_K <= L_{K+1} <= log p(x)

    (Burda et al. 2016, section 3.) L_K is closer to log p(x) than the ELBO, and demands less of q, which then
    keeps more latents in use. It costs K passes through the decoder, and the plain gradient in
    phi loses its signal as K grows (Rainforth et al. 2018): use `dreg` for phi instead.

    Parameters
    ----------
    theta_estimator, phi_estimator : Estimator
        Of `grad-theta-iwae` and `grad-phi-iwae`.
    draws : int
        K, all in one bound.

    The other parameters are those of `ElboObjective`.
    """

    theta_estimator: Estimator = IwaeTheta()  # noqa: RUF009
    phi_estimator: Estimator = IwaeReparameterization()  # noqa: RUF009
    targets: ClassVar[Mapping[str, str]] = {"theta": "grad-theta-iwae", "phi": "grad-phi-iwae"}
    usual: ClassVar[Mapping[str, Any]] = {
        "theta_estimator": IwaeTheta.name,
        "phi_estimator": IwaeReparameterization.name,
        "draws": 10,
    }
    usual_of_discrete: ClassVar[Mapping[str, Any]] = {"phi_estimator": Vimco.name}
    name = "iwae"
    title = "importance-weighted bound"
    synonyms = ("iwelbo", "iw-elbo")
    summary = "theta and phi along estimated gradients of the importance-weighted bound of all draws"
    value_key = "iwae"
    watched_key = "iwae_validation"
    passes: ClassVar[Mapping[Pair, Pass]] = {
        (IwaeTheta, IwaeReparameterization): coupled_pass,
        (IwaeTheta, Dreg): doubly_coupled_pass,
    }

    @cached_property
    def bound(self) -> Estimator:
        return ImportanceWeightedBound()


@dataclass(frozen=True, eq=False)
class GlobalElboObjective(ElboObjective):
    """The ELBO per row of a model with global latents: stochastic variational inference; phi alone moves.

        ELBO / M  ~=  (1 / M) [(M / B) sum_{m in batch} log p(y_m | z) - KL(q || p(z))],     z ~ q

    (Hoffman et al. 2013; with draws of z, Kucukelbir et al. 2017.) The model scales the log-likelihood of B
    rows to the whole table, so that every block of a batch gives an unbiased estimate, with draws of its own.
    Values and gradients are per row of the table, as in the other objectives.

    Parameters
    ----------
    model : Model
        With `global_latents` and no parameters theta.
    posterior : Posterior
        A free table of one eta.
    x : ndarray (M, C)
        The table, as from `model.table_of`.
    """

    names = ("phi",)
    targets: ClassVar[Mapping[str, str]] = {"phi": "grad-phi-elbo"}

    @property
    def whole(self) -> bool:
        return False

    def initial_memory(self, params: Vectors, rng: np.random.Generator) -> Vectors:  # noqa: ARG002
        problem = self.problem(params, self.model.as_data(self.x))
        return {"phi": self.phi_estimator.initial_state(problem)}

    def draw(self, rows: Integers, rng: np.random.Generator) -> Drawn:
        """Return the rows as the one datum (1, B C), and the noise of its draws."""
        return self.model.as_data(self.table[rows]), self.noise(1, rng)

    def gradients(self, params: Vectors, block: Drawn, names: Names, memory: Vectors) -> Gradients:
        value, gradients, memory = super().gradients(params, block, names, memory)
        return value / self.n_rows, {name: gradients[name] / self.n_rows for name in names}, memory
