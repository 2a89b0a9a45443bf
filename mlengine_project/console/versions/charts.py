"""Charts of a version's evaluation report, as data for the page.

The page draws them, and shows the same numbers as a table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from django.utils.translation import gettext

from mlengine_project.console.versions.cells import (
    Cell,
    by_horizon,
    cell_name,
    cell_value,
    has_table,
    means_by_name,
    panel_title,
)
from mlengine_project.console.wording import horizon_text

Form = Literal["rows", "time", "columns", "curves"]
Tone = Literal["own", "second", "third", "other"]
Numbers = Sequence[float | None]


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
    return Chart(title, caption, form, panels=panels, ends=axis_range(panels, include), **more)


def chart_without_detail(title: str) -> Chart:
    """A chart that cannot be drawn from a report without detail."""
    explanation = gettext("This report holds no detail. Train a new version to get it.")
    return Chart(title, missing=explanation)


def axis_range(panels: Sequence[Panel], include: Sequence[float] = (), margin: float = 0.06) -> tuple[float, float]:
    """Ends of a scale that holds all values with their bars, never of length zero.

    Examples
    --------
    >>> axis_range([Panel("", ["a", "b"], [Series("own", [1.0, None], [0.5, None])])], [0.0], margin=0.0)
    (0.0, 1.5)
    >>> axis_range([], [2.0])
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


def two_standard_errors(errors: Iterable[float | None]) -> list[float | None]:
    """Lengths of error bars: two standard errors each."""
    return [None if error is None else 2 * error for error in errors]


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


def skill_over_time(cells: Sequence[Cell], caption: str) -> Chart:
    """Chart of the skill by month or week."""
    note = gettext("Bars are two block standard errors of a single market and target.")
    columns: dict[str, tuple[str, Tone]] = {"skill": (gettext("skill"), "own")}
    return over_time(cells, gettext("Skill over time"), f"{caption} {note}", columns, [0.0])


def over_time(
    cells: Sequence[Cell], title: str, caption: str, columns: Mapping[str, tuple[str, Tone]], lines: list[float]
) -> Chart:
    """Chart of columns of the detail by period, one panel for each horizon."""
    if not has_table(cells, "periods"):
        return chart_without_detail(title)
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        periods = sorted(means_by_name(of_horizon, "periods", "period", next(iter(columns))))
        series = []
        for column, (name, tone) in columns.items():
            found = means_by_name(of_horizon, "periods", "period", column)
            errors = means_by_name(of_horizon, "periods", "period", f"{column}_error")
            values = [found.get(period) for period in periods]
            bars = two_standard_errors(errors.get(period) for period in periods)
            series.append(Series(name, values, bars, tone=tone))
        panels.append(Panel(panel_title(horizon, of_horizon), periods, series))
    return chart(title, caption, panels, "time", unit="%", lines=lines)


def effective_sizes(cells: Sequence[Cell]) -> Chart:
    """Chart of the number of independent outcomes of each cell."""
    title = gettext("Independent outcomes")
    if not any(cell_value(cell, "effective_n") for cell in cells):
        return chart_without_detail(title)
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        known = [cell for cell in of_horizon if cell_value(cell, "effective_n") is not None]
        notes = [gettext("of %(rows)s") % {"rows": f"{int(cell.get('rows') or 0):,}"} for cell in known]
        counts = Series(title, [cell_value(cell, "effective_n") for cell in known])
        panels.append(Panel(horizon_text(horizon), [cell_name(cell) for cell in known], [counts], notes))
    caption = gettext(
        "Number of independent observations with the same standard error of the skill. Neighbouring outcomes overlap, "
        "so it is far below the number of rows."
    )
    return chart(title, caption, panels, lines=[0.0])
