"""A host that does not answer: the next of its family is asked, a ban is obeyed, a lone host stays alone."""

import asyncio
import threading
from contextlib import contextmanager

import pytest

from marketdata import clock, hosts
from marketdata.errors import ExchangeBanned, ExchangeUnavailable
from marketdata.exchange import ExchangeClient
from marketdata.inbox import Inbox
from marketdata.simulator.faults import Fault
from marketdata.simulator.server import SimulatedExchange
from marketdata.sockets import FeedTimings, Sockets
from tests.flows.processes import free_port
from tests.marketdata.conftest import START, STEP


@pytest.fixture(autouse=True)
def _rested():
    hosts.reset()
    yield
    hosts.reset()


@pytest.fixture
def dead():
    return f"http://127.0.0.1:{free_port()}"


def read(api_url):
    async def ask():
        async with ExchangeClient(api_url) as client:
            return len((await client.klines("BTCUSDT", START - 3 * STEP, START)).rows)

    return asyncio.run(ask())


def test_the_next_host_answers_and_the_silent_one_is_not_asked_again(exchange, dead, monkeypatch):
    monkeypatch.setattr(hosts, "FAMILIES", [(dead, exchange.base_url)])
    assert hosts.available(dead) == [dead, exchange.base_url]
    assert read(dead) == 3
    assert hosts.available(dead) == [exchange.base_url, dead]


@contextmanager
def following(settings, monkeypatch, first, second):
    """The feed's sockets, told to follow one symbol at the first of two hosts."""
    monkeypatch.setattr(hosts, "FAMILIES", [(first, second)])
    settings.BINANCE_STREAM_URL = first
    lines = Sockets(Inbox(), FeedTimings(silence=0.6, longest_wait=0.2))
    lines.start()
    try:
        lines.follow(["BTCUSDT"])
        yield
    finally:
        lines.stop()


def accepted(exchange, seconds=20):
    until = clock.monotonic() + seconds
    while not exchange.hub.accepted and clock.monotonic() < until:
        threading.Event().wait(0.02)
    return exchange.hub.accepted > 0


def test_candles_are_heard_from_the_next_host_when_the_first_cannot_be_reached(exchange, dead, settings, monkeypatch):
    with following(settings, monkeypatch, dead.replace("http", "ws"), exchange.stream_url):
        assert accepted(exchange)


def test_candles_are_heard_from_the_next_host_when_the_first_only_keeps_the_line_open(exchange, settings, monkeypatch):
    with (
        SimulatedExchange(["BTCUSDT"], seed=3, speed=0, begin_at=START, faults=[Fault("silence")]) as mute,
        following(settings, monkeypatch, mute.stream_url, exchange.stream_url),
    ):
        assert accepted(exchange)
    assert mute.hub.accepted


def test_a_host_that_rested_is_asked_first_again(dead):
    with clock.use(clock.FrozenClock(START)) as frozen:
        hosts.cool_down("https://api.binance.com")
        assert hosts.available("https://api.binance.com")[0] == "https://api1.binance.com"
        frozen.advance(hosts.COOL_DOWN_SECONDS + 1)
        assert hosts.available("https://api.binance.com")[0] == "https://api.binance.com"


def test_all_hosts_asleep_is_an_outage_with_a_name(dead, monkeypatch):
    monkeypatch.setattr(hosts, "FAMILIES", [(dead, f"{dead}/", f"{dead}//")])
    with pytest.raises(ExchangeUnavailable, match="did not answer"):
        read(dead)
    assert hosts.available(dead)[0] == dead, "the configured one is still asked"


def test_a_ban_is_not_carried_to_another_host(exchange, monkeypatch):
    with SimulatedExchange(
        ["BTCUSDT"], seed=3, speed=0, begin_at=START + 10_000, faults=[Fault("banned", seconds=30)]
    ) as banning:
        monkeypatch.setattr(hosts, "FAMILIES", [(banning.base_url, exchange.base_url)])
        with pytest.raises(ExchangeBanned):
            read(banning.base_url)


def test_a_host_outside_the_families_has_no_others(dead):
    hosts.cool_down(dead)
    assert hosts.available(dead) == [dead]
    assert len(hosts.REST) == 6
