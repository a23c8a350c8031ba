"""What a training is asked at every evaluation: the validation bound, the exact gap, the exact likelihood."""

import numpy as np

from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import ElboReconstructionKL
from elbo_lab.evaluation import held_out_log_likelihood, measure_gap

# Draws of z that a validation bound averages.
VALIDATION_DRAWS = 10


def validation_recorder(model, posterior, x, seed, dtype):
    """Return a recorder of the bound on rows that the training does not see, with fixed noise."""
    bound, x = ElboReconstructionKL(), x.astype(dtype)
    spec = bound.noise_spec(model.family, VALIDATION_DRAWS, len(x))
    noise = draw_noise(spec, np.random.default_rng((seed, 1)), dtype=dtype)

    def record(params, phase):
        if phase == "phi":
            return {}
        value = bound.estimate(model, posterior, params["theta"], params["phi"], x, noise)[0][0]
        return {"elbo_validation": float(value)}

    return record


def gap_recorder(model, posterior, x):
    """Return a recorder of the exact log p, ELBO and KL on given rows.

    Where nothing is exact at the start, it says so (NotApplicable). Later a decoder may grow too steep for
    the quadrature: the rows then go without, for the training matters more than its record.
    """

    def record(params, phase):
        theta, phi = (params[name].astype(np.float64) for name in ("theta", "phi"))
        try:
            return measure_gap(model, posterior, theta, phi, x).means()
        except NotApplicable:
            if phase == "start":
                raise
            return {}

    return record


def likelihood_recorder(model, x):
    def record(params, phase):  # noqa: ARG001
        return {"log_likelihood": float(held_out_log_likelihood(model, params["theta"], x).sum())}

    return record
