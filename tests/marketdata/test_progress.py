"""Progress of a long command: lines with the time left where there is no terminal, JSON for a program."""

import io
import json

from marketdata import clock
from marketdata.progress import shown


def test_a_line_tells_what_is_done_and_how_long_the_rest_takes():
    said = io.StringIO()
    with clock.use(clock.FrozenClock(1_700_000_000_000)) as frozen, shown("2 markets", said) as report:
        report(0, 4_000)
        frozen.advance(10)
        report(1_000, 4_000)
        frozen.advance(1)
        report(1_100, 4_000)
        frozen.advance(3_600)
        report(1_200, 4_000)
        report(4_000, 4_000)
    assert said.getvalue().splitlines() == [
        "2 markets: 0 of 4,000",
        "2 markets: 1,000 of 4,000, 0:00:30 left",
        "2 markets: 1,200 of 4,000, 2:20:26 left",
        "2 markets: 4,000 of 4,000",
    ]


def test_a_program_gets_one_object_a_line():
    said = io.StringIO()
    with shown("BTCUSDT", said, as_json=True) as report:
        report(0, 2)
        report(2, 2)
    assert [json.loads(line)["done"] for line in said.getvalue().splitlines()] == [0, 2]


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    with shown("BTCUSDT", Terminal()) as report:
        report(1, 2)
