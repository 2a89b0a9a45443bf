"""Track record: scores of predictions beside reference baselines, by market, horizon and version.

Late predictions are left out. The first baseline is the random walk without drift at the EWM volatility of the
same candle, in closed form and without fitting. The second, HAR with time of day, is fitted; so that it uses no
more data than its version did, it is fitted when the version is trained and stored in its report. A version
without a stored one gets no score beside it: fitted now, on candles that may have been revised and on outcomes
the version never saw, it would not be the baseline the gate used.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from scipy.special import ndtri

from indicators.arrays import Flags, Floats, Integers
from indicators.catalog.volatility import ewm_sigma
from marketdata import clock
from marketdata.clock import iso
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from marketdata.storage import candles
from modelregistry.estimators.forecast import BANDS, LEVELS, MEDIAN
from modelregistry.evaluation.baselines.kept import BASELINE_KEY, stored_quantiles
from modelregistry.evaluation.baselines.kept import HISTORY_CANDLES as HAR_REACH
from modelregistry.evaluation.baselines.regressions import har_inputs
from modelregistry.evaluation.metrics.scores import pinball
from modelregistry.evaluation.significance.blocks import block_interval
from modelregistry.evaluation.significance.paired import count_days
from modelregistry.models import ModelVersion
from predictions.models import PredictionLog

TRAILING = timedelta(days=90)
REACH = 1024
"""Candles of history for the volatility of the baseline."""
MIN_INDEPENDENT_OUTCOMES = 30
"""With fewer independent outcomes than this, a score is marked `too_few`."""
MIN_INTERVAL_DAYS = 10
"""With fewer days the bootstrap has too few blocks for an interval."""


@dataclass(frozen=True)
class NetResult:
    """Net result of the signals of one market, horizon and version."""

    n: int
    mean_percent: float
    total_percent: float


NetOf = Mapping[tuple[int, int, str], NetResult]
"""By market id, horizon and version."""


@dataclass(frozen=True, eq=False)
class ScoredPredictions:
    """Scored predictions of one market, horizon and version; prices as floats, one row each."""

    open_ms: Integers
    close: Floats
    high: Floats
    low: Floats
    actual_high: Floats
    actual_low: Floats
    mae: Floats
    final: Flags


def track_record(
    markets: Sequence[Market], since: datetime | None = None, net_results: NetOf | None = None
) -> list[dict[str, Any]]:
    """Scores of all predictions since an instant (by default the trailing 90 days)."""
    since = since or clock.market_now() - TRAILING
    results = []
    for market in markets:
        by_key = _read(market, since)
        if not by_key:
            continue
        sigma_at, har_of = _sigma(market, by_key), _har(market, by_key)
        for (horizon, version), scored in sorted(by_key.items()):
            results.append(
                {
                    "symbol": market.symbol,
                    "horizon": horizon,
                    "version": version,
                    "simulated": market.simulated,
                    "from": iso(clock.to_datetime(int(scored.open_ms[0]))),
                    "to": iso(clock.to_datetime(int(scored.open_ms[-1]))),
                    **score(scored, horizon, sigma_at(scored.open_ms), har_of(horizon, version)),
                    "net": _net((net_results or {}).get((market.pk, horizon, version))),
                }
            )
    return results


def score(
    scored: ScoredPredictions, horizon: int, sigma: Floats, har: tuple[Floats, Floats] | None = None
) -> dict[str, Any]:
    """Error, skill, coverage and calibration of scored predictions beside EWM and HAR baselines.

    `har` has the log quantiles of HAR with time of day, row by row, if there are any. Losses are mean
    pinball losses over both targets and all levels, in basis points of log price.
    """
    close = scored.close[:, None]
    model_losses = _losses(scored, np.log(scored.high / close), np.log(scored.low / close))
    deviation = (sigma * np.sqrt(horizon))[:, None]
    up = deviation * ndtri((1 + np.array(LEVELS)) / 2)
    ewm_losses = _losses(scored, up, -deviation * ndtri(1 - np.array(LEVELS) / 2))
    with_ewm = np.isfinite(ewm_losses)
    loss, ewm_loss = _mean(model_losses[with_ewm]), _mean(ewm_losses[with_ewm])
    har_losses = np.full(len(model_losses), np.nan) if har is None else _losses(scored, *har)
    with_har = np.isfinite(har_losses)
    loss_beside_har, har_loss = _mean(model_losses[with_har]), _mean(har_losses[with_har])
    span = int(scored.open_ms[-1] - scored.open_ms[0]) // INTERVAL_MS + horizon
    effective = min(len(scored.close), max(1, span // horizon))
    return {
        "n": len(scored.close),
        "n_final": int(scored.final.sum()),
        "n_provisional": int((~scored.final).sum()),
        "effective_n": effective,
        "too_few": effective < MIN_INDEPENDENT_OUTCOMES,
        "mae_percent": _mean(scored.mae),
        "bias_bps": {
            "high": _bps(np.log(scored.high[:, MEDIAN] / scored.actual_high)),
            "low": _bps(np.log(scored.low[:, MEDIAN] / scored.actual_low)),
        },
        "pinball_bps": loss,
        "baselines": {"ewm": ewm_loss, "har_season": har_loss},
        "skill": {"ewm": _skill(loss, ewm_loss), "har_season": _skill(loss_beside_har, har_loss)},
        "skill_interval": {
            "ewm": _skill_interval(model_losses[with_ewm], ewm_losses[with_ewm], scored.open_ms[with_ewm]),
            "har_season": _skill_interval(model_losses[with_har], har_losses[with_har], scored.open_ms[with_har]),
        },
        "coverage": [
            {
                "level": share,
                "high": _share(scored.actual_high, scored.high, lower, upper),
                "low": _share(scored.actual_low, scored.low, lower, upper),
            }
            for share, lower, upper in BANDS
        ],
        "calibration": [
            {
                "level": level,
                "high_below": _mean((scored.actual_high <= scored.high[:, k]).astype(float)),
                "low_below": _mean((scored.actual_low <= scored.low[:, k]).astype(float)),
            }
            for k, level in enumerate(LEVELS)
        ],
    }


def _losses(scored: ScoredPredictions, up: Floats, down: Floats) -> Floats:
    """Loss of every row, in basis points."""
    high, low = np.log(scored.actual_high / scored.close), np.log(scored.actual_low / scored.close)
    losses: Floats = 5_000 * (pinball(up, high) + pinball(down, low))
    return losses


def _skill(loss: float | None, base: float | None) -> float | None:
    return 1 - loss / base if loss is not None and base else None


def _skill_interval(losses: Floats, baseline: Floats, open_ms: Integers) -> dict[str, float] | None:
    """95 % interval of the skill by a bootstrap over calendar blocks; None with too few days."""
    if count_days(open_ms) < MIN_INTERVAL_DAYS:
        return None
    ratio = block_interval(losses, open_ms, weights=baseline)
    return {"lower": round(1 - ratio.upper, 6), "upper": round(1 - ratio.lower, 6)}


def _share(actual: Floats, quantiles: Floats, lower: int, upper: int) -> float | None:
    return _mean(((quantiles[:, lower] <= actual) & (actual <= quantiles[:, upper])).astype(float))


def _mean(values: Floats) -> float | None:
    return round(float(values.mean()), 6) if len(values) else None


def _bps(values: Floats) -> float:
    return round(10_000 * float(values.mean()), 4)


def _net(net: NetResult | None) -> dict[str, Any]:
    if net is None:
        return {"signals": 0, "mean_percent": None, "total_percent": None}
    return {"signals": net.n, "mean_percent": net.mean_percent, "total_percent": net.total_percent}


def _read(market: Market, since: datetime) -> dict[tuple[int, str], ScoredPredictions]:
    rows = PredictionLog.objects.filter(
        market=market, candle_time__gte=since, actual_high__isnull=False, late=False
    ).order_by("candle_time")
    gathered: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
    columns = (
        "candle_time", "current_price", "high_quantiles", "low_quantiles", "actual_high", "actual_low", "mae",
        "outcome_final",
    )  # fmt: skip
    for horizon, versions, *values in rows.values_list("horizon", "model_versions", *columns).iterator(5000):
        gathered.setdefault((horizon, str(versions.get("range_predictor", ""))), []).append(tuple(values))
    return {key: _scored_predictions(found) for key, found in gathered.items()}


def _scored_predictions(found: Sequence[tuple[Any, ...]]) -> ScoredPredictions:
    times, *numbers, final = zip(*found, strict=True)
    close, high, low, actual_high, actual_low, mae = (np.array(column, dtype=np.float64) for column in numbers)
    open_ms = np.array([clock.to_ms(at) for at in times], dtype=np.int64)
    return ScoredPredictions(open_ms, close, high, low, actual_high, actual_low, mae, np.array(final, dtype=bool))


def _sigma(market: Market, by_key: Mapping[tuple[int, str], ScoredPredictions]) -> Callable[[Integers], Floats]:
    """EWM volatility at every candle of the scored predictions, by open time."""
    first = min(int(scored.open_ms[0]) for scored in by_key.values())
    last = max(int(scored.open_ms[-1]) for scored in by_key.values())
    rows = (last - first) // INTERVAL_MS + 1
    sigma = ewm_sigma(candles.load_grid([market], last, rows + REACH), rows)[0]
    return lambda open_ms: sigma[(open_ms - first) // INTERVAL_MS]


def _har(
    market: Market, by_key: Mapping[tuple[int, str], ScoredPredictions]
) -> Callable[[int, str], tuple[Floats, Floats] | None]:
    """Quantiles of the stored baseline at every scored candle, by horizon and version."""
    named = {version for _, version in by_key if _is_uuid(version)}
    reports = ModelVersion.objects.filter(pk__in=named).values_list("pk", "report")
    kept = {(one["horizon"], str(pk)): one for pk, report in reports for one in report.get(BASELINE_KEY) or ()}
    wanted = {key: scored for key, scored in by_key.items() if key in kept}
    if not wanted:
        return lambda _horizon, _version: None
    horizons = tuple(sorted({horizon for horizon, _ in wanted}))
    first = min(int(scored.open_ms[0]) for scored in wanted.values())
    last = max(int(scored.open_ms[-1]) for scored in wanted.values())
    rows = (last - first) // INTERVAL_MS + 1
    inputs = har_inputs(candles.load_grid([market], last, rows + HAR_REACH), horizons)[0, -rows:]

    def quantiles_at(horizon: int, version: str) -> tuple[Floats, Floats] | None:
        if (horizon, version) not in wanted:
            return None
        at = (wanted[horizon, version].open_ms - first) // INTERVAL_MS
        return stored_quantiles(kept[horizon, version], inputs[at], horizons.index(horizon))

    return quantiles_at


def _is_uuid(version: str) -> bool:
    try:
        uuid.UUID(version)
    except ValueError:
        return False
    return True
