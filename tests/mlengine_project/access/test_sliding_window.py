"""The sliding window: never more than the limit in any sixty seconds, in this process and in Redis."""

import threading

import pytest
import redis as redis_library

from marketdata import clock
from mlengine_project.access.sliding_window import LocalWindow, SharedWindow

NOW = 1_790_000_000_000


def test_window_slides():
    window = LocalWindow()
    with clock.use(clock.FrozenClock(NOW)) as frozen:
        for _ in range(5):
            assert window.take("a", 10).admitted
        frozen.advance(45)
        taken = [window.take("a", 10).admitted for _ in range(6)]
        assert taken == [True] * 5 + [False]
        frozen.advance(16)  # the first five expire, the second five do not
        taken = [window.take("a", 10).admitted for _ in range(6)]
        assert taken == [True] * 5 + [False]


def test_refused_call_reports_the_wait_and_is_not_counted():
    window = LocalWindow()
    with clock.use(clock.FrozenClock(NOW)) as frozen:
        window.take("a", 1)
        frozen.advance(20)
        refused = window.take("a", 1)
        assert (refused.admitted, refused.remaining, refused.reset_seconds) == (False, 0, 40.0)
        frozen.advance(40)
        assert window.take("a", 1).admitted


def test_buckets_are_independent():
    window = LocalWindow()
    assert window.take("a", 1).admitted
    assert window.take("b", 1).admitted
    assert not window.take("a", 1).admitted


def test_number_of_buckets_is_limited():
    window = LocalWindow()
    for number in range(10_050):
        window.take(f"address {number}", 100)
    assert len(window._logs) <= 10_000


def admitted_by_threads(window, bucket, limit):
    admitted, start = [], threading.Barrier(8)

    def hammer():
        start.wait()
        admitted.extend(window.take(bucket, limit).admitted for _ in range(25))

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(admitted)


def test_concurrent_calls_are_limited_exactly():
    assert admitted_by_threads(LocalWindow(), "a", 100) == 100


@pytest.mark.redis
def test_concurrent_calls_are_limited_exactly_in_redis():
    bucket = f"test:{clock.new_id()}"
    one, other = SharedWindow(), SharedWindow()
    assert admitted_by_threads(one, bucket, 100) == 100
    refused = other.take(bucket, 100)
    assert not refused.admitted
    assert 0 < refused.reset_seconds <= 60


def test_local_window_is_used_without_redis(settings, monkeypatch):
    settings.EMBEDDED = False
    window, calls = SharedWindow(), []

    def away(*_):
        calls.append(1)
        raise redis_library.ConnectionError("refused")

    monkeypatch.setattr(window, "_run", away)
    assert [window.take("a", 2).admitted for _ in range(3)] == [True, True, False]
    assert len(calls) == 1, "an unavailable Redis is not called every time"
