"""The comparison as text: one table per target, one block per model, one line per estimator.

The exact answer, its rung on the ladder of exactness and its error belong to the block and not to
the estimator, so they stand once, in the head of the block. A pairing that makes no sense keeps its
line and tells its reason in place of the numbers. What a narrow terminal cannot hold is left out
column by column, the most derived number first (mse follows from bias and variance), and the
caption names what is missing; a number is never wrapped or cut.

rich is imported when a table is drawn, since `import elbo_lab` must stay light.
"""

import io
import math
import textwrap
from typing import NamedTuple

TARGETS = {
    "log-evidence": "log p_theta(x), mean over the data",
    "elbo": "the evidence lower bound, mean over the data",
    "grad-theta-log-evidence": "gradient of log p_theta(x) in the model parameters theta",
    "grad-theta-elbo": "gradient of the bound in the model parameters theta",
    "grad-phi-elbo": "gradient of the bound in the variational parameters phi",
}
"""Targets in the order in which they are shown, each with one line for the reader."""


# -- what belongs together -------------------------------------------------------------------------


def order_targets(rows):
    """Return the targets of the rows: those of `TARGETS` in their order, others alphabetically."""
    present = {row["target"] for row in rows}
    return [name for name in TARGETS if name in present] + sorted(present - set(TARGETS))


def is_gradient(target):
    """Tell whether a target is a gradient (nats per unit of parameter) or a value (nats)."""
    return target.startswith("grad-")


def group_key(row):
    """Return what identifies the block of a row: everything but target and estimator."""
    names = ("model", "variant", "data", "n_data", "latent_dim", "posterior")
    return tuple(row.get(name) for name in names)


def group_rows(rows):
    """Return the rows by block {group_key: [row, ...]}, in order of first appearance."""
    groups = {}
    for row in rows:
        groups.setdefault(group_key(row), []).append(row)
    return groups


def model_label(row):
    """Return model and variant as one name, such as 'gaussian-mixture full'."""
    return " ".join(part for part in (row["model"], row.get("variant")) if part)


def common_value(rows, settings, name):
    """Return a setting: that of all rows if they agree, else that of `settings`, else None."""
    found = {row.get(name) for row in rows}
    return found.pop() if len(found) == 1 else settings.get(name)


# -- numbers ---------------------------------------------------------------------------------------


def number_text(value):
    """Write a number with three significant digits: 0.0123, 1.23, 123, 1.23e-5; '-' for None."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    mantissa, exponent = f"{value:.2e}".split("e")
    exponent = int(exponent)
    if -2 <= exponent <= 3:
        # Rounded first, so that 999.6 becomes 1000 and not 999.60.
        return f"{float(f'{value:.2e}'):.{max(0, 2 - exponent)}f}"
    return f"{mantissa}e{exponent}"


def time_text(seconds):
    """Write a duration with three significant digits and its unit: '12.3 us'; '-' for None."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{number_text(seconds / size)} {unit}"
    return f"{number_text(seconds / 1e-9)} ns"


def interval_text(low, high):
    """Write an interval as '[low, high]'; '-' if an end is missing."""
    if low is None or high is None:
        return "-"
    return f"[{number_text(low)}, {number_text(high)}]"


def relative_interval_text(row):
    """Write the interval of the variance relative to the variance: '-12/+14%'."""
    variance, low, high = (row[name] for name in ("variance", "variance_low", "variance_high"))
    if variance is None or low is None or high is None:
        return "-"
    if variance == 0:
        return "0"
    ends = (100 * (end / variance - 1) for end in (low, high))
    # Two digits are enough for the error of an error.
    return "/".join(f"{end:+.0f}" if abs(end) < 1e4 else f"{end:+.1e}" for end in ends) + "%"


def verdict(row):
    """Tell in one word what the bias of a row means.

    'FAIL': declared unbiased for this target, yet `bias_max_z` lies above `bias_z_limit`.
    'biased': declared for another target, or for none. 'ok': unbiased within its limit. The exact
    answer and rows without numbers get no verdict.
    """
    if row["estimator"] == "exact" or row.get("bias_norm") is None:
        return "-"
    if row["biased"]:
        return "biased"
    z, limit = row.get("bias_max_z"), row.get("bias_z_limit")
    return "FAIL" if z is not None and limit is not None and z > limit else "ok"


def span_text(row):
    """Return the words that replace the numbers of a row, or None where there are numbers."""
    reason = row.get("reason")
    if not row["applicable"]:
        return f"n/a: {reason or 'not applicable'}"
    if row.get("bias_norm") is None and row.get("variance") is None:
        return f"not finite: {reason}" if reason else "not finite"
    return None


# -- columns ---------------------------------------------------------------------------------------


class Column(NamedTuple):
    """One column: its title, the text of its cell, and how the caption explains it."""

    title: str
    cell: object
    """Callable from row to text."""
    meaning: str
    """Part of the caption; {draws} and {repeats} are filled in."""


COLUMNS = (
    Column(
        "bias",
        lambda row: number_text(row["bias_norm"]),
        "bias is the norm of mean estimate minus exact",
    ),
    Column(
        "verdict",
        verdict,
        "verdict says whether that is as declared (FAIL: declared unbiased, but max |z| > {limit})",
    ),
    Column(
        "max|z|",
        lambda row: number_text(row["bias_max_z"]),
        "max|z| is its largest coordinate in standard errors",
    ),
    Column(
        "variance",
        lambda row: number_text(row["variance"]),
        "variance is the trace of the covariance of one estimate from {draws} draws",
    ),
    Column(
        "95 % interval",
        lambda row: interval_text(row["variance_low"], row["variance_high"]),
        "the 95 % interval is that of the variance, from batch means over {repeats} repeats",
    ),
    Column(
        "95 % int.",
        relative_interval_text,
        "95 % int. is the 95 % interval of the variance, relative to it, from batch means over "
        "{repeats} repeats",
    ),
    Column("mse", lambda row: number_text(row["mse"]), "mse = bias^2 + variance"),
    Column("snr", lambda row: number_text(row["snr"]), "snr = norm of the mean / sqrt(variance)"),
    Column("time", lambda row: time_text(row["seconds_per_estimate"]), "time is per estimate"),
    Column(
        "effic.",
        lambda row: number_text(row["efficiency"]),
        "effic. is the efficiency 1 / (mse x seconds)",
    ),
)

RELATIVE = "95 % int."
"""The short form of the interval, which stands in where the long one does not fit."""

# What is left out, step by step, until the rest fits: first what follows from other columns, then
# the interval turns into its short form; bias, verdict and variance are the last to stand.
LEAVE_OUT = (
    {RELATIVE},
    {RELATIVE, "mse"},
    {RELATIVE, "mse", "snr"},
    {RELATIVE, "mse", "snr", "effic."},
    {"95 % interval", "mse", "snr", "effic."},
    {"95 % interval", "mse", "snr", "effic.", "max|z|"},
    {"95 % interval", "mse", "snr", "effic.", "max|z|", "time"},
    {"95 % interval", "mse", "snr", "effic.", "max|z|", "time", RELATIVE},
    {"95 % interval", "mse", "snr", "effic.", "max|z|", "time", RELATIVE, "variance"},
)


class Frame(NamedTuple):
    """The columns that fit a width."""

    name_width: int
    columns: tuple
    widths: tuple
    gap: str
    left_out: tuple
    """Titles of the columns that do not fit."""


def fit_columns(rows, width):
    """Choose the columns that fit.

    Parameters
    ----------
    rows : list of dict
        All rows of all tables, so that every table of one print has the same columns.
    width : int
        Characters per line.

    Returns
    -------
    Frame
    """
    from rich.cells import cell_len

    names = [cell_len(clean_text(row["estimator"])) for row in rows]
    name_width = min(max([*names, len("estimator")]), max(width - 9, 1))
    with_numbers = [row for row in rows if span_text(row) is None]
    sizes = {
        column.title: max([len(column.title), *(len(column.cell(row)) for row in with_numbers)])
        for column in COLUMNS
    }
    for left_out in LEAVE_OUT:
        columns = tuple(column for column in COLUMNS if column.title not in left_out)
        widths = tuple(sizes[column.title] for column in columns)
        for gap in ("  ", " "):
            if name_width + sum(widths) + len(gap) * len(widths) <= width:
                return Frame(name_width, columns, widths, gap, missing_titles(left_out))
    everything = {column.title for column in COLUMNS}
    return Frame(name_width, (), (), " ", missing_titles(everything))


def missing_titles(left_out):
    """Return the titles whose content a reader misses: one form of the interval is enough."""
    forms = {RELATIVE, "95 % interval"}
    gone = left_out if forms <= left_out else left_out - forms
    return tuple(c.title for c in COLUMNS if c.title in gone and c.title != RELATIVE)


# -- lines -----------------------------------------------------------------------------------------


def clean_text(text):
    """Return a name without control characters, which could otherwise steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def wrapped(text, width, hang=0):
    """Break a text into lines of at most `width`, all but the first indented by `hang`."""
    return textwrap.wrap(text, max(width, 1), subsequent_indent=" " * min(hang, width // 2))


def fit_line(line, width):
    """Return a line as it is if it fits, else broken."""
    return [line] if len(line) <= width else wrapped(line, width, hang=4)


def name_cell(name, width):
    """Pad a name to `width` cells, or cut it with '..' if a terminal is too narrow for it."""
    from rich.cells import cell_len, set_cell_size

    name = clean_text(name)
    if cell_len(name) > width:
        return set_cell_size(name, max(width - 2, 0)) + ".."[:width]
    return name + " " * (width - cell_len(name))


def header_line(frame):
    """Return the line of column titles."""
    from rich.text import Text

    titles = [column.title.rjust(size) for column, size in zip(frame.columns, frame.widths, strict=True)]
    return Text(frame.gap.join([name_cell("estimator", frame.name_width), *titles]), "dim")


def row_lines(row, frame, width):
    """Return the lines of one estimator: its numbers, or the reason why there are none."""
    from rich.text import Text

    name = name_cell(row["estimator"], frame.name_width)
    words = span_text(row)
    if words is not None:
        room = width - frame.name_width - 2
        if room < 16:  # too narrow beside the name: the reason goes below
            texts = [name, *(f"  {part}" for part in wrapped(clean_text(words), width - 2))]
        else:
            first, *rest = wrapped(clean_text(words), room, hang=5)
            texts = [f"{name}  {first}", *(" " * (frame.name_width + 2) + part for part in rest)]
        return [Text(text, "dim") for text in texts]
    line = Text(name, "bold" if row["estimator"] == "exact" else "")
    colors = {"FAIL": "bold red", "biased": "yellow", "ok": "green"}
    for column, size in zip(frame.columns, frame.widths, strict=True):
        cell = column.cell(row)
        style = colors.get(verdict(row), "") if column.title in ("bias", "verdict") else ""
        line.append(frame.gap).append(cell.rjust(size), style)
    return [line]


def block_head(rows, width):
    """Return the lines that name a block and its exact answer.

    A part (data, latent dimension, posterior, exact answer) is kept on one line if it fits there.
    """
    from rich.text import Text

    row = rows[0]
    name = clean_text(model_label(row))
    known = next((r for r in rows if r.get("reference_norm") is not None), None)
    parts = [f"{clean_text(row['data'])}, {row['n_data']} rows", f"K = {row['latent_dim']}"]
    if row.get("posterior"):
        parts.append(f"posterior {clean_text(row['posterior'])}")
    if known is not None:
        word = "exact norm" if is_gradient(row["target"]) else "exact"
        error = known.get("reference_se")
        error = f" +- {error:.0e}".replace("e-0", "e-") if error else ""
        parts.append(f"{word} {number_text(known['reference_norm'])}{error} ({known['reference']})")
    lines = [name]
    for part in parts:
        separator = "  " if lines[-1] == name else ", "
        if len(lines[-1]) + len(separator) + len(part) <= width:
            lines[-1] += separator + part
        else:
            lines.append("  " + part)
    texts = [Text(piece) for line in lines for piece in fit_line(line, width)]
    texts[0].stylize("bold cyan", 0, len(name))
    return texts


def caption_lines(rows, settings, frame, width):
    """Return the sentence under a table: units, columns, S and R, and what is left out."""
    from rich.text import Text

    words = {name: common_value(rows, settings, name) for name in ("draws", "repeats")}
    limits = [row["bias_z_limit"] for row in rows if row.get("bias_z_limit") is not None]
    meaning = "; ".join(column.meaning for column in frame.columns).format(
        draws=f"S = {words['draws']}" if words["draws"] is not None else "S",
        repeats=f"R = {words['repeats']}" if words["repeats"] is not None else "R",
        limit=number_text(max(limits, default=None)),
    )
    unit = "nats per unit of parameter" if is_gradient(rows[0]["target"]) else "nats"
    text = f"In {unit} (variance and mse squared): {meaning}."
    if frame.left_out:
        text += f" Left out for want of width: {', '.join(frame.left_out).rstrip('.')}."
    return [Text(line, "dim italic") for line in wrapped(text, width)]


def table_lines(rows, settings, frame, width, dash):
    """Return all lines of the table of one target.

    Parameters
    ----------
    rows : list of dict
        Rows of one target.
    settings : dict
        `draws` and `repeats` are read where the rows do not agree.
    frame : Frame
        From `fit_columns`.
    width : int
        Characters per line.
    dash : str
        One character for rules.
    """
    from rich.text import Text

    target = rows[0]["target"]
    title = " - ".join(part for part in (clean_text(target), TARGETS.get(target)) if part)
    lines = [Text(part, "bold") for part in wrapped(title, width, hang=2)]
    lines.append(header_line(frame))
    for block in group_rows(rows).values():
        lines.append(Text(dash * width, "dim"))
        lines.extend(block_head(block, width))
        for row in block:
            lines.extend(row_lines(row, frame, width))
    lines.append(Text(dash * width, "dim"))
    lines.extend(caption_lines(rows, settings, frame, width))
    return lines


def print_tables(rows, settings, console=None):
    """Print the comparison, one table per target.

    Parameters
    ----------
    rows : list of dict
        Rows with the keys of the JSON schema.
    settings : dict
        Settings of the run; `draws` and `repeats` stand in the captions.
    console : rich.console.Console, optional
        Where to print, and how wide; standard output if left away. Colour appears on a terminal
        only.
    """
    from rich.console import Console

    console = Console() if console is None else console
    dash = "\u2500" if (console.encoding or "").lower().startswith("utf") else "-"
    frame = fit_columns(rows, console.width)
    for index, target in enumerate(order_targets(rows)):
        chosen = [row for row in rows if row["target"] == target]
        if index:
            console.print()
        for line in table_lines(chosen, settings, frame, console.width, dash):
            console.print(line, no_wrap=True, overflow="crop", highlight=False)


def table_text(rows, settings, width=120):
    """Return the tables as plain text without colour, lines at most `width` characters long.

    Parameters
    ----------
    rows : list of dict
        Rows with the keys of the JSON schema.
    settings : dict
        Settings of the run.
    width : int
        Characters per line.

    Returns
    -------
    str
    """
    from rich.console import Console

    sheet = io.StringIO()
    console = Console(file=sheet, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    print_tables(rows, settings, console)
    return "\n".join(line.rstrip() for line in sheet.getvalue().splitlines()) + "\n"
