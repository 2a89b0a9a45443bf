"""Degraded predictions from the champion to the metrics: marked, signal held, counted."""

from dataclasses import replace

import numpy as np
import orjson
import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from indicators.features import WARMUP
from marketdata import clock
from mlengine_project.access.services import create_key
from mlengine_project.console.dashboard import with_state
from mlengine_project.operations.monitoring import health
from mlengine_project.operations.monitoring.metrics import exposition
from modelregistry.estimators.online.guard import Guard
from predictions import services as predictions
from predictions.models import PredictionLog
from predictions.reasons import REASON_TEXTS, SUPPRESSED_FLAG_TEXT
from signals import services
from signals.models import SignalLog
from tests import champions as live
from tests.champions import BEGIN, STEP, at_close_of, bootstrap_champions, make_markets

NEWEST = BEGIN - STEP

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_exchange(monkeypatch):
    monkeypatch.setattr("signals.services.marketdata.sync_candles", lambda markets, frames=(): None)


def out_of_distribution(fitted):
    """Every row is out of distribution."""
    return replace(fitted, novelty=replace(fitted.novelty, limit=-1.0))


def guarded(fitted):
    """The same, with a guard that suppresses a measure flagging every candle of a day."""
    measure = out_of_distribution(fitted).novelty
    return replace(fitted, novelty=replace(measure, guard=Guard(candles=288, share=0.3)))


def slowly_guarded(fitted):
    """The same, with a guard over a month."""
    measure = out_of_distribution(fitted).novelty
    return replace(fitted, novelty=replace(measure, guard=Guard(candles=30 * 288, share=0.3)))


def narrow(fitted):
    """Every interval is too wide."""
    return replace(fitted, widest=np.full(len(fitted.horizons), 1e-9))


def contradicting(_):
    """Its quantiles contradict the bracket probabilities."""
    return live.plain("range_predictor")


CASES = [
    ([out_of_distribution], ["OUT_OF_DISTRIBUTION"]),
    ([narrow], ["INTERVAL_TOO_WIDE"]),
    ([contradicting], ["MODELS_DISAGREE"]),
    ([contradicting, out_of_distribution, narrow], ["OUT_OF_DISTRIBUTION", "MODELS_DISAGREE", "INTERVAL_TOO_WIDE"]),
]


def counted(name, label="reason"):
    families = text_string_to_metric_families(exposition().decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {sample.labels[label]: sample.value for sample in samples}


def replace_range_predictor(monkeypatch, *bends):
    """Promote a range predictor that differs from the standard one."""

    def bent(kind, seed=0):
        fitted = plain(kind, seed)
        for one in bends if kind == "range_predictor" else ():
            fitted = one(fitted)
        return fitted

    plain = live.consistent_estimator
    monkeypatch.setattr(live, "consistent_estimator", bent)
    bootstrap_champions()


@pytest.mark.parametrize(("bends", "reasons"), CASES, ids=lambda value: value[0] if isinstance(value[0], str) else "")
def test_degraded_prediction_is_marked_holds_the_signal_and_is_counted(bends, reasons, monkeypatch):
    replace_range_predictor(monkeypatch, *bends)
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        services.advance()
        answer = orjson.loads(predictions.latest_prediction("BTCUSDT", 18))
        assert (answer["degraded"], answer["reasons"]) == (True, reasons)
        assert answer["reason_details"] == {code: REASON_TEXTS[code] for code in reasons}
        assert float(answer["predicted_low"]) < float(answer["predicted_high"])
        rows = PredictionLog.objects.all()
        assert {(row.degraded, *row.reasons) for row in rows} == {(True, *reasons)}
        hold = SignalLog.objects.get(symbol="BTCUSDT")
        assert (hold.signal_type, hold.reasons) == ("hold", reasons)
        assert hold.take_profit is None
        assert hold.p_take_profit is None
        assert counted("ml_degraded_predictions_last_hour") == dict.fromkeys(reasons, len(rows))
        assert counted("ml_signal_holds_last_hour") == {reasons[0]: len(markets)}
        assert with_state(None, {})["refusals"] == [(REASON_TEXTS[reasons[0]], len(markets))]


def test_guard_suppresses_a_measure_that_flags_everything_and_reports_it(monkeypatch):
    replace_range_predictor(monkeypatch, guarded)
    markets = make_markets(WARMUP + 288 + 50)
    with clock.use(at_close_of(NEWEST)):
        services.advance()
        answer = orjson.loads(predictions.latest_prediction("BTCUSDT", 18))
        assert (answer["degraded"], answer["reasons"]) == (False, [])
        assert answer["reason_details"] == {"OUT_OF_DISTRIBUTION": SUPPRESSED_FLAG_TEXT}
        rows = PredictionLog.objects.count()
        assert SignalLog.objects.get(symbol="BTCUSDT").reasons == ["NO_EDGE_AFTER_FEES"]
        assert counted("ml_degraded_predictions_last_hour") == {}
        each = rows // len(markets)
        name = "ml_unbelieved_out_of_distribution_last_hour"
        assert counted(name, "symbol") == {"BTCUSDT": each, "ETHUSDT": each}
        part = health.detailed()["predictions"]
        assert (part["status"], part["detector_distrusted"]) == ("degraded", ["BTCUSDT", "ETHUSDT"])
        assert "flags are suppressed: BTCUSDT, ETHUSDT" in part["message"]


def test_guard_does_not_suppress_a_measure_with_too_little_history(monkeypatch):
    replace_range_predictor(monkeypatch, slowly_guarded)
    make_markets(WARMUP)
    with clock.use(at_close_of(NEWEST)):
        services.advance()
        assert {tuple(row.reasons) for row in PredictionLog.objects.all()} == {("OUT_OF_DISTRIBUTION",)}
        assert health.detailed()["predictions"]["status"] == "healthy"
        assert counted("ml_unbelieved_out_of_distribution_last_hour", "symbol") == {}


def test_expired_model_holds_the_signal_and_is_counted(settings):
    settings.MODEL_MAX_AGE_DAYS = 1
    settings.ALLOWED_HOSTS = ["testserver"]
    _, secret = create_key("a caller", "predict")
    bootstrap_champions()
    markets = make_markets()
    later = BEGIN + 2 * 288 * STEP
    for market in markets:
        live.store_candles(market, BEGIN, 2 * 288)
    with clock.use(at_close_of(later - STEP)):
        services.advance()
        hold = SignalLog.objects.filter(symbol="BTCUSDT").latest("seq")
        assert (hold.signal_type, hold.reasons, hold.p_take_profit) == ("hold", ["MODEL_EXPIRED"], None)
        assert not PredictionLog.objects.exists()
        assert counted("ml_signal_holds_last_hour") == {"MODEL_EXPIRED": len(markets)}
        before = counted("ml_refusals_total").get("MODEL_EXPIRED", 0)
        body, key = {"symbol": "BTCUSDT", "horizon": 18}, {"X-API-Key": secret}
        refused = Client().post("/predictions", body, "application/json", headers=key)
        assert (refused.status_code, refused.json()["reasons"]) == (503, ["MODEL_EXPIRED"])
        assert counted("ml_refusals_total")["MODEL_EXPIRED"] == before + 1
