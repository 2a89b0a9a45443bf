"""Names of columns in candle files: the engine's own and those of other tools. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

DUMP_COLUMNS = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
    "taker_buy_base", "taker_buy_quote", "ignore",
)  # fmt: skip
REQUIRED = ("open_time", "open", "high", "low", "close", "volume")
OPEN_TIME_NAMES = (
    "opentime", "opentimems", "klineopentime", "opentimestamp", "starttime", "unix", "unixtimestamp", "timestamp",
    "timestampms", "ts", "time", "datetime", "date", "index", "indexlevel0", "",
)  # fmt: skip
"""In order of preference: of several in one file the first is read, the others are reported as ignored."""
OTHER_NAMES = {
    "open": ("open", "openprice"),
    "high": ("high", "highprice"),
    "low": ("low", "lowprice"),
    "close": ("close", "closeprice"),
    "volume": ("volume", "vol", "basevolume", "volumebase", "baseassetvolume"),
    "close_time": ("closetime", "closetimems", "klineclosetime", "closetimestamp", "endtime"),
    "quote_volume": (
        "quotevolume", "volumequote", "quoteassetvolume", "quotevol", "quoteassetvol", "qav", "turnover",
    ),
    "trades": (
        "trades", "count", "numberoftrades", "numoftrades", "nooftrades", "numtrades", "ntrades", "tradecount",
        "tradescount", "tradescnt",
    ),
    "taker_buy_base": (
        "takerbuybase", "takerbuyvolume", "takerbuybasevolume", "takerbuybaseassetvolume", "takerbuybasevol",
        "takerbasevol", "takerbasevolume", "takerbuyvol", "tbbav",
    ),
    "taker_buy_quote": (
        "takerbuyquote", "takerbuyquotevolume", "takerbuyquoteassetvolume", "takerbuyquotevol", "takerquotevol",
        "takerquotevolume", "tbqav",
    ),
    "symbol": ("symbol", "pair", "ticker"),
    "interval": ("interval", "timeframe"),
    "ignore": ("ignore", "ignored", "unused", "unusedfield"),
}  # fmt: skip
"""The engine's name, and names of the same column without case, spaces and signs."""
_KNOWN = {squashed: name for name, known in OTHER_NAMES.items() for squashed in known}


class MatchedColumns(NamedTuple):
    """Position of each known column, names of ignored columns, and columns that occur twice."""

    positions: dict[str, int]
    ignored: list[str]
    repeated: list[str]

    @property
    def missing(self) -> list[str]:
        """Required columns that are not there."""
        return [name for name in REQUIRED if name not in self.positions]


def match_columns(names: Sequence[str], symbol: str = "") -> MatchedColumns:
    """Find the columns of a candle among the names in a file.

    Examples
    --------
    >>> match_columns(["Unix", "Date", "Open", "Volume BTC", "Volume USDT"], "BTCUSDT")[:2]
    ({'open': 2, 'volume': 3, 'quote_volume': 4, 'open_time': 0}, ['Date'])
    """
    squashed = [re.sub(r"[\W_]", "", name).lower() for name in names]
    positions: dict[str, int] = {}
    ignored: list[int] = []
    repeated: list[str] = []
    for position, name in enumerate(squashed):
        known = _KNOWN.get(name) or _volume_in(name, symbol)
        if known is None and name not in OPEN_TIME_NAMES:
            ignored.append(position)
        elif known in positions:
            repeated.append(f"{known} ({names[positions[known]]} and {names[position]})")
        elif known is not None:
            positions[known] = position
    times = [position for position, name in enumerate(squashed) if name in OPEN_TIME_NAMES]
    times.sort(key=lambda position: OPEN_TIME_NAMES.index(squashed[position]))
    if times:
        positions["open_time"] = times[0]
        same = [position for position in times[1:] if squashed[position] == squashed[times[0]] != ""]
        repeated += [f"open_time ({names[times[0]]} and {names[position]})" for position in same]
    ignored = sorted([*ignored, *times[1:]])
    return MatchedColumns(positions, [names[at] or f"column {at + 1} (no name)" for at in ignored], repeated)


def _volume_in(squashed: str, symbol: str) -> str | None:
    """Distinguish ``Volume BTC`` from ``Volume USDT`` by the symbol."""
    asset = squashed.removeprefix("volume").upper()
    if not symbol or asset == squashed.upper() or not asset:
        return None
    if symbol.startswith(asset):
        return "volume"
    return "quote_volume" if symbol.endswith(asset) else None
