"""Doubts from the champion to the metrics: an answer that is given is marked, the signal holds, and it is counted."""

from dataclasses import replace

import numpy as np
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from marketdata import clock
from mlengine_project.console.dashboard import with_state
from mlengine_project.operations.metrics import exposition
from predictions import services as predictions
from predictions.models import PredictionLog
from predictions.reasons import WORDS
from signals import services
from signals.models import SignalLog
from tests import champions as live
from tests.champions import BEGIN, STEP, at_close_of, crown, make_markets

NEWEST = BEGIN - STEP

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_exchange(monkeypatch):
    monkeypatch.setattr("signals.services.marketdata.sync_candles", lambda markets, frames=(): None)


def strange(fitted):
    """Its measure of distance calls every row unlike the training set."""
    return replace(fitted, novelty=replace(fitted.novelty, limit=-1.0))


def narrow(fitted):
    """Any interval is wider than it ever had reason to say."""
    return replace(fitted, widest=np.full(len(fitted.horizons), 1e-9))


def contrary(_):
    """Its quantiles are not those of the walk the brackets come from."""
    return live.plain("range_predictor")


CASES = [
    ([strange], ["OUT_OF_DISTRIBUTION"]),
    ([narrow], ["INTERVAL_TOO_WIDE"]),
    ([contrary], ["MODELS_DISAGREE"]),
    ([contrary, strange, narrow], ["OUT_OF_DISTRIBUTION", "MODELS_DISAGREE", "INTERVAL_TOO_WIDE"]),
]


def counted(name):
    families = text_string_to_metric_families(exposition().decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {sample.labels["reason"]: sample.value for sample in samples}


@pytest.mark.parametrize(("bends", "reasons"), CASES, ids=lambda value: value[0] if isinstance(value[0], str) else "")
def test_a_doubt_marks_the_answer_holds_the_signal_and_is_counted(bends, reasons, monkeypatch):
    def bent(kind, seed=0):
        fitted = plain(kind, seed)
        for bend in bends if kind == "range_predictor" else ():
            fitted = bend(fitted)
        return fitted

    plain = live.agreeing
    monkeypatch.setattr(live, "agreeing", bent)
    crown()
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        services.advance()
        answer = orjson.loads(predictions.latest_prediction("BTCUSDT", 18))
        assert (answer["degraded"], answer["reasons"]) == (True, reasons)
        assert answer["reason_details"] == {code: WORDS[code] for code in reasons}
        assert float(answer["predicted_low"]) < float(answer["predicted_high"])
        rows = PredictionLog.objects.all()
        assert {(row.degraded, *row.reasons) for row in rows} == {(True, *reasons)}
        hold = SignalLog.objects.get(symbol="BTCUSDT")
        assert (hold.signal_type, hold.reasons) == ("hold", reasons)
        assert hold.take_profit is None
        assert hold.p_take_profit is None
        assert counted("ml_degraded_predictions_last_hour") == dict.fromkeys(reasons, len(rows))
        assert counted("ml_signal_holds_last_hour") == {reasons[0]: len(markets)}
        assert with_state(None, {})["refusals"] == [(WORDS[reasons[0]], len(markets))]
