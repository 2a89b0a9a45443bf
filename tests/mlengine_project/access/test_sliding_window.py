"""The sliding window: never more than the limit in any sixty seconds, in this process and in Redis."""

import multiprocessing
import threading
import time

import pytest
import redis as redis_library

from marketdata import clock
from mlengine_project.access import sliding_window
from mlengine_project.access.sliding_window import LocalWindow, Reservation, SharedWindow

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


def counted_runs(window, monkeypatch):
    """The arguments of each call of Redis by a window."""
    runs, run = [], window._run

    def counting(*arguments):
        runs.append(arguments)
        return run(*arguments)

    monkeypatch.setattr(window, "_run", counting)
    return runs


def admitted_by_process(bucket, limit, attempts, start, admitted):
    start.wait()
    window = SharedWindow()
    count = sum(window.take(bucket, limit).admitted for _ in range(attempts))
    with admitted.get_lock():
        admitted.value += count


@pytest.mark.redis
@pytest.mark.parametrize("limit", [100, 5_000])
def test_four_processes_together_admit_the_limit(limit):
    bucket, fork = f"test:{clock.new_id()}", multiprocessing.get_context("fork")
    start, admitted = fork.Barrier(4), fork.Value("i", 0)
    processes = [
        fork.Process(target=admitted_by_process, args=(bucket, limit, limit, start, admitted)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert admitted.value == limit


@pytest.mark.redis
def test_most_calls_are_counted_without_redis(monkeypatch):
    window, bucket = SharedWindow(), f"test:{clock.new_id()}"
    runs = counted_runs(window, monkeypatch)
    remaining = [window.take(bucket, 100_000).remaining for _ in range(5_000)]
    assert remaining == list(range(99_999, 94_999, -1))
    assert len(runs) < 40


@pytest.mark.redis
def test_near_the_limit_every_call_asks_redis(monkeypatch):
    one, other, bucket = SharedWindow(), SharedWindow(), f"test:{clock.new_id()}"
    for _ in range(90):
        assert one.take(bucket, 100).admitted
    runs = counted_runs(one, monkeypatch)
    assert [one.take(bucket, 100).remaining for _ in range(3)] == [9, 8, 7]
    assert other.take(bucket, 100).remaining == 6
    assert one.take(bucket, 100).remaining == 5
    assert len(runs) >= 3
    assert one.take_reserved(bucket, 100) is None


@pytest.mark.redis
def test_reserved_calls_that_were_not_made_are_given_back(monkeypatch):
    monkeypatch.setattr(sliding_window, "RESERVED_SECONDS", 0.3)
    one, other, bucket = SharedWindow(), SharedWindow(), f"test:{clock.new_id()}"
    for _ in range(20):
        one.take(bucket, 1000)
    assert other.take(bucket, 1000).remaining == 968, "of 1 + 2 + 4 + 8 + 16 reserved calls 11 were not made"
    time.sleep(0.35)
    one.take(bucket, 1000)
    assert other.take(bucket, 1000).remaining == 973, "23 calls were made, and 4 are reserved"


@pytest.mark.redis
def test_slow_callers_are_counted_one_by_one(monkeypatch):
    monkeypatch.setattr(sliding_window, "RESERVED_SECONDS", 0.02)
    windows, bucket = [SharedWindow() for _ in range(3)], f"test:{clock.new_id()}"
    remaining = []
    for number in range(9):
        remaining.append(windows[number % 3].take(bucket, 100).remaining)
        time.sleep(0.03)
    assert remaining == list(range(99, 90, -1))


@pytest.mark.redis
def test_shared_window_slides(monkeypatch):
    monkeypatch.setattr(sliding_window, "WINDOW_SECONDS", 0.6)
    monkeypatch.setattr(sliding_window, "RESERVED_SECONDS", 0.1)
    window, bucket, admitted = SharedWindow(), f"test:{clock.new_id()}", []
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        begun = time.monotonic()
        if window.take(bucket, 50).admitted:
            admitted.append((begun, time.monotonic()))
        time.sleep(0.002)
    assert len(admitted) >= 100, "each window admits calls again"
    for (_, ended), (begun, _) in zip(admitted, admitted[50:], strict=False):
        assert begun - ended > 0.6 - 0.02, "51 calls take longer than the window"


def test_reservation_ends_with_its_calls_its_time_and_its_limit():
    reservation = Reservation("x:3", 10, 3, 4, 100.0, 60.0, made=1)
    assert reservation.take(11, 100.0) is None
    assert reservation.take(10, 100.0 + sliding_window.RESERVED_SECONDS) is None
    taken = reservation.take(10, 100.5)
    assert (taken.remaining, taken.reset_seconds) == (4, 59.5)
    assert reservation.next_size(100.5) == 2
    assert reservation.take(10, 100.5).remaining == 3
    assert reservation.take(10, 100.5) is None
    assert reservation.next_size(100.5) == 6
    assert reservation.next_size(102.0) == 3


def test_local_window_is_used_without_redis(settings, monkeypatch):
    settings.EMBEDDED = False
    window, calls = SharedWindow(), []

    def away(*_):
        calls.append(1)
        raise redis_library.ConnectionError("refused")

    monkeypatch.setattr(window, "_run", away)
    assert [window.take("a", 2).admitted for _ in range(3)] == [True, True, False]
    assert len(calls) == 1, "an unavailable Redis is not called every time"
