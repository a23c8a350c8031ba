"""The rows as one table, the machine under it, and the targets that were missed."""

from rich.console import Console
from rich.table import Table


def duration(ms):
    """Return a time with three digits and a unit that suits it."""
    if ms is None:
        return "-"
    for size, unit in ((1e3, "s"), (1.0, "ms")):
        if ms >= size:
            return f"{ms / size:.3g} {unit}"
    return f"{1e3 * ms:.3g} us"


def times(ratio):
    """Return a ratio, with two decimals while they say something."""
    return "-" if ratio is None else f"{ratio:.2f}" if ratio < 100 else f"{ratio:,.0f}"


def memory(mb):
    return "-" if mb is None else f"{mb:,.0f}" if mb >= 10 else f"{mb:.1f}"


def cells(row, again):
    """Return the cells of one row; what belongs to the work stands in its first row."""
    own = [
        row["name"],
        duration(row["ours_ms"]),
        duration(row["definition_ms"]),
        duration(row["limit_ms"]),
        times(row["ratio_to_limit"]),
        memory(row["peak_mb"]),
    ]
    if again:
        own = [""] * len(own)
    peer = [row["peer"] or "-", duration(row["peer_ms"]), times(row["ratio_to_peer"])]
    return [*own, *peer, memory(row["peer_peak_mb"])]


def print_table(result):
    """Print the table of a run."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=132)
    table = Table(title="Medians; every contestant in its own process", title_justify="left", pad_edge=False)
    table.add_column("work", no_wrap=True)
    for head in ("ours", "NumPy\ndefinition", "limit", "ours /\nlimit", "MB\nours"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("peer", no_wrap=True)
    for head in ("peer", "peer /\nours", "MB\npeer"):
        table.add_column(head, justify="right", no_wrap=True)
    names = [None, *(row["name"] for row in result["rows"])]
    for before, row in zip(names, result["rows"], strict=False):
        table.add_row(*cells(row, row["name"] == before))
    console.print(table)
    console.print("[dim]MB: the peak while working, over what was held before the first call.[/dim]")
    machine = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    console.print(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {packages}")
    targets = [(row["name"], target) for row in result["rows"] for target in row["targets"]]
    missed = [(name, target) for name, target in targets if not target["met"]]
    console.print(f"{len(targets) - len(missed)} of {len(targets)} targets met")
    for name, target in missed:
        console.print(f"  missed: {name}, {target['text']}: {target['value']:.3g}{target['unit']}")
