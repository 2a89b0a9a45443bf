"""Predictions read for lists have the bytes of their instances."""

import random
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest

from marketdata import clock
from marketdata.models import Market
from mlengine_project.access import services
from mlengine_project.http.json_codec import write_json
from predictions.models import PredictionLog
from predictions.payloads import LISTED, listed_object, prediction_object
from tests.champions import BEGIN

BAND = {"n": 288, "low": 0.7951388888888888, "high": None, "level": 0.5}


def prediction(random, market, number):
    """A prediction with values of every kind; the outcome is null in every third row."""
    instant = clock.to_datetime(BEGIN) + timedelta(microseconds=random.choice((0, 1, 120_000, 999_999)))
    quantiles = [f"{random.randrange(10**12) / 10**8:.8f}" for _ in range(7)]
    known = random.random() < 2 / 3
    return PredictionLog(
        market=market, symbol=market.symbol, horizon=random.choice((6, 18)), ensemble=f"{number:064}",
        candle_time=clock.to_datetime(BEGIN + number * 300_000), made_at=instant, valid_until=instant,
        model_versions={"range_predictor": str(uuid.uuid4()), "bracket": str(uuid.uuid4())},
        current_price=Decimal("64210.5"), predicted_high=Decimal("99999999999.99999999"),
        predicted_low=Decimal("0.00000001"), high_quantiles=quantiles, low_quantiles=sorted(quantiles),
        coverage=random.choice(([], [BAND, {**BAND, "level": 0.9, "high": 1.0, "low": 1e-17}])),
        data_age_seconds=random.choice((0.0, 1.001, 299.999)), degraded=random.random() < 0.5,
        reasons=random.choice(([], ["DRIFT", "STALE_DATA"])),
        reason_details=random.choice(({}, {"b": 'quoted "text"', "a": "Español €"})), simulated=random.random() < 0.5,
        chain_index=number, seal="", previous_seal="", actual_high=Decimal(number) if known else None,
        actual_low=Decimal(number) / 3 if known else None, mae=Decimal("0.123457") if known else None,
    )  # fmt: skip


@pytest.fixture
def predictions(db):
    """Predictions of every kind of value."""
    market = Market.objects.create(symbol="BTCUSDT", source="simulated")
    drawn = random.Random(7)
    return PredictionLog.objects.bulk_create([prediction(drawn, market, number) for number in range(1, 201)])


def test_listed_predictions_are_their_instances(predictions):
    rows = PredictionLog.objects.order_by("-candle_time")
    expected = write_json(list(map(prediction_object, rows)))
    assert write_json([listed_object(row) for row in LISTED.read(rows)]) == expected
    assert b'"mae":null' in expected
    assert b'"mae":0.123457' in expected


def test_page_of_predictions_has_the_rows_of_instances(predictions, client):
    headers, seen = {"X-API-Key": services.create_key("a reader", "read")[1]}, []
    link = "/predictions?limit=70"
    while link:
        page = client.get(link, headers=headers).json()
        seen += page["results"]
        link = page["next"]
    assert seen == [prediction_object(row) for row in PredictionLog.objects.order_by("-candle_time")]
