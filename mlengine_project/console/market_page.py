"""Context of the market page beside its chart."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Min
from django.utils.translation import gettext

from indicators.candles import DAY_MS
from indicators.catalog import lookup
from marketdata import clock
from marketdata.coverage.ledger import Coverage, coverage_of
from marketdata.intervals import INTERVALS
from marketdata.models import Candle, Market
from marketdata.storage import candles
from mlengine_project.console import board, chart_feed
from modelregistry.estimators.forecast import BANDS
from modelregistry.models import ModelVersion
from modelregistry.registry.version_state import LOG
from predictions.forecasting.explanation import Explanation, explain
from predictions.models import PredictionLog
from signals.models import SignalLog

MAX_SIGNALS = 288
MAX_ENTRIES = 16
QUALITY_DAYS = 30


@dataclass(frozen=True)
class Entry:
    """One line of the recent signals: a signal, or consecutive holds for the same reason."""

    newest: SignalLog
    count: int
    since: datetime


def context(symbol: str) -> dict[str, Any] | None:
    """Context of the market page; None when no enabled market has the symbol."""
    found = board.cards([symbol])
    if not found:
        return None
    card = found[0]
    horizons = [row.horizon for row in card.ranges] or list(settings.DEFAULT_HORIZONS)
    return {
        "card": card,
        "horizons": horizons,
        "symbols": list(Market.objects.enabled().order_by("symbol").values_list("symbol", flat=True)),
        "intervals": INTERVALS,
        "catalogue": _catalogue(),
        "recent": _recent(card.market),
        "quality": _quality(card),
        "quality_days": QUALITY_DAYS,
        "champions": _champions(card.market),
    }


def _champions(market: Market) -> list[ModelVersion]:
    """The champions that answer for the market, with their promotions, from which their state is read."""
    champions = ModelVersion.objects.filter(source=market.source, stage=ModelVersion.Stage.CHAMPION)
    return list(champions.defer("report").prefetch_related(*LOG).order_by("kind"))


def opened_forecast(market: Market, at_ms: int | None, horizon: int | None) -> dict[str, Any]:
    """Context of one opened forecast; `prediction` is None where there is none."""
    until = clock.market_now() if at_ms is None else clock.to_datetime(at_ms)
    rows = chart_feed.newest_forecast(market, until)
    prediction = next((row for row in rows if row.horizon == horizon), rows[0] if rows else None)
    if prediction is None:
        return {"prediction": None}
    ids = [version_id for version_id in prediction.model_versions.values() if _is_id(version_id)]
    versions = ModelVersion.objects.prefetch_related(*LOG).in_bulk([UUID(version_id) for version_id in ids])
    found = explain(prediction)
    recent = board.recent_prices([market], candles.newest_open([market]))
    return {
        "places": recent[market.pk].places if recent else None,
        "prediction": prediction,
        "horizons": [row.horizon for row in rows],
        "bands": [_Band(level, prediction, lower, upper) for level, lower, upper in BANDS],
        "versions": [
            (kind, versions.get(UUID(version_id)) if _is_id(version_id) else None, version_id)
            for kind, version_id in sorted(prediction.model_versions.items())
        ],
        "explanation": found,
        "bars": _bars(found),
    }


@dataclass(frozen=True)
class _Band:
    """One band of a forecast as prices, and whether it held."""

    level: float
    prediction: PredictionLog
    lower: int
    upper: int

    @property
    def high(self) -> tuple[Decimal, Decimal]:
        """Edges for the highest high."""
        prices = self.prediction.high_quantiles
        return Decimal(prices[self.lower]), Decimal(prices[self.upper])

    @property
    def low(self) -> tuple[Decimal, Decimal]:
        """Edges for the lowest low."""
        prices = self.prediction.low_quantiles
        return Decimal(prices[self.lower]), Decimal(prices[self.upper])

    @property
    def high_held(self) -> bool | None:
        """Whether the highest high came inside; None before it is known."""
        actual = self.prediction.actual_high
        return None if actual is None else self.high[0] <= actual <= self.high[1]

    @property
    def low_held(self) -> bool | None:
        """Whether the lowest low came inside; None before it is known."""
        actual = self.prediction.actual_low
        return None if actual is None else self.low[0] <= actual <= self.low[1]


@dataclass(frozen=True)
class _Bar:
    """One contribution as a bar left or right of zero, in units of the drawing."""

    name: str
    effect: float
    x: float
    width: float


def _bars(explanation: Explanation | None) -> list[_Bar]:
    """Bars around zero at 50 of 100 units; the longest one fills its half."""
    if explanation is None:
        return []
    others = gettext("%(count)d other features") % {"count": explanation.other_count}
    effects = [(found.feature, found.effect) for found in explanation.contributions] + [(others, explanation.others)]
    largest = max(abs(effect) for _, effect in effects) or 1.0
    bars = []
    for name, effect in effects:
        width = round(50 * abs(effect) / largest, 2)
        bars.append(_Bar(name, effect, 50 if effect >= 0 else round(50 - width, 2), max(width, 0.3)))
    return bars


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _catalogue() -> dict[str, list[lookup.IndicatorSpec]]:
    """Indicators of the catalogue by family."""
    families: dict[str, list[lookup.IndicatorSpec]] = {}
    for spec in lookup.CATALOG.values():
        families.setdefault(spec.family, []).append(spec)
    return families


def _quality(card: board.Card) -> Coverage:
    """Candle coverage of the last month; older gaps do not affect current predictions."""
    if card.closed_ms is None:
        return coverage_of(card.market)
    month_ago = card.closed_ms - QUALITY_DAYS * DAY_MS
    first_ms = Candle.objects.filter(market=card.market).aggregate(first=Min("open_time"))["first"]
    return coverage_of(card.market, max(first_ms, month_ago), card.closed_ms)


def _recent(market: Market) -> list[Entry]:
    newest_first = SignalLog.objects.filter(market=market).order_by("-candle_time")[:MAX_SIGNALS]
    entries: list[Entry] = []
    for row in newest_first:
        last = entries[-1] if entries else None
        if last is not None and _same_refusal(last.newest, row):
            entries[-1] = replace(last, count=last.count + 1, since=row.candle_time)
        elif len(entries) == MAX_ENTRIES:
            break
        else:
            entries.append(Entry(row, 1, row.candle_time))
    return entries


def _same_refusal(one: SignalLog, other: SignalLog) -> bool:
    hold = SignalLog.Type.HOLD
    return one.signal_type == other.signal_type == hold and one.reasons == other.reasons
