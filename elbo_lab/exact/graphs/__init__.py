"""Exact evidence of graphs with missing cells, and weighted completions of them."""

from elbo_lab.exact.graphs.completions import Completions
from elbo_lab.exact.graphs.evidence import RowEvidence, check_possible, completions, log_evidence, sum_by_row
from elbo_lab.exact.graphs.patterns import Pattern, patterns

__all__ = [
    "Completions",
    "Pattern",
    "RowEvidence",
    "check_possible",
    "completions",
    "log_evidence",
    "patterns",
    "sum_by_row",
]
