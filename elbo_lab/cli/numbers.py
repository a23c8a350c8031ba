"""The closing numbers of a fit or an evaluation as a short table."""

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from elbo_lab.report import number_text, value_text

if TYPE_CHECKING:
    from elbo_lab.fitting import FitResult

Numbers = dict[str, Any]
TITLES = {
    "log_likelihood": "log-likelihood, all rows",
    "log_likelihood_per_datum": "log-likelihood per datum",
    "elbo_per_datum": "ELBO per datum",
    "elbo_on_nll_rows": "ELBO per datum, {rows} rows",
    "nll_per_datum": "log p(x) per datum{these}, sampled",
    "effective_sample_size": "median effective sample size",
    "log_p_per_datum": "log p(y | x) per datum",
    "accuracy": "accuracy",
    "active_units": "active latent units",
    "neighbour_accuracy": "5-nearest-neighbour accuracy of codes",
    "neighbour_accuracy_pca": "the same of principal components",
}
ERRORS = {
    "elbo_per_datum": "elbo_standard_error",
    "elbo_on_nll_rows": "elbo_on_nll_rows_error",
    "nll_per_datum": "nll_standard_error",
}
ACCURACIES = ("accuracy", "neighbour_accuracy", "neighbour_accuracy_pca")


def shown(name: str, numbers: Numbers) -> str:
    """Return a number as text, with its error where there is one; nothing where there is no number.

    All values have the sign of log p, so that a bound and what it bounds can be compared.
    """
    value, error = numbers.get(name), numbers.get(ERRORS.get(name, ""))
    if value is None or (name == "elbo_on_nll_rows" and numbers["nll_rows"] == numbers["rows"]):
        return ""
    if name in ACCURACIES:
        return f"{value:.3f}"
    if isinstance(value, int):
        return str(value)
    if name == "effective_sample_size":
        return number_text(value)
    value = -value if name == "nll_per_datum" else value
    if error:
        return value_text(value, error)
    return f"{value:,.3f}" if abs(value) >= 0.1 else f"{value:.3g}"


def number_table(columns: dict[str, Numbers]) -> Table:
    """Return a rich table of {title: {name: number}}, one column per set of rows."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("in nats")
    for title, numbers in columns.items():
        rows = f"{numbers['rows']} rows" if "rows" in numbers else ""
        table.add_column(f"{title}\n{rows}", justify="right", no_wrap=True)
    chosen = [n["nll_rows"] for n in columns.values() if n.get("nll_rows", n["rows"]) < n["rows"]]
    for name, words in TITLES.items():
        if name == "elbo_on_nll_rows" and not chosen:
            continue  # all rows are in both lines
        if any(name in numbers for numbers in columns.values()):
            words = words.format(rows=max(chosen, default=0), these=", these rows" if chosen else "")
            table.add_row(words, *(shown(name, numbers) for numbers in columns.values()))
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
        names = [name for name in ("approximation", "amortisation", "optimisation") if name in gap]
        parts = " + ".join(f"{name} {gap[name]:.3g}" for name in names)
        line = f"log p {gap['log_p']:.4f}, ELBO {gap['elbo']:.4f}, gap = {parts} nats per datum"
        say(f"exact, {gap['rows']} training rows: {line}")
    say(f"stopped: {result.stopped}; {final['seconds']:.2f} s")
    for warning in result.warnings:
        say(f"warning: {warning}", "yellow")
