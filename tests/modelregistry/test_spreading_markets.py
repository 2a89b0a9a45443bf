"""Rows built market by market, by whoever comes: those of one process, byte for byte."""

from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from indicators.candles import CANDLE_COLUMNS
from indicators.features import WARMUP
from marketdata import clock
from modelregistry import spreading
from modelregistry.errors import TrainingError
from modelregistry.models import TrainingPart
from modelregistry.training import part_files
from modelregistry.training.dataset import COLUMNS, MarketCandles, build_dataset, interleave
from modelregistry.training.parts import build_here
from tests.modelregistry import invented

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
HORIZONS = (6, 18)
STRIDE = 3


@pytest.fixture(scope="module")
def grid():
    """Three markets: one whole, one that misses a day, one that began late."""
    made = invented.grid(WARMUP + 900, markets=3, seed=9)
    for name in CANDLE_COLUMNS:
        getattr(made, name)[1, WARMUP + 300 : WARMUP + 588] = np.nan
        getattr(made, name)[2, :500] = np.nan
    return made


@pytest.fixture(scope="module")
def markets(grid):
    return [MarketCandles(symbol, grid.select(code), HORIZONS, STRIDE) for code, symbol in enumerate(SYMBOLS)]


@pytest.fixture(scope="module")
def whole(grid):
    return build_dataset(grid, SYMBOLS, HORIZONS, STRIDE)


def assert_same(one, other):
    assert (one.symbols, one.horizons, one.stride) == (other.symbols, other.horizons, other.stride)
    for name in COLUMNS:
        found, expected = getattr(one, name), getattr(other, name)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes(), name


def build(markets, invite, hands=1, told=lambda message: None):
    return list(spreading.build_together(markets, told, hands=hands, invite=invite))


def test_rows_built_apart_are_those_built_together(grid, markets, whole):
    told = []
    assert_same(interleave(list(build_here(markets, told.append)), grid), whole)
    assert told == [f"rows of {symbol}" for symbol in SYMBOLS]
    assert len({int(code) for code in whole.market}) == len(SYMBOLS)


def test_an_earliest_row_holds_for_every_market(grid):
    first = int(grid.open_time[WARMUP + 200])
    markets = [MarketCandles(symbol, grid.select(code), HORIZONS, STRIDE, first) for code, symbol in enumerate(SYMBOLS)]
    apart = interleave([market.build() for market in markets], grid)
    assert_same(apart, build_dataset(grid, SYMBOLS, HORIZONS, STRIDE, first=first))
    assert apart.open_time.min() >= first


@pytest.mark.django_db
def test_a_hand_builds_every_market_it_finds(grid, markets, whole, model_folder):
    helped = []

    def one_good_hand(run, _hands):
        assert list(TrainingPart.objects.filter(run=run).values_list("market", flat=True)) == list(SYMBOLS)
        helped.append(spreading.lend_hand(run))
        return lambda: None

    assert_same(interleave(build(markets, one_good_hand), grid), whole)
    assert helped == [len(SYMBOLS)]
    assert not TrainingPart.objects.exists()
    assert list((model_folder / spreading.FOLDER).iterdir()) == []


@pytest.mark.django_db
def test_markets_of_a_hand_that_failed_lied_or_fell_silent_are_built_by_the_run_itself(grid, markets, whole):
    def bad_hands(run, _hands):
        first, second, third = TrainingPart.objects.filter(run=run)
        hour_ago = clock.wall_now() - timedelta(hours=1)
        TrainingPart.objects.filter(pk=first.pk).update(hand="lost", heartbeat_at=hour_ago)
        TrainingPart.objects.filter(pk=second.pk).update(failures=1)
        TrainingPart.objects.filter(pk=third.pk).update(hand="liar", digest="0" * 64)
        return lambda: None

    assert_same(interleave(build(markets, bad_hands), grid), whole)


@pytest.mark.django_db
def test_a_market_whose_file_is_damaged_fails_at_the_hand_and_not_in_the_run(grid, markets, whole, model_folder):
    def damage(run, _hands):
        row = TrainingPart.objects.filter(run=run).last()
        (model_folder / spreading.FOLDER / run / row.workload).write_bytes(b"not what its name says")
        with pytest.raises(TrainingError, match="other bytes"):
            spreading.lend_hand(run)
        assert TrainingPart.objects.get(pk=row.pk).failures == 1
        return lambda: None

    assert_same(interleave(build(markets, damage), grid), whole)


@pytest.mark.django_db
def test_a_cancel_while_rows_are_built_leaves_nothing(markets, model_folder):
    def cancelled(message):
        raise TrainingError("cancelled")

    with pytest.raises(TrainingError, match="cancelled"):
        build(markets, lambda run, hands: lambda: None, told=cancelled)
    assert not TrainingPart.objects.exists()
    assert list((model_folder / spreading.FOLDER).iterdir()) == []


def test_files_bring_candles_and_rows_back(markets, tmp_path):
    market = markets[1]
    back = part_files.read_market(tmp_path, part_files.write_market(tmp_path, market))
    assert (back.symbol, back.horizons, back.stride, back.first) == ("BUSDT", HORIZONS, STRIDE, None)
    for name in ("open_time", *CANDLE_COLUMNS):
        assert getattr(back.grid, name).tobytes() == getattr(market.grid, name).tobytes()
    rows = market.build()
    read = partial(part_files.read_rows, tmp_path, market=back)
    assert_same(read(part_files.write_rows(tmp_path, rows)), rows)
    with pytest.raises(TrainingError, match="cannot be read"):
        read("1" * 64)
