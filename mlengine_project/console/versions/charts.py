"""Numbers of the charts of statistics; the page draws them, and shows the same numbers as a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from django.utils.translation import gettext

from mlengine_project.console.wording import horizon_text

Cell = Mapping[str, Any]
Form = Literal["rows", "time", "columns", "curves"]
Tone = Literal["own", "second", "third", "other"]
Numbers = list[float | None]


@dataclass(frozen=True)
class Series:
    """One series of a panel.

    Parameters
    ----------
    name : str
    values : list of float or None
        One for each category; None is not drawn.
    errors : list of float or None
        Half lengths of the bars; None draws no bar.
    at : list of float
        Positions on the horizontal axis, for `curves` only.
    tone, shape : str
    """

    name: str
    values: Numbers
    errors: Numbers = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    tone: Tone = "own"
    shape: str = "circle"


@dataclass(frozen=True)
class Panel:
    """One of several charts beside each other, with a scale they share."""

    title: str
    categories: list[str]
    series: list[Series]
    notes: list[str] = field(default_factory=list)
    """A text at the end of each row."""


@dataclass(frozen=True)
class Chart:
    """Panels with a title, or an explanation why there are none.

    Parameters
    ----------
    title, caption : str
    form : {"rows", "time", "columns", "curves"}
        Values by name, over time, as columns from zero, or frequency over probability.
    unit : str
    lines : list of float
        Reference lines, for example zero.
    ends : (float, float)
        Ends of the scale of all panels.
    panels : list of Panel
    missing : str
        Why there are no panels; else empty.
    """

    title: str
    caption: str = ""
    form: Form = "rows"
    unit: str = ""
    lines: list[float] = field(default_factory=list)
    ends: tuple[float, float] = (0.0, 1.0)
    panels: list[Panel] = field(default_factory=list)
    missing: str = ""

    def as_json(self) -> dict[str, Any]:
        """The chart as JSON values."""
        return asdict(self)


def chart(title: str, caption: str, panels: list[Panel], form: Form = "rows", **more: Any) -> Chart:
    """A chart whose scale holds every value with its bar, and every reference line."""
    include = [*more.pop("include", []), *more.get("lines", [])]
    return Chart(title, caption, form, panels=panels, ends=ends_of(panels, include), **more)


def no_detail(title: str) -> Chart:
    """A chart that cannot be drawn from a report without detail."""
    explanation = gettext("This report holds no detail. Train a new version to get it.")
    return Chart(title, missing=explanation)


def ends_of(panels: Sequence[Panel], include: Sequence[float] = (), margin: float = 0.06) -> tuple[float, float]:
    """Ends of a scale that holds all values with their bars, never of length zero.

    Examples
    --------
    >>> ends_of([Panel("", ["a", "b"], [Series("own", [1.0, None], [0.5, None])])], [0.0], margin=0.0)
    (0.0, 1.5)
    >>> ends_of([], [2.0])
    (1.0, 3.0)
    """
    known = list(include)
    for series in (one for panel in panels for one in panel.series):
        bars = series.errors or [None] * len(series.values)
        pairs = [(value, bar or 0.0) for value, bar in zip(series.values, bars, strict=True) if value is not None]
        known += [value + side * bar for value, bar in pairs for side in (-1, 1)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-9):
        return low - 1.0, high + 1.0
    return low - margin * (high - low), high + margin * (high - low)


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
    counts = [count for cell in cells if (count := value(cell, "effective_n")) is not None]
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


def value(cell: Cell, name: str) -> float | None:
    """Value of a cell as float, or None."""
    found = cell.get(name)
    return None if found is None or isinstance(found, bool | str) else float(found)


def doubled(error: float | None) -> float | None:
    """Two standard errors, the length of error bars."""
    return None if error is None else 2 * error


def signed(figure: float | None, unit: str = "", places: int = 1) -> str:
    """A value with its sign.

    Examples
    --------
    >>> signed(1.25), signed(-0.5, " %"), signed(None)
    ('+1.2', '−0.5 %', '–')
    """
    if figure is None:
        return "–"
    written = f"{abs(figure):.{places}f}"
    sign = "" if float(written) == 0 else "+" if figure > 0 else "−"
    return f"{sign}{written}{unit}"


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


def skill_over_time(cells: Sequence[Cell], caption: str) -> Chart:
    """Chart of the skill by month or week."""
    note = gettext("Bars are two block standard errors of a single market and target.")
    columns = {"skill": (gettext("skill"), "own")}
    return over_time(cells, gettext("Skill over time"), f"{caption} {note}", columns, [0.0])


def over_time(
    cells: Sequence[Cell], title: str, caption: str, columns: Mapping[str, tuple[str, Any]], lines: list[float]
) -> Chart:
    """Chart of columns of the detail by period, one panel for each horizon."""
    if not has_table(cells, "periods"):
        return no_detail(title)
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        periods = sorted(means_by_name(of_horizon, "periods", "period", next(iter(columns))))
        series = []
        for column, (name, tone) in columns.items():
            found = means_by_name(of_horizon, "periods", "period", column)
            errors = means_by_name(of_horizon, "periods", "period", f"{column}_error")
            values = [found.get(period) for period in periods]
            series.append(Series(name, values, [doubled(errors.get(period)) for period in periods], tone=tone))
        panels.append(Panel(panel_title(horizon, of_horizon), periods, series))
    return chart(title, caption, panels, "time", unit="%", lines=lines)


def effective_sizes(cells: Sequence[Cell]) -> Chart:
    """Chart of the number of independent outcomes of each cell."""
    title = gettext("Independent outcomes")
    if not any(value(cell, "effective_n") for cell in cells):
        return no_detail(title)
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        known = [cell for cell in of_horizon if value(cell, "effective_n") is not None]
        notes = [gettext("of %(rows)s") % {"rows": f"{int(cell.get('rows') or 0):,}"} for cell in known]
        counts = Series(title, [value(cell, "effective_n") for cell in known])
        panels.append(Panel(horizon_text(horizon), [cell_name(cell) for cell in known], [counts], notes))
    caption = gettext(
        "Number of independent observations with the same standard error of the skill. Neighbouring outcomes overlap, "
        "so it is far below the number of rows."
    )
    return chart(title, caption, panels, lines=[0.0])


def _key(cell: Cell) -> tuple[Any, ...]:
    return tuple(cell.get(name) for name in ("symbol", "horizon", "target", "side", "bracket"))
