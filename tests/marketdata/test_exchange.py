"""What the exchange says, under this app's names: its own word about a symbol, and everything else that may come."""

import pytest

from marketdata.errors import ExchangeBanned, ExchangeUnavailable, MarketDataError, UnknownSymbol
from marketdata.exchange import to_error
from marketdata.rest import Ask, RestSession
from tests.marketdata.conftest import START, STEP


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, -1121, UnknownSymbol),
        (400, -1100, MarketDataError),
        (429, -1003, ExchangeBanned),
        (418, -1003, ExchangeBanned),
        (400, -1003, ExchangeUnavailable),
        (400, -1016, ExchangeUnavailable),
        (403, 0, ExchangeUnavailable),
        (407, 0, ExchangeUnavailable),
        (451, 0, ExchangeUnavailable),
        (404, None, ExchangeUnavailable),
        (502, -1001, ExchangeUnavailable),
    ],
)
def test_an_error_gets_the_name_that_says_whose_trouble_it_is(db, status, code, kind):
    assert type(to_error(status, code, "words", {})) is kind


def test_whatever_is_asked_for_nothing_comes_that_the_exchange_s_own_clock_does_not_call_closed(exchange, markets):
    with RestSession() as line:
        before, open_now = line.ask(
            [Ask("BTCUSDT", START - STEP, START + 9 * STEP), Ask("BTCUSDT", START, START + STEP)]
        )
    assert [row.open_time for row in before.rows] == [START - STEP]
    assert (open_now.rows, open_now.error) == ([], None)
