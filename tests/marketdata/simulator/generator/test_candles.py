"""Generated candles are deterministic, continuous, and have the statistics of a real market."""

import time
from itertools import pairwise

import numpy as np
import pytest

from indicators.candles import EPOCH_MONDAY_MS, WEEK_MS
from marketdata.intervals import INTERVAL_MS
from marketdata.simulator.generator.candle_path import partial_kline
from marketdata.simulator.generator.candles import FIRST_OPEN, CandleGenerator

START = 1_704_067_200_000  # 2024-01-01, a Monday
YEAR = 365 * 86_400_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "QZXUSDT")


@pytest.fixture(scope="module")
def source():
    return CandleGenerator(SYMBOLS, seed=3)


@pytest.fixture(scope="module")
def year(source):
    return {symbol: source.klines(symbol, START, START + YEAR) for symbol in SYMBOLS[:2]}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_candle_obeys_the_rules_of_candles(source, symbol):
    klines = source.klines(symbol, START - 3 * WEEK_MS, START + 3 * WEEK_MS)
    assert (np.diff(klines.open_time) == INTERVAL_MS).all()
    assert (klines.open[1:] == klines.close[:-1]).all()
    assert (klines.high >= np.maximum(klines.open, klines.close)).all()
    assert (klines.low <= np.minimum(klines.open, klines.close)).all()
    assert (klines.low > 0).all()
    assert (klines.taker_buy_base <= klines.volume).all()
    assert (klines.taker_buy_quote <= klines.quote_volume).all()
    assert ((klines.trades == 0) == (klines.volume == 0)).all()
    in_ticks = klines.high * 10 ** source.markets[symbol].price_digits
    assert np.allclose(in_ticks, np.round(in_ticks), atol=1e-4)


def test_a_candle_does_not_depend_on_earlier_requests():
    whole = CandleGenerator(SYMBOLS, seed=3).klines("ETHUSDT", START, START + 2 * WEEK_MS)
    generator = np.random.default_rng(5)
    for place in generator.integers(0, len(whole.open_time), size=20):
        fresh = CandleGenerator(("ETHUSDT",), seed=3)
        at = int(whole.open_time[place])
        assert fresh.klines("ETHUSDT", at, at + 1).rows() == [whole.rows()[place]]


def test_another_seed_gives_other_candles():
    first, second = (CandleGenerator(("BTCUSDT",), seed).klines("BTCUSDT", START, START + WEEK_MS) for seed in (1, 2))
    assert (first.close != second.close).mean() > 0.99


def test_consecutive_weeks_are_continuous(source):
    boundary = EPOCH_MONDAY_MS + 2800 * WEEK_MS
    before, after = source.klines("BTCUSDT", boundary - INTERVAL_MS, boundary + INTERVAL_MS).rows()
    assert before.close == after.open


def test_nothing_is_older_than_the_exchange(source):
    assert source.klines("BTCUSDT", 0, FIRST_OPEN + 1).open_time.tolist() == [FIRST_OPEN]
    assert len(source.klines("BTCUSDT", 0, FIRST_OPEN).open_time) == 0


def test_a_year_takes_less_than_two_seconds():
    began = time.process_time()
    klines = CandleGenerator(("BTCUSDT",), seed=9).klines("BTCUSDT", START, START + YEAR)
    assert len(klines.open_time) == YEAR // INTERVAL_MS
    assert time.process_time() - began < 2


def test_returns_have_the_statistics_of_a_market(year):
    returns = np.log(year["BTCUSDT"].close / year["BTCUSDT"].open)
    size = np.abs(returns)
    assert 0.0010 < returns.std() < 0.0025
    kurtosis = ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2
    assert kurtosis > 9  # 3 for a normal law; Bitcoin in 2024: 31
    assert abs(_autocorrelation(returns, 1)) < 0.03
    assert 0.2 < _autocorrelation(size, 1) < 0.5  # 0.34
    assert 0.15 < _autocorrelation(size, 12) < 0.35  # 0.23
    assert 0.05 < _autocorrelation(size, 288) < 0.25  # 0.12


def test_volatility_is_high_in_the_american_session_and_low_at_the_weekend(year):
    klines = year["BTCUSDT"]
    size = np.abs(np.log(klines.close / klines.open))
    hour = klines.open_time // 3_600_000 % 24
    day = (klines.open_time - EPOCH_MONDAY_MS) // 86_400_000 % 7
    assert size[hour == 14].mean() > 1.4 * size[hour == 5].mean()
    assert size[day == 5].mean() < 0.75 * size[day < 5].mean()


def test_volume_follows_the_range(year):
    klines = year["BTCUSDT"]
    spread, turnover = np.log(np.log(klines.high / klines.low)), np.log(klines.quote_volume)
    assert 0.6 < np.corrcoef(spread, turnover)[0, 1] < 0.9  # 0.78


def test_bitcoin_and_ether_move_together(year):
    returns = [np.log(klines.close / klines.open) for klines in year.values()]
    assert 0.65 < np.corrcoef(*returns)[0, 1] < 0.9  # 0.81


def test_prices_stay_near_their_level_for_ten_years(source):
    klines = source.klines("BTCUSDT", START, START + 10 * YEAR)
    assert 25_000 < klines.low.min() < 95_000 < klines.high.max() < 300_000


def test_an_open_candle_approaches_the_closed_one(source):
    for kline in source.klines("BTCUSDT", START, START + 40 * INTERVAL_MS).rows():
        seen = [partial_kline(kline, fraction, "BTCUSDT") for fraction in np.linspace(0, 1, 61)]
        assert seen[0].high == seen[0].low == seen[0].open == kline.open
        assert seen[-1] == kline
        for earlier, later in pairwise(seen):
            assert earlier.high <= later.high
            assert earlier.low >= later.low
            assert earlier.volume <= later.volume
            assert earlier.trades <= later.trades
            assert later.low <= later.close <= later.high
            assert later.taker_buy_base <= later.volume


def _autocorrelation(values, lag):
    return np.corrcoef(values[:-lag], values[lag:])[0, 1]
