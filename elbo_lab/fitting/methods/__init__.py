"""The methods of fitting: one file each, in the order in which a model takes the first that applies."""

from elbo_lab.fitting.methods.base import Method, Settings
from elbo_lab.fitting.methods.closed_form import ClosedFormMethod
from elbo_lab.fitting.methods.em import EMMethod
from elbo_lab.fitting.methods.gplvm import ModeGPLVMMethod, VariationalGPLVMMethod
from elbo_lab.fitting.methods.gradient import GradientMethod
from elbo_lab.fitting.methods.monte_carlo_em import MonteCarloEMMethod
from elbo_lab.fitting.methods.smoothing import SmoothingMethod
from elbo_lab.fitting.methods.svi import SVIMethod
from elbo_lab.fitting.methods.vae import VAEMethod
from elbo_lab.fitting.methods.variational_bayes import VariationalBayesMethod
from elbo_lab.models import Model

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        ClosedFormMethod(),
        SmoothingMethod(),
        EMMethod(),
        GradientMethod(),
        VAEMethod(),
        SVIMethod(),
        VariationalBayesMethod(),
        MonteCarloEMMethod(),
        VariationalGPLVMMethod(),
        ModeGPLVMMethod(),
    )
}


def methods_of(model: Model) -> list[str]:
    """Return the names of the methods that apply to a model, the usual one first."""
    found = [name for name, method in METHODS.items() if method.applies(model)]
    return sorted(found, key=lambda name: not METHODS[name].is_usual(model))


__all__ = ["METHODS", "Method", "Settings", "methods_of"]
