"""One row of the comparison: an estimator on a model, compared with the exact answer."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.estimators import Answer, Estimator
from elbo_lab.files import plain
from elbo_lab.layout import Layout
from elbo_lab.study.moments import Moments
from elbo_lab.study.scene import Scene
from elbo_lab.study.statistics import (
    bias_error,
    error_tail,
    mse_interval,
    skewed_limit,
    snr,
    snr_groups,
    snr_interval,
)

Row = dict[str, Any]
"""One row of a comparison; the glossary has its keys."""

# Below this fraction of its scale a standard error is rounding, and z would divide by it.
DETERMINISTIC = 1e-12
DETERMINISTIC_TOLERANCE = 1e-9


# A row fails if it exceeds its limit in both of two looks.
LOOKS = 2
# A proportional bias is found with 99 % probability if it lies this far above the limit.
POWER_MARGIN = 2.326
# What a test has to see before it may say `ok`: as a share of the exact answer, and in nats.
SHARE_TO_SEE = 0.05
NATS_TO_SEE = 0.05
# The same for one block of parameters by itself, as a share of the exact answer there.
BLOCK_SHARE_TO_SEE = 0.1


class Along(NamedTuple):
    """What a look sees of an error along the exact answer, or along its part in one block of parameters.

    Attributes
    ----------
    error, error_reference, skewness : float
        Standard error of mean minus exact, projected on that direction, the part of the reference in it, and
        the skewness of that difference.
    size : float
        What a bias is a share of: the norm of the exact answer (in the block) or, where that is rounding, the
        root mean square of one estimate; 1 nat for a value.
    """

    error: float = 0.0
    error_reference: float = 0.0
    skewness: float = 0.0
    size: float = 1.0


@dataclass(frozen=True)
class BiasTest:
    """One look at the bias of a row, and what it could have seen.

    Attributes
    ----------
    max_z : float or None
        |z| of the number (a coordinate or a projection) that comes nearest to its limit, or exceeds it most.
        None for a single repeat.
    coordinates : int
        How many numbers were tested.
    limit : float
        Of that |z|.
    plain_limit : float
        Of a mean that is not skewed.
    whole : Along
    blocks : tuple of Along
        The same within each block of parameters.
    reach_worst : float
        The least bias in the worst direction that is found with 99 % power.
    unit : {'exact', 'rms', 'nats'}
        What a bias is a share of.
    """

    max_z: float | None
    coordinates: int
    limit: float = float("inf")
    plain_limit: float = float("inf")
    whole: Along = field(default_factory=Along)
    blocks: tuple[Along, ...] = ()
    reach_worst: float = 0.0
    unit: str = "exact"

    def detectable_after(self, factor: float) -> float:
        """Return the least bias along the exact answer that `factor` times the repeats find, with 99 % power.

        A bias may have either sign, so that the limit of the skewed side counts.
        """
        return self._after(self.whole, factor)

    def detectable_block_after(self, factor: float) -> float:
        """Return the same for an error in one block, the one that is seen worst; 0 without blocks."""
        return max((self._after(block, factor) for block in self.blocks), default=0.0)

    def _after(self, part: Along, factor: float) -> float:
        of_repeats = part.error**2 - part.error_reference**2
        error = float(np.sqrt(of_repeats / factor + part.error_reference**2))
        if error == 0.0:
            return 0.0
        skewness = abs(part.skewness) * (part.error / error) ** 3 / factor**2
        bias = float(skewed_limit(self.plain_limit, skewness) + POWER_MARGIN) * error
        return bias / part.size if part.size else float("inf")

    @property
    def detectable(self) -> float:
        """The least bias along the exact answer that is found with 99 % power."""
        return self.detectable_after(1.0)

    @property
    def detectable_worst(self) -> float:
        """The same in any direction."""
        if self.reach_worst == 0.0:
            return 0.0
        return self.reach_worst / self.whole.size if self.whole.size else float("inf")

    @property
    def detectable_reference(self) -> float:
        """What the error of the reference hides from any number of repeats."""
        return self.detectable_after(float("inf"))


def bias_test(
    moments: Moments,
    answer: Answer,
    missed: Floats | float = 0.0,
    is_value: bool = False,
    false_alarm: float = 1e-6,
) -> BiasTest:
    """Compare the mean of the repeats with the exact answer: coordinate by coordinate, and along the answer.

    z = difference / sqrt(se^2 + 2 reference_se^2 + missed). A row is looked at twice, with other noise but
    the same reference (`comparison.pipeline.check_bias`); with its variance counted twice the two looks
    together are as safe as if the references were independent.

    **The limit** is Bonferroni's over the numbers of the row, in Student's t for R - 1 degrees of freedom.
    Where a mean is skewed, and lies on the side away from the tail, its own limit is raised by up to four
    times (`statistics.skewed_limit`): on heavy-tailed rows a plain limit of 1e-4 is exceeded a hundred times
    as often. docs/testing.md has the measured rates.

    **Rounding.** A coordinate whose standard error is below 1e-12 of its scale (the largest of 1, |mean| and
    |exact|) carries rounding instead of noise: it passes if the difference is at most 1e-9 of the scale and
    is then left out; if not, its z is the difference over 1e-12 of the scale, far above any limit.

    **The projections.** One number more is tested: the difference projected on the exact answer,
    u . (mean - exact) with u = exact / |exact|, which sees a proportional error best; and the same within
    each block of parameters, for an error in one of them. Their standard errors are those of the projected
    repeats (`Moments`) and of the projected reference (`Answer.error_along`). What the repeats miss may
    depend on each other in any way, so it enters as the sum of |u_j| se_j, which no dependence exceeds.
    Without a direction (an exact answer of rounding size, or moments without a centre) the worst one counts.

    Parameters
    ----------
    moments : Moments
    answer : Answer
    missed : ndarray (P,), optional
        Variance of the mean that the repeats are expected to miss (see `study.rare_events`).
    is_value : bool
        Whether the target is a value in nats, which is judged in nats.
    false_alarm : float
        Of this look, for all numbers of the row together.
    """
    if moments.count < 2:
        return BiasTest(None, 0)
    difference = moments.mean - answer.value
    scale = _scale(moments, answer)
    of_reference = np.sqrt(LOOKS) * answer.error
    error = np.sqrt(moments.standard_error**2 + of_reference**2 + missed)
    n_coordinates, reference = len(error), float(np.linalg.norm(of_reference))
    directions = moments.directions[:0] if is_value else moments.directions
    norms = directions @ answer.value
    # An exact answer of rounding size has no direction, nor has a block of it.
    is_seen = norms[:1] > DETERMINISTIC_TOLERANCE * _root_mean_square(moments)
    is_seen = is_seen & (norms > DETERMINISTIC_TOLERANCE * norms[:1])
    directions, norms = directions[is_seen], norms[is_seen]
    shares = np.abs(directions)
    references = np.sqrt(LOOKS) * np.array([answer.error_along(one) for one in directions])
    missed_along = shares @ np.sqrt(np.broadcast_to(missed, error.shape))
    kept = np.append(np.arange(n_coordinates), n_coordinates + np.flatnonzero(is_seen))
    difference = np.append(difference, directions @ difference)
    scale = np.append(scale, shares @ scale)
    along = moments.standard_errors[kept[n_coordinates:]]
    error = np.append(error, np.sqrt(along**2 + references**2 + missed_along**2))
    rigid = error < DETERMINISTIC * scale
    tested = ~(rigid & (np.abs(difference) <= DETERMINISTIC_TOLERANCE * scale))
    count = int(tested.sum())
    floored = np.maximum(error, DETERMINISTIC * scale)
    skewness = np.where(rigid, 0.0, moments.third_cumulants[kept] / floored**3)
    plain, student = z_limit(count, false_alarm), z_limit(count, false_alarm, moments.count)
    limits = np.where(rigid, plain, skewed_limit(student, -np.sign(difference) * skewness))
    z = np.abs(difference) / floored
    nearest = int(np.argmax(np.where(tested, z / limits, -1.0)))
    max_z, limit = (float(z[nearest]), float(limits[nearest])) if count else (0.0, student)
    reach = (skewed_limit(student, np.abs(skewness)) + POWER_MARGIN) * error
    worst = float(np.linalg.norm(reach[:n_coordinates]))
    if is_value:
        parts, unit = [Along(float(error[0]), reference, float(skewness[0]))], "nats"
    elif not len(norms):
        rms = _root_mean_square(moments)
        parts, unit = [Along(worst / (student + POWER_MARGIN), reference, size=rms)], "rms"
    else:
        numbers = zip(error[n_coordinates:], references, skewness[n_coordinates:], norms, strict=True)
        parts, unit = [Along(*map(float, part)) for part in numbers], "exact"
    return BiasTest(max_z, count, limit, student, parts[0], tuple(parts[1:]), worst, unit)


def _root_mean_square(moments: Moments) -> float:
    """Return the root mean square of the norm of one estimate."""
    return float(np.sqrt((moments.mean**2).sum() + moments.squares.sum() / moments.count))


def _scale(moments: Moments, answer: Answer) -> Floats:
    """Return the scale of every coordinate: the largest of 1, |mean| and |exact|."""
    return np.maximum(1.0, np.maximum(np.abs(moments.mean), np.abs(answer.value)))


def is_rounding(moments: Moments, answer: Answer) -> bool:
    """Return whether no coordinate varies by more than rounding: the variance is then reported as zero."""
    deviation = moments.standard_error * np.sqrt(moments.count)
    return bool(np.all(deviation < DETERMINISTIC * _scale(moments, answer)))


def row_head(
    scene_label: tuple[str, str | None],
    scene: Scene | None,
    posterior: str,
    estimator: Estimator,
    draws: int,
    repeats: int,
) -> Row:
    """Return the identifying part of a row; `scene` may be None if the model refused the data."""
    name, variant = scene_label
    return {
        "model": name,
        "variant": variant,
        "data": scene.data if scene else None,
        "n_data": len(scene.x) if scene else None,
        "latent_dim": scene.model.latent_dim if scene else None,
        "posterior": posterior,
        "target": estimator.target_at(draws),
        "estimator": estimator.name,
        "draws": draws,
        "repeats": repeats,
        "applicable": True,
        "reason": None,
        "unbiased": estimator.unbiased,
        "reference_note": None,
        "evaluations": None,
    }


# Keys of a row behind its head, in the order of the files.
NUMBERS = (
    "reference reference_se reference_norm bias bias_norm bias_se bias_max_z bias_coordinates bias_z_limit "
    "bias_detectable bias_detectable_worst bias_detectable_block bias_detectable_reference "
    "bias_detectable_first bias_to_see bias_unit bias_verdict variance variance_low variance_high "
    "variance_exact variance_ratio variance_ratio_low variance_ratio_high variance_verdict mse mse_low "
    "mse_high snr snr_low snr_high snr_groups effective_sample_size pareto_k_weights pareto_k_weights_max "
    "pareto_k_gradient seconds_per_estimate efficiency"
).split()


def inapplicable(head: Row, reason: str) -> Row:
    """Return the row of a pairing that makes no sense, with its reason."""
    return head | {"applicable": False, "reason": reason} | dict.fromkeys(NUMBERS)


def exact_row(head: Row, answer: Answer, seconds: float | None) -> Row:
    """Return the row of the exact answer: no variance, no bias; z, snr and efficiency have no meaning."""
    names = "bias_norm bias_se variance variance_low variance_high variance_exact mse mse_low mse_high"
    zero = dict.fromkeys(names.split(), 0.0)
    numbers = dict.fromkeys(NUMBERS) | _reference(answer) | zero
    return head | plain(numbers | {"bias_coordinates": 0, "seconds_per_estimate": seconds})


def measured_row(
    head: Row,
    moments: Moments,
    test: BiasTest,
    answer: Answer,
    seconds: float | None,
    variance_exact: float | None = None,
    layout: Layout | None = None,
    weights: Row | None = None,
) -> Row:
    """Return the row of an estimator.

    Parameters
    ----------
    head : dict
    moments : Moments
    test : BiasTest
    answer : Answer
    seconds : float
    variance_exact : float, optional
        Where theory knows it.
    layout : Layout, optional
        Names of the coordinates; None for a single value.
    weights : dict, optional
        From `study.weights`.
    """
    low: float | None
    high: float | None
    variance, (low, high) = moments.variance, moments.interval()
    rounding = moments.count > 1 and is_rounding(moments, answer)
    if rounding:
        variance = low = high = 0.0
    bias = float(np.linalg.norm(moments.mean - answer.value))
    mse = None if variance is None else bias**2 + variance
    mse_low, mse_high = mse_interval(moments, answer, mse) if variance and mse else (mse, mse)
    snr_low, snr_high = snr_interval(moments) if variance else (None, None)
    numbers = (
        dict.fromkeys(NUMBERS)
        | _reference(answer)
        | {
            "bias": float((moments.mean - answer.value)[0]) if layout is None else None,
            "bias_norm": bias,
            "bias_se": bias_error(moments, answer),
            "bias_max_z": test.max_z,
            "bias_coordinates": test.coordinates,
            "variance": variance,
            "variance_low": low,
            "variance_high": high,
            "variance_exact": variance_exact,
            "mse": mse,
            "mse_low": mse_low,
            "mse_high": mse_high,
            "snr": snr(moments) if variance else None,
            "snr_low": snr_low,
            "snr_high": snr_high,
            "snr_groups": snr_groups(moments, layout) if layout and variance else None,
            "pareto_k_gradient": error_tail(moments) if layout and variance else None,
            "seconds_per_estimate": seconds,
            "efficiency": 1.0 / (mse * seconds) if variance and mse and seconds else None,
        }
    )
    return head | {"repeats": moments.count} | plain(numbers | (weights or {}))


def judged(row: Row, test: BiasTest, to_see: float, first: BiasTest | None = None) -> Row:
    """Return a measured row with its limit, what its test could have seen, and its verdict.

    Parameters
    ----------
    row : dict
    test : BiasTest
    to_see : float
        The bias that the test must be able to see before the row is `ok`, in the unit of the test.
    first : BiasTest, optional
        That of the first repeats, where more were made to see more.
    """
    tested = {
        "bias_z_limit": test.limit,
        "bias_detectable": test.detectable,
        "bias_detectable_worst": test.detectable_worst,
        "bias_detectable_block": test.detectable_block_after(1.0) if test.blocks else None,
        "bias_detectable_reference": test.detectable_reference,
        "bias_detectable_first": first.detectable if first else None,
        "bias_to_see": to_see,
        "bias_unit": test.unit,
    }
    with_numbers = row | plain(tested if test.max_z is not None else {})
    return with_numbers | {"bias_verdict": bias_verdict(with_numbers)}


def bias_verdict(row: Row) -> str | None:
    """Return what the bias test of a row says, as one word.

    'biased'             declared biased
    'FAIL'               declared unbiased, yet `bias_max_z` lies above `bias_z_limit`
    'exact'              without variance, and without a difference from the exact answer
    'ok'                 within the limit, and the test sees a bias of the size `bias_to_see`
    'blind (block)'      within the limit, and the test sees such a bias, but not one of 10 % of some block of
                         parameters
    'blind (reference)'  within the limit, but the error of the exact answer alone hides such a bias
    'blind'              within the limit, but the test does not see such a bias, or it is not known to
    None                 the exact answer, and rows without numbers
    """
    if row["estimator"] == "exact" or row.get("bias_norm") is None:
        return None
    if not row["unbiased"]:
        return "biased"
    z, limit = row.get("bias_max_z"), row.get("bias_z_limit")
    if z is None:
        return None
    if limit is not None and z > limit:
        return "FAIL"
    rounding = DETERMINISTIC_TOLERANCE * max(1.0, row["reference_norm"])
    if row["variance"] == 0.0 and row["bias_norm"] <= rounding:
        return "exact"
    names = ("bias_detectable", "bias_detectable_reference", "bias_to_see")
    seen, reference, to_see = (row.get(name) for name in names)
    if to_see is None or seen is None:
        return "blind"
    if seen <= to_see:
        block = row.get("bias_detectable_block")
        return "ok" if block is None or block <= BLOCK_SHARE_TO_SEE else "blind (block)"
    return "blind (reference)" if reference is None or reference > to_see else "blind"


def nats_to_see(gap: float | None, gap_error: float) -> float:
    """Return the bias in nats that the test of a value must see: the least of 0.05 and 5 % of the gap.

    Parameters
    ----------
    gap : float or None
        log p - ELBO; None without a q. Where it cannot be told from zero, there is nothing to compare with.
    gap_error : float
        Of the two exact answers, rounding included.
    """
    if gap is None or gap <= gap_error:
        return NATS_TO_SEE
    return min(NATS_TO_SEE, SHARE_TO_SEE * gap)


def _reference(answer: Answer) -> Row:
    return {
        "reference": answer.rung,
        "reference_se": float(np.linalg.norm(answer.error)),
        "reference_norm": float(np.linalg.norm(answer.value)),
    }


def z_limit(coordinates: int, false_alarm: float = 1e-6, repeats: int | None = None) -> float:
    """Return the Bonferroni limit of |z| for a false-alarm rate over so many coordinates.

    Of a normal z; with the number of repeats that gave the standard error, of Student's t.
    """
    from scipy.special import ndtri, stdtrit  # heavy: loaded on use

    tail = 0.5 * false_alarm / max(1, coordinates)
    return float(-ndtri(tail) if repeats is None else -stdtrit(repeats - 1, tail))
