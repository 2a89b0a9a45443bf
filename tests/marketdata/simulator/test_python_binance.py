"""python-binance works with the simulator as with the real exchange."""

import pytest

from marketdata.intervals import INTERVAL_MS
from marketdata.simulator import Fault, SimulatedExchange
from tests.marketdata.simulator.conftest import START


@pytest.fixture
def library(exchange):
    return _classes_for(exchange)


def _classes_for(exchange):
    from binance import AsyncClient, BinanceSocketManager

    class Rest(AsyncClient):
        API_URL = exchange.base_url + "/api"

    class Streams(BinanceSocketManager):
        STREAM_URL = exchange.stream_url + "/"

    return Rest, Streams


async def test_client_pages_history(exchange, library):
    rest, _ = library
    client = await rest.create()
    try:
        rows = await client.get_historical_klines("BTCUSDT", "5m", START - 2500 * INTERVAL_MS, START)
        assert [row[0] for row in rows] == [START + n * INTERVAL_MS for n in range(-2500, 1)]
        assert (await client.get_server_time())["serverTime"] == START
        info = await client.get_exchange_info()
        assert info["symbols"][0]["symbol"] == "BTCUSDT"
        assert int(client.response.headers["x-mbx-used-weight-1m"]) >= 20
        assert (await client.get_symbol_info("ETHUSDT"))["baseAsset"] == "ETH"
    finally:
        await client.close_connection()


async def test_errors_raise_the_library_s_exceptions(exchange, library):
    from binance.exceptions import BinanceAPIException

    client = library[0]()
    try:
        with pytest.raises(BinanceAPIException) as unknown:
            await client.get_klines(symbol="NOPEUSDT", interval="5m")
        assert (unknown.value.status_code, unknown.value.code) == (400, -1121)
        exchange.faults.add(Fault("rate_limited", seconds=9, times=1))
        with pytest.raises(BinanceAPIException) as limited:
            await client.get_klines(symbol="BTCUSDT", interval="5m")
        assert (limited.value.status_code, limited.value.code) == (429, -1003)
        assert limited.value.response.headers["Retry-After"] == "9"
    finally:
        await client.close_connection()


async def test_sockets_deliver_each_close_exactly_once():
    with SimulatedExchange(seed=1, speed=1000, begin_at=START) as exchange:
        rest, streams = _classes_for(exchange)
        client = rest()
        closes = []
        try:
            async with streams(client).multiplex_socket(["btcusdt@kline_5m", "ethusdt@kline_5m"]) as socket:
                while len(closes) < 20:
                    message = await socket.recv()
                    event = message["data"]
                    assert message["stream"] == event["s"].lower() + "@kline_5m"
                    if event["k"]["x"]:
                        closes.append((event["s"], event["k"]["t"]))
                        final = exchange.ledger.final(event["s"])[event["k"]["t"]]
                        assert event["k"]["c"] == f"{final.close:.8f}"
        finally:
            await client.close_connection()
    first = closes[0][1]
    assert closes == [(s, first + n * INTERVAL_MS) for n in range(10) for s in ("BTCUSDT", "ETHUSDT")]


async def test_a_single_socket_reconnects_after_a_cut(exchange, library):
    import asyncio

    client = library[0]()
    try:
        async with library[1](client).kline_socket("BTCUSDT", "5m") as socket:
            await asyncio.to_thread(exchange.advance)
            assert (await _next_close(socket)) == START
            exchange.faults.add(Fault("cut"))
            while exchange.hub.accepted < 2:
                await asyncio.sleep(0.02)
            await asyncio.to_thread(exchange.advance)
            assert (await _next_close(socket)) == START + INTERVAL_MS
    finally:
        await client.close_connection()


async def _next_close(socket):
    while True:
        message = await socket.recv()
        if message.get("e") == "kline" and message["k"]["x"]:
            return message["k"]["t"]
