"""The file cache has the same bits as the rows and detects every change."""

from decimal import Decimal

import numpy as np
import pytest
from django.db import connection, transaction

from marketdata.exchange.parsing import CandleRow
from marketdata.models import Candle, CandleBlock, Market
from marketdata.storage import candles, column_cache
from marketdata.storage.columns import COLUMNS

STEP = 300_000
START = 650 * 30 * 86_400_000 + 7 * STEP
SPAN = column_cache.LENGTH + 500

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]


def rows(count, first=0, seed=5):
    """Candles with random values of 8 decimals, a seventh of them missing."""
    draws = np.random.default_rng(seed)
    found = []
    for i in range(first, first + count):
        if draws.random() < 1 / 7:
            continue
        low = Decimal(int(draws.integers(1, 10**15))).scaleb(-8)
        volume = Decimal(int(draws.integers(0, 10**17))).scaleb(-8)
        found.append(CandleRow(START + i * STEP, low + 1, low + 2, low, low + 1, volume))
    return found


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path):
    settings.STATE_DIR = tmp_path


@pytest.fixture
def stored(db):
    markets = [Market.objects.create(symbol=symbol, source="exchange") for symbol in ("BTCUSDT", "ETHUSDT")]
    for seed, market in enumerate(markets):
        candles.save_candles(market, rows(900, seed=seed), "rest")
        candles.save_candles(market, rows(900, first=SPAN - 900, seed=seed), "rest")
    return markets


def same(markets, begin=START, count=SPAN):
    """Whether cached and direct reads agree, once while files are written and once from them."""
    ids = [market.id for market in markets]
    direct = candles.read_rows(ids, begin, count)
    return all(np.array_equal(column_cache.read_blocks(ids, begin, count), direct, equal_nan=True) for _ in range(2))


def test_further_columns_have_files_of_their_own(stored):
    Candle.objects.filter(market=stored[0]).update(trades=7)
    ids, wide = [market.id for market in stored], (*COLUMNS, "trades", "taker_buy_base")
    direct = candles.read_rows(ids, START, SPAN, columns=wide)
    for _ in range(2):
        assert np.array_equal(column_cache.read_blocks(ids, START, SPAN, wide), direct, equal_nan=True)
        assert same(stored)
    known = np.isfinite(direct[0])
    assert (direct[5, 0, known[0]] == 7).all()
    assert np.isnan(direct[5, 1]).all()
    assert np.isnan(direct[6]).all()


def test_files_have_the_bits_of_the_rows(stored):
    assert same(stored)
    assert same(stored[::-1])
    assert same(stored, START - 3 * column_cache.LENGTH * STEP, 6 * column_cache.LENGTH)
    assert same(stored[1:], START + 3 * STEP, column_cache.LENGTH + 1)
    grid = candles.load_span(stored, START, START + SPAN * STEP)
    assert np.array_equal(grid.close, candles.read_rows([m.id for m in stored], START, SPAN)[3], equal_nan=True)


def test_a_cached_span_is_read_without_reading_candles(stored, django_assert_num_queries, monkeypatch):
    assert same(stored)
    monkeypatch.setattr(column_cache, "fetch_binary", lambda *_: pytest.fail("candles were read"))
    with django_assert_num_queries(1):
        candles.load_span(stored, START, START + SPAN * STEP)


CHANGES = {
    "a new candle": lambda market: candles.save_candles(market, rows(9, first=950, seed=11), "stream"),
    "a revision": lambda market: candles.save_candles(
        market, [rows(900, seed=0)[5]._replace(volume=Decimal("7.00000001"))], "rest"
    ),
    "an update by hand": lambda market: execute(
        "UPDATE candles SET close = close - 0.00000001 WHERE market_id = %s AND close > low", market
    ),
    "a candle moved to another block": lambda market: execute(
        f"UPDATE candles SET open_time = open_time + {9200 * STEP} WHERE market_id = %s AND open_time < {START + 9 * STEP}",
        market,
    ),
    "a deletion": lambda market: Candle.objects.filter(market=market, open_time__lt=START + 9 * STEP).delete(),
    "a deletion of all": lambda market: execute("DELETE FROM candles WHERE market_id = %s", market),
    "a truncation": lambda _: execute("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE candles"),
}


def execute(statement, market=None):
    with connection.cursor() as cursor:
        cursor.execute(statement, [market.id] if market else [])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_detected(stored, change):
    ids = [market.id for market in stored]
    assert same(stored)
    before = column_cache.read_blocks(ids, START, SPAN)
    change(stored[0])
    assert not np.array_equal(before, candles.read_rows(ids, START, SPAN), equal_nan=True)
    assert same(stored)


def test_rolled_back_changes_are_not_used(stored):
    ids = [market.id for market in stored]
    before = column_cache.read_blocks(ids, START, SPAN)
    with transaction.atomic():
        execute("UPDATE candles SET volume = volume + 1 WHERE market_id = %s", stored[0])
        assert same(stored), "inside the transaction its own changes are read, and kept"
        transaction.set_rollback(True)
    assert np.array_equal(column_cache.read_blocks(ids, START, SPAN), before, equal_nan=True)


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "delete"])
def test_a_corrupt_file_is_replaced(stored, tmp_path, damage):
    assert same(stored)
    files = sorted((tmp_path / "candle_blocks").glob("*.f8"))
    assert len(files) == 4, "two blocks of two markets, no partial and no old one left"
    content = files[0].read_bytes()
    if damage == "flip":
        files[0].write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    elif damage == "cut":
        files[0].write_bytes(content[:-8])
    elif damage == "swap":
        files[0].write_bytes(files[1].read_bytes())
    else:
        files[0].unlink()
    assert same(stored)


def test_old_files_are_deleted_and_an_unwritable_folder_is_no_error(stored, settings, tmp_path):
    assert same(stored)
    execute("UPDATE candles SET volume = volume + 1 WHERE market_id = %s", stored[0])
    assert same(stored)
    assert len(list((tmp_path / "candle_blocks").iterdir())) == 4
    (tmp_path / "file").write_text("")
    settings.STATE_DIR = tmp_path / "file"
    assert same(stored)


def test_the_newest_candle_of_a_market_stamps_one_block(stored):
    stamps = dict(CandleBlock.objects.values_list("id", "stamp"))
    newest = candles.newest_open(stored)[stored[1].id]
    candles.save_candles(stored[1], [rows(900)[0]._replace(open_time=newest + STEP)], "stream")
    changed = [block for block in CandleBlock.objects.all() if stamps.get(block.id) != block.stamp]
    assert [block.market_id for block in changed] == [stored[1].id]


def test_short_windows_do_not_use_the_cache(stored):
    assert not column_cache.is_used([1], column_cache.LENGTH - 1, STEP)
    assert column_cache.is_used([1], column_cache.LENGTH, STEP)
