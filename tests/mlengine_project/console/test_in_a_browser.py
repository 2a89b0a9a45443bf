"""Pages in a real browser: scripts run under the content policy, the websocket connects, no errors are logged."""

import asyncio
import json
import socket
import threading
from urllib.parse import urlsplit

import pytest
import uvicorn
from asgiref.sync import sync_to_async
from django.db import connections

from marketdata import clock
from marketdata.models import AbsentStretch, Candle, CandleRevision, Market
from mlengine_project.console import views
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


SHOWN_CARDS = "[...document.querySelectorAll('.card:not([hidden])')].map((card) => card.dataset.symbol).join()"


@pytest.fixture
def server(transactional_db, django_user_model):
    """The engine's own ASGI application on a free port, with two markets: address, sign-in link, and how to stop it."""
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

        def stop():
            server.should_exit = True
            server.force_exit = True
            thread.join(20)

        yield address, one_time_link(address, person), stop
        stop()
        hub.stop()


@pytest.fixture
def served(server):
    """The address of the running engine, and a sign-in link."""
    return server[:2]


async def test_pages_run_without_errors_from_sign_in_link_to_admin(served, tmp_path, just_after_a_close):
    address, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("location.pathname === '/' && document.querySelectorAll('.card').length === 2")
        await page.until("document.getElementById('link-state')?.dataset.state === 'live'")

        just_after_a_close.advance(300)
        await sync_to_async(close_another)()
        await page.until("document.querySelector('[data-symbol=BTCUSDT] .price').textContent === '140.0'")
        await page.until("document.getElementById('announcer').textContent === 'BTCUSDT: buy'")

        await page.open(f"{address}/market/BTCUSDT")
        await page.until("document.querySelector('#chart canvas') !== null")
        await page.until("document.getElementById('readout').textContent.includes('next 30 min')")
        await page.until("document.getElementById('link-state')?.dataset.state === 'live'")
        assert await page.value("document.querySelector('.foot a').href === 'https://www.tradingview.com/'")
        await page.value("document.getElementById('show-carpet').click()")
        await page.value("document.querySelector('input[name=horizon][value=\"18\"]').click()")
        await page.until("document.getElementById('readout').textContent.includes('promised for these 1 h 30')")
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
    assert page.hosts == {urlsplit(address).netloc}


@pytest.mark.long
async def test_panels_turn_late_and_expired_by_the_clock_and_come_back(served, tmp_path, just_after_a_close):
    _, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("document.getElementById('link-state')?.textContent === '2 live'")
        assert await page.value("document.querySelector('.card .validity').textContent.startsWith('valid for 5:')")
        just_after_a_close.advance(420)
        await page.until("document.getElementById('link-state')?.textContent === 'late 2 min'")
        assert await page.value("document.querySelector('.card').dataset.state === 'late'")
        assert await page.value("document.querySelector('.card .signal').dataset.state === 'expired'")
        assert await page.value("getComputedStyle(document.querySelector('.card .verdict')).opacity < 0.6")
        await page.until("document.querySelector('[data-count=stale]').textContent === '2'")

        just_after_a_close.advance(-100)
        await sync_to_async(close_another)()
        await page.until("document.getElementById('link-state')?.textContent === '1 live, 1 late'", seconds=60)
    assert page.errors == []


@pytest.mark.long
async def test_a_page_whose_requests_are_blocked_does_not_say_live(served, tmp_path):
    _, link = served
    with clock.use(clock.FrozenClock(rows.BEGIN + 2_000, rate=60.0)):
        async with chromium.Browser(tmp_path / "profile") as page:
            await page.open(link)
            await page.until("document.querySelectorAll('.card').length === 2")
            await page.call("Network.enable")
            await page.call("Network.setBlockedURLs", urls=["*/console/*"])
            await page.until("document.getElementById('link-state')?.dataset.state === 'late'")
            await page.until("/late 1\\d min/.test(document.getElementById('link-state')?.textContent)")


@pytest.mark.long
async def test_a_stopped_engine_is_shown_as_disconnected(server, tmp_path):
    _, link, stop = server
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("document.getElementById('link-state')?.textContent === '2 live'")
        await asyncio.to_thread(stop)
        await page.until("document.getElementById('link-state')?.dataset.state === 'disconnected'")
        assert await page.value("document.querySelector('.card .age').textContent.startsWith('disconnected, as of')")


async def test_board_is_searched_filtered_and_sorted(served, tmp_path, monkeypatch):
    address, link = served
    monkeypatch.setattr(views, "FIRST_CARDS", 1)  # the second card comes after the page
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("document.getElementById('link-state')?.textContent === '2 live'")
        await page.value("document.querySelector('input[name=filter][value=refusal]').click()")
        assert await page.value("document.getElementById('nothing-found').hidden === false")
        await page.value("document.querySelector('input[name=filter][value=signal]').click()")
        assert await page.value(f"{SHOWN_CARDS} === 'BTCUSDT,ETHUSDT'")
        await page.value("document.getElementById('board-search').value = 'eth'")
        await page.value("document.getElementById('board-search').dispatchEvent(new Event('input'))")
        assert await page.value(f"{SHOWN_CARDS} === 'ETHUSDT'")
        await page.value("document.querySelector('input[name=view][value=rows]').click()")
        await page.open(address)
        assert await page.value("document.getElementById('board').dataset.view === 'rows'")
        assert await overflow(page) <= 0
    assert page.errors == []


async def test_a_past_forecast_is_chosen_by_slider_and_by_dragging_and_opened(served, tmp_path):
    address, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("document.querySelectorAll('.card').length === 2")
        await page.open(f"{address}/market/BTCUSDT")
        await page.until("document.getElementById('readout').textContent.includes('next 30 min')")
        await page.value(
            "(() => { const slider = document.getElementById('rewind'); slider.value = slider.max - 10;"
            " slider.dispatchEvent(new Event('input')); })()"
        )
        await page.until("document.getElementById('rewind-words').textContent.startsWith('31 Dec 23:05 UTC 30 min')")
        place = await page.value("JSON.stringify(document.querySelector('.handle').getBoundingClientRect())")
        at = json.loads(place)
        x, y = at["x"] + at["width"] / 2, at["y"] + 40
        await page.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
        await page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x - 25, y=y, button="left")
        await page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x - 25, y=y, button="left", clickCount=1)
        await page.until("!document.getElementById('rewind-words').textContent.includes('23:05')")
        await page.value("document.getElementById('open-forecast').click()")
        await page.until("document.querySelector('#opened .seal code') !== null")
        await page.value("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 't', bubbles: true}))")
        assert await page.value("document.querySelectorAll('#chart-table table').length === 2")
        await page.value("document.querySelector('input[name=interval][value=\"1h\"]').click()")
        await page.until("document.querySelectorAll('#chart-table table:last-of-type tbody tr').length === 25")
    assert page.errors == []


@pytest.mark.long
async def test_indicators_are_drawn_in_panes(served, tmp_path):
    address, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("document.querySelectorAll('.card').length === 2")
        await page.open(f"{address}/market/BTCUSDT")
        await page.until("document.getElementById('readout').textContent.includes('next 30 min')")
        rows_before = await page.value("document.querySelectorAll('#chart table tr').length")
        for name in ("sma_20", "rsi_14"):
            await page.value(f"document.querySelector('input[name=indicator][value={name}]').click()")
        await page.until(f"document.querySelectorAll('#chart table tr').length > {rows_before}")
        assert await page.value("document.getElementById('indicator-count').textContent === '2'")
    assert page.errors == []


async def test_language_is_switched_in_the_header(served, tmp_path):
    address, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("document.querySelectorAll('.card').length === 2")
        await page.open(f"{address}/market/BTCUSDT")
        await page.value("document.querySelector('.languages button[value=es]').click()")
        await page.until("document.documentElement?.lang === 'es' && location.pathname === '/market/BTCUSDT'")
        await page.until("document.getElementById('link-state')?.textContent === 'en vivo'")
        await page.until("document.getElementById('readout').textContent.includes('próximos 30 min')")
    assert page.errors == []


@pytest.mark.long
async def test_pages_fit_the_width_of_a_phone(served, tmp_path):
    address, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.call("Emulation.setDeviceMetricsOverride", width=360, height=780, deviceScaleFactor=1, mobile=True)
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


async def remarks(address, link, folder):
    async with chromium.Browser(folder / "profile") as page:
        await page.open(link)
        await page.until("location.pathname === '/'")
        await page.open(f"{address}/market/BTCUSDT")
        await page.until("document.querySelector('#chart canvas') !== null")
        await page.until("document.getElementById('readout').textContent !== ''")
        await page.value("document.getElementById('show-table').click()")
        await page.until("document.querySelectorAll('#chart-table table').length === 2")
        rows_of_table = "[...document.querySelectorAll('#chart-table table:last-child tbody tr')].slice(0, 12)"
        found = await page.value(f"{rows_of_table}.map((row) => row.lastElementChild.textContent)")
        assert page.errors == []
        return found


def test_the_chart_tells_missing_absent_and_revised_candles_apart(server, tmp_path):
    address, link, _ = server
    of = Market.objects.get(symbol="BTCUSDT")
    missing, absent, revised = (rows.BEGIN - back * rows.STEP for back in (4, 6, 8))
    Candle.objects.filter(market=of, open_time__in=[missing, absent]).delete()
    AbsentStretch.objects.create(market=of, start=absent, end=absent + rows.STEP, evidence={})
    CandleRevision.objects.create(market=of, open_time=revised, before={}, after={}, origin="rest")
    found = asyncio.run(remarks(address, link, tmp_path))
    given = {index: text for index, text in enumerate(found, 1) if text}
    assert given == {4: "missing here", 6: "absent at the exchange", 8: "revised after its close"}
