"""The best theta and the best q by L-BFGS, on objectives that are exact or whose noise is frozen."""

from elbo_lab.optimise.ascent import ascend
from elbo_lab.optimise.evidence import maximise_evidence
from elbo_lab.optimise.exact_elbo import ascend_exact_elbo, marginal_logits, maximise_exact_elbo
from elbo_lab.optimise.frozen_elbo import fit_eta, maximise_frozen_elbo
from elbo_lab.optimise.regression import fit_encoder
from elbo_lab.optimise.weighted_elbo import ascend_weighted_elbo, exact_weighted_elbo

__all__ = [
    "ascend",
    "ascend_exact_elbo",
    "ascend_weighted_elbo",
    "exact_weighted_elbo",
    "fit_encoder",
    "fit_eta",
    "marginal_logits",
    "maximise_evidence",
    "maximise_exact_elbo",
    "maximise_frozen_elbo",
]
