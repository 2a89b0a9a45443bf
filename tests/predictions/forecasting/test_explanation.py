"""What drove a logged forecast: computed again by the version that made it."""

import math

from marketdata import clock
from marketdata.models import Candle
from predictions import services
from predictions.forecasting.explanation import SHOWN, explain
from predictions.models import PredictionLog
from tests.champions import BEGIN, STEP, at_close_of, make_markets, reset_process_state

NEWEST = BEGIN - STEP


def logged(horizon=18):
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        for _ in services.predict({markets[0]: [NEWEST]}):
            pass
    return PredictionLog.objects.get(market=markets[0], horizon=horizon)


def test_the_largest_contributions_come_first_and_the_rest_is_summed(champions):
    found = explain(logged())
    effects = [abs(math.log1p(part.effect)) for part in found.contributions]
    assert len(effects) == SHOWN
    assert effects == sorted(effects, reverse=True)
    assert effects[0] > 0
    assert found.other_count > 0


def test_an_explanation_does_not_change_with_later_candles(champions):
    prediction = logged()
    before = explain(prediction)
    Candle.objects.filter(market=prediction.market, open_time=NEWEST).update(open_time=NEWEST + STEP)
    assert explain(prediction) is None, "the candle it was made from is not there"
    Candle.objects.filter(market=prediction.market, open_time=NEWEST + STEP).update(open_time=NEWEST)
    assert explain(prediction) == before


def test_a_version_without_files_explains_nothing(champions, settings, tmp_path):
    prediction = logged()
    settings.MODEL_PATH = tmp_path
    reset_process_state()
    assert explain(prediction) is None


def test_a_forecast_of_an_unknown_version_explains_nothing(champions):
    prediction = logged()
    prediction.model_versions = {"range_predictor": "a name"}
    assert explain(prediction) is None
    prediction.model_versions = {}
    assert explain(prediction) is None
