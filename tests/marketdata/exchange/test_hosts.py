"""Another host of the family is used if one does not respond, but not after a ban."""

import asyncio
import threading
from contextlib import contextmanager

import pytest

from marketdata import clock
from marketdata.errors import ExchangeBanned, ExchangeUnavailable
from marketdata.exchange import hosts
from marketdata.exchange.client import ExchangeClient
from marketdata.exchange.hosts import CoolDowns
from marketdata.feed.inbox import Inbox
from marketdata.feed.sockets import FeedTimings, Sockets
from marketdata.process_state import process_state
from marketdata.simulator.faults import Fault
from marketdata.simulator.http.server import SimulatedExchange
from tests.flows.processes import free_port
from tests.marketdata.conftest import START, STEP


@pytest.fixture(autouse=True)
def _no_cool_downs():
    process_state.drop(CoolDowns)
    yield
    process_state.drop(CoolDowns)


@pytest.fixture
def unreachable():
    return f"http://127.0.0.1:{free_port()}"


def read(api_url):
    async def ask():
        async with ExchangeClient(api_url) as client:
            return len((await client.klines("BTCUSDT", START - 3 * STEP, START)).rows)

    return asyncio.run(ask())


def test_the_next_host_is_used_and_the_unreachable_one_cools_down(exchange, unreachable, monkeypatch):
    monkeypatch.setattr(hosts, "FAMILIES", [(unreachable, exchange.base_url)])
    assert hosts.available(unreachable) == [unreachable, exchange.base_url]
    assert read(unreachable) == 3
    assert hosts.available(unreachable) == [exchange.base_url, unreachable]


@contextmanager
def following(settings, monkeypatch, first, second):
    """The feed's sockets subscribed to one symbol at the first of two hosts."""
    monkeypatch.setattr(hosts, "FAMILIES", [(first, second)])
    settings.BINANCE_STREAM_URL = first
    sockets = Sockets(Inbox(), FeedTimings(silence=0.6, longest_wait=0.2))
    sockets.start()
    try:
        sockets.follow(["BTCUSDT"])
        yield
    finally:
        sockets.stop()


def accepted(exchange, seconds=20):
    until = clock.monotonic() + seconds
    while not exchange.hub.accepted and clock.monotonic() < until:
        threading.Event().wait(0.02)
    return exchange.hub.accepted > 0


def test_the_stream_uses_the_next_host_when_the_first_is_unreachable(exchange, unreachable, settings, monkeypatch):
    with following(settings, monkeypatch, unreachable.replace("http", "ws"), exchange.stream_url):
        assert accepted(exchange)


def test_the_stream_uses_the_next_host_when_the_first_sends_nothing(exchange, settings, monkeypatch):
    with (
        SimulatedExchange(["BTCUSDT"], seed=3, speed=0, begin_at=START, faults=[Fault("silence")]) as silent,
        following(settings, monkeypatch, silent.stream_url, exchange.stream_url),
    ):
        assert accepted(exchange)
    assert silent.hub.accepted


def test_a_host_is_used_first_again_after_its_cool_down(unreachable):
    with clock.use(clock.FrozenClock(START)) as frozen:
        hosts.cool_down("https://api.binance.com")
        assert hosts.available("https://api.binance.com")[0] == "https://api1.binance.com"
        frozen.advance(hosts.COOL_DOWN_SECONDS + 1)
        assert hosts.available("https://api.binance.com")[0] == "https://api.binance.com"


def test_an_outage_of_all_hosts_is_an_error(unreachable, monkeypatch):
    monkeypatch.setattr(hosts, "FAMILIES", [(unreachable, f"{unreachable}/", f"{unreachable}//")])
    with pytest.raises(ExchangeUnavailable, match="did not answer"):
        read(unreachable)
    assert hosts.available(unreachable)[0] == unreachable, "the configured one is still used"


def test_no_other_host_is_used_after_a_ban(exchange, monkeypatch):
    with SimulatedExchange(
        ["BTCUSDT"], seed=3, speed=0, begin_at=START + 10_000, faults=[Fault("banned", seconds=30)]
    ) as banning:
        monkeypatch.setattr(hosts, "FAMILIES", [(banning.base_url, exchange.base_url)])
        with pytest.raises(ExchangeBanned):
            read(banning.base_url)


def test_a_host_outside_the_families_has_no_others(unreachable):
    hosts.cool_down(unreachable)
    assert hosts.available(unreachable) == [unreachable]
    assert len(hosts.REST) == 6
