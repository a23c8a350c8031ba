"""fit: from a name and data to a fitted model with its record.

The data come first (a view that suits the likelihood, a split that is the same for every seed), then the
model, the settings of its method, and a job that can be stopped, saved and resumed.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.checking.model import check_once
from elbo_lab.datasets import Dataset
from elbo_lab.errors import Stopped
from elbo_lab.files import StrPath, sole_writer
from elbo_lab.fitting.building import build_model, check_rows, load_rows
from elbo_lab.fitting.checkpoints import (
    Checkpoint,
    CheckpointWriter,
    arrays_of,
    check_new,
    check_storable,
    data_spec,
    header_of,
)
from elbo_lab.fitting.final import class_numbers
from elbo_lab.fitting.graphs import with_graph
from elbo_lab.fitting.jobs import Job
from elbo_lab.fitting.kept import KEEP, Keeper, check_job, check_resumed, series_of
from elbo_lab.fitting.latents import add_prior_gain, check_second, first_stage, held_out_alike
from elbo_lab.fitting.methods import METHODS
from elbo_lab.fitting.methods.vae import VAEMethod
from elbo_lab.fitting.restarted import best_of_restarts, check_restarts
from elbo_lab.fitting.result import FitResult
from elbo_lab.fitting.settings import only_asked, resolve, with_networks
from elbo_lab.kinds import checks_kinds
from elbo_lab.memory import Sizes
from elbo_lab.models import Model
from elbo_lab.priors import Prior
from elbo_lab.progress import Progress, followed
from elbo_lab.registry import find_model, with_latent_prior
from elbo_lab.threads import check_threads


@checks_kinds
def fit(
    model: str | type[Model] | Model | None = None,
    data: StrPath | ArrayLike | Dataset | None = None,
    *,
    view: str | None = None,
    label: str | int | None = None,
    method: str | None = None,
    graph: StrPath | None = None,
    latent: int | Sequence[int] | None = None,
    categories: int | None = None,
    hidden: Sequence[int] | None = None,
    encoder_hidden: Sequence[int] | None = None,
    decoder_hidden: Sequence[int] | None = None,
    network: str | None = None,
    encoder_network: str | None = None,
    decoder_network: str | None = None,
    channels: Sequence[int] | None = None,
    latent_prior: str | None = None,
    activation: str | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    phi_learning_rate: float | None = None,
    schedule: str | None = None,
    clip: float | None = None,
    phi_step: str | None = None,
    phi_steps: int | None = None,
    evaluate_every: int | None = None,
    patience: int | None = None,
    stop_within: float | None = None,
    stop_confidence: float | None = None,
    objective: str | None = None,
    posterior: str | None = None,
    theta_estimator: str | None = None,
    phi_estimator: str | None = None,
    draws: int | None = None,
    noise: str | None = None,
    chains: str | None = None,
    moves: int | None = None,
    leapfrog: int | None = None,
    theta_steps: int | None = None,
    gap_rows: int | None = None,
    watch: str | Sequence[str] | None = None,
    beta: float | None = None,
    beta_schedule: str | None = None,
    temperature_schedule: str | None = None,
    n_inducing: int | None = None,
    restarts: int | None = None,
    tolerance: float | None = None,
    floor: float | None = None,
    prior: str | Prior | None = None,
    dtype: str | None = None,
    hold: Mapping[str, Any] | None = None,
    rows: int | None = None,
    holdout: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    checkpoint: StrPath | None = None,
    keep: StrPath | None = None,
    keep_every: int | None = None,
    resume: StrPath | None = None,
    data_dir: StrPath | None = None,
    progress: Progress | bool | None = None,
) -> FitResult:
    """Fit a model to data.

    An option that is None takes the default of the method (`fitting.methods`). One that the method does not
    use is refused.

    Parameters
    ----------
    model : str, Model class or Model
        As in `elbo-lab list`, with or without a variant.
    data : str, path, array (N, D) or Dataset
        Also 'latents:CHECKPOINT', for a second stage on the latents of a fitted model.
    view : str, optional
        View of a data set, as in 'digits:binary'; by default the one that suits the likelihood.
    label : str or int, optional
        The column of the data that holds labels, by its name or its number from 0: words or numbers in a
        .csv file. A model of labels explains them or is given them; the others only carry them along.
    method : str, optional
        As in `elbo-lab list`: 'closed-form', 'em', 'gradient', 'vae' and others. By default the first that
        applies to the model.
    graph : path, optional
        JSON file with the graph of `bayes-net`, or one of `datasets.EXAMPLE_GRAPHS`; cells of the data may
        then be missing.
    latent : int or sequence of int, optional
        Latent dimensions or mixture components; or the widths of several layers of z, the one next to the
        data first.
    categories : int, optional
        Of each latent of a categorical-vae, at least 2; by default 4.
    hidden : sequence of int, optional
        Widths of the hidden layers, from the data's side; the decoder has them in reverse.
    encoder_hidden, decoder_hidden : sequence of int, optional
        Those of one network, where the two differ, also from the data's side.
    network : {'mlp', 'conv'}, optional
        Of encoder and decoder: full layers alone, or convolutions beside the data and then full layers, for
        images.
    encoder_network, decoder_network : {'mlp', 'conv'}, optional
        That of one of them, where the two differ.
    channels : sequence of int, optional
        Of the convolutions, from the data's side; by default (32, 64).
    latent_prior : str, optional
        Of a deep model the family of p(z), as in 'laplace' or 'gamma': its standard member, eta = 0, in place
        of N(0, I). q is then a diagonal Gaussian where z is any real vector, else of the family of the prior.
    activation : {'tanh', 'relu', 'softplus'}, optional
    epochs : int, optional
        Passes over the data (gradient, vae, svi) or iterations (em), in all, also when resumed.
    batch : int, optional
    optimizer : str, optional
        'adam', 'adagrad', 'rmsprop', 'adamw' or 'sgd', with arguments as in 'rmsprop(decay=0.9)' or
        'adamw(decay=0.01)'; the momentum of sgd may also stand after a colon, as in 'sgd:0.9'.
    learning_rate, phi_learning_rate : float, optional
    schedule : str, optional
        As in 'constant', 'cosine:1000'.
    clip : float, optional
        Largest norm of the gradient of a step, over theta and phi together (`training.clipping`); none by
        default.
    phi_step : {'gradient', 'natural'}, optional
        Whether phi follows the optimiser or, of a free q, natural steps of length `phi_learning_rate`
        (`training.natural`), with svi of length `learning_rate`.
    phi_steps, evaluate_every, patience : int, optional
        See `training.Plan`, also for `batch`.
    stop_within : float, optional
        Of the method vae with the ELBO: stop when so many nats per datum, or fewer, are left to gain
        (`training.stopping`); every evaluation looks, at the price of hundreds of passes over the rows.
    stop_confidence : float, optional
        Of it: the probability of no stop too early, over all looks; 0.95 by default.
    objective : str, optional
        Of the method vae, as in `training.OBJECTIVES`: 'elbo', 'iwae', 'wake-sleep', 'rws' and others.
    posterior : str, optional
        The map that gives eta ('amortised' or 'free'), the family of q ('laplace', 'full',
        'low-rank-gaussian(rank=2)'), or both, as in 'free:laplace'; by default an encoder in the family of
        the model's own q. The support of q must lie within that of the prior.
    theta_estimator, phi_estimator : str, optional
        Of the gradients that the objective takes, of the ELBO grad-theta-elbo and grad-phi-elbo; as in
        `elbo-lab list`.
    draws : int, optional
        Draws of z per datum and step.
    noise : {'independent', 'antithetic', 'sobol', 'sobol(scrambles=G)'}, optional
        How the draws of a step depend on each other. Estimators that need independent draws take one draw of
        every pair, or scramble, at a time (`estimators.coupled`).
    chains : {'persistent', 'cold'}, optional
        How the chains of an E-step of monte-carlo-em start, see `training.monte_carlo_em`.
    moves, leapfrog, theta_steps : int, optional
        Of it: moves of an E-step, leapfrog steps of a move, and steps of theta after each E-step.
    gap_rows : int, optional
        Training rows on which log p, ELBO and KL are recorded exactly; 0 for none.
    watch : str or sequence of str, optional
        Estimators of the gradient in phi, names with commas between: at every evaluation the history gets the
        variance and the signal-to-noise ratio of each, on a fixed minibatch and with noise of its own
        (`fitting.watched`). The training stays the same.
    beta : float, optional
        Weight of KL(q || prior) in what is maximised; 1, the default, is the ELBO. See `training.beta`.
    beta_schedule : {'constant', 'linear:STEPS'}, optional
        'linear:STEPS' lets the weight rise from 0 to `beta` over so many minibatches (KL warm-up).
    temperature_schedule : {'exponential:FROM:TO:STEPS', 'linear:FROM:TO:STEPS'}, optional
        Temperature of a relaxation (concrete, straight-through-gumbel, rebar, relax) over so many
        minibatches, in place of the one in its name; see `training.temperature`.
    n_inducing : int, optional
        Inducing points of a `gplvm`, by default 50; of its linear function as many as latents.
    restarts : int, optional
        Starts, of which the best is kept: of EM see `em.fit_em`, of the method vae `fitting.restarted`.
    tolerance : float, optional
        See `em.fit_em`; of a `gplvm` the tolerance is the least gain of 50 iterations, in nats per row.
    floor : float, optional
        Least variance, in squared units of the data: with `em` that of an eigenvalue of a covariance, by
        default 1e-6 of the mean column variance; with deep-gaussian:learned that of an output of the decoder,
        by default 1e-4 of it.
    prior : str or Prior, optional
        Over theta, for the maximum of the posterior (MAP): 'default', 'flat', or numbers by name as in
        'dirichlet=2,nu=5' (see `priors`). None for maximum likelihood.
    dtype : {'float32', 'float64'}, optional
    hold : mapping of str to number or array, optional
        Parameters of theta that keep a value, as in {"log_sigma": 0.0, "W[3, 1]": 1.0}; see `held.held_in`.
    rows : int, optional
        Only so many rows of the data, the first of a fixed permutation; all by default.
    holdout : float, optional
        Share of the rows that is held out; none by default.
    seed : int, optional
        Determines the result; 0 by default.
    threads : int, optional
        The result does not depend on it; all cores by default.
    checkpoint : path, optional
        New file for the state, written after every epoch and every ten seconds; with `resume` the same file
        by default.
    keep : path, optional
        Folder for a checkpoint of its own at the start, after every `keep_every` epochs and at the end
        (`fitting.kept`); `compare_along` reads it. A resumed fit continues the series.
    keep_every : int, optional
        Epochs between two of them.
    resume : path, optional
        Continue from a checkpoint with its settings; only `epochs` may differ.
    data_dir : path, optional
        Folder of data sets that do not come with the package.
    progress : callable, bool or None
        Called as progress(done, total, step); by default a bar on a terminal or in a notebook for what takes
        longer than a second, with False none. A function is called after every step; it
        returns True to stop.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError, TypeError
        In one line, for wrong data, names or options, or a checkpoint of another fit or one still running.
    Stopped
        If `progress` returned True before the end.
    Diverged
        If a value or parameter is no longer finite; the last good checkpoint is kept.

    Examples
    --------
    >>> from elbo_lab import fit
    >>> result = fit("gaussian-mixture:full", "faithful", latent=2)
    >>> round(result.final["log_likelihood"], 3)
    -1130.264
    """
    asked = only_asked(locals())
    checkpoint = resume if checkpoint is None else checkpoint
    # Before anything is read: of two runs that go on from one state, the second would undo the first.
    with nullcontext() if checkpoint is None else sole_writer("checkpoint", checkpoint):
        earlier = None
        if resume is not None:
            earlier = Checkpoint.load(resume, "resume")
            earlier.check_settings(fit)
            asked = earlier.continued(asked)
            check_resumed(earlier, checkpoint)
        stored = None if earlier is None else earlier.model
        choice = with_graph(find_model(asked.get("model")), asked, stored)
        choice = choice.with_categories(asked.get("categories"))
        if checkpoint is not None:
            check_new(checkpoint, resume)
        series = series_of(keep, keep_every, earlier)
        threads = check_threads(threads)

        first = first_stage(asked.get("data"))
        if first is not None:
            asked = held_out_alike(asked, first)
        found = load_rows(choice, asked, data_dir)
        built = build_model(choice, found.train.x, asked.get("latent"))
        built = with_latent_prior(built, asked.get("latent_prior"))
        check_second(built, first)
        name = found.name if earlier is None or data is not None else earlier.settings["data"]
        settings = resolve(built, asked) | {"data": name}
        if settings["method"] == VAEMethod.name and settings["restarts"] > 1:
            check_restarts(settings["restarts"], {"checkpoint": checkpoint, "keep": keep})
            alone = partial(fit, threads=threads, data_dir=data_dir, progress=progress)
            return best_of_restarts(alone, asked, settings)
        built = with_networks(built, settings, found.train.image_shape)
        built = METHODS[settings["method"]].fitted_model(built, settings)
        if checkpoint is not None or series is not None:
            check_storable(built)
        check_rows(built, found)
        about_data = data_spec(found.train, asked["data"])
        way = METHODS[settings["method"]]
        q = way.posterior(built, settings, found.train)
        if earlier is not None:
            earlier.check_data(about_data)
            earlier.check_specs(built, q)
        way.check_size(Sizes.of(built, *found.train.x.shape), q, settings)
        check_once(built, built.as_data(found.train.x))
        task = way.task(built, q, settings, found.train, threads)
        if earlier is not None:
            earlier.restore(task.job)

        header, arrays, keeper = header_of(task, about_data, first), arrays_of(first), None
        if series is not None:
            header |= {KEEP: series._asdict()}
            job = check_job(task.job, settings["method"], series)
            keeper = Keeper(series, job, header, arrays)
            keeper.check(earlier, checkpoint)
        writer = CheckpointWriter(checkpoint, task.job, header, arrays)
        with followed(progress) as told, nullcontext() if keeper is None else keeper.alone():
            seconds = run(task.job, writer, told, keeper)
    outcome = task.job.outcome()
    ended: dict[str, Any] = {
        "warnings": outcome.warnings,
        "converged": outcome.converged,
        "stopped": outcome.stopped,
    }
    final = ended | way.closing(task, outcome, found, threads) | {"seconds": seconds}
    if built.labelled:
        final |= class_numbers(found.train)
    theta, phi = outcome.vectors["theta"], outcome.vectors.get("phi")
    result = FitResult(
        model=built,
        posterior=task.posterior,
        theta=theta.astype(np.float64),
        phi=None if phi is None else phi.astype(np.float64),
        settings=settings,
        history=outcome.history,
        final=final,
        converged=outcome.converged,
        stopped=outcome.stopped,
        warnings=final["warnings"],
        train=found.train,
        held_out=found.held_out,
        first=first,
    )
    if first is not None:
        add_prior_gain(result)
    return result


def run(job: Job, writer: CheckpointWriter, progress: Progress, keeper: Keeper | None = None) -> float:
    """Run a job to its end and return the seconds.

    Raises
    ------
    Stopped
        If `progress` returned True before the end.
    """
    begun = time.perf_counter()
    if keeper is not None:
        keeper.tick()

    def tick() -> bool:
        writer.tick()
        if keeper is not None:
            keeper.tick()
        done, total, unit, value = job.progress
        step = unit if value is None else f"{unit}: {value:.4g} nats per datum"
        return bool(progress(done, total, step))

    job.run(tick)
    writer.save()
    if not job.finished:
        kept = "without --checkpoint nothing is kept"
        if writer.path is not None:
            kept = f"saved in {str(writer.path)!r}, go on with --resume"
        raise Stopped(f"interrupted before the end; {kept}")
    return time.perf_counter() - begun
