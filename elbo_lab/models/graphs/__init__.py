"""Directed graphical models: named variables, their parents, and a conditional for each."""

from elbo_lab.models.graphs.conditionals import Completed, Conditional
from elbo_lab.models.graphs.model import GraphModel
from elbo_lab.models.graphs.net import CONDITIONALS, BayesNet, Node
from elbo_lab.models.graphs.variables import Values, Variable

__all__ = ["CONDITIONALS", "BayesNet", "Completed", "Conditional", "GraphModel", "Node", "Values", "Variable"]
