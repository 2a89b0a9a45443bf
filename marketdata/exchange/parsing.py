"""Strict parsing of the exchange's messages: a candle that breaks a rule is refused. Pure."""

import re
import reprlib
import unicodedata
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import NamedTuple

from marketdata.errors import MalformedCandle
from marketdata.intervals import INTERVAL, INTERVAL_MS, interval_ms

EARLIEST_MS = 1_483_228_800_000
"""2017-01-01: no candle of the exchange is older; seconds and 1970 lie below."""
LATEST_MS = 4_102_444_800_000
"""2100-01-01: microseconds lie far above."""
PRICE_LIMIT = Decimal(10) ** 12 - 1
AMOUNT_LIMIT = Decimal(10) ** 21
TRADES_LIMIT = 2**62
_NUMBER = re.compile(r"[0-9]{1,22}(\.[0-9]{1,20})?", re.ASCII)
MIN_SYMBOL_LENGTH, MAX_SYMBOL_LENGTH = 2, 20
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Fillers and variation selectors: letters and marks by category, but invisible."""
PAGE = 1000
"""Maximum candles of one request."""
REST_COLUMNS = 12
MAX_SHOWN_CHARACTERS = 120
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 50
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict = 2, 3, 3


class CandleRow(NamedTuple):
    """One closed candle as exact numbers; None where a source lacks a value."""

    open_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal | None = None
    trades: int | None = None
    taker_buy_base: Decimal | None = None
    taker_buy_quote: Decimal | None = None


def normal_symbol(text: str) -> str:
    """Normalise a symbol: composed (NFC), and in upper case where its script has one.

    Examples
    --------
    >>> normal_symbol("btcusdt"), normal_symbol("币安人生usdt")
    ('BTCUSDT', '币安人生USDT')
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).upper())


def is_symbol(text: object) -> bool:
    """Whether a text is a normalised symbol of 2 to 20 letters and digits.

    Letters and digits of any script are allowed.

    It contains no blank, separator, sign or control character.

    Examples
    --------
    >>> is_symbol("BTCUSDT"), is_symbol("币安人生USDT"), is_symbol("btcusdt"), is_symbol("BTC/USDT")
    (True, True, False, False)
    """
    if not isinstance(text, str) or not MIN_SYMBOL_LENGTH <= len(text) <= MAX_SYMBOL_LENGTH:
        return False
    kinds = [unicodedata.category(sign) for sign in text]
    is_word = all(kind[0] in "LM" or kind == "Nd" for kind in kinds) and kinds[0][0] != "M"
    return is_word and normal_symbol(text) == text and _INVISIBLE.search(text) is None


def parse_decimal(field: str, raw: object) -> Decimal:
    """Parse a non-negative decimal string with at most eight significant places.

    Only the exchange's own form is accepted: digits and a point, as text. A JSON number was already parsed as a float,
    so it is refused.

    Examples
    --------
    >>> parse_decimal("close", "67123.45000000")
    Decimal('67123.45000000')
    >>> parse_decimal("close", "NaN")
    Traceback (most recent call last):
    marketdata.errors.MalformedCandle: close is 'NaN', not a decimal text
    """
    if not isinstance(raw, str) or _NUMBER.fullmatch(raw) is None:
        raise MalformedCandle(f"{field} is {_shown(raw)}, not a decimal text")
    whole, _, places = raw.partition(".")
    if places[8:].strip("0"):
        raise MalformedCandle(f"{field} is {_shown(raw)}, which has more than 8 decimals")
    return Decimal(f"{whole}.{places[:8]}") if places else Decimal(whole)


def parse_whole(field: str, raw: object, limit: int) -> int:
    """Parse a non-negative JSON integer below a limit; true and 1.0 are not integers."""
    if type(raw) is not int or not 0 <= raw < limit:
        raise MalformedCandle(f"{field} is {_shown(raw)}, not a whole number below {limit}")
    return raw


def parse_open_time(raw: object, length_ms: int = INTERVAL_MS) -> int:
    """Parse an open time in milliseconds on the grid, between 2017 and 2100.

    Examples
    --------
    >>> parse_open_time(1_659_312_000)
    Traceback (most recent call last):
    marketdata.errors.MalformedCandle: open time 1659312000 is not in milliseconds between 2017 and 2100
    """
    if type(raw) is not int:
        raise MalformedCandle(f"open time is {_shown(raw)}, not a whole number")
    if not EARLIEST_MS <= raw < LATEST_MS:
        raise MalformedCandle(f"open time {_shown(raw)} is not in milliseconds between 2017 and 2100")
    if raw % length_ms:
        raise MalformedCandle(f"open time {raw} is not a multiple of {length_ms} ms")
    return raw


def check_candle(row: CandleRow) -> CandleRow:
    """Check the rules of every candle: order of prices, signs and magnitudes."""
    if not row.low > 0:
        raise MalformedCandle(f"low {row.low} is not above 0")
    if row.high < row.low:
        raise MalformedCandle(f"high {row.high} is below low {row.low}")
    if row.high >= PRICE_LIMIT:
        raise MalformedCandle(f"high {row.high} is beyond any price")
    for name, price in (("open", row.open), ("close", row.close)):
        if not row.low <= price <= row.high:
            raise MalformedCandle(f"{name} {price} is outside low {row.low} to high {row.high}")
    for name, amount in (("volume", row.volume), ("quote volume", row.quote_volume)):
        if amount is not None and not 0 <= amount < AMOUNT_LIMIT:
            raise MalformedCandle(f"{name} {amount} is beyond any amount")
    for name, part, total in (
        ("taker buy base", row.taker_buy_base, row.volume),
        ("taker buy quote", row.taker_buy_quote, row.quote_volume),
    ):
        if part is not None and total is not None and part > total:
            raise MalformedCandle(f"{name} {part} is more than the whole {total}")
    return row


def parse_kline_row(row: object, interval: str = INTERVAL) -> CandleRow:
    """Parse one row of ``/api/v3/klines``.

    A candle interrupted by a halt of the exchange closes early, with the trades until then.

    Raises
    ------
    MalformedCandle
        With the rule that was broken.

    Examples
    --------
    >>> row = [1735516800000, "5", "7", "4", "6", "2", 1735517099999, "11", 3, "1", "6", "0"]
    >>> parse_kline_row(row).close
    Decimal('6')
    """
    if not isinstance(row, list | tuple) or len(row) != REST_COLUMNS:
        raise MalformedCandle(f"a row has {REST_COLUMNS} values, this is {_shown(row)}")
    length_ms = interval_ms(interval)
    open_time = parse_open_time(row[0], length_ms)
    candle = check_candle(
        CandleRow(
            open_time,
            open=parse_decimal("open", row[1]),
            high=parse_decimal("high", row[2]),
            low=parse_decimal("low", row[3]),
            close=parse_decimal("close", row[4]),
            volume=parse_decimal("volume", row[5]),
            quote_volume=parse_decimal("quote volume", row[7]),
            trades=parse_whole("trades", row[8], TRADES_LIMIT),
            taker_buy_base=parse_decimal("taker buy base", row[9]),
            taker_buy_quote=parse_decimal("taker buy quote", row[10]),
        )
    )
    last = parse_whole("close time", row[6], 2**53)
    is_empty = candle.volume == 0 and candle.trades == 0
    if not (open_time < last < open_time + length_ms or (is_empty and last == open_time)):
        raise MalformedCandle(f"close time {last} is not within the candle at {open_time}")
    return candle


def early_closes(page: Iterable[object], good: Iterable[CandleRow]) -> dict[int, int]:
    """Last milliseconds, by open, of the good rows of a page that were cut short.

    Examples
    --------
    >>> row = [1518049500000, "5", "7", "4", "6", "2", 1518049694787, "11", 3, "1", "6", "0"]
    >>> early_closes([row], [parse_kline_row(row)])
    {1518049500000: 1518049694787}
    """
    opens = {row.open_time for row in good}
    complete = (row for row in page if isinstance(row, list | tuple) and len(row) == REST_COLUMNS)
    # Not every row of a page is a candle: a list is not hashable and cannot be looked up among the opens.
    return {
        row[0]: row[6]
        for row in complete
        if type(row[0]) is int and row[0] in opens and row[6] != row[0] + INTERVAL_MS - 1
    }


def off_grid_open(row: object) -> int | None:
    """Open of a valid candle off the grid, as after a halt; else None.

    Examples
    --------
    >>> off_grid_open([1518168494789, "5", "7", "4", "6", "2", 1518168794788, "11", 3, "1", "6", "0"])
    1518168494789
    >>> off_grid_open([1518168300000, "5", "7", "4", "6", "2", 1518168599999, "11", 3, "1", "6", "0"])
    """
    if not isinstance(row, list | tuple) or len(row) != REST_COLUMNS or not type(row[0]) is type(row[6]) is int:
        return None
    shift = row[0] % INTERVAL_MS
    if not shift:
        return None
    try:
        parse_kline_row([row[0] - shift, *row[1:6], row[6] - shift, *row[7:]])
    except MalformedCandle:
        return None
    return int(row[0])


def parse_kline_page(
    page: object, from_ms: int, until_ms: int, limit: int = PAGE
) -> tuple[list[CandleRow], list[tuple[object, str]]]:
    """Split a page into good rows, oldest first, and bad ones with reasons.

    A row outside ``[from_ms, until_ms)``, not after the row before it, or beyond `limit`, is bad.

    Raises
    ------
    MalformedCandle
        If the page is not a list, or longer than the exchange's maximum.

    Examples
    --------
    >>> parse_kline_page([], 0, 1)
    ([], [])
    """
    if not isinstance(page, list):
        raise MalformedCandle(f"a page of candles is a list, this is {_shown(page)}")
    if len(page) > PAGE:
        raise MalformedCandle(f"a page holds at most {PAGE} candles, this one {len(page)}")
    good: list[CandleRow] = []
    bad: list[tuple[object, str]] = []
    for raw in page:
        try:
            candle = parse_kline_row(raw)
        except MalformedCandle as error:
            bad.append((raw, str(error)))
            continue
        if not from_ms <= candle.open_time < until_ms:
            bad.append((raw, f"open time {candle.open_time} was not requested"))
        elif good and candle.open_time <= good[-1].open_time:
            bad.append((raw, f"open time {candle.open_time} is not after the row before it"))
        elif len(good) == limit:
            bad.append((raw, f"more than the {limit} requested candles"))
        else:
            good.append(candle)
    return good, bad


def parse_stream_frame(
    message: object, symbols: Collection[str], latest_close_ms: int = LATEST_MS
) -> tuple[str, CandleRow] | None:
    """Parse one kline message of a stream.

    Parameters
    ----------
    message : dict
        The payload, with or without the combined stream's wrapper.
    symbols : collection of str
        The symbols subscribed to.
    latest_close_ms : int
        No candle can have closed after this instant of exchange time, nor after the message's own.

    Returns
    -------
    tuple of (str, CandleRow) or None
        Symbol and candle if the message closes one; None for a candle still open.

    Raises
    ------
    MalformedCandle
        With the rule that was broken.

    Examples
    --------
    >>> k = {"t": 1735516800000, "T": 1735517099999, "s": "BTCUSDT", "i": "5m", "o": "5", "h": "7", "l": "4",
    ...      "c": "6", "v": "2", "q": "11", "n": 3, "V": "1", "Q": "6", "x": True}
    >>> parse_stream_frame({"e": "kline", "E": 1735517100100, "s": "BTCUSDT", "k": k}, ["BTCUSDT"])[0]
    'BTCUSDT'
    >>> parse_stream_frame({"e": "kline", "s": "BTCUSDT", "k": {**k, "x": False}}, ["BTCUSDT"]) is None
    True
    """
    if isinstance(message, dict) and isinstance(message.get("data"), dict) and "stream" in message:
        message = message["data"]
    if not isinstance(message, dict) or message.get("e") != "kline" or not isinstance(message.get("k"), dict):
        raise MalformedCandle(f"not a kline message: {_shown(message)}")
    kline = message["k"]
    symbol = kline.get("s")
    if not is_symbol(symbol) or symbol not in symbols:
        raise MalformedCandle(f"symbol {_shown(symbol)} was not subscribed to")
    if message.get("s") != symbol:
        raise MalformedCandle(f"symbol {_shown(message.get('s'))} carries a candle of {symbol}")
    if kline.get("i") != INTERVAL:
        raise MalformedCandle(f"interval {_shown(kline.get('i'))} was not subscribed to")
    if type(kline.get("x")) is not bool:
        raise MalformedCandle(f"x is {_shown(kline.get('x'))}, neither true nor false")
    if not kline["x"]:
        return None
    columns = [kline.get(key) for key in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q")]
    candle = parse_kline_row([*columns, "0"])
    close_ms = candle.open_time + INTERVAL_MS
    if candle.trades and kline["T"] != close_ms - 1:  # it is fetched over REST and marked there
        raise MalformedCandle(
            f"the candle at {candle.open_time} was cut short at {kline['T']}: it is fetched over REST"
        )
    event_ms = parse_whole("event time", message.get("E"), LATEST_MS)
    if event_ms < close_ms - 1 or close_ms > latest_close_ms:
        raise MalformedCandle(f"the candle at {candle.open_time} is called closed before its end")
    return symbol, candle


def _shown(raw: object) -> str:
    """Shorten an untrusted value for a message, without traversing all of it."""
    shown = _SHORT.repr(raw)
    return shown if len(shown) <= MAX_SHOWN_CHARACTERS else f"{shown[:MAX_SHOWN_CHARACTERS]}..."
