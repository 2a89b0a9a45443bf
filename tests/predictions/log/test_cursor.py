"""Chunked reading closes its cursor, whatever ends it."""

import gc

import pytest
from django.db import connection, transaction

from marketdata.models import Market
from predictions.log.cursor import streamed_rows

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


def open_cursors():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE '_django_curs_%'")
        return cursor.fetchone()[0]


def read_and_fail():
    with transaction.atomic(), streamed_rows(Market.objects.all(), 2) as found:
        next(found)
        assert open_cursors() == 1
        raise ZeroDivisionError


def test_a_failed_read_does_not_abort_the_next_transaction():
    Market.objects.bulk_create(Market(symbol=f"COIN{number}USDT", source="simulated") for number in range(9))
    with pytest.raises(ZeroDivisionError) as kept:
        read_and_fail()
    with transaction.atomic():
        del kept  # its traceback holds the last reference to the rows
        gc.collect()
        assert open_cursors() == 0
        assert Market.objects.count() == 9
