"""Figures of the detail of a range report: by quantile, by month, by volatility tercile."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelregistry.evaluation.figures.layout import (
    NO_DETAIL,
    Cell,
    Figure,
    by_horizon,
    columns_by_name,
    doubled,
    format_signed,
    horizon_title,
    legend,
    value,
)
from modelregistry.evaluation.figures.svg import Mark, Row, dot_plot, span_of
from modelregistry.evaluation.figures.svg_series import Series, short_period, time_plot

RANGES_SAVED = "1 - loss / loss of the best reference baseline in percent, means over markets, highs and lows."
BAND_SAMPLES = legend(("dot", "own", "80 % band"), ("dot", "second", "90 % band"))


def coverage_marks(cell: Mapping[str, Any], error_80: float | None) -> list[Mark]:
    """Marks of the coverage of both bands."""
    marks = []
    for share, kind in ((80, "own"), (90, "second")):
        found = value(cell, f"coverage_{share}")
        if found is not None:
            hint = f"the {share} % band covers {found:.1f} %"
            marks.append(Mark(found, error_80 if share == 80 else None, "dot", kind, hint))
    return marks


def levels_figure(cells: Sequence[Cell]) -> Figure:
    """Figure of the difference between the share below each quantile and its level."""
    title = "Reliability of the quantiles"
    if not any(cell["detail"].get("levels") for cell in cells):
        return Figure(title, "", missing=NO_DETAIL)
    offs: list[float | None] = []
    drawn = []
    for horizon, of_horizon in by_horizon(cells).items():
        series: list[Series] = []
        names: list[str] = []
        for target, kind in (("high", "own"), ("low", "second")):
            of_target = [cell for cell in of_horizon if cell.get("target") == target]
            below = columns_by_name(of_target, "levels", "level", "below")
            errors = columns_by_name(of_target, "levels", "level", "error")
            marks: list[Mark | None] = []
            for level, found in below.items():
                off = None if found is None else found - float(level)
                bar = doubled(errors.get(level))
                hint = f"{target}: {found:.1f} % of outcomes below the {float(level):g} % quantile" if found else target
                marks.append(None if off is None else Mark(off, bar, "dot", kind, hint))
                offs += [] if off is None else [off - (bar or 0.0), off + (bar or 0.0)]
            names = [f"{float(level):g} %" for level in below] or names
            series.append(Series(marks, kind))
        drawn.append((horizon, names, [one for one in series if len(one.marks) == len(names)]))
    ends = span_of(offs, include=[-2.0, 2.0])
    return Figure(
        title,
        "Share of outcomes below each quantile minus its level, in percentage points; above the line the "
        "quantile is too high. Means over markets, bars two block standard errors.",
        [(horizon_title(h), time_plot(f"quantiles at {h}", names, series, ends, [0.0])) for h, names, series in drawn],
        legend(("dot", "own", "highs"), ("dot", "second", "lows")),
    )


def coverage_over_time(cells: Sequence[Cell]) -> Figure:
    """Figure of the coverage of both bands by month or week."""
    return _over_time(
        cells,
        "Coverage over time",
        "Percent of outcomes inside the 80 and 90 % bands, means over markets, highs and lows. Bars are two block "
        "standard errors of a single market and target.",
        {"coverage_80": ("own", 80.0), "coverage_90": ("second", 90.0)},
        BAND_SAMPLES,
    )


def skill_over_time(cells: Sequence[Cell], caption: str = RANGES_SAVED) -> Figure:
    """Figure of the skill by month or week."""
    return _over_time(
        cells,
        "Skill over time",
        f"{caption} Bars are two block standard errors of a single market and target.",
        {"skill": ("own", 0.0)},
        [],
    )


def terciles_figure(cells: Sequence[Cell]) -> Figure:
    """Figure of coverage and skill by volatility tercile."""
    title = "Volatility terciles"
    if not any(cell["detail"].get("terciles") for cell in cells):
        return Figure(title, "", missing=NO_DETAIL)
    groups, found = {}, []
    for horizon, of_horizon in by_horizon(cells).items():
        columns = {
            name: columns_by_name(of_horizon, "terciles", "tercile", name)
            for name in ("coverage_80", "coverage_90", "skill")
        }
        rows = []
        for name, skill in columns["skill"].items():
            shown = {f"coverage_{share}": columns[f"coverage_{share}"].get(name) for share in (80, 90)}
            found += list(shown.values())
            rows.append(Row(name, coverage_marks(shown, None), format_signed(skill, " %")))
        groups[horizon] = rows
    ends = span_of(found, include=[78.0, 92.0])
    return Figure(
        title,
        "Coverage by tercile of the volatility known at the forecast, means over markets. At the line end: skill.",
        [
            (horizon_title(h), dot_plot(f"terciles at horizon {h}", rows, ends, [80.0, 90.0]))
            for h, rows in groups.items()
        ],
        BAND_SAMPLES,
    )


def _over_time(
    cells: Sequence[Cell],
    title: str,
    caption: str,
    columns: Mapping[str, tuple[str, float]],
    samples: Sequence[tuple[str, str]],
) -> Figure:
    if not any((cell["detail"].get("periods") or {}).get("period") for cell in cells):
        return Figure(title, "", missing=NO_DETAIL)
    bounds: list[float | None] = []
    drawn = []
    for horizon, of_horizon in by_horizon(cells).items():
        names = sorted(columns_by_name(of_horizon, "periods", "period", next(iter(columns))))
        series = []
        for column, (kind, _) in columns.items():
            found = columns_by_name(of_horizon, "periods", "period", column)
            errors = columns_by_name(of_horizon, "periods", "period", f"{column}_error")
            marks: list[Mark | None] = []
            for name in names:
                one, bar = found.get(name), doubled(errors.get(name))
                marks.append(None if one is None else Mark(one, bar, "dot", kind, f"{name}: {one:.1f} %"))
                bounds += [] if one is None else [one - (bar or 0.0), one + (bar or 0.0)]
            series.append(Series(marks, kind))
        drawn.append((horizon, [short_period(name) for name in names], series))
    nominal = [level for _, level in columns.values()]
    ends = span_of(bounds, include=nominal)
    panels = [
        (horizon_title(h), time_plot(f"{title.lower()} at horizon {h}", names, series, ends, nominal))
        for h, names, series in drawn
    ]
    return Figure(title, caption, panels, samples)
