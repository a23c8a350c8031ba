"""Which numbers of a comparison not to trust: tails too heavy for a variance, or for weights.

JSON and CSV have Pareto k-hat; what lies above its limit is listed below the tables as well. The limit of
weights is 0.7 (Vehtari et al. 2024), that of gradients 0.5, from where on the variance is infinite.
"""

from typing import TYPE_CHECKING

from elbo_lab.report.blocks import wrapped_texts
from elbo_lab.report.cells import Rows, clean_text
from elbo_lab.report.grouping import model_label

if TYPE_CHECKING:
    from rich.text import Text

LIMITS = {
    "pareto_k_weights": (0.7, "importance weights not to be trusted"),
    "pareto_k_gradient": (0.5, "gradients whose variance may be infinite"),
}
# More names than this hide the warning; the files have them all.
MOST_NAMES = 3


def _listed(values: dict[str, float]) -> str:
    """Return the estimators {name: k-hat} in words, or how many they are, with the worst of them."""
    if len(values) <= MOST_NAMES:
        return ", ".join(f"{name} {value:.1f}" for name, value in values.items())
    worst = max(values, key=lambda name: values[name])
    return f"{len(values)} estimators, most of all {worst} {values[worst]:.1f}"


def caution_lines(rows: Rows, width: int) -> "list[Text | str]":
    """Return one paragraph for each kind of heavy tail that the rows have, at most `width` wide."""
    lines: list[Text | str] = []
    for key, (limit, words) in LIMITS.items():
        heavy: dict[str, dict[str, float]] = {}
        for row in rows:
            if row.get(key) is not None and row[key] > limit:
                values = heavy.setdefault(clean_text(model_label(row)), {})
                name = clean_text(row["estimator"])
                values[name] = max(row[key], values.get(name, 0.0))
        if heavy:
            models = "; ".join(f"{model}: {_listed(values)}" for model, values in heavy.items())
            text = f"Pareto k-hat above {limit}, {words}: {models}."
            lines += ["", *wrapped_texts(text, width, "yellow")]
    return lines
