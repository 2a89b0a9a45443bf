"""The simulator's REST API as documented, and its faults."""

import asyncio
import json
import time

import aiohttp
import pytest

from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.simulator import Fault, SimulatedExchange
from marketdata.simulator.http.limits import Limits, WeightMeter
from marketdata.simulator.http.server import CannotListen
from tests.marketdata.simulator.conftest import START


async def _get(exchange, path, **query):
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session,
        session.get(f"{exchange.base_url}/api/v3/{path}", params=query) as response,
    ):
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.content_type else text, response.headers


async def _opens(exchange, **query):
    status, rows, _ = await _get(exchange, "klines", symbol="BTCUSDT", interval="5m", **query)
    assert status == 200
    return [(row[0] - START) // INTERVAL_MS for row in rows]


async def test_ping_and_time(exchange):
    assert (await _get(exchange, "ping"))[:2] == (200, {})
    assert (await _get(exchange, "time"))[1] == {"serverTime": START}
    exchange.advance(2)
    assert (await _get(exchange, "time"))[1] == {"serverTime": START + 2 * INTERVAL_MS}


async def test_exchange_info_names_limits_and_symbols(exchange):
    _, body, headers = await _get(exchange, "exchangeInfo")
    assert [symbol["symbol"] for symbol in body["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    assert body["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 6000,
    }
    assert headers["X-MBX-USED-WEIGHT-1M"] == "20"
    _, one, _ = await _get(exchange, "exchangeInfo", symbols='["ETHUSDT"]')
    assert one["symbols"][0]["baseAsset"] == "ETH"
    assert (await _get(exchange, "exchangeInfo", symbol="NOPE"))[1]["code"] == -1121


async def test_pages_are_limited_as_documented(exchange):
    assert await _opens(exchange) == list(range(-499, 1))
    assert await _opens(exchange, limit=3) == [-2, -1, 0]
    assert len(await _opens(exchange, limit=5000)) == 1000
    assert await _opens(exchange, startTime=START - 10 * INTERVAL_MS, limit=3) == [-10, -9, -8]
    assert await _opens(exchange, startTime=START - 10 * INTERVAL_MS + 1, limit=2) == [-9, -8]
    assert await _opens(exchange, startTime=START - 3 * INTERVAL_MS, endTime=START - INTERVAL_MS) == [-3, -2, -1]
    assert await _opens(exchange, startTime=START - 3 * INTERVAL_MS, endTime=START - INTERVAL_MS - 1) == [-3, -2]
    assert await _opens(exchange, endTime=START - 1, limit=2) == [-2, -1]
    assert await _opens(exchange, startTime=START + INTERVAL_MS) == []
    assert (await _opens(exchange, startTime=0, limit=1))[0] < -600_000


async def test_longer_intervals_are_made_of_five_minutes(exchange):
    exchange.advance(14)
    _, hours, _ = await _get(exchange, "klines", symbol="BTCUSDT", interval="1h", startTime=START, limit=2)
    _, parts, _ = await _get(exchange, "klines", symbol="BTCUSDT", interval="5m", startTime=START, limit=12)
    assert hours[0][6] == START + 12 * INTERVAL_MS - 1
    assert hours[0][1] == parts[0][1]
    assert hours[0][4] == parts[-1][4]
    assert float(hours[0][2]) == max(float(part[2]) for part in parts)
    assert float(hours[0][5]) == pytest.approx(sum(float(part[5]) for part in parts))
    assert hours[1][0] == START + 12 * INTERVAL_MS


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"interval": "5m"}, -1102),
        ({"symbol": "", "interval": "5m"}, -1105),
        ({"symbol": "btcusdt", "interval": "5m"}, -1100),
        ({"symbol": "币 安", "interval": "5m"}, -1100),
        ({"symbol": "币安", "interval": "5m"}, -1121),
        ({"symbol": "SOLUSDT", "interval": "5m"}, -1121),
        ({"symbol": "BTCUSDT"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "5m", "limit": "0"}, -1130),
        ({"symbol": "BTCUSDT", "interval": "5m", "limit": "-1"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "5m", "startTime": "yesterday"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "5m", "endTime": ""}, -1105),
        ({"symbol": "BTCUSDT", "interval": "5m", "colour": "red"}, -1104),
    ],
)
async def test_bad_requests_get_the_documented_code(exchange, query, code):
    status, body, headers = await _get(exchange, "klines", **query)
    assert (status, body["code"]) == (400, code)
    assert "X-MBX-USED-WEIGHT-1M" in headers


async def test_weight_is_counted_and_limited_and_further_requests_are_banned():
    limits = Limits(weight_per_minute=6, warnings_before_ban=2, ban_seconds=120)
    with clock.use(clock.FrozenClock(START + 30_000)) as frozen:
        meter = WeightMeter(limits)
        assert [meter.charge(2).used_weight for _ in range(3)] == [2, 4, 6]
        refused = meter.charge(2)
        assert (refused.status, refused.retry_after_seconds) == (429, 30)
        assert meter.charge(2).status == 429
        banned = meter.charge(2)
        assert (banned.status, banned.until_ms) == (418, START + 150_000)
        frozen.advance(60)
        assert meter.charge(2).status == 418
        frozen.advance(60)
        assert meter.charge(2).status == 200


async def test_429_and_418_responses():
    with SimulatedExchange(speed=0, limits=Limits(weight_per_minute=2, warnings_before_ban=1)) as exchange:
        statuses = [await _get(exchange, "klines", symbol="BTCUSDT", interval="5m", limit=1) for _ in range(4)]
        assert [status for status, _, _ in statuses][1:] == [429, 418, 418]
        assert statuses[1][1]["code"] == -1003
        assert 1 <= int(statuses[1][2]["Retry-After"]) <= 60
        assert "IP banned until" in statuses[3][1]["msg"]


@pytest.mark.parametrize(
    ("fault", "status", "content"),
    [
        (Fault("rate_limited", seconds=7), 429, "-1003"),
        (Fault("banned", seconds=7), 418, "banned until"),
        (Fault("forbidden"), 403, "<html>"),
        (Fault("html"), 200, "<!DOCTYPE html>"),
        (Fault("server_error", status=503), 503, "-1008"),
        (Fault("symbol_error", symbol="BTCUSDT"), 400, "-1121"),
    ],
)
async def test_scripted_responses(exchange, fault, status, content):
    exchange.faults.add(fault)
    got, body, headers = await _get(exchange, "klines", symbol="BTCUSDT", interval="5m")
    assert got == status
    assert content in str(body)
    if status in {418, 429}:
        assert headers["Retry-After"] == "7"


async def test_a_fault_of_one_symbol_does_not_affect_others(exchange):
    exchange.faults.add(Fault("symbol_error", symbol="ETHUSDT"))
    assert (await _get(exchange, "time"))[0] == 200
    assert len(await _opens(exchange, limit=5)) == 5


async def test_pages_with_faults(exchange):
    whole = await _opens(exchange, limit=5)
    exchange.faults.add(Fault("unsorted", times=1), Fault("repeated", times=1), Fault("wrong_page", times=1))
    assert await _opens(exchange, limit=5) == whole[::-1]
    assert await _opens(exchange, limit=5) == [place for place in whole for _ in range(2)]
    assert await _opens(exchange, limit=5) != whole
    exchange.faults.add(Fault("open_candle", times=1))
    assert await _opens(exchange, startTime=START - 3 * INTERVAL_MS, endTime=START - 1) == [-3, -2, -1, 0]
    exchange.faults.add(Fault("microseconds", times=1))
    _, rows, _ = await _get(exchange, "klines", symbol="BTCUSDT", interval="5m", limit=1)
    assert rows[0][0] == START * 1000
    assert await _opens(exchange, limit=5) == whole


async def test_truncated_and_slow_bodies_and_refused_connections(exchange):
    exchange.faults.add(Fault("truncated", times=1))
    with pytest.raises(aiohttp.ClientPayloadError):
        await _opens(exchange)
    exchange.faults.add(Fault("refused", times=2))  # the client tries a second time by itself
    with pytest.raises(aiohttp.ClientConnectionError):
        await _opens(exchange)
    for kind in ("slow", "dripping"):
        exchange.faults.add(Fault(kind, times=1, seconds=0.3))
        began = time.monotonic()
        assert len(await _opens(exchange)) == 500
        assert time.monotonic() - began >= 0.3


async def test_offline_refuses_connects_and_comes_back_on_the_same_port(exchange):
    exchange.faults.add(Fault("offline"))
    await asyncio.sleep(0.2)
    with pytest.raises(aiohttp.ClientConnectorError):
        await _opens(exchange)
    exchange.faults.remove("offline")
    await asyncio.sleep(0.2)
    assert len(await _opens(exchange, limit=2)) == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.org", "::"])
def test_only_loopback_addresses_are_accepted(host):
    with pytest.raises(CannotListen, match="loopback"):
        SimulatedExchange(host=host)


def test_a_port_in_use_is_reported(exchange):
    with pytest.raises(CannotListen, match="cannot listen"):
        SimulatedExchange(port=exchange.port).start()


def test_stopping_twice_is_fine_and_frees_the_port():
    first = SimulatedExchange(speed=0).start()
    first.stop()
    first.stop()
    with SimulatedExchange(speed=0, port=first.port) as second:
        assert second.port == first.port
