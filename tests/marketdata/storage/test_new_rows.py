"""New rows and lists of values reach the database as Django itself would write them."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection

from marketdata.models import Market
from marketdata.storage import new_rows
from marketdata.storage.value_lists import among, table_of
from predictions.models import PredictionLog

HOSTILE = ["", "\\N", "a\tb\nc\rd", "\\.", 'quote" and \\ and {brace},', "日本 ü", "NULL", "%s"]
AT = datetime(2025, 1, 1, 0, 5, 0, 1000, UTC)


def row(market, place, text):
    return PredictionLog(
        id=UUID(int=place), market_id=market.pk, symbol="BTCUSDT", horizon=place, candle_time=AT, ensemble="e",
        model_versions={"kind": text}, made_at=AT, valid_until=AT, late=bool(place % 2),
        current_price=Decimal("0.00000001"), predicted_high=Decimal("123456789012.12345678"),
        predicted_low=Decimal("1E+3"), high_quantiles=["1.5", text], low_quantiles=[],
        coverage=[{"level": 0.1, "high": None, "n": 10**6}], data_age_seconds=1e-7, degraded=False, reasons=[text],
        reason_details={text: text}, chain_index=place, seal="s", previous_seal="p",
    )  # fmt: skip


def stored():
    names = [field.attname for field in PredictionLog._meta.concrete_fields if field.attname != "created_at"]
    return list(PredictionLog.objects.order_by("horizon").values_list(*names))


def test_rows_are_stored_as_by_django(db):
    market = Market.objects.create(symbol="BTCUSDT", source="simulated")
    rows = [row(market, place, text) for place, text in enumerate(HOSTILE)]
    PredictionLog.objects.bulk_create(rows)
    expected = stored()
    PredictionLog.objects.all().delete()
    new_rows.insert(rows)
    new_rows.insert([])
    assert stored() == expected
    assert all(found.created_at is not None for found in PredictionLog.objects.all())


def test_a_refused_row_is_an_error_of_django(db):
    from django.db import IntegrityError, transaction

    market = Market.objects.create(symbol="BTCUSDT", source="simulated")
    with pytest.raises(IntegrityError), transaction.atomic():
        new_rows.insert([row(market, 1, "a"), row(market, 1, "a")])
    assert not PredictionLog.objects.exists()


def test_lists_of_values_are_read_unchanged(db):
    table, parameters = table_of("t", ("text", HOSTILE), ("bigint", [2**60 + k for k in range(len(HOSTILE))]))
    condition, wanted = among("column1", "text", HOSTILE[2:4])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT column1, column2 FROM {table} ORDER BY column2", parameters)
        assert cursor.fetchall() == [(text, 2**60 + k) for k, text in enumerate(HOSTILE)]
        cursor.execute(f"SELECT column1 FROM {table} WHERE {condition} ORDER BY column2", [*parameters, *wanted])
        assert cursor.fetchall() == [(text,) for text in HOSTILE[2:4]]
