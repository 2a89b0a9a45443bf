"""Reading candle files for replay: Parquet or CSV, one symbol a file, named like `BTCUSDT-5m.parquet`."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indicators.candles import WEEK_MS
from marketdata.errors import MarketDataError
from marketdata.exchange.parsing import is_symbol, normal_symbol
from marketdata.intervals import INTERVAL_MS
from marketdata.simulator.generator.keyed_random import normals
from marketdata.simulator.klines import Klines

if TYPE_CHECKING:
    import pandas as pd

FILE_NAME = re.compile(r"(?P<symbol>[^\W_]{2,20})-5m\.(parquet|csv)")
NEEDED = ("open_time", "open", "high", "low", "close", "volume")
AVERAGE_TRADE = 600.0  # quote currency, for files that do not count trades


class UnreadableCandles(MarketDataError):
    """A candle file cannot be replayed; the message says what is wrong with it."""


def read_files(paths: list[Path]) -> dict[str, Klines]:
    """Read files and folders of files.

    Raises
    ------
    UnreadableCandles
        If there is nothing to read, a symbol occurs twice, or a file breaks a rule.
    """
    files: list[Path] = []
    for path in paths:
        files += (
            sorted(inner for inner in path.iterdir() if FILE_NAME.fullmatch(unicodedata.normalize("NFC", inner.name)))
            if path.is_dir()
            else [path]
        )
    if not files:
        raise UnreadableCandles(f"no file named like BTCUSDT-5m.parquet in {', '.join(map(str, paths))}")
    candles: dict[str, Klines] = {}
    for file in files:
        named = FILE_NAME.fullmatch(unicodedata.normalize("NFC", file.name))
        if named is None or not is_symbol(normal_symbol(named["symbol"])):
            raise UnreadableCandles(f"{file.name} must be named like BTCUSDT-5m.parquet, so that its symbol is known")
        symbol = normal_symbol(named["symbol"])
        if symbol in candles:
            raise UnreadableCandles(f"there are two files for {symbol}")
        candles[symbol] = read_file(file, symbol)
    return candles


def read_file(path: Path, symbol: str) -> Klines:
    """Read and check one file; missing columns are generated deterministically."""
    import pandas as pd  # 65 MB of memory, not needed for generated candles

    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError as error:
        raise UnreadableCandles(f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # pyarrow's and pandas' errors are ValueErrors
        raise UnreadableCandles(f"{path.name} cannot be read: {error}") from error
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise UnreadableCandles(f"{path.name} lacks the columns {', '.join(missing)}")
    try:
        open_time = frame["open_time"].to_numpy(dtype=np.int64)
        prices = [frame[name].to_numpy(dtype=np.float64) for name in NEEDED[1:]]
    except (TypeError, ValueError) as error:
        raise UnreadableCandles(f"{path.name} holds something that is not a number: {error}") from error
    _check(path.name, open_time, prices)
    return Klines._make((open_time, *prices, *_activity(frame, symbol, open_time, prices)))


def _check(name: str, open_time: NDArray[np.int64], prices: list[NDArray[np.float64]]) -> None:
    opens, highs, lows, closes, volumes = prices
    rules = {
        "an open time that is not a multiple of 5 minutes in milliseconds": open_time % INTERVAL_MS != 0,
        "a row that is not later than the one before it": np.diff(open_time, prepend=-1) <= 0,
        "a value that is not finite": ~np.isfinite(np.stack(prices)).all(axis=0),
        "a price that is not above 0": lows <= 0,
        "a high below another price": highs < np.maximum(opens, closes),
        "a low above another price": lows > np.minimum(opens, closes),
        "a negative volume": volumes < 0,
    }
    if not len(open_time):
        raise UnreadableCandles(f"{name} holds no candle")
    for rule, broken in rules.items():
        if broken.any():
            raise UnreadableCandles(f"{name}, row {int(np.argmax(broken)) + 1}: {rule}")


def _activity(
    frame: pd.DataFrame, symbol: str, open_time: NDArray[np.int64], prices: list[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Quote volume, trades and taker volumes, generated where the file has none."""
    opens, highs, lows, closes, volume = prices
    drawn_normals = _normals(symbol, open_time)
    typical = (opens + highs + lows + closes) / 4
    spread = np.log(highs / lows)
    lean = np.divide(np.log(closes / opens), spread, out=np.zeros_like(spread), where=spread > 0)
    share = np.clip(0.5 + 0.08 * lean + 0.04 * drawn_normals[1], 0.03, 0.97)
    quote_volume = np.round(volume * typical, 8)
    counted = np.maximum(1, quote_volume / AVERAGE_TRADE * np.exp(0.2 * drawn_normals[0]))
    trades = np.minimum(np.where(volume > 0, counted, 0), 999_999)
    bought = np.minimum(np.round(volume * share, 5), volume)
    quote_volume = _column_or(frame, "quote_volume", quote_volume)
    # Rounded down, so that the part never exceeds the whole in the last decimal.
    bought_quote = np.floor(quote_volume * np.divide(bought, volume, out=np.zeros_like(bought), where=volume > 0) * 1e4)
    return (
        quote_volume,
        _column_or(frame, "trades", trades).astype(np.int64),
        _column_or(frame, "taker_buy_base", bought),
        _column_or(frame, "taker_buy_quote", bought_quote / 1e4),
    )


def _column_or(frame: pd.DataFrame, name: str, generated: NDArray[Any]) -> NDArray[np.float64]:
    if name not in frame.columns:
        return generated.astype(np.float64)
    given = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(given), given, generated)


def _normals(symbol: str, open_time: NDArray[np.int64]) -> NDArray[np.float64]:
    """Two normal numbers per candle that depend on symbol and open time only."""
    weeks, places = open_time // WEEK_MS, open_time % WEEK_MS // INTERVAL_MS
    drawn = np.empty((2, len(open_time)))
    for week in np.unique(weeks):
        rows = weeks == week
        whole = normals(2 * WEEK_MS // INTERVAL_MS, symbol, "file", int(week)).reshape(2, -1)
        drawn[:, rows] = whole[:, places[rows]]
    return drawn
