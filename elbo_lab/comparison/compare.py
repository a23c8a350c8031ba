"""compare(): every estimator on every model, compared with exact answers, on common random numbers.

    scenes      fit theta, place q                                (study.scene)
    references  climb the ladder of exactness once per scene      (study.references)
    repeats     R estimates per pairing, moments streamed         (study.measure)
    weights     effective sample size and tail of the weights     (study.weights)
    verdict     an unbiased row beyond its limit is looked at once more, with another seed and ten times
                the repeats, before it counts
    power       blind rows are repeated until they see enough, if asked for (comparison.power)
    timing      single calls, one after another, when nothing else runs
    rows        the report of each pairing

Everything but the timing is divided into tasks for workers (`elbo_lab.processes`). Each task has its own
seed, results are merged in a fixed order, and BLAS has one thread, so that results do not depend on the
number of workers.
"""

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

from elbo_lab import __version__
from elbo_lab.comparison.pipeline import (
    FALSE_ALARM,
    Data,
    Placement,
    Where,
    build_benches,
    check_any_pairing,
    check_bias,
    repeat,
    rows_of,
    time_calls,
    weigh,
)
from elbo_lab.comparison.power import sharpen
from elbo_lab.comparison.ratios import check_against, check_applicable, rows_with_ratios
from elbo_lab.comparison.result import Comparison
from elbo_lab.comparison.trained import Place, check_own, find_trained, fit_of
from elbo_lab.datasets import load
from elbo_lab.distributions import NoiseSpec, find_source
from elbo_lab.errors import MOST_REPEATS, NotApplicable, bad_value, check_count, check_share, unknown_name
from elbo_lab.estimators import Estimator
from elbo_lab.estimators.coupled import for_source
from elbo_lab.estimators.targets import TARGETS, is_gradient
from elbo_lab.exact import Answer
from elbo_lab.kinds import checks_kinds
from elbo_lab.models import Model
from elbo_lab.posteriors import find_posterior
from elbo_lab.processes import Workers
from elbo_lab.progress import Progress, followed
from elbo_lab.registry import check_latent, find_estimators, find_models, titles_of
from elbo_lab.study.scene import DEFAULT_ROWS, PLACES, TRAINED
from elbo_lab.study.statistics import pareto_source
from elbo_lab.threads import check_threads, single_threaded_blas

Models = str | Model | type[Model] | Iterable[str | Model | type[Model]]
Estimators = str | Estimator | type[Estimator] | Iterable[str | Estimator | type[Estimator]]
LARGE = 5_000_000
"""Rows through the models (repeats x draws x data of all pairings) that take some seconds on one core."""


@checks_kinds
def compare(
    models: Models | None = None,
    *,
    estimators: Estimators | None = None,
    targets: str | Sequence[str] | None = None,
    data: Data | None = None,
    label: str | int | None = None,
    latent: int | Sequence[int] | None = None,
    categories: int | None = None,
    latent_prior: str | None = None,
    posterior: str = "free",
    at: Place | None = None,
    noise: str = "independent",
    against: str | None = None,
    power: float | None = None,
    draws: int = 10,
    repeats: int = 1000,
    rows: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | bool | None = None,
) -> Comparison:
    """Compare estimators with exact answers on the same models with the same random numbers.

    Parameters
    ----------
    models : str, Model, or list of them, optional
        Names ('ppca', 'gaussian-mixture:full'), Model classes or finished models; all if not given.
    estimators : str, Estimator, or list of them, optional
        Names or objects; all if not given. A name such as 'exact' includes all its targets.
    targets : str or list of str, optional
        What is estimated, such as 'grad-phi-elbo': estimators of other targets are left out.
    data : str, path or array (N, D), optional
        A data set ('faithful', 'digits:binary'), a CSV / NPY / NPZ file or an array; the default data of
        each model if not given.
    label : str or int, optional
        The column of `data` that holds labels, by its name or its number from 0.
    latent : int or sequence of int, optional
        K: latent dimensions or mixture components, or the widths of several layers of z, the one next to the
        data first; the default of each model if not given.
    categories : int, optional
        Of each latent of a categorical-vae, by default 4.
    latent_prior : str, optional
        The family of p(z), as in 'laplace': its standard member, eta = 0, in place of the model's own prior.
        With all models, of those that can have another: the deep ones.
    posterior : str
        The map that gives eta ('free', 'amortised', 'exact'), the family of q ('laplace', 'full',
        'low-rank-gaussian(rank=2)'), or both, as in 'amortised:laplace'; by default a free table in the
        family of the model.
    at : {'near', 'start', 'exact'}, path or Fitted, optional
        Position of q: near the best fit (default), at the start (the prior), at the exact best fit; or the
        checkpoint of a fit, or its result: model, theta, q and data are then those of the fit, and other
        `data` may be given.
    noise : {'independent', 'antithetic', 'sobol', 'sobol(scrambles=G)'}
        How the draws of one estimate depend on each other. Each repeat is an independent randomisation, so
        that variances are those of the whole estimate. Estimators that need independent draws take one draw
        of every pair, or of every scramble, at a time (`estimators.coupled`); on one set of Sobol points they
        are refused with the reason in their rows.
    against : str, optional
        Name of an estimator: every row of its targets then has the ratio of the two variances, from the
        same batches, with an interval.
    power : float, optional
        Share of the exact gradient, such as 0.05: a row whose test would miss a bias of this size is repeated
        until it sees it, at most 100 times as often as `repeats`, and not where the error of the exact
        answer alone hides it. For values the same share of the gap log p - ELBO, at most as many nats.
    draws : int
        S per estimate; even for antithetic noise, best a power of two for Sobol points. Of S antithetic draws
        S/2 are in one bound.
    repeats : int
        R estimates per row, at least two.
    rows : int, optional
        Data on which estimators are compared, by a seeded permutation; 32 if not given, or all if
        there are fewer. With global latents: rows of the table that is the one datum, all if not given.
    seed : int
        Not negative. It determines all numbers but the seconds.
    threads : int, optional
        Number of worker processes; all cores if not given. They start only if the work would take more
        than a few seconds, and any number gives the same result.
    progress : callable, bool or None
        Called as progress(done, total, step); by default a bar on a terminal or in a notebook for what takes
        longer than a second, with False none.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError, TypeError
        In one line that names the argument, the expected and the given value.

    Examples
    --------
    >>> from elbo_lab import compare
    >>> result = compare("gaussian-mle", estimators="reparameterization", repeats=50)
    >>> result.rows[0]["unbiased"]
    True
    """
    of_fit = fit_of(at)
    choices = [] if of_fit is not None else find_models(models)
    choices = [choice.with_categories(categories) for choice in choices]
    chosen = _of_targets(find_estimators(estimators), targets)
    if estimators is None:
        chosen = [estimator for estimator in chosen if estimator.compared]
    if models is None and of_fit is None:
        choices = [choice for choice in choices if choice.kind.compared]
        if latent_prior is not None:
            choices = [choice for choice in choices if hasattr(choice.kind, "latent_prior")]
    if of_fit is None:
        choices = [choice.with_prior(latent_prior) for choice in choices]
    if label is not None:
        if data is None:
            raise bad_value("label", "data of your own beside it", repr(label), "name them (data, --data)")
        data = load(data, label=label) if of_fit is None else data
    check_count("draws", draws)
    check_count("repeats", repeats, minimum=2, maximum=MOST_REPEATS)  # one estimate has no variance
    check_count("seed", seed, minimum=0)
    if rows is not None:
        check_count("rows", rows)
    latent = check_latent(latent)
    source = find_source(noise)
    source.check(NoiseSpec("normal", (draws,)))
    chosen = [for_source(estimator, source) for estimator in chosen]
    for estimator in chosen:
        try:
            estimator.check_draws(draws)
        except NotApplicable:
            # If all estimators are requested, a row gives the reason instead.
            if estimators is not None:
                raise
    posterior = find_posterior(posterior).text
    if against is not None:
        against = check_against(against, chosen)
    if power is not None:
        power = check_share("power", power)
        if power == 0.0:
            raise bad_value("power", "a share above 0, such as 0.05", power)
    n_threads = check_threads(threads)
    placement: Where
    if of_fit is None:
        place, checkpoint = _place_name(None if at is None else str(at), posterior), None
        placement = Placement(data, latent, posterior, place, rows, seed, source)
    else:
        trained = placement = find_trained(of_fit, models, data, label, rows, seed, source)
        check_own(trained, posterior, latent, categories, latent_prior)
        choices, posterior, place = [trained.choice], trained.posterior, TRAINED
        checkpoint = trained.checkpoint
    settings: dict[str, Any] = {
        "version": __version__,
        "models": [choice.label for choice in choices],
        "estimators": list(dict.fromkeys(estimator.name for estimator in chosen)),
        "titles": titles_of([*chosen, *(choice.kind for choice in choices)]),
        "data": _data_name(data),
        "latent": latent,
        "categories": categories,
        "latent_prior": choices[0].latent_prior,
        "posterior": posterior,
        "at": place,
        "checkpoint": checkpoint,
        "noise": source.spec,
        "against": against,
        "power": power,
        "draws": draws,
        "repeats": repeats,
        "rows": rows,
        "seed": seed,
        "threads": n_threads,
        "false_alarm": FALSE_ALARM,
        "pareto_k": pareto_source(),
    }
    finished = [choice.model for choice in choices if choice.model is not None]
    if any(model.gradient_by for model in finished):
        settings["gradient_by"] = {model.name: model.gradient_by for model in finished if model.gradient_by}
    # A table of all models on the user's own data, or of a size, keeps the models that can have them.
    skip_refusals = models is None and of_fit is None and (data is not None or latent is not None)
    size = len(choices) * len(chosen) * repeats * draws * (rows or DEFAULT_ROWS)
    workers = Workers(n_threads, at_once=len(choices) > 1 and size > LARGE)
    with followed(progress) as told, single_threaded_blas():
        benches = build_benches(workers, choices, chosen, draws, placement, skip_refusals, told)
        if estimators is not None:
            check_any_pairing(benches)
        if against is not None:
            check_applicable(against, benches)
        repeat(workers, benches, draws, repeats, seed, told)
        rate = check_bias(workers, benches, draws, repeats, seed)
        if power is not None:
            sharpen(workers, benches, draws, repeats, seed, power, rate, told)
        weigh(benches, draws, seed)
        time_calls(benches, draws, seed)
        table = []
        for bench in benches:
            bench_rows = rows_of(bench, posterior, draws, repeats)
            table += rows_with_ratios(bench_rows, chosen, bench.shared_moments, against)
    kept = [bench for bench in benches if not bench.refusal]
    for part in ("value", "error"):
        settings[f"exact_{part}s"] = {
            f"{bench.scene.model.label} K={bench.scene.model.latent_dim}": _numbers(bench.answers, part)
            for bench in kept
        }
    return Comparison(
        table,
        settings,
        chosen,
        [bench.scene for bench in kept],
        [bench.answers for bench in kept],
        [bench.shared_moments for bench in kept],
        workers,
    )


def _of_targets(estimators: list[Estimator], targets: str | Sequence[str] | None) -> list[Estimator]:
    """Return the estimators of some targets, or raise ValueError if a name is unknown or none is left."""
    if targets is None:
        return estimators
    names = [targets] if isinstance(targets, str) else list(targets)
    for name in names:
        if name not in TARGETS:
            raise unknown_name("targets", name, TARGETS)
    chosen = [estimator for estimator in estimators if estimator.target in names]
    if not chosen:
        expected = f"one of {', '.join(dict.fromkeys(e.target for e in estimators))}, as estimated here"
        raise bad_value("targets", expected, ", ".join(names) or "none")
    return chosen


def _numbers(answers: dict[str, Answer], part: str) -> dict[str, float]:
    """Return the 'value', with its sign, or the 'error' of the targets that are one number."""
    single = {target: answer for target, answer in answers.items() if not is_gradient(target)}
    return {target: float(getattr(answer, part)[0]) for target, answer in single.items()}


def _place_name(at: str | None, posterior: str) -> str:
    """Return the position of q; the exact posterior has only one."""
    if at is None:
        return "exact" if posterior == "exact" else "near"
    if at not in PLACES:
        raise unknown_name("at", at, PLACES)
    if posterior == "exact" and at != "exact":
        raise bad_value("at", "'exact' with the exact posterior", repr(at), "use posterior='free'")
    return at


def _data_name(data: Data | None) -> str | None:
    if isinstance(data, PathLike):
        return str(data)
    return data if data is None or isinstance(data, str) else getattr(data, "name", "array")
