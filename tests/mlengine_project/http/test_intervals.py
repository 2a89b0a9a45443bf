"""Candles and indicators of longer intervals over REST."""

from decimal import Decimal

import numpy as np
import pytest

from indicators.candles import CANDLE_COLUMNS, HOUR_MS, CandleGrid
from indicators.catalog import lookup
from marketdata import clock
from marketdata.intervals import INTERVALS, interval_ms
from marketdata.models import Candle
from tests.mlengine_project.http.conftest import NEWEST

STEP = 300_000
END = NEWEST + STEP
"""Midnight: the clock stands one second later."""
LONGER = INTERVALS[1:]


@pytest.fixture
def client(caller, engine, settings):
    settings.RATE_LIMIT = 0
    return caller("read")


def candles(client, query):
    response = client.get(f"/candles?symbol=BTCUSDT&{query}")
    assert response.status_code == 200, response.content
    return response.json()["results"]


def ms(candle):
    return round(np.datetime64(candle["open_time"].rstrip("Z"), "ms").astype(int))


@pytest.mark.parametrize("interval", LONGER)
def test_candles_of_an_interval_are_made_from_those_of_five_minutes(client, interval):
    length_ms = interval_ms(interval)
    span = f"from={END - 2 * length_ms}&to={END}&limit=1000"
    found, parts = candles(client, f"interval={interval}&{span}"), candles(client, span)
    assert [ms(candle) for candle in found] == [END - 2 * length_ms, END - length_ms]
    for candle in found:
        own = [part for part in parts if ms(candle) <= ms(part) < ms(candle) + length_ms]
        assert len(own) == length_ms // STEP
        assert (candle["open"], candle["close"]) == (own[0]["open"], own[-1]["close"])
        assert Decimal(candle["high"]) == max(Decimal(part["high"]) for part in own)
        assert Decimal(candle["low"]) == min(Decimal(part["low"]) for part in own)
        assert Decimal(candle["volume"]) == sum(Decimal(part["volume"]) for part in own)
        assert candle["trades"] == sum(part["trades"] for part in own)
        assert candle["missing"] == 0
        assert set(candle) == set(own[0])


def test_from_is_inclusive_and_to_exclusive_for_the_open_of_an_interval(client):
    at = END - 10 * HOUR_MS
    opens = [at, at + HOUR_MS, at + 2 * HOUR_MS]
    for since, until, expected in (
        (at, at + 2 * HOUR_MS, opens[:2]),
        (at + 1, at + 2 * HOUR_MS + 1, opens[1:]),
        (at, at + 1, opens[:1]),
        (at, at, []),
        (at + 1, at + HOUR_MS, []),
    ):
        found = candles(client, f"interval=1h&from={since}&to={until}")
        assert [ms(candle) for candle in found] == expected, (since, until)


def test_only_closed_intervals_are_listed(client):
    assert [ms(candle) for candle in candles(client, "interval=1d&limit=1")] == [END - 24 * HOUR_MS]
    with clock.use(clock.FrozenClock(END - HOUR_MS)):
        assert [ms(candle) for candle in candles(client, "interval=1d&limit=1")] == [END - 48 * HOUR_MS]
        assert [ms(candle) for candle in candles(client, "interval=1h&limit=1")] == [END - 2 * HOUR_MS]


def test_missing_counts_absent_parts_and_an_empty_interval_is_not_listed(client):
    hour = END - 3 * HOUR_MS
    Candle.objects.filter(market__symbol="BTCUSDT", open_time__in=[hour, hour + STEP, hour + 7 * STEP]).delete()
    Candle.objects.filter(market__symbol="BTCUSDT", open_time__range=(hour + HOUR_MS, hour + 2 * HOUR_MS - 1)).delete()
    found = candles(client, f"interval=1h&from={hour - HOUR_MS}")
    assert [(ms(candle), candle["missing"]) for candle in found] == [
        (hour - HOUR_MS, 0), (hour, 3), (hour + 2 * HOUR_MS, 0)
    ]  # fmt: skip
    assert found[1]["open"] == candles(client, f"from={hour}&limit=1")[0]["open"]
    [day] = candles(client, "interval=1d&limit=1")
    assert day["missing"] == 3 + 12


@pytest.mark.parametrize("name", ["quote_volume", "trades", "taker_buy_base", "taker_buy_quote"])
def test_an_amount_that_is_unknown_for_one_part_is_unknown_for_the_whole(client, name):
    Candle.objects.filter(market__symbol="BTCUSDT", open_time=NEWEST - 4 * STEP).update(**{name: None})
    before, hour = candles(client, "interval=1h&limit=2")
    assert [key for key, value in hour.items() if value is None] == [name]
    assert None not in before.values()


@pytest.mark.parametrize("direction", ["next", "previous"])
@pytest.mark.parametrize("interval", ["1h", "4h"])
def test_a_walk_over_the_pages_returns_each_interval_once(client, direction, interval):
    Candle.objects.filter(open_time__range=(END - 60 * HOUR_MS, END - 31 * HOUR_MS)).delete()
    first = END - 100 * HOUR_MS
    every = candles(client, f"interval={interval}&from={first}")
    link = f"/candles?symbol=BTCUSDT&interval={interval}&limit=7" + (f"&from={first}" if direction == "next" else "")
    seen = []
    while link:
        page = client.get(link).json()
        seen = [*seen, *page["results"]] if direction == "next" else [*page["results"], *seen]
        link = page[direction] if direction == "next" or ms(page["results"][0]) > ms(every[0]) else None
    assert [candle for candle in seen if ms(candle) >= ms(every[0])] == every


def test_a_cursor_keeps_its_place_in_another_interval(client):
    page = client.get(f"/candles?symbol=BTCUSDT&interval=15m&from={END - 20 * HOUR_MS}&limit=6").json()
    assert ms(page["results"][-1]) == END - 20 * HOUR_MS + 5 * 900_000
    longer = client.get(page["next"].replace("15m", "1h")).json()
    assert ms(longer["results"][0]) == END - 18 * HOUR_MS


@pytest.mark.parametrize("path", ["/candles", "/indicators"])
@pytest.mark.parametrize("other", ["2h", "1H", "60m", "1w", "5", "300000", ""])
def test_another_interval_is_refused_with_the_list(client, path, other):
    response = client.get(f"{path}?symbol=BTCUSDT&interval={other}")
    assert response.status_code == 400
    [sentence] = response.json()["details"]["interval"]
    assert other == "" or sentence == "Write one of 5m, 15m, 1h, 4h, 1d."


def whole_grid(client, interval):
    """All candles of an interval, as the API lists them."""
    found = candles(client, f"interval={interval}&from={END - 60 * 24 * HOUR_MS}&limit=1000")
    columns = {name: [float(candle[name]) for candle in found] for name in CANDLE_COLUMNS}
    return CandleGrid.from_columns([ms(candle) for candle in found], columns, interval_ms(interval))


@pytest.mark.parametrize(("interval", "names"), [("1h", "rsi_14,sma_50,vwap"), ("4h", "macd,sma_20")])
def test_indicators_are_those_of_the_candles_of_the_interval(client, interval, names):
    payload = client.get(f"/indicators?symbol=BTCUSDT&interval={interval}&names={names}&limit=9").json()
    grid = whole_grid(client, interval)
    expected = lookup.compute_indicators(grid, names.split(","), rows=9)
    assert payload["interval"] == interval
    assert [ms({"open_time": row["candle_time"]}) for row in payload["results"]] == grid.open_time[-9:].tolist()
    for name, values in expected.items():
        assert [row["values"][name] for row in payload["results"]] == values.tolist()


def test_indicators_of_an_interval_do_not_depend_on_how_many_are_shown(client):
    one, many = (
        client.get(f"/indicators?symbol=BTCUSDT&interval=15m&limit={limit}").json()["results"] for limit in (1, 200)
    )
    assert one[0] == many[-1]
