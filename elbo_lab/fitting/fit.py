"""fit: from a name and data to a fitted model with its record.

The data come first (a view that suits the likelihood, a split that is the same for every seed), then the
model, the method, and a job that can be stopped, saved and resumed.
"""

import time

import numpy as np

from elbo_lab.datasets import load_for
from elbo_lab.errors import (
    NotApplicable,
    Stopped,
    bad_kind,
    bad_value,
    check_count,
    columns_by_name,
)
from elbo_lab.evaluation import active_units
from elbo_lab.files import check_writable
from elbo_lab.fitting.building import build_job, gap_rows
from elbo_lab.fitting.checkpoints import (
    Keeper,
    data_spec,
    find_data,
    model_spec,
    name_of,
    path_of,
    refuse_overwriting,
)
from elbo_lab.fitting.final import (
    elbo_per_row,
    gap_numbers,
    latent_numbers,
    numbers_of,
    prediction_numbers,
    tabled,
)
from elbo_lab.fitting.result import FitResult, plain
from elbo_lab.fitting.settings import Options, choose_method, complete, overlay, resolve, with_networks
from elbo_lab.registry import find_models
from elbo_lab.threads import check_threads
from elbo_lab.training.checkpoint import Parts, load_checkpoint


def fit(model=None, data=None, *, threads=None, checkpoint=None, resume=None, data_dir=None, **options):
    """Fit a model to data.

    Parameters
    ----------
    model : str, Model class or Model
        As in `elbo-lab list`, with or without a variant.
    data : str, path, array (N, D) or Dataset
    threads : int, optional
        Changes nothing but the time; all cores by default.
    checkpoint : path, optional
        New file for the state, written after every epoch and every ten seconds; with `resume` the same file
        by default.
    resume : path, optional
        Go on from a checkpoint; its settings stand, only `epochs` may be another.
    data_dir : path, optional
        Folder of data sets that do not come with the package.
    **options
        As in `Options`, and `progress`, called with the job after every step; it returns True to stop.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError, TypeError
        One line for a mistake: of data, names, options, or a checkpoint that does not fit.
    Stopped
        If `progress` returned True before the end.
    Diverged
        If a training leaves the finite numbers; the last good checkpoint is kept.

    Examples
    --------
    >>> from elbo_lab import fit
    >>> result = fit("gaussian-mixture:full", "faithful", latent=2)
    >>> round(result.final["log_likelihood"], 3)
    -1130.264
    """
    progress = options.pop("progress", None)
    asked = _options(model=model, data=data, **options)
    stored, arrays, named = None, {}, None
    if resume is not None:
        stored, arrays = load_checkpoint(resume, "resume")
        named = stored["settings"]["data"]
        settings = overlay(asked, stored["settings"])
        if asked.data is None:
            settings |= {"data": find_data(stored, resume), "view": asked.view}
        else:
            named, settings = None, settings | {"data": asked.data, "view": asked.view}
        asked = Options(**{name: value for name, value in settings.items() if value is not None})
        checkpoint = resume if checkpoint is None else checkpoint
    if asked.model is None:
        raise bad_value("model", "a name", "nothing", "see elbo-lab list")
    choice = _choose_model(asked.model)
    if asked.data is None:
        usual = choice.kind.default_data
        expected = "a data set, a file or an array"
        raise bad_value("data", expected, "nothing", f"try {usual!r}, or another of elbo-lab list")
    if checkpoint is not None:
        check_writable("checkpoint", checkpoint)
        refuse_overwriting(checkpoint, resume)
    threads = check_threads(threads)
    seed = check_count("seed", asked.seed or 0, minimum=0)

    dataset = load_for(choice.kind, asked.data, view=asked.view, data_dir=data_dir)
    if choice.kind.global_latents:
        dataset = tabled(choice.kind, dataset)
    train, held_out = dataset, None
    if asked.holdout is not None:
        train, held_out = dataset.split(asked.holdout)
    built = _build_model(choice, train, asked.latent)
    method = choose_method(built, asked.method)
    settings = resolve(asked, method, networks=method == "vae" or built.hidden is not None)
    built = with_networks(built, settings)
    settings = complete(built, method, settings)
    with columns_by_name(dataset.columns):
        _check_data(built, train, held_out)
    settings = {
        "model": built.label,
        "data": named or name_of(asked.data, dataset),
        "view": None,
        "method": method,
        "latent": built.latent_dim if choice.kind.default_latent else None,
        "holdout": asked.holdout,
        "seed": seed,
        **settings,
    }
    job, posterior, seen = build_job(built, method, settings, train, seed, threads)
    spec = data_spec(train) | {"path": path_of(asked.data, dataset)}
    if stored is not None:
        if stored["data"]["sha256"] != spec["sha256"]:
            raise bad_value("data", f"the rows of {stored['data']['name']} as in the checkpoint", "others")
        own = {key.removeprefix("job."): a for key, a in arrays.items() if key.startswith("job.")}
        job.restore(stored["job"], Parts(own, resume, "resume"))
    head = {"settings": plain(settings), "model": plain(model_spec(built)), "data": spec}
    keeper = Keeper(
        checkpoint, job, head | {"posterior": None if posterior is None else plain(posterior.to_dict())}
    )
    seconds = _run(job, keeper, progress)
    if not job.finished:
        raise Stopped(_what_was_kept(checkpoint))
    outcome = job.outcome()
    final = _closing_numbers(outcome, built, posterior, settings, (train, held_out, seen), threads)
    final["seconds"] = seconds
    return _result(outcome, built, posterior, settings, train, held_out, final)


def _check_data(model, train, held_out):
    """Refuse training rows that cannot be fitted, and held-out rows that the model cannot have produced."""
    if model.global_latents:
        model.check_data(model.as_data(train.x))
        return
    model.check_data(train.x)
    if held_out is not None:
        model.check_support(held_out.x)


def _what_was_kept(checkpoint):
    if checkpoint is None:
        return "interrupted before the end; without --checkpoint nothing is kept"
    return f"interrupted before the end; saved in {str(checkpoint)!r}, go on with --resume"


def _options(**given):
    try:
        return Options(**given)
    except TypeError as error:
        raise bad_kind("options", "those of elbo_lab.fitting.Options", str(error).split()[-1]) from None


def _choose_model(name):
    choices = find_models(name, "model")
    if len(choices) > 1:
        usual = choices[0].kind.usual_variant
        return next((choice for choice in choices if choice.variant == usual), choices[0])
    return choices[0]


def _build_model(choice, train, latent):
    if latent is not None:
        check_count("latent", latent)
    model = choice.build(train.x, latent)
    if latent is not None and model.latent_dim != latent:
        raise bad_value("latent", f"no value for {model.label}, whose latents follow the columns", latent)
    return model


def _run(job, keeper, progress):
    """Run a job to its end or until it is stopped; return the seconds."""
    begun = time.perf_counter()

    def tick():
        keeper.tick()
        return progress is not None and bool(progress(job))

    job.run(tick)
    keeper.save()
    return time.perf_counter() - begun


def _closing_numbers(outcome, model, posterior, settings, parts, threads):
    """Return `final` without the seconds, from (training rows, held-out rows or None, rows of the steps)."""
    (train, held_out, seen), seed = parts, settings["seed"]
    vectors = outcome.vectors
    notes = {"warnings": outcome.warnings, "converged": outcome.converged, "stopped": outcome.stopped}
    if model.global_latents:
        return notes | _regression_numbers(model, posterior, vectors["phi"], train, held_out)
    final = numbers_of(model, posterior, vectors, train, seed, threads)
    amortised = posterior if posterior is not None and not posterior.needs_all_rows else None
    if held_out is not None:
        # A free table says nothing about rows that it was not made for.
        final["held_out"] = numbers_of(model, amortised, vectors, held_out, seed, threads)
    if amortised is not None and not model.family.discrete:
        final["active_units"] = active_units(amortised, vectors["phi"], train.x).count
        if held_out is not None:
            final["held_out"] |= latent_numbers(amortised, vectors["phi"], train, held_out)
    if settings.get("gap_rows"):
        try:
            final["gap"] = gap_numbers(model, posterior, vectors, gap_rows(seen, settings), seed)
        except NotApplicable as reason:  # the decoder has grown too steep for an exact value
            final["warnings"] = (*outcome.warnings, str(reason))
    return notes | outcome.extra | final


def _regression_numbers(model, posterior, phi, train, held_out):
    """Return the closing numbers of a table with global latents."""
    final = prediction_numbers(model, posterior, phi, train.x)
    final["elbo_per_datum"] = elbo_per_row(model, posterior, phi, train.x)
    if held_out is not None:
        final["held_out"] = prediction_numbers(model, posterior, phi, held_out.x)
    return final


def _result(outcome, model, posterior, settings, train, held_out, final):
    theta, phi = outcome.vectors["theta"], outcome.vectors.get("phi")
    return FitResult(
        model=model,
        posterior=posterior,
        theta=theta.astype(np.float64),
        phi=None if phi is None else phi.astype(np.float64),
        settings=settings,
        history=outcome.history,
        final=final,
        converged=outcome.converged,
        stopped=outcome.stopped,
        warnings=final["warnings"],
        train=train,
        held_out=held_out,
    )
