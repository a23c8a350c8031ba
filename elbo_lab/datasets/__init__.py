"""Real data: two sets inside the package, and the user's own files and arrays through one door."""

from elbo_lab.datasets.dataset import BuiltIn, Dataset
from elbo_lab.datasets.registry import DATASETS, load

__all__ = ["DATASETS", "BuiltIn", "Dataset", "load"]
