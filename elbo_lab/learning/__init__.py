"""Moving theta and phi: gradient ascent by L-BFGS on exact or frozen-noise objectives."""

from elbo_lab.learning.ascent import ascend
from elbo_lab.learning.evidence import maximise_evidence
from elbo_lab.learning.frozen_elbo import fit_eta, maximise_frozen_elbo
from elbo_lab.learning.regression import fit_encoder

__all__ = ["ascend", "fit_encoder", "fit_eta", "maximise_evidence", "maximise_frozen_elbo"]
