"""One row of the comparison: an estimator on a model, compared with the exact answer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.estimators import Answer, Estimator
from elbo_lab.layout import Layout
from elbo_lab.study.moments import Moments
from elbo_lab.study.scene import Scene
from elbo_lab.study.statistics import (
    bias_error,
    error_tail,
    mse_interval,
    snr,
    snr_groups,
    snr_interval,
)

Row = dict[str, Any]
"""One row of a comparison; the glossary has its keys."""

# Below this fraction of its scale a standard error is rounding, and z would divide by it.
DETERMINISTIC = 1e-12
DETERMINISTIC_TOLERANCE = 1e-9


@dataclass(frozen=True)
class BiasTest:
    """The largest |z| over coordinates (None for a single repeat), and over how many it was taken."""

    max_z: float | None
    coordinates: int


def bias_test(moments: Moments, answer: Answer, missed: Floats | float = 0.0) -> BiasTest:
    """Compare the mean of the repeats with the exact answer, coordinate by coordinate.

    z = difference / sqrt(se^2 + reference_se^2 + missed). A coordinate whose standard error is below
    1e-12 of its scale (the largest of 1, |mean| and |exact|) carries rounding instead of noise: it passes if
    the difference is at most 1e-9 of the scale and is then left out; if not, its z is the difference over
    1e-12 of the scale, far above any limit.

    Parameters
    ----------
    moments : Moments
    answer : Answer
    missed : ndarray (P,), optional
        Variance of the mean that the repeats are expected to miss (see `study.rare_events`).
    """
    if moments.count < 2:
        return BiasTest(None, 0)
    difference = np.abs(moments.mean - answer.value)
    scale = _scale(moments, answer)
    error = np.sqrt(moments.standard_error**2 + answer.error**2 + missed)
    rigid = error < DETERMINISTIC * scale
    tested = ~(rigid & (difference <= DETERMINISTIC_TOLERANCE * scale))
    z = difference[tested] / np.maximum(error, DETERMINISTIC * scale)[tested]
    return BiasTest(float(z.max(initial=0.0)), len(z))


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
    }


NUMBERS = (
    "reference",
    "reference_se",
    "reference_norm",
    "bias_norm",
    "bias_se",
    "bias_max_z",
    "bias_coordinates",
    "bias_z_limit",
    "variance",
    "variance_low",
    "variance_high",
    "variance_exact",
    "variance_ratio",
    "variance_ratio_low",
    "variance_ratio_high",
    "variance_verdict",
    "mse",
    "mse_low",
    "mse_high",
    "snr",
    "snr_low",
    "snr_high",
    "snr_groups",
    "effective_sample_size",
    "pareto_k_weights",
    "pareto_k_weights_max",
    "pareto_k_gradient",
    "seconds_per_estimate",
    "efficiency",
)


def inapplicable(head: Row, reason: str) -> Row:
    """Return the row of a pairing that makes no sense, with its reason."""
    return head | {"applicable": False, "reason": reason} | dict.fromkeys(NUMBERS)


def exact_row(head: Row, answer: Answer, seconds: float | None) -> Row:
    """Return the row of the exact answer: no variance, no bias; z, snr and efficiency have no meaning."""
    names = "bias_norm bias_se variance variance_low variance_high variance_exact mse mse_low mse_high"
    zero = dict.fromkeys(names.split(), 0.0)
    numbers = dict.fromkeys(NUMBERS) | _reference(answer) | zero
    return head | _finite(numbers | {"bias_coordinates": 0, "seconds_per_estimate": seconds})


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
    return head | {"repeats": moments.count} | _finite(numbers | (weights or {}))


def _reference(answer: Answer) -> Row:
    return {
        "reference": answer.rung,
        "reference_se": float(np.linalg.norm(answer.error)),
        "reference_norm": float(np.linalg.norm(answer.value)),
    }


def _finite(numbers: Row) -> Row:
    """Replace numbers that are not finite by None: JSON cannot hold them."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in numbers.items()
    }


def z_limit(coordinates: int, false_alarm: float = 1e-06) -> float:
    """Return the Bonferroni limit of |z| for a family-wise false-alarm rate over all coordinates."""
    from scipy.special import ndtri  # heavy: loaded on use

    return float(-ndtri(0.5 * false_alarm / max(1, coordinates)))
