"""The main job: every estimator on every model against the exact answer, as rows, tables, figures."""

from elbo_lab.comparison.advice import Advice, advise
from elbo_lab.comparison.along import Along, compare_along
from elbo_lab.comparison.compare import compare
from elbo_lab.comparison.difference import Difference, difference
from elbo_lab.comparison.draws import DrawsNeeded, draws_needed
from elbo_lab.comparison.race import RaceResult, race
from elbo_lab.comparison.ratios import Ratio, paired_ratio
from elbo_lab.comparison.result import Comparison
from elbo_lab.comparison.story import story

__all__ = [
    "Advice",
    "Along",
    "Comparison",
    "Difference",
    "DrawsNeeded",
    "RaceResult",
    "Ratio",
    "advise",
    "compare",
    "compare_along",
    "difference",
    "draws_needed",
    "paired_ratio",
    "race",
    "story",
]
