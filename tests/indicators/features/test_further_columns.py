"""Further columns of candles in features: unknown stays NaN, and batch, blocks and live have the same bits."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from indicators.candles import CANDLE_COLUMNS, FURTHER_COLUMNS, CandleGrid
from indicators.errors import FeatureError
from indicators.features import (
    FEATURE_NAMES,
    WARMUP,
    FeatureSet,
    NewestFeatures,
    build_features,
    iter_features,
    reads_columns,
)
from indicators.features.feature_set import definition_of
from indicators.features.window import ratio
from indicators.proofs.leakage import check_leakage
from tests.indicators.series import bits, walk, with_hole

NEW = len(FEATURE_NAMES)
ROWS = 41


@reads_columns("trades", "taker_buy_base")
def flow(window):
    yield "trades_12", window.further("trades", lambda trades: window.mean(trades, 12))
    yield (
        "taker_share_72",
        window.further(
            "taker_buy_base", lambda bought: ratio(window.total(bought, 72), window.total(window.volumes, 72))
        ),
    )


@reads_columns("trades")
def looks_ahead(window):
    yield "ahead", window.further("trades", lambda trades: np.roll(trades, -1, axis=0))


ALL = FeatureSet((flow,))
LONG = walk(WARMUP + ROWS - 1, markets=2, seed=4)


def with_columns(grid, seed=0, unknown=()):
    """The same candles with invented further columns; `unknown` are (name, market, position) without a value."""
    rng = np.random.default_rng(seed)
    further = {name: grid.volume * rng.uniform(0.2, 0.8, grid.volume.shape) for name in FURTHER_COLUMNS}
    for name, market, position in unknown:
        further[name][market, position] = np.nan
    return replace(grid, further=further)


def both_paths(grid):
    """Features in blocks, and candle by candle in memory."""
    blocks = np.concatenate([block for _, block in iter_features(grid, 7, ALL)], axis=1)
    newest = NewestFeatures.from_grid(grid.span(0, WARMUP), ALL)
    live = [newest.rows()[0]]
    for at in range(WARMUP, len(grid)):
        newest.push(int(grid.open_time[at]), grid.span(at, at + 1).columns(ALL.further_columns)[:, :, 0])
        live.append(newest.rows()[0])
    return blocks, np.stack(live, axis=1)


def test_values_are_those_of_the_declared_columns():
    grid = with_columns(LONG)
    built = build_features(grid, ROWS, ALL)
    assert ALL.further_columns == ("trades", "taker_buy_base")
    assert (bits(built[:, :, :NEW]) == bits(build_features(LONG, ROWS))).all(), "our own columns do not change"
    assert built[0, -1, NEW] == np.float32(grid.further["trades"][0, -12:].mean())
    share = grid.further["taker_buy_base"][1, -72:].sum() / grid.volume[1, -72:].sum()
    assert built[1, -1, NEW + 1] == pytest.approx(share)


def test_an_unknown_value_makes_its_column_unknown_and_no_row_unanswerable():
    built = build_features(with_columns(LONG, unknown=[("trades", 0, WARMUP + 3)]), ROWS, ALL)
    unknown = np.zeros((2, ROWS), dtype=bool)
    unknown[0, 4:] = True
    assert (np.isnan(built[:, :, NEW]) == unknown).all()
    assert np.isfinite(np.delete(built, NEW, axis=2)).all()
    nothing = build_features(LONG, ROWS, ALL)
    assert np.isnan(nothing[:, :, NEW:]).all()
    assert (bits(nothing[:, :, :NEW]) == bits(built[:, :, :NEW])).all()


def test_a_column_is_known_again_when_the_unknown_candle_has_left_the_window():
    built = build_features(with_columns(LONG, unknown=[("trades", 1, 9)]), ROWS, ALL)
    assert np.isnan(built[1, :10, NEW]).all()
    assert np.isfinite(built[1, 10:, NEW]).all()


def test_a_missing_candle_is_no_unknown_column():
    grid = with_columns(with_hole(LONG, 1000, 1003))
    assert np.isfinite(build_features(grid, ROWS, ALL)).all()


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_batch_blocks_and_live_have_the_same_bits(infinite):
    grid = with_columns(with_hole(LONG, 700, 702), unknown=[("trades", 0, 30), ("taker_buy_base", 1, WARMUP + 11)])
    grid.further["trades"][1, 20] = infinite
    whole = build_features(grid, ROWS, ALL)
    assert np.isnan(whole[:, :, NEW:]).any()
    assert np.isfinite(whole[:, :, NEW:]).any()
    for built in both_paths(grid):
        assert (bits(built) == bits(whole)).all()


def test_a_replaced_market_brings_its_columns_with_it():
    lacking, whole = with_columns(LONG, unknown=[("trades", 0, 50)]), with_columns(LONG)
    newest = NewestFeatures.from_grid(lacking.span(0, WARMUP), ALL)
    assert np.isnan(newest.rows()[0][0, NEW])
    newest.replace(0, whole.span(0, WARMUP).select(0))
    assert (bits(newest.rows()[0]) == bits(build_features(whole.span(0, WARMUP), 1, ALL)[:, 0])).all()
    assert (newest.grid.further["trades"] == whole.further["trades"][:, :WARMUP]).all()


def test_a_row_made_before_a_column_was_known_is_repeated_without_it():
    late = np.zeros((2, len(LONG)), dtype=bool)
    late[1, -2] = True
    grid = with_columns(LONG)
    found = build_features(replace(grid, late={"trades": late}), 3, ALL)
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 1, NEW]]
    assert (bits(found[:, [0, 2]]) == bits(build_features(grid, 3, ALL)[:, [0, 2]])).all()


@pytest.mark.parametrize(("family", "clean"), [(flow, True), (looks_ahead, False)])
def test_the_leakage_check_changes_further_columns_too(family, clean):
    features = FeatureSet((family,))
    report = check_leakage(
        lambda part, rows: build_features(part, rows, features),
        features.names,
        with_columns(LONG),
        [WARMUP],
        warmup=WARMUP,
        ahead=9,
    )
    assert report.clean is clean


def test_columns_are_declared_by_name():
    with pytest.raises(FeatureError, match="no further column 'spread'"):
        reads_columns("spread")
    with pytest.raises(FeatureError, match="fails on a window of one candle"):
        _ = FeatureSet((undeclared,)).names
    assert ALL.columns_read([0, 1]) == ()
    assert ALL.columns_read([NEW]) == ("taker_buy_base", "trades")
    assert definition_of(flow) != definition_of(reads_columns("trades", "taker_buy_base", "quote_volume")(flow))
    reads_columns("trades", "taker_buy_base")(flow)


def undeclared(window):
    yield "trades_1", window.further("trades", lambda trades: trades)


def test_frames_and_stacks_keep_further_columns():
    grid = with_columns(LONG)
    columns = {name: getattr(grid, name)[0] for name in CANDLE_COLUMNS}
    trades = pd.array([None, *range(1, len(grid))], dtype="Int64")
    frame = pd.DataFrame({"open_time": grid.open_time, **columns, "trades": trades})
    found = CandleGrid.from_frame(frame)
    assert np.isnan(found.further["trades"][0, 0])
    assert found.further["trades"][0, 5] == 5.0
    stacked = CandleGrid.stack([found, grid.select(1)])
    assert np.isnan(stacked.further["quote_volume"][0]).all()
    assert (stacked.further["quote_volume"][1] == grid.further["quote_volume"][1]).all()
