"""Real data: sets by name, and the user's own files and arrays, all by `load`."""

from elbo_lab.datasets.dataset import BuiltIn, Dataset
from elbo_lab.datasets.example_graphs import EXAMPLE_GRAPHS
from elbo_lab.datasets.manifolds import MANIFOLDS, Manifold
from elbo_lab.datasets.registry import DATASETS, load, load_for

__all__ = ["DATASETS", "EXAMPLE_GRAPHS", "MANIFOLDS", "BuiltIn", "Dataset", "Manifold", "load", "load_for"]
