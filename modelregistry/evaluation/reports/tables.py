"""Reports as text tables, and comparison of two reports. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelregistry.evaluation.baselines.kept import BASELINE_KEY

LABEL_COLUMNS = (
    "market",
    "symbol",
    "horizon",
    "target",
    "side",
    "bracket",
    "fold",
    "baseline",
    "name",
    "class",
    "level",
)
"""Columns that identify a row; they come first and are part of the name of a value."""

NOT_COMPARED = ("folds", "versus_champion", "refresh", "rows", "detail", "direction", BASELINE_KEY)
"""Parts of a report that are not compared: they describe its own test, not the version."""
NOT_TABULATED = ("detail", BASELINE_KEY)
"""Parts shown as figures, or read by programs only."""
TITLES = {
    "cells": "by market and horizon",
    "folds": "walk-forward tests",
    "uniqueness": "label overlap",
    "hoped": "positive expected return",
}
"""Words for report keys that are not plain English."""
LOSSES = {"pinball": "pinball loss (bps)", "brier": "Brier score"}


@dataclass(frozen=True)
class Table:
    """One table of a report."""

    title: str
    headers: list[str]
    rows: list[list[str]]


def baseline_table(report: Mapping[str, Any]) -> Table | None:
    """Table of the loss of every cell beside the losses of the baselines.

    Examples
    --------
    >>> cell = {"symbol": "BTCUSDT", "horizon": 6, "brier": 0.5, "baselines": {"base_rate": 0.625}, "skill": 20.0}
    >>> table = baseline_table({"cells": [cell]})
    >>> table.headers
    ['symbol', 'horizon', 'Brier score', 'base rate', 'skill %']
    >>> table.rows
    [['BTCUSDT', '6', '0.5', '0.625', '20']]
    """
    cells: Sequence[Mapping[str, Any]] = report.get("cells") or ()
    if not _is_records(cells):
        return None
    loss = next((name for name in LOSSES if name in cells[0]), None)
    if loss is None:
        return None
    names = [name for name in LABEL_COLUMNS if name in cells[0]]
    baselines = list(cells[0].get("baselines") or {})
    extras = [name for name in ("skill", "skill_error", "coverage_80", "calibration_error") if name in cells[0]]
    rows = [
        [
            *(str(cell.get(name, "–")) for name in names),
            format_value(cell.get(loss)),
            *(format_value((cell.get("baselines") or {}).get(name)) for name in baselines),
            *(format_value(cell.get(name)) for name in extras),
        ]
        for cell in cells
    ]
    percents = {"skill": "skill %", "skill_error": "± %", "coverage_80": "coverage of 80 % band, %"}
    headers = [*names, LOSSES[loss], *map(_words, baselines), *(percents.get(name, _words(name)) for name in extras)]
    return Table("beside the baselines", headers, rows)


def champion_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    """Table of a candidate's losses beside the champion's on the same candles.

    Examples
    --------
    >>> cell = {"symbol": "BTCUSDT", "horizon": 6, "n": 900, "effective_n": 150, "too_few": False, "loss": 9.0}
    >>> table = champion_table([{**cell, "champion_loss": 10.0, "gain": 0.1, "lower": -0.02, "upper": 0.22}])
    >>> table.headers
    ['symbol', 'horizon', 'forecasts', 'independent', 'loss', 'champion loss', 'gain %', '95 % from', 'to', 'enough']
    >>> table.rows
    [['BTCUSDT', '6', '900', '150', '9', '10', '+10', '−2', '+22', 'yes']]
    """
    headers = [
        "symbol",
        "horizon",
        "forecasts",
        "independent",
        "loss",
        "champion loss",
        "gain %",
        "95 % from",
        "to",
        "enough",
    ]
    rows = [
        [
            str(cell["symbol"]),
            format_value(cell["horizon"]),
            *(format_value(cell[name]) for name in ("n", "effective_n", "loss", "champion_loss")),
            *(_percent(cell[name]) for name in ("gain", "lower", "upper")),
            format_value(not cell["too_few"]),
        ]
        for cell in cells
    ]
    return Table("", headers, rows)


def tables_of(report: Mapping[str, Any], title: str = "") -> list[Table]:
    """Convert a report to tables: single values in one, each record list in another.

    Examples
    --------
    >>> report = {"rows": 120, "cells": [{"symbol": "BTCUSDT", "horizon": 6, "loss": 0.5, "baselines": {"ewm": 1.0}}]}
    >>> for table in tables_of(report):
    ...     print(table.title or "-", table.headers, table.rows)
    - ['figure', 'value'] [['rows', '120']]
    by market and horizon ['symbol', 'horizon', 'loss', 'baselines ewm'] [['BTCUSDT', '6', '0.5', '1']]
    """
    single = [[_words(name), format_value(value)] for name, value in report.items() if not _is_nested(value)]
    found = [Table(title, ["figure", "value"], single)] if single else []
    for name, value in report.items():
        if name in NOT_TABULATED:
            continue
        here = f"{title} · {_words(name)}" if title else _words(name)
        if _is_records(value):
            found.append(_record_table(here, value))
        elif _is_uniform(value):
            found.append(_record_table(here, [{"name": key, **row} for key, row in value.items()]))
        elif isinstance(value, Mapping) and value:
            found += tables_of(value, here)
        elif isinstance(value, Sequence) and not isinstance(value, str) and value:
            found.append(Table(here, [_words(name)], [[format_value(item)] for item in value]))
    return found


def split_table(table: Table, width: int) -> list[Table]:
    """Split a table into parts of at most `width` characters, each with the label columns.

    Examples
    --------
    >>> wide = Table("cells", ["symbol", "loss", "skill"], [["BTCUSDT", "0.5", "0.02"]])
    >>> [(part.title, part.headers) for part in split_table(wide, 16)]
    [('cells', ['symbol', 'loss']), ('cells, continued', ['symbol', 'skill'])]
    """
    sizes = [max(len(row[i]) for row in [table.headers, *table.rows]) + 2 for i in range(len(table.headers))]
    named = [i for i, header in enumerate(table.headers) if header in LABEL_COLUMNS and len(table.headers) > 1]
    parts: list[list[int]] = [[]]
    for i in [i for i in range(len(table.headers)) if i not in named]:
        taken = sum(sizes[j] for j in [*named, *parts[-1]])
        if parts[-1] and taken + sizes[i] - 2 > width:
            parts.append([])
        parts[-1].append(i)
    return [
        Table(
            f"{table.title}, continued" if number and table.title else table.title,
            [table.headers[i] for i in [*named, *part]],
            [[row[i] for i in [*named, *part]] for row in table.rows],
        )
        for number, part in enumerate(parts)
    ]


def summary_lines(evaluation: Mapping[str, Any]) -> list[str]:
    """Summarise how every evaluated version compares with the reference baselines.

    Examples
    --------
    >>> cells = [{"skill": 2.0, "skill_error": 0.5}, {"skill": -0.5, "skill_error": 1.0}]
    >>> evaluation = {"versions": {"range_predictor": "0123456789ab"}, "in_sample": [], "rows": 1200, "answered": 99.5,
    ...     "range_predictor": {"skill": 0.0075, "cells": cells}}
    >>> for sentence in summary_lines(evaluation):
    ...     print(sentence)
    range_predictor 01234567 is better than the best reference baseline on average, but not significantly everywhere:
      loss 0.75 % below it over 2 markets and horizons, lower in 1, significantly (by two standard errors) in 1
      99.5 % of 1,200 candles forecast
    """
    found = []
    for kind, version in evaluation["versions"].items():
        part = evaluation.get(kind) or {}
        cells = part.get("cells") or []
        skill = part.get("skill")
        if not cells or skill is None:
            continue
        better = sum(cell["skill"] > 0 for cell in cells)
        significant = sum(cell["skill"] > 2 * (cell.get("skill_error") or 0) and cell["skill"] > 0 for cell in cells)
        if significant == len(cells):
            verdict = "is better than the best reference baseline, significantly everywhere"
        elif skill > 0:
            verdict = "is better than the best reference baseline on average, but not significantly everywhere"
        else:
            verdict = "is NOT better than the best reference baseline"
        shares = f"lower in {better}, significantly (by two standard errors) in {significant}"
        side = "below" if skill >= 0 else "above"
        found += [
            f"{kind} {version[:8]} {verdict}:",
            f"  loss {100 * abs(skill):.2f} % {side} it over {len(cells)} markets and horizons, {shares}",
            f"  {evaluation['answered']:.1f} % of {evaluation['rows']:,} candles forecast",
        ]
        if kind in evaluation["in_sample"]:
            found.append("  in-sample: the version was trained on candles of this period")
    return found


def leaves(report: object, path: tuple[str, ...] = ()) -> dict[str, float]:
    """Collect every number of a report under a path that is comparable between reports.

    Examples
    --------
    >>> leaves({"cells": [{"symbol": "BTCUSDT", "horizon": 6, "loss": 0.5}], "rows": 10})
    {'by market and horizon BTCUSDT 6 loss': 0.5, 'rows': 10.0}
    """
    return dict(_walk(report, path))


def differences(candidate: Mapping[str, Any], champion: Mapping[str, Any]) -> list[list[str]]:
    """Rows of (name, candidate, champion, difference) for every number in both reports.

    Examples
    --------
    >>> differences({"loss": 0.5, "rows": 10}, {"loss": 0.75})
    [['loss', '0.5', '0.75', '−0.25']]
    """
    candidate_values, champion_values = (
        leaves({name: part for name, part in report.items() if name not in NOT_COMPARED})
        for report in (candidate, champion)
    )
    return [
        [name, format_value(value), format_value(champion_values[name]), format_signed(value - champion_values[name])]
        for name, value in candidate_values.items()
        if name in champion_values
    ]


def format_value(value: object) -> str:
    """Format a value of a report.

    Examples
    --------
    >>> [format_value(value) for value in (0.123456, 1234567, True, None, "ewm", [1, 2])]
    ['0.1235', '1,234,567', 'yes', '–', 'ewm', '1, 2']
    """
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, Mapping):
        value = [f"{_words(name)} {format_value(item)}" for name, item in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(format_value(item) for item in value)
    return str(value)


def format_signed(difference: float) -> str:
    """Format a difference with its sign.

    Examples
    --------
    >>> format_signed(0.5), format_signed(-0.25), format_signed(0.0)
    ('+0.5', '−0.25', '0')
    """
    text = f"{abs(difference):.4g}"
    if text == "0":
        return text
    return ("+" if difference > 0 else "−") + text


def _percent(share: float | None) -> str:
    return "–" if share is None else format_signed(100 * share)


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield " ".join(path), float(value)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _walk(item, (*path, _words(str(name))))
    elif _is_records(value):
        for row in value:
            named = tuple(str(row[name]) for name in LABEL_COLUMNS if name in row)
            yield from _walk({name: item for name, item in row.items() if name not in LABEL_COLUMNS}, (*path, *named))


def _record_table(title: str, records: Sequence[Mapping[str, Any]]) -> Table:
    flat = [_flat(record) for record in records]
    names = list(dict.fromkeys(name for row in flat for name in row))
    names.sort(key=lambda name: LABEL_COLUMNS.index(name) if name in LABEL_COLUMNS else len(LABEL_COLUMNS))
    rows = [
        [str(row[name]) if name in LABEL_COLUMNS and name in row else format_value(row.get(name)) for name in names]
        for row in flat
    ]
    return Table(title, [_words(name) for name in names], rows)


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _is_records(value: object) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _is_uniform(value: object) -> bool:
    """Whether a value is a mapping of flat mappings, which becomes one row each."""
    return (
        isinstance(value, Mapping)
        and len(value) > 1
        and all(isinstance(row, Mapping) and row and not any(map(_is_nested, row.values())) for row in value.values())
    )


def _is_nested(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        or _is_records(value)
        or (isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 12)
    )


def _words(name: str) -> str:
    return TITLES.get(str(name), str(name).replace("_", " "))
