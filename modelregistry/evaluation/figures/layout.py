"""Shared parts of report figures: titles, legends and grouping into panels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelregistry.evaluation.figures import svg

NO_DETAIL = (
    "This report holds no detailed figures, so there is nothing to draw here; "
    "train a new version, or run `manage.py evaluate_models`, to get them."
)
Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """Panels with a title, or an explanation why there are none.

    Parameters
    ----------
    title, caption : str
    panels : sequence of (str, str)
        Title and drawing of each.
    legend : sequence of (str, str)
        Sample mark and its meaning.
    missing : str
        Why there are no panels; else empty.
    """

    title: str
    caption: str
    panels: Sequence[tuple[str, str]] = ()
    legend: Sequence[tuple[str, str]] = field(default_factory=list)
    missing: str = ""


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


def horizon_title(horizon: int) -> str:
    """Name a horizon in candles and in time.

    Examples
    --------
    >>> horizon_title(6), horizon_title(18)
    ('6 candles · 30 min', '18 candles · 1.5 h')
    """
    minutes = 5 * horizon
    return f"{horizon} candles · {minutes} min" if minutes < 60 else f"{horizon} candles · {minutes / 60:g} h"


def short_name(cell: Cell) -> str:
    """Name a cell within its horizon.

    Examples
    --------
    >>> short_name({"symbol": "BTCUSDT", "target": "high"})
    'BTC high'
    >>> short_name({"symbol": "ETHUSDT", "side": "buy", "bracket": "1.5x0.75"})
    'ETH buy 1.5×¾'
    """
    words = [str(cell["symbol"]).removesuffix("USDT")]
    words += [str(cell[name]) for name in ("target", "side", "bracket") if cell.get(name)]
    return " ".join(words).replace("0.75", "¾").replace("x", "×")


def value(cell: Cell, name: str) -> float | None:
    """Value of a cell as float, or None."""
    found = cell.get(name)
    return None if found is None or isinstance(found, bool | str) else float(found)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the known values, None without any.

    Examples
    --------
    >>> mean([1.0, None, 3.0]), mean([None])
    (2.0, None)
    """
    known = [one for one in values if one is not None]
    return sum(known) / len(known) if known else None


def format_signed(figure: float | None, unit: str = "", digits: int = 1) -> str:
    """Format a value with its sign.

    Examples
    --------
    >>> format_signed(1.25), format_signed(-0.5, " %"), format_signed(None)
    ('+1.2', '−0.5 %', '–')
    """
    if figure is None:
        return "–"
    written = f"{abs(figure):.{digits}f}"
    sign = "" if float(written) == 0 else "+" if figure > 0 else "−"
    return f"{sign}{written}{unit}"


def doubled(error: float | None) -> float | None:
    """Two standard errors, the length of error bars."""
    return None if error is None else 2 * error


def columns_by_name(cells: Sequence[Cell], table: str, key: str, name: str) -> dict[str, float | None]:
    """Mean over cells of a detail column, by the values of its key column."""
    gathered: dict[str, list[float | None]] = {}
    for cell in cells:
        rows = (cell["detail"] or {}).get(table) or {}
        for label, one in zip(rows.get(key, []), rows.get(name, []), strict=False):
            gathered.setdefault(str(label), []).append(one)
    return {label: mean(found) for label, found in gathered.items()}


def effective_figure(cells: Sequence[Cell]) -> Figure:
    """Figure of the effective sample size of each cell."""
    if not any(value(cell, "effective_n") for cell in cells):
        return Figure("Effective sample size", "", missing=NO_DETAIL)
    counts = [value(cell, "effective_n") for cell in cells]
    ends = svg.span_of(counts, include=[0.0])
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        rows = []
        for cell in of_horizon:
            count, total = value(cell, "effective_n"), int(cell.get("rows") or 0)
            if count is not None:
                rows.append(svg.Row(short_name(cell), [svg.Mark(count, hint=f"of {total:,} rows")], f"{count:,.0f}"))
        panels.append((horizon_title(horizon), svg.dot_plot(f"effective n at {horizon}", rows, ends)))
    return Figure(
        "Effective sample size",
        "Number of independent observations with the same standard error of the skill. Neighbouring outcomes "
        "overlap, so it is far below the number of rows.",
        panels,
    )


def legend(*entries: tuple[str, str, str]) -> list[tuple[str, str]]:
    """Legend entries from (shape, class, label)."""
    return [(svg.sample(shape, kind), words) for shape, kind, words in entries]


def _key(cell: Cell) -> tuple[Any, ...]:
    return tuple(cell.get(name) for name in ("symbol", "horizon", "target", "side", "bracket"))
