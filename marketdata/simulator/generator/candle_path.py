"""Values of a candle before it closes, on a path through its prices."""

from __future__ import annotations

import numpy as np

from marketdata.simulator.generator.keyed_random import uniforms
from marketdata.simulator.klines import Kline


def partial_kline(kline: Kline, fraction: float, symbol: str = "") -> Kline:
    """The candle after `fraction` of its interval.

    It is a pure function of the candle: extremes only widen, volumes only grow, and at 1 it is the candle itself.

    Examples
    --------
    >>> closed = Kline(0, 10.0, 12.0, 9.0, 11.0, 8.0, 80.0, 4, 2.0, 20.0)
    >>> partial_kline(closed, 0.0)[1:5]
    (10.0, 10.0, 10.0, 10.0)
    >>> partial_kline(closed, 1.0) == closed
    True
    """
    if fraction >= 1:
        return kline
    drawn = uniforms(8, symbol, kline.open_time, "path")
    moments = np.concatenate([[0.0], np.cumsum(drawn[:6] + 0.2)])
    moments /= moments[-1]
    first, second = (kline.high, kline.low) if drawn[6] < 0.5 else (kline.low, kline.high)
    # On the way to an extreme, and between the two, the path reverses once.
    between = kline.low + (kline.high - kline.low) * (0.3 + 0.4 * float(drawn[7]))
    prices = [kline.open, (kline.open + first) / 2, (3 * kline.open + first) / 4, first, between, second, kline.close]
    passed = int(np.searchsorted(moments, fraction, side="right"))
    # The smallest tick of the candle's own prices, so that the path has no price between ticks.
    digits = max(_digits(price) for price in kline[1:5])
    current = round(float(np.interp(fraction, moments, prices)), digits)
    seen = [kline.open, current, *(round(float(price), digits) for price in prices[1:passed])]
    return kline._replace(
        high=min(max(seen), kline.high),
        low=max(min(seen), kline.low),
        close=min(max(current, kline.low), kline.high),
        volume=_share(kline.volume, fraction),
        quote_volume=_share(kline.quote_volume, fraction),
        trades=int(kline.trades * fraction),
        taker_buy_base=_share(kline.taker_buy_base, fraction),
        taker_buy_quote=_share(kline.taker_buy_quote, fraction),
    )


def _digits(price: float) -> int:
    _, _, decimals = f"{price:.8f}".rstrip("0").partition(".")
    return len(decimals)


def _share(amount: float, fraction: float) -> float:
    return round(amount * fraction, 5)
