"""Conditional reads: 304 for an unchanged answer, another ETag after every change."""

import time
import uuid
from decimal import Decimal

import pytest

from marketdata.models import Candle
from mlengine_project.access import services
from modelregistry import registry
from modelregistry.models import ModelVersion
from predictions.models import PredictionLog
from signals.models import SignalLog
from tests.modelregistry import champions as tiny

JSON = {"content_type": "application/json"}
READS = (
    "/markets",
    "/candles?symbol=BTCUSDT&limit=5",
    "/signals",
    "/predictions?latest=true",
    "/models/status",
    "/models",
)


@pytest.fixture
def client(caller, engine, settings):
    settings.RATE_LIMIT = 0
    return caller("admin")


def etag_of(client, path):
    response = client.get(path)
    assert response.status_code == 200
    return response["ETag"]


@pytest.mark.parametrize("path", READS)
def test_unchanged_answer_is_304_without_content(client, path):
    first = client.get(path)
    assert first["Cache-Control"] == "private, no-cache"
    again = client.get(path, headers={"If-None-Match": f'"another", {first["ETag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert (again["ETag"], again["Cache-Control"]) == (first["ETag"], first["Cache-Control"])
    assert again["X-Request-ID"] != first["X-Request-ID"]
    other = client.get(path, headers={"If-None-Match": '"another"'})
    assert other.status_code == 200
    assert other.content[:20] == first.content[:20]


def test_cursors_of_an_unchanged_page_do_not_change_with_the_time(client):
    first = client.get("/candles?symbol=BTCUSDT&limit=5")
    assert first.json()["previous"]
    time.sleep(1.1)
    assert client.get("/candles?symbol=BTCUSDT&limit=5").content == first.content


def test_etag_changes_with_a_revision(client):
    before = etag_of(client, "/candles?symbol=BTCUSDT&limit=5")
    newest = Candle.objects.filter(market__symbol="BTCUSDT").order_by("-open_time").first()
    Candle.objects.filter(pk=newest.pk).update(volume=newest.volume + Decimal("0.00000001"))
    assert etag_of(client, "/candles?symbol=BTCUSDT&limit=5") != before


def test_etag_changes_with_an_outcome(client):
    row = SignalLog.objects.filter(symbol="BTCUSDT").get()
    paths = ("/signals", f"/signals/{row.pk}", "/predictions?latest=true")
    before = [etag_of(client, path) for path in paths]
    SignalLog.objects.filter(pk=row.pk).update(outcome="timeout", pnl_percent=Decimal("0.1"))
    PredictionLog.objects.filter(symbol="BTCUSDT", horizon=6).update(mae=Decimal("0.5"))
    assert all(etag_of(client, path) != old for path, old in zip(paths, before, strict=True))


def test_etag_changes_with_a_promotion_and_with_a_report(client, champions):
    paths = ("/models/status", "/models", f"/models/{champions['range_predictor'].pk}")
    before = [etag_of(client, path) for path in paths]
    assert [etag_of(client, path) for path in paths] == before
    registry.promote(tiny.candidate(seed=7, source="simulated"), "test", "another one")
    promoted = [etag_of(client, path) for path in paths]
    assert all(new != old for new, old in zip(promoted, before, strict=True))
    ModelVersion.objects.update(report={"skill": 0.5})
    assert all(etag_of(client, path) != old for path, old in zip(paths, promoted, strict=True))
    assert client.get("/models/status").json()["range_predictor"]["metrics"] == {"skill": 0.5}


def test_posts_errors_and_pages_have_no_etag(client, anonymous_client):
    answers = [
        client.post("/predictions", {"symbol": "BTCUSDT", "horizon": 6}, **JSON),
        client.get(f"/signals/{uuid.uuid4()}"),
        client.get("/signals?symbol=NOPE"),
        anonymous_client.get("/signals"),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 400, 401]
    assert not any("ETag" in answer for answer in answers)


def test_condition_is_met_only_with_a_valid_key(client, anonymous_client):
    etag = etag_of(client, "/signals")
    assert anonymous_client.get("/signals", headers={"If-None-Match": etag}).status_code == 401
    _, secret = services.create_key("another", "read")
    same = anonymous_client.get("/signals", headers={"If-None-Match": etag, "X-API-Key": secret})
    assert same.status_code == 304
