"""The variance of every single weight's gradient in a VAE, without forming the gradient of any draw.

For a linear layer the gradient of one draw is an outer product a delta^T, so that the sum of its squares over
draws is (a^2)^T (delta^2) and the sum itself a^T delta: two matrix products give the variance of all of a
layer's weights (the second moment of Dangel, Kunstner and Hennig 2020, section 2.2, with draws in the
place of data). In the encoder the activations do not depend on the draw, and the variance of the deltas is
enough. Draws and data are streamed (`weight_sums`), a few hundred rows at a time: memory is that of a few
copies of the weights, whatever the number of draws and data. `variance_at_once` is the same with all rows in
memory.

Over several data the noise is independent: variances of the data add. That is *not* the factored second
moment of the summed gradient.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.bounds import log_weight
from elbo_lab.distributions import Family
from elbo_lab.errors import NotApplicable, bad_value, unknown_name
from elbo_lab.models.deep import DeepModel
from elbo_lab.networks import MLP
from elbo_lab.posteriors import AmortisedPosterior, Posterior
from elbo_lab.study.weight_sums import OwnInputs, SharedInputs
from elbo_lab.theory.integrated import path_of_each_draw
from elbo_lab.threads import check_threads, thread_pool

# Rows (draws x data) of which the deltas are in memory at once, and of one piece of work.
ROWS_PER_PASS, ROWS_PER_PIECE = 512, 128

Piece = Callable[[slice, slice], tuple[list[Floats], list[Floats]]]
"""From (some data, some draws) to activations and deltas (S, N, H) of each layer."""


@dataclass(frozen=True, eq=False)
class WeightVariance:
    """Variance of single-draw gradients of the ELBO, summed over the data.

    Attributes
    ----------
    theta, phi : ndarray (P_theta,), (P_phi,)
        In (nats per unit of weight)^2, for the gradient of the ELBO's sum over the rows of x from one draw
        each; divide by S for S draws, and by N^2 for the mean over rows.
    """

    theta: Floats
    phi: Floats


class Drawn(NamedTuple):
    """What the gradient in eta of each draw is made of; shapes as in `weight_variance`."""

    model: DeepModel
    family: Family
    theta: Floats
    x: Floats
    eta: Floats
    z: Floats
    noise: Floats
    by_likelihood: Floats
    """Slope of log p(x | z) in z (S, N, K)."""


def _pathwise(draws: Drawn) -> Floats:
    model, family, theta, _, eta, z, noise, by_likelihood = draws
    by_prior = model.log_prior_grad_z(theta, z, np.ones(z.shape[:-1], z.dtype))
    by_q = family.log_prob_grad_z(eta, z)
    path = path_of_each_draw(family, eta, noise, by_likelihood + by_prior - by_q)
    return path - family.score(eta, z)


def _pathwise_analytic_kl(draws: Drawn) -> Floats:
    return path_of_each_draw(draws.family, draws.eta, draws.noise, draws.by_likelihood)


def _score_function(draws: Drawn) -> Floats:
    model, family, theta, x, eta, z, _, _ = draws
    return log_weight(model, theta, x, family, eta, z)[..., None] * family.score(eta, z)


# The gradient in eta of each draw, up to what does not depend on the draw.
PHI_GRADIENTS = {
    "reparameterization": _pathwise,
    "reparameterization-analytic-kl": _pathwise_analytic_kl,
    "score-function": _score_function,
}


def _check(model: DeepModel, x: Floats, noise: Floats) -> MLP:
    """Return the decoder, or refuse the model or the draws."""
    if not isinstance(model, DeepModel) or model.extra_entries or not isinstance(model.decoder, MLP):
        raise NotApplicable(
            "the variance of every weight takes a decoder that is an MLP, without further parameters, "
            f"got {model.label}"
        )
    if len(noise) < 2:
        raise bad_value("noise", "at least two draws", len(noise))
    if not 0 < len(x) == noise.shape[1]:
        expected = "draws for every row of x, and at least one row"
        raise bad_value("noise", expected, f"shape {noise.shape} for {len(x)} rows")
    return model.decoder


def _check_both(
    model: DeepModel, posterior: Posterior, x: Floats, noise: Floats, estimator: str
) -> tuple[MLP, MLP]:
    """Return decoder and encoder, or refuse what they are asked for."""
    if estimator not in PHI_GRADIENTS:
        raise unknown_name("estimator", estimator, list(PHI_GRADIENTS))
    if not isinstance(posterior, AmortisedPosterior) or not isinstance(posterior.network, MLP):
        raise NotApplicable(
            f"the variance of every weight takes an encoder that is an MLP, got {model.label} with the "
            f"{posterior.name} posterior"
        )
    return _check(model, x, noise), posterior.network


def variance_at_once(
    model: DeepModel,
    posterior: AmortisedPosterior,
    theta: Floats,
    phi: Floats,
    x: Floats,
    noise: Floats,
    estimator: str = "reparameterization-analytic-kl",
) -> WeightVariance:
    """Return what `weight_variance` does, in the order of its formulas and with all rows in memory."""
    decoder, encoder = _check_both(model, posterior, x, noise, estimator)
    family = posterior.family
    eta, encoder_pass = posterior.forward(phi, x)
    z = cast(Floats, family.sample(eta, noise))
    by_output, decoder_pass = model.output_slopes(theta, x, z)
    by_theta, by_likelihood = decoder.backward_variance(theta, decoder_pass, by_output)
    by_eta = PHI_GRADIENTS[estimator](Drawn(model, family, theta, x, eta, z, noise, by_likelihood))
    by_phi = encoder.backward_variance_params(phi, encoder_pass, by_eta.astype(phi.dtype, copy=False))
    return WeightVariance(by_theta, by_phi)


def weight_variance(
    model: DeepModel,
    posterior: AmortisedPosterior,
    theta: Floats,
    phi: Floats,
    x: Floats,
    noise: Floats,
    estimator: str = "reparameterization-analytic-kl",
    threads: int | None = None,
) -> WeightVariance:
    """Return the sample variance over draws of the gradient of every weight.

    Parameters
    ----------
    model : DeepModel
        With parameters in the decoder alone.
    posterior : AmortisedPosterior
    theta, phi : ndarray (P_theta,), (P_phi,)
        In float32 everything runs in float32.
    x : ndarray (N, D)
    noise : ndarray (S, N, K)
        S >= 2 draws for each datum.
    estimator : str
        Whose gradient in phi: 'reparameterization', 'reparameterization-analytic-kl' or 'score-function'.
    threads : int, optional
        Changes only the running time; all cores if not given.

    Returns
    -------
    WeightVariance
        Of the gradient of the reconstruction in theta (a fixed prior adds nothing), and in phi.

    Raises
    ------
    NotApplicable
        If the model is not deep, has parameters beside its decoder, or the posterior is no encoder.
    ValueError
        If there are fewer than two draws, x has no rows or other ones than the noise has, or the estimator
        is unknown.
    """
    decoder, network = _check_both(model, posterior, x, noise, estimator)
    family, first_weights = posterior.family, decoder.affine_views(theta)[0][:-1]
    by_theta, by_phi = np.empty_like(theta), np.empty_like(phi)
    n_draws, n_data = noise.shape[:2]
    encoder = SharedInputs(network, phi, n_draws, by_phi)
    with _pool(threads) as pool:
        sums = _sums(decoder, n_draws, n_data, by_theta)
        for data, draws in _passes(n_draws, n_data):
            if draws.start == 0:
                eta, encoder_pass = posterior.forward(phi, x[data])
                encoder.begin(encoder_pass)
            by_eta = np.empty((draws.stop - draws.start, *eta.shape), phi.dtype)

            def piece(
                part: slice,
                some: slice,
                data: slice = data,
                draws: slice = draws,
                eta: Floats = eta,
                by_eta: Floats = by_eta,
            ) -> tuple[list[Floats], list[Floats]]:
                rows = slice(part.start - data.start, part.stop - data.start)
                own_eta, own_noise, own_x = eta[rows], noise[some, part], x[part]
                z = cast(Floats, family.sample(own_eta, own_noise))
                by_output, activations = model.output_slopes(theta, own_x, z)
                deltas = decoder.deltas(theta, activations, by_output)
                by_z = deltas[0] @ first_weights.T
                place = slice(some.start - draws.start, some.stop - draws.start), rows
                made = Drawn(model, family, theta, own_x, own_eta, z, own_noise, by_z)
                by_eta[place] = PHI_GRADIENTS[estimator](made)
                return activations, deltas

            def beside(last: bool, by_eta: Floats = by_eta) -> None:
                encoder.put(by_eta)
                if last:
                    encoder.add()

            _feed(pool, sums, data, draws, piece, beside)
    return WeightVariance(by_theta, by_phi)


def decoder_variance(
    model: DeepModel, theta: Floats, x: Floats, z: Floats, threads: int | None = None
) -> Floats:
    """Return the sample variance over draws of the gradient of log p(x | z) in every weight of the decoder.

    Parameters
    ----------
    model : DeepModel
        With parameters in the decoder alone.
    theta : ndarray (P,)
        In float32 everything runs in float32.
    x : ndarray (N, D)
    z : ndarray (S, N, K)
        S >= 2 draws for each datum, from anywhere.
    threads : int, optional
        Changes only the running time; all cores if not given.

    Returns
    -------
    ndarray (P,)
        As `WeightVariance.theta`.
    """
    decoder = _check(model, x, z)
    by_theta, (n_draws, n_data) = np.empty_like(theta), z.shape[:2]
    with _pool(threads) as pool:
        sums = _sums(decoder, n_draws, n_data, by_theta)

        def piece(part: slice, some: slice) -> tuple[list[Floats], list[Floats]]:
            by_output, activations = model.output_slopes(theta, x[part], z[some, part])
            return activations, decoder.deltas(theta, activations, by_output)

        for data, draws in _passes(n_draws, n_data):
            _feed(pool, sums, data, draws, piece)
    return by_theta


def _sums(decoder: MLP, n_draws: int, n_data: int, variance: Floats) -> OwnInputs:
    n_rows = min(n_draws * n_data, ROWS_PER_PASS)
    return OwnInputs(decoder, n_draws, n_data, n_rows, variance)


def _pool(threads: int | None) -> AbstractContextManager[Executor]:
    return thread_pool(check_threads(threads))


def _passes(n_draws: int, n_data: int) -> Iterator[tuple[slice, slice]]:
    """Yield the (data, draws) of each pass: several data with all their draws, or some draws of one datum."""
    if n_draws <= ROWS_PER_PASS:
        yield from ((data, slice(0, n_draws)) for data in _cut(0, n_data, ROWS_PER_PASS // n_draws))
    else:
        for n in range(n_data):
            yield from ((slice(n, n + 1), draws) for draws in _cut(0, n_draws, ROWS_PER_PASS))


def _cut(start: int, stop: int, step: int) -> list[slice]:
    return [slice(left, min(left + step, stop)) for left in range(start, stop, step)]


def _feed(
    pool: Executor,
    decoder: OwnInputs,
    data: slice,
    draws: slice,
    piece: Piece,
    beside: Callable[[bool], None] | None = None,
) -> None:
    """Put a pass through `piece`; add it to all tiles, and do `beside`, told whether its data end."""
    n_draws, n_data = draws.stop - draws.start, data.stop - data.start
    parts = _cut(data.start, data.stop, max(1, ROWS_PER_PIECE // n_draws))
    pieces = [(part, some) for part in parts for some in _cut(draws.start, draws.stop, ROWS_PER_PIECE)]

    def one(part: slice, some: slice) -> None:
        decoder.put((part.start - data.start, some.start - draws.start, n_draws), *piece(part, some))

    list(pool.map(one, *zip(*pieces, strict=True)))
    last = draws.stop == decoder.n_draws
    work = [] if beside is None else [partial(beside, last)]
    work += [partial(decoder.add, index, n_data, n_draws, last) for index in range(len(decoder.tiles))]
    list(pool.map(lambda begin: begin(), work))
