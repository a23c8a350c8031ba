"""Estimators of the gradient in phi that a training watches without following them.

At every evaluation each watched estimator is repeated at the present parameters, on a fixed minibatch and
with fixed noise. The history gets the trace of its covariance and its signal-to-noise ratio. The noise has a
seed of its own, and none of it is that of the training, which therefore stays the same bit for bit.
"""

from collections.abc import Sequence

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.estimators import Estimator
from elbo_lab.fitting.recorders import Params, Recorder
from elbo_lab.study.measure import run_batch
from elbo_lab.study.scene import Scene
from elbo_lab.study.statistics import snr
from elbo_lab.threads import single_threaded_blas
from elbo_lab.training import VariationalObjective

# Repeats of each estimator at an evaluation.
REPEATS = 100
VARIANCE, SIGNAL = "watched_variance:", "watched_snr:"


def watch_recorder(
    objective: VariationalObjective, estimators: Sequence[Estimator], x: Floats, seed: int
) -> Recorder:
    """Return a recorder of variance and signal-to-noise ratio of estimators of the gradient in phi.

    Parameters
    ----------
    objective : VariationalObjective
        Of the training: its draws and its source of noise are those of the watched estimators.
    estimators : sequence of Estimator
    x : ndarray (B, D)
        The minibatch; of a free table all rows.
    seed : int
    """
    x = x.astype(np.float64)
    chosen = list(estimators)

    def record(params: Params, phase: str) -> dict[str, float]:
        if phase in ("before", "phi"):  # a cycle is judged at its end
            return {}
        theta, phi = (np.array(params[name], dtype=np.float64) for name in ("theta", "phi"))
        q = objective.posterior
        scene = Scene(objective.model, theta, q, phi, x, "", np.zeros((0, 0)), "", objective.source)
        with single_threaded_blas():
            found = run_batch(scene, chosen, objective.draws, seed, "watch", 0, REPEATS)
        row: dict[str, float] = {}
        for estimator, moments in zip(chosen, found, strict=True):
            for key, value in ((VARIANCE, moments.variance), (SIGNAL, snr(moments))):
                # An estimator that is only watched does not end the training.
                if value is not None and np.isfinite(value):
                    row[f"{key}{estimator.name}"] = value
        return row

    return record


def watched_rows(history: Sequence[dict[str, float]]) -> list[dict[str, object]]:
    """Return a row {'epoch', 'estimator', 'variance', 'snr'} for each watched estimator and evaluation."""
    return [
        {
            "epoch": row["epoch"],
            "estimator": key.removeprefix(VARIANCE),
            "variance": value,
            "snr": row.get(key.replace(VARIANCE, SIGNAL)),
        }
        for row in history
        for key, value in row.items()
        if key.startswith(VARIANCE)
    ]
