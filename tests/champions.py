"""Champions and candles for tests of the live path, made once per session.

Import the fixtures in a conftest: ``from tests.champions import artifact_folder, champions, fresh_engine``.
"""

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache, partial

import numpy as np
import pytest
from scipy.stats import norm

from indicators.features import WARMUP
from marketdata import clock
from marketdata.exchange.parsing import CandleRow
from marketdata.exchange.rate_limit import LocalBan
from marketdata.models import Candle, Market
from marketdata.process_state import process_state
from marketdata.services import CheckedUntil
from marketdata.simulator.generator.candles import CandleGenerator
from marketdata.storage import candles
from modelregistry.estimators.forecast import LEVELS
from modelregistry.registry.serving import LoadedVersions
from predictions.forecasting.bracket_queries import RecentBatches
from predictions.live.coverage import CoverageCounts
from predictions.live.windows import WindowsBySource
from predictions.requests import EnabledMarkets
from signals.backlog import Sweep
from signals.delivery.hub import hub
from tests.candle_copies import store_once
from tests.modelregistry import champions as tiny

STEP = 300_000
BEGIN = 1_735_689_600_000
"""2025-01-01: the first candle after the history."""
SYMBOLS = ("BTCUSDT", "ETHUSDT")

plain = tiny.estimator
_invention = CandleGenerator((*SYMBOLS, "SOLUSDT"), seed=3)


def reset_process_state():
    """Drop the state of this process, as in a new one."""
    process_state.of(LoadedVersions).serving.clear()
    process_state.of(LoadedVersions).estimators.clear()  # another test may have installed other features
    process_state.drop(EnabledMarkets)
    process_state.drop(CoverageCounts)
    process_state.drop(Sweep)
    process_state.drop(RecentBatches)
    process_state.drop(WindowsBySource)
    clock.clear_cached_reading()
    process_state.drop(LocalBan)
    process_state.drop(CheckedUntil)
    hub.stop()


@pytest.fixture(scope="session")
def artifact_folder(tmp_path_factory):
    """A folder of artifacts shared by the session, so that each is verified once."""
    return tmp_path_factory.mktemp("champions") / "models"


@pytest.fixture
def fresh_engine(settings, artifact_folder):
    """The state of a new process, before and after."""
    from predictions.live.cache import cache

    settings.MODEL_PATH = artifact_folder
    reset_process_state()
    cache.clear()
    yield
    reset_process_state()


def consistent_estimator(kind, seed=0):
    """A small estimator whose ranges match its brackets, so that the models agree."""
    fitted = plain(kind, seed)
    if kind != "range_predictor":
        return fitted
    level = norm.ppf((1 + np.array(LEVELS)) / 2) / np.sqrt(8 / np.pi)
    base = np.broadcast_to(level, fitted.residuals.base.shape).copy()
    return replace(fitted, residuals=replace(fitted.residuals, base=base))


def bootstrap_champions(symbols=SYMBOLS, source="simulated"):
    """Bootstrap a champion of every kind, trained until 2025-01-01."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "estimator", consistent_estimator)
        found = tiny.bootstrap_all(source=source, symbols=symbols)
    process_state.of(LoadedVersions).serving.clear()
    return found


@pytest.fixture
def champions(db, fresh_engine):
    """A champion of every kind for simulated markets, by kind."""
    return bootstrap_champions()


@lru_cache(maxsize=64)
def candle_rows(symbol, from_ms, count):
    """Synthetic candles in the form of the parsers, cached for all tests."""
    klines = _invention.klines(symbol, from_ms, from_ms + count * STEP)
    return [
        CandleRow(kline.open_time, *(Decimal(f"{value:.8f}") for value in kline[1:7]), kline.trades,
                  *(Decimal(f"{value:.8f}") for value in kline[8:10]))
        for kline in klines.rows()
    ]  # fmt: skip


def store_candles(market, from_ms, count, leave_out=()):
    """Store `count` synthetic candles of a market."""
    rows = [row for row in candle_rows(market.symbol, from_ms, count) if row.open_time not in set(leave_out)]
    candles.save_all({market: rows}, Candle.Origin.IMPORT)


def make_markets(count=WARMUP + 50, until=BEGIN, symbols=SYMBOLS):
    """Enabled simulated markets with `count` candles of history before `until`."""
    markets = [Market.objects.create(symbol=symbol, source="simulated") for symbol in symbols]
    for market in markets:
        begin = until - count * STEP
        store_once(market, (begin, count), partial(store_candles, market, begin, count))
    return markets


def at_close_of(open_ms, seconds=1.0):
    """A frozen clock some seconds after the close of a candle."""
    return clock.FrozenClock(open_ms + STEP + round(seconds * 1000))
