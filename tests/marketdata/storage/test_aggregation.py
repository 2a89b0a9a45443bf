from decimal import Decimal
from itertools import groupby

import numpy as np
import pytest

from indicators.candles import CANDLE_COLUMNS
from marketdata import clock
from marketdata.exchange.parsing import CandleRow
from marketdata.intervals import INTERVALS, interval_ms
from marketdata.models import Candle, Market
from marketdata.storage import aggregation, candles

STEP, HOUR, DAY = 300_000, 3_600_000, 86_400_000
BEGIN = 20_000 * DAY
AMOUNTS = ("volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")


@pytest.fixture
def market(db):
    return Market.objects.create(symbol="BTCUSDT", source="simulated")


@pytest.fixture
def frozen():
    """Five days after the beginning, ten seconds past the hour."""
    with clock.use(clock.FrozenClock(BEGIN + 5 * DAY + 10_000)) as found:
        yield found


def amount(units):
    """A decimal of so many hundred millionths, without rounding to the 28 digits of the default context."""
    return Decimal(f"{units}e-8")


def units_of(value):
    return int(f"{value:.8f}".replace(".", "")) if isinstance(value, Decimal) else value


def random_rows(seed, n, share_stored=0.9, share_unknown=0.02):
    """Candles with holes and unknown amounts; some volumes have all 22 digits before the point and 8 after."""
    rng = np.random.default_rng(seed)
    rows = []
    for at in np.flatnonzero(rng.random(n) < share_stored).tolist():
        low, first, last, high = (Decimal(cents).scaleb(-2) for cents in sorted(rng.integers(1, 10**6, 4).tolist()))
        if rng.random() < 0.5:
            first, last = last, first
        units = int(rng.integers(0, 10**16)) + 10**28 * int(rng.random() < 0.1)
        flows = [amount(units * 2), int(rng.integers(0, 9_000)), amount(units // 4), amount(units // 2)]
        if rng.random() < share_unknown:
            flows[rng.integers(0, 4)] = None
        rows.append(CandleRow(BEGIN + at * STEP, first, high, low, last, amount(units), *flows))
    return rows


def made_by_hand(rows, length_ms):
    """The same from the definition, with Python's integers."""

    def total(parts, name):
        values = [getattr(part, name) for part in parts]
        if None in values:
            return None
        return sum(units_of(value) for value in values)

    made = []
    for start, group in groupby(rows, lambda row: row.open_time - row.open_time % length_ms):
        parts = list(group)
        prices = (parts[0].open, max(part.high for part in parts), min(part.low for part in parts), parts[-1].close)
        missing = length_ms // STEP - len(parts)
        made.append((start, *prices, *(total(parts, name) for name in AMOUNTS), missing))
    return made


def as_compared(candle):
    amounts = (units_of(getattr(candle, name)) for name in AMOUNTS)
    return (candle.open_time, candle.open, candle.high, candle.low, candle.close, *amounts, candle.missing)


@pytest.mark.parametrize("interval", INTERVALS[1:])
@pytest.mark.parametrize("seed", range(3))
def test_candles_of_an_interval_are_exactly_those_of_their_parts(market, interval, seed):
    rows, length_ms = random_rows(seed, 900), interval_ms(interval)
    candles.save_candles(market, rows, Candle.Origin.IMPORT)
    found = aggregation.read_span(market, length_ms, BEGIN, BEGIN + 4 * DAY)
    assert [as_compared(candle) for candle in found] == made_by_hand(rows, length_ms)
    assert any(candle.missing for candle in found)
    assert any(candle.quote_volume is None for candle in found)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_the_first_candles_of_a_span_lie_beyond_its_holes(market, newest_first, n):
    rows = random_rows(5, 1_100, share_stored=0.02)
    candles.save_candles(market, rows, Candle.Origin.IMPORT)
    span = (BEGIN + 2 * HOUR, BEGIN + 80 * HOUR)
    every = aggregation.read_span(market, HOUR, *span)
    assert 10 < len(every) < 30, "most hours are empty"
    ordered = every[::-1] if newest_first else every
    assert aggregation.read_first(market, HOUR, *span, n, newest_first=newest_first) == ordered[:n]


def fill(market, first, last):
    """Equal candles opening from `first` to `last`, in steps of five minutes from the beginning."""
    row = CandleRow(0, *(Decimal(10),) * 4, Decimal(1), None, None, None, None)
    rows = [row._replace(open_time=BEGIN + at * STEP) for at in range(first, last + 1)]
    candles.save_candles(market, rows, Candle.Origin.STREAM)


def test_an_interval_is_closed_when_its_end_has_passed_and_its_last_part_is_stored(market, frozen):
    fill(market, 0, 22)
    frozen.now_ms = BEGIN + 2 * HOUR - 30_000
    assert aggregation.closed_until(market, HOUR) == BEGIN + HOUR, "the second hour has not ended"
    frozen.now_ms = BEGIN + 2 * HOUR + 1_000
    assert aggregation.closed_until(market, HOUR) == BEGIN + HOUR, "its last candle is not here yet"
    fill(market, 23, 23)
    assert aggregation.closed_until(market, HOUR) == BEGIN + 2 * HOUR
    assert [candle.missing for candle in aggregation.read_span(market, HOUR, BEGIN, BEGIN + 2 * HOUR)] == [0, 0]


@pytest.mark.parametrize("interval", INTERVALS[1:])
def test_an_interval_without_its_last_part_is_closed_ten_minutes_later(market, frozen, interval):
    length_ms = interval_ms(interval)
    fill(market, 0, length_ms // STEP - 2)
    frozen.now_ms = BEGIN + length_ms + aggregation.WAIT_MS - 10_000
    assert aggregation.closed_until(market, length_ms) == BEGIN
    frozen.now_ms = BEGIN + length_ms + aggregation.WAIT_MS
    assert aggregation.closed_until(market, length_ms) == BEGIN + length_ms
    [candle] = aggregation.read_span(market, length_ms, BEGIN, BEGIN + length_ms)
    assert (candle.open_time, candle.missing) == (BEGIN, 1)


def test_a_later_candle_closes_an_interval_whose_last_part_is_absent(market, frozen):
    fill(market, 0, 10)
    fill(market, 12, 12)
    frozen.now_ms = BEGIN + 13 * STEP + 1_000
    assert aggregation.closed_until(market, HOUR) == BEGIN + HOUR


def test_a_row_of_the_future_closes_nothing(market, frozen):
    fill(market, 0, 10)
    frozen.now_ms = BEGIN + HOUR + 1_000
    fill(market, 12, 12)
    assert aggregation.closed_until(market, HOUR) == BEGIN


def test_the_grid_of_an_interval_ends_at_the_newest_closed_one_and_holds_the_same_floats(market, frozen):
    rows = random_rows(9, 288 * 5)
    candles.save_candles(market, rows, Candle.Origin.IMPORT)
    grid = aggregation.load_grid(market, HOUR, 50)
    every = aggregation.read_span(market, HOUR, BEGIN, BEGIN + 5 * DAY)
    assert grid.interval_ms == HOUR
    assert len(grid) == 50
    assert grid.open_time[-1] == every[-1].open_time == BEGIN + 5 * DAY - HOUR
    for name in CANDLE_COLUMNS:
        assert getattr(grid, name)[0].tolist() == [float(getattr(candle, name)) for candle in every[-50:]]


def test_the_grid_of_a_market_without_candles_is_none(market, frozen):
    assert aggregation.load_grid(market, HOUR, 10) is None
