"""What an estimator promises besides its expectation: shapes, finite numbers, a declared state, determinism.

Each promise is a function that returns what is broken in one sentence, or nothing. They are asked in
order, on a problem of two data; the first ones that fail make the others meaningless, and end the list.
"""

from collections.abc import Callable, Iterator

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import NoiseSpec, draw_noise
from elbo_lab.estimators import Estimator, Problem
from elbo_lab.plugins import reason_of
from elbo_lab.posteriors import FreePosterior

# Relative to the largest entry (at least 1): orders of summation differ in the last digits.
ROUNDING = 1e-9
REPEATS = 3
CALLS = 3


class Trial:
    """An estimator, a problem, and noise for some repeats; each call gets copies of all arrays."""

    def __init__(self, estimator: Estimator, problem: Problem, n_draws: int) -> None:
        self.estimator, self.problem, self.n_draws = estimator, problem, n_draws
        self.spec = estimator.noise_for(problem, n_draws)

    def noise(self, *lead: int, seed: int = 0) -> Floats:
        """Return fresh noise (*lead, *spec.shape)."""
        return draw_noise(self.spec, np.random.default_rng(seed), lead)

    def state(self) -> Floats:
        """Return the state before the first call."""
        return self.estimator.initial_state(self.problem)

    def __call__(self, noise: Floats) -> Floats:
        """Return the estimates for noise with any lead, from the first state."""
        return self.estimator.estimate(self.problem, noise, self.state())[0]


def size_of(estimator: Estimator, problem: Problem) -> int:
    """Return P, the number of coordinates of the target."""
    if estimator.target.startswith("grad-theta"):
        return problem.model.layout.size
    return problem.posterior.layout.size if estimator.target.startswith("grad-phi") else 1


def _same(a: Floats, b: Floats) -> bool:
    return a.shape == b.shape and bool(
        np.abs(a - b).max(initial=0.0) <= ROUNDING * max(1.0, np.abs(b).max(initial=0.0))
    )


def noise_is_told(trial: Trial) -> str | None:
    """`noise_spec` is a NoiseSpec of shape (draws, N, ...), the same on every call."""
    estimator, family = trial.estimator, trial.problem.posterior.family
    spec, more = (estimator.noise_spec(family, trial.n_draws, n) for n in (2, 3))
    for one, n in ((spec, 2), (more, 3)):
        if not isinstance(one, NoiseSpec) or one.kind not in ("normal", "uniform"):
            return f"noise_spec: expected NoiseSpec('normal' or 'uniform', shape), got {one!r}"
        if len(one.shape) < 2 or one.shape[1] != n:
            return f"noise_spec: expected a shape (draws, N, ...) with N = {n}, got {one.shape}"
    same = spec.kind == more.kind and spec.shape[:1] + spec.shape[2:] == more.shape[:1] + more.shape[2:]
    if not same or spec != estimator.noise_spec(family, trial.n_draws, 2):
        return f"noise_spec: must differ in N alone between two and three data, got {spec} and {more}"
    return None


def memory_is_told(trial: Trial) -> str | None:
    """`initial_state` and the returned state are arrays of one shape, finite."""
    before = trial.state()
    if not isinstance(before, np.ndarray) or before.dtype.kind != "f":
        return f"initial_state: expected an array of floats, got {_kind(before)}"
    returned = trial.estimator.estimate(trial.problem, trial.noise(), before.copy())
    if not (isinstance(returned, tuple) and len(returned) == 2):
        return f"estimate: expected a pair (estimate, state), got {type(returned).__name__}"
    after = returned[1]
    if not isinstance(after, np.ndarray) or after.dtype.kind != "f" or after.shape != before.shape:
        return f"state: expected an array of floats of shape {before.shape}, got {_kind(after)}"
    if not np.isfinite(after).all():
        return "state: not finite after one estimate"
    if not trial.estimator.burn_in and not np.array_equal(before, after):
        return "state: changes, but burn_in is 0; say after how many estimates it has settled"
    return None


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"dtype {value.dtype}, shape {value.shape}"
    return type(value).__name__


def estimates_are_vectors(trial: Trial) -> str | None:
    """A single estimate is (P,), repeats are (R, P), of finite floats."""
    size = size_of(trial.estimator, trial.problem)
    for lead in ((), (REPEATS,)):
        found = trial(trial.noise(*lead))
        if type(found) is not np.ndarray:  # a mask, or a class of its own, would not survive further sums
            return f"estimate: expected an array of floats, got {type(found).__name__}"
        if found.dtype != np.float64:
            return f"estimate: expected float64, got {found.dtype}"
        if found.shape != (*lead, size):
            of = f"{REPEATS} repeats of noise" if lead else "noise without repeats"
            return f"estimate: expected shape {(*lead, size)} for {of}, got {found.shape}"
        if not np.isfinite(found).all():
            return "estimate: not finite"
    return None


def it_is_deterministic(trial: Trial) -> str | None:
    """Equal noise gives equal estimates, to the last bit."""
    if not np.array_equal(trial(trial.noise()), trial(trial.noise())):
        return "estimate: two calls on the same noise differ; all randomness must come from the noise"
    return None


def inputs_stay(trial: Trial) -> str | None:
    """No input is written to."""
    model, posterior, *arrays = trial.problem
    theta, phi, x = (array.copy() for array in arrays)
    noise, state = trial.noise(), trial.state().copy()
    given = {"theta": theta, "phi": phi, "x": x, "noise": noise, "state": state}
    kept = {name: array.copy() for name, array in given.items()}
    trial.estimator.estimate(Problem(model, posterior, theta, phi, x), noise, state)
    written = [name for name, array in given.items() if not np.array_equal(array, kept[name])]
    return f"estimate: writes to its inputs ({', '.join(written)})" if written else None


def repeats_are_apart(trial: Trial) -> str | None:
    """An estimate on many repeats is the stack of single ones."""
    noise = trial.noise(REPEATS)
    if not _same(trial(noise), np.stack([trial(one) for one in noise])):
        return "estimate: repeats leak into each other; count axes from the end"
    return None


def draws_are_averaged(trial: Trial) -> str | None:
    """Unless `independent_draws` is declared, an estimate is a plain mean over draws."""
    estimator = trial.estimator
    if estimator.independent_draws:
        return None
    least = estimator.minimum_draws
    try:
        estimator.check_draws(2 * least)
    except ValueError:
        return None
    half, whole = (estimator.noise_for(trial.problem, n) for n in (least, 2 * least))
    if whole.shape != (2 * half.shape[0], *half.shape[1:]):
        return None
    noise = draw_noise(whole, np.random.default_rng(1))
    if not _same(trial(noise), 0.5 * (trial(noise[: half.shape[0]]) + trial(noise[half.shape[0] :]))):
        return (
            f"independent_draws: is False, but an estimate from {2 * least} draws is not the mean of two "
            "estimates from half of them; divide by the number of draws, or declare True"
        )
    if least > 1 and not _same(trial(noise), 0.5 * (trial(noise[::2]) + trial(noise[1::2]))):
        return "independent_draws: is False, but an estimate multiplies one draw with another; declare True"
    return None


def order_of_draws(trial: Trial) -> str | None:
    """Draws of one bound may change places, and whole groups, as `group_size` declares."""
    estimator, n_draws, noise = trial.estimator, trial.n_draws, trial.noise(seed=2)
    if type(estimator).noise_spec is not Estimator.noise_spec:
        return None  # it makes draws of its own, which may depend on each other
    size = estimator.group_size(n_draws)
    order = np.arange(len(noise))
    whole = n_draws // size * size
    order[:whole] = order[:whole][::-1]  # groups change places, and draws within a group
    if not _same(trial(noise[order]), trial(noise)):
        return "estimate: depends on the order of its draws (in groups of group_size)"
    return None


def order_of_data(trial: Trial) -> str | None:
    """Data may change places, with their noise, their part of phi and their part of the state."""
    estimator, problem, posterior = trial.estimator, trial.problem, trial.problem.posterior
    order = np.arange(len(problem.x))[::-1]
    moved, table = problem._replace(x=problem.x[order]), None
    if isinstance(posterior, FreePosterior):
        table = posterior
        moved = moved._replace(phi=table.phi_from_eta(table.eta(problem.phi, problem.x)[order]))
    state, other = estimator.initial_state(problem), estimator.initial_state(moved)
    for call in range(CALLS):
        noise = trial.noise(seed=3 + call)
        found, state = estimator.estimate(problem, noise, state)
        again, other = estimator.estimate(moved, noise[:, order], other)
        if table is not None and estimator.target.startswith("grad-phi"):
            again = table.phi_from_eta(table.eta(again, problem.x)[order])
        if not _same(again, found):
            return "estimate: depends on the order of the data (with their noise and state)"
    return None


# Those of the first line must hold before the others can be asked.
BASIC: tuple[Callable[[Trial], str | None], ...] = (
    noise_is_told,
    memory_is_told,
    estimates_are_vectors,
    inputs_stay,
    it_is_deterministic,
)
FURTHER: tuple[Callable[[Trial], str | None], ...] = (
    repeats_are_apart,
    draws_are_averaged,
    order_of_draws,
    order_of_data,
)


def raised(fault: BaseException) -> str:
    """Return in one sentence what an estimator raises, or that it ends the interpreter."""
    return reason_of(fault) if isinstance(fault, SystemExit) else f"it raises {reason_of(fault)}"


def broken_promises(estimator: Estimator, problem: Problem, n_draws: int) -> Iterator[str]:
    """Yield what is broken on a problem, one sentence each."""
    for promise in (*BASIC, *FURTHER):
        try:
            broken = promise(Trial(estimator, problem, n_draws))
        except (Exception, SystemExit) as fault:  # whatever code of somebody else may raise
            broken = raised(fault)
        if broken:
            yield broken
            if promise in BASIC:
                return
