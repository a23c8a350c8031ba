"""The first screen: six models, three questions, one finding.

    how far is the bound      log p, ELBO and gap of every model, and the error of sampling log p
    which gradient is noisy   the work of the gradients in phi: variance x evaluations of log p(x, z)
    do more draws help        the gap of the bound of 1, 10 and 100 draws, signal and noise of its gradient

`story` measures, and `tell` puts the rows into words: all that it says follows from rows and settings.
Work is relative to that of the reparameterised gradient, or of the leave-one-out score function where z is
discrete and has no path.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from elbo_lab.comparison.compare import compare
from elbo_lab.comparison.ratios import judged, rows_with_ratios
from elbo_lab.comparison.result import Comparison
from elbo_lab.estimators import Dreg, Estimator, ImportanceWeightedBound, IwaeReparameterization
from elbo_lab.kinds import checks_kinds
from elbo_lab.processes import Workers
from elbo_lab.progress import Progress
from elbo_lab.registry import all_estimators, display_name
from elbo_lab.report import group_rows, value_text
from elbo_lab.report.cells import Row, Rows, digits_text, percent_text
from elbo_lab.report.questions import question_of
from elbo_lab.report.story import Column, Section, Story
from elbo_lab.report.tables import digits_of, exact_gap, exact_numbers
from elbo_lab.study.experiments import moments_against_draws
from elbo_lab.study.rows import SHARE_TO_SEE
from elbo_lab.study.scene import DEFAULT_ROWS, Scene
from elbo_lab.study.statistics import NORMAL_95, snr, snr_interval
from elbo_lab.threads import single_threaded_blas

CAST = (
    "gaussian-mle",
    "gaussian-mixture:full",
    "ppca",
    "sigmoid-belief",
    "deep-gaussian:learned",
    "deep-bernoulli",
)
TWO = ("ppca", "deep-bernoulli")
"""The models of the last question."""
NUMBERS_OF_DRAWS = (1, 3, 10, 30, 100)
TABLED = (1, 10, 100)
"""Those of the table; the figure has all."""
REPEATS = 300
SAMPLERS = ("prior-monte-carlo", "importance-sampling")
BY_SCORE, LEAVE_ONE_OUT, BY_PATH = "score-function", "score-function-loo", "reparameterization"
PLAIN, DOUBLY = IwaeReparameterization(), Dreg()
# What is measured for the others of the second question: unbiased, available in practice, without a memory
# that has to settle first; and of the two measure-valued gradients the one with less noise.
LEFT_OUT = ("measure-valued",)
# The theorem of Tucker et al. (2019) needs weights with enough finite moments.
LIGHT_TAILS = "Doubly reparameterized rises only where the weights have light tails: see elbo-lab demo 14."
TITLE = "elbo-lab compare: how well can log p(x) and its gradients be estimated?"


@checks_kinds
def story(
    *,
    draws: int = 10,
    repeats: int = REPEATS,
    rows: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | bool | None = None,
) -> Comparison:
    """Compare six models and tell what is found in one screen.

    Parameters
    ----------
    draws, repeats, rows, seed, threads, progress
        As for `compare`.

    Returns
    -------
    Comparison
        With its `story`, and the numbers of the last question in `settings['more_draws']`.

    Raises
    ------
    ValueError, TypeError
        In one line that names the argument, the expected and the given value.

    Examples
    --------
    >>> from elbo_lab import story
    >>> print(story(rows=8, repeats=100).story.finding)  # doctest: +SKIP
    """
    result = compare(
        CAST,
        estimators=_measured(),
        draws=draws,
        repeats=repeats,
        rows=rows,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    result.rows = _with_ratios(result)
    scenes = {scene.model.name: scene for scene in result.scenes}
    with single_threaded_blas():
        more = {name: _more_draws(scenes[name], seed, result.workers, max(20, repeats // 3)) for name in TWO}
    for name, found in more.items():  # the bound of one draw is the ELBO, which is known
        scene = scenes[name]
        elbo = result.settings["exact_values"][f"{scene.model.label} K={scene.model.latent_dim}"]["elbo"]
        found["bound"][0], found["bound_se"][0] = elbo, 0.0
    result.settings["more_draws"] = more
    result.story = tell(result.rows, result.settings)
    return result


def subject(draws: int = 10, repeats: int = REPEATS, rows: int | None = None, seed: int = 0) -> str:
    """Return what is compared, and on what, in one line: known before anything is measured."""
    parts = [
        f"{len(CAST)} models with exact answers",
        "Old Faithful, digits",
        f"{DEFAULT_ROWS if rows is None else rows} rows",
        f"{draws} draws",
        f"{repeats} repeats",
        f"seed {seed}",
    ]
    return " · ".join(parts)


def _measured() -> list[Estimator]:
    """Return the estimators of the story, and the exact answers."""
    return [
        estimator
        for estimator in all_estimators()
        if estimator.name in SAMPLERS
        or (estimator.name == "exact" and estimator.target in ("log-evidence", "elbo", "grad-phi-elbo"))
        or (
            estimator.target == "grad-phi-elbo"
            and estimator.unbiased
            and not estimator.is_reference
            and not estimator.burn_in
            and estimator.name not in LEFT_OUT
        )
    ]


def _with_ratios(result: Comparison) -> Rows:
    """Return the rows with the ratios of variances to that of the yardstick of each model."""
    rows: Rows = []
    for block, moments in zip(group_rows(result.rows).values(), result.moments, strict=True):
        rows += rows_with_ratios(block, result.estimators, moments, _yardstick(block))
    return rows


def _yardstick(block: Rows) -> str:
    """Return the estimator whose work is one on a model."""
    has_path = any(row["estimator"] == BY_PATH and row["applicable"] for row in block)
    return BY_PATH if has_path else LEAVE_ONE_OUT


def _more_draws(scene: Scene, seed: int, workers: Workers, repeats: int) -> dict[str, Any]:
    """Return the bound of several numbers of draws, and signal over noise of two of its gradients."""
    arguments = seed, workers, repeats, NUMBERS_OF_DRAWS
    bounds = moments_against_draws(scene, [ImportanceWeightedBound()], "iwae", *arguments)
    gradients = moments_against_draws(scene, [PLAIN, DOUBLY], "grad-phi-iwae", *arguments)
    found: dict[str, Any] = {
        "draws": list(NUMBERS_OF_DRAWS),
        "bound": [float(moments.mean[0]) for moments in bounds.values()],
        "bound_se": [float(moments.standard_error[0]) for moments in bounds.values()],
    }
    for (estimator, _), moments in gradients.items():
        low, high = snr_interval(moments)
        for key, number in (("snr", snr(moments)), ("low", low), ("high", high)):
            found.setdefault(estimator.name, {}).setdefault(key, []).append(number)
    return found


# -- in words ----------------------------------------------------------------------------------------


class Work(NamedTuple):
    """Variance x evaluations of an estimator, relative to that of the yardstick: value and 95 % interval."""

    row: Row
    value: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """Value and interval; '-' where too few repeats tell them."""
        return "-" if math.isnan(self.value) else percent_text(self.value, self.low, self.high)

    @property
    def verdict(self) -> str:
        """'beats', 'loses' or 'undecided'."""
        return judged(self.low, self.high)


def tell(rows: Rows, settings: dict[str, Any]) -> Story:
    """Return the story of rows and settings.

    Parameters
    ----------
    rows : list of dict
        Of the six models, with `variance_ratio` to the yardstick of each model.
    settings : dict
        Those of `compare`, and `more_draws`.
    """
    blocks = list(group_rows(rows).values())
    works = [_works([row for row in block if row["target"] == "grad-phi-elbo"]) for block in blocks]
    bound = _bound_section(blocks, settings)
    noise = _noise_section(works)
    draws = _draws_section(rows, settings)
    about = {name: settings[name] for name in ("draws", "repeats", "rows", "seed")}
    return Story(TITLE, subject(**about), (bound, noise, draws), _finding(works, settings), FURTHER)


FURTHER = (
    ("elbo-lab compare ppca --at exact", "q at the posterior: the order is reversed"),
    ("elbo-lab compare ppca --quick", "one model, all its estimators and targets"),
    ("elbo-lab compare --full", "all models, all tables"),
)


def _label(row: Row) -> str:
    return str(row["model"])


def _bound_section(blocks: Sequence[Rows], settings: dict[str, Any]) -> Section:
    lines = []
    misses: dict[str, tuple[Row, Row]] = {}
    models: dict[str, list[str]] = {}
    for block in blocks:
        row = block[0]
        known = exact_numbers(row, settings)
        gap = exact_gap(known)
        assert gap is not None
        # Two digits of the gap can be read off from log p and ELBO.
        texts = [value_text(known[t][0], None, 10.0 * digits_of(gap)) for t in ("log-evidence", "elbo")]
        sampled = [next(r for r in block if r["estimator"] == name) for name in SAMPLERS]
        errors = [_value(one["bias"], NORMAL_95 * one["bias_se"]) for one in sampled]
        lines.append((_label(row), str(row["latent_dim"]), *texts, digits_text(gap[0]), *errors))
        misses[_label(row)] = sampled[0], sampled[1]
        models.setdefault(row["data"].partition("-")[0].partition(":")[0], []).append(_label(row))
    prior, from_q = max(misses.values(), key=lambda pair: abs(pair[0]["bias"]))
    missed = (
        f"On {_label(prior)} {settings['draws']} draws from the prior miss log p(x) by "
        f"{digits_text(abs(prior['bias']))} nats, as many draws from q by {digits_text(abs(from_q['bias']))}."
    )
    *others, last = models
    data = ", ".join([*(f"{name} ({', '.join(models[name])})" for name in others), f"{last} (the others)"])
    columns = (
        Column("model", "", numeric=False),
        Column("K", "latent dimensions, bits or components"),
        Column("log p(x)", "exact"),
        Column("ELBO", "exact, q near its best"),
        Column("gap", "log p(x) - ELBO = KL(q || posterior)"),
        Column("prior sampling", "mean error of the log of a mean over draws from the prior, 95 % interval"),
        Column("importance sampling", "the same with draws from q, weighted"),
    )
    return Section(
        "How far is the bound, and how far off is sampling?",
        "nats per datum; errors of log p(x), ± 95 %",
        columns,
        tuple(lines),
        (missed, f"Data: {data}."),
        "log-evidence",
    )


def _works(rows: Rows) -> dict[str, Work]:
    """Return {estimator: Work} of the gradients on one model, those without noise included."""
    measured = {row["estimator"]: row for row in rows if row["applicable"] and row["estimator"] != "exact"}
    base = measured[_yardstick(rows)]
    works = {}
    for name, row in measured.items():
        cost = row["evaluations"] / base["evaluations"]
        ratios = (row[f"variance_ratio{end}"] for end in ("", "_low", "_high"))
        numbers = (
            (1.0, 1.0, 1.0)
            if row is base
            else tuple(math.nan if ratio is None else cost * ratio for ratio in ratios)
        )
        works[name] = Work(row, *numbers)
    return works


def _best_other(works: dict[str, Work]) -> Work | None:
    """Return the least work among the others that have noise."""
    shown = (BY_SCORE, LEAVE_ONE_OUT, BY_PATH)
    others = [work for name, work in works.items() if name not in shown and work.value > 0.0]
    return min(others, key=lambda work: work.value, default=None)


def _noise_section(works: Sequence[dict[str, Work]]) -> Section:
    lines = []
    for work in works:
        other = _best_other(work)
        leave_one_out = work[LEAVE_ONE_OUT].text if BY_PATH in work else "1"
        name = display_name(other.row["estimator"]) if other else ""
        name = name.removeprefix(f"{display_name(BY_SCORE)}, ")
        label = _label(work[BY_SCORE].row)
        lines.append((label, work[BY_SCORE].text, leave_one_out, other.text if other else "-", name))
    columns = (
        Column("model", "", numeric=False),
        Column(display_name(BY_SCORE), "score function without a baseline"),
        Column(display_name(LEAVE_ONE_OUT), "the mean of the other draws as baseline"),
        Column("best other", "the least work of the others that have noise"),
        Column("", "its name", numeric=False),
    )
    return Section(
        "Which gradient in q is noisy?",
        f"work, ± 95 %; {display_name(BY_PATH)} = 1",
        columns,
        tuple(lines),
        (_discrete_note(works), _bias_note(works)),
        "grad-phi-elbo",
    )


def _discrete_note(works: Sequence[dict[str, Work]]) -> str:
    """Return what is different where z is discrete."""
    sums = [
        f"{work['enumeration'].row['evaluations']} ({_label(work['enumeration'].row)})"
        for work in works
        if BY_PATH not in work
    ]
    return (
        "Work = variance x evaluations of log p(x, z). A discrete z has no path: there leave-one-out = 1, "
        f"and the sum over all z, without noise, takes {_listed(sums)}."
    )


def _bias_note(works: Sequence[dict[str, Work]]) -> str:
    """Return what the tests of bias of the estimators that are shown have found."""
    shown = []
    for work in works:
        shown += [work[name].row for name in (BY_SCORE, LEAVE_ONE_OUT, BY_PATH) if name in work]
        other = _best_other(work)
        shown += [other.row] if other else []
    failed = [row for row in shown if row["bias_verdict"] == "FAIL"]
    seeing = sum((row["bias_detectable"] or math.inf) <= SHARE_TO_SEE for row in shown)
    if failed:
        biased = _listed([f"{display_name(row['estimator'])} on {_label(row)}" for row in failed])
        return f"A BIAS WAS FOUND: {biased}."
    worst = max(row["bias_detectable"] or 0.0 for row in shown)
    return (
        f"None of the {len(shown)} shows a bias; one of {100 * SHARE_TO_SEE:g} % would be found in {seeing}, "
        f"in the noisiest only one of {digits_text(100 * worst)} %."
    )


def _draws_section(rows: Rows, settings: dict[str, Any]) -> Section:
    lines = []
    for model, found in settings["more_draws"].items():
        row = next(row for row in rows if row["model"] == model)
        log_p = exact_numbers(row, settings)["log-evidence"][0]
        shown = [found["draws"].index(n) for n in TABLED]
        gaps = ((log_p - found["bound"][i], found["bound_se"][i]) for i in shown)
        texts = [_value(gap, NORMAL_95 * error) if error else digits_text(gap) for gap, error in gaps]
        lines.append((_label(row), "gap of the bound, nats", *texts))
        for estimator, words in ((PLAIN, "signal / noise, plain"), (DOUBLY, "  doubly reparameterized")):
            record = found[estimator.name]
            numbers = ([record[key][i] for key in ("snr", "low", "high")] for i in shown)
            texts = [_value(value, max(high - value, value - low)) for value, low, high in numbers]
            lines.append(("", words, *texts))
    columns = (
        Column("model", "", numeric=False),
        Column("", "", numeric=False),
        *(Column(f"M = {n}", f"bound of {n} draws") for n in TABLED),
    )
    ratios = [found[DOUBLY.name]["snr"] for found in settings["more_draws"].values()]
    falls = any(ratio[-1] < ratio[0] for ratio in ratios)
    return Section(
        question_of("more-draws"),
        "bound of M draws, and its gradient in q; ± 95 %",
        columns,
        tuple(lines),
        (LIGHT_TAILS,) if falls else (),
        "more-draws",
    )


def _value(value: float, half: float | None = None, apart: float | None = None) -> str:
    return value_text(value, half, apart).replace("+- ", "±")


def _finding(works: Sequence[dict[str, Work]], settings: dict[str, Any]) -> str:
    """Return what the rows say, in three sentences."""
    by_score = [work[BY_SCORE] for work in works if BY_PATH in work]
    losing = [work for work in by_score if work.verdict == "loses"]
    beats = f"{display_name(BY_PATH)} beats {display_name(BY_SCORE)} on"
    first = (
        f"{beats} {len(losing)} of {len(by_score)} continuous models, by "
        f"{digits_text(min(w.value for w in losing))} to {digits_text(max(w.value for w in losing))}"
        if losing
        else f"{beats} no continuous model"
    )
    ratios = [work[LEAVE_ONE_OUT].value / work[BY_SCORE].value for work in works if work[BY_SCORE].value]
    kept = [ratio for ratio in ratios if math.isfinite(ratio)] or [math.nan]
    second = f"leave-one-out removes {_percent(1 - max(kept))} to {_percent(1 - min(kept))} % of that noise"
    more = list(settings["more_draws"].values())
    few, many = more[0]["draws"][0], more[0]["draws"][-1]
    closer = sum(found["bound"][-1] > found["bound"][0] for found in more)
    plain, doubly = (
        _listed([_kept(found[estimator.name]["snr"]) for found in more]) for estimator in (PLAIN, DOUBLY)
    )
    third = (
        f"{many} draws instead of {few} tighten the bound on {closer} of {len(more)} models and leave "
        f"{plain} % of its gradient's signal / noise ({doubly} % doubly reparameterized)"
    )
    return f"In short: {first}; {second}; {third}."


def _kept(numbers: Sequence[float]) -> str:
    """Return the last of some numbers in percent of the first."""
    return digits_text(100.0 * numbers[-1] / numbers[0]) if numbers[0] else "?"


def _percent(share: float) -> str:
    """Return a share in percent, with as many nines as it has, and one digit more."""
    rest = 1.0 - share
    if math.isnan(share):
        return "?"
    digits = max(0, -math.floor(math.log10(rest)) - 2) if rest > 0 else 0
    return f"{100 * share:.{digits}f}"


def _listed(names: Sequence[str]) -> str:
    """Return names as 'a, b and c'."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
