"""Figures of reports about probabilities: brackets and directions."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelregistry.evaluation.figures.detail import skill_over_time
from modelregistry.evaluation.figures.layout import (
    NO_DETAIL,
    Cell,
    Figure,
    by_horizon,
    columns_by_name,
    doubled,
    effective_figure,
    format_signed,
    horizon_title,
    legend,
    short_name,
    value,
)
from modelregistry.evaluation.figures.svg import Mark, Row, dot_plot, span_of
from modelregistry.evaluation.figures.svg_series import column_plot, reliability_plot, short_period

BRACKET_KINDS = {"1x1": "own", "1.5x0.75": "second", "0.75x1.5": "third"}
ENOUGH_DAYS = 30


def bracket_figures(report: Mapping[str, Any], cells: Sequence[Cell]) -> list[Figure]:
    """Figures of a TP/SL classifier."""
    curves = [(cell, "take_profit", BRACKET_KINDS.get(str(cell["bracket"]), "own")) for cell in cells]
    samples = legend(*(("dot", kind, f"bracket {name.replace('x', '×')}") for name, kind in BRACKET_KINDS.items()))
    return [
        brier_figure(cells, "this version"),
        reliability_figure(
            "Reliability",
            "Frequency of take-profit first over the forecast probability; calibrated forecasts lie on the diagonal. "
            "One curve for each market, side and bracket; bars are two block standard errors.",
            curves,
            samples,
        ),
        slope_figure(cells),
        skill_over_time(
            cells,
            "Improvement of the Brier score over the base rates in percent, means over markets, sides, brackets.",
        ),
        probabilities_by_tercile(cells),
        *net_figures(report),
        effective_figure(cells),
    ]


def direction_figures(cells: Sequence[Cell]) -> list[Figure]:
    """Figures of a signal classifier."""
    curves = [(cell, name, kind) for cell in cells for name, kind in (("buy", "own"), ("sell", "second"))]
    return [
        brier_figure(cells, "this version"),
        reliability_figure(
            "Reliability",
            "Frequency at which buying, or selling, would have paid, over the forecast probability. A version that "
            "forecasts the base rate only is a single point.",
            curves,
            legend(("dot", "own", "buy"), ("dot", "second", "sell")),
        ),
        skill_over_time(cells, "Improvement of the Brier score over the base rate in percent, means over markets."),
        probabilities_by_tercile(cells),
        effective_figure(cells),
    ]


def brier_figure(cells: Sequence[Cell], own_name: str) -> Figure:
    """Figure of the Brier score beside the base rate and, for brackets, the random walk."""
    groups: dict[int, list[Row]] = {}
    relative: list[float | None] = []
    walks = False
    for horizon, of_horizon in by_horizon(cells).items():
        rows = []
        for cell in of_horizon:
            losses = cell.get("baselines") or {}
            base, own, walk = losses.get("base_rate"), value(cell, "brier"), losses.get("first_passage")
            if not base or own is None:
                continue
            error = doubled(value(cell, "skill_error"))
            marks = [Mark(100 * own / base, error, "dot", "own", f"{own_name}: {own:.4f}")]
            if walk:
                walks = True
                marks.insert(0, Mark(100 * walk / base, None, "diamond", "other", f"random walk: {walk:.4f}"))
            relative += [one.value + side * (one.error or 0.0) for one in marks for side in (-1, 1)]
            rows.append(Row(short_name(cell), marks, format_signed(value(cell, "skill"), " %")))
        groups[horizon] = rows
    ends = span_of(relative, include=[100.0])
    entries = [
        ("dot", "own", own_name),
        *([("diamond", "other", "random walk with the observed touch rate")] if walks else []),
    ]
    return Figure(
        "Brier score beside reference baselines",
        "Over all three classes, base rate = 100; further left is better. At the end of each line the skill. "
        "Means are over markets and horizons, not pooled over rows.",
        [(horizon_title(h), dot_plot(f"Brier score at {h}", rows, ends, [100.0])) for h, rows in groups.items()],
        legend(*entries),
    )


def reliability_figure(
    title: str, caption: str, curves: Sequence[tuple[Cell, str, str]], samples: Sequence[tuple[str, str]]
) -> Figure:
    """Figure of observed frequencies over forecast probabilities, with a scale per horizon."""
    known = [(cell, name, kind) for cell, name, kind in curves if cell["detail"].get(name)]
    if not known:
        return Figure(title, "", missing=NO_DETAIL)
    panels = []
    for horizon, of_horizon in by_horizon([cell for cell, _, _ in known]).items():
        drawn, bounds = [], []
        kept = {id(cell) for cell in of_horizon}
        for cell, name, kind in known:
            if id(cell) not in kept:
                continue
            table = cell["detail"][name]
            marks = [
                Mark(
                    observed, doubled(error), "dot", f"{kind} small", f"{short_name(cell)}: {observed:.3f} of {rows:,}"
                )
                for observed, error, rows in zip(table["observed"], table["error"], table["rows"], strict=True)
            ]
            drawn.append((table["forecast"], marks, kind))
            bounds += [*table["forecast"], *table["observed"]]
        label = f"reliability at horizon {horizon}"
        panels.append((horizon_title(horizon), reliability_plot(label, drawn, span_of(bounds, margin=0.08))))
    return Figure(title, caption, panels, samples)


def slope_figure(cells: Sequence[Cell]) -> Figure:
    """Figure of the calibration slope of the take-profit probability."""
    groups: dict[int, list[Row]] = {}
    bounds: list[float | None] = []
    within: list[bool] = []
    for horizon, of_horizon in by_horizon(cells).items():
        rows = []
        for cell in of_horizon:
            line = cell["detail"].get("calibration") or {}
            slope, error = value(cell, "calibration_slope"), doubled(value(line, "slope_error"))
            if slope is not None:
                within += [] if error is None else [abs(slope - 1.0) <= error]
                bounds += [slope - (error or 0.0), slope + (error or 0.0)]
                rows.append(Row(short_name(cell), [Mark(slope, error, hint=f"slope {slope:.2f}")], f"{slope:.2f}"))
        groups[horizon] = rows
    ends = span_of(bounds, include=[0.8, 1.2])
    note = f" Bars are two errors clustered by day or week, the larger; {sum(within)} of {len(within)} reach the line."
    return Figure(
        "Calibration slope",
        "Of the take-profit probability; 1 is ideal, below it the forecasts are overconfident, above it underconfident."
        + (note if within else ""),
        [(horizon_title(h), dot_plot(f"slope at horizon {h}", rows, ends, [1.0])) for h, rows in groups.items()],
    )


def probabilities_by_tercile(cells: Sequence[Cell]) -> Figure:
    """Figure of the Brier score by volatility tercile beside the base rate of each."""
    title = "Volatility terciles"
    if not any(cell["detail"].get("terciles") for cell in cells):
        return Figure(title, "", missing=NO_DETAIL)
    groups: dict[int, list[Row]] = {}
    found: list[float | None] = []
    for horizon, of_horizon in by_horizon(cells).items():
        column = {
            name: columns_by_name(of_horizon, "terciles", "tercile", name)
            for name in ("brier", "uncertainty", "calibration_slope")
        }
        rows = []
        for name, score in column["brier"].items():
            base, slope = column["uncertainty"].get(name), column["calibration_slope"].get(name)
            if not base or score is None:
                continue
            found.append(100 * score / base)
            marks = [Mark(100 * score / base, hint=f"{name}: {score:.4f}, base rate {base:.4f}")]
            rows.append(Row(name, marks, "" if slope is None else f"{slope:.2f}"))
        groups[horizon] = rows
    ends = span_of(found, include=[100.0])
    return Figure(
        title,
        "Brier score by tercile of the volatility known at the forecast, means over markets; score of the base rate "
        "of the tercile = 100. At the end of each line the calibration slope.",
        [(horizon_title(h), dot_plot(f"terciles at horizon {h}", rows, ends, [100.0])) for h, rows in groups.items()],
    )


def net_figures(report: Mapping[str, Any]) -> list[Figure]:
    """Figures of the net return of brackets with a positive expected net return."""
    title, net = "Net result", report.get("net") or {}
    if not net:
        return [Figure(title, "", missing="This report holds no net result.")]
    costs = f"{net.get('costs_bps', 0):g} basis points a round trip"
    if not net.get("trades"):
        explanation = f"At {costs} no bracket had an expected net return significantly above 0: there was no trade."
        return [Figure(title, "", missing=explanation)]
    marks = {
        "expected": Mark(net["expected_bps"], None, "diamond", "other", f"expected {net['expected_bps']:.2f} bps"),
        "realised": Mark(net["realised_bps"], 1.96 * net["error_bps"], hint=f"realised {net['realised_bps']:.2f} bps"),
    }
    bounds = [one.value + side * (one.error or 0.0) for one in marks.values() for side in (-1, 1)]
    rows = [Row(name, [one], format_signed(one.value)) for name, one in marks.items()]
    caption = (
        f"Mean net return of the {net['trades']:,} brackets with a positive expected one, on {net['days']} days, after "
        f"{costs}, in basis points. The bar is the 95 % block interval."
    )
    if net["days"] < ENOUGH_DAYS:
        caption += f" Fewer than {ENOUGH_DAYS} independent days are too few for a conclusion."
    panels = [("All trades", dot_plot("net result", rows, span_of(bounds, include=[0.0]), [0.0]))]
    by_period = (report.get("detail") or {}).get("net") or {}
    if by_period.get("period"):
        columns = [
            Mark(realised, doubled(error), hint=f"{name}: {realised:.1f} bps over {trades:,}, expected {expected:.1f}")
            for name, realised, error, trades, expected in zip(
                *(by_period[name] for name in ("period", "realised", "error", "trades", "expected")), strict=True
            )
        ]
        ends = span_of([c.value + s * (c.error or 0.0) for c in columns for s in (-1, 1)], include=[0.0])
        names = [short_period(name) for name in by_period["period"]]
        panels.append(("Realised over time", column_plot("net result over time", names, columns, ends)))
    else:
        caption += f" {NO_DETAIL}"
    return [Figure(title, caption, panels, legend(("dot", "own", "realised"), ("diamond", "other", "expected")))]
