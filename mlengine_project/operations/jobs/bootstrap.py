"""Bootstrap of an empty database: schedule, markets, first history, first models; repeatable."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings

from indicators.errors import MLEngineError
from marketdata import clock, services
from marketdata.errors import ExchangeUnavailable, MarketDataError
from marketdata.exchange.client import source_of_settings
from marketdata.exchange.rest import RestSession
from marketdata.intervals import INTERVAL_MS, floor_open
from marketdata.models import Market
from marketdata.storage import candles as store
from mlengine_project.operations.jobs import control
from mlengine_project.operations.models import Job
from mlengine_project.operations.scheduling.schedule import install_schedule
from modelregistry import registry
from modelregistry.models import Kind
from modelregistry.training.fit.plan import least_candles, ordinary_candles

RETRY = timedelta(minutes=15)
"""Wait of the schedule after a bootstrap or training that left a kind without a champion."""
Progress = Callable[[int, int], None]


class BootstrapError(MLEngineError):
    """The installation lacks something that only an operator can provide."""


def prepare() -> tuple[list[str], list[Market]]:
    """Create the schedule rows and markets that are missing; returns the new ones."""
    return install_schedule(), services.seed_markets(settings.SUPPORTED_SYMBOLS, source_of_settings())


def missing_kinds(source: str) -> list[str]:
    """Kinds of estimators that have no champion for a source."""
    champions = registry.champions(source)
    return [kind for kind in Kind.values if kind not in champions]


def request(asked_by: str) -> Job | None:
    """Request the bootstrap as a job, None where every kind has a champion."""
    return control.request_bootstrap(asked_by) if missing_kinds(source_of_settings()) else None


def sweep() -> None:
    """Request missing first models, unless `up` trains them, and the history of new markets."""
    if not settings.IS_UP and _is_due():
        request("schedule")
    markets = _fed_markets()
    counts = _counts(markets)
    short = [market for market in markets if counts[market.pk] < _required_candles()]
    if not Job.objects.filter(kind=Job.Kind.BOOTSTRAP, state__in=control.ACTIVE_STATES).exists():
        request_history(short, "schedule")


def request_history(markets: Sequence[Market], asked_by: str) -> None:
    """Request, once for each market, the candles that a standard training reads."""
    candles = ordinary_candles(tuple(settings.DEFAULT_HORIZONS))
    begin = clock.to_datetime(floor_open(clock.market_ms()) - candles * INTERVAL_MS)
    for market in markets:
        arguments = {"symbols": [market.symbol], "from": f"{begin:%Y-%m-%dT%H:%M:%SZ}"}
        control.request_backfill(asked_by, arguments, slot=f"history-{market.pk}")


def run(
    progress: Progress = lambda _done, _total: None, cancelled: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Prepare, fetch what the first training reads, request that training and the rest of the history.

    Nothing stored already is fetched or requested again, so the run may stop at any point and be repeated.

    Raises
    ------
    ExchangeUnavailable
        When the exchange does not answer; candles fetched before are kept.
    BootstrapError
        If no market can be trained on, with the number of candles needed.
    """
    prepare()
    source = source_of_settings()
    kinds = missing_kinds(source)
    markets = _fed_markets()
    if not markets:
        raise BootstrapError(f"no market of {source} candles is enabled: enable one in the admin")
    counts, refused = fetch(markets, _required_candles(), progress, cancelled)
    ready = [market for market in markets if counts[market.pk] >= _required_candles()]
    result: dict[str, Any] = {
        "needed": _required_candles(),
        "markets": [
            {"symbol": market.symbol, "stored": counts[market.pk], "refused": refused.get(market.symbol)}
            for market in markets
        ],
        "training": None,
    }
    if cancelled():
        return result
    if not ready:
        stored = "; ".join(
            f"{market.symbol} {counts[market.pk]:,} {refused.get(market.symbol, '')}".strip() for market in markets
        )
        raise BootstrapError(f"no market has the {_required_candles():,} candles a training needs; stored: {stored}")
    if kinds:
        arguments = {"kinds": kinds, "small": True, "source": str(source), "symbols": [one.symbol for one in ready]}
        result["training"] = str(control.request_training("bootstrap", arguments).pk)
    request_history(markets, "bootstrap")
    return result


def fetch(
    markets: Sequence[Market], required: int, progress: Progress, cancelled: Callable[[], bool]
) -> tuple[dict[int, int], dict[str, str]]:
    """Backfill markets to a minimum number of candles, as far as the exchange has them.

    Returns
    -------
    counts : dict of int to int
        Candles stored by market id.
    refused : dict of str to str
        Why the exchange refused a symbol; the other symbols go on.
    """
    with RestSession(patient=True) as line:
        until_ms = floor_open(line.market_ms())
    needed, counts = required, _counts(markets)
    refused: dict[str, str] = {}
    while short := [one for one in markets if counts[one.pk] < required and one.symbol not in refused]:
        refused |= _backfill(short, until_ms - needed * INTERVAL_MS, until_ms, progress, cancelled)
        before, counts = counts, _counts(markets)
        # Candles the exchange itself lacks are replaced by older ones, while there are any.
        if cancelled() or all(counts[market.pk] == before[market.pk] for market in short):
            break
        needed += max(required - counts[market.pk] for market in short)
    return counts, refused


def _backfill(
    markets: Sequence[Market], from_ms: int, until_ms: int, progress: Progress, cancelled: Callable[[], bool]
) -> dict[str, str]:
    try:
        return services.backfill(markets, from_ms, until_ms, progress, cancelled).failures
    except ExchangeUnavailable:
        raise
    except MarketDataError as error:  # raised, not reported, where it is the only market
        return {markets[0].symbol: str(error)}


def _is_due() -> bool:
    """Whether no bootstrap or training is active or ended recently, and the last was not cancelled."""
    if not missing_kinds(source_of_settings()):
        return False
    newest = Job.objects.filter(kind__in=(Job.Kind.BOOTSTRAP, Job.Kind.TRAINING)).order_by("-created_at").first()
    if newest is None:
        return True
    if newest.state in {*control.ACTIVE_STATES, Job.State.CANCELLED}:
        return False
    return newest.ended_at is None or clock.wall_now() - newest.ended_at >= RETRY


def _fed_markets() -> list[Market]:
    return list(Market.objects.enabled().filter(source=source_of_settings()))


def _counts(markets: Sequence[Market]) -> dict[int, int]:
    return store.counts_stored(markets, 0, clock.market_ms())


def _required_candles() -> int:
    return least_candles(tuple(settings.DEFAULT_HORIZONS))
