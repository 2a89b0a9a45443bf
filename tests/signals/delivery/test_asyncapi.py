"""AsyncAPI document and running consumer agree on all frames and messages."""

import asyncio
import re
from types import SimpleNamespace

import orjson
import pytest
import yaml
from channels.db import database_sync_to_async as sync_to_async

from marketdata.models import Market
from mlengine_project.http.asyncapi import document, resolved
from mlengine_project.http.schema import schema_bytes
from signals.delivery import connections, protocol, publisher, websocket
from signals.drafting import Draft
from signals.log.payloads import signal_object
from signals.log.recording import record
from signals.models import OutboxMessage, SignalLog
from tests.champions import BEGIN, STEP
from tests.signals import documented
from tests.signals.sockets import (
    REVOKED,
    authenticated_client,
    connect,
    receive_frame,
    send_message,
    two_markets,  # noqa: F401  # a fixture
    write_signals_async,
)

pytestmark = pytest.mark.django_db(transaction=True)


def documented_frames():
    kinds = documented.names_of("sendFrames") - {"error"}
    for error in resolved(document()["components"]["messages"]["error"]["payload"])["oneOf"]:
        name = error["properties"]["error"]
        kinds |= {f"error/{one}" for one in name.get("enum", [name.get("const")])}
    return kinds


async def frames_until(client, kind):
    """Check frames until one of this type is received."""
    while (frame := await receive_frame(client))["type"] != kind:
        pass
    return frame


def write_buy_signal(symbol):
    """Write and publish a signal with a value in every field."""
    bracket = {
        "take_profit": 101.0, "stop_loss": 99.0, "p_take_profit": 0.7, "p_stop_loss": 0.2, "p_neither": 0.1,
        "p_break_even": 0.5, "expected_net_return": 0.004,
    }  # fmt: skip
    draft = Draft(
        Market.objects.get(symbol=symbol), BEGIN + 99 * STEP, 100.0, signal_type="buy", horizon=6,
        considered_side="buy", bracket=bracket, model_versions={"range_predictor": "0" * 8 + "-0000-4000-8000-" + "0" * 12},
    )  # fmt: skip
    record([draft], draft.open_ms + 900_000)
    publisher.drain()


async def test_a_running_consumer_sends_every_frame_of_the_document_and_no_other(monkeypatch):
    monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr("signals.delivery.hub.POLL_SECONDS", 0.2)
    monkeypatch.setattr(connections, "MAX_QUEUED", 5)
    documented.seen.clear()
    await write_signals_async("BTCUSDT", 5)
    await sync_to_async(write_buy_signal)("ETHUSDT")
    client = await authenticated_client()
    await send_message(client, type="ping")
    await frames_until(client, "pong")
    await send_message(client, type="subscribe", symbols=["BTCUSDT", "ETHUSDT", "NOPE"])
    snapshot = await frames_until(client, "snapshot")
    assert {one["signal_type"] for one in snapshot["signals"]} == {"buy", "hold"}
    await write_signals_async("BTCUSDT")
    await frames_until(client, "signal")
    await frames_until(client, "heartbeat")
    await send_message(client, type="unsubscribe", symbols=["BTCUSDT"])
    await frames_until(client, "unsubscribed")
    await send_message(client, type="subscribe", symbols=["BTCUSDT"], after={"BTCUSDT": 9})
    assert (await frames_until(client, "error"))["error"] == "AheadOfHead"
    await OutboxMessage.objects.filter(symbol="BTCUSDT", seq__lte=3).adelete()
    await send_message(client, type="subscribe", symbols=["BTCUSDT"], after={"BTCUSDT": 1})
    assert (await frames_until(client, "error"))["error"] == "ReplayUnavailable"
    REVOKED.add("k1")
    assert (await frames_until(client, "error"))["error"] == "InvalidAPIKey"

    signed_out = connect([(b"origin", b"http://localhost:8000")], user=SimpleNamespace(is_authenticated=True, pk=0))
    await signed_out.connect()
    assert (await frames_until(signed_out, "error"))["error"] == "NotAuthenticated"

    reading, read = asyncio.Event(), []

    async def send(text):
        read.append(documented.check_frame(orjson.loads(text)))
        await reading.wait()

    async def close(_code):
        pass

    slow = connections.Connection(send, close)
    slow.hold(["ETHUSDT"])
    slow.release("ETHUSDT")
    payload = (await OutboxMessage.objects.aget(symbol="ETHUSDT")).payload
    for seq in range(1, 20):
        slow.offer(protocol.signal("ETHUSDT", seq, payload))
        await asyncio.sleep(0)
    reading.set()
    await slow.finished()
    assert read[-1]["error"] == "TooSlow"
    assert documented.seen == documented_frames()


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "greeting"}, {"type": "pong", "more": 1}, {"type": "heartbeat", "seq": {}},
        {"type": "error", "error": "Undocumented", "message": ""}, {"type": "subscribed", "symbols": ["BTC"], "seq": {"BTC": -1}},
    ],
)  # fmt: skip
def test_undocumented_frames_fail(frame):
    with pytest.raises(AssertionError):
        documented.check_frame(frame)


async def test_the_signal_on_redis_is_the_object_of_the_document_and_of_rest():
    await write_signals_async("BTCUSDT")
    await sync_to_async(write_buy_signal)("ETHUSDT")
    async for message in OutboxMessage.objects.all():
        assert list(documented.validator("publishedSignal").iter_errors(orjson.loads(message.payload))) == []
    fields = set(signal_object(await SignalLog.objects.afirst(), with_outcome=False))
    published = document()["components"]["schemas"]["PublishedSignal"]
    assert set(published["properties"]) == set(published["required"]) == fields
    in_rest = yaml.safe_load(schema_bytes())["components"]["schemas"]["Signal"]["properties"]
    assert set(in_rest) - fields == {"outcome", "pnl_percent"}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "ping"}, {"type": "authenticate", "ticket": "x"}, {"type": "authenticate"},
        {"type": "authenticate", "ticket": 7}, {"type": "subscribe", "symbols": ["BTCUSDT"]}, {"type": "subscribe"},
        {"type": "subscribe", "symbols": []}, {"type": "subscribe", "symbols": "BTCUSDT"},
        {"type": "subscribe", "symbols": ["BTCUSDT"], "after": {"BTCUSDT": 0}},
        {"type": "subscribe", "symbols": ["BTCUSDT"], "after": None},
        {"type": "subscribe", "symbols": ["BTCUSDT"], "after": {"BTCUSDT": -1}},
        {"type": "subscribe", "symbols": ["BTCUSDT"], "after": {"BTCUSDT": 2**63}},
        {"type": "subscribe", "symbols": ["BTCUSDT"], "after": {"BTCUSDT": True}},
        {"type": "subscribe", "symbols": ["X"] * 1001}, {"type": "unsubscribe", "symbols": [7]},
        {"type": "unsubscribe", "symbols": ["BTCUSDT"]}, {"type": "dance"}, {},
    ],
)  # fmt: skip
def test_the_document_and_the_server_agree_on_messages_of_clients(message):
    kind = message.get("type")
    described = kind in documented.names_of("receiveRequests") and not list(
        documented.validator(kind).iter_errors(message)
    )
    try:
        protocol.parse(orjson.dumps(message).decode())
    except (protocol.BadMessage, protocol.InvalidField):
        accepted = False
    else:
        accepted = True
    assert described == accepted


def test_references_are_complete_and_examples_are_valid():
    asyncapi = document()
    assert asyncapi["asyncapi"] == "3.0.0"
    resolved(asyncapi)
    for name, message in asyncapi["components"]["messages"].items():
        for example in message.get("examples", []):
            assert list(documented.validator(name).iter_errors(example["payload"])) == [], name
    in_channels = {name for channel in asyncapi["channels"].values() for name in channel["messages"]}
    in_operations = {name for operation in asyncapi["operations"] for name in documented.names_of(operation)}
    assert in_channels == in_operations == set(asyncapi["components"]["messages"])


def test_every_close_code_is_explained():
    codes = {
        value
        for name, value in vars(protocol).items()
        if name.isupper() and 1000 < (value if isinstance(value, int) else 0) < 5000
    }
    codes -= {protocol.MAX_FIRST_MESSAGE_BYTES, protocol.MAX_SYMBOLS}
    explained = set(map(int, re.findall(r"\b(?:44\d\d|1013)\b", document()["channels"]["websocket"]["description"])))
    assert explained == codes


@pytest.mark.parametrize(
    ("accept", "query", "media_type"),
    [
        ("", "", "application/vnd.aai.asyncapi+yaml"), ("*/*", "", "application/vnd.aai.asyncapi+yaml"),
        ("application/json", "", "application/vnd.aai.asyncapi+json"), ("image/png", "", "application/vnd.aai.asyncapi+yaml"),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", "", "text/html"),
        ("text/html", "?format=json", "application/vnd.aai.asyncapi+json"),
        ("text/html", "?format=yaml", "application/vnd.aai.asyncapi+yaml"), ("*/*", "?format=xml", "application/vnd.aai.asyncapi+yaml"),
    ],
)  # fmt: skip
def test_it_is_served_without_a_key_in_the_requested_format(client, accept, query, media_type):
    answer = client.get(f"/asyncapi{query}", headers={"accept": accept} if accept else {})
    assert answer.status_code == 200
    assert answer["Content-Type"].split(";")[0] == media_type
    assert "Accept" in answer["Vary"]
    if media_type != "text/html":
        assert yaml.safe_load(answer.content) == document()
    assert client.post("/asyncapi").status_code == 405


def test_the_page_loads_nothing_external_and_shows_every_message(client):
    page = client.get("/asyncapi?format=html").text
    assert [link for link in re.findall(r"(?:src|href)=[\"']([^\"']+)", page) if re.match(r"(https?:)?//", link)] == []
    assert "<script" not in page
    for name in document()["components"]["messages"]:
        assert f"<code>{name}</code>" in page
