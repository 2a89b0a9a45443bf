"""Context of the data page: markets, feed, request budget and backfills."""

from dataclasses import dataclass
from typing import Any

from marketdata import clock
from marketdata import health as market_health
from marketdata.exchange import rate_limit
from marketdata.models import ExchangeState, Market
from mlengine_project.operations.jobs.control import ACTIVE_STATES
from mlengine_project.operations.models import Job
from mlengine_project.operations.monitoring import processes

PAST_BACKFILLS = 5
MINUTE_SECONDS = 60


@dataclass(frozen=True)
class ShownMarket:
    """A market with the age of its newest candle."""

    market: Market
    age_seconds: float | None


def context(symbol: str) -> dict[str, Any]:
    """Context of the page; the calendar is of `symbol`, or of the first market."""
    markets = list(Market.objects.enabled())
    ages = market_health.data_age_seconds()
    chosen = next((market for market in markets if market.symbol == symbol), markets[0] if markets else None)
    return {
        "markets": [ShownMarket(market, ages.get(market.symbol)) for market in markets],
        "chosen": chosen,
        **feed_context(),
    }


def feed_context() -> dict[str, Any]:
    """Feed, request budget and backfills: what changes while one looks."""
    state = ExchangeState.objects.filter(pk=1).first()
    backfills = Job.objects.filter(kind__in=[Job.Kind.BACKFILL, Job.Kind.BOOTSTRAP])
    ended = backfills.exclude(state__in=ACTIVE_STATES).order_by("-created_at")[:PAST_BACKFILLS]
    return {
        "feed": processes.stream(),
        "exchange": state,
        "exchange_report": market_health.report(),
        "used_weight": _used(state),
        "banned_until": _banned_until(state),
        "backfills": [*backfills.filter(state__in=ACTIVE_STATES), *ended],
    }


def _used(state: ExchangeState | None) -> int:
    """Weight used in this minute; the exchange counts anew each minute."""
    if state is None or state.weight_seen_at is None:
        return 0
    return state.used_weight if (clock.wall_now() - state.weight_seen_at).total_seconds() < MINUTE_SECONDS else 0


def _banned_until(state: ExchangeState | None) -> Any:
    if state is None or not rate_limit.is_ban(state.banned_until_ms, clock.wall_ms()):
        return None
    return clock.to_datetime(state.banned_until_ms or 0)
