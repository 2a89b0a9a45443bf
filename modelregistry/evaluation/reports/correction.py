"""Loss and coverage of forecasts with and without the online correction, and the rule that keeps it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from indicators.candles import MONTH_MS
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.metrics.coverage import BANDS

MAX_LOSS_PERCENT = 0.3
"""Largest increase of the loss that a correction may cause."""

Cells = Mapping[tuple[Any, ...], tuple[np.ndarray, ...]]


def correction_report(served: Cells, uncorrected: Cells) -> list[dict[str, Any]]:
    """Mean comparison by horizon, over markets and targets.

    Parameters
    ----------
    served : mapping of (symbol, horizon, target) to (quantiles, actual, baselines, open time)
        From :func:`~modelregistry.evaluation.reports.report.collect_ranges`.
    uncorrected : mapping of the same keys to (quantiles,)

    Returns
    -------
    list of dict
        By horizon: `loss_change` of the pinball loss in percent, above 0 where the correction costs loss, and whether
        that is `affordable`; the coverage of both bands in percent, and its mean absolute error by month (30 days) in
        points, each with and without correction (`uncorrected`).

    Examples
    --------
    >>> actual, when = np.linspace(0.0, 1.0, 50), np.arange(50)
    >>> wide, narrow = (np.tile(np.linspace(a, 1 - a, 7), (50, 1)) for a in (0.05, 0.3))
    >>> corrected = {("BTCUSDT", 6, "high"): (wide, actual, wide, when)}
    >>> row, = correction_report(corrected, {("BTCUSDT", 6, "high"): (narrow,)})
    >>> row["coverage_90"], row["coverage_90_uncorrected"], row["affordable"]
    (88.0, 40.0, True)
    """
    found: dict[int, list[dict[str, float]]] = {}
    for key, (quantiles, actual, _, when) in served.items():
        valid = np.isfinite(quantiles).all(axis=1)
        if valid.any():
            raw = uncorrected[key][0][valid]
            cell = _cell(quantiles[valid], raw, actual[valid], when[valid])
            found.setdefault(key[1], []).append(cell)
    return [_mean(horizon, cells) for horizon, cells in sorted(found.items())]


def correction_verdict(horizons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Decide whether a version keeps its correction; the result is part of the report.

    Examples
    --------
    >>> cheap, costly = ({"horizon": h, "loss_change": lost} for h, lost in ((6, 0.1), (72, 0.45)))
    >>> correction_verdict([cheap])["kept"], correction_verdict([cheap, costly])["kept"]
    (True, False)
    >>> correction_verdict([cheap, costly])["words"]
    'removed: it costs 0.45 % of pinball loss at horizon 72, more than the limit of 0.3 %'
    """
    worst = max(horizons, key=lambda one: one["loss_change"], default=None)
    if worst is None:
        return {"kept": False, "words": "removed: no forecast of the folds measures its cost"}
    # A NaN fails the comparison, so it is not kept.
    kept = all(one["loss_change"] <= MAX_LOSS_PERCENT for one in horizons)
    figure = f"{worst['loss_change']:.2f} % of pinball loss at horizon {worst['horizon']}"
    if kept:
        return {"kept": True, "words": f"kept: it costs {figure} at most, within the limit of {MAX_LOSS_PERCENT:g} %"}
    return {"kept": False, "words": f"removed: it costs {figure}, more than the limit of {MAX_LOSS_PERCENT:g} %"}


def _cell(corrected: np.ndarray, raw: np.ndarray, actual: np.ndarray, when: np.ndarray) -> dict[str, float]:
    loss, before = (float(scores.pinball(one, actual).mean()) for one in (corrected, raw))
    cell = {"loss_change": 100 * (loss / before - 1)}
    months = when // MONTH_MS
    for share, low, high in BANDS:
        for suffix, one in (("", corrected), ("_uncorrected", raw)):
            inside = 100.0 * ((actual >= one[:, low]) & (actual <= one[:, high]))
            off = [abs(float(inside[months == month].mean()) - float(share)) for month in np.unique(months)]
            cell[f"coverage_{share}{suffix}"] = float(inside.mean())
            cell[f"month_off_{share}{suffix}"] = float(np.mean(off))
    return cell


def _mean(horizon: int, cells: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    mean = {name: float(np.mean([cell[name] for cell in cells])) for name in cells[0]}
    return {"horizon": horizon, "affordable": mean["loss_change"] <= MAX_LOSS_PERCENT, **mean}
