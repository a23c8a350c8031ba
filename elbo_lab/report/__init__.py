"""Rows in, text out: tables, captions, cautions and advice. Nothing is computed here.

cells       numbers, times, intervals and verdicts as words
grouping    which rows belong together, and in what order
columns     the columns of a table, and which of them fit a width
blocks      lines of text, and small tables at any width
tables      the comparison as text: one table per target
summary     the comparison in a few lines
ratios      the table of paired ratios
power       the table of second verdicts
difference  the difference of two runs
machine     what the numbers were computed on
numbers     what a fit or an evaluation found
snippet     what a notebook shows
frame       rows for pandas
cautions    which numbers of a comparison not to trust
advice      the finding of an advice, and its one table
parameters  the parameters of a fit, by the names of textbooks
"""

from elbo_lab.report.blocks import (
    block_lines,
    dash_of,
    print_lines,
    text_of,
    width_or_terminal,
    wrapped_texts,
)
from elbo_lab.report.cautions import caution_lines
from elbo_lab.report.cells import Row, Rows, interval_text, number_text, time_text, value_text, verdict
from elbo_lab.report.difference import difference_lines, difference_summary
from elbo_lab.report.grouping import group_rows, model_label, order_targets
from elbo_lab.report.summary import summary_lines
from elbo_lab.report.tables import comparison_lines, table_text

__all__ = [
    "Row",
    "Rows",
    "block_lines",
    "caution_lines",
    "comparison_lines",
    "dash_of",
    "difference_lines",
    "difference_summary",
    "group_rows",
    "interval_text",
    "model_label",
    "number_text",
    "order_targets",
    "print_lines",
    "summary_lines",
    "table_text",
    "text_of",
    "time_text",
    "value_text",
    "verdict",
    "width_or_terminal",
    "wrapped_texts",
]
