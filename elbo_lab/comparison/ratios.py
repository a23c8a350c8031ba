"""Does A beat B? Paired ratios of variances, with an interval.

Overlapping intervals do not imply that two estimators are alike. Estimators of one target use the same noise,
batch by batch, so that their variances in a batch are correlated; the ratio of their variances

    r = Var A / Var B,   log r +- t se,   d_b = v_b(A) / v(A) - v_b(B) / v(B),   se = sd(d) / sqrt(B)

is known more precisely than either (delta method over the batches, `study.statistics`). Without shared noise
the same interval holds, and is wider. It compares variances at the same number of draws, not costs. An
estimator that was rerun because it looked biased is compared on its first repeats, which share the noise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from elbo_lab.comparison.pipeline import Bench
from elbo_lab.errors import bad_value, unknown_name
from elbo_lab.estimators import Estimator
from elbo_lab.names import called, names_by_word
from elbo_lab.study.moments import Moments
from elbo_lab.study.rows import Row
from elbo_lab.study.statistics import batch_weights, ratio_interval


class Ratio(NamedTuple):
    """A ratio of variances: value and 95 % interval (None if undefined) and verdict."""

    value: float | None
    low: float | None
    high: float | None
    verdict: str | None


NO_RATIO = Ratio(None, None, None, None)


def judged(low: float, high: float) -> str:
    """Return 'beats', 'loses' or 'undecided' for the interval of a ratio of which smaller is better."""
    return "beats" if high < 1.0 else "loses" if low > 1.0 else "undecided"


def paired_ratio(moments: Moments, against: Moments, level: float = 0.95) -> Ratio:
    """Return the Ratio of the variances of two estimators that were measured on the same batches.

    A variance of zero beats every other, with an interval of width zero; two of them are undecided.

    Parameters
    ----------
    moments, against : Moments
    level : float
    """
    top, bottom = moments.variance, against.variance
    if top is None or bottom is None or len(moments.traces) < 2:
        return NO_RATIO
    if bottom == 0.0:
        return Ratio(None, None, None, "loses" if top > 0.0 else "undecided")
    if top == 0.0:
        return Ratio(0.0, 0.0, 0.0, "beats")
    (sizes, tops), (_, bottoms) = np.array(moments.traces).T, np.array(against.traces).T
    low, high = ratio_interval(top / bottom, tops, bottoms, batch_weights(sizes), level)
    return Ratio(top / bottom, low, high, judged(low, high))


def ratio_between(row: Row, base_row: Row, moments: Moments, base: Moments, level: float = 0.95) -> Ratio:
    """Return the `paired_ratio` of two rows; a variance of rounding alone is zero in its row, and here."""
    zeros = row["variance"] == 0.0, base_row["variance"] == 0.0
    return _noiseless_ratio(*zeros) if any(zeros) else paired_ratio(moments, base, level)


def check_against(name: str, estimators: Sequence[Estimator]) -> str:
    """Return the name that `against` means, or refuse one that is not among the compared estimators."""
    measured = [estimator for estimator in estimators if estimator.name != "exact"]
    for estimator in called(name, measured):
        return estimator.name
    names = list(dict.fromkeys(estimator.name for estimator in measured))
    remedy = "take one of the compared estimators"
    raise unknown_name("against", name, names, remedy, names_by_word(measured))


def check_applicable(name: str, benches: Sequence[Bench]) -> None:
    """Refuse a name `against` that applies to none of the models."""
    if not any(run.estimator.name == name for bench in benches for run in bench.applicable):
        what = "an estimator that makes sense on one of the models"
        raise bad_value("against", what, repr(name), "choose another estimator or model")


def rows_with_ratios(
    rows: list[Row], estimators: Sequence[Estimator], moments: dict[Estimator, Moments], against: str | None
) -> list[Row]:
    """Return the rows of one model with their ratios filled in.

    Parameters
    ----------
    rows : list of dict
        In the order of the estimators.
    estimators : list of Estimator
    moments : dict
        {estimator: Moments} on common batches.
    against : str or None
        Name of the estimator in the denominator.
    """
    bases = {e.target: e for e in moments if e.name == against}
    row_of = {estimator: row for row, estimator in zip(rows, estimators, strict=True)}
    with_ratios = []
    for row, estimator in zip(rows, estimators, strict=True):
        base = bases.get(estimator.target)
        if base is None or estimator not in moments or estimator is base:
            with_ratios.append(row)
            continue
        ratio = ratio_between(row, row_of[base], moments[estimator], moments[base])
        numbers = zip(("ratio", "ratio_low", "ratio_high", "verdict"), ratio, strict=True)
        with_ratios.append(row | {f"variance_{key}": value for key, value in numbers})
    return with_ratios


def _noiseless_ratio(top: bool, bottom: bool) -> Ratio:
    if bottom:
        return Ratio(None, None, None, "undecided" if top else "loses")
    return Ratio(0.0, 0.0, 0.0, "beats")
