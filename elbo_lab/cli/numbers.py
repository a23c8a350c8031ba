"""The closing numbers of a fit or an evaluation as a short table."""

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from elbo_lab.fitting import FitResult

Numbers = dict[str, Any]
TITLES = {
    "log_likelihood": "log-likelihood, all rows (nats)",
    "log_likelihood_per_datum": "log-likelihood per datum (nats)",
    "elbo_per_datum": "ELBO per datum (nats)",
    "elbo_on_nll_rows": "ELBO per datum, rows of the next line (nats)",
    "nll_per_datum": "-log p(x) per datum, importance samples (nats)",
    "nll_standard_error": "its standard error (nats)",
    "effective_sample_size": "median effective sample size",
    "log_p_per_datum": "log p(y | x) per datum (nats)",
    "accuracy": "accuracy",
    "active_units": "active latent units",
    "neighbour_accuracy": "5-nearest-neighbour accuracy of the codes",
    "neighbour_accuracy_pca": "the same of principal components",
}
ACCURACIES = ("accuracy", "neighbour_accuracy", "neighbour_accuracy_pca")


def shown(name: str, value: float) -> str:
    """Return a number as text."""
    if name in ACCURACIES:
        return f"{value:.3f}"
    if isinstance(value, int):
        return str(value)
    return f"{value:,.3f}" if abs(value) >= 0.1 else f"{value:.3g}"


def number_table(columns: dict[str, Numbers]) -> Table:
    """Return a rich table of {title: {name: number}}, one column per set of rows."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for title, numbers in columns.items():
        rows = f"{numbers['rows']} rows" if "rows" in numbers else ""
        table.add_column(f"{title}\n{rows}", justify="right")
    chosen = [n["nll_rows"] for n in columns.values() if n.get("nll_rows", n["rows"]) < n["rows"]]
    for name, words in TITLES.items():
        if name == "elbo_on_nll_rows":
            if not chosen:
                continue  # all rows are in both lines
            words = f"ELBO per datum, the {max(chosen)} rows of the next line (nats)"
        if any(name in numbers for numbers in columns.values()):
            cells = [shown(name, n[name]) if n.get(name) is not None else "" for n in columns.values()]
            table.add_row(words, *cells)
    return table


def print_numbers(result: "FitResult", console: Console) -> None:
    """Print how a fit ended."""
    settings, final = result.settings, result.final

    def say(line: str, style: str = "") -> None:
        console.print(line, style=style, highlight=False, soft_wrap=True)

    say(f"{settings['model']} on {result.train.name}, method {settings['method']}")
    columns = {"training": final}
    if "held_out" in final:
        columns["held out"] = final["held_out"]
    console.print(number_table(columns))
    gap = final.get("gap")
    if gap:
        parts = f"approximation {gap['approximation']:.3g} + amortisation {gap['amortisation']:.3g}"
        line = f"log p {gap['log_p']:.4f}, ELBO {gap['elbo']:.4f}, gap = {parts} nats per datum"
        say(f"exact, {gap['rows']} training rows: {line}")
    say(f"stopped: {result.stopped}; {final['seconds']:.2f} s")
    for warning in result.warnings:
        say(f"warning: {warning}", "yellow")
