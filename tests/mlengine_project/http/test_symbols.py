# ruff: noqa: RUF001  (letters that look alike are the subject)
"""A symbol that is not ASCII in every interface: REST, websocket, channel, cache, files, pages, check, exchange."""

import asyncio
import io
import unicodedata
from types import SimpleNamespace
from urllib.parse import quote

import orjson
import pytest
from channels.db import database_sync_to_async as sync_to_async
from django.core.management import call_command
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from marketdata import clock
from marketdata.exchange.client import ExchangeClient
from marketdata.exchange.parsing import is_symbol, normal_symbol, parse_stream_frame
from marketdata.models import Candle, Market
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.simulator.http.server import SimulatedExchange
from marketdata.simulator.recorded.candle_files import read_files
from mlengine_project.checks import settings_are_valid
from predictions.live.cache import cache, key_of
from predictions.models import PredictionLog
from signals import services as signals
from signals.delivery import publisher
from signals.delivery.websocket import SignalConsumer
from signals.models import SignalLog
from tests import champions
from tests.champions import BEGIN, STEP, at_close_of, bootstrap_champions, make_markets
from tests.websockets import WebsocketCommunicator

LIFE = "币安人生USDT"


@pytest.fixture(autouse=True)
def _candles_of_it(monkeypatch):
    monkeypatch.setattr(champions, "_invention", CandleGenerator((LIFE,), seed=3))


@pytest.fixture
def market(db, fresh_engine):
    """An engine whose one market is not ASCII, at the close of its newest candle."""
    bootstrap_champions(symbols=(LIFE,))
    market = make_markets(symbols=(LIFE,))[0]
    with clock.use(at_close_of(BEGIN - STEP)):
        signals.advance([market])
        yield market


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("BTCUSDT", True), (LIFE, True), ("ДОГЕUSDT", True), ("1000SATSUSDT", True), ("ΑΘΗΝΑUSDT", True), ("हिन्दीUSDT", True),
        ("btcusdt", False), ("догеUSDT", False), ("BTC-USDT", False), ("BTC/USDT", False), ("BTC_USDT", False), ("BTC USDT", False),
        ("B", False), ("币" * 21, False), ("币" * 20, True), ("BTC\x00USDT", False), ("BTC\u200bUSDT", False), ("\u202eTDSUCTB", False),
        ("BTC\ufe0fUSDT", False), ("😀USDT", False), ("\ud800A", False), ("E\u0301USDT", False), ("\u00c9USDT", True), (7, False),
    ],
)  # fmt: skip
def test_symbol_rule(text, right):
    assert is_symbol(text) is right
    if right:
        assert normal_symbol(unicodedata.normalize("NFD", text.lower())) == text


def test_every_path_accepts_the_symbol(market, caller):
    client = caller("admin")
    row = Candle.objects.filter(market=market).order_by("-open_time").first()
    for path in ("/candles", "/indicators"):
        answer = client.get(f"{path}?symbol={quote(LIFE)}&limit=1").json()
        assert len(answer["results"]) == 1, answer
    assert client.get(f"/candles/quality?symbol={quote(LIFE)}").json()["symbol"] == LIFE
    assert client.get("/markets").json()["results"][0]["symbol"] == LIFE
    made = client.post("/predictions", {"symbol": LIFE, "horizon": 6}, content_type="application/json")
    assert (made.status_code, made.json()["symbol"]) == (200, LIFE), made.json()
    signal = client.post("/signals", {"symbol": LIFE}, content_type="application/json").json()
    assert (signal["symbol"], signal["entry_price"]) == (LIFE, str(row.close))
    assert client.get(f"/signals?symbol={quote(LIFE)}&after=0").json()["results"][0]["symbol"] == LIFE
    assert client.get(f"/predictions?symbol={quote(LIFE)}&limit=1").json()["results"][0]["symbol"] == LIFE
    assert client.get(f"/candles?symbol={quote(LIFE.lower())}").status_code == 400
    metrics = list(text_string_to_metric_families(generate_latest().decode()))
    assert metrics


def test_cache_channel_and_log_hold_the_symbol(market):
    prediction = PredictionLog.objects.filter(symbol=LIFE).first()
    key = key_of(LIFE, prediction.horizon, prediction.candle_time)
    assert key.startswith(f"prediction:{LIFE}:")
    assert cache.get(key) is not None
    assert publisher.channel_of(LIFE) == f"signals:{LIFE}"
    assert SignalLog.objects.get().symbol == LIFE


def test_pages_encode_the_symbol_in_urls(market, admin_client):
    board = admin_client.get("/").content.decode()
    assert f"/market/{quote(LIFE)}" in board
    page = admin_client.get(f"/market/{quote(LIFE)}")
    assert page.status_code == 200
    assert f"?symbol={quote(LIFE)}" in page.content.decode()
    for path in ("console/chart", "console/panels"):
        assert admin_client.get(f"/{path}/{quote(LIFE)}?horizon=6").status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_websocket_subscribes_to_the_symbol(fresh_engine):
    def prepare():
        bootstrap_champions(symbols=(LIFE,))
        market = make_markets(symbols=(LIFE,))[0]
        with clock.use(at_close_of(BEGIN - STEP)):
            signals.advance([market])

    await sync_to_async(prepare)()
    application = SignalConsumer.as_asgi(
        authenticate_key=lambda key: SimpleNamespace(key_id=key), redeem_ticket=lambda ticket: None
    )
    client = WebsocketCommunicator(application, "/ws/signals", headers=[(b"x-api-key", b"k")])
    await client.connect()
    await client.send_to(text_data=orjson.dumps({"type": "subscribe", "symbols": [LIFE], "after": {LIFE: 0}}).decode())
    frames = [orjson.loads((await client.receive_output(timeout=5))["text"]) for _ in range(3)]
    assert [frame["type"] for frame in frames] == ["authenticated", "subscribed", "signal"]
    assert (frames[1]["seq"], frames[2]["symbol"], frames[2]["signal"]["symbol"]) == ({LIFE: 1}, LIFE, LIFE)
    await client.disconnect()


def test_symbol_survives_export_and_import(market, tmp_path):
    for kind in ("csv", "parquet"):
        call_command("export_candles", str(tmp_path), format=kind, stdout=io.StringIO())
        path = tmp_path / f"{LIFE}-5m.{kind}"
        # macOS writes file names decomposed, and people write them in lower case.
        given = path.rename(tmp_path / unicodedata.normalize("NFD", f"{LIFE.lower()}-5m.{kind}"))
        out = io.StringIO()
        call_command("import_candles", str(given), source="simulated", stdout=out, stderr=io.StringIO())
        assert "0 inserted" in out.getvalue()
        assert "0 revised" in out.getvalue()
        assert list(read_files([given])) == [LIFE]
        given.unlink()


def test_the_settings_check_accepts_what_the_rule_accepts(settings):
    settings.SUPPORTED_SYMBOLS = [LIFE, "BTCUSDT"]
    assert not [found for found in settings_are_valid() if "SUPPORTED_SYMBOLS" in found.msg]
    settings.SUPPORTED_SYMBOLS = ["BTC/USDT"]
    assert [found for found in settings_are_valid() if "SUPPORTED_SYMBOLS" in found.msg]


def test_exchange_requests_and_streams_use_the_symbol(db, settings):
    with SimulatedExchange([LIFE, "BTCUSDT"], seed=3, speed=0, begin_at=BEGIN + 10_000) as exchange:
        settings.BINANCE_API_URL, settings.BINANCE_STREAM_URL = exchange.base_url, exchange.stream_url

        async def send_request():
            client = ExchangeClient()
            try:
                page = await client.klines(LIFE, BEGIN - STEP, BEGIN)
                statuses = (await client.exchange_info([LIFE]))["statuses"]
                messages = client.stream([LIFE])
                assert await anext(messages) is None
                exchange.advance_to(exchange.now_ms() + STEP)
                async with asyncio.timeout(10):
                    while (message := await anext(messages)) is None:
                        pass
                await messages.aclose()
            finally:
                await client.close()
            return page, statuses, message

        page, statuses, message = asyncio.run(send_request())
    assert [row.open_time for row in page.rows] == [BEGIN - STEP]
    assert statuses == {LIFE: "TRADING"}
    assert parse_stream_frame(message, [LIFE])[0] == LIFE
    assert Market.objects.count() == 0
