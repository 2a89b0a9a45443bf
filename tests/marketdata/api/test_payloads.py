"""Lists written as JSON text have the bytes of their objects in the API's codec."""

from decimal import Decimal

import numpy as np
import pytest

from marketdata import clock
from marketdata.api import indicator_values, payloads, reading
from marketdata.decimals import decimal_text
from marketdata.models import Candle, Market
from mlengine_project.http.json_codec import write_json

STEP = 300_000
BEGIN = 1_735_689_600_000
PRICES = ("0.00000001", "1", "64210.5", "99999999999.99999999")


def candle_object(candle):
    """A candle as an object, field by field."""
    amounts = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
    return {
        "open_time": clock.to_datetime(candle.open_time),
        **{name: decimal_text(getattr(candle, name)) for name in ("open", "high", "low", "close", "volume")},
        **{
            name: getattr(candle, name) if name == "trades" else decimal_text(getattr(candle, name)) for name in amounts
        },
        "missing": 0,
    }


@pytest.fixture
def market(db):
    """A market with candles of extreme prices and amounts, and some without the optional fields."""
    market = Market.objects.create(symbol="BTCUSDT", source="simulated")
    for number, text in enumerate(PRICES):
        price = Decimal(text)
        more = {"quote_volume": Decimal("12345678901234567.00000001"), "trades": 0, "taker_buy_base": Decimal(0)}
        Candle.objects.create(
            market=market, open_time=BEGIN + number * STEP, open=price, high=price, low=price, close=price,
            volume=Decimal(0), origin="stream", **(more if number % 2 else {}),
        )  # fmt: skip
    return market


def test_candles_as_text_are_their_objects(market):
    candles = Candle.objects.filter(market=market).order_by("open_time")
    expected = write_json([candle_object(candle) for candle in candles])
    rows = reading.LISTED.read(candles)
    assert "[" + ",".join(row[2] for row in rows) + "]" == expected.decode()
    assert [row[:2] for row in rows] == [(candle.open_time, candle.pk) for candle in candles]
    assert len(expected) > 800


def test_no_candles_are_no_rows(market):
    assert reading.LISTED.read(Candle.objects.none()) == []


def test_columns_of_indicators_keep_every_bit():
    column = np.array([0.1 + 0.2, -0.0, 1e-300, 1e22, np.nan, np.inf, -np.inf, 5e-324])
    expected = [float(value) if np.isfinite(value) else None for value in column]
    assert write_json(indicator_values.finite_values(column)) == write_json(expected)


def test_times_of_candles_are_those_of_the_codec():
    times = [0, BEGIN, 4_102_444_800_000]
    assert write_json(payloads.iso_texts(times)) == write_json([clock.to_datetime(time) for time in times])
