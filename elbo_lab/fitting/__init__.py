"""The second main job: fit a model to data, keep it, evaluate it, sample from it.

Names are loaded on first use: `elbo-lab list` reads the settings of fits, and needs no fit for that. No
module has the name of a function, since Python would put the module in its place.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see
    from elbo_lab.fitting.checkpoints import Stored as Stored
    from elbo_lab.fitting.checkpoints import load_fitted as load_fitted
    from elbo_lab.fitting.encode_model import Encoding as Encoding
    from elbo_lab.fitting.encode_model import encode as encode
    from elbo_lab.fitting.evaluate_model import Evaluation as Evaluation
    from elbo_lab.fitting.evaluate_model import evaluate as evaluate
    from elbo_lab.fitting.fit_model import fit as fit
    from elbo_lab.fitting.result import FitResult as FitResult
    from elbo_lab.fitting.side_by_side import SideBySide as SideBySide
    from elbo_lab.fitting.side_by_side import evaluate_together as evaluate_together
    from elbo_lab.fitting.stages import Seeds as Seeds
    from elbo_lab.fitting.stages import fit_second_stage as fit_second_stage
    from elbo_lab.fitting.stages import fit_seeds as fit_seeds

_HOMES = {
    "Encoding": "encode_model",
    "Evaluation": "evaluate_model",
    "FitResult": "result",
    "Seeds": "stages",
    "SideBySide": "side_by_side",
    "Stored": "checkpoints",
    "encode": "encode_model",
    "evaluate": "evaluate_model",
    "evaluate_together": "side_by_side",
    "fit": "fit_model",
    "fit_second_stage": "stages",
    "fit_seeds": "stages",
    "load_fitted": "checkpoints",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'elbo_lab.fitting' has no attribute {name!r}")
    return getattr(import_module(f"elbo_lab.fitting.{_HOMES[name]}"), name)
