"""The second main job: fit a model to data, keep it, evaluate it, sample from it."""

from elbo_lab.fitting.evaluate import Evaluation, evaluate
from elbo_lab.fitting.fit import fit
from elbo_lab.fitting.result import FitResult
from elbo_lab.fitting.stored import Stored, load_fitted

__all__ = ["Evaluation", "FitResult", "Stored", "evaluate", "fit", "load_fitted"]
