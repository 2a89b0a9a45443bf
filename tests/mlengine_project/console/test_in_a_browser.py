"""Pages in a real browser: scripts run under the content policy, the websocket connects, no errors are logged."""

import asyncio
import socket
import threading

import pytest
import uvicorn
from asgiref.sync import sync_to_async
from django.db import connections

from mlengine_project.console.sign_in import one_time_link
from modelregistry.models import ModelVersion
from signals.delivery import publisher
from signals.delivery.hub import hub
from signals.log.payloads import signal_bytes
from tests.mlengine_project.console import chromium, rows

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(chromium.installed() is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]


@pytest.fixture
def served(transactional_db, django_user_model):
    """The engine's own ASGI application on a free port, with two markets; its address and a sign-in link."""
    from mlengine_project.asgi import application

    for symbol in ("BTCUSDT", "ETHUSDT"):
        of = rows.market(symbol)
        rows.candles(of, 300)
        for back in range(20, 0, -1):
            for horizon in rows.HORIZONS:
                rows.prediction(of, horizon, rows.BEGIN - back * rows.STEP, price=129.9)
        rows.signal(of, **rows.BUY)
        rows.SymbolSequence.objects.create(symbol=symbol, head=1)
    rows.version(stage="champion")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(application, lifespan="off", log_config=None, ws="websockets-sansio")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        person = django_user_model.objects.create_superuser("ada", password="a long secret")
        yield address, one_time_link(address, person)
        server.should_exit = True
        thread.join(20)
        hub.stop()


async def test_pages_run_without_errors_from_sign_in_link_to_admin(served, tmp_path, just_after_a_close):
    address, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("location.pathname === '/' && document.querySelectorAll('.card').length === 2")
        await page.until("document.getElementById('link-state').dataset.state === 'live'")

        just_after_a_close.advance(300)
        await sync_to_async(close_another)()
        await page.until("document.querySelector('[data-symbol=BTCUSDT] .price').textContent === '140.0000'")
        await page.until("document.getElementById('announcer').textContent === 'BTCUSDT: buy'")

        await page.open(f"{address}/market/BTCUSDT")
        await page.until("document.querySelector('#chart canvas') !== null")
        await page.until("document.getElementById('readout').textContent.includes('next 30 min')")
        await page.until("document.getElementById('link-state').dataset.state === 'live'")
        assert await page.value("document.getElementById('tv-attr-logo') !== null")
        await page.value("document.querySelector('input[name=horizon][value=\"36\"]').click()")
        await page.until("document.getElementById('readout').textContent.includes('next 3 h')")
        await page.value("document.getElementById('theme-toggle').click()")

        for path in ("/console/models", "/admin/", "/admin/signals/signalswitch/", "/docs"):
            await page.open(address + path)
            await asyncio.sleep(0.3)
            await page.value("1")
        await page.open(address + "/redoc")
        await page.until("document.querySelector('.menu-content') !== null")
        await asyncio.sleep(0.3)
        await page.value("1")
    assert page.errors == []


async def test_pages_fit_the_width_of_a_phone(served, tmp_path):
    address, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
        await page.open(address)
        await page.until("document.querySelector('.sign-in') !== null")
        assert await overflow(page) <= 0
        await page.open(link)
        await page.until("document.querySelectorAll('.card').length === 2")
        assert await overflow(page) <= 0
        version = await sync_to_async(ModelVersion.objects.first)()
        report = f"/admin/modelregistry/modelversion/{version.pk}/change/"
        for path in ("/market/BTCUSDT", "/console/models", report):
            await page.open(address + path)
            assert await overflow(page) <= 0


async def overflow(page):
    # Not innerWidth: a phone zooms out for wide content, and innerWidth grows with it.
    return await page.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def close_another():
    """One more candle with its predictions and a signal, published as by the live path."""
    of = rows.Market.objects.get(symbol="BTCUSDT")
    price = {"open": 140, "high": 141, "low": 139, "close": 140, "volume": 1}
    rows.Candle.objects.create(market=of, open_time=rows.BEGIN, origin="stream", **price)
    for horizon in rows.HORIZONS:
        rows.prediction(of, horizon, rows.BEGIN, price=140)
    logged_signal = rows.signal(of, 2, rows.BEGIN, **rows.BUY)
    rows.SymbolSequence.objects.filter(symbol=of.symbol).update(head=2)
    rows.OutboxMessage.objects.create(
        signal=logged_signal, symbol=of.symbol, seq=2, payload=signal_bytes(logged_signal).decode()
    )
    publisher.drain([of.symbol])
    connections.close_all()  # those of this thread, which outlives the test
