"""The second main job: fit a model to data, keep it, evaluate it, sample from it."""

from elbo_lab.fitting.checkpoints import Stored, load_fitted
from elbo_lab.fitting.evaluate import Evaluation, evaluate
from elbo_lab.fitting.fit import fit
from elbo_lab.fitting.result import FitResult

__all__ = ["Evaluation", "FitResult", "Stored", "evaluate", "fit", "load_fitted"]
