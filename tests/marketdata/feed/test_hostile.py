"""One of each invalid form against the real feed; `python -m tests.hostile` sends ten thousand."""

import pytest
from django.db import connection

from tests.hostile.exchange import HostileExchange
from tests.hostile.run import run
from tests.marketdata.conftest import START


@pytest.mark.django_db(transaction=True)
def test_no_invalid_form_is_stored_stops_the_feed_or_is_lost(settings):
    with HostileExchange(START) as exchange:
        settings.BINANCE_API_URL = f"http://127.0.0.1:{exchange.port}"
        settings.BINANCE_STREAM_URL = f"ws://127.0.0.1:{exchange.port}"
        summary, by_form = run(exchange, 1, seed=2)
    connection.close()
    assert summary["generated"] == summary["forms"] == len(by_form) > 100
    assert all(one["quarantined"] >= 1 for one in by_form.values()), by_form
    named = {name: summary[name] for name in ("unaccounted", "without_reason", "stored", "stopped")}
    assert not any(named.values()), (summary, by_form)
    assert summary["right_candles_lost"] == 0
    assert summary["right_candles"] > 100
