"""compare(): every estimator on every model, against exact answers, on common random numbers.

    scenes      fit theta, place q                                (study.scene)
    references  climb the ladder of exactness once per scene      (study.references)
    repeats     R estimates per pairing, moments streamed         (study.measure)
    verdict     an unbiased row beyond the Bonferroni limit is repeated once, with another seed and
                ten times the repeats, before it counts
    timing      single calls, one after another, when nothing else runs

Everything between the first and the last step runs on a pool of threads; each piece of work has its
own seed and is merged in its own order, and BLAS runs single-threaded inside, so that the number of
threads changes nothing but the time.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from elbo_lab import __version__
from elbo_lab.blas import single_threaded_blas
from elbo_lab.comparison.result import Comparison
from elbo_lab.errors import BadValue, NotApplicable, bad_value, check_count, unknown_name
from elbo_lab.estimators import TARGETS, Exact
from elbo_lab.study.measure import batch_sizes, run_batch, seconds_per_estimate
from elbo_lab.study.moments import Moments
from elbo_lab.study.references import references
from elbo_lab.study.registry import check_posterior_name, find_estimators, find_models
from elbo_lab.study.rows import (
    bias_test,
    exact_row,
    inapplicable,
    measured_row,
    resolved,
    row_head,
    z_limit,
)
from elbo_lab.study.scene import PLACES, build_scene

RERUN_FACTOR = 10
FALSE_ALARM = 1e-6


@dataclass
class _Bench:
    """One scene on its way through the steps."""

    label: tuple
    scene: object = None
    refusal: str = ""
    pairings: list = field(default_factory=list)
    reasons: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=dict)
    moments: dict = field(default_factory=dict)


def compare(
    models=None,
    *,
    estimators=None,
    data=None,
    latent=None,
    posterior="free",
    at=None,
    draws=10,
    repeats=1000,
    rows=None,
    seed=0,
    threads=None,
    progress=None,
):
    """Hold estimators against exact answers on the same models with the same random numbers.

    Parameters
    ----------
    models : str, Model, or list of them, optional
        Names ('ppca', 'gaussian-mixture:full'), Model classes or finished models; all if not given.
    estimators : str, Estimator, or list of them, optional
        Names or objects; all if not given. A name such as 'exact' stands for all its targets.
    data : str, path or array (N, D), optional
        A data set ('faithful', 'digits:binary'), a CSV / NPY / NPZ file or an array; each model's own
        if not given.
    latent : int, optional
        K: latent dimensions or mixture components; each model's own if not given.
    posterior : {'free', 'amortised', 'exact'}
        Where eta comes from.
    at : {'near', 'start', 'exact'}, optional
        Where q stands: near the best fit (default), at the prior, at the best fit.
    draws : int
        S per estimate.
    repeats : int
        R estimates per row.
    rows : int, optional
        Data on which estimators are compared, by a seeded permutation; 32 if not given, or all if
        there are fewer.
    seed : int
        Not negative. Everything but the seconds is reproduced by it.
    threads : int, optional
        Any number gives the same result; all cores if not given.
    progress : callable, optional
        Called as progress(done, total, what) on the calling thread.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError, TypeError
        One line that names the argument, what was expected and what came.

    Examples
    --------
    >>> from elbo_lab import compare
    >>> result = compare("gaussian-mle", estimators="reparameterization", repeats=50)
    >>> result.rows[0]["unbiased_for"]
    'grad-phi-elbo'
    """
    choices, chosen = find_models(models), find_estimators(estimators)
    check_count("draws", draws)
    check_count("repeats", repeats)
    check_count("seed", seed, minimum=0)
    if rows is not None:
        check_count("rows", rows)
    if latent is not None:
        check_count("latent", latent)
    for estimator in chosen:
        estimator.check_draws(draws)
        if estimator.target not in TARGETS:
            raise unknown_name(f"target of {estimator.name}", estimator.target, TARGETS)
    check_posterior_name(posterior)
    at = _place_name(at, posterior)
    n_threads = _available_cores() if threads is None else check_count("threads", threads)
    placing = (data, latent, posterior, at, rows, seed)
    settings = {
        "version": __version__,
        "models": [choice.label for choice in choices],
        "estimators": list(dict.fromkeys(estimator.name for estimator in chosen)),
        "data": _data_name(data),
        "latent": latent,
        "posterior": posterior,
        "at": at,
        "draws": draws,
        "repeats": repeats,
        "rows": rows,
        "seed": seed,
        "threads": n_threads,
        "false_alarm": FALSE_ALARM,
    }
    # A table of all models on data of the user's own keeps those that the data suits.
    skip_refusals = models is None and data is not None
    with single_threaded_blas(), ThreadPoolExecutor(n_threads) as pool:
        benches = _benches(pool, choices, chosen, placing, skip_refusals, progress)
        _repeat(pool, benches, draws, repeats, seed, progress)
        limit = _test(pool, benches, draws, repeats, seed)
        found = [
            row for bench in benches for row in _rows(bench, chosen, posterior, draws, repeats, seed, limit)
        ]
    kept = [bench for bench in benches if bench.scene]
    scenes, answers = [bench.scene for bench in kept], [bench.answers for bench in kept]
    return Comparison(found, settings, scenes, answers)


def _available_cores():
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _place_name(at, posterior):
    """Return where q stands; the exact posterior stands only at itself."""
    if at is None:
        return "exact" if posterior == "exact" else "near"
    if at not in PLACES:
        raise unknown_name("at", at, PLACES)
    if posterior == "exact" and at != "exact":
        raise bad_value("at", "'exact' with the exact posterior", repr(at), "use posterior='free'")
    return at


def _data_name(data):
    return data if data is None or isinstance(data, str) else getattr(data, "name", "array")


def _benches(pool, choices, estimators, placing, skip_refusals, progress):
    """Build all scenes and references; split each scene's estimators into pairings and reasons."""

    def prepare(choice):
        bench = _Bench((choice.kind.name, choice.variant))
        try:
            bench.scene = build_scene(choice, *placing)
        except BadValue as refusal:
            if not skip_refusals:
                raise
            bench.refusal = str(refusal)
            return bench
        for estimator in estimators:
            reason = _reason(estimator, bench.scene)
            if reason is None:
                bench.pairings.append(estimator)
            else:
                bench.reasons[estimator] = reason
        targets = {estimator.target for estimator in bench.pairings}
        bench.answers, bench.seconds = references(bench.scene, targets)
        return bench

    # The deep models stand last in every list and take longest: begin with them.
    futures = [pool.submit(prepare, choice) for choice in reversed(choices)][::-1]
    benches = []
    for future in futures:
        benches.append(future.result())
        if progress is not None:
            progress(len(benches), len(choices), "fits and exact answers")
    if not any(bench.scene for bench in benches):
        raise BadValue(benches[0].refusal)
    return benches


def _reason(estimator, scene):
    """Return why the pairing makes no sense, or None."""
    if scene.posterior is None and estimator.draws_from == "posterior":
        return scene.no_posterior
    try:
        estimator.check_pairing(scene.model, scene.posterior)
    except NotApplicable as reason:
        return str(reason)
    return None


def _measured(bench):
    """Return the pairings that have draws: all but the exact answer."""
    return [estimator for estimator in bench.pairings if not isinstance(estimator, Exact)]


def _run(pool, work, draws, seed, purpose, progress=None):
    """Run batches for [(bench, estimators, repeats)]; return moments per piece, merged in order."""
    pieces = [
        (index, batch, size)
        for index, (_, _, repeats) in enumerate(work)
        for batch, size in enumerate(batch_sizes(repeats))
    ]

    def one(piece):
        index, batch, size = piece
        bench, estimators, _ = work[index]
        return run_batch(bench.scene, estimators, draws, seed, purpose, batch, size)

    totals = [[Moments() for _ in estimators] for _, estimators, _ in work]
    for done, (piece, found) in enumerate(zip(pieces, pool.map(one, pieces), strict=True), start=1):
        for total, batch in zip(totals[piece[0]], found, strict=True):
            total.merge(batch)
        if progress is not None:
            progress(done, len(pieces), "repeats")
    return totals


def _repeat(pool, benches, draws, repeats, seed, progress):
    """Fill the moments of every measured pairing."""
    work = [(bench, _measured(bench), repeats) for bench in benches if _measured(bench)]
    totals = _run(pool, work, draws, seed, "repeats", progress)
    for (bench, estimators, _), moments in zip(work, totals, strict=True):
        bench.moments = dict(zip(estimators, moments, strict=True))


def _test(pool, benches, draws, repeats, seed):
    """Return the limit for |z|; repeat what lies above it once, with other noise, ten times as often."""

    claims = [(b, e) for b in benches for e in b.moments if not e.biased]
    tests = [_bias_test(bench, estimator, draws) for bench, estimator in claims]
    limit = z_limit(sum(found.coordinates for found in tests), FALSE_ALARM)
    suspects = [
        claim
        for claim, found in zip(claims, tests, strict=True)
        if found.max_z is not None and found.max_z > limit
    ]
    work = [(bench, [estimator], RERUN_FACTOR * repeats) for bench, estimator in suspects]
    for (bench, estimator), moments in zip(suspects, _run(pool, work, draws, seed, "rerun"), strict=True):
        bench.moments[estimator] = moments[0]
    return limit


def _bias_test(bench, estimator, draws):
    moments, answer = bench.moments[estimator], bench.answers[estimator.target]
    return bias_test(moments, answer, resolved(bench.scene, estimator.target, moments.count * draws))


def _rows(bench, estimators, posterior, draws, repeats, seed, limit):
    """Yield the rows of one model, in the order of the estimators."""
    for estimator in estimators:
        head = row_head(bench.label, bench.scene, posterior, estimator, draws, repeats)
        if bench.scene is None:
            yield inapplicable(head, bench.refusal)
        elif estimator in bench.reasons:
            yield inapplicable(head, bench.reasons[estimator])
        elif estimator in bench.moments:
            answer, moments = bench.answers[estimator.target], bench.moments[estimator]
            seconds = seconds_per_estimate(bench.scene, estimator, draws, seed)
            test = _bias_test(bench, estimator, draws)
            row = measured_row(head, moments, test, answer, seconds)
            yield row | {"bias_z_limit": limit}
        else:
            answer = bench.answers[estimator.target]
            row = exact_row(head, answer, bench.seconds[estimator.target])
            yield row | {"bias_z_limit": limit}
