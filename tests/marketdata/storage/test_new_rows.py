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
STORED = [field.attname for field in PredictionLog._meta.concrete_fields if field.attname != "created_at"]
LEFT_OUT = {"created_at", "actual_high", "actual_low", "mae", "outcome_final", "outcome_at"}
"""Columns that the template fills in."""


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
    return list(PredictionLog.objects.order_by("horizon").values_list(*STORED))


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


def test_a_row_of_a_template_is_that_of_the_constructor(db):
    market = Market.objects.create(symbol="BTCUSDT", source="simulated")
    expected = row(market, 1, "a")
    given = {name: value for name, value in vars(expected).items() if name != "_state" and name not in LEFT_OUT}
    made = new_rows.Template(PredictionLog).row(given)
    assert {name: vars(made)[name] for name in vars(expected) if name not in ("_state", "created_at")} == {
        name: value for name, value in vars(expected).items() if name not in ("_state", "created_at")
    }
    made.save()
    assert stored() == [tuple(getattr(expected, name) for name in STORED)]


def test_defaults_that_are_functions_are_not_shared_by_rows(db):
    made = new_rows.Template(PredictionLog).row({})
    assert not {"id", "coverage", "reasons", "reason_details"} & set(vars(made))


def test_many_rows_are_made_while_they_are_stored(db):
    market = Market.objects.create(symbol="BTCUSDT", source="simulated")
    count = 2 * new_rows.CHUNK + 1
    new_rows.insert(row(market, place, "a") for place in range(count))
    assert PredictionLog.objects.count() == count


def test_an_error_while_rows_are_made_stores_none(db):
    from django.db import transaction

    market = Market.objects.create(symbol="BTCUSDT", source="simulated")

    def rows():
        yield from (row(market, place, "a") for place in range(new_rows.CHUNK + 1))
        raise ArithmeticError("the next row cannot be made")

    with pytest.raises(ArithmeticError), transaction.atomic():
        new_rows.insert(rows())
    assert not PredictionLog.objects.exists()
