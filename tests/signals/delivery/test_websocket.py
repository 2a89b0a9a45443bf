"""Websocket consumer: messages, frames and close codes."""

import asyncio

import pytest
from channels.db import database_sync_to_async as sync_to_async

from signals.delivery import websocket
from signals.delivery.hub import hub
from signals.models import OutboxMessage
from tests.signals.sockets import (
    REVOKED,
    authenticated_client,
    receive_close,
    receive_frame,
    send_message,
    two_markets,  # noqa: F401  # a fixture
    write_signals_async,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "text", ["not json", "[1]", '{"type": "dance"}', "[" * 5000, '{"type": "subscribe", "symbols": NaN}', "x" * 70_000]
)
async def test_an_invalid_message_closes(text):
    client = await authenticated_client()
    await client.send_to(text_data=text)
    assert await receive_close(client) == 4400


async def test_a_binary_message_closes():
    client = await authenticated_client()
    await client.send_to(bytes_data=b"\x00")
    assert await receive_close(client) == 4400


async def test_wrong_fields_are_errors_and_the_connection_stays():
    client = await authenticated_client()
    for message in (
        {"symbols": "BTCUSDT"}, {"symbols": []}, {"symbols": ["BTCUSDT"], "after": {"BTCUSDT": -1}},
        {"symbols": ["BTCUSDT"], "after": {"ETHUSDT": 1}}, {"symbols": ["BTCUSDT"], "after": {"BTCUSDT": True}},
        {"symbols": ["BTCUSDT"], "after": {"BTCUSDT": 2**63}},
    ):  # fmt: skip
        await send_message(client, type="subscribe", **message)
        assert (await receive_frame(client))["error"] == "ValidationError"
    await send_message(client, type="ping")
    assert await receive_frame(client) == {"type": "pong"}
    await client.disconnect()


async def test_a_symbol_with_nul_is_an_unknown_symbol_and_the_others_are_subscribed():
    client = await authenticated_client()
    await send_message(
        client, type="subscribe", symbols=["BTC\x00USDT", "BTCUSDT", "\x00"], after={"\x00": 1, "BTCUSDT": 0}
    )
    error = await receive_frame(client)
    assert (error["error"], error["symbols"]) == ("ValidationError", ["BTC\x00USDT", "\x00"])
    assert (await receive_frame(client))["symbols"] == ["BTCUSDT"]
    await send_message(client, type="unsubscribe", symbols=["\x00"])
    assert (await receive_frame(client))["type"] == "unsubscribed"
    await client.disconnect()


@pytest.mark.parametrize("text", ['{"type": "pi\\u0000ng"}', '{"type": "\\u0000"}', '{"\\u0000": 1}', "\x00"])
async def test_an_invalid_message_with_nul_closes(text):
    client = await authenticated_client()
    await client.send_to(text_data=text)
    assert await receive_close(client) == 4400


async def test_subscribing_gives_heads_a_snapshot_and_then_live_signals_with_the_published_bytes():
    await write_signals_async("BTCUSDT", 3)
    client = await authenticated_client()
    await send_message(client, type="subscribe", symbols=["BTCUSDT", "ETHUSDT", "NOPE"])
    assert (await receive_frame(client)) | {"message": ""} == {
        "type": "error", "error": "ValidationError", "message": "", "symbols": ["NOPE"]
    }  # fmt: skip
    assert await receive_frame(client) == {
        "type": "subscribed", "symbols": ["BTCUSDT", "ETHUSDT"], "seq": {"BTCUSDT": 3, "ETHUSDT": 0}
    }  # fmt: skip
    snapshot = await receive_frame(client)
    assert [one["seq"] for one in snapshot["signals"]] == [3]
    await write_signals_async("ETHUSDT")
    frame = await client.receive_output(timeout=3)
    payload = (await OutboxMessage.objects.aget(symbol="ETHUSDT")).payload
    assert frame["text"] == f'{{"type":"signal","symbol":"ETHUSDT","seq":1,"signal":{payload}}}'
    await send_message(client, type="unsubscribe", symbols=["ETHUSDT"])
    assert await receive_frame(client) == {"type": "unsubscribed", "symbols": ["ETHUSDT"]}
    await write_signals_async("ETHUSDT")
    await write_signals_async("BTCUSDT")
    assert (await receive_frame(client))["seq"] == 4
    await client.disconnect()


async def test_concurrent_requests_are_answered_in_order():
    await write_signals_async("BTCUSDT", 1200)
    client = await authenticated_client()
    await send_message(client, type="subscribe", symbols=["BTCUSDT"])
    await send_message(client, type="unsubscribe", symbols=["BTCUSDT"])
    await send_message(client, type="subscribe", symbols=["ETHUSDT"], after={"ETHUSDT": 0})
    frames = [await receive_frame(client) for _ in range(4)]
    kinds = [(frame["type"], frame.get("symbols")) for frame in frames if frame["type"] != "snapshot"]
    assert kinds == [("subscribed", ["BTCUSDT"]), ("unsubscribed", ["BTCUSDT"]), ("subscribed", ["ETHUSDT"])]
    await write_signals_async("BTCUSDT")
    assert await client.receive_nothing(timeout=0.1)
    await client.disconnect()


async def test_unsubscribing_ends_a_replay_and_clears_its_state():
    await write_signals_async("BTCUSDT", 1200)
    client = await authenticated_client()
    await send_message(client, type="subscribe", symbols=["BTCUSDT"], after={"BTCUSDT": 0})
    assert (await receive_frame(client))["type"] == "subscribed"
    await send_message(client, type="unsubscribe", symbols=["BTCUSDT"])
    replayed = 0
    while (await receive_frame(client))["type"] == "signal":
        replayed += 1
    assert replayed < 1200
    (connection,) = hub._connections
    assert connection.symbols == set()
    await client.disconnect()


async def test_a_replay_continues_live_without_gap_or_repeat():
    await write_signals_async("BTCUSDT", 1200)
    client = await authenticated_client()
    await send_message(client, type="subscribe", symbols=["BTCUSDT"], after={"BTCUSDT": 100})
    writer = asyncio.create_task(write_signals_async("BTCUSDT", 20))
    assert (await receive_frame(client))["seq"]["BTCUSDT"] >= 1200
    seqs = [(await receive_frame(client))["seq"] for _ in range(1120)]
    assert seqs == list(range(101, 1221))
    await writer
    assert await client.receive_nothing(timeout=0.1)
    await client.disconnect()


async def test_an_impossible_replay_is_an_error():
    await write_signals_async("BTCUSDT", 5)
    await OutboxMessage.objects.filter(seq__lte=3).adelete()
    client = await authenticated_client()
    await send_message(client, type="subscribe", symbols=["BTCUSDT"], after={"BTCUSDT": 1})
    error = await receive_frame(client)
    assert (error["error"], error["symbol"], error["first_seq"]) == ("ReplayUnavailable", "BTCUSDT", 4)
    await send_message(client, type="subscribe", symbols=["BTCUSDT"], after={"BTCUSDT": 9})
    error = await receive_frame(client)
    assert (error["error"], error["symbol"], error["head"]) == ("AheadOfHead", "BTCUSDT", 5)
    await send_message(client, type="subscribe", symbols=["ETHUSDT"], after={"ETHUSDT": 0})
    assert (await receive_frame(client))["seq"] == {"ETHUSDT": 0}
    await client.disconnect()


async def test_a_gap_in_the_feed_is_filled_from_the_log():
    client = await authenticated_client()
    await send_message(client, type="subscribe", symbols=["BTCUSDT"])
    await receive_frame(client), await receive_frame(client)
    await write_signals_async("BTCUSDT", 3, publish=False)
    third = await OutboxMessage.objects.aget(seq=3)
    await sync_to_async(hub.publish)("BTCUSDT", 3, third.payload)
    assert [(await receive_frame(client))["seq"] for _ in range(3)] == [1, 2, 3]
    await sync_to_async(hub.publish)("BTCUSDT", 3, third.payload)
    assert await client.receive_nothing(timeout=0.1)
    await client.disconnect()


async def test_signals_lost_by_the_feed_are_found_by_comparing_heads(monkeypatch):
    monkeypatch.setattr("signals.delivery.hub.POLL_SECONDS", 0.1)
    client = await authenticated_client()
    await send_message(client, type="subscribe", symbols=["BTCUSDT"])
    await receive_frame(client), await receive_frame(client)
    await write_signals_async("BTCUSDT", 2, publish=False)
    assert [(await receive_frame(client))["seq"] for _ in range(2)] == [1, 2]
    await client.disconnect()


async def test_the_heartbeat_has_the_heads(monkeypatch):
    monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.2)
    await write_signals_async("BTCUSDT", 2)
    client = await authenticated_client()
    await send_message(client, type="subscribe", symbols=["BTCUSDT"])
    await receive_frame(client), await receive_frame(client)
    heartbeat = await receive_frame(client)
    assert (heartbeat["type"], heartbeat["seq"]) == ("heartbeat", {"BTCUSDT": 2})
    assert heartbeat["time"].endswith("Z")
    await client.disconnect()


async def test_a_revoked_key_closes_its_connections(monkeypatch):
    monkeypatch.setattr("signals.delivery.hub.POLL_SECONDS", 0.1)
    other, revoked = await authenticated_client("other-key"), await authenticated_client("good-key")
    REVOKED.add("k1")
    assert (await receive_frame(revoked))["error"] == "InvalidAPIKey"
    assert await receive_close(revoked) == 4401
    assert await other.receive_nothing(timeout=0.3)
    await other.disconnect()


async def test_too_many_messages_close_the_connection():
    client = await authenticated_client()
    for _ in range(61):
        await send_message(client, type="ping")
    frames = [await client.receive_output(timeout=3) for _ in range(61)]
    assert next(frame for frame in frames if frame["type"] == "websocket.close")["code"] == 4429
