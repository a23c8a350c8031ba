"""Many starts, one answer: EM from several starts, the best maximum kept, the rest reported.

EM climbs to the maximum nearest uphill. For a mixture there are many; the best of several k-means++ starts
is kept. "Best" means the highest final log-likelihood among the runs without a component at the floor: the
density of a mixture is unbounded, so that the highest value of all belongs to a spike on a few data, which is
not an estimate (Bishop 2006, section 9.2.1; McLachlan and Peel 2000, chapter 3). Where every run ends at the
floor, the best of them is returned with a warning.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.em.base import Arrays, EMRun, Header, ModelProblem
from elbo_lab.em.fit import DEFAULT_FLOOR, Fit, Row
from elbo_lab.em.problems import problem_of
from elbo_lab.em.verdict import judge
from elbo_lab.errors import NotApplicable, bad_value, check_count, check_positive, check_vector, short
from elbo_lab.held import held_in
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import Model
from elbo_lab.priors import Prior, find_prior
from elbo_lab.threads import check_threads, single_threaded_blas

# Of the mean column variance: the least that double precision keeps from zero.
LEAST_FLOOR = 1e-12


class EMFit:
    """EM from several starts, one iteration at a time; it can be saved and continued bit for bit.

    Parameters
    ----------
    model : GaussianMixture, PPCA or FactorAnalysis
    x : ndarray (N, D)
    restarts : int, optional
        Runs, each from its own start. Default: 10 for a mixture, whose likelihood has many maxima, else 1.
    start : array (P,) or (R, P), optional
        Given starts in place of k-means++, one run for each (`restarts` is then not used). What is below
        the floor is clipped first.
    tolerance : float
        A run has converged when one iteration raises log p(x) by less, in nats per datum.
    max_iterations : int
        Per run, in all, also when continued.
    floor : float, optional
        Least eigenvalue of a mixture's covariances, or least noise variance, in the data's unit squared.
        Default: 1e-6 x the mean column variance.
    seed : int
        Run r starts from the r-th child of this seed: more restarts keep the first ones.
    columns : sequence of str, optional
        Names for the warnings.
    threads : int, optional
        Changes nothing but the time. Default: all cores.
    prior : str or Prior, optional
        For MAP, as for `priors.find_prior`: 'default', 'flat', 'dirichlet=2,nu=5', or an object.
    hold : mapping of str to number or array, optional
        Parameters that keep a value, as for `held.held_in`.
    """

    @checks_kinds
    def __init__(
        self,
        model: Model,
        x: Floats,
        *,
        restarts: int | None = None,
        start: ArrayLike | None = None,
        tolerance: float = 1e-8,
        max_iterations: int = 1000,
        floor: float | None = None,
        seed: int = 0,
        columns: Sequence[str] | None = None,
        threads: int | None = None,
        prior: str | Prior | None = None,
        hold: Mapping[str, Any] | None = None,
    ) -> None:
        problem_kind = self.kind_for(model)
        if problem_kind is None:
            remedy = "use the closed form" if model.closed_form_maximum else "use method vae"
            raise NotApplicable(f"method: no EM for {model.label}; {remedy}")
        self.model, self.x = model, _check_rows(model, model.check_data(x))
        self.tolerance = check_positive("tolerance", tolerance)
        self.max_iterations = check_count("max_iterations", max_iterations)
        self.seed = check_count("seed", seed, minimum=0)
        self.floor = _check_floor(floor, problem_kind.mean_variance(model, self.x))
        self.starts = None if start is None else _check_starts(model, start)
        if self.starts is not None:
            self.restarts = len(self.starts)
        elif restarts is None:
            self.restarts = problem_kind.restarts
        else:
            self.restarts = check_count("restarts", restarts)
        self.columns = _check_columns(columns, model.n_columns)
        self.prior = self._prior(prior)
        self.problem = problem_kind(model, self.x, self.floor, check_threads(threads), self.prior)
        held = held_in(model.layout, hold)
        if held is not None:
            self.problem.hold(held)
        self.runs = [self._run(0)]

    @staticmethod
    def kind_for(model: Model) -> type[ModelProblem[Any]] | None:
        """Return the class of the problem for a model, or None if there is none."""
        return problem_of(model)

    def _prior(self, spec: str | Prior | None) -> Prior | None:
        if spec is None:
            return None
        prior = find_prior(spec, self.model, self.x)
        prior.check_mode()
        return prior

    def _run(self, index: int) -> EMRun[Floats, Any]:
        if self.starts is not None:
            theta = self.starts[index]
        else:
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
            theta = self.problem.start(self.x, index, rng)
        return EMRun(self.problem, theta, self.tolerance, self.max_iterations)

    @property
    def current(self) -> int:
        """Index of the first run that is not finished, or of the last one."""
        unfinished = [i for i, run in enumerate(self.runs) if not run.finished]
        return unfinished[0] if unfinished else min(len(self.runs), self.restarts - 1)

    @property
    def finished(self) -> bool:
        """Whether every run has ended."""
        return self.runs_done >= self.restarts

    @property
    def runs_done(self) -> int:
        """Runs that have converged or reached the limit."""
        return sum(run.finished for run in self.runs)

    @property
    def log_likelihood(self) -> float:
        """log p(x) in the present run, in nats."""
        return self.runs[min(self.current, len(self.runs) - 1)].log_likelihood

    @property
    def value(self) -> float:
        """What EM makes rise, in the present run: log p(x), or the log posterior, in nats."""
        return self.runs[min(self.current, len(self.runs) - 1)].value

    def advance(self) -> tuple[int, Row] | None:
        """Do one iteration of the present run; return (index of the run, row), or None at the end."""
        if self.finished:
            return None
        index = self.current
        if index == len(self.runs):
            self.runs.append(self._run(index))
        return index, self.runs[index].advance()

    def state(self) -> tuple[Header, Arrays]:
        """Return (header, arrays): JSON values and arrays from which `restore` goes on bit for bit."""
        header: Header = {"runs": []}
        arrays: Arrays = {}
        for i, run in enumerate(self.runs):
            of_run, arrays_of_run = run.state()
            header["runs"].append(of_run)
            arrays |= {f"run{i}.{name}": array for name, array in arrays_of_run.items()}
        return header, arrays

    def restore(self, header: Header, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a state of a fit with the same model, data and settings; the limit may be another.

        A higher `max_iterations` continues every run that had not converged.
        """
        found = header["runs"]
        if not (isinstance(found, list) and all(isinstance(run, dict) for run in found)):
            raise bad_value("state", "a list of runs", short(found))
        if not 1 <= len(found) <= self.restarts:
            raise bad_value("state", f"between 1 and {self.restarts} runs", len(found))
        runs = []
        for i, of_run in enumerate(found):
            run = EMRun(self.problem, self.runs[0].theta, self.tolerance, self.max_iterations)
            run.restore(of_run, {name: arrays[f"run{i}.{name}"] for name in ("theta", "history")})
            runs.append(run)
        self.runs = runs

    def result(self) -> Fit:
        """Return the Fit of the best run so far."""
        return judge(self.problem, self.runs, self.columns)


@checks_kinds
def fit_em(
    model: Model, x: Floats, *, on_iteration: Callable[[int, Row], None] | None = None, **settings: Any
) -> Fit:
    """Return the maximum that EM finds.

    Parameters
    ----------
    model : GaussianMixture, PPCA or FactorAnalysis
    x : ndarray (N, D)
    on_iteration : callable, optional
        Takes (index of the run, row of its history) after every iteration.
    **settings
        The other parameters of `EMFit`.

    Returns
    -------
    Fit
        theta in canonical form; the history is that of the best run.

    Raises
    ------
    NotApplicable
        If EM is not the method for this model; the message names one that is.
    ValueError
        If the data or a setting cannot be used; the message names it.
    """
    with single_threaded_blas():
        fit = EMFit(model, x, **settings)
        while (step := fit.advance()) is not None:
            if on_iteration is not None:
                on_iteration(*step)
        return fit.result()


def _check_rows(model: Model, x: Floats) -> Floats:
    if model.latent_dim > len(x):
        raise bad_value("latent", f"at most the {len(x)} rows of the data", model.latent_dim, "lower it")
    return x


def _check_floor(floor: float | None, mean_variance: float) -> float:
    if floor is None:
        return float(DEFAULT_FLOOR * mean_variance)
    floor = check_positive("floor", floor)
    if floor < LEAST_FLOOR * mean_variance:
        least = f"at least {LEAST_FLOOR:g} x the mean column variance, {LEAST_FLOOR * mean_variance:.3g}"
        raise bad_value("floor", least, floor, "smaller variances are rounding")
    return floor


def _check_starts(model: Model, start: ArrayLike) -> Floats:
    start = np.asarray(start)
    if start.ndim == 2 and len(start):
        return np.concatenate([_check_starts(model, row) for row in start])
    start = check_vector("start", start, model.layout.size).astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(start))
    if len(wrong):
        raise bad_value("start", "finite numbers", f"{start[wrong[0]]} at {model.layout.name_of(wrong[0])}")
    return start[None]


def _check_columns(columns: Sequence[str] | None, n_columns: int) -> tuple[str, ...] | None:
    if columns is None:
        return None
    if len(columns) != n_columns:
        raise bad_value("columns", f"{n_columns} names", f"{len(columns)} names")
    return tuple(str(name) for name in columns)
