"""Markets halted by the exchange, and the absences that a halt explains.

No candle closes in a halted market, so none is awaited or missing yet. When it trades again, the candles between are
requested like any hole and become absences with evidence. A candle cut short before the hole, or candles off the grid
after it, are sufficient evidence of a halt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from django.db.models import Q

from marketdata import clock
from marketdata.coverage import absences, quarantine
from marketdata.exchange.rest import PageResult
from marketdata.intervals import INTERVAL_MS, Gap, find_gaps, floor_open, subtract
from marketdata.models import TRADING, AbsentStretch, Candle, CutShortCandle, Market
from marketdata.storage import candles

MAX_KEPT_OPENS = 20
OFF_GRID = "the exchange's candle opens off the 5-minute grid: its stretch is absent"

log = structlog.get_logger(__name__)


def record_status(markets: Sequence[Market], trading: Mapping[str, str]) -> None:
    """Store the trading status of markets, given by symbol."""
    for market in markets:
        status = trading.get(market.symbol, "")[:20]
        if status and status != market.trading:
            _save_status(market, status)


def mark_trading(markets: Sequence[Market]) -> None:
    """Mark halted markets as trading, because a candle closed."""
    for market in markets:
        if market.is_halted:
            _save_status(market, TRADING)


def mark_cut_short(results: Sequence[tuple[Market, PageResult]]) -> None:
    """Mark stored candles that closed early, and unmark those that turned out complete."""
    with_rows = [(market, result) for market, result in results if result.rows]
    if not with_rows:
        return
    early = {(market.pk, at): last for market, result in with_rows for at, last in result.cut_short.items()}
    first = min(result.request.from_ms for _, result in with_rows)
    until = max(result.request.until_ms for _, result in with_rows)
    near = CutShortCandle.objects.filter(market__in=[market for market, _ in with_rows])
    for mark in near.filter(open_time__gte=first, open_time__lt=until):
        read = {row.open_time for market, result in with_rows if market.pk == mark.market_id for row in result.rows}
        if mark.open_time in read and early.get((mark.market_id, mark.open_time)) != mark.close_time:
            mark.delete()
    for market, result in with_rows:
        save_marks(market, result.cut_short, Candle.Origin.REST)


def save_marks(market: Market, closes: Mapping[int, int], origin: str) -> None:
    """Mark candles, given by open, with their last millisecond."""
    CutShortCandle.objects.bulk_create(
        [CutShortCandle(market=market, open_time=at, close_time=last, origin=origin) for at, last in closes.items()],
        ignore_conflicts=True,
    )


def record_off_grid(market: Market, file: str, rows: Sequence[tuple[int, int]]) -> None:
    """Record absences around off-grid candles, given by line and open; store each row once."""
    if not rows:
        return
    raw = [({"file": file, "line": line, "open_time": at}, OFF_GRID) for line, at in rows]
    quarantine.store_new(market, Candle.Origin.IMPORT, raw)
    opens = sorted(at for _, at in rows)
    requested = Gap(floor_open(opens[0]), floor_open(opens[-1]) + 2 * INTERVAL_MS)
    covered = {place for at in opens for place in (floor_open(at), floor_open(at) + INTERVAL_MS)}
    covered -= set(candles.stored_opens([market], *requested)[market.pk])
    holes = subtract([requested], find_gaps(sorted(covered), *requested))
    why = {
        "reason": f"the exchange was halted: {file} holds {len(rows)} candles off the 5-minute grid, "
        f"the first at {_instant(opens[0])}",
        "halt": {"closed_early": None, "off_grid": opens[:MAX_KEPT_OPENS], "rows": len(rows)},
    }
    absences.record_explained(market, holes, requested, opens[-1], why)


def explain(market: Market, hole: Gap, result: PageResult) -> dict[str, Any] | None:
    """Evidence of the halt that a hole is part of; None if there is none."""
    cut = CutShortCandle.objects.filter(market=market, open_time=hole.start - INTERVAL_MS).first()
    off_grid = [at for _, at in result.off_grid if hole.start - INTERVAL_MS < at < hole.end]
    if result.later is not None and result.later % INTERVAL_MS and hole.end == result.request.until_ms:
        off_grid.append(result.later)
    if cut is not None or off_grid:
        facts = [] if cut is None else [f"the candle before closed early, at {_instant(cut.close_time)}"]
        facts += [f"{len(off_grid)} candles open off the 5-minute grid, the first at {_instant(off_grid[0])}"] * bool(
            off_grid
        )
        return {
            "reason": f"the exchange was halted: {'; '.join(facts)}",
            "halt": {
                "closed_early": cut and cut.close_time,
                "off_grid": off_grid[:MAX_KEPT_OPENS],
                "rows": len(off_grid),
            },
        }
    beside = AbsentStretch.objects.filter(Q(end=hole.start) | Q(start=hole.end), market=market)
    for stretch in beside:
        if "halt" in stretch.evidence:
            return {name: stretch.evidence[name] for name in ("reason", "halt")}
    return None


def _instant(milliseconds: int) -> str:
    return f"{clock.to_datetime(milliseconds):%Y-%m-%d %H:%M:%S} UTC"


def _save_status(market: Market, status: str) -> None:
    if market.is_halted or status != TRADING:
        log.warning("market_trading_changed", symbol=market.symbol, before=market.trading, now=status)
    market.trading = status
    Market.objects.filter(pk=market.pk).update(trading=status)
