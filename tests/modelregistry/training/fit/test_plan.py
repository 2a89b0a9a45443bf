"""Markets with too little history are excluded from training by name."""

from decimal import Decimal
from io import StringIO

import numpy as np
import pytest
from django.core.management import call_command

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.features import WARMUP
from marketdata import services as markets
from marketdata.exchange.parsing import CandleRow
from marketdata.storage import candles
from modelregistry import services
from modelregistry.errors import TrainingError
from modelregistry.training.fit.plan import excluded_markets, least_candles, ordinary_candles
from tests.modelregistry import invented

HORIZONS = (6, 72)
NEEDED = least_candles(HORIZONS)
FULL = ordinary_candles(HORIZONS)


def history(*lengths, flat=()):
    """Markets with their last `lengths` candles; those in `flat` never move."""
    n = max(lengths)
    columns = {name: np.full((len(lengths), n), np.nan) for name in CANDLE_COLUMNS}
    for market, length in enumerate(lengths):
        for name in CANDLE_COLUMNS:
            columns[name][market, n - length :] = 100.0
        if market not in flat:
            columns["high"][market, n - length :] = 101.0
    return CandleGrid(1_704_067_200_000 + 300_000 * np.arange(n, dtype=np.int64), **columns)


def test_a_market_below_the_smallest_plan_is_reported_with_a_date():
    grid = history(FULL, FULL, 300)
    (short,) = excluded_markets(grid, ("BTCUSDT", "ETHUSDT", "NEWUSDT"), HORIZONS)
    assert (short.symbol, short.candles, short.needed) == ("NEWUSDT", 300, FULL)
    assert short.enough_at_ms == int(grid.open_time[-1]) + 300_000 * (1 + FULL - 300)
    assert short.as_sentence().startswith("NEWUSDT is excluded: its price moved in 300 candles, 47,376 are needed; it")


def test_a_market_that_would_reduce_the_plan_of_others_is_left_out():
    symbols = ("BTCUSDT", "NEWUSDT")
    assert [one.symbol for one in excluded_markets(history(60_000, 28_800), symbols, HORIZONS)] == ["NEWUSDT"]
    assert excluded_markets(history(60_000, 28_800), symbols, HORIZONS, small=True) == []
    assert excluded_markets(history(28_800, NEEDED), symbols, HORIZONS) == [], (
        "no market has the history of a full plan"
    )
    assert excluded_markets(history(60_000, FULL), symbols, HORIZONS) == []


def test_a_market_without_candles_is_not_said_to_move_little():
    grid = history(60_000, 60_000)
    for name in CANDLE_COLUMNS:
        getattr(grid, name)[1] = np.nan
    (empty,) = excluded_markets(grid, ("BTCUSDT", "NEWUSDT"), HORIZONS)
    assert (empty.candles, empty.stored) == (0, 0)
    assert empty.as_sentence() == f"NEWUSDT is excluded: no candle of the period is stored, {FULL:,} are needed"


def test_a_market_that_never_moves_is_left_out_without_a_date():
    (flat,) = excluded_markets(history(60_000, 60_000, flat=(1,)), ("BTCUSDT", "FLATUSDT"), HORIZONS)
    assert (flat.symbol, flat.candles, flat.enough_at_ms) == ("FLATUSDT", 0, None)
    assert flat.as_sentence().endswith("are needed, and it hardly moves")


def stored(symbol, count, *, flat=False, total=WARMUP + 21 * 288):
    """A market with the last `count` of `total` synthetic candles."""
    (market,) = markets.seed_markets([symbol], "simulated")
    grid = invented.grid(total, seed=3).tail(count)
    names = ("close",) * 4 if flat else ("open", "high", "low", "close")
    columns = [np.full(count, 100.0) if flat else getattr(grid, name)[0] for name in names]
    rows = [
        CandleRow(int(at), *(Decimal(f"{price:.8f}") for price in prices), Decimal(1), None, None, None, None)
        for at, *prices in zip(grid.open_time, *columns, strict=True)
    ]
    candles.save_candles(market, rows, "import")


@pytest.mark.django_db
def test_other_markets_are_trained_and_the_version_lists_the_excluded():
    stored("AUSDT", WARMUP + 21 * 288)
    stored("NEWUSDT", 300)
    stored("FLATUSDT", WARMUP + 21 * 288, flat=True)
    markets.seed_markets(["NONEUSDT"], "simulated")
    output = StringIO()
    call_command(
        "train_models", "--kinds", "signal_classifier", "--source", "simulated", stdout=output, stderr=StringIO()
    )
    (version,) = services.ModelVersion.objects.all()
    assert version.symbols == ["AUSDT"]
    assert [one["symbol"] for one in version.report["left_out"]] == ["FLATUSDT", "NEWUSDT", "NONEUSDT"]
    assert "NEWUSDT is excluded: its price moved in 300 candles, 8,496 are needed; it will have them on 20" in (
        output.getvalue()
    )
    assert "FLATUSDT is excluded" in output.getvalue()


@pytest.mark.django_db
def test_without_a_trainable_market_each_is_named():
    stored("AUSDT", 400)
    stored("BUSDT", 300)
    with pytest.raises(TrainingError, match=r"AUSDT is excluded.* 400 candles.*; BUSDT is excluded.* 300 candles"):
        services.train(["signal_classifier"], source="simulated")


@pytest.mark.django_db
def test_a_period_without_candles_is_an_error_message():
    stored("AUSDT", 300)
    first = int(invented.grid(WARMUP + 21 * 288, seed=3).tail(300).open_time[0])
    for until_ms in (first, first - 86_400_000):
        with pytest.raises(TrainingError, match="the period holds no stored candle: it would begin at 20"):
            services.train(["signal_classifier"], source="simulated", until_ms=until_ms)
    with pytest.raises(TrainingError, match="--from must be before --until"):
        services.train(["signal_classifier"], source="simulated", from_ms=first + 600_000, until_ms=first + 300_000)
    with pytest.raises(TrainingError, match="the period holds no stored candle"):
        services.train(["signal_classifier"], source="simulated", from_ms=first + 86_400_000 * 365)
