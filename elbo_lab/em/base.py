"""Expectation-maximisation: ascent of the ELBO in q and theta alternately.

    ELBO(theta, q) = E_q[log p_theta(x, z)] + H(q) = log p_theta(x) - KL(q || p_theta(z | x))

    E-step:  q_i = argmax_q ELBO(theta_{i-1}, q) = p(z | x; theta_{i-1})     closes the gap
    M-step:  theta_i = argmax_theta ELBO(theta, q_i)                         lifts the bound

(Dempster, Laird and Rubin 1977, theorem 1; Neal and Hinton 1998; Bishop 2006, section 9.4.) So every
iteration is a chain of inequalities:

    log p(x; theta_{i-1}) = ELBO(theta_{i-1}, q_i) <= ELBO(theta_i, q_i) <= log p(x; theta_i),

and the three numbers are the three columns of a history. The bound is computed from q and theta by its own
formula, not copied from the log-likelihood, so that the equality is a check on both.

**With a prior** (MAP) log p(theta) stands beside the ELBO in every line: the E-step is the same, the M-step
maximises ELBO(theta, q) + log p(theta), and what never falls is the log posterior, log p(x | theta) + log
p(theta) (Dempster, Laird and Rubin 1977, section 1; McLachlan and Krishnan 2008, section 1.5). The bound of a
history is then that of the log posterior, with log p(theta) in it.

EM needs no step size and never overshoots; near the maximum it is linear, with a rate that is the share of
missing information (Dempster, Laird and Rubin 1977, section 3), and slow where q is vague. "Converged" means
that one iteration gained less than the tolerance, not that the maximum is that near.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.em.fit import Row, mean_column_variance
from elbo_lab.errors import NotApplicable, bad_value, check_count, check_positive
from elbo_lab.held import Held
from elbo_lab.models import Model
from elbo_lab.priors import Prior

# What a problem takes for its parameters, and for its posterior.
Theta = TypeVar("Theta")
Q = TypeVar("Q")
Header = dict[str, Any]
Arrays = dict[str, np.ndarray]

BOUNDS = ("elbo_after_e", "elbo_after_m")
# How a screen names what rises.
RISING = {
    "log_likelihood": "log-likelihood",
    "log_posterior": "log posterior",
    "evidence_bound": "bound on the evidence",
}


class EMProblem(ABC, Generic[Theta, Q]):
    """A model with its data, as EM sees them; theta and q are whatever the problem understands.

    All values are totals over the data in nats. The methods are functions of their arguments (work shared
    between `e_step` and `log_likelihood` at one theta may be cached).

    Attributes
    ----------
    n_data : int
        The tolerance is per datum.
    value_names : tuple of str
        The names of `values`; the last is what EM makes rise.
    """

    n_data: int
    value_names: tuple[str, ...] = ("log_likelihood",)

    @abstractmethod
    def e_step(self, theta: Theta) -> Q:
        """Return q, the posterior at theta, or the statistics of it that the other methods need."""

    @abstractmethod
    def m_step(self, q: Q) -> Theta:
        """Return the theta that maximises the ELBO at q."""

    @abstractmethod
    def elbo(self, theta: Theta, q: Q) -> float:
        """Return E_q[log p_theta(x, z)] + H(q)."""

    @abstractmethod
    def log_likelihood(self, theta: Theta) -> float:
        """Return log p_theta(x)."""

    def log_prior(self, theta: Theta) -> float:  # noqa: ARG002 - maximum likelihood has none
        """Return log p(theta), 0 without a prior."""
        return 0.0

    def values(self, theta: Theta) -> tuple[float, ...]:
        """Return what a history keeps of theta, by the names of `value_names`."""
        return (self.log_likelihood(theta),)

    def prepared(self, theta: Theta) -> Theta:
        """Return a start inside the constraints of this problem."""
        return theta


class ModelProblem(EMProblem[Floats, Q]):
    """EM for a model of the package: the steps, the starts, the floor and the warnings.

    `problems` lists which class serves which models.

    Parameters
    ----------
    model : Model
    x : ndarray (N, D)
    floor : float
        Least variance, in the data's unit squared.
    threads : int
        Changes nothing but the time.
    prior : Prior, optional
        For MAP: of the kind that the model has (`priors.prior_kind`).

    Attributes
    ----------
    restarts : int
        Runs from different starts where none are asked for: more than one where there are many maxima.
    held : Held or None
        What `hold` keeps constant.
    spikes_at_floor : bool
        Whether a run that ends at the floor has found a spike on a few data, not an estimate.
    """

    restarts: ClassVar[int] = 1
    spikes_at_floor: ClassVar[bool] = False
    model: Model
    floor: float
    prior: Prior | None = None
    held: Held | None = None

    @abstractmethod
    def __init__(
        self, model: Any, x: Floats, floor: float, threads: int = 1, prior: Prior | None = None
    ) -> None: ...

    @classmethod
    def mean_variance(cls, model: Any, x: Floats) -> float:  # noqa: ARG003 - a graph looks at its real columns
        """Return the variance that the floor is a fraction of; ValueError if there is none."""
        return mean_column_variance(x)

    @property
    def value_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The log-likelihood; with a prior also that, and their sum."""
        names = ("log_likelihood",)
        return names if self.prior is None else (*names, "log_prior", "log_posterior")

    def log_prior(self, theta: Floats) -> float:
        return 0.0 if self.prior is None else self.prior.log_prior(self.model, theta)

    def values(self, theta: Floats) -> tuple[float, ...]:
        log_likelihood = self.log_likelihood(theta)
        if self.prior is None:
            return (log_likelihood,)
        log_prior = self.log_prior(theta)
        return log_likelihood, log_prior, log_likelihood + log_prior

    @classmethod
    @abstractmethod
    def cannot_hold(cls, model: Any, held: Held) -> str:
        """Return why the M-step is not exact with these parameters held, or ''."""

    def hold(self, held: Held) -> None:
        """Keep parameters at given values, from the start on.

        Raises
        ------
        NotApplicable
            If the M-step under this constraint is not exact.
        """
        reason = self.cannot_hold(self.model, held)
        if self.prior is not None:
            reason = "em holds no parameters of a model with a prior"
        if reason:
            raise NotApplicable(f"hold: {reason}; use method gradient")
        self.held = held

    def canonical(self, theta: Floats) -> Floats:
        """Return the canonical theta, where that moves nothing that is held."""
        canonical = self.model.canonical(theta)
        return canonical if self.held is None or self.held.still(canonical) else theta

    @abstractmethod
    def start(self, x: Floats, run: int, rng: np.random.Generator) -> Floats:
        """Return the start (P,) of a run, counted from 0, on the data x (N, D)."""

    @abstractmethod
    def at_floor(self, theta: Floats) -> tuple[int, ...]:
        """Return the indices of the variances at the floor."""

    @abstractmethod
    def low_variance(
        self, low: Sequence[int], where: str, consequence: str, columns: Sequence[str] | None
    ) -> str:
        """Return the warning for the variances `low`, which are `where` (at the floor, or nearly zero)."""

    def warnings(self, theta: Floats, columns: Sequence[str] | None) -> Iterator[str]:  # noqa: ARG002
        """Yield further warnings about theta; `columns` are names, if there are any."""
        yield from ()


class EMRun(Generic[Theta, Q]):
    """EM from one start, one iteration at a time; it can be saved and continued bit for bit.

    Parameters
    ----------
    problem : EMProblem
    theta : ndarray (P,)
        The start.
    tolerance : float
        Converged when log p(x), or the log posterior, has risen by less than this in one iteration, in nats
        per datum.
    max_iterations : int
        In all, also when continued.

    Attributes
    ----------
    theta : ndarray (P,)
    history : list of dict
        Row 0 is {"iteration": 0, "log_likelihood": ...}; the others have also "elbo_after_e" and
        "elbo_after_m". With a prior all have "log_prior" and "log_posterior", and the bounds are of the
        latter.
    converged : bool
    """

    def __init__(
        self, problem: EMProblem[Theta, Q], theta: Theta, tolerance: float = 1e-8, max_iterations: int = 1000
    ) -> None:
        self.problem = problem
        self.tolerance = check_positive("tolerance", tolerance)
        self.max_iterations = check_count("max_iterations", max_iterations)
        self.theta = problem.prepared(theta)
        self.converged = False
        self.history: list[Row] = [{"iteration": 0, **self._values(self.theta)}]

    def _values(self, theta: Theta) -> Row:
        return dict(zip(self.problem.value_names, self.problem.values(theta), strict=True))

    @property
    def rising(self) -> str:
        """The name of what EM makes rise: log_likelihood, or log_posterior with a prior."""
        return self.problem.value_names[-1]

    @property
    def value(self) -> float:
        """What EM makes rise, at the present theta."""
        return self.history[-1][self.rising]

    @property
    def n_iterations(self) -> int:
        """Iterations done."""
        return len(self.history) - 1

    @property
    def log_likelihood(self) -> float:
        """log p(x) at the present theta."""
        return self.history[-1]["log_likelihood"]

    @property
    def finished(self) -> bool:
        """Whether it has converged or reached the iteration limit."""
        return self.converged or self.n_iterations >= self.max_iterations

    @property
    def stopped(self) -> str:
        """Why it stopped, in a sentence."""
        if self.converged:
            return f"{RISING[self.rising]} rose by less than {self.tolerance:g} nats per datum"
        if self.finished:
            return f"iteration limit {self.max_iterations}"
        return f"not finished: {self.n_iterations} of at most {self.max_iterations} iterations"

    def advance(self) -> Row:
        """Do one E-step and one M-step; return the new row of the history."""
        q = self.problem.e_step(self.theta)
        after_e = self.problem.elbo(self.theta, q) + self.problem.log_prior(self.theta)
        theta = self.problem.m_step(q)
        row = {
            "iteration": self.n_iterations + 1,
            "elbo_after_e": after_e,
            "elbo_after_m": self.problem.elbo(theta, q) + self.problem.log_prior(theta),
            **self._values(theta),
        }
        rise = (row[self.rising] - self.value) / self.problem.n_data
        self.theta, self.converged = theta, bool(rise < self.tolerance)
        self.history.append(row)
        return row

    def state(self) -> tuple[Header, Arrays]:
        """Return (header, arrays): JSON values and arrays from which `restore` goes on bit for bit."""
        rows = [[row.get(name, np.nan) for name in self._columns] for row in self.history]
        return {"converged": self.converged}, {"theta": np.array(self.theta), "history": np.array(rows)}

    @property
    def _columns(self) -> tuple[str, ...]:
        return (*BOUNDS, *self.problem.value_names)

    def restore(self, header: Header, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a state; the iteration limit is this run's own."""
        theta: Any = np.array(arrays["theta"])
        rows, columns = np.asarray(arrays["history"]), self._columns
        shape = np.asarray(self.theta).shape
        numbers = theta.dtype.kind == rows.dtype.kind == "f"
        if not numbers or theta.shape != shape or rows.ndim != 2 or rows.shape[1:] != (len(columns),):
            got = f"theta {theta.shape} and history {rows.shape}"
            raise bad_value("state", f"theta {shape} and history (n, {len(columns)})", got)
        if not len(rows) or not isinstance(header["converged"], bool):
            got = f"{len(rows)} rows, converged {header['converged']!r}"
            raise bad_value("state", "a history of at least one row, and whether it converged", got)
        self.theta, self.converged = theta, header["converged"]
        start = zip(columns[len(BOUNDS) :], rows[0, len(BOUNDS) :].tolist(), strict=True)
        self.history = [{"iteration": 0, **dict(start)}]
        for i, row in enumerate(rows[1:].tolist(), start=1):
            self.history.append({"iteration": i, **dict(zip(columns, row, strict=True))})


def run_em(
    problem: EMProblem[Theta, Q],
    theta: Theta,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
    on_iteration: Callable[[Row], None] | None = None,
) -> EMRun[Theta, Q]:
    """Run EM from one start to its end.

    Parameters
    ----------
    problem : EMProblem
    theta : ndarray (P,)
    tolerance : float
        Nats per datum.
    max_iterations : int
    on_iteration : callable
        Takes each new row of the history.

    Returns
    -------
    EMRun
    """
    run = EMRun(problem, theta, tolerance, max_iterations)
    while not run.finished:
        row = run.advance()
        if on_iteration is not None:
            on_iteration(row)
    return run
