"""Charts of reports about probabilities: brackets and directions."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext

from mlengine_project.console.versions.cells import (
    Cell,
    by_horizon,
    cell_name,
    cell_value,
    cells_of,
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
    signed,
    skill_over_time,
    two_standard_errors,
)
from mlengine_project.console.versions.range_charts import range_charts
from modelregistry.evaluation.significance.paired import Z_95
from modelregistry.models import Kind

BRACKET_TONES: dict[str, Tone] = {"1x1": "own", "1.5x0.75": "second", "0.75x1.5": "third"}
ENOUGH_DAYS = 30


def charts_of(kind: str, report: Mapping[str, Any]) -> list[Chart]:
    """All charts of a report in reading order, those of the overview first; none without cells."""
    cells = cells_of(report)
    if not cells:
        return []
    if kind == Kind.TPSL:
        return bracket_charts(report, cells)
    return direction_charts(cells) if kind == Kind.SIGNAL else range_charts(cells)


def bracket_charts(report: Mapping[str, Any], cells: Sequence[Cell]) -> list[Chart]:
    """Charts of a TP/SL classifier."""
    improvement = gettext(
        "Improvement of the Brier score over the base rates in percent, means over markets, sides, brackets."
    )
    frequencies = gettext(
        "Frequency of take-profit first over the forecast probability; calibrated forecasts lie on the diagonal. One "
        "curve for each market, side and bracket; bars are two block standard errors."
    )
    curves = [(cell, "take_profit", BRACKET_TONES.get(str(cell["bracket"]), "own")) for cell in cells]
    return [
        skill_over_time(cells, improvement),
        reliability(frequencies, curves),
        *net_results(report),
        slopes(cells),
        brier_scores(cells),
        probabilities_by_tercile(cells),
        effective_sizes(cells),
    ]


def direction_charts(cells: Sequence[Cell]) -> list[Chart]:
    """Charts of a signal classifier."""
    improvement = gettext("Improvement of the Brier score over the base rate in percent, means over markets.")
    frequencies = gettext(
        "Frequency at which buying, or selling, would have paid, over the forecast probability. A version that "
        "forecasts the base rate only is a single point."
    )
    tones: tuple[tuple[str, Tone], ...] = (("buy", "own"), ("sell", "second"))
    return [
        skill_over_time(cells, improvement),
        reliability(frequencies, [(cell, name, tone) for cell in cells for name, tone in tones]),
        brier_scores(cells),
        probabilities_by_tercile(cells),
        effective_sizes(cells),
    ]


def brier_scores(cells: Sequence[Cell]) -> Chart:
    """Chart of the Brier score beside the base rate and, for brackets, the random walk."""
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        known = [
            cell
            for cell in of_horizon
            if (cell.get("baselines") or {}).get("base_rate") and cell_value(cell, "brier") is not None
        ]
        base = [float(cell["baselines"]["base_rate"]) for cell in known]
        own = [100 * float(cell["brier"]) / one for cell, one in zip(known, base, strict=True)]
        series = [
            Series(gettext("this version"), own, two_standard_errors(cell_value(cell, "skill_error") for cell in known))
        ]
        walks = [
            100 * float(walk) / one if (walk := cell["baselines"].get("first_passage")) else None
            for cell, one in zip(known, base, strict=True)
        ]
        if any(walks):
            name = gettext("random walk with the observed touch rate")
            series.append(Series(name, walks, tone="other", shape="diamond"))
        notes = [signed(cell_value(cell, "skill"), " %") for cell in known]
        panels.append(Panel(panel_title(horizon, known), [cell_name(cell) for cell in known], series, notes))
    caption = gettext(
        "Over all three classes, base rate = 100; further left is better. At the end of each line the skill. Bars are "
        "two block standard errors. Means are over markets and horizons, not pooled over rows."
    )
    return chart(gettext("Brier score beside reference baselines"), caption, panels, lines=[100.0])


def reliability(caption: str, curves: Sequence[tuple[Cell, str, Tone]]) -> Chart:
    """Chart of observed frequencies over forecast probabilities."""
    title = gettext("Reliability")
    known = [(cell, name, tone) for cell, name, tone in curves if (cell["detail"].get(name) or {}).get("forecast")]
    if not known:
        return chart_without_detail(title)
    panels, forecasts = [], []
    for horizon in by_horizon([cell for cell, _, _ in known]):
        series = []
        of_horizon = [one for one in known if int(one[0]["horizon"]) == horizon]
        for cell, name, tone in of_horizon:
            table = cell["detail"][name]
            words = cell_name(cell) if name == "take_profit" else f"{cell_name(cell)} {gettext(name)}"
            errors = two_standard_errors(table["error"])
            forecasts += table["forecast"]
            series.append(Series(words, list(table["observed"]), errors, list(table["forecast"]), tone))
        panels.append(Panel(panel_title(horizon, [cell for cell, _, _ in of_horizon]), [], series))
    return chart(title, caption, panels, "curves", include=forecasts)


def slopes(cells: Sequence[Cell]) -> Chart:
    """Chart of the calibration slope of the take-profit probability."""
    panels, within = [], []
    for horizon, of_horizon in by_horizon(cells).items():
        known = [cell for cell in of_horizon if cell_value(cell, "calibration_slope") is not None]
        found = [float(cell["calibration_slope"]) for cell in known]
        errors = two_standard_errors(
            cell_value(cell["detail"].get("calibration") or {}, "slope_error") for cell in known
        )
        within += [abs(s - 1.0) <= e for s, e in zip(found, errors, strict=True) if e is not None]
        series = [Series(gettext("slope"), list(found), errors)]
        notes = [f"{slope:.2f}" for slope in found]
        panels.append(Panel(panel_title(horizon, known), [cell_name(cell) for cell in known], series, notes))
    caption = gettext(
        "Of the take-profit probability; 1 is ideal, below it the forecasts are overconfident, above it underconfident."
    )
    if within:
        reached = gettext(
            "Bars are two errors clustered by day or week, the larger; %(reach)d of %(all)d reach the line."
        )
        caption += " " + reached % {"reach": sum(within), "all": len(within)}
    return chart(gettext("Calibration slope"), caption, panels, lines=[1.0], include=[0.8, 1.2])


def probabilities_by_tercile(cells: Sequence[Cell]) -> Chart:
    """Chart of the Brier score by volatility tercile beside the base rate of each."""
    title = gettext("Volatility terciles")
    if not has_table(cells, "terciles"):
        return chart_without_detail(title)
    panels = []
    for horizon, of_horizon in by_horizon(cells).items():
        scores, bases, slope = (
            means_by_name(of_horizon, "terciles", "tercile", name)
            for name in ("brier", "uncertainty", "calibration_slope")
        )
        names = [name for name, score in scores.items() if score is not None and bases.get(name)]
        relative = [100 * (scores[name] or 0.0) / (bases[name] or 1.0) for name in names]
        notes = ["–" if (one := slope.get(name)) is None else f"{one:.2f}" for name in names]
        series = [Series(gettext("this version"), list(relative))]
        panels.append(Panel(panel_title(horizon, of_horizon), [gettext(name) for name in names], series, notes))
    caption = gettext(
        "Brier score by tercile of the volatility known at the forecast, means over markets; score of the base rate "
        "of the tercile = 100. At the end of each line the calibration slope. The report holds no errors of terciles."
    )
    return chart(title, caption, panels, lines=[100.0])


def net_results(report: Mapping[str, Any]) -> list[Chart]:
    """Charts of the net return of brackets with a positive expected net return."""
    title, net = gettext("Net result"), report.get("net") or {}
    if not net:
        return [Chart(title, missing=gettext("This report holds no net result."))]
    costs = gettext("%(costs)s basis points a round trip") % {"costs": f"{net.get('costs_bps', 0):g}"}
    if not net.get("trades"):
        explanation = gettext(
            "At %(costs)s no bracket had an expected net return significantly above 0: there was no trade."
        )
        return [Chart(title, missing=explanation % {"costs": costs})]
    caption = gettext(
        "Mean net return of the %(trades)s brackets with a positive expected one, on %(days)s days, after %(costs)s, "
        "in basis points. The bar is the 95 %% block interval."
    ) % {"trades": f"{net['trades']:,}", "days": net["days"], "costs": costs}
    if net["days"] < ENOUGH_DAYS:
        few = gettext("Fewer than %(days)d independent days are too few for a conclusion.")
        caption += " " + few % {"days": ENOUGH_DAYS}
    names = [gettext("expected"), gettext("realised")]
    both = Series(gettext("net return"), [net["expected_bps"], net["realised_bps"]], [None, Z_95 * net["error_bps"]])
    all_trades = gettext("All trades, %(days)s days") % {"days": net["days"]}
    panel = Panel(all_trades, names, [both], [signed(one) for one in both.values])
    charts = [chart(title, caption, [panel], unit="bps", lines=[0.0])]
    by_period = (report.get("detail") or {}).get("net") or {}
    if by_period.get("period"):
        realised = Series(gettext("realised"), by_period["realised"], two_standard_errors(by_period["error"]))
        expected = Series(gettext("expected"), by_period["expected"], tone="other", shape="diamond")
        over = Panel(all_trades, list(by_period["period"]), [realised, expected])
        bars = gettext("By period, in basis points. Bars are two block standard errors.")
        charts.append(chart(gettext("Net result over time"), bars, [over], "columns", unit="bps", lines=[0.0]))
    return charts
