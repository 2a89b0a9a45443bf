"""The live pages in a real browser while the connection drops and comes back, and while time passes."""

import asyncio
from urllib.parse import urlsplit

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from signals.delivery import publisher
from signals.log.payloads import signal_bytes
from tests.mlengine_project.console import chromium, rows
from tests.mlengine_project.console.relay import Relay
from tests.mlengine_project.console.test_in_a_browser import served, server  # noqa: F401  # fixtures

pytestmark = [
    pytest.mark.long,
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(chromium.installed() is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]
SYMBOLS = ("BTCUSDT", "ETHUSDT")
LIVE = "document.getElementById('link-state')?.textContent === '2 live'"
DISCONNECTED = "document.getElementById('link-state')?.dataset.state === 'disconnected'"
SHOWN_SEQ = "[...document.querySelectorAll('.card')].map((card) => card.dataset.seq).join()"
RECORD_SEQ = """(() => {
  window.seqs = [];
  new MutationObserver(() => {
    const { seq } = document.querySelector("[data-symbol=BTCUSDT]").dataset;
    if (window.seqs.at(-1) !== seq) window.seqs.push(seq);
  }).observe(document.getElementById("board"), { subtree: true, childList: true, attributes: true });
})()"""


def close_candle(seq):
    """Candle number `seq` of both markets, with forecasts and a signal to buy, published as by the live path."""
    open_ms = rows.BEGIN + (seq - 2) * rows.STEP
    price = {"open": 140, "high": 141, "low": 139, "close": 140, "volume": 1}
    for of in rows.Market.objects.all():
        rows.Candle.objects.create(market=of, open_time=open_ms, origin="stream", **price)
        for horizon in rows.HORIZONS:
            rows.prediction(of, horizon, open_ms, price=140)
        logged = rows.signal(of, seq, open_ms, **rows.BUY)
        rows.SymbolSequence.objects.filter(symbol=of.symbol).update(head=seq)
        payload = signal_bytes(logged).decode()
        rows.OutboxMessage.objects.create(signal=logged, symbol=of.symbol, seq=seq, payload=payload)
    publisher.drain(list(SYMBOLS))
    connections.close_all()  # those of this thread, which outlives the test


async def test_signals_published_while_the_connection_is_cut_come_once_each(served, tmp_path, just_after_a_close):  # noqa: F811
    address, link = served
    with Relay(urlsplit(address).port) as relay:
        relayed = f"http://127.0.0.1:{relay.port}"
        async with chromium.Browser(tmp_path / "profile") as page:
            await page.open(link.replace(address, relayed))
            await page.until(LIVE)
            await page.value(RECORD_SEQ)
            await sync_to_async(close_candle)(2)
            just_after_a_close.advance(300)
            await page.until(f"{SHOWN_SEQ} === '2,2'")

            await asyncio.to_thread(relay.cut)
            for seq in (3, 4, 5):
                just_after_a_close.advance(300)
                await sync_to_async(close_candle)(seq)
            await page.until(DISCONNECTED, seconds=90)
            assert await page.value(
                "document.querySelector('.card .age').textContent.startsWith('disconnected, as of')"
            )
            assert await page.value("getComputedStyle(document.querySelector('.card .price-line')).opacity < 0.6")
            assert await page.value(f"{SHOWN_SEQ} === '2,2'")

            relay.restore()
            await page.until(f"{SHOWN_SEQ} === '5,5'", seconds=90)
            await page.until(LIVE)
            await sync_to_async(close_candle)(6)
            just_after_a_close.advance(300)
            await page.until(f"{SHOWN_SEQ} === '6,6'")
            delivered = [(frame["symbol"], frame["seq"]) for frame in page.frames if frame.get("type") == "signal"]
            assert sorted(delivered) == [(symbol, seq) for symbol in SYMBOLS for seq in range(2, 7)]
            assert await page.value("window.seqs.join()") in {"2,5,6", "2,3,4,5,6", "2,4,5,6", "2,3,5,6"}

            await page.open(f"{relayed}/market/BTCUSDT")
            await page.until("document.querySelectorAll('[data-panel=recent] tbody tr').length === 6")
            assert {urlsplit(url).netloc for url in page.websockets} == {urlsplit(relayed).netloc}
            assert len(page.websockets) >= 2
        # The browser itself logs what it could not reach.
        assert [error for error in page.errors if "net::ERR_" not in error and "WebSocket" not in error] == []
        assert page.hosts == {urlsplit(relayed).netloc}


async def test_a_signal_past_its_validity_loses_strength_on_the_market_page(served, tmp_path, just_after_a_close):  # noqa: F811
    address, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until(LIVE)
        await page.open(f"{address}/market/BTCUSDT")
        await page.until("document.getElementById('link-state')?.textContent === 'live'")
        verdict = "getComputedStyle(document.querySelector('[data-panel] .signal .verdict')).opacity"
        assert await page.value(f"{verdict} === '1'")
        just_after_a_close.advance(330)
        await page.until("document.querySelector('[data-panel] .signal').dataset.state === 'expired'")
        assert await page.value(f"{verdict} < 0.6")
        assert await page.value("document.querySelector('[data-panel] .validity').textContent.startsWith('expired ')")
        assert await page.value("document.getElementById('link-state').dataset.state === 'late'")
        await sync_to_async(close_candle)(2)
        await page.until(f"{verdict} === '1'")
        await page.until("document.getElementById('link-state')?.textContent === 'live'")
    assert page.errors == []
