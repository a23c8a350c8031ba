"""Moving theta and phi: closed forms, EM, and gradient ascent on exact or frozen-noise objectives."""

from elbo_lab.learning.ascent import ascend
from elbo_lab.learning.closed_form import fit_closed_form, has_closed_form
from elbo_lab.learning.conjugate import NormalInverseGamma
from elbo_lab.learning.em import EMFit, fit_em
from elbo_lab.learning.evidence import maximise_evidence
from elbo_lab.learning.exact_elbo import ascend_exact_elbo, marginal_logits, maximise_exact_elbo
from elbo_lab.learning.fit import Fit
from elbo_lab.learning.frozen_elbo import fit_eta, maximise_frozen_elbo
from elbo_lab.learning.regression import fit_encoder

__all__ = [
    "EMFit",
    "Fit",
    "NormalInverseGamma",
    "ascend",
    "ascend_exact_elbo",
    "fit_closed_form",
    "fit_em",
    "fit_encoder",
    "fit_eta",
    "has_closed_form",
    "marginal_logits",
    "maximise_evidence",
    "maximise_exact_elbo",
    "maximise_frozen_elbo",
]
