"""Rows as texts: what the query selects, and a query that the database need not answer."""

import pytest

from marketdata.models import Market
from marketdata.storage.text_rows import TextColumns, json_of
from mlengine_project.http.json_codec import write_json

COLUMNS = TextColumns(Market, ("id", "symbol", "enabled", "live_since"))


@pytest.mark.django_db
def test_rows_follow_filter_order_and_limit():
    markets = [Market.objects.create(symbol=symbol, source="simulated") for symbol in ("A", "B", "C FROM D")]
    rows = COLUMNS.read(Market.objects.exclude(symbol="A").order_by("-symbol")[:2])
    assert rows == [(market.pk, market.symbol, True, None) for market in (markets[2], markets[1])]
    assert COLUMNS.read(Market.objects.filter(symbol=" FROM ")) == []


@pytest.mark.django_db
def test_impossible_condition_is_no_rows():
    assert COLUMNS.read(Market.objects.filter(pk__in=[])) == []


def test_json_of_an_object_is_in_key_order_and_compact():
    written = write_json(json_of('{"b": "€", "a": {"z": 1.50, "c": []}}'))
    assert written == '{"a":{"z":1.5,"c":[]},"b":"€"}'.encode()
