"""Multilayer perceptrons with hand-written backward passes."""

from elbo_lab.networks.activations import ACTIVATIONS
from elbo_lab.networks.conditioned import ConditionedMLP
from elbo_lab.networks.mlp import MLP

__all__ = ["ACTIVATIONS", "MLP", "ConditionedMLP"]
