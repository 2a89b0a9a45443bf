"""Loss and coverage of forecasts with and without the online correction."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from indicators.candles import DAY_MS
from modelregistry.evaluation.metrics import scores

MAX_LOSS_PERCENT = 0.3
"""Largest increase of the loss that a correction may cause."""
MONTH_MS = 30 * DAY_MS
BANDS = (("80", 1, 5), ("90", 0, 6))
"""Nominal coverage in percent, and indices of the lower and upper level."""

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
