"""Signal-to-noise ratios of the phi-gradients of the importance-weighted bound against the number of draws.

    SNR = |E g| / sqrt(trace Var g),   E g exact

As K grows the bound closes in on log p(x), whatever q is, and the signal falls as 1/K. The plain pathwise
gradient's deviation falls only as K^(-1/2), hence its ratio as K^(-1/2) (Rainforth et al. 2018, theorem 1);
that of the doubly reparameterised gradient grows as K^(1/2) (Tucker et al. 2019).
"""

import numpy as np

from elbo_lab.estimators import Exact
from elbo_lab.models import PPCA
from elbo_lab.posteriors import FreePosterior
from elbo_lab.study.experiments import moments_against_draws
from elbo_lab.study.scene import Scene, spawn


def linear_gaussian_scene(seed, n_data=8, n_columns=4, shift=0.3, width=1.2):
    """Return PPCA with one latent on data drawn from itself, q off the posterior and wider than it.

    A q wider than the posterior gives weights with all moments, so that the rates show at few draws.

    Parameters
    ----------
    seed : int
    n_data, n_columns : int
    shift : float
        Distance of the means in posterior standard deviations.
    width : float
        Standard deviation of q in those of the posterior.
    """
    model, rng = PPCA(n_columns, 1), spawn(seed, "linear-gaussian scene")
    theta = model.layout.pack({"W": 0.5 * rng.standard_normal((n_columns, 1))})
    x, _ = model.sample(theta, n_data, rng)
    best = model.posterior_eta(theta, x)
    mean, log_std = model.family.split(best)
    eta = model.family.join(mean + shift * np.exp(log_std), log_std + np.log(width))
    free = FreePosterior(model.family, n_data)
    return Scene(model, theta, free, free.phi_from_eta(eta), x, "drawn from the model", best)


def signal_to_noise(scene, estimators, seed, pool, repeats, draws=(2, 4, 8, 16, 32, 64, 128)):
    """Measure the SNR of each estimator of grad-phi-iwae for several numbers of draws.

    Parameters
    ----------
    scene : Scene
    estimators : list of Estimator
        Those of other targets are left out.
    seed : int
    pool : concurrent.futures.Executor
        Where the batches run; it changes nothing but the time.
    repeats : int
    draws : tuple of int
        S of one estimate, for each of which the exact gradient is formed.

    Returns
    -------
    dict of str to dict
        By estimator: lists `draws`, `snr`, `low`, `high` (from the 95 % interval of the variance).
    """
    totals = moments_against_draws(scene, estimators, "grad-phi-iwae", seed, pool, repeats, draws)
    signals, records = {}, {}
    for (estimator, n_draws), total in totals.items():
        size = estimator.group_size(n_draws)
        if size not in signals:
            signals[size] = np.linalg.norm(Exact(estimator.target).answer(scene.problem, size).value)
        record = records.setdefault(estimator.name, {key: [] for key in ("draws", "snr", "low", "high")})
        low, high = total.interval()
        record["draws"].append(n_draws)
        for key, variance in (("snr", total.variance), ("low", high), ("high", low)):
            record[key].append(float(signals[size] / np.sqrt(variance)) if variance else None)
    return records


def log_slope(record, first=0):
    """Return the slope of log SNR against log draws, from the points with at least `first` draws."""
    draws, snr = np.array(record["draws"]), np.array(record["snr"])
    kept = draws >= first
    return float(np.polyfit(np.log(draws[kept]), np.log(snr[kept]), 1)[0])
