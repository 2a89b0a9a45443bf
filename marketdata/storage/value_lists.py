"""Lists of values inside a statement: one parameter for each column on PostgreSQL, one for each value on SQLite.

With hundreds of markets the driver needs longer to bind a parameter for each value than the server for the query.
"""

from collections.abc import Iterable, Sequence

from django.db import connection


def table_of(name: str, *columns: tuple[str, Sequence[int | str]]) -> tuple[str, list[int | str]]:
    """SQL of a table with these columns, given as type and values, and its parameters.

    Its columns are called `column1`, `column2` and so on.
    """
    if connection.vendor == "postgresql":
        arrays = ", ".join(f"%s::{kind}[]" for kind, _ in columns)
        names = ", ".join(f"column{number}" for number in range(1, len(columns) + 1))
        return f"unnest({arrays}) AS {name} ({names})", [array_text(values) for _, values in columns]
    rows = list(zip(*(values for _, values in columns), strict=True))
    marks = f"({', '.join(['%s'] * len(columns))})"
    return f"(VALUES {', '.join([marks] * len(rows))}) AS {name}", [cell for row in rows for cell in row]


def among(column: str, kind: str, values: Sequence[int | str]) -> tuple[str, list[int | str]]:
    """SQL condition that a column has one of these values, and its parameters."""
    if connection.vendor == "postgresql":
        return f"{column} = ANY(%s::{kind}[])", [array_text(values)]
    return f"{column} IN ({', '.join(['%s'] * len(values))})", list(values)


def array_text(values: Iterable[int | str]) -> str:
    r"""Text of an array of PostgreSQL, much faster than the driver's own conversion.

    >>> array_text([1, 2]), array_text(["a", 'quote"\\'])
    ('{1,2}', '{"a","quote\\"\\\\"}')
    """
    return f"{{{','.join([str(one) if isinstance(one, int) else _quoted(one) for one in values])}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
