"""Aggregated real candles beside those of 15 minutes and one hour that the exchange itself published."""

from decimal import Decimal

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from indicators.candles import CANDLE_COLUMNS, HOUR_MS
from marketdata.files.importing import import_file
from marketdata.intervals import interval_ms
from marketdata.models import Market
from marketdata.storage import aggregation

pytestmark = pytest.mark.candles
FLOWS = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
HALTED_HOUR_MS = 1_679_659_200_000
"""2023-03-24 12:00: the exchange was halted from 12:40 on."""
ABSENT_DAY_MS = 1_703_980_800_000
"""2023-12-31, which the files of five minutes lack."""


def published(folder, symbol, interval, first_ms):
    table = pq.read_table(folder / "full12" / f"{symbol}-{interval}.parquet")
    return {row["open_time"]: row for row in table.filter(pc.field("open_time") >= first_ms).to_pylist()}


def aggregated(market, interval, opens):
    length_ms = interval_ms(interval)
    found = aggregation.read_span(market, length_ms, min(opens), max(opens) + length_ms)
    return {candle.open_time: candle for candle in found}


def differing(mine, theirs, names):
    """Columns in which a candle differs from the published one, to the last of eight places."""
    return [name for name in names if getattr(mine, name) != Decimal(repr(theirs[name])).quantize(Decimal("1e-8"))]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_every_aggregated_candle_is_the_exchanges_own(db, candles_folder, symbol):
    import_file(candles_folder / f"{symbol}-5m.parquet", "exchange")
    market = Market.objects.get(symbol=symbol)
    for interval, n_compared in (("15m", 11_712), ("1h", 24_071)):
        theirs = published(candles_folder, symbol, interval, 1_659_312_000_000)
        mine = aggregated(market, interval, theirs)
        assert not mine.keys() - theirs.keys(), "the exchange has every interval that has a part"
        lacking = theirs.keys() - mine.keys()
        assert lacking == (set(range(ABSENT_DAY_MS, ABSENT_DAY_MS + 24 * HOUR_MS, HOUR_MS)) & theirs.keys())
        assert len(mine) == n_compared
        assert [at for at, candle in mine.items() if differing(candle, theirs[at], CANDLE_COLUMNS)] == []
        assert {at: candle.missing for at, candle in mine.items() if candle.missing} == (
            {HALTED_HOUR_MS: 4} if interval == "1h" else {}
        )


def test_flows_of_an_hour_are_the_exchanges_own(db, candles_folder):
    import_file(candles_folder / "full12" / "BTCUSDT-5m.parquet", "exchange")
    theirs = published(candles_folder, "BTCUSDT", "1h", 1_659_312_000_000)
    mine = aggregated(Market.objects.get(symbol="BTCUSDT"), "1h", theirs)
    *whole, last = mine.values()
    assert len(whole) == 160
    assert last.missing == 1, "the file ends within the hour"
    assert [at for at in mine if at != last.open_time and differing(mine[at], theirs[at], FLOWS)] == []
