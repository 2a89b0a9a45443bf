"""Errors of the exchange as exceptions of this app, and only closed candles from requests."""

import pytest

from marketdata.errors import ExchangeBanned, ExchangeUnavailable, MarketDataError, UnknownSymbol
from marketdata.exchange.client import to_error
from marketdata.exchange.rest import PageRequest, RestSession
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
def test_a_status_and_code_give_the_right_exception(db, status, code, kind):
    assert type(to_error(status, code, "words", {})) is kind


def test_only_candles_closed_by_the_exchange_s_clock_are_returned(exchange, markets):
    with RestSession() as session:
        before, open_now = session.fetch(
            [PageRequest("BTCUSDT", START - STEP, START + 9 * STEP), PageRequest("BTCUSDT", START, START + STEP)]
        )
    assert [row.open_time for row in before.rows] == [START - STEP]
    assert (open_now.rows, open_now.error) == ([], None)
