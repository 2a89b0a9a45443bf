from decimal import Decimal

import pytest
from django.db import connection

from marketdata import admin_pages
from marketdata.admin_pages import NewestRows, estimated_rows
from marketdata.exchange.parsing import CandleRow
from marketdata.models import Candle, Market
from marketdata.storage import candles


@pytest.fixture
def rows(db):
    market = Market.objects.create(symbol="BTCUSDT", source="simulated")
    candle = CandleRow(0, *(Decimal(10),) * 4, Decimal(1), None, None, None, None)
    candles.save_candles(market, [candle._replace(open_time=at * 300_000) for at in range(120)], Candle.Origin.IMPORT)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE candles")


def test_the_size_of_a_table_is_that_of_the_statistics(rows, settings):
    assert estimated_rows("candles") == (120 if connection.vendor == "postgresql" else 0)


def test_a_list_longer_than_its_pages_names_the_size_of_the_table(rows, admin_client, settings, monkeypatch):
    settings.ALLOWED_HOSTS = ["testserver"]
    assert "of about" not in admin_client.get("/admin/marketdata/candle/").content.decode()
    monkeypatch.setattr(NewestRows, "count", 100)
    monkeypatch.setattr(admin_pages, "estimated_rows", lambda _table: 120)
    assert "The newest 100 of about 120 rows." in admin_client.get("/admin/marketdata/candle/").content.decode()
    assert len(admin_client.get("/admin/marketdata/candle/?p=2").context["cl"].result_list) == 50
    assert admin_client.get("/admin/marketdata/candle/?p=3").status_code == 302, "older rows are found by search"
