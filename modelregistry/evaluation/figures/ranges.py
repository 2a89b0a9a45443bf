"""Figures of a report: calibration, coverage, skill, losses beside baselines, net result.

Pure functions from a report to SVG text. A figure without data holds an explanation instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from modelregistry.evaluation.figures.detail import (
    BAND_SAMPLES,
    coverage_marks,
    coverage_over_time,
    levels_figure,
    skill_over_time,
    terciles_figure,
)
from modelregistry.evaluation.figures.layout import (
    Cell,
    Figure,
    by_horizon,
    cells_of,
    doubled,
    effective_figure,
    format_signed,
    horizon_title,
    legend,
    short_name,
    value,
)
from modelregistry.evaluation.figures.probabilities import bracket_figures, direction_figures
from modelregistry.evaluation.figures.svg import Mark, Row, dot_plot, span_of

SHAPES = ("tick", "diamond", "triangle", "square", "cross")
NAMES = {
    "ewm": "EWM volatility",
    "har": "HAR",
    "har_season": "HAR with time of day",
    "har_season_90d": "HAR with time of day, rescaled on 90 days",
    "ridge": "ridge regression",
}


def figures_of(kind: str, report: Mapping[str, Any]) -> list[Figure]:
    """All figures of a report in reading order; none without cells.

    Parameters
    ----------
    kind : str
        "range_predictor", "tpsl_classifier" or "signal_classifier".
    report : mapping
        From :mod:`modelregistry.evaluation.reports.report`, with or without `detail`.

    Examples
    --------
    >>> figures_of("range_predictor", {})
    []
    """
    cells = cells_of(report)
    if not cells:
        return []
    if kind == "tpsl_classifier":
        return bracket_figures(report, cells)
    if kind == "signal_classifier":
        return direction_figures(cells)
    return [
        skill_figure(cells),
        losses_figure(cells),
        coverage_figure(cells),
        levels_figure(cells),
        coverage_over_time(cells),
        skill_over_time(cells),
        terciles_figure(cells),
        effective_figure(cells),
    ]


def skill_figure(cells: Sequence[Cell]) -> Figure:
    """Figure of the skill by market and horizon, with two block errors."""
    bounds = [
        skill + side * (doubled(value(cell, "skill_error")) or 0.0)
        for cell in cells
        if (skill := value(cell, "skill")) is not None
        for side in (-1, 1)
    ]
    ends = span_of(bounds, include=[0.0])
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        rows = [_one(cell, "skill", "skill_error", format_signed(value(cell, "skill"), " %")) for cell in of_horizon]
        panels.append((horizon_title(horizon), dot_plot(f"skill at horizon {horizon}", rows, ends, [0.0])))
    return Figure(
        "Skill",
        "1 - loss / loss of the best reference baseline, in percent. Bars are two block standard errors, the "
        "larger of daily and weekly blocks; a bar that reaches the line shows no significant gain.",
        panels,
    )


def losses_figure(cells: Sequence[Cell]) -> Figure:
    """Figure of the pinball loss beside every baseline."""
    names = [name for name in NAMES if any(name in (cell.get("baselines") or {}) for cell in cells)]
    shapes = dict(zip(names, SHAPES, strict=False))
    relative: list[float | None] = []
    groups = {}
    for horizon, of_horizon in by_horizon(cells).items():
        rows = []
        for cell in of_horizon:
            losses = cell.get("baselines") or {}
            baseline, own = losses.get(cell.get("best_baseline")), value(cell, "pinball")
            if not baseline or own is None:
                continue
            marks = [
                Mark(
                    100 * losses[name] / baseline, None, shapes[name], "other", f"{NAMES[name]}: {losses[name]:.2f} bps"
                )
                for name in names
                if losses.get(name)
            ]
            marks.append(Mark(100 * own / baseline, None, "dot", "own", f"this version: {own:.2f} bps"))
            relative += [one.value for one in marks]
            rows.append(Row(short_name(cell), marks, f"{own:.1f} bps"))
        groups[horizon] = rows
    ends = span_of(relative, include=[100.0])
    return Figure(
        "Pinball loss beside reference baselines",
        "Mean over seven quantiles, best baseline = 100; further left is better. At the end of each line the "
        "loss in basis points of the price.",
        [(horizon_title(h), dot_plot(f"loss at horizon {h}", rows, ends, [100.0])) for h, rows in groups.items()],
        legend(("dot", "own", "this version"), *((shapes[name], "other", NAMES[name]) for name in names)),
    )


def coverage_figure(cells: Sequence[Cell]) -> Figure:
    """Figure of the coverage of the central bands."""
    found = [value(cell, f"coverage_{share}") for cell in cells for share in (80, 90)]
    ends = span_of(found, include=[78.0, 92.0])
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        rows = []
        for cell in of_horizon:
            marks = coverage_marks(cell, doubled(value(cell, "coverage_80_error")))
            written = " / ".join(
                "–" if (one := value(cell, f"coverage_{s}")) is None else f"{one:.0f}" for s in (80, 90)
            )
            rows.append(Row(short_name(cell), marks, written))
        panels.append((horizon_title(horizon), dot_plot(f"coverage at horizon {horizon}", rows, ends, [80.0, 90.0])))
    return Figure(
        "Coverage",
        "Percent of outcomes inside the central 80 and 90 % bands; the vertical lines are the nominal coverage. Bars "
        "are two block standard errors.",
        panels,
        BAND_SAMPLES,
    )


def _one(cell: Cell, name: str, error: str, figure: str) -> Row:
    found = value(cell, name)
    marks = [] if found is None else [Mark(found, doubled(value(cell, error)), hint=f"{name} {found:.2f}")]
    return Row(short_name(cell), marks, figure)
