"""Charts of a range report: skill, losses beside baselines, coverage, quantiles, terciles."""

from collections.abc import Sequence

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
from mlengine_project.console.versions.charts import (
    Chart,
    Panel,
    Series,
    Tone,
    chart,
    chart_without_detail,
    effective_sizes,
    over_time,
    signed,
    skill_over_time,
    two_standard_errors,
)

SHAPES = ("rect", "diamond", "triangle", "cross", "down")
BASELINES = {
    "ewm": "EWM",
    "har": "HAR",
    "har_season": "HAR with time of day",
    "har_season_90d": "HAR with time of day, rescaled on 90 days",
    "ridge": "ridge regression",
}
"""Baselines that are drawn; the others are far off and would compress the scale."""


def range_charts(cells: Sequence[Cell]) -> list[Chart]:
    """All charts of a range report, the four of the overview first."""
    caption = gettext("1 - loss / loss of the best reference baseline in percent, means over markets, highs and lows.")
    return [
        skill_over_time(cells, caption),
        coverage_over_time(cells),
        quantile_reliability(cells),
        skills(cells),
        losses(cells),
        coverages(cells),
        terciles(cells),
        effective_sizes(cells),
    ]


def skills(cells: Sequence[Cell]) -> Chart:
    """Chart of the skill by market and horizon, with two block errors."""
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        found = [cell_value(cell, "skill") for cell in of_horizon]
        errors = two_standard_errors(cell_value(cell, "skill_error") for cell in of_horizon)
        names, notes = [cell_name(cell) for cell in of_horizon], [signed(one, " %") for one in found]
        panels.append(Panel(panel_title(horizon, of_horizon), names, [Series(gettext("skill"), found, errors)], notes))
    caption = gettext(
        "1 - loss / loss of the best reference baseline, in percent. Bars are two block standard errors, the larger of "
        "daily and weekly blocks; a bar that reaches the zero line shows no significant gain."
    )
    return chart(gettext("Skill"), caption, panels, unit="%", lines=[0.0])


def losses(cells: Sequence[Cell]) -> Chart:
    """Chart of the pinball loss beside every baseline."""
    names = [name for name in BASELINES if any(name in (cell.get("baselines") or {}) for cell in cells)]
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        known = [
            cell
            for cell in of_horizon
            if (cell.get("baselines") or {}).get(cell.get("best_baseline")) and cell_value(cell, "pinball") is not None
        ]
        best = [float(cell["baselines"][cell["best_baseline"]]) for cell in known]
        own = Series(
            gettext("this version"),
            [100 * float(cell["pinball"]) / one for cell, one in zip(known, best, strict=True)],
            # The error of the skill is that of the loss relative to the same baseline.
            two_standard_errors(cell_value(cell, "skill_error") for cell in known),
        )
        others = [
            Series(
                gettext(BASELINES[name]),
                [
                    100 * float(cell["baselines"][name]) / one if cell["baselines"].get(name) else None
                    for cell, one in zip(known, best, strict=True)
                ],
                tone="other",
                shape=shape,
            )
            for name, shape in zip(names, SHAPES, strict=False)
        ]
        notes = [f"{float(cell['pinball']):.1f} bps" for cell in known]
        panels.append(Panel(panel_title(horizon, known), [cell_name(cell) for cell in known], [own, *others], notes))
    caption = gettext(
        "Mean over seven quantiles, best baseline = 100; further left is better. At the end of each line the loss in "
        "basis points of the price. Bars are two block standard errors of the difference to the best baseline."
    )
    return chart(gettext("Pinball loss beside reference baselines"), caption, panels, lines=[100.0])


def coverages(cells: Sequence[Cell]) -> Chart:
    """Chart of the coverage of the central bands."""
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        eighty, ninety = ([cell_value(cell, f"coverage_{share}") for cell in of_horizon] for share in (80, 90))
        errors = two_standard_errors(cell_value(cell, "coverage_80_error") for cell in of_horizon)
        notes = [f"{_whole(a)} / {_whole(b)}" for a, b in zip(eighty, ninety, strict=True)]
        series = [
            Series(gettext("80 % band"), eighty, errors),
            Series(gettext("90 % band"), ninety, tone="second", shape="diamond"),
        ]
        names = [cell_name(cell) for cell in of_horizon]
        panels.append(Panel(panel_title(horizon, of_horizon), names, series, notes))
    caption = gettext(
        "Percent of outcomes inside the central 80 and 90 % bands; the lines are the nominal coverage. Bars are two "
        "block standard errors."
    )
    return chart(gettext("Coverage"), caption, panels, unit="%", lines=[80.0, 90.0], include=[78.0, 92.0])


def coverage_over_time(cells: Sequence[Cell]) -> Chart:
    """Chart of the coverage of both bands by month or week."""
    caption = gettext(
        "Percent of outcomes inside the 80 and 90 % bands, means over markets, highs and lows. Bars are two block "
        "standard errors of a single market and target."
    )
    columns: dict[str, tuple[str, Tone]] = {
        "coverage_80": (gettext("80 % band"), "own"),
        "coverage_90": (gettext("90 % band"), "second"),
    }
    return over_time(cells, gettext("Coverage over time"), caption, columns, [80.0, 90.0])


def quantile_reliability(cells: Sequence[Cell]) -> Chart:
    """Chart of the share below each quantile minus its level."""
    title = gettext("Reliability of the quantiles")
    if not has_table(cells, "levels"):
        return chart_without_detail(title)
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        series, levels = [], list(means_by_name(of_horizon, "levels", "level", "below"))
        for target, name, tone, shape in (
            ("high", gettext("highs"), "own", "circle"),
            ("low", gettext("lows"), "second", "diamond"),
        ):
            of_target = [cell for cell in of_horizon if cell.get("target") == target]
            below = means_by_name(of_target, "levels", "level", "below")
            errors = means_by_name(of_target, "levels", "level", "error")
            off = [None if (one := below.get(level)) is None else one - float(level) for level in levels]
            bars = two_standard_errors(errors.get(level) for level in levels)
            series.append(Series(name, off, bars, tone=tone, shape=shape))  # type: ignore[arg-type]
        panels.append(Panel(panel_title(horizon, of_horizon), [f"{float(level):g} %" for level in levels], series))
    caption = gettext(
        "Share of outcomes below each quantile minus its level, in percentage points; above the line the quantile is "
        "too high. Means over markets, bars two block standard errors."
    )
    return chart(title, caption, panels, "time", lines=[0.0], include=[-2.0, 2.0])


def terciles(cells: Sequence[Cell]) -> Chart:
    """Chart of coverage and skill by volatility tercile."""
    title = gettext("Volatility terciles")
    if not has_table(cells, "terciles"):
        return chart_without_detail(title)
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        eighty, ninety, skill = (
            means_by_name(of_horizon, "terciles", "tercile", name) for name in ("coverage_80", "coverage_90", "skill")
        )
        series = [
            Series(gettext("80 % band"), [eighty.get(name) for name in skill]),
            Series(gettext("90 % band"), [ninety.get(name) for name in skill], tone="second", shape="diamond"),
        ]
        notes = [signed(one, " %") for one in skill.values()]
        panels.append(Panel(panel_title(horizon, of_horizon), [gettext(name) for name in skill], series, notes))
    caption = gettext(
        "Coverage by tercile of the volatility known at the forecast, means over markets. At the line end: skill. The "
        "report holds no errors of terciles."
    )
    return chart(title, caption, panels, unit="%", lines=[80.0, 90.0], include=[78.0, 92.0])


def _whole(share: float | None) -> str:
    return "–" if share is None else f"{share:.0f}"
