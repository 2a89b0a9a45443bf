"""Market time follows the newest reading in every thread and event loop, even without database."""

import pytest

from marketdata import clock
from marketdata.clock import FrozenClock, Reading
from marketdata.models import ExchangeState


def test_market_time_runs_at_the_measured_rate(db):
    with clock.use(FrozenClock(1_000_000)) as frozen:
        frozen.reading = lambda: None
        assert clock.market_ms() == 1_000_000
        clock.record_reading(Reading(1_000_000, 5_000_000, 12.0, "http://127.0.0.1:1"))
        frozen.advance(10)
        assert clock.market_ms() == 5_120_000
        assert clock.wall_seconds(60) == pytest.approx(5)
        assert ExchangeState.objects.get().base_url == "http://127.0.0.1:1"


def test_another_process_s_reading_is_seen_within_a_second(db):
    with clock.use(FrozenClock(1_000_000)) as frozen:
        frozen.reading = lambda: None
        assert clock.market_ms() == 1_000_000
        ExchangeState.objects.create(pk=1, clock_wall_ms=1_000_000, clock_market_ms=1_000_700)
        assert clock.market_ms() == 1_000_000
        frozen.advance(1)
        assert clock.market_ms() == 1_001_700


def test_market_time_works_without_a_database():
    with clock.use(FrozenClock(1_000_000)) as frozen:
        frozen.reading = lambda: None
        assert clock.market_ms() == 1_000_000


@pytest.mark.django_db(transaction=True)
async def test_inside_an_event_loop_the_reading_comes_from_a_thread():
    import asyncio

    from asgiref.sync import sync_to_async

    clock.clear_cached_reading()
    await sync_to_async(ExchangeState.objects.create)(
        pk=1, clock_wall_ms=clock.wall_ms(), clock_market_ms=clock.wall_ms() + 90_000
    )
    for _ in range(100):
        if clock.market_ms() > clock.wall_ms() + 60_000:
            break
        await asyncio.sleep(0.05)
    assert clock.market_ms() > clock.wall_ms() + 60_000


def test_a_fast_clock_is_extrapolated_only_for_a_limited_time():
    reading = Reading(0, 0, 300.0)
    assert reading.at(60_000) == 18_000_000
    assert reading.at(10**9) == 300 * clock.MAX_EXTRAPOLATION_MS
    assert Reading(0, 7, 1.0).at(10**9) == 10**9 + 7


def test_jitter_is_not_a_fast_clock():
    assert clock.measured_rate(Reading(0, 0), Reading(1_000, 1_019)) == 1.0
    assert clock.measured_rate(Reading(0, 0), Reading(1_000, 985)) == 1.0
    assert clock.measured_rate(Reading(0, 0), Reading(2_000, 600_000)) == 300.0
    assert clock.measured_rate(Reading(0, 0, 4.0), Reading(0, 10)) == 4.0


def test_after_a_step_of_the_system_clock_the_exchange_s_clock_is_read_at_once(db, monkeypatch):
    """Market time is extrapolated with the system clock and would shift with it."""
    from marketdata.feed.sockets import FeedTimings
    from marketdata.feed.status_poller import ExchangeStatusPoller
    from marketdata.models import Market

    with clock.use(clock.FrozenClock(1_790_000_000_000)) as frozen:
        readings = []

        class Session:
            def read_clock(self):
                readings.append(clock.wall_ms())
                return Reading(clock.wall_ms(), clock.wall_ms())

            def describe(self, symbols):
                return dict.fromkeys(symbols, "TRADING")

        poller = ExchangeStatusPoller(FeedTimings(), lambda _: None)
        poller._session = Session()
        poller.markets = [Market.objects.create(symbol="BTCUSDT", source="exchange")]
        poller.poll()
        frozen.advance(1)
        poller.poll()
        assert len(readings) == 1, "a reading is valid for a minute"
        monotonic = clock.monotonic()
        monkeypatch.setattr(frozen, "monotonic", lambda: monotonic)
        frozen.advance(-3600)
        poller.poll()
        poller.poll()
        assert len(readings) == 2
