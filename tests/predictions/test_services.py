"""Predictions: logged once, served from the cache, refused with reasons."""

import orjson
import pytest

from indicators.features import WARMUP
from marketdata import clock
from marketdata.errors import MarketDisabled
from marketdata.models import AbsentStretch, Candle, Market
from marketdata.storage import candles
from modelregistry import registry
from predictions import services
from predictions.errors import InvalidRequest, PredictionRefused
from predictions.live.cache import cache, read
from predictions.log import chain
from predictions.models import ChainHead, PredictionLog
from tests.champions import BEGIN, STEP, at_close_of, make_markets, reset_process_state, store_candles

NEWEST = BEGIN - STEP


def predict_newest(markets, opens=(NEWEST,)):
    rows = {}
    for _, written in services.predict({market: list(opens) for market in markets}):
        rows |= written
    return rows


def test_a_candle_gets_one_row_per_market_and_horizon(champions):
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        first = predict_newest(markets)
        again = predict_newest(markets)
    assert len(first) == 8
    assert {row.pk for row in first.values()} == {row.pk for row in again.values()}
    assert PredictionLog.objects.count() == 8
    row = PredictionLog.objects.get(market=markets[0], horizon=6)
    assert row.current_price == Candle.objects.get(market=markets[0], open_time=NEWEST).close
    assert row.predicted_low <= row.current_price <= row.predicted_high
    assert row.data_age_seconds == 1.0
    assert not row.late
    assert row.simulated


def test_warm_up_loads_new_champions_and_forecasts_once(champions, django_assert_num_queries):
    with clock.use(at_close_of(NEWEST)):
        assert services.warm_up({}) == {}, "no market is enabled"
        make_markets()
        known = services.warm_up({})
        assert known == {"simulated": registry.load_ensemble("simulated").digest}
        assert set(registry.loaded_versions()["simulated"]) == set(champions)
        with django_assert_num_queries(1):
            assert services.warm_up(known) == known, "only the markets are queried"
    assert not PredictionLog.objects.exists()


def test_the_chain_is_valid_and_detects_an_edited_row(champions):
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        predict_newest(markets, [NEWEST - 2 * STEP, NEWEST - STEP, NEWEST])
    rows = PredictionLog.objects.filter(market=markets[0]).order_by("chain_index")
    head = ChainHead.objects.get(market=markets[0], log="predictions")
    assert chain.check_chain(rows, chain.PREDICTION_COLUMNS, head) == 12
    PredictionLog.objects.filter(pk=rows[5].pk).update(predicted_high=rows[5].predicted_high + 1)
    with pytest.raises(chain.BrokenChain, match=str(rows[5].pk)):
        chain.check_chain(rows.all(), chain.PREDICTION_COLUMNS, head)


def test_the_newest_prediction_is_served_from_the_cache_under_its_plain_key(champions):
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        predict_newest(markets)
        key = f"prediction:BTCUSDT:18:{NEWEST // 1000}"
        kept = orjson.loads(read(key))
        PredictionLog.objects.all().delete()
        served = orjson.loads(services.latest_prediction("BTCUSDT", 18))
    assert kept.pop("market_id") == markets[0].pk
    assert served == kept
    assert served["horizon"] == 18
    assert served["actual_high"] is None
    assert [band["level"] for band in served["bands"]] == [0.5, 0.8, 0.9]


def test_without_the_cache_the_row_is_served_and_without_the_row_it_is_computed(champions):
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        made = services.latest_prediction("BTCUSDT", 6)
        assert PredictionLog.objects.count() == 4
        cache.clear()
        assert services.latest_prediction("BTCUSDT", 6) == made
        assert PredictionLog.objects.count() == 4
    assert markets[0].symbol == "BTCUSDT"


def test_a_cached_value_of_other_champions_or_another_market_is_a_miss(champions):
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        predict_newest(markets)
        key = f"prediction:BTCUSDT:6:{NEWEST // 1000}"
        cached = orjson.loads(read(key))
        for change in ({"model_versions": {"range_predictor": "x"}}, {"market_id": 10**6}):
            market_id = cached["market_id"]
            cache.set(
                key,
                orjson.dumps(
                    {**{k: v for k, v in cached.items() if k != "market_id"}, "market_id": market_id, **change}
                ),
            )
            assert services.cached_prediction("BTCUSDT", 6) is None
        assert orjson.loads(services.latest_prediction("BTCUSDT", 6))["id"] == cached["id"]


def refused(symbol="BTCUSDT", horizon=6):
    with pytest.raises(PredictionRefused) as caught:
        services.latest_prediction(symbol, horizon)
    return caught.value.reasons


def test_without_a_champion_valid_horizons_are_refused_and_others_invalid(db):
    make_markets()
    with clock.use(at_close_of(NEWEST)):
        assert refused() == ["NO_CHAMPION"]
        with pytest.raises(InvalidRequest) as caught:
            services.latest_prediction("BTCUSDT", 7)
    assert "horizon" in caught.value.details


def test_a_market_enabled_after_training_has_no_champion(champions):
    make_markets(symbols=("SOLUSDT",))
    with clock.use(at_close_of(NEWEST)), pytest.raises(PredictionRefused, match="market not in training set") as caught:
        services.latest_prediction("SOLUSDT", 6)
    assert caught.value.reasons == ["NO_CHAMPION"]


@pytest.mark.parametrize("request_refused", [
    lambda: services.latest_prediction("SOLUSDT", 6),
    lambda: services.touches("SOLUSDT", 6, ["100"]),
])  # fmt: skip
@pytest.mark.parametrize("count", [0, 5], ids=["without candles", "with old ones"])
def test_a_market_enabled_after_training_is_refused_for_that_reason_with_any_candles(champions, request_refused, count):
    (market,) = make_markets(symbols=("SOLUSDT",), count=count)
    assert Candle.objects.filter(market=market).count() == count
    late = clock.use(at_close_of(NEWEST, seconds=3600))
    with late, pytest.raises(PredictionRefused, match="market not in training set") as caught:
        request_refused()
    assert caught.value.reasons == ["NO_CHAMPION"]


def test_stale_short_and_broken_windows_are_refused(champions):
    markets = make_markets(count=WARMUP - 1)
    with clock.use(at_close_of(NEWEST)):
        assert refused() == ["WARMUP"]
    store_candles(markets[0], NEWEST - WARMUP * STEP, 1)
    with clock.use(at_close_of(NEWEST)):
        assert refused() == ["GAP_IN_WINDOW"]  # one candle is still missing after the older one
    with clock.use(at_close_of(NEWEST, seconds=316)):
        assert refused() == ["STALE_DATA"]


def test_an_absent_stretch_refuses_only_while_it_is_recent_or_long(champions):
    markets = make_markets()
    hole = NEWEST - 100 * STEP
    Candle.objects.filter(market=markets[0], open_time=hole).delete()
    with clock.use(at_close_of(NEWEST)):
        assert refused() == ["GAP_IN_WINDOW"]
        stretch = AbsentStretch.objects.create(market=markets[0], start=hole, end=hole + STEP, evidence={})
        services.latest_prediction("BTCUSDT", 6)
        start = NEWEST - 190 * STEP
        Candle.objects.filter(market=markets[0], open_time__gte=start, open_time__lt=hole).delete()
        stretch.delete()
        AbsentStretch.objects.create(market=markets[0], start=start, end=hole + STEP, evidence={})
        PredictionLog.objects.all().delete()
        cache.clear()
        assert refused() == ["GAP_IN_WINDOW"]


def test_an_old_model_is_expired(champions, settings):
    make_markets()
    settings.MODEL_MAX_AGE_DAYS = 1
    later = BEGIN + 3 * 288 * STEP
    for market in Market.objects.all():
        store_candles(market, BEGIN, 3 * 288)
    with clock.use(at_close_of(later - STEP)):
        assert refused() == ["MODEL_EXPIRED"]


def test_unknown_and_disabled_markets_raise_different_errors(champions):
    Market.objects.create(symbol="ADAUSDT", source="simulated", enabled=False)
    with pytest.raises(InvalidRequest):
        services.latest_prediction("NOPE", 6)
    with pytest.raises(MarketDisabled):
        services.latest_prediction("ADAUSDT", 6)


def test_a_late_candle_is_predicted_flagged_and_kept_out_of_the_cache(champions):
    markets = make_markets()
    with clock.use(at_close_of(NEWEST, seconds=400)):
        rows = predict_newest(markets)
    assert all(row.late for row in rows.values())
    assert cache.get(f"prediction:BTCUSDT:6:{NEWEST // 1000}") is None


def test_a_backlog_gives_the_same_numbers_as_one_candle_at_a_time(champions):
    markets = make_markets(count=WARMUP + 40)
    opens = [NEWEST - k * STEP for k in range(30)][::-1]
    with clock.use(at_close_of(NEWEST)):
        together = predict_newest(markets, opens)
        quantiles = {key: (row.high_quantiles, row.low_quantiles) for key, row in together.items()}
        PredictionLog.objects.all().delete()
        ChainHead.objects.all().delete()
        reset_process_state()
        for open_ms in opens[::7]:
            for key, row in predict_newest(markets, [open_ms]).items():
                assert quantiles[key] == (row.high_quantiles, row.low_quantiles)
    assert len(quantiles) == 30 * 8
    assert candles.newest_open(markets)[markets[0].pk] == NEWEST


def test_brackets_and_touches_use_the_newest_close(champions):
    markets = make_markets()
    with clock.use(at_close_of(NEWEST)):
        close = Candle.objects.get(market=markets[0], open_time=NEWEST).close
        bracket = services.brackets("BTCUSDT", "buy", 36, str(close * 101 / 100), float(close) * 0.99)
        assert bracket["p_take_profit"] + bracket["p_stop_loss"] + bracket["p_neither"] == pytest.approx(1)
        a, b = 0.01, 0.01
        gain = bracket["p_take_profit"] - bracket["p_break_even"]
        assert bracket["expected_net_return"] == pytest.approx(gain * (a + b), abs=1e-6)
        reached = services.touches("BTCUSDT", 36, [str(close), float(close) * 1.001, float(close) * 1.02])["results"]
        probabilities = [one["p_reached"] for one in reached]
        assert probabilities[0] == 1.0
        assert probabilities[1] > probabilities[2] > 0
        for bad in ({"side": "hold"}, {"take_profit": "x"}, {"stop_loss": float(close) * 1.1}, {"horizon": 5}):
            arguments = {
                "side": "buy",
                "horizon": 36,
                "take_profit": float(close) * 1.01,
                "stop_loss": float(close) * 0.9,
            }
            with pytest.raises(InvalidRequest) as caught:
                services.brackets("BTCUSDT", **(arguments | bad))
            assert set(caught.value.details) == set(bad)
