"""Rows as CSV that a spreadsheet opens as words and figures, and never as a formula."""

import csv
import io
from collections.abc import Iterable

# What begins a formula in one spreadsheet or another, their full-width forms too; and the mark that we add ourselves,
# so that taking one leading ' away gives back what was there.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠", "'")


def csv_line(values: Iterable[object]) -> str:
    """One line of a CSV file, with its end. None is an empty cell."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow([safe_cell(value) for value in values])
    return line.getvalue()


def safe_cell(value: object) -> str:
    """`value` as a cell: one that would begin a formula gains one leading '."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
