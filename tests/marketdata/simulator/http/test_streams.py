"""The simulator's websockets as documented, and their faults."""

import asyncio
import contextlib
import json

import aiohttp
import pytest

from marketdata.intervals import INTERVAL_MS
from marketdata.simulator import Fault, SimulatedExchange
from marketdata.simulator.http.limits import Limits
from tests.marketdata.simulator.conftest import START

BOTH = "/stream?streams=btcusdt@kline_5m/ethusdt@kline_5m"


@contextlib.asynccontextmanager
async def _socket(exchange, path, **options):
    async with aiohttp.ClientSession() as session, session.ws_connect(exchange.stream_url + path, **options) as socket:
        await asyncio.sleep(0.05)
        yield socket


async def _advance(exchange, candles=1):
    await asyncio.to_thread(exchange.advance, candles)


async def _frames(socket, seconds=0.3):
    frames = []
    with contextlib.suppress(TimeoutError):
        while True:
            message = await socket.receive(timeout=seconds)
            if message.type != aiohttp.WSMsgType.TEXT:
                frames.append(message.type)
                break
            frames.append(json.loads(message.data))
    return frames


def _closed(frames):
    events = [frame.get("data", frame) for frame in frames]
    return [(e["s"], (e["k"]["t"] - START) // INTERVAL_MS) for e in events if e.get("e") == "kline" and e["k"]["x"]]


async def test_raw_and_combined_streams_have_their_own_format(exchange):
    async with _socket(exchange, "/ws/btcusdt@kline_5m") as raw, _socket(exchange, BOTH) as combined:
        await _advance(exchange)
        raw_frames, combined_frames = await _frames(raw), await _frames(combined)
    assert _closed(raw_frames) == [("BTCUSDT", 0)]
    assert _closed(combined_frames) == [("BTCUSDT", 0), ("ETHUSDT", 0)]
    closing = next(frame for frame in raw_frames if frame["k"]["x"])
    assert set(closing) == {"e", "E", "s", "k"}
    assert list(closing["k"]) == list("tTsifLochlvnxqVQB")
    assert closing["k"]["T"] == START + INTERVAL_MS - 1
    assert closing["E"] >= START + INTERVAL_MS
    assert combined_frames[0]["stream"] == "btcusdt@kline_5m"


async def test_no_messages_of_other_symbols_are_sent(exchange):
    async with _socket(exchange, "/ws/ethusdt@kline_5m") as socket:
        await _advance(exchange, 3)
        assert _closed(await _frames(socket)) == [("ETHUSDT", n) for n in range(3)]


async def test_open_frames_precede_the_closed_one():
    with SimulatedExchange(speed=1000, begin_at=START) as exchange:
        async with _socket(exchange, "/ws/btcusdt@kline_5m") as socket:
            frames = [json.loads((await socket.receive(timeout=5)).data) for _ in range(16)]
    by_candle = {}
    for frame in frames:
        by_candle.setdefault(frame["k"]["t"], []).append(frame["k"])
    assert len(by_candle) >= 3
    for candle in list(by_candle.values())[:-1]:
        assert [kline["x"] for kline in candle] == [False] * (len(candle) - 1) + [True]
        assert len({kline["o"] for kline in candle}) == 1
        volumes = [float(kline["v"]) for kline in candle]
        assert volumes == sorted(volumes)


async def test_subscriptions_can_be_changed(exchange):
    async with _socket(exchange, "/ws") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@kline_5m", "ethusdt@kline_5m"], "id": 1})
        await socket.send_json({"method": "UNSUBSCRIBE", "params": ["ethusdt@kline_5m"], "id": "b"})
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 3})
        answers = [frame for frame in await _frames(socket) if "id" in frame]
        assert answers == [
            {"result": None, "id": 1},
            {"result": None, "id": "b"},
            {"result": ["btcusdt@kline_5m"], "id": 3},
        ]
        await _advance(exchange)
        assert _closed(await _frames(socket)) == [("BTCUSDT", 0)]


@pytest.mark.parametrize(
    ("text", "code"),
    [("{", 3), ("[]", 2), ('{"method": "BUY", "id": 1}', 2), ('{"method": "SUBSCRIBE", "params": "x"}', 2)],
)
async def test_invalid_messages_get_an_error_response(exchange, text, code):
    async with _socket(exchange, "/ws") as socket:
        await socket.send_str(text)
        assert (await _frames(socket))[0]["code"] == code


async def test_limits_of_messages_and_streams(exchange):
    async with _socket(exchange, "/ws") as socket:
        many = [f"s{n}@kline_5m" for n in range(1025)]
        await socket.send_json({"method": "SUBSCRIBE", "params": many, "id": 1})
        assert "too many parameters" in (await _frames(socket))[0]["msg"]
        for n in range(8):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": n})
        assert (await _frames(socket))[-1] is aiohttp.WSMsgType.CLOSE
    async with _socket(exchange, "/stream?streams=" + "/".join(many[1:])):
        assert len(next(iter(exchange.hub.connections)).streams) == 1024
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with _socket(exchange, "/stream?streams=" + "/".join(many)):
            pass


async def test_connections_are_limited():
    with SimulatedExchange(speed=0, limits=Limits(connections_per_five_minutes=1)) as exchange:
        async with _socket(exchange, "/ws"):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with _socket(exchange, "/ws"):
                    pass


async def test_a_connection_without_pongs_is_cut():
    with SimulatedExchange(speed=0, limits=Limits(ping_seconds=0.1, pong_seconds=0.35)) as exchange:
        async with _socket(exchange, "/ws", autoping=False) as unresponsive, _socket(exchange, "/ws") as healthy:
            listening = asyncio.create_task(healthy.receive())
            for _ in range(3):
                assert (await unresponsive.receive(timeout=1)).type is aiohttp.WSMsgType.PING
            await asyncio.sleep(0.5)
            assert len(exchange.hub.connections) == 1
            assert not listening.done()
            listening.cancel()


async def test_a_cut_ends_every_socket_and_new_ones_are_accepted(exchange):
    async with _socket(exchange, BOTH) as socket:
        exchange.faults.add(Fault("cut"))
        assert (await _frames(socket, seconds=2))[-1] in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
    async with _socket(exchange, BOTH) as socket:
        await _advance(exchange)
        assert len(_closed(await _frames(socket))) == 2


async def test_silence_keeps_the_socket_open_without_messages(exchange):
    async with _socket(exchange, BOTH) as socket:
        await _frames(socket)
        exchange.faults.add(Fault("silence"))
        await _advance(exchange, 2)
        assert await _frames(socket) == []
        exchange.faults.remove("silence")
        await _advance(exchange)
        assert _closed(await _frames(socket)) == [("BTCUSDT", 2), ("ETHUSDT", 2)]


async def test_a_shutdown_is_announced(exchange):
    async with _socket(exchange, BOTH) as combined, _socket(exchange, "/ws/btcusdt@kline_5m") as raw:
        exchange.faults.add(Fault("shutdown", seconds=0.2))
        frames, raw_frames = await _frames(combined, seconds=2), await _frames(raw, seconds=2)
    assert {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": START}} in frames
    assert {"e": "serverShutdown", "E": START} in raw_frames
    assert frames[-1] is aiohttp.WSMsgType.CLOSE


async def test_new_sockets_can_be_refused(exchange):
    exchange.faults.add(Fault("refused_stream"))
    await asyncio.sleep(0.1)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with _socket(exchange, BOTH):
            pass


async def test_a_burst_and_invalid_text_reach_the_client(exchange):
    exchange.faults.add(Fault("burst", symbol="BTCUSDT", times=1), Fault("garbled", symbol="ETHUSDT", times=1))
    async with _socket(exchange, "/ws/btcusdt@kline_5m") as bitcoin, _socket(exchange, "/ws/ethusdt@kline_5m") as ether:
        await _advance(exchange)
        frames = await _frames(bitcoin)
        assert len(frames) > 2000
        assert _closed(frames) == [("BTCUSDT", 0)]
        texts = [(await ether.receive(timeout=1)).data for _ in range(2)]
        assert '{"e":"kline","E":' in texts


async def test_the_end_of_a_file_is_reported(tmp_path):
    import pandas as pd

    from marketdata.simulator import open_exchange
    from marketdata.simulator.generator.candles import CandleGenerator

    klines = CandleGenerator(("BTCUSDT",), 1).klines("BTCUSDT", START, START + 20 * INTERVAL_MS)
    pd.DataFrame(klines._asdict()).to_parquet(tmp_path / "BTCUSDT-5m.parquet")
    with open_exchange(paths=[tmp_path], speed=1e6) as exchange:
        for _ in range(100):
            if exchange.has_ended:
                break
            await asyncio.sleep(0.02)
        assert exchange.has_ended
        assert len(exchange.ledger.final("BTCUSDT")) == 4
        assert exchange.symbols == ("BTCUSDT",)
