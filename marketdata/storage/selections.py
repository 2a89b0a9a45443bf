"""Pages of one table's rows by comparisons of columns, without Django's query compiler.

Django takes longer to write the query of a short list than PostgreSQL to answer it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection
from django.db.models import Model, Q, QuerySet

from marketdata.storage.text_rows import Columns

OPERATORS = {"": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass(frozen=True)
class Selection:
    """Rows of a table whose columns compare with values, in an order.

    Parameters
    ----------
    model : type of Model
    order : tuple of str
        Columns, `-` before a descending one; the last is the primary key, so the order is total.
    comparisons : tuple of (str, value)
        Column and operator as in a Django filter: `symbol`, `open_time__gte`.
    """

    model: type[Model]
    order: tuple[str, ...]
    comparisons: tuple[tuple[str, Any], ...] = ()

    def where(self, **comparisons: Any) -> "Selection":
        """The rows that also compare with these values."""
        return replace(self, comparisons=(*self.comparisons, *comparisons.items()))

    @property
    def rows(self) -> QuerySet[Any]:
        """The rows as a Django query."""
        wanted = Q()
        for name, value in self.comparisons:
            wanted &= Q(**{name: value})
        return self.model._default_manager.filter(wanted).order_by(*self.order)  # noqa: SLF001

    def page(self, columns: Columns, key: Sequence[Any] | None, backwards: bool, n_rows: int) -> list[tuple[Any, ...]]:
        """Values of at most so many rows after a key, or before it in the opposite order; without a key from the end.

        A key holds the values of the columns of the order.
        """
        order = tuple(reversed_column(name) for name in self.order) if backwards else self.order
        if connection.vendor != "postgresql":
            rows = self.rows if key is None else self.rows.filter(rows_after(order, key))
            return columns.read(rows.order_by(*order)[:n_rows])
        conditions, values = [], []
        for name, value in self.comparisons:
            column, _, operator = name.partition("__")
            conditions.append(f"{self._column(column)} {OPERATORS[operator]} %s")
            values.append(value)
        if key is not None:
            condition, compared = self._after(order, key)
            conditions.append(condition)
            values += compared
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        ends = ", ".join(f"{self._column(name)} {'DESC' if name.startswith('-') else 'ASC'}" for name in order)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {columns.expressions} FROM {self._table} {where} ORDER BY {ends} LIMIT {int(n_rows)}",  # noqa: S608
                values,
            )
            return cursor.fetchall()

    @property
    def _table(self) -> str:
        return f'"{self.model._meta.db_table}"'  # noqa: SLF001

    def _column(self, name: str) -> str:
        return f'{self._table}."{self.model._meta.get_field(name.lstrip("-")).column}"'  # type: ignore[union-attr]  # noqa: SLF001

    def _after(self, order: Sequence[str], key: Sequence[Any]) -> tuple[str, list[Any]]:
        """Condition of :func:`rows_after` in SQL, and its values."""
        condition = ""
        values: list[Any] = []
        for name, operator, value in reversed(list(compared(order, key))):
            column = self._column(name)
            later = f"{column} {operator} %s"
            condition = f"({later} OR ({column} = %s AND {condition}))" if condition else later
            values = [value, value, *values] if values else [value]
        name, operator, value = next(compared(order, key))
        return f"({self._column(name)} {operator}= %s AND {condition})", [value, *values]


def compared(order: Sequence[str], key: Sequence[Any]) -> Iterator[tuple[str, str, Any]]:
    """Column, operator of later rows, and value of each part of a key.

    >>> list(compared(["-candle_time", "id"], [5, 7]))
    [('candle_time', '<', 5), ('id', '>', 7)]
    """
    for name, value in zip(order, key, strict=True):
        yield name.lstrip("-"), "<" if name.startswith("-") else ">", value


def reversed_column(name: str) -> str:
    """The same order column in the opposite direction.

    >>> reversed_column("-candle_time"), reversed_column("symbol")
    ('candle_time', '-symbol')
    """
    return name[1:] if name.startswith("-") else f"-{name}"


def rows_after(order: Sequence[str], key: Sequence[Any]) -> Q:
    """Filter for the rows after a key.

    The bound on the first column is also given alone, so that an index on that column is used.
    """
    conditions = Q()
    for column, operator, value in reversed(list(compared(order, key))):
        later = Q(**{f"{column}__{'lt' if operator == '<' else 'gt'}": value})
        conditions = later | (Q(**{column: value}) & conditions) if conditions else later
    column, operator, value = next(compared(order, key))
    return Q(**{f"{column}__{'lte' if operator == '<' else 'gte'}": value}) & conditions
