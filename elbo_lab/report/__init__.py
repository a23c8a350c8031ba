"""Rows in, text out: tables, captions, cautions and advice. Nothing is computed here.

cells       numbers, times, intervals and verdicts as words
grouping    which rows belong together, and in what order
columns     the columns of a table, and which of them fit a width
tables      the comparison as text: one table per target
blocks      small tables at any width
ratios      the table of paired ratios
cautions    which numbers of a comparison not to trust
advice      the advice in words
"""

from elbo_lab.report.cells import interval_text, number_text, time_text, verdict
from elbo_lab.report.tables import print_tables, table_text

__all__ = ["interval_text", "number_text", "print_tables", "table_text", "time_text", "verdict"]
