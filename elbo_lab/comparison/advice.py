"""Which estimator should I use? Measured on the model at hand, with the uncertainty that remains.

A budget of seconds B buys B / t estimates that take t seconds each; their mean has the variance
v t / B. So among unbiased estimators the one of least *work* v t is best, whatever the budget (if one
estimate fits into it at all). References such as the oracle baseline, which need an exact answer, are no
candidates. Both factors are measured by a short `compare`, at two positions of q, since the order may differ
between them: at the start (q is the prior) and near the best fit.

An estimator is `best` where its work is least. Another one `loses` if its work is significantly larger: the
interval of the paired ratio of variances, times the ratio of the times, lies above 1 even if that ratio is
off by a factor of 1.5, as can happen on a busy machine. The others are `undecided`. The intervals are widened
for the number of rivals (Bonferroni, 5 % for each target and position). The advice is an estimator that loses
nowhere; if there are several, all are named; if there is none, the choice depends on the position.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from elbo_lab.comparison.compare import compare
from elbo_lab.comparison.pipeline import Data
from elbo_lab.comparison.ratios import paired_ratio
from elbo_lab.comparison.result import Comparison
from elbo_lab.errors import MOST_REPEATS, bad_value, check_count, check_positive
from elbo_lab.estimators import Estimator
from elbo_lab.files import json_kind, write_json
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import Model
from elbo_lab.posteriors import ExactPosterior, find_posterior
from elbo_lab.progress import Progress, followed
from elbo_lab.registry import find_estimators, one_model
from elbo_lab.report import text_of, time_text, width_or_terminal, wrapped_texts
from elbo_lab.report.advice import TIMING, it_depends, measurement_lines, no_candidate, recommend, row_of
from elbo_lab.report.frame import frame_of
from elbo_lab.study.measure import seconds_per_estimate, settled_state
from elbo_lab.study.moments import Moments
from elbo_lab.study.rows import Row
from elbo_lab.study.scene import Scene
from elbo_lab.threads import single_threaded_blas

if TYPE_CHECKING:
    from rich.text import Text

Times = dict[Estimator, float]
SCHEMA = "elbo_lab/advice/1"
JSON = json_kind("advise", SCHEMA)
TARGETS = ("grad-phi-elbo", "grad-theta-elbo")
PLACES = ("near", "start")
ROUNDS = 4
SEED = 0  # of the timed calls
DOUBT = 0.05


@dataclass(frozen=True)
class Choice:
    """The advice for one target.

    Attributes
    ----------
    target : str
    advice : {'use', 'undecided', 'depends', 'none'}
    estimator : str or None
        The best of the estimators that lose nowhere.
    unbeaten : dict
        {position: names that do not lose there, the best first}.
    text : str
        The advice in words.
    """

    target: str
    advice: str
    estimator: str | None
    unbeaten: dict[str, list[str]]
    text: str


@dataclass(frozen=True, repr=False)
class Advice:
    """What `advise` returns.

    Attributes
    ----------
    settings : dict
    choices : tuple of Choice
        One per target.
    rows : list of dict
        The measurements: `target`, `at`, `estimator`, `variance`, `snr`, `bias_verdict`, `evaluations` (of
        the model, for a datum and an estimate), `seconds_per_estimate`, `work`, its ratio to the least work
        at that position `work_ratio` with `work_ratio_low` and `work_ratio_high` (the times taken as exact),
        `verdict`, and `reason` where an estimator was no candidate.
    """

    settings: dict[str, Any]
    choices: tuple[Choice, ...]
    rows: list[Row]

    def _advice(self, width: int) -> "list[Text | str]":
        """Return the lines that say what to use, and name the problem."""
        s = self.settings
        head = f"{s['model']} on {s['data']}, {s['rows']} rows, K = {s['latent']}, S = {s['draws']}"
        lines: list[Text | str] = []
        for choice in self.choices:
            lines += [*wrapped_texts(choice.text, width, "bold"), ""]
        return [*lines, *wrapped_texts(f"{head}, posterior {s['posterior']}", width)]

    def _repr_html_(self) -> str:
        from elbo_lab.report.snippet import advice_snippet  # Jinja2 is heavy

        return advice_snippet(self.settings, [choice.text for choice in self.choices], self.rows)

    def to_pandas(self) -> Any:
        """Return the measurements as a pandas DataFrame; ImportError where pandas is not installed."""
        return frame_of(self.rows, "advice.rows")

    def __repr__(self) -> str:
        return text_of(self._advice(100)).rstrip()

    def lines(self, width: int = 100, dash: str = "-") -> "list[Text | str]":
        """Return the lines to print: the advice, then the measurements."""
        return [*self._advice(width), *measurement_lines(self.rows, width, dash)]

    def table(self, width: int | None = None) -> str:
        """Return the lines as text, as wide as the terminal if no width is given."""
        return text_of(self.lines(width_or_terminal(width)))

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return all as JSON text; write it to `path` as well if given."""
        choices = [vars(choice) for choice in self.choices]
        content = {"schema": SCHEMA, "settings": self.settings, "choices": choices, "rows": self.rows}
        return write_json(path, content, JSON)


@checks_kinds
def advise(
    model: str | Model | type[Model],
    *,
    data: Data | None = None,
    latent: int | Sequence[int] | None = None,
    latent_prior: str | None = None,
    posterior: str = "free",
    budget: float | None = None,
    estimators: Any = None,
    draws: int = 10,
    repeats: int = 400,
    rows: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | bool | None = None,
) -> Advice:
    """Recommend estimators of the gradients of the ELBO in phi and theta for one model.

    Parameters
    ----------
    model : str, Model class or Model
        One model; a name with several variants needs one of them, as in 'gaussian-mixture:full'.
    data, latent, latent_prior, draws, repeats, rows, seed, threads, progress
        As for `compare`.
    posterior : str
        As for `compare`, but 'exact'.
    budget : float, optional
        Seconds for one gradient. Estimators that take longer for one estimate are no candidates.
    estimators : str, Estimator, Estimator class, or iterable, optional
        Only these are candidates, if they are unbiased for one of the two gradients; all if not given.

    Returns
    -------
    Advice

    Raises
    ------
    ValueError, TypeError
        In one line that names the argument, the expected and the given value.
    """
    choice = one_model(model).with_prior(latent_prior)
    q = find_posterior(posterior)
    posterior = q.text
    if q.map == ExactPosterior.name:
        expected = "'free', 'amortised' or a family, which have gradients in phi"
        raise bad_value("posterior", expected, repr(posterior))
    check_count("draws", draws)
    check_count("repeats", repeats, minimum=20, maximum=MOST_REPEATS)
    if budget is not None:
        budget = check_positive("budget", budget)
    candidates = [e for e in find_estimators(estimators) if _is_candidate(e, draws)]
    if not candidates:
        expected = f"an unbiased estimator of {' or '.join(TARGETS)} that takes {draws} draws"
        raise bad_value("estimators", expected, "none")
    with followed(progress) as told:
        results = {
            at: compare(
                model,
                estimators=candidates,
                data=data,
                latent=latent,
                latent_prior=latent_prior,
                posterior=posterior,
                at=at,
                draws=draws,
                repeats=repeats,
                rows=rows,
                seed=seed,
                threads=threads,
                progress=told,
            )
            for at in PLACES
        }
    seconds = _seconds([result.scenes[0] for result in results.values()], results["near"].moments[0], draws)
    evidence = [
        row
        for target in TARGETS
        for at, result in results.items()
        for row in _judged(result, candidates, target, at, seconds, budget)
    ]
    scene = results["near"].scenes[0]
    settings = {"model": choice.label, "data": scene.data, "rows": len(scene.x)}
    settings |= {"latent": scene.model.latent_dim, "latent_prior": choice.latent_prior}
    settings |= {"posterior": posterior, "budget": budget}
    settings |= {"draws": draws, "repeats": repeats, "seed": seed}
    return Advice(settings, tuple(_choose(target, evidence, budget) for target in TARGETS), evidence)


def _is_candidate(estimator: Estimator, draws: int) -> bool:
    """Tell whether an estimator is unbiased for one of the two gradients and accepts `draws` draws."""
    return (
        estimator.target in TARGETS
        and not estimator.is_reference
        and estimator.unbiased
        and estimator.minimum_draws <= draws
    )


def _seconds(scenes: Iterable[Scene], estimators: Iterable[Estimator], draws: int) -> Times:
    """Return {estimator: seconds of one estimate}, the same at all positions.

    The least of several interleaved rounds: other load on the machine only adds time.
    """
    with single_threaded_blas():
        rounds = [times for scene in scenes for times in _rounds(scene, estimators, draws)]
    return {estimator: min(times[estimator] for times in rounds) for estimator in estimators}


def _rounds(scene: Scene, estimators: Iterable[Estimator], draws: int) -> list[Times]:
    """Return {estimator: seconds of one estimate} of each round on one scene."""
    states = {e: settled_state(scene, e, draws, SEED) for e in estimators}
    return [
        {e: seconds_per_estimate(scene, e, draws, SEED, states[e]) for e in estimators} for _ in range(ROUNDS)
    ]


def _judged(
    result: Comparison, candidates: list[Estimator], target: str, at: str, times: Times, budget: float | None
) -> list[Row]:
    """Return the rows of measurements for one target and position, the best first."""
    pairs = [
        (row, estimator)
        for row, estimator in zip(result.rows, candidates, strict=True)
        if estimator.target == target
    ]
    judged = []
    for row, estimator in pairs:
        seconds, variance = times.get(estimator), row["variance"]
        reason = row["reason"]
        if reason is None and row["bias_verdict"] == "FAIL":
            reason = "its bias differs significantly from zero"
        if reason is None and variance is None:
            reason = "its estimates are not finite"
        if reason is None and budget is not None and times[estimator] > budget:
            reason = f"one estimate takes {time_text(seconds)}, longer than the budget"
        head = {"target": target, "at": at} | {
            name: row[name] for name in ("estimator", "variance", "snr", "bias_verdict", "evaluations")
        }
        head["seconds_per_estimate"] = seconds
        work = variance * seconds if reason is None else None
        judged.append((head | {"work": work, "reason": reason}, estimator))
    # Among several without noise the fastest comes first.
    judged.sort(
        key=lambda pair: (
            pair[0]["reason"] is not None,
            pair[0]["work"] or 0.0,
            pair[0]["seconds_per_estimate"] or 0.0,
        )
    )
    if not judged:
        return []
    rivals = sum(head["reason"] is None for head, _ in judged) - 1
    best, base = judged[0]
    return [head | _against_best(result.moments[0], head, e, best, base, rivals) for head, e in judged]


def _against_best(
    moments: dict[Estimator, Moments],
    head: Row,
    estimator: Estimator,
    best: Row,
    base: Estimator,
    rivals: int,
) -> Row:
    """Return the ratio of the work of an estimator to the least, with its verdict."""
    keys = ("work_ratio", "work_ratio_low", "work_ratio_high", "verdict")
    if head["reason"] is not None:
        return dict.fromkeys(keys)
    if estimator is base:
        return dict(zip(keys, (1.0, None, None, "best"), strict=True))
    if best["work"] == 0.0:
        return dict(zip(keys, (None, None, None, "loses" if head["work"] else "undecided"), strict=True))
    times = head["seconds_per_estimate"] / best["seconds_per_estimate"]
    ratio = paired_ratio(moments[estimator], moments[base], level=1.0 - DOUBT / max(1, rivals))
    value, low, high = (number * times for number in ratio[:3])
    return dict(zip(keys, (value, low, high, "loses" if low > TIMING else "undecided"), strict=True))


def _choose(target: str, evidence: list[Row], budget: float | None) -> Choice:
    """Return the Choice of one target."""
    places = {
        at: [row for row in evidence if (row["target"], row["at"]) == (target, at) and row["reason"] is None]
        for at in PLACES
    }
    unbeaten = {
        at: [row["estimator"] for row in rows if row["verdict"] != "loses"] for at, rows in places.items()
    }
    if not all(unbeaten.values()):
        refused = [row for row in evidence if row["target"] == target]
        return Choice(target, "none", None, unbeaten, no_candidate(target, refused))
    everywhere = [name for name in unbeaten["near"] if name in unbeaten["start"]]
    if not everywhere:
        return Choice(target, "depends", None, unbeaten, it_depends(target, unbeaten))

    def work(name: str) -> float:
        return math.prod(row_of(places[at], name)["work_ratio"] or 1.0 for at in PLACES)

    everywhere.sort(key=work)
    advice = "use" if len(everywhere) == 1 else "undecided"
    return Choice(target, advice, everywhere[0], unbeaten, recommend(target, everywhere, places, budget))
