"""Cells of a version's evaluation report: their names, values and means."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext

from mlengine_project.console.wording import horizon_text

Cell = Mapping[str, Any]


def cells_of(report: Mapping[str, Any]) -> list[Cell]:
    """Cells of a report sorted by market, each with its detail."""
    details = {_key(cell): cell for cell in (report.get("detail") or {}).get("cells") or []}
    cells = [{**cell, "detail": details.get(_key(cell), {})} for cell in report.get("cells") or []]
    return sorted(cells, key=lambda cell: str(cell.get("symbol")))


def by_horizon(cells: Iterable[Cell]) -> dict[int, list[Cell]]:
    """Cells of each horizon, shortest first."""
    groups: dict[int, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(int(cell["horizon"]), []).append(cell)
    return dict(sorted(groups.items()))


def panel_title(horizon: int, cells: Sequence[Cell]) -> str:
    """Name of a horizon with its number of independent outcomes.

    Examples
    --------
    >>> panel_title(6, [{"effective_n": 412.4}, {"effective_n": 380.0}]), panel_title(18, [{}])
    ('30 min, n = 380 to 412 independent', '1 h 30')
    """
    counts = [count for cell in cells if (count := cell_value(cell, "effective_n")) is not None]
    if not counts:
        return horizon_text(horizon)
    low, high = (f"{count:,.0f}" for count in (min(counts), max(counts)))
    between = low if low == high else gettext("%(low)s to %(high)s") % {"low": low, "high": high}
    return gettext("%(horizon)s, n = %(count)s independent") % {"horizon": horizon_text(horizon), "count": between}


def cell_name(cell: Cell) -> str:
    """Name of a cell within its horizon.

    Examples
    --------
    >>> cell_name({"symbol": "BTCUSDT", "target": "high"})
    'BTC high'
    >>> cell_name({"symbol": "ETHUSDT", "side": "buy", "bracket": "1.5x0.75"})
    'ETH buy 1.5×¾'
    """
    words = [str(cell["symbol"]).removesuffix("USDT")]
    words += [gettext(str(cell[name])) for name in ("target", "side") if cell.get(name)]
    bracket = str(cell.get("bracket") or "").replace("0.75", "¾").replace("x", "×")
    return " ".join([*words, bracket] if bracket else words)


def cell_value(cell: Cell, name: str) -> float | None:
    """Value of a cell as float, or None."""
    found = cell.get(name)
    return None if found is None or isinstance(found, bool | str) else float(found)


def means_by_name(cells: Sequence[Cell], table: str, key: str, name: str) -> dict[str, float | None]:
    """Mean over cells of a column of the detail, by the values of its key column."""
    gathered: dict[str, list[float]] = {}
    for cell in cells:
        rows = (cell["detail"] or {}).get(table) or {}
        for label, one in zip(rows.get(key, []), rows.get(name, []), strict=False):
            gathered.setdefault(str(label), []).extend([] if one is None else [float(one)])
    return {label: sum(found) / len(found) if found else None for label, found in gathered.items()}


def has_table(cells: Sequence[Cell], table: str) -> bool:
    """Whether any cell has rows in a table of its detail."""
    return any(any((cell["detail"].get(table) or {}).values()) for cell in cells)


def _key(cell: Cell) -> tuple[Any, ...]:
    return tuple(cell.get(name) for name in ("symbol", "horizon", "target", "side", "bracket"))
