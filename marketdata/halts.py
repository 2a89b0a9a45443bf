"""Markets the exchange itself has stopped: nothing closes there, so nothing is waited for and nothing is missing yet.

What did not exist while a market stood still is found out later, when it trades again: the candles between are asked
for like any hole and become absences with evidence. Where the exchange shows the halt itself, by a candle it cut short
before or by candles off the grid after, that is evidence enough.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from django.db.models import Q

from marketdata import absences, clock, quarantine, store
from marketdata.intervals import INTERVAL_MS, Gap, find_gaps, floor_open, subtract
from marketdata.models import TRADING, AbsentStretch, Candle, CutShortCandle, Market
from marketdata.rest import Answer

KEPT_OPENS = 20
OFF_GRID = "the exchange's candle opens off the 5-minute grid: its stretch is absent"

log = structlog.get_logger(__name__)


def note(markets: Sequence[Market], trading: Mapping[str, str]) -> None:
    """Keep what the exchange says of its markets' trading, by symbol."""
    for market in markets:
        told = trading.get(market.symbol, "")[:20]
        if told and told != market.trading:
            _keep(market, told)


def end(markets: Sequence[Market]) -> None:
    """A candle closed: whatever was said before, these markets trade."""
    for market in markets:
        if market.is_halted:
            _keep(market, TRADING)


def mark_cut_short(answers: Sequence[tuple[Market, Answer]]) -> None:
    """Mark stored candles that closed early, and take the mark of those that turned out whole."""
    answered = [(market, answer) for market, answer in answers if answer.rows]
    if not answered:
        return
    early = {(market.pk, at): last for market, answer in answered for at, last in answer.cut_short.items()}
    first = min(answer.ask.from_ms for _, answer in answered)
    until = max(answer.ask.until_ms for _, answer in answered)
    near = CutShortCandle.objects.filter(market__in=[market for market, _ in answered])
    for mark in near.filter(open_time__gte=first, open_time__lt=until):
        read = {row.open_time for market, answer in answered if market.pk == mark.market_id for row in answer.rows}
        if mark.open_time in read and early.get((mark.market_id, mark.open_time)) != mark.close_time:
            mark.delete()
    for market, answer in answered:
        keep_marks(market, answer.cut_short, Candle.Origin.REST)


def keep_marks(market: Market, closes: Mapping[int, int], origin: str) -> None:
    """Mark candles by open with the last millisecond of each."""
    CutShortCandle.objects.bulk_create(
        [CutShortCandle(market=market, open_time=at, close_time=last, origin=origin) for at, last in closes.items()],
        ignore_conflicts=True,
    )


def note_off_grid(market: Market, file: str, rows: Sequence[tuple[int, int]]) -> None:
    """Record what candles off the grid, by line and open, leave absent, and keep each row once."""
    if not rows:
        return
    raw = [({"file": file, "line": line, "open_time": at}, OFF_GRID) for line, at in rows]
    quarantine.keep_once(market, Candle.Origin.IMPORT, raw)
    opens = sorted(at for _, at in rows)
    asked = Gap(floor_open(opens[0]), floor_open(opens[-1]) + 2 * INTERVAL_MS)
    covered = {place for at in opens for place in (floor_open(at), floor_open(at) + INTERVAL_MS)}
    covered -= set(store.stored_opens([market], *asked)[market.pk])
    holes = subtract([asked], find_gaps(sorted(covered), *asked))
    why = {
        "reason": f"the exchange was halted: {file} holds {len(rows)} candles off the 5-minute grid, "
        f"the first at {_instant(opens[0])}",
        "halt": {"closed_early": None, "off_grid": opens[:KEPT_OPENS], "rows": len(rows)},
    }
    absences.note_explained(market, holes, asked, opens[-1], why)


def explain(market: Market, hole: Gap, answer: Answer) -> dict[str, Any] | None:
    """Evidence of the halt a hole is part of, if the exchange itself shows one; None for a hole nothing explains."""
    cut = CutShortCandle.objects.filter(market=market, open_time=hole.start - INTERVAL_MS).first()
    off_grid = [at for _, at in answer.off_grid if hole.start - INTERVAL_MS < at < hole.end]
    if answer.later is not None and answer.later % INTERVAL_MS and hole.end == answer.ask.until_ms:
        off_grid.append(answer.later)
    if cut is not None or off_grid:
        said = [] if cut is None else [f"the candle before closed early, at {_instant(cut.close_time)}"]
        said += [f"{len(off_grid)} candles open off the 5-minute grid, the first at {_instant(off_grid[0])}"] * bool(
            off_grid
        )
        return {
            "reason": f"the exchange was halted: {'; '.join(said)}",
            "halt": {"closed_early": cut and cut.close_time, "off_grid": off_grid[:KEPT_OPENS], "rows": len(off_grid)},
        }
    beside = AbsentStretch.objects.filter(Q(end=hole.start) | Q(start=hole.end), market=market)
    for stretch in beside:
        if "halt" in stretch.evidence:
            return {name: stretch.evidence[name] for name in ("reason", "halt")}
    return None


def _instant(milliseconds: int) -> str:
    return f"{clock.to_datetime(milliseconds):%Y-%m-%d %H:%M:%S} UTC"


def _keep(market: Market, told: str) -> None:
    if market.is_halted or told != TRADING:
        log.warning("market_trading_changed", symbol=market.symbol, before=market.trading, now=told)
    market.trading = told
    Market.objects.filter(pk=market.pk).update(trading=told)
