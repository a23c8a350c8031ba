"""Is an estimator what it declares? The exact test, as a function.

A comparison sees a bias through the noise of its repeats. Here all noise is integrated on small problems,
so that a gradient that is 10 % too small shows as 0.1000, and a right one as 1e-15. Where the noise of an
estimate has too many dimensions, its mean over many draws is tested instead, and the row says what that
test could have seen.
"""

import itertools
import textwrap
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.checking import differences
from elbo_lab.checking.contract import broken_promises, raised
from elbo_lab.checking.integrals import Moments, error_of_rounding, in_passes, moments
from elbo_lab.checking.problems import draws_to_try, settled_state, small_problems
from elbo_lab.checking.rules import NotIntegrated
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable, bad_value
from elbo_lab.estimators import Estimator, Exact, Problem
from elbo_lab.estimators.targets import is_gradient
from elbo_lab.exact import Answer, long_run
from elbo_lab.kinds import checks_kinds
from elbo_lab.plugins import told
from elbo_lab.progress import Progress, followed
from elbo_lab.registry import find_estimators
from elbo_lab.report.cells import bound_text
from elbo_lab.study.moments import Moments as RunningMoments
from elbo_lab.study.rows import NATS_TO_SEE, SHARE_TO_SEE, bias_test

Row = dict[str, Any]

# Relative to 1 + the largest entry of the exact answer: where everything is smooth, and at kinks.
SMOOTH, KINKS = 1e-10, 1e-6
# A bias counts if it is so many times the error of the integral and of the exact answer, and the integral has
# a digit or two: one that diverges has none.
BEYOND_ERROR, DIVERGES = 10.0, 1e-2
# How many estimates a memory learns from before it is held.
LEARNING_CALLS = 30

# Where the noise is not integrated: batches of estimates, their number bounded by what log p(x, z) reads.
BATCHES = 40
SAMPLED_NUMBERS = 2_000_000
LEAST_BATCH = 100
FALSE_ALARM = 1e-6

# Key of a row, and how its column is aligned.
COLUMNS = {
    "model": "<",
    "posterior": "<",
    "sizes": ">",
    "noise": ">",
    "error": ">",
    "bias": ">",
    "verdict": "<",
}
HEADS = {"posterior": "q", "sizes": "N K S"}


@dataclass(frozen=True)
class EstimatorCheck:
    """What `check_unbiased` found; `print(check.table())` shows it.

    Attributes
    ----------
    estimator, target : str
    unbiased : bool
        As declared.
    rows : list of dict
        One for each problem: `model`, `posterior`, `family`, `latents`, `n_data`, `draws` (S); `method`
        ('sum', 'nodes', 'bisection' or 'draws') with `nodes`, the number of estimates; `error`, the last
        change of the integral and what the rounding of draws at an end of their support may amount to;
        `reference`, the rung of the exact answer; `exact_norm` and `bias_norm`;
        `bias`, of a gradient their ratio, of a value in nats; `tolerance`; `detectable`, in the unit of
        `bias` the smallest that a test by draws finds with 99 % power, else None; `verdict`.
    broken : list of str
        Promises that it breaks, one sentence each.
    refused : dict of str to str
        {model: reason} of the problems to which it does not apply.
    """

    estimator: str
    target: str
    unbiased: bool
    rows: list[Row] = field(repr=False)
    broken: list[str] = field(repr=False)
    refused: dict[str, str] = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether it keeps its promises, no bias contradicts its declaration, and some row could show one."""
        verdicts = [row["verdict"] for row in self.rows]
        return not self.broken and "FAIL" not in verdicts and any(not v.startswith("blind") for v in verdicts)

    def lines(self, width: int = 80) -> list[str]:
        """Return the table, as wide as it is, and the sentences around it as lines of text."""
        unit = "relative to the exact gradient" if is_gradient(self.target) else "in nats"
        claim = "unbiased" if self.unbiased else "biased"
        head = f"{self.estimator}: {self.target}, declared {claim} (bias {unit})"
        cells = [[HEADS.get(key, key) for key in COLUMNS], *map(_cells, self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
        table = []
        for line in cells if self.rows else []:
            columns = zip(line, COLUMNS.values(), widths, strict=True)
            table.append("  ".join(f"{cell:{side}{w}}" for cell, side, w in columns).rstrip())
        sentences = [f"broken: {sentence}" for sentence in self.broken] or ["contract: holds"]
        sentences.append(self.conclusion)
        around = [textwrap.wrap(text, width, subsequent_indent="    ") for text in (head, *sentences)]
        return [*around[0], *table, *itertools.chain(*around[1:])]

    def table(self, width: int = 80) -> str:
        """Return `lines` as one text."""
        return "\n".join(self.lines(width))

    @property
    def conclusion(self) -> str:
        """What follows, in one sentence."""
        biased = [row for row in self.rows if row["verdict"] in ("FAIL", "biased")]
        integrated = sum(row["method"] != "draws" for row in self.rows)
        where = f"all noise integrated on {integrated} of {len(self.rows)} problems"
        if not biased:
            if self.passed:
                return f"passed: no bias, {where} ({self._tried})"
            return f"FAILED: {'the contract is broken' if self.broken else 'all tests are blind'}"
        largest = max(biased, key=lambda row: row["bias"])
        unit = "of the exact gradient" if is_gradient(self.target) else "nats"
        size = f"{largest['bias']:.4f} {unit} on {largest['model']}"
        if self.unbiased:
            return f"FAILED: biased on {len(biased)} of {len(self.rows)} problems, by up to {size}"
        return f"{'passed' if self.passed else 'FAILED'}: biased, as declared, by up to {size}"

    @property
    def _tried(self) -> str:
        """The sizes of the problems."""
        rows = sorted({row["n_data"] for row in self.rows})
        draws, latents = (max(row[key] for row in self.rows) for key in ("draws", "latents"))
        *first, last = map(str, rows)
        numbers = f"{', '.join(first)} or {last}" if first else last
        return f"N = {numbers}, S up to {draws}, K up to {latents}"

    def __repr__(self) -> str:
        return f"<Check of {self.estimator}: {self.conclusion}>"


def _cells(row: Row) -> list[str]:
    units = {"sum": "values", "draws": "draws"}
    shown = row | {
        "sizes": f"{row['n_data']} {row['latents']} {row['draws']}",
        "noise": f"{_short(row['nodes'])} {units.get(row['method'], 'nodes')}",
        "error": f"{row['error']:.0e}" if row["error"] else "0",
        "bias": _digits(row["bias"]),
    }
    return [str(shown[key]) for key in COLUMNS]


def _short(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.0f}k"


def _digits(bias: float) -> str:
    return f"{bias:.4f}" if bias >= 5e-4 else f"{bias:.0e}" if bias else "0"


# -- the check -------------------------------------------------------------------------------------


@checks_kinds
def check_unbiased(
    estimator: str | Estimator | type[Estimator],
    model: object = None,
    seed: int = 0,
    progress: Progress | bool | None = None,
) -> EstimatorCheck:
    """Integrate all noise of an estimator on small problems, and try its contract.

    Parameters
    ----------
    estimator : str, Estimator or Estimator class
        A name stands for one estimator here ('elbo-lab list' has them).
    model : str, Model class or Model, optional
        A problem of this model; by default one to three data of each kind of z (normal, categories, bits)
        under each kind of q that the estimator admits, with one or two latents.
    seed : int
        Of the draws where noise cannot be integrated.
    progress : callable, bool or None
        Called as progress(done, total, step); by default a bar on a terminal or in a notebook for what takes
        longer than a second, with False none.

    Returns
    -------
    EstimatorCheck

    Raises
    ------
    ValueError
        If the name is unknown, the target is none, or no problem suits the estimator.
    TypeError
        If it is no estimator.
    """
    found = find_estimators(estimator, "estimator")
    if len(found) > 1 or isinstance(found[0], Exact):
        got, remedy = repr(estimator), "the exact answer is what others are compared with"
        raise bad_value("estimator", "one estimator with draws", got, remedy)
    one = found[0]
    with followed(progress) as followed_by:
        return _checked(one, list(small_problems(model)), seed, followed_by)


def _checked(
    one: Estimator, problems: list[tuple[Problem, int]], seed: int, progress: Progress
) -> EstimatorCheck:
    """Return what `check_unbiased` says of one estimator on some problems."""
    rows: list[Row] = []
    broken: dict[str, list[str]] = {}
    refused: dict[str, str] = {}
    for done, (problem, more) in enumerate(problems):
        progress(done, len(problems), f"check {one.name}")
        label = f"{problem.model.label}, {problem.posterior.name} q, N = {len(problem.x)}"
        try:
            with told(f"check_pairing of {one.name}"):
                one.check_pairing(problem.model, problem.posterior)
        except NotApplicable as reason:
            refused[label] = str(reason)
            continue
        draws = draws_to_try(one, more)
        promises = list(broken_promises(one, problem, draws[-1]))
        for sentence in promises:
            broken.setdefault(sentence, []).append(label)
        if not promises:
            try:
                rows.append(_row(one, problem, draws, seed))
            except (Exception, SystemExit) as fault:  # whatever code of somebody else may raise
                broken.setdefault(raised(fault), []).append(label)
    if not rows and not broken:
        reasons = "; ".join(dict.fromkeys(refused.values()))
        raise bad_value("model", f"a problem that suits {one.name}", reasons)
    n_tried = len(problems) - len(refused)
    sentences = [_with_places(sentence, labels, n_tried) for sentence, labels in broken.items()]
    return EstimatorCheck(one.name, one.target, one.unbiased, rows, sentences, refused)


def _with_places(sentence: str, labels: list[str], n_tried: int) -> str:
    """Return what is broken, and where, unless it is everywhere."""
    if len(labels) == n_tried:
        return sentence
    more = f" and on {len(labels) - 1} more" if len(labels) > 1 else ""
    return f"{sentence}, on {labels[0]}{more}"


def _row(estimator: Estimator, problem: Problem, draws: list[int], seed: int) -> Row:
    """Return what was found on one problem, by the first number of draws whose noise can be integrated."""
    model, posterior = problem.model, problem.posterior
    head = {
        "estimator": estimator.name,
        "target": estimator.target,
        "unbiased": estimator.unbiased,
        "model": model.label,
        "posterior": posterior.name,
        "family": posterior.family.name,
        "latents": model.latent_dim,
        "n_data": len(problem.x),
    }
    with_kinks: Row | None = None
    for n_draws in draws:
        answer, state = _settled(estimator, problem, n_draws)
        try:
            found = moments(estimator, problem, state, n_draws, SMOOTH)
        except NotIntegrated:
            continue
        rounded = error_of_rounding(estimator, problem)
        verdict, tolerance = _verdict(estimator, found, answer, rounded)
        if verdict:
            sizes = _sizes(estimator, found.mean, answer)
            of_integral = {"method": found.method, "nodes": found.nodes, "error": found.error + rounded}
            row = head | of_integral | sizes | _last(n_draws, tolerance, None, verdict)
            if tolerance == SMOOTH:
                return row
            with_kinks = row
    if with_kinks is not None:
        return with_kinks
    n_draws = draws[-1]
    answer, state = _settled(estimator, problem, n_draws)
    return head | _sampled(estimator, problem, state, n_draws, answer, seed)


def _last(n_draws: int, tolerance: float, detectable: float | None, verdict: str) -> Row:
    return {"draws": n_draws, "tolerance": tolerance, "detectable": detectable, "verdict": verdict}


def _settled(estimator: Estimator, problem: Problem, n_draws: int) -> tuple[Answer, Floats]:
    """Return the exact answer for so many draws, and the state in which the estimator is studied."""
    exact = Exact(estimator.target, tolerance=SMOOTH)
    answer = exact.answer(problem, estimator.group_size(n_draws))
    if answer.rung == long_run.RUNG and differences.applies(problem, estimator.target):
        with suppress(NotIntegrated):
            answer = differences.answer(problem, estimator.target)
    return answer, settled_state(estimator, problem, n_draws, LEARNING_CALLS)


def _sizes(estimator: Estimator, mean: Floats, answer: Answer) -> Row:
    """Return the norms of the bias and of the exact answer, and the bias in its unit."""
    exact_norm, bias_norm = (float(np.linalg.norm(part)) for part in (answer.value, mean - answer.value))
    bias = bias_norm / _unit(estimator, answer)
    return {"exact_norm": exact_norm, "bias_norm": bias_norm, "bias": bias, "reference": answer.rung}


def _unit(estimator: Estimator, answer: Answer) -> float:
    """Return the norm of an exact gradient, unless it is zero; a value counts in nats."""
    return float(np.linalg.norm(answer.value)) or 1.0 if is_gradient(estimator.target) else 1.0


def _verdict(estimator: Estimator, found: Moments, answer: Answer, rounded: float) -> tuple[str, float]:
    """Return the verdict on an integral, or '' where neither it nor the exact answer is sharp enough.

    `rounded` is what the rounding of draws may amount to, which is no fault of an estimator.
    Two computations of one number that agree are both right, whatever errors they fear.
    """
    scale = 1.0 + float(np.abs(answer.value).max(initial=0.0))
    gap = float(np.abs(found.mean - answer.value).max(initial=0.0)) / scale
    error = found.error + rounded + float(np.max(answer.error, initial=0.0)) / scale
    for tolerance in (SMOOTH, KINKS):
        if gap <= tolerance and found.error <= tolerance:
            return ("ok" if estimator.unbiased else "none here"), tolerance
        if gap > max(tolerance, BEYOND_ERROR * error) and found.error < DIVERGES:
            return ("FAIL" if estimator.unbiased else "biased"), tolerance
    return "", KINKS


# -- by draws --------------------------------------------------------------------------------------


def _sampled(
    estimator: Estimator, problem: Problem, state: Floats, n_draws: int, answer: Answer, seed: int
) -> Row:
    """Return the test by draws: many estimates against the exact answer, as in a comparison (`bias_test`)."""
    numbers = BATCHES * n_draws * (problem.x.size + len(problem.x) * problem.model.latent_dim)
    size = max(LEAST_BATCH, SAMPLED_NUMBERS // numbers)
    spec = estimator.noise_for(problem, n_draws)
    rng = np.random.default_rng([seed, n_draws])

    def estimates(noise: Floats) -> Floats:
        return estimator.estimate(problem, noise, state)[0]

    found = RunningMoments(centre=answer.value)
    for _ in range(BATCHES):
        for _, values in in_passes(estimates, draw_noise(spec, rng, (size,)), spec):
            found.add(values)
    is_value = not is_gradient(estimator.target)
    test = bias_test(found, answer, is_value=is_value, false_alarm=FALSE_ALARM)
    detectable = test.detectable * test.whole.size / _unit(estimator, answer)
    if test.max_z is not None and test.max_z <= test.limit:  # nan is not
        to_see, in_unit = (NATS_TO_SEE, "nats") if is_value else (SHARE_TO_SEE, "exact")
        verdict = "ok" if detectable <= to_see else "blind"
        verdict += f" < {bound_text(detectable, in_unit)}" if detectable else ""
    else:
        verdict = "FAIL" if estimator.unbiased else "biased"
    error = float(np.hypot(found.standard_error, answer.error).max(initial=0.0))
    counts = {"method": "draws", "nodes": found.count, "error": error}
    last = _last(n_draws, test.limit * error, detectable, verdict)
    return counts | _sizes(estimator, found.mean, answer) | last
