"""Progress of a long command: plain lines without a terminal, JSON lines for programs."""

import io
import json

from django.core.management.base import OutputWrapper

from marketdata import clock
from marketdata.progress import progress_reporter


def test_a_line_shows_progress_and_remaining_time():
    stream = io.StringIO()
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen, progress_reporter("2 markets", stream) as report:
        report(0, 4_000)
        frozen.advance(10)
        report(1_000, 4_000)
        frozen.advance(1)
        report(1_100, 4_000)
        frozen.advance(3_600)
        report(1_200, 4_000)
        report(4_000, 4_000)
    assert stream.getvalue().splitlines() == [
        "2 markets: 0 of 4,000",
        "2 markets: 1,000 of 4,000, 0:00:30 left",
        "2 markets: 1,200 of 4,000, 2:20:26 left",
        "2 markets: 4,000 of 4,000",
    ]


def test_a_program_gets_one_json_object_per_line():
    stream = io.StringIO()
    with progress_reporter("BTCUSDT", stream, as_json=True) as report:
        report(0, 2)
        report(2, 2)
    assert [json.loads(line)["done"] for line in stream.getvalue().splitlines()] == [0, 2]


def test_a_terminal_gets_a_progress_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    with progress_reporter("BTCUSDT", Terminal()) as report:
        report(1, 2)


class Log(io.StringIO):
    """A file that remembers what had been flushed."""

    seen = ""

    def flush(self):
        self.seen = self.getvalue()


def test_a_file_gets_a_flushed_line_per_step_with_percent_and_time_left():
    log = Log()
    with (
        clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen,
        progress_reporter("training", OutputWrapper(log)) as report,
    ):
        frozen.advance(30)
        report(1, 4, "features")
        assert log.seen == "training  25%, 0:01:30 left  features\n"
        frozen.advance(30)
        report(2, 4, "fold 1 of 1")
        report(4, 4, "written")
    assert log.seen.splitlines()[1:] == [
        "training  50%, 0:01:00 left  fold 1 of 1",
        "training 100%  written",
    ]


def test_a_program_gets_the_name_of_every_step():
    stream = io.StringIO()
    with progress_reporter("training", stream, as_json=True) as report:
        report(1, 4, "features")
        report(2, 4, "fold 1 of 1")
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"done": 1, "total": 4, "message": "features"},
        {"done": 2, "total": 4, "message": "fold 1 of 1"},
    ]
