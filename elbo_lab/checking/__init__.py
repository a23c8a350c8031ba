"""Checks of what a user brings: a model against its own density."""

from elbo_lab.checking.model import ModelCheck, check_model

__all__ = ["ModelCheck", "check_model"]
