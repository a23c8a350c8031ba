"""The steps of a comparison: scenes and references, repeats, the test of bias, rows.

A `Bench` is one model on its way through them. Every step takes the `Workers`; each piece of work has its own
seed, returns what it found, and is merged in its own order.
"""

from dataclasses import dataclass, field

from elbo_lab.errors import BadValue, bad_value
from elbo_lab.estimators import Exact
from elbo_lab.estimators.targets import parse
from elbo_lab.study.measure import batch_sizes, run_batch, seconds_per_estimate, settle_states
from elbo_lab.study.moments import Moments
from elbo_lab.study.rare_events import missed_of_bound, missed_variance
from elbo_lab.study.references import references
from elbo_lab.study.rows import (
    bias_test,
    exact_row,
    inapplicable,
    measured_row,
    row_head,
    z_limit,
)
from elbo_lab.study.scene import build_scene
from elbo_lab.study.weights import weight_numbers
from elbo_lab.theory import known_variances

RERUN_FACTOR = 10
# Bytes; log-weights, scores and a decoder's activations take several times as much.
LARGEST_NOISE = 1 << 28
FALSE_ALARM = 1e-6


@dataclass
class Bench:
    """One scene on its way through the steps."""

    label: tuple
    scene: object = None
    refusal: str = ""
    pairings: list = field(default_factory=list)
    reasons: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    theory: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=dict)
    moments: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)
    call_seconds: dict = field(default_factory=dict)


def _check_size(scene, draws):
    """Refuse more draws than memory has room for: those of one estimate are formed together."""
    size = 8 * draws * len(scene.x) * scene.model.latent_dim
    if size > LARGEST_NOISE:
        expected = f"draws of one estimate within {LARGEST_NOISE / 2**30:g} GiB of noise"
        got, remedy = f"{size / 2**30:.1f} GiB for {draws} draws", "take fewer draws, rows or latents"
        raise bad_value("draws", expected, got, remedy)


def build_benches(workers, choices, estimators, draws, placing, skip_refusals, progress):
    """Build all scenes and references; split each scene's estimators into pairings and reasons."""

    def prepare(choice):
        # Estimators are told apart by identity, which does not survive the way from another process: what
        # belongs to them comes back in their order.
        try:
            scene = build_scene(choice, *placing)
            _check_size(scene, draws)
        except BadValue as refusal:
            if not skip_refusals:
                raise
            return str(refusal)
        reasons = [scene.refusal(estimator, draws) for estimator in estimators]
        paired = [e for e, reason in zip(estimators, reasons, strict=True) if reason is None]
        targets = dict.fromkeys(estimator.target_at(draws) for estimator in paired)
        answers, seconds = references(scene, targets)
        known = known_variances(scene, draws) if "grad-phi-elbo" in targets else {}
        return scene, answers, seconds, reasons, [known.get(estimator) for estimator in estimators]

    benches = []
    # The deep models stand last in every list and take longest: begin with them.
    found = workers.map(prepare, choices, last_first=True)
    for choice, parts in zip(choices, found, strict=True):
        bench = Bench((choice.kind.name, choice.variant))
        if isinstance(parts, str):
            bench.refusal = parts
        else:
            bench.scene, bench.answers, bench.seconds, reasons, theory = parts
            bench.reasons = {e: reason for e, reason in zip(estimators, reasons, strict=True) if reason}
            bench.pairings = [e for e, reason in zip(estimators, reasons, strict=True) if reason is None]
            bench.theory = dict(zip(estimators, theory, strict=True))
        benches.append(bench)
        if progress is not None:
            progress(len(benches), len(choices), "fits and exact answers")
    if not any(bench.scene for bench in benches):
        raise BadValue(benches[0].refusal)
    return benches


def check_any_pairing(benches):
    """Refuse estimators of which none makes sense on any of the models: the table would be empty."""
    if any(bench.pairings for bench in benches):
        return
    reasons = dict.fromkeys(reason for bench in benches for reason in bench.reasons.values())
    named = dict.fromkeys(estimator.name for bench in benches for estimator in bench.reasons)
    raise bad_value(
        "estimators",
        "at least one that makes sense here",
        f"{', '.join(named)} ({'; '.join(reasons)})",
        "'elbo-lab list' has them all",
    )


def _measured(bench):
    """Return the pairings that have draws: all but the exact answer."""
    return [estimator for estimator in bench.pairings if not isinstance(estimator, Exact)]


def _run(workers, work, draws, seed, purpose, progress=None):
    """Run batches for [(bench, estimators, repeats)]; return moments per piece, merged in order."""
    pieces = [
        (index, batch, size)
        for index, (_, _, repeats) in enumerate(work)
        for batch, size in enumerate(batch_sizes(repeats))
    ]

    def one(piece):
        index, batch, size = piece
        bench, estimators, _ = work[index]
        centres = [bench.answers[estimator.target_at(draws)].value for estimator in estimators]
        return run_batch(bench.scene, estimators, draws, seed, purpose, batch, size, centres)

    totals = [[Moments() for _ in estimators] for _, estimators, _ in work]
    for done, (piece, found) in enumerate(zip(pieces, workers.map(one, pieces), strict=True), start=1):
        for total, batch in zip(totals[piece[0]], found, strict=True):
            total.merge(batch)
        if progress is not None:
            progress(done, len(pieces), "repeats")
    return totals


def repeat(workers, benches, draws, repeats, seed, progress):
    """Fill the moments of every measured pairing."""
    work = [(bench, _measured(bench), repeats) for bench in benches if _measured(bench)]
    settle_states(workers, [(bench.scene, e, draws, seed) for bench, found, _ in work for e in found])
    totals = _run(workers, work, draws, seed, "repeats", progress)
    for (bench, estimators, _), moments in zip(work, totals, strict=True):
        bench.moments = dict(zip(estimators, moments, strict=True))


def check_bias(workers, benches, draws, repeats, seed):
    """Return the limit for |z|; repeat what lies above it once, with other noise, ten times as often."""

    claims = [(b, e) for b in benches for e in b.moments if e.unbiased]
    tests = [_bias_test(bench, estimator, draws) for bench, estimator in claims]
    limit = z_limit(sum(found.coordinates for found in tests), FALSE_ALARM)
    suspects = [
        claim
        for claim, found in zip(claims, tests, strict=True)
        if found.max_z is not None and found.max_z > limit
    ]
    work = [(bench, [estimator], RERUN_FACTOR * repeats) for bench, estimator in suspects]
    for (bench, estimator), moments in zip(suspects, _run(workers, work, draws, seed, "rerun"), strict=True):
        bench.moments[estimator] = moments[0]
    return limit


def _bias_test(bench, estimator, draws):
    target = estimator.target_at(draws)
    moments, answer = bench.moments[estimator], bench.answers[target]
    n_draws = moments.count * draws
    missed = _missed(bench.scene, target, n_draws)
    return bias_test(moments, answer, missed / n_draws)


def _missed(scene, target, n_draws):
    """Return the variance (P,) of one draw that so many may miss; zero for targets without such a rule."""
    bound_draws = parse(target)[1]
    if bound_draws is None:
        return missed_variance(scene, n_draws).get(target, 0.0)
    return missed_of_bound(scene, n_draws, bound_draws).get(target, 0.0)


def weigh(workers, benches, draws, seed):
    """Fill the numbers of the importance weights of every measured pairing."""

    def one(bench):
        return [weight_numbers(bench.scene, e, draws, seed) for e in bench.moments]

    for bench, found in zip(benches, workers.map(one, benches), strict=True):
        bench.weights = dict(zip(bench.moments, found, strict=True))


def _layout(scene, estimator):
    """Return the names of the coordinates of a gradient, or None for a value."""
    if not estimator.target.startswith("grad-"):
        return None
    return (scene.model if estimator.target.startswith("grad-theta") else scene.posterior).layout


def time_calls(benches, draws, seed):
    """Fill the seconds of one estimate: here, one after another, while nothing else runs."""
    for bench in benches:
        bench.call_seconds = {e: seconds_per_estimate(bench.scene, e, draws, seed) for e in bench.moments}


def rows_of(bench, estimators, posterior, draws, repeats, limit):
    """Yield the rows of one model, in the order of the estimators."""
    for estimator in estimators:
        head = row_head(bench.label, bench.scene, posterior, estimator, draws, repeats)
        if bench.scene is None:
            yield inapplicable(head, bench.refusal)
        elif estimator in bench.reasons:
            yield inapplicable(head, bench.reasons[estimator])
        elif estimator in bench.moments:
            answer, moments = bench.answers[head["target"]], bench.moments[estimator]
            seconds = bench.call_seconds[estimator]
            test = _bias_test(bench, estimator, draws)
            exact, layout = bench.theory.get(estimator), _layout(bench.scene, estimator)
            weights = bench.weights[estimator]
            row = measured_row(head, moments, test, answer, seconds, exact, layout, weights)
            yield row | {"bias_z_limit": limit}
        else:
            answer = bench.answers[head["target"]]
            row = exact_row(head, answer, bench.seconds[head["target"]])
            yield row | {"bias_z_limit": limit}
