"""Markets the exchange itself has stopped: nothing closes there, so nothing is waited for and nothing is missing yet.

What did not exist while a market stood still is found out later, when it trades again: the candles between are asked
for like any hole and become absences with evidence.
"""

from collections.abc import Mapping, Sequence

import structlog

from marketdata.models import TRADING, Market

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


def _keep(market: Market, told: str) -> None:
    if market.is_halted or told != TRADING:
        log.warning("market_trading_changed", symbol=market.symbol, before=market.trading, now=told)
    market.trading = told
    Market.objects.filter(pk=market.pk).update(trading=told)
