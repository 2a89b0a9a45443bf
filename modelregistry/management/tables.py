"""Tables of reports as lines of plain text."""

from modelregistry.evaluation.reports.tables import Table, split_table

WIDTH = 120
"""Maximum characters of a line."""


def lines_of(table: Table) -> list[str]:
    """Lines of a table, each part after an empty line; one wider than `WIDTH` is split.

    Examples
    --------
    >>> lines_of(Table("", ["market", "rows"], [["AUSDT", "12"]]))
    ['', 'market  rows', ' AUSDT    12']
    """
    lines = []
    for part in split_table(table, WIDTH):
        rows = [part.headers, *part.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(part.headers))]
        lines += ["", part.title] if part.title else [""]
        lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return lines
