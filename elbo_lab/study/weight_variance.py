"""The variance of every single weight's gradient in a VAE, without forming the gradient of any draw.

For a linear layer the gradient of one draw is an outer product a delta^T, so that the sum of its squares over
draws is (a^2)^T (delta^2) and the sum itself a^T delta: two matrix products give the variance of all of a
layer's weights (the second moment of Dangel, Kunstner and Hennig 2020, section 2.2, with draws in the
place of data). In the encoder the activations do not depend on the draw, and the variance of the deltas is
enough. Memory is that of a few copies of the weights, whatever the number of draws.

Over several data the noise is independent: variances of the data add. That is *not* the factored second
moment of the summed gradient.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.errors import NotApplicable, bad_value, unknown_name
from elbo_lab.models.deep import DeepModel
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.study.theory.integrated import path_of_each_draw


@dataclass(frozen=True, eq=False)
class WeightVariance:
    """Variance of single-draw gradients of the ELBO, summed over the data.

    Attributes
    ----------
    theta, phi : ndarray (P_theta,), (P_phi,)
        In (nats per unit of weight)^2, for the gradient of the ELBO's sum over the rows of x from one draw
        each; divide by S for S draws, and by N^2 for the mean over rows.
    """

    theta: np.ndarray
    phi: np.ndarray


def _pathwise(model, family, theta, x, eta, z, noise, by_likelihood):  # noqa: ARG001 - one face for all
    by_prior = model.log_prior_vjp(theta, z, np.ones(z.shape[:-1], z.dtype))[1]
    by_q = family.log_prob_grad_z(eta, z)
    path = path_of_each_draw(family, eta, noise, by_likelihood + by_prior - by_q)
    return path - family.score(eta, z)


def _pathwise_analytic_kl(model, family, theta, x, eta, z, noise, by_likelihood):  # noqa: ARG001
    return path_of_each_draw(family, eta, noise, by_likelihood)


def _score_function(model, family, theta, x, eta, z, noise, by_likelihood):  # noqa: ARG001
    return log_weight(model, theta, x, family, eta, z)[..., None] * family.score(eta, z)


# The gradient in eta of each draw, up to what does not depend on the draw.
PHI_GRADIENTS = {
    "reparameterization": _pathwise,
    "reparameterization-analytic-kl": _pathwise_analytic_kl,
    "score-function": _score_function,
}


def weight_variance(model, posterior, theta, phi, x, noise, estimator="reparameterization-analytic-kl"):
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

    Returns
    -------
    WeightVariance
        Of the gradient of the reconstruction in theta (a fixed prior adds nothing), and in phi.

    Raises
    ------
    NotApplicable
        If the model is not deep, has parameters beside its decoder, or the posterior is no encoder.
    ValueError
        If there are fewer than two draws, or the estimator is unknown.
    """
    if estimator not in PHI_GRADIENTS:
        raise unknown_name("estimator", estimator, list(PHI_GRADIENTS))
    if (
        not isinstance(model, DeepModel)
        or model.extra_entries
        or not isinstance(posterior, AmortisedPosterior)
    ):
        raise NotApplicable(
            "the variance of every weight takes a decoder network without further parameters and an encoder, "
            f"got {model.label} with the {posterior.name} posterior"
        )
    if len(noise) < 2:
        raise bad_value("noise", "at least two draws", len(noise))
    family = posterior.family
    eta, encoder_pass = posterior.forward(phi, x)
    z = family.sample(eta, noise)
    by_output, decoder_pass = model.output_slopes(theta, x, z)
    by_theta, by_likelihood = model.decoder.backward_variance(theta, decoder_pass, by_output)
    by_eta = PHI_GRADIENTS[estimator](model, family, theta, x, eta, z, noise, by_likelihood)
    by_phi = posterior.network.backward_variance_params(
        phi, encoder_pass, by_eta.astype(phi.dtype, copy=False)
    )
    return WeightVariance(by_theta, by_phi)
