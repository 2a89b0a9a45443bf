"""Outcomes of predictions: exact, provisional first, final later, and verifiable."""

from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from marketdata import clock
from marketdata.models import AbsentStretch, Candle
from marketdata.process_state import process_state
from marketdata.storage import candles
from predictions import services
from predictions.live.coverage import CoverageCounts
from predictions.models import PredictionLog
from predictions.scoring.outcomes import score_predictions
from predictions.scoring.track_record import track_record
from tests.champions import BEGIN, STEP, at_close_of, candle_rows, make_markets, store_candles

NEWEST = BEGIN - STEP


@pytest.fixture
def predicted_markets(champions):
    """Predictions for the newest candle of both markets, and the candles of the next 80."""
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        for _ in services.predict({market: [NEWEST] for market in markets}):
            pass
    return markets


def score_at(open_ms, seconds=1.0):
    with clock.use(at_close_of(open_ms, seconds)):
        return score_predictions()


def test_an_outcome_is_provisional_when_its_horizon_closes_and_final_ten_minutes_later(predicted_markets):
    for market in predicted_markets:
        store_candles(market, BEGIN, 80)
    assert score_at(NEWEST + 5 * STEP).rows == 0
    assert score_at(NEWEST + 6 * STEP).rows == 2
    row = PredictionLog.objects.get(market=predicted_markets[0], horizon=6)
    after = Candle.objects.filter(market=predicted_markets[0], open_time__gte=BEGIN, open_time__lt=BEGIN + 6 * STEP)
    assert row.actual_high == max(candle.high for candle in after)
    assert row.actual_low == min(candle.low for candle in after)
    error = (abs(row.predicted_high - row.actual_high) + abs(row.predicted_low - row.actual_low)) / 2
    assert row.mae == (error / row.current_price * 100).quantize(Decimal("0.000001"))
    assert not row.outcome_final
    assert score_at(NEWEST + 6 * STEP).rows == 0
    assert score_at(NEWEST + 8 * STEP).final == 2
    assert PredictionLog.objects.get(pk=row.pk).outcome_final
    assert PredictionLog.objects.filter(actual_high__isnull=True).count() == 6


def test_an_outcome_waits_for_a_missing_candle_and_stays_empty_when_the_exchange_has_none(predicted_markets):
    for market in predicted_markets:
        store_candles(market, BEGIN, 80, leave_out=[BEGIN + 2 * STEP])
    assert score_at(BEGIN + 90 * STEP).rows == 0
    AbsentStretch.objects.create(market=predicted_markets[0], start=BEGIN + 2 * STEP, end=BEGIN + 3 * STEP, evidence={})
    store_candles(predicted_markets[1], BEGIN + 2 * STEP, 1)
    assert score_at(BEGIN + 90 * STEP).final == 8
    assert (
        PredictionLog.objects.filter(market=predicted_markets[0], actual_high__isnull=True, outcome_final=True).count()
        == 4
    )
    assert PredictionLog.objects.filter(market=predicted_markets[1], actual_high__isnull=False).count() == 4


def test_a_revised_candle_reopens_what_was_final(predicted_markets):
    for market in predicted_markets:
        store_candles(market, BEGIN, 80)
    assert score_at(BEGIN + 79 * STEP, seconds=700).final == 8
    row = candle_rows("BTCUSDT", BEGIN, 1)[0]
    with clock.use(at_close_of(BEGIN + 82 * STEP, seconds=700)):
        candles.save_candles(predicted_markets[0], [row._replace(high=row.high * 2)], Candle.Origin.REST)
        # The row's own stamp comes from the machine's clock, which is past the frozen one.
    with clock.use(clock.FrozenClock(clock.wall_ms() + 1000)):
        assert score_predictions().final == 4
    assert PredictionLog.objects.get(market=predicted_markets[0], horizon=6).actual_high == row.high * 2


def verify():
    out, err = StringIO(), StringIO()
    call_command("verify_track_record", stdout=out, stderr=err)
    return out.getvalue()


def test_the_track_record_is_verified_exactly_and_changed_rows_are_named(predicted_markets):
    for market in predicted_markets:
        store_candles(market, BEGIN, 80)
    score_at(BEGIN + 90 * STEP)
    assert "4 scores recomputed" in verify()
    row = PredictionLog.objects.get(market=predicted_markets[1], horizon=36)
    PredictionLog.objects.filter(pk=row.pk).update(mae=row.mae + Decimal("0.000001"))
    err = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("verify_track_record", stdout=StringIO(), stderr=err)
    assert caught.value.returncode == 1
    assert str(row.pk) in err.getvalue()
    PredictionLog.objects.filter(pk=row.pk).update(mae=row.mae)
    PredictionLog.objects.filter(pk=row.pk).delete()
    with pytest.raises(CommandError):
        call_command("verify_track_record", stdout=StringIO(), stderr=StringIO())


def test_the_track_record_compares_predictions_with_the_baseline(champions):
    markets = make_markets(count=4104 + 400)
    opens = [NEWEST - k * STEP for k in range(300)]
    with clock.use(at_close_of(NEWEST - 299 * STEP)):
        for _ in services.predict(dict.fromkeys(markets, opens)):
            pass
    score_at(NEWEST)
    with clock.use(at_close_of(NEWEST)):
        results = track_record(markets)
    assert len(results) == 8
    cell = next(one for one in results if one["symbol"] == "BTCUSDT" and one["horizon"] == 18)
    assert cell["n"] == cell["n_final"] + cell["n_provisional"] == 300 - 18
    assert cell["effective_n"] == 16
    assert cell["too_few"]
    assert cell["skill"]["ewm"] == pytest.approx(1 - cell["pinball_bps"] / cell["baselines"]["ewm"])
    assert [band["level"] for band in cell["coverage"]] == [0.5, 0.8, 0.9]
    below = [one["high_below"] for one in cell["calibration"]]
    assert below == sorted(below)
    assert cell["net"] == {"signals": 0, "mean_percent": None, "total_percent": None}
    rows = PredictionLog.objects.filter(market=markets[0], horizon=18, mae__isnull=False)
    assert cell["mae_percent"] == pytest.approx(float(sum(row.mae for row in rows)) / len(rows), abs=1e-5)


def test_coverage_is_that_known_when_the_prediction_was_made(champions):
    markets = make_markets(count=4104 + 100)
    with clock.use(at_close_of(NEWEST - 59 * STEP)):
        for _ in services.predict({markets[0]: [NEWEST - k * STEP for k in range(30, 60)]}):
            pass
        assert PredictionLog.objects.filter(horizon=6).first().coverage[0]["n"] == 0
    score_at(NEWEST)
    from predictions.live import coverage

    with clock.use(at_close_of(NEWEST)):
        coverage.refresh(markets)
        for _ in services.predict({markets[0]: [NEWEST]}):
            pass
    band = PredictionLog.objects.get(horizon=6, candle_time=clock.to_datetime(NEWEST)).coverage[2]
    rows = PredictionLog.objects.filter(horizon=6, actual_high__isnull=False)
    held = [Decimal(row.high_quantiles[0]) <= row.actual_high <= Decimal(row.high_quantiles[6]) for row in rows]
    assert band["n"] == len(held) == 30
    assert band["high"] == pytest.approx(sum(held) / 30, abs=1e-6)


def test_coverage_of_all_markets_is_read_in_one_statement(champions, django_assert_num_queries):
    from predictions.live import coverage

    markets = make_markets(count=4104 + 100)
    with clock.use(at_close_of(NEWEST - 59 * STEP)):
        opens = [NEWEST - k * STEP for k in range(30, 60)]
        for _ in services.predict(dict.fromkeys(markets, opens)):
            pass
    score_at(NEWEST)
    process_state.drop(CoverageCounts)
    with clock.use(at_close_of(NEWEST)):
        for _ in range(2):  # from the beginning, and what came since
            with django_assert_num_queries(1):
                coverage.refresh(markets)
            assert [coverage.coverage_of(market.id, 6)[0]["n"] for market in markets] == [30] * len(markets)
        once = [coverage.coverage_of(market.id, 6) for market in markets]
        process_state.drop(CoverageCounts)
        coverage.refresh(markets)
    assert [coverage.coverage_of(market.id, 6) for market in markets] == once
