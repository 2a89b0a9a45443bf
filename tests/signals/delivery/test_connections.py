"""Outgoing frames of one websocket: direct writes, the queue of a slow reader, replay beside live signals."""

import asyncio

import orjson
import pytest

from signals.delivery import connections, replay
from signals.delivery.connections import Connection
from signals.delivery.protocol import Outgoing


def signal(seq, symbol="BTCUSDT"):
    return Outgoing.of(orjson.dumps({"symbol": symbol, "seq": seq}).decode(), symbol, seq)


class Reader:
    """Client at the end of a connection: reads what is sent, or nothing until it reads on."""

    def __init__(self, direct=True, key_id=""):
        self.direct, self.reading = direct, asyncio.Event()
        self.reading.set()
        self.wrote, self.sent, self.codes = [], [], []
        self.order: list[dict] = []
        self.connection = Connection(self._send, self._close, key_id, self._write_ready)

    def subscribe(self, *symbols):
        self.connection.hold(symbols)
        for symbol in symbols:
            assert self.connection.release(symbol) is None

    @property
    def seqs(self):
        return [one["seq"] for one in self.order if "error" not in one]

    def _write_ready(self, ready):
        if not self.direct or not self.reading.is_set():
            return False
        self.wrote.append(ready)
        self.order.append(orjson.loads(ready[2:]))
        return True

    async def _send(self, text):
        await self.reading.wait()
        self.sent.append(text)
        self.order.append(orjson.loads(text))

    async def _close(self, code):
        self.codes.append(code)


async def test_where_nothing_waits_a_signal_is_written_at_once_without_a_task():
    reader, before = Reader(), asyncio.all_tasks()
    reader.subscribe("BTCUSDT")
    for seq in range(1, 4):
        reader.connection.offer(signal(seq))
    assert reader.wrote == [signal(seq).ready for seq in range(1, 4)]
    assert reader.sent == []
    assert asyncio.all_tasks() == before


async def test_signals_written_after_a_pause_follow_the_queued_ones():
    reader = Reader()
    reader.subscribe("BTCUSDT")
    reader.connection.offer(signal(1))
    reader.reading.clear()
    for seq in (2, 3):
        reader.connection.offer(signal(seq))
        await asyncio.sleep(0)
    reader.reading.set()
    reader.connection.offer(signal(4))  # nothing waits for the client now, but two frames are still queued
    await reader.connection.finished()
    reader.connection.offer(signal(5))
    assert reader.seqs == [1, 2, 3, 4, 5]
    assert (len(reader.wrote), len(reader.sent)) == (2, 3)


@pytest.mark.parametrize("direct", [True, False])
async def test_a_slow_reader_gets_its_last_seqs_and_is_closed(monkeypatch, direct):
    monkeypatch.setattr(connections, "MAX_QUEUED", 5)
    reader = Reader(direct)
    reader.subscribe("BTCUSDT", "ETHUSDT", "XRPUSDT")
    for seq in (1, 2):
        reader.connection.offer(signal(seq))
    reader.connection.offer(signal(1, "ETHUSDT"))
    await reader.connection.finished()
    reader.reading.clear()
    for seq in range(3, 20):
        reader.connection.offer(signal(seq))
        await asyncio.sleep(0)
    reader.reading.set()
    await reader.connection.finished()
    error = reader.order[-1]
    assert (error["error"], error["seq"]) == ("TooSlow", {"BTCUSDT": 2, "ETHUSDT": 1, "XRPUSDT": 0})
    assert reader.codes == [4408]
    reader.connection.offer(signal(20))
    assert reader.order[-1] is error


async def test_a_slow_reader_delays_no_other():
    slow, fast = Reader(), Reader()
    for reader in (slow, fast):
        reader.subscribe("BTCUSDT")
    slow.reading.clear()
    for seq in range(1, 101):
        for reader in (slow, fast):
            reader.connection.offer(signal(seq))
    assert fast.seqs == list(range(1, 101))
    slow.reading.set()
    await slow.connection.finished()
    assert slow.seqs == fast.seqs


async def test_a_closed_connection_that_does_not_read_is_closed_without_its_last_frame(monkeypatch):
    monkeypatch.setattr(connections, "CLOSE_SECONDS", 0.1)
    reader = Reader()
    reader.reading.clear()
    reader.connection.close(4401, '{"error": "x"}')
    await reader.connection.finished()
    assert (reader.order, reader.codes) == ([], [4401])


async def test_a_page_of_a_replay_leaves_room_for_live_signals_of_other_symbols():
    reader = Reader()
    reader.subscribe("ETHUSDT")
    reader.connection.positions["BTCUSDT"] = 0
    reader.reading.clear()
    for seq in range(1, connections.REPLAY_QUEUE_LIMIT):
        reader.connection.put_replayed(signal(seq))
    await asyncio.wait_for(reader.connection.wait_for_room(), 1)
    first = connections.REPLAY_QUEUE_LIMIT
    for seq in range(first, first + replay.PAGE):
        reader.connection.put_replayed(signal(seq))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.connection.wait_for_room(), 0.05)
    reader.connection.offer(signal(1, "ETHUSDT"))
    reader.reading.set()
    await reader.connection.finished()
    assert reader.codes == []
    assert reader.seqs == [*range(1, first + replay.PAGE), 1]


async def test_live_signals_during_a_replay_follow_it_once():
    reader = Reader()
    reader.connection.hold(["BTCUSDT"])
    for seq in (3, 4, 5):
        reader.connection.offer(signal(seq))
    for seq in (1, 2, 3):
        reader.connection.put_replayed(signal(seq))
    assert reader.connection.release("BTCUSDT") is None
    reader.connection.offer(signal(5))
    reader.connection.offer(signal(6))
    assert reader.seqs == [1, 2, 3, 4, 5, 6]


async def test_a_gap_is_reported_and_its_signals_wait_for_the_replay():
    reader, gaps = Reader(), []
    reader.subscribe("BTCUSDT")
    reader.connection.on_gap = gaps.append
    for seq in (1, 4):
        reader.connection.offer(signal(seq))
    assert gaps == ["BTCUSDT"]
    assert reader.connection.release("BTCUSDT") == 2
    for seq in (2, 3):
        reader.connection.put_replayed(signal(seq))
    assert reader.connection.release("BTCUSDT") is None
    assert reader.seqs == [1, 2, 3, 4]


async def test_after_a_disconnect_nothing_is_sent_and_no_task_is_left():
    reader, before = Reader(), asyncio.all_tasks()
    reader.subscribe("BTCUSDT")
    reader.reading.clear()
    reader.connection.offer(signal(1))
    await asyncio.sleep(0)
    reader.connection.stop()
    await asyncio.sleep(0)
    reader.reading.set()
    reader.connection.offer(signal(2))
    await asyncio.sleep(0)
    assert reader.order == []
    assert asyncio.all_tasks() == before


async def test_a_send_refused_by_the_server_ends_the_connection_quietly(caplog):
    async def send(_text):
        raise OSError("the client is gone")

    async def close(_code):
        pass

    connection = Connection(send, close)
    connection.put("{}")
    await connection.finished()
    connection.put("{}")
    assert connection._writer is None
    assert caplog.records == []
